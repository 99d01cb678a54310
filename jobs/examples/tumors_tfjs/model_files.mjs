// A TensorFlow.js model as two files, model.json and weights.bin. (tfjs-node has this built in, and needs compiled code.)
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import * as tf from "@tensorflow/tfjs";

export function saveTo(folder) {
  return tf.io.withSaveHandler(async ({ modelTopology, weightSpecs, weightData }) => {
    writeFileSync(join(folder, "model.json"), JSON.stringify({ modelTopology, weightSpecs }));
    writeFileSync(join(folder, "weights.bin"), Buffer.from(tf.io.CompositeArrayBuffer.join(weightData)));
    return { modelArtifactsInfo: { dateSaved: new Date(), modelTopologyType: "JSON" } };
  });
}

export function loadFrom(folder) {
  const { modelTopology, weightSpecs } = JSON.parse(readFileSync(join(folder, "model.json"), "utf8"));
  const weightData = new Uint8Array(readFileSync(join(folder, "weights.bin"))).buffer;
  return tf.loadLayersModel(tf.io.fromMemory({ modelTopology, weightSpecs, weightData }));
}
