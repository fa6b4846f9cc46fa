/* Runs over each other: which ones, their losses on one plot, and what their recipes differ in. */
(() => {
  "use strict";
  const { el, fetchJson, plot } = window.wizard;
  const COLOURS = 8, MOST = 8, FIRST = 4;
  const DASHES = [[], [6, 3]];

  window.wizard.define("runs", (root, act) => {
    let project = "", runs = [], chosen = [], compared = null, axis = "step", timer = 0, turn = 0, parts = null, picked = false;
    const curves = new Map(); /* of each run: what was fetched so far */

    return (data) => {
      if (!data || !data.runs.length) { root.hidden = true; return; }
      root.hidden = data.runs.length < 2;
      if (project !== data.project) { project = data.project; chosen = []; picked = false; curves.clear(); }
      parts = parts || build();
      if (parts.fold.open) refresh();
      parts.count.textContent = String(data.runs.length);
    };

    function build() {
      const made = { count: el("span.wz-count"), list: el("div"), chart: el("div"), table: el("div.wz-differences"), caution: el("p.wz-muted") };
      const axes = el("div.wz-tabs", { role: "group", "aria-label": "What the plot is over" }, [["step", "Steps"], ["minute", "Training time"]].map(([key, title]) =>
        el("button.wz-tab", { type: "button", "aria-pressed": String(key === axis), onclick: (event) => { axis = key; axes.querySelectorAll("button").forEach((other) => other.setAttribute("aria-pressed", String(other === event.currentTarget))); parts.plot.axis(key); drawAll(); } }, title)));
      made.fold = el("details.wz-fold", { ontoggle: () => { if (made.fold.open) refresh(); else stopLooking(); } },
        el("summary", {}, "Compare runs ", made.count),
        el("p.wz-muted", {}, "Tick runs to lay them over each other. The table names only the settings that differ."),
        made.list,
        el("div.wz-line.wz-compare-head", {}, el("h2", {}, "Loss"), el("span.wz-muted", {}, "thin: training, smoothed; dots: validation"), el("span.wz-grow"), axes),
        made.chart, made.caution, made.table);
      root.replaceChildren(made.fold);
      made.plot = plot(made.chart, { label: "Losses of the chosen runs", noRaw: true, empty: "Tick a run to see its loss." });
      return made;
    }

    /* Another part of the page asks to see some runs. */
    window.wizard.compareRuns = (names) => { chosen = names.slice(0, MOST); picked = true; root.hidden = false; parts.fold.open = true; refresh(); parts.fold.scrollIntoView({ behavior: "smooth", block: "start" }); };

    function stopLooking() { turn += 1; clearTimeout(timer); }

    async function refresh() {
      stopLooking();
      const mine = turn;
      try {
        const answer = await fetchJson(`/wizard/live/runs?${new URLSearchParams({ project })}`);
        if (mine !== turn) return;
        runs = answer.runs;
        const known = new Set(runs.map((run) => run.name));
        chosen = chosen.filter((name) => known.has(name));
        if (!picked) { picked = true; chosen = runs.filter((run) => run.step).slice(0, FIRST).map((run) => run.name); }
        showList();
        await compareChosen(mine);
        if (mine !== turn) return;
        await follow(mine);
      } catch (error) { if (mine === turn) say(error); }
    }

    function showList() {
      parts.list.replaceChildren(el("div.wz-table-box", {}, el("table.wz-table.wz-run-table", {},
        el("thead", {}, el("tr", {}, ["", "Run", "Steps", "Lowest validation loss", "Time", "Memory", ""].map((title) => el("th", { scope: "col" }, title)))),
        el("tbody", {}, runs.map((run) => {
          const at = chosen.indexOf(run.name), swatch = el("i.wz-swatch");
          swatch.style.background = at < 0 ? "transparent" : `var(${colour(at)})`;
          return el("tr", { class: at < 0 ? "" : "is-chosen" },
            el("td", {}, el("label.wz-run-tick", {}, el("input", { type: "checkbox", checked: at >= 0, disabled: at < 0 && chosen.length >= MOST, "aria-label": `Show ${run.name}`, onchange: (event) => choose(run.name, event.target.checked) }), swatch)),
            el("td", {}, el("strong", {}, run.name), compared?.best === run.name ? el("span.wz-badge.good", {}, "best") : null, el("small.wz-state", {}, `${run.title}, ${run.state}`)),
            el("td.num", {}, `${run.step.toLocaleString("en")} of ${run.steps.toLocaleString("en")}`),
            el("td.num", {}, run.best ? `${run.best[1].toFixed(4)} at ${run.best[0].toLocaleString("en")}` : "–"),
            el("td.num", { title: "All steps; encoding and samples are not counted" }, run.time || "–"),
            el("td.num", {}, run.peak ? `${run.peak.toFixed(1)} GB` : "–"),
            el("td.wz-tools", {}, el("button.wz-btn.small", { type: "button", title: "Its recipe goes to the step Recipe, in place of the one there; nothing starts yet", "data-again": run.name, onclick: () => act({ do: "train_again", run: run.name }) }, "Train again with changes")));
        })))));
    }

    function colour(at) { return `--wz-plot-${at % COLOURS + 1}`; }
    function choose(name, on) {
      chosen = on ? [...chosen, name] : chosen.filter((other) => other !== name);
      refresh();
    }

    async function compareChosen(mine) {
      parts.plot.define(chosen.flatMap((name, at) => [
        { key: `${name} v`, of: name, label: `${name}, validation`, colour: colour(at), look: "dots", width: 2 },
        { key: name, label: name, colour: colour(at), smoothed: true, width: 1.3, alpha: 0.75, dash: DASHES[Math.floor(at / COLOURS)] },
      ]));
      drawAll();
      if (!chosen.length) { parts.table.replaceChildren(); parts.caution.textContent = ""; return; }
      const query = new URLSearchParams({ project });
      chosen.forEach((name) => query.append("run", name));
      const answer = await fetchJson(`/wizard/live/runs/compare?${query}`);
      if (mine !== turn) return;
      compared = answer;
      parts.caution.textContent = answer.caution;
      showExtent();
      showDifferences();
      showList();
    }

    function showDifferences() {
      const { runs: given, differences, best } = compared;
      const rows = [
        ...differences.map((item) => [item.title, item.values, true]),
        ["Lowest validation loss", given.map((run) => (run.best ? run.best[1].toFixed(4) : "–"))],
        ["at step", given.map((run) => (run.best ? run.best[0].toLocaleString("en") : "–"))],
        ["Seconds a step", given.map((run) => (run.step_s ? run.step_s.toFixed(2) : "–"))],
        ["Training time", given.map((run) => run.time || "–")],
        ["Peak memory", given.map((run) => (run.peak ? `${run.peak.toFixed(1)} GB` : "–"))],
        ...(given.some((run) => run.changes.length) ? [["Changed on the way", given.map((run) => run.changes.join(" ") || "–")]] : []),
      ];
      parts.table.replaceChildren(
        el("h2", {}, differences.length ? "What differs" : given.length > 1 ? "The recipes are the same" : "What came of it"),
        el("div.wz-table-box", {}, el("table.wz-table", {},
          el("thead", {}, el("tr", {}, el("th", { scope: "col" }, ""), given.map((run, at) => { const swatch = el("i.wz-swatch"); swatch.style.background = `var(${colour(at)})`; return el("th", { scope: "col" }, swatch, run.name, run.name === best ? el("span.wz-badge.good", {}, "best") : null); }))),
          el("tbody", {}, rows.map(([title, values, isSetting]) => el("tr", { class: isSetting ? "is-setting" : "" }, el("th", { scope: "row" }, title), values.map((value, at) => el("td.num", { class: given[at].name === best && title === "Lowest validation loss" ? "num is-best" : "num" }, value))))))));
    }

    /* Fetch what is missing of each chosen run, and go on with those that train. */
    async function follow(mine) {
      clearTimeout(timer);
      let more = false;
      for (const name of [...chosen]) {
        if (mine !== turn) return;
        more = (await fetchRun(name, mine)) || more;
      }
      const live = chosen.some((name) => !curves.get(name)?.over);
      if (mine === turn && (more || live)) timer = setTimeout(() => look(mine, more), more ? 10 : 1000);
    }
    function look(mine, more) {
      if (mine !== turn) return;
      if (document.documentElement.dataset.step === "train" || more) follow(mine).catch(say);
      else timer = setTimeout(() => look(mine, more), 2000);
    }

    /* An answer of an earlier turn is of no use: the present one has asked for the same. */
    async function fetchRun(name, mine) {
      let kept = curves.get(name) || empty();
      const view = await fetchJson(`/wizard/live/run/curves?${new URLSearchParams({ project, run: name, ...kept.have })}`);
      if (mine !== turn) return false;
      if (kept.have.gen && view.generation !== kept.have.gen) { kept = empty(); parts.plot.clear(name); parts.plot.clear(`${name} v`); }
      const from = kept.steps.length;
      if (view.from !== from) return false;
      view.rows.step.forEach((step, at) => { kept.seconds += view.rows.step_s[at] || 0; kept.steps.push(step); kept.losses.push(view.rows.loss[at]); kept.minutes.push(kept.seconds / 60); });
      kept.checks.push(...view.validations);
      kept.have = { gen: view.generation, rows: kept.steps.length, validations: kept.checks.length };
      kept.over = view.over;
      kept.whole = view.over && !view.more;
      curves.set(name, kept);
      draw(name, kept, from);
      return view.more;
    }
    function empty() { return { have: { gen: 0, rows: 0, validations: 0 }, steps: [], losses: [], minutes: [], checks: [], drawn: 0, seconds: 0, whole: false }; }

    /* from: the first step that is new to the plot. A check is drawn once its step is here: it tells the minute.
       Once all is here, one of a step that was skipped is drawn at the last. */
    function draw(name, kept, from) {
      const xs = axis === "step" ? kept.steps : kept.minutes;
      parts.plot.add(name, from ? xs.slice(from) : xs, from ? kept.losses.slice(from) : kept.losses);
      const last = kept.whole ? Infinity : kept.steps.at(-1) ?? 0, found = [];
      while (kept.drawn < kept.checks.length && kept.checks[kept.drawn].step <= last) found.push(kept.checks[kept.drawn++]);
      parts.plot.add(`${name} v`, found.map((item) => (axis === "step" ? item.step : minuteOf(kept, item.step))), found.map((item) => item.loss));
    }
    /* When the last step that is not beyond it was done; 0 before the first. */
    function minuteOf(kept, step) {
      let low = 0, high = kept.steps.length;
      while (low < high) { const middle = (low + high) >> 1; kept.steps[middle] <= step ? (low = middle + 1) : (high = middle); }
      return kept.minutes[low - 1] ?? 0;
    }
    function showExtent() {
      const most = Math.max(0, ...(compared?.runs || []).map((run) => run.step));
      parts.plot.extent(axis === "step" ? most : 0, most);
    }
    function drawAll() {
      parts.plot.clear();
      showExtent();
      for (const name of chosen) if (curves.has(name)) { curves.get(name).drawn = 0; draw(name, curves.get(name), 0); }
    }

    function say(error) {
      if (!error.data) console.warn(error);
      parts.caution.textContent = error.data ? `${error.data.problem} ${error.data.remedy}` : "LTX Wizard did not answer. Open this again.";
    }
  });
})();
