/* Filmstrips: every scene of every video, with a look inside, split, merge, leave out. */
(() => {
  "use strict";
  const { el, time } = window.wizard;

  /* Gradio tells of a slider when the mouse lets go of it, or its number is left; and it refuses what is too
     large or empty, without showing what counts instead. Here every key and Enter count, within the limits. */
  const isSlider = (target) => target.matches?.(".wz-slider input");
  document.addEventListener("focusin", ({ target }) => { if (isSlider(target)) target.before = target.value; });
  document.addEventListener("change", ({ target }) => {
    if (!isSlider(target)) return;
    target.value = target.value === "" ? target.before : Math.min(+target.max, Math.max(+target.min, +target.value));
    target.before = target.value;
    target.dispatchEvent(new Event("input", { bubbles: true }));
    target.closest(".wz-slider").querySelector("input[type=range]").dispatchEvent(new PointerEvent("pointerup", { bubbles: true }));
  }, true);

  window.wizard.define("scenes", (root, act) => {
    let data = null, chosen = null, drawn = "";

    return (next) => {
      data = next;
      const text = JSON.stringify(next);
      if (text === drawn) return;
      drawn = text;
      if (chosen && !sceneOf(chosen)) chosen = null;
      draw();
    };

    function sceneOf(choice) {
      return data?.videos.find((video) => video.id === choice.video)?.scenes.find((scene) => scene.frame === choice.frame);
    }

    function draw() {
      const scrolls = Object.fromEntries([...root.querySelectorAll(".wz-strip-scroll")].map((item) => [item.dataset.video, item.scrollLeft]));
      root.replaceChildren(...(data ? data.videos.map((video, index) => drawVideo(video, index === 0)) : []));
      root.querySelectorAll(".wz-strip-scroll").forEach((item) => { item.scrollLeft = scrolls[item.dataset.video] || 0; });
    }

    function drawVideo(video, withLegend) {
      const kept = video.scenes.filter((scene) => scene.keep);
      const clips = kept.reduce((sum, scene) => sum + pieces(scene), 0);
      const section = el("section.wz-video", {},
        el("div.wz-video-head", {},
          el("strong", {}, video.name),
          video.regularisation ? el("span.wz-badge.soft", {}, "ordinary") : null,
          el("span.wz-muted", {}, `${count(video.scenes.length, "scene")}, ${kept.length} kept, ${count(clips, "clip")}`),
          el("span.wz-grow"),
          withLegend ? el("span.wz-legend", {}, legend("short", "too short"), legend("right", "right"), legend("long", "will be split")) : null),
        el("div.wz-strip-scroll", { "data-video": video.id },
          el("div.wz-film", {}, video.scenes.map((scene) => drawScene(video, scene)))));
      if (chosen && chosen.video === video.id) section.append(drawInspector(video));
      return section;
    }

    function legend(kind, text) { return el("span.wz-legend-item", {}, el("i", { class: `is-${kind}` }), text); }

    function count(number, word) { return `${number} ${word}${number === 1 ? "" : "s"}`; }
    function lengthOf(scene) { return scene.end - scene.start; }
    function pieces(scene) {
      const length = lengthOf(scene);
      if (length < data.min_s) return 0;
      return Math.max(1, Math.ceil(length / data.max_s - 1e-6));
    }
    function kindOf(scene) {
      if (!scene.keep) return "off";
      if (lengthOf(scene) < data.min_s) return "short";
      return pieces(scene) > 1 ? "long" : "right";
    }

    function drawScene(video, scene) {
      const kind = kindOf(scene);
      const isChosen = chosen && chosen.video === video.id && chosen.frame === scene.frame;
      const grow = Math.max(1, Math.min(3, Math.sqrt(lengthOf(scene))));
      const frame = el("button.wz-scene", {
        type: "button", title: `${time(scene.start)} to ${time(scene.end)}`,
        class: `wz-scene is-${kind}${isChosen ? " is-chosen" : ""}`, style: `width:${Math.round(96 * grow)}px`,
        "aria-pressed": String(!!isChosen),
        onclick: () => { chosen = isChosen ? null : { video: video.id, frame: scene.frame }; draw(); },
      },
        el("img", { src: scene.picture, alt: "", loading: "lazy" }),
        el("span.wz-scene-time", {}, time(scene.start)),
        el("span.wz-scene-length", {}, `${lengthOf(scene).toFixed(1)} s${kind === "long" ? ` → ${pieces(scene)}` : ""}`));
      const toggle = el("button.wz-scene-keep", {
        type: "button", title: scene.keep ? "Leave this scene out" : "Take this scene in",
        ...named("toggle", video, scene), "data-keep": scene.keep ? "0" : "1", disabled: data.busy,
      }, scene.keep ? "✓" : "+");
      return el("div.wz-scene-box", {}, frame, toggle);
    }

    function drawInspector(video) {
      const scene = sceneOf(chosen), index = video.scenes.indexOf(scene);
      const middle = (scene.start + scene.end) / 2;
      const at = el("input", { type: "range", min: scene.start, max: scene.end, step: 0.01, value: middle, "aria-label": "Where to split" });
      const label = el("strong.num", {}, time(middle));
      const player = video.url ? el("video", { src: `${video.url}#t=${scene.start}`, muted: true, autoplay: true, playsInline: true, preload: "auto" }) : el("img", { src: scene.picture, alt: "" });
      const silent = el("p.wz-muted", { hidden: Boolean(video.url) }, "Your browser cannot play this file: here is its middle. The clips that are cut from it can be played.");
      player.addEventListener("error", () => { player.replaceWith(el("img", { src: scene.picture, alt: "" })); silent.hidden = false; });
      let scrubbing = false;
      if (video.url) player.addEventListener("timeupdate", () => {
        if (player.currentTime >= scene.end - 0.04 && !scrubbing) { player.currentTime = scene.start; player.play().catch(() => {}); }
      });
      const split = el("button.wz-btn.soft", { type: "button", disabled: data.busy, onclick: () => act({ do: "split", source: video.id, frame: String(scene.frame), at: at.value }) }, "Split here");
      at.addEventListener("input", () => {
        label.textContent = time(+at.value);
        if (video.url) { scrubbing = true; player.pause(); player.currentTime = +at.value; }
      });
      return el("div.wz-inspector", {},
        el("div.wz-inspector-view", {}, player),
        el("div.wz-inspector-tools", {},
          el("div.wz-line", {}, el("h3", {}, `Scene ${index + 1}`), el("span.wz-muted", {}, `${time(scene.start)} – ${time(scene.end)}, ${scene.frames} frames`)),
          el("p.wz-muted", {}, sentence(scene)), silent,
          el("div.wz-split", {}, at, label, split),
          el("div.wz-row", {},
            el("button.wz-btn", { type: "button", disabled: data.busy || index + 1 >= video.scenes.length, ...named("merge", video, scene), "data-each": "1" }, "Merge with the next"),
            el("button.wz-btn", { type: "button", disabled: data.busy, ...named("toggle", video, scene), "data-keep": scene.keep ? "0" : "1" }, scene.keep ? "Leave out" : "Take in"),
            el("span.wz-grow"),
            el("button.wz-btn.quiet", { type: "button", onclick: () => { chosen = null; draw(); } }, "Close"))));
    }

    /* A scene by its first frame: its place in the strip is another once others are merged or split. */
    function named(what, video, scene) { return { "data-do": what, "data-source": video.id, "data-frame": scene.frame }; }

    function sentence(scene) {
      const kind = kindOf(scene);
      if (kind === "off") return "Left out: no clip is cut from it.";
      if (kind === "short") return `Shorter than ${data.min_s} s: no clip is cut. Merge it with a neighbour, or lower the shortest clip.`;
      if (kind === "long") return `Longer than ${data.max_s} s: cut into ${pieces(scene)} clips of equal length.`;
      return "One clip.";
    }
  });
})();
