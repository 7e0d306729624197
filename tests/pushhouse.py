"""What tests of updates share: two versions in a store, a machine that is the first, and the way between
them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from images.agent.client import Refused
from images.agent.update import run
from images.agent.update.state import HOME, State
from images.agent.update.task import Task
from images.importing.from_directory import import_directory
from images.store import ImageStore
from images.tree_writer import write_tree


class Line:
    """The node's client without a network: `fail_after` ranges, the line is cut."""

    def __init__(self, store: ImageStore, patches: Mapping[str, bytes] | None = None) -> None:
        self.store, self.patches = store, patches or {}
        self.sent = 0
        self.fail_after: int | None = None

    def __call__(self, *arguments: Any) -> Line:
        return self

    def copy(self) -> Line:
        return self

    def get(self, path: str) -> bytes:
        kind, id = path.split("/")[2:]
        if kind == "locators":
            return self.store.locator(id)
        found = self.store.manifest_path(id)
        assert found is not None
        return found.read_bytes()

    def get_range(self, path: str, start: int, length: int) -> bytes:
        kind, id = path.split("/")[2:]
        if self.fail_after is not None:
            self.fail_after -= 1
            if self.fail_after < 0:
                raise ConnectionError("the line is cut")
        if kind == "patches" and id not in self.patches:
            raise Refused(404, path)
        data = (
            self.patches[id][start : start + length]
            if kind == "patches"
            else self.store.read_range(id, start, length)
        )
        self.sent += len(data)
        return data


class House:
    """`one` and `two`: trees; the machine's root holds version 1."""

    def __init__(self, folder: Path, one: Path, two: Path) -> None:
        store = ImageStore.open(folder / "store")
        for tree in (one, two):
            import_directory(store, "a", tree, excludes=())
        self._move_in(folder, store)

    def beside(self, folder: Path) -> House:
        """Another machine of the same versions."""
        other = House.__new__(House)
        other._move_in(folder, self.store)
        return other

    def _move_in(self, folder: Path, store: ImageStore) -> None:
        self.root, self.store = folder / "root", store
        self.old, self.new = store.resolve("a@1"), store.resolve("a@2")
        self.line = Line(self.store)
        self.said: list[dict[str, Any]] = []
        self.root.mkdir()
        write_tree(self.store.manifest("a@1"), self.store.source("a@1"), self.root)

    def task(self, ref: str = "a@2", **more: Any) -> Task:
        version = self.store.resolve(ref)
        return Task(
            "http://192.0.2.1", "t", self.store.public_key(), version.ref, version.id, self.old.id, **more
        )

    def update(self, ref: str = "a@2", **more: Any) -> run.Update:
        return run.Update(self.root, self.task(ref, **more), self.said.append, self.line)  # type: ignore[arg-type]

    def push(self, ref: str = "a@2", **more: Any) -> dict[str, Any]:
        return self.update(ref, **more).run()

    @property
    def state(self) -> State:
        return State(self.root)


def without_state(seen: dict[bytes, dict[str, Any]]) -> dict[bytes, dict[str, Any]]:
    """A snapshot without what the update keeps for itself."""
    top = HOME.encode().split(b"/")
    own = {b"/".join(top[: n + 1]) for n in range(len(top))}
    return {path: row for path, row in seen.items() if path not in own and not path.startswith(HOME.encode())}


def comparable(seen: dict[bytes, dict[str, Any]]) -> dict[bytes, dict[str, Any]]:
    """Without holes (an unchanged file keeps those it has) and the times that the state directory changed."""
    rows = {path: {k: v for k, v in row.items() if k != "holes"} for path, row in without_state(seen).items()}
    rows.get(b"", {}).pop("mtime", None)
    return rows
