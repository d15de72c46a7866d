/* The decoder's forward pass: a code of a few dozen numbers in, an image out. What book/explore/export.py's `decode` does.

   Every step is an affine map and an activation: linear → GELU → transposed convolution → GELU → … → sigmoid.
   There is no BatchNorm: it was folded into the weights. An image of C channels is one flat array, channel by channel. */
"use strict";

/** A decoder from what the export says of it: sizes [7, 14, 28], channels [64, 32, 1], the code's length, the weights. */
function makeDecoder({ sizes, channels, latent, kernel, stride, padding, weights }) {
  const numbers = unpack(weights);
  let read = 0;
  const take = (count) => numbers.subarray(read, (read += count));

  const first = channels[0] * sizes[0] ** 2; // numbers after the linear map
  const linearMap = { weight: take(first * latent), bias: take(first) };
  const steps = channels.slice(1).map((outputs, i) => ({
    inputs: channels[i],
    outputs,
    n: sizes[i],
    m: sizes[i + 1],
    kernel,
    stride,
    padding,
    weight: take(channels[i] * outputs * kernel ** 2),
    bias: take(outputs),
  }));

  /** z (latent numbers) → image (m·m numbers between 0 and 1), row by row. */
  return function decode(z) {
    let x = linear(z, linearMap);
    for (const step of steps) {
      x = transposedConvolution(x.map(gelu), step);
    }
    return x.map(sigmoid);
  };
}

/** y = W x + b */
function linear(x, { weight, bias }) {
  const y = Float32Array.from(bias);
  for (let row = 0; row < y.length; row++) {
    let sum = 0;
    for (let i = 0; i < x.length; i++) {
      sum += weight[row * x.length + i] * x[i];
    }
    y[row] += sum;
  }
  return y;
}

/**
 * Every input pixel (i, j) lays its value, times the kernel, on the output around (i·stride − padding, j·stride − padding);
 * where kernels overlap they add up, and what falls outside is cropped. An image n wide becomes one m wide.
 */
function transposedConvolution(x, { inputs, outputs, n, m, kernel, stride, padding, weight, bias }) {
  const y = new Float32Array(outputs * m * m);
  for (let o = 0; o < outputs; o++) {
    y.fill(bias[o], o * m * m, (o + 1) * m * m);
  }
  let w = 0; // weights lie in this order: input channel, output channel, kernel row, kernel column
  for (let c = 0; c < inputs; c++) {
    for (let o = 0; o < outputs; o++) {
      for (let top = -padding; top < kernel - padding; top++) {
        for (let left = -padding; left < kernel - padding; left++) {
          const value = weight[w++];
          for (let i = 0; i < n; i++) {
            const row = i * stride + top;
            if (row < 0 || row >= m) continue;
            const from = (c * n + i) * n;
            const to = (o * m + row) * m + left;
            const begin = left < 0 ? Math.ceil(-left / stride) : 0;
            const end = Math.min(n, Math.ceil((m - left) / stride));
            for (let j = begin; j < end; j++) {
              y[to + j * stride] += value * x[from + j];
            }
          }
        }
      }
    }
  }
  return y;
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

/** Base64 of half-precision numbers, little-endian, as a Float32Array. */
function unpack(text) {
  const bytes = new DataView(Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer);
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
