"""What is to be left out and cannot be is refused, by server and agent, with what to write instead."""

from __future__ import annotations

import re
import tarfile
from pathlib import Path

import pytest
from imagestore import make

from images.agent.capture.excludes import DEFAULT
from images.agent.capture.options import parse
from images.errors import BadInput
from images.importing.auto import import_image
from images.patterns import check_patterns
from images.tree_reader import EXCLUDES

USELESS = {
    "var/log/*": "write '/var/log/*', or '*/var/log/*' for that name in any directory",
    "home": "write '/home', or '*/home'",
    "/home/": "write '/home', or '/home/*' to keep",
    "/": "write '/*'",
    "": "matches nothing",
}


@pytest.mark.parametrize("pattern", sorted(USELESS))
def test_patterns_that_match_nothing(pattern: str) -> None:
    with pytest.raises(BadInput, match=re.escape(USELESS[pattern])):
        check_patterns([pattern])


def test_patterns_that_are_good() -> None:
    check_patterns([*EXCLUDES, "*.log", "*/lost+found", "?var", "[/]x"])
    check_patterns([*DEFAULT, "files:/x/*"], files=True)
    with pytest.raises(BadInput, match="write 'files:/var/log/"):
        check_patterns(["files:var/log/*"], files=True)
    with pytest.raises(BadInput, match="captures alone"):
        check_patterns(["files:/var/log/*"])


def test_the_agent_refuses_them_too(capsys: pytest.CaptureFixture[str]) -> None:
    good = ["--token", "x", "--exclude", "files:/srv/*", "--exclude-update", "/opt/*"]
    assert parse(good, "http://127.0.0.1").exclude == ["files:/srv/*"]
    for option in ("--exclude", "--exclude-update"):
        with pytest.raises(SystemExit):
            parse([*good, option, "srv/*"], "http://127.0.0.1")
        assert "write '/srv/*'" in capsys.readouterr().err


def test_imports_refuse_what_they_would_ignore(tmp_path: Path) -> None:
    store, root = make(tmp_path), tmp_path / "root"
    (root / "etc").mkdir(parents=True)
    (root / "etc/x").touch()
    with pytest.raises(BadInput, match="write '/etc/x'"):
        import_image(store, "a", root, excludes=(*EXCLUDES, "etc/x"))
    packed, layout = tmp_path / "root.tar", tmp_path / "layout"
    with tarfile.open(packed, "w") as tar:
        tar.add(root, ".")
    layout.mkdir()
    (layout / "oci-layout").write_text("{}")
    disk = tmp_path / "disk.raw"
    disk.write_bytes(bytes(510) + b"\x55\xaa" + bytes(1 << 20))
    for source in (packed, layout, disk):
        with pytest.raises(BadInput, match=r"is no directory of files, .*bootsrv image edit a"):
            import_image(store, "a", source, excludes=(*EXCLUDES, "/etc/x"))
    assert not store.versions()
    import_image(store, "a", root, excludes=(*EXCLUDES, "/etc/x"))
    import_image(store, "a", packed)
    assert [version.files for version in store.versions()] == [2, 3]
