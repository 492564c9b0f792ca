"use strict";
const PAGE = 8;
const $ = (id) => document.getElementById(id);

const list = document.querySelector("nav ul");
for (const section of document.querySelectorAll("[data-nav]")) {
  const link = document.createElement("a");
  link.href = "#" + section.id;
  link.textContent = section.dataset.nav;
  list.appendChild(document.createElement("li")).appendChild(link);
}

const rows = [...document.querySelectorAll("#rows > .row")].map((element) => ({
  element,
  family: element.dataset.family,
  failed: JSON.parse(element.dataset.failed),
  asked: Number(element.dataset.asked),
  disagreement: Number(element.dataset.disagreement),
  gap: Number(element.dataset.gap),
  text: [...element.querySelectorAll(".prompt, .words")].map((part) => part.textContent).join("\n").toLowerCase(),
}));
let limit = PAGE;

function matches(row) {
  const words = $("query").value.toLowerCase().split(/\s+/).filter(Boolean);
  const family = $("family").value;
  const failed = $("failed").value;
  return words.every((word) => row.text.includes(word))
    && (!family || row.family === family)
    && (!failed || (failed === "*" ? row.failed.length > 0 : row.failed.includes(failed)));
}

function show() {
  const order = $("order").value;
  const sorted = [...rows].sort((a, b) => (order === "asked" ? 0 : b[order] - a[order]) || a.asked - b.asked);
  const found = sorted.filter(matches);
  const visible = new Set(found.slice(0, limit));
  for (const row of sorted) {
    row.element.hidden = !visible.has(row);
    $("rows").appendChild(row.element);
  }
  $("shown").textContent = found.length === 0
    ? "No prompt matches."
    : `Showing ${visible.size} of ${found.length}` + (found.length < rows.length ? ` that match, of ${rows.length}` : "");
  document.querySelector(".more").hidden = visible.size === found.length;
}

if (rows.length) {
  document.querySelector(".controls").hidden = false;
  for (const id of ["query", "family", "failed", "order"]) {
    $(id).addEventListener("input", () => { limit = PAGE; show(); });
  }
  $("more").addEventListener("click", () => { limit += PAGE; show(); });
  $("all").addEventListener("click", () => { limit = rows.length; show(); });
  document.addEventListener("keydown", (event) => {
    if (event.key === "/" && !event.target.closest("input, select, textarea")) {
      event.preventDefault();
      $("query").focus();
    }
  });
  show();
}
