"use strict";
// The page is readable without this file. It sorts tables, opens the origin of a number, moves time, selects models.

const make = (name, attributes = {}, ...children) => {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
};
const drawn = (name, attributes) => {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
};

// Sorting: the floor stays on top, rows without a number go last; the first column restores the order of the suite.
function sort(table, column, direction) {
  const body = table.tBodies[0];
  const rows = [...body.rows].filter((row) => !row.classList.contains("floor"));
  const value = (row) => {
    const text = row.cells[column].dataset.v ?? "";
    return text === "" ? NaN : Number(text);
  };
  rows.sort((a, b) => {
    const [x, y] = [value(a), value(b)];
    if (isNaN(x) || isNaN(y)) return isNaN(x) - isNaN(y) || a.dataset.i - b.dataset.i;
    return (direction === "ascending" ? x - y : y - x) || a.dataset.i - b.dataset.i;
  });
  body.append(...rows);
  for (const head of table.tHead.rows[0].cells) head.removeAttribute("aria-sort");
  table.tHead.rows[0].cells[column].setAttribute("aria-sort", direction);
}
for (const table of document.querySelectorAll("table.sortable")) {
  [...table.tHead.rows[0].cells].forEach((head, column) => {
    const button = make("button", { type: "button", title: head.dataset.protocol || "Sort" }, ...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const now = head.getAttribute("aria-sort");
      const first = head.dataset.better === "higher" ? "descending" : "ascending";
      sort(table, column, now === null ? first : now === "ascending" ? "descending" : "ascending");
    });
  });
}

// The origin of a number.
const panel = document.getElementById("origin");
function strip(values, floor) {
  const all = floor === undefined ? values : [...values, floor];
  const low = Math.min(...all), high = Math.max(...all), span = high - low || Math.abs(high) || 1;
  const place = (x) => 12 + (476 * (x - low + 0.04 * span)) / (1.08 * span);
  const svg = drawn("svg", { class: "strip", viewBox: "0 0 500 46", role: "img", "aria-label": "values of all seeds" });
  svg.append(drawn("path", { class: "g", d: "M0 16H500" }));
  if (floor !== undefined) {
    svg.append(drawn("path", { class: "f", d: `M${place(floor)} 4V28` }));
    const text = drawn("text", { x: place(floor), y: 42, "text-anchor": place(floor) > 250 ? "end" : "start" });
    text.textContent = "floor";
    svg.append(text);
  }
  for (const value of values) svg.append(drawn("circle", { cx: place(value), cy: 16, r: 5, fill: "var(--accent)", "fill-opacity": 0.55 }));
  return svg;
}
function show(link) {
  const cell = link.closest("td"), table = link.closest("table"), row = link.closest("tr");
  const head = table.tHead.rows[0].cells[cell.cellIndex];
  const kept = document.getElementById(link.dataset.row);
  const origin = document.querySelector(link.getAttribute("href"));
  const model = row.cells[0].dataset.label, data = link.closest("[data-title]").dataset.title;
  const body = panel.querySelector(".body");
  panel.querySelector("h3").textContent = `${model}: ${head.dataset.title} on ${data}`;
  const facts = make("dl");
  const fact = (name, text) => text && facts.append(make("dt", {}, name), make("dd", {}, text));
  const floorCell = table.querySelector("tr.floor")?.cells[cell.cellIndex];
  const floor = floorCell?.dataset.v ? Number(floorCell.dataset.v) : undefined;
  fact("table", table.dataset.name);
  fact("direction", { lower: "lower is better", higher: "higher is better" }[head.dataset.better]);
  fact("protocol", head.dataset.protocol);
  fact("standing", link.dataset.standing);
  if (floor !== undefined) fact("floor", floorCell.querySelector(".v").textContent);
  body.replaceChildren(make("p", { class: "big" }, link.querySelector(".n").textContent), facts);
  if (kept) {
    const seeds = [...kept.closest("table").tHead.rows[0].cells].slice(2).map((c) => c.textContent);
    const values = [...kept.cells].slice(2).map((c) => c.textContent);
    const known = values.map((value, i) => [seeds[i], value]).filter(([, value]) => value !== "");
    body.append(make("h4", {}, "Value of each seed"), strip(known.map(([, value]) => Number(value)), floor));
    const list = make("table", { class: "seeds" });
    const top = list.createTHead().insertRow(), under = list.createTBody();
    for (const name of ["seed", "value", "run"]) top.append(make("th", { scope: "col" }, name));
    for (const [seed, value] of known) {
      const run = origin.querySelector(`[data-seed="${seed}"] code`)?.textContent ?? "";
      under.insertRow().append(make("th", { scope: "row" }, seed), make("td", {}, value), make("td", {}, make("code", {}, run)));
    }
    body.append(make("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Value of each seed" }, list));
  }
  body.append(make("h4", {}, "Origin"), ...[...origin.children].slice(2).map((part) => part.cloneNode(true)));
  panel.showModal();
  panel.scrollTop = 0;
}
panel.querySelector(".close").addEventListener("click", () => panel.close());
panel.addEventListener("click", (event) => event.target === panel && panel.close());
document.addEventListener("click", (event) => {
  const link = event.target.closest?.("a.v");
  if (link) {
    event.preventDefault();
    show(link);
  }
});

// Each table is one tab stop; arrow keys move between its numbers.
for (const table of document.querySelectorAll("table.sortable")) {
  const links = [...table.querySelectorAll("a.v")];
  links.forEach((link, i) => {
    link.tabIndex = i ? -1 : 0;
    link.setAttribute("role", "button");
    link.setAttribute("aria-haspopup", "dialog");
  });
  table.addEventListener("keydown", (event) => {
    const link = event.target.closest("a.v");
    const step = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
    if (!link) return;
    if (event.key === " ") {
      event.preventDefault();
      show(link);
    }
    if (!step) return;
    event.preventDefault();
    let cell = link.closest("td");
    for (;;) {
      const row = table.tBodies[0].rows[cell.parentNode.sectionRowIndex + step[0]];
      cell = row?.cells[cell.cellIndex + step[1]];
      const next = cell?.querySelector("a.v");
      if (!cell) return;
      if (next) {
        link.tabIndex = -1;
        next.tabIndex = 0;
        next.focus();
        next.scrollIntoView({ block: "nearest", inline: "nearest" });
        return;
      }
    }
  });
}

// Time: points are interpolated between frames; densities are those of the nearest frame.
for (const flow of document.querySelectorAll(".flow")) {
  const control = flow.querySelector(".control");
  const slider = control.querySelector("input"), said = control.querySelector("output"), play = control.querySelector("button");
  const panels = [...flow.querySelectorAll("svg[data-paths]")].map((svg) => {
    const bytes = Uint8Array.from(atob(svg.dataset.paths), (c) => c.charCodeAt(0));
    const times = Number(svg.dataset.times);
    return { bytes, times, points: bytes.length / times / 2, path: svg.querySelector(".p"), sprite: svg.querySelector("mask svg"), size: Number(svg.dataset.size) };
  });
  const draw = (t) => {
    for (const { bytes, times, points, path, sprite, size } of panels) {
      const at = t * (times - 1), frame = Math.min(Math.floor(at), times - 2), part = at - frame;
      const from = frame * points * 2, to = from + points * 2;
      let text = "";
      for (let i = 0; i < points * 2; i += 2) {
        const x = bytes[from + i] + part * (bytes[to + i] - bytes[from + i]);
        const y = bytes[from + i + 1] + part * (bytes[to + i + 1] - bytes[from + i + 1]);
        text += `M${x.toFixed(1)} ${y.toFixed(1)}h0`;
      }
      path.setAttribute("d", text);
      sprite.setAttribute("viewBox", `0 ${Math.round(at) * (size + 1)} ${size} ${size}`);
    }
    said.textContent = `t = ${t.toFixed(2)}`;
  };
  slider.addEventListener("input", () => draw(Number(slider.value)));
  let began = null;
  const stop = () => {
    began = null;
    play.textContent = "Play";
  };
  const step = (now) => {
    if (began === null) return;
    began ||= now;
    const t = Math.min((now - began) / 3000, 1);
    slider.value = t;
    draw(t);
    t < 1 ? requestAnimationFrame(step) : stop();
  };
  play.addEventListener("click", () => {
    if (began !== null) return stop();
    began = 0;
    play.textContent = "Stop";
    requestAnimationFrame(step);
  });
  slider.addEventListener("pointerdown", stop);
  slider.addEventListener("keydown", stop);
  control.hidden = panels.length === 0;
}

// Selecting a model in a legend highlights it in the charts beside it.
for (const legend of document.querySelectorAll(".legend")) {
  const charts = legend.parentNode.querySelectorAll(".chart");
  let held = null;
  const pick = (model) => {
    for (const chart of charts) {
      chart.classList.toggle("picked", model !== null);
      for (const series of chart.querySelectorAll(".s")) series.classList.toggle("on", series.dataset.model === model);
    }
  };
  for (const item of legend.children) {
    const model = item.dataset.model;
    const button = make("button", { type: "button", "aria-pressed": "false" }, ...item.childNodes);
    item.append(button);
    button.addEventListener("pointerenter", () => pick(model));
    button.addEventListener("pointerleave", () => pick(held));
    button.addEventListener("click", () => {
      held = held === model ? null : model;
      for (const other of legend.querySelectorAll("button")) other.setAttribute("aria-pressed", String(other === button && held !== null));
      pick(held);
    });
  }
}
