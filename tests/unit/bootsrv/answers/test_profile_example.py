"""The example of a profile: it is good as it stands, and tells of every field that there is."""

import re
import typing
from pathlib import Path

import msgspec

from bootsrv.answers import files
from pxe.answers.profile import Profile
from pxe.answers.snippets import snippets
from pxe.answers.targets import find_target

EXAMPLE = Path(__file__).parents[4] / "bootsrv" / "profile.toml.example"
OLD = {  # imported files have them; nobody writes them into a new profile
    "legacy", "raw", "lines", "section", "order", "lilo", "linear", "no_linear", "lba32", "upgrade", "none",
    "level", "dhcp", "ssh", "telnet", "smtp", "http", "ftp", "bytes_per_inode",
    "bios_disk", "start", "end", "bad_blocks", "active",
}  # fmt: skip


def structs(kind):
    for one in typing.get_args(kind):
        yield from structs(one)
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct) and kind.__name__ != "Legacy":
        yield kind
        for inner in typing.get_type_hints(kind).values():
            yield from structs(inner)


def test_it_is_good_as_it_stands():
    profile = files.load_profile(EXAMPLE)
    done = files.render(profile, find_target(profile.target), {"disk-key": "open sesame"})
    assert [str(one) for one in done.findings] == []
    assert done.text.count("\n%post") == 3


def test_it_tells_of_every_field_and_snippet():
    text = EXAMPLE.read_text()
    fields = {name for kind in structs(Profile) for name in kind.__struct_fields__}
    assert [one for one in sorted({*fields, *snippets()} - OLD) if not re.search(rf"\b{one}\b", text)] == []
