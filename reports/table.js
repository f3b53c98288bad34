"use strict";
// Sorting by column heads, filtering by the form above tables, and what helps where a table is wider than the screen.
(() => {
  const ROLES = { TABLE: "table", THEAD: "rowgroup", TBODY: "rowgroup", TR: "row", TD: "cell" };

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
    const tables = [...document.querySelectorAll(form.dataset.tables)];
    const rows = tables.flatMap((table) => [...table.tBodies[0].rows]);
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
      // Of several tables those are there that have a row to show.
      if (tables.length > 1) tables.forEach((table) => { table.closest("section").hidden = [...table.tBodies[0].rows].every((row) => row.hidden); });
      form.querySelector(".shown").textContent = `${rows.filter((row) => !row.hidden).length} of ${rows.length} rows`;
    };
    form.addEventListener("input", update);
    const more = form.querySelector("[data-more]");
    if (more) more.addEventListener("change", () => tables.forEach((table) => table.classList.toggle("all", more.checked)));
    form.querySelector(".find").after(sorter(tables));
    form.hidden = false;
    update();
  }

  // On a phone, where rows are cards and heads are not there. Tables of one form have the same heads.
  function sorter(tables) {
    const label = Object.assign(document.createElement("label"), { className: "only-phone", textContent: "Sort by " });
    const select = document.createElement("select");
    const heads = [...tables[0].tHead.rows[0].cells];
    const sorted = heads.findIndex((head) => head.getAttribute("aria-sort") !== "none");
    if (sorted < 0) select.add(new Option("board", ""));
    heads.forEach((head, column) => select.add(new Option(head.textContent, column)));
    select.value = sorted < 0 ? "" : sorted;
    select.addEventListener("input", () => tables.forEach((table) => {
      if (select.value) table.tHead.rows[0].cells[select.value].querySelector("button").click();
    }));
    label.append(select);
    return label;
  }

  // A cell of a card says what it is; the roles stay, which a browser forgets with the display of a table.
  function stackable(table) {
    const heads = [...table.tHead.rows[0].cells].map((head) => head.textContent.trim());
    [table, ...table.querySelectorAll("thead, tbody, tr, td")].forEach((part) => part.setAttribute("role", ROLES[part.tagName]));
    table.querySelectorAll("th").forEach((head) => head.setAttribute("role", head.scope === "col" ? "columnheader" : "rowheader"));
    [...table.tBodies[0].rows].forEach((row) => [...row.cells].forEach((cell, column) => { cell.dataset.label = heads[column]; }));
    table.classList.add("stack");
  }

  function hinted(scroll) {
    const hint = Object.assign(document.createElement("p"), { className: "scroll-hint", textContent: "More to the right: scroll sideways", hidden: true });
    scroll.before(hint);
    const update = () => {
      const left = scroll.scrollWidth - scroll.clientWidth;
      hint.hidden = left < 2;
      scroll.classList.toggle("wider", left - scroll.scrollLeft > 1);
    };
    scroll.addEventListener("scroll", update, { passive: true });
    const observer = new ResizeObserver(update);
    [scroll, ...scroll.children].forEach((each) => observer.observe(each));
  }

  document.querySelectorAll("table.leaderboard, .scroll > table.plain").forEach(stackable);
  document.querySelectorAll(".scroll").forEach(hinted);
  document.querySelectorAll("table.leaderboard").forEach(sortable);
  document.querySelectorAll(".filters").forEach(filterable);
})();
