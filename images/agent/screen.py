"""What the machine's own screen shows: who it is, the steps with marks, a progress bar, the last lines.

Pure: state in, lines out. The console decides where they go. Plain ASCII, since a text console early at
boot has no other glyphs to rely on. Python 3.8, standard library only.
"""

from __future__ import annotations

WIDTH = 78
LAST_LINES = 8
MARKS = {"waiting": "  ", "running": "->", "done": "ok", "failed": "!!"}
COLOURS = {"waiting": "2", "running": "1;36", "done": "32", "failed": "1;31"}


class Step:
    """One line of the list."""

    def __init__(self, name: str, state: str, text: str) -> None:
        self.name, self.state, self.text = name, state, text


class Screen:
    """All that is shown. (No dataclass: importing that module costs a slow machine a quarter of a second.)"""

    def __init__(self, title: str = "bootsrv imager") -> None:
        self.title = title
        self.facts: list[str] = []
        self.steps: list[Step] = []
        self.done = self.total = 0
        self.rate = 0.0  # bytes per second
        self.status, self.error = "starting", ""
        self.log: list[str] = []

    def say(self, line: str) -> None:
        """Adds a line to the tail that is shown."""
        self.log = [*self.log, line][-LAST_LINES:]

    def step(self, name: str, state: str, text: str = "") -> None:
        """Marks a step; one that is not in the list yet is added."""
        for step in self.steps:
            if step.name == name:
                step.state, step.text = state, text or step.text
                return
        self.steps.append(Step(name, state, text))

    def render(self, colour: bool = True) -> list[str]:
        """The screen's lines, top to bottom."""
        lines = [_paint(f" {self.title} ".ljust(WIDTH), "1;37;44", colour), ""]
        lines += [f"  {fact}"[:WIDTH] for fact in self.facts]
        if self.steps:
            lines.append("")
        for step in self.steps:
            row = f"  [{MARKS[step.state]}] {step.name:<12} {step.text}"[:WIDTH]
            lines.append(_paint(row, COLOURS[step.state], colour))
        if self.total:
            lines += ["", "  " + bar(self.done, self.total, self.rate)]
        lines += ["", _paint(f"  {self.status}"[:WIDTH], "1", colour)]
        if self.error:
            lines += ["", *(_paint(f"  {piece}", "1;31", colour) for piece in wrap(self.error, WIDTH - 4))]
        return [*lines, "", *(f"  {line}"[:WIDTH] for line in self.log)]


def bar(done: int, total: int, rate: float, width: int = 30) -> str:
    """[#####-----]  50 %   120 / 240 MB   35.0 MB/s   0:03 left."""
    share = min(1.0, done / total) if total else 0.0
    filled = int(share * width)
    left = ""
    if rate > 0 and done < total:
        seconds = int((total - done) / rate)
        left = f"   {seconds // 60}:{seconds % 60:02d} left"
    body = "#" * filled + "-" * (width - filled)
    return f"[{body}] {share:4.0%}  {done / 1e6:.0f} / {total / 1e6:.0f} MB  {rate / 1e6:.1f} MB/s{left}"


def wrap(text: str, width: int) -> list[str]:
    """Words over lines of at most `width`; a longer word is cut."""
    lines, line = [], ""
    for word in text.split():
        if line and len(line) + 1 + len(word) > width:
            lines.append(line)
            line = ""
        line = f"{line} {word}".strip()
        while len(line) > width:
            lines.append(line[:width])
            line = line[width:]
    return [*lines, line] if line else lines


def _paint(text: str, code: str, colour: bool) -> str:
    return f"\033[{code}m{text}\033[0m" if colour else text
