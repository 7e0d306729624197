"""The configuration file: the contract's keys, and one clear line for whatever cannot be used."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bootsrv.config import load, parse
from bootsrv.errors import ConfigError
from pxe.dhcp.subnet import Mode

FULL = """
data_dir = "/var/lib/bootsrv"
interfaces = ["br0"]
domain = "Cluster.Test"
[[subnets]]
cidr = "10.77.0.0/24"
mode = "authoritative"
pools = ["10.77.0.100-10.77.0.199"]
routers = ["10.77.0.1"]
lease_seconds = 3600
options = { ntp-servers = ["10.77.0.1"] }
[dhcp]
enabled = true
port = 67
[tftp]
enabled = true
port = 69
[dns]
enabled = false
port = 53
[http]
enabled = true
address = "10.77.0.1"
port = 8080
"""


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "bootsrv.toml"
    path.write_text(text)
    return path


class TestContract:
    def test_every_key(self, tmp_path: Path) -> None:
        config = load(write(tmp_path, FULL))
        assert config.interfaces == ("br0",)
        assert config.domain == "cluster.test"
        assert config.subnets[0].mode is Mode.AUTHORITATIVE
        assert config.subnets[0].options["ntp-servers"]
        assert config.http.address == "10.77.0.1"
        assert config.registry_file == Path("/var/lib/bootsrv/registry.db")

    def test_an_empty_file_answers_nobody_and_disturbs_nothing(self, tmp_path: Path) -> None:
        config = load(write(tmp_path, ""))
        assert config.interfaces == ()
        assert config.http.port == 8080

    def test_proxy_is_the_default_mode(self) -> None:
        config = parse({"subnets": [{"cidr": "10.0.0.0/24"}]}, Path("f"))
        assert config.subnets[0].mode is Mode.PROXY

    def test_the_appliances_options_are_below_the_subnets(self) -> None:
        table = {
            "dhcp": {"options": {"interface-mtu": 1400, "ntp-servers": ["10.0.0.9"]}},
            "subnets": [{"cidr": "10.0.0.0/24", "options": {"ntp-servers": ["10.0.0.1"]}}],
        }
        options = parse(table, Path("f")).subnets[0].options
        assert options["interface-mtu"] == 1400
        assert options["ntp-servers"] == ["10.0.0.1"]

    def test_the_example_is_valid(self) -> None:
        example = load(Path(__file__).parents[3] / "bootsrv" / "bootsrv.toml.example")
        assert example.interfaces == (), "as it is copied it answers nobody"


BAD: list[tuple[dict[str, Any], str]] = [
    ({"interface": ["br0"]}, "key interface: there is no such key"),
    ({"http": {"prot": 80}}, "key http.prot: there is no such key"),
    ({"interfaces": "br0"}, "key interfaces: expected array, got str"),
    ({"interfaces": ["br0", "br0"]}, "key interfaces[1]"),
    ({"interfaces": ["a b"]}, "key interfaces[0]"),
    ({"data_dir": "here"}, "key data_dir"),
    ({"domain": "-x"}, "key domain"),
    ({"http": {"port": 70000}}, "key http.port"),
    ({"http": {"address": "nowhere"}}, "key http.address"),
    ({"dhcp": {"port": 69}}, "key tftp.port"),
    ({"dhcp": {"proxy_port": 67}}, "key dhcp.proxy_port"),
    ({"subnets": [{"cidr": "10.0.0.1/24"}]}, "key subnets[0].cidr"),
    ({"subnets": [{"cidr": "10.0.0.0/24", "mode": "both"}]}, "key subnets[0].mode"),
    ({"subnets": [{"cidr": "10.0.0.0/24", "colour": 1}]}, "key subnets[0].colour"),
    (
        {"subnets": [{"cidr": "10.0.0.0/24", "pools": ["10.0.0.9", "10.1.0.5-10.1.0.9"]}]},
        "key subnets[0].pools[1]",
    ),
    ({"subnets": [{"cidr": "10.0.0.0/24"}, {"cidr": "10.0.0.128/25"}]}, "key subnets[1].cidr"),
    (
        {"subnets": [{"cidr": "10.0.0.0/24", "options": {"interface-mtu": 10}}]},
        "subnets[0].options.interface-mtu",
    ),
    ({"subnets": [{"cidr": "10.0.0.0/24", "options": {"no-such": 1}}]}, "subnets[0].options.no-such"),
    (
        {"dhcp": {"options": {"default-tcp-ttl": 0}}, "subnets": [{"cidr": "10.0.0.0/24"}]},
        "dhcp.options.default-tcp",
    ),
    ({"subnets": [{"cidr": "10.0.0.0/24", "interface": "br9"}]}, "key subnets[0].interface"),
    ({"nodes": {"root_password_hash": "secret"}}, "key nodes.root_password_hash"),
    ({"nodes": {"ssh_authorized_keys": ["ssh-ed25519"]}}, "key nodes.ssh_authorized_keys[0]"),
    ({"imager": {"layout": {"partitions": []}}}, "key imager.layout"),
    (
        {"imager": {"layout": "nope"}, "layouts": {"raid": {}, "big": {}}},
        "key imager.layout: 'nope' is not a layout: a table is wanted, [imager.layout] with partitions; "
        "layouts by name ([layouts] has big, raid)",
    ),
    ({"imager": {"layout": ["nope"]}}, "([layouts] has none)"),
    ({"nodes": {"ssh_authorized_keys": ["ssh-ed25519 AAAA\tme"]}}, "key nodes.ssh_authorized_keys[0]"),
    ({"imager": {"kernel_args": "a${b}"}}, "key imager.kernel_args"),
    ({"imager": {"kernel_args": "quiet || reboot"}}, "key imager.kernel_args: '||'"),
    ({"imager": {"console": ["&&"]}}, "key imager.console: '&&'"),
    ({"imager": {"finish": "explode"}}, "key imager.finish"),
]


class TestRefused:
    @pytest.mark.parametrize(("table", "said"), BAD, ids=[said for _, said in BAD])
    def test_names_file_key_and_reason_on_one_line(self, table: dict[str, Any], said: str) -> None:
        with pytest.raises(ConfigError) as caught:
            parse(table, Path("/etc/x.toml"))
        text = str(caught.value)
        assert text.startswith("/etc/x.toml: ")
        assert said in text
        assert "\n" not in text
        assert caught.value.exit_code == 2

    def test_not_toml(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match="not valid TOML"):
            load(write(tmp_path, "interfaces = [\n"))

    def test_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match="cannot be read: No such file"):
            load(tmp_path / "missing.toml")

    def test_not_utf8(self, tmp_path: Path) -> None:
        path = tmp_path / "x.toml"
        path.write_bytes(b'domain = "\xff"')
        with pytest.raises(ConfigError, match="not valid TOML"):
            load(path)
