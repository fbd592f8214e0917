"""An ipamd that goes on where another one was: its interfaces, its pods with their addresses, and no growth at once."""

from dataclasses import replace

import pytest

from headroom.capacity.ec2 import Interface, MemorySubnets
from headroom.capacity.ipamd import Ipamd
from headroom.capacity.limits import InstanceLimits
from headroom.capacity.settings import CniSettings

SMALL = InstanceLimits(enis=3, ipv4_per_eni=10)


def full_node(settings: CniSettings, *, prefixes: bool = False) -> tuple[Ipamd, MemorySubnets, tuple[Interface, ...]]:
    """A node with two interfaces in a subnet that has nothing left."""
    subnets = MemorySubnets()
    subnets.add_subnet("subnet-1", free_addresses=18 if not prefixes else 2 * 16 + 1)
    first = subnets.launch("subnet-1")
    if prefixes:
        first = replace(first, prefixes=subnets.assign_prefixes(first.id, 1))
        second = subnets.create_interface("subnet-1", prefixes=1)
    else:
        first = replace(first, addresses=subnets.assign_addresses(first.id, 9))
        second = subnets.create_interface("subnet-1", addresses=8)
    subnets.attach_interface(second.id)
    subnets.calls.clear()
    ipamd = Ipamd(limits=SMALL, settings=settings, max_pods=29, ec2=subnets, primary=first, others=(second,))
    return ipamd, subnets, (first, second)


def test_pods_keep_the_addresses_that_they_had() -> None:
    ipamd, subnets, (first, second) = full_node(CniSettings())
    strange = ipamd.resume(1000.0, {"shop/a": first.addresses[3], "shop/b": second.addresses[0]})
    assert strange == ()
    given = {pod: ipamd.assign(pod, 1000.0) for pod in ("shop/a", "shop/b")}
    assert {pod: address.address for pod, address in given.items() if address is not None} == {
        "shop/a": first.addresses[3],
        "shop/b": second.addresses[0],
    }
    assert ipamd.state.assigned == 2
    assert ipamd.state.enis == 2
    assert "AssignPrivateIpAddresses" not in subnets.calls


def test_it_does_not_grow_before_its_first_loop_and_a_full_subnet_does_not_keep_it_from_starting() -> None:
    ipamd, subnets, (first, second) = full_node(CniSettings())
    everyone = [*first.addresses, *second.addresses]
    ipamd.resume(1000.0, {f"shop/{number}": address for number, address in enumerate(everyone)})
    assert ipamd.not_ready is None
    assert not subnets.calls.keys() & {"AssignPrivateIpAddresses", "CreateNetworkInterface"}
    ipamd.step(ipamd.next_due)
    assert subnets.calls["AssignPrivateIpAddresses"] >= 1
    assert ipamd.assign("shop/one-more", 1010.0) is None


def test_pods_inside_a_prefix_keep_their_addresses_and_no_other_pod_gets_them() -> None:
    ipamd, _, (first, _second) = full_node(
        CniSettings.from_environment({"ENABLE_PREFIX_DELEGATION": "true"}), prefixes=True
    )
    taken = {f"shop/{number}": first.prefixes[0] + number for number in (0, 5, 15)}
    assert ipamd.resume(1000.0, taken) == ()
    others = {f"shop/new-{number}": ipamd.assign(f"shop/new-{number}", 1000.0) for number in range(29)}
    addresses = [given.address for given in others.values() if given is not None]
    assert len(addresses) == len(set(addresses)) == 29
    assert not set(addresses) & set(taken.values())


@pytest.mark.parametrize("address", [1, 2**32 - 1])
def test_a_pod_whose_address_is_of_no_interface_is_named(address: int) -> None:
    ipamd, _, _ = full_node(CniSettings())
    assert ipamd.resume(1000.0, {"shop/stranger": address}) == ("shop/stranger",)
    assert ipamd.state.assigned == 0


def test_of_two_pods_with_one_address_the_second_is_named() -> None:
    ipamd, _, (first, _) = full_node(CniSettings())
    both = {"shop/a": first.addresses[0], "shop/b": first.addresses[0]}
    assert ipamd.resume(1000.0, both) == ("shop/b",)
    assert ipamd.state.assigned == 1
