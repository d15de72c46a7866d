/* The model's forward pass: an image in, its code out, or the reverse. What PyTorch does with book/explore/network.py's `fold`.

   A network is a list of layers, each named like PyTorch's: conv, deconv (a transposed convolution), linear, gelu, sigmoid;
   residual adds what its own layers make of the maps to them. There is no BatchNorm: it was folded into the weights, or is a
   scale, where no layer with weights comes before it. An image of C channels is one flat array, channel by channel. */
"use strict";

/** A function from what the export says of half a model: its layers in order, and all their weights. */
function makeNetwork({ layers, weights }) {
  const numbers = unpack(weights);
  let read = 0;
  const take = (count) => numbers.subarray(read, (read += count));

  const stepOf = (layer) => {
    const { kind, inputs, outputs, kernel = 1 } = layer;
    if (kind === "gelu") return (x) => x.map(gelu);
    if (kind === "sigmoid") return (x) => x.map(sigmoid);
    if (kind === "residual") {
      const correction = chain(layer.layers);
      return (x) => correction(x).map((value, i) => x[i] + value);
    }
    if (kind === "scale") {
      const [factors, shifts] = [take(outputs), take(outputs)];
      return (x) => addBias(multiplyChannels(x, factors), shifts);
    }
    const [weight, bias] = [take(inputs * outputs * kernel ** 2), take(outputs)];
    if (kind === "linear") return (x) => addBias(product(weight, x, inputs), bias);
    if (kind === "conv") return (x) => addBias(product(weight, patches(x, layer), inputs * kernel ** 2), bias);
    const turned = transpose(weight, inputs);
    return (x) => addBias(overlay(product(turned, transpose(x, inputs), inputs), layer), bias);
  };
  const chain = (list) => {
    const steps = list.map(stepOf);
    return (x) => steps.reduce((values, step) => step(values), x);
  };

  /** Float32Array → Float32Array: n·n pixels between 0 and 1, row by row, or as many numbers as a code has. */
  return chain(layers);
}

/**
 * A Bᵀ, row by row, of two matrices whose rows have `inner` numbers. Eight sums at once, of four rows of A and two of B, as
 * each number that is read then serves several; at the end of a matrix its last row is taken again.
 */
function product(a, b, inner) {
  const [rows, columns] = [a.length / inner, b.length / inner];
  const y = new Float32Array(rows * columns);
  for (let r = 0; r < rows; r += 4) {
    const r1 = Math.min(r + 1, rows - 1), r2 = Math.min(r + 2, rows - 1), r3 = Math.min(r + 3, rows - 1);
    const a0 = r * inner, a1 = r1 * inner, a2 = r2 * inner, a3 = r3 * inner;
    for (let c = 0; c < columns; c += 2) {
      const c1 = Math.min(c + 1, columns - 1);
      const b0 = c * inner, b1 = c1 * inner;
      let s0 = 0, s1 = 0, s2 = 0, s3 = 0, t0 = 0, t1 = 0, t2 = 0, t3 = 0;
      for (let i = 0; i < inner; i++) {
        const u = b[b0 + i], v = b[b1 + i];
        const w0 = a[a0 + i], w1 = a[a1 + i], w2 = a[a2 + i], w3 = a[a3 + i];
        s0 += w0 * u, s1 += w1 * u, s2 += w2 * u, s3 += w3 * u;
        t0 += w0 * v, t1 += w1 * v, t2 += w2 * v, t3 += w3 * v;
      }
      y[r3 * columns + c] = s3, y[r2 * columns + c] = s2, y[r1 * columns + c] = s1, y[r * columns + c] = s0;
      y[r3 * columns + c1] = t3, y[r2 * columns + c1] = t2, y[r1 * columns + c1] = t1, y[r * columns + c1] = t0;
    }
  }
  return y;
}

function transpose(x, rows) {
  const columns = x.length / rows;
  const turned = new Float32Array(x.length);
  for (let r = 0; r < rows; r++) {
    for (let c = 0; c < columns; c++) turned[c * rows + r] = x[r * columns + c];
  }
  return turned;
}

/** x, each channel times its factor. */
function multiplyChannels(x, factors) {
  const each = x.length / factors.length;
  return x.map((value, i) => value * factors[Math.floor(i / each)]);
}

/** A bias for each channel of y, in place. */
function addBias(y, bias) {
  const each = y.length / bias.length;
  bias.forEach((shift, o) => {
    for (let i = o * each; i < (o + 1) * each; i++) y[i] += shift;
  });
  return y;
}

/**
 * What a convolution sees of an image n wide: a row for each of its m·m output pixels, the kernel's window around
 * (i·stride − padding, j·stride − padding) in every channel; what lies outside of the image is zero.
 */
function patches(x, { inputs, n, m, kernel, stride, padding }) {
  const inner = inputs * kernel ** 2;
  const seen = new Float32Array(m * m * inner);
  eachOverlap(m, n, { kernel, stride, padding }, (small, large, k) => {
    for (let c = 0; c < inputs; c++) seen[small * inner + c * kernel ** 2 + k] = x[c * n * n + large];
  });
  return seen;
}

/**
 * A transposed convolution's image, m wide: each of the n·n input pixels has laid its value, times the kernel, around
 * (i·stride − padding, j·stride − padding); where kernels overlap they add up, and what falls outside is cropped.
 * `laid` has a row for each output channel and place in the kernel, a column for each input pixel.
 */
function overlay(laid, { outputs, n, m, kernel, stride, padding }) {
  const y = new Float32Array(outputs * m * m);
  eachOverlap(n, m, { kernel, stride, padding }, (small, large, k) => {
    for (let o = 0; o < outputs; o++) y[o * m * m + large] += laid[(o * kernel ** 2 + k) * n * n + small];
  });
  return y;
}

/** Calls visit(pixel of the small image, pixel of the large one, place in the kernel) wherever a kernel meets the large one. */
function eachOverlap(small, large, { kernel, stride, padding }, visit) {
  for (let i = 0; i < small; i++) {
    for (let j = 0; j < small; j++) {
      for (let k = 0; k < kernel ** 2; k++) {
        const row = i * stride - padding + Math.floor(k / kernel);
        const column = j * stride - padding + (k % kernel);
        if (row < 0 || row >= large || column < 0 || column >= large) continue;
        visit(i * small + j, row * large + column, k);
      }
    }
  }
}

/** x Φ(x), with the normal distribution Φ itself, not the tanh that imitates it (Hendrycks & Gimpel 2016). */
function gelu(x) {
  return 0.5 * x * (1 + erf(x / Math.SQRT2));
}

/** The error function to within 1.5e-7 (Abramowitz & Stegun 1964, 7.1.26); JavaScript has none. */
function erf(x) {
  const t = 1 / (1 + 0.3275911 * Math.abs(x));
  const series = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))));
  return Math.sign(x) * (1 - series * Math.exp(-x * x));
}

function sigmoid(x) {
  return 1 / (1 + Math.exp(-x));
}

/** Base64 as bytes. */
function bytesOf(text) {
  return Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
}

/** Base64 of half-precision numbers, little-endian, as a Float32Array. */
function unpack(text) {
  const bytes = new DataView(bytesOf(text).buffer);
  return Float32Array.from({ length: bytes.byteLength / 2 }, (_, i) => fromHalf(bytes.getUint16(2 * i, true)));
}

/** IEEE 754's sixteen bits: a sign, five bits of exponent, ten of fraction. */
function fromHalf(bits) {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24; // zero, and the numbers too small for an exponent
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}
