// Runs an artifact whose output is `portable` in Node: onnxruntime-node has no way to register operators.
//
//   npm install onnxruntime-node
//   node run.js model.onnx < input > output
//
// The model has one float input, whose free dimensions are taken as 1, and its first output is float; both are raw numbers here.
const fs = require("node:fs");
const ort = require("onnxruntime-node");

async function main(model) {
  const session = await ort.InferenceSession.create(model);
  const [input] = session.inputMetadata;
  const shape = input.shape.map((dimension) => (typeof dimension === "number" ? dimension : 1));
  const bytes = fs.readFileSync(0);
  const x = new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length));
  const results = await session.run({ [input.name]: new ort.Tensor("float32", x, shape) });
  const y = results[session.outputNames[0]].data;
  fs.writeSync(1, Buffer.from(y.buffer, y.byteOffset, y.byteLength));
}

main(process.argv[2]).catch((error) => {
  console.error(error.message);
  process.exitCode = 1;
});
