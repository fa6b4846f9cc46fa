/* Which captioner writes captions: what fits this computer, what has to be downloaded, the server, the instruction. */
(() => {
  "use strict";
  const { el, fetchJson } = window.wizard;
  const CHOSEN = "wizard-captioner", DOWNLOAD_MS = 1000;
  const said = (error) => (error.data ? `${error.data.problem} ${error.data.remedy}` : "LTX Wizard does not answer.");

  window.wizard.chosenCaptioner = (choices) => {
    const kept = localStorage.getItem(CHOSEN);
    if (!choices) return kept || "motion";
    const usable = choices.find((item) => item.name === kept && item.fits) || choices.find((item) => item.proposed) || choices[0];
    return usable ? usable.name : "motion";
  };

  window.wizard.captionerPanel = (box, on) => {
    let data = null, models = [], rewrite = false;
    const problems = {}, timers = {};
    const open = { server: false, instruction: false, large: false, hub: false };
    let hub = null;
    load();

    async function load() {
      try {
        show(await fetchJson(`/wizard/live/captioners?${new URLSearchParams({ project: on.project() })}`));
        for (const item of data.choices) if (item.fits && !item.downloaded) follow(item, true);
      }
      catch (error) { box.replaceChildren(el("p.wz-wrong", {}, said(error))); }
    }

    /* One change; the answer is shown where the button is. */
    async function send(more, result) {
      const place = () => box.querySelector(result);
      place()?.replaceChildren(el("span.wz-muted", {}, more.do === "check" ? "Asking ..." : "Saving ..."));
      try {
        const answer = await on.post("/wizard/live/captioners/do", { project: on.project(), ...more });
        models = answer.models || [];
        show(answer);
        place()?.replaceChildren(el(answer.wrong ? "span.wz-wrong" : "span.wz-right", { role: "status" }, answer.wrong || answer.told));
        return !answer.wrong;
      } catch (error) {
        place()?.replaceChildren(el("span.wz-wrong", { role: "alert" }, said(error)));
        return false;
      } finally { on.resized(); }
    }

    function show(next) {
      data = next;
      const name = window.wizard.chosenCaptioner(data.choices);
      if (name === "server" && !data.server.address) open.server = true;
      const overwrite = el("input", { type: "checkbox", id: "captions-overwrite", checked: rewrite, onchange: () => { rewrite = overwrite.checked; box.refreshGo(); } });
      const go = el("button.wz-btn.soft", { type: "button", id: "captions-run" }), why = el("span.wz-muted.wz-small", { id: "captions-run-why" });
      go.addEventListener("click", () => { on.recaption(rewrite, window.wizard.chosenCaptioner(data.choices)); on.close(); }); // what it writes is to be seen
      box.refreshGo = () => {
        const now = data.choices.find((item) => item.name === window.wizard.chosenCaptioner(data.choices)), targets = on.targets();
        const count = rewrite ? targets.ids.length : targets.missing, clips = `${count} ${count === 1 ? "clip" : "clips"}`;
        const reason = !now.ready ? (now.fits && !now.downloaded ? "Download it first." : now.reason) : !count ? `${targets.text}: every clip has a caption.` : "";
        go.disabled = Boolean(reason);
        go.textContent = count ? `Caption ${clips}` : "Caption";
        why.textContent = reason;
      };
      box.replaceChildren(
        el("div.wz-captioner-list", { role: "radiogroup", "aria-label": "Captioner" }, data.choices.filter((item) => item.fits).map((item) => row(item, item.name === name))),
        tooLarge(),
        server(),
        hubSettings(),
        instruction(),
        el("div.wz-drawer-row", {}, el("label.wz-check", {}, overwrite, "Also rewrite captions that exist (Undo brings them back)"), el("span.wz-grow"), why, go));
      box.refreshGo();
      box.parentElement.refresh = box.refreshGo;
      on.resized();
    }

    function tooLarge() {
      const large = data.choices.filter((item) => !item.fits);
      if (!large.length) return "";
      const fold = el("details.wz-fold", { id: "captioners-large", open: open.large, ontoggle: () => { open.large = fold.open; on.resized(); } },
        el("summary", {}, `${large.length} ${large.length === 1 ? "needs" : "need"} more memory than this computer has`),
        el("div.wz-captioner-list", {}, large.map((item) => row(item, false))));
      return fold;
    }

    function row(item, isChosen) {
      const input = el("input", { type: "radio", name: "captioner", value: item.name, checked: isChosen, disabled: !item.fits });
      input.addEventListener("change", () => {
        localStorage.setItem(CHOSEN, item.name);
        if (item.name === "server") { const fold = box.querySelector("#captions-server"); open.server = fold.open = true; setTimeout(() => fold.scrollIntoView({ block: "nearest", behavior: "smooth" })); }
        box.refreshGo();
      });
      const button = action(item), facts = [item.reason, item.speed && `${item.speed[0].toUpperCase()}${item.speed.slice(1)}.`].filter(Boolean).join(" ");
      return el("label.wz-captioner", { className: `wz-captioner${item.fits ? "" : " is-off"}`, "data-captioner": item.name }, input,
        el("span.wz-captioner-text", {}, el("span.wz-line.wz-one-line", {}, el("strong", {}, item.title), item.proposed ? el("span.wz-badge.soft", {}, "proposed") : null, el("span.wz-grow"), button),
          el("small", {}, item.needs), el("small.wz-muted", {}, facts), el("small.wz-muted.wz-fetching", { hidden: true }), el("small.wz-wrong", { hidden: !problems[item.name], role: "alert" }, problems[item.name] || "")));
    }

    /* Download it, or delete what was downloaded: also the way out of damaged files. */
    function action(item) {
      const press = (act) => (event) => { event.preventDefault(); act(event.currentTarget); };
      if (item.fits && !item.downloaded) return el("button.wz-btn.small", { type: "button", onclick: press((button) => download(item, button)) }, `Download ${item.download_gib.toFixed(1)} GB`);
      if (!item.on_disk_gib) return null;
      return el("button.wz-btn.small.quiet", { type: "button", title: "From the cache of the hub, which other programs may use too", onclick: press((button) => {
        if (!button.dataset.asked) { button.dataset.asked = "1"; button.textContent = `Delete ${size(item.on_disk_gib)}?`; setTimeout(() => { delete button.dataset.asked; button.textContent = "Delete files"; }, 4000); return; }
        remove(item);
      }) }, "Delete files");
    }

    async function remove(item) {
      try {
        const answer = await on.post("/wizard/live/captioners/do", { project: on.project(), do: "delete", captioner: item.name });
        show(answer);
        on.tell(answer.told);
      } catch (error) { wrong(item, said(error)); }
    }

    async function download(item, button) {
      const stops = item.name in timers;
      button.disabled = true;
      wrong(item, "");
      try {
        await on.post("/wizard/live/download/do", { do: stops ? "stop" : "start", model: item.name });
        if (!stops) follow(item);
      } catch (error) {
        button.disabled = false;
        wrong(item, said(error));
      }
    }

    /* Looks again while it runs. quiet: an earlier failure is not told anew. */
    async function follow(item, quiet = false) {
      if (!box.isConnected) return;
      clearTimeout(timers[item.name]);
      let view = null;
      try { view = await fetchJson(`/wizard/live/download?${new URLSearchParams({ model: item.name, ask: 0 })}`); } catch (error) { /* the next look tells */ }
      if (view && !hub) fillHub(view.hub);
      const row = box.querySelector(`[data-captioner="${item.name}"]`), button = row?.querySelector(".wz-btn");
      if (!button) return;
      const runs = !view || view.state === "running";
      if (!runs || (quiet && !view)) delete timers[item.name]; else timers[item.name] = setTimeout(() => follow(item), DOWNLOAD_MS);
      button.disabled = Boolean(view?.stopping);
      button.textContent = runs && !(quiet && !view) ? "Stop" : `Download ${item.download_gib.toFixed(1)} GB`;
      const line = row.querySelector(".wz-fetching"), text = runs && view ? [view.title, view.share ? `${Math.round(100 * view.share)} %` : "", view.text].filter(Boolean).join(" · ") : "";
      line.hidden = !text;
      line.textContent = text;
      if (view?.state === "here") { on.tell(view.title); load(); }
      else if (!runs && !quiet && view.problem) wrong(item, `${view.problem} ${view.remedy}`);
    }

    /* In the row of the captioner that it concerns; it stays until the next try. */
    function wrong(item, text) {
      problems[item.name] = text;
      if (text.includes("Hub settings")) { const fold = box.querySelector("#captioner-hub"); if (fold) fold.open = true; }
      const place = box.querySelector(`[data-captioner="${item.name}"] .wz-wrong`);
      if (place) { place.textContent = text; place.hidden = !text; }
      on.resized();
    }

    const size = (gib) => (gib < 0.1 ? `${Math.max(1, Math.round(gib * 1024))} MB` : `${gib.toFixed(1)} GB`);

    function server() {
      const now = data.server, RESULT = ".wz-server-result";
      const input = (id, more) => el("input.wz-search", { id, spellcheck: false, autocomplete: "off", ...more });
      const address = input("caption-server", { type: "url", value: now.address, placeholder: "http://localhost:11434/v1" });
      const model = input("caption-model", { type: "text", value: now.model, placeholder: "empty: the only one it offers" });
      const key = input("caption-key", { type: "password", placeholder: now.has_key ? "a key is kept" : "only if it asks for one" });
      const field = (label, item) => el("label.wz-field", {}, el("span", {}, label), item);
      const keep = async (name = model.value) => (await send({ do: "server", address: address.value, model: name, key: key.value }, RESULT)) && data.server.address && send({ do: "check" }, RESULT);
      const fold = el("details.wz-fold", { id: "captions-server", open: open.server, ontoggle: () => { open.server = fold.open; on.resized(); } }, el("summary", {}, now.address ? `Server: ${now.address}` : "Server: Ollama, LM Studio, vLLM or a cloud service"),
        el("div.wz-drawer-row", {}, field("Address", address), field("Model", model), field("Key", key),
          el("button.wz-btn.small.soft", { type: "button", onclick: () => keep() }, "Save and check"),
          now.has_key ? el("button.wz-btn.small.quiet", { type: "button", onclick: () => send({ do: "forget" }, RESULT) }, "Delete the key") : null),
        models.length > 1 ? el("div.wz-line.wz-offered", {}, el("span.wz-muted.wz-small", {}, "It offers:"), models.slice(0, 12).map((name) => el(`button.wz-btn.small${name === now.model ? ".soft" : ""}`, { type: "button", onclick: () => keep(name) }, name))) : null,
        el("p.wz-server-result.wz-small"),
        el("p.wz-muted.wz-small", {}, "Pictures of your clips are sent to this address. The key stays in a private file of yours, never in the project."));
      return fold;
    }

    /* How models are fetched; where all are here there is nothing to set. */
    function hubSettings() {
      if (data.choices.every((item) => item.downloaded || !item.fits)) return "";
      const RESULT = ".wz-hub-result", model = data.choices.find((item) => !item.downloaded).name;
      const input = (id, more) => el("input.wz-search", { id, autocomplete: "off", spellcheck: false, ...more });
      const mirror = input("captioner-hub-mirror", { type: "url", placeholder: "https://huggingface.co" }), token = input("captioner-hub-token", { type: "password" });
      const offline = el("input", { type: "checkbox", id: "captioner-hub-offline" });
      const field = (label, item) => el("label.wz-field", {}, el("span", {}, label), item);
      const sent = (more) => on.post("/wizard/live/download/do", { model, ...more });
      const save = async () => {
        const place = box.querySelector(RESULT);
        place.replaceChildren(el("span.wz-muted", {}, "Saving ..."));
        try {
          fillHub((await sent({ do: "hub", endpoint: mirror.value, offline: offline.checked })).hub);
          if (token.value) fillHub((await sent({ do: "token", token: token.value })).hub);
          place.replaceChildren(el("span.wz-right", { role: "status" }, token.value ? "Saved. The hub knows this token." : "Saved."));
          token.value = "";
        } catch (error) { place.replaceChildren(el("span.wz-wrong", { role: "alert" }, said(error))); }
        on.resized();
      };
      const fold = el("details.wz-fold", { id: "captioner-hub", open: open.hub, ontoggle: () => { open.hub = fold.open; on.resized(); } }, el("summary", {}, "Hub settings: mirror, token, working offline"),
        el("div.wz-drawer-row", {}, field("Mirror (empty: the hub itself)", mirror), field("Token", token), el("label.wz-check", {}, offline, "Work offline"),
          el("button.wz-btn.small.soft", { type: "button", onclick: save }, "Save")),
        el("p.wz-hub-result.wz-small"));
      if (hub) setTimeout(() => fillHub(hub));
      return fold;
    }

    function fillHub(next) {
      hub = next;
      const fold = box.querySelector("#captioner-hub");
      if (!fold || fold.contains(document.activeElement)) return;
      fold.querySelector("#captioner-hub-mirror").value = hub.endpoint;
      fold.querySelector("#captioner-hub-offline").checked = hub.offline;
      fold.querySelector("#captioner-hub-token").placeholder = hub.token ? "a token is kept" : "only if a model asks for one";
    }

    function instruction() {
      const RESULT = ".wz-instruction-result", text = el("textarea.wz-instruction", { rows: 5, value: data.instruction, "aria-label": "Instruction" });
      const fold = el("details.wz-fold", { open: open.instruction, ontoggle: () => { open.instruction = fold.open; on.resized(); } }, el("summary", {}, "What vision models are asked"), text,
        el("div.wz-drawer-row", {}, el("button.wz-btn.small", { type: "button", onclick: () => send({ do: "instruction", text: text.value }, RESULT) }, "Save"),
          el("button.wz-btn.small.quiet", { type: "button", onclick: () => send({ do: "instruction", text: "" }, RESULT) }, "Back to ours"), el("span.wz-instruction-result.wz-small")),
        el("p.wz-muted.wz-small", {}, "{facts} is where the measured motion goes. Florence-2 and the motion draft take no instruction."));
      return fold;
    }
  };
})();
