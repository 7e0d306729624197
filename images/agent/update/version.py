"""The version that is wanted and the one this machine is. Python 3.8, standard library only."""

from __future__ import annotations

from pathlib import Path
from typing import Optional

from images.agent.client import Client, Refused, packs_by
from images.agent.update.state import State, write_whole
from images.agent.update.task import Task
from images.errors import ImageError
from images.fetch import PackSource
from images.locator import Locator
from images.sealed import SealedManifest, open_sealed

GAP = 8 << 10  # bytes fetched for nothing between two ranges: an update wants few, scattered frames


class Store:
    """The server's store as this task may see it."""

    def __init__(self, task: Task, state: State, client: Client) -> None:
        self._task, self._state, self._client = task, state, client

    def wanted(self) -> SealedManifest:
        """The version to become; from the disk when it is the one this machine is."""
        if self._state.manifest.exists():
            try:
                kept = open_sealed(self._state.manifest, self._task.key, self._task.manifest)
            except ImageError:  # another version, or damaged: fetched
                pass
            else:
                self._state.incoming.unlink(missing_ok=True)  # of an update that never came to its switch
                return kept
        return self._fetch(self._task.manifest, self._state.incoming)

    def base(self) -> Optional[SealedManifest]:
        """The version this machine is; None when nobody knows any more."""
        kept = self._state.base(self._task.key)
        if kept is not None or self._task.base is None:
            return kept
        try:
            return self._fetch(self._task.base, self._state.fetched_base)
        except Refused:  # removed from the store
            return None

    def source(self) -> PackSource:
        """The wanted version's chunks."""
        locator = Locator.parse(self._client.get(f"/store/locators/{self._task.manifest}"))
        return PackSource(locator, packs_by(self._client), gap=GAP)

    def _fetch(self, id: str, path: Path) -> SealedManifest:
        write_whole(path, self._client.get(f"/store/manifests/{id}"))
        return open_sealed(path, self._task.key, id)
