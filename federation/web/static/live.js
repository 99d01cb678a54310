// Keeps the page true: the server sends the parts that have changed. New rows wait behind a link.
import { showLocalTimes } from "./times.js";

const note = (id, text) => {
  const place = document.getElementById(id);
  if (!place) return;
  place.hidden = !text;
  if (text) (place.querySelector("a") ?? place).textContent = text;
};

const waiting = new Set();

const isOfEmptyTable = (id) => document.querySelector(`p.empty[data-table="${CSS.escape(id.split("-")[0])}"]`);

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

// A browser has six connections to a server (HTTP/1.1), and each followed page holds one. So few are followed at a time that
// further pages still open. The browser gives a place back when its page goes.
const PLACES = ["live-1", "live-2", "live-3", "live-4"];

async function takePlace() {
  if (!navigator.locks) return () => {};
  for (const name of PLACES) {
    const free = await new Promise((answer) => {
      const held = (lock) => lock ? new Promise((release) => answer(release)) : answer(null);
      navigator.locks.request(name, { ifAvailable: true }, held);
    });
    if (free) return free;
  }
  return null;
}

export function followPage() {
  const version = document.body.dataset.live;
  if (!version) return;
  const page = location.pathname + location.search;
  const query = new URLSearchParams({ page, version });
  let source = null;
  let leave = null;
  let isOver = false;
  let turn = Promise.resolve();

  const stop = () => {
    source?.close();
    leave?.();
    source = leave = null;
  };
  const end = () => { isOver = true; stop(); };
  const start = async () => {
    if (source || isOver || document.hidden) return;
    leave = await takePlace();
    if (!leave) return note("live-problem", "Several pages are open: this one stays as it is until you come back to it");
    note("live-problem", "");
    const opened = source = new EventSource(`/live?${query}`);
    opened.addEventListener("fragments", (event) => {
      note("live-problem", "");
      for (const [id, html] of Object.entries(JSON.parse(event.data))) take(id, html);
      if ([...waiting].some(isOfEmptyTable)) location.reload(); // nobody reads an empty table
    else if (waiting.size) note("live-new", `${waiting.size} new`);
    });
    opened.addEventListener("gone", (event) => {
      for (const id of JSON.parse(event.data)) waiting.delete(id);
    });
    opened.addEventListener("looked", () => note("live-problem", ""));
    opened.addEventListener("problem", (event) => note("live-problem", event.data));
    opened.addEventListener("end", end);
    opened.addEventListener("reload", () => { end(); note("live-new", "This page has changed"); });
    opened.addEventListener("error", () => {
      if (opened.readyState === EventSource.CLOSED && opened === source) note("live-problem", "fedml ui doesn't answer: this page stays as it is");
    });
  };
  // A page that nobody sees isn't followed. Seen again, it gets what has changed meanwhile.
  const see = () => { turn = turn.then(() => document.hidden ? stop() : start()); };
  document.addEventListener("visibilitychange", see);
  addEventListener("pagehide", stop);
  addEventListener("pageshow", see);
  see();
}
