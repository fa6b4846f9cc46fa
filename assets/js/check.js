/* The step Check: findings, how the clips differ, what is kept for validation, copies, the contact sheet, and
   what was left out. Each part is drawn again only when it has changed, so that nothing moves under the pointer. */
(() => {
  "use strict";
  const { el, clipTile, chooseClips } = window.wizard;
  const LEVELS = [["must", "Must fix", "alert"], ["should", "Should fix", "info"], ["fine", "Fine", "check"]];
  const REASONS = { // of one clip, and of more
    doubles: ["shows the same as another", "show the same as others"], alike: ["looks almost like another", "look almost like others"],
    still: ["stands still", "stand still"], black: ["has black frames", "have black frames"], blurred: ["is blurred for its size", "are blurred for their size"],
    readable: ["could not be read", "could not be read"], bars: ["has black bars", "have black bars"], cuts: ["has a cut inside", "have a cut inside"],
    unusual_motion: ["moves unlike the others", "move unlike the others"], other: ["you took out", "you took out"],
  };
  const CHOSEN = { leave_out: "Leave out", split_at_cuts: "Split", crop_bars: "Crop", uncrop: "Uncrop" }; // fixes that are done to chosen clips
  const UNDO_S = 15 * 60;
  const PATHS = {
    alert: '<path d="M12 4l9 16H3z"/><path d="M12 10v4.5M12 17.3v.2"/>', info: '<circle cx="12" cy="12" r="9"/><path d="M12 11v5.5M12 7.5v.2"/>',
    check: '<path d="M4.5 12.5l5 5 10-11"/>', fold: '<path d="M9 5.5l6.5 6.5L9 18.5"/>', x: '<path d="M6 6l12 12M18 6L6 18"/>', undo: '<path d="M8.5 5L4.5 9l4 4"/><path d="M5 9h9a5.5 5.5 0 010 11H9"/>',
    download: '<path d="M12 4v11M7.5 10.5L12 15l4.5-4.5M4.5 19.5h15"/>',
  };
  const count = (number, one, many = `${one}s`) => `${number.toLocaleString("en")} ${number === 1 ? one : many}`;
  const percent = (share) => `${Math.round(share * 100)} %`;

  const icon = (name) => window.wizard.icon(PATHS[name]);

  window.wizard.define("check", (root, act) => {
    let data = null, dismissed = 0;
    const drawn = new Map();
    const parts = {
      undo: [el("div.wz-undo", { role: "status" }), drawUndo], findings: [el("div"), drawFindings], variety: fold("variety", "Variety", drawVariety), held: fold("held", "Kept for validation", drawHeld),
      copies: fold("copies", "Copies for training", drawCopies), sizes: fold("sizes", "Sizes that training will see", drawSizes),
      sheet: fold("sheet", "Contact sheet", drawSheet), left: fold("left", "Left out", drawLeft),
    };
    const report = el("section.wz-section.wz-check-report", {}, el("h2", {}, "The dataset at a glance"), el("div.wz-check-parts", {}, ...Object.keys(parts).slice(2).map((name) => parts[name][0])));
    root.replaceChildren(parts.undo[0], parts.findings[0], report);

    return (next) => {
      data = next;
      root.hidden = !next;
      if (!next) return;
      next.undo = newest(next.left);
      for (const [name, [box, draw]] of Object.entries(parts)) {
        const text = JSON.stringify([next[name], next.busy, next.total, name === "variety" && next.findings.map((item) => item.id)]);
        if (drawn.get(name) === text) continue;
        drawn.set(name, text);
        draw(next[name], box);
      }
      report.hidden = !next.total && !next.left.count;
    };

    /* A part that is folded to one line until somebody wants to see it. */
    function fold(name, title, draw) {
      const said = el("span.wz-check-part-said"), body = el("div.wz-check-part-body");
      const box = el("details.wz-check-part", { "data-part": name }, el("summary", {}, icon("fold"), el("strong", {}, title), said), body);
      return [box, (part, shown) => {
        const [words, ...content] = draw(part);
        shown.hidden = words === null;
        said.replaceChildren(...[words].flat().filter(Boolean).map((word) => typeof word === "string" ? el("span", {}, word) : word));
        body.replaceChildren(...content.flat().filter(Boolean));
      }];
    }

    function busyTitle() { return data.busy ? "Wait until the running job is done, or stop it." : null; }

    /* Findings. */
    function drawFindings(found, box) {
      const open = box.querySelector(".wz-fine-fold")?.open;
      box.replaceChildren(...LEVELS.map(([level, title, symbol]) => {
        const mine = found.filter((item) => item.level === level);
        if (!mine.length) return level === "must" && found.length ? section(title, null, el("p.wz-muted", {}, "Nothing.")) : null;
        const cards = el("div.wz-findings", { class: `wz-findings${level === "fine" ? " wz-fine" : ""}` }, mine.map((item) => drawFinding(item, symbol)));
        if (level !== "fine") return section(title, mine.length, cards);
        return el("details.wz-fine-fold", { open: open ?? false }, el("summary", {}, icon("fold"), el("strong", {}, title), el("span.wz-count", {}, mine.length)), cards);
      }).filter(Boolean));
    }

    function section(title, number, content) {
      return el("section.wz-section", {}, el("h2", {}, title, number ? el("span.wz-count", {}, number) : null), content);
    }

    function drawFinding(item, symbol) {
      const more = item.count - item.tiles.length;
      const pictures = item.tiles.length
        ? el("div.wz-pictures", {}, item.tiles.map((tile) => clipTile(tile)), more > 0 ? el("button.wz-more", { type: "button", onclick: () => look(item) }, `+${more.toLocaleString("en")} more`) : null) : null;
      return el("article.wz-finding", { class: `wz-finding is-${item.level}`, "data-finding": item.id },
        el("span.wz-finding-mark", {}, icon(symbol)),
        el("div.wz-grow", {}, el("strong", {}, item.title), item.why ? el("p", {}, item.why) : null, item.remedy ? el("p.wz-remedy", {}, item.remedy) : null, pictures),
        drawButtons(item));
    }

    function drawButtons(item) {
      const choose = CHOSEN[item.fix], canShow = item.count && item.level !== "fine" && item.id !== "measured" && item.id !== "files";
      const blocked = { disabled: !!data.busy, title: busyTitle() };
      const buttons = [
        choose ? el("button.wz-btn.soft", { type: "button", onclick: () => look(item), ...blocked }, `${item.label} ...`) : null,
        item.fix && !choose ? el("button.wz-btn.soft", { type: "button", "data-do": "fix", "data-finding": item.id, ...blocked }, item.label) : null,
        canShow && !choose ? el("button.wz-btn.quiet.small", { type: "button", onclick: () => look(item) }, item.count === 1 ? "Show it" : `Show all ${item.count.toLocaleString("en")}`) : null,
      ].filter(Boolean);
      return buttons.length ? el("div.wz-finding-do", {}, buttons) : null;
    }

    /* All clips of a finding, to be chosen one by one: this is also the question before something is done. */
    function look(item) {
      const leave = { words: (number) => number ? `Leave ${count(number, "clip")} out` : "Leave out", done: (ids) => act({ do: "leave_out", finding: item.id, clips: ids.join(",") }), disabled: !!data.busy };
      const put = CHOSEN[item.fix] && item.fix !== "leave_out"
        ? { words: (number) => number ? `${CHOSEN[item.fix]} ${count(number, "clip")}` : CHOSEN[item.fix], done: (ids) => act({ do: "fix", finding: item.id, clips: ids.join(",") }), disabled: !!data.busy } : null;
      chooseClips({
        title: item.title, least: 1, address: address("finding", item.id), main: put || leave, other: put ? leave : null,
        text: `${item.why} ${put ? "Untick what should stay as it is." : "Tick what you want to leave out."} Nothing is deleted: what you leave out waits under 'Left out' on this page.`,
      });
    }

    function address(of, id = "") {
      return `/wizard/live/check/clips?project=${encodeURIComponent(data.project)}&of=${of}&id=${encodeURIComponent(id)}`;
    }

    /* What was left out a moment ago can be taken back at once; it is read from the disk, so a reload keeps it. */
    function newest(left) {
      const batch = left.batches[0];
      return batch && Date.now() / 1000 - batch.at < UNDO_S && batch.at !== dismissed ? { at: batch.at, ids: batch.ids } : null;
    }

    function drawUndo(batch, box) {
      box.hidden = !batch;
      if (!batch) return;
      box.replaceChildren(icon("check"), el("span", {}, el("strong", {}, `${count(batch.ids.length, "clip")} left out.`), ` Nothing is deleted: ${batch.ids.length === 1 ? "it waits" : "they wait"} under 'Left out' at the end of this page.`), el("span.wz-grow"),
        el("button.wz-btn.small", { type: "button", disabled: !!data.busy, title: busyTitle(), "data-do": "bring_back", "data-clips": batch.ids.join(",") }, icon("undo"), el("span", {}, "Undo")),
        el("button.wz-icon-btn", { type: "button", title: "Close", "aria-label": "Close", onclick: () => { dismissed = batch.at; box.hidden = true; } }, icon("x")));
    }

    /* How the clips differ. */
    function drawVariety(part) {
      if (!part.tallies.length) return [null];
      const notes = part.tallies.filter((tally) => tally.note).length + (part.groups ? 1 : 0);
      const words = notes ? [el("span.wz-badge.warn", {}, count(notes, "note")), part.tallies.find((tally) => tally.note)?.said || groupsSaid(part)] : data.findings.some((item) => item.id === "measured") ? "sizes, lengths and captions; light, camera and motion once the clips were looked at" : "nothing stands out";
      return [words,
        el("p.wz-muted", {}, "What all clips share is learnt along with what you want to teach. What differs between them stays free."),
        el("div.wz-tallies", {}, part.tallies.map(drawTally)),
        part.groups ? drawGroups(part) : null];
    }

    function drawTally(tally) {
      const most = Math.max(...tally.counts.map((item) => item[1]));
      const shown = tally.counts.slice(0, 6), rest = tally.counts.length - shown.length;
      return el("div.wz-tally", { class: `wz-tally${tally.note ? " is-note" : ""}`, title: tally.measure || null },
        el("h3", {}, tally.title), el("p", {}, tally.said),
        el("dl", {}, shown.flatMap(([value, number]) => [el("dt", { title: value }, value), el("dd", {}, el("i", { style: `width:${Math.max(2, 100 * number / (tally.title === "Captions name" ? tally.total : most))}%` }), el("span.num", {}, number.toLocaleString("en")))])),
        rest > 0 ? el("p.wz-muted", {}, `and ${rest} more`) : null,
        tally.measure ? el("p.wz-measure", {}, tally.measure) : null);
    }

    function groupsSaid(part) { return `${count(part.clips, "clip")} in ${count(part.groups, "group")} look alike.`; }

    function drawGroups(part) {
      const finding = data.findings.find((item) => item.id === "doubles" && item.count) || data.findings.find((item) => item.id === "alike");
      return el("div.wz-alike", {}, el("div.wz-line", {}, el("h3", {}, groupsSaid(part)), finding ? el("button.wz-btn.small", { type: "button", onclick: () => look(finding) }, "Show all") : null),
        part.shown.map((group) => el("div.wz-alike-row", {}, clipTile(group.kept),
          el("div.wz-pictures", {}, group.tiles.map((tile) => clipTile(tile)), group.same + group.near > group.tiles.length ? el("span.wz-more", {}, `+${group.same + group.near - group.tiles.length}`) : null),
          el("p.wz-muted", {}, [group.same ? `${count(group.same, "copy", "copies")} of it` : "", group.near ? `${group.near} at another moment` : ""].filter(Boolean).join(", ")))),
        part.groups > part.shown.length ? el("p.wz-muted", {}, `and ${count(part.groups - part.shown.length, "more group", "more groups")}`) : null);
    }

    /* What is kept out of training. */
    function drawHeld(part) {
      if (!data.total) return [null];
      const how = part.automatic ? `chosen by the app: ${percent(part.share)} of the clips` : "your choice";
      const pick = el("button.wz-btn.soft", { type: "button", "data-pick-held": "1", onclick: pickHeld }, "Choose clips ...");
      const auto = el("button.wz-btn", { type: "button", "data-do": "hold_out_automatic" }, "Let the app choose again");
      const words = part.count ? [part.doubtful ? el("span.wz-badge.warn", {}, `${part.doubtful} like trained clips`) : null, `${count(part.count, "clip")}, ${how}`] : part.share ? "none: three clips or more are needed" : "none: the recipe keeps 0 %";
      return [words,
        el("p.wz-muted", {}, "Training never sees these clips. Now and then it tries itself on them: when that gets worse while the training loss still falls, the LoRA learns by heart."),
        part.doubtful ? el("p.wz-warned", {}, `${part.doubtful === 1 ? "One of them is" : `${part.doubtful} of them are`} close to a clip that is trained (a copy, or a moment of the same scene), so ${part.doubtful === 1 ? "it tells" : "they tell"} less than it seems. Train on ${part.doubtful === 1 ? "it" : "them"} and keep others, or leave the copies out.`) : null,
        el("div.wz-tiles", {}, part.tiles.map((tile) => heldTile(tile, part)), part.count > part.tiles.length ? el("button.wz-more", { type: "button", onclick: pickHeld }, `+${part.count - part.tiles.length} more`) : null),
        el("div.wz-row", {}, pick, part.doubtful ? el("button.wz-btn", { type: "button", "data-do": "hold_out_others" }, `Swap ${part.doubtful === 1 ? "it" : `these ${part.doubtful}`} for others`) : null, part.automatic ? null : auto)];
    }

    function heldTile(tile, part) {
      return clipTile(tile, tile.like ? el("span.wz-tile-note.is-warn", {}, `like ${tile.like}`) : null,
        part.ids.length > 1 ? el("button.wz-tile-do", { type: "button", title: "Train on this clip instead", "aria-label": `Train on ${tile.label} instead`, "data-do": "train_on", "data-clips": tile.id }, icon("x")) : null);
    }

    function pickHeld() {
      chooseClips({
        title: "Clips kept for validation", least: 1, most: "not all", address: address("candidates"),
        text: "Tick the clips that training must not see. Good ones are typical of what you teach and no copies of others; one in ten is enough.",
        main: { words: (number) => number ? `Keep ${count(number, "clip")}` : "Keep", done: (ids) => act({ do: "hold_out", clips: ids.join(",") }) },
      });
    }

    /* Mirrored and recoloured copies. */
    function drawCopies(part) {
      if (!data.total) return [null];
      const extra = part.mirrored + part.recoloured;
      const made = [part.mirrored ? `${part.mirrored.toLocaleString("en")} mirrored` : "", part.recoloured ? `${part.recoloured.toLocaleString("en")} in other light` : ""].filter(Boolean).join(" and ");
      const words = extra ? `${count(part.clips, "clip")} and ${made} copies: ${part.total.toLocaleString("en")} examples` : part.clips ? `none: ${count(part.clips, "clip is", "clips are")} trained as ${part.clips === 1 ? "it is" : "they are"}` : "none: no clip fits a training size yet";
      return [words,
        el("p.wz-muted", {}, "With few clips, copies keep the LoRA from learning by heart. They are made while training reads the clips; your files stay as they are."),
        el("div.wz-copy-rows", {}, el("div.wz-copy-row", {}, el("h3", {}, "Mirrored"), mirrorChoice(part), el("p", { class: part.mirror === "all" && (part.with_text || part.with_side) ? "wz-warned" : "wz-muted" }, mirrorSaid(part))),
          el("div.wz-copy-row", {}, el("h3", {}, "Other light and colour"), colourChoice(part), el("p.wz-muted", {}, `Each copy is changed by chance: brightness by up to ${percent(part.most_change[0])}, contrast by up to ${percent(part.most_change[1])}, saturation by up to ${percent(part.most_change[2])}, the same in all its frames.`))),
        part.examples.length ? el("div.wz-examples", {}, part.examples.map(drawExample)) : null,
        el("div.wz-not-offered", {}, el("h3", {}, "Not offered, because it does harm"), el("ul", {}, part.not_offered.map(([what, why]) => el("li", {}, el("strong", {}, what), `: ${why}.`))))];
    }

    function mirrorChoice(part) {
      const choices = [["off", "No"], ["safe", "Where it is safe"], ["all", "All clips"]];
      return el("div.wz-segments", { role: "radiogroup", "aria-label": "Mirrored copies" }, choices.map(([value, title]) => el("label", {}, el("input", { type: "radio", name: "check-mirror", value, checked: part.mirror === value, "data-change": "set_mirror" }), el("span", {}, title))));
    }

    function colourChoice(part) {
      return el("label.wz-check", {}, el("select.wz-pick", { "data-change": "set_colour", "aria-label": "Copies of each clip" }, [0, 1, 2, 3, 4].map((number) => el("option", { value: number, selected: number === part.colour }, number ? `${number} of each clip` : "None"))));
    }

    function mirrorSaid(part) {
      const side = part.with_side ? `${count(part.with_side, "caption")} name${part.with_side === 1 ? "s" : ""} left or right` : "";
      const text = part.with_text ? `${count(part.with_text, "caption")} may speak of writing` : "";
      const both = [side, text].filter(Boolean).join(", and ");
      if (part.mirror === "off") return both ? `If you want it: ${both}. 'Where it is safe' leaves those clips as they are.` : "No caption names left, right or writing: every clip could be mirrored.";
      if (part.mirror === "safe") return both ? `${both}: these clips are not mirrored, because the caption would be wrong or the letters reversed.` : "No caption names left, right or writing: every clip is mirrored.";
      return both ? `${side ? `${side}: for the mirrored copy the words are exchanged. ` : ""}${text ? `${text}: the LoRA would learn reversed letters. ` : ""}'Where it is safe' leaves these clips out.` : "No caption names left, right or writing. If letters can be seen in a clip all the same, they are learnt reversed.";
    }

    function drawExample(example) {
      const changed = example.caption !== example.text;
      return el("figure.wz-example", {}, el("div.wz-example-views", {}, el("img", { src: example.picture, alt: "The clip", loading: "lazy" }), el("img", { src: example.after, alt: "The copy", loading: "lazy" })),
        el("figcaption", {}, el("strong", {}, example.name === "mirrored" ? "mirrored" : "other light"), ` ${example.label}`, changed ? el("p", {}, ...differences(example.text, example.caption)) : null));
    }

    /* The words that are exchanged, with a few around them. */
    function differences(before, after) {
      const was = before.split(" "), now = after.split(" ");
      const at = now.findIndex((word, index) => word !== was[index]);
      if (at < 0 || was.length !== now.length) return [after];
      const from = Math.max(0, at - 4), to = Math.min(now.length, at + 8);
      return [from ? "... " : "", ...now.slice(from, to).flatMap((word, index) => word === was[from + index] ? [`${word} `] : [el("del", {}, was[from + index]), " ", el("ins", {}, word), " "]), to < now.length ? "..." : ""];
    }

    /* Sizes. */
    function drawSizes(part) {
      if (!part.boxes.length && !part.unfit_count) return [null];
      const largest = Math.max(1, ...part.boxes.map((box) => Math.max(box.width, box.height)));
      const words = [part.unfit_count ? el("span.wz-badge.warn", {}, `${part.unfit_count} fit nowhere`) : null, part.boxes.slice(0, 3).map((box) => `${box.width} × ${box.height}`).join(", ") + (part.boxes.length > 3 ? ` and ${part.boxes.length - 3} more` : "")];
      return [words,
        el("p.wz-muted", {}, `Each clip goes to the nearest size that ${part.model} takes, at ${part.fps} frames per second.`),
        el("div.wz-buckets", {}, part.boxes.map((box) => el("div.wz-bucket", {},
          el("div.wz-bucket-art", {}, el("i", { style: `width:${Math.round(96 * box.width / largest)}px;height:${Math.round(96 * box.height / largest)}px`, class: box.frames === 1 ? "is-still" : "" })),
          el("strong", {}, `${box.width} × ${box.height}`), el("span", {}, box.frames === 1 ? "image" : `${box.frames} frames, ${(box.frames / part.fps).toFixed(1)} s`), el("span.wz-muted", {}, count(box.clips, "clip"))))),
        part.unfit.length ? el("ul.wz-unfit", {}, part.unfit.map(([why, number]) => el("li", {}, `${count(number, "clip")}: ${why}`))) : null];
    }

    /* The contact sheet. */
    function drawSheet(part) {
      if (!data.total) return [null];
      const drawing = data.busy === "contact_sheet";
      const words = drawing ? "being drawn" : part ? (part.current ? `made, ${part.size}` : "made, but clips have changed since") : "not made yet: one picture of all clips with their names";
      const start = el("button.wz-btn", { type: "button", class: `wz-btn${part ? "" : " soft"}`, disabled: !!data.busy, title: busyTitle(), "data-do": "draw_sheet" }, part ? "Draw it again" : `Draw ${count(data.total, "clip")}`);
      return [words,
        el("p.wz-muted", {}, "One picture of all clips with their names: what does not belong is seen at a glance."),
        drawing ? working("contact_sheet", "Drawing the contact sheet") : null,
        part && !part.current && !drawing ? el("p.wz-warned", {}, "Clips have changed since it was drawn.") : null,
        el("div.wz-row", {}, part ? el("a.wz-btn.soft", { href: part.download, download: part.name }, icon("download"), el("span", {}, `Download (${part.size})`)) : null, drawing ? null : start),
        part ? el("a.wz-sheet", { href: part.url, target: "_blank", rel: "noopener", title: "Open it in its full size" }, el("img", { src: part.url, alt: "All clips with their names", loading: "lazy" })) : null];
    }

    function working(kind, title) {
      return el("div.wz-working", { "data-job": kind }, el("div.wz-working-row", {}, el("span.wz-spinner"), el("strong", {}, title), el("span.wz-grow"), el("span.wz-muted", { "data-job-text": "1" }, "starting"),
        el("button.wz-btn.small.quiet", { type: "button", "data-do": "stop_job" }, "Stop")), el("div.wz-bar", {}, el("i", { "data-job-bar": "1" })));
    }

    /* What was left out. */
    function drawLeft(part) {
      if (!part.count) return [null];
      return [`${count(part.count, "clip")}: neither trained nor counted, and ready to come back`,
        part.batches.map((batch) => el("div.wz-left-batch", {},
          el("div.wz-line", {}, el("h3", {}, `${count(batch.ids.length, "clip")} that ${(REASONS[batch.reason] || REASONS.other)[batch.ids.length === 1 ? 0 : 1]}`), el("span.wz-muted", {}, new Date(batch.at * 1000).toLocaleString("en", { dateStyle: "medium", timeStyle: "short" })), el("span.wz-grow"),
            el("button.wz-btn.small", { type: "button", "data-do": "bring_back", "data-clips": batch.ids.join(",") }, icon("undo"), el("span", {}, batch.ids.length === 1 ? "Bring it back" : "Bring all back"))),
          el("div.wz-tiles", {}, batch.tiles.map((tile) => clipTile(tile, batch.ids.length > 1 ? el("button.wz-tile-do", { type: "button", title: "Bring this clip back", "aria-label": `Bring ${tile.label} back`, "data-do": "bring_back", "data-clips": tile.id }, icon("undo")) : null)),
            batch.ids.length > batch.tiles.length ? el("span.wz-more", {}, `+${batch.ids.length - batch.tiles.length} more`) : null)))];
    }
  });
})();
