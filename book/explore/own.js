/* "Your own picture" on the page `explore`: a grid to draw on, a file to read, and what the model makes of it at once.

   The picture is `x`, bytes as in the dataset; whatever changes it calls `changed`, which runs the model in the next frame. */
"use strict";

function startOwn(told, tools, words) {
  const { side, codes, labels, decode, nameOf, codeOf, distance, number, percent, fill, paint, copy, element, announce } = tools;
  const el = (name) => document.getElementById(`explore-${name}`);
  const encode = makeNetwork(told.encoder);
  const judge = makeScore(told.score);
  const NEAREST = 5;
  const MOST_UNDO = 100;
  const WORST = 0.5; // an absolute error as dark as the error map gets, as in the report's figures
  const REDS = ["fff7ec", "fee8c8", "fdd49e", "fdbb84", "fc8d59", "ef6548", "d7301f", "b30000", "7f0000"] // ColorBrewer's OrRd
    .map((hex) => [0, 2, 4].map((k) => parseInt(hex.slice(k, k + 2), 16)));
  const longest = codes.reduce((most, value) => Math.max(most, Math.abs(value)), 0); // of a bar

  const exampleBytes = bytesOf(told.examples.pixels);
  const example = (k) => exampleBytes.slice(k * side ** 2, (k + 1) * side ** 2);
  const usualBorder = median(told.examples.rows.map((_, k) => median(borderOf(example(k)))));

  let x = example(0);
  let before = []; // pictures, to take back
  let cursor = [Math.floor(side / 2), Math.floor(side / 2)]; // row, column
  let erasing = false;
  const width = () => el("width").valueAsNumber;

  // --- the picture --------------------------------------------------------------------------------------------

  function keep() {
    before = [...before.slice(1 - MOST_UNDO), x.slice()];
    el("undo").disabled = false;
  }

  function show(picture) {
    keep();
    x = picture;
    changed();
  }

  function undo() {
    if (!before.length) return;
    x = before.pop();
    el("undo").disabled = !before.length;
    note("");
    changed();
    announce(words.undone);
  }

  /** A round dab with a soft edge at a place in pixels: ink where it is darker than what is there, or paper. */
  function dab([row, column], erase) {
    const radius = width() / 2;
    const reach = (centre) => [Math.max(0, Math.floor(centre - radius - 1)), Math.min(side - 1, Math.ceil(centre + radius + 1))];
    const [[top, bottom], [left, right]] = [reach(row), reach(column)];
    for (let i = top; i <= bottom; i++) {
      for (let j = left; j <= right; j++) {
        const share = Math.min(Math.max(radius + 0.5 - Math.hypot(i + 0.5 - row, j + 0.5 - column), 0), 1);
        const at = i * side + j;
        x[at] = erase ? Math.min(x[at], Math.round(255 * (1 - share))) : Math.max(x[at], Math.round(255 * share));
      }
    }
  }

  function line(from, to, erase) {
    const steps = Math.max(1, Math.ceil(2 * Math.hypot(to[0] - from[0], to[1] - from[1])));
    for (let k = 0; k <= steps; k++) dab([0, 1].map((d) => from[d] + (k / steps) * (to[d] - from[d])), erase);
    changed();
  }

  function listenToGrid() {
    const grid = el("grid");
    const place = (event) => {
      const box = el("own-x").getBoundingClientRect();
      return [((event.clientY - box.top) / box.height) * side, ((event.clientX - box.left) / box.width) * side];
    };
    let last = null;
    const end = () => (last = null);
    grid.addEventListener("pointerdown", (event) => {
      if (event.button && event.pointerType === "mouse") return;
      grid.setPointerCapture(event.pointerId);
      keep();
      note("");
      last = place(event);
      line(last, last, erasing);
    });
    grid.addEventListener("pointermove", (event) => {
      if (!last) return;
      const now = place(event);
      line(last, now, erasing);
      last = now;
    });
    for (const name of ["pointerup", "pointercancel"]) grid.addEventListener(name, end);
    grid.addEventListener("keydown", (event) => {
      const arrows = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
      const centre = () => cursor.map((k) => k + 0.5);
      if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "z") undo();
      else if (event.ctrlKey || event.metaKey || event.altKey) return;
      else if (arrows[event.key]) {
        const from = centre();
        cursor = cursor.map((k, d) => Math.min(Math.max(k + arrows[event.key][d], 0), side - 1));
        if (event.shiftKey) {
          keep();
          line(from, centre(), erasing);
        }
        showCursor();
      } else if ([" ", "Delete", "Backspace"].includes(event.key)) {
        keep();
        line(centre(), centre(), erasing || event.key !== " ");
        showCursor();
      } else return;
      event.preventDefault();
    });
  }

  function showCursor() {
    const [row, column] = cursor;
    const cell = el("cell").style;
    [cell.top, cell.left, cell.width] = [row, column, 1].map((k) => `${(100 * k) / side}%`);
    announce(fill(words.ink, row + 1, column + 1, percent(x[row * side + column] / 255)));
  }

  function borderOf(picture) {
    const edge = (i) => Math.min(i % side, side - 1 - (i % side), Math.floor(i / side), side - 1 - Math.floor(i / side)) === 0;
    return [...picture].filter((_, i) => edge(i));
  }

  function median(values) {
    return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)];
  }

  // --- a file -------------------------------------------------------------------------------------------------

  function note(text) {
    el("own-note").textContent = text;
  }

  let asked = 0; // the file that was chosen last counts
  async function read(file) {
    const turn = ++asked;
    note("");
    announce(fill(words.reading, file.name));
    try {
      const picture = await readPicture(file, side, told.mostPixels);
      if (turn !== asked) return;
      show(picture);
      if (Math.abs(median(borderOf(picture)) - usualBorder) > 127) note(words.swap);
      announce(() => fill(words.done, file.name, side, side, el("own-verdict").textContent));
    } catch (error) {
      if (!(error instanceof PictureError)) throw error;
      if (turn === asked) note(fill(words[error.kind], file.name, ...error.values.map((value) => number(value, 0))));
    }
  }

  function listenToFiles() {
    const place = el("own");
    el("choose-file").addEventListener("click", () => el("file").click());
    el("file").addEventListener("change", () => {
      const [file] = el("file").files;
      if (file) read(file);
      el("file").value = ""; // the same file may be chosen again
    });
    const over = (event, inside) => {
      event.preventDefault(); // or the browser would leave the page for the file
      place.classList.toggle("explore-over", inside);
    };
    place.addEventListener("dragover", (event) => over(event, true));
    place.addEventListener("dragleave", (event) => over(event, false));
    place.addEventListener("drop", (event) => {
      over(event, false);
      const [file] = event.dataTransfer.files;
      if (file) read(file);
      else note(words.noFile);
    });
  }

  // --- what the model makes of it -----------------------------------------------------------------------------

  /** Code, reconstruction, squared errors and score of bytes. */
  function look(bytes) {
    const pixels = Float32Array.from(bytes, (value) => value / 255);
    const z = encode(pixels);
    const xHat = decode(z);
    const squared = xHat.map((value, i) => (value - pixels[i]) ** 2);
    return { pixels, z, xHat, squared, score: judge.score(z, squared) };
  }

  let waiting = false;
  function changed() {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => {
      waiting = false;
      showAll();
    });
  }

  function showAll() {
    const { pixels, z, xHat, squared, score } = look(x);
    paint(el("own-x"), pixels);
    paint(el("own-x-hat"), xHat);
    paint(el("own-error"), squared.map((value) => Math.sqrt(value) / WORST), red);
    el("own-mse").textContent = fill(words.mse, number(squared.reduce((sum, value) => sum + value, 0) / squared.length, 4));
    el("own-code-told").textContent = fill(words.code, number(z.length, 0), number(Math.min(...z), 2), number(Math.max(...z), 2));
    const bar = (value, i) => `M${i + 0.5} 0V${-Math.max(-1, Math.min(1, value / longest)).toFixed(3)}`;
    el("own-code").querySelector(".explore-code-bars").setAttribute("d", Array.from(z, bar).join(""));
    showNearest(z);
    showScore(score);
  }

  /** Paper to dark red. */
  function red(value) {
    const at = Math.min(Math.max(value, 0), 1) * (REDS.length - 1);
    const k = Math.min(Math.floor(at), REDS.length - 2);
    return REDS[k].map((low, channel) => low + (at - k) * (REDS[k + 1][channel] - low));
  }

  function showNearest(z) {
    const away = labels.map((_, i) => distance(z, codeOf(i)));
    const nearest = [...away.keys()].sort((i, j) => away[i] - away[j]).slice(0, NEAREST);
    nearest.forEach((i, k) => {
      const item = el("own-near").children[k] ?? element("li", "", el("own-near"));
      const canvas = item.querySelector("canvas") ?? element("canvas", "", item);
      const text = item.querySelector("span") ?? element("span", "", item);
      if (canvas.dataset.image !== String(i)) copy(canvas, i);
      text.textContent = fill(words.near, nameOf(i), number(away[i], 2));
    });
  }

  function showScore(score) {
    const isStrange = score > judge.threshold;
    const least = judge.quantiles[0];
    const place = (value) => Math.min(Math.max((value - least) / (1.5 * (judge.threshold - least)), 0), 1);
    for (const [name, value] of [["needle", score], ["edge", judge.threshold], ["usual", judge.quantiles[50]]]) {
      el("own").style.setProperty(`--${name}`, place(value));
    }
    el("own").dataset.score = score;
    el("own-verdict").textContent = isStrange ? words.strange : words.normal;
    const shares = [judge.shareBelow(score), 1 - judge.alarm].map(percent);
    el("own-score").textContent = fill(words.score, number(score, 2), number(judge.threshold, 2), ...shares);
  }

  // --- begin --------------------------------------------------------------------------------------------------

  function useTool(eraser) {
    erasing = eraser;
    el("pen").setAttribute("aria-pressed", !eraser);
    el("eraser").setAttribute("aria-pressed", eraser);
  }

  function showWidth() {
    el("width-told").textContent = fill(words.cells, width());
    el("width").setAttribute("aria-valuetext", el("width-told").textContent);
  }

  told.examples.rows.forEach((i, k) => {
    const button = element("button", "", el("examples"));
    button.type = "button";
    button.title = nameOf(i);
    button.setAttribute("aria-label", fill(words.begin, nameOf(i)));
    copy(element("canvas", "", button), i);
    button.addEventListener("click", () => {
      note("");
      show(example(k));
    });
  });
  el("width").max = Math.max(3, Math.round(side / 5));
  el("width").value = Math.max(1, Math.round(side / 12));
  el("width").addEventListener("input", showWidth);
  el("pen").addEventListener("click", () => useTool(false));
  el("eraser").addEventListener("click", () => useTool(true));
  el("undo").addEventListener("click", undo);
  el("clear").addEventListener("click", () => {
    note("");
    show(new Uint8Array(side ** 2));
    announce(words.cleared);
  });
  el("swap").addEventListener("click", () => {
    note("");
    show(x.map((value) => 255 - value));
  });
  el("own-code").setAttribute("viewBox", `0 -1 ${codes.length / labels.length} 2`);
  el("own-code").querySelector(".explore-code-zero").setAttribute("d", `M0 0H${codes.length / labels.length}`);
  listenToGrid();
  listenToFiles();
  showWidth();
  showCursor();
  showAll();
  el("own").removeAttribute("aria-busy");
  return { look };
}

globalThis.own = startOwn(exploreOwn, exploreTools, JSON.parse(document.getElementById("explore-own-words").textContent));
