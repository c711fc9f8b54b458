"use strict";
// Shows, hides and navigates. All texts are in the page already; foreign text is only inserted as textContent.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const $ = (selector) => document.querySelector(selector);
  const text = (index) => data.texts[index];
  const dialog = $("#detail"), matrix = $("#matrix"), form = $("#filters"), search = $("#search");
  const buttons = new Map();
  const rows = [...matrix.tBodies[0].rows].map((element) => ({
    element,
    cells: [...element.cells].slice(1).map((td, column) => {
      const button = td.firstElementChild;
      if (!button) return null;
      const number = Number(button.dataset.cell);
      buttons.set(number, button);
      button.title = `${text(data.cells[number].side)} · ${data.cells[number].name}`;
      return { number, button, column, name: element.cells[0].textContent };
    }),
  }));
  const sides = [...matrix.tHead.rows[0].cells].slice(1);
  const modes = [...matrix.tHead.rows[1].cells];
  const spans = sides.map((th) => th.colSpan);
  const starts = new Set();
  spans.reduce((at, span) => (starts.add(at), at + span), 0);
  for (const row of rows) for (const at of starts) row.element.cells[at + 1].classList.add("first");

  function make(name, attributes = {}, ...children) {
    const element = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) {
      if (key in element && key !== "style") element[key] = value; else element.setAttribute(key, value);
    }
    element.append(...children);
    return element;
  }

  // ---- filters
  const filters = [...form.querySelectorAll(".filter")].map((element) => ({
    element,
    index: data.names.indexOf(element.dataset.key),
    state: element.querySelector(".state"),
    boxes: [...element.querySelectorAll("input")],
  }));
  const haystack = (cell, name) => [name, text(cell.side), cell.name, ...["evidence", "reason", "why"]
    .filter((key) => key in cell).map((key) => text(cell[key]))].join("\n").toLowerCase();
  let order = [];

  function apply() {
    const wanted = filters.map((filter) => {
      const chosen = filter.boxes.filter((box) => box.checked).map((box) => box.value);
      filter.element.classList.toggle("set", chosen.length > 0);
      filter.state.textContent = chosen.length ? ": " + (chosen.length > 2 ? chosen.length : chosen.map((v) => v || "–").join(", ")) : "";
      return { index: filter.index, chosen: new Set(chosen) };
    }).filter((filter) => filter.chosen.size);
    const needle = search.value.trim().toLowerCase();
    const used = new Set();
    order = [];
    for (const row of rows) {
      let any = false;
      for (const entry of row.cells) {
        if (!entry) continue;
        const cell = data.cells[entry.number];
        const matches = wanted.every((filter) => filter.chosen.has(text(cell.by[filter.index])))
          && (!needle || haystack(cell, entry.name).includes(needle));
        entry.button.classList.toggle("off", !matches);
        if (matches) { any = true; used.add(entry.column); order.push(entry.number); }
      }
      row.element.hidden = !any;
    }
    const none = used.size === 0;
    modes.forEach((th, column) => { th.hidden = !none && !used.has(column); });
    for (const row of rows) {
      if (row.element.hidden) continue;
      for (let column = 0; column < modes.length; column++) row.element.cells[column + 1].hidden = modes[column].hidden;
    }
    let at = 0;
    sides.forEach((th, index) => {
      const left = modes.slice(at, at + spans[index]).filter((mode) => !mode.hidden).length;
      th.hidden = !left;
      if (left) th.colSpan = left;
      at += spans[index];
    });
    $(".matrix").hidden = !order.length;
    $("#nothing").hidden = order.length > 0;
    $("#showing").textContent = order.length === data.cells.length ? `${order.length} cells` : `${order.length} of ${data.cells.length} cells`;
    for (const chip of document.querySelectorAll(".chip")) {
      const box = status(chip.dataset.status);
      chip.setAttribute("aria-pressed", String(Boolean(box && box.checked)));
    }
    focusable(order.length ? buttons.get(order[0]) : null);
  }

  function status(value) {
    const filter = filters.find((filter) => filter.element.dataset.key === "status");
    return filter && filter.boxes.find((box) => box.value === value);
  }

  let timer = 0;
  search.addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(apply, 120); });
  form.addEventListener("change", (event) => { if (event.target !== search) apply(); });
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(apply));
  document.addEventListener("click", (event) => {
    for (const filter of filters) if (!filter.element.contains(event.target)) filter.element.open = false;
    const chip = event.target.closest(".chip");
    if (chip && status(chip.dataset.status)) {
      const box = status(chip.dataset.status);
      box.checked = !box.checked;
      apply();
      $("#cells").scrollIntoView();
    }
  });
  form.addEventListener("keydown", (event) => {
    const open = event.key === "Escape" && event.target.closest("details[open]");
    if (open) { open.open = false; open.querySelector("summary").focus(); }
  });

  // ---- keyboard: the Tab key reaches one cell of the table, the arrow keys move between cells
  let current = null;
  function focusable(button) {
    if (current) current.tabIndex = -1;
    current = button;
    if (current) current.tabIndex = 0;
  }
  const steps = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
  matrix.addEventListener("keydown", (event) => {
    const step = steps[event.key], from = event.target.closest("td");
    if (!step || !from) return;
    event.preventDefault();
    let line = from.parentElement, at = from.cellIndex;
    for (;;) {
      at += step[1];
      if (step[0] > 0) line = line.nextElementSibling; else if (step[0] < 0) line = line.previousElementSibling;
      if (!line || at < 1 || at >= line.cells.length) return;
      const button = line.cells[at].firstElementChild;
      if (!line.hidden && button && !button.classList.contains("off")) { focusable(button); button.focus(); return; }
    }
  });

  // ---- one cell
  const roles = [
    ["without", "Without", "no adapter"],
    ["wanted", "Wanted", "adapter merged beforehand"],
    ["got", "Got", "made by the library"],
    ["difference", "Difference", ""],
  ];

  function figure(cell, [role, title, meaning]) {
    const pictures = cell.pictures || {};
    let note = meaning;
    if (role === "difference" && "largest" in pictures) {
      note = pictures.largest ? `|got − wanted| × ${pictures.factor}; largest: ${pictures.largest} of 255` : "got and wanted are equal";
    }
    let image;
    if (role in pictures) {
      image = make("img", { src: data.pictures[pictures[role]], alt: `${title}: ${note}` });
      image.addEventListener("load", () => image.style.setProperty("--shape", `${image.naturalWidth} / ${image.naturalHeight}`));
    } else {
      image = make("div", { className: "none" }, cell.omitted ? "left out to keep this file small" : "no picture");
    }
    return make("figure", {}, image, make("figcaption", {}, make("b", {}, title), make("small", {}, note)));
  }

  // The pictures beside a known defect, smaller than in the dialog.
  for (const link of document.querySelectorAll("[data-strip]")) {
    const cell = data.cells[link.dataset.strip], pictures = cell.pictures || {};
    if (!("wanted" in pictures || "without" in pictures)) continue;
    const name = link.textContent;
    const missing = { got: text(cell.by[data.names.indexOf("verdict")]) };
    link.classList.add("pictured");
    link.replaceChildren(...roles.map(([role, title]) => make("span", {},
      role in pictures ? make("img", { src: data.pictures[pictures[role]], alt: "" })
        : make("span", { className: "none" }, missing[role] || "–"),
      make("small", {}, title))), make("span", { className: "name" }, name));
  }

  function fill(number) {
    const cell = data.cells[number];
    const by = Object.fromEntries(data.names.map((name, index) => [name, text(cell.by[index])]));
    const sign = buttons.get(number).firstElementChild.textContent;
    const at = order.indexOf(number);
    const step = (name, to) => make("button", { type: "button", disabled: to === undefined, onclick: () => open(to) }, name);
    const bar = make("div", { className: `bar ${by.status}` },
      make("h2", { id: "detail-title" }, `${sign} ${by.verdict} · ${text(cell.side)} · `, make("code", {}, cell.name)),
      step("← Previous", at > 0 ? order[at - 1] : undefined),
      step("Next →", at >= 0 ? order[at + 1] : undefined),
      make("button", { type: "button", onclick: () => dialog.close() }, "Close"));
    const inside = make("div", { className: "inside" });
    inside.append(make("p", {}, data.verdicts[by.verdict] || "", " ", make("b", {}, by.status), `: ${data.statuses[by.status]}.`));
    const before = data.before[number];
    if (before !== undefined) {
      const link = make("a", { href: "#" + encodeURIComponent(data.cells[before].key) }, "open that cell");
      const other = data.cells[before];
      const verdict = text(other.by[data.names.indexOf("verdict")]);
      inside.append(make("p", {}, `${text(other.side)} has ${verdict} (${by.change}): `, link));
    }
    if (cell.pictures || cell.omitted) {
      inside.append(make("div", { className: "pictures" }, ...roles.map((role) => figure(cell, role))));
    }
    const table = make("tbody", {});
    for (const [key, [title, meaning]] of Object.entries(data.numbers)) {
      if (!(key in cell.figures)) continue;
      const more = key === "tolerance" && "why" in cell ? `${meaning} Reason: ${text(cell.why)}.` : meaning;
      table.append(make("tr", {}, make("th", { scope: "row" }, title), make("td", {}, make("b", {}, cell.figures[key])), make("td", { className: "soft" }, more)));
    }
    if (table.childElementCount) inside.append(make("table", { className: "plain numbers" }, table));
    for (const [key, title] of [["reason", "Reason for the expectation"], ["evidence", "Evidence"], ["repeat", "Rerun this case"]]) {
      if (key in cell) inside.append(make("h3", {}, title), key === "reason" ? make("p", {}, text(cell[key])) : make("pre", { tabIndex: 0 }, text(cell[key])));
    }
    const tags = make("ul", { className: "tags" });
    for (const [name, value] of Object.entries(by)) {
      if (value && !["status", "verdict", "change"].includes(name)) tags.append(make("li", {}, make("span", {}, `${name} `), value));
    }
    inside.append(make("h3", {}, "Dimensions"), tags);
    dialog.replaceChildren(bar, inside);
  }

  function open(number) {
    const hash = "#" + encodeURIComponent(data.cells[number].key);
    if (location.hash !== hash) history.replaceState(null, "", hash);
    fill(number);
    if (!dialog.open) dialog.showModal();
    dialog.scrollTop = 0;
    dialog.querySelector(".bar button:last-child").focus();
  }

  function follow() {
    let key = location.hash.slice(1);
    try { key = decodeURIComponent(key); } catch { return; }
    const number = data.cells.findIndex((cell) => cell.key === key);
    if (key && number >= 0) open(number);
  }

  document.addEventListener("click", (event) => {
    const link = event.target.closest("[data-cell]");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    open(Number(link.dataset.cell));
  });
  dialog.addEventListener("keydown", (event) => {
    const at = order.indexOf(data.cells.findIndex((cell) => "#" + encodeURIComponent(cell.key) === location.hash));
    const to = event.key === "ArrowRight" ? order[at + 1] : event.key === "ArrowLeft" && at > 0 ? order[at - 1] : undefined;
    if (to !== undefined && event.target.tagName !== "PRE") open(to);
  });
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
  dialog.addEventListener("close", () => {
    const number = data.cells.findIndex((cell) => "#" + encodeURIComponent(cell.key) === location.hash);
    history.replaceState(null, "", location.pathname + location.search);
    const button = buttons.get(number);
    if (button && !button.classList.contains("off")) { focusable(button); button.focus(); }
  });
  addEventListener("hashchange", follow);
  apply();
  follow();
})();
