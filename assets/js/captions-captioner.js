/* Which captioner writes captions: what fits this computer, what has to be downloaded, the server, the instruction. */
(() => {
  "use strict";
  const { el, fetchJson } = window.wizard;
  const CHOSEN = "wizard-captioner", DOWNLOAD_MS = 1000;

  window.wizard.chosenCaptioner = (choices) => {
    const kept = localStorage.getItem(CHOSEN);
    if (!choices) return kept || "motion";
    const usable = choices.find((item) => item.name === kept) || choices.find((item) => item.proposed) || choices[0];
    return usable ? usable.name : "motion";
  };

  window.wizard.captionerPanel = (box, on) => {
    let data = null, timer = 0;
    const sent = (more) => ({ project: on.project(), ...more });
    load();

    async function load() {
      try { show(await fetchJson(`/wizard/live/captioners?${new URLSearchParams({ project: on.project() })}`)); }
      catch (error) { box.replaceChildren(el("p.wz-wrong", {}, error.data ? `${error.data.problem} ${error.data.remedy}` : "LTX Wizard does not answer.")); }
    }

    async function send(more, result) {
      try {
        const answer = await on.post("/wizard/live/captioners/do", sent(more));
        if (more.do !== "check") show(answer);
        const place = box.querySelector(result) || box;
        place.replaceChildren(el("span.wz-right", {}, answer.told));
      } catch (error) {
        const place = box.querySelector(result);
        if (place) place.replaceChildren(el("span.wz-wrong", {}, error.data ? `${error.data.problem} ${error.data.remedy}` : "LTX Wizard does not answer."));
      }
    }

    function show(next) {
      data = next;
      const chosen = window.wizard.chosenCaptioner(data.choices);
      const rows = data.choices.map((item) => row(item, item.name === chosen));
      const overwrite = el("input", { type: "checkbox", id: "captions-overwrite", checked: true });
      const go = el("button.wz-btn.soft", { type: "button", id: "captions-run" });
      go.addEventListener("click", () => on.recaption(overwrite.checked, window.wizard.chosenCaptioner(data.choices)));
      box.refreshGo = () => {
        const now = data.choices.find((item) => item.name === window.wizard.chosenCaptioner(data.choices));
        go.disabled = !now?.ready;
        go.textContent = `Caption ${on.targets().text}`;
      };
      box.replaceChildren(
        el("div.wz-captioner-list", { role: "radiogroup", "aria-label": "Captioner" }, rows),
        server(),
        instruction(),
        el("div.wz-drawer-row", {}, el("label.wz-check", {}, overwrite, "Also rewrite captions that exist (Undo brings them back)"), el("span.wz-grow"), go));
      box.refreshGo();
      box.parentElement.refresh = box.refreshGo;
      on.resized();
    }

    function row(item, isChosen) {
      const input = el("input", { type: "radio", name: "captioner", value: item.name, checked: isChosen, disabled: !item.fits });
      input.addEventListener("change", () => { localStorage.setItem(CHOSEN, item.name); box.refreshGo(); });
      const size = item.downloaded ? "" : `${item.download_gib.toFixed(1)} GB download`;
      const fetchIt = item.fits && !item.downloaded ? el("button.wz-btn.small", { type: "button", onclick: (event) => { event.preventDefault(); download(item, fetchIt); } }, `Download ${item.download_gib.toFixed(1)} GB`) : null;
      return el("label.wz-captioner", { className: `wz-captioner${item.fits ? "" : " is-off"}` }, input,
        el("span.wz-captioner-text", {}, el("span.wz-line.wz-one-line", {}, el("strong", {}, item.title), item.proposed ? el("span.wz-badge.soft", {}, "proposed") : null, el("span.wz-grow"), fetchIt),
          el("small", {}, item.needs), el("small.wz-muted", {}, [item.reason, item.speed && item.speed !== "not measured yet" ? item.speed : "", item.fits ? "" : size].filter(Boolean).join(" · "))));
    }

    async function download(item, button) {
      button.disabled = true;
      try {
        await on.post("/wizard/live/download/do", { do: "start", model: item.name });
        follow(item, button);
      } catch (error) {
        button.disabled = false;
        on.tell(error.data ? `${error.data.problem} ${error.data.remedy}` : "LTX Wizard does not answer.", "bad");
      }
    }

    async function follow(item, button) {
      clearTimeout(timer);
      if (!box.isConnected) return;
      try {
        const view = await fetchJson(`/wizard/live/download?${new URLSearchParams({ model: item.name, ask: 0 })}`);
        if (view.state === "here") { load(); return; }
        if (view.state === "failed" || view.problem) { button.disabled = false; on.tell(`${view.problem} ${view.remedy}`, "bad"); return; }
        button.textContent = view.share ? `${Math.round(100 * view.share)} %` : "Starting ...";
      } catch (error) { /* the next look tells */ }
      timer = setTimeout(() => follow(item, button), DOWNLOAD_MS);
    }

    function server() {
      const now = data.server;
      const input = (id, more) => el("input.wz-search", { id, spellcheck: false, autocomplete: "off", ...more });
      const address = input("caption-server", { type: "url", value: now.address, placeholder: "http://localhost:11434/v1" });
      const model = input("caption-model", { type: "text", value: now.model, placeholder: "empty: the first it offers" });
      const key = input("caption-key", { type: "password", placeholder: now.has_key ? "a key is kept" : "only if it asks for one" });
      const field = (label, item) => el("label.wz-field", {}, el("span", {}, label), item);
      return el("details.wz-fold", { open: Boolean(now.address) && localStorage.getItem(CHOSEN) === "server" }, el("summary", {}, now.address ? `Server: ${now.address}` : "Server: Ollama, LM Studio, vLLM or a cloud service"),
        el("div.wz-drawer-row", {}, field("Address", address), field("Model", model), field("Key", key),
          el("button.wz-btn.small", { type: "button", onclick: () => send({ do: "server", address: address.value, model: model.value, key: key.value }, ".wz-server-result") }, "Save"),
          el("button.wz-btn.small", { type: "button", onclick: () => send({ do: "check" }, ".wz-server-result") }, "Check"),
          now.has_key ? el("button.wz-btn.small.quiet", { type: "button", onclick: () => send({ do: "forget" }, ".wz-server-result") }, "Delete the key") : null),
        el("p.wz-server-result.wz-small"),
        el("p.wz-muted.wz-small", {}, "Pictures of your clips are sent to this address. The key stays in a private file of yours, never in the project."));
    }

    function instruction() {
      const text = el("textarea.wz-instruction", { rows: 5, value: data.instruction, "aria-label": "Instruction" });
      return el("details.wz-fold", {}, el("summary", {}, "What vision models are asked"), text,
        el("div.wz-drawer-row", {}, el("button.wz-btn.small", { type: "button", onclick: () => send({ do: "instruction", text: text.value }, ".wz-instruction-result") }, "Save"),
          el("button.wz-btn.small.quiet", { type: "button", onclick: () => send({ do: "instruction", text: "" }, ".wz-instruction-result") }, "Back to ours"), el("span.wz-instruction-result.wz-small")),
        el("p.wz-muted.wz-small", {}, "{facts} is where the measured motion goes. Florence-2 and the motion draft take no instruction."));
    }
  };
})();
