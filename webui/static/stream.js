// The one live connection of a page: server-sent events, shown as "Live" in the bar.
// The browser reconnects by itself and resumes after the last event it saw (Last-Event-ID).

const listeners = [];
let source = null;

/** Calls `listener(event)` for every event of the registry: {id, at, node, name, mac, boot, kind, text, data}. */
export function onEvent(listener) {
  listeners.push(listener);
}

export function startStream() {
  const { stream } = document.body.dataset;
  const link = document.getElementById("link");
  const say = (state, text) => {
    link.hidden = false;
    if (link.dataset.state === state) return;
    link.dataset.state = state;
    link.textContent = text;
  };
  const open = () => {
    source = new EventSource(`${stream}?since=${encodeURIComponent(document.body.dataset.since)}`);
    source.onopen = () => say("live", "Live");
    source.onerror = () => {
      say("lost", "Reconnecting");
      // CLOSED means the server answered with an error (logged out, too many pages): try again, but gently.
      if (source.readyState === EventSource.CLOSED) setTimeout(open, 5000);
    };
    source.onmessage = (message) => {
      document.body.dataset.since = message.lastEventId;
      const event = JSON.parse(message.data);
      for (const listener of listeners) listener(event);
    };
    // The server lost sight of where we were: everything on the page may be old.
    source.addEventListener("reset", () => listeners.forEach((listener) => listener({ kind: "reset" })));
  };
  open();
  addEventListener("pagehide", () => source.close());
  addEventListener("pageshow", (shown) => shown.persisted && location.reload());
}
