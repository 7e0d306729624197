"""A version's chunks for readers on the server: a damaged one is told by the file it belongs to.

A chunk's id says nothing to a person. The manifest is looked through only after the damage was found, so
reading costs nothing more. The text is made here and nowhere else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from images.errors import ChunkCorrupt, ImageError
from images.fetch import PackSource
from images.fetch_plan import CACHE, WINDOW
from images.locator import Locator
from images.sealed import SealedManifest

REPAIR = "run `bootsrv image verify --repair`, then import or capture the image again"


class NamedSource(PackSource):
    """As PackSource; ChunkCorrupt names version, file and pack. It tells a pack that was cut short, too."""

    def __init__(
        self, locator: Locator, get_range: Callable[[str, int, int], bytes],
        manifest: Callable[[], SealedManifest], place: Callable[[str], str],
        window: int = WINDOW, cache: int = CACHE,
    ) -> None:  # fmt: skip
        """`manifest` opens the version's own; `place`: where the pack with that hex id lies; `window` and
        `cache` as for PackSource.
        """

        def whole(pack: str, start: int, length: int) -> bytes:
            data = get_range(pack, start, length)
            if len(data) != length:
                header = manifest().header
                raise ImageError(f"{header.name}@{header.number}: {place(pack)} is cut short; {REPAIR}")
            return data

        super().__init__(locator, whole, window=window, cache=cache)
        self._manifest, self._place = manifest, place

    def stream(self, ids: Iterable[bytes]) -> Iterator[bytes]:
        """As PackSource.stream; an error in opening the manifest may come instead."""
        try:
            yield from super().stream(ids)
        except ChunkCorrupt as error:
            where = self._place(error.pack) if error.pack else ""
            if where and (starts := self._starts(error.chunk)):
                where += f" or in what that is a patch of ({', '.join(starts)})"
            text = damage(self._manifest(), error.chunk, where)
            raise ChunkCorrupt(text, error.chunk, error.pack) from error

    def _starts(self, chunk: bytes) -> list[str]:
        """The packs with what that chunk is a patch of, if it is one."""
        bases = self.locator.bases(self.locator.find(chunk).frame)
        return [self._place(pack) for pack in sorted({self.locator.frame(one.frame).pack for one in bases})]


def damage(manifest: SealedManifest, chunk: bytes, pack: str = "") -> str:
    """What a damaged chunk of that version means, in a sentence; `pack`: the path, where one is to blame."""
    header, where = manifest.header, f" in {pack}" if pack else ""
    hurt = [entry.name for entry in manifest.entries() if chunk in {one.id for one in entry.chunks}]
    what = hurt[0] if hurt else f"chunk {chunk.hex()}"
    more = f" (and {len(hurt) - 1} more with the same bytes)" if len(hurt) > 1 else ""
    return f"{header.name}@{header.number}: {what}{more} is damaged{where}; {REPAIR}"
