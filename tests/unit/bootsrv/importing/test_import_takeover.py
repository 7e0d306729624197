"""From a file to nodes and configuration: dialects told apart, TOML that loads again, all nodes or none."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from bootsrv.appliance.appliance import Appliance
from bootsrv.appliance.nodes import Wanted
from bootsrv.cli.main import cli
from bootsrv.config import parse
from bootsrv.errors import Conflict
from bootsrv.importing import dialect, isc, toml
from bootsrv.importing.boot_files import without_boot_files
from bootsrv.importing.imported import Imported, ImportedNode, ImportFailed
from bootsrv.importing.takeover import take_over
from bootsrv.model import AddressMethod
from pxe.dhcp.subnet import build_subnet

DATA = Path(__file__).parent / "data"
FILES = {"cluster.dhcpd.conf": "isc", "office.dnsmasq.conf": "dnsmasq", "campus.kea.conf": "kea"}
MAC = "02:00:00:00:00:0"


@pytest.mark.parametrize(("name", "expected"), FILES.items())
def test_dialects_are_told_apart(name: str, expected: str) -> None:
    assert dialect.read((DATA / name).read_text(), name).dialect == expected


@pytest.mark.parametrize(
    "text", ["", "hello", "# subnet 10.0.0.0 netmask 255.0.0.0 {", "interface=eth0\nauthoritative;"]
)
def test_an_unclear_file_is_refused(text: str) -> None:
    with pytest.raises(ImportFailed, match="say which with --dialect"):
        dialect.detect(text, "x")


@pytest.mark.parametrize("name", FILES)
def test_the_configuration_that_is_printed_loads(name: str, tmp_path: Path) -> None:
    found = dialect.read((DATA / name).read_text(), name)
    config = parse(tomllib.loads(toml.snippet(found)), tmp_path / "bootsrv.toml")
    assert [subnet.cidr for subnet in config.subnets] == [subnet.cidr for subnet in found.subnets]
    for subnet, wanted in zip(config.subnets, found.subnets, strict=True):
        assert subnet.pools == wanted.pools and subnet.routers == wanted.routers
        assert dict(subnet.options) == {**found.options, **wanted.options}
    assert config.domain == found.domain


_SEEDS = {name: (DATA / name).read_text() for name in FILES}
_EDITS = st.lists(
    st.tuples(st.floats(0, 1), st.integers(0, 40), st.one_of(st.text(max_size=3), st.floats(0, 1))),
    max_size=6,
)


@given(st.sampled_from(sorted(FILES)), _EDITS)
def test_damaged_files_are_read_or_refused_with_a_line(
    name: str, edits: list[tuple[float, int, str | float]]
) -> None:
    """Real files with pieces taken out, put in, or moved: what people do to them, unlike random text."""
    text = _SEEDS[name]
    for place, length, what in edits:
        at = int(place * len(text))
        piece = what if isinstance(what, str) else text[int(what * len(text)) :][:length]
        text = text[:at] + piece + text[at + (length if isinstance(what, str) else 0) :]
    try:
        found = dialect.read(text, "x", FILES[name])
    except ImportFailed as error:
        assert 1 <= error.line <= text.count("\n") + 1
        return
    for subnet in found.subnets:
        build_subnet(subnet.table())
    tomllib.loads(toml.snippet(found))


@given(st.text(max_size=40))
def test_toml_texts_load_again(text: str) -> None:
    text = text.encode("utf-8", "replace").decode()
    found = Imported("x", "isc", options={"domain-name": text})
    assert tomllib.loads(toml.snippet(found)) == {"dhcp": {"options": {"domain-name": text}}}


def test_boot_files_are_left_out_with_a_note() -> None:
    found = isc.read('filename "a"; group g { next-server 10.0.0.1; option root-path "/x"; }', "x")
    kept = without_boot_files(found)
    assert kept.options == {} and kept.groups[0].options == {"root-path": "/x"}
    assert len(kept.notes) == len(found.notes) + 2


def nodes(*rows: tuple[str, str, str | None]) -> Imported:
    text = "".join(
        f"host {name} {{ hardware ethernet {mac}; {f'fixed-address {address};' if address else ''} }}\n"
        for name, mac, address in rows
    )
    return isc.read(text, "d")


def test_taking_over(house: Appliance) -> None:
    found = isc.read(
        "group rack { option interface-mtu 9000;\n"
        f" host n1 {{ hardware ethernet {MAC}1; fixed-address 10.77.0.11; }} }}\n"
        f"host n2 {{ hardware ethernet {MAC}2; }}\n",
        "d",
    )
    rehearsed = take_over(house, found, dry_run=True)
    assert list(house.nodes.list()) == []
    assert take_over(house, found) == rehearsed
    n1, n2 = house.nodes.list()
    assert (str(n1.address), n1.method, n1.groups) == ("10.77.0.11", AddressMethod.RESERVED, ("rack",))
    assert (n2.address, n2.method, n2.armed) == (None, AddressMethod.DYNAMIC, None)
    assert house.registry.nodes.group_options(["rack"]) == {"interface-mtu": 9000}


def test_taking_over_twice_changes_nothing(house: Appliance) -> None:
    found = nodes(("n1", MAC + "1", "10.77.0.11"))
    take_over(house, found)
    house.nodes.set("n1", Wanted(address="10.77.0.12"))
    again = take_over(house, found)
    assert (again.added, again.present) == ((), ("n1",))
    assert str(house.nodes.show("n1").address) == "10.77.0.12"


def test_problems_are_all_named_and_nothing_is_registered(house: Appliance) -> None:
    house.nodes.add(Wanted(name="old", macs=[MAC + "9"], address="10.77.0.19"))
    found = nodes(
        ("n1", MAC + "1", "10.77.0.11"),
        ("n2", MAC + "2", "10.77.0.19"),
        ("n3", MAC + "9", None),
        ("n4", MAC + "4", "192.168.0.1"),
        ("n5", MAC + "5", "192.168.0.2"),
    )
    outcome = take_over(house, found)
    assert [problem.split(": ")[0] for problem in outcome.problems][1:] == ["d:2", "d:3"]
    assert outcome.problems[0].startswith("2 nodes have an address in no subnet of ")
    assert outcome.added == ()
    assert [node.name for node in house.nodes.list()] == ["old"]


def test_groups_that_differ_keep_their_order(house: Appliance) -> None:
    """The registry merges groups by name; the inner block of the file has to win all the same."""
    found = isc.read(
        "group z { option interface-mtu 1000; group a { option interface-mtu 2000; "
        f"host n1 {{ hardware ethernet {MAC}1; }} }} }}",
        "d",
    )
    assert found.nodes[0] == ImportedNode("n1", (MAC + "1",), None, ("z", "a"), {"interface-mtu": 2000}, 1)


@pytest.fixture
def config_file(tmp_path: Path) -> Path:
    path = tmp_path / "bootsrv.toml"
    path.write_text(
        f'data_dir = "{tmp_path}/data"\n[[subnets]]\ncidr = "10.20.0.0/24"\nmode = "authoritative"\n'
    )
    return path


def run(config: Path, *words: str) -> tuple[str, str]:
    result = CliRunner().invoke(cli, ["--config", str(config), "node", "import", *words])
    if result.exception is not None:
        raise result.exception
    return result.stdout, result.stderr


def test_the_command(config_file: Path, tmp_path: Path) -> None:
    file = tmp_path / "dhcpd.conf"
    file.write_text(
        "subnet 10.20.0.0 netmask 255.255.255.0 { }\n"
        "subnet 10.30.0.0 netmask 255.255.255.0 { range 10.30.0.5; }\n"
        f"key x {{ }}\nhost n1 {{ hardware ethernet {MAC}1; fixed-address 10.20.0.7; }}\n"
    )
    out, err = run(config_file, str(file), "--dry-run")
    assert [table["cidr"] for table in tomllib.loads(out)["subnets"]] == ["10.30.0.0/24"]
    assert "dhcpd.conf:3: lost: key x" in err and f"n1  10.20.0.7  {MAC}1" in err
    out, _ = run(config_file, str(file), "--json")
    record = json.loads(out)
    assert [(node["name"], node["result"]) for node in record["nodes"]] == [("n1", "added")]
    out, _ = run(config_file, str(file), "--json")
    assert json.loads(out)["nodes"][0]["result"] == "present"


def test_the_command_with_problems(config_file: Path, tmp_path: Path) -> None:
    file = tmp_path / "dhcpd.conf"
    file.write_text(f"host n1 {{ hardware ethernet {MAC}1; fixed-address 10.99.0.7; }}\n")
    with pytest.raises(Conflict, match="nothing would be registered: 1 problem"):
        run(config_file, str(file), "--dry-run")
    with pytest.raises(Conflict, match="nothing was registered: 1 problem"):
        run(config_file, str(file))


def test_a_rehearsal_needs_no_configuration(tmp_path: Path) -> None:
    out, err = run(tmp_path / "none.toml", str(DATA / "campus.kea.conf"), "--dry-run")
    assert "only the file itself was looked at" in err
    assert len(tomllib.loads(out)["subnets"]) == 3
    assert "node-01112233445566  10.40.1.11  client-id=0x01112233445566" in err


def test_a_machine_that_is_known_by_something_else_than_its_mac(house: Appliance) -> None:
    found = dialect.read(
        'host odd { option dhcp-client-identifier "foo"; fixed-address 10.77.0.33; }\n', "dhcpd.conf", "isc"
    )
    assert take_over(house, found).added == ("odd",)
    node = house.nodes.show("odd")
    assert node.macs == () and house.identities.of(node) == [("client-id", "foo")]
    again = take_over(house, found)
    assert (again.added, again.present, again.problems) == ((), ("odd",), ())
    house.nodes.add(Wanted(name="other", macs=[MAC + "9"]))
    house.nodes.remove("odd")
    house.identities.set(house.nodes.show("other"), [("client-id", "foo")])
    refused = take_over(house, found)
    assert refused.added == () and "client-id 666f6f belongs to other" in refused.problems[0]


@pytest.mark.parametrize(
    ("text", "value"), [("'door7'", "door7"), ("01:02:03", "0x010203"), ("0x0A0B", "0x0a0b")]
)
def test_keas_circuit_ids(house: Appliance, text: str, value: str) -> None:
    row = {"circuit-id": text, "hostname": "n7", "ip-address": "10.77.0.34"}
    file = {"Dhcp4": {"subnet4": [{"subnet": "10.77.0.0/24", "reservations": [row]}]}}
    assert take_over(house, dialect.read(json.dumps(file), "kea.conf", "kea")).added == ("n7",)
    assert house.identities.of(house.nodes.show("n7")) == [("circuit-id", value)]
