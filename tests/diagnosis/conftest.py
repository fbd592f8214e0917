"""Clusters for the tests of diagnosis, planning and report; see `headroom.rehearsal.made`."""

import pytest

from headroom.facts.snapshot import Snapshot
from headroom.rehearsal import made


@pytest.fixture(scope="session")
def exhausted() -> Snapshot:
    """Two of three /22s are full, and 37 pods wait."""
    return made.exhausted()


@pytest.fixture(scope="session")
def healthy() -> Snapshot:
    """The same cluster with thrifty settings, on a quiet day."""
    return made.healthy()


@pytest.fixture(scope="session")
def fragmented() -> Snapshot:
    """Prefix delegation, free addresses, and no whole /28."""
    return made.fragmented()


@pytest.fixture(scope="session")
def leaking() -> Snapshot:
    """Interfaces that gone nodes left behind."""
    return made.leaking()


@pytest.fixture(scope="session")
def crowded() -> Snapshot:
    """Interfaces of other services in the pods' subnets."""
    return made.crowded()


@pytest.fixture(scope="session")
def full_nodes() -> Snapshot:
    """Nodes at their interfaces' limit."""
    return made.full_nodes()
