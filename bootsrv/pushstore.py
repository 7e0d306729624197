"""What a push opens in the store, for its token or for the agent that carries its order out: the two versions
its node goes between, and the patches made for that."""

from __future__ import annotations

from pathlib import Path

from bootsrv.appliance.images import Images
from bootsrv.config import Config
from bootsrv.nodestore import NodeStore
from bootsrv.registry.tokens import Token
from pxe.http.ports import Denied, Wait

PURPOSE = "push"


def patches_dir(config: Config) -> Path:
    """Where patch sets are kept."""
    return config.data_dir / "patches"


class PushStore:
    """`nodes`: the store as nodes see it."""

    def __init__(self, config: Config, images: Images, nodes: NodeStore) -> None:
        self._folder, self._images, self._nodes = patches_dir(config), images, nodes

    def find(self, kind: str, id: str, token: Token) -> Path | bytes | Denied | Wait | None:
        """As `Site.store`, for a token that was checked, with what it opens as its data."""
        version, base = str(token.data.get("version") or ""), token.data.get("base")
        store = self._images.store()
        if kind == "manifests" and id in (version, base):
            return store.manifest_path(id)
        if kind == "locators" and id == version:
            return self._nodes.locator(id)
        if kind == "packs" and version and (pack := self._nodes.pack(version, id)) is not None:
            return pack
        if kind == "patches" and id == token.data.get("patches"):
            path = self._folder / id
            return path if path.is_file() else None
        return Denied(403, "that is not part of what this push moves")
