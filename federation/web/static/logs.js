// Keeps the end of a log in view while it grows, until somebody scrolls up.
export function followLog(box) {
  const isAtEnd = () => box.scrollHeight - box.scrollTop - box.clientHeight < 24;
  const toEnd = () => { box.scrollTop = box.scrollHeight; };
  let follows = true;
  box.addEventListener("scroll", () => { follows = isAtEnd(); });
  new MutationObserver(() => { if (follows) toEnd(); }).observe(box, { childList: true, subtree: true });
  toEnd();
}
