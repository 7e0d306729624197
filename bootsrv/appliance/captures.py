"""The verbs on captures: a token that lets one machine upload itself once, and the line to type there."""

from __future__ import annotations

import secrets
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bootsrv.appliance.errors import translated
from bootsrv.errors import Invalid
from bootsrv.model import Node
from bootsrv.registry.registry import Registry
from images.versions import check_name

PURPOSE = "capture"
HOUR = 3600.0
LONGEST = 30 * 24.0  # hours


@dataclass(frozen=True, slots=True)
class CaptureToken:
    """`text` exists only here. `expires` is epoch seconds."""

    text: str
    name: str
    expires: float

    def line(self, base: str, words: Sequence[str] = ()) -> str:
        """What to type on the machine. `base` is our URL as the machine sees it."""
        extra = "".join(f" {shlex.quote(word)}" for word in words)
        return (
            f"curl -fsS {base}/agent | sudo python3 - capture --name {self.name} --token {self.text}{extra}"
        )


class Captures:
    """Verbs on captures."""

    def __init__(self, registry: Registry, clock: Callable[[], float]) -> None:
        self._registry, self._clock = registry, clock

    def token(
        self, name: str, comment: str = "", hours: float = 24.0, node: Node | None = None,
        kind: str = "tree", offline: bool = False,
    ) -> CaptureToken:  # fmt: skip
        """A token for one capture as the next version of `name`. Raises Invalid."""
        with translated():
            check_name(name)
        if not 0 < hours <= LONGEST:
            raise Invalid(f"a token is valid for up to {LONGEST:.0f} hours, not {hours:g}")
        now = self._clock()
        data: dict[str, Any] = {"name": name, "comment": comment, "kind": kind}
        if node is not None:
            data.update(node=node.id, offline=offline)
        text = self._registry.tokens.issue(PURPOSE, secrets.token_hex(8), now, hours * HOUR, data)
        return CaptureToken(text, name, now + hours * HOUR)

    def result(self, token: CaptureToken) -> Mapping[str, Any] | None:
        """What the token's capture made (`ref`, `files`, `bytes`, `added`), None while it has not."""
        found = self._registry.tokens.check(token.text, self._clock())
        published = found.data.get("published") if found is not None else None
        return published if isinstance(published, dict) else None
