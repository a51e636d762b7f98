"use strict";
const rows = [...document.querySelectorAll("ol.talk li")];
const audio = document.querySelector("audio");
let until = Infinity;
document.getElementById("filter").addEventListener("input", (event) => {
  const wanted = event.target.value.toLowerCase().trim();
  for (const row of rows) row.hidden = !row.textContent.toLowerCase().includes(wanted);
});
if (audio) {
  document.querySelector("ol.talk").addEventListener("click", (event) => {
    const button = event.target.closest("button[data-at]");
    if (!button) return;
    until = Number(button.dataset.end);
    audio.currentTime = Number(button.dataset.at);
    audio.play();
  });
  audio.addEventListener("timeupdate", () => {
    if (audio.currentTime >= until) { audio.pause(); until = Infinity; }
  });
  audio.addEventListener("seeking", () => { if (audio.paused) until = Infinity; });
}
for (const chart of document.querySelectorAll(".timeline")) {
  chart.addEventListener("click", (event) => {
    const number = event.target.dataset.u;
    const row = number && document.querySelector(`li[data-n="${number}"]`);
    if (!row) return;
    location.hash = encodeURIComponent(row.id);
    row.querySelector("button")?.click();
  });
}
