// Trains a network that tells benign from malignant tumours, and writes it with its metrics and curves.
// It meets fedml only by files and variables: $FEDML_PARAMS, $FEDML_OUTPUT, metrics.jsonl, metrics.json.
import { appendFileSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import * as tf from "@tensorflow/tfjs";
import { saveTo } from "./model_files.mjs";
import { readTumors, split } from "./tumors.mjs";

const given = process.env.FEDML_PARAMS ? JSON.parse(readFileSync(process.env.FEDML_PARAMS, "utf8")) : {};
const params = { lr: 0.01, units: 8, epochs: 20, seed: 1, ...given };
const output = process.env.FEDML_OUTPUT ?? "output";
mkdirSync(output, { recursive: true });

await tf.setBackend("cpu");
const { train, test, means, deviations } = split(readTumors(), params.seed);
const model = tf.sequential({
  layers: [
    tf.layers.dense({
      units: params.units,
      activation: "relu",
      inputShape: [means.length],
      kernelInitializer: tf.initializers.heNormal({ seed: params.seed }),
    }),
    tf.layers.dense({
      units: 1,
      activation: "sigmoid",
      kernelInitializer: tf.initializers.glorotNormal({ seed: params.seed }),
    }),
  ],
});
model.compile({ optimizer: tf.train.adam(params.lr), loss: "binaryCrossentropy", metrics: ["accuracy"] });

const inputs = tf.tensor2d(train.inputs);
const answers = tf.tensor2d(train.answers, [train.answers.length, 1]);
await model.fit(inputs, answers, {
  epochs: params.epochs,
  batchSize: 64,
  shuffle: false,
  verbose: 0,
  callbacks: {
    onEpochEnd: (epoch, logs) =>
      appendFileSync(join(output, "metrics.jsonl"), JSON.stringify({ step: epoch + 1, loss: logs.loss }) + "\n"),
  },
});

const [loss, accuracy] = model
  .evaluate(tf.tensor2d(test.inputs), tf.tensor2d(test.answers, [test.answers.length, 1]))
  .map((value) => value.dataSync()[0]);
await model.save(saveTo(output));
writeFileSync(join(output, "scaling.json"), JSON.stringify({ means, deviations }));
writeFileSync(join(output, "metrics.json"), JSON.stringify({ test_loss: loss, accuracy, rows: train.answers.length }));
console.log(`accuracy ${accuracy.toFixed(3)} on ${test.answers.length} tumours that it hadn't seen`);
