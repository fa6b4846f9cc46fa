/* Two of the Lab's videos, large: one over the other with a wipe, or side by side. They play in step. */
(() => {
  "use strict";
  const { el, labStrength, labShown } = window.wizard;
  const WIPE_STEP = 5;

  /* on.keep(lora, strength). Gives open(grid, pair index, key of the right one, key of the left one). */
  window.wizard.labZoom = (on) => {
    let grid = null, pair = null, sides = ["|0", "|0"], wipe = 50, mode = "wipe", playing = true, before = null, frame = 0, kept = null;
    const videos = [0, 1].map(() => el("video", { muted: true, playsInline: true, preload: "auto" }));
    const names = [0, 1].map((side) => el("select.wz-pick", { "aria-label": side ? "Video on the right" : "Video on the left", onchange: (event) => set(side, event.target.value) }));
    const tags = [0, 1].map(() => el("span.wz-zoom-tag"));
    const tables = [0, 1].map(() => el("dl.wz-lab-measures")), findings = [0, 1].map(() => el("p.wz-lab-finding"));
    const keeps = [0, 1].map((side) => el("button.wz-btn.small.soft", { type: "button", onclick: () => keep(side) }, "Keep this one"));
    const handle = el("div.wz-zoom-handle", { role: "slider", tabIndex: 0, "aria-label": "Wipe", "aria-valuemin": 0, "aria-valuemax": 100 });
    const layers = videos.map((video, side) => el(`div.wz-zoom-layer`, { class: `wz-zoom-layer is-${side ? "right" : "left"}` }, video, tags[side]));
    const stage = el("div.wz-zoom-stage", {}, layers[0], layers[1], handle);
    const modes = el("span.wz-filter", {}, modeButton("wipe", "Wipe"), modeButton("beside", "Side by side"));
    const play = el("button.wz-btn.small", { type: "button", onclick: () => setPlaying(!playing) }, "Pause");
    const scrub = el("input", { type: "range", min: 0, max: 1, value: 0, step: 1, "aria-label": "Frame", oninput: (event) => { setPlaying(false); seek(+event.target.value); } });
    const count = el("span.wz-muted.num");
    const prompt = el("p.wz-zoom-prompt");
    const close = el("button.wz-icon-btn", { type: "button", title: "Close (Esc)", "aria-label": "Close", onclick: hide }, "✕");
    const box = el("div.wz-zoom", { role: "dialog", "aria-modal": "true", "aria-label": "Two videos side by side", hidden: true },
      el("div.wz-zoom-card", {},
        el("div.wz-line", {}, prompt, close),
        stage,
        el("div.wz-zoom-tools", {}, play, scrub, count, modes),
        el("div.wz-zoom-sides", {}, ...[0, 1].map((side) => el("div.wz-zoom-side", {}, el("div.wz-line", {}, names[side], el("span.wz-grow"), keeps[side]), tables[side], findings[side]))),
        el("p.wz-zoom-keys", {}, ...keyHelp())));

    let drag = false;
    stage.addEventListener("pointerdown", (event) => { if (mode !== "wipe") return; drag = true; stage.setPointerCapture(event.pointerId); move(event); });
    stage.addEventListener("pointermove", (event) => { if (drag) move(event); });
    stage.addEventListener("pointerup", () => { drag = false; });
    box.addEventListener("click", (event) => { if (event.target === box) hide(); });
    document.addEventListener("keydown", onKey, true);
    videos[0].addEventListener("ended", () => { if (playing) { seek(0); resume(); } });
    videos.forEach((video) => video.addEventListener("loadeddata", resume));

    let following = 0;
    function open(nextGrid, pairIndex, key, other = "|0") {
      grid = nextGrid; pair = grid.pairs[pairIndex]; before = document.activeElement;
      sides = [madeKey(other) || key, key];
      if (sides[0] === sides[1]) sides[1] = order().find((item) => item !== key && madeKey(item)) || key;
      if (!box.isConnected) document.body.append(box);
      box.hidden = false;
      following = following || requestAnimationFrame(follow);
      document.documentElement.classList.add("wz-zoomed");
      setMode(mode); setWipe(wipe);
      playing = true;
      draw();
      handle.focus({ preventScroll: true });
    }

    function hide() {
      if (box.hidden) return;
      box.hidden = true;
      document.documentElement.classList.remove("wz-zoomed");
      videos.forEach((video) => { video.pause(); video.removeAttribute("src"); video.load(); });
      before?.focus?.({ preventScroll: true });
    }

    /* The page has newer facts: the same two stay open, while they are there. */
    function refresh(nextGrid, keptChoice) {
      kept = keptChoice;
      if (box.hidden || !grid || nextGrid.name !== grid.name) return;
      const again = nextGrid.pairs.find((item) => item.prompt === pair.prompt && item.seed === pair.seed && item.clip === pair.clip);
      if (!again || !sides.every((key) => again.cells[key]?.state === "made")) { hide(); return; }
      grid = nextGrid; pair = again;
      draw();
    }

    const strengthOf = (key) => +key.slice(key.lastIndexOf("|") + 1);
    const madeKey = (key) => (pair.cells[key]?.state === "made" ? key : "");
    const order = () => ["|0", ...grid.rows.flatMap((row) => grid.strengths.map((strength) => `${row.id}|${labStrength(strength)}`))];

    function nameOf(key) {
      if (key === "|0") return "base model";
      const at = key.lastIndexOf("|"), row = grid.rows.find((item) => item.id === key.slice(0, at));
      return `${row ? row.title : "?"} at ${labShown(key.slice(at + 1))}`;
    }

    function draw() {
      prompt.textContent = `${pair.prompt} · seed ${pair.seed}`;
      const choices = order().filter(madeKey);
      sides.forEach((key, side) => {
        const cell = pair.cells[key];
        const wanted = choices.join("\n");
        if (names[side].dataset.choices !== wanted) {
          names[side].dataset.choices = wanted;
          names[side].replaceChildren(...choices.map((item) => el("option", { value: item }, nameOf(item))));
        }
        names[side].value = key;
        tags[side].textContent = nameOf(key);
        if (videos[side].getAttribute("src") !== cell.video) { videos[side].src = cell.video; videos[side].load(); }
        findings[side].textContent = cell.readings.join(" ");
        tables[side].replaceChildren(...cell.measures.map((item) => el("div", { title: item.note }, el("dt", {}, item.name), el("dd", {}, item.value))));
        const isKept = !!kept && key === `${kept.lora}|${labStrength(kept.strength)}`;
        keeps[side].hidden = !(strengthOf(key) > 0);
        keeps[side].disabled = isKept;
        keeps[side].textContent = isKept ? "★ Kept" : "Keep this one";
      });
      const cell = pair.cells[sides[0]];
      scrub.max = cell.frames - 1;
      stage.style.setProperty("--wz-zoom-aspect", `${cell.layout.width} / ${cell.layout.height}`);
      play.textContent = playing ? "Pause" : "Play";
    }

    function set(side, key) { if (!madeKey(key)) return; const at = videos[0].currentTime; sides[side] = key; draw(); videos[side].addEventListener("loadeddata", () => { videos[side].currentTime = at; resume(); }, { once: true }); }
    function keep(side) { const at = sides[side].lastIndexOf("|"); if (strengthOf(sides[side]) > 0) on.keep(sides[side].slice(0, at), strengthOf(sides[side])); }

    /* Playing: the left one leads. */
    const fps = () => pair.cells[sides[0]].fps;
    function setPlaying(value) { playing = value; play.textContent = playing ? "Pause" : "Play"; if (playing) resume(); else { videos.forEach((video) => video.pause()); videos[1].currentTime = videos[0].currentTime; } }
    function resume() { if (playing && !box.hidden && videos.every((video) => video.readyState >= 2)) videos.forEach((video) => video.play().catch(() => {})); }
    function seek(index) { const at = (index + 0.5) / fps(); videos.forEach((video) => { video.currentTime = at; }); }
    function step(by) { setPlaying(false); seek(Math.max(0, Math.min(+scrub.max, frame + by))); }
    function follow() { // only while it is open: a page that asks for every frame never rests
      following = 0;
      if (box.hidden || !pair) return;
      following = requestAnimationFrame(follow);
      const [lead, other] = videos;
      frame = Math.min(+scrub.max, Math.floor(lead.currentTime * fps() + 1e-3));
      if (document.activeElement !== scrub || playing) scrub.value = frame;
      count.textContent = `frame ${frame + 1} of ${+scrub.max + 1}`;
      if (playing && !lead.seeking && !other.seeking && !lead.ended && Math.abs(other.currentTime - lead.currentTime) > 0.6 / fps()) other.currentTime = lead.currentTime;
    }

    /* The wipe. */
    function setWipe(value) {
      wipe = Math.max(0, Math.min(100, value));
      stage.style.setProperty("--wz-wipe", `${wipe}%`);
      handle.setAttribute("aria-valuenow", Math.round(wipe));
    }
    function move(event) { const bounds = stage.getBoundingClientRect(); setWipe(((event.clientX - bounds.left) / bounds.width) * 100); }
    function setMode(value) {
      mode = value;
      stage.dataset.mode = mode;
      for (const button of modes.children) button.classList.toggle("is-on", button.dataset.mode === mode);
    }
    function modeButton(value, text) { return el("button", { type: "button", "data-mode": value, onclick: () => setMode(value) }, text); }

    function onKey(event) {
      if (box.hidden) return;
      if (event.key === "Tab") { trap(event); return; }
      if (event.target.tagName === "SELECT" && event.key !== "Escape") return;
      const arrows = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -1, ArrowDown: 1 };
      if (event.key === "Escape") hide();
      else if (event.key === " ") setPlaying(!playing);
      else if (event.key === "," || event.key === ".") step(event.key === "," ? -1 : 1);
      else if (event.key === "w") setMode(mode === "wipe" ? "beside" : "wipe");
      else if (event.key === "k") keep(1);
      else if (event.key === "Home" || event.key === "End") setWipe(event.key === "Home" ? 0 : 100);
      else if (event.shiftKey && event.key in arrows) walk(event.key, arrows[event.key]);
      else if ((event.key === "ArrowLeft" || event.key === "ArrowRight") && event.target !== scrub) setWipe(wipe + arrows[event.key] * WIPE_STEP);
      else return;
      event.preventDefault();
      event.stopPropagation();
    }

    /* The right one goes through the grid: another strength, or another checkpoint. */
    function walk(key, by) {
      const at = sides[1].lastIndexOf("|");
      let row = Math.max(0, grid.rows.findIndex((item) => item.id === sides[1].slice(0, at)));
      let column = grid.strengths.findIndex((strength) => labStrength(strength) === sides[1].slice(at + 1));
      if (key === "ArrowLeft" || key === "ArrowRight") column += by; else row += by;
      if (column < 0) { set(1, "|0"); return; }
      const next = grid.rows[row] && grid.strengths[column] !== undefined ? `${grid.rows[row].id}|${labStrength(grid.strengths[column])}` : "";
      if (next) set(1, next);
    }

    function trap(event) {
      const stops = [...box.querySelectorAll("button:not([disabled]):not([hidden]), select, input, [tabindex='0']")];
      const first = stops[0], last = stops[stops.length - 1];
      if (event.shiftKey && document.activeElement === first) { last.focus(); event.preventDefault(); }
      else if (!event.shiftKey && document.activeElement === last) { first.focus(); event.preventDefault(); }
    }

    function keyHelp() {
      return [["←→", "wipe"], ["Shift ←→↑↓", "other strength or checkpoint"], ["Space", "play"], [", .", "frame"], ["W", "side by side"], ["K", "keep the right one"], ["Esc", "close"]]
        .map(([key, what]) => el("span", {}, el("kbd", {}, key), ` ${what}`));
    }

    return { open, refresh, hide };
  };
})();
