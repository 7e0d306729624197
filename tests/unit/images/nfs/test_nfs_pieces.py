"""What NFS servers are told, the numbers of exports, and who is connected."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from images.errors import ImageError
from images.nfs import ganesha_conf, kernel, kernel_conf
from images.nfs.connections import Connection, parse
from images.nfs.export import MOST, Export
from images.nfs.mounted import MIB, room
from images.nfs.numbers import Numbers

ROOT = Export(3, Path("/data/nfs/mounted/roots/ab"), "/roots/debian@1", ("10.77.0.11", "10.77.0.12"))
SS = (
    "0 0 10.99.0.1:2049 10.99.0.2:873 cubic wscale:7,7 rto:204 bytes_sent:3068 bytes_acked:3067"
    " bytes_received:2900 segs_out:12\n"
    "0 0 [::ffff:10.99.0.1]:2049 [::ffff:10.99.0.3]:1021 bytes_acked:10 bytes_received:20\n"
    "0 0 [fe80::1%eth0]:2049 [fe80::2%eth0]:800 bytes_sent:1 bytes_received:2\n"
    "State Recv-Q\n\n"
)


class TestGanesha:
    def test_readers_get_reading_and_others_nothing(self) -> None:
        text = ganesha_conf.exports([ROOT])
        assert "Access_Type = None;" in text.partition("EXPORT {")[0]
        assert "CLIENT { Clients = 10.77.0.11, 10.77.0.12; Access_Type = RO; }" in text
        assert 'Pseudo = "/roots/debian@1";' in text and "Export_Id = 3;" in text
        assert "PrivilegedPort = true;" in text

    def test_without_clients_nobody_gets_in(self) -> None:
        assert "CLIENT" not in ganesha_conf.exports([Export(1, Path("/x"), "/roots/a@1", ())])

    def test_a_directory_of_the_server_is_read_as_nobody(self) -> None:
        shared = Export(5, Path("/data/trees/rhel9"), "/trees/rhel9", ("10.77.0.11",), squash=True)
        assert "Squash = all_squash;" in ganesha_conf.exports([shared])

    def test_a_path_that_would_break_out_of_the_text(self) -> None:
        with pytest.raises(ValueError, match="cannot be exported"):
            ganesha_conf.exports([Export(1, Path('/x"; } EXPORT {'), "/roots/a@1", ())])

    def test_only_version_4_where_version_3_cannot_be_had(self) -> None:
        assert "Protocols = 4;" in ganesha_conf.settings(Path("/h"), 2049, 20048, version_3=False)

    @pytest.mark.parametrize(("release", "there"), [(4, False), (6, True)])
    def test_what_an_older_one_would_not_know(self, release: int, there: bool) -> None:
        text = ganesha_conf.settings(Path("/h"), 2049, 20048, version_3=True, release=release)
        assert ("Allow_Set_Io_Flusher_Fail" in text) is there


class TestExport:
    @pytest.mark.parametrize("path", ["/a b", "a", "/", '/a"', "/roots/../etc", "/a\n", "/a//b"])
    def test_a_path_that_is_none(self, path: str) -> None:
        with pytest.raises(ValueError, match="no export"):
            Export(1, Path("/x"), path, ())

    @pytest.mark.parametrize("number", [0, -1, MOST + 1])
    def test_a_number_that_no_handle_holds(self, number: int) -> None:
        with pytest.raises(ValueError, match="no export"):
            Export(number, Path("/x"), "/a", ())

    def test_who_is_nobody_writes_nothing(self) -> None:
        with pytest.raises(ValueError, match="nobody writes"):
            Export(1, Path("/x"), "/a", (), writable=True, squash=True)


class TestKernel:
    def test_one_line_for_each_export(self) -> None:
        own = Export(4, Path("/data/w 1"), "/writes/7", ("10.77.0.11",), writable=True)
        lines = kernel_conf.exports([own, ROOT, Export(9, Path("/y"), "/roots/z@1", ())]).splitlines()
        assert len(lines) == 3, "an export without clients would be everybody's"
        options = f"no_root_squash,secure,sync,no_subtree_check,fsid={kernel_conf.fsid(ROOT)},mp"
        assert lines[1] == (f"/data/nfs/mounted/roots/ab 10.77.0.11(ro,{options}) 10.77.0.12(ro,{options})")
        assert lines[2].startswith("/data/w\\0401 10.77.0.11(rw,no_root_squash,")
        odd = Export(5, Path("/data/\u00e4 \\040"), "/writes/8", ("10.77.0.11",), writable=True)
        assert kernel_conf.granted(kernel_conf.exports([own, odd, ROOT])) == {
            ("/data/w 1", "10.77.0.11"), ("/data/\u00e4 \\040", "10.77.0.11"),
            ("/data/nfs/mounted/roots/ab", "10.77.0.11"), ("/data/nfs/mounted/roots/ab", "10.77.0.12"),
        }  # fmt: skip

    def test_the_same_export_has_the_same_fsid_for_ever(self) -> None:
        assert str(kernel_conf.fsid(ROOT)) == str(kernel_conf.fsid(Export(8, Path("/z"), ROOT.path, ())))

    def test_whether_it_runs(self, tmp_path: Path) -> None:
        assert not kernel.runs(tmp_path / "threads")
        (tmp_path / "threads").write_text("0\n")
        assert not kernel.runs(tmp_path / "threads")


class TestNumbers:
    def test_they_stay(self, tmp_path: Path) -> None:
        first = Numbers(tmp_path / "numbers.json")
        assert [first.of("a"), first.of("b"), first.of("a")] == [1, 2, 1]
        again = Numbers(tmp_path / "numbers.json")
        again.keep(["b"])
        assert [again.of("b"), again.of("c")] == [2, 3], "a number of before is not given at once"
        assert Numbers(tmp_path / "numbers.json").of("c") == 3

    def test_all_are_given_before_one_is_given_again(self, tmp_path: Path) -> None:
        path = tmp_path / "numbers.json"
        path.write_text(json.dumps({"next": MOST, "numbers": {"a": 2}}))
        numbers = Numbers(path)
        assert [numbers.of("x"), numbers.of("y"), numbers.of("z")] == [MOST, 1, 3]

    def test_a_damaged_file_is_no_empty_one(self, tmp_path: Path) -> None:
        (tmp_path / "numbers.json").write_text('{"next": 4')
        with pytest.raises(ImageError, match="is damaged"):
            Numbers(tmp_path / "numbers.json")


def test_connections_as_ss_tells_them() -> None:
    assert parse(SS) == [
        Connection("10.99.0.2", 873, 3068, 2900),
        Connection("10.99.0.3", 1021, 10, 20),
        Connection("fe80::2", 800, 1, 2),
    ]


@pytest.mark.parametrize("limit", [0, 64 * MIB, 8 << 30])
def test_a_file_system_has_room_for_its_limit(limit: int) -> None:
    assert room(limit) >= max(limit, 64 * MIB) + 24 * MIB and room(limit) % MIB == 0
