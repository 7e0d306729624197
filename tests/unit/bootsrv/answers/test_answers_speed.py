"""How long many answers take: 1,000 nodes within 30 s is what is promised. Measured in time of the
processor, the parser's processes included, so that what else runs here does not count."""

import os

import pytest

from bootsrv.appliance.nodes import Wanted

NODES = 100
SECONDS = 3.0
PROFILES = {
    "rhel9": '[packages]\ngroups = ["core"]\nnames = ["vim-enhanced"]\n[disks]\nautomatic = {type = "lvm"}\n',
    "debian13": '[packages]\nnames = ["vim"]\n[[users]]\nname = "ada"\n',
    "ubuntu24.04": '[packages]\nnames = ["vim"]\n[[users]]\nname = "ada"\n',
    "coreos": '[[users]]\nname = "ada"\n',
    "sles15": '[packages]\nnames = ["vim"]\n[[users]]\nname = "ada"\n',
}


@pytest.mark.parametrize("target", PROFILES)
def test_a_hundred_nodes_are_rendered_and_checked_in_a_tenth_of_the_time(house, target):
    verbs = house.profiles
    verbs.save("defaults", 'language = "cs_CZ.UTF-8"\n', "ada")
    script = '[[scripts]]\nsnippet = "resolv-conf"\nwith = {servers = "{{ node.gateway }}"}\n'
    verbs.save("farm", f'target = "{target}"\n{PROFILES[target]}{script}', "ada")
    verbs.save("group:rack3", 'timezone = "Europe/Prague"\n', "ada")
    wanted = Wanted(groups=["rack3"], profile="farm", method="static")
    nodes = house.nodes.add_range("n", "001", f"{NODES:03}", "10.77.0.2", wanted)
    verbs.render(nodes[0])  # everything is loaded
    verbs.close()
    started = sum(os.times()[:4])
    made = [verbs.render(node, secrets=True) for node in nodes]
    verbs.close()
    spent = sum(os.times()[:4]) - started
    print(f"{target}: {spent / NODES * 1000:.1f} ms each")
    assert all(one.good for one in made) and len({one.rendered.text for one in made}) == NODES
    assert spent < SECONDS, f"{spent:.1f} s"
