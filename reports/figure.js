"use strict";
// Score curves as an SVG of their own, for a paper: black on white, with the range that the page shows.
(() => {
  const WIDTH = 640, HEIGHT = 260, LEFT = 58, RIGHT = 12, TOP = 12, BOTTOM = 44;
  const COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#B07C00", "#3B9BD6", "#7f8790"];
  const DASHES = ["", "8 4", "2 3"];
  const text = (value) => String(value).replace(/[&<>"]/g, (each) => `&#${each.charCodeAt(0)};`);
  const round = (value) => Number(value.toFixed(2));

  function ticks(low, high) {
    const raw = (high - low) / 5;
    const power = 10 ** Math.floor(Math.log10(raw));
    const step = [1, 2, 5, 10].map((each) => each * power).find((each) => each >= raw * 0.999);
    const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
    const found = [];
    for (let at = Math.ceil(low / step - 1e-9); at * step <= high + 1e-9 * step; at += 1) found.push([at * step, (at * step).toFixed(digits)]);
    return found;
  }

  // `lines`: [{name, key, values}], one value per step between `edges`; `x` and `y` are [low, high, label].
  window.harnessFigure = ({ edges, lines, events, x, y }) => {
    const across = (value) => round(LEFT + (value - x[0]) / (x[1] - x[0]) * (WIDTH - LEFT - RIGHT));
    const up = (value) => round(HEIGHT - BOTTOM - (value - y[0]) / (y[1] - y[0]) * (HEIGHT - TOP - BOTTOM));
    const rows = Math.ceil(lines.length / 3);
    const parts = [`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT + 18 * rows}" width="${WIDTH}" height="${HEIGHT + 18 * rows}" font-family="Helvetica, Arial, sans-serif" font-size="11">`];
    parts.push(`<rect width="100%" height="100%" fill="#fff"/>`);
    // A drawing within the drawing cuts off what lies outside of the axes.
    const inside = (drawn) => `<svg x="${LEFT}" y="${TOP}" width="${WIDTH - LEFT - RIGHT}" height="${HEIGHT - TOP - BOTTOM}" viewBox="${LEFT} ${TOP} ${WIDTH - LEFT - RIGHT} ${HEIGHT - TOP - BOTTOM}">${drawn}</svg>`;
    for (const [from, to, name] of events) parts.push(inside(`<rect x="${across(from)}" y="${TOP}" width="${round(across(to) - across(from))}" height="${HEIGHT - TOP - BOTTOM}" fill="#f6dccb"><title>${text(name)}</title></rect>`));
    for (const [value, label] of ticks(x[0], x[1])) parts.push(`<path d="M${across(value)} ${HEIGHT - BOTTOM}v4" stroke="#333"/><text x="${across(value)}" y="${HEIGHT - BOTTOM + 16}" text-anchor="middle">${label}</text>`);
    for (const [value, label] of ticks(y[0], y[1])) parts.push(`<path d="M${LEFT} ${up(value)}h-4" stroke="#333"/><text x="${LEFT - 7}" y="${up(value) + 4}" text-anchor="end">${label}</text>`);
    parts.push(`<path d="M${LEFT} ${TOP}V${HEIGHT - BOTTOM}H${WIDTH - RIGHT}" fill="none" stroke="#333"/>`);
    parts.push(`<text x="${(LEFT + WIDTH - RIGHT) / 2}" y="${HEIGHT - 12}" text-anchor="middle">${text(x[2])}</text><text transform="rotate(-90)" x="${-(TOP + HEIGHT - BOTTOM) / 2}" y="14" text-anchor="middle">${text(y[2])}</text>`);
    lines.forEach(({ name, key, values }, index) => {
      const stroke = `fill="none" stroke="${COLOURS[key % COLOURS.length]}" stroke-width="1.5" stroke-dasharray="${DASHES[Math.floor(key / COLOURS.length) % DASHES.length]}"`;
      const path = values.map((value, at) => (value == null ? "" : `${at && values[at - 1] != null ? "V" : `M${across(edges[at])} `}${up(value)}H${across(edges[at + 1])}`)).join("");
      parts.push(inside(`<path d="${path}" ${stroke}/>`));
      const [left, top] = [LEFT + (index % 3) * 190, HEIGHT + 6 + 18 * Math.floor(index / 3)];
      parts.push(`<path d="M${left} ${top}h22" ${stroke}/><text x="${left + 28}" y="${top + 4}">${text(name)}</text>`);
    });
    return `${parts.join("\n")}\n</svg>\n`;
  };

  window.harnessSave = (name, content) => {
    const address = URL.createObjectURL(new Blob([content], { type: "image/svg+xml" }));
    const link = Object.assign(document.createElement("a"), { href: address, download: `${name.replace(/[^A-Za-z0-9._-]+/g, "-")}.svg` });
    document.body.append(link);
    link.click();
    link.remove();
    setTimeout(() => URL.revokeObjectURL(address), 1000);
  };
})();
