"""How far a node has drifted from its image stands on its page, once somebody has looked."""

from __future__ import annotations

from webhouse import House, add

from bootsrv.registry.upkeep import Drift


def test_drift_is_on_the_node_page(admin, house: House) -> None:  # type: ignore[no-untyped-def]
    node = add(house, "n1")
    assert "Drift" not in admin.get(f"/nodes/{node.id}").text
    house.appliance.registry.upkeep.set_drift(node.id, Drift("debian@1", 1, 1_700_000_000.0))
    assert "1 name differs from debian@1" in admin.get(f"/nodes/{node.id}").text
