/* A window to choose clips in: pictures that load when they come into sight and play under the pointer.
   Nothing happens until its button is pressed; Escape and Cancel change nothing. */
(() => {
  "use strict";
  const { el, fetchJson } = window.wizard;
  const still = matchMedia("(prefers-reduced-motion: reduce)");

  /* A clip's picture. Under the pointer, or when it is focused, it plays. */
  window.wizard.clipTile = (item, ...more) => {
    const view = el("div.wz-tile-view", {}, el("img", { src: item.picture, alt: "", loading: "lazy", decoding: "async" }), el("span.wz-tile-length", {}, item.length || ""));
    const tile = el("div.wz-tile", { title: item.text || "", "data-clip": item.id }, view, el("span.wz-tile-name", {}, item.label), ...more);
    let video = null;
    const play = () => {
      if (!item.video || video || still.matches) return;
      video = el("video", { src: item.video, muted: true, loop: true, playsInline: true });
      video.onplaying = () => video?.classList.add("is-playing");
      view.append(video);
      video.play().catch(() => {});
    };
    const stop = () => {
      if (!video) return;
      video.removeAttribute("src");
      video.load();
      video.remove();
      video = null;
    };
    tile.addEventListener("pointerenter", play);
    tile.addEventListener("pointerleave", stop);
    return tile;
  };

  /* about: { title, text, address, least, most, main, other }. main and other are buttons: { words(count), done(ids),
     disabled }; most: 'not all' where one has to stay unticked. */
  window.wizard.chooseClips = (about) => {
    let items = [], group = null;
    const chosen = new Set(), tiles = new Map();
    const count = el("span.wz-muted.num", { role: "status" });
    const search = el("input.wz-search", { type: "search", placeholder: "Search names and captions", "aria-label": "Search clips", oninput: filter });
    const onlyChosen = el("input", { type: "checkbox", onchange: filter });
    const buttons = [about.other, about.main].filter(Boolean).map((button) => [button, el("button.wz-btn", { type: "button", class: `wz-btn${button === about.main ? " wz-main" : ""}`, onclick: () => { close(); button.done([...chosen]); } })]);
    const grid = el("div.wz-chooser-grid", {}, el("p.wz-muted", {}, "Loading ..."));
    const none = el("p.wz-muted", { hidden: true }, "No clip matches.");
    const set = (on) => { for (const item of items) if (!item.stays && !tiles.get(item.id).hidden) mark(item, on); tell(); filter(); };
    const box = el("dialog.wz-chooser", { "aria-label": about.title, onclose: () => box.remove() },
      el("header", {}, el("h2", {}, about.title), el("p", {}, about.text)),
      el("div.wz-chooser-tools", {}, search, el("label.wz-check", {}, onlyChosen, "Only chosen"), el("span.wz-grow"),
        el("button.wz-btn.small", { type: "button", onclick: () => set(true) }, "All"), el("button.wz-btn.small", { type: "button", onclick: () => set(false) }, "None")),
      el("div.wz-chooser-body", {}, grid, none),
      el("footer", {}, count, el("span.wz-grow"), el("button.wz-btn", { type: "button", onclick: close }, "Cancel"), buttons.map(([, shown]) => shown)));
    document.body.append(box);
    box.addEventListener("click", (event) => { if (event.target === box) close(); });
    box.showModal();
    tell();
    fetchJson(about.address).then((data) => { items = data.items; draw(); }, (error) => {
      grid.replaceChildren(el("p.wz-muted", {}, `${error.data?.problem || "The clips could not be read."} ${error.data?.remedy || ""}`));
    });

    function close() { box.close(); }

    function draw() {
      for (const item of items) if (item.on) chosen.add(item.id);
      grid.replaceChildren(...items.map(make));
      tell();
    }

    function make(item) {
      const field = el("input", { type: "checkbox", checked: !!item.on, disabled: !!item.stays, onchange: () => { mark(item, field.checked); tell(); } });
      const tile = window.wizard.clipTile(item, item.note ? el("span.wz-tile-note", {}, item.note) : null, item.stays ? el("span.wz-badge.good", {}, "stays") : null);
      const label = el("label.wz-choose", { class: `wz-choose${item.stays ? " stays" : ""}${item.group !== undefined && item.group !== group ? " starts" : ""}` }, field, tile);
      group = item.group;
      label.classList.toggle("is-on", !!item.on);
      tiles.set(item.id, label);
      label.field = field;
      return label;
    }

    function mark(item, on) {
      on ? chosen.add(item.id) : chosen.delete(item.id);
      const label = tiles.get(item.id);
      label.field.checked = on;
      label.classList.toggle("is-on", on);
    }

    function tell() {
      const total = items.filter((item) => !item.stays).length;
      count.textContent = items.length ? `${chosen.size} of ${total} chosen` : "";
      for (const [button, shown] of buttons) {
        shown.textContent = button.words(chosen.size);
        shown.disabled = !!button.disabled || chosen.size < about.least || (about.most === "not all" && chosen.size >= total);
      }
    }

    function filter() {
      const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
      let shown = 0;
      for (const item of items) {
        const text = `${item.label} ${item.text || ""}`.toLowerCase();
        const hit = words.every((word) => text.includes(word)) && (!onlyChosen.checked || item.stays || chosen.has(item.id));
        tiles.get(item.id).hidden = !hit;
        shown += hit;
      }
      none.hidden = shown > 0 || !items.length;
    }
  };
})();
