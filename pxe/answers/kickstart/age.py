"""Since when and until when the target's installer knows a word, in the two lines of one history.

Written as `F12 R6` (from Fedora 12 and RHEL 6 on) and `F34 R9` (gone in those). Facts: pykickstart's
version tables and Red Hat's own manuals; the real parser has the last word wherever it knows the version.
"""

from __future__ import annotations

from dataclasses import dataclass

from pxe.answers.targets import OLDEST, Target

_NEVER = 999
_NAMES = {"fedora": "Fedora", "rhel": "RHEL"}


def _pair(text: str, default: int) -> dict[str, int]:
    found = {"F": default, "R": default}
    for word in text.split():
        found[word[0]] = int(word[1:])
    return {"fedora": found["F"], "rhel": found["R"]}


@dataclass(frozen=True, slots=True)
class Age:
    """The life of a word. `instead`: what replaces it, for the message."""

    since: str = ""
    until: str = ""
    instead: str = ""

    def refusal(self, word: str, target: Target) -> str | None:
        """Why the target does not take the word, or None when it does."""
        first, gone = _pair(self.since, 0)[target.line], _pair(self.until, _NEVER)[target.line]
        family = _NAMES[target.line]
        hint = f"; {self.instead}" if self.instead else ""
        if target.major >= gone:
            return f"{word} is gone since {family} {gone}{hint}"
        if target.major < first:
            name = "Red Hat Linux" if target.major == OLDEST and target.line == "fedora" else target.name
            return f"{name} does not know {word}: it came with {family} {first}{hint}"
        return None


ALWAYS = Age()
