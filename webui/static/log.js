// The console log of a node, followed as it grows. It stays where the reader scrolled to, or at its end.

const SOON = 1500;
const LATE = 12000; // while nothing comes
const MOST = 400000; // characters kept on the page

export function startLog() {
  const log = document.getElementById("log");
  if (!log) return;
  log.scrollTop = log.scrollHeight;
  let pause = SOON;
  const again = () => setTimeout(look, pause);
  async function look() {
    if (document.hidden) return again();
    try {
      const answer = await fetch(`${log.dataset.more}?since=${log.dataset.last}`, { credentials: "same-origin" });
      if (!answer.ok) throw new Error(answer.status);
      const { last, text } = await answer.json();
      log.dataset.last = last;
      pause = text ? SOON : Math.min(LATE, pause * 1.3);
      if (text) append(log, text);
    } catch {
      pause = LATE; // the server is away: the bar says so
    }
    again();
  }
  again();
}

function append(log, text) {
  const atEnd = log.hidden || log.scrollHeight - log.scrollTop - log.clientHeight < 40;
  log.hidden = false;
  document.getElementById("log-empty")?.remove();
  log.textContent = (log.textContent + text).slice(-MOST);
  if (atEnd) log.scrollTop = log.scrollHeight;
}
