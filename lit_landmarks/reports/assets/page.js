"use strict";
// Sorting by a column: numbers by value, texts by alphabet, what is missing always last.
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, place) => {
    const button = head.querySelector("button");
    if (!button) return;
    button.addEventListener("click", () => {
      const first = head.dataset.first || "ascending";
      const other = first === "ascending" ? "descending" : "ascending";
      const order = head.getAttribute("aria-sort") === first ? other : first;
      heads.forEach((h) => h.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", order);
      const sign = order === "ascending" ? 1 : -1;
      const numeric = head.dataset.kind === "number";
      const value = (row) => {
        const text = row.cells[place].dataset.value;
        if (text === undefined || text === "") return null;
        return numeric ? Number(text) : text;
      };
      // Rows of different groups are not comparable and stay apart.
      for (const body of table.querySelectorAll("tbody:not(.heading)")) {
        const rows = [...body.rows].map((row) => [value(row), row]);
        rows.sort(([a], [b]) => {
          if (a === null || b === null) return (a === null) - (b === null);
          return sign * (numeric ? a - b : a.localeCompare(b, undefined, { numeric: true }));
        });
        body.append(...rows.map(([, row]) => row));
      }
    });
  });
}
// Filtering rows by any word in them.
const filter = document.getElementById("filter");
if (filter) {
  const rows = [...document.querySelectorAll("#runs tbody:not(.heading) tr")];
  const shown = document.getElementById("shown");
  filter.addEventListener("input", () => {
    const terms = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    let count = 0;
    for (const row of rows) {
      const text = row.textContent.toLowerCase();
      row.hidden = !terms.every((term) => text.includes(term));
      count += row.hidden ? 0 : 1;
    }
    shown.textContent = terms.length ? `${count} of ${rows.length} rows` : "";
  });
}
// A name in the legend picks its run out in every chart and in the table.
const buttons = [...document.querySelectorAll(".legend button")];
const choose = (name) => {
  for (const button of buttons) {
    button.setAttribute("aria-pressed", String(button.dataset.name === name));
  }
  for (const item of document.querySelectorAll("[data-series]")) {
    item.classList.toggle("chosen", item.dataset.series === name);
  }
  for (const row of document.querySelectorAll("#runs tbody tr")) {
    row.classList.toggle("chosen", row.dataset.name === name);
  }
  if (name === null) delete document.body.dataset.chosen;
  else document.body.dataset.chosen = "yes";
};
for (const button of buttons) {
  button.addEventListener("click", () => {
    choose(button.getAttribute("aria-pressed") === "true" ? null : button.dataset.name);
  });
}
// A command to the clipboard; where a page from a file may not write there, it is selected.
for (const button of document.querySelectorAll("[data-copy]")) {
  const source = document.getElementById(button.dataset.copy);
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(source.textContent);
      button.textContent = "copied";
    } catch {
      getSelection().selectAllChildren(source);
      button.textContent = "selected";
    }
  });
}
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") choose(null);
});
