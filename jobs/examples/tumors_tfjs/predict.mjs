// Loads a published model and says of every hundredth row of the data whether it is benign:  node predict.mjs FOLDER
import { readFileSync } from "node:fs";
import { join } from "node:path";
import * as tf from "@tensorflow/tfjs";
import { loadFrom } from "./model_files.mjs";
import { readTumors, scaled } from "./tumors.mjs";

const [folder] = process.argv.slice(2);
await tf.setBackend("cpu");
const model = await loadFrom(folder);
const { means, deviations } = JSON.parse(readFileSync(join(folder, "scaling.json"), "utf8"));
const rows = readTumors().filter((_, at) => at % 100 === 0);
const inputs = tf.tensor2d(rows.map((row) => scaled(row, means, deviations)));
const benign = Array.from(model.predict(inputs).dataSync());
rows.forEach((row, at) => console.log(`${benign[at].toFixed(3)} benign, in fact ${row.at(-1) ? "benign" : "malignant"}`));
