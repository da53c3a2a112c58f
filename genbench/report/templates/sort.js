"use strict";
// Sorting by a column: the floor stays on top, rows without a number go last. Pages are complete without this file.
for (const table of document.querySelectorAll("table.sortable")) {
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
