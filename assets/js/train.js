/* A training while it runs: only what is new is fetched and added; videos that play are never touched. */
(() => {
  "use strict";
  const { el, fetchJson, lossChart } = window.wizard;
  const RUNNING = new Set(["waiting", "running"]);

  window.wizard.define("train", (root) => {
    let target = null, losses = [], smoothed = [], known = "", timer = 0, parts = null, settled = false, generation = 0;

    return (data) => {
      const run = data && data.run ? `${data.project}\n${data.run}` : "";
      target = data;
      if (run !== known) {
        known = run;
        losses = []; smoothed = [];
        generation += 1;
        parts = run ? build() : (root.replaceChildren(), null);
      }
      settled = false;
      clearTimeout(timer);
      if (run) follow(generation);
    };

    function build() {
      const made = {
        figures: el("dl.wz-figures"), health: el("p.wz-health", {}, "Reading the run ..."), now: el("p.wz-now"),
        problem: el("div"), chart: el("div.wz-chart-box"), samples: el("div.wz-samples"), log: el("pre.wz-log"),
        notes: el("ul.wz-lint"), bar: el("i"),
      };
      root.replaceChildren(made.problem,
        el("div.wz-train-top", {}, el("div.wz-line", {}, made.now, el("span.wz-grow"), made.health), el("div.wz-bar.big", {}, made.bar), made.figures),
        el("section.wz-card.wz-chart-card", {},
          el("div.wz-line", {}, el("h2", {}, "Loss"), el("span.wz-grow"),
            el("span.wz-legend", {}, key("raw", "each step"), key("smooth", "smoothed"), key("dot", "validation: clips it never trains on"))), made.chart),
        el("section.wz-section", {}, el("h2", {}, "Samples"), made.samples),
        made.notes,
        el("details.wz-log-box", {}, el("summary", {}, "Log"), made.log));
      made.draw = lossChart(made.chart);
      made.rows = new Map();
      return made;
    }

    function key(kind, text) { return el("span.wz-legend-item", {}, el("i", { class: `is-${kind}` }), text); }

    async function follow(mine) {
      clearTimeout(timer);
      if (mine !== generation) return;
      if (document.documentElement.dataset.step === "train") await fetchOnce(mine);
      if (mine === generation && !settled) timer = setTimeout(() => follow(mine), 1000);
    }

    async function fetchOnce(mine) {
      const after = losses.length ? losses[losses.length - 1][0] : 0;
      const query = new URLSearchParams({ project: target.project, run: target.run, after });
      try {
        const view = await fetchJson(`/wizard/live/run?${query}`);
        if (mine !== generation) return;
        take(view);
      } catch (error) { if (error.data) problem(error.data); }
    }

    function take(view) {
      /* A resumed run goes back to its last checkpoint: what came after it is no longer true. */
      if (losses.length && view.step < losses[losses.length - 1][0]) { losses = []; smoothed = []; timer = setTimeout(() => follow(generation), 50); return; }
      losses.push(...view.losses);
      smoothed.push(...view.smoothed);
      settled = !RUNNING.has(view.state);
      parts.draw.show({ losses, smoothed, validations: view.validations, steps: view.steps });
      parts.bar.style.width = `${view.fraction * 100}%`;
      set(parts.now, view.stopping && !settled ? "Stopping after this step ..." : view.paused && !settled ? "Paused" : view.now);
      set(parts.health, view.health);
      showFigures(view.figures);
      showSamples(view.samples);
      set(parts.log, view.log);
      const notes = [...view.warnings, ...view.changes];
      if (parts.notes.children.length !== notes.length) parts.notes.replaceChildren(...notes.map((note) => el("li", {}, note)));
      problem(view.problem ? view : null);
    }

    function showFigures(figures) {
      if (parts.figures.children.length !== figures.length)
        parts.figures.replaceChildren(...figures.map(([name]) => el("div", {}, el("dt", {}, name), el("dd"))));
      figures.forEach(([, value], index) => set(parts.figures.children[index].querySelector("dd"), value));
    }

    function showSamples(samples) {
      for (const sample of samples) {
        let row = parts.rows.get(sample.prompt_index);
        if (!row) {
          row = { videos: new Map(), track: el("div.wz-sample-track") };
          parts.rows.set(sample.prompt_index, row);
          parts.samples.append(el("div.wz-sample-row", {}, el("p.wz-sample-prompt", {}, sample.prompt), row.track));
        }
        const shown = row.videos.get(sample.step);
        if (shown && shown.dataset.url === sample.url) continue;
        const video = el("video", { src: sample.url, muted: true, loop: true, autoplay: true, playsInline: true, preload: "auto", "data-url": sample.url, "data-step": sample.step });
        video.addEventListener("loadeddata", () => align(row), { once: true });
        row.videos.set(sample.step, video);
        const cell = el("figure.wz-sample", { class: `wz-sample${sample.step ? "" : " is-base"}`, "data-step": sample.step }, video, el("figcaption", {}, sample.step ? `step ${sample.step.toLocaleString("en")}` : "base model"));
        const after = [...row.track.children].find((item) => +item.dataset.step >= sample.step);
        if (after && +after.dataset.step === sample.step) after.replaceWith(cell);
        else row.track.insertBefore(cell, after || null);
        row.track.scrollLeft = row.track.scrollWidth;
      }
      if (!samples.length && !parts.rows.size && !parts.samples.children.length)
        parts.samples.append(el("p.wz-muted.wz-none", {}, "The first samples come from the base model, for comparison. They are made once the data is encoded."));
      else if (samples.length) parts.samples.querySelector(".wz-none")?.remove();
    }

    /* In sync: all videos of a row show the same moment. */
    function align(row) {
      const videos = [...row.videos.values()], lead = videos[0];
      videos.slice(1).forEach((video) => { if (Math.abs(video.currentTime - lead.currentTime) > 0.08) video.currentTime = lead.currentTime; });
      videos.forEach((video) => video.play().catch(() => {}));
    }
    setInterval(() => { if (parts && document.documentElement.dataset.step === "train") parts.rows.forEach(align); }, 4000);

    function problem(view) {
      if (!view) { if (parts.problem.children.length) parts.problem.replaceChildren(); return; }
      if (parts.problem.dataset.text === view.problem && parts.problem.children.length) return;
      parts.problem.dataset.text = view.problem;
      parts.problem.replaceChildren(el("div.wz-notice.wz-bad", { role: "alert" }, el("div", {}, el("strong", {}, view.problem), el("p", {}, view.remedy))));
    }

    function set(element, text) { if (element.textContent !== text) element.textContent = text; }
  });
})();
