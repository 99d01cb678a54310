// Keeps the page true: the server sends the parts that have changed. New rows wait behind a link.
import { showLocalTimes } from "./times.js";

const note = (id, text) => {
  const place = document.getElementById(id);
  if (!place) return;
  place.hidden = !text;
  if (text) (place.querySelector("a") ?? place).textContent = text;
};

const waiting = new Set();

function isBeingUsed(element) {
  const active = document.activeElement;
  return active && active !== document.body && element.contains(active) && active.matches("input, select, textarea");
}

function take(id, html) {
  const old = document.getElementById(id);
  if (!old) {
    waiting.add(id);
    return;
  }
  if (isBeingUsed(old)) return;
  const template = document.createElement("template");
  template.innerHTML = html;
  const fresh = template.content.firstElementChild;
  if (!fresh || old.outerHTML === fresh.outerHTML) return;
  showLocalTimes(template.content);
  const boxes = [...old.querySelectorAll("input[type=checkbox]:checked")].map((box) => box.value);
  const focused = old.contains(document.activeElement) ? [...old.querySelectorAll("a, button, summary")].indexOf(document.activeElement) : -1;
  for (const details of old.querySelectorAll("details[open][id]")) {
    fresh.querySelector(`#${CSS.escape(details.id)}`)?.setAttribute("open", "");
  }
  for (const box of fresh.querySelectorAll("input[type=checkbox]")) box.checked = boxes.includes(box.value);
  if (old.classList.contains("at")) fresh.classList.add("at");
  old.replaceWith(fresh);
  if (focused >= 0) fresh.querySelectorAll("a, button, summary")[focused]?.focus({ preventScroll: true });
}

export function followPage() {
  const version = document.body.dataset.live;
  if (!version) return;
  const page = location.pathname + location.search;
  const query = new URLSearchParams({ page, version });
  const source = new EventSource(`/live?${query}`);
  source.addEventListener("fragments", (event) => {
    note("live-problem", "");
    for (const [id, html] of Object.entries(JSON.parse(event.data))) take(id, html);
    if (waiting.size) note("live-new", `${waiting.size} new`);
  });
  source.addEventListener("gone", (event) => {
    for (const id of JSON.parse(event.data)) waiting.delete(id);
  });
  source.addEventListener("looked", () => note("live-problem", ""));
  source.addEventListener("problem", (event) => note("live-problem", event.data));
  source.addEventListener("end", () => source.close());
  source.addEventListener("reload", () => { source.close(); note("live-new", "This page has changed"); });
  source.addEventListener("error", () => {
    if (source.readyState === EventSource.CLOSED) note("live-problem", "fedml ui doesn't answer: this page stays as it is");
  });
  addEventListener("pagehide", () => source.close());
}
