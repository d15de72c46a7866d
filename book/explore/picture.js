/* A picture file as a grey square of the model's size, by the rule of book/imports/pixels.py: grey by luminance, what is
   transparent over white, turned as the camera says, fitted in and padded with its border's median, by Pillow's Lanczos filter.

   The file is never put into the page: its first bytes say what it is, and only createImageBitmap decodes it. */
"use strict";

const LONGEST = 32_767; // pixels of a side, as a canvas allows

/** `kind` is a key of the page's words, `values` what they name. */
class PictureError extends Error {
  constructor(kind, ...values) {
    super(kind);
    Object.assign(this, { kind, values });
  }
}

/** File, the square's width, the most pixels → Uint8Array, row by row; `PictureError` for what is no picture, or too large. */
async function readPicture(file, size, mostPixels) {
  const { type, width, height } = await sniff(file);
  if (type === "svg") throw new PictureError("isSvg");
  if (!type) throw new PictureError("noPicture");
  if (!(width > 0 && height > 0)) throw new PictureError("broken");
  if (width * height > mostPixels || file.size > 4 * mostPixels || Math.max(width, height) > LONGEST) {
    throw new PictureError("tooLarge", width, height, mostPixels / 1e6, LONGEST);
  }
  let bitmap;
  try {
    bitmap = await createImageBitmap(new Blob([file], { type }), { colorSpaceConversion: "none" });
    return await squareOf(bitmap, size);
  } catch {
    throw new PictureError("broken");
  } finally {
    bitmap?.close();
  }
}

// --- what a file is -------------------------------------------------------------------------------------------

/** Type, width and height that the first bytes of a file tell: no pixel is decoded. */
async function sniff(file) {
  const bytes = new Uint8Array(await file.slice(0, 4096).arrayBuffer());
  const view = new DataView(bytes.buffer);
  const text = (from, to) => String.fromCharCode(...bytes.subarray(from, to));
  const at = (read) => {
    try {
      return read();
    } catch {
      return 0; // the file ends before
    }
  };
  const sized = (type, width, height) => ({ type: `image/${type}`, width: at(width), height: at(height) });
  if (text(0, 8) === "\x89PNG\r\n\x1a\n") return sized("png", () => view.getUint32(16), () => view.getUint32(20));
  if (/^GIF8[79]a/.test(text(0, 6))) return sized("gif", () => view.getUint16(6, true), () => view.getUint16(8, true));
  if (text(0, 2) === "BM") return sized("bmp", () => Math.abs(view.getInt32(18, true)), () => Math.abs(view.getInt32(22, true)));
  if (text(0, 3) === "\xff\xd8\xff") return { type: "image/jpeg", ...(await sizeOfJpeg(file)) };
  if (text(0, 4) === "RIFF" && text(8, 12) === "WEBP") {
    const u24 = (from) => view.getUint16(from, true) + 65536 * view.getUint8(from + 2);
    if (text(12, 16) === "VP8X") return sized("webp", () => 1 + u24(24), () => 1 + u24(27));
    if (text(12, 16) === "VP8L") return sized("webp", () => 1 + (u24(21) & 0x3fff), () => 1 + ((view.getUint32(21, true) >>> 14) & 0x3fff));
    return sized("webp", () => view.getUint16(26, true) & 0x3fff, () => view.getUint16(28, true) & 0x3fff);
  }
  if (file.type.includes("svg") || /<svg[\s>]/i.test(text(0, 4096))) return { type: "svg" };
  return { type: "" };
}

/** A JPEG is a chain of segments, of which a frame's header (SOF, 0xC0 to 0xCF but for three) tells the size. */
async function sizeOfJpeg(file) {
  for (let from = 2; from + 9 <= file.size; ) {
    const head = new DataView(await file.slice(from, from + 9).arrayBuffer());
    const [marker, length] = [head.getUint8(1), head.getUint16(2)];
    if (head.getUint8(0) !== 0xff || length < 2) break;
    const isFrame = marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker);
    if (isFrame) return { width: head.getUint16(7), height: head.getUint16(5) };
    from += 2 + length;
  }
  return { width: 0, height: 0 };
}

// --- its pixels ------------------------------------------------------------------------------------------------

/** A decoded picture as a square. A strip of rows at a time is read and made narrow, so that no large array is kept. */
async function squareOf(bitmap, size) {
  const { width, height } = bitmap;
  const scale = size / Math.max(width, height);
  const [fittedWidth, fittedHeight] = [width, height].map((n) => Math.max(1, roundHalfToEven(scale * n)));
  const strip = Math.max(1, Math.min(height, Math.floor(1e6 / width)));
  const canvas = Object.assign(document.createElement("canvas"), { width, height: strip });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  const across = lanczos(width, fittedWidth);
  const narrow = new Uint8Array(height * fittedWidth);
  for (let top = 0; top < height; top += strip) {
    const rows = Math.min(strip, height - top);
    context.clearRect(0, 0, width, strip);
    context.drawImage(bitmap, 0, top, width, rows, 0, 0, width, rows);
    const grey = greyOf(context.getImageData(0, 0, width, rows).data);
    for (let row = 0; row < rows; row++) {
      resampleLine(grey, row * width, 1, across, narrow, (top + row) * fittedWidth, 1);
    }
    if (top + rows < height) await new Promise((done) => setTimeout(done)); // the page stays alive
  }
  const down = lanczos(height, fittedHeight);
  const small = new Uint8Array(fittedHeight * fittedWidth);
  for (let column = 0; column < fittedWidth; column++) {
    resampleLine(narrow, column, fittedWidth, down, small, column, fittedWidth);
  }
  return pad(small, fittedWidth, fittedHeight, size);
}

/** RGBA → grey by luminance (ITU-R 601-2, in Pillow's whole numbers), transparency over white. */
function greyOf(rgba) {
  const grey = new Uint8Array(rgba.length / 4);
  for (let i = 0; i < grey.length; i++) {
    const alpha = rgba[4 * i + 3];
    const over = (channel) => Math.round((rgba[4 * i + channel] * alpha + 255 * (255 - alpha)) / 255);
    grey[i] = (over(0) * 19595 + over(1) * 38470 + over(2) * 7471 + 0x8000) >> 16;
  }
  return grey;
}

/** Pillow's Lanczos filter from n to m pixels: of each output where its inputs begin, and their weights in 2⁻²². */
function lanczos(n, m) {
  if (n === m) return Array.from({ length: n }, (_, i) => ({ first: i, weights: [2 ** 22] }));
  const scale = n / m;
  const stretch = Math.max(scale, 1);
  const reach = 3 * stretch;
  const sinc = (x) => (x === 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x));
  const kernel = (x) => (x >= -3 && x < 3 ? sinc(x) * sinc(x / 3) : 0);
  return Array.from({ length: m }, (_, i) => {
    const centre = (i + 0.5) * scale;
    const first = Math.max(0, Math.trunc(centre - reach + 0.5));
    const last = Math.min(n, Math.trunc(centre + reach + 0.5));
    const weights = Array.from({ length: last - first }, (_, k) => kernel((k + first - centre + 0.5) / stretch));
    const sum = weights.reduce((a, b) => a + b, 0);
    return { first, weights: weights.map((w) => Math.trunc((w / sum) * 2 ** 22 + (w < 0 ? -0.5 : 0.5))) };
  });
}

/** One row or column of bytes by a filter: `from` and `to` are the first places, the strides lead to the next ones. */
function resampleLine(source, from, stride, filter, target, to, targetStride) {
  filter.forEach(({ first, weights }, i) => {
    let sum = 2 ** 21; // one half
    for (let k = 0; k < weights.length; k++) sum += weights[k] * source[from + (first + k) * stride];
    target[to + i * targetStride] = Math.min(Math.max(Math.floor(sum / 2 ** 22), 0), 255);
  });
}

/** The picture in the middle of a square of its border's median. */
function pad(small, width, height, size) {
  if (width === size && height === size) return small;
  const border = [];
  for (let x = 0; x < width; x++) border.push(small[x], small[(height - 1) * width + x]);
  for (let y = 0; y < height; y++) border.push(small[y * width], small[y * width + width - 1]);
  border.sort((a, b) => a - b);
  const half = border.length / 2; // a border has an even number of pixels
  const square = new Uint8Array(size * size).fill(Math.floor((border[half - 1] + border[half]) / 2));
  const [top, left] = [height, width].map((n) => Math.floor((size - n) / 2));
  for (let y = 0; y < height; y++) square.set(small.subarray(y * width, (y + 1) * width), (top + y) * size + left);
  return square;
}

/** Python's round. */
function roundHalfToEven(x) {
  const down = Math.floor(x);
  if (x - down !== 0.5) return Math.round(x);
  return down % 2 ? down + 1 : down;
}
