"""Renders and checks many answer files with one process of the kickstart parser. Threads may share it."""

from __future__ import annotations

import threading
from collections.abc import Mapping

from bootsrv.answers.files import Rendered, render
from pxe.answers.kickstart.parser import KickstartParser
from pxe.answers.profile import Profile
from pxe.answers.targets import Target


class Checker:
    """The parser's process is started with the first kickstart, and ends with `close` or with us."""

    def __init__(self) -> None:
        self._parser = KickstartParser()
        self._one_at_a_time = threading.Lock()

    def render(self, profile: Profile, target: Target, secrets: Mapping[str, str]) -> Rendered:
        """As `files.render`."""
        with self._one_at_a_time:
            return render(profile, target, secrets, self._parser)

    def close(self) -> None:
        """End the process."""
        with self._one_at_a_time:
            self._parser.close()
