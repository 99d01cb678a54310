// Chooses a range by drawing along an axis of parallel coordinates. The range goes into the address; a click takes it away.
const SVG = "http://www.w3.org/2000/svg";
const REACH_PX = 16;

function valueAt(axis, y) {
  const { min, max, log, top, bottom } = axis.dataset;
  const part = Math.min(1, Math.max(0, (bottom - y) / (bottom - top)));
  if (log === "true") return Math.exp(Math.log(+min) + part * (Math.log(+max) - Math.log(+min)));
  return +min + part * (max - min);
}

function go(name, range) {
  const address = new URL(location.href);
  if (range) address.searchParams.set(`brush.${name}`, range);
  else address.searchParams.delete(`brush.${name}`);
  address.hash = "axes";
  location.assign(address);
}

export function brushAxes(section) {
  const chart = section.querySelector("svg.chart");
  const axes = [...chart.querySelectorAll("g.parallel-axis")];
  const hint = section.querySelector("[data-brush-hint]");
  if (hint) hint.hidden = false;
  let drawing = null;
  const place = (event) => event.clientY - chart.getBoundingClientRect().top;
  chart.addEventListener("pointerdown", (event) => {
    const box = chart.getBoundingClientRect();
    const far = (axis) => Math.abs(event.clientX - box.left - box.width * parseFloat(axis.dataset.x) / 100);
    const axis = axes.reduce((one, two) => (far(two) < far(one) ? two : one));
    if (far(axis) > REACH_PX || event.button) return;
    event.preventDefault();
    const rect = document.createElementNS(SVG, "rect");
    rect.setAttribute("class", "brush");
    rect.setAttribute("width", "14");
    rect.setAttribute("x", box.width * parseFloat(axis.dataset.x) / 100 - 7);
    chart.append(rect);
    chart.setPointerCapture(event.pointerId);
    drawing = { axis, rect, from: place(event) };
  });
  chart.addEventListener("pointermove", (event) => {
    if (!drawing) return;
    const to = place(event);
    drawing.rect.setAttribute("y", Math.min(drawing.from, to));
    drawing.rect.setAttribute("height", Math.abs(to - drawing.from));
  });
  chart.addEventListener("pointerup", (event) => {
    if (!drawing) return;
    const { axis, from } = drawing;
    const to = place(event);
    drawing = null;
    const ends = [valueAt(axis, from), valueAt(axis, to)].sort((one, two) => one - two);
    go(axis.dataset.name, Math.abs(to - from) < 4 ? "" : ends.map((end) => +end.toPrecision(4)).join(".."));
  });
}
