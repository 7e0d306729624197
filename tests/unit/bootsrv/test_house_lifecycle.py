"""The state machine and the boot plan: which events move a machine, and what it boots in each state."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bootsrv import lifecycle
from bootsrv.bootplan import Action, Purpose, decide
from bootsrv.model import BootMode, CaptureOrder, Node, NodeState

NODE = Node(id=1, name="n1", macs=("52:54:00:00:00:01",), state=NodeState.REGISTERED, image="debian")


def armed() -> Node:
    return lifecycle.arm(NODE, "debian@2", 5.0)


class TestOneImaging:
    def test_from_armed_to_running(self) -> None:
        node = armed()
        assert decide(node).purpose is Purpose.DEPLOY
        node = lifecycle.boot_started(node, 5)
        node = lifecycle.reported(node, "deploy.started", {})
        assert node.state is NodeState.IMAGING
        node = lifecycle.reported(node, "deploy.done", {})
        assert (node.state, node.armed) == (NodeState.INSTALLED, None)
        assert decide(node).action is Action.LOCAL
        node = lifecycle.reported(node, "home", {"image": "debian@2"})
        assert (node.state, node.running) == (NodeState.RUNNING, "debian@2")
        assert decide(node).action is Action.LOCAL

    def test_only_deploy_done_disarms(self) -> None:
        node = lifecycle.reported(armed(), "deploy.started", {})
        for kind in (
            "imager.up",
            "deploy.progress",
            "deploy.loader",
            "deploy.verify",
            "imager.reboot",
            "home",
        ):
            assert lifecycle.reported(node, kind, {}).armed is not None, kind

    def test_a_power_cut_images_again(self) -> None:
        node = lifecycle.reported(lifecycle.boot_started(armed(), 5), "deploy.started", {})
        assert decide(node).purpose is Purpose.DEPLOY
        assert lifecycle.boot_started(node, 5).armed.attempts == 2  # type: ignore[union-attr]

    def test_it_never_loops(self) -> None:
        node = armed()
        for _ in range(5):
            node = lifecycle.boot_started(node, 5)
            assert decide(node).purpose is Purpose.DEPLOY
        node = lifecycle.boot_started(node, 5)
        assert node.state is NodeState.FAILED
        assert decide(node).purpose is Purpose.HOLD

    def test_an_imaging_without_its_arming_is_held(self) -> None:
        plan = decide(replace(lifecycle.reported(armed(), "deploy.started", {}), armed=None))
        assert (plan.action, plan.purpose) == (Action.IMAGER, Purpose.HOLD)

    def test_a_half_written_disk_is_never_booted(self) -> None:
        node = lifecycle.reported(armed(), "deploy.started", {})
        node = lifecycle.reported(node, "home", {"image": "old@1"})
        assert node.state is NodeState.IMAGING
        assert decide(node).action is Action.IMAGER


class TestFailure:
    def test_holds_and_says_why(self) -> None:
        node = lifecycle.reported(armed(), "deploy.failed", {"step": "disk", "error": "too small"})
        assert (node.state, node.error) == (NodeState.FAILED, "disk: too small")
        plan = decide(node)
        assert plan.purpose is Purpose.HOLD
        assert "too small" in plan.reason

    def test_arming_again_clears_it(self) -> None:
        node = lifecycle.arm(replace(NODE, state=NodeState.FAILED, error="x"), "debian@1", 9.0)
        assert (node.state, node.error, node.armed.attempts) == (NodeState.ARMED, None, 0)  # type: ignore[union-attr]


class TestDisarm:
    def test_before_the_disk_is_touched(self) -> None:
        assert lifecycle.disarm(armed()).state is NodeState.REGISTERED
        assert lifecycle.disarm(replace(armed(), running="debian@1")).state is NodeState.RUNNING

    def test_a_failure_that_left_the_disk_alone_is_taken_back_too(self) -> None:
        node = lifecycle.arm_capture(replace(NODE, running="debian@1"), "golden", CaptureOrder("disk"), 5.0)
        node = lifecycle.reported(node, "deploy.failed", {"step": "find", "error": "which disk?"})
        assert decide(node).reason.startswith("capturing failed (find: which disk?)")
        free = lifecycle.disarm(node)
        assert (free.state, free.armed, free.error) == (NodeState.RUNNING, None, None)
        assert decide(free).action is Action.LOCAL

    def test_not_a_failure_in_the_middle_of_writing(self) -> None:
        node = lifecycle.reported(armed(), "deploy.started", {})
        node = lifecycle.reported(node, "deploy.failed", {"step": "files"})
        assert lifecycle.disarm(node) == node

    def test_not_after(self) -> None:
        node = lifecycle.reported(armed(), "deploy.started", {})
        assert lifecycle.disarm(node) == node

    def test_not_after_an_earlier_try_that_broke_off(self) -> None:
        node = lifecycle.reported(armed(), "deploy.started", {})
        node = lifecycle.arm(lifecycle.reported(node, "deploy.failed", {}), "debian@1", 9.0)
        assert lifecycle.disarm(node) == node
        assert decide(replace(node, state=NodeState.REGISTERED, armed=None)).purpose is Purpose.HOLD

    def test_a_finished_imaging_makes_the_disk_whole(self) -> None:
        node = lifecycle.reported(armed(), "deploy.started", {})
        node = lifecycle.reported(lifecycle.reported(node, "deploy.failed", {}), "deploy.started", {})
        node = lifecycle.arm(lifecycle.reported(node, "deploy.done", {}), "debian@2", 9.0)
        assert decide(lifecycle.disarm(node)).action is Action.LOCAL


class TestPlan:
    @pytest.mark.parametrize("node", [None, replace(NODE, state=NodeState.DISCOVERED)])
    def test_unknown(self, node: Node | None) -> None:
        assert decide(node).purpose is Purpose.DISCOVER
        assert decide(node, discover=False).action is Action.NONE

    def test_registered_boots_its_disk(self) -> None:
        assert decide(NODE).action is Action.LOCAL

    def test_discover_mode(self) -> None:
        assert decide(replace(NODE, mode=BootMode.DISCOVER)).purpose is Purpose.DISCOVER

    def test_every_state_has_a_reason(self) -> None:
        for state in NodeState:
            assert decide(replace(NODE, state=state)).reason
