"""The verbs on profiles and their layers: save, look, compare, render for a node, check.

A text is refused at save when an installation that it is part of could no longer be written for its target:
for a node that uses it, or for an example where none does. What one node's own values break is found when
that node's answers are made, before anything is served. Secrets are put in only where they are asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from bootsrv import names
from bootsrv.answers.facts import example
from bootsrv.answers.files import difference
from bootsrv.answers.making import Change, Draft, Made, Maker
from bootsrv.answers.stack import Ref, Stack, known_distribution, parsed, read_ref
from bootsrv.appliance.secrets import Secrets
from bootsrv.config import Config
from bootsrv.errors import Conflict, Invalid, Needed, NotFound
from bootsrv.model import AnswerText, Node
from bootsrv.registry.registry import Registry
from pxe.answers.errors import Finding
from pxe.answers.text import is_line
from pxe.errors import SettingError

MOST = 1 << 20  # characters of one text
LONGEST_COMMENT = 200


class Unusable(Invalid):
    """A text that would leave an installation that cannot be written; nothing was saved."""

    def __init__(self, what: str, findings: Sequence[Finding]) -> None:
        first = next(one for one in findings if not one.warning)
        more = sum(not one.warning for one in findings) - 1
        super().__init__(f"{what}: {first}" + (f" (and {more} more)" if more else ""))
        self.findings = tuple(findings)


class Profiles:
    """Verbs on profiles and layers."""

    def __init__(self, config: Config, registry: Registry, clock: Callable[[], float]) -> None:
        self._config, self._registry, self._clock = config, registry, clock
        self._maker = Maker(config, registry)
        self.secrets = Secrets(registry, clock)

    # --- look

    def list(self) -> Sequence[AnswerText]:
        """Every text, in its newest version: profiles and layers."""
        return self._registry.profiles.newest()

    def profiles(self) -> Sequence[str]:
        """The names of the profiles."""
        return [one.name for one in self.list() if one.kind == "profile"]

    def get(self, ref: str) -> AnswerText:
        """A text by its name, or one of its versions by NAME@NUMBER. Raises NotFound."""
        asked = read_ref(ref)
        found = self._registry.profiles.get(asked.kind, asked.name, asked.number)
        if found is None:
            known = ", ".join(self.profiles()) or "none yet"
            raise NotFound(f"there is no {_what(asked)}; profiles: {known}")
        return found

    def history(self, ref: str) -> Sequence[AnswerText]:
        """All versions, the newest first. Raises NotFound."""
        found = self.get(ref)
        return self._registry.profiles.history(found.kind, found.name)

    def diff(self, one: str, other: str) -> str:
        """What differs between two texts, as a unified diff; empty when nothing does."""
        before, after = self.get(one), self.get(other)
        return difference(
            before.text, after.text, f"{before.ref}@{before.number}", f"{after.ref}@{after.number}"
        )

    def users_of(self, ref: str) -> Sequence[Node]:
        """The nodes whose answers this text is part of."""
        asked = read_ref(ref)
        nodes = [node for node in self._registry.nodes.list() if node.name and node.answers]
        if asked.kind == "profile":
            return [node for node in nodes if node.answers == asked.name]
        if asked.kind == "group":
            return [node for node in nodes if asked.name in node.groups]
        if asked.kind == "node":
            return [node for node in nodes if node.name == asked.name]
        wanted = str(replace(asked, number=None))
        return [node for node in nodes if wanted in self._layers_of(node)]

    # --- change

    def save(
        self, ref: str, text: str, author: str, comment: str = "", base: int | None = None
    ) -> AnswerText:
        """A new version of a text, which is a new one's first. The same text again makes none. `base`: the
        version that was changed, 0 for none; a newer one is a Conflict. Raises Invalid, or Unusable with
        every finding."""
        asked = self._writable(read_ref(ref))
        if len(text) > MOST:
            raise Invalid(f"{len(text)} characters are too many for a profile")
        comment = comment.strip()
        if len(comment) > LONGEST_COMMENT or not is_line(comment):
            raise Invalid(f"the comment must be one line of at most {LONGEST_COMMENT} characters")
        with self._registry.transaction():
            before = self._registry.profiles.get(asked.kind, asked.name)
            if before is not None and before.text == text:
                return before
            newest = before.number if before is not None else 0
            if base is not None and base != newest:
                by = f" by {before.author}" if before is not None else ""
                raise Conflict(f"{asked} has version {newest}{by} meanwhile: look at it first")
            self._still_good(Draft(asked, text))
            return self._registry.profiles.add(
                asked.kind, asked.name, text, self._clock(), names.printable(author), comment
            )

    def remove(self, ref: str) -> None:
        """A text with all of its versions. Raises Conflict while it is used."""
        found = self.get(ref)
        asked = Ref(found.kind, found.name)
        with self._registry.transaction():
            if found.kind == "profile":
                self._unused(found.name)
            else:
                self._still_good(Draft(asked, ""))
            self._registry.profiles.remove(found.kind, found.name)

    def _writable(self, asked: Ref) -> Ref:
        if asked.number is not None:
            raise Invalid(f"{asked}: a version never changes; save it without the @{asked.number}")
        if asked.kind == "distribution":
            known_distribution(asked.name)
        if asked.kind == "node" and self._registry.nodes.by_name(asked.name) is None:
            raise NotFound(f"there is no node {asked.name!r}")
        return asked

    def _unused(self, name: str) -> None:
        nodes = self._registry.nodes
        own = [node.name for node in nodes.list() if node.profile == name and node.name]
        groups = [f"@{one}" for one in sorted({*nodes.groups(), *nodes.all_group_options()})
                  if nodes.group_boot(one).profile == name]  # fmt: skip
        if used := [*groups, *own]:
            more = f" and {len(used) - 5} more" if len(used) > 5 else ""
            raise Conflict(f"profile {name} is used by {', '.join(map(str, used[:5]))}{more}: "
                           "give them another one first")  # fmt: skip

    def _still_good(self, draft: Draft) -> None:
        """Raises Unusable when a draft cannot take its place."""
        for profile, node in self._touched(draft.ref):
            made = self._masked(node, profile, draft)
            if not made.good:
                raise Unusable(
                    f"for {node.name} by {profile}" if node.id else profile, made.rendered.findings
                )
        parsed(draft.text, str(draft.ref))

    def _touched(self, ref: Ref) -> Iterator[tuple[str, Node]]:
        """One installation for each profile that a text is part of."""
        if ref.kind == "profile":
            yield ref.name, next(iter(self.users_of(ref.name)), example(self._config))
            return
        if ref.kind in ("group", "node"):
            met = {node.answers or "": node for node in reversed(self.users_of(str(ref)))}
            yield from met.items()
            return
        for name in self.profiles():
            yield name, next(iter(self.users_of(name)), example(self._config))

    # --- make

    def render(
        self, node: Node, profile: str | None = None, secrets: bool = False, change: Change | None = None,
        server: str = "",
    ) -> Made:  # fmt: skip
        """A node's answers by its profile, or by another one, checked by what will read them. With `secrets`
        they are as they are served; without, each is masked. `change` may add to the profile. Raises Invalid
        for a node without a profile, NotFound for a profile that is not there."""
        hidden = self.secrets.of(node, not secrets)
        return self._maker.make(node, self._of(node, profile), hidden, None, change, server)

    def example(self, profile: str) -> Made:
        """A profile's answers for a node that nobody has."""
        return self._masked(example(self._config), self.get(profile).name, None)

    def preview(self, ref: str, text: str, node: Node | None = None) -> Made:
        """What a node's answers would be with another text in this place; nothing is saved. Without a node:
        the first that it is for, else an example."""
        asked = self._writable(read_ref(ref))
        touched = next(iter(self._touched(asked)), None)
        if node is None and touched is None:
            raise Invalid(f"no node with a profile uses {asked} yet; choose a node to see what it makes")
        if node is None:
            node = touched[1] if touched else example(self._config)
        profile = asked.name if asked.kind == "profile" else node.answers or (touched[0] if touched else "")
        return self._masked(node, profile, Draft(asked, text))

    def stack(self, node: Node, profile: str | None = None) -> Stack:
        """The layers of a node. Raises Invalid, NotFound, SettingError."""
        return self._maker.stack(node, self._of(node, profile))

    def close(self) -> None:
        """End the parser's process."""
        self._maker.close()

    def _masked(self, node: Node, profile: str, draft: Draft | None) -> Made:
        return self._maker.make(node, profile, self.secrets.of(node, True), draft)

    def _of(self, node: Node, profile: str | None) -> str:
        chosen = profile or node.answers
        if chosen is None:
            raise Needed(f"{node.name} has no profile", "profile")
        return self.get(chosen).name

    def _layers_of(self, node: Node) -> set[str]:
        try:
            return {layer.ref for layer in self._maker.stack(node, node.answers or "").layers}
        except SettingError:
            return {"defaults"}


def _what(asked: Ref) -> str:
    plain = f"{asked.kind} {asked.name}" if asked.kind == "profile" else str(replace(asked, number=None))
    return f"version {asked.number} of {plain}" if asked.number is not None else plain
