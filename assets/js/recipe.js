/* Every setting of the recipe: grouped, searchable, with default and range; changed ones are marked. */
(() => {
  "use strict";
  const { el, state: page } = window.wizard;

  window.wizard.define("recipe", (root, act) => {
    let rows = new Map(), search = "", onlyChanged = false, count;

    return (data) => {
      if (!data) { root.replaceChildren(); rows.clear(); return; }
      if (!rows.size) build(data);
      for (const group of data.groups) for (const setting of group.settings) show(setting);
      filter();
    };

    function build(data) {
      count = el("span.wz-muted");
      const field = el("input.wz-search", { type: "search", placeholder: "Search settings: rank, memory, dropout ...", "aria-label": "Search settings", oninput: (event) => { search = event.target.value.toLowerCase(); filter(); } });
      const changed = el("label.wz-check", {}, el("input", { type: "checkbox", onchange: (event) => { onlyChanged = event.target.checked; filter(); } }), "Only changed");
      root.replaceChildren(el("div.wz-settings-tools", {}, field, changed, el("span.wz-grow"), count), ...data.groups.map((group) =>
        el("section.wz-setting-group", {}, el("h3", {}, group.title), group.settings.map(makeRow))));
    }

    function makeRow(setting) {
      const field = makeField(setting);
      field.addEventListener("change", () => {
        const value = setting.kind === "switch" ? String(field.checked) : field.value;
        if (value !== rows.get(setting.key).value) act({ do: "set", key: setting.key, value }, (why) => why ? refuse(setting.key, why) : accept(setting.key));
        else accept(setting.key);
      });
      const reset = el("button.wz-reset", { type: "button", onclick: () => act({ do: "reset", key: setting.key }) });
      const wrong = el("p.wz-refused", { id: `wrong-${setting.key}`, hidden: true });
      const row = el("div.wz-setting", { "data-key": setting.key },
        el("div.wz-setting-name", {}, el("label", { htmlFor: `set-${setting.key}` }, setting.title), el("code", {}, setting.key)),
        el("div.wz-setting-field", {}, field, wrong, reset),
        el("p.wz-setting-text", {}, setting.description, el("span.wz-range", {}, range(setting))));
      rows.set(setting.key, { row, field, wrong, reset, refused: null, value: setting.value, changed: false, text: `${setting.key} ${setting.title} ${setting.description}`.toLowerCase() });
      return row;
    }

    /* What was refused stays to be mended, and is plainly not in force, until it is mended or taken back. */
    function refuse(key, why) {
      const known = rows.get(key), back = () => { accept(key); putBack(known); known.field.focus(); };
      known.refused = { force: known.value, project: page.project };
      known.wrong.replaceChildren(`${why} In force: ${known.value || "empty"}. `, el("button.wz-reset", { type: "button", onclick: back }, "Take it back"));
      mark(known, true);
    }
    function accept(key) { const known = rows.get(key); known.refused = null; mark(known, false); }
    function mark(known, isWrong) {
      known.wrong.hidden = !isWrong;
      known.row.classList.toggle("is-refused", isWrong);
      known.field.setAttribute("aria-invalid", String(isWrong));
      isWrong ? known.field.setAttribute("aria-describedby", known.wrong.id) : known.field.removeAttribute("aria-describedby");
    }
    function putBack(known) { if (known.field.type === "checkbox") known.field.checked = known.value === "true"; else known.field.value = known.value; }

    function makeField(setting) {
      const id = `set-${setting.key}`;
      if (setting.kind === "switch") return el("input.wz-switch", { id, type: "checkbox", role: "switch" });
      if (setting.kind === "choice") return el("select", { id }, setting.choices.map((choice) => el("option", { value: choice }, choice)));
      if (setting.kind === "list" || setting.key.endsWith("prompt")) return el("textarea", { id, rows: 2 });
      return el("input", { id, type: setting.kind === "text" ? "text" : "number", step: setting.kind === "integer" ? "1" : "any", min: setting.minimum ?? undefined, max: setting.maximum ?? undefined });
    }

    function range(setting) {
      if (setting.minimum === null && setting.maximum === null) return "";
      if (setting.maximum === null) return ` From ${setting.minimum}.`;
      return ` ${setting.minimum ?? "any"} to ${setting.maximum}.`;
    }

    function show(setting) {
      const known = rows.get(setting.key);
      known.value = setting.value;
      known.changed = setting.changed;
      if (known.refused && (known.refused.force !== setting.value || known.refused.project !== page.project)) { accept(setting.key); putBack(known); }
      if (known.refused) { /* stays */ }
      else if (setting.kind === "switch") known.field.checked = setting.value === "true";
      else if (document.activeElement !== known.field || known.field.dataset.shown === known.field.value) known.field.value = setting.value;
      known.field.dataset.shown = setting.value;
      known.row.classList.toggle("is-changed", setting.changed);
      known.reset.textContent = setting.changed ? `Reset to ${setting.default || "empty"}` : "";
      known.reset.hidden = !setting.changed;
    }

    function filter() {
      let shown = 0, changed = 0;
      for (const { row, text, changed: isChanged } of rows.values()) {
        const hit = (!search || search.split(/\s+/).every((word) => text.includes(word))) && (!onlyChanged || isChanged);
        row.hidden = !hit;
        shown += hit;
        changed += isChanged;
      }
      root.querySelectorAll(".wz-setting-group").forEach((group) => { group.hidden = ![...group.querySelectorAll(".wz-setting")].some((row) => !row.hidden); });
      count.textContent = `${shown} of ${rows.size} settings, ${changed} changed`;
    }
  });
})();
