"""iPXE scripts: what they say, and that no value can break out of its place."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pxe import ipxe

KERNEL = "http://10.77.0.1:8080/boot/imager/vmlinuz"
INITRD = "http://10.77.0.1:8080/boot/imager/initrd.img?v=2"
SELF = "http://10.77.0.1:8080/boot/52-54-00-00-00-01/script.ipxe"


def started(kernel, initrd, cmdline, note="", retry_url=None):
    return ipxe.kernel(kernel, [initrd], cmdline, note, retry_url, "it did not start")


def test_kernel():
    script = started(KERNEL, INITRD, "bootsrv.token=abc console=ttyS0 initrd=initrd.img", "hello", SELF)
    lines = script.splitlines()
    assert lines[0] == "#!ipxe"
    arguments = "bootsrv.token=abc console=ttyS0 initrd=initrd.img"
    assert f"kernel {KERNEL} {arguments} || goto failed" in lines
    assert f"initrd --name initrd.img {INITRD} || goto failed" in lines
    assert lines.index("boot || goto failed") < lines.index(":failed") < lines.index("sleep 10")
    assert f"chain --replace --autofree {SELF} ||" in lines


def test_local_starts_our_loader_on_uefi_else_leaves_it_to_the_firmware_and_starts_the_bios_disk():
    lines = ipxe.local().splitlines()
    steps = [
        "iseq ${platform} efi || goto bios",
        "sanboot --no-describe --drive 0 --filename \\EFI\\bootsrv\\grubx64.efi || exit 1",
        ":bios",
        "sanboot --no-describe --drive 0x80 || goto failed",
    ]
    start = lines.index(steps[0])
    assert lines[start : start + 4] == steps


def test_handover_finds_its_card_and_otherwise_does_as_usual():
    script = ipxe.handover("52:54:00:00:00:01", SELF)
    lines = script.splitlines()
    assert lines[0] == "#!ipxe"
    assert "iseq ${net${card}/mac} 52:54:00:00:00:01 && goto found ||" in lines
    found, usual = lines.index(":found"), lines.index(":usual")
    assert lines[found + 1 : usual] == [
        "isset ${net${card}/ip} || goto usual",
        "ifopen net${card} || goto usual",
        f"chain --replace --autofree {SELF} ||",
    ]
    assert lines[usual + 1] == "autoboot"


@pytest.mark.parametrize("mac", ["", "52:54:00:00:00", "52:54:00:00:00:01\nreboot", "52-54-00-00-00-01"])
def test_handover_takes_nothing_but_a_mac(mac):
    with pytest.raises(ValueError):
        ipxe.handover(mac, SELF)


def test_message_asks_again():
    assert f"chain --replace --autofree {SELF} || goto failed" in ipxe.message("wait", SELF).splitlines()


@given(st.text(max_size=60))
def test_no_note_can_add_a_command(note):
    empty, noted = ipxe.local().splitlines(), ipxe.local(note).splitlines()
    extra = [line for line in noted if line not in empty]
    assert len(noted) - len(empty) == len(extra) <= 1
    for line in extra:
        assert line.startswith("echo bootsrv: ")
        assert "${" not in line and "||" not in line.split() and "&&" not in line.split()
        assert line.isascii() and line.isprintable()


@given(st.text(max_size=60))
def test_no_argument_can_add_a_command(cmdline):
    try:
        script = started(KERNEL, INITRD, cmdline)
    except ValueError:
        return
    plain = started(KERNEL, INITRD, "x").splitlines()
    assert len(script.splitlines()) == len(plain)
    line = next(line for line in script.splitlines() if line.startswith("kernel "))
    assert line == f"kernel {KERNEL} {cmdline} || goto failed"


@pytest.mark.parametrize(
    "bad", ["a\nshell", "a ${net0/mac}", "a || shell", "a && shell", "é", "a\x00b", "a\rb"]
)
def test_refused_arguments(bad):
    with pytest.raises(ValueError):
        started(KERNEL, INITRD, bad)


@pytest.mark.parametrize(
    "bad", ["", "vmlinuz", "http://", "http://a b", "http://a/\n", "http://a/${x}", 'http://"']
)
def test_refused_urls(bad):
    with pytest.raises(ValueError):
        started(bad, INITRD, "")
    with pytest.raises(ValueError):
        ipxe.message("text", bad)


def test_the_serial_number_is_asked_for_in_the_machines_own_words() -> None:
    text = ipxe.tell_serial(f"{SELF}?retry=1", "serial")
    assert f"chain --replace --autofree {SELF}?retry=1&serial=${{serial:uristring}} || goto failed" in text
    for url, name in ((SELF, "serial"), (f"{SELF}?a=${{b}}", "serial"), (f"{SELF}?a=1", "a b")):
        with pytest.raises(ValueError):
            ipxe.tell_serial(url, name)
