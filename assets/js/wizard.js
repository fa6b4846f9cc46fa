/* The page's own script: which step is shown, clicks in panels, the running job. No build step, no dependency.
   Text from files is only ever set with textContent; HTML comes from the server, escaped there. */
(() => {
  "use strict";
  const parts = {};
  const state = { project: "", step: "goal", title: "Goal", name: "", revision: "", job: undefined, downloads: [], lost: 0 };
  let send = () => {};

  const wizard = (window.wizard = { state });

  /* A part of the page that a script draws. make(root, act) gives update(data). */
  wizard.define = (name, make) => { parts[name] = make; };

  wizard.mount = (name, element, props, trigger, watch, eventName) => {
    const root = element.querySelector(".wz-live") || element;
    const act = (data, done) => inLine(trigger, eventName, data, null, settled, done);
    wizard.actions(element, trigger, eventName, settled);
    let update = null, held = false;
    const show = () => {
      if (!parts[name]) { setTimeout(show, 30); return; }
      held = !!update && line.some((click) => click.trigger === trigger);
      if (held) return; // a later click is still to be answered: this one's answer is older than what is seen
      update = update || parts[name](root, act);
      update(props.value ? JSON.parse(props.value) : null);
    };
    function settled() { if (held) show(); }
    watch("value", show);
    show();
  };

  /* Clicks and changes inside a panel become one event with the element's data. */
  wizard.actions = (element, trigger, eventName, settled = null) => {
    element.addEventListener("click", (event) => {
      const button = event.target.closest("[data-do]");
      if (!button || !element.contains(button) || button.disabled) return;
      event.preventDefault();
      const data = { ...button.dataset };
      if (data.confirm && !sure(button)) return;
      if (data.ask) {
        const answer = window.prompt(data.ask, data.answer || "");
        if (answer === null) return;
        data.answer = answer;
      }
      inLine(trigger, eventName, data, button, settled);
    });
    element.addEventListener("change", (event) => {
      const field = event.target.closest("[data-change]");
      if (!field) return;
      const value = field.type === "checkbox" ? String(field.checked) : field.value;
      inLine(trigger, eventName, { ...field.dataset, do: field.dataset.change, value }, null, settled);
    });
  };

  /* Clicks wait in a line: each is sent when the one before is answered, so all count, once each and in their
     order. The same click twice before its answer is one, unless its button counts each (data-each). */
  const PATIENCE_MS = 20000; // the app lost an answer, or is at something long: it keeps the order by itself
  const line = [], page = Date.now();
  let clicks = 0, patience = 0, refused = false;

  function inLine(trigger, eventName, data, button, settled, done) { // done(why): once answered; why it was refused, or ""
    if (data.do === "stop_job") { // never behind something slow
      if (button) button.disabled = true;
      trigger(eventName, data);
      return;
    }
    const last = line[line.length - 1], text = JSON.stringify(data);
    if (last && last.trigger === trigger && last.text === text && !("each" in data)) return;
    clicks += 1;
    button?.classList.add("is-busy");
    if (!line.length) refused = false;
    line.push({ id: `${page}-${clicks}`, trigger, eventName, data, text, button, settled, done });
    if (line.length === 1) sendFirst();
  }

  function sendFirst() {
    const { id, trigger, eventName, data } = line[0];
    patience = setTimeout(() => answered(id), PATIENCE_MS);
    trigger(eventName, { ...data, click: id, ...(refused ? { said: "1" } : {}) }); // what was refused stays to be read
  }

  function answered(id, why = null) {
    if (!line.length || line[0].id !== id) return;
    clearTimeout(patience);
    const { button, settled, done } = line.shift(), next = line[0];
    if (!line.some((click) => click.button === button)) button?.classList.remove("is-busy");
    setTimeout(() => { settled?.(); if (why !== null) done?.(why); if (next) sendFirst(); }, 0);
  }

  wizard.answers = (props, watch) => watch("value", () => {
    const { click, failed, why } = JSON.parse(props.value || "{}");
    if (failed) refused = true;
    answered(click, failed ? why || "It could not be saved." : "");
  });

  /* The first click asks, the second does: no dialog that blocks the page. */
  function sure(button) {
    if (button.dataset.asked) { delete button.dataset.asked; return true; }
    const note = document.createElement("span");
    note.className = "wz-sure";
    note.textContent = button.dataset.confirm + " Click again.";
    button.dataset.asked = "1";
    button.classList.add("is-asking");
    button.append(note);
    setTimeout(() => { delete button.dataset.asked; button.classList.remove("is-asking"); note.remove(); }, 4000);
    return false;
  }

  wizard.choices = (...names) =>
    names.map((name) => document.querySelector(`input[name="${name}"]:checked`)?.value || "");

  /* The address holds the project and the step: that is all the page knows. */
  wizard.address = () => {
    const query = new URLSearchParams(location.search);
    return [query.get("project") || "", query.get("step") || ""];
  };

  wizard.go = (step, project = state.project, push = true) => {
    if (project) showStep(step);
    wanted = project === state.project ? step : "";
    writeAddress(project, step, push);
    send("go", { project, step });
  };

  let wanted = ""; // the step that was asked for last, until its answer is here
  const showAgain = () => send("go", { project: state.project, step: wanted || state.step, again: !wanted });

  wizard.connect = (element, props, trigger, watch, goEvent, actEvent) => {
    send = (kind, data) => trigger(kind === "go" ? goEvent : actEvent, data);
    watch("value", () => { if (props.value) synchronise(JSON.parse(props.value)); });
  };

  function synchronise(next) {
    const moved = next.project !== state.project || next.step !== state.step;
    const isLate = state.step && next.project === state.project && next.step !== (wanted || state.step) && !next.goes;
    if (isLate) { // the user has gone on since: the server is told where to
      if (!wanted) showAgain();
      return;
    }
    wanted = "";
    Object.assign(state, next);
    showStep(next.step);
    writeAddress(next.project, next.step, moved);
    document.documentElement.dataset.ready = "1";
    showJob();
    wizard.showDownloads?.();
    if (moved) poll();
  }

  function showStep(step) {
    if (document.documentElement.dataset.step !== step) {
      document.documentElement.dataset.step = step;
      window.scrollTo(0, 0);
    }
    document.querySelectorAll(".wz-step").forEach((item) =>
      item.classList.toggle("is-current", item.dataset.go === step));
  }

  function writeAddress(project, step, push) {
    const query = new URLSearchParams(location.search);
    const before = query.toString();
    for (const [key, value] of [["project", project], ["step", project ? step : ""]])
      value ? query.set(key, value) : query.delete(key);
    if (query.toString() === before) return;
    const address = query.toString() ? `?${query}` : location.pathname;
    push ? history.pushState({}, "", address) : history.replaceState({}, "", address);
  }

  window.addEventListener("popstate", () => {
    const [project, step] = wizard.address();
    wizard.go(step || "goal", project, false);
  });

  document.addEventListener("click", (event) => {
    const at = (selector) => event.target.closest(selector);
    if (at("[data-go]")) wizard.go(at("[data-go]").dataset.go);
    else if (at("[data-home]")) { event.preventDefault(); wizard.go("goal", ""); showStep("goal"); }
    else if (at("[data-show]")) { event.preventDefault(); document.querySelector(at("[data-show]").dataset.show)?.scrollIntoView({ block: "center", behavior: "smooth" }); }
    else if (at("[data-dismiss]")) at(".wz-notice").remove();
    else if (at("[data-theme-toggle]")) toggleTheme();
    else if (at("[data-stop-job]")) { at("[data-stop-job]").disabled = true; send("act", { do: "stop_job" }); }
    else if (at("[data-copy]")) copyText(at("[data-copy]"));
  });

  function copyText(button) {
    const text = button.parentElement.querySelector("pre").textContent;
    const done = () => { button.lastChild.textContent = "Copied"; setTimeout(() => { button.lastChild.textContent = "Copy"; }, 1500); };
    if (navigator.clipboard) navigator.clipboard.writeText(text).then(done);
    else {
      const area = document.createElement("textarea");
      area.value = text; document.body.append(area); area.select(); document.execCommand("copy"); area.remove(); done();
    }
  }

  /* Light or dark: the system's choice until the user makes one. */
  function applyTheme() {
    const chosen = localStorage.getItem("wizard-theme");
    const dark = chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    document.documentElement.classList.toggle("dark", dark);
    document.body?.classList.toggle("dark", dark);
  }
  function toggleTheme() {
    const dark = document.body.classList.contains("dark");
    localStorage.setItem("wizard-theme", dark ? "light" : "dark");
    applyTheme();
    window.dispatchEvent(new Event("wizard-theme"));
  }
  applyTheme();
  document.addEventListener("DOMContentLoaded", () => {
    applyTheme();
    new MutationObserver(() => {
      const want = document.documentElement.classList.contains("dark");
      if (document.body.classList.contains("dark") !== want) document.body.classList.toggle("dark", want);
    }).observe(document.body, { attributes: true, attributeFilter: ["class"] });
  });

  /* Saving state in the top bar. */
  wizard.saving = (kind, text) => {
    const box = document.querySelector("[data-save]");
    if (!box) return;
    box.dataset.save = kind;
    box.querySelector("[data-save-text]").textContent = text;
  };

  wizard.fetchJson = async (address, options) => {
    const response = await fetch(address, options);
    if (response.status === 401) { location.href = "/login"; throw new Error("login"); }
    const data = await response.json();
    if (!response.ok) throw Object.assign(new Error(data.problem || "failed"), { data });
    return data;
  };

  /* The poller: the running job, the card, and whether something else changed the project. */
  let timer = 0, polling = false;
  async function poll() {
    clearTimeout(timer);
    if (polling) return;
    polling = true;
    try {
      const asked = state.project;
      const data = await wizard.fetchJson(`/wizard/live/status?project=${encodeURIComponent(asked)}`);
      if (asked === state.project) take(data);
      found();
    } catch (error) {
      if (!error.data) lost();
    } finally {
      polling = false;
      timer = setTimeout(poll, state.job || state.lost || downloading() ? 1000 : 3000);
    }
  }
  wizard.poll = poll;

  function take(data) {
    const before = state.job;
    state.job = data.job || null;
    state.downloads = data.downloads || [];
    showJob();
    wizard.showDownloads?.();
    showMachine(data.machine);
    const ended = before && (!state.job || state.job.name !== before.name);
    const began = before === null && state.job;
    const changed = data.revision && state.revision && data.revision !== state.revision;
    if (ended || began || (changed && !isTyping()) || showsEndedJob()) refresh(data.revision);
  }

  /* A job that failed between two looks was never seen running; its card still says that it starts. */
  const showsEndedJob = () => !state.job && [...document.querySelectorAll("[data-job]")].some((card) => card.offsetParent);

  /* Not twice within a moment, but never left out: the end of a job is seen once only. */
  const REFRESH_MS = 900;
  let lastRefresh = 0, refreshTimer = 0;
  function refresh(revision) {
    const wait = lastRefresh + REFRESH_MS - Date.now();
    clearTimeout(refreshTimer);
    if (wait > 0) { refreshTimer = setTimeout(() => refresh(revision), wait); return; }
    lastRefresh = Date.now();
    if (revision) state.revision = revision;
    showAgain();
  }

  function isTyping() {
    const field = document.activeElement;
    return field && !field.closest(".wz-caption-box") && (field.tagName === "TEXTAREA" || (field.tagName === "INPUT" && /text|number|search/.test(field.type)));
  }

  function showJob() {
    const job = state.job;
    const share = job && job.total ? Math.min(1, job.done / job.total) : 0;
    const percent = Math.floor(share * 100);
    const text = job ? (job.stopping ? "stopping after this step ..." : job.paused ? "paused" : [job.text, job.left].filter(Boolean).join(" · ")) : "";
    set("[data-strip-title]", job ? capital(job.title) : "No job running");
    set("[data-strip-text]", text || "\u00a0");
    width("[data-strip-bar]", share);
    document.querySelectorAll("[data-stop-job]").forEach((item) => { item.hidden = !job; item.disabled = !!job?.stopping; });
    document.getElementById("wz-strip")?.classList.toggle("is-running", !!job);
    document.querySelectorAll("[data-job]").forEach((card) => {
      if (!job || card.dataset.job !== job.kind) return;
      card.querySelector("[data-job-text]").textContent = text;
      card.querySelector("[data-job-bar]").style.width = `${Math.round(share * 200) / 2}%`;
    });
    const fetched = downloading();
    const what = job ? `${percent} % ${job.title}` : fetched ? `${Math.floor(100 * fetched.share)} % downloading ${fetched.title}` : state.title;
    document.title = [what, state.name, "LTX Wizard"].filter(Boolean).join(" · ");
  }

  const downloading = () => state.downloads.find((item) => !item.problem);

  function showMachine(machine) {
    if (!machine) return;
    width("[data-machine-bar]", machine.used / Math.max(machine.total, 0.1));
    document.querySelectorAll("[data-machine-text]").forEach((item) => {
      const warm = machine.temperature ? ` · ${machine.temperature} °C` : "";
      item.textContent = `${machine.used.toFixed(1)} of ${machine.total.toFixed(0)} GB in use${warm}`;
      item.title = item.dataset.note || "";
    });
  }

  function set(selector, text) {
    document.querySelectorAll(selector).forEach((item) => { if (item.textContent !== text) item.textContent = text; });
  }
  function width(selector, share) {
    document.querySelectorAll(selector).forEach((item) => { item.style.width = `${Math.round(Math.max(0, Math.min(1, share)) * 200) / 2}%`; /* a bar that moves by less is drawn for nothing */ });
  }
  const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);

  /* The app was closed or restarts: say so, and come back when it does. */
  function lost() {
    state.lost += 1;
    if (state.lost < 3) return;
    let card = document.getElementById("wz-lost");
    if (!card) {
      card = document.createElement("div");
      card.id = "wz-lost";
      card.setAttribute("role", "alert");
      const strong = document.createElement("strong");
      strong.textContent = "LTX Wizard is not running.";
      card.append(strong, " Training goes on by itself. Start LTX Wizard again: this page comes back.");
      document.body.append(card);
    }
  }
  function found() {
    if (state.lost >= 3) location.reload();
    state.lost = 0;
  }

  wizard.el = (tag, attributes = {}, ...children) => {
    const [name, ...classes] = tag.split(".");
    const element = document.createElement(name);
    if (classes.length) element.className = classes.join(" ");
    for (const [key, value] of Object.entries(attributes)) {
      if (value === null || value === undefined || value === false) continue;
      if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
      else if (key in element && key !== "list" && key !== "style") element[key] = value;
      else element.setAttribute(key, value === true ? "" : value);
    }
    element.append(...children.flat().filter((child) => child !== null && child !== undefined));
    return element;
  };

  /* Addresses in a sentence can be clicked. */
  wizard.linked = (text) => text.split(/(https:\/\/[^\s,]+[^\s,.])/).map((piece, index) =>
    index % 2 ? wizard.el("a", { href: piece, target: "_blank", rel: "noreferrer" }, piece) : piece);

  /* An icon of our own. shapes: SVG elements as text; never anything from a file. */
  wizard.icon = (shapes) => {
    const look = 'fill="none" stroke="currentColor" stroke-width="1.8" stroke-linecap="round" stroke-linejoin="round" aria-hidden="true"';
    const text = `<svg xmlns="http://www.w3.org/2000/svg" class="wz-icon" viewBox="0 0 24 24" ${look}>${shapes}</svg>`;
    return new DOMParser().parseFromString(text, "image/svg+xml").documentElement;
  };

  wizard.time = (seconds) => {
    const minutes = Math.floor(Math.max(0, seconds) / 60);
    return `${minutes}:${(Math.max(0, seconds) - minutes * 60).toFixed(1).padStart(4, "0")}`;
  };

  /* Gradio puts this script into the page; the others follow in order, because they use what is made here. */
  for (const name of ["scenes", "captions-list", "captions-detail", "captions-captioner", "captions-tools", "captions", "check-chooser", "check", "recipe", "download", "download-strip", "plot", "train", "runs", "sweeps", "lab-grid", "lab-zoom", "lab"]) {
    const script = document.createElement("script");
    script.async = false;
    script.src = `/wizard/assets/js/${name}.js`;
    document.head.append(script);
  }

  poll();
})();
