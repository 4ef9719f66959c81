// A process of its own for face-api's landmark networks: the same questions and answers as
// worker.py, on TensorFlow.js with its WebAssembly kernels. `node face_api.cjs face-api OPTIONS`.
'use strict';
const fs = require('fs');
const path = require('path');
const { createRequire } = require('module');

// Packages print to standard output, which is for answers.
console.log = console.info = console.error;
const send = (content) => fs.writeSync(1, `${JSON.stringify(content)}\n`);

const CHUNK = 1 << 20;
let pending = Buffer.alloc(0);

function readMore() {
  const chunk = Buffer.allocUnsafe(CHUNK);
  const count = fs.readSync(0, chunk, 0, CHUNK, null);
  pending = Buffer.concat([pending, chunk.subarray(0, count)]);
  return count > 0;
}

function readLine() {
  let end = pending.indexOf(10);
  while (end < 0) {
    if (!readMore()) return null;
    end = pending.indexOf(10);
  }
  const line = pending.subarray(0, end).toString();
  pending = pending.subarray(end + 1);
  return line;
}

function readBytes(count) {
  while (pending.length < count) if (!readMore()) throw new Error('the picture ends early');
  const bytes = pending.subarray(0, count);
  pending = pending.subarray(count);
  return bytes;
}

// Multiply-adds, in millions, of the kernels of one pass that multiply by weights.
function countMma(kernels) {
  let total = 0;
  for (const { name, inputShapes, outputShapes } of kernels) {
    const [, weights] = inputShapes;
    const outputs = outputShapes[0].reduce((a, b) => a * b, 1);
    if (/DepthwiseConv2d/.test(name)) total += outputs * weights[0] * weights[1];
    else if (/Conv2D/.test(name)) total += outputs * weights[0] * weights[1] * weights[2];
    else if (/MatMul/.test(name)) total += outputs * weights[0];
  }
  return total / 1e6;
}

// The part of a picture in a box, cut at the picture's borders as face-api does.
function cut(image, box) {
  const [x0, y0, x1, y1] = box.map((v) => Math.round(v + 0.5));
  const [left, top] = [Math.max(0, x0), Math.max(0, y0)];
  const [right, bottom] = [Math.min(image.width, x1), Math.min(image.height, y1)];
  if (right <= left || bottom <= top) return null;
  const width = right - left;
  const pixels = new Int32Array((bottom - top) * width * 3);
  for (let y = top; y < bottom; y += 1) {
    const start = (y * image.width + left) * 3;
    pixels.set(image.pixels.subarray(start, start + width * 3), (y - top) * width * 3);
  }
  return { pixels, left, top, width, height: bottom - top };
}

async function main() {
  const { tiny, files } = JSON.parse(process.argv[3]);
  const root = path.resolve(files);
  const load = createRequire(path.join(root, 'package.json'));
  let tf;
  let faceapi;
  let network;
  try {
    tf = load('@tensorflow/tfjs');
    const wasm = load('@tensorflow/tfjs-backend-wasm');
    faceapi = load('@vladmandic/face-api/dist/face-api.node-wasm.js');
    wasm.setWasmPaths(path.join(root, 'node_modules/@tensorflow/tfjs-backend-wasm/dist/'));
    wasm.setThreadsCount(1);
    await tf.setBackend('wasm');
    await tf.ready();
    network = tiny ? faceapi.nets.faceLandmark68TinyNet : faceapi.nets.faceLandmark68Net;
    await network.loadFromDisk(path.join(root, 'node_modules/@vladmandic/face-api/model'));
  } catch (error) {
    send({ problem: String(error.message).split('\n')[0] });
    return;
  }
  const file = `face_landmark_68_${tiny ? 'tiny_' : ''}model.bin`;
  const bytes = fs.statSync(path.join(root, 'node_modules/@vladmandic/face-api/model', file)).size;

  async function locate(image, box) {
    const part = cut(image, box);
    if (part === null) return null;
    const input = tf.tensor3d(part.pixels, [part.height, part.width, 3], 'int32');
    const { positions } = await network.detectLandmarks(input);
    input.dispose();
    return positions.map(({ x, y }) => [x + part.left - 0.5, y + part.top - 0.5]);
  }

  const blank = { width: 112, height: 112, pixels: new Uint8Array(112 * 112 * 3) };
  const { kernels } = await faceapi.tf.profile(() => locate(blank, [0, 0, 111, 111]));
  send({ bytes, mma: countMma(kernels) });
  let image = blank;
  for (let line = readLine(); line !== null; line = readLine()) {
    const request = JSON.parse(line);
    if (request.image) {
      const [height, width] = request.image;
      image = { height, width, pixels: readBytes(height * width * 3) };
    } else {
      const start = performance.now();
      const points = await locate(image, request.box);
      send({ points, ms: performance.now() - start });
    }
  }
}

main();
