/* Several settings one after another: what to try, how long it takes, how far it is, which was best. */
(() => {
  "use strict";
  const { el, fetchJson } = window.wizard;
  const MOST_AXES = 3, TYPING_MS = 350;
  const WORDS = { queued: "waits", running: "trains", finished: "done", stopped: "stopped", failed: "failed" };

  window.wizard.define("sweeps", (root) => {
    let project = "", parts = null, form = null, axes = [], timer = 0, typing = 0, turn = 0, shown = "", opened = false;

    return (data) => {
      if (!data) { root.hidden = true; return; }
      root.hidden = !data.ready;
      if (project !== data.project) { project = data.project; form = null; axes = []; shown = ""; opened = false; }
      parts = parts || build();
      refresh();
    };

    function build() {
      const made = { rows: el("div.wz-axes"), head: el("p.wz-sweep-plan", { role: "status" }), problem: el("p.wz-sweep-problem", { role: "alert" }), list: el("div.wz-sweeps") };
      made.start = el("button.wz-btn.soft", { type: "button", id: "sweep-start", disabled: true, onclick: () => send({ do: "start", axes }) }, "Start");
      made.more = el("button.wz-btn.small.quiet", { type: "button", onclick: () => { axes.push(["", ""]); showRows(); } }, "Vary another setting");
      made.fold = el("details.wz-fold", { id: "sweep-fold", ontoggle: () => { if (made.fold.open) { loadForm(); refresh(); } } },
        el("summary", {}, "Try several settings"),
        el("p.wz-muted", {}, "One run for each combination, one after another, with the recipe of the step before. Closing LTX Wizard does not end the run that trains; the next begins when LTX Wizard is open."),
        made.rows, el("div.wz-line", {}, made.more, el("span.wz-grow"), made.head, made.start), made.problem, made.list);
      root.replaceChildren(made.fold);
      return made;
    }

    async function loadForm() {
      if (form) return;
      try { form = await fetchJson(`/wizard/live/sweep?${new URLSearchParams({ project })}`); axes = form.axes.map((pair) => [...pair]); showRows(); } catch (error) { say(error); }
    }

    function showRows() {
      parts.rows.replaceChildren(...axes.map((pair, at) => {
        const values = el("input.wz-search", { type: "text", value: pair[1], "aria-label": "Values, between commas", placeholder: "values, between commas", oninput: (event) => { pair[1] = event.target.value; planSoon(); } });
        const hint = el("small.wz-muted"), describe = () => { hint.textContent = form.settings.find((item) => item.key === pair[0])?.hint || ""; };
        const setting = el("select", { "aria-label": "Setting", onchange: (event) => { pair[0] = event.target.value; describe(); planSoon(); } }, el("option", { value: "" }, "choose a setting"), form.settings.map((item) => el("option", { value: item.key, selected: item.key === pair[0] }, item.title)));
        describe();
        return el("div.wz-axis", {}, setting, values, hint, el("button.wz-icon-btn", { type: "button", title: "Do not vary this", "aria-label": "Do not vary this", onclick: () => { axes.splice(at, 1); showRows(); } }, "×"));
      }));
      parts.more.hidden = axes.length >= MOST_AXES;
      planSoon();
    }

    function planSoon() { clearTimeout(typing); parts.start.disabled = true; typing = setTimeout(plan, TYPING_MS); }
    async function plan() {
      const asked = JSON.stringify(axes);
      try {
        const made = await post("/wizard/live/sweep/plan", { axes });
        if (asked !== JSON.stringify(axes)) return;
        parts.problem.textContent = "";
        parts.head.textContent = `${made.runs} run${made.runs === 1 ? "" : "s"}: ${made.time}.`;
        parts.start.textContent = `Start ${made.runs} run${made.runs === 1 ? "" : "s"}`;
        parts.start.disabled = false;
      } catch (error) { if (asked === JSON.stringify(axes)) { parts.head.textContent = ""; say(error); } }
    }

    function post(address, data) { return fetchJson(address, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ project, ...data }) }); }
    async function send(wish, button) {
      if (button) button.disabled = true;
      parts.problem.textContent = "";
      try { const answer = await post("/wizard/live/sweep/do", wish); refresh(); window.wizard.poll(); return answer; } catch (error) { say(error); return null; } finally { if (button) button.disabled = false; }
    }
    function say(error) {
      if (!error.data) console.warn(error);
      parts.problem.textContent = error.data ? `${error.data.problem} ${error.data.remedy}` : "LTX Wizard did not answer. Try again.";
    }

    async function refresh() {
      clearTimeout(timer);
      const mine = (turn += 1);
      try {
        const { sweeps } = await fetchJson(`/wizard/live/runs?${new URLSearchParams({ project })}`);
        if (mine !== turn) return;
        const text = JSON.stringify(sweeps), active = sweeps.some((sweep) => sweep.state === "running");
        if (active && !opened) { opened = true; parts.fold.open = true; }
        if (text !== shown) { shown = text; parts.list.replaceChildren(...sweeps.map(card)); }
        if (active) timer = setTimeout(function again() { document.documentElement.dataset.step === "train" ? refresh() : (timer = setTimeout(again, 2000)); }, 2000);
      } catch (error) { if (!error.data) console.warn(error); timer = setTimeout(refresh, 5000); }
    }

    function card(sweep) {
      const title = sweep.axes.map((axis) => axis.title).join(" × "), total = sweep.entries.length;
      const state = sweep.state === "running" ? `${sweep.done} of ${total} done${sweep.left ? `, ${sweep.left} left` : ""}` : sweep.state === "done" ? `all ${total} done` : `stopped after ${sweep.done} of ${total}`;
      const saved = el("span.wz-muted.wz-saved-plot"), made = sweep.entries.filter((entry) => entry.run && entry.step).map((entry) => entry.run);
      const button = (text, act) => el("button.wz-btn.small", { type: "button", onclick: (event) => act(event.currentTarget) }, text);
      return el("article.wz-sweep", { "data-sweep": sweep.name, "data-state": sweep.state },
        el("div.wz-line", {}, el("strong", {}, title), el("span.wz-badge", { class: sweep.state === "done" ? "wz-badge good" : sweep.state === "running" ? "wz-badge soft" : "wz-badge warn", title: sweep.state === "running" && sweep.left ? `Time left: ${sweep.left_source}` : "" }, state), el("span.wz-muted", {}, sweep.recipe), el("span.wz-grow"),
          sweep.state === "running" ? button("Stop the sweep", (at) => send({ do: "stop", name: sweep.name }, at)) : null,
          sweep.state === "stopped" ? button("Go on", (at) => send({ do: "go_on", name: sweep.name }, at)) : null,
          made.length > 1 ? button("Compare its runs", () => window.wizard.compareRuns?.(made)) : null,
          made.length ? button("Save summary", async (at) => { const files = await send({ do: "save", name: sweep.name }, at); if (files) saved.replaceChildren(`Saved in ${files.folder}: `, ...files.files.flatMap((file, i) => [i ? ", " : "", el("a", { href: file.url, download: file.name }, file.name)])); }) : null),
        sweep.note ? el("p.wz-sweep-note", {}, sweep.note) : null,
        sweep.axes.length === 2 ? grid(sweep) : table(sweep),
        sweep.caution ? el("p.wz-muted", {}, sweep.caution) : sweep.best ? el("p.wz-muted", {}, "Lower is better. Each is one run with one seed: a small lead may be chance. Look at the samples, too.") : null,
        saved);
    }

    /* Two settings: one is the row, one the column. */
    function grid(sweep) {
      const [down, across] = sweep.axes, low = Math.min(...losses(sweep)), high = Math.max(...losses(sweep));
      return el("div.wz-table-box", {}, el("table.wz-table.wz-sweep-grid", {},
        el("caption.wz-unseen", {}, "Lowest validation loss of each run"),
        el("thead", {}, el("tr", {}, el("th", {}, `${down.title} ↓  ${across.title} →`), across.values.map((value) => el("th", { scope: "col" }, value)))),
        el("tbody", {}, down.values.map((value, row) => el("tr", {}, el("th", { scope: "row" }, value), across.values.map((_, column) => {
          const entry = sweep.entries[row * across.values.length + column], cell = el("td", { class: entry.run && entry.run === sweep.best ? "is-best" : "" }, words(entry, sweep));
          if (entry.best && high > low) cell.style.setProperty("--share", String(Math.round(100 * (high - entry.best[1]) / (high - low))));
          return cell;
        }))))));
    }
    function losses(sweep) { return sweep.entries.filter((entry) => entry.best).map((entry) => entry.best[1]); }
    function words(entry, sweep) {
      const best = entry.run && entry.run === sweep.best;
      const state = entry.state === "queued" && sweep.state !== "running" ? "not run" : WORDS[entry.state];
      const small = entry.state === "running" ? `${entry.step.toLocaleString("en")} of ${entry.steps.toLocaleString("en")} steps` : entry.best ? `at step ${entry.best[0].toLocaleString("en")}, ${entry.time}` : "";
      return [el("strong.num", {}, entry.best ? entry.best[1].toFixed(4) : state), best ? el("span.wz-badge.good", {}, "best") : entry.best && entry.state !== "finished" ? el("span.wz-badge", {}, WORDS[entry.state]) : null, el("small", {}, small)];
    }

    function table(sweep) {
      return el("div.wz-table-box", {}, el("table.wz-table", {},
        el("thead", {}, el("tr", {}, [...sweep.axes.map((axis) => axis.title), "Lowest validation loss", "Steps", "Time", "Memory"].map((title) => el("th", { scope: "col" }, title)))),
        el("tbody", {}, sweep.entries.map((entry) => el("tr", { class: entry.run && entry.run === sweep.best ? "is-best" : "" }, entry.values.map((value) => el("td.num", {}, value)),
          el("td.num", {}, entry.best ? entry.best[1].toFixed(4) : "–", entry.run && entry.run === sweep.best ? el("span.wz-badge.good", {}, "best") : null),
          el("td.num", {}, entry.run ? `${entry.step.toLocaleString("en")}${entry.state === "finished" ? "" : `, ${WORDS[entry.state]}`}` : WORDS[entry.state]), el("td.num", {}, entry.time || "–"), el("td.num", {}, entry.peak ? `${entry.peak.toFixed(1)} GB` : "–"))))));
    }
  });
})();
