"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const number = (value) => (value == null ? "-" : value.toFixed(3));

  function draw(panel, video, names) {
    const find = (selector) => panel.querySelector(selector);
    const ranks = find(".unit").value === "ranks";
    const lines = names.map((name, index) => ({ name, steps: video.lines[index] })).filter(({ steps }) => steps);
    // The last snippet's score holds until the video's end.
    const values = lines.map(({ steps }) => {
      const shown = ranks ? steps.ranks : steps.scores;
      return [...shown, shown[shown.length - 1] ?? null];
    });
    const inside = values.every((line) => line.every((value) => value == null || (value >= 0 && value <= 1)));
    const events = (u) => {
      const { ctx, bbox } = u;
      ctx.save();
      ctx.fillStyle = style("--event");
      for (const [start, end] of video.events) {
        const left = Math.max(u.valToPos(start, "x", true), bbox.left);
        const right = Math.min(u.valToPos(end, "x", true), bbox.left + bbox.width);
        ctx.fillRect(left, bbox.top, Math.max(right - left, 1), bbox.height);
      }
      ctx.restore();
    };
    const axis = { stroke: style("--soft"), grid: { stroke: style("--line"), width: 1 }, ticks: { stroke: style("--line") } };
    const target = find(".canvas");
    const size = () => ({ width: Math.max(target.clientWidth, 260), height: target.clientWidth < 600 ? 240 : 320 });
    if (panel.plot) panel.plot.destroy();
    panel.plot = new uPlot({
      ...size(),
      cursor: { dataIdx: (u, _, index, x) => (index > 0 && u.data[0][index] > x ? index - 1 : index) },
      scales: { x: { time: false }, y: { range: inside ? [0, 1] : undefined } },
      axes: [{ ...axis, label: "frame", labelSize: 22 }, { ...axis, label: ranks ? "rank" : "score", labelSize: 22 }],
      series: [
        { label: "frame", value: (_, value) => (value == null ? "-" : value.toFixed(0)) },
        ...lines.map(({ name }) => ({
          label: name,
          stroke: style(`--c${data.names.indexOf(name) % 7}`),
          width: 2,
          paths: uPlot.paths.stepped({ align: 1 }),
          points: { show: false },
          value: (_, value) => number(value),
        })),
      ],
      hooks: { drawClear: [events] },
    }, [video.edges, ...values], target);
    panel.resized = () => panel.plot.setSize(size());
    find(".video").textContent = `${video.name} (${video.classes.join(", ")})`;
    find(".truth").textContent = video.events.length
      ? "Annotated: " + video.events.map(([start, end, name]) => `${name} ${start} to ${end}`).join("; ")
      : "Annotated: no event";
  }

  document.querySelectorAll(".matchup").forEach((section, index) => {
    const { names, videos } = data.pairs[index];
    const buttons = [...section.querySelectorAll(".moves button")];
    const panel = section.querySelector(".plot");
    if (!videos.length) return;
    let chosen = 0;
    panel.hidden = false;
    const redraw = () => {
      buttons.forEach((button, at) => button.setAttribute("aria-pressed", String(at === chosen)));
      draw(panel, videos[chosen], names);
    };
    // Scores of two methods need no common scale; ranks always have one.
    const scores = videos.flatMap((video) => video.lines.flatMap((line) => (line ? line.scores : [])));
    panel.querySelector(".unit").value = scores.every((value) => value == null || (value >= 0 && value <= 1)) ? "scores" : "ranks";
    buttons.forEach((button, at) => button.addEventListener("click", () => { chosen = at; redraw(); }));
    panel.querySelector(".unit").addEventListener("input", redraw);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
    redraw();
    new ResizeObserver(() => panel.resized()).observe(panel.querySelector(".canvas"));
  });
})();
