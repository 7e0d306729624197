// Times in the reader's own zone, and ages that keep counting.

const clock = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" });
const moment = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });

function age(seconds) {
  if (seconds < 5) return "just now";
  if (seconds < 60) return `${Math.floor(seconds)} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 172800) return `${Math.floor(seconds / 3600)} h ago`;
  return `${Math.floor(seconds / 86400)} d ago`;
}

/** A duration as the server writes it: `0.4 s`, `48 s`, `3 min 05 s`, `2 h 10 min`. */
export function span(seconds) {
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${String(whole % 60).padStart(2, "0")} s`;
  return `${Math.floor(whole / 3600)} h ${String(Math.floor((whole % 3600) / 60)).padStart(2, "0")} min`;
}

export function paint(root) {
  for (const time of root.querySelectorAll("time[data-ago]")) {
    const text = age((Date.now() - Date.parse(time.dateTime)) / 1000);
    if (time.textContent !== text) time.textContent = text;
    if (!time.dataset.local) {
      time.dataset.local = "1";
      time.title = moment.format(new Date(time.dateTime));
    }
  }
  for (const time of root.querySelectorAll("time[data-local='']")) {
    time.dataset.local = "1";
    const date = new Date(time.dateTime);
    const today = time.dataset.short !== undefined && date.toDateString() === new Date().toDateString();
    time.title = moment.format(date);
    time.textContent = (today ? clock : moment).format(date);
  }
}

export function startTimes() {
  paint(document);
  setInterval(() => paint(document), 1000);
}
