"""What gives pods their addresses on simulated nodes of AKS: host-local under kubenet, azure-cns under overlay.

host-local keeps a file for every address that it gave out, and only a DEL for the same container takes the file away.
A DEL that never comes, because the runtime or the kubelet was restarted meanwhile, leaves the file for ever
(kubernetes #34278, #57280): the range fills although nothing uses it.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from headroom.addresses.blocks import Block, format_address
from headroom.facts.azure import HOST_LOCAL_MARK, SANDBOXES_MARK
from headroom.rehearsal.kubelets import NoAddressError

NETWORK: Final = "kubenet"
"""Name of the network whose files host-local keeps in /var/lib/cni/networks."""
_LAST: Final = "last_reserved_ip.0"
_GATEWAY: Final = 1
NOT_GIVEN_OUT: Final = 3
"""Addresses of a range that no pod gets: its first, the gateway's and its last (host-local, range.go)."""
"""Offset of the gateway's address in a node's range."""
CNS_KEEPS: Final = 1
"""Addresses of a node's block that azure-cns gives to no pod: the first."""


class HostLocal:
    """host-local over one range, with its files (containernetworking/plugins, host-local, backend/disk).

    Attributes:
        block: The node's block of the pod CIDR.
        folder: Where the files are.
    """

    def __init__(self, block: Block, folder: Path) -> None:
        self.block = block
        self.folder = folder / "var" / "lib" / "cni" / "networks" / NETWORK
        self.folder.mkdir(parents=True, exist_ok=True)
        self._containers: dict[int, str] = {}
        self._last = block.first

    @property
    def range(self) -> str:
        """The range as host-local prints it: its two ends."""
        return f"{format_address(self.block.first + 1)}-{format_address(self.block.last - 1)}"

    @property
    def free(self) -> int:
        """Addresses without a file."""
        return self.block.size - NOT_GIVEN_OUT - len(self._containers)

    def add(self, sandbox: str, pod: str) -> str:
        """The next free address after the last one given out, around the range.

        Raises:
            NoAddressError: Every address has a file.
        """
        del pod
        for address in self._from_last():
            if address not in self._containers:
                self._containers[address] = sandbox
                self._last = address
                text = format_address(address)
                (self.folder / text).write_text(f"{sandbox}\r\neth0", encoding="utf-8")
                (self.folder / _LAST).write_text(text, encoding="utf-8")
                return text
        raise NoAddressError(
            f'plugin type="kubenet" failed (add): failed to allocate for range 0: no IP addresses available in range '
            f"set: {self.range}"
        )

    def delete(self, sandbox: str) -> None:
        """Takes the files of a container away."""
        for address in [address for address, container in self._containers.items() if container == sandbox]:
            del self._containers[address]
            (self.folder / format_address(address)).unlink(missing_ok=True)

    def reserved(self) -> dict[str, str]:
        """The container by address, of every file."""
        files = (path for path in sorted(self.folder.iterdir()) if path.name != _LAST)
        return {path.name: path.read_text(encoding="utf-8").splitlines()[0] for path in files}

    def _from_last(self) -> Iterator[int]:
        size = self.block.size
        for step in range(1, size + 1):
            offset = (self._last - self.block.first + step) % size
            if offset not in {0, _GATEWAY, size - 1}:
                yield self.block.first + offset


def printed(node: str, host_local: HostLocal, sandboxes: Sequence[str]) -> str:
    """What `headroom.facts.azure.HOST_LOCAL_COMMAND` prints on a node."""
    lines = [f"{HOST_LOCAL_MARK}{node}"]
    for address, container in host_local.reserved().items():
        lines += [f"./{NETWORK}/{address}:{container}", f"./{NETWORK}/{address}:eth0"]
    return "\n".join([*lines, SANDBOXES_MARK, *sandboxes]) + "\n"


class Cns:
    """azure-cns over the block of its node, which is all that the node has under overlay.

    Attributes:
        block: The node's block of the pod CIDR.
    """

    def __init__(self, block: Block) -> None:
        self.block = block
        self._taken: dict[str, int] = {}

    def add(self, sandbox: str, pod: str) -> str:
        """A free address.

        Raises:
            NoAddressError: There is none (azure-container-networking, cns/restserver/ipam.go).
        """
        taken = set(self._taken.values())
        for address in range(self.block.first + CNS_KEEPS, self.block.last + 1):
            if address not in taken:
                self._taken[sandbox] = address
                return format_address(address)
        raise NoAddressError(
            'plugin type="azure-vnet" failed (add): IPAM Invoker Add failed with error: Failed to get IP address from '
            f"CNS: AssignAvailableIPConfigs failed: not enough IPs available of type IPv4 for {pod}, waiting on Azure "
            "CNS to allocate more with NC Status: "
        )

    def delete(self, sandbox: str) -> None:
        """Gives it back."""
        self._taken.pop(sandbox, None)
