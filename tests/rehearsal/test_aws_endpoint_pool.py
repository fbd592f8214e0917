"""How the simulated EC2 hands out a subnet's addresses."""

from ipaddress import IPv4Network
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headroom.rehearsal.aws.pool import (
    AddressInUseError,
    AddressPool,
    NoFreeAddressesError,
    NoFreePrefixesError,
    OutsideSubnetError,
    Reservation,
)


def pool(cidr: str, seed: int = 1) -> AddressPool:
    return AddressPool(IPv4Network(cidr), Random(seed))  # noqa: S311  # it only scatters addresses


def number(address: str) -> int:
    return int(IPv4Network(f"{address}/32").network_address)


@pytest.mark.parametrize(("cidr", "usable"), [("10.0.0.0/28", 11), ("10.0.0.0/24", 251), ("10.0.0.0/22", 1019)])
def test_aws_keeps_five_addresses_of_a_subnet(cidr: str, usable: int) -> None:
    subnet = pool(cidr)

    assert subnet.available == usable
    for kept in ("10.0.0.0", "10.0.0.1", "10.0.0.2", "10.0.0.3"):
        with pytest.raises(OutsideSubnetError):
            subnet.take(number(kept), "eni-1")


def test_a_request_for_more_than_is_free_takes_nothing() -> None:
    subnet = pool("10.0.0.0/28")

    with pytest.raises(NoFreeAddressesError):
        subnet.take_any(12, "eni-1")

    assert subnet.available == 11
    assert len(set(subnet.take_any(11, "eni-1"))) == 11
    assert subnet.available == 0


def test_an_address_is_held_once_and_free_again_after_its_release() -> None:
    subnet = pool("10.0.0.0/28")
    subnet.take(number("10.0.0.9"), "eni-1")

    with pytest.raises(AddressInUseError):
        subnet.take(number("10.0.0.9"), "eni-2")
    subnet.release(number("10.0.0.9"))
    subnet.take(number("10.0.0.9"), "eni-2")

    assert subnet.holder(number("10.0.0.9")) == "eni-2"


def test_the_first_and_the_last_block_of_a_subnet_are_never_a_prefix() -> None:
    subnet = pool("10.0.0.0/26")

    blocks = subnet.take_prefixes(2, "eni-1")

    assert sorted(blocks) == [number("10.0.0.16"), number("10.0.0.32")]
    with pytest.raises(NoFreePrefixesError):
        subnet.take_prefixes(1, "eni-1")
    assert subnet.available == 12 + 15, "what is left of the first and the last block"


def test_one_address_in_every_block_leaves_no_prefix_although_most_is_free() -> None:
    subnet = pool("10.0.0.0/24")
    for block in range(1, 15):
        subnet.take(number("10.0.0.0") + 16 * block + 5, "eni-1")

    assert subnet.available == 237
    assert subnet.free_prefixes == 0
    with pytest.raises(NoFreePrefixesError):
        subnet.take_prefixes(1, "eni-2")


def test_prefixes_come_out_of_a_reservation_before_the_rest_of_the_subnet() -> None:
    subnet = pool("10.0.0.0/24")
    subnet.reserve("scr-1", Reservation(number("10.0.0.64"), number("10.0.0.95"), for_prefixes=True))

    assert sorted(subnet.take_prefixes(2, "eni-1")) == [number("10.0.0.64"), number("10.0.0.80")]
    assert not number("10.0.0.64") <= subnet.take_prefixes(1, "eni-1")[0] <= number("10.0.0.95")


def test_a_reservation_lowers_the_count_and_leaves_what_is_in_use_where_it_is() -> None:
    subnet = pool("10.0.0.0/24")
    subnet.take(number("10.0.0.70"), "eni-1")
    subnet.reserve("scr-1", Reservation(number("10.0.0.64"), number("10.0.0.79"), for_prefixes=True))

    assert subnet.available == 251 - 16
    assert subnet.holder(number("10.0.0.70")) == "eni-1"
    subnet.release(number("10.0.0.70"))
    assert subnet.available == 251 - 16, "it goes back to the reservation, not to general use"
    subnet.unreserve("scr-1")
    assert subnet.available == 251


def test_single_addresses_are_not_drawn_from_a_reservation() -> None:
    subnet = pool("10.0.0.0/27")
    subnet.reserve("scr-1", Reservation(number("10.0.0.16"), number("10.0.0.31"), for_prefixes=False))

    taken = subnet.take_any(12, "eni-1")

    assert max(taken) < number("10.0.0.16")
    with pytest.raises(NoFreeAddressesError):
        subnet.take_any(1, "eni-1")
    subnet.take(number("10.0.0.20"), "eni-1")


@given(
    seed=st.integers(0, 2**16),
    steps=st.lists(
        st.tuples(st.sampled_from(["take", "prefix", "give", "give prefix"]), st.integers(1, 6)), max_size=40
    ),
)
def test_whatever_is_taken_and_given_back_every_address_is_counted_once(
    seed: int, steps: list[tuple[str, int]]
) -> None:
    subnet = pool("10.0.0.0/25", seed)
    held: list[int] = []
    prefixes: list[int] = []
    for step, count in steps:
        try:
            if step == "take":
                held += subnet.take_any(count, "eni-1")
            elif step == "prefix":
                prefixes += subnet.take_prefixes(count, "eni-1")
        except (NoFreeAddressesError, NoFreePrefixesError):
            pass
        if step == "give" and held:
            subnet.release(held.pop())
        if step == "give prefix" and prefixes:
            subnet.release_prefix(prefixes.pop())
        covered = set(held) | {address for block in prefixes for address in range(block, block + 16)}
        assert len(covered) == len(held) + 16 * len(prefixes), "nothing is held twice"
        assert subnet.available == 123 - len(covered)
        assert all(block % 16 == 0 for block in prefixes)
