"use strict";
// In the head, so that a chosen theme is there before the first line is drawn.
(() => {
  const KEY = "harness-theme";
  let chosen = "";
  // A browser may refuse storage to pages from disk; the choice then lasts for one page.
  try { chosen = localStorage.getItem(KEY) || ""; } catch { /* as above */ }
  const apply = (theme) => {
    if (theme) document.documentElement.dataset.theme = theme;
    else delete document.documentElement.dataset.theme;
    document.dispatchEvent(new Event("themechange"));
  };
  apply(chosen);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => document.dispatchEvent(new Event("themechange")));
  document.addEventListener("DOMContentLoaded", () => {
    const select = document.getElementById("theme");
    select.value = chosen;
    select.addEventListener("change", () => {
      try { localStorage.setItem(KEY, select.value); } catch { /* as above */ }
      apply(select.value);
    });
  });
})();
