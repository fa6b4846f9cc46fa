/* The list of clips, a player, and the caption, saved while it is typed. Keys: j and k move, e edits, Escape leaves. */
(() => {
  "use strict";
  const { el, fetchJson, saving, state: page } = window.wizard;
  const SAVE_AFTER_MS = 350;
  const FILTERS = [["all", "All"], ["missing", "No caption"], ["draft", "Drafts"], ["written", "Written"], ["notes", "With notes"]];

  window.wizard.define("captions", (root, act) => {
    let data = null, chosen = "", filter = "all", search = "", dirty = new Map(), timers = new Map();
    let list, view, box;

    window.addEventListener("pagehide", () => { for (const id of dirty.keys()) save(id, true); });
    document.addEventListener("keydown", onKey);

    return (next) => {
      data = next;
      if (!data || !data.clips.length) { root.replaceChildren(); list = null; return; }
      for (const clip of data.clips) if (dirty.has(clip.id)) clip.caption = dirty.get(clip.id);
      if (!data.clips.some((clip) => clip.id === chosen)) chosen = data.clips[0].id;
      if (!list || !root.contains(list)) build();
      drawList();
      drawEditor();
    };

    function build() {
      list = el("div.wz-clips", { role: "listbox", "aria-label": "Clips" });
      view = el("div.wz-clip-view");
      box = makeBox();
      const tools = el("div.wz-clip-tools", {},
        el("div.wz-filter", {}, FILTERS.map(([name, title]) =>
          el("button", { type: "button", "data-filter": name, onclick: () => { filter = name; drawList(); } }, title))),
        el("input.wz-search", { type: "search", placeholder: "Search captions", "aria-label": "Search captions", oninput: (event) => { search = event.target.value.toLowerCase(); drawList(); } }),
        el("span.wz-grow"),
        el("span.wz-keys", {}, el("kbd", {}, "j"), el("kbd", {}, "k"), " move ", el("kbd", {}, "e"), " edit"));
      root.replaceChildren(tools, el("div.wz-caption-work", {}, list, view, box.root));
    }

    function visible() {
      return data.clips.filter((clip) =>
        (filter === "all" || clip.state === filter || (filter === "notes" && clip.lint.length)) &&
        (!search || (clip.caption + " " + clip.name).toLowerCase().includes(search)));
    }

    function drawList() {
      root.querySelectorAll("[data-filter]").forEach((item) => {
        const name = item.dataset.filter;
        const count = name === "all" ? data.clips.length : data.clips.filter((clip) => clip.state === name || (name === "notes" && clip.lint.length)).length;
        const title = FILTERS.find(([key]) => key === name)[1];
        item.textContent = `${title} ${count}`;
        item.classList.toggle("is-on", name === filter);
      });
      const shown = visible(), known = new Map([...list.children].map((item) => [item.dataset.clip, item]));
      const items = shown.map((clip) => fill(known.get(clip.id) || makeItem(clip), clip));
      if (items.length !== list.children.length || items.some((item, index) => list.children[index] !== item)) list.replaceChildren(...items);
      if (!items.length) list.append(el("p.wz-muted.wz-none", {}, "No clip matches."));
    }

    function makeItem(clip) {
      return el("button.wz-clip", { type: "button", role: "option", "data-clip": clip.id, onclick: () => choose(clip.id) },
        el("img", { src: clip.picture, alt: "", loading: "lazy" }),
        el("span.wz-clip-text", {}, el("span.wz-clip-name"), el("span.wz-clip-caption")),
        el("span.wz-clip-state"));
    }

    function fill(item, clip) {
      item.className = `wz-clip is-${clip.state}${clip.id === chosen ? " is-chosen" : ""}`;
      item.setAttribute("aria-selected", String(clip.id === chosen));
      set(item.querySelector(".wz-clip-name"), `${clip.name} · ${clip.at}`);
      set(item.querySelector(".wz-clip-caption"), clip.caption || "no caption yet");
      const mark = item.querySelector(".wz-clip-state");
      set(mark, clip.state === "draft" ? "draft" : clip.state === "missing" ? "empty" : clip.lint.length ? "note" : "✓");
      return item;
    }

    function set(element, text) { if (element.textContent !== text) element.textContent = text; }
    function current() { return data?.clips.find((clip) => clip.id === chosen); }

    function choose(id) {
      chosen = id;
      drawList();
      drawEditor();
      list.querySelector(".is-chosen")?.scrollIntoView({ block: "nearest" });
    }

    function makeBox() {
      const text = el("textarea.wz-caption-text", { rows: 9, spellcheck: true, "aria-label": "Caption", placeholder: "A tabby cat runs to the right through tall grass. The camera follows at the cat's height. Low evening sun ..." });
      text.addEventListener("input", () => typed(text.value));
      const count = el("span.wz-muted.num"), saved = el("span.wz-saved-mark"), trained = el("p.wz-trained"), notes = el("ul.wz-lint"), mark = el("span.wz-badge");
      const draft = el("button.wz-btn.small", { type: "button", onclick: () => act({ do: "draft_one", clip: chosen }) }, "Draft again from motion");
      const remove = el("button.wz-btn.small.quiet", { type: "button", "data-do": "remove", "data-confirm": "Take this clip out?" }, "Remove clip");
      const panel = el("div.wz-caption-box", {},
        el("div.wz-line", {}, el("strong", {}, "Caption"), mark, el("span.wz-grow"), saved), text,
        el("div.wz-line", {}, count, el("span.wz-grow"), draft, remove), notes,
        el("div.wz-trained-box", {}, el("span.wz-muted", {}, "As it is trained"), trained));
      return { root: panel, text, count, saved, trained, notes, mark, remove, draft };
    }

    function drawEditor() {
      const clip = current();
      if (!clip) return;
      if (view.dataset.clip !== clip.id || view.dataset.url !== clip.url) {
        view.dataset.clip = clip.id;
        view.dataset.url = clip.url;
        view.replaceChildren(clip.is_image
          ? el("img", { src: clip.url, alt: "" })
          : el("video", { src: clip.url, poster: clip.picture, muted: true, loop: true, autoplay: true, playsInline: true, controls: true }),
          el("div.wz-clip-facts", {}, el("span", {}, clip.name), el("span.num", {}, clip.is_image ? clip.size : `${clip.duration} s · ${clip.size}`),
            clip.regularisation ? el("span.wz-badge.soft", {}, "ordinary: trained without the trigger word") : null));
      }
      if (box.text.dataset.clip !== clip.id || (document.activeElement !== box.text && box.text.value !== clip.caption)) {
        box.text.dataset.clip = clip.id;
        box.text.value = clip.caption;
      }
      box.remove.dataset.clip = clip.id;
      box.draft.hidden = clip.is_image;
      drawFacts(clip);
    }

    function drawFacts(clip) {
      set(box.count, `${clip.words} words`);
      set(box.trained, clip.trained || "(empty)");
      box.mark.className = `wz-badge ${clip.state === "written" ? "good" : clip.state === "draft" ? "warn" : ""}`;
      set(box.mark, clip.state === "written" ? (clip.source === "imported" ? "imported" : "written") : clip.state === "draft" ? `draft by ${clip.source}` : "empty");
      box.notes.replaceChildren(...clip.lint.map((note) => el("li", {}, note)));
      set(box.saved, dirty.has(clip.id) ? "saving ..." : "saved");
      box.saved.classList.toggle("is-dirty", dirty.has(clip.id));
    }

    function typed(text) {
      const clip = current();
      clip.caption = text;
      dirty.set(clip.id, text);
      saving("busy", "Saving ...");
      drawFacts(clip);
      clearTimeout(timers.get(clip.id));
      timers.set(clip.id, setTimeout(() => save(clip.id), SAVE_AFTER_MS));
    }

    async function save(id, leaving = false) {
      const text = dirty.get(id);
      if (text === undefined) return;
      try {
        const answer = await fetchJson("/wizard/live/caption", {
          method: "POST", keepalive: leaving, headers: { "Content-Type": "application/json" },
          body: JSON.stringify({ project: data.project, clip: id, text }),
        });
        if (dirty.get(id) === text) dirty.delete(id);
        page.revision = answer.revision;
        const clip = data.clips.find((item) => item.id === id);
        if (clip) Object.assign(clip, { state: answer.state, words: answer.words, lint: answer.lint, trained: answer.trained, source: "you" });
        if (!dirty.size) saving("saved", "All changes saved");
        drawList();
        if (id === chosen && clip) drawFacts(clip);
      } catch (error) {
        saving("bad", error.data ? `Not saved: ${error.data.problem} ${error.data.remedy}` : "Not saved yet: trying again");
        if (!error.data) timers.set(id, setTimeout(() => save(id), 2000));
      }
    }

    function onKey(event) {
      if (document.documentElement.dataset.step !== "captions" || !data) return;
      const field = event.target.closest("input, textarea, select, [contenteditable]");
      if (event.key === "Escape" && field) { field.blur(); return; }
      if (field || event.ctrlKey || event.metaKey || event.altKey) return;
      const shown = visible(), at = shown.findIndex((clip) => clip.id === chosen);
      if (event.key === "j" && shown[at + 1]) choose(shown[at + 1].id);
      else if (event.key === "k" && at > 0) choose(shown[at - 1].id);
      else if (event.key === "e") { event.preventDefault(); box.text.focus(); }
    }
  });
})();
