"""Which versions an image has: one small file per name (a line with the sha256 of the rest, which is JSON),
replaced whole (disk.py), never edited.

Law: numbers are given once; a removed version's number is not used again. Beside each file is a spare of it,
written first: it knows all that the file knows, and nobody but repair (rebuild.py) reads it. Without either,
everything but tags and the numbers of removed versions comes from the signed manifests.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from images.disk import write_file
from images.errors import BadInput, ImageConflict, ImageError, ImageNotFound
from images.versions import LATEST, Version, check_name, split_ref

_FORMAT = 1
SUFFIX, SPARE = ".book", ".spare"


@dataclass(slots=True)
class Catalogue:
    """All versions of one name, by number, and its tags."""

    name: str
    next: int = 1
    versions: dict[int, Version] = field(default_factory=dict)
    tags: dict[str, int] = field(default_factory=dict)

    def latest(self) -> int | None:
        """The highest number there is."""
        return max(self.versions, default=None)

    def listed(self) -> list[Version]:
        """Versions in order, each with its tags."""
        return [self.get(number) for number in sorted(self.versions)]

    def get(self, number: int) -> Version:
        """One version with its tags. Raises KeyError."""
        tags = sorted(tag for tag, at in self.tags.items() if at == number)
        if number == self.latest():
            tags.insert(0, LATEST)
        row = asdict(self.versions[number])
        return Version(**{**row, "tags": tuple(tags)})

    def resolve(self, selector: str) -> Version:
        """A number, a tag or `latest` to its version. Raises ImageNotFound and says what there is."""
        number = int(selector) if selector.isdigit() else self.tags.get(selector)
        if selector == LATEST:
            number = self.latest()
        if number is None or number not in self.versions:
            have = ", ".join(str(known) for known in [*sorted(self.versions), *sorted(self.tags)])
            raise ImageNotFound(f"image {self.name} has no version {selector!r}; it has: {have or 'none'}")
        return self.get(number)

    def tag(self, number: int, tag: str) -> None:
        """Point a tag at a version; it moves if it exists. Raises BadInput for a name that means something
        else.
        """
        if tag == LATEST or tag.isdigit():
            raise BadInput(f"tag {tag!r}: {LATEST!r} and numbers have their own meaning")
        self.tags[check_name(tag, "image tag")] = number

    def remove(self, number: int) -> Version:
        """Drop a version. Raises ImageConflict while a tag points at it."""
        version = self.get(number)
        tags = [tag for tag in version.tags if tag != LATEST]
        if tags:
            raise ImageConflict(f"{version.ref} is tagged {', '.join(tags)}; move or remove the tag first")
        del self.versions[number]
        return version


def load(folder: Path, name: str) -> Catalogue:
    """Read one. Raises ImageNotFound, or ImageError when the file is damaged."""
    path = folder / f"{check_name(name)}{SUFFIX}"
    try:
        return _read(path, name)
    except FileNotFoundError:
        raise ImageNotFound(f"there is no image named {name}") from None
    except ValueError as err:
        raise ImageError(f"{path} is damaged; `bootsrv image verify --repair` rebuilds it ({err})") from err


def load_spare(folder: Path, name: str) -> Catalogue | None:
    """As the spare knows it; None where there is none. Raises ImageError when it is damaged."""
    path = folder / f"{check_name(name)}{SPARE}"
    try:
        return _read(path, name)
    except FileNotFoundError:
        return None
    except ValueError as err:
        raise ImageError(f"{path} is damaged ({err})") from err


def _read(path: Path, name: str) -> Catalogue:
    """Raises FileNotFoundError, ValueError."""
    total, _, body = path.read_bytes().partition(b"\n")
    if hashlib.sha256(body).hexdigest().encode() != total:
        raise ValueError("its checksum does not fit")
    try:
        return _parse(name, json.loads(body))
    except (KeyError, TypeError, AttributeError) as err:
        raise ValueError(str(err)) from err


def _parse(name: str, row: dict[str, Any]) -> Catalogue:
    if row["format"] != _FORMAT or row["name"] != name:
        raise ValueError("another name or format")
    versions = [Version(**one) for one in row["versions"]]
    return Catalogue(name, int(row["next"]), {one.number: one for one in versions}, dict(row["tags"]))


def save(folder: Path, temp: Path, catalogue: Catalogue) -> None:
    """Replace the file by this state. Raises OSError; the old state then stands."""
    versions = []
    for number in sorted(catalogue.versions):
        row = asdict(catalogue.versions[number])
        del row["tags"], row["added"]
        versions.append(row)
    row = {"format": _FORMAT, "name": catalogue.name, "next": catalogue.next}
    row.update(versions=versions, tags=catalogue.tags)
    body = json.dumps(row, indent=1).encode() + b"\n"
    text = hashlib.sha256(body).hexdigest().encode() + b"\n" + body
    path = folder / f"{catalogue.name}{SUFFIX}"
    if path.exists():  # a spare alone means that the catalogue was lost
        write_file(path.with_suffix(SPARE), text, temp)
    write_file(path, text, temp)


def names(folder: Path, suffix: str = SUFFIX) -> list[str]:
    """All image names, sorted; with SPARE those that have a spare."""
    return sorted(path.stem for path in folder.glob("*" + suffix))


def find(folder: Path, ref: str) -> tuple[Catalogue, Version]:
    """The catalogue and the version that a reference means. Raises ImageNotFound, BadInput."""
    name, selector = split_ref(ref)
    catalogue = load(folder, name)
    return catalogue, catalogue.resolve(selector)
