"""What tests of the house share: a configuration, an appliance in a temporary directory, a clock that is
turned by hand."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bootsrv.appliance.appliance import Appliance
from bootsrv.config import Config, parse
from bootsrv.errors import NotFound
from bootsrv.registry.registry import Registry
from images.versions import Version


class Clock:
    """Epoch seconds that stand still."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


class FakeImages:
    """Two versions of one image, as the verbs on nodes see them."""

    versions = (
        Version("debian", 1, "1" * 64, "tree", 1.0, meta={"kernel_args": "quiet"}),
        Version("debian", 2, "2" * 64, "tree", 2.0),
    )

    def bootable(self, ref: str) -> Version:
        return self.resolve(ref)

    rootable = bootable

    def look_ahead(self, refs: Iterable[str | None]) -> None: ...

    def resolve(self, ref: str) -> Version:
        name, _, number = ref.partition("@")
        found = [v for v in self.versions if v.name == name and number in ("", "latest", str(v.number))]
        if not found:
            raise NotFound(f"there is no image {ref!r}")
        return found[-1]


def make_config(data_dir: Path, **changes: Any) -> Config:
    table: dict[str, Any] = {
        "data_dir": str(data_dir),
        "interfaces": ["br0"],
        "domain": "cluster.test",
        "payload_dir": str(data_dir / "payloads"),
        "subnets": [
            {
                "cidr": "10.77.0.0/24",
                "mode": "authoritative",
                "pools": ["10.77.0.100-10.77.0.199"],
                "routers": ["10.77.0.1"],
            }
        ],
    }
    return parse({**table, **changes}, data_dir / "bootsrv.toml")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return make_config(tmp_path)


@pytest.fixture
def registry(config: Config) -> Iterator[Registry]:
    opened = Registry.open(config.registry_file)
    yield opened
    opened.close()


@pytest.fixture
def house(config: Config, registry: Registry, clock: Clock) -> Appliance:
    """An appliance whose store holds debian@1 and debian@2."""
    appliance = Appliance(config, registry, clock)
    images = FakeImages()
    for verbs in (appliance.nodes, appliance.deploys, appliance.roots, appliance.groups):
        verbs._images = images  # type: ignore[assignment]
    return appliance
