"use strict";
// The two curves of a run, which come with its scores.
(() => {
  const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const figures = [...document.querySelectorAll("#curves [data-curve]")];
  let loaded = null;

  function draw() {
    const { shared, run } = loaded;
    const axis = { stroke: style("--soft"), font: "12px system-ui, sans-serif", grid: { stroke: style("--line"), width: 1 }, ticks: { stroke: style("--line") }, labelSize: 18, labelFont: "12px system-ui, sans-serif" };
    const shown = (_, value) => (value == null ? "-" : value.toFixed(3));
    for (const figure of figures) {
      const values = run[figure.dataset.curve];
      const places = values.map((_, at) => at / (values.length - 1));
      const chance = figure.dataset.curve === "roc" ? places : places.map(() => shared.base);
      if (figure.drawn) figure.drawn.destroy();
      const size = () => ({ width: Math.max(figure.clientWidth, 220), height: Math.round(Math.max(figure.clientWidth, 220) * 0.72) });
      figure.drawn = new uPlot({
        ...size(),
        scales: { x: { time: false, range: [0, 1] }, y: { range: [0, 1] } },
        axes: [{ ...axis, label: figure.dataset.x }, { ...axis, label: figure.dataset.y, size: 40 }],
        series: [
          { label: figure.dataset.x, value: shown },
          { label: figure.dataset.y, stroke: style("--c0"), width: 2, points: { show: false }, value: shown },
          { label: "chance", stroke: style("--soft"), width: 1, dash: [4, 4], points: { show: false }, value: shown },
        ],
      }, [places, values, chance], figure);
      figure.resized = () => figure.drawn.setSize(size());
    }
  }

  document.addEventListener("runloaded", (event) => {
    loaded = event.detail;
    draw();
    for (const figure of figures) new ResizeObserver(() => figure.resized()).observe(figure);
  });
  document.addEventListener("themechange", () => { if (loaded) draw(); });
})();
