"""`headroom calc node`, `max-pods`, `subnet` and `fleet`."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.capacity.conftest import scenarios
from tests.cli.conftest import answer, calc, refused

SHAPE = ["enis", "secondaryAddresses", "prefixes", "subnetAddresses", "assigned", "idle", "maxPods", "limitedBy"]


@pytest.mark.parametrize(
    ("instance_type", "pods", "pairs", "enis", "addresses"),
    [
        ("m5.large", 10, "", 3, 30),
        ("m5.large", 29, "WARM_IP_TARGET=5 MINIMUM_IP_TARGET=10", 3, 30),
        ("c5.xlarge", 10, "WARM_IP_TARGET=5 MINIMUM_IP_TARGET=10", 2, 17),
        ("c5.xlarge", 58, "", 4, 60),
        ("m5.8xlarge", 100, "", 5, 150),
        ("m5.8xlarge", 100, "WARM_IP_TARGET=5 MINIMUM_IP_TARGET=10", 4, 109),
        ("m5.8xlarge", 100, "ENABLE_PREFIX_DELEGATION=true WARM_PREFIX_TARGET=1", 1, 129),
        ("m5.8xlarge", 100, "ENABLE_PREFIX_DELEGATION=true WARM_IP_TARGET=5", 1, 113),
        ("m5.8xlarge", 234, "", 8, 240),
    ],
)
def test_the_worked_examples_come_out(instance_type: str, pods: int, pairs: str, enis: int, addresses: int) -> None:
    """amazon-vpc-cni-k8s, docs/eni-and-ip-target.md and docs/prefix-and-ip-target.md."""
    words = [word for pair in pairs.split() for word in ("--set", pair)]
    found = answer("node", "--instance-type", instance_type, "--pods", str(pods), *words)
    assert list(found) == SHAPE
    assert (found["enis"], found["subnetAddresses"]) == (enis, addresses)


def test_the_shape_is_exactly_that() -> None:
    assert answer("node", "--instance-type", "m5.8xlarge", "--pods", "100") == {
        "enis": 5,
        "secondaryAddresses": 145,
        "prefixes": 0,
        "subnetAddresses": 150,
        "assigned": 100,
        "idle": 45,
        "maxPods": 234,
        "limitedBy": None,
    }


def test_several_numbers_of_pods_give_a_list_in_their_order() -> None:
    found = answer("node", "--limits", "8,30", "--pods", "100", "--pods", "10", "--max-pods", "234")
    assert [each["subnetAddresses"] for each in found] == [150, 60]
    assert all(list(each) == SHAPE for each in found)


def test_numbers_are_numbers_and_whole_ones_are_whole() -> None:
    found = answer("node", "--limits", "3,10", "--pods", "5", "--set", "WARM_IP_TARGET=2")
    assert all(type(found[name]) is int for name in SHAPE[:7])


def test_where_chance_decides_the_mean_stands_beside_its_range() -> None:
    words = ["node", "--limits", "8,30", "--pods", "10", "--set", "ENABLE_PREFIX_DELEGATION=true"]
    found = answer(*words, "--set", "WARM_PREFIX_TARGET=3", "--max-pods", "250")
    assert list(found) == [*SHAPE, "range"]
    assert found["range"] == {"least": 1 + 16 * 4, "most": 1 + 16 * 6}
    assert 65 <= found["subnetAddresses"] <= 97
    assert found["subnetAddresses"] == pytest.approx(found["enis"] + 16 * found["prefixes"])
    assert "range" not in answer(*words, "--set", "WARM_PREFIX_TARGET=1", "--max-pods", "250")


def test_a_pool_that_flaps_does_not_settle() -> None:
    found = answer("node", "--limits", "3,10", "--pods", "9", "--set", "WARM_ENI_TARGET=0")
    assert list(found) == [*SHAPE, "settles"]
    assert found["settles"] is False
    assert "settles" not in answer("node", "--limits", "3,10", "--pods", "8", "--set", "WARM_ENI_TARGET=0")


def test_a_peak_leaves_its_mark() -> None:
    found = answer("node", "--instance-type", "m5.8xlarge", "--pods", "10", "--after-peak", "100")
    assert list(found) == [*SHAPE, "range"]
    assert found["range"]["worst"] == 150, "30 such nodes hold the reference's 4,500"
    assert sorted(found["range"]["byLeaving"]) == ["newest", "oldest", "random", "spread"]
    assert 60 <= found["range"]["least"] <= found["subnetAddresses"] <= found["range"]["most"] <= 150
    newest = answer(
        "node", "--instance-type", "m5.8xlarge", "--pods", "10", "--after-peak", "100", "--leaving", "newest"
    )
    assert newest["subnetAddresses"] == 60
    assert "byLeaving" not in newest["range"]
    same = answer("node", "--instance-type", "m5.8xlarge", "--pods", "100", "--after-peak", "100")
    assert list(same) == SHAPE, "nobody left, so chance has no part"


def test_growth_agrees_with_recorded_runs() -> None:
    looked_at = 0
    for scenario in scenarios()[::7]:
        observed = scenario["observed"]
        if not scenario["class"].startswith("grow") or [event["op"] for event in scenario["events"]] != [
            "add",
            "settle",
        ]:
            continue
        if "init_error" in observed or not observed["deterministic"] or "subnets" in scenario:
            continue
        if scenario["class"] == "grow-parse":
            continue  # values that ipamd takes for unset are bad input here
        pairs = [word for pair in scenario["env"].items() for word in ("--set", "=".join(pair))]
        limits = f"{scenario['limits']['enis']},{scenario['limits']['ipv4_per_eni']}"
        pods = str(scenario["events"][0]["n"])
        found = answer("node", "--limits", limits, "--max-pods", str(scenario["max_pods"]), "--pods", pods, *pairs)
        assert (found["enis"], found["secondaryAddresses"], found["prefixes"], found["assigned"]) == (
            observed["enis"],
            observed["secondary_ips"],
            observed["prefixes"],
            observed["assigned"],
        ), scenario["id"]
        looked_at += 1
    assert looked_at >= 50


def test_custom_networking_is_a_flag_or_a_setting() -> None:
    flag = answer("node", "--instance-type", "m5.large", "--pods", "10", "--custom-networking")
    setting = "AWS_VPC_K8S_CNI_CUSTOM_NETWORK_CFG=true"
    assert flag == answer("node", "--instance-type", "m5.large", "--pods", "10", "--set", setting)
    assert (flag["enis"], flag["subnetAddresses"], flag["maxPods"]) == (3, 21, 20)


def test_more_pods_than_max_pods_are_limited_and_said() -> None:
    run = calc("node", "--limits", "3,10", "--pods", "1000000000", "--max-pods", "12", "--json")
    assert (run.code, run.data["assigned"], run.data["limitedBy"]) == (1, 12, "max-pods")
    assert "pods-above-max-pods" in run.err


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ("--instance-type m5.large --pods 29 --max-pods 110", 1, "2 pods of 29 wait for an address for ever"),
        ("--instance-type m5.large --pods 27 --max-pods 110", 0, ""),
        ("--limits 2,3 --pods 4 --pods 5 --max-pods 110", 1, "1 pod of 5 waits"),
        ("--instance-type m5.large --pods 12 --set MAX_ENI=1", 1, "3 pods of 12 wait"),
        ("--instance-type m5.large --pods 28 --after-peak 29 --max-pods 110", 1, "1 pod of 28 waits"),
        ("--instance-type m5.large --pods 5 --after-peak 27", 0, ""),
    ],
)
def test_pods_that_wait_for_ever_are_a_finding(words: str, code: int, said: str) -> None:
    run = calc("node", *words.split())
    assert run.code == code
    assert said in run.out
    assert ("problem" in run.out) == (code == 1)


def test_zero_pods_are_answered() -> None:
    assert answer("node", "--instance-type", "m5.large", "--pods", "0")["assigned"] == 0
    assert answer("node", "--instance-type", "m5.large", "--pods", "0", "--after-peak", "0")["assigned"] == 0


def test_settings_that_contradict_each_other_are_reckoned_and_warned_of() -> None:
    run = calc("node", "--limits", "3,10", "--pods", "12", "--set", "MINIMUM_IP_TARGET=5", "--json")
    assert (run.code, run.data["assigned"], run.data["limitedBy"]) == (1, 5, "minimum-ip-target")
    assert "cni-minimum-without-warm" in run.err
    assert "pods-without-address" in run.err


def test_every_bad_option_is_told_at_once() -> None:
    problems = refused(
        *("node", "--limits", "8,x", "--pods", "-1", "--pods", "٣", "--max-pods", "1e9", "--leaving", "newst"),
        *("--set", "WARM_IP_TRAGET=3", "--set", "WARM_ENI_TARGET=one", "--set", "X", "--set", "=1"),
    )
    text = "\n".join(problems)
    assert len(problems) == 10
    assert "Did you mean WARM_IP_TARGET?" in text
    assert "Did you mean newest?" in text
    for value in ("8,x", "-1", "٣", "1e9"):
        assert value in text


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], "--instance-type is needed"),
        (["--instance-type", "m5.8xlrage", "--pods", "1"], "m5.8xlarge"),
        (["--instance-type", "", "--pods", "1"], "is not in the table"),
        (["--instance-type", "m5.large"], "--pods is needed"),
        (["--instance-type", "m5.large", "--limits", "3,10", "--pods", "1"], "stands beside"),
        (["--limits", "0,10", "--pods", "1"], "1 to 64"),
        (["--limits", "3,1", "--pods", "1"], "2 to 128"),
        (["--limits", "1000000000,1000000000", "--pods", "1"], "no instance type"),
        (["--instance-type", "m5.large", "--pods", "5", "--after-peak", "4"], "cannot be what stays of 4"),
        (["--instance-type", "m5.large", "--pods", "5", "--leaving", "newest"], "--after-peak"),
        (["--instance-type", "m5.large", "--pods", "5", "--set", "COLOUR=red"], "is not a setting of aws-node"),
        (["--instance-type", "m5.large", "--pods", "5", "--set", "MAX_ENI=1", "--set", "MAX_ENI=2"], "is set twice"),
    ],
)
def test_bad_input_is_answered_with_what_to_write(words: list[str], expected: str) -> None:
    assert any(expected in problem for problem in refused("node", *words))


def test_an_explanation_has_terms_and_sources() -> None:
    run = calc("node", "--instance-type", "m5.8xlarge", "--pods", "100", "--explain")
    assert "explain enis: ceil(pods 100 / 29) + WARM_ENI_TARGET 1" in run.out
    assert "amazon-vpc-cni-k8s" in run.out
    found = answer("node", "--instance-type", "m5.8xlarge", "--pods", "100", "--explain")
    assert list(found) == [*SHAPE, "explanation"]
    assert all(sorted(term) == ["name", "source", "value"] for term in found["explanation"])
    both = answer("node", "--instance-type", "m5.8xlarge", "--pods", "100", "--pods", "1", "--explain")
    assert sorted(both) == ["answer", "explanation"]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--instance-type", "m5.large"], (29, 29, 110)),
        (["--instance-type", "m5.large", "--custom-networking"], (20, 20, 110)),
        (["--instance-type", "m5.large", "--prefix-delegation"], (110, 434, 110)),
        (["--instance-type", "m5.large", "--prefix-delegation", "--custom-networking"], (110, 290, 110)),
        (["--instance-type", "m5.8xlarge", "--prefix-delegation"], (250, 3714, 250)),
        (["--instance-type", "m4.large", "--prefix-delegation"], (20, 20, 110)),
        (["--limits", "3,10"], (29, 29, 110)),
    ],
)
def test_max_pods_are_those_of_the_calculator(words: list[str], expected: tuple[int, int, int]) -> None:
    """awslabs/amazon-eks-ami, max-pods-calculator.sh."""
    found = answer("max-pods", *words)
    assert list(found) == ["maxPods", "uncapped", "cap"]
    assert tuple(found.values()) == expected


def test_unknown_vcpus_are_said_beside_the_answer() -> None:
    run = calc("max-pods", "--limits", "15,50", "--json")
    assert (run.code, run.data["maxPods"]) == (0, 110)
    assert "vcpus-unknown" in run.err
    assert refused("max-pods") == ["--instance-type is needed. Write the nodes' instance type, or --limits ENIS,IPV4."]


SUBNET = ["addresses", "prefixLength", "usable", "headroom"]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("--nodes 30 --pods-per-node 100 --instance-type m5.8xlarge", (4500, 19, 8187, 3687)),
        ("--nodes 30 --pods-per-node 100 --instance-type m5.8xlarge --surge 2", (4800, 19, 8187, 3387)),
        ("--nodes 30 --pods-per-node 100 --instance-type m5.8xlarge --surge 10% --growth 50", (7500, 19, 8187, 687)),
        ("--nodes 0 --pods-per-node 0 --instance-type m5.large", (0, 28, 11, 11)),
        ("--aks-flat --nodes 50 --pods-per-node 30 --surge 1", (1581, 21, 2043, 462)),
        ("--aks-flat --nodes 50 --pods-per-node 30", (1705, 21, 2043, 338)),
        ("--aks-flat --nodes 60 --pods-per-node 30 --surge 1", (1891, 21, 2043, 152)),
        ("--aks-flat --nodes 60 --pods-per-node 30", (2046, 20, 4091, 2045)),
        ("--aks-node-subnet --nodes 50", (55, 26, 59, 4)),
        ("--aks-node-subnet --nodes 50 --growth 12.5 --load-balancers 2", (65, 25, 123, 58)),
    ],
)
def test_subnets_have_their_size(words: str, expected: tuple[int, ...]) -> None:
    """AKS documentation, concepts-network-ip-address-planning, for the flat ones."""
    found = answer("subnet", *words.split())
    assert list(found) == SUBNET
    assert tuple(found.values()) == expected


def test_what_no_subnet_holds_is_a_finding() -> None:
    run = calc("subnet", "--nodes", "1000000000", "--pods-per-node", "1", "--instance-type", "m5.large", "--json")
    assert (run.code, run.data["prefixLength"]) == (1, 16)
    assert run.data["subnets"] > 1
    assert "subnet-too-large" in run.err


def test_a_subnet_without_surge_is_warned_of() -> None:
    assert "no-surge" in calc("subnet", "--nodes", "3", "--pods-per-node", "9", "--limits", "3,10").out


@pytest.mark.parametrize(
    ("words", "count"),
    [
        ("", 3),
        ("--nodes x --pods-per-node y --instance-type z --surge -1 --growth ten --load-balancers q --max-pods 1.5", 7),
        ("--aks-flat --aks-node-subnet --nodes 3 --pods-per-node 30", 1),
        ("--aks-flat --nodes 3 --pods-per-node 9", 1),
        ("--aks-flat --nodes 3 --pods-per-node 30 --instance-type m5.large --set A=1", 2),
        ("--aks-node-subnet", 1),
        ("--nodes 1 --pods-per-node 1 --instance-type m5.large --growth 1e400", 1),
    ],
)
def test_bad_subnets_are_refused_all_at_once(words: str, count: int) -> None:
    assert len(refused("subnet", *words.split())) == count


REFERENCE = ("--nodes", "us-east-1a:m5.8xlarge:10:100:100", "--nodes", "us-east-1b:m5.8xlarge:20:10:100")


def test_a_fleet_has_its_shape() -> None:
    found = answer("fleet", *REFERENCE, "--subnet", "us-east-1a:10.68.204.0/22", "--surge", "2")
    assert list(found) == [
        *("nodes", "pods", "addresses", "assigned", "idle", "worstCase", "waitingPods", "settles", "settings"),
        *("zones", "best"),
    ]
    assert (found["nodes"], found["addresses"], found["worstCase"]) == (30, 2700, 4500)
    assert [zone["zone"] for zone in found["zones"]] == ["us-east-1a", "us-east-1b"]
    assert found["zones"][0] == {
        "zone": "us-east-1a",
        "nodes": 10,
        "pods": 1000,
        "enis": 50,
        "prefixes": 0,
        "addresses": 1500,
        "assigned": 1000,
        "idle": 450,
        "worstCase": 1500,
        "surgeNodes": 2,
        "surgeAddresses": 300,
        "withUpgrade": 1800,
        "free28Needed": 0,
        "usable": 1019,
        "shortBy": 781,
        "subnets": [
            {"subnet": "10.68.204.0/22", "addresses": 1500, "withUpgrade": 1800, "worstCase": 1500, "usable": 1019}
        ],
    }
    assert found["zones"][1]["usable"] is None
    assert found["best"] | {"ec2CallsPerHour": 0} == {
        "settings": {"MINIMUM_IP_TARGET": 10, "WARM_IP_TARGET": 5},
        "addresses": 1410,
        "worstCase": 3270,
        "saves": 1290,
        "ec2CallsPerHour": 0,
        "ec2CallsPerHourNow": 0,
        "burstPods": 10,
        "burstSeconds": 2.5,
        "burstSecondsNow": 0,
        "newNodeSeconds": 0,
        "newNodeSecondsNow": 0,
        "slowest": "m5.8xlarge",
        "kinds": [
            {
                "instanceType": "m5.8xlarge",
                "nodes": 30,
                "pods": 10,
                "maxPods": 234,
                "burstPods": 10,
                "burstSeconds": 2.5,
                "burstSecondsNow": 0,
            }
        ],
    }
    assert found["best"]["ec2CallsPerHour"] > 1000


def test_a_zone_that_is_short_is_a_finding_and_one_that_is_not_is_none() -> None:
    short = calc("fleet", *REFERENCE, "--subnet", "us-east-1a:10.68.204.0/22")
    assert short.code == 1
    assert "problem subnet-short: us-east-1a: 10.68.204.0/22 has 1,019 addresses, and its nodes need 1,650" in short.out
    assert calc("fleet", *REFERENCE, "--subnet", "us-east-1a:10.68.200.0/21").code == 0


def test_a_file_may_hold_the_fleet(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"zone": "us-east-1a", "instanceType": "m5.8xlarge", "count": 10, "pods": 100, "peakPods": 100},
        {
            "zone": "us-east-1b",
            "limits": [8, 30],
            "count": 20,
            "pods": 10,
            "peakPods": 100,
            "maxPods": 234,
            "subnet": "s",
        },
    ]
    path = tmp_path / "nodes.json"
    path.write_text(json.dumps(rows), encoding="utf-8")
    found = answer("fleet", "--file", str(path))
    assert (found["addresses"], found["worstCase"]) == (2700, 4500)
    assert found["zones"][1]["subnets"] == [
        {"subnet": "s", "addresses": 1200, "withUpgrade": 1260, "worstCase": 3000, "usable": None}
    ]
    assert answer("fleet", "--file", "-", stdin=json.dumps(rows)) == found


@pytest.mark.parametrize("words", [("--file", "-"), ("--nodes", "us-east-1a:m5.large:0:10")])
def test_an_empty_fleet_is_answered(words: tuple[str, ...]) -> None:
    found = answer("fleet", *words, stdin="[]")
    assert (found["nodes"], found["addresses"], found["best"], found["settles"]) == (0, 0, None, True)


@pytest.mark.parametrize(
    ("words", "stdin", "count"),
    [
        ([], "", 1),
        (["--nodes", "a"], "", 1),
        (["--nodes", "a:m5.large:x:y:z"], "", 3),
        (["--nodes", "a:m5.huge:1:1", "--nodes", ":m5.large:1:1"], "", 2),
        (["--nodes", "a:0,0:1:1"], "", 1),
        (["--file", "-"], "{", 1),
        (["--file", "-"], '{"a": 1}', 1),
        (["--file", "-"], "[3, {}]", 4),
        (["--file", "-"], '[{"zone": "a", "instanceType": 3, "pods": true, "podz": 1, "count": 1.5}]', 4),
        (["--file", "/nonexistent"], "", 1),
        (["--nodes", "a:m5.large:1:1", "--subnet", "10.0.0.0/22"], "", 1),
        (["--nodes", "a:m5.large:1:1", "--subnet", "b:10.0.0.0/22"], "", 1),
        (["--nodes", "a:m5.large:1:1", "--subnet", "a:10.0.0.1/22", "--pod-subnet", "a:10.0.0.0/8"], "", 2),
        (["--nodes", "a:m5.large:1:1", "--subnet", "a:10.0.0.0/22", "--subnet", "a:10.0.0.0/22"], "", 1),
        (["--nodes", "a:m5.large:1:1", "--surge", "x", "--burst", "y", "--churn", "61", "--burst-seconds", ""], "", 4),
    ],
)
def test_bad_fleets_are_refused_all_at_once(words: list[str], stdin: str, count: int) -> None:
    assert len(refused("fleet", *words, stdin=stdin)) == count


def test_limits_given_as_numbers_leave_out_no_address() -> None:
    """8,30 may be a node of 16 vCPUs or of 48: the figures are those of the larger, and it is said."""
    run = calc("node", "--limits", "8,30", "--pods", "100", "--json")
    assert (run.data["subnetAddresses"], run.data["maxPods"], run.data["limitedBy"]) == (150, 234, None)
    assert "8,30 has an unknown number of vCPUs: maxPods was taken to be 234, and 110 is advised up to 30" in run.err
    assert calc("node", "--limits", "3,10", "--pods", "5", "--json").err == "", "either way it is 29"
    fleet = calc("fleet", "--nodes", "a:8,30:1:100", "--nodes", "b:8,30:1:100")
    assert fleet.out.count("vcpus-unknown") == 1
    assert "vcpus-unknown" in calc("subnet", "--nodes", "3", "--pods-per-node", "9", "--limits", "15,50").out


def test_a_type_of_unknown_vcpus_gets_the_lower_ceiling_and_says_so() -> None:
    for words in (["node", "--pods", "7"], ["subnet", "--nodes", "3", "--pods-per-node", "7"]):
        run = calc(*words, "--instance-type", "c5a.metal")
        assert "c5a.metal has an unknown number of vCPUs: maxPods was taken to be 110, and 250 is advised" in run.out


def test_a_block_is_shown_as_it_is_written() -> None:
    (line,) = refused("fleet", "--nodes", "a:m5.large:1:1", "--subnet", "a:10.0.0.0/30")
    assert line.startswith("--subnet: 10.0.0.0/30 cannot be an AWS subnet")


def test_a_setting_is_named_once() -> None:
    lines = refused("node", "--limits", "3,10", "--pods", "1", "--set", "WARM_IP_TRGET=5", "--set", "WARM_IP_TARGET=x")
    assert [line.partition(" is ")[0] for line in lines] == ["--set: WARM_IP_TARGET='x'", "--set: WARM_IP_TRGET"]
    assert lines[1].endswith("Did you mean WARM_IP_TARGET?")


def test_the_advice_for_a_fleet_covers_each_kind_of_node() -> None:
    found = answer("fleet", "--nodes", "a:m5.large:40:8", "--nodes", "b:m5.8xlarge:2:100", "--burst-seconds", "40")
    best = found["best"]
    assert [(kind["instanceType"], kind["nodes"], kind["burstPods"]) for kind in best["kinds"]] == [
        ("m5.large", 40, 10),
        ("m5.8xlarge", 2, 100),
    ]
    assert best["slowest"] == "m5.8xlarge"
    assert best["burstSeconds"] == max(kind["burstSeconds"] for kind in best["kinds"]) <= 40
