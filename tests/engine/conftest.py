"""One simulated AWS and one stand-in provider for all tests of the stack; every test has a VPC of its own."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from headroom.planning.probe_record import ProbeRecord, file_name, write_record
from headroom.rehearsal.stack import Stack, make_stack
from headroom.rehearsal.tools import find_tools
from headroom.rehearsal.world import World, start_world

ASSOCIATION_SECONDS = 0.3


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("world")
    settings = {"association_seconds": ASSOCIATION_SECONDS}
    with start_world(folder, find_tools(), kubernetes=False, aws_settings=settings) as running:
        yield running


@pytest.fixture
def stack(world: World, tmp_path: Path) -> Stack:
    return make_stack(world, tmp_path)


def probed(project: Path, stack: str, cluster: str) -> None:
    """Leaves a clear record of probes for the first step of a shift."""
    record = ProbeRecord(probed=datetime.now(UTC), cluster=cluster)
    (project / "stacks" / file_name(stack)).write_text(write_record(record), encoding="utf-8")
