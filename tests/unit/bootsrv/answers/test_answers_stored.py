"""Profiles and layers as they are stored: versions, what refuses them, what a node gets of them."""

import json
import sys

import msgspec
import pytest

from bootsrv import diskkeys
from bootsrv.answers.stack import names_of, read_ref
from bootsrv.appliance.nodes import Wanted
from bootsrv.appliance.profiles import Unusable
from bootsrv.cli.main import main
from bootsrv.errors import Conflict, Invalid, NotFound
from pxe.answers.targets import find_target

WEB = """# how web servers are
target = "debian13"
[packages]
names = ["nginx"]
"""
KEY = "ssh-ed25519 AAAA admin@here"


@pytest.fixture
def verbs(house):
    yield house.profiles
    house.profiles.close()


@pytest.fixture
def node(house, verbs):
    verbs.save("web", WEB, "ada", "first")
    return house.nodes.add(
        Wanted(name="n1", macs=["52:54:00:00:00:01"], address="10.77.0.11", groups=["rack3"], profile="web")
    )


def test_versions_are_kept_with_who_and_why(verbs, clock):
    verbs.save("web", WEB, "ada", "first")
    clock.now += 60
    made = verbs.save("web", WEB + "# more\n", "bob")
    assert made.number == 2 and verbs.save("web", WEB + "# more\n", "eve").number == 2
    assert [(one.number, one.author, one.comment) for one in verbs.history("web")] == [
        (2, "bob", ""), (1, "ada", "first"),
    ]  # fmt: skip
    assert verbs.get("web@1").text == WEB and verbs.get("web").at == clock.now
    assert verbs.diff("web@1", "web") == (
        "--- web@1\n+++ web@2\n@@ -2,3 +2,4 @@\n"
        ' target = "debian13"\n [packages]\n names = ["nginx"]\n+# more\n'
    )
    with pytest.raises(NotFound, match="version 3 of profile web"):
        verbs.get("web@3")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("target = = 3\n", "web: .*line 1"),
        ("[packages]\nnames = []\n", "target: no layer says"),
        ('target = "windows11"\n', "target: 'windows11' is not known"),
        ('target = "debian13"\ncolour = 1\n', "colour: there is no such field"),
        ('target = "debian13"\nselinux = "enforcing"\n', "selinux: Debian's installer has no answer"),
        ('target = "rhel9"\nhostname = "{{ node.nam }}"\n', "hostname: .*nam"),
        ('target = "rhel9"\nroot = {password = "plain"}\n', "root.password: must be a password's hash"),
        ('target = "rhel9"\n[[disks.partitions]]\nname = "/"\nsize = 1\n'
         'luks = {passphrase = "secret:none"}\n', "disks.*no secret named none"),
    ],
)  # fmt: skip
def test_what_cannot_be_written_is_not_saved(verbs, text, says):
    with pytest.raises(Invalid, match=says):
        verbs.save("web", text, "ada")
    assert not verbs.list()


def test_the_findings_say_which_layer_a_value_comes_from(verbs, node):
    with pytest.raises(Unusable) as refused:
        verbs.save("group:rack3", 'selinux = "enforcing"\n', "ada")
    (found,) = (one for one in refused.value.findings if not one.warning)
    assert (found.field, found.layer) == ("selinux", "group:rack3")
    with pytest.raises(Unusable) as refused:
        verbs.save("defaults", "[[network]]\nvlan = 7\n", "ada")
    (found,) = (one for one in refused.value.findings if not one.warning)
    assert (found.field, found.layer) == ("network[0].device", "defaults")


def test_layers_lie_in_their_order(verbs, house, node):
    for ref, zone in (
        ("defaults", "Europe/A"), ("distribution:debian", "Europe/B"), ("distribution:debian13", "Europe/C"),
        ("web", "Europe/D"), ("group:rack3", "Europe/E"), ("node:n1", "Europe/F"),
    ):  # fmt: skip
        text = f"{WEB if ref == 'web' else ''}\n"
        verbs.save(ref, f'timezone = "{zone}"\n' + text, "ada")
        made = verbs.render(house.nodes.show("n1"))
        assert made.good and made.profile.timezone == zone
        assert verbs.stack(made.node).layer_of("timezone") == ref
    assert [one.ref for one in verbs.stack(made.node).layers] == [
        "facts", "defaults", "distribution:debian", "distribution:debian13", "web", "group:rack3", "node:n1",
    ]  # fmt: skip
    assert [one.name for one in verbs.users_of("distribution:debian")] == ["n1"]
    assert not verbs.users_of("distribution:rhel")


def test_a_profile_that_says_nothing_of_the_node_is_right_for_it(house, verbs, node, config):
    house.profiles._maker._config = replace_nodes(config, ssh_authorized_keys=(KEY,))
    made = verbs.render(node)
    text = made.rendered.text
    assert "netcfg/get_hostname string n1" in text and "netcfg/get_domain string cluster.test" in text
    assert made.profile.root.locked and made.profile.root.keys == (KEY,) and "disable_autoconfig" not in text
    static = house.nodes.set("n1", Wanted(method="static"))
    text = verbs.render(static).rendered.text
    assert "netcfg/get_ipaddress string 10.77.0.11" in text and "get_gateway string 10.77.0.1\n" in text
    assert "netcfg/get_netmask string 255.255.255.0" in text
    ubuntu = verbs.save("ubu", 'target = "ubuntu24.04"\n[[users]]\nname = "ada"\n', "ada")
    assert "macaddress: '52:54:00:00:00:01'" in verbs.render(static, ubuntu.name).rendered.text


def replace_nodes(config, **changes):
    return msgspec.structs.replace(config, nodes=msgspec.structs.replace(config.nodes, **changes))


def test_a_node_takes_its_profile_from_its_groups(house, verbs, node):
    verbs.save("db", WEB.replace("nginx", "postgresql"), "ada")
    house.groups.set_profile("rack3", "db")
    assert house.nodes.show("n1").answers == "web"
    freed = house.nodes.set("n1", Wanted(clear=["profile"]))
    assert freed.answers == "db" and "postgresql" in verbs.render(freed).rendered.text
    with pytest.raises(Conflict, match="used by @rack3"):
        verbs.remove("db")
    verbs.remove("web")
    with pytest.raises(NotFound):
        verbs.get("web")
    with pytest.raises(Invalid, match="no profile 'web'; there are: db"):
        house.nodes.set("n1", Wanted(profile="web"))


def test_nothing_that_is_used_can_be_removed(verbs, node):
    with pytest.raises(Conflict, match="used by n1"):
        verbs.remove("web")
    verbs.save("defaults", 'target = "debian12"\n', "ada")
    verbs.save("bare", "# the defaults say what\n", "ada")
    with pytest.raises(Unusable, match="bare: target"):
        verbs.remove("defaults")


def test_a_secret_is_used_and_never_shown(house, verbs, node):
    text = (
        'target = "rhel9"\n[[disks.partitions]]\nname = "/"\nsize = 1\n'
        '[disks.partitions.luks]\npassphrase = "secret:{}"\n'
    )
    verbs.secrets.set("lock", "sesame open")
    verbs.save("web", text.format("lock"), "ada")
    assert "sesame" not in verbs.render(node).rendered.text
    assert "--passphrase='sesame open'" in verbs.render(node, secrets=True).rendered.text
    with pytest.raises(Conflict, match="named by web"):
        verbs.secrets.remove("lock")
    verbs.save("web", text.format("disk-key"), "ada")
    verbs.secrets.remove("lock")
    assert diskkeys.passphrase(house.registry, node) in verbs.render(node, secrets=True).rendered.text
    with pytest.raises(Invalid, match="one line"):
        verbs.secrets.set("lock", "a\nb")


def test_a_preview_saves_nothing(verbs, house, node):
    made = verbs.preview("web", WEB.replace("nginx", "caddy"))
    assert made.node.name == "n1" and "caddy" in made.rendered.text
    assert "caddy" not in verbs.render(node).rendered.text
    bad = verbs.preview("web", WEB + "[[x]]\n", node)
    assert not bad.good and bad.rendered.findings[0].field == "x"
    assert verbs.preview("new", WEB).node.name == "example"


def test_the_layer_of_a_node_follows_its_name(house, verbs, node):
    verbs.save("node:n1", 'timezone = "Europe/Prague"\n', "ada")
    house.nodes.set("n1", Wanted(name="n2"))
    assert verbs.render(house.nodes.show("n2")).profile.timezone == "Europe/Prague"


def test_the_revision_moves_with_whatever_changes_an_answer(verbs, registry):
    met = {registry.profiles.revision()}
    for change in (
        lambda: verbs.save("web", WEB, "ada"), lambda: verbs.save("web", WEB + "#\n", "ada"),
        lambda: verbs.secrets.set("a", "b"), lambda: verbs.secrets.set("a", "c"),
        lambda: verbs.secrets.remove("a"), lambda: verbs.remove("web"),
    ):  # fmt: skip
        change()
        assert registry.profiles.revision() not in met
        met.add(registry.profiles.revision())


@pytest.mark.parametrize(
    ("target", "names"),
    [
        ("rhel9", ("rhel", "rhel9")),
        ("rocky9.4", ("rhel", "rhel9", "rocky9.4")), ("rhl7.2", ("rhl", "rhl7.2")),
        ("fc3", ("fedora", "fedora3", "fc3")), ("ubuntu24.04", ("ubuntu", "ubuntu24.04")),
        ("debian-12", ("debian", "debian12", "debian-12")), ("nocloud", ("cloud", "nocloud")),
    ],
)  # fmt: skip
def test_the_distribution_layers_of_a_target(target, names):
    assert names_of(find_target(target)) == names


@pytest.mark.parametrize("text", ["", "a b", "../x", "group:", "nothing:x", "web@x", "-x", "a" * 64])
def test_a_name_that_cannot_be_one(text):
    with pytest.raises(Invalid, match="use the name of a profile"):
        read_ref(text)


def test_the_command_line(monkeypatch, capsys, config, tmp_path, node):
    config.path.write_text(f'data_dir = "{config.data_dir}"\n[[subnets]]\ncidr = "10.77.0.0/24"\n')
    file = tmp_path / "new.toml"
    file.write_text(WEB.replace("nginx", "caddy"))

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["bootsrv", "--config", str(config.path), *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        return ended.value.code or 0, said.out, said.err

    assert run("answers", "save", "web", file, "-m", "caddy") == (0, "web: version 2\n", "")
    (row,) = json.loads(run("answers", "list", "--json")[1])
    assert (row["ref"], row["number"], row["nodes"], row["comment"]) == ("web", 2, 1, "caddy")
    assert run("answers", "show", "web@1")[1] == WEB
    assert len(json.loads(run("answers", "history", "web", "--json")[1])) == 2
    code, out, _ = run("answers", "diff", "web@1", "web@2")
    assert code == 1 and '+names = ["caddy"]' in out
    assert run("answers", "diff", "web", file)[0] == 0
    assert "caddy" in run("answers", "render", "n1")[1]
    assert run("answers", "validate", "n1") == (0, "n1: good for debian13\n", "")
    file.write_text('timezone = "Europe/Nowhere"\n')
    assert run("answers", "save", "node:n1", file)[0] == 0
    code, out, err = run("answers", "validate", "n1")
    assert (code, err) == (0, "") and out.startswith("n1: note: timezone: no time zone is called Europe")
    assert out.endswith("\nn1: good for debian13\n")
    file.write_text('selinux = "enforcing"\n' + WEB)
    code, _, err = run("answers", "save", "web", file)
    assert code == 1 and "for n1 by web: selinux" in err
    assert run("node", "set", "n1", "--clear", "profile")[0] == 0
    assert run("group", "set", "rack3", "--profile", "web")[0] == 0
    assert json.loads(run("node", "show", "n1", "--json")[1])["profile"] == "web"
    assert run("answers", "remove", "web")[0] == 1
    assert (
        run("answers", "validate", "nosuch.ks", "--for", "rhel9")[2] == "bootsrv: nosuch.ks: no such file\n"
    )
