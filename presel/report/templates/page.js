"use strict";
(() => {
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const root = document.documentElement;

  document.getElementById("theme").addEventListener("click", () => {
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
  });

  const value = (row, column) => row.cells[column].dataset.v ?? row.cells[column].textContent.trim();
  const number = (text) => Number(text.replace(/[^0-9.eE+-]/g, ""));
  for (const table of all("table.sortable")) {
    all("thead th", table).forEach((heading, column) => heading.querySelector("button")?.addEventListener("click", () => {
      const numeric = heading.classList.contains("n");
      const first = numeric ? "descending" : "ascending";
      const order = heading.getAttribute("aria-sort") === first ? (numeric ? "ascending" : "descending") : first;
      all("thead th", table).forEach((other) => other.removeAttribute("aria-sort"));
      heading.setAttribute("aria-sort", order);
      const sign = order === "ascending" ? 1 : -1;
      const compare = (a, b) => numeric ? number(value(a, column)) - number(value(b, column)) : value(a, column).localeCompare(value(b, column));
      table.tBodies[0].append(...[...table.tBodies[0].rows].sort((a, b) => sign * compare(a, b)));
    }));
  }

  // A link into a folded part opens it.
  const unfold = () => { const part = document.getElementById(location.hash.slice(1)); if (part?.tagName === "DETAILS") { part.open = true; part.scrollIntoView(); } };
  addEventListener("hashchange", unfold);
  unfold();
  for (const link of all("a[href^='#reject-']")) link.addEventListener("click", () => { document.getElementById(link.hash.slice(1)).open = true; });

  for (const chip of all("#gallery .chips button")) {
    chip.addEventListener("click", () => {
      all("#gallery .chips button").forEach((other) => other.setAttribute("aria-pressed", other === chip));
      all("#gallery .task").forEach((task) => { task.hidden = chip.dataset.t !== "" && task.dataset.t !== chip.dataset.t; });
    });
  }

  // On paper nothing can be unfolded.
  addEventListener("beforeprint", () => all("details").forEach((part) => { part.dataset.was = part.open; part.open = true; }));
  addEventListener("afterprint", () => all("details").forEach((part) => { part.open = part.dataset.was === "true"; }));

  const box = document.getElementById("box");
  for (const thumb of all(".thumb")) {
    thumb.addEventListener("click", () => {
      const words = thumb.parentElement.querySelector(".more").cloneNode(true);
      words.hidden = false;
      box.querySelector(".picture").replaceChildren(...all("img", thumb).map((image) => image.cloneNode()));
      box.querySelector(".words").replaceChildren(words);
      box.showModal();
    });
  }
  box.addEventListener("click", (event) => {
    if (event.target === box || event.target.closest(".close")) box.close();
  });
})();
