"use strict";
// Sorting by column heads and filtering by the form above a table.
(() => {
  function sortable(table) {
    const heads = [...table.tHead.rows[0].cells];
    const body = table.tBodies[0];
    heads.forEach((head, column) => head.querySelector("button").addEventListener("click", () => {
      const text = head.classList.contains("text");
      const rank = head.textContent === "Rank";
      const first = text || rank ? "ascending" : "descending";
      const other = first === "ascending" ? "descending" : "ascending";
      const order = head.getAttribute("aria-sort") === first ? other : first;
      heads.forEach((each) => each.setAttribute("aria-sort", each === head ? order : "none"));
      const sign = order === "ascending" ? 1 : -1;
      const value = (row) => row.cells[column].dataset.value;
      table.classList.add("sorted");
      [...body.rows].sort((a, b) => {
        const [x, y] = [value(a), value(b)];
        if (x === "" || y === "") return (x === "") - (y === "");
        return sign * (text ? x.localeCompare(y) : x - y);
      }).forEach((row) => body.append(row));
    }));
  }

  function filterable(form) {
    const table = document.getElementById(form.dataset.table);
    const rows = [...table.tBodies[0].rows];
    const selects = [...form.querySelectorAll("[data-filter]")];
    selects.forEach((select) => {
      const values = [...new Set(rows.map((row) => row.dataset[select.dataset.filter]))].filter(Boolean);
      values.sort((a, b) => a.localeCompare(b, undefined, { numeric: true }));
      values.forEach((value) => select.add(new Option("least" in select.dataset ? `${value} or more` : value, value)));
      select.parentElement.hidden = values.length < 2;
    });
    const find = form.querySelector("[data-find]");
    const passes = (row) => row.querySelector(".method").textContent.toLowerCase().includes(find.value.trim().toLowerCase())
      && selects.every((select) => {
        const value = row.dataset[select.dataset.filter];
        return !select.value || ("least" in select.dataset ? Number(value) >= Number(select.value) : value === select.value);
      });
    const update = () => {
      rows.forEach((row) => { row.hidden = !passes(row); });
      form.querySelector(".shown").textContent = `${rows.filter((row) => !row.hidden).length} of ${rows.length} rows`;
    };
    form.addEventListener("input", update);
    const more = form.querySelector("[data-more]");
    if (more) more.addEventListener("change", () => table.classList.toggle("all", more.checked));
    form.hidden = false;
    update();
  }

  document.querySelectorAll("table.leaderboard").forEach(sortable);
  document.querySelectorAll(".filters").forEach(filterable);
})();
