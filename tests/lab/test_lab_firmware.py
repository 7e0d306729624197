"""Real firmware and boot loaders of others against our service: what each asks, gets and starts, and that the
flight recorder tells it. SeaBIOS with its iPXE ROM, OVMF by PXE, by HTTP Boot and with Secure Boot, our iPXE,
PXELINUX, shim and GRUB; three of them also where another server gives the addresses."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from types import SimpleNamespace

import pytest
from firmware_floor import Floor, order
from kept import keep

from bootsrv.lab.firmware import Firmware
from bootsrv.lab.lab import Lab

pytestmark = [pytest.mark.lab, pytest.mark.timeout(400)]


@pytest.fixture(scope="module")
def floor() -> Iterator[SimpleNamespace]:
    with ExitStack() as stack:
        own, beside, menu = floors = [Floor(stack.enter_context(Lab())) for _ in range(3)]
        for each, name in zip(floors, ("firmware-", "proxy-", "menu-"), strict=True):
            stack.callback(keep, each.lab, name)
        beside.beside_another_server()
        menu.beside_another_server()
        menu.configure('mode = "proxy"', 'mode = "proxy"\npxe_menu = 1')
        for each in floors:
            each.start()
        own.ubuntu("noble")
        yield SimpleNamespace(
            own=own,
            beside=beside,
            menu=menu,
            secure=own.add("shim-grub", Firmware.UEFI_SECURE, "shimx64.efi"),
            refused=own.add("refused", Firmware.UEFI_SECURE),
            grub=own.add("grub", Firmware.UEFI, "grub/x86_64-efi/core.efi"),
            installed=own.add("by-grub", Firmware.UEFI, "grub/x86_64-efi/core.efi", UBUNTU),
            pxelinux=own.add("pxelinux", Firmware.BIOS, "pxelinux.0"),
            rom=own.add("ipxe-rom", Firmware.BIOS),
            pxe=own.add("ovmf-pxe", Firmware.UEFI),
            http=own.add("ovmf-http", Firmware.UEFI_HTTP),
            proxy_rom=beside.add("proxy-ipxe-rom", Firmware.BIOS),
            proxy_pxe=beside.add("proxy-ovmf-pxe", Firmware.UEFI),
            proxy_http=beside.add("proxy-ovmf-http", Firmware.UEFI_HTTP),
            menu_pxe=menu.add("menu-ovmf-pxe", Firmware.UEFI),
        )


UBUNTU = 'target = "ubuntu24.04"\n[[users]]\nname = "ada"\nkeys = ["ssh-ed25519 AAAAC3NzaC1 ada"]\n'
SCRIPT = "http.done boot script sent"


def test_ovmf_pxe_goes_to_its_script_without_a_second_dhcp(floor: SimpleNamespace) -> None:
    lines = floor.own.until_script(floor.pxe)
    order(lines, "dhcp.discover", "dhcp.ack", "tftp.done snponly.efi", "tftp.done autoexec.ipxe", SCRIPT)
    assert sum(line.startswith("dhcp.discover") for line in lines) == 1


def test_ovmf_http_boot_too(floor: SimpleNamespace) -> None:
    lines = floor.own.until_script(floor.http)
    order(lines, "dhcp.ack", "http.done loaders/snponly.efi", "http.done loaders/autoexec.ipxe", SCRIPT)
    assert sum(line.startswith("dhcp.discover") for line in lines) == 1
    assert not any(line.startswith("tftp.") for line in lines)


def test_secure_boot_by_shim_and_signed_grub(floor: SimpleNamespace) -> None:
    floor.secure.console.wait_for("grub came by tftp", 240)
    lines = floor.own.until(floor.secure, lambda lines: "grub.cfg sent" in str(lines), "read its file")
    floor.secure.cut()
    order(
        lines, "dhcp.ack", "tftp.done shimx64.efi", "tftp.missing", "tftp.done grubx64.efi",
        "tftp.done /grub/grub.cfg",
    )  # fmt: skip
    assert "tftp.missing no file 'shim_certificate_0.efi'" in lines, "shim asks for more"


def test_grub_of_a_net_directory_by_tftp_and_then_by_http(floor: SimpleNamespace) -> None:
    floor.grub.console.wait_for("grub came by tftp", 240)
    floor.grub.console.wait_for("grub went on by http", 60)
    lines = floor.own.until(floor.grub, lambda lines: "more.cfg sent" in str(lines), "read by HTTP")
    floor.grub.cut()
    order(
        lines, "dhcp.ack", "tftp.done grub/x86_64-efi/core.efi", "tftp.done /grub/grub.cfg",
        "tftp.done /grub/x86_64-efi/http.mod", "http.done grub/more.cfg",
    )  # fmt: skip


def test_grub_starts_an_installer_with_the_whole_of_its_command_line(floor: SimpleNamespace) -> None:
    """`ds=nocloud;s=...`: unquoted, GRUB would end the command at the semicolon."""
    kernel = floor.installed.console.wait_for(r"Kernel command line: .*", 240)[0]
    floor.installed.cut()
    node = floor.own.verbs.registry.nodes.by_mac(floor.installed.spec.mac)
    assert "autoinstall ds=nocloud;s=http://10.77.0.1:8080/install/" in kernel, kernel
    lines = floor.own.until(floor.installed, lambda lines: SCRIPT in lines, "got its script")
    order(
        lines, "dhcp.ack", "tftp.done grub/x86_64-efi/core.efi", "tftp.done /grub/grub.cfg", SCRIPT,
        "http.done tree/noble/casper/vmlinuz", "http.done tree/noble/casper/initrd",
    )  # fmt: skip
    assert node is not None and node.armed is not None and node.armed.attempts == 1


def test_an_ipxe_rom_comes_to_its_script_an_old_one_by_our_ipxe(floor: SimpleNamespace) -> None:
    lines = floor.own.until_script(floor.rom)
    if floor.own.is_old(floor.rom):
        order(lines, "dhcp.ack", "tftp.done undionly.kpxe", "dhcp.discover", "dhcp.ack", SCRIPT)
    else:
        order(lines, "dhcp.ack", SCRIPT)


def test_pxelinux_finds_its_configuration(floor: SimpleNamespace) -> None:
    # A busy host makes it ask twice and take the first answer: what it read is on its console.
    floor.pxelinux.console.wait_for("pxelinux read its file", 300)
    lines = floor.own.until(floor.pxelinux, lambda lines: "start pxelinux.cfg/def" in str(lines), "asked")
    floor.pxelinux.cut()
    mac = floor.pxelinux.spec.mac.replace(":", "-")
    order(
        lines, "dhcp.ack", "tftp.done pxelinux.0", "tftp.done ldlinux.c32",
        f"tftp.missing no file 'pxelinux.cfg/01-{mac}'", "tftp.start pxelinux.cfg/default",
    )  # fmt: skip


def test_beside_another_server_ovmf_takes_its_address_and_our_file(floor: SimpleNamespace) -> None:
    lines = floor.beside.until_script(floor.proxy_pxe)
    order(lines, "dhcp.discover", "dhcp.offer told to load snponly.efi", "tftp.done snponly.efi", SCRIPT)
    given = floor.beside.other.log.read_text()
    assert "DHCPACK(eth0) 10.77.0." in given and floor.proxy_pxe.spec.mac in given


def test_beside_another_server_ovmf_with_a_menu_asks_its_boot_server(floor: SimpleNamespace) -> None:
    """PXE 2.1 section 2.2.5: the choice is put to port 4011, by a machine that has its address."""
    lines = floor.menu.until_script(floor.menu_pxe)
    order(lines, "dhcp.discover", "dhcp.offer told", "dhcp.ack told", "tftp.done snponly.efi", SCRIPT)
    assert floor.menu_pxe.spec.mac in floor.menu.asked(4011)


def test_beside_another_server_http_boot_takes_our_url(floor: SimpleNamespace) -> None:
    lines = floor.beside.until_script(floor.proxy_http)
    order(lines, "dhcp.discover", "dhcp.offer told to load http://", "http.done loaders/snponly.efi", SCRIPT)


def test_beside_another_server_an_ipxe_rom_does_too(floor: SimpleNamespace) -> None:
    lines = floor.beside.until_script(floor.proxy_rom)
    if floor.beside.is_old(floor.proxy_rom):
        order(lines, "dhcp.offer told to load undionly.kpxe", "tftp.done undionly.kpxe", "dhcp.offer", SCRIPT)
    else:
        order(lines, "dhcp.offer told to load http://", SCRIPT)


def test_an_ipxe_rom_does_not_wait_for_an_ipv6_router_where_we_rule(floor: SimpleNamespace) -> None:
    """Nobody answers its solicitations in the other lab; there it gives up, an old one after 16 s."""
    ours = floor.own.pause(floor.rom, "dhcp.ack")
    theirs = floor.beside.pause(floor.proxy_rom, "dhcp.request")
    print(f"an iPXE ROM goes on {ours:.1f} s after its ACK, without an advertisement {theirs:.1f} s")
    assert ours < theirs, (ours, theirs)


def test_what_secure_boot_does_not_start_is_explained(floor: SimpleNamespace) -> None:
    def explained(_: list[str]) -> bool:
        node = floor.own.verbs.registry.nodes.by_mac(floor.refused.spec.mac)
        return node is not None and "Secure Boot" in str(floor.own.verbs.watch.explain(node))

    lines = floor.own.until(floor.refused, explained, "was explained")
    floor.refused.cut()
    order(lines, "dhcp.ack", "tftp.done snponly.efi", "dhcp.discover")
    assert SCRIPT not in lines


def test_nobody_was_refused_and_nothing_broke(floor: SimpleNamespace) -> None:
    for each in (floor.own, floor.beside, floor.menu):
        kinds = {event.kind for event in each.verbs.watch.latest()}
        assert not {kind for kind in kinds if kind.startswith("alarm") or kind in ("dhcp.nak", "dhcp.none")}
        assert not [line for line in each.lab.service.said() if "Traceback" in line]
    assert not [e for e in floor.beside.verbs.watch.latest() if e.kind == "dhcp.ack"], "a proxy gives none"


def test_what_went_over_the_wire_was_captured(floor: SimpleNamespace) -> None:
    for each in (floor.own, floor.beside, floor.menu):
        each.capture.close()
        assert {machine.spec.mac for machine in each.lab.machines} <= each.asked()
