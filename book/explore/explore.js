/* The page `explore`: what its map, pad, sliders and buttons do. network.js computes the images, Bokeh draws the map.

   All state is in `state`; whatever changes it calls `redraw`, which decodes one code in the next frame. */
"use strict";

function startExplore(told, words) {
  const MOST = 4; // images in a mixture
  const AXES = 8; // sliders
  const LETTERS = "ABCD";
  const el = (name) => document.getElementById(`explore-${name}`);

  // --- what the run has exported ------------------------------------------------------------------------------

  const decode = makeNetwork(told.decoder);
  const side = told.side;
  const labels = told.labels;
  const [codes, points, errors] = [told.codes, told.points, told.errors].map(unpack);
  const dimensions = codes.length / labels.length;
  const normal = { mean: unpack(told.normal.mean), axes: unpack(told.normal.axes), spread: unpack(told.normal.spread) };
  const variance = normal.spread.reduce((sum, s) => sum + s * s, 0);
  const [usual, edge] = told.usual; // half, and 95 %, of real codes have another one as near as that
  const sheet = new Image();

  const codeOf = (i) => codes.subarray(i * dimensions, (i + 1) * dimensions);
  const nameOf = (i) => words.classes[labels[i]];
  const place = (i) => ({ x: points[2 * i], y: points[2 * i + 1] });

  const formats = {}; // by their digits: making one takes longer than a layer of the model
  const formatOf = (digits) =>
    new Intl.NumberFormat(words.lang, { minimumFractionDigits: digits, maximumFractionDigits: digits });
  const number = (value, digits) => (formats[digits] ??= formatOf(digits)).format(value).replace("-", "−");
  const percent = (share) => fill(words.percent, number(100 * share, 0));
  const signed = (value) => (value > 0 ? "+" : "") + number(value, 1);
  function fill(text, ...values) {
    return text.replace(/\{\}/g, () => values.shift());
  }

  const classes = Object.values(told.middles); // an image from the midst of each class
  const first = [...classes].sort((i, j) => apart(codeOf(i), codeOf(classes[0])) - apart(codeOf(j), codeOf(classes[0])));
  const start = () => ({
    seen: first[0],
    chosen: first.slice(0, 3), // one class and the two most like it
    place: middle(Math.min(3, first.length)), // of the pad's handle, from the top left corner
    moves: new Array(Math.min(AXES, dimensions)).fill(0), // standard deviations along each axis
    chance: null, // a random code's direction, or null: the code starts from the mixture
    reach: 1,
  });
  let state = start();

  // --- codes --------------------------------------------------------------------------------------------------

  /** The corners of the pad for each number of chosen images. */
  function corners(count) {
    return [[], [[0.5, 0.5]], [[0, 0.5], [1, 0.5]], [[0.5, 0], [0, 1], [1, 1]], [[0, 0], [1, 0], [0, 1], [1, 1]]][count];
  }

  function middle(count) {
    return [0, 1].map((k) => corners(count).reduce((sum, corner) => sum + corner[k], 0) / count);
  }

  /** The place on the pad nearest to where the pointer is. */
  function inside([u, v], count) {
    v = count < 3 ? 0.5 : clamp(v, 0, 1);
    if (count === 1) return [0.5, v];
    return count === 3 ? [clamp(u, 0.5 - v / 2, 0.5 + v / 2), v] : [clamp(u, 0, 1), v];
  }

  /** How much of each corner is in a place; they sum to one. Three: barycentric. Four: bilinear. */
  function shares([u, v], count) {
    if (count === 1) return [1];
    if (count === 2) return [1 - u, u];
    if (count === 3) return [1 - v, v / 2 + 0.5 - u, v / 2 - 0.5 + u];
    return [(1 - u) * (1 - v), u * (1 - v), (1 - u) * v, u * v];
  }

  /** The code that the controls describe. */
  function currentCode() {
    const z = new Float32Array(dimensions);
    if (state.chance) {
      add(z, 1, normal.mean);
      state.chance.forEach((steps, k) => add(z, state.reach * steps * normal.spread[k], axis(k)));
    } else {
      const mixed = shares(state.place, state.chosen.length);
      state.chosen.forEach((i, k) => add(z, mixed[k], codeOf(i)));
    }
    state.moves.forEach((steps, k) => add(z, steps * normal.spread[k], axis(k)));
    return z;
  }

  function axis(k) {
    return normal.axes.subarray(k * dimensions, (k + 1) * dimensions);
  }

  function add(z, factor, direction) {
    for (let d = 0; d < dimensions; d++) z[d] += factor * direction[d];
  }

  function apart(a, b) {
    let sum = 0;
    for (let d = 0; d < dimensions; d++) sum += (a[d] - b[d]) ** 2;
    return Math.sqrt(sum);
  }

  /** The real code nearest to z, and how far it is. */
  function nearest(z) {
    let [found, least] = [0, Infinity];
    for (let i = 0; i < labels.length; i++) {
      const distance = apart(z, codeOf(i));
      if (distance < least) [found, least] = [i, distance];
    }
    return [found, least];
  }

  function clamp(value, low, high) {
    return Math.min(Math.max(value, low), high);
  }

  // --- pictures -----------------------------------------------------------------------------------------------

  function sized(canvas) {
    if (canvas.width !== side) canvas.width = canvas.height = side;
    return canvas.getContext("2d");
  }

  /** Pixels between 0 and 1 as ink on paper, like every figure of the report. */
  function paint(canvas, pixels, colour = inked) {
    const context = sized(canvas);
    const image = context.createImageData(side, side);
    pixels.forEach((value, k) => {
      const [r, g, b] = colour(value);
      image.data[4 * k] = r;
      image.data[4 * k + 1] = g;
      image.data[4 * k + 2] = b;
      image.data[4 * k + 3] = 255;
    });
    context.putImageData(image, 0, 0);
  }

  function inked(ink) {
    const grey = 255 * (1 - ink);
    return [grey, grey, grey];
  }

  /** The original of image i, once the sheet of all of them is here. */
  function copy(canvas, i) {
    const [x, y] = [(i % told.columns) * side, Math.floor(i / told.columns) * side];
    const draw = () => sized(canvas).drawImage(sheet, x, y, side, side, 0, 0, side, side);
    canvas.dataset.image = i;
    if (sheet.complete) return draw();
    sheet.addEventListener("load", () => canvas.dataset.image === String(i) && draw(), { once: true });
  }

  let speaking;
  function announce(text) {
    clearTimeout(speaking);
    const speak = () => (el("status").textContent = typeof text === "function" ? text() : text);
    speaking = setTimeout(speak, 300); // the last of many key presses
  }

  // --- the image looked at ------------------------------------------------------------------------------------

  function look(i, { aloud = false } = {}) {
    state.seen = i;
    copy(el("original"), i);
    paint(el("reconstruction"), decode(codeOf(i)));
    el("name").textContent = nameOf(i);
    el("error").textContent = fill(words.error, number(errors[i], 4));
    map?.ring(i);
    if (aloud) announce(fill(words.seen, nameOf(i), number(errors[i], 4)));
  }

  function choose(i) {
    if (state.chosen.includes(i)) return remove(i);
    state.chosen = [...state.chosen.slice(-(MOST - 1)), i];
    mixtureChanged();
    announce(fill(words.added, nameOf(i), LETTERS[state.chosen.length - 1]));
  }

  function remove(i) {
    if (state.chosen.length === 1) return;
    state.chosen = state.chosen.filter((other) => other !== i);
    mixtureChanged();
    announce(fill(words.removed, nameOf(i)));
  }

  function mixtureChanged() {
    state.place = middle(state.chosen.length);
    state.chance = null;
    showChosen();
    redraw();
  }

  // --- the mixture --------------------------------------------------------------------------------------------

  function showChosen() {
    const count = state.chosen.length;
    const pad = el("pad");
    pad.querySelectorAll(".explore-corner").forEach((corner) => corner.remove());
    el("chosen").replaceChildren();
    state.chosen.forEach((i, k) => {
      const corner = element("span", "explore-corner", pad);
      const [u, v] = corners(count)[k];
      corner.style.setProperty("--u", u);
      corner.style.setProperty("--v", v);
      copy(element("canvas", "", corner), i);
      element("b", "", corner).textContent = LETTERS[k];

      const item = element("li", "", el("chosen"));
      element("b", "", item).textContent = LETTERS[k];
      element("span", "", item).textContent = nameOf(i);
      element("span", "explore-share", item);
      const button = element("button", "", item);
      button.type = "button";
      button.textContent = "×";
      button.disabled = count === 1;
      button.setAttribute("aria-label", fill(words.remove, LETTERS[k], nameOf(i)));
      button.addEventListener("click", () => {
        remove(i);
        pad.focus(); // the button is gone
      });
    });
    const order = count === 4 ? [0, 1, 3, 2] : [...state.chosen.keys()];
    el("shape").setAttribute("points", order.map((k) => corners(count)[k].map((c) => 100 * c).join()).join(" "));
    map?.mark(state.chosen);
  }

  function element(tag, className, parent) {
    const made = document.createElement(tag);
    if (className) made.className = className;
    return parent.appendChild(made);
  }

  function moveTo(wanted) {
    state.place = inside(wanted, state.chosen.length);
    state.chance = null;
    redraw();
  }

  function listenToPad() {
    const pad = el("pad");
    const at = (event) => {
      const box = pad.querySelector("svg").getBoundingClientRect();
      moveTo([(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height]);
    };
    pad.addEventListener("pointerdown", (event) => {
      pad.setPointerCapture(event.pointerId);
      at(event);
    });
    pad.addEventListener("pointermove", (event) => pad.hasPointerCapture(event.pointerId) && at(event));
    pad.addEventListener("keydown", (event) => {
      const [u, v] = state.place;
      const step = event.shiftKey ? 0.01 : 0.05;
      const count = state.chosen.length;
      const goals = { ArrowLeft: [u - step, v], ArrowRight: [u + step, v], ArrowUp: [u, v - step], ArrowDown: [u, v + step] };
      goals[0] = middle(count);
      corners(count).forEach((corner, k) => (goals[k + 1] = corner));
      if (!goals[event.key]) return;
      event.preventDefault();
      moveTo(goals[event.key]);
      redraw({ aloud: true });
    });
  }

  // --- axes and chance ----------------------------------------------------------------------------------------

  const sliders = state.moves.map((_, k) => {
    const row = element("div", "explore-slider explore-axis", el("sliders"));
    const label = element("label", "", row);
    const [low, input, high, output] = ["canvas", "input", "canvas", "output"].map((tag) => element(tag, "", row));
    label.htmlFor = input.id = `explore-axis-${k + 1}`;
    label.textContent = fill(words.axis, k + 1, percent(normal.spread[k] ** 2 / variance));
    Object.assign(input, { type: "range", min: -3, max: 3, step: 0.1, value: 0 });
    for (const [canvas, text] of [[low, words.low], [high, words.high]]) {
      canvas.setAttribute("role", "img");
      canvas.setAttribute("aria-label", fill(text, k + 1));
    }
    input.addEventListener("input", () => {
      state.moves[k] = input.valueAsNumber;
      redraw();
    });
    return { input, output, low, high };
  });

  /** Where the ends of each slider lead from here: sixteen images, drawn when the hand rests. */
  let resting;
  function drawEnds(z) {
    clearTimeout(resting);
    resting = setTimeout(() => {
      sliders.forEach(({ low, high }, k) => {
        for (const [canvas, end] of [[low, -3], [high, 3]]) {
          const there = z.slice();
          add(there, (end - state.moves[k]) * normal.spread[k], axis(k));
          paint(canvas, decode(there));
        }
      });
    }, 120);
  }

  /** A number of the standard normal distribution (Box & Muller 1958). */
  function gauss() {
    return Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(2 * Math.PI * Math.random());
  }

  function draw() {
    state.chance = Float32Array.from({ length: dimensions }, gauss);
    redraw({ aloud: true });
  }

  function listenToChance() {
    el("draw").addEventListener("click", draw);
    el("reach").addEventListener("input", () => {
      state.reach = el("reach").valueAsNumber;
      if (state.chance) redraw();
      else draw();
    });
  }

  // --- the result ---------------------------------------------------------------------------------------------

  let asked = false;
  let aloud = false;
  function redraw(options = {}) {
    aloud ||= Boolean(options.aloud);
    if (asked) return;
    asked = true;
    requestAnimationFrame(() => {
      const speak = aloud;
      asked = aloud = false;
      showResult(speak);
    });
  }

  function showResult(speak) {
    const z = currentCode();
    const [near, distance] = nearest(z);
    paint(el("drawn"), decode(z));
    copy(el("nearest"), near);

    const mixed = shares(state.place, state.chosen.length);
    const moved = state.moves.flatMap((steps, k) => (steps ? [k + 1] : []));
    let from = fill(words.mixed, mixed.map((share, k) => `${LETTERS[k]}\u00a0${percent(share)}`).join(" · "));
    if (state.chance) from = fill(words.chance, number(state.reach, 1));
    if (moved.length) from += `; ${fill(words.moved, moved.join(", "))}`;
    const verdict = distance <= usual ? words.real : distance <= edge ? words.edge : words.empty;
    el("from").textContent = from;
    el("verdict").textContent = verdict;
    el("distance").textContent = fill(words.distance, number(distance, 2), number(usual, 2));
    el("nearest-name").textContent = fill(words.nearest, nameOf(near));
    el("nearest").setAttribute("aria-label", nameOf(near));
    el("drawn").setAttribute("aria-label", fill(words.drawn, from));
    el("app").style.setProperty("--needle", clamp(distance / (3 * usual), 0, 1));
    if (speak) announce(`${from}. ${verdict} ${el("distance").textContent}`);

    const [u, v] = state.place;
    el("handle").style.setProperty("--u", u);
    el("handle").style.setProperty("--v", v);
    el("pad").classList.toggle("explore-idle", state.chance !== null);
    el("chosen").querySelectorAll(".explore-share").forEach((share, k) => (share.textContent = percent(mixed[k])));
    sliders.forEach(({ input, output }, k) => {
      input.value = state.moves[k];
      output.textContent = fill(words.spread, signed(state.moves[k]));
      input.setAttribute("aria-valuetext", output.textContent);
    });
    el("reach").value = state.reach;
    el("reach-told").textContent = fill(words.times, number(state.reach, 1));
    el("reach").setAttribute("aria-valuetext", el("reach-told").textContent);
    drawEnds(z);
  }

  // --- the map ------------------------------------------------------------------------------------------------

  let map;
  async function drawMap() {
    await Bokeh.embed.embed_item(told.map);
    const drawing = Bokeh.documents.at(-1);
    const plot = drawing.get_model_by_name("map");
    const source = (name) => drawing.get_model_by_name(name);
    const at = (rows, more = {}) => ({ x: rows.map((i) => place(i).x), y: rows.map((i) => place(i).y), ...more });
    const ranges = { x: plot.x_range, y: plot.y_range };
    const whole = Object.fromEntries(Object.entries(ranges).map(([k, { start, end }]) => [k, { start, end }]));
    const frame = el("map");

    const scale = frame.clientWidth / (whole.x.end - whole.x.start); // pixels
    const meet = (i, j) =>
      Math.abs(place(i).x - place(j).x) * scale < 4 * (nameOf(i).length + nameOf(j).length) + 10 &&
      Math.abs(place(i).y - place(j).y) * scale < 22;
    // of more than ten classes, a name that would lie on another is left out: the image that is seen tells its class
    const add = (kept, i) => (classes.length > 10 && kept.some((j) => meet(i, j)) ? kept : [...kept, i]);
    const named = classes.reduce(add, []);
    source("names").data = at(named, { text: named.map(nameOf) });
    for (const { name, glyph } of frame.clientWidth < 400 ? plot.renderers : []) {
      if (name === "marks") glyph.size = { value: 4 };
      if (glyph.type === "Text") glyph.text_font_size = { value: "10px" };
    }
    const near = ({ x, y }) => {
      const reach = (20 * (ranges.x.end - ranges.x.start)) / frame.clientWidth; // 20 pixels
      const away = labels.map((_, i) => Math.hypot(place(i).x - x, place(i).y - y));
      const best = away.indexOf(Math.min(...away));
      return away[best] <= reach ? best : null;
    };
    plot.on_event("mousemove", (event) => {
      const i = near(event);
      if (i !== null && i !== state.seen) look(i);
    });
    plot.on_event("tap", (event) => {
      const i = near(event);
      if (i === null) return;
      look(i);
      choose(i);
    });

    /** Make the view `factor` times as wide, around the image looked at; or the whole map. */
    function zoom(factor) {
      for (const [k, range] of Object.entries(ranges)) {
        const centre = place(state.seen)[k];
        const { start, end } = whole[k];
        const width = clamp((range.end - range.start) * factor, (end - start) / 40, end - start);
        const low = clamp(centre - width / 2, start, end - width);
        range.setv(factor === "whole" ? whole[k] : { start: low, end: low + width });
      }
    }

    /** The nearest image in a direction: within 45° of it, and what lies straight ahead before what lies aside. */
    function towards(dx, dy) {
      const here = place(state.seen);
      let [found, least] = [null, Infinity];
      for (let i = 0; i < labels.length; i++) {
        const [x, y] = [place(i).x - here.x, place(i).y - here.y];
        const [ahead, aside] = [x * dx + y * dy, Math.abs(x * dy - y * dx)];
        if (ahead > 0 && aside <= ahead && ahead + aside < least) [found, least] = [i, ahead + aside];
      }
      return found;
    }

    const arrows = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
    frame.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      if (arrows[event.key]) {
        const found = towards(...arrows[event.key]);
        if (found !== null) look(found, { aloud: true });
        const hidden = Object.entries(ranges).some(([k, r]) => place(state.seen)[k] < r.start || place(state.seen)[k] > r.end);
        if (hidden) zoom(1);
      } else if (event.key === "Enter" || event.key === " ") choose(state.seen);
      else if (event.key === "+") zoom(0.6);
      else if (event.key === "-") zoom(1.6);
      else if (event.key === "0") zoom("whole");
      else return;
      event.preventDefault();
    });
    // The wheel scrolls the page; with Ctrl, as everywhere, it zooms.
    frame.addEventListener("wheel", (event) => event.ctrlKey || event.stopPropagation(), { capture: true });
    for (const button of el("app").querySelectorAll("[data-zoom]")) {
      button.addEventListener("click", () => zoom(Number(button.dataset.zoom) || "whole"));
    }

    map = {
      ring: (i) => (source("ring").data = at([i])),
      mark: (rows) => (source("chosen").data = at(rows, { text: rows.map((_, k) => LETTERS[k]) })),
      whole: () => zoom("whole"),
    };
    map.ring(state.seen);
    map.mark(state.chosen);
    Bokeh.index.find_one(plot).canvas_view.events_el.tabIndex = -1; // the frame has the focus, not what lies in it
    frame.removeAttribute("aria-busy");
  }

  // --- begin --------------------------------------------------------------------------------------------------

  function reset() {
    state = start();
    map?.whole();
    look(state.seen);
    showChosen();
    redraw();
  }

  el("app").hidden = false;
  el("app").style.setProperty("--edge", edge / (3 * usual));
  el("app").style.setProperty("--usual", 1 / 3);
  sheet.src = "explore/images.png";
  el("choose").addEventListener("click", () => choose(state.seen));
  el("reset").addEventListener("click", reset);
  listenToPad();
  listenToChance();
  reset();
  drawMap();
  return { side, codes, labels, decode, nameOf, codeOf, distance: apart, number, percent, fill, paint, copy, element, announce };
}

globalThis.exploreTools = startExplore(exploreData, JSON.parse(document.getElementById("explore-words").textContent));
