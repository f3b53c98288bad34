"use strict";
// Search, filters and order of a board. The rows beyond the first come with a script, when somebody asks for them.
(() => {
  const section = document.getElementById("leaderboard");
  const form = section.querySelector(".filters");
  const body = section.querySelector("tbody");
  const more = section.querySelector(".more-rows");
  const step = Number(section.dataset.shown);
  const total = Number(section.dataset.total);
  const find = form.querySelector("[data-find]");
  const filters = [...form.querySelectorAll("[data-filter]")];
  const order = form.querySelector("[data-order]");
  let rows = null;
  let shown = step;

  // Pages from disk may load scripts, but may not read files.
  window.harnessBoard = (found) => { rows = found; draw(); };
  function loaded() {
    if (rows) return true;
    if (!section.querySelector("script")) {
      const script = document.createElement("script");
      script.src = section.dataset.rows;
      section.append(script);
    }
    return false;
  }

  function passes(row) {
    if (!row.find.includes(find.value.trim().toLowerCase())) return false;
    return filters.every((select) => {
      const value = row[select.dataset.filter];
      if (!select.value) return true;
      if (Array.isArray(value)) return value.includes(select.value);
      return typeof value === "number" ? value >= Number(select.value) : value === select.value;
    });
  }

  function chosen() {
    const found = rows.filter(passes);
    if (!order.value) return found;
    const value = (row) => row.values[Number(order.value)] ?? -Infinity;
    return found.sort((a, b) => value(b) - value(a));
  }

  function draw() {
    if (!loaded()) return;
    const found = chosen();
    // Markup that was made with the page, in which every name is text.
    body.innerHTML = found.slice(0, shown).map((row) => row.html).join("");
    section.querySelector("table").classList.toggle("sorted", Boolean(order.value));
    say(Math.min(shown, found.length), found.length);
  }

  function say(there, of) {
    form.querySelector(".shown").textContent = there < of ? `${there} of ${of} rows` : `${of} of ${total} rows`;
    more.hidden = there >= of;
  }

  form.addEventListener("input", () => { shown = step; draw(); });
  form.addEventListener("submit", (event) => event.preventDefault());
  more.querySelector("button").addEventListener("click", () => { shown += step; draw(); });
  form.hidden = false;
  say(Math.min(step, total), total);
})();
