"""Container images: layers over each other, whiteouts, both archive forms, digests."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest
import zstandard
from imagestore import contents, make

from images.errors import BadInput
from images.importing.auto import import_image
from images.importing.from_oci import is_layout


def layer(*names: str | tuple[str, bytes]) -> bytes:
    """A tar: "dir/" directories, (name, data) files, "a -> b" symlinks, others empty files."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name in names:
            text, data = name if isinstance(name, tuple) else (name, b"")
            info = tarfile.TarInfo(text.rstrip("/"))
            if text.endswith("/"):
                info.type = tarfile.DIRTYPE
                info.mode = 0o755
            elif " -> " in text:
                info.name, info.linkname = text.split(" -> ")
                info.type = tarfile.SYMTYPE
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


LAYERS = [
    layer(
        "etc/",
        ("etc/a", b"1"),
        ("etc/b", b"1"),
        "usr/",
        "usr/lib/",
        ("usr/lib/x", b"1"),
        "lib -> usr/lib",
        "opt/",
        ("opt/old", b""),
    ),
    layer(("etc/.wh.a", b""), ("etc/b", b"2"), ("lib/y", b"2"), ("opt/new", b"2"), ("opt/.wh..wh..opq", b"")),
    layer(("etc/c", b"3"), ("lib/.wh.x", b"")),
]
RESULT = {"etc/b": b"2", "etc/c": b"3", "opt/new": b"2", "usr/lib/y": b"2"}


def layout(root: Path, layers: list[bytes], nested: bool = False) -> Path:
    """An OCI image layout directory."""
    blobs = root / "blobs/sha256"
    blobs.mkdir(parents=True)

    def blob(data: bytes, **more: Any) -> dict[str, Any]:
        digest = hashlib.sha256(data).hexdigest()
        (blobs / digest).write_bytes(data)
        return {"digest": f"sha256:{digest}", "size": len(data), **more}

    config = blob(json.dumps({"architecture": "amd64", "os": "linux"}).encode())
    manifest = {"schemaVersion": 2, "config": config, "layers": [blob(data) for data in layers]}
    row = blob(json.dumps(manifest).encode())
    if nested:
        other = blob(b"{}", platform={"os": "linux", "architecture": "s390x"})
        fit = {**row, "platform": {"os": "linux", "architecture": "amd64"}}
        row = blob(json.dumps({"manifests": [other, fit]}).encode())
    (root / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [row]}))
    (root / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    return root


def tarred(root: Path) -> Path:
    path = root.with_suffix(".tar")
    subprocess.run(["tar", "-cf", str(path), "-C", str(root), "."], check=True)
    return path


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("packed", [False, True])
def test_layout(tmp_path: Path, packed: bool, nested: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    layers = [gzip.compress(LAYERS[0]), zstandard.compress(LAYERS[1]), LAYERS[2]]
    source = layout(tmp_path / "oci", layers, nested)
    store = make(tmp_path)
    version = import_image(store, "app", tarred(source) if packed else source)
    assert contents(store, "app") == RESULT
    assert version.meta["oci"] == {"architecture": "amd64", "os": "linux"}


def test_docker_save_of_old(tmp_path: Path) -> None:
    root = tmp_path / "saved"
    for number, data in enumerate(LAYERS):
        (root / str(number)).mkdir(parents=True)
        (root / str(number) / "layer.tar").write_bytes(data)
    (root / "config.json").write_text("{}")
    listed = [{"Config": "config.json", "Layers": [f"{n}/layer.tar" for n in range(3)]}]
    (root / "manifest.json").write_text(json.dumps(listed))
    store = make(tmp_path)
    import_image(store, "app", tarred(root))
    assert contents(store, "app") == RESULT
    (root / "manifest.json").write_text(json.dumps(listed * 2))
    with pytest.raises(BadInput, match="several images"):
        import_image(store, "app", root)


def saved(root: Path, layers: list[bytes], told: list[bytes]) -> Path:
    """What `docker save` writes; `told` are the layers that its configuration tells of."""
    names = [f"{hashlib.sha256(data).hexdigest()}.tar" for data in layers]
    root.mkdir()
    for name, data in zip(names, layers, strict=True):
        (root / name).write_bytes(data)
    digests = [f"sha256:{hashlib.sha256(data).hexdigest()}" for data in told]
    (root / "config.json").write_text(json.dumps({"rootfs": {"diff_ids": digests}}))
    (root / "manifest.json").write_text(json.dumps([{"Config": "config.json", "Layers": names}]))
    return root


def test_docker_save_tells_what_its_layers_should_be(tmp_path: Path) -> None:
    store = make(tmp_path)
    import_image(store, "app", saved(tmp_path / "good", LAYERS, LAYERS))
    assert contents(store, "app") == RESULT
    packed = [gzip.compress(LAYERS[0]), *LAYERS[1:]]
    import_image(store, "app", saved(tmp_path / "packed", packed, LAYERS))
    assert contents(store, "app") == RESULT
    changed = [*LAYERS[:2], layer("etc/", ("etc/c", b"4"))]
    with pytest.raises(BadInput, match="does not match its digest"):
        import_image(store, "app", saved(tmp_path / "changed", changed, LAYERS))
    with pytest.raises(BadInput, match="has 2 layers"):
        import_image(store, "app", saved(tmp_path / "fewer", LAYERS[:2], LAYERS))


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.compress])
@pytest.mark.parametrize("form", [layout, lambda root, layers: saved(root, layers, layers)])
def test_compressed_as_a_whole(tmp_path: Path, pack: Any, form: Any) -> None:
    archive = tarred(form(tmp_path / "image", LAYERS))
    packed = tmp_path / "image.packed"
    packed.write_bytes(pack(archive.read_bytes()))
    store = make(tmp_path)
    import_image(store, "app", packed)
    assert contents(store, "app") == RESULT
    packed.write_bytes(packed.read_bytes()[:-20])
    with pytest.raises(BadInput):
        import_image(store, "app", packed)
    assert not list(store.temp.iterdir())


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("manifest.json", "[{}]"),
        ("manifest.json", "[1]"),
        ("manifest.json", '[{"Config": "c.json", "Layers": 3}]'),
        ("index.json", '{"manifests": 7}'),
        ("index.json", '{"manifests": [3]}'),
        ("index.json", '{"manifests": [{}]}'),
        ("index.json", '{"layers": [], "config": 3}'),
    ],
)
def test_a_strange_description_is_bad_input(tmp_path: Path, name: str, text: str) -> None:
    root = tmp_path / "image"
    root.mkdir()
    (root / "c.json").write_text("{}")
    (root / "oci-layout").write_text("{}")
    (root / name).write_text(text)
    with pytest.raises(BadInput):
        import_image(make(tmp_path), "app", root)


def test_a_directory_replaced_by_a_file_and_back(tmp_path: Path) -> None:
    source = layout(
        tmp_path / "oci", [layer("etc/", "d/", "d/x", "f"), layer("d", "f/", "f/y"), layer("d/", "d/z")]
    )
    store = make(tmp_path)
    import_image(store, "app", source)
    assert contents(store, "app") == {"d/z": b"", "f/y": b""}


def test_layers_that_do_not_list_their_directories(tmp_path: Path) -> None:
    """As some builders write them; and the one that a later layer does list is as that layer says."""
    store = make(tmp_path)
    layers = [layer(("etc/a", b"1"), ("usr/lib/x", b"2")), layer("usr/", ("etc/.wh.a", b""), ("etc/b", b"3"))]
    source = layout(tmp_path / "oci", layers)
    for number, given in enumerate((source, tarred(source))):
        import_image(store, f"app{number}", given)
        assert contents(store, f"app{number}") == {"etc/b": b"3", "usr/lib/x": b"2"}
        found = {entry.path: entry for entry in store.manifest(f"app{number}").entries()}
        assert [(found[path].type, found[path].mode) for path in (b"", b"etc", b"usr/lib")] == [
            ("dir", 0o755)
        ] * 3


def test_damage_is_seen_and_nothing_published(tmp_path: Path) -> None:
    store = make(tmp_path)
    source = layout(tmp_path / "oci", LAYERS)
    for blob in (source / "blobs/sha256").iterdir():
        good = blob.read_bytes()
        blob.write_bytes(good.replace(b"2", b"3", 1) if b"2" in good else good + b" ")
        with pytest.raises(BadInput):
            import_image(store, "app", source)
        blob.unlink()
        with pytest.raises(BadInput, match="missing"):
            import_image(store, "app", source)
        blob.write_bytes(good)
    assert store.names() == []
    import_image(store, "app", source)


@pytest.mark.parametrize(
    "index",
    [
        {},
        {"manifests": []},
        [],
        {"manifests": [{"digest": "sha256:../../etc/passwd"}]},
        {"manifests": [{"digest": "md5:00"}]},
        {"manifests": [{}]},
        {"manifests": [3]},
        {"manifests": "x"},
        {"layers": 3, "config": {}},
        {"layers": []},
    ],
)
def test_indexes_that_lead_nowhere(tmp_path: Path, index: Any) -> None:
    source = layout(tmp_path / "oci", LAYERS)
    (source / "index.json").write_text(json.dumps(index))
    with pytest.raises(BadInput):
        import_image(make(tmp_path), "app", source)


@pytest.mark.parametrize(
    "manifest", [[{}], [3], [{"Layers": 3, "Config": "c"}], [{"Layers": [], "Config": 3}]]
)
def test_a_docker_manifest_of_another_shape(tmp_path: Path, manifest: Any) -> None:
    source = tmp_path / "saved"
    source.mkdir()
    (source / "manifest.json").write_text(json.dumps(manifest))
    (source / "c").write_text("[]")
    with pytest.raises(BadInput):
        import_image(make(tmp_path), "app", source)


def test_which_is_which(tmp_path: Path) -> None:
    source = layout(tmp_path / "oci", LAYERS)
    assert is_layout(source) and is_layout(tarred(source))
    (tmp_path / "root/etc").mkdir(parents=True)
    assert not is_layout(tmp_path / "root") and not is_layout(tarred(tmp_path / "root"))
    shutil.copy(tarred(tmp_path / "root"), tmp_path / "other")
    assert not is_layout(tmp_path / "other")
