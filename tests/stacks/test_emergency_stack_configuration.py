from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from headroom.addresses.problems import ProblemsError
from stacks.emergency import read_settings
from stacks.settings import ConfigReader

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from headroom.addresses.problems import Problem
    from tests.conftest import Recorder

CHECKOUT = Path(__file__).parents[2]
WRONG: Mapping[str, Sequence[Any]] = {
    "string": [["a"], {"a": "b"}, []],
    "integer": ["five", "5.5", True, [], {}, ""],
    "boolean": ["yes", "1", 0, [], {}, ""],
    "array": ["text", {}, 5, True, [1], [["a"]], [None], ""],
    "object": ["text", [], 5, True, ["a"], ""],
}
DECLARED = yaml.safe_load((CHECKOUT / "Pulumi.yaml").read_text(encoding="utf-8"))["config"]
SUBNET = {"cidrBlock": "100.64.0.0/18", "routeTableId": "rtb-11111111"}
ADDON = {"managedBy": "addon", "addonVersion": "v1.19.2-eksbuild.1"}


def problems(recorder: Recorder, config: Mapping[str, Any], **changes: Any) -> Sequence[Problem]:
    changed = {f"headroom:{key}": value for key, value in changes.items()}
    found: list[Problem] = []

    def program() -> None:
        try:
            read_settings(ConfigReader())
        except ProblemsError as error:
            found.extend(error.problems)

    recorder.run(program, config={**config, **changed})
    return found


def keys(recorder: Recorder, config: Mapping[str, Any], **changes: Any) -> list[str]:
    return [problem.key for problem in problems(recorder, config, **changes)]


def test_the_example_has_no_problem(recorder: Recorder, example_config: dict[str, Any]) -> None:
    assert keys(recorder, example_config) == []


@pytest.mark.parametrize(
    ("key", "value"),
    [
        pytest.param(key, value, id=f"{key.removeprefix('headroom:')}={json.dumps(value)}")
        for key, entry in DECLARED.items()
        for value in WRONG[entry["type"]]
        if key != "headroom:remedy"
    ],
)
def test_a_value_of_the_wrong_type_is_one_problem_with_its_key(
    recorder: Recorder, example_config: dict[str, Any], key: str, value: Any
) -> None:
    example_config[key] = value
    assert keys(recorder, example_config) == [key]


def test_wrong_types_of_all_keys_come_at_once(recorder: Recorder, example_config: dict[str, Any]) -> None:
    wrong = {key: WRONG[entry["type"]][0] for key, entry in DECLARED.items() if key != "headroom:remedy"}
    assert sorted(keys(recorder, {**example_config, **wrong})) == sorted(wrong)


@pytest.mark.parametrize(("version", "hinted"), [("1.2", True), ("2", True), ("1.19.2.1", False), ("latest", False)])
def test_a_version_that_yaml_may_have_read_as_a_number_is_told_to_be_quoted(
    recorder: Recorder, example_config: dict[str, Any], version: str, *, hinted: bool
) -> None:
    settings = {"managedBy": "addon", "addonVersion": "v1.19.2-eksbuild.1", "settings": {"WARM_ENI_TARGET": "1"}}
    (problem,) = problems(recorder, example_config, cniVersion=version, cniSettings=settings)
    assert (problem.key, problem.rule) == ("headroom:cniVersion", "cni-version-format")
    assert ("Put it in quotes: without them YAML reads a number" in problem.next_step) is hinted


def test_what_must_be_set_and_is_not_is_said_once(recorder: Recorder) -> None:
    assert sorted(keys(recorder, {})) == [
        "headroom:clusterName",
        "headroom:cniVersion",
        "headroom:podSubnets",
        "headroom:vpcCidrBlocks",
        "headroom:vpcId",
    ]


# Nested values: the change, and the keys of the problems.
NESTED: Mapping[str, tuple[dict[str, Any], list[str]]] = {
    "a subnet that is nothing": ({"podSubnets": {"us-east-1a": None}}, ["podSubnets.us-east-1a"]),
    "a subnet that is a text": ({"podSubnets": {"us-east-1a": "100.64.0.0/18"}}, ["podSubnets.us-east-1a"]),
    "an unknown key of a subnet": (
        {"podSubnets": {"us-east-1a": {**SUBNET, "cidr": "x", "acl": "y"}}},
        ["podSubnets.us-east-1a.cidr", "podSubnets.us-east-1a.acl"],
    ),
    "a subnet's zone": ({"podSubnets": {"us-east-1a": {**SUBNET, "zone": 5}}}, ["podSubnets.us-east-1a.zone"]),
    "a subnet's block": (
        {"podSubnets": {"us-east-1a": {**SUBNET, "cidrBlock": 5}}},
        ["podSubnets.us-east-1a.cidrBlock"],
    ),
    "a subnet without a block": (
        {"podSubnets": {"us-east-1a": {"routeTableId": "rtb-11111111"}}},
        ["podSubnets.us-east-1a.cidrBlock"],
    ),
    "a subnet's table": (
        {"podSubnets": {"us-east-1a": {**SUBNET, "routeTableId": ["rtb-11111111"]}}},
        ["podSubnets.us-east-1a.routeTableId"],
    ),
    "a subnet's network ACL": (
        {"podSubnets": {"us-east-1a": {**SUBNET, "networkAclId": 5}}},
        ["podSubnets.us-east-1a.networkAclId"],
    ),
    "routes that are a list": (
        {"podSubnets": {"us-east-1a": {"cidrBlock": "100.64.0.0/18", "routes": []}}},
        ["podSubnets.us-east-1a.routes"],
    ),
    "a route to nothing": (
        {"podSubnets": {"us-east-1a": {"cidrBlock": "100.64.0.0/18", "routes": {"0.0.0.0/0": {}}}}},
        ["podSubnets.us-east-1a.routes.0.0.0.0/0"],
    ),
    "a route that is a text": (
        {"podSubnets": {"us-east-1a": {"cidrBlock": "100.64.0.0/18", "routes": {"0.0.0.0/0": "nat-11111111"}}}},
        ["podSubnets.us-east-1a.routes.0.0.0.0/0"],
    ),
    "a route with two targets": (
        {
            "podSubnets": {
                "us-east-1a": {
                    "cidrBlock": "100.64.0.0/18",
                    "routes": {"0.0.0.0/0": {"natGatewayId": "nat-11111111", "gatewayId": "igw-11111111"}},
                }
            }
        },
        ["podSubnets.us-east-1a.routes.0.0.0.0/0"],
    ),
    "a route's target": (
        {"podSubnets": {"us-east-1a": {"cidrBlock": "100.64.0.0/18", "routes": {"0.0.0.0/0": {"natGatewayId": 5}}}}},
        ["podSubnets.us-east-1a.routes.0.0.0.0/0.natGatewayId"],
    ),
    "a route's destination": (
        {
            "podSubnets": {
                "us-east-1a": {"cidrBlock": "100.64.0.0/18", "routes": {"10.0.0.0": {"natGatewayId": "nat-11111111"}}}
            }
        },
        ["podSubnets.us-east-1a.routes[0]"],
    ),
    "all of a rule": (
        {
            "ingressRules": {
                "db": {
                    "securityGroupId": 1,
                    "protocol": 6,
                    "fromPort": "1",
                    "toPort": True,
                    "description": 3,
                    "group": "sg-11111111",
                }
            }
        },
        [
            f"ingressRules.db.{name}"
            for name in ("group", "securityGroupId", "protocol", "fromPort", "toPort", "description")
        ],
    ),
    "a rule that is a text": ({"ingressRules": {"db": "sg-11111111"}}, ["ingressRules.db"]),
    "a rule without its ports": (
        {"ingressRules": {"db": {"securityGroupId": "sg-11111111", "protocol": "tcp"}}},
        ["ingressRules.db"],
    ),
    "all of a reservation": (
        {"prefixReservations": {"us-east-1a": {"cidrBlocks": "x", "primaryAddresses": "5", "x": 1}}},
        [f"prefixReservations.us-east-1a.{name}" for name in ("x", "cidrBlocks", "primaryAddresses")],
    ),
    "a reservation that is a list": ({"prefixReservations": {"us-east-1a": []}}, ["prefixReservations.us-east-1a"]),
    "a reservation in no subnet": (
        {"prefixReservations": {"us-east-1z": {"cidrBlocks": [], "primaryAddresses": 5}}},
        ["prefixReservations.us-east-1z"],
    ),
    "a reservation that says not how much to leave": (
        {"prefixReservations": {"us-east-1a": {"cidrBlocks": []}}},
        ["prefixReservations.us-east-1a.primaryAddresses"],
    ),
    "reservations outside and unreadable": (
        {"prefixReservations": {"us-east-1a": {"cidrBlocks": ["100.65.0.0/28", "y"], "primaryAddresses": 5}}},
        ["prefixReservations.us-east-1a[1]", "prefixReservations.us-east-1a"],
    ),
    "unknown keys and types of the CNI's settings": (
        {
            "cniSettings": {
                **ADDON,
                "settings": {"WARM_IP_TARGET": 5},
                "liveEnvironment": [],
                "nitro": "yes",
                "forced": 1,
            }
        },
        [f"cniSettings.{name}" for name in ("forced", "settings.WARM_IP_TARGET", "liveEnvironment", "nitro")],
    ),
    "CNI settings that are refused": (
        {"cniSettings": {"managedBy": "helm", "settings": {"MINIMUM_IP_TARGET": "5"}}},
        ["cniSettings.managedBy", "cniSettings.settings.MINIMUM_IP_TARGET"],
    ),
    "an add-on without its version": (
        {"cniSettings": {"managedBy": "addon", "settings": {"WARM_IP_TARGET": "5"}}},
        ["cniSettings.addonVersion"],
    ),
    "an add-on's configuration that is none": (
        {
            "cniSettings": {
                **ADDON,
                "settings": {"WARM_IP_TARGET": "5"},
                "liveConfiguration": "[]",
                "configurationSchema": "[]",
            }
        },
        ["cniSettings.liveConfiguration", "cniSettings.configurationSchema"],
    ),
    "ENIConfigs without settings": ({"customNetworking": {"nodeZones": ["us-east-1a"]}}, ["customNetworking"]),
    "ENIConfigs of unknown keys and types": (
        {"customNetworking": {"nodeZones": "x", "securityGroupIds": [1], "y": 1}, "cniSettings": ADDON},
        [f"customNetworking.{name}" for name in ("y", "nodeZones", "securityGroupIds")],
    ),
    "a zone with nodes and no ENIConfig": (
        {"customNetworking": {"nodeZones": ["us-east-1a", "us-east-1z"]}, "cniSettings": ADDON},
        ["customNetworking.nodeZones"],
    ),
    "two subnets for one ENIConfig": (
        {
            "podSubnets": {
                "us-east-1a": SUBNET,
                "us-east-1a_2": {**SUBNET, "zone": "us-east-1a", "cidrBlock": "100.64.64.0/18"},
            },
            "customNetworking": {"nodeZones": ["us-east-1a"]},
            "cniSettings": ADDON,
        },
        ["podSubnets.us-east-1a_2"],
    ),
    "unreadable CIDRs": (
        {
            "secondaryCidrs": ["100.64.0.0/16", "100.65.0.1/16"],
            "vpcCidrBlocks": ["10.68.0.0/16", "z"],
            "peerCidrBlocks": ["x"],
            "serviceCidr": "y",
        },
        ["secondaryCidrs[1]", "vpcCidrBlocks[1]", "peerCidrBlocks[0]", "serviceCidr"],
    ),
    "a CIDR listed twice": ({"secondaryCidrs": ["100.64.0.0/16", "100.64.0.0/16"]}, ["secondaryCidrs"]),
    "a CIDR around the subnets that is none": ({"secondaryCidrs": ["100.64.0.1/16"]}, ["secondaryCidrs[0]"]),
    "ids of another kind, or none": (
        {
            "vpcId": "vpc-1",
            "podSubnets": {
                "us-east-1a": {**SUBNET, "routeTableId": "subnet-0aaaaaaaaaaaaaaa1", "networkAclId": "acl-0A"},
                "us-east-1b": {
                    "cidrBlock": "100.64.64.0/18",
                    "routes": {"0.0.0.0/0": {"gatewayId": "nat-0aaaaaaaaaaaaaaa1"}},
                },
            },
            "ingressRules": {"db": {"securityGroupId": "sg-0aaaaaaaaaaaaaaa123"}},
            "customNetworking": {"nodeZones": ["us-east-1a"], "securityGroupIds": ["sg-11111111", "default"]},
            "cniSettings": ADDON,
        },
        [
            "vpcId",
            "podSubnets.us-east-1a.routeTableId",
            "podSubnets.us-east-1a.networkAclId",
            "podSubnets.us-east-1b.routes.0.0.0.0/0.gatewayId",
            "ingressRules.db.securityGroupId",
            "customNetworking.securityGroupIds[1]",
        ],
    ),
    "a rule that EC2 would refuse or rename": (
        {"ingressRules": {"db": {"securityGroupId": "sg-11111111", "protocol": "TCP", "description": "pods' own"}}},
        ["ingressRules.db.protocol", "ingressRules.db.description"],
    ),
    "routes that the VPC has already": (
        {
            "podSubnets": {
                "us-east-1a": {
                    "cidrBlock": "100.64.0.0/18",
                    "routes": {
                        destination: {"natGatewayId": "nat-11111111"}
                        for destination in ("0.0.0.0/0", "10.68.0.0/16", "100.64.128.0/24", "100.64.0.0/15")
                    },
                }
            }
        },
        ["podSubnets.us-east-1a.routes.10.68.0.0/16", "podSubnets.us-east-1a.routes.100.64.128.0/24"],
    ),
    "zones": (
        {
            "podSubnets": {
                "first": {**SUBNET, "cidrBlock": "100.64.0.0/24"},
                "eu-west-1a": {**SUBNET, "cidrBlock": "100.64.1.0/24"},
                "third": {**SUBNET, "cidrBlock": "100.64.2.0/24", "zone": "use1-az1"},
                "fourth": {**SUBNET, "cidrBlock": "100.64.3.0/24", "zone": "us-west-2-lax-1a"},
                "fifth": {**SUBNET, "cidrBlock": "100.64.4.0/24", "zone": "us-east-1-bos-1a"},
                "us-east-1a": {**SUBNET, "cidrBlock": "100.64.5.0/24"},
            }
        },
        ["podSubnets.first", "podSubnets.eu-west-1a", "podSubnets.third.zone", "podSubnets.fourth.zone"],
    ),
    "tags of ours and of AWS": (
        {"tags": {"headroom:stack": "mine", "AWS:x": "", "cni.networking.k8s.aws/cluster/x": "shared"}},
        ["tags"] * 3,
    ),
    "tags": (
        {"tags": {"a": 5, "b": None, "karpenter.sh/discovery": "x"}},
        ["tags.a", "tags.b", "tags"],
    ),
}


@pytest.mark.parametrize(("changes", "expected"), NESTED.values(), ids=NESTED.keys())
def test_what_is_wrong_inside_a_value_is_named_with_its_place(
    recorder: Recorder, example_config: dict[str, Any], changes: dict[str, Any], expected: list[str]
) -> None:
    assert sorted(keys(recorder, example_config, **changes)) == sorted(f"headroom:{key}" for key in expected)


def test_without_a_region_a_zone_may_lie_in_any(recorder: Recorder, example_config: dict[str, Any]) -> None:
    del example_config["aws:region"]
    zones = ("eu-west-1a", "us-gov-west-1b", "us-west-2-lax-1a", "us-east-1-wl1-bos-wlz-1")
    subnets = {zone: {**SUBNET, "cidrBlock": f"100.64.{third}.0/24"} for third, zone in enumerate(zones)}
    assert keys(recorder, example_config, podSubnets=subnets) == []
    for key in ("us-east-1", "us-east-1A", "use1-az1", "us-east-1a_2", "a", "\u00fcs-east-1a"):
        assert keys(recorder, example_config, podSubnets={key: SUBNET}) == [f"headroom:podSubnets.{key}"]


TARGETS = {
    "natGatewayId": ["nat-0123456789abcdef0"],
    "transitGatewayId": ["tgw-0123456789abcdef0"],
    "gatewayId": ["igw-0123456789abcdef0", "vgw-01234567"],
    "networkInterfaceId": ["eni-0123456789abcdef0"],
    "vpcEndpointId": ["vpce-0123456789abcdef0"],
    "vpcPeeringConnectionId": ["pcx-0123456789abcdef0"],
    "coreNetworkArn": ["arn:aws:networkmanager::123456789012:core-network/core-network-0123456789abcdef0"],
}


@pytest.mark.parametrize("target", TARGETS)
def test_a_routes_target_is_an_id_of_its_kind(recorder: Recorder, example_config: dict[str, Any], target: str) -> None:
    def found(id_: str) -> list[str]:
        subnet = {"cidrBlock": "100.64.0.0/18", "routes": {"0.0.0.0/0": {target: id_}}}
        return keys(recorder, example_config, podSubnets={"us-east-1a": subnet})

    refused = [f"headroom:podSubnets.us-east-1a.routes.0.0.0.0/0.{target}"]
    for kind, ids in TARGETS.items():
        for id_ in ids:
            assert found(id_) == ([] if kind == target else refused), id_
    assert found("") == found("x") == refused


def test_an_empty_cni_settings_block_changes_nothing(recorder: Recorder, example_config: dict[str, Any]) -> None:
    assert keys(recorder, example_config, cniSettings={}, customNetworking={}) == []
