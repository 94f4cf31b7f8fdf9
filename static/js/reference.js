// The filter of the reference: narrows the navigation, and the list of the overview, to operations with every word typed.
(() => {
  "use strict";
  const filter = document.querySelector("[data-filter]");
  const none = document.querySelector("[data-filter-none]");
  const groups = [...document.querySelectorAll("[data-filter-group]")];
  const opened = new Map(groups.map((group) => [group, group.open]));
  const rows = [...document.querySelectorAll("[data-filter-row]")];

  const narrow = () => {
    const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const row of rows) row.hidden = !words.every((word) => row.dataset.filterRow.toLowerCase().includes(word));
    let left = 0;
    for (const group of groups) {
      const found = group.querySelectorAll("[data-filter-row]:not([hidden])").length;
      group.hidden = !found;
      if (group.matches("details")) {
        left += found;
        group.open = words.length ? found > 0 : opened.get(group);
      }
    }
    none.hidden = left > 0;
    none.textContent = left ? "" : `No operation has “${filter.value.trim()}”.`;
  };

  filter.addEventListener("input", narrow);
  filter.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || !filter.value.trim()) return;
    event.preventDefault();
    filter.closest("nav").querySelector("[data-filter-row]:not([hidden]) a")?.click();
  });
  // Coming back, the browser may have kept what was typed.
  addEventListener("pageshow", () => filter.value && narrow());
})();
