/* A plot of many steps: drawn on a canvas, zoomed, read by mouse, keyboard and screen reader. No dependency.
   Points are only ever added; each drawing looks at the points in view once and draws one shape per pixel column.

   const plot = wizard.plot(root, { label, xName, describe });
   plot.define([{ key, label, colour, group, look: "line" | "dots", smoothed, hidden, dash }]); plot.group(name);
   (of: the key of the line that it is shown and hidden with.)
   plot.add(key, xs, ys); plot.clear(key); plot.extent(how far x will go, steps); plot.marks([...]); plot.draw(); */
(() => {
  "use strict";
  const { el } = window.wizard;
  const PAD = { left: 58, right: 16, top: 26, bottom: 30 };
  const FIRST_ROOM = 1024, SAMPLE = 2000, TICKS = 5, MARK_ROWS = 2, DRAG_PX = 5, BOX_PX = 40, LONGEST_SMOOTHING = 1000, SUMMARY_MS = 2000, GATHER_MS = 400;
  const KEEP = "wizard-plot";
  const number = (value) => {
    if (!Number.isFinite(value)) return "–";
    const size = Math.abs(value);
    if (size >= 1000) return value.toLocaleString("en", { maximumFractionDigits: 0 });
    if (size > 0 && size < 0.001) return value.toExponential(2);
    return value.toFixed(size >= 10 ? 2 : 4);
  };
  const whole = (value) => Math.round(value).toLocaleString("en");

  /* Points in the order of x, and their running mean: the same as smooth() in app/curves.py. */
  class Points {
    constructor() { this.count = 0; this.x = new Float64Array(FIRST_ROOM); this.y = new Float64Array(FIRST_ROOM); this.mean = new Float64Array(FIRST_ROOM); this.restart(1); }
    add(xs, ys) {
      this.reserve(this.count + xs.length);
      for (let i = 0; i < xs.length; i += 1) { this.x[this.count] = xs[i]; this.y[this.count] = ys[i] ?? NaN; this.count += 1; }
      this.goOn();
    }
    reserve(wanted) {
      if (wanted <= this.x.length) return;
      let room = this.x.length;
      while (room < wanted) room *= 2;
      for (const name of ["x", "y", "mean"]) { const larger = new Float64Array(room); larger.set(this[name].subarray(0, this.count)); this[name] = larger; }
    }
    restart(steps) { this.decay = 1 - 1 / Math.max(1, steps); this.sum = 0; this.weight = 0; this.done = 0; }
    smooth(steps) { this.restart(steps); this.goOn(); }
    goOn() {
      const { decay } = this, fresh = 1 - decay;
      for (; this.done < this.count; this.done += 1) {
        const value = this.y[this.done];
        if (Number.isFinite(value)) { this.sum = decay * this.sum + fresh * value; this.weight = decay * this.weight + fresh; }
        this.mean[this.done] = this.weight ? this.sum / this.weight : NaN;
      }
    }
    /* The first index whose x is not below. */
    from(x) {
      let low = 0, high = this.count;
      while (low < high) { const middle = (low + high) >> 1; this.x[middle] < x ? (low = middle + 1) : (high = middle); }
      return low;
    }
    nearest(x) {
      if (!this.count) return -1;
      const at = Math.min(this.from(x), this.count - 1);
      return at && x - this.x[at - 1] < this.x[at] - x ? at - 1 : at;
    }
    get last() { return this.count ? this.x[this.count - 1] : 0; }
  }

  window.wizard.plot = (root, options) => {
    const kept = read();
    let name = options.xName || "step", group = "", smoothing = kept.smoothing ?? 50, logarithmic = kept.log ?? false, rawShown = !options.noRaw && (kept.raw ?? true);
    let series = [], marks = [], planned = 0, zoom = null, cursor = null, drag = null, active = "", size = null, view = null, due = 0, gathering = 0, bare = true, colours = new Map();
    let chosen = kept.smoothing !== undefined, told = 0, summaryDue = 0, overDrawn = false, inSight = true;
    const sample = new Float64Array(SAMPLE);

    const base = el("canvas", { "aria-hidden": "true" }), over = el("canvas", { "aria-hidden": "true" });
    const tip = el("div.wz-plot-tip", { hidden: true }), live = el("p.wz-unseen", { "aria-live": "polite" }), summary = el("p.wz-unseen");
    summary.id = `plot-${Math.random().toString(36).slice(2)}`;
    const stage = el("div.wz-plot-stage", { tabIndex: 0, role: "group", "aria-roledescription": "chart", "aria-label": options.label, "aria-describedby": summary.id }, base, over, tip);
    const legend = el("div.wz-plot-legend", { role: "group", "aria-label": "Lines of the plot" });
    const slider = el("input", { type: "range", min: 0, max: 100, "aria-label": "Smoothing", oninput: () => setSmoothing(10 ** (slider.value * Math.log10(LONGEST_SMOOTHING) / 100)) });
    const amount = el("output");
    const smoother = el("label.wz-plot-slider", { title: "How many points the strong line is the mean of" }, "Smoothing", slider, amount);
    const raw = toggle("Each step", "The light line: every single step", () => { rawShown = !rawShown; save(); });
    const log = toggle("Log scale", "The same factor is the same height", () => { logarithmic = !logarithmic; if (zoom) zoom.y = null; save(); });
    const whole_ = el("button.wz-plot-button", { type: "button", hidden: true, onclick: () => reset() }, "Show all");
    const table = el("details.wz-plot-table", { ontoggle: () => { if (table.open) fillTable(); } }, el("summary", {}, "Values as a table"), el("div"));
    const hint = el("p.wz-plot-hint", {}, "Drag to zoom in, double-click to see all. Click the plot and the wheel zooms too; keys: arrows, + and −, 0.");
    root.classList.add("wz-plot");
    root.replaceChildren(el("div.wz-plot-tools", {}, legend, el("span.wz-grow"), whole_, raw, log, smoother), stage, summary, live, el("div.wz-plot-foot", {}, hint, table));
    slider.value = Math.log10(smoothing) / Math.log10(LONGEST_SMOOTHING) * 100;
    showChoices();

    new ResizeObserver(() => { size = null; draw(); }).observe(stage);
    new IntersectionObserver((entries) => { inSight = entries[entries.length - 1].isIntersecting; if (inSight) draw(); }, { rootMargin: "200px" }).observe(stage);
    const theme = () => { colours.clear(); draw(); };
    new MutationObserver(theme).observe(document.documentElement, { attributes: true, attributeFilter: ["class"] });
    stage.addEventListener("pointerdown", press);
    stage.addEventListener("pointermove", move);
    stage.addEventListener("pointerup", release);
    stage.addEventListener("pointercancel", () => { drag = null; point(null); });
    stage.addEventListener("pointerleave", () => { if (!drag) point(null); });
    stage.addEventListener("dblclick", () => reset());
    stage.addEventListener("wheel", wheel, { passive: false });
    stage.addEventListener("keydown", keys);
    stage.addEventListener("blur", () => point(null));

    function toggle(text, title, act) { return el("button.wz-plot-button", { type: "button", title, "aria-pressed": "false", onclick: () => { act(); showChoices(); draw(); } }, text); }
    function read() { try { return JSON.parse(localStorage.getItem(KEEP)) || {}; } catch { return {}; } }
    function save() { try { localStorage.setItem(KEEP, JSON.stringify({ smoothing: chosen ? smoothing : undefined, log: logarithmic, raw: options.noRaw ? kept.raw : rawShown })); } catch { /* private windows keep nothing */ } }
    function showChoices() {
      raw.setAttribute("aria-pressed", rawShown); log.setAttribute("aria-pressed", logarithmic);
      amount.textContent = smoothing < 1.5 ? "off" : `${whole(smoothing)} steps`;
      smoother.hidden = !current().some((item) => item.smoothed);
      raw.hidden = smoother.hidden || !!options.noRaw;
    }
    function setSmoothing(steps) {
      chosen = true;
      smoothLike(Math.max(1, Math.round(steps)));
      save(); draw();
    }
    function smoothLike(steps) {
      if (steps === smoothing) return;
      smoothing = steps;
      for (const item of series) if (item.smoothed) item.points.smooth(smoothing);
      slider.value = Math.log10(smoothing) / Math.log10(LONGEST_SMOOTHING) * 100;
      showChoices();
    }

    function define(wanted) {
      const before = new Map(series.map((item) => [item.key, item]));
      series = wanted.map((item) => {
        const old = before.get(item.key);
        const made = { look: "line", group: "", ...item, points: old ? old.points : new Points(), hidden: old ? old.hidden : !!item.hidden };
        if (made.smoothed && !old) made.points.restart(smoothing);
        return made;
      });
      showLegend(); showChoices(); draw();
    }
    function current() { return series.filter((item) => item.group === group); }
    function showLegend() {
      legend.replaceChildren(...current().filter((item) => !item.of).map((item) => {
        const swatch = el("i", { class: `is-${item.look}` }), button = el("button.wz-plot-key", { type: "button", "aria-pressed": String(!item.hidden), title: item.title || "Show or hide this line" }, swatch, item.label);
        swatch.style.setProperty("--key", colourValue(item.colour));
        button.addEventListener("click", () => {
          item.hidden = !item.hidden;
          for (const other of series) if (other.of === item.key) other.hidden = item.hidden;
          button.setAttribute("aria-pressed", String(!item.hidden)); draw();
        });
        return button;
      }));
    }
    function find(key) { return series.find((item) => item.key === key); }
    function add(key, xs, ys) { const item = find(key); if (item && xs.length) { item.points.add(xs, ys); drawSoon(); } }
    function clear(key) {
      for (const item of series) if (!key || item.key === key) { item.points = new Points(); if (item.smoothed) item.points.restart(smoothing); }
      if (!key) { zoom = null; marks = []; }
      draw();
    }

    /* Colours are names of CSS variables, so that light and dark are one and the same code. */
    function colourValue(given) { return given.startsWith("--") ? `var(${given})` : given; }
    function colour(given) {
      if (!given.startsWith("--")) return given;
      if (!colours.has(given)) colours.set(given, getComputedStyle(stage).getPropertyValue(given).trim() || "#888");
      return colours.get(given);
    }

    function draw() {
      clearTimeout(gathering); gathering = 0;
      if (!due) due = requestAnimationFrame(() => { due = 0; paint(); });
    }
    /* What the training says comes in several answers, one after the other: it is drawn once for all of them. */
    function drawSoon() {
      if (bare) draw();
      else if (!due && !gathering) gathering = setTimeout(draw, GATHER_MS);
    }

    function measure() {
      const width = stage.clientWidth, height = stage.clientHeight;
      if (!width || !height) return false;
      if (size) return true;
      size = { width, height, ratio: Math.min(3, window.devicePixelRatio || 1) };
      for (const canvas of [base, over]) { canvas.width = width * size.ratio; canvas.height = height * size.ratio; canvas.getContext("2d").setTransform(size.ratio, 0, 0, size.ratio, 0, 0); }
      return true;
    }

    function paint() {
      root.dataset.points = String(series.reduce((most, item) => Math.max(most, item.points.count), 0));
      if (!inSight || !measure()) return; /* what nobody sees is drawn once it comes into sight */
      const began = performance.now();
      const shown = current().filter((item) => !item.hidden && item.points.count);
      view = frame(shown);
      bare = !shown.length;
      const pen = base.getContext("2d");
      pen.clearRect(0, 0, size.width, size.height);
      grid(pen);
      pen.save();
      pen.beginPath(); pen.rect(PAD.left, PAD.top - 4, size.width - PAD.left - PAD.right, size.height - PAD.top - PAD.bottom + 8); pen.clip();
      spans(pen);
      for (const item of shown) if (item.smoothed && (rawShown || smoothing <= 1)) line(pen, item, item.points.y, smoothing <= 1 ? 1.6 : 1, smoothing <= 1 ? 0.95 : options.faint ?? 0.3);
      for (const item of shown) if (item.look === "line" && (!item.smoothed || smoothing > 1)) line(pen, item, item.smoothed ? item.points.mean : item.points.y, item.width || (item.smoothed ? 2.4 : 1.5), item.alpha || 1);
      for (const item of shown) if (item.look === "dots") dots(pen, item);
      pen.restore();
      flags(pen);
      if (!shown.length) words(pen, options.empty || "Nothing to draw yet.", size.width / 2, size.height / 2, "center", "--wz-muted", 13.5);
      whole_.hidden = !zoom;
      root.dataset.drawMs = (performance.now() - began).toFixed(2);
      overlay();
      summaryDue = summaryDue || setTimeout(() => { summaryDue = 0; summary.textContent = summarise(); if (table.open) fillTable(); }, SUMMARY_MS);
    }

    function frame(shown) {
      let first = Infinity, last = 0;
      for (const item of shown) { first = Math.min(first, item.points.x[0]); last = Math.max(last, item.points.last); }
      const all = [Number.isFinite(first) && first > 0 && options.fromFirst ? first : 0, Math.max(last, planned, options.fromFirst ? 0 : 1)];
      if (all[1] <= all[0]) all[1] = all[0] + 1;
      const [x0, x1] = zoom ? zoom.x : all;
      let low = Infinity, high = -Infinity;
      const take = (value) => { if (Number.isFinite(value) && (!logarithmic || value > 0)) { if (value < low) low = value; if (value > high) high = value; } };
      for (const item of shown) {
        const from = Math.max(0, item.points.from(x0) - 1), to = Math.min(item.points.count, item.points.from(x1) + 1);
        if (item.look === "dots" || !item.smoothed) for (let i = from; i < to; i += 1) take(item.points.y[i]);
        else {
          for (let i = Math.max(from, Math.min(20, to - 1)); i < to; i += Math.max(1, (to - from) >> 11)) take(item.points.mean[i]);
          if (rawShown || smoothing <= 1) for (const value of inliers(item.points.y, from, to)) take(value);
        }
      }
      if (!(low <= high)) { low = logarithmic ? 0.1 : 0; high = 1; }
      const bend = logarithmic ? Math.log10 : (value) => value;
      let bottom = bend(low), top = bend(high);
      const margin = Math.max((top - bottom) * 0.07, Math.abs(top) * 1e-6, 1e-9);
      bottom -= margin; top += margin;
      if (!logarithmic && low >= 0 && bottom < 0) bottom = 0;
      if (zoom?.y) [bottom, top] = zoom.y.map(bend);
      const width = size.width - PAD.left - PAD.right, height = size.height - PAD.top - PAD.bottom;
      return { x0, x1, all, bottom, top, bend, width, height, kx: width / (x1 - x0), ky: height / (top - bottom) };
    }

    /* One wild step must not flatten the rest: the values that 97.5 % of an even sample lie between. */
    function inliers(values, from, to) {
      const stride = Math.max(1, Math.ceil((to - from) / SAMPLE));
      let count = 0;
      for (let i = from; i < to && count < SAMPLE; i += stride) if (Number.isFinite(values[i]) && (!logarithmic || values[i] > 0)) sample[count++] = values[i];
      if (!count) return [];
      const sorted = sample.subarray(0, count).sort();
      return count < 20 ? [sorted[0], sorted[count - 1]] : [sorted[Math.floor(count * 0.01)], sorted[Math.ceil(count * 0.985) - 1]];
    }

    const px = (x) => PAD.left + (x - view.x0) * view.kx;
    const py = (value) => PAD.top + (view.top - view.bend(value)) * view.ky;
    const xAt = (pixel) => view.x0 + (pixel - PAD.left) / view.kx;
    const yAt = (pixel) => { const bent = view.top - (pixel - PAD.top) / view.ky; return logarithmic ? 10 ** bent : bent; };

    function line(pen, item, values, width, alpha) {
      const { points } = item, from = Math.max(0, points.from(view.x0) - 1), to = Math.min(points.count, points.from(view.x1) + 1);
      pen.strokeStyle = pen.fillStyle = colour(item.colour); pen.globalAlpha = alpha; pen.lineWidth = width; pen.lineJoin = "round"; pen.setLineDash(item.dash || []);
      if (to - from <= 2 * view.width) through(pen, points.x, values, from, to);
      else if (values === points.mean) middle(pen, points.x, values, from, to);
      else bars(pen, points.x, values, from, to, width);
      pen.setLineDash([]); pen.globalAlpha = 1;
    }

    /* From point to point, with a gap where a value is missing. */
    function through(pen, xs, values, from, to) {
      const least = logarithmic ? 0 : -Infinity;
      let begun = false;
      pen.beginPath();
      for (let i = from; i < to; i += 1) {
        if (!(values[i] > least && values[i] < Infinity)) { begun = false; continue; }
        const x = px(xs[i]), y = py(values[i]);
        begun ? pen.lineTo(x, y) : pen.moveTo(x, y);
        begun = true;
      }
      pen.stroke();
    }

    /* A running mean with many points to a pixel: through the mean of each column of pixels. */
    function middle(pen, xs, values, from, to) {
      const wide = columnWidth();
      let begun = false;
      pen.beginPath();
      eachColumn(xs, values, from, to, (column, low, high, mean) => {
        if (low > high) { begun = false; return; }
        const x = (column + 0.5) * wide, y = py(mean);
        begun ? pen.lineTo(x, y) : pen.moveTo(x, y);
        begun = true;
      });
      pen.stroke();
    }

    /* Many points to a pixel: a bar from the lowest to the highest of each column, joined with the one before. A path with
       as many corners looks the same and takes a browser without a graphics card five times as long to fill. */
    function bars(pen, xs, values, from, to, width) {
      const wide = columnWidth(), ceiling = -size.height, floor = 2 * size.height, pixel = (value) => Math.min(floor, Math.max(ceiling, py(value)));
      let last = NaN, top = NaN, bottom = NaN;
      pen.beginPath();
      eachColumn(xs, values, from, to, (column, low, high) => {
        if (low > high) { top = bottom = NaN; return; }
        const above = pixel(high), below = pixel(low), gap = column > last + 1 && top === top;
        if (gap) { pen.moveTo((last + 1) * wide, (top + bottom) / 2); pen.lineTo(column * wide, (above + below) / 2); }
        const start = !gap && above > bottom ? bottom : above, end = !gap && below < top ? top : below;
        pen.fillRect(column * wide, start - width / 2, wide, end - start + width);
        last = column; top = above; bottom = below;
      });
      pen.stroke();
    }

    /* Columns end where pixels of the screen do, so that bars beside each other leave no seam. */
    const columnWidth = () => Math.max(1, Math.round(size.ratio)) / size.ratio;

    /* see(column, lowest, highest, mean) for each that has points; lowest is above highest where none can be drawn. */
    function eachColumn(xs, values, from, to, see) {
      const wide = columnWidth(), least = logarithmic ? 0 : -Infinity;
      let column = -Infinity;
      for (let i = from; i < to;) {
        column = Math.max(column + 1, Math.floor(px(xs[i]) / wide));
        const end = xAt((column + 1) * wide);
        let low = Infinity, high = -Infinity, sum = 0, found = 0;
        do {
          const value = values[i];
          if (value > least && value < Infinity) { if (value < low) low = value; if (value > high) high = value; sum += value; found += 1; }
          i += 1;
        } while (i < to && xs[i] < end);
        see(column, low, high, sum / found);
      }
    }

    function dots(pen, item) {
      const { points } = item, from = Math.max(0, points.from(view.x0) - 1), to = Math.min(points.count, points.from(view.x1) + 1);
      line(pen, item, points.y, item.width || 1.4, 0.8);
      if (to - from > view.width / 7) return; /* dots that touch say no more than their line */
      pen.fillStyle = colour(item.colour); pen.strokeStyle = colour("--wz-card"); pen.lineWidth = 1.5;
      for (let i = from; i < to; i += 1) { if (!Number.isFinite(points.y[i]) || (logarithmic && points.y[i] <= 0)) continue; pen.beginPath(); pen.arc(px(points.x[i]), py(points.y[i]), 4, 0, 7); pen.fill(); pen.stroke(); }
    }

    function words(pen, text, x, y, align = "left", tone = "--wz-muted", font = 11.5) { pen.fillStyle = colour(tone); pen.font = `${font}px "IBM Plex Sans", "Segoe UI", system-ui, sans-serif`; pen.textAlign = align; pen.fillText(text, x, y); }

    function grid(pen) {
      pen.strokeStyle = colour("--wz-line"); pen.lineWidth = 1; pen.beginPath();
      const ys = yTicks(), xs = ticks(view.x0, view.x1, name === "step", Math.max(2, Math.floor(view.width / 110)));
      const digits = ys.length > 1 ? Math.max(0, Math.min(6, 1 - Math.floor(Math.log10(Math.abs(ys[1] - ys[0]) || 1)))) : 3;
      for (const value of ys) { const y = Math.round(py(value)) + 0.5; if (y < PAD.top - 5 || y > PAD.top + view.height + 5) continue; pen.moveTo(PAD.left, y); pen.lineTo(size.width - PAD.right, y); words(pen, tickText(value, digits), PAD.left - 8, y + 4, "right"); }
      pen.stroke();
      for (const value of xs) words(pen, name === "step" ? whole(value) : number(value).replace(/\.?0+$/, ""), px(value), size.height - PAD.bottom + 18, px(value) > size.width - PAD.right - 18 ? "right" : "center");
      words(pen, options.xLabel || name, size.width - PAD.right, size.height - 1, "right", "--wz-faint", 10.5);
    }
    const tickText = (value, digits) => (logarithmic || (Math.abs(value) > 0 && Math.abs(value) < 0.001) ? String(+value.toPrecision(3)).replace("e-", "e−") : value.toFixed(digits));
    function yTicks() {
      if (!logarithmic) return ticks(view.bottom, view.top, false, TICKS);
      const found = [];
      for (let power = Math.floor(view.bottom); power <= Math.ceil(view.top); power += 1)
        for (const factor of view.top - view.bottom > 3 ? [1] : view.top - view.bottom > 1 ? [1, 2, 5] : [1, 1.5, 2, 3, 4, 5, 7]) { const value = factor * 10 ** power, bent = Math.log10(value); if (bent >= view.bottom && bent <= view.top) found.push(value); }
      return found.length > 1 ? found : ticks(10 ** view.bottom, 10 ** view.top, false, 4).filter((value) => value > 0);
    }
    function ticks(low, high, isWhole, count) {
      const rough = (high - low) / count || 1, power = 10 ** Math.floor(Math.log10(rough));
      let step = [1, 2, 2.5, 5, 10].map((factor) => factor * power).find((each) => each >= rough) || rough;
      if (isWhole) step = Math.max(1, Math.round(step));
      const found = [];
      for (let tick = Math.ceil(low / step) * step; tick <= high + step * 1e-6; tick += step) found.push(+tick.toPrecision(10));
      return found;
    }

    /* Marks: { id, from, to, value, label, tone, strong }. A stretch is shaded, a point is ringed, and what is neither is a line. */
    const visible = () => marks.filter((mark) => mark.to >= view.x0 && mark.from <= view.x1);
    const tone = (mark) => colour({ good: "--wz-good", note: "--wz-info", warning: "--wz-warn", problem: "--wz-bad" }[mark.tone] || "--wz-info");
    function spans(pen) {
      for (const mark of visible()) {
        const lit = active && mark.id === active, from = px(mark.from), to = px(mark.to);
        pen.fillStyle = pen.strokeStyle = tone(mark);
        if (mark.to > mark.from) { pen.globalAlpha = lit ? 0.15 : 0.07; pen.fillRect(from, PAD.top - 4, Math.max(2, to - from), view.height + 8); }
        else { pen.globalAlpha = lit ? 1 : 0.7; pen.lineWidth = lit ? 2 : 1.2; pen.setLineDash([4, 4]); pen.beginPath(); pen.moveTo(from, PAD.top - 4); pen.lineTo(from, PAD.top + view.height + 4); pen.stroke(); pen.setLineDash([]); }
        pen.globalAlpha = 1;
        if (mark.value !== null && mark.value !== undefined && (!logarithmic || mark.value > 0)) { pen.lineWidth = 2; pen.beginPath(); pen.arc(to, py(mark.value), 7, 0, 7); pen.stroke(); }
      }
    }
    /* Labels stand in two rows above the plot; one that finds no room is read by pointing at its mark. */
    function flags(pen) {
      const ends = new Array(MARK_ROWS).fill(-Infinity);
      for (const mark of [...visible()].sort((a, b) => a.from - b.from)) {
        if (!mark.label) continue;
        pen.font = '11px "IBM Plex Sans", "Segoe UI", system-ui, sans-serif';
        const wide = pen.measureText(mark.label).width, from = Math.max(px(mark.from), PAD.left);
        const left = Math.min(from + 1, size.width - PAD.right - wide), row = ends.findIndex((end) => left > end + 10);
        if (row < 0) continue;
        ends[row] = left + wide;
        pen.fillStyle = tone(mark); pen.textAlign = "left"; pen.fillText(mark.label, left, 10 + row * 12);
      }
    }

    /* What follows the pointer is on a canvas of its own: the lines are not drawn again for it. */
    function overlay() {
      if (!size || !view) return;
      const wanted = drag?.to || cursor !== null;
      if (!wanted && !overDrawn) return;
      overDrawn = !!wanted;
      const pen = over.getContext("2d");
      pen.clearRect(0, 0, size.width, size.height);
      if (drag?.to) {
        const left = Math.min(drag.from.x, drag.to.x), width = Math.abs(drag.to.x - drag.from.x), box = isBox();
        pen.fillStyle = colour("--wz-accent"); pen.globalAlpha = 0.14;
        pen.fillRect(left, box ? Math.min(drag.from.y, drag.to.y) : PAD.top, width, box ? Math.abs(drag.to.y - drag.from.y) : view.height);
        pen.globalAlpha = 1;
      }
      if (cursor === null || drag?.to) { tip.hidden = true; return; }
      const found = at(cursor);
      if (!found) { tip.hidden = true; return; }
      const x = px(found.x);
      pen.strokeStyle = colour("--wz-faint"); pen.setLineDash([3, 3]); pen.beginPath(); pen.moveTo(x, PAD.top); pen.lineTo(x, PAD.top + view.height); pen.stroke(); pen.setLineDash([]);
      for (const row of found.points) { const y = py(row.value); if (!Number.isFinite(y) || row.x < view.x0 || row.x > view.x1) continue; pen.fillStyle = colour(row.colour); pen.strokeStyle = colour("--wz-card"); pen.lineWidth = 1.5; pen.beginPath(); pen.arc(px(row.x), y, 4.5, 0, 7); pen.fill(); pen.stroke(); }
      showTip(found, x);
    }

    /* What stands at x: one row a line, those that belong together in one; points: what is ringed. */
    function at(x) {
      const rows = new Map(), points = [], shown = current().filter((item) => !item.hidden && item.points.count);
      const lead = shown.find((item) => item.look === "line") || shown[0];
      if (!lead) return null;
      const place = lead.points.x[lead.points.nearest(x)], reach = 4 / view.kx;
      for (const item of [...shown].sort((a, b) => !!a.of - !!b.of)) {
        const index = item.points.nearest(x), here = item.points.x[index], smooth = item.smoothed && smoothing > 1;
        const value = (smooth ? item.points.mean : item.points.y)[index], away = item.look === "dots" && here !== place ? ` at ${name} ${short(here)}` : "";
        points.push({ x: here, value, colour: item.colour });
        const row = rows.get(item.of);
        if (row) row.detail = `validation ${number(value)}${away}`;
        else rows.set(item.key, { label: item.label, value, colour: item.colour, detail: smooth && rawShown ? `this step ${number(item.points.y[index])}` : away.trim() });
      }
      return { x: place, rows: [...rows.values()], points, marks: visible().filter((mark) => mark.from - reach <= place && place <= mark.to + reach) };
    }
    const short = (x) => (name === "step" ? whole(x) : number(x));

    function showTip(found, x) {
      tip.hidden = false;
      tip.replaceChildren(el("strong", {}, `${name} ${short(found.x)}`), ...found.rows.map((row) => {
        const swatch = el("i"); swatch.style.background = colour(row.colour);
        return el("span.wz-plot-row", {}, swatch, el("span.wz-plot-what", {}, row.label), el("b", {}, number(row.value)), row.detail ? el("small", {}, row.detail) : null);
      }), ...found.marks.filter((mark) => mark.label).map((mark) => el("em", {}, mark.label)));
      const wide = tip.offsetWidth;
      tip.style.left = `${x + 14 + wide > size.width ? Math.max(4, x - 14 - wide) : x + 14}px`;
    }

    function point(x) { if (cursor === null && x === null) return; cursor = x; overlay(); }
    function spot(event) { const box = stage.getBoundingClientRect(); return { x: Math.min(Math.max(event.clientX - box.left, PAD.left), size.width - PAD.right), y: Math.min(Math.max(event.clientY - box.top, PAD.top), size.height - PAD.bottom) }; }
    const isBox = () => drag?.to && Math.abs(drag.to.y - drag.from.y) > BOX_PX && Math.abs(drag.to.x - drag.from.x) > DRAG_PX;
    function press(event) { if (event.button !== 0 || !view) return; drag = { from: spot(event), to: null }; stage.setPointerCapture(event.pointerId); }
    function move(event) {
      if (!view) return;
      const here = spot(event);
      if (drag && (drag.to || Math.hypot(here.x - drag.from.x, here.y - drag.from.y) > DRAG_PX)) drag.to = here;
      cursor = xAt(here.x);
      overlay();
    }
    function release(event) {
      if (!drag) return;
      const here = spot(event), { from, to } = drag, box = isBox();
      drag = null;
      if (to && Math.abs(here.x - from.x) > DRAG_PX) zoomTo([xAt(Math.min(from.x, here.x)), xAt(Math.max(from.x, here.x))], box ? [yAt(Math.max(from.y, here.y)), yAt(Math.min(from.y, here.y))] : null);
      else overlay();
    }
    function zoomTo(x, y = zoom?.y || null) {
      const least = name === "step" ? 4 : (view.all[1] - view.all[0]) / 1e5, middle = (x[0] + x[1]) / 2;
      if (x[1] - x[0] < least) x = [middle - least / 2, middle + least / 2];
      x = [Math.max(view.all[0], x[0]), Math.min(view.all[1], x[1])];
      zoom = x[0] <= view.all[0] && x[1] >= view.all[1] && !y ? null : { x, y };
      draw();
    }
    function reset() { zoom = null; draw(); }
    function scaleView(factor, around) { zoomTo([around - (around - view.x0) * factor, around + (view.x1 - around) * factor]); }
    function wheel(event) { /* the wheel scrolls the page until the plot was clicked, or Ctrl is held */
      if (!view || !(event.ctrlKey || event.metaKey || document.activeElement === stage)) return;
      event.preventDefault();
      scaleView(Math.exp(Math.max(-1, Math.min(1, event.deltaY / 300))), xAt(spot(event).x));
    }
    function keys(event) {
      if (!view || event.ctrlKey || event.altKey || event.metaKey) return;
      const wide = view.x1 - view.x0, here = cursor ?? view.x1, jump = event.shiftKey ? 0.1 : 0.01;
      const to = { ArrowLeft: here - wide * jump, ArrowRight: here + wide * jump, Home: view.x0, End: view.x1 }[event.key];
      if (to !== undefined) { point(Math.min(Math.max(to, view.x0), view.x1)); sayCursor(); }
      else if (event.key === "+" || event.key === "=") scaleView(0.6, here);
      else if (event.key === "-") scaleView(1 / 0.6, here);
      else if (event.key === "0" || event.key === "Escape") { if (event.key === "Escape" && !zoom) { point(null); return; } reset(); }
      else return;
      event.preventDefault();
    }
    function sayCursor() {
      clearTimeout(told);
      told = setTimeout(() => {
        const found = cursor === null ? null : at(cursor);
        if (found) live.textContent = `${name} ${short(found.x)}: ${[...found.rows.map((row) => `${row.label} ${number(row.value)}`), ...found.marks.map((mark) => mark.label)].join(", ")}`;
      }, 150);
    }

    function summarise() {
      const parts = current().filter((item) => !item.hidden && item.points.count).map((item) => {
        const { points } = item, values = item.smoothed && smoothing > 1 ? points.mean : points.y;
        let lowest = 0;
        for (let i = 1; i < points.count; i += 1) if (values[i] < values[lowest] || !Number.isFinite(values[lowest])) lowest = i;
        return `${item.label}: from ${number(values[0])} to ${number(values[points.count - 1])} at ${name} ${short(points.last)}, lowest ${number(values[lowest])} at ${name} ${short(points.x[lowest])}.`;
      });
      return parts.length ? [...parts, ...marks.filter((mark) => mark.label).map((mark) => `Marked from ${name} ${short(mark.from)}: ${mark.label}.`)].join(" ") : "Nothing to draw yet.";
    }
    function fillTable() {
      const shown = current().filter((item) => !item.hidden && item.points.count);
      if (!shown.length) { table.lastChild.replaceChildren(el("p.wz-muted", {}, "Nothing yet.")); return; }
      const rows = 20, [x0, x1] = view ? [Math.max(view.x0, Math.min(...shown.map((item) => item.points.x[0]))), Math.min(view.x1, Math.max(...shown.map((item) => item.points.last)))] : [0, 1];
      const places = [...new Set(Array.from({ length: rows + 1 }, (_, i) => { const first = shown[0].points; return first.x[first.nearest(x0 + (x1 - x0) * i / rows)]; }))];
      table.lastChild.replaceChildren(el("div.wz-table-box", {}, el("table.wz-table", {},
        el("thead", {}, el("tr", {}, el("th", { scope: "col" }, name), shown.map((item) => el("th", { scope: "col" }, item.label)))),
        el("tbody", {}, places.map((x) => el("tr", {}, el("td.num", {}, short(x)), shown.map((item) => {
          const index = item.points.nearest(x), near = item.points.x[index];
          const far = item.look === "dots" && Math.abs(near - x) > (x1 - x0) / rows / 2 + 1e-9;
          return el("td.num", {}, far ? "" : number((item.smoothed && smoothing > 1 ? item.points.mean : item.points.y)[index]));
        })))))));
    }

    return {
      define, add, clear, draw,
      extent(x, steps = x) {
        planned = x;
        if (!chosen) smoothLike(Math.min(50, Math.max(5, Math.round(steps / 20)))); /* as smoothing_of() in app/curves.py */
        drawSoon();
      },
      marks(next) { marks = next; drawSoon(); },
      light(id) { if (active !== id) { active = id; draw(); } },
      group(next) { if (group !== next) { group = next; if (zoom) zoom.y = null; showLegend(); showChoices(); draw(); } },
      axis(next) { name = next; zoom = null; draw(); },
    };
  };
})();
