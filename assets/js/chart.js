/* A line chart of the loss, drawn once and then only moved: raw light, smoothed strong, validation as dots. */
(() => {
  "use strict";
  const NS = "http://www.w3.org/2000/svg";
  const make = (tag, attributes) => {
    const element = document.createElementNS(NS, tag);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    return element;
  };
  const PAD = { left: 52, right: 14, top: 12, bottom: 26 };
  const TICKS = 5;

  window.wizard.lossChart = (root) => {
    const svg = make("svg", { class: "wz-chart", role: "img", "aria-label": "Loss over steps" });
    const grid = make("g", { class: "grid" }), raw = make("path", { class: "raw" }), smooth = make("path", { class: "smooth" });
    const dots = make("g", { class: "dots" }), cursor = make("line", { class: "cursor" }), catcher = make("rect", { fill: "transparent" });
    svg.append(grid, raw, smooth, dots, cursor, catcher);
    const tip = document.createElement("div");
    tip.className = "wz-chart-tip";
    tip.hidden = true;
    root.append(svg, tip);
    let data = { losses: [], smoothed: [], validations: [], steps: 1 }, scale = null;

    const observer = new ResizeObserver(() => draw());
    observer.observe(root);
    catcher.addEventListener("mousemove", hover);
    catcher.addEventListener("mouseleave", () => { tip.hidden = true; cursor.style.display = "none"; });

    function draw() {
      const width = root.clientWidth, height = root.clientHeight;
      if (!width || !height) return;
      svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
      const last = Math.max(1, data.steps || 1, ...data.losses.slice(-1).map(([step]) => step));
      const values = [...inliers(data.losses.map(([, loss]) => loss)), ...data.smoothed.map(([, loss]) => loss), ...data.validations.map(([, loss]) => loss)];
      let low = Math.min(...values), high = Math.max(...values);
      if (!values.length) { low = 0; high = 1; }
      if (high - low < 1e-9) { low -= 0.05; high += 0.05; }
      const margin = (high - low) * 0.08;
      const ticks = niceTicks(Math.max(0, low - margin), high + margin);
      const bottom = Math.min(ticks[0], Math.max(0, low - margin)), top = Math.max(ticks[ticks.length - 1], high + margin);
      scale = {
        x: (step) => PAD.left + (step / last) * (width - PAD.left - PAD.right),
        y: (loss) => PAD.top + (1 - (Math.min(top, Math.max(bottom, loss)) - bottom) / (top - bottom)) * (height - PAD.top - PAD.bottom),
        last, width, height,
      };
      drawGrid(ticks, niceTicks(0, last, true));
      raw.setAttribute("d", path(data.losses));
      smooth.setAttribute("d", path(data.smoothed));
      dots.replaceChildren(...data.validations.map(([step, loss]) => make("circle", { cx: scale.x(step), cy: scale.y(loss), r: 4 })));
      for (const [key, value] of Object.entries({ x: PAD.left, y: PAD.top, width: Math.max(0, width - PAD.left - PAD.right), height: Math.max(0, height - PAD.top - PAD.bottom) })) catcher.setAttribute(key, value);
    }

    const path = (points) => points.map(([step, loss], index) => `${index ? "L" : "M"}${scale.x(step).toFixed(1)} ${scale.y(loss).toFixed(1)}`).join("");

    /* One wild step must not flatten the rest of the curve. */
    function inliers(values) {
      if (values.length < 20) return values;
      const sorted = [...values].sort((a, b) => a - b);
      return [sorted[Math.floor(sorted.length * 0.01)], sorted[Math.ceil(sorted.length * 0.985) - 1]];
    }

    function niceTicks(low, high, whole = false) {
      const rough = (high - low) / TICKS || 1, power = 10 ** Math.floor(Math.log10(rough));
      let step = [1, 2, 2.5, 5, 10].map((factor) => factor * power).find((size) => size >= rough) || rough;
      if (whole) step = Math.max(1, Math.round(step));
      const ticks = [];
      for (let tick = Math.ceil(low / step) * step; tick <= high + step * 1e-6; tick += step) ticks.push(+tick.toPrecision(8));
      return ticks.length ? ticks : [low, high];
    }

    function drawGrid(ys, xs) {
      const digits = Math.max(0, Math.min(5, 1 - Math.floor(Math.log10((ys[1] ?? 1) - (ys[0] ?? 0) || 1))));
      const parts = ys.flatMap((value) => [
        make("line", { x1: PAD.left, x2: scale.width - PAD.right, y1: scale.y(value), y2: scale.y(value) }),
        label(PAD.left - 8, scale.y(value) + 4, value.toFixed(digits), "end"),
      ]);
      parts.push(...xs.map((value) => label(scale.x(value), scale.height - 7, value.toLocaleString("en"), value > scale.last * 0.97 ? "end" : "middle")));
      grid.replaceChildren(...parts);
    }

    function label(x, y, text, anchor) {
      const element = make("text", { x, y, "text-anchor": anchor });
      element.textContent = text;
      return element;
    }

    function hover(event) {
      if (!scale || !data.losses.length) return;
      const bounds = svg.getBoundingClientRect();
      const step = ((event.clientX - bounds.left) * (scale.width / bounds.width) - PAD.left) / (scale.width - PAD.left - PAD.right) * scale.last;
      const point = nearest(data.losses, step), smoothed = nearest(data.smoothed, step), check = nearest(data.validations, step);
      const x = scale.x(point[0]);
      for (const [key, value] of Object.entries({ x1: x, x2: x, y1: PAD.top, y2: scale.height - PAD.bottom })) cursor.setAttribute(key, value);
      cursor.style.display = "";
      tip.hidden = false;
      tip.textContent = `step ${point[0].toLocaleString("en")}\nloss ${point[1].toFixed(4)}` + (smoothed ? `\nsmoothed ${smoothed[1].toFixed(4)}` : "") + (check ? `\nvalidation ${check[1].toFixed(4)} (step ${check[0]})` : "");
      tip.style.left = `${Math.min(x + 12, scale.width - 170)}px`;
      tip.style.top = `${PAD.top + 6}px`;
    }

    function nearest(points, step) {
      if (!points.length) return null;
      let low = 0, high = points.length - 1;
      while (high - low > 1) { const middle = (low + high) >> 1; points[middle][0] < step ? (low = middle) : (high = middle); }
      return Math.abs(points[low][0] - step) <= Math.abs(points[high][0] - step) ? points[low] : points[high];
    }

    return { show(next) { data = next; draw(); } };
  };
})();
