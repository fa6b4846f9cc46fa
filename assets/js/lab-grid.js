/* Grids of the Lab's videos. Every cell plays small pictures from one file by one clock, so all are in step to the
   frame, however many there are; a cell that is far from the screen holds no picture. */
(() => {
  "use strict";
  const { el } = window.wizard;
  const AGAIN_MS = 1500;

  /* One clock for all grids: seconds since the start of the videos. */
  const clock = (window.wizard.labClock = (() => {
    const seen = new Set(), listeners = new Set();
    let at = 0, last = 0, playing = true, length = 1, asked = 0;
    const here = () => document.documentElement.dataset.step === "lab";
    function tick(now) {
      asked = 0;
      if (playing && last) at = (at + (now - last) / 1000) % length;
      last = now;
      draw();
      if (playing && here()) ask();
    }
    function ask() { if (!asked) asked = requestAnimationFrame(tick); }
    function draw() { for (const player of seen) player.draw(at); for (const listener of listeners) listener(at, length, playing); }
    return {
      add(player) { seen.add(player); player.draw(at); length = Math.max(0.1, ...[...seen].map((item) => item.length)); if (playing) ask(); },
      remove(player) { seen.delete(player); },
      listen(listener) { listeners.add(listener); },
      play(on) { playing = on; last = 0; if (on) ask(); draw(); },
      seek(seconds) { at = Math.max(0, Math.min(length - 1e-3, seconds)); draw(); },
      wake() { last = 0; if (playing) ask(); },
      get playing() { return playing; },
      get at() { return at; },
    };
  })());
  new MutationObserver(() => clock.wake()).observe(document.documentElement, { attributes: true, attributeFilter: ["data-step"] });

  const near = new IntersectionObserver((entries) => entries.forEach((entry) => entry.target.wizardPlayer?.see(entry.isIntersecting)), { rootMargin: "300px" });

  /* Plays a strip in a canvas while it is near the screen. */
  function player(canvas, strip, layout) {
    let image = null, shown = -1;
    canvas.width = layout.width; canvas.height = layout.height;
    function load() {
      const mine = (image = new Image());
      mine.onload = () => { shown = -1; clock.add(made); };
      mine.onerror = () => setTimeout(() => { if (image === mine) load(); }, AGAIN_MS); // the app was just being restarted
      mine.src = strip;
    }
    const made = {
      length: layout.count / layout.fps,
      see(visible) {
        if (visible && !image) load();
        else if (!visible && image) { clock.remove(made); image.onload = null; image = null; }
      },
      draw(at) {
        const index = Math.min(layout.count - 1, Math.floor(at * layout.fps + 1e-6) % layout.count);
        if (!image || index === shown) return;
        shown = index;
        const x = (index % layout.columns) * layout.width, y = Math.floor(index / layout.columns) * layout.height;
        canvas.getContext("2d").drawImage(image, x, y, layout.width, layout.height, 0, 0, layout.width, layout.height);
        canvas.dataset.frame = index;
      },
      end() { near.unobserve(canvas); made.see(false); },
    };
    canvas.wizardPlayer = made;
    near.observe(canvas);
    return made;
  }

  /* A strength in the name of a cell, and as people write it: 1.0. */
  window.wizard.labStrength = (value) => String(+(+value).toFixed(3));
  const shownStrength = (window.wizard.labShown = (value) => { const text = window.wizard.labStrength(value); return text.includes(".") ? text : `${text}.0`; });

  /* A grid: rows are LoRAs, columns strengths; one block for each prompt and seed. on.open(pair, key), on.keep(lora, strength). */
  window.wizard.labGrid = (on) => {
    const root = el("div.wz-lab-grid");
    const cells = new Map();
    let shape = "", kept = null;

    function show(grid, keptChoice, aspect) {
      kept = keptChoice;
      const next = JSON.stringify([grid.rows, grid.strengths, grid.pairs.map((pair) => [pair.prompt, pair.seed, pair.clip])]);
      root.style.setProperty("--wz-lab-aspect", aspect);
      if (next !== shape) { shape = next; build(grid); }
      grid.pairs.forEach((pair, index) => { for (const [key, cell] of Object.entries(pair.cells)) fill(`${index}/${key}`, cell); });
    }

    function build(grid) {
      for (const cell of cells.values()) cell.player?.end();
      cells.clear();
      root.style.setProperty("--wz-lab-columns", grid.strengths.length + 1);
      root.replaceChildren(...grid.pairs.map((pair, index) => block(grid, pair, index)));
    }

    function block(grid, pair, index) {
      const table = el("div.wz-lab-table", { role: "grid", "aria-label": `${pair.prompt}, seed ${pair.seed}` });
      table.append(el("div.wz-lab-corner"), el("div.wz-lab-head", {}, "base model"), ...grid.strengths.map((strength) => el("div.wz-lab-head", {}, shownStrength(strength))));
      grid.rows.forEach((row, place) => {
        table.append(el("div.wz-lab-label", { title: row.why, style: `grid-area: ${place + 2} / 1` }, el("strong", {}, row.title), row.recommended ? el("span.wz-badge.good", {}, "recommended") : null));
        if (place === 0) table.append(cellOf(index, "|0", "base model", { style: `grid-area: 2 / 2 / span ${grid.rows.length} / span 1` }, "", 0));
        grid.strengths.forEach((strength, column) => table.append(cellOf(index, `${row.id}|${window.wizard.labStrength(strength)}`, `${row.title} at ${shownStrength(strength)}`,
          { style: `grid-area: ${place + 2} / ${column + 3}` }, row.id, strength)));
      });
      if (!grid.rows.length) table.append(el("div.wz-lab-label"), cellOf(index, "|0", "base model", {}, "", 0));
      const scroll = el("div.wz-lab-scroll", {}, table);
      new ResizeObserver(() => scroll.classList.toggle("is-wide", table.scrollWidth > scroll.clientWidth + 1)).observe(scroll);
      return el("section.wz-lab-pair", {},
        el("p.wz-lab-prompt", {}, el("span", {}, pair.prompt), pair.clip ? el("span.wz-badge", {}, "from a first frame") : null, el("span.wz-muted.num", {}, `seed ${pair.seed}`)),
        scroll);
    }

    function cellOf(pair, key, name, attributes, lora, strength) {
      const canvas = el("canvas"), wait = el("span.wz-lab-wait"), measures = el("dl.wz-lab-measures"), reading = el("p.wz-lab-finding");
      const open = el("button.wz-lab-open", { type: "button", disabled: true, "aria-label": name, onclick: () => on.open(pair, key) }, canvas, wait);
      const star = lora && strength > 0 ? el("button.wz-lab-star", { type: "button", title: `Keep ${name} for the export`, "aria-label": `Keep ${name}`, onclick: () => on.keep(lora, strength) }, "★") : null;
      const box = el("div.wz-lab-cell", { role: "gridcell", "data-pair": pair, "data-cell": key, "data-state": "", ...attributes }, open, star, measures, reading);
      cells.set(`${pair}/${key}`, { box, open, canvas, wait, measures, reading, lora, strength, key: "", state: "", player: null });
      return box;
    }

    function fill(place, cell) {
      const shown = cells.get(place);
      if (!shown) return;
      const isKept = !!kept && shown.lora === kept.lora && shown.strength === kept.strength;
      shown.box.classList.toggle("is-kept", isKept);
      if (shown.state === cell.state && shown.key === (cell.key || "")) return;
      shown.state = cell.state; shown.key = cell.key || "";
      shown.box.dataset.state = cell.state;
      shown.player?.end();
      shown.player = null;
      const made = cell.state === "made";
      shown.open.disabled = !made;
      shown.wait.replaceChildren(...({ now: [el("span.wz-spinner"), "being made"], waiting: ["waiting"], gone: ["its file is gone"] }[cell.state] || []));
      shown.canvas.hidden = !made;
      if (made) shown.player = player(shown.canvas, cell.strip, cell.layout);
      shown.measures.replaceChildren(...(cell.measures || []).map((item) => el("div", { title: item.note }, el("dt", {}, item.name), el("dd", {}, item.value))));
      shown.reading.textContent = (cell.readings || [])[0] || "";
      shown.reading.title = (cell.readings || []).join(" ");
      shown.box.title = made ? `Made in ${cell.seconds}: ${cell.made_on}` : "";
    }

    return { root, show };
  };
})();
