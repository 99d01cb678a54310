// A click on an ID or a command copies all of it.
export function copyOnClick() {
  document.addEventListener("click", async (event) => {
    const place = event.target.closest("[data-copy]");
    if (!place || place.closest("a") || String(getSelection())) return;
    await navigator.clipboard?.writeText(place.dataset.copy);
    place.dataset.copied = "";
    setTimeout(() => delete place.dataset.copied, 1500);
  });
}
