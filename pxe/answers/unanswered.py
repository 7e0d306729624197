"""What an installer has no answer for: fields of a profile that cannot be written for it."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from pxe.answers.errors import Finding
from pxe.answers.profile import Profile

Unanswered = tuple[str, Callable[[Profile], object], str]  # field, whether it is given, what to do instead


def unanswered(profile: Profile, fields: Iterable[Unanswered], installer: str) -> list[Finding]:
    """A finding for each of these fields that the profile gives; `installer` as a person calls it."""
    return [
        Finding(f"{installer} has no answer for this; {instead}", field)
        for field, given, instead in fields
        if given(profile)
    ]
