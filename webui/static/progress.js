// Progress bars move with every deploy.progress event; nothing is fetched for it.

import { onEvent } from "./stream.js";
import { span } from "./times.js";

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB"];

function size(count) {
  let unit = 0;
  while (count >= 1024 && unit < UNITS.length - 1) {
    count /= 1024;
    unit += 1;
  }
  return `${count.toFixed(unit === 0 || count >= 100 ? 0 : 1).replace(/\.0$/, "")} ${UNITS[unit]}`;
}

function paintMeter(meter, data) {
  const [done, total, rate] = [data.done, data.total, data.rate].map((value) => Number(value) || 0);
  const bar = meter.querySelector("progress");
  const set = (part, text) => (meter.querySelector(part).textContent = text);
  if (total > 0) {
    bar.max = 1;
    bar.value = Math.min(1, done / total);
    set(".pct", `${done >= total ? 100 : Math.min(99, Math.floor((done * 100) / total))} %`);
    set(".bytes", `${size(done)} of ${size(total)}`);
  } else {
    bar.removeAttribute("value");
    set(".bytes", size(done));
  }
  set(".rate", rate > 0 ? `${size(rate)}/s` : "");
  set(".eta", rate > 0 && total > done ? `${span((total - done) / rate)} left` : "");
}

export function startProgress() {
  const announced = new Map();
  onEvent((event) => {
    if (event.kind !== "deploy.progress") return;
    const { done, total } = event.data;
    for (const meter of document.querySelectorAll(`[data-progress="${event.node}"]`)) paintMeter(meter, event.data);
    // For screen readers: a word at every quarter, not at every percent.
    const quarter = total > 0 ? Math.floor((done * 4) / total) * 25 : 0;
    if (quarter && announced.get(event.node) !== quarter) {
      announced.set(event.node, quarter);
      document.getElementById("announce").textContent = `${event.name || event.mac}: ${quarter} percent written`;
    }
  });
}
