"""A version's chunks for readers on the server: a damaged or lost one is told by the file it belongs to.

A chunk's id says nothing to a person. The manifest is looked through only after the damage was found, so
reading costs nothing more. The text is made here and nowhere else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from images.errors import ChunkCorrupt, ChunkMissing, ImageError
from images.fetch import PackSource
from images.fetch_plan import CACHE, WINDOW
from images.locator import Locator
from images.problem import REPAIR, again, repair_then_again
from images.sealed import SealedManifest


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
            try:
                data = get_range(pack, start, length)
            except ChunkMissing as error:
                header, why = manifest().header, f"{place(pack)} is missing"
                what = f"{header.name}@{header.number}: {self._some(pack)} has lost chunks, {why}"
                text = f"{what}; {repair_then_again([header.name])}"
                raise ChunkMissing(text) from error
            if len(data) != length:
                header = manifest().header
                what = f"{header.name}@{header.number}: {place(pack)} is cut short"
                raise ImageError(f"{what}; {repair_then_again([header.name])}")
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
        except ChunkMissing as error:
            if not error.chunk:
                raise
            ref, what = hurt(self._manifest(), error.chunk)
            text = f"{ref}: {what} is not in its locator; {REPAIR}"
            raise ChunkMissing(text, error.chunk) from error

    def _some(self, pack: str) -> str:
        """The first file that needs that pack."""
        for entry in self._manifest().entries():
            for chunk in entry.chunks:
                frame = self.locator.find(chunk.id).frame
                places = (frame, *(one.frame for one in self.locator.bases(frame)))
                if pack in {self.locator.frame(number).pack for number in places}:
                    return entry.name
        return "it"

    def _starts(self, chunk: bytes) -> list[str]:
        """The packs with what that chunk is a patch of, if it is one."""
        bases = self.locator.bases(self.locator.find(chunk).frame)
        return [self._place(pack) for pack in sorted({self.locator.frame(one.frame).pack for one in bases})]


def damage(manifest: SealedManifest, chunk: bytes, pack: str = "") -> str:
    """What a damaged chunk of that version means, in a sentence; `pack`: the path, where one is to blame."""
    (ref, what), where = hurt(manifest, chunk), f" in {pack}" if pack else ""
    return f"{ref}: {what} is damaged{where}; {repair_then_again([manifest.header.name])}"


def lost(manifest: SealedManifest, chunk: bytes) -> str:
    """What it means that a chunk of that version is in no pack, as after `verify --repair`."""
    ref, what = hurt(manifest, chunk)
    return f"{ref}: {what} has lost chunks; {again([manifest.header.name])}"


def hurt(manifest: SealedManifest, chunk: bytes) -> tuple[str, str]:
    """The version, and the files that the chunk belongs to."""
    header = manifest.header
    names = [entry.name for entry in manifest.entries() if chunk in {one.id for one in entry.chunks}]
    what = names[0] if names else f"chunk {chunk.hex()}"
    more = f" (and {len(names) - 1} more with the same bytes)" if len(names) > 1 else ""
    return f"{header.name}@{header.number}", what + more
