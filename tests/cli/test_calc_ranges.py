"""`headroom calc free`, `blocks`, `association`, `layout` and `overlay`."""

import pytest

from headroom.addresses.blocks import Block
from headroom.addresses.layout import layout
from tests.cli.conftest import answer, calc, refused


def words(text: str) -> list[str]:
    return text.split()


@pytest.mark.parametrize(
    ("options", "blocks", "largest"),
    [
        (
            "--within 10.0.0.0/22 --used 10.0.1.0/24 --prefix-length 24",
            "10.0.0.0/24 10.0.2.0/24 10.0.3.0/24",
            "10.0.2.0/23",
        ),
        ("--within 10.0.0.0/22 --used 10.0.1.0/24 --prefix-length 24 --count 1", "10.0.0.0/24", "10.0.2.0/23"),
        ("--within 10.0.0.0/22 --used 10.0.1.0/24", "10.0.0.0/24 10.0.2.0/23", "10.0.2.0/23"),
        ("--within 10.0.0.0/30 --used 10.0.0.1", "10.0.0.0/32 10.0.0.2/31", "10.0.0.2/31"),
        ("--within 10.0.0.0/24 --used 10.0.0.0/8", "", None),
        ("--within 10.1.0.0/24 --within 10.0.0.0/24 --within 10.0.0.0/24", "10.0.0.0/24 10.1.0.0/24", "10.0.0.0/24"),
        ("--within 0.0.0.0/0 --prefix-length 1", "0.0.0.0/1 128.0.0.0/1", "0.0.0.0/0"),
        ("--within 10.0.0.0/24 --prefix-length 25 --count 0", "", "10.0.0.0/24"),
        ("--within 10.0.0.0/24 --prefix-length /26 --count 2", "10.0.0.0/26 10.0.0.64/26", "10.0.0.0/24"),
    ],
)
def test_free_blocks_come_lowest_first(options: str, blocks: str, largest: str | None) -> None:
    run = calc("free", *words(options), "--json")
    assert run.data == {"blocks": blocks.split(), "largest": largest}
    assert run.code == 0


def test_fewer_than_asked_for_is_a_finding_and_shows_what_there_is() -> None:
    run = calc(*words("free --within 10.0.0.0/22 --prefix-length 24 --count 1000000000 --json"))
    assert run.code == 1
    assert len(run.data["blocks"]) == 4
    assert "too-few-free: 4 free /24s are all that there are" in run.err
    nothing = calc(*words("free --within 10.0.0.0/24 --used 10.0.0.0/24 --count 1"))
    assert nothing.code == 1
    assert "Nothing is free." in nothing.out


@pytest.mark.parametrize(
    ("options", "count"),
    [
        ("", 1),
        ("--within ::/0 --within 10.0.0.1/8 --within x --used 1.2.3.4/40 --prefix-length 33 --count -1", 6),
        ("--within 0.0.0.0/0 --prefix-length 28", 1),
        ("--within 10.0.0.0 --used 10.0.0.0/24/8 --used ٣.0.0.0", 3),
        ("--within 010.0.0.0/8", 1),
    ],
)
def test_bad_ranges_are_refused_all_at_once(options: str, count: int) -> None:
    assert len(refused("free", *words(options))) == count


def test_an_empty_option_is_no_range() -> None:
    assert "is empty where an IPv4 address should be" in refused("free", "--within", "")[0]


def test_the_map_of_a_subnet_has_its_shape() -> None:
    run = calc(
        *words("blocks --subnet 10.0.0.0/25 --used 10.0.0.17 --used 10.0.0.32/28 --reserved 10.0.0.64/27 --json")
    )
    assert run.code == 0
    assert run.data == {
        "free28": 4,
        "usable28": 2,
        "partial28": 1,
        "reserved28": 2,
        "freeAddresses": 74,
        "map": "-o#.rr.-",
    }


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("--subnet 10.0.0.0/28", (1, 0, 0, 0, 11, "-")),
        ("--subnet 10.0.0.0/27", (2, 0, 0, 0, 27, "--")),
        ("--subnet 10.0.0.0/26 --used 10.0.0.0/26", (0, 0, 0, 0, 0, "####")),
        ("--subnet 10.0.0.0/26 --used 10.0.0.0 --used 10.0.0.20 --used 10.0.0.20", (3, 1, 1, 0, 58, "-o.-")),
        ("--subnet 10.0.0.0/26 --reserved-for-prefixes 10.0.0.16/28", (3, 2, 0, 1, 43, "-p.-")),
    ],
)
def test_maps_are_counted(options: str, expected: tuple[int | str, ...]) -> None:
    """The first and the last /28 never become prefixes (amazon-vpc-cni-k8s #2749)."""
    found = answer("blocks", *words(options))
    assert tuple(found.values()) == expected


def test_what_is_used_in_another_subnet_is_refused_since_the_map_would_look_free() -> None:
    options = (
        "--used 10.0.1.1 --used 10.0.0.4 --used 10.9.0.0/16 --reserved 10.0.2.0/28 --reserved-for-prefixes 10.0.3.0/28"
    )
    last = (
        ", outside of 10.0.0.0/24. Give what is in this subnet only: DescribeNetworkInterfaces takes the filter "
        "subnet-id."
    )
    assert refused("blocks", *words(f"--subnet 10.0.0.0/24 {options}")) == [
        f"--used names 10.0.1.1 and 10.9.0.0/16{last}",
        f"--reserved names 10.0.2.0/28{last}",
        f"--reserved-for-prefixes names 10.0.3.0/28{last}",
    ]


def test_a_used_block_may_be_larger_than_the_subnet() -> None:
    assert answer("blocks", *words("--subnet 10.0.0.0/24 --used 0.0.0.0/0"))["map"] == "#" * 16


@pytest.mark.parametrize(
    ("options", "count"),
    [
        ("", 1),
        ("--subnet 10.0.0.0/8", 1),
        ("--subnet 10.0.0.0/29 --used x --reserved y --reserved-for-prefixes z", 4),
        ("--subnet 10.0.0.7/24 --used 10.0.0.300 --used fd00::1", 3),
    ],
)
def test_bad_subnets_are_refused_all_at_once(options: str, count: int) -> None:
    assert len(refused("blocks", *words(options))) == count


def test_an_association_has_its_shape() -> None:
    run = calc(*words("association --existing 10.0.0.0/16 --candidate 172.16.0.9/16 --json"))
    assert run.code == 1
    assert list(run.data) == ["allowed", "canonical", "problems", "warnings"]
    assert (run.data["allowed"], run.data["canonical"]) == (False, "172.16.0.0/16")
    for each in (*run.data["problems"], *run.data["warnings"]):
        assert list(each) == ["rule", "message", "source"]
    assert [each["rule"] for each in run.data["problems"]] == ["rfc1918-mixing"]
    rules = [each["rule"] for each in run.data["warnings"]]
    assert rules == sorted(rules)
    assert "canonical-form" in rules
    assert run.err == "", "the shape has a place for warnings"


@pytest.mark.parametrize(
    ("options", "rules"),
    [
        ("--candidate 100.64.0.0/16", ""),
        ("--candidate 10.1.0.0/16", ""),
        ("--candidate 100.64.0.0/10", "cidr-size"),
        ("--candidate 198.19.0.0/16", "range-198-19"),
        ("--candidate 169.254.0.0/16", "link-local"),
        ("--candidate 10.0.0.0/16", "cidr-overlap range-10-0"),
        ("--candidate 10.1.0.0/16 --peer 10.1.0.0/20", "peering-overlap"),
        ("--candidate 10.1.0.0/16 --pending-peering requester:10.9.0.0/16", "peering-pending"),
        ("--candidate 10.1.0.0/16 --pending-peering accepter:10.1.0.0/16", ""),
        ("--candidate 10.1.0.0/16 --direct-connect 10.1.0.0/16", "direct-connect-overlap"),
        ("--candidate 10.1.0.0/16 --transit-gateway 10.1.0.0/16", ""),
        ("--candidate 10.1.0.0/16 --service-cidr 10.1.0.0/20", "service-cidr-overlap"),
        ("--candidate 10.1.0.0/16 --route 10.1.0.0/24", "route-destination"),
        ("--candidate 10.1.0.0/16 --quota 1", "cidr-quota"),
        ("--candidate 172.16.0.0/16", "rfc1918-mixing"),
        ("--candidate 172.16.0.0/16 --allow-family-mix", ""),
    ],
)
def test_the_published_rules_are_kept(options: str, rules: str) -> None:
    """VPC user guide, vpc-cidr-blocks."""
    run = calc("association", "--existing", "10.0.0.0/16", *words(options), "--json")
    assert [each["rule"] for each in run.data["problems"]] == rules.split()
    assert run.code == (1 if rules else 0)
    assert run.data["allowed"] is not bool(rules)


def test_a_transit_gateways_silence_is_warned_of() -> None:
    options = "--existing 10.0.0.0/16 --candidate 10.1.0.0/16 --transit-gateway 10.1.0.0/20"
    rules = [each["rule"] for each in answer("association", *words(options))["warnings"]]
    assert "transit-gateway-overlap" in rules


@pytest.mark.parametrize(
    ("options", "count"),
    [
        ("", 2),
        (
            (
                "--existing 10.0.0.1/16 --candidate x --route y --peer z --direct-connect a --transit-gateway b "
                "--service-cidr c"
            ),
            7,
        ),
        (
            (
                "--existing 10.0.0.0/16 --candidate 10.1.0.0/16 --quota 51 --pending-peering neither "
                "--pending-peering accepter"
            ),
            3,
        ),
        ("--existing fd00::/8 --candidate fd00::/8 --quota 0", 3),
    ],
)
def test_bad_associations_are_refused_all_at_once(options: str, count: int) -> None:
    assert len(refused("association", *words(options))) == count


def test_a_layout_has_its_shape_and_stays() -> None:
    first = answer(*words("layout --within 100.64.0.0/16 --zone us-east-1b --zone us-east-1a --prefix-length 18"))
    assert first == {
        "subnets": [
            {"key": "us-east-1a", "zone": "us-east-1a", "cidr": "100.64.0.0/18", "usable": 16379},
            {"key": "us-east-1b", "zone": "us-east-1b", "cidr": "100.64.64.0/18", "usable": 16379},
        ],
        "freeAddresses": 32768,
    }
    kept = [word for each in first["subnets"] for word in ("--allocated", f"{each['key']}={each['cidr']}")]
    zones = words("--zone us-east-1a --zone us-east-1b --zone us-east-1c:19")
    later = answer("layout", "--within", "100.64.0.0/16", "--prefix-length", "18", *zones, *kept)
    assert later["subnets"][:2] == first["subnets"]
    assert later["subnets"][2]["cidr"] == "100.64.128.0/19"


def test_several_subnets_of_a_zone_have_keys() -> None:
    found = answer(*words("layout --within 10.0.0.0/20 --zone us-east-1a --prefix-length 24 --subnets-per-zone 3"))
    assert [each["key"] for each in found["subnets"]] == ["us-east-1a", "us-east-1a_2", "us-east-1a_3"]
    blocks = layout([Block.parse("10.0.0.0/20")], {each["key"]: 24 for each in found["subnets"]})
    assert [each["cidr"] for each in found["subnets"]] == [str(block) for block in blocks.values()]


@pytest.mark.parametrize(
    ("options", "count"),
    [
        ("", 2),
        ("--within 100.64.0.0/16 --zone us-east-1a", 1),
        ("--within x --zone us-east-1a:y --prefix-length z --allocated q --used r --subnets-per-zone 0", 6),
        ("--within 100.64.0.0/24 --zone us-east-1a --zone us-east-1b --prefix-length 16", 2),
        ("--within 100.64.0.0/16 --zone us-east-1a --zone us-east-1a --prefix-length 18", 1),
        ("--within 100.64.0.0/16 --zone Ω --prefix-length 29", 2),
        ("--within 100.64.0.0/16 --zone a --prefix-length 18 --allocated a=10.0.0.0/18 --allocated a=10.1.0.0/18", 1),
    ],
)
def test_bad_layouts_are_refused_all_at_once(options: str, count: int) -> None:
    assert len(refused("layout", *words(options))) == count


CLUSTER = words("overlay --pod-cidr 10.244.0.0/16 --node-subnet 10.0.0.0/22 --service-cidr 10.1.0.0/16")


def test_an_overlay_has_its_shape() -> None:
    run = calc(*CLUSTER, *words("--pool system:3:5:1:110 --pool apps:10:200:10%:250 --dns-service-ip 10.1.0.10 --json"))
    assert run.code == 0
    assert run.data == {
        "nodes": 226,
        "capacity": 256,
        "podsCapacity": 50_550,
        "problems": [],
        "warnings": [],
    }


def test_what_azure_refuses_is_a_finding() -> None:
    run = calc(*words("overlay --pod-cidr 172.16.0.0/12 --pool apps:3 --json"))
    assert run.code == 1
    assert [each["rule"] for each in run.data["problems"]] == ["reserved-range"]
    assert all(list(each) == ["rule", "message", "source"] for each in run.data["problems"])
    assert "172.30.0.0/16 and 172.31.0.0/16" in run.data["problems"][0]["message"]


@pytest.mark.parametrize(
    ("options", "rules"),
    [
        ("--pool apps:10:300", "pod-cidr-full"),
        ("--pool apps:10 --dns-service-ip 10.1.0.1", "dns-service-ip-first"),
        ("--pool apps:10 --vnet 10.1.0.0/16", "service-cidr-in-vnet subnet-outside-vnet"),
        ("--pool apps:10 --peer 10.244.9.0/24", "peer-overlap"),
        ("--pool apps:10 --load-balancers 1010", "node-subnet-full"),
        ("--pool apps:401::0 --kubenet", "cluster-too-large pod-cidr-full"),
        ("--pool apps:0:0:0", ""),
        ("--pool apps:1000000000:1000000000:100%:250", "cluster-too-large node-subnet-full pod-cidr-full"),
    ],
)
def test_rules_of_a_cluster_are_kept(options: str, rules: str) -> None:
    run = calc(*CLUSTER, *words(options), "--json")
    assert [each["rule"] for each in run.data["problems"]] == rules.split()
    assert run.code == (1 if rules else 0)


@pytest.mark.parametrize(
    ("options", "count"),
    [
        ("", 2),
        (
            (
                "--pod-cidr x --pool y --node-subnet z --service-cidr a --dns-service-ip b --vnet c --peer d "
                "--load-balancers e"
            ),
            8,
        ),
        ("--pod-cidr 10.244.0.1/16 --pool Apps:x:-1:900%:ü", 6),
        ("--pod-cidr fd00::/48 --pool apps:3", 1),
    ],
)
def test_bad_clusters_are_refused_all_at_once(options: str, count: int) -> None:
    assert len(refused("overlay", *words(options))) == count


def test_a_block_that_is_allocated_to_no_zone_asked_for_is_said() -> None:
    words = ["--within", "100.64.0.0/16", "--zone", "a", "--prefix-length", "18", "--allocated", "b=100.64.0.0/18"]
    run = calc("layout", *words)
    assert "--allocated b=100.64.0.0/18 is the subnet of no zone that is asked for" in run.out
    assert "100.64.64.0/18" in run.out, "the block stays taken"
