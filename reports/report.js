"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  // Okabe and Ito's colours, told apart with any kind of colour vision; dashes tell apart what comes after them.
  const COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7f8790"];
  const DASHES = [[], [8, 4], [2, 3]];
  const SHOWN = 7;

  document.querySelectorAll("table.leaderboard").forEach((table) => {
    const heads = [...table.tHead.rows[0].cells];
    const body = table.tBodies[0];
    heads.forEach((head, column) => head.querySelector("button").addEventListener("click", () => {
      const text = head.classList.contains("text");
      const first = text ? "ascending" : "descending";
      const other = text ? "descending" : "ascending";
      const order = head.getAttribute("aria-sort") === first ? other : first;
      heads.forEach((each) => each.setAttribute("aria-sort", each === head ? order : "none"));
      const sign = order === "ascending" ? 1 : -1;
      const value = (row) => row.cells[column].dataset.value;
      [...body.rows].sort((a, b) => {
        const [x, y] = [value(a), value(b)];
        if (x === "" || y === "") return (x === "") - (y === "");
        return sign * (text ? x.localeCompare(y) : x - y);
      }).forEach((row) => body.append(row));
    }));
  });

  const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  function draw(panel, board) {
    const find = (selector) => panel.querySelector(selector);
    const video = board.videos[find(".video").value];
    const seconds = find(".unit").value === "seconds";
    const rate = seconds ? Math.max(Number(find(".rate input").value) || 30, 0.001) : 1;
    find(".rate").hidden = !seconds;
    const place = (frame) => frame / rate;
    const rows = board.rows.map((name, index) => ({ name, index })).filter(({ index }) => video.scores[index]);
    // The last snippet's score holds until the video's end.
    const held = (scores) => [...scores, scores[scores.length - 1]];
    const values = rows.map(({ index }) => held(video.scores[index]));
    const inside = values.every((line) => line.every((value) => value >= 0 && value <= 1));
    const label = (value) => (value == null ? "-" : value.toFixed(3));
    const events = (u) => {
      const { ctx, bbox } = u;
      ctx.save();
      ctx.fillStyle = style("--event");
      for (const [start, end] of video.events) {
        const left = u.valToPos(place(start), "x", true);
        const right = u.valToPos(place(end), "x", true);
        const from = Math.max(left, bbox.left);
        ctx.fillRect(from, bbox.top, Math.max(Math.min(right, bbox.left + bbox.width) - from, 1), bbox.height);
      }
      ctx.restore();
    };
    const axis = { stroke: style("--soft"), grid: { stroke: style("--line"), width: 1 }, ticks: { stroke: style("--line") } };
    const target = find(".canvas");
    const size = () => ({ width: Math.max(target.clientWidth, 260), height: target.clientWidth < 600 ? 240 : 320 });
    const shown = panel.shown || (panel.shown = board.rows.map((_, index) => index < SHOWN));
    if (panel.plot) panel.plot.destroy();
    panel.plot = new uPlot({
      ...size(),
      // A snippet's score holds from its first frame on, so the read-out takes the start before the pointer.
      cursor: { dataIdx: (u, _, index, x) => (index > 0 && u.data[0][index] > x ? index - 1 : index) },
      scales: { x: { time: false }, y: { range: inside ? [0, 1] : undefined } },
      axes: [{ ...axis, label: seconds ? "seconds" : "frame", labelSize: 22 }, { ...axis, label: "score", labelSize: 22 }],
      series: [
        { label: seconds ? "second" : "frame", value: (_, value) => (value == null ? "-" : value.toFixed(seconds ? 1 : 0)) },
        ...rows.map(({ name, index }) => ({
          label: name,
          stroke: COLOURS[index % COLOURS.length],
          dash: DASHES[Math.floor(index / COLOURS.length) % DASHES.length],
          width: 2,
          show: shown[index],
          paths: uPlot.paths.stepped({ align: 1 }),
          points: { show: false },
          value: (_, value) => label(value),
        })),
      ],
      hooks: {
        drawClear: [events],
        setSeries: [(u, series, change) => { if (series && "show" in change) shown[rows[series - 1].index] = change.show; }],
      },
    }, [video.edges.map(place), ...values], target);
    panel.resized = () => panel.plot.setSize(size());
    find(".truth").textContent = video.events.length
      ? "Annotated: " + video.events.map(([start, end, name]) => {
        const digits = seconds ? 1 : 0;
        return `${name} ${place(start).toFixed(digits)} to ${place(end).toFixed(digits)}`;
      }).join("; ")
      : "Annotated: no event";
  }

  document.querySelectorAll(".plot").forEach((panel) => {
    const board = data[Number(panel.dataset.board)];
    panel.querySelector(".chosen").textContent = board.chosen;
    if (!board.videos.length) return;
    panel.hidden = false;
    const select = panel.querySelector(".video");
    board.videos.forEach((video, index) => select.add(new Option(`${video.name} (${video.classes.join(", ")})`, index)));
    const redraw = () => draw(panel, board);
    panel.querySelectorAll("select, input").forEach((control) => control.addEventListener("input", redraw));
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
    redraw();
    new ResizeObserver(() => panel.resized()).observe(panel.querySelector(".canvas"));
  });
})();
