// Says which revision a slider stands at while it is moved, and goes there when it is let go.
export function followSlider(form) {
  const range = form.querySelector("input[type=range]");
  range.addEventListener("input", () => { form.querySelector("output").textContent = range.value; });
  range.addEventListener("change", () => form.requestSubmit());
}
