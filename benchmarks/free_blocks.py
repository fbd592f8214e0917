"""All free /28s of a /18 with 1,000 used addresses: Headroom against an integer floor, ipaddress and netaddr.

Run: python benchmarks/free_blocks.py [--repeats 200]

The floor is the least that plain integers need: one byte a block, mark, collect. It returns integers, where
Headroom returns `Block`s from `Block`s; its integer path is shown as well. Every way must find the same
blocks. The time is the best of the repeats after a warm-up.
"""

import argparse
import ipaddress
import random
import sys
import time
from collections.abc import Callable, Sequence

import netaddr  # type: ignore[import-untyped]  # publishes no types

from headroom.addresses.blocks import Block, format_address
from headroom.addresses.free import free_blocks, free_starts

SUBNET = Block.parse("10.68.192.0/18")
PREFIX_LENGTH = 28
USED_ADDRESSES = 1000
SEED = 20251121
ALLOWED_RATIO = 5.0
SLOW_REPEATS = 10
"""Repeats for the two libraries that need tens of milliseconds."""


def used_addresses() -> list[int]:
    """Addresses in use, the same at every run."""
    # Not for secrets: a fixed seed makes runs comparable.
    return random.Random(SEED).sample(range(SUBNET.first, SUBNET.last + 1), USED_ADDRESSES)  # noqa: S311


def integer_floor(used: Sequence[int]) -> list[int]:
    """The simplest loop on integers."""
    marks = bytearray(SUBNET.count_of(PREFIX_LENGTH))
    for address in used:
        marks[address - SUBNET.first >> 4] = 1
    return [SUBNET.first + (index << 4) for index, mark in enumerate(marks) if not mark]


def with_ipaddress(used: Sequence[ipaddress.IPv4Address]) -> list[int]:
    """The usual way with the standard library: subnets, and the ones in which something is used."""
    subnet = ipaddress.IPv4Network(str(SUBNET))
    taken = {ipaddress.ip_network((address, PREFIX_LENGTH), strict=False) for address in used}
    return [int(block.network_address) for block in subnet.subnets(new_prefix=PREFIX_LENGTH) if block not in taken]


def with_netaddr(used: Sequence[netaddr.IPAddress]) -> list[int]:
    """The usual way with netaddr: the set of what is free, cut into /28s."""
    free = netaddr.IPSet([str(SUBNET)]) - netaddr.IPSet(used)
    return [
        block.first
        for cidr in free.iter_cidrs()
        if cidr.prefixlen <= PREFIX_LENGTH
        for block in cidr.subnet(PREFIX_LENGTH)
    ]


def best_seconds(run: Callable[[], object], repeats: int) -> float:
    """Shortest of the repeats, after one run to warm up."""
    run()
    best = float("inf")
    for _ in range(repeats):
        started = time.perf_counter()
        run()
        best = min(best, time.perf_counter() - started)
    return best


def main() -> int:
    """Prints the table; 1 if Headroom is not within the allowed ratio of the floor."""
    parser = argparse.ArgumentParser(description="Free /28s of a /18: Headroom against its peers.")
    parser.add_argument("--repeats", type=int, default=200, metavar="N")
    repeats = max(1, parser.parse_args().repeats)

    used = used_addresses()
    blocks = [Block(address, 32) for address in used]
    standard = [ipaddress.IPv4Address(address) for address in used]
    third_party = [netaddr.IPAddress(address) for address in used]
    within = [(SUBNET.first, SUBNET.last)]

    def ours() -> list[Block]:
        return free_blocks([SUBNET], blocks, PREFIX_LENGTH)

    def ours_in_integers() -> list[int]:
        return list(free_starts(within, PREFIX_LENGTH, used_addresses=used))

    expected = integer_floor(used)
    answers = {
        "headroom, blocks": [block.first for block in ours()],
        "headroom, integers": ours_in_integers(),
        "ipaddress": with_ipaddress(standard),
        "netaddr": with_netaddr(third_party),
    }
    for name, answer in answers.items():
        if answer != expected:
            print(f"{name} finds other blocks than the floor", file=sys.stderr)
            return 1

    slow = min(repeats, SLOW_REPEATS)
    floor = best_seconds(lambda: integer_floor(used), repeats)
    times = {
        "integer floor": floor,
        "headroom, integers": best_seconds(ours_in_integers, repeats),
        "headroom, blocks": best_seconds(ours, repeats),
        "ipaddress": best_seconds(lambda: with_ipaddress(standard), slow),
        "netaddr": best_seconds(lambda: with_netaddr(third_party), slow),
    }
    print(
        f"{len(expected)} free /{PREFIX_LENGTH}s in {SUBNET}, {USED_ADDRESSES:,} of its addresses used, "
        f"the first of them {format_address(min(used))}"
    )
    print(f"{'':<20} {'best, ms':>10} {'times floor':>12}")
    for name, seconds in times.items():
        print(f"{name:<20} {seconds * 1000:>10.3f} {seconds / floor:>12.1f}")
    ratio = times["headroom, blocks"] / floor
    verdict = "within" if ratio <= ALLOWED_RATIO else "NOT within"
    print(f"headroom is {verdict} {ALLOWED_RATIO:g} times the floor")
    return 0 if ratio <= ALLOWED_RATIO else 1


if __name__ == "__main__":
    sys.exit(main())
