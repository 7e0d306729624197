// Lists that grow: the feed of the events page.

import { onEvent } from "./stream.js";
import { paint } from "./times.js";

const MOST = 500; // rows kept on the page

function row(event, feed) {
  const item = document.createElement("li");
  item.className = "fresh" + (/failed|error/.test(event.kind) ? " bad" : "");
  const time = document.createElement("time");
  time.dateTime = new Date(event.at * 1000).toISOString();
  time.dataset.local = "";
  time.dataset.short = "";
  const who = event.node ? document.createElement("a") : document.createElement("span");
  if (event.node) who.href = feed.dataset.node.replace("/0", `/${event.node}`);
  who.textContent = event.name || event.mac || "server";
  const said = document.createElement("span");
  said.className = "said";
  said.textContent = event.text;
  const kind = document.createElement("span");
  kind.className = "kind";
  kind.textContent = event.kind;
  item.append(time, who, said, kind);
  item.dataset.event = event.kind;
  item.dataset.nodeId = event.node ?? "";
  return item;
}

export function startFeed() {
  const feed = document.getElementById("feed");
  if (!feed) return;
  onEvent((event) => {
    if (!event.id) return;
    const first = feed.firstElementChild;
    const item = row(event, feed);
    const again = event.kind === "deploy.progress" && first?.dataset.event === event.kind && first.dataset.nodeId === String(event.node);
    if (again) first.replaceWith(item); // one moving line per copy instead of hundreds
    else feed.prepend(item);
    paint(item.parentElement);
    while (feed.children.length > MOST) feed.lastElementChild.remove();
    document.getElementById("feed-empty")?.remove();
  });
}
