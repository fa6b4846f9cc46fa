/* Downloads of models, at the side on every step: how far, how fast, Stop, and the way to where they were
   started. One that failed says why and what to do, until it is closed or tried again. */
(() => {
  "use strict";
  const { el, icon, state, linked } = window.wizard;
  const CLOSED = "wizard-closed-downloads", SHOWN = 2, KEPT = 20;
  const X = '<path d="M18 6 6 18M6 6l12 12"/>';
  let cards = new Map(), box = null;

  window.wizard.showDownloads = () => {
    const place = document.getElementById("wz-fetches");
    if (!place) return;
    if (box !== place) { box = place; cards = new Map(); } // the side was drawn anew
    const all = (state.downloads || []).filter((item) => !item.problem || !closed().includes(item.id));
    const shown = all.slice(0, SHOWN), more = all.length - shown.length;
    for (const [id, card] of cards) if (!shown.some((item) => item.id === id)) { card.root.remove(); cards.delete(id); }
    shown.forEach((item) => {
      if (!cards.has(item.id)) cards.set(item.id, make(item));
      const card = cards.get(item.id);
      if (card.root.parentElement !== box) box.append(card.root);
      card.show(item);
    });
    let rest = box.querySelector(".wz-fetch-more");
    if (!more) { rest?.remove(); return; }
    if (!rest) rest = el("div.wz-strip-text.wz-fetch-more");
    set(rest, `and ${more} more ${more === 1 ? "download" : "downloads"}`);
    box.append(rest);
  };

  function make(item) {
    let now = item;
    const title = el("button.wz-strip-title.wz-fetch-title", { type: "button", onclick: () => goTo(now) });
    const stop = el("button.wz-strip-stop", { type: "button", onclick: () => stopIt(now, stop) }, "Stop");
    const close = el("button.wz-icon-btn.wz-fetch-close", { type: "button", title: "Close", "aria-label": `Close ${item.title}`, onclick: () => closeIt(now) }, icon(X));
    const bar = el("i"), barBox = el("div.wz-bar", {}, bar), text = el("div.wz-strip-text"), left = el("div.wz-strip-text");
    const problem = el("strong"), remedy = el("p"), open = el("button.wz-fetch-open", { type: "button", onclick: () => goTo(now) });
    const wrong = el("div.wz-fetch-wrong", { role: "alert" }, problem, remedy);
    const root = el("div.wz-strip.wz-fetch", { "data-model": item.model }, el("div.wz-strip-row", {}, title, stop, close), barBox, text, left, wrong, open);
    return { root, show };

    function show(next) {
      now = next;
      const failed = Boolean(next.problem), reachable = canGo(next);
      root.classList.toggle("is-failed", failed);
      root.classList.toggle("is-running", !failed);
      set(title, next.title);
      title.disabled = !reachable;
      title.title = reachable ? `${next.title}: go to the step ${next.where}, where it was started` : next.title;
      stop.hidden = failed; stop.disabled = next.stopping;
      close.hidden = wrong.hidden = !failed;
      barBox.hidden = text.hidden = left.hidden = failed;
      bar.style.width = `${Math.round(200 * next.share) / 2}%`;
      set(text, next.stopping ? "stopping ..." : next.text);
      text.title = next.text;
      set(left, ["downloading", next.left].filter(Boolean).join(" · "));
      open.hidden = !failed || !reachable;
      set(open, `Go to ${next.where}`);
      if (failed && remedy.dataset.of !== next.problem + next.remedy) {
        remedy.dataset.of = next.problem + next.remedy;
        set(problem, next.problem);
        remedy.replaceChildren(...linked(next.remedy));
      }
    }
  }

  const canGo = (item) => item.step === "goal" || Boolean(state.project);

  function goTo(item) {
    if (!canGo(item)) return;
    window.wizard.go(item.step);
    const find = () => document.querySelector(`label:has(input[name="model"][value="${CSS.escape(item.model)}"]), [data-captioner="${CSS.escape(item.model)}"]`);
    setTimeout(() => { const place = find(); if (place?.offsetParent) place.scrollIntoView({ block: "center" }); }, 400);
  }

  async function stopIt(item, button) {
    button.disabled = true;
    try {
      await window.wizard.fetchJson("/wizard/live/download/do", {
        method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ model: item.model, do: "stop" }),
      });
    } catch (error) { button.disabled = false; }
    window.wizard.poll();
  }

  function closed() {
    try { return JSON.parse(localStorage.getItem(CLOSED)) || []; } catch (error) { return []; }
  }
  function closeIt(item) {
    localStorage.setItem(CLOSED, JSON.stringify([...closed(), item.id].slice(-KEPT)));
    window.wizard.showDownloads();
  }

  function set(target, text) { if (target.textContent !== text) target.textContent = text; }
  window.wizard.showDownloads();
})();
