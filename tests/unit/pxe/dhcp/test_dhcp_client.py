"""Who asks: option 60, 77, 93, 97, 175, 82 and 81 as real clients send them, and as no client should."""

from __future__ import annotations

import pytest
from dhcp_house import MAC, discover, http, ipxe, pxe
from hypothesis import given
from hypothesis import strategies as st

from pxe.dhcp import codes
from pxe.dhcp.client import describe, sub_options
from pxe.dhcp.ports import Stage
from pxe.dhcp.wire import Packet
from pxe.loaders import BY_CODE, architecture, loader_for


class TestStage:
    def test_firmware(self) -> None:
        client = describe(discover(options=pxe(7)))
        assert (client.stage, client.arch, client.http_boot, client.mac) == (Stage.FIRMWARE, 7, False, MAC)

    def test_http_boot(self) -> None:
        client = describe(discover(options=http(16)))
        assert (client.stage, client.arch, client.http_boot) == (Stage.FIRMWARE, 16, True)

    @pytest.mark.parametrize("version", [(1, 20, 0), (1, 21, 1), (2, 0, 0)])
    def test_recent_ipxe(self, version: tuple[int, int, int]) -> None:
        assert describe(discover(options=ipxe(version))).stage is Stage.IPXE

    @pytest.mark.parametrize("version", [(1, 0, 1), (0, 9, 7), (1, 19, 255)])
    def test_old_ipxe(self, version: tuple[int, int, int]) -> None:
        assert describe(discover(options=ipxe(version))).stage is Stage.OLD_IPXE

    def test_distribution_builds_without_a_number(self) -> None:
        """Recorded: Debian's iPXE of 2025 and the ROM of 2019 in QEMU both say 1.0.0."""
        recent, old = (
            {
                55: bytes.fromhex(asks),
                60: b"PXEClient:Arch:00000:UNDI:002001",
                77: b"iPXE",
                175: bytes.fromhex("b105011af41000eb0301000017010122010113010111010127010119010129010110"),
            }
            for asks in (
                "010306070c0f111a2a2a2b3c4243778081828384858687afcb",
                "010306070c0f111a2b3c4243778081828384858687afcb",
            )
        )
        assert describe(discover(options=recent)).stage is Stage.IPXE
        assert describe(discover(options=old)).stage is Stage.OLD_IPXE

    def test_ipxe_without_version_or_without_http(self) -> None:
        for features in (b"", b"\xeb", b"\xeb\x03\x01", bytes((235, 3, 1, 21, 1))):
            assert describe(discover(options={**ipxe(), codes.IPXE: features})).stage is Stage.OLD_IPXE

    def test_user_class_with_length_byte_rfc3004(self) -> None:
        assert describe(discover(options={**ipxe(), codes.USER_CLASS: b"\x04iPXE"})).stage is Stage.IPXE

    def test_gpxe(self) -> None:
        assert describe(discover(options={**pxe(0), codes.USER_CLASS: b"gPXE"})).stage is Stage.OLD_IPXE

    def test_system(self) -> None:
        assert describe(discover(options={codes.VENDOR_CLASS: b"udhcp 1.35.0"})).stage is Stage.SYSTEM
        assert describe(discover()).stage is Stage.SYSTEM


class TestFacts:
    def test_arch_from_the_class_text(self) -> None:
        options = pxe(11)
        del options[codes.ARCH]
        assert describe(discover(options=options)).arch == 11

    def test_uuid_as_dmidecode_shows_it(self) -> None:
        client = describe(discover(options=pxe(uuid=bytes(range(16)))))
        assert client.uuid == "03020100-0504-0706-0809-0a0b0c0d0e0f"

    @pytest.mark.parametrize("data", [b"", b"\0", b"\1" + bytes(range(16)), bytes(17), b"\0" + b"\xff" * 16])
    def test_uuids_that_say_nothing(self, data: bytes) -> None:
        assert describe(discover(options={codes.CLIENT_UUID: data})).uuid is None

    def test_relay_data_rfc3046(self) -> None:
        client = describe(discover(options={codes.RELAY_INFO: b"\x01\x04eth0\x02\x02sw"}))
        assert (client.circuit_id, client.remote_id) == (b"eth0", b"sw")

    @pytest.mark.parametrize(
        "options, name",
        [
            ({codes.HOST_NAME: b"n1"}, "n1"),
            ({codes.HOST_NAME: b"n1\0"}, "n1"),
            ({codes.HOST_NAME: b"n1; reboot"}, ""),
            ({codes.HOST_NAME: b"\xff\xfe"}, ""),
            ({codes.CLIENT_FQDN: b"\0\0\0n1.a.test."}, "n1.a.test"),
            ({codes.CLIENT_FQDN: b"\4\0\0\2n1\1a\4test\0"}, "n1.a.test"),
            ({codes.CLIENT_FQDN: b"\4\0\0\x3fn"}, "n"),
        ],
    )
    def test_host_name(self, options: dict[int, bytes], name: str) -> None:
        assert describe(discover(options=options)).hostname == name

    def test_infiniband_has_no_hardware_address_in_the_header_rfc4390(self) -> None:
        packet = Packet(
            htype=32, options={codes.CLIENT_ID: b"\xff\0\0\0\0\0\2\0\0\2\xc9\0" + bytes(range(8))}
        )
        assert describe(packet).mac == "00:01:02:03:04:05:06:07"

    def test_vendor_class_is_printable(self) -> None:
        assert (
            describe(discover(options={codes.VENDOR_CLASS: b"PXEClient\x1b[2J\0"})).vendor_class
            == "PXEClient[2J"
        )

    @given(st.dictionaries(st.sampled_from([12, 60, 61, 77, 81, 82, 93, 97, 175]), st.binary(max_size=64)))
    def test_nothing_a_client_sends_hurts(self, options: dict[int, bytes]) -> None:
        assert describe(discover(options=options)).mac == MAC

    @given(st.binary(max_size=300))
    def test_sub_options_end(self, data: bytes) -> None:
        assert sum(2 + len(value) for _code, value in sub_options(data)) <= len(data)


LOADERS = {
    "undionly.kpxe": {0, 20},
    "snponly.efi": {7, 9, 16, 17},  # real x64 firmware announces 7 or 9
    "ipxe-arm64.efi": {11, 19, 22, 24},
    "ipxe-riscv64.efi": {27, 28},
    "ipxe-loong64.efi": {39, 40},
}


class TestLoaders:
    """IANA's list of processor architecture types."""

    @pytest.mark.parametrize("code", range(42))
    def test_file(self, code: int) -> None:
        wanted = next((name for name, codes in LOADERS.items() if code in codes), None)
        assert loader_for(code) == wanted
        assert architecture(code).code == code and "architecture" not in architecture(code).name

    def test_old_and_unheard_of_machines(self) -> None:
        assert loader_for(None) == "undionly.kpxe"
        assert loader_for(42) is None and architecture(42).name == "architecture 42"

    def test_http_variants(self) -> None:
        http_codes = {15, 16, 17, 18, 19, 20, 23, 24, 26, 28, 30, 38, 40}
        assert {code for code, entry in BY_CODE.items() if entry.http} == http_codes
        assert all(code == entry.code for code, entry in BY_CODE.items())

    def test_firmware_kind(self) -> None:
        assert architecture(0).firmware == "bios" and architecture(7).firmware == "uefi"
        assert architecture(999).firmware == "other"
