/* How strange an image is to the model: the combined score of chapter 06, as book/explore/own.py's `score` computes it. */
"use strict";

/** A function from what the export says: (code, reconstruction's squared error at each pixel) → score; higher = stranger. */
function makeScore(told) {
  const names = ["step", "mean", "root", "usual", "centre", "spread", "quantiles"];
  const { step, mean, root, usual, centre, spread, quantiles } = Object.fromEntries(
    names.map((name) => [name, new Float32Array(bytesOf(told[name]).buffer)]),
  );
  const known = Float32Array.from(new Int8Array(bytesOf(told.known).buffer), (value) => value * step[0]);
  const dimensions = mean.length;
  const count = Math.min(told.neighbours, known.length / dimensions);

  /** The code around zero, in units of the training codes' covariance; of `root`, the lower triangle is stored. */
  function whiten(z) {
    const y = new Float32Array(dimensions);
    for (let i = 0, r = 0; i < dimensions; i++) {
      for (let j = 0; j <= i; j++) y[j] += (z[i] - mean[i]) * root[r++];
    }
    return y;
  }

  /** Mean distance to the nearest known codes. */
  function neighbourDistance(y) {
    const distances = new Float32Array(known.length / dimensions);
    for (let k = 0; k < distances.length; k++) {
      let sum = 0;
      for (let d = 0; d < dimensions; d++) sum += (y[d] - known[k * dimensions + d]) ** 2;
      distances[k] = Math.sqrt(sum);
    }
    return distances.sort().subarray(0, count).reduce((sum, distance) => sum + distance, 0) / count;
  }

  function score(z, squared) {
    const relative = squared.reduce((sum, error, i) => sum + error / usual[i], 0) / squared.length;
    const parts = [neighbourDistance(whiten(z)), relative];
    return parts.reduce((sum, part, k) => sum + (Math.log(Math.max(part, 1e-12)) - centre[k]) / spread[k], 0) / 2;
  }

  /** The share of the validation images whose score is lower. */
  const shareBelow = (value) => Math.max(0, quantiles.filter((quantile) => quantile < value).length - 1) / 100;

  return { score, shareBelow, threshold: quantiles[told.alarm], alarm: told.alarm / 100, quantiles };
}
