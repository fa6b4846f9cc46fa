/* The Lab: what to compare, the job that makes the videos, the grid, the tests. Only what changed is asked for. */
(() => {
  "use strict";
  const { el, icon, fetchJson, state: page, labGrid, labZoom, labClock, labStrength, labShown } = window.wizard;
  const USUAL = [0.55, 0.75, 1, 2], RUNNING_MS = 1000, SIZE = "wizard-lab-size", SAVE_AFTER_MS = 500;
  const FLASK = '<path d="M9 3h6M10 3v6.2L4.9 18a2 2 0 0 0 1.8 3h10.6a2 2 0 0 0 1.8-3L14 9.2V3M7.2 14h9.6"/>';

  window.wizard.define("lab", (root) => {
    let data = null, stamp = "", known = "", timer = 0, asking = false, parts = null, generation = 0, changes = Promise.resolve(), answers = 0, told = 0, showTold = () => {};
    const zoom = labZoom({ keep });
    const grid = labGrid({ open: (pair, key) => zoom.open(data.grid, pair, key), keep });
    const tests = new Map();

    new MutationObserver(() => { if (here()) ask(); else zoom.hide(); }).observe(document.documentElement, { attributes: true, attributeFilter: ["data-step"] });
    const here = () => document.documentElement.dataset.step === "lab";

    return (next) => {
      if (!next) return;
      if (next.project !== known) { known = next.project; data = null; stamp = ""; generation += 1; parts = null; root.replaceChildren(el("div.wz-bench-wait")); }
      if (here()) ask();
    };

    async function ask() {
      clearTimeout(timer);
      if (asking || !known || known !== page.project) { timer = setTimeout(ask, 300); return; }
      asking = true;
      const mine = generation, before = answers;
      try {
        const answer = await look();
        if (mine === generation && before === answers) take(answer); // else what a click changed meanwhile is newer
      } catch (error) {
        if (!error.data && !(error instanceof TypeError && /fetch/i.test(error.message))) throw error;
        if (error.data && mine === generation) { parts = null; root.replaceChildren(problemCard(error.data)); }
      } finally { asking = false; }
      if (here() && data && data.status && data.status.running) timer = setTimeout(ask, RUNNING_MS);
    }

    function look() { return fetchJson(`/wizard/live/lab?${new URLSearchParams({ project: known, stamp })}`); }

    async function post(sent, button) {
      button?.classList.add("is-busy");
      try {
        const answer = await fetchJson("/wizard/live/lab/do", { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ project: known, ...sent }) });
        if (answer.revision && sent.do !== "keep") page.revision = answer.revision;
        answers += 1;
        take(answer);
        say(answer.told || "", "good");
        if (data.status && data.status.running) { clearTimeout(timer); timer = setTimeout(ask, 400); window.wizard.poll(); }
        return true;
      } catch (error) {
        const wrong = error.data || { problem: "LTX Wizard does not answer.", remedy: "Start it again: this page comes back." };
        say(`${wrong.problem} ${wrong.remedy}`, "bad");
        ask();
        return false;
      } finally { button?.classList.remove("is-busy"); }
    }

    function keep(lora, strength) { post({ do: "keep", lora, strength }); }

    function take(answer) {
      if (answer.empty) { data = answer; stamp = ""; showEmpty(answer.empty); return; }
      data = answer.stamp && !("grid" in answer) ? { ...data, status: answer.status } : answer;
      stamp = answer.stamp;
      if (!parts) parts = build();
      draw("grid" in answer);
    }

    /* Nothing to look at yet: but a file made elsewhere can be brought in. */
    function showEmpty(empty) {
      if (!parts && root.querySelector(".wz-empty h3")?.textContent === empty.problem) return; // what is typed there stays
      parts = null;
      const message = el("p.wz-lab-told", { role: "status" });
      root.replaceChildren(el("div.wz-empty", {}, el("div.wz-empty-icon", {}, icon(FLASK)), el("h3", {}, empty.problem), el("p", {}, empty.remedy),
        el("button.wz-btn.soft", { type: "button", "data-go": "train" }, "Go to Train"), bringIn(), message));
      showTold = (text, kind) => { message.textContent = text; message.dataset.kind = kind; };
    }

    function say(text, kind) { showTold(text, kind); clearTimeout(told); if (kind === "good") told = setTimeout(() => showTold("", ""), 6000); }

    function build() {
      const made = {
        setup: el("details.wz-card.wz-lab-setup"), sum: el("span.wz-muted"), body: el("div.wz-lab-choices"), message: el("p.wz-lab-told", { role: "status" }),
        now: el("strong"), time: el("span.wz-muted.num"), bar: el("i"), problem: el("div"),
        start: el("button.wz-btn.soft", { type: "button", onclick: ({ currentTarget }) => { made.setup.open = false; inTurn(() => post({ do: "start" }, currentTarget)); } }),
        pause: el("button.wz-btn", { type: "button", onclick: () => post({ do: "pause" }) }, "Pause"),
        stop: el("button.wz-btn.quiet", { type: "button", onclick: () => post({ do: "stop" }) }, "Stop"),
        play: el("button.wz-btn.small", { type: "button", onclick: () => labClock.play(!labClock.playing) }, "Pause"),
        scrub: el("input", { type: "range", min: 0, max: 1000, value: 0, "aria-label": "Moment of all videos", oninput: (event) => { labClock.play(false); labClock.seek((+event.target.value / 1000) * made.length); } }),
        length: 1, tests: el("div.wz-lab-tests"), sheets: el("span.wz-row"),
      };
      showTold = (text, kind) => { made.message.textContent = text; made.message.dataset.kind = kind; };
      made.setup.append(el("summary", {}, el("h2", {}, "What to compare"), made.sum), made.body);
      made.setup.open = data.untouched || !data.status.made;
      labClock.listen((at, length, playing) => { made.length = length; if (document.activeElement !== made.scrub || playing) made.scrub.value = Math.round((at / length) * 1000); made.play.textContent = playing ? "Pause" : "Play"; });
      const size = el("select.wz-pick", { "aria-label": "Size of the videos", onchange: (event) => { localStorage.setItem(SIZE, event.target.value); root.dataset.size = event.target.value; } },
        ...[["s", "small"], ["m", "medium"], ["l", "large"]].map(([value, text]) => el("option", { value }, text)));
      size.value = root.dataset.size = localStorage.getItem(SIZE) || "m";
      root.replaceChildren(made.message, made.setup, made.problem,
        el("section.wz-card.wz-lab-bar", {},
          el("div.wz-line", {}, made.now, made.time, el("span.wz-grow"), made.start, made.pause, made.stop),
          el("div.wz-bar", {}, made.bar)),
        el("section.wz-section", {}, el("h2", {}, "Three tests"), made.tests),
        el("section.wz-section", {},
          el("div.wz-line.wz-lab-view", {}, el("h2", {}, "The grid"), el("span.wz-grow"), made.view = el("span.wz-row", {}, made.play, made.scrub, size,
            el("button.wz-btn.small", { type: "button", onclick: (event) => post({ do: "sheet", kind: "png" }, event.currentTarget) }, "Sheet as PNG"),
            el("button.wz-btn.small", { type: "button", onclick: (event) => post({ do: "sheet", kind: "mp4" }, event.currentTarget) }, "Sheet as MP4"), made.sheets)),
          el("p.wz-muted.wz-small", {}, "Click a video to see it large beside the base model. ★ keeps it for the export. Measures: rest on a figure to see what it is."),
          grid.root));
      return made;
    }

    function draw(everything) {
      const status = data.status;
      drawStatus(status);
      if (!everything) return;
      drawChoices();
      const aspect = `${data.sampling.width} / ${data.sampling.height}`;
      grid.show(data.grid, data.kept, aspect);
      zoom.refresh(data.grid, data.kept);
      drawTests(aspect);
      parts.sheets.replaceChildren(...data.sheets.map((sheet) => el("a.wz-lab-sheet", { href: sheet.url, download: sheet.name }, `↓ ${sheet.name}`)));
    }

    function drawStatus(status) {
      parts.view.hidden = !status.made;
      const name = !data.prompts.length && !status.total ? "There is no prompt yet: write one above" : status.stopping ? "Stopping ..." : status.paused ? "Paused" : status.running ? status.now : status.left ? (status.made ? "Not all videos are made" : "Nothing is made yet") : "Every video is made";
      set(parts.now, name);
      set(parts.time, [`${status.made} of ${status.total} videos`, status.paused || status.stopping ? "" : status.time].filter(Boolean).join(" · "));
      parts.bar.style.width = `${status.total ? (100 * status.made) / status.total : 0}%`;
      parts.start.hidden = status.running || !status.left;
      set(parts.start, status.made ? `Go on: ${status.left} ${status.left === 1 ? "video" : "videos"}` : `Make ${status.left} ${status.left === 1 ? "video" : "videos"}`);
      parts.pause.hidden = parts.stop.hidden = !status.running;
      parts.pause.disabled = parts.stop.disabled = status.stopping;
      set(parts.pause, status.paused ? "Go on" : "Pause");
      const text = status.problem + status.warnings.join(" ");
      if (parts.problem.dataset.text !== text) {
        parts.problem.dataset.text = text;
        parts.problem.replaceChildren(...(status.problem ? [problemCard(status)] : []), ...status.warnings.map((warning) => el("div.wz-notice.wz-warn", {}, el("div", {}, warning))));
      }
    }

    function problemCard(wrong) { return el("div.wz-notice.wz-bad", { role: "alert" }, el("div", {}, el("strong", {}, wrong.problem), el("p", {}, wrong.remedy))); }

    /* What to compare: every change is sent at once. */
    function drawChoices() {
      const chosen = { loras: data.grid.rows.length, strengths: data.grid.strengths.length, prompts: data.prompts.length, seeds: data.seeds.length };
      const many = (count, word) => `${count} ${word}${count === 1 ? "" : "s"}`;
      set(parts.sum, `${many(chosen.loras, "LoRA")} × ${many(chosen.strengths, "strength")} × ${many(chosen.prompts, "prompt")} × ${many(chosen.seeds, "seed")}, and the base model`);
      if (parts.body.contains(document.activeElement) && /TEXTAREA|INPUT/.test(document.activeElement.tagName) && document.activeElement.type !== "checkbox") return;
      parts.body.replaceChildren(
        choice("LoRAs", loraChips(), "Checkpoints of your runs, and files made elsewhere."),
        choice("Strengths", strengthChips(), "0.55 to 0.75 suits most LoRAs; above 0.8 artifacts come. The base model is strength 0."),
        choice("Prompts", promptRows(), "{trigger} stands for the trigger word."),
        choice("Seeds", seedChips(), "The same seeds for every cell, so that only the LoRA differs."),
        samplingFold());
    }

    function choice(title, content, note) { return el("div.wz-lab-choice", {}, el("div", {}, el("h3", {}, title), el("p.wz-muted.wz-small", {}, note)), el("div.wz-lab-pickers", {}, ...content)); }

    /* Changes go one after another, each made of what is asked for by then: a quick click, or another window's, is not undone. */
    function inTurn(act) { return (changes = changes.then(act)); }
    function send(make) {
      return inTurn(async () => {
        const change = make(await newest());
        return !change || post({ do: "choose", ...change });
      });
    }
    async function newest() {
      try { const answer = await look(); return "grid" in answer ? answer : data; } catch { return data; } // then the change itself says what is wrong
    }
    function toggled(list, item, on) { return on ? [...list, item] : list.filter((other) => other !== item); }
    function chip(text, on, toggle, more = {}) { return el("button.wz-chip", { type: "button", class: `wz-chip${on ? " is-on" : ""}`, "aria-pressed": String(on), onclick: toggle, ...more }, text); }

    function loraChips() {
      const ids = (now) => [...now.checkpoints, ...now.files].filter((item) => item.chosen).map((item) => item.id);
      const toggle = (item) => send((now) => ({ loras: toggled(ids(now), item.id, !item.chosen) }));
      const runs = [...new Set(data.checkpoints.map((item) => item.run))];
      const rows = runs.map((run) => el("div.wz-row", {}, data.several ? el("span.wz-muted.wz-small", {}, run) : null,
        ...data.checkpoints.filter((item) => item.run === run).map((item) => chip(`step ${item.step.toLocaleString("en")}${item.recommended ? " ★" : ""}`, item.chosen, () => toggle(item), { title: item.why, "data-lora": item.id }))));
      const best = data.checkpoints.find((item) => item.recommended);
      if (data.files.length) rows.push(el("div.wz-row", {}, ...data.files.map((item) => chip(item.title, item.chosen, () => toggle(item), { title: item.note, "data-lora": item.id }))));
      if (best) rows.push(el("p.wz-small", {}, el("strong", {}, `★ Recommended: step ${best.step.toLocaleString("en")}. `), best.why));
      return [...rows, bringIn()];
    }

    /* A LoRA file made elsewhere: by its path on this computer, or through the browser. */
    function bringIn() {
      const path = el("input.wz-search", { type: "text", placeholder: "Path of a .safetensors file", "aria-label": "Path of a LoRA file", onkeydown: (event) => { if (event.key === "Enter") go(event); } });
      const go = async (event) => { if (await post({ do: "bring_in", path: path.value }, event.currentTarget)) path.value = ""; };
      return el("div.wz-row.wz-lab-bring", {}, path, el("button.wz-btn.small", { type: "button", onclick: go }, "Bring in"),
        el("button.wz-btn.small.quiet", { type: "button", onclick: () => (document.querySelector("#lab-upload input[type=file]") || document.querySelector("input#lab-upload") || document.querySelector("#lab-upload"))?.click() }, "Choose a file ..."));
    }

    function strengthChips() {
      const on = data.grid.strengths.map(Number);
      const all = [...new Set([...USUAL, ...on])].sort((a, b) => a - b);
      const field = numberField("Another strength", "0.05", (value) => send((now) => ({ strengths: toggled(now.strengths, value, true) })));
      return [el("div.wz-row", {}, chip("0 base", true, null, { disabled: true, title: "The base model is always made: the others are measured against it." }),
        ...all.map((value) => chip(labShown(value), on.includes(value), () => send((now) => ({ strengths: toggled(now.strengths, value, !on.includes(value)) })), { "data-strength": labStrength(value) })), field)];
    }

    function seedChips() {
      const field = numberField("Another seed", "1", (value) => send((now) => ({ seeds: toggled(now.seeds, Math.round(value), true) })));
      return [el("div.wz-row", {}, ...data.seeds.map((seed) => chip(data.seeds.length > 1 ? `${seed} ✕` : String(seed), true, () => send((now) => (now.seeds.length > 1 ? { seeds: toggled(now.seeds, seed, false) } : null)), { title: data.seeds.length > 1 ? "Take this seed out" : "" })), field)];
    }

    function numberField(label, step, add) {
      const field = el("input.wz-search.wz-lab-number", { type: "number", step, placeholder: label, "aria-label": label });
      const go = () => { const value = parseFloat(field.value); field.value = ""; field.blur(); if (Number.isFinite(value)) add(value); };
      field.addEventListener("change", go);
      return field;
    }

    function promptRows() {
      const texts = data.prompts.map((item) => item.text), { saving } = window.wizard;
      const change = (make) => send((now) => make(now.prompts.map((item) => item.text)));
      let later = 0;
      const rows = texts.map((text, index) => {
        const save = async () => {
          clearTimeout(later);
          const typed = area.value.trim();
          const done = typed === text || await change((now) => ({ prompts: now.includes(text) ? now.map((item) => (item === text ? typed : item)) : [...now, typed] }));
          done ? saving("saved", "All changes saved") : saving("bad", "A prompt is not saved");
        };
        const area = el("textarea.wz-search", { rows: 2, value: text, "aria-label": `Prompt ${index + 1}`, onblur: save });
        area.addEventListener("input", () => { clearTimeout(later); later = setTimeout(() => saving("busy", "Saved when you leave the field"), SAVE_AFTER_MS); });
        return el("div.wz-lab-prompt-row", {}, area, texts.length > 1 ? el("button.wz-icon-btn", { type: "button", title: "Take this prompt out", "aria-label": `Take prompt ${index + 1} out`, onclick: () => change((now) => ({ prompts: toggled(now, text, false) })) }, "✕") : null);
      });
      const fresh = el("textarea.wz-search", { rows: 1, placeholder: "Another prompt", "aria-label": "Another prompt", onchange: () => { const text = fresh.value.trim(); fresh.value = ""; fresh.blur(); if (text) change((now) => ({ prompts: [...now, text] })); } });
      return [...rows, fresh];
    }

    function samplingFold() {
      const names = { width: "Width", height: "Height", frames: "Frames", steps: "Steps", guidance: "Guidance", first_frame_guidance: "Guidance from a first frame" };
      const fields = Object.entries(names).map(([key, label]) => el("label.wz-lab-field", {}, el("span", {}, label),
        el("input.wz-search.wz-lab-number", { type: "number", step: key.includes("guidance") ? "0.1" : "1", value: data.sampling[key], "data-sampling": key, onchange: async ({ target }) => { target.blur(); if (!await send(() => ({ sampling: { [key]: +target.value } }))) target.value = data.sampling[key]; } })));
      const negative = el("label.wz-lab-field.is-wide", {}, el("span", {}, "Negative prompt"), el("input.wz-search", { type: "text", value: data.sampling.negative_prompt, onchange: (event) => { event.target.blur(); send(() => ({ sampling: { negative_prompt: event.target.value } })); } }));
      const fold = el("details.wz-lab-more", {}, el("summary", {}, "Size, steps and guidance"), el("div.wz-row", {}, ...fields, negative),
        el("p.wz-muted.wz-small", {}, "As in training's samples. Other values make all videos anew; those that are made stay on disk."));
      fold.open = fold.open || parts.more;
      fold.addEventListener("toggle", () => { parts.more = fold.open; });
      return fold;
    }

    /* The tests of the guide. */
    function drawTests(aspect) {
      for (const test of data.tests) {
        let card = tests.get(test.name);
        if (!card || !parts.tests.contains(card.root)) {
          card = { root: el("article.wz-lab-test"), grid: labGrid({ open: (pair, key) => zoom.open(card.data.grid, pair, key), keep }), text: el("div.wz-lab-reading") };
          tests.set(test.name, card);
          card.about = el("span.wz-badge.soft");
          card.root.append(el("div.wz-lab-said", {}, el("div.wz-line", {}, el("h3", {}, test.title), card.about), el("p.wz-muted", {}, test.what), card.text), card.grid.root);
          parts.tests.append(card.root);
        }
        card.data = test;
        card.root.classList.toggle("is-asked", test.asked);
        card.root.dataset.test = test.name;
        card.root.dataset.verdict = test.asked ? test.reading.verdict : "";
        card.grid.root.hidden = card.about.hidden = !test.asked;
        if (test.asked) set(card.about, test.grid.rows.map((row) => row.title).join(", "));
        if (test.asked) { card.grid.show(test.grid, data.kept, aspect); zoom.refresh(test.grid, data.kept); }
        const words = JSON.stringify(test.reading || test.name);
        if (card.words !== words) { card.words = words; card.text.replaceChildren(...(test.asked ? readingOf(test) : [el("button.wz-btn.small.soft", { type: "button", onclick: (event) => post({ do: "test", test: test.name }, event.currentTarget) }, "Test it")])); }
      }
    }

    function readingOf(test) {
      const reading = test.reading, tools = el("div.wz-row", {},
        el("button.wz-btn.small", { type: "button", onclick: (event) => post({ do: "test", test: test.name }, event.currentTarget) }, "Test again"),
        el("button.wz-btn.small.quiet", { type: "button", onclick: () => post({ do: "drop_test", test: test.name }) }, "Take away"));
      return [el("strong.wz-lab-verdict", {}, reading.title), reading.text ? el("p", {}, reading.text) : null,
        el("p", {}, el("em", {}, "How to read it: "), reading.look),
        reading.to_do.length ? el("ul", {}, ...reading.to_do.map((item) => el("li", {}, item))) : null, tools].filter(Boolean);
    }

    function set(element, text) { if (element.textContent !== text) element.textContent = text; }
  });
})();
