/* Every setting of the recipe: grouped, searchable, with default and range; changed ones are marked. */
(() => {
  "use strict";
  const { el } = window.wizard;

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
        if (value !== rows.get(setting.key).value) act({ do: "set", key: setting.key, value });
      });
      const reset = el("button.wz-reset", { type: "button", onclick: () => act({ do: "reset", key: setting.key }) });
      const row = el("div.wz-setting", { "data-key": setting.key },
        el("div.wz-setting-name", {}, el("label", { htmlFor: `set-${setting.key}` }, setting.title), el("code", {}, setting.key)),
        el("div.wz-setting-field", {}, field, reset),
        el("p.wz-setting-text", {}, setting.description, el("span.wz-range", {}, range(setting))));
      rows.set(setting.key, { row, field, reset, value: setting.value, changed: false, text: `${setting.key} ${setting.title} ${setting.description}`.toLowerCase() });
      return row;
    }

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
      if (setting.kind === "switch") known.field.checked = setting.value === "true";
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
