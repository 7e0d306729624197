"""A whole disk as an image: what the survey says must be kept, region by region, beside the version before.

Python 3.8, standard library only. Nothing may have the disk mounted for writing.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Callable, Dict, List, Tuple

from images.agent.capture.matching import Changed, Data, hand_over
from images.agent.capture.tree import Beside, Told
from images.agent.capture.upload import Upload
from images.blocks import regions
from images.blocks.device import Device, FileDevice
from images.blocks.survey import Area, kept, survey
from images.errors import BadInput
from images.manifest import Entry


def upload_disk(
    path: Path, base: Iterator[Entry], upload: Upload, told: Told, expect: Callable[[int], None]
) -> Tuple[Dict[str, Any], List[str]]:
    """Uploads every region; the disk's description and the warnings for its version. `expect` hears how many
    bytes it may come to: less and less, since nobody knows what is zero before it was read. `told` hears of
    what is only looked at, too: on a large disk that takes hours. Raises OSError.
    """
    before, done = Beside(base), 0

    def looked(place: int) -> None:
        told(done, place >> 20, f"{place >> 20} MiB of the disk")

    with closing(FileDevice(path)) as disk:
        device = _Watched(disk, looked)
        expect(device.size)
        found = survey(device)
        handle = os.open(str(path), os.O_RDONLY | os.O_CLOEXEC)
        try:
            upload.entry(regions.ROOT)
            most = at_most(found.areas, device.size)
            left = sum(most)
            for number, offset in enumerate(range(0, device.size, regions.REGION)):
                end = min(offset + regions.REGION, device.size)
                ranges = kept(device, found.areas, offset, end)
                left -= most[number]
                expect(done + sum(length for _, length in ranges) + left)
                if not ranges:
                    looked(end)
                    continue
                entry = regions.region(offset, end - offset, ranges)
                data = Data(handle, entry, offset)
                try:
                    hand_over(data, before.chunks(entry.path), upload, _told_by(told, done, end))
                except Changed as error:
                    raise BadInput(f"{path} became smaller while it was read") from error
                done += data.size
                upload.entry(entry)
                looked(end)
        finally:
            os.close(handle)
    return found.shape, regions.doubts(found.shape)


class _Watched:
    """A device; `looked` hears how far each read goes."""

    def __init__(self, device: Device, looked: Callable[[int], None]) -> None:
        self._device, self._looked = device, looked
        self.size, self.sector, self.physical = device.size, device.sector, device.physical

    def read(self, offset: int, length: int) -> bytes:
        """See Device."""
        self._looked(offset)
        return self._device.read(offset, length)

    def data(self, start: int, end: int) -> Iterator[Tuple[int, int]]:
        """See Device."""
        return self._device.data(start, end)


def at_most(areas: Iterable[Area], size: int) -> List[int]:
    """For each region of a disk of that size, how many bytes of it may be kept."""
    most = [0] * -(-size // regions.REGION)
    for area in areas:
        for offset, length in ((area.start, area.end - area.start),) if area.ranges is None else area.ranges:
            while length:
                number = offset // regions.REGION
                here = min(length, (number + 1) * regions.REGION - offset)
                most[number] += here
                offset, length = offset + here, length - here
    return most


def _told_by(told: Told, done: int, end: int) -> Any:
    """Progress inside a region of a gigabyte."""
    return lambda more: told(done + more, end >> 20, f"{end >> 20} MiB of the disk")
