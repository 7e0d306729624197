"""A tree's updated packages as a profile of answers names them. Pure."""

from __future__ import annotations

from pxe.answers.profile import Repository
from pxe.trees.facts import Installer

NAME = "updates"


def updates_entry(installer: Installer, url: str) -> Repository:
    """The profile's entry for the repository at `url` (http://SERVER/tree/NAME/updates/), in the words of the
    tree's own installer: apt wants to know that the repository is flat, and by which key it is signed."""
    plain = url.rstrip("/")
    if installer is Installer.PRESEED:
        return Repository(name=NAME, url=f"{plain} ./", key=f"{plain}/archive-key.asc")
    if installer is Installer.AUTOINSTALL:
        return Repository(name=NAME, url=f"[trusted=yes] {plain} ./")
    return Repository(name=NAME, url=f"{plain}/")
