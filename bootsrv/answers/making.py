"""Makes a node's answers: from its layers to a profile, from that to the text, checked by what will read it.

Nothing is stored: what a node gets is decided when it is asked for, so no text can drift from the registry.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from ipaddress import IPv4Interface

from bootsrv.answers.checking import Checker
from bootsrv.answers.facts import Facts
from bootsrv.answers.files import Rendered
from bootsrv.answers.stack import Layer, Ref, Stack, parsed, read_ref, stacked
from bootsrv.config import Config
from bootsrv.listening import our_interfaces
from bootsrv.model import Node
from bootsrv.registry.registry import Registry
from pxe.answers.errors import Finding
from pxe.answers.profile import Profile
from pxe.answers.targets import Target
from pxe.errors import SettingError

Change = Callable[[Profile, Target], Profile]


@dataclass(frozen=True, slots=True)
class Made:
    """The answers of one node. `profile` and `target` are None where the layers make no profile."""

    node: Node
    rendered: Rendered
    profile: Profile | None = None
    target: Target | None = None

    @property
    def good(self) -> bool:
        return self.rendered.good


@dataclass(frozen=True, slots=True)
class Draft:
    """A text in place of the stored one."""

    ref: Ref
    text: str


class Maker:
    """Threads may share it."""

    def __init__(self, config: Config, registry: Registry) -> None:
        self._config, self._registry = config, registry
        self._checker = Checker()
        self._ours: list[IPv4Interface] | None = None

    def close(self) -> None:
        """End the parser's process."""
        self._checker.close()

    def make(
        self, node: Node, profile: str, secrets: Mapping[str, str], draft: Draft | None = None,
        change: Change | None = None, server: str = "",
    ) -> Made:  # fmt: skip
        """A node's answers by a stored profile. `change` may add to the profile; `server`: our address as the
        node sees it, else we guess. Raises Invalid for a text that is no TOML."""
        stack: Stack | None = None
        try:
            stack = self.stack(node, profile, draft, server)
            made = stack.profile()
        except SettingError as error:
            found = stack.faults() if stack is not None else [Finding(error.reason, error.key)]
            return Made(node, Rendered("", tuple(found)), None, stack.target if stack is not None else None)
        if change is not None:
            made = change(made, stack.target)
        rendered = self._checker.render(made, stack.target, secrets)
        findings = tuple(map(stack.blamed, rendered.findings))
        return Made(node, replace(rendered, findings=findings), made, stack.target)

    def stack(self, node: Node, profile: str, draft: Draft | None = None, server: str = "") -> Stack:
        """The layers of a node. Raises SettingError where no target is named, Invalid."""

        def found(ref: str) -> Layer | None:
            asked = read_ref(ref)
            if draft is not None and draft.ref == asked:
                return Layer(ref, parsed(draft.text, ref))
            stored = self._registry.profiles.get(asked.kind, asked.name)
            return Layer(ref, _cached(stored.text, ref)) if stored is not None else None

        own = [profile, *(f"group:{name}" for name in sorted(node.groups))]
        own += [f"node:{node.name}"] if node.id else []
        layers = [layer for ref in own if (layer := found(ref)) is not None]
        facts = Facts(node, self._config, self._registry, server or self._server(node))
        return stacked(facts.layer, found, layers, facts.variables())

    def _server(self, node: Node) -> str:
        if self._ours is None:
            self._ours = our_interfaces(self._config)
        near = (own.ip for own in self._ours if node.address is not None and node.address in own.network)
        return str(next(near, "") or next((own.ip for own in self._ours), self._config.http.address or ""))


@lru_cache(maxsize=256)
def _cached(text: str, ref: str) -> Mapping[str, object]:
    """Stored texts are read again for every node; nobody changes what comes of them."""
    return parsed(text, ref)
