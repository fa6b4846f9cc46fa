/* What stands above the clips: filters, what the captions name, and the drawers for changes to many captions. */
(() => {
  "use strict";
  const { el, fetchJson, state: page } = window.wizard;
  const STATES = [["all", "All"], ["missing", "No caption"], ["draft", "Drafts"], ["written", "Written"]];
  const MIDDLE_WORDS = 60;
  const RULES = {
    missing: "no caption", short: "too few words", long: "too many words", motion: "no movement", camera: "no camera", light: "no light",
    contradiction: "against the measured camera", opener: "'The video shows ...'", absent: "says what is absent", same_text: "repeated between clips",
    repeats: "a sentence twice", cut_off: "ends in the middle", slots: "brackets to fill in", refusal: "a model's excuse", markup: "characters to clean",
    language: "another language", tags: "tags, no sentences", times: "names times",
    trigger_missing: "trigger word missing", trigger_doubled: "trigger word doubled",
  };
  const icons = {
    list: '<path d="M9 6.5h11M9 12h11M9 17.5h11M4.5 6.5h.01M4.5 12h.01M4.5 17.5h.01"/>',
    grid: '<rect x="4" y="4" width="7" height="7" rx="1.5"/><rect x="13" y="4" width="7" height="7" rx="1.5"/><rect x="4" y="13" width="7" height="7" rx="1.5"/><rect x="13" y="13" width="7" height="7" rx="1.5"/>',
    undo: '<path d="M8.5 5L4.5 9l4 4"/><path d="M5 9h9a5.5 5.5 0 010 11h-3"/>', redo: '<path d="M15.5 5l4 4-4 4"/><path d="M19 9h-9a5.5 5.5 0 000 11h3"/>',
    keys: '<rect x="3" y="6.5" width="18" height="11" rx="2.5"/><path d="M7 10.5h.01M11 10.5h.01M15 10.5h.01M8 14h8"/>',
  };
  const symbol = (name) => window.wizard.icon(icons[name]);
  const post = (address, sent) => fetchJson(address, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(sent) });

  /* on: filtered(filter), view(mode), bulk(sent), recaption(overwrite, captioner), undo(), redo(), targets() gives {ids, text, all}, project(). */
  window.wizard.clipTools = (on) => {
    const filter = { state: "all", rule: "", text: "", length: "", part: -1, tag: "" };
    const iconButton = (name, title, act, more = {}) => el("button.wz-icon-btn", { type: "button", title, "aria-label": title, onclick: act, ...more }, symbol(name));
    const change = (part) => { Object.assign(filter, part); on.filtered(filter); };

    const states = el("div.wz-filter", {}, STATES.map(([name]) => el("button", { type: "button", "data-filter": name, onclick: () => change({ state: name }) })));
    const rules = el("select.wz-pick", { "aria-label": "Findings", onchange: () => change({ rule: rules.value }) });
    const lengths = el("select.wz-pick", { "aria-label": "Length", onchange: () => change({ length: lengths.value }) });
    const tags = el("select.wz-pick", { "aria-label": "Tags", hidden: true, onchange: () => change({ tag: tags.value }) });
    const search = el("input.wz-search", { type: "search", placeholder: "Search", "aria-label": "Search captions", oninput: () => change({ text: search.value.toLowerCase() }) });
    const list = iconButton("list", "List", () => on.view("list")), grid = iconButton("grid", "Grid", () => on.view("grid"));
    const undo = iconButton("undo", "Undo", () => on.undo(), { id: "captions-undo" }), redo = iconButton("redo", "Do again", () => on.redo(), { id: "captions-redo" });
    const help = el("div.wz-key-help", { hidden: true }, [["j k", "next, previous"], ["e", "edit"], ["Esc", "leave the text"], ["a", "accept, go on"], ["r", "caption again"], ["space", "play or pause"], ["x", "select"], ["t", "add a tag"], ["g", "list or grid"], ["/", "search"], ["u", "undo"], ["U", "do again"]]
      .map(([keys, what]) => el("span", {}, ...keys.split(" ").map((key) => el("kbd", {}, key)), ` ${what}`)));
    const keys = iconButton("keys", "Keys", () => { help.hidden = !help.hidden; on.resized(); });

    const meters = el("div.wz-meters", { "aria-label": "How many captions name what" });
    const target = el("span.wz-target");
    const drawerButtons = [["tags", "Tag"], ["replace", "Replace"], ["around", "Add text"], ["captioner", "Captioner"]]
      .map(([name, title]) => el("button.wz-btn.small", { type: "button", "data-drawer": name, title: { tags: "Words to find clips by", replace: "Search and replace, with a preview", around: "Prefix and suffix", captioner: "Choose a captioner, and write captions with it" }[name],
        onclick: () => open(drawer.dataset.open === name ? "" : name) }, title));
    const acceptAll = el("button.wz-btn.small", { type: "button", id: "captions-accept-all", onclick: () => on.bulk({ do: "accept" }), title: "Count these drafts as read" }, "Accept");
    const fixAll = el("button.wz-btn.small", { type: "button", id: "captions-fix-all", title: "Press every button that the findings of these clips have", onclick: () => on.bulk({ do: "fix", rule: RULES[filter.rule] ? filter.rule : "" }) }, "Fix all");
    const told = el("div.wz-told", { role: "status", hidden: true });
    const drawer = el("div.wz-drawer", { hidden: true });
    const root = el("div.wz-bench-tools", {},
      el("div.wz-clip-tools", {}, el("div.wz-filter.wz-views", {}, list, grid), states, rules, lengths, tags, search, el("span.wz-grow"), undo, redo, keys),
      help,
      el("div.wz-bulk", {}, meters, el("span.wz-grow"), el("span.wz-bulk-buttons", {}, target, acceptAll, fixAll, ...drawerButtons)),
      drawer, told);

    let summary = null, tellTimer = 0;

    function show(data, mode, shownCount) {
      summary = data.summary;
      for (const item of states.children) {
        const name = item.dataset.filter, count = name === "all" ? data.clips.length : data.clips.filter((clip) => clip.state === name).length;
        const title = `${STATES.find(([key]) => key === name)[1]} ${count}`;
        if (item.textContent !== title) item.textContent = title;
        item.classList.toggle("is-on", name === filter.state);
      }
      drawLengths(data);
      drawRules(data);
      drawTags(data);
      list.classList.toggle("is-on", mode === "list");
      grid.classList.toggle("is-on", mode === "grid");
      undo.disabled = !summary.undo; undo.title = summary.undo ? `Undo: ${summary.undo} (u)` : "Nothing to undo";
      redo.disabled = !summary.redo; redo.title = summary.redo ? `Do again: ${summary.redo}` : "Nothing to do again";
      drawMeters();
      const now = on.targets();
      target.textContent = now.text;
      fixAll.textContent = RULES[filter.rule] ? `Fix: ${RULES[filter.rule]}` : "Fix all";
      for (const item of [acceptAll, fixAll, ...drawerButtons]) item.disabled = !now.ids.length;
      if (drawer.refresh) drawer.refresh();
    }

    function drawLengths({ least_words: least, most_words: most }) {
      if (lengths.options.length) return;
      Object.assign(RULES, { short: `under ${least} words`, long: `over ${most} words` });
      const choices = [["", "Any length"], [`0-${least - 1}`, `Under ${least} words`], [`${least}-${MIDDLE_WORDS - 1}`, `${least} to ${MIDDLE_WORDS - 1}`], [`${MIDDLE_WORDS}-${most}`, `${MIDDLE_WORDS} to ${most}`], [`${most + 1}-99999`, `Over ${most}`]];
      lengths.replaceChildren(...choices.map(([value, title]) => el("option", { value }, title)));
    }

    /* Nothing is shown of tags before there is one. */
    function drawTags(data) {
      const names = Object.entries(summary.tags).sort((one, other) => other[1] - one[1] || one[0].localeCompare(other[0]));
      const without = data.clips.filter((clip) => !clip.tags.length).length;
      const options = [["", "All tags"], ["none", `Without tag ${without}`], ...names.map(([name, count]) => [`=${name}`, `${name} ${count}`])];
      if (filter.tag && !options.some(([value]) => value === filter.tag)) options.push([filter.tag, `${filter.tag.slice(1)} 0`]);
      tags.hidden = !names.length && !filter.tag;
      fill(tags, options, filter.tag);
    }

    function fill(select, options, chosen) {
      const key = JSON.stringify(options);
      if (select.dataset.key === key) return;
      select.dataset.key = key;
      select.replaceChildren(...options.map(([value, title]) => el("option", { value }, title)));
      select.value = chosen;
    }

    function drawRules(data) {
      const found = Object.entries(summary.findings).sort((one, other) => other[1] - one[1]);
      const any = data.clips.filter((clip) => clip.rules.length).length;
      const options = [["", "All findings"], ["any", `Any finding ${any}`], ["none", `Without finding ${data.clips.length - any}`], ...found.map(([rule, count]) => [rule, `${RULES[rule] || rule} ${count}`])];
      if (filter.rule && !options.some(([value]) => value === filter.rule)) options.push([filter.rule, `${RULES[filter.rule]} 0`]);
      fill(rules, options, filter.rule);
    }

    /* A click on a part shows the captions that do not name it. */
    function drawMeters() {
      const key = JSON.stringify([summary.parts, summary.captioned, filter.part]);
      if (meters.dataset.key === key) return;
      meters.dataset.key = key;
      meters.replaceChildren(...summary.parts.map((part, index) => {
        const share = summary.captioned ? part.count / summary.captioned : 0, short = part.name.replace("events ", "");
        return el("button.wz-meter", { type: "button", className: `wz-meter${share < 0.8 ? " is-low" : ""}${filter.part === index ? " is-on" : ""}`, title: `${part.count} of ${summary.captioned} captions name: ${part.name}. Click: those that do not.`,
          onclick: () => change({ part: filter.part === index ? -1 : index }) },
          el("span", {}, short, el("b", {}, `${Math.round(share * 100)} %`)), el("i", {}, el("u", { style: `width:${share * 100}%` })));
      }));
    }

    function tell(text, kind = "good", withUndo = false) {
      clearTimeout(tellTimer);
      told.className = `wz-told is-${kind}`;
      told.replaceChildren(el("span", {}, text), withUndo ? el("button.wz-btn.small.quiet", { type: "button", onclick: () => on.undo() }, "Undo") : "",
        el("button.wz-icon-btn", { type: "button", "aria-label": "Close", onclick: () => { told.hidden = true; on.resized(); } }, "×"));
      told.hidden = false;
      tellTimer = setTimeout(() => { told.hidden = true; on.resized(); }, kind === "bad" ? 20000 : 6000);
      on.resized();
    }

    function open(name) {
      drawer.dataset.open = name;
      drawer.hidden = !name;
      drawer.refresh = null;
      drawer.replaceChildren();
      drawerButtons.forEach((item) => item.classList.toggle("soft", item.dataset.drawer === name));
      if (name) drawer.append(...{ tags: tagDrawer, replace: replaceDrawer, around: aroundDrawer, captioner: captionerDrawer }[name]());
      on.resized();
      drawer.querySelector("input[type=text], input:not([type])")?.focus();
    }

    const field = (label, input) => el("label.wz-field", {}, el("span", {}, label), input);
    const textInput = (id, more = {}) => el("input.wz-search", { type: "text", id, spellcheck: false, autocomplete: "off", ...more });

    function replaceDrawer() {
      const find = textInput("captions-find", { oninput: soon }), by = textInput("captions-replace", { oninput: soon }), regex = el("input", { type: "checkbox", id: "captions-regex", onchange: soon });
      const found = el("div.wz-changes"), go = el("button.wz-btn.soft", { type: "button", id: "captions-replace-go", disabled: true, onclick: run }, "Replace");
      let timer = 0, asked = 0, of = now(), seen = null;
      function now() { return JSON.stringify([on.targets().clips, page.revision]); }
      /* What is done is what was shown: until it is, the button waits. */
      function soon() { go.disabled = true; clearTimeout(timer); timer = setTimeout(look, 250); }
      const sent = () => ({ project: on.project(), clips: on.targets().clips, find: find.value, replace: by.value, regex: regex.checked });
      async function look() {
        const mine = ++asked, what = sent();
        if (!find.value) { found.replaceChildren(); go.disabled = true; go.textContent = "Replace"; on.resized(); return; }
        try {
          const answer = await post("/wizard/live/captions/preview", what);
          if (mine !== asked) return;
          seen = what;
          go.disabled = !answer.count;
          go.textContent = answer.count ? `Replace in ${answer.count} ${answer.count === 1 ? "caption" : "captions"}` : "Replace";
          found.replaceChildren(...answer.changes.map((item) => el("div.wz-change", {}, ...difference(item.before, item.after))), answer.count ? "" : el("p.wz-muted", {}, `No caption of ${on.targets().text} holds that.`));
        } catch (error) {
          if (mine !== asked) return;
          go.disabled = true;
          go.textContent = "Replace";
          found.replaceChildren(el("p.wz-wrong", {}, error.data ? `${error.data.problem} ${error.data.remedy}` : "LTX Wizard does not answer."));
        }
        on.resized();
      }
      async function run() { go.disabled = true; await on.bulk({ do: "replace", ...seen }); look(); }
      drawer.refresh = () => { if (of !== now()) { of = now(); soon(); } };
      return [el("div.wz-drawer-row", {}, field("Search", find), field("Replace by", by), el("label.wz-check", { title: "Python's rules; \\1 is the first group" }, regex, "Regular expression"), go), found];
    }

    /* Before and after, with a few words around what changes. */
    function difference(before, after) {
      let start = 0, end = 0;
      const most = Math.min(before.length, after.length);
      while (start < most && before[start] === after[start]) start += 1;
      while (end < most - start && before[before.length - 1 - end] === after[after.length - 1 - end]) end += 1;
      const from = Math.max(0, start - 36), tail = before.slice(before.length - end, before.length - end + 50);
      return [from ? "… " : "", before.slice(from, start), el("del", {}, before.slice(start, before.length - end)), el("ins", {}, after.slice(start, after.length - end)), tail, end > 50 ? " …" : ""];
    }

    function tagDrawer() {
      const input = textInput("captions-tag", { placeholder: "for example: night, close-up", onkeydown: (event) => { if (event.key === "Enter") send("add"); } });
      const send = (what) => on.bulk({ do: "tag", [what]: input.value });
      const add = el("button.wz-btn.soft", { type: "button", id: "captions-tag-add", onclick: () => send("add") });
      const take = el("button.wz-btn", { type: "button", id: "captions-tag-remove", onclick: () => send("remove") });
      const there = el("div.wz-tags");
      drawer.refresh = () => {
        const { text } = on.targets(), key = JSON.stringify(summary.tags);
        add.textContent = `Add to ${text}`;
        take.textContent = `Take off ${text}`;
        if (there.dataset.key === key) return;
        there.dataset.key = key;
        there.replaceChildren(...Object.keys(summary.tags).map((tag) => el("button.wz-tag.is-plain", { type: "button", onclick: () => { input.value = tag; input.focus(); } }, tag)));
        there.hidden = !Object.keys(summary.tags).length;
        on.resized();
      };
      drawer.refresh();
      return [el("div.wz-drawer-row", {}, field("Tags", input), add, take), there, el("p.wz-muted.wz-small", {}, "Words to find clips by, with a comma or a space between them. They are not trained.")];
    }

    function aroundDrawer() {
      const before = textInput("captions-prefix", { placeholder: "goes in front" }), after = textInput("captions-suffix", { placeholder: "goes behind" });
      const go = el("button.wz-btn.soft", { type: "button", id: "captions-around-go", onclick: () => on.bulk({ do: "around", before: before.value, after: after.value }) }, "Add");
      drawer.refresh = () => { go.textContent = `Add to ${on.targets().text}`; };
      drawer.refresh();
      return [el("div.wz-drawer-row", {}, field("Prefix", before), field("Suffix", after), go), el("p.wz-muted.wz-small", {}, "The trigger word needs no prefix: it is added in training. Captions that have the text already stay as they are.")];
    }

    function captionerDrawer() {
      const box = el("div.wz-captioners", {}, el("p.wz-muted", {}, "Looking what this computer can run ..."));
      window.wizard.captionerPanel(box, { ...on, post, tell, close: () => open("") });
      return [box];
    }

    return { root, filter, show, tell, open, search, resetPart: () => { filter.part = -1; } };
  };
})();
