"""The overlay: holds everything the agent imports and nothing else, and is joined whole or not at all."""

import ast
import io
import subprocess
import sys
import zipfile

import pytest

from images.agent.sources import agent_files
from images.errors import BadInput
from images.imager import overlay


def unpack(packed: bytes, where) -> None:
    subprocess.run(["cpio", "-id", "--quiet"], input=packed, cwd=where, check=True)


def test_agent_runs_from_the_overlay_alone(tmp_path):
    unpack(overlay.overlay(b"k" * 32), tmp_path)
    assert (tmp_path / overlay.KEY).read_bytes() == b"k" * 32
    home = str(tmp_path / overlay.HOME)
    code = "import images.agent.__main__, images.agent.deploy, images; print(images.__file__)"
    done = subprocess.run(
        [sys.executable, "-E", "-S", "-c", f"import sys; sys.path[:0] = ['{home}']; {code}"],
        capture_output=True, text=True, cwd="/",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert str(tmp_path) in done.stdout


def test_agent_is_python_3_8_and_stays_in_its_room():
    for name, source in agent_files(overlay.START).items():
        tree = ast.parse(source, name, feature_version=(3, 8))
        for node in ast.walk(tree):
            modules = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            modules += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for module in modules:
                top = module.split(".")[0]
                assert top in ("images", "__future__", "pyudev") or top in sys.stdlib_module_names, (
                    name,
                    module,
                )


def test_agent_asks_for_annotations_as_text():
    """Or `X | None` in a signature would be evaluated, and fail, on Python 3.8."""
    for name, source in agent_files(overlay.START).items():
        if b"|" in source or b"list[" in source:
            assert b"from __future__ import annotations" in source, name


def test_joined_archives_start_on_multiples_of_four(tmp_path):
    base = tmp_path / "initrd.img"
    base.write_bytes(b"12345")
    overlay.combine(base, b"070701", tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == b"12345" + bytes(3) + b"070701"
    assert not (tmp_path / "out.new").exists()


def test_a_missing_imager_says_what_to_do(tmp_path):
    with pytest.raises(BadInput, match=r"initrd\.img is missing: run `\./run setup`"):
        overlay.prepare(tmp_path, tmp_path / "out", b"k")


def test_extra_files_and_their_folders(tmp_path):
    unpack(overlay.overlay(b"k", {"etc/x/y/z": b"1"}), tmp_path)
    assert (tmp_path / "etc/x/y/z").read_bytes() == b"1"


def test_nothing_of_the_agent_is_large():
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, source in agent_files(overlay.START).items():
            archive.writestr(name, source)
    assert len(packed.getvalue()) < 280_000
