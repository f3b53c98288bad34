"use strict";
// The details of the submission that the address names, from the file that holds those of ids that begin alike.
(() => {
  const place = document.getElementById("submission");
  const known = {};
  const asked = new Set();

  function show() {
    const id = location.hash.slice(1);
    if (!/^[0-9a-f]{16}$/.test(id)) return;
    if (known[id]) {
      // Markup that was made with the page, in which every name is text.
      place.innerHTML = known[id];
      document.title = `${place.querySelector("h1").textContent}: submission`;
    } else if (asked.has(id.slice(0, 2))) {
      place.querySelector(".wait, .lead").textContent = "There is no such submission.";
    } else {
      const script = document.createElement("script");
      script.src = `${place.dataset.folder}${id.slice(0, 2)}.js`;
      script.addEventListener("error", show);
      asked.add(id.slice(0, 2));
      document.head.append(script);
    }
  }

  window.harnessSubmissions = (found) => { Object.assign(known, found); show(); };
  window.addEventListener("hashchange", show);
  show();
})();
