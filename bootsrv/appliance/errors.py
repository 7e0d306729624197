"""The one place where errors of the image room become the house's. "Damaged" and "missing" stay apart from
"not found"."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from bootsrv.errors import BootsrvError, Conflict, Invalid, NotFound
from images.errors import BadInput, ImageConflict, ImageError, ImageNotFound


@contextmanager
def translated() -> Iterator[None]:
    """Inside, image errors are raised as NotFound, Conflict, Invalid or, when the store is at fault,
    BootsrvError."""
    try:
        yield
    except ImageNotFound as error:
        raise NotFound(str(error)) from error
    except ImageConflict as error:
        raise Conflict(str(error)) from error
    except BadInput as error:
        raise Invalid(str(error)) from error
    except ImageError as error:
        raise BootsrvError(str(error)) from error
