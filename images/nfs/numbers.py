"""Numbers for exports that stay: they are part of every file handle that clients hold, also over restarts.

One JSON file, name to number. A number is given again only when all others have been, oldest first.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path

from images.disk import write_file
from images.errors import ImageError
from images.nfs.export import MOST


class Numbers:
    """Not shared between threads or processes. Raises ImageError for a damaged file, OSError."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            table = json.loads(path.read_bytes())
            self._numbers = {str(name): int(number) for name, number in table["numbers"].items()}
            self._next = int(table["next"])
        except FileNotFoundError:
            self._numbers, self._next = {}, 1
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ImageError(
                f"{path} is damaged ({error}): remove it, and start the machines with roots over NFS again"
            ) from error

    def of(self, name: str) -> int:
        """Its number, given now if it has none. Raises ImageError when there are no more."""
        if name not in self._numbers:
            self._numbers[name] = self._free()
            self._save()
        return self._numbers[name]

    def keep(self, names: Collection[str]) -> None:
        """Forget all but these."""
        gone = self._numbers.keys() - set(names)
        for name in gone:
            del self._numbers[name]
        if gone:
            self._save()

    def _free(self) -> int:
        taken = set(self._numbers.values())
        for step in range(MOST):
            number = (self._next - 1 + step) % MOST + 1
            if number not in taken:
                self._next = number % MOST + 1
                return number
        raise ImageError(f"more than {MOST} exports")

    def _save(self) -> None:
        table = {"next": self._next, "numbers": self._numbers}
        write_file(self._path, json.dumps(table, separators=(",", ":")).encode())
