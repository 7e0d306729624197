"""A reader's line is traced to the profile's field."""

import pytest
from ks_house import PLAIN

from bootsrv.answers.files import render
from pxe.answers.errors import Finding
from pxe.answers.places import placed
from pxe.answers.profile import profile_from
from pxe.answers.targets import Dialect, find_target

KICKSTART = "lang en_US\npart / --size=1\n%packages\nvim\n%end\n%post\necho\n%end\n\nstrange\n"


@pytest.mark.parametrize(
    ("line", "field"),
    [(1, "language"), (2, "disks.partitions"), (3, "packages"), (4, "packages"), (7, "scripts"), (99, "")],
)
def test_lines_of_a_kickstart(line, field):
    assert placed(Finding("x", line=line), KICKSTART, Dialect.KICKSTART).field == field


def test_answers_of_a_preseed_and_what_has_its_field_already():
    text = "d-i passwd/username string x\nd-i partman/confirm boolean x\nd-i other/thing string\n"
    found = [placed(Finding("x", line=line), text, Dialect.PRESEED).field for line in (1, 2, 3)]
    assert found == ["users[0].name", "disks", ""]
    assert placed(Finding("x", "root", 1), text, Dialect.PRESEED).field == "root"


def test_what_anacondas_parser_says_has_line_and_field():
    values = {**PLAIN, "raw": [{"lines": ["repo --nonsense=x"]}]}
    done = render(profile_from(values), find_target("rhel9"), {})
    found = {
        (one.field, done.text.splitlines()[one.line - 1].split()[0]) for one in done.findings if one.line
    }
    assert ("repositories", "repo") in found
