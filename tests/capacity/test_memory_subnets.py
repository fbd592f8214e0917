import pytest
from hypothesis import given
from hypothesis import strategies as st

from headroom.capacity.ec2 import PREFIX_ADDRESSES, Ec2Error, MemorySubnets


def one_subnet(free: int, blocks: int | None = None) -> MemorySubnets:
    subnets = MemorySubnets()
    subnets.add_subnet("subnet-a", free_addresses=free, free_blocks=blocks)
    return subnets


def free(subnets: MemorySubnets) -> int:
    return subnets.describe_subnets()[0].free_addresses


def test_a_request_is_granted_whole_or_refused() -> None:
    subnets = one_subnet(9)
    with pytest.raises(Ec2Error) as refusal:
        subnets.create_interface("subnet-a", addresses=9)
    assert refusal.value.code == "InsufficientFreeAddressesInSubnet"
    assert free(subnets) == 9
    assert len(subnets.create_interface("subnet-a", addresses=8).addresses) == 8
    assert free(subnets) == 0


def test_prefixes_are_aligned_and_need_whole_blocks() -> None:
    subnets = one_subnet(40, blocks=1)
    interface = subnets.create_interface("subnet-a", prefixes=1)
    assert interface.prefixes[0] % PREFIX_ADDRESSES == 0
    assert free(subnets) == 23
    with pytest.raises(Ec2Error) as refusal:
        subnets.assign_prefixes(interface.id, 1)
    assert refusal.value.code == "InsufficientCidrBlocks"
    with pytest.raises(Ec2Error) as refusal:
        subnets.create_interface("subnet-a", prefixes=1)
    assert refusal.value.code == "InvalidParameterValue"


def test_an_interfaces_own_address_can_break_the_last_block() -> None:
    with pytest.raises(Ec2Error):
        one_subnet(32, blocks=2).create_interface("subnet-a", prefixes=2)


def test_calls_are_counted_even_if_refused() -> None:
    subnets = one_subnet(0)
    with pytest.raises(Ec2Error):
        subnets.create_interface("subnet-a")
    assert subnets.calls == {"CreateNetworkInterface": 1}


@given(
    free_addresses=st.integers(0, 300),
    share=st.floats(0, 1),
    requests=st.lists(st.tuples(st.sampled_from(("addresses", "prefixes", "back")), st.integers(0, 20)), max_size=30),
)
def test_nothing_is_lost_or_given_twice(free_addresses: int, share: float, requests: list[tuple[str, int]]) -> None:
    subnets = one_subnet(free_addresses, blocks=int(free_addresses // PREFIX_ADDRESSES * share))
    held: dict[str, set[int]] = {}
    for kind, count in requests:
        if kind == "back":
            if held:
                interface_id, _ = held.popitem()
                subnets.delete_interface(interface_id)
            continue
        try:
            interface = subnets.create_interface(
                "subnet-a",
                addresses=count if kind == "addresses" else 0,
                prefixes=count if kind == "prefixes" else 0,
            )
        except Ec2Error:
            continue
        held[interface.id] = {interface.primary_address, *interface.addresses} | {
            prefix + offset for prefix in interface.prefixes for offset in range(PREFIX_ADDRESSES)
        }
    everything = [address for addresses in held.values() for address in addresses]
    assert len(everything) == len(set(everything))
    assert free(subnets) == free_addresses - len(everything)
    for interface_id in held:
        subnets.delete_interface(interface_id)
    assert free(subnets) == free_addresses
