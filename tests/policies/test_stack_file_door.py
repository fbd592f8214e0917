"""The stack file as a door: the clean file passes, one changed field trips the rule meant for it, and the program
that really runs declares the same."""

from __future__ import annotations

import copy
import json
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from headroom.addresses.problems import ProblemsError
from policies.configuration import RuleConfig
from policies.doors import stack_file
from policies.doors.program import run_program
from policies.doors.project import read_project
from policies.pack import RULES, judge
from policies.resources import STASH, UNKNOWN
from tests.conftest import stack_config

if TYPE_CHECKING:
    from collections.abc import Mapping

    from policies.resources import Resource

CHECKOUT = Path(__file__).parents[2]
EXAMPLE = CHECKOUT / "stacks" / "Pulumi.example-emergency.yaml"
TODAY = date(2026, 11, 21)
ZONE = "us-east-1a"


def config_of(path: Path = EXAMPLE) -> dict[str, Any]:
    return stack_config(path)


def full() -> dict[str, Any]:
    """A clean stack file that uses everything that a rule looks at."""
    config = config_of()
    config["headroom:podSubnets"][ZONE] = {
        "cidrBlock": "100.64.0.0/18",
        "routes": {"0.0.0.0/0": {"natGatewayId": "nat-0123456789abcdef0"}},
    }
    config |= {
        "headroom:prefixReservations": {ZONE: {"cidrBlocks": ["100.64.32.0/19"], "primaryAddresses": 500}},
        "headroom:cniSettings": {
            "managedBy": "addon",
            "addonVersion": "v1.19.2-eksbuild.1",
            "settings": {"WARM_IP_TARGET": "5", "MINIMUM_IP_TARGET": "10"},
            "liveEnvironment": {"WARM_ENI_TARGET": "1", "AWS_VPC_K8S_CNI_LOGLEVEL": "WARN"},
            "liveConfiguration": json.dumps({"env": {"WARM_ENI_TARGET": "1"}}),
        },
    }
    return config


def declared(config: Mapping[str, Any], name: str = "Pulumi.prod.yaml") -> stack_file.Declared:
    text = yaml.safe_dump({"config": dict(config)}, sort_keys=False)
    return stack_file.declared(stack_file.load(Path(name), text))


def tripped(config: Mapping[str, Any], policy: Mapping[str, Any] | None = None) -> set[str]:
    """The rules that a stack file violates."""
    found = declared(config)
    configuration = {
        rule.NAME: RuleConfig({**found.facts.get(rule.NAME, {}), **(policy or {}).get(rule.NAME, {})}) for rule in RULES
    }
    judgements = judge(found.resources, configuration, TODAY)
    assert not [judgement.message for judgement in judgements if judgement.undecided]
    return {judgement.rule for judgement in judgements}


def changed(path: str, value: object) -> dict[str, Any]:
    """The clean file with one field changed; `None` takes it out."""
    config = copy.deepcopy(full())
    *above, last = path.split("/")
    place: Any = config
    for part in above:
        place = place[part]
    if value is None:
        del place[last]
    else:
        place[last] = value
    return config


def test_the_clean_files_trip_no_rule() -> None:
    assert tripped(full()) == set()
    assert tripped(config_of()) == set()


POD = f"headroom:podSubnets/{ZONE}"
CNI = "headroom:cniSettings"
RESERVED = f"headroom:prefixReservations/{ZONE}"

MUTATIONS: list[tuple[str, object, str]] = [
    ("headroom:vpcCidrBlocks", ["198.19.0.0/16", "192.168.0.0/16", "100.64.0.0/17"], "secondary-cidr-legal"),
    ("headroom:secondaryCidrs", ["100.64.0.0/10"], "secondary-cidr-legal"),
    ("headroom:secondaryCidrs", ["192.168.0.0/16"], "secondary-cidr-legal"),
    ("headroom:secondaryCidrs", ["100.65.0.0/16"], "pod-subnet-inside-vpc"),
    ("headroom:routeDestinations", ["100.64.0.0/24"], "secondary-cidr-legal"),
    ("headroom:peerCidrBlocks", ["100.64.9.0/24"], "secondary-cidr-legal"),
    ("headroom:directConnectCidrBlocks", ["100.64.9.0/24"], "secondary-cidr-legal"),
    ("headroom:serviceCidr", "100.64.9.0/24", "secondary-cidr-legal"),
    ("headroom:cidrQuota", 1, "secondary-cidr-legal"),
    ("headroom:protect", False, "network-protected"),
    ("headroom:tags", {"karpenter.sh/discovery": "x"}, "pod-subnet-not-for-nodes"),
    ("headroom:tags", {"kubernetes.io/role/elb": "1"}, "pod-subnet-not-for-nodes"),
    ("headroom:tags", {"kubernetes.io/roles/cni": "1"}, "discovery-tags"),
    (f"{POD}/cidrBlock", "100.64.0.0/24", "pod-subnet-size"),
    (f"{POD}/cidrBlock", "100.64.b.0/24", "pod-subnet-size"),
    (f"{POD}/cidrBlock", "100.65.0.0/18", "pod-subnet-inside-vpc"),
    (f"{POD}/cidrBlock", "100.64.64.0/19", "pod-subnet-inside-vpc"),
    (f"{POD}/routes", None, "pod-subnet-route"),
    (f"{RESERVED}/cidrBlocks", ["100.65.0.0/19"], "prefix-reservation-valid"),
    (f"{RESERVED}/cidrBlocks", ["100.64.32.0/29"], "prefix-reservation-valid"),
    (f"{RESERVED}/primaryAddresses", 9000, "prefix-reservation-valid"),
    (f"{CNI}/settings", {"MINIMUM_IP_TARGET": "10"}, "cni-settings-coherent"),
    (f"{CNI}/settings/WARM_IP_TARGET", "five", "cni-settings-coherent"),
    (f"{CNI}/addonVersion", None, "cni-version-safe"),
    (f"{CNI}/addonVersion", "v1.22.1-eksbuild.1", "cni-version-safe"),
]


@pytest.mark.parametrize(("path", "value", "rule"), MUTATIONS, ids=[f"{path}={value}" for path, value, _ in MUTATIONS])
def test_one_changed_field_trips_the_rule_that_is_meant_for_it(path: str, value: object, rule: str) -> None:
    assert rule in tripped(changed(path, value))


def test_the_version_that_runs_is_judged_where_the_stack_does_not_install_one() -> None:
    assert "cni-version-safe" in tripped({**config_of(), "headroom:cniVersion": "1.18.1"})
    assert "cni-version-safe" in tripped({**config_of(), "headroom:cniVersion": "latest"})
    assert tripped({**full(), "headroom:cniVersion": "1.18.1"}) == set(), "the add-on's own version holds"


def test_a_stack_that_takes_no_new_pods_may_lose_its_protection() -> None:
    """The second and third step back, as README has them."""
    closed = {**full(), "headroom:acceptNewPods": False}
    assert tripped(closed) == set()
    assert tripped({**closed, "headroom:protect": False}) == set()


def test_two_changes_that_only_together_are_wrong_trip_their_rule() -> None:
    alone = changed(f"{POD}/routes", {})
    assert "external-snat-route" not in tripped(alone)
    del alone["headroom:podSubnets"]["us-east-1b"], alone["headroom:podSubnets"]["us-east-1c"]
    assert "external-snat-route" in tripped({**alone, "headroom:externalSnat": True})
    prefixes = changed(f"{CNI}/settings", {"ENABLE_PREFIX_DELEGATION": "true", "WARM_PREFIX_TARGET": "1"})
    assert "prefix-delegation-has-room" not in tripped(prefixes)
    prefixes["headroom:podSubnets"][ZONE]["cidrBlock"] = "100.64.0.0/28"
    del prefixes["headroom:prefixReservations"]
    assert "prefix-delegation-has-room" in tripped(prefixes)
    missing = config_of()
    del missing["headroom:podSubnets"]["us-east-1c"]
    zones = {"pod-subnet-zones": {"nodeZones": ["us-east-1a", "us-east-1b", "us-east-1c"]}}
    assert "pod-subnet-zones" in tripped(missing, zones)


# The program declares the same.


def seen(resource: Resource) -> tuple[Any, ...]:
    """What rules look at; the tag that names the stack is the program's own business."""
    properties = copy.deepcopy(dict(resource.properties))
    properties.pop("clusterName", None)
    properties.pop("mapPublicIpOnLaunch", None)
    properties.pop("description", None)
    properties.pop("tagsAll", None)  # the tags once more
    if isinstance(properties.get("tags"), dict):
        properties["tags"].pop("headroom:stack", None)
    if resource.type.endswith(":RouteTable"):
        properties.pop("tags", None)
    if resource.type.startswith("kubernetes:"):
        properties.pop("apiVersion", None)
        properties.pop("kind", None)
        properties["metadata"].pop("annotations", None)
    linked = {name: sorted(urns) for name, urns in resource.dependencies.items() if urns}
    if resource.properties.get("vpcId") is not UNKNOWN:
        linked.pop("vpcId", None)
    return resource.type, resource.name, resource.urn, properties, resource.protect, linked


def same(config: Mapping[str, Any]) -> None:
    judged_types = {type_ for rule in RULES for type_ in rule.TYPES}
    run = run_program(read_project(CHECKOUT), "prod", config)
    assert run.asked == []
    by_program = sorted((seen(item) for item in run.resources if item.type in judged_types), key=lambda item: item[:2])
    by_file = sorted((seen(item) for item in declared(config).resources), key=lambda item: item[:2])
    assert by_file == by_program


@pytest.mark.usefixtures("_provider_sdks")
def test_the_file_declares_what_the_program_registers() -> None:
    same(config_of())


@pytest.mark.usefixtures("_provider_sdks")
def test_the_file_declares_what_the_program_registers_with_routes_reservations_and_settings() -> None:
    same(full())


@pytest.mark.usefixtures("_provider_sdks")
def test_the_file_declares_what_the_program_registers_with_custom_networking_and_a_patch() -> None:
    config = full()
    config["headroom:customNetworking"] = {"nodeZones": [ZONE]}
    config["headroom:cniSettings"] = {"managedBy": "daemonset", "settings": {"WARM_IP_TARGET": "5"}}
    config["headroom:acceptNewPods"] = False
    config["headroom:cniVersion"] = "1.22.4"
    same(config)


# Lines and bad input.


def test_every_resource_knows_its_line() -> None:
    text = EXAMPLE.read_text(encoding="utf-8")
    file = stack_file.load(EXAMPLE, text)
    lines = text.splitlines()
    for resource in stack_file.declared(file).resources:
        assert resource.place is not None
        key = resource.name.removeprefix("pods-") if resource.type != STASH else "headroom:podSubnets:"
        assert key in lines[resource.place.line - 1]
        if "cidrBlock" in resource.place.lines:
            assert "cidrBlock:" in lines[resource.place.lines["cidrBlock"] - 1]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "has no `config:` mapping"),
        ("config: 5", "has no `config:` mapping"),
        ("config: {a: b", "cannot be read as YAML"),
        ("config:\n  a: 1\n  a: 2\n", "is written twice, in lines 2 and 3"),
        ("config:\n  x: 1\n", "is not set, so this is not a stack file of Headroom"),
        ("config:\n  headroom:remedy: watch\n", "only that stack can be judged by its file"),
        ("config:\n  headroom:remedy: emergency\n  headroom:podSubnets: [1]\n", "line 3: headroom:podSubnets"),
        ("config:\n  headroom:remedy: emergency\n  headroom:cniVersion: 1.19\n", "1.19 is not text (put it in quotes)"),
    ],
)
def test_a_file_that_is_none_is_refused_with_the_line(text: str, sentence: str) -> None:
    path = Path("Pulumi.prod.yaml")
    with pytest.raises(ProblemsError) as refused:
        stack_file.declared(stack_file.load(path, text))
    assert sentence in str(refused.value)


def test_all_wrong_types_come_at_once() -> None:
    config = {**config_of(), "headroom:vpcId": 5, "headroom:protect": "yes", "headroom:secondaryCidrs": "100.64.0.0/16"}
    with pytest.raises(ProblemsError) as refused:
        declared(config)
    assert len(refused.value.problems) == 3


# What only shows beside something else.

ON = "AWS_VPC_K8S_CNI_CUSTOM_NETWORK_CFG"


def test_tagged_subnets_that_no_eniconfig_names_are_found_where_custom_networking_is_on() -> None:
    config = {**config_of(), CNI: {"managedBy": "addon", "addonVersion": "v1.19.2-eksbuild.1"}}
    for given in (
        {"settings": {ON: "true"}},
        {"settings": {"WARM_IP_TARGET": "5", "MINIMUM_IP_TARGET": "10"}, "liveEnvironment": {ON: "true"}},
    ):
        assert tripped({**config, CNI: {**config[CNI], **given}}) == {"discovery-tags"}
    off = {"settings": {ON: "false"}, "liveEnvironment": {ON: "true"}}
    assert tripped({**config, CNI: {**config[CNI], **off}}) == set()
    named = {**config[CNI], "settings": {"MAX_ENI": "5"}}
    assert tripped({**config, CNI: named, "headroom:customNetworking": {"nodeZones": [ZONE]}}) == set()
    assert tripped(config_of(), {"discovery-tags": {"environment": {ON: "true"}}}) == {"discovery-tags"}


def test_a_zone_that_has_nodes_by_the_size_rule_needs_a_pod_subnet() -> None:
    config = config_of()
    del config["headroom:podSubnets"]["us-east-1c"]
    nodes = {"us-east-1a": 10, "us-east-1b": 10, "us-east-1c": 10}
    size = {"expectedNodes": nodes, "podsPerNode": 100, "instanceType": "m5.8xlarge"}
    assert tripped(config, {"pod-subnet-size": size}) == {"pod-subnet-zones"}
    assert tripped(config, {"pod-subnet-size": {**size, "expectedNodes": {**nodes, "us-east-1c": 0}}}) == set()
