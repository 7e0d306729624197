"""UEFI boot entries on a fake efivars directory."""

import struct

from images.agent import nvram

GUID = "11111111-2222-4333-8444-555555555555"


def option(label: str, *nodes: tuple[int, int]) -> bytes:
    path = b"".join(struct.pack("<BBH", kind, sub, 4) for kind, sub in (*nodes, (0x7F, 0xFF)))
    return struct.pack("<IH", 1, len(path)) + label.encode("utf-16-le") + b"\0\0" + path


def variables(folder, order, current=None, **entries):
    for name, raw in entries.items():
        (folder / f"{name}-{nvram.GLOBAL}").write_bytes(struct.pack("<I", 7) + raw)
    (folder / f"BootOrder-{nvram.GLOBAL}").write_bytes(struct.pack(f"<I{len(order)}H", 7, *order))
    if current is not None:
        (folder / f"BootCurrent-{nvram.GLOBAL}").write_bytes(struct.pack("<IH", 6, current))


def order(folder):
    raw = (folder / f"BootOrder-{nvram.GLOBAL}").read_bytes()[4:]
    return list(struct.unpack(f"<{len(raw) // 2}H", raw))


def install(folder):
    return nvram.install(2, 4096, 262144, GUID, "\\EFI\\bootsrv\\grubx64.efi", folder)


def test_network_stays_first_and_our_disk_follows_it(tmp_path):
    variables(
        tmp_path, [0, 1, 2, 3], 2,
        Boot0000=option("UiApp", (4, 6)), Boot0001=option("old disk", (4, 1)),
        Boot0002=option("PXEv4", (1, 1), (3, 11), (3, 12)), Boot0003=option("HTTP", (3, 11), (3, 24)),
    )  # fmt: skip
    assert install(tmp_path) == "0002,0000,0001,0003,0004"
    assert order(tmp_path) == [2, 0, 1, 3, 4]


def test_second_install_replaces_the_first(tmp_path):
    variables(tmp_path, [0], 0, Boot0000=option("PXE", (3, 11)))
    install(tmp_path)
    install(tmp_path)
    assert order(tmp_path) == [0, 1]
    assert len(list(tmp_path.glob("Boot00*"))) == 2


def test_duplicates_of_ours_are_tidied_away(tmp_path):
    ours = nvram.disk_entry(nvram.LABEL, 1, 2, 3, GUID, "\\x")
    variables(tmp_path, [5, 0, 6], None, Boot0000=option("PXE", (3, 11)), Boot0005=ours, Boot0006=ours)
    install(tmp_path)
    assert order(tmp_path) == [0, 5]
    assert not (tmp_path / f"Boot0006-{nvram.GLOBAL}").exists()


def test_firmware_without_any_entry(tmp_path):
    variables(tmp_path, [])
    assert install(tmp_path) == "0000"


def test_entry_names_partition_and_file(tmp_path):
    raw = nvram.disk_entry("label", 2, 4096, 262144, GUID, "\\EFI\\a.efi")
    entry = nvram.parse(raw)
    assert entry is not None and entry.label == "label" and not entry.network
    assert nvram.nodes(entry.path) == [(4, 1), (4, 4), (0x7F, 0xFF)]
    number, start, sectors = struct.unpack_from("<IQQ", entry.path, 4)
    assert (number, start, sectors) == (2, 4096, 262144)
    assert entry.path[24:28] == bytes.fromhex("11111111") and "\\EFI\\a.efi".encode("utf-16-le") in entry.path


def test_damaged_entries_do_not_stop_us(tmp_path):
    variables(tmp_path, [1, 2], None, Boot0001=b"\1", Boot0002=struct.pack("<IHBBH", 1, 900, 65, 0, 0))
    assert install(tmp_path).endswith("0001,0002")
