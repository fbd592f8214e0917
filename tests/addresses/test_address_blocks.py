import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headroom.addresses.blocks import (
    AWS_RESERVED_ADDRESSES,
    Block,
    format_address,
    listed,
    parse_address,
    parse_blocks,
    read_blocks,
    shown,
    usable_addresses,
)
from headroom.addresses.problems import Problem, ProblemsError

ADDRESSES = st.integers(0, 2**32 - 1)
LENGTHS = st.integers(0, 32)
BLOCKS = st.builds(Block.containing, ADDRESSES, LENGTHS)


def refusal(text: str) -> Problem:
    with pytest.raises(ProblemsError) as caught:
        Block.parse(text)
    (problem,) = caught.value.problems
    return problem


def test_a_block_is_read_and_written_in_cidr_notation() -> None:
    block = Block.parse("10.68.204.0/22")
    assert (block.first, block.prefix_length) == (10 << 24 | 68 << 16 | 204 << 8, 22)
    assert (block.size, format_address(block.last)) == (1024, "10.68.207.255")
    assert str(block) == "10.68.204.0/22"


@given(BLOCKS)
def test_blocks_agree_with_the_standard_library(block: Block) -> None:
    network = ipaddress.IPv4Network((block.first, block.prefix_length))
    assert str(block) == str(network)
    assert block.size == network.num_addresses
    assert block.last == int(network.broadcast_address)
    assert Block.parse(str(network)) == block


@given(BLOCKS, BLOCKS)
def test_containment_and_overlap_agree_with_the_standard_library(one: Block, other: Block) -> None:
    first, second = ipaddress.IPv4Network(str(one)), ipaddress.IPv4Network(str(other))
    assert one.contains(other) == second.subnet_of(first)
    assert one.overlaps(other) == first.overlaps(second)
    assert (one < other) == (first < second), "lowest first, the larger block before the smaller one inside it"


@given(ADDRESSES)
def test_addresses_agree_with_the_standard_library(address: int) -> None:
    text = str(ipaddress.IPv4Address(address))
    assert format_address(address) == text
    assert parse_address(text) == address


@given(ADDRESSES, LENGTHS)
def test_canonical_clears_host_bits_as_ec2_does(address: int, prefix_length: int) -> None:
    text = f"{format_address(address)}/{prefix_length}"
    assert str(Block.parse(text, canonical=True)) == str(ipaddress.IPv4Network(text, strict=False))


def test_the_published_example_of_a_canonical_form() -> None:
    # VPC user guide, vpc-cidr-blocks
    assert str(Block.parse("100.68.0.18/18", canonical=True)) == "100.68.0.0/18"


def test_host_bits_are_refused_with_both_readings_of_what_was_meant() -> None:
    problem = refusal("100.64.0.0/8")
    assert problem.rule == "cidr-host-bits"
    assert "100.0.0.0/8" in problem.message
    assert "100.64.0.0/32" in problem.next_step


@pytest.mark.parametrize(
    ("text", "rule", "said"),
    [
        ("", "ipv4-address", "empty"),
        ("   ", "ipv4-address", "empty"),
        ("/16", "ipv4-address", "empty"),
        ("10.0.0.0", "cidr-prefix-length", "10.0.0.0/32"),
        ("10.0.0.0/", "cidr-prefix-length", "0 to 32"),
        ("10.0.0.0/33", "cidr-prefix-length", "0 to 32"),
        ("10.0.0.0/-1", "cidr-prefix-length", "0 to 32"),
        ("10.0.0.0/016", "cidr-prefix-length", "leading zeros"),
        ("10.0.0.0/08", "cidr-prefix-length", "leading zeros"),
        ("10.0.0.0/16/16", "cidr-prefix-length", "0 to 32"),
        ("10.0.0.0/16\n", "cidr-prefix-length", "0 to 32"),
        ("10.0.0.0/ 16", "cidr-prefix-length", "0 to 32"),
        ("10.0.0.0/255.255.0.0", "cidr-prefix-length", "Write 10.0.0.0/16."),
        ("10.0.0.0/255.0.255.0", "cidr-prefix-length", "0 to 32"),
        ("10.0.0.0/0.0.255.255", "cidr-prefix-length", "0 to 32"),
        ("10.0.0.0/\uff11\uff16", "cidr-prefix-length", "0 to 32"),
        (" 10.0.0.0/16", "ipv4-address", "blanks"),
        ("010.0.0.0/16", "ipv4-address", "Write 10.0.0.0"),
        ("10.00.0.0/16", "ipv4-address", "octal"),
        ("10.0.0/16", "ipv4-address", "four decimal numbers"),
        ("10.0.0.0.0/16", "ipv4-address", "four decimal numbers"),
        ("10.0.0.256/32", "ipv4-address", "above 255"),
        ("10.0.0.-1/32", "ipv4-address", "four decimal numbers"),
        ("167772160/16", "ipv4-address", "four decimal numbers"),
        ("0x0a000000/16", "ipv4-address", "four decimal numbers"),
        ("2001:db8::/32", "ipv4-address", "IPv6"),
        ("::ffff:10.0.0.0/104", "ipv4-address", "IPv6"),
        ("\u0661\u0660.0.0.0/16", "ipv4-address", "ASCII"),
        ("\uff11\uff10.0.0.0/16", "ipv4-address", "ASCII"),
        ("10\uff0e0\uff0e0\uff0e0/16", "ipv4-address", "ASCII"),
        ("10.0.0.0\u200b/16", "ipv4-address", "ASCII"),
        ("vpc-0a1b2c3d", "ipv4-address", "four decimal numbers"),
        ("9" * 5000, "ipv4-address", "four decimal numbers"),
        ("10.0.0.0/" + "1" * 5000, "cidr-prefix-length", "0 to 32"),
    ],
)
def test_text_that_is_no_block_is_refused_and_told_what_to_write(text: str, rule: str, said: str) -> None:
    problem = refusal(text)
    assert problem.rule == rule
    assert said in problem.message
    assert problem.next_step.startswith("Write ")
    assert len(problem.message) < 400, "a huge value is not repeated in full"


@pytest.mark.parametrize("value", [None, 10, 10.0, ["10.0.0.0/16"], b"10.0.0.0/16", True])
def test_a_value_from_yaml_that_is_no_text_is_refused_by_its_type(value: object) -> None:
    problem = refusal(value)  # type: ignore[arg-type]  # what a YAML file may hold
    assert type(value).__name__ in problem.message


@given(st.text(max_size=40))
def test_any_text_is_either_a_block_or_one_problem(text: str) -> None:
    problems: list[Problem] = []
    blocks = read_blocks([text], key="", problems=problems)
    assert len(problems) == (0 if blocks else 1)
    assert [str(block) for block in blocks] in ([], [text])


@given(st.text(max_size=40))
def test_any_text_is_either_an_address_or_one_problem(text: str) -> None:
    problems: list[Problem] = []
    blocks = read_blocks([text.replace("/", ".")], key="", problems=problems, addresses=True)
    assert len(problems) == (0 if blocks else 1)
    assert [format_address(block.first) for block in blocks] in ([], [text])


def test_control_characters_never_reach_the_terminal() -> None:
    problem = refusal("\x1b[2J10.0.0.0/16")
    assert problem.message.isprintable()
    assert shown("\x1b[31m") == r"'\x1b[31m'"
    assert shown("") == "''"
    assert shown("10.0.0.0/16") == "10.0.0.0/16"


def test_a_message_lists_a_few_values_and_counts_the_rest() -> None:
    assert (listed([]), listed("a"), listed("ab"), listed("abc")) == ("", "a", "a and b", "a, b and c")
    assert listed("abcdefgh") == "a, b, c, d, e, f, g and h"
    assert listed(range(10_000)) == "0, 1, 2, 3, 4, 5, 6 and 9,993 more"


def test_all_blocks_of_a_list_are_judged_at_once_and_named_by_their_place() -> None:
    with pytest.raises(ProblemsError) as caught:
        parse_blocks(["10.0.0.0/16", "10.0.0.1/16", "::/0", "10.1.0.0/16"], key="existing")
    assert [problem.key for problem in caught.value.problems] == ["existing[1]", "existing[2]"]
    assert "2 problems" in str(caught.value)


def test_order_and_duplicates_of_a_list_are_kept() -> None:
    texts = ["10.1.0.0/16", "10.0.0.0/16", "10.1.0.0/16"]
    assert [str(block) for block in parse_blocks(texts)] == texts
    assert parse_blocks([]) == []
    assert parse_blocks(["10.0.0.9/24"], canonical=True) == [Block.parse("10.0.0.0/24")]


def test_several_lists_are_read_into_one_list_of_problems() -> None:
    problems: list[Problem] = []
    within = read_blocks(["10.0.0.0/16", "nonsense"], key="within", problems=problems)
    used = read_blocks(["10.0.0.7", "10.0.0.16/28", "10.0.0.300"], key="used", problems=problems, addresses=True)
    assert [str(block) for block in within] == ["10.0.0.0/16"]
    assert [str(block) for block in used] == ["10.0.0.7/32", "10.0.0.16/28"]
    assert [problem.key for problem in problems] == ["within[1]", "used[2]"]


@pytest.mark.parametrize(
    ("first", "prefix_length"), [(1, 31), (0, 33), (0, -1), (-1, 32), (2**32, 32), (2**32, 0), (-(2**32), 0)]
)
def test_numbers_that_are_no_block_are_a_mistake_of_the_program(first: int, prefix_length: int) -> None:
    with pytest.raises(ValueError, match=r"prefix length|first address"):
        Block(first, prefix_length)


@pytest.mark.parametrize("address", [-1, 2**32])
def test_numbers_that_are_no_address_are_a_mistake_of_the_program(address: int) -> None:
    with pytest.raises(ValueError, match="not an IPv4 address"):
        format_address(address)


def test_the_subblocks_of_a_block_are_its_parts_lowest_first() -> None:
    block = Block.parse("10.0.0.0/22")
    assert [str(part) for part in block.subblocks(24)] == ["10.0.0.0/24", "10.0.1.0/24", "10.0.2.0/24", "10.0.3.0/24"]
    assert str(block.subblock(63, 28)) == "10.0.3.240/28"
    assert list(block.subblocks(22)) == [block]
    assert list(block.subblocks(21)) == []
    assert block.count_of(0) == 0
    assert Block(0, 0).count_of(0) == 1
    with pytest.raises(ValueError, match="index 4"):
        block.subblock(4, 24)
    with pytest.raises(ValueError, match="prefix length"):
        block.count_of(33)


@pytest.mark.parametrize(
    ("cidr", "usable"),
    [
        ("10.0.0.0/24", 251),  # VPC user guide, subnet-sizing: five of 256 are reserved
        ("10.0.0.0/22", 1019),
        ("10.0.0.0/16", 65531),
        ("10.0.0.0/28", 11),
        ("10.0.0.0/30", 0),
        ("10.0.0.0/32", 0),
    ],
)
def test_aws_keeps_five_addresses_of_every_subnet(cidr: str, usable: int) -> None:
    assert AWS_RESERVED_ADDRESSES == 5
    assert usable_addresses(Block.parse(cidr)) == usable


def test_three_quarters_of_a_thousand_node_post_mortem() -> None:
    # Three /22 subnets hold 3,057 usable addresses, not 3,072.
    assert 3 * usable_addresses(Block.parse("10.68.204.0/22")) == 3057
