// The data, and how it is cut into rows for training and rows for testing.
import { readFileSync } from "node:fs";

export function readTumors() {
  const file = new URL("data/tumors.csv", import.meta.url);
  const [, ...lines] = readFileSync(file, "utf8").trim().split("\n");
  return lines.map((line) => line.split(",").map(Number));
}

export function split(rows, seed) {
  const mixed = shuffled(rows, seed);
  const cut = Math.floor(mixed.length * 0.8);
  const columns = rows[0].length - 1;
  const means = [];
  const deviations = [];
  for (let column = 0; column < columns; column++) {
    const values = mixed.slice(0, cut).map((row) => row[column]);
    const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
    const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length;
    means.push(mean);
    deviations.push(Math.sqrt(variance) || 1);
  }
  const part = (some) => ({ inputs: some.map((row) => scaled(row, means, deviations)), answers: some.map((row) => row[columns]) });
  return { train: part(mixed.slice(0, cut)), test: part(mixed.slice(cut)), means, deviations };
}

export function scaled(row, means, deviations) {
  return means.map((mean, column) => (row[column] - mean) / deviations[column]);
}

// The same order for the same seed, on any machine.
function shuffled(rows, seed) {
  const mixed = [...rows];
  let state = seed >>> 0 || 1;
  for (let last = mixed.length - 1; last > 0; last--) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    const other = state % (last + 1);
    [mixed[last], mixed[other]] = [mixed[other], mixed[last]];
  }
  return mixed;
}
