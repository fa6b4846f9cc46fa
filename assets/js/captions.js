/* The workbench of the step Captions: what is shown, what is typed and saved, and the keys.
   Everything of value is on disk within a moment; what could not be sent waits in the browser until it can. */
(() => {
  "use strict";
  const { el, fetchJson, saving, state: page } = window.wizard;
  const SAVE_AFTER_MS = 350, AGAIN_MS = 2000, REFUSED_MS = 10000, MEASURE_AFTER_MS = 450, EARLY_MS = 1200, LEAST_PX = 340, NARROW_PX = 1240, UNSAVED = "wizard-unsaved-captions", VIEW = "wizard-captions-view";

  window.wizard.define("captions", (root, act) => {
    let data = null, stamp = "", chosen = "", mode = localStorage.getItem(VIEW) === "grid" ? "grid" : "list", loading = false, detail = null, anchor = "";
    const byId = new Map(), dirty = new Map(), timers = new Map(), sending = new Map(), selected = new Set();
    let measureTimer = 0, asked = 0, merged = 0; // merged: an answer that was asked for before the last change is older than the page
    const post = (address, sent, more = {}) => fetchJson(address, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(sent), ...more });

    const list = window.wizard.clipList({ choose: (id) => choose(id), open: (id) => edit(id), select });
    const view = window.wizard.clipDetail({
      typed, accept, again: () => recaption([chosen], true), restore: (text) => bulk({ do: "restore", clip: chosen, text }),
      named: (text) => text.replace(/[\w-]+/g, (word) => (byId.has(word) ? `${byId.get(word).name} (${byId.get(word).at})` : word)),
      fix: (rule) => bulk({ do: "fix", rule, clips: [chosen] }, true),
      tag: (sent) => bulk({ do: "tag", ...sent, clips: [chosen] }, true),
    });
    const tools = window.wizard.clipTools({
      filtered: () => { keepChosen(); draw(); list.reveal(chosen); }, view: setMode, bulk, undo: () => step("undo"), redo: () => step("redo"),
      targets, project: () => data.project, resized: fit, recaption: (overwrite, captioner) => recaption(targets().ids, overwrite, captioner),
    });
    const work = el("div.wz-caption-work", {}, list.root, view.root);
    const bench = el("div.wz-bench", {}, tools.root, work);

    document.addEventListener("keydown", onKey);
    window.addEventListener("resize", fit);
    window.addEventListener("pagehide", () => { for (const id of dirty.keys()) save(id, true); });
    document.addEventListener("click", (event) => { if (event.target.closest("[data-open-captioner]")) { tools.open("captioner"); } });
    new MutationObserver(() => {
      const here = document.documentElement.dataset.step === "captions";
      list.setPlaying(here);
      if (!here) { for (const id of dirty.keys()) save(id); view.stop(); return; }
      if (data && data.project === page.project) { fit(); draw(); list.reveal(chosen); ask(); }
      early(); // while the app still draws the frame of this step
    }).observe(document.documentElement, { attributes: true, attributeFilter: ["data-step"] });
    new ResizeObserver(fit).observe(document.body);

    setTimeout(function look() { page.project ? early() : setTimeout(look, EARLY_MS); }, EARLY_MS);

    return (next) => {
      if (!next || !next.count) { forget(); root.replaceChildren(); return; }
      if ((!data || data.project !== next.project) && !loading) { forget(); root.replaceChildren(el("div.wz-bench-wait")); }
      if (next.stamp !== stamp) load(next);
    };

    /* The list before it is asked for: so the step opens at once. */
    function early() {
      if (page.project && !loading && (!data || data.project !== page.project)) load({ project: page.project, early: true });
    }

    function forget() {
      data = null; stamp = ""; detail = null;
      timers.forEach(clearTimeout);
      [byId, dirty, timers, sending, selected].forEach((kept) => kept.clear()); // what is not on disk yet waits in the browser
      view.show(null);
    }

    async function load(next) {
      if (loading) { loading = next; return; }
      loading = true;
      const seen = merged;
      let late = false;
      try {
        const answer = await fetchJson(`/wizard/live/captions?${new URLSearchParams({ project: next.project })}`);
        late = seen !== merged;
        if (late) { /* asked again below */ }
        else if (!answer.clips.length) { forget(); root.replaceChildren(); }
        else { if (data && data.project !== answer.project) forget(); stamp = answer.stamp; take(answer); }
      } catch (error) {
        if (!next.early) root.replaceChildren(el("p.wz-wrong", {}, error.data ? `${error.data.problem} ${error.data.remedy}` : "LTX Wizard does not answer."));
      }
      const again = loading === true ? late && next : loading;
      loading = false;
      if (again && (late || again.stamp !== stamp)) load(again);
    }

    function take(answer) {
      const before = new Map(byId);
      data = answer;
      byId.clear();
      for (const clip of data.clips) {
        byId.set(clip.id, clip);
        clip.saved = clip.caption;
        if (dirty.has(clip.id)) Object.assign(clip, { caption: dirty.get(clip.id), saved: before.get(clip.id)?.saved }); // typed over that
      }
      for (const id of [...selected]) if (!byId.has(id)) selected.delete(id);
      for (const id of [...dirty.keys()]) if (!byId.has(id)) dirty.delete(id); // the clip was removed elsewhere
      sendWaiting();
      if (!root.contains(bench)) { root.replaceChildren(bench); fit(); }
      const last = chosen;
      keepChosen();
      draw();
      if (chosen !== last || !detail) list.reveal(chosen);
      ask();
    }

    /* What the last page could not send, because the app was not there any more. */
    function sendWaiting() {
      const waiting = JSON.parse(localStorage.getItem(UNSAVED) || "{}")[data.project] || {};
      for (const [id, text] of Object.entries(waiting)) {
        const clip = byId.get(id);
        if (clip && !dirty.has(id) && clip.caption !== text) { clip.caption = text; dirty.set(id, text); save(id); }
        else if (!dirty.has(id)) remember(id, null);
      }
    }

    function remember(id, text, project = data.project) {
      const all = JSON.parse(localStorage.getItem(UNSAVED) || "{}"), mine = all[project] || {};
      if (text === null) delete mine[id]; else mine[id] = text;
      if (Object.keys(mine).length) all[project] = mine; else delete all[project];
      Object.keys(all).length ? localStorage.setItem(UNSAVED, JSON.stringify(all)) : localStorage.removeItem(UNSAVED);
    }

    function visible() {
      const { state, rule, text, length, part, tag } = tools.filter;
      const [least, most] = length ? length.split("-").map(Number) : [0, Infinity];
      return data.clips.filter((clip) =>
        (state === "all" || clip.state === state) &&
        (!rule || (rule === "any" ? clip.rules.length : rule === "none" ? !clip.rules.length : clip.rules.includes(rule))) &&
        (!length || (clip.words >= least && clip.words <= most)) &&
        (part < 0 || (clip.parts[part] !== "1" && clip.words)) &&
        (!tag || (tag === "none" ? !clip.tags.length : clip.tags.includes(tag.slice(1)))) &&
        (!text || `${clip.caption} ${clip.name} ${clip.tags.join(" ")}`.toLowerCase().includes(text)));
    }

    /* What a change to many goes to: the selected clips, else all that the filters show. */
    function targets() {
      const ids = selected.size ? [...selected] : data ? visible().map((clip) => clip.id) : [];
      const all = Boolean(data) && ids.length === data.clips.length;
      const text = selected.size ? `${ids.length} selected` : all ? `all ${ids.length}` : `${ids.length} shown`;
      const missing = ids.filter((id) => !byId.get(id)?.caption.trim()).length;
      return { ids, text, missing, clips: all ? "all" : ids };
    }

    function keepChosen() {
      const shown = visible();
      if (!byId.has(chosen)) chosen = (shown[0] || data.clips[0])?.id || "";
    }

    function draw() {
      if (!data) return;
      list.show({ items: visible(), chosen, selected, mode });
      tools.show(data, mode);
      work.classList.toggle("is-grid", mode === "grid");
      drawDetail();
    }

    function drawDetail() {
      if (document.documentElement.dataset.step !== "captions") return;
      view.root.hidden = mode === "grid";
      if (mode === "grid") view.stop(); else view.show(byId.get(chosen), detail, dirty.has(chosen), data);
    }

    function choose(id) {
      if (chosen !== id) { chosen = id; detail = null; }
      anchor = id;
      draw();
      list.reveal(id);
      ask();
    }

    /* The findings with their buttons, the past, and the measured motion: of the chosen clip only. */
    async function ask(measure = false) {
      clearTimeout(measureTimer);
      const id = chosen, mine = ++asked, seen = merged;
      if (!id || mode === "grid" || document.documentElement.dataset.step !== "captions") return;
      try {
        const answer = await fetchJson(`/wizard/live/captions/clip?${new URLSearchParams({ project: data.project, clip: id, measure: measure ? 1 : 0 })}`);
        if (mine !== asked || !data) return;
        if (seen !== merged) { ask(measure); return; }
        const { findings, lint, trained, past, motion, ...row } = answer;
        if (!dirty.has(id)) Object.assign(byId.get(id) || {}, row, { saved: row.caption });
        detail = { id, findings, trained, past, motion };
        measure ? draw() : drawDetail();
        if (!motion && !measure && !byId.get(id)?.is_image) measureTimer = setTimeout(() => { if (chosen === id) ask(true); }, MEASURE_AFTER_MS);
      } catch (error) { /* the list stays usable; the next choice asks again */ }
    }

    function select(id, range) {
      const shown = visible().map((clip) => clip.id);
      const from = shown.indexOf(anchor), to = shown.indexOf(id);
      if (range && from >= 0) shown.slice(Math.min(from, to), Math.max(from, to) + 1).forEach((item) => selected.add(item));
      else selected.has(id) ? selected.delete(id) : selected.add(id);
      anchor = id;
      draw();
    }

    function setMode(next) {
      mode = next;
      localStorage.setItem(VIEW, mode);
      draw();
      list.reveal(chosen);
      if (mode === "list") ask();
    }

    function edit(id = chosen) {
      if (mode === "grid") setMode("list");
      choose(id);
      view.focus();
    }

    function typed(text) {
      const clip = byId.get(chosen);
      if (!clip) return;
      clip.caption = text;
      dirty.set(clip.id, text);
      remember(clip.id, text);
      saving("busy", "Saving ...");
      drawDetail();
      clearTimeout(timers.get(clip.id));
      timers.set(clip.id, setTimeout(() => save(clip.id), SAVE_AFTER_MS));
    }

    /* One after the other, so that each knows what the one before left on disk. */
    async function save(id, leaving = false) {
      clearTimeout(timers.get(id));
      timers.delete(id);
      if (!leaving) await sending.get(id);
      if (!dirty.has(id) || !data) return;
      const sent = sendText(id, dirty.get(id), leaving);
      sending.set(id, sent);
      await sent;
      if (sending.get(id) === sent) sending.delete(id);
    }

    async function sendText(id, text, leaving) {
      const project = data.project;
      try {
        const answer = await post("/wizard/live/caption", { project, clip: id, text, was: byId.get(id)?.saved }, { keepalive: leaving });
        if (data?.project !== project) { remember(id, null, project); return; } // another project was opened meanwhile
        if (dirty.get(id) === text) { dirty.delete(id); remember(id, null); }
        merge(answer);
        Object.assign(byId.get(id) || {}, { saved: answer.saved });
        if (answer.replaced) { tools.tell("Another window had changed this caption. What it wrote is under 'Earlier captions'.", "bad"); ask(); }
        if (id === chosen && detail?.id === id) Object.assign(detail, { findings: answer.findings, trained: answer.trained });
        if (!dirty.size) saving("saved", "All changes saved");
        draw();
      } catch (error) {
        saving("bad", error.data ? `Not saved: ${error.data.problem} ${error.data.remedy}` : "Not saved yet: trying again");
        timers.set(id, setTimeout(() => save(id), error.data ? REFUSED_MS : AGAIN_MS)); // a full disk is not full for ever
      }
    }

    function merge(answer) {
      merged += 1;
      page.revision = answer.revision;
      data.summary = answer.summary;
      for (const row of answer.rows) {
        const clip = byId.get(row.id);
        if (!clip) continue;
        const mine = dirty.get(row.id);
        Object.assign(clip, row, { saved: row.caption });
        if (mine !== undefined) clip.caption = mine;
      }
    }

    async function bulk(sent, quiet = false) {
      await Promise.all([...dirty.keys()].map((id) => save(id)));
      try {
        const answer = await post("/wizard/live/captions/do", { project: data.project, clips: targets().clips, ...sent });
        merge(answer);
        draw();
        if (!quiet) tools.tell(answer.told, "good", sent.do !== "undo" && sent.do !== "redo" && answer.rows.length > 0);
        ask();
        return answer;
      } catch (error) {
        tools.tell(error.data ? `${error.data.problem} ${error.data.remedy}` : "LTX Wizard does not answer.", "bad");
        return null;
      }
    }

    function step(what) { return bulk({ do: what, clips: [] }); }

    async function accept() {
      const id = chosen, shown = visible(), at = shown.findIndex((clip) => clip.id === id), next = shown[at + 1];
      await bulk({ do: "accept", clips: [id] }, true);
      if (next && chosen === id) choose(next.id);
    }

    async function recaption(ids, overwrite, captioner = window.wizard.chosenCaptioner()) {
      await Promise.all([...dirty.keys()].map((id) => save(id)));
      act({ do: "recaption", captioner, clips: ids.join(","), overwrite: String(overwrite) });
    }

    /* The work area fills the window, down to the fold 'Advanced', which stays in sight where there is room. */
    function fit() {
      if (!data || !root.contains(bench) || document.documentElement.dataset.step !== "captions") return;
      const fold = document.querySelector(".wz-page-captions .wz-advanced");
      const top = work.getBoundingClientRect().top + window.scrollY, small = window.innerWidth <= NARROW_PX;
      const closed = fold && !small ? Math.min(fold.offsetHeight, 56) + 16 : 0;
      const height = `${Math.max(LEAST_PX, Math.floor(window.innerHeight - top - 68 - 14 - closed))}px`;
      if (work.style.getPropertyValue("--wz-work") !== height) work.style.setProperty("--wz-work", height);
    }

    function move(by) {
      const shown = visible(), at = shown.findIndex((clip) => clip.id === chosen);
      const to = shown[Math.max(0, Math.min(shown.length - 1, at < 0 ? 0 : at + by))];
      if (to && to.id !== chosen) choose(to.id);
    }

    function onKey(event) {
      if (document.documentElement.dataset.step !== "captions" || !data) return;
      const field = event.target.closest("input:not([type=checkbox]):not([type=radio]), textarea, select, [contenteditable]");
      if (event.key === "Escape") { if (field) field.blur(); else if (selected.size) { selected.clear(); draw(); } return; }
      if (field) return;
      if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "z") { event.preventDefault(); step(event.shiftKey ? "redo" : "undo"); return; }
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      if (/^( |Enter)$/.test(event.key) && event.target.closest("button, summary, a, video, input")) return; // its own keys
      if (/^(Arrow|Page)/.test(event.key) && event.target.closest("summary, video, input[type=radio]")) return;
      const keys = {
        j: () => move(1), k: () => move(-1), ArrowDown: () => move(mode === "grid" ? list.columns() : 1), ArrowUp: () => move(mode === "grid" ? -list.columns() : -1),
        ArrowRight: mode === "grid" ? () => move(1) : null, ArrowLeft: mode === "grid" ? () => move(-1) : null, PageDown: () => move(list.page()), PageUp: () => move(-list.page()),
        e: () => edit(), Enter: () => edit(), a: accept, r: () => recaption([chosen], true), " ": () => view.togglePlay(),
        x: () => select(chosen, false), t: () => { if (mode === "list") view.focusTag(); }, g: () => setMode(mode === "grid" ? "list" : "grid"), "/": () => tools.search.focus(), u: () => step("undo"), U: () => step("redo"),
      };
      const act = keys[event.key];
      if (!act) return;
      event.preventDefault();
      act();
    }
  });
})();
