"use strict";
// Scores over time of one video. Its data come from files of their own, as scripts: pages from disk may not fetch. On a
// board each video has a file with all rows; on the page of a run one file has all its videos.
(() => {
  const section = document.getElementById("timeline");
  const find = (selector) => section.querySelector(selector);
  const COLOURS = 7;
  const DASHES = [[], [8, 4], [2, 3]];
  const FIRST = 35;
  const LEVELS = 90;
  const MARGIN = 96;
  let index = null;
  let load = null;
  let video = null;
  let plot = null;
  let shownRange = null;
  let rows = section.dataset.run ? [0] : [...document.querySelectorAll("#chooser input:checked")].map((choice) => Number(choice.value));

  const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const select = find(".video");
  const method = find(".method") || { options: [] };

  function fill() {
    const groups = new Map();
    index.videos.forEach((each, number) => {
      const name = each.classes.join(", ") || index.classes[0];
      if (!groups.has(name)) {
        const group = document.createElement("optgroup");
        group.label = name;
        groups.set(name, group);
      }
      groups.get(name).append(new Option(each.name, number));
    });
    const normal = index.classes[0];
    [...groups].sort(([a], [b]) => (a === normal) - (b === normal) || a.localeCompare(b)).forEach(([, group]) => select.append(group));
    index.rows.forEach((row, number) => { if (row.classes) method.add(new Option(row.name, number)); });
  }

  function fetched(source) {
    const script = document.createElement("script");
    script.src = source;
    script.addEventListener("load", () => script.remove());
    script.addEventListener("error", () => { find(".chosen").textContent = "The data of this video is not there."; });
    document.head.append(script);
  }

  window.harnessVideo = (part) => {
    if (part.number !== Number(select.value)) return; // another one was chosen meanwhile
    const spread = (row) => ({ low: 0, high: 1, ...index.rows[row] });
    video = { ...part, scores: part.scores.map((own, row) => own && own.map((value) => spread(row).low + value / 1000 * (spread(row).high - spread(row).low))) };
    draw();
  };

  // The part of one video, of a run whose scores are all here.
  function ofRun(shared, run) {
    const number = Number(select.value);
    const { frames, events } = shared.videos[number];
    const own = run.videos[number];
    if (!own) return { number, events, edges: [0, frames], scores: [null] };
    const [low, high, count, levels] = own;
    const step = Math.ceil(count / shared.points);
    const edge = (snippet) => (shared.stride ? Math.min(snippet * shared.stride, frames) : Math.ceil(snippet * frames / count));
    const edges = [...levels].map((_, at) => edge(at * step));
    return { number, events, edges: [...edges, edge(count)], scores: [[...levels].map((level) => low + (level.charCodeAt(0) - FIRST) / LEVELS * (high - low))] };
  }

  function begin(found, loading) {
    index = found;
    load = loading;
    fill();
    select.value = String(index.start || 0);
    load();
  }

  function draw() {
    const facts = index.videos[video.number];
    const seconds = find(".unit").value === "seconds";
    const rate = seconds ? Math.max(Number(find(".rate input").value) || 30, 0.001) : 1;
    find(".rate").hidden = !seconds;
    const place = (frame) => frame / rate;
    const unit = seconds ? "s" : "";
    const number = (frame) => place(frame).toFixed(seconds ? 1 : 0);
    find(".chosen").textContent = `${facts.name}: ${number(facts.frames)} ${seconds ? "seconds" : "frames"}; ` + (video.events.length
      ? video.events.map(([start, end, name]) => `${name} from ${number(start)} to ${number(end)}${unit}`).join(", ")
      : "no event");
    const shown = rows.filter((row) => video.scores[row]);
    // The last snippet's score holds until the video's end.
    const lines = shown.map((row) => [...video.scores[row], video.scores[row].at(-1)]);
    const [low, high] = range(shown);
    const room = find(".range").value === "unit" ? 0 : 0.05 * (high - low) || 0.05 * Math.abs(high) || 0.05;
    shownRange = [low - room, high + room];
    const digits = Math.max(2, 2 - Math.floor(Math.log10(shownRange[1] - shownRange[0])));
    const ends = [low, high].map((value) => value.toFixed(digits));
    const target = find(".canvas");
    const narrow = target.clientWidth < 600;
    const size = () => ({ width: Math.max(target.clientWidth, 260), height: target.clientWidth < 600 ? 240 : 320 });
    const axis = { stroke: style("--soft"), font: "12px system-ui, sans-serif", grid: { stroke: style("--line"), width: 1 }, ticks: { stroke: style("--line") } };
    const events = (u) => {
      const { ctx, bbox } = u;
      ctx.save();
      ctx.fillStyle = style("--event");
      for (const [start, end] of video.events) {
        const from = Math.max(u.valToPos(place(start), "x", true), bbox.left);
        const to = Math.min(u.valToPos(place(end), "x", true), bbox.left + bbox.width);
        if (to > bbox.left && from < bbox.left + bbox.width) ctx.fillRect(from, bbox.top, Math.max(to - from, 1), bbox.height);
      }
      ctx.restore();
    };
    if (plot) plot.destroy();
    plot = new uPlot({
      ...size(),
      // A snippet's score holds from its first frame on, so the read-out takes the start before the pointer.
      cursor: { dataIdx: (u, _, at, x) => (at > 0 && u.data[0][at] > x ? at - 1 : at) },
      scales: { x: { time: false }, y: { range: shownRange } },
      axes: [
        { ...axis, label: seconds ? "seconds" : "frame", labelSize: 20, labelFont: axis.font },
        { ...axis, label: `score, ${ends[0]} to ${ends[1]}`, labelSize: 20, labelFont: axis.font, size: (narrow ? 60 : MARGIN) - 20 },
      ],
      series: [
        { label: seconds ? "second" : "frame", value: (_, value) => (value == null ? "-" : value.toFixed(seconds ? 1 : 0)) },
        ...shown.map((row) => ({
          label: index.rows[row].name + (index.rows[row].scaled ? " (scaled)" : ""),
          stroke: style(`--c${row % COLOURS}`),
          dash: DASHES[Math.floor(row / COLOURS) % DASHES.length],
          width: 2,
          paths: uPlot.paths.stepped({ align: 1 }),
          points: { show: false },
          value: (_, value) => (value == null ? "-" : value.toFixed(Math.max(digits, 3))),
        })),
      ],
      legend: { markers: { dash: (u, line) => (line > 0 && shown[line - 1] >= COLOURS ? "dashed" : "solid") } },
      // Only when it is drawn does the plot know its place and range.
      hooks: { drawClear: [events], draw: [(u) => strips(u, rate)] },
    }, [video.edges.map(place), ...lines], target);
    plot.resized = () => plot.setSize(size());
  }

  // From the lowest to the highest score of the rows that show, or what the reader asks for.
  function range(shown) {
    const values = shown.flatMap((row) => video.scores[row]);
    if (find(".range").value === "unit" || !values.length) return [0, 1];
    return values.reduce(([least, most], value) => [Math.min(least, value), Math.max(most, value)], [Infinity, -Infinity]);
  }

  function save() {
    const rate = find(".unit").value === "seconds" ? Math.max(Number(find(".rate input").value) || 30, 0.001) : 1;
    const shown = rows.filter((row) => video.scores[row]);
    const { min, max } = plot.scales.x;
    const name = index.videos[video.number].name;
    window.harnessSave(`scores-${name}`, window.harnessFigure({
      edges: video.edges.map((frame) => frame / rate),
      events: video.events.map(([start, end, label]) => [start / rate, end / rate, label]),
      lines: shown.map((row) => ({ name: index.rows[row].name + (index.rows[row].scaled ? " (scaled)" : ""), key: row, values: video.scores[row] })),
      x: [min, max, rate === 1 ? "frame" : "seconds"],
      y: [...shownRange, "score"],
    }));
  }

  function strips(u, rate) {
    const box = find(".probabilities");
    if (!box) return;
    const columns = method.options.length ? video.probabilities[Number(method.value)] : null;
    box.hidden = !method.options.length;
    const holder = find(".strips");
    holder.replaceChildren();
    if (!columns) return;
    holder.setAttribute("aria-label", `Class probabilities of ${method.selectedOptions[0].text} over time`);
    const { min, max } = u.scales.x;
    const width = Math.max(Math.round(u.over.clientWidth), 1);
    const ratio = window.devicePixelRatio || 1;
    columns.forEach((column, label) => {
      const line = document.createElement("div");
      const name = Object.assign(document.createElement("span"), { textContent: index.classes[label], title: index.classes[label] });
      const canvas = document.createElement("canvas");
      canvas.width = width * ratio;
      canvas.height = 14 * ratio;
      canvas.style.width = `${width}px`;
      name.style.width = `${u.over.offsetLeft}px`;
      const context = canvas.getContext("2d");
      context.fillStyle = style("--accent");
      const at = (frame) => (frame / rate - min) / (max - min) * canvas.width;
      [...column].forEach((character, bin) => {
        context.globalAlpha = (character.charCodeAt(0) - FIRST) / LEVELS;
        const from = at(video.probabilityEdges[bin]);
        context.fillRect(from, 0, at(video.probabilityEdges[bin + 1]) - from, canvas.height);
      });
      line.append(name, canvas);
      holder.append(line);
    });
  }

  const step = (by) => {
    const options = [...select.options];
    const next = options[(select.selectedIndex + by + options.length) % options.length];
    select.value = next.value;
    load();
  };
  find(".previous").addEventListener("click", () => step(-1));
  find(".next").addEventListener("click", () => step(1));
  select.addEventListener("input", () => load());
  const redraw = () => { if (video) draw(); };
  [find(".unit"), find(".rate input"), find(".range"), find(".method")].forEach((control) => control && control.addEventListener("input", redraw));
  find(".save").addEventListener("click", () => { if (plot) save(); });
  document.addEventListener("themechange", redraw);
  document.addEventListener("rowschange", (event) => { rows = event.detail; redraw(); });
  new ResizeObserver(() => { if (plot) plot.resized(); }).observe(find(".canvas"));
  if (section.dataset.run) {
    let shared = null;
    let run = null;
    const ready = () => {
      if (!shared || !run) return;
      document.dispatchEvent(new CustomEvent("runloaded", { detail: { shared, run } }));
      const line = { name: section.dataset.name, there: true, scaled: false, classes: false };
      begin({ rows: [line], classes: shared.classes, videos: shared.videos, start: run.start }, () => { video = ofRun(shared, run); draw(); });
    };
    window.harnessVideos = (found) => { shared = found; ready(); };
    window.harnessRun = (found) => { run = found; ready(); };
    fetched(section.dataset.videos);
    fetched(section.dataset.run);
  } else {
    begin(JSON.parse(document.getElementById("timeline-data").textContent), () => fetched(`${section.dataset.folder}/${select.value}.js`));
  }
})();
