"use strict";
// What moves in the drawn pictures: which rows show, and what lies under the pointer.
(() => {
  const chooser = document.getElementById("chooser");
  const choices = chooser ? [...chooser.querySelectorAll("input")] : [];

  function choose() {
    const shown = new Set(choices.filter((choice) => choice.checked).map((choice) => choice.value));
    document.querySelectorAll("#pictures .plot:not(.fixed) .series[data-row]").forEach((series) => {
      series.classList.toggle("off", !shown.has(series.dataset.row));
    });
    document.dispatchEvent(new CustomEvent("rowschange", { detail: [...shown].map(Number) }));
  }

  // The picture of scores has a legend that grows with the rows shown: its place is that of all of them.
  const canvas = document.querySelector("#timeline .canvas");
  if (canvas) canvas.style.setProperty("--rows", choices.length);

  if (chooser) {
    chooser.hidden = false;
    chooser.addEventListener("change", choose);
    for (const [name, checked] of [["all", true], ["none", false]]) {
      chooser.querySelector(`[data-${name}]`).addEventListener("click", () => {
        choices.forEach((choice) => { choice.checked = checked; });
        choose();
      });
    }
    choose();
  }

  const NEAR = 26;
  const short = (value) => (Math.abs(value) >= 1000 ? value.toExponential(2) : Number(value.toPrecision(4)).toString());

  document.querySelectorAll("svg.chart").forEach((svg) => {
    const [left, top, right, bottom] = svg.dataset.box.split(" ").map(Number);
    const [xLabel, yLabel] = svg.dataset.labels.split("|");
    const reader = (text, start, end) => {
      const [low, high, kind] = text.split(" ");
      const [from, to] = [Number(low), Number(high)];
      return (place) => {
        const share = (place - start) / (end - start);
        return kind === "log" ? from * (to / from) ** share : from + share * (to - from);
      };
    };
    const [toX, toY] = [reader(svg.dataset.x, left, right), reader(svg.dataset.y, bottom, top)];
    const tip = Object.assign(document.createElement("div"), { className: "tip", hidden: true });
    svg.after(tip);
    const places = new Map();
    svg.querySelectorAll(".series").forEach((series) => {
      const line = series.querySelector("polyline");
      const points = line ? [...line.points].map(({ x, y }) => [x, y]) : [];
      series.querySelectorAll("circle").forEach((dot) => points.push([dot.cx.baseVal.value, dot.cy.baseVal.value]));
      places.set(series, points);
    });
    const clear = () => {
      tip.hidden = true;
      svg.querySelectorAll(".near").forEach((each) => each.classList.remove("near"));
    };
    svg.addEventListener("pointermove", (event) => {
      const box = svg.getBoundingClientRect();
      const scale = svg.viewBox.baseVal.width / box.width;
      const [x, y] = [(event.clientX - box.left) * scale, (event.clientY - box.top) * scale];
      let best = null;
      for (const [series, points] of places) {
        if (series.classList.contains("off")) continue;
        for (const [px, py] of points) {
          const away = Math.hypot(px - x, py - y);
          if (away < NEAR && (!best || away < best.away)) best = { series, px, py, away };
        }
      }
      clear();
      if (!best) return;
      best.series.classList.add("near");
      tip.replaceChildren(
        Object.assign(document.createElement("strong"), { textContent: best.series.dataset.name }),
        Object.assign(document.createElement("span"), {
          textContent: `${xLabel} ${short(toX(best.px))} · ${yLabel} ${short(toY(best.py))}`,
        }),
      );
      tip.hidden = false;
      const place = Math.min(Math.max(best.px / scale - tip.offsetWidth / 2, 0), box.width - tip.offsetWidth);
      tip.style.left = `${svg.offsetLeft + place}px`;
      tip.style.top = `${svg.offsetTop + best.py / scale - tip.offsetHeight - 10}px`;
    });
    svg.addEventListener("pointerleave", clear);
  });

  const confusion = document.getElementById("confusion");
  if (confusion) {
    const parts = [...document.querySelectorAll(".confusion")];
    // All of them keep the place of the largest, so that nothing below moves when another one is chosen.
    const show = () => parts.forEach((part) => part.classList.toggle("off", part.dataset.key !== confusion.value));
    parts[0].parentElement.classList.add("one-of");
    confusion.hidden = false;
    confusion.addEventListener("input", show);
    show();
  }
})();
