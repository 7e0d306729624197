"""The route table, and that any text gives a route."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pxe.http.resolver import (
    Agent,
    BootFile,
    Forward,
    Mirrored,
    NodeCall,
    Public,
    Refused,
    Script,
    Stored,
    TreeFile,
    Upload,
    bearer,
    mac_of,
    query_of,
    route,
    type_of,
)

MAC = "52:54:00:00:00:01"
SHA = "a" * 64


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("/boot/52-54-00-00-00-01/script.ipxe?arch=x86%2D64", Script(MAC, {"arch": "x86-64"})),
        ("/boot/525400000001/script.ipxe", Script(MAC, {})),
        ("/boot/52:54:00:00:00:01/grub.cfg?retry=1", Script(MAC, {"retry": "1"}, "grub.cfg")),
        ("/boot/imager/vmlinuz", BootFile("imager/vmlinuz")),
        ("/boot/a%20b", BootFile("a b")),
        ("/public/ks/n1.cfg?x=1", Public("ks/n1.cfg")),
        ("//public/x", Public("x")),
        ("/tree/debian-12/images/linux", TreeFile("debian-12", "images/linux")),
        ("/tree/cd/pool/a%20b%2B.deb", TreeFile("cd", "pool/a b+.deb")),
        ("/tree", TreeFile("", "")),
        ("/mirror/debian/pool/a%2Bb.deb", Mirrored("debian", "pool/a%2Bb.deb")),
        (f"/store/packs/{SHA}", Stored("packs", SHA)),
        ("/node/v1/task?wait=25", NodeCall("task", {"wait": "25"})),
        ("/agent", Agent()),
        ("/agent/x", Forward()),
        ("/capture/v1/begin", Upload()),
        ("/capture", Forward()),
        ("/", Forward()),
        ("/nodes", Forward()),
        ("/bootstrap.css", Forward()),
        ("*", Forward()),
    ],
)
def test_routes(target, expected):
    assert route("GET", target) == expected


@pytest.mark.parametrize(
    ("method", "target", "status"),
    [
        ("PUT", "/public/x", 405),
        ("POST", "/store/packs/x", 405),
        ("DELETE", "/node/v1/task", 405),
        ("GET", "/store/packs/../../etc/passwd", 404),
        ("GET", "/store/packs/..%2f..%2fetc", 404),
        ("GET", "/store/packs/.hidden", 404),
        ("GET", "/store/secrets/x", 404),
        ("GET", "/node/v2/task", 404),
        ("GET", "/boot/nonsense/script.ipxe", 400),
        ("GET", "/boot/52-54:00-00-00-01/script.ipxe", 400),
    ],
)
def test_refusals(method, target, status):
    refused = route(method, target)
    assert isinstance(refused, Refused)
    assert refused.status == status
    assert refused.text


@given(st.text(max_size=100), st.sampled_from(["GET", "POST", "BREW"]))
def test_any_target_gives_a_route(target, method):
    route(method, target)
    route(method, "/" + target)
    for room in ("boot", "public", "tree", "mirror", "store", "node/v1"):
        route(method, f"/{room}/{target}")


@given(st.text(max_size=30))
def test_only_macs_are_macs(text):
    mac = mac_of(text)
    assert mac is None or mac_of(mac) == mac


def test_queries():
    assert query_of("a=1&a=2&b=&c=%zz&d") == {"a": "1", "b": "", "c": "%zz", "d": ""}
    assert len(query_of("&".join(f"k{i}=1" for i in range(1000)))) == 64


def test_media_types():
    assert type_of("boot.IPXE").startswith("text/plain")
    assert type_of("grub.efi") == "application/efi"
    assert type_of("vmlinuz") == "application/octet-stream"


@pytest.mark.parametrize(
    ("header", "token"),
    [("Bearer abc", "abc"), ("bearer  abc ", "abc"), ("Basic abc", None), ("Bearer", None), (None, None)],
)
def test_bearer(header, token):
    assert bearer(header) == token
