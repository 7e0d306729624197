"""What can go wrong in the lab itself: a machine without the tools, a step that took too long."""

from __future__ import annotations

from bootsrv.errors import BootsrvError


class LabError(BootsrvError):
    """The lab cannot be built here, or a virtual machine did not do what was waited for."""


class LabTimeout(LabError):
    """Something was waited for and did not happen in time; the text says what was seen last."""
