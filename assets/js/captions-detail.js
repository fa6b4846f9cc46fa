/* One clip of the workbench: its player, what was measured, which parts its caption names, and the caption. */
(() => {
  "use strict";
  const { el } = window.wizard;
  const PARTS = ["action", "appearance", "background", "camera", "light", "over time"];

  /* on: typed(text), accept(), again(), remove(button), fix(rule), restore(text), tag({add} or {remove}). */
  window.wizard.clipDetail = (on) => {
    const set = (element, text) => { if (element.textContent !== text) element.textContent = text; };
    const stage = el("div.wz-clip-view"), facts = el("div.wz-clip-facts"), measured = el("p.wz-measured");
    const parts = el("div.wz-parts", { "aria-label": "What this caption names" }, PARTS.map((name) => el("span.wz-part", {}, name)));
    const notes = el("ul.wz-lint");
    const tagged = el("span.wz-tag-list"), known = el("datalist", { id: "captions-known-tags" });
    const tagField = el("input.wz-tag-field", { type: "text", placeholder: "add a tag", "aria-label": "Add a tag", title: "A word to find this clip by; it is not trained (t)", spellcheck: false, autocomplete: "off", list: known.id,
      onkeydown: (event) => { if (event.key === "Enter" && tagField.value.trim()) { on.tag({ add: tagField.value }); tagField.value = ""; } } });
    const side = el("div.wz-clip-side", {}, stage, facts, measured, parts, el("div.wz-tags", {}, tagged, tagField, known), notes);

    const text = el("textarea.wz-caption-text", { spellcheck: true, "aria-label": "Caption", placeholder: "A tabby cat runs to the right through tall grass. The camera follows at the cat's height. Low evening sun ..." });
    text.addEventListener("input", () => on.typed(text.value));
    for (const turn of ["blur", "pointerdown"]) text.addEventListener(turn, () => { text.readOnly = false; });
    const mark = el("span.wz-badge"), saved = el("span.wz-saved-mark"), words = el("span.wz-words.num"), bar = el("i");
    const accept = el("button.wz-btn.small.soft", { type: "button", onclick: () => on.accept(), title: "Count it as read, and go on to the next (a)" }, "Accept");
    const again = el("button.wz-btn.small", { type: "button", onclick: () => on.again(), title: "Write it again with the chosen captioner (r)" }, "Caption again");
    const remove = el("button.wz-btn.small.quiet", { type: "button", "data-do": "remove", "data-confirm": "Take this clip out?" }, "Remove clip");
    const trained = el("p.wz-trained"), past = el("ul.wz-past"), pastFold = el("details.wz-fold", {}, el("summary", {}, "Earlier captions"), past);
    const box = el("div.wz-caption-box", {},
      el("div.wz-line", {}, el("strong", {}, "Caption"), mark, el("span.wz-grow"), saved),
      text,
      el("div.wz-line.wz-caption-tools", {}, words, el("span.wz-word-bar", {}, bar), el("span.wz-grow"), accept, again, remove));
    side.append(el("div.wz-folds", {}, el("details.wz-fold", {}, el("summary", {}, "As it is trained"), trained), pastFold));
    const root = el("div.wz-clip-detail", {}, side, box);
    let shown = "", url = "";

    /* clip: the row. detail: what the app told of it, or null while it is asked. dirty: not on disk yet. data: of all clips. */
    function show(clip, detail, dirty, data) {
      root.hidden = !clip;
      if (!clip) { stop(); return; }
      if (url !== clip.url) {
        stop();
        url = clip.url;
        const player = clip.is_image ? el("img", { src: clip.url, alt: "" })
          : el("video", { src: clip.url, poster: clip.picture, muted: true, loop: true, autoplay: true, playsInline: true, controls: true });
        player.muted = true;
        stage.replaceChildren(player);
      }
      if (shown !== clip.id || (!dirty && text.value !== clip.caption)) {
        const at = text.selectionStart;
        if (shown !== clip.id) text.readOnly = document.activeElement === text; // it was removed elsewhere: what is typed next was not meant for another
        text.value = clip.caption;
        if (document.activeElement === text) text.setSelectionRange(at, at); // another window wrote it
        if (shown !== clip.id) { text.scrollTop = 0; pastFold.open = false; }
        shown = clip.id;
      }
      remove.dataset.clip = clip.id;
      drawTags(clip, data.summary.tags);
      facts.replaceChildren(...[el("span.wz-fact-name", { title: clip.name }, clip.name), el("span.num", {}, clip.is_image ? clip.size : `${clip.at} · ${clip.duration} s · ${clip.size}`),
        clip.regularisation ? el("span.wz-badge.soft", {}, "ordinary: without the trigger word") : null, clip.held_out ? el("span.wz-badge", {}, "kept for validation") : null].filter(Boolean));
      set(measured, motionText(clip, detail));
      measured.hidden = !measured.textContent;
      [...parts.children].forEach((part, index) => {
        const named = clip.parts[index] === "1";
        part.classList.toggle("is-named", named);
        part.title = named ? `It names: ${PARTS[index]}` : `Not named: ${PARTS[index]}`;
      });
      const state = clip.state === "written" ? (clip.source === "imported" ? "imported" : "written") : clip.state === "draft" ? `draft by ${clip.source}` : "empty";
      mark.className = `wz-badge ${clip.state === "written" ? "good" : clip.state === "draft" ? "warn" : ""}`;
      set(mark, state);
      set(saved, dirty ? "saving ..." : "saved");
      saved.classList.toggle("is-dirty", dirty);
      const count = (text.value.match(/\S+/g) || []).length;
      set(words, `${count} ${count === 1 ? "word" : "words"}`);
      bar.style.width = `${Math.min(100, (100 * count) / data.most_words)}%`;
      bar.parentElement.className = `wz-word-bar${count > data.most_words || count < data.least_words ? " is-off" : ""}`;
      bar.parentElement.title = `${data.least_words} to ${data.most_words} words are good`;
      accept.disabled = clip.state !== "draft";
      accept.hidden = clip.state !== "draft";
      if (!detail || detail.id !== clip.id) { if (!detail) notes.replaceChildren(); return; }
      set(trained, detail.trained || "(empty)");
      drawNotes(detail.findings);
      pastFold.hidden = !detail.past?.length;
      past.replaceChildren(...(detail.past || []).map((was) => el("li", {},
        el("div.wz-line", {}, el("span.wz-muted", {}, `${when(was.until)} · ${was.source || "nobody"}`), el("span.wz-grow"),
          el("button.wz-btn.small.quiet", { type: "button", onclick: () => on.restore(was.text) }, "Bring back")), el("p", {}, was.text))));
    }

    function drawTags(clip, all) {
      const key = JSON.stringify([clip.tags, Object.keys(all)]);
      if (tagged.dataset.key === key) return;
      tagged.dataset.key = key;
      tagged.replaceChildren(...clip.tags.map((tag) => el("button.wz-tag", { type: "button", title: `Take '${tag}' off this clip`, onclick: () => on.tag({ remove: tag }) }, tag)));
      known.replaceChildren(...Object.keys(all).filter((tag) => !clip.tags.includes(tag)).map((value) => el("option", { value })));
    }

    function drawNotes(findings) {
      const key = JSON.stringify(findings);
      if (notes.dataset.key === key) return;
      notes.dataset.key = key;
      notes.replaceChildren(...findings.map((note) => el("li", { "data-rule": note.rule }, el("span", {}, on.named(note.message)),
        note.fix ? el("button.wz-btn.small", { type: "button", "data-fix": note.rule, onclick: () => on.fix(note.rule) }, note.fix) : null)));
      if (!findings.length) notes.replaceChildren(el("li.is-fine", {}, "Nothing to change."));
    }

    function motionText(clip, detail) {
      if (clip.is_image || !detail || detail.id !== clip.id || detail.motion === undefined) return "";
      const motion = detail.motion;
      if (!motion) return "";
      const camera = motion.camera ? `camera ${motion.camera}${motion.sure ? "" : " (not sure)"}` : "";
      const subject = motion.subject ? `something moves ${motion.subject}` : "";
      const cuts = motion.cuts ? `${motion.cuts} ${motion.cuts === 1 ? "cut" : "cuts"} inside` : "";
      return "Measured: " + ([camera, subject, motion.light && `light ${motion.light}`, cuts].filter(Boolean).join("; ") || "nothing certain") + ".";
    }

    function when(seconds) {
      const ago = Math.max(0, Date.now() / 1000 - seconds);
      if (ago < 90) return "just now";
      if (ago < 5400) return `${Math.round(ago / 60)} minutes ago`;
      return new Date(seconds * 1000).toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
    }

    function stop() {
      const video = stage.querySelector("video");
      if (video) { video.pause(); video.removeAttribute("src"); video.load(); }
      stage.replaceChildren();
      url = "";
    }

    function togglePlay() {
      const video = stage.querySelector("video");
      if (video) video.paused ? video.play().catch(() => {}) : video.pause();
    }

    return { root, text, show, stop, togglePlay, focus: () => { text.readOnly = false; text.focus(); }, focusTag: () => tagField.focus() };
  };
})();
