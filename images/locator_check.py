"""A version's locator against its manifest and the packs' own indexes, for verify.py."""

from __future__ import annotations

from images.errors import BadInput, ImageError
from images.locator import Frame, Locator, Place
from images.pack import SUFFIX, read_trailer
from images.sealed import SealedManifest
from images.shelf import Shelf


def wrong(store: Shelf, manifest: SealedManifest) -> str | None:
    """What is wrong with that version's locator; None where all is well."""
    id = manifest.id
    try:
        locator = Locator.parse((store.locators / id).read_bytes())
        wanted = {chunk.id for chunk in manifest.chunks()}
        if locator.manifest != id or len(locator) != len(wanted):
            return "its locator belongs to something else"
        return _places(_Packs(store), locator, wanted)
    except FileNotFoundError:
        return "its locator is gone"
    except ImageError as err:
        return str(err)


def _places(packs: _Packs, locator: Locator, wanted: set[bytes]) -> str | None:
    try:
        for id in wanted:
            place = locator.find(id)
            if not packs.hold(locator, id, place):
                return "its locator points to wrong places"
        for number in range(locator.frames):
            ids, places = packs.bases(locator.frame(number)), locator.bases(number)
            if len(ids) != len(places) or not all(
                packs.hold(locator, id, place) for id, place in zip(ids, places, strict=True)
            ):
                return "its locator has wrong bases for a patch"
    except FileNotFoundError as err:
        return f"its locator points into a pack that is missing: {err.filename}"
    except BadInput as err:
        return f"its locator points into a pack that cannot be read: {err}"
    return None


class _Packs:
    """The packs' own indexes, to look locators up in."""

    def __init__(self, store: Shelf) -> None:
        self._store = store
        self._rows: dict[str, set[tuple[bytes, tuple[int, ...]]]] = {}
        self._bases: dict[str, dict[int, tuple[bytes, ...]]] = {}

    def hold(self, locator: Locator, id: bytes, place: Place) -> bool:
        """Whether that chunk lies there. Raises BadInput, FileNotFoundError."""
        frame = locator.frame(place.frame)
        self._read(frame.pack)
        return (id, (*frame[1:], place.inner, place.length)) in self._rows[frame.pack]

    def bases(self, frame: Frame) -> tuple[bytes, ...]:
        """What that frame is a patch of. Raises BadInput, FileNotFoundError."""
        self._read(frame.pack)
        return self._bases[frame.pack].get(frame.offset, ())

    def _read(self, pack: str) -> None:
        if pack in self._rows:
            return
        trailer = read_trailer(self._store.packs / (pack + SUFFIX))
        self._rows[pack] = {
            (row.id, (*trailer.frames[row.frame][:4], row.inner, row.length)) for row in trailer.chunks
        }
        self._bases[pack] = {trailer.frames[n].offset: ids for n, ids in trailer.bases.items()}
