"""What the tests of the rehearsal share: the tools and one control plane."""

from collections.abc import Iterator

import pytest

from headroom.rehearsal.control_plane import ControlPlane, start_control_plane
from headroom.rehearsal.kube import Kube
from headroom.rehearsal.tools import Tools, find_tools


@pytest.fixture(scope="session")
def tools() -> Tools:
    """The programs of a rehearsal; without them a test fails and says to run make setup."""
    return find_tools()


@pytest.fixture(scope="session")
def control_plane(tools: Tools, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """A real control plane, started once; tests keep apart by their own namespaces."""
    with start_control_plane(tools, tmp_path_factory.mktemp("control-plane")) as plane:
        yield plane


@pytest.fixture
def kube(control_plane: ControlPlane) -> Iterator[Kube]:
    """A client of the control plane, which still runs after the test."""
    client = control_plane.client()
    yield client
    client.close()
    control_plane.check()
