/* The chosen model's download: what it takes, how far it is, and how the hub is reached. It asks the app by
   itself, so it goes on showing the truth in every window; a typed token is sent once and not kept here. */
(() => {
  "use strict";
  const { el, fetchJson, choices, linked } = window.wizard;
  const TICK_MS = 500, RUNNING_MS = 1000, WATCH_MS = 5000;

  window.wizard.define("download", (root) => {
    const parts = build();
    let model = null, shown = null, asking = false, askedAt = 0;
    setInterval(tick, TICK_MS);
    return tick;

    function tick() {
      if (document.documentElement.dataset.step !== "goal" || document.hidden) return;
      const chosen = choices("model")[0];
      if (chosen !== model) { model = chosen; shown = null; show(null); if (model) ask(true); return; }
      if (!model || asking || !shown || shown.state === "local") return;
      const age = Date.now() - askedAt;
      if (shown.state === "running" && age > RUNNING_MS) ask(true);
      else if (shown.state === "missing" && age > WATCH_MS) ask(false);
    }

    /* full: also how much there is to fetch, for which the app may ask the hub. */
    async function ask(full) {
      const mine = model;
      asking = true;
      try {
        const view = await fetchJson(`/wizard/live/download?${new URLSearchParams({ model: mine, ask: full ? 1 : 0 })}`);
        if (mine === model && (full || view.state !== "missing")) show(view);
      } catch (error) {
        if (mine === model && error.data) show({ state: "failed", title: "", text: "", button: "", ...error.data });
      } finally { asking = false; askedAt = Date.now(); }
    }

    async function send(what, card = parts.problem) {
      const mine = model;
      try {
        const view = await fetchJson("/wizard/live/download/do", {
          method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ model, ...what }),
        });
        if (mine === model) show(view);
        return true;
      } catch (error) {
        if (error.data) card.replaceChildren(notice("bad", error.data));
        return false;
      }
    }

    function build() {
      const made = {
        title: el("strong"), text: el("span.wz-muted"), file: el("span.wz-muted.wz-download-file"), bar: el("i"),
        go: el("button.wz-btn.soft", { type: "button", onclick: go }), stop: el("button.wz-btn.small", { type: "button", onclick: () => send({ do: "stop" }) }, "Stop"),
        problem: el("div"), hubResult: el("div"),
        token: el("input.wz-search", { type: "password", autocomplete: "off", spellcheck: false, placeholder: "hf_...", id: "hub-token" }),
        tokenState: el("span.wz-muted"),
        endpoint: el("input.wz-search", { type: "url", placeholder: "https://huggingface.co", id: "hub-endpoint", spellcheck: false }),
        offline: el("input", { type: "checkbox", id: "hub-offline" }),
      };
      made.barBox = el("div.wz-bar", {}, made.bar);
      made.box = el("div.wz-download", {},
        el("div.wz-download-line", {}, el("div.wz-grow", {}, made.title, el("div", {}, made.text), made.file), made.stop, made.go),
        made.barBox, made.problem, hubSettings(made));
      made.box.hidden = true;
      root.replaceChildren(made.box);
      return made;
    }

    function hubSettings(made) {
      const save = el("button.wz-btn.small", { type: "submit" }, "Save");
      const form = el("form.wz-hub", { autocomplete: "off", onsubmit: (event) => { event.preventDefault(); saveHub(save); } },
        el("label", { htmlFor: "hub-token" }, "Token"), el("div", {}, made.token, made.tokenState),
        el("label", { htmlFor: "hub-endpoint" }, "Mirror"), el("div", {}, made.endpoint, el("span.wz-muted", {}, "A token is sent to it too. Empty: the hub itself.")),
        el("span"), el("div", {}, el("label.wz-check", {}, made.offline, "Work offline: use only what is on this computer")),
        el("span"), el("div", {}, save));
      made.fold = el("details.wz-hub-fold", {}, el("summary", {}, "Hub settings"), form, made.hubResult);
      return made.fold;
    }

    function go() {
      if (shown && shown.button === "Ask again") { show(null); ask(true); return; }
      parts.go.disabled = true;
      parts.problem.replaceChildren();
      send({ do: "start" }).finally(() => { parts.go.disabled = false; });
    }

    async function saveHub(button) {
      button.disabled = true;
      parts.hubResult.replaceChildren();
      const token = parts.token.value;
      let good = await send({ do: "hub", endpoint: parts.endpoint.value, offline: parts.offline.checked }, parts.hubResult);
      if (good && token) {
        button.textContent = "Checking the token ...";
        good = await send({ do: "token", token }, parts.hubResult);
        if (good) parts.token.value = "";
      }
      if (good) parts.hubResult.replaceChildren(notice("good", { problem: token ? "Saved. The hub knows this token." : "Saved." }));
      button.textContent = "Save";
      button.disabled = false;
      parts.hubResult.scrollIntoView({ block: "nearest" });
    }

    function show(view) {
      const typing = parts.fold.contains(document.activeElement);
      shown = view;
      parts.box.hidden = !view ? !model : view.state === "local";
      const now = view || { title: "Looking at this model ...", text: "", button: "", state: "asking" };
      set(parts.title, now.title || ""); set(parts.text, now.text || ""); set(parts.file, now.file || "");
      parts.box.classList.toggle("is-here", now.state === "here");
      parts.go.hidden = !now.button; set(parts.go, now.button || "");
      parts.stop.hidden = now.state !== "running"; parts.stop.disabled = !!now.stopping;
      parts.barBox.hidden = !(now.state === "running" || (now.state === "missing" && now.share > 0));
      parts.bar.style.width = `${(now.share || 0) * 100}%`;
      parts.problem.replaceChildren(...(now.problem ? [notice("bad", now)] : []));
      if (now.hub && !typing) {
        parts.endpoint.value = now.hub.endpoint; parts.offline.checked = now.hub.offline;
      }
      if (now.hub) set(parts.tokenState, now.hub.token ? "A token is stored. Type another to replace it." : "Only for models that ask for one. Kept by the hub's own library.");
    }

    function notice(kind, { problem, remedy }) {
      return el(`div.wz-notice.wz-${kind}`, { role: kind === "bad" ? "alert" : "status" },
        el("div", {}, el("strong", {}, problem), remedy ? el("p", {}, ...linked(remedy)) : null));
    }

    function set(target, text) { if (target.textContent !== text) target.textContent = text; }
  });
})();
