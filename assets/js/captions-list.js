/* The clips of the workbench as a list or a grid. Only what can be seen stands in the page: elements are used
   again while scrolling, and a preview has its video only while it is visible. */
(() => {
  "use strict";
  const { el } = window.wizard;
  const ROW_PX = 70, CARD_PX = 252, CARD_MIN_PX = 208, GAP_PX = 10, EDGE_PX = 8, SETTLE_MS = 160, MOST_PLAYING = 24;

  /* on: choose(id), open(id), select(id, range). row(id) gives a clip; marks(clip) its badges. */
  window.wizard.clipList = (on) => {
    const space = el("div.wz-list-space");
    const root = el("div.wz-clips", { role: "listbox", tabIndex: 0, "aria-label": "Clips" }, space);
    const none = el("p.wz-muted.wz-none", { hidden: true }, "No clip matches.");
    root.append(none);
    const used = new Map(), spare = [];
    let items = [], mode = "list", chosen = "", selected = new Set(), columns = 1, settle = 0, frame = 0, playing = true;

    root.addEventListener("scroll", later, { passive: true });
    new ResizeObserver(later).observe(root);
    const still = matchMedia("(prefers-reduced-motion: reduce)");

    function show(next) {
      items = next.items; chosen = next.chosen; selected = next.selected;
      if (next.mode !== mode) { mode = next.mode; clear(); root.scrollTop = 0; }
      root.classList.toggle("is-grid", mode === "grid");
      none.hidden = items.length > 0;
      draw();
    }

    function later() { if (!frame) frame = requestAnimationFrame(() => { frame = 0; draw(); }); }

    function sizes() {
      const wide = Math.max(1, root.clientWidth - 2 * EDGE_PX);
      columns = mode === "grid" ? Math.max(1, Math.floor((wide + GAP_PX) / (CARD_MIN_PX + GAP_PX))) : 1;
      const width = (wide - GAP_PX * (columns - 1)) / columns;
      return { width, height: mode === "grid" ? CARD_PX : ROW_PX, gap: mode === "grid" ? GAP_PX : 2 };
    }

    function draw() {
      const { width, height, gap } = sizes(), step = height + gap;
      space.style.height = `${Math.ceil(items.length / columns) * step + EDGE_PX * 2 - gap}px`;
      if (!root.clientHeight) return;
      const first = Math.max(0, Math.floor((root.scrollTop - EDGE_PX) / step) - 1) * columns;
      const last = Math.min(items.length, (Math.ceil((root.scrollTop + root.clientHeight) / step) + 1) * columns);
      for (const [index, item] of used) if (index < first || index >= last) { used.delete(index); free(item); }
      for (let index = first; index < last; index += 1) {
        let item = used.get(index);
        if (!item) { item = spare.pop() || make(); used.set(index, item); if (!item.isConnected) space.append(item); }
        place(item, index, width, height, step);
        fill(item, items[index]);
      }
      clearTimeout(settle);
      settle = setTimeout(play, SETTLE_MS);
    }

    function place(item, index, width, height, step) {
      const left = EDGE_PX + (index % columns) * (width + GAP_PX), top = EDGE_PX + Math.floor(index / columns) * step;
      item.style.cssText = `width:${width}px;height:${height}px;transform:translate(${left}px,${top}px)`;
    }

    function make() {
      const parts = {
        tick: el("input.wz-clip-tick", { type: "checkbox", tabIndex: -1, "aria-label": "Select" }),
        video: el("video", { muted: true, loop: true, playsInline: true, preload: "none", tabIndex: -1 }),
        image: el("img", { alt: "", loading: "lazy" }),
        name: el("span.wz-clip-name"), caption: el("span.wz-clip-caption"), marks: el("span.wz-clip-marks"), tags: el("span.wz-clip-tags"), state: el("span.wz-clip-state"),
      };
      parts.video.muted = true;
      const item = el("div.wz-clip", { role: "option" },
        el("span.wz-clip-preview", {}, parts.image, parts.video, parts.tick),
        el("span.wz-clip-text", {}, el("span.wz-clip-line", {}, parts.name, parts.state), parts.caption, el("span.wz-clip-line", {}, parts.marks, parts.tags)));
      item.parts = parts;
      item.addEventListener("click", (event) => {
        if (event.target === parts.tick || event.shiftKey || event.ctrlKey || event.metaKey) on.select(item.dataset.clip, event.shiftKey);
        else on.choose(item.dataset.clip);
      });
      item.addEventListener("dblclick", (event) => { if (event.target !== parts.tick) on.open(item.dataset.clip); });
      return item;
    }

    function fill(item, clip) {
      const parts = item.parts;
      if (item.dataset.clip !== clip.id) {
        item.dataset.clip = clip.id;
        stop(item);
        parts.image.src = clip.picture;
        parts.image.onerror = () => { parts.image.style.visibility = "hidden"; };
        parts.image.style.visibility = "";
        set(parts.name, `${clip.at} · ${clip.name}`);
        item.title = clip.name;
      }
      const isChosen = clip.id === chosen, isSelected = selected.has(clip.id);
      item.className = `wz-clip is-${clip.state}${isChosen ? " is-chosen" : ""}${isSelected ? " is-selected" : ""}`;
      item.setAttribute("aria-selected", String(isChosen));
      parts.tick.checked = isSelected;
      set(parts.caption, clip.caption || "no caption yet");
      const notes = clip.rules.filter((rule) => rule !== "missing").length;
      set(parts.state, clip.state === "missing" ? "empty" : clip.state === "draft" ? "draft" : notes ? "" : "✓");
      set(parts.tags, clip.tags.join(" "));
      set(parts.marks, notes ? `${notes} ${notes === 1 ? "note" : "notes"}` : "");
    }

    function set(element, text) { if (element.textContent !== text) element.textContent = text; }

    /* A freed element keeps no video: that is what memory is spent on. */
    function free(item) { stop(item); item.dataset.clip = ""; item.style.cssText = "display:none"; spare.push(item); }

    function stop(item) {
      const video = item.parts.video;
      if (!video.hasAttribute("src")) return;
      video.pause();
      video.removeAttribute("src");
      video.load();
      item.classList.remove("is-playing");
    }

    function play() {
      const top = root.scrollTop, bottom = top + root.clientHeight, { height, gap } = sizes();
      let count = 0;
      for (const [index, item] of used) {
        const clip = items[index], at = EDGE_PX + Math.floor(index / columns) * (height + gap);
        const seen = playing && !still.matches && !document.hidden && at + height > top && at < bottom && !clip.is_image && count < MOST_PLAYING;
        if (!seen) { stop(item); continue; }
        count += 1;
        const video = item.parts.video;
        if (video.getAttribute("src") === clip.url) continue;
        video.src = clip.url;
        video.onplaying = () => item.classList.add("is-playing");
        video.play().catch(() => {});
      }
    }

    function reveal(id) {
      const index = items.findIndex((clip) => clip.id === id);
      if (index < 0) return;
      const { height, gap } = sizes(), top = EDGE_PX + Math.floor(index / columns) * (height + gap);
      if (top < root.scrollTop) root.scrollTop = top - EDGE_PX;
      else if (top + height > root.scrollTop + root.clientHeight) root.scrollTop = top + height + EDGE_PX - root.clientHeight;
    }

    function clear() { for (const [index, item] of used) { used.delete(index); item.remove(); stop(item); } spare.splice(0).forEach((item) => item.remove()); }

    /* away: another step is shown, or the window is hidden. */
    function setPlaying(now) { playing = now; clearTimeout(settle); settle = setTimeout(play, 0); }
    document.addEventListener("visibilitychange", () => setPlaying(playing));

    return { root, show, reveal, setPlaying, columns: () => columns, page: () => Math.max(1, Math.floor(root.clientHeight / (mode === "grid" ? CARD_PX : ROW_PX)) * columns) };
  };
})();
