// Ties the player to the curve: where the video is, what its snippet scored, and a click that goes there.
"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const player = document.getElementById("player");
  if (!player || !data.edges.length) return;
  const end = data.edges[data.edges.length - 1];
  const curve = document.querySelector("#curve svg");
  const head = curve.querySelector(".head");
  const now = document.querySelector(".now");
  const list = document.getElementById("classes");
  const width = curve.viewBox.baseVal.width, height = curve.viewBox.baseVal.height;
  now.hidden = false;
  head.removeAttribute("hidden");

  const snippetAt = (seconds) => {
    let low = 0, high = data.scores.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (data.edges[middle] <= seconds) low = middle; else high = middle - 1;
    }
    return low;
  };

  const show = () => {
    const seconds = Math.min(player.currentTime, end);
    const at = snippetAt(seconds);
    const x = (width * seconds / end).toFixed(1);
    head.setAttribute("d", `M${x} 0V${height}`);
    document.getElementById("time").textContent =
      `${Math.floor(seconds / 60)}:${(seconds % 60).toFixed(1).padStart(4, "0")}`;
    document.getElementById("score").textContent = Number(data.scores[at].toPrecision(4));
    list.replaceChildren();
    if (!data.probabilities.length) return;
    data.classes.map((name, index) => [name, data.probabilities[at][index]])
      .sort((a, b) => b[1] - a[1]).slice(0, 6)
      .forEach(([name, part]) => {
        const row = document.createElement("li"), word = document.createElement("span"), share = document.createElement("span");
        row.style.setProperty("--part", `${(100 * part).toFixed(1)}%`);
        word.textContent = name;
        share.textContent = `${(100 * part).toFixed(0)}%`;
        row.append(word, share);
        list.append(row);
      });
  };

  const go = (seconds) => { player.currentTime = seconds; };
  curve.addEventListener("click", (event) => {
    const box = curve.getBoundingClientRect();
    go(end * (event.clientX - box.left) / box.width);
  });
  document.querySelectorAll("[data-seek]").forEach((button) =>
    button.addEventListener("click", () => go(Number(button.dataset.seek))));
  player.addEventListener("timeupdate", show);
  player.addEventListener("seeked", show);
  show();
})();
