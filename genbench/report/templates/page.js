"use strict";
// Pages are complete without this file: it sorts tables, filters their methods, and looks values up.

// Sorting by a column: the floor stays on top, rows without a number go last.
function sortable(table) {
  const body = table.tBodies[0];
  const given = [...body.rows];
  [...table.tHead.rows[0].cells].forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const now = head.getAttribute("aria-sort");
      const first = head.dataset.better === "higher" ? "descending" : "ascending";
      const order = now === null ? first : now === "ascending" ? "descending" : "ascending";
      const sign = order === "ascending" ? 1 : -1;
      const value = (row) => parseFloat(row.cells[column].dataset.v);
      const rows = given.filter((row) => !row.classList.contains("floor"));
      rows.sort((a, b) => isNaN(value(a)) - isNaN(value(b)) || sign * (value(a) - value(b)) || 0);
      body.append(...(column ? rows : given));
      for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
      if (column) head.setAttribute("aria-sort", order);
    });
  });
}

// The methods of all tables of a section whose names contain one of the words; floors stay.
function filter(input) {
  const words = input.value.toLowerCase().split(/[\s,]+/).filter(Boolean);
  for (const row of input.closest("section").querySelectorAll("table.sortable tbody tr:not(.floor)")) {
    const name = row.cells[0].textContent.toLowerCase();
    row.hidden = words.length > 0 && !words.some((word) => name.includes(word));
  }
}

// Looking up: all suites that measured a metric on a data set, in one table.
function lookUp(section) {
  const tables = JSON.parse(document.getElementById("values").textContent);
  const [data, metric] = section.querySelectorAll("select");
  const place = section.querySelector(".found");
  const element = (name, text, attributes = {}) => {
    const made = document.createElement(name);
    if (text !== undefined) made.textContent = text;
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    return made;
  };
  const link = (text, page) => element("a", text, { href: `${section.dataset.folder}/${page}` });
  const choose = (select, names, kept) => {
    select.replaceChildren(...names.map((name) => element("option", name)));
    if (names.includes(kept)) select.value = kept;
  };
  const chosen = () => tables.filter((table) => table.data === data.value);
  const show = () => {
    const rows = [];
    let better = "none";
    for (const table of chosen()) {
      const column = table.columns.findIndex(([title]) => title === metric.value);
      if (column < 0) continue;
      better = table.columns[column][1];
      for (const [label, own] of Object.entries(table.rows)) {
        if (!(column in own.cells)) continue;
        const [text, mean] = own.cells[column];
        const row = element("tr", undefined, own.floor ? { class: "floor" } : {});
        const head = element("th", own.page ? undefined : label, { scope: "row" });
        if (own.page) head.append(link(label, own.page));
        const where = element("td", undefined, { class: "words", title: table.columns[column][2] });
        where.append(link(table.suite, table.page));
        row.append(head, element("td", text, { "data-v": mean }), where);
        rows.push({ row, mean, floor: own.floor });
      }
    }
    const sign = better === "higher" ? -1 : 1;
    rows.sort((a, b) => b.floor - a.floor || sign * (a.mean - b.mean));
    const arrow = { lower: " ↓", higher: " ↑" }[better] ?? "";
    const head = element("tr");
    head.append(element("th", "model", { scope: "col" }));
    head.append(element("th", metric.value + arrow, { scope: "col", "data-better": better }));
    head.append(element("th", "suite", { scope: "col", class: "words" }));
    const table = element("table", undefined, { class: "sortable" });
    table.append(element("thead"), element("tbody"));
    table.tHead.append(head);
    table.tBodies[0].append(...rows.map(({ row }) => row));
    place.replaceChildren(table);
    sortable(table);
    filter(section.querySelector("input"));
  };
  const refresh = () => {
    const names = new Set(chosen().flatMap((table) => table.columns.map(([title]) => title)));
    choose(metric, [...names], names.has(metric.value) ? metric.value : chosen()[0].headline);
    show();
  };
  choose(data, [...new Set(tables.map((table) => table.data))].sort());
  data.addEventListener("change", refresh);
  metric.addEventListener("change", show);
  section.hidden = false;
  refresh();
}

document.querySelectorAll("table.sortable").forEach(sortable);
for (const input of document.querySelectorAll("input.filter")) {
  input.closest(".pick").hidden = false;
  input.addEventListener("input", () => filter(input));
}
const section = document.getElementById("find");
if (section) lookUp(section);
