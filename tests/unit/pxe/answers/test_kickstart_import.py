"""Kickstart files read into profiles: every directive of old and new, nothing lost, passwords hashed."""

import shlex

import pytest
from ks_house import HASH, hasher, plain, profile

from pxe.answers.kickstart.importer import read_kickstart
from pxe.answers.kickstart.render import render
from pxe.answers.targets import find_target
from pxe.errors import SettingError

# Each directive of the Red Hat Linux 7.2 manual, with its options, and what must be known of it.
OLD = {
    "autostep --autoscreenshot": lambda p: p.legacy.autostep and p.legacy.autoscreenshot,
    "auth --enablemd5 --enablenis --nisdomain lab --nisserver nis1 --useshadow --enableldap --enableldapauth "
    "--ldapserver=l1 --ldapbasedn=dc=x,dc=y --enableldaptls --enablekrb5 --krb5realm=R --krb5kdc=k "
    "--krb5adminserver=a --enablehesiod --hesiodlhs=.ns --hesiodrhs=.x --enablesmbauth --smbservers=s "
    "--smbworkgroup=w --enablecache": lambda p: (
        p.legacy.auth.md5
        and p.legacy.auth.shadow
        and p.legacy.auth.nis_domain == "lab"
        and p.legacy.auth.ldap_base == "dc=x,dc=y"
        and p.legacy.auth.kerberos_admin == "a"
        and p.legacy.auth.hesiod_rhs == ".x"
        and p.legacy.auth.smb_workgroup == "w"
        and p.legacy.auth.cache
    ),
    "authconfig --enableshadow": lambda p: p.legacy.auth.shadow,
    "bootloader --append='hdc=ide-scsi' --location=partition --md5pass=$1$x$y --useLilo --linear": lambda p: (
        p.bootloader.append == "hdc=ide-scsi" and p.bootloader.lilo and p.bootloader.linear
    ),
    "bootloader --location=none --nolinear": lambda p: p.bootloader.no_linear,
    "clearpart --linux --drives=hda,hdb --initlabel": lambda p: p.disks.clear.drives == ("hda", "hdb"),
    "clearpart --all": lambda p: p.disks.clear.what == "all",
    'device ethernet 3c509 --opts "io=0x330 irq=7"': lambda p: (
        p.legacy.drivers[0].options == "io=0x330 irq=7"
    ),
    "deviceprobe": lambda p: p.legacy.device_probe,
    "driverdisk hda2 --type=ext2": lambda p: p.legacy.driver_disks[0].partition == "hda2",
    "firewall --high --trust eth0 --trust=eth1 --dhcp --ssh --smtp --http --ftp --port 1:udp": lambda p: (
        p.firewall.level == "high" and p.firewall.trust == ("eth0", "eth1") and p.firewall.ftp
    ),
    "firewall --medium --telnet": lambda p: p.firewall.level == "medium" and p.firewall.telnet,
    "firewall --disabled": lambda p: p.firewall.enabled is False,
    "install": lambda p: p.legacy.install,
    "nfs --server 10.0.0.1 --dir /export": lambda p: p.source.nfs_server == "10.0.0.1",
    "cdrom": lambda p: p.source.cdrom,
    "harddrive --partition=hdb2 --dir=/tmp/tree": lambda p: p.source.disk == "hdb2",
    "url --url http://x/tree": lambda p: p.source.url == "http://x/tree",
    "interactive": lambda p: p.legacy.interactive,
    "keyboard us": lambda p: p.keyboard == "us",
    "lang de_DE": lambda p: p.language == "de_DE",
    "langsupport --default=fr_FR en_US fr_FR": lambda p: (
        p.more_languages == ("en_US", "fr_FR") and p.legacy.default_language == "fr_FR"
    ),
    "lilo --append 'x y' --linear --location=mbr": lambda p: p.bootloader.lilo and p.bootloader.linear,
    "lilo --nolinear --lba32": lambda p: p.bootloader.lba32,
    "lilocheck": lambda p: p.legacy.lilo_check,
    "mouse --device psaux --emulthree generic3ps/2": lambda p: (
        p.legacy.mouse.three_buttons and p.legacy.mouse.type == "generic3ps/2"
    ),
    "network --bootproto static --ip 10.0.0.5 --netmask 255.0.0.0 --gateway 10.0.0.1 --nameserver 10.0.0.2 "
    "--device eth1 --hostname n05": lambda p: (
        p.network[0].address == "10.0.0.5" and p.network[0].hostname == "n05"
    ),
    "network --bootproto=bootp": lambda p: p.network[0].method == "bootp",
    "network --bootproto=dhcp --device=eth0": lambda p: p.network[0].device == "eth0",
    "part /home --size=100 --grow --maxsize=200 --asprimary --bytes-per-inode=4096 --type=ext2 --ondrive hda "
    "--badblocks": lambda p: p.disks.partitions[0].bad_blocks and p.disks.partitions[0].disk == "hda",
    "partition / --noformat --onpart hda2": lambda p: p.disks.partitions[0].keep,
    "part /x --usepart=hda3 --start 1 --end 20 --fstype ext3": lambda p: p.disks.partitions[0].end == 20,
    "part swap --recommended": lambda p: p.disks.partitions[0].recommended,
    "part raid.01 --size=60 --ondisk=sda": lambda p: p.disks.partitions[0].name == "raid.01",
    "raid /usr --level=5 --device=md1 --spares=1 --fstype=ext3 --noformat raid.1 raid.2 raid.3": lambda p: (
        p.disks.raids[0].members == ("raid.1", "raid.2", "raid.3") and p.disks.raids[0].spares == 1
    ),
    "reboot": lambda p: p.finish == "reboot",
    "rootpw --iscrypted $1$abc$def": lambda p: p.root.password == "$1$abc$def",
    "skipx": lambda p: p.legacy.skip_x,
    "text": lambda p: p.display == "text",
    "timezone --utc Europe/London": lambda p: p.utc and p.timezone == "Europe/London",
    "upgrade": lambda p: p.legacy.upgrade,
    'xconfig --noprobe --card "ATI Mach64" --videoram 8192 --monitor "Dell X" --hsync 31.5-48.5 --vsync 50 '
    "--defaultdesktop=GNOME --startxonboot --resolution 1024x768 --depth 16": lambda p: (
        p.legacy.x.card == "ATI Mach64" and p.legacy.x.video_ram == 8192 and p.legacy.x.depth == 16
    ),
    "zerombr yes": lambda p: p.disks.zero_mbr,
    "%packages\n@ Base\nemacs\n-gimp": lambda p: (
        p.packages.groups == ("Base",) and p.packages.without == ("gimp",)
    ),
    "%pre\necho a": lambda p: p.scripts[0].when == "pre" and p.scripts[0].text == "echo a\n",
    "%post --nochroot --interpreter /usr/bin/python\nprint 1": lambda p: (
        p.scripts[0].outside and p.scripts[0].interpreter == "/usr/bin/python"
    ),
}


@pytest.mark.parametrize("text", OLD, ids=lambda text: text.split("\n")[0][:30])
def test_each_old_directive_is_understood_and_written_again(text):
    once = read_kickstart(text + "\n", hasher)
    assert once.notes == []
    assert once.profile.raw == ()
    assert OLD[text](once.profile)
    again = read_kickstart(render(once.profile, find_target("rhl7.2")), hasher)
    assert again.notes == []
    assert OLD[text](again.profile)


@pytest.mark.parametrize(("made", "target"), [(plain, "rhel6"), (profile, "rhel9"), (profile, "fedora46")])
def test_what_was_written_reads_as_the_same_directives(made, target):
    target = find_target(target)
    text = render(made(), target, {"disk": "x"})
    once = read_kickstart(text, hasher)
    assert once.notes == [] or all(note.warning for note in once.notes)
    again = render(once.profile, target, once.secrets)
    assert again == text


STRANGE = """# the farm's file
text
lang en_US.UTF-8

%include /tmp/disks.ks
# partitions are above
frobnicate --hard
reboot
%packages --nocore
@core
vim  # the editor
%end
%addon com_redhat_kdump --enable
--reserve-mb=auto
%end
%post
echo done
%end
"""


def test_what_is_not_known_stays_in_place_and_is_reported():
    got = read_kickstart(STRANGE, hasher)
    said = {note.line: note.text for note in got.notes}
    assert set(said) == {5, 7, 9, 13}
    text = render(got.profile, find_target("rhel9"))
    lines = [line for line in text.splitlines() if line]
    assert [line for line in STRANGE.splitlines() if line and line not in lines] == []
    assert lines.index("%include /tmp/disks.ks") == lines.index("lang en_US.UTF-8") + 1
    assert lines.index("frobnicate --hard") < lines.index("reboot")
    again = read_kickstart(text, hasher)
    assert render(again.profile, find_target("rhel9")) == text


def test_plain_passwords_become_hashes_and_luks_passphrases_leave_the_profile():
    got = read_kickstart(
        "rootpw swordfish\nuser --name=ada --password=secret\n"
        "part pv.1 --size=1 --encrypted --passphrase='open sesame'\n",
        hasher,
    )
    assert got.profile.root.password == HASH and got.profile.users[0].password == HASH
    assert got.secrets == {"luks-1": "open sesame"}
    assert got.profile.disks.partitions[0].luks.passphrase == "secret:luks-1"
    assert all(note.warning for note in got.notes) and {note.line for note in got.notes} == {1, 2, 3}
    for text in ("swordfish", "open sesame", "=secret"):
        assert text not in repr(got.profile)


@pytest.mark.parametrize(
    ("line", "target", "stays"),
    [
        ("rootpw --plaintext swordfish --strange", "rhel9", f"rootpw --iscrypted '{HASH}' --strange"),
        ("user --name=ada --password swordfish --strange", "rhel9",
         f"user --name=ada --iscrypted --password='{HASH}' --strange"),
        ("user --name=ada --password=swordfish --plaintext", "rhel9", f"--iscrypted '--password={HASH}'"),
        ("bootloader --password=swordfish --strange", "rhel9",
         "bootloader --iscrypted --password=grub.pbkdf2.sha512.10000.AB.CD --strange"),
        ("bootloader --password=swordfish", "rhel9", "--password=grub.pbkdf2.sha512.10000.AB.CD --iscrypted"),
        ("part / --size=1 --encrypted --passphrase=swordfish --strange", "rhel9",
         "part / --size=1 --encrypted --passphrase=swordfish --strange"),
        ("vnc --password=swordfish", "rhel9", "vnc --password=swordfish"),
        ("network --device=wlan0 --essid=x --wpakey 'sword fish'", "rhel9",
         "network --device=wlan0 --essid=x --wpakey='sword fish'"),
    ],
)  # fmt: skip
def test_no_password_in_the_clear_enters_a_profile_not_even_in_a_line_that_stays(line, target, stays):
    got = read_kickstart(f"{line}\n", hasher, target, lambda text: "grub.pbkdf2.sha512.10000.AB.CD")
    assert "fish" not in repr(got.profile)
    assert any("password" in note.text or "secret" in note.text for note in got.notes)
    done = render(got.profile, find_target(target), got.secrets)
    wanted = set(shlex.split(stays))
    assert any(wanted <= set(shlex.split(one)) for one in done.split("%packages")[0].splitlines()), done


def test_a_hash_in_a_line_that_stays_is_left_alone():
    line = f"user --name=ada --iscrypted --password='{HASH}' --strange   # ours"
    assert line in render(read_kickstart(f"{line}\n", hasher).profile, find_target("rhel9"))


@pytest.mark.parametrize(("text", "line"), [("text\npart '/x\n", "line 2"), ("text\n%end\n", "line 2")])
def test_a_file_without_structure_is_refused_with_its_line(text, line):
    with pytest.raises(SettingError, match=line):
        read_kickstart(text, hasher)
