"use strict";
(() => {
  const rows = [...document.querySelectorAll("#timeline tbody tr")];
  const boxes = [...document.querySelectorAll("#sources input")];
  const search = document.getElementById("search");
  const shown = document.getElementById("shown");

  function filter() {
    const on = new Set(boxes.filter((box) => box.checked).map((box) => box.value));
    const words = search.value.toLowerCase();
    let count = 0;
    for (const row of rows) {
      row.hidden = !on.has(row.dataset.source) || (words !== "" && !row.textContent.toLowerCase().includes(words));
      if (!row.hidden) count += 1;
    }
    shown.textContent = count + " of " + rows.length + " events";
  }

  if (search) {
    boxes.forEach((box) => box.addEventListener("change", filter));
    search.addEventListener("input", filter);
    document.getElementById("filters").hidden = false;
    filter();
  }

  // Paper cannot unfold: open every test for the print, then put each back.
  let folded = [];
  addEventListener("beforeprint", () => {
    folded = [...document.querySelectorAll("details.card:not([open], .log)")];
    folded.forEach((card) => { card.open = true; });
  });
  addEventListener("afterprint", () => folded.forEach((card) => { card.open = false; }));
})();
