// Keys: g and a letter go to a page, / filters, j k move by rows, Enter opens, x selects, c compares, ? helps.
const PAGES = { f: "/", p: "/plan", r: "/runs", i: "/index", h: "/history", j: "/jobs", d: "/doctor" };
let wantsPage = false;
let at = null;

function rows() {
  return [...document.querySelectorAll("table.rows tbody tr")];
}

function move(step) {
  const all = rows();
  if (!all.length) return;
  const now = all.indexOf(at);
  at?.classList.remove("at");
  at = all[Math.max(0, Math.min(all.length - 1, now < 0 ? 0 : now + step))];
  at.classList.add("at");
  at.scrollIntoView({ block: "nearest" });
  (at.querySelector("a") ?? at.querySelector("input") ?? at).focus({ preventScroll: true });
}

function onKey(event) {
  const isTyping = event.target.closest("input:not([type=checkbox]), select, textarea, [contenteditable]");
  if (isTyping || event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  const key = event.key;
  if (wantsPage) {
    wantsPage = false;
    if (PAGES[key]) location.href = PAGES[key];
    return;
  }
  const actions = {
    g: () => { wantsPage = true; },
    "/": () => document.querySelector("[data-filter]")?.focus(),
    j: () => move(1),
    k: () => move(-1),
    x: () => at?.querySelector("input[type=checkbox]")?.click(),
    c: () => document.querySelector("[data-compare]")?.click(),
    "?": () => document.getElementById("keys")?.showModal(),
  };
  if (!actions[key]) return;
  event.preventDefault();
  actions[key]();
}

export function listenToKeys() {
  document.addEventListener("keydown", onKey);
  const help = document.querySelector("[data-keys-help]");
  if (!help) return;
  help.hidden = false;
  help.addEventListener("click", () => document.getElementById("keys").showModal());
}
