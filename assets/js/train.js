/* A training while it runs: only what is new is fetched and added; videos that play are never touched. */
(() => {
  "use strict";
  const { el, fetchJson, plot } = window.wizard;
  const RUNNING = new Set(["waiting", "running"]);
  const QUANTITIES = [
    ["loss", "Loss", "--wz-accent", "each step"], ["grad_norm", "Gradient", "--wz-plot-3", "length of the gradient, before it is cut"],
    ["learning_rate", "Learning rate", "--wz-plot-2", ""], ["step_s", "Step time", "--wz-plot-5", "seconds of a step"], ["memory_gib", "Memory", "--wz-plot-6", "GB on the card, at the peak so far"],
  ];
  const SMOOTHED = new Set(["loss", "grad_norm", "step_s"]);
  const WORDS = { good: "Good", note: "Note", warning: "Look at this", problem: "Problem" };
  const MARK_GROUP = { grad_norm: "grad_norm" };
  const NEAR_PX = "400px";

  window.wizard.define("train", (root, act) => {
    let target = null, known = "", timer = 0, parts = null, settled = false, turn = 0, quantity = "loss";
    let have = fresh(), marks = [], bands = [], adviceText = "";
    function fresh() { return { gen: 0, rows: 0, validations: 0, samples: 0 }; }

    return (data) => {
      const run = data && data.run ? `${data.project}\n${data.run}` : "";
      target = data;
      if (run !== known) { known = run; turn += 1; begin(run); }
      settled = false;
      clearTimeout(timer);
      if (run) follow(turn);
    };

    function begin(run) {
      if (!run) { root.hidden = true; return; }
      root.hidden = false;
      parts = parts || build();
      adviceText = "";
      set(parts.health, "Reading the run ..."); set(parts.now, ""); set(parts.log, "");
      for (const part of [parts.advice, parts.notes, parts.problem, parts.figures]) part.replaceChildren();
      startAgain();
    }
    function startAgain() {
      have = fresh(); bands = [];
      parts.plot.define([]);
      parts.plot.define(lines());
      parts.plot.clear();
      parts.rows.clear(); parts.samples.replaceChildren(); parts.seen.disconnect();
    }

    function build() {
      const made = {
        figures: el("dl.wz-figures"), health: el("p.wz-health"), now: el("p.wz-now"), problem: el("div"), chart: el("div.wz-train-plot"), advice: el("div.wz-advices"),
        samples: el("div.wz-samples"), log: el("pre.wz-log"), notes: el("ul.wz-lint"), bar: el("i"), rows: new Map(), saved: el("p.wz-saved-plot", { role: "status" }),
      };
      const tabs = el("div.wz-tabs", { role: "group", "aria-label": "What the plot shows" }, QUANTITIES.map(([key, title]) =>
        el("button.wz-tab", { type: "button", "aria-pressed": String(key === quantity), "data-quantity": key, onclick: (event) => choose(key, event.currentTarget) }, title)));
      root.replaceChildren(made.problem,
        el("div.wz-train-top", {}, el("div.wz-line", {}, made.now, el("span.wz-grow"), made.health), el("div.wz-bar.big", {}, made.bar), made.figures),
        el("section.wz-card.wz-chart-card", {}, el("div.wz-line", {}, el("h2", {}, "How it goes"), el("span.wz-grow"), tabs), made.chart,
          el("div.wz-line.wz-plot-save", {}, made.saved, el("span.wz-grow"),
            el("button.wz-btn.small.quiet", { type: "button", "data-save-plot": "png", onclick: () => savePlot() }, "Save plot and numbers"))),
        made.advice,
        el("section.wz-section", {}, el("h2", {}, "Samples"), made.samples),
        made.notes,
        el("details.wz-log-box", {}, el("summary", {}, "Log"), made.log));
      made.plot = plot(made.chart, { label: "The training over its steps", empty: "The first step is not done yet." });
      made.seen = new IntersectionObserver((entries) => entries.forEach(playInView), { rootMargin: NEAR_PX });
      made.plot.group(quantity);
      return made;
    }

    function lines() {
      return QUANTITIES.flatMap(([key, title, colour, explanation]) => [
        { key, group: key, label: key === "loss" ? "Training" : title, title: explanation, colour, smoothed: SMOOTHED.has(key) },
        ...(key === "loss" ? [{ key: "validation", group: "loss", label: "Validation", title: "Loss on clips that it never trains on", colour: "--wz-plot-2", look: "dots" }, ...bands] : []),
      ]);
    }

    function choose(key, button) {
      quantity = key;
      button.parentElement.querySelectorAll("button").forEach((other) => other.setAttribute("aria-pressed", String(other === button)));
      parts.plot.group(key);
      showMarks();
    }

    async function savePlot() {
      set(parts.saved, "Writing ...");
      try {
        const made = await fetchJson("/wizard/live/run/plot", { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ project: target.project, run: target.run }) });
        parts.saved.replaceChildren(`Saved in ${made.folder}: `, ...made.files.flatMap((file, at) => [at ? ", " : "", el("a", { href: file.url, download: file.name }, file.name)]));
      } catch (error) { set(parts.saved, error.data ? `${error.data.problem} ${error.data.remedy}` : "LTX Wizard did not answer. Try again."); }
    }

    async function follow(mine) {
      clearTimeout(timer);
      if (mine !== turn) return;
      let more = false;
      if (document.documentElement.dataset.step === "train") more = await fetchOnce(mine);
      if (mine === turn && (more || !settled)) timer = setTimeout(() => follow(mine), more ? 20 : 1000);
    }

    async function fetchOnce(mine) {
      const query = new URLSearchParams({ project: target.project, run: target.run, ...have });
      try {
        const view = await fetchJson(`/wizard/live/run?${query}`);
        if (mine !== turn) return false;
        take(view);
        return view.more;
      } catch (error) { if (error.data && mine === turn) problem(error.data); return false; }
    }

    function take(view) {
      if (have.gen && view.generation !== have.gen) startAgain(); /* it went back to a checkpoint: what came after is no longer true */
      if (view.from !== have.rows || view.validations_from !== have.validations || view.samples_from !== have.samples) { startAgain(); settled = false; return; }
      have = { gen: view.generation, rows: have.rows + view.rows.step.length, validations: have.validations + view.validations.length, samples: have.samples + view.samples.length };
      settled = !RUNNING.has(view.state);
      for (const [key] of QUANTITIES) parts.plot.add(key, view.rows.step, view.rows[key]);
      addValidations(view.validations);
      parts.plot.extent(view.steps);
      parts.bar.style.width = `${(view.fraction * 100).toFixed(1)}%`;
      set(parts.now, view.stopping && !settled ? "Stopping after this step ..." : view.paused && !settled ? "Paused" : view.now);
      set(parts.health, view.health);
      showFigures(view.figures);
      showAdvice(view);
      showSamples(view.samples);
      set(parts.log, view.log);
      const notes = [...view.warnings, ...view.changes];
      if (parts.notes.children.length !== notes.length) parts.notes.replaceChildren(...notes.map((note) => el("li", {}, note)));
      problem(view.problem ? view : null);
    }

    function addValidations(found) {
      if (!found.length) return;
      const names = Object.keys(found[found.length - 1].bands).sort((a, b) => a - b);
      if (names.length && !bands.length) {
        bands = names.map((name, at) => ({ key: `band ${name}`, band: name, group: "loss", label: `noise ${name}`, title: `Validation loss at noise level ${name}: low levels are fine detail, high levels are composition and motion`, colour: `--wz-plot-${at % 6 + 3}`, look: "dots", hidden: true }));
        parts.plot.define(lines());
      }
      const steps = found.map((item) => item.step);
      parts.plot.add("validation", steps, found.map((item) => item.loss));
      for (const band of bands) parts.plot.add(band.key, steps, found.map((item) => item.bands[band.band] ?? null));
    }

    function showFigures(figures) {
      if (parts.figures.children.length !== figures.length)
        parts.figures.replaceChildren(...figures.map(([name]) => el("div", {}, el("dt", {}, name), el("dd"))));
      figures.forEach(([, value], index) => set(parts.figures.children[index].querySelector("dd"), value));
    }

    /* Advice in words; pointing at it lights up its evidence on the plot. */
    function showAdvice(view) {
      const text = JSON.stringify([view.advice, view.recommended, settled]);
      if (text === adviceText) return;
      adviceText = text;
      marks = view.advice.flatMap((advice) => advice.marks.map((mark) => ({ ...mark, id: advice.id, tone: advice.severity, group: MARK_GROUP[mark.series] || "loss" })));
      if (view.recommended) marks.push({ id: "recommended", from: view.recommended.step, to: view.recommended.step, value: null, label: `${settled ? "keep" : "best so far:"} step ${view.recommended.step.toLocaleString("en")}`, tone: "good", group: "loss" });
      showMarks();
      const cards = view.advice.map((advice) => card(advice.id, advice.severity, advice.title, advice.text, advice.to_do,
        settled && advice.changes.length ? el("button.wz-btn.small", { type: "button", "data-advice": advice.id, onclick: () => act({ do: "train_again", run: target.run, advice: advice.id }) }, "Train again with this changed") : null));
      if (view.recommended) cards.push(card("recommended", "good", `${settled ? "Keep" : "Best so far:"} step ${view.recommended.step.toLocaleString("en")}`, view.recommended.why, [], null));
      parts.advice.replaceChildren(...cards);
    }
    function card(id, severity, title, text, toDo, action) {
      const box = el(`article.wz-advice-card.is-${severity}`, { tabIndex: 0, "data-advice-id": id },
        el("div.wz-line", {}, el(`span.wz-tone`, {}, WORDS[severity] || severity), el("strong", {}, title)), el("p", {}, text),
        toDo.length ? el("ul", {}, toDo.map((item) => el("li", {}, item))) : null, action);
      for (const [on, off] of [["mouseenter", "mouseleave"], ["focusin", "focusout"]]) { box.addEventListener(on, () => parts.plot.light(id)); box.addEventListener(off, () => parts.plot.light("")); }
      return box;
    }
    function showMarks() { parts.plot.marks(marks.filter((mark) => mark.group === quantity)); }

    function showSamples(samples) {
      for (const sample of samples) {
        let row = parts.rows.get(sample.prompt_index);
        if (!row) {
          row = { videos: new Map(), track: el("div.wz-sample-track", { tabIndex: 0, role: "group", "aria-label": `Samples of: ${sample.prompt}` }) };
          parts.rows.set(sample.prompt_index, row);
          parts.samples.append(el("div.wz-sample-row", {}, el("p.wz-sample-prompt", {}, sample.prompt), row.track));
        }
        const video = el("video", { muted: true, loop: true, playsInline: true, preload: "none", "data-url": sample.url, "data-step": sample.step, "aria-label": sample.step ? `Sample at step ${sample.step}` : "Sample of the base model" });
        video.muted = true;
        video.addEventListener("loadeddata", () => align(row));
        row.videos.get(sample.step) && parts.seen.unobserve(row.videos.get(sample.step));
        row.videos.set(sample.step, video);
        parts.seen.observe(video);
        const cell = el("figure.wz-sample", { class: `wz-sample${sample.step ? "" : " is-base"}`, "data-step": sample.step }, video, el("figcaption", {}, sample.step ? `step ${sample.step.toLocaleString("en")}` : "base model"), measures(sample));
        const atEnd = row.track.scrollLeft + row.track.clientWidth >= row.track.scrollWidth - 8; // else somebody looks at earlier ones
        const after = [...row.track.children].find((item) => +item.dataset.step >= sample.step);
        if (after && +after.dataset.step === sample.step) after.replaceWith(cell);
        else row.track.insertBefore(cell, after || null);
        if (atEnd) row.track.scrollLeft = row.track.scrollWidth;
      }
      if (!parts.rows.size && !parts.samples.children.length)
        parts.samples.append(el("p.wz-muted.wz-none", {}, "The first samples come from the base model, for comparison. They are made once the data is encoded."));
      else if (samples.length) parts.samples.querySelector(".wz-none")?.remove();
    }
    /* What was measured on a sample, and what stands out in it. */
    function measures(sample) {
      if (!sample.measures.length) return null;
      return el("div.wz-measured", {}, sample.readings.length ? el("p", {}, sample.readings[0]) : null,
        el("dl.wz-measures", {}, sample.measures.map((item) => el("div", { title: item.note }, el("dt", {}, item.name), el("dd", {}, item.value)))));
    }

    /* Only what is in sight is loaded: a long run has hundreds of samples. */
    function playInView(entry) {
      const video = entry.target;
      if (entry.isIntersecting && !video.src) { video.src = video.dataset.url; video.preload = "auto"; video.play().catch(() => {}); }
      else if (!entry.isIntersecting && video.src) { video.removeAttribute("src"); video.load(); }
    }
    /* In sync: all videos of a row show the same moment. */
    function align(row) {
      const videos = [...row.videos.values()].filter((video) => video.src && video.readyState > 1), lead = videos[0];
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
