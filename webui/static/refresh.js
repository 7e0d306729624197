// Keeps the server-rendered parts of a page up to date: after events, the same page is fetched again and only
// the parts marked data-live (and inside them the items marked data-key) that differ are replaced. So there is one
// place that knows how things look: the templates.

import { onEvent } from "./stream.js";
import { paint } from "./times.js";

const QUIET_MS = 250; // events come in bursts: wait for the burst to end
const LEAST_MS = 1200; // and never ask more often than this
const seen = new WeakMap(); // element -> the server's text for it

// Ages count by themselves and progress is painted from events: neither makes a part "different".
const essence = (element) =>
  element.outerHTML.replace(/(<time[^>]*>)[^<]*/g, "$1").replace(/<div class="meter"[\s\S]*?<\/div>\s*<\/div>/g, "");

function remember(root) {
  for (const element of root.querySelectorAll("[data-live], [data-key]")) seen.set(element, essence(element));
}

function keep(old, fresh) {
  for (const box of old.querySelectorAll("input[type=checkbox]:checked")) {
    const twin = fresh.querySelector(`input[name="${box.name}"][value="${CSS.escape(box.value)}"]`);
    if (twin) twin.checked = true;
  }
  for (const details of old.querySelectorAll("details[id]")) {
    const twin = fresh.querySelector(`#${CSS.escape(details.id)}`);
    if (twin) twin.open = details.open;
  }
}

function refocus(mark) {
  if (mark && !document.activeElement?.matches(mark)) document.querySelector(mark)?.focus({ preventScroll: true });
}

function replace(old, fresh) {
  const before = seen.get(old) ?? essence(old);
  const after = essence(fresh);
  if (before === after) return;
  const active = old.contains(document.activeElement) ? document.activeElement : null;
  if (active?.matches("input:not([type=checkbox]), select, textarea")) return; // never under somebody's fingers
  const mark = active?.id ? `#${CSS.escape(active.id)}` : active?.href ? `a[href="${active.getAttribute("href")}"]` : null;
  const adopted = document.adoptNode(fresh);
  keep(old, adopted);
  seen.set(adopted, after);
  old.replaceWith(adopted);
  remember(adopted);
  paint(adopted);
  refocus(mark);
}

function merge(old, fresh) {
  if (!fresh.querySelector("[data-key]") || !old.querySelector("[data-key]")) {
    replace(old, fresh);
    return;
  }
  const current = new Map([...old.querySelectorAll("[data-key]")].map((item) => [item.dataset.key, item]));
  const wanted = [...fresh.querySelectorAll("[data-key]")];
  const same = wanted.length === current.size && wanted.every((item, at) => [...current.keys()][at] === item.dataset.key);
  const frame = (element) => {
    const copy = element.cloneNode(true);
    copy.querySelectorAll("[data-key]").forEach((item) => item.remove());
    return essence(copy).replace(/\s+/g, " ");
  };
  if (!same || frame(old) !== frame(fresh)) {
    replace(old, fresh);
    return;
  }
  for (const item of wanted) replace(current.get(item.dataset.key), item);
}

let timer = 0;
let last = 0;
let running = false;

async function refresh() {
  timer = 0;
  if (running) return schedule();
  running = true;
  last = Date.now();
  try {
    const answer = await fetch(location.href, { credentials: "same-origin" });
    if (answer.redirected) return location.reload(); // logged out: the login page says so
    if (!answer.ok) return;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    for (const old of document.querySelectorAll("[data-live]")) {
      const fresh = page.querySelector(`[data-live="${old.dataset.live}"]`);
      if (fresh) merge(old, fresh);
    }
  } catch {
    schedule(); // the server is restarting: the stream says "Reconnecting" meanwhile
  } finally {
    running = false;
  }
}

function schedule() {
  if (timer || document.hidden) return;
  timer = setTimeout(refresh, Math.max(QUIET_MS, last + LEAST_MS - Date.now()));
}

export function startRefresh() {
  if (!document.querySelector("[data-live]")) return;
  remember(document);
  const only = document.body.querySelector("[data-only-node]")?.dataset.onlyNode;
  onEvent((event) => {
    if (event.kind === "deploy.progress" && document.querySelector(`[data-progress="${event.node}"]`)) return;
    if (only && event.node !== undefined && String(event.node) !== only) return;
    schedule();
  });
  document.addEventListener("visibilitychange", () => document.hidden || schedule());
}
