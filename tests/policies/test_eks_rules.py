"""Every EKS rule: what violates it, what is clean, what it cannot decide, and what is not to be taken seriously."""

from __future__ import annotations

import base64
import json
import time
from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from headroom.addresses.problems import Problem
from headroom.capacity.fleet import Nodes, plan_fleet
from headroom.capacity.limits import instance_limits
from headroom.capacity.settings import CniSettings
from policies import resources as types
from policies.findings import Finding, Undecided
from policies.network import is_for_pods
from policies.pack import RULES, judge
from policies.resources import UNKNOWN, Resource, Resources

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import ModuleType

EKS_RULES = [rule for rule in RULES if "eks" in rule.TAGS]
BY_NAME = {rule.NAME: rule for rule in EKS_RULES}
ROLE = "kubernetes.io/role/cni"
ZONES = ("us-east-1a", "us-east-1b", "us-east-1c")


def make(  # noqa: PLR0913 - what a resource is made of
    type_: str,
    name: str = "it",
    properties: Mapping[str, Any] | None = None,
    *,
    sources: Mapping[str, Sequence[str]] | None = None,
    protect: bool = True,
    component: str = "",
) -> Resource:
    """A resource; `sources` names, by property, resources that its value comes from, as type::name."""
    prefix = f"{component}$" if component else ""
    return Resource(
        type=type_,
        name=name,
        urn=f"urn:pulumi:s::p::{prefix}{type_}::{name}",
        properties=dict(properties or {}),
        protect=protect,
        dependencies={
            key: tuple(f"urn:pulumi:s::p::{item}" for item in items) for key, items in (sources or {}).items()
        },
    )


def subnet(name: str = "pods-a", cidr: Any = "100.64.0.0/18", zone: Any = "us-east-1a", **more: Any) -> Resource:
    tags = more.pop("tags", {ROLE: "1"})
    protect = more.pop("protect", True)
    component = more.pop("component", "")
    properties = {"vpcId": "vpc-1", "cidrBlock": cidr, "availabilityZone": zone, "tags": tags, **more}
    return make(types.SUBNET, name, properties, protect=protect, component=component)


def associated(name: str = "pods-a", table: Any = "rtb-1", *, own: str = "") -> Resource:
    sources = {"subnetId": [f"{types.SUBNET}::{name}"]}
    if own:
        sources["routeTableId"] = [f"{types.ROUTE_TABLE}::{own}"]
    properties = {"subnetId": UNKNOWN, "routeTableId": UNKNOWN if own else table}
    return make(types.ROUTE_TABLE_ASSOCIATION, name, properties, sources=sources)


def cidr(block: Any = "100.64.0.0/16", vpc: Any = "vpc-1", name: str = "cidr", **more: Any) -> Resource:
    return make(types.CIDR_ASSOCIATION, name, {"vpcId": vpc, "cidrBlock": block}, **more)


def record(*, accepts: Any) -> Resource:
    """What the component of pod subnets writes down of them."""
    return make(
        types.STASH, "pods-in-use", {"input": {"acceptNewPods": accepts}}, component=types.POD_SUBNETS_COMPONENT
    )


def tag(value: Any = "1", key: Any = ROLE, *, on: str = "pods-a", **more: Any) -> Resource:
    """A tag that is a resource of its own."""
    properties = {"resourceId": UNKNOWN, "key": key, "value": value, **more}
    return make(types.TAG, on, properties, sources={"resourceId": [f"{types.SUBNET}::{on}"]})


def vpc(block: Any = "10.68.0.0/16") -> Resource:
    return make(types.VPC, "vpc", {"cidrBlock": block, "id": "vpc-1"})


def addon(environment: Any = None, **more: Any) -> Resource:
    values = {"env": {"WARM_IP_TARGET": "5", "MINIMUM_IP_TARGET": "10"} if environment is None else environment}
    properties = {
        "addonName": "vpc-cni",
        "addonVersion": "v1.22.4-eksbuild.1",
        "configurationValues": json.dumps(values),
        "resolveConflictsOnCreate": "OVERWRITE",
        "resolveConflictsOnUpdate": "OVERWRITE",
        "preserve": True,
    }
    return make(types.ADDON, "cni", {name: item for name, item in {**properties, **more}.items() if item is not None})


def daemon_set(environment: Mapping[str, Any], image: str = "amazon-k8s-cni:v1.22.4") -> Resource:
    env = [{"name": name, "value": value} for name, value in environment.items()]
    container = {"name": "aws-node", "image": image, "env": env}
    spec = {"template": {"spec": {"containers": [container]}}}
    return make(types.DAEMON_SET_PATCH, "cni", {"metadata": {"name": "aws-node"}, "spec": spec})


def group(most: Any = 10, kinds: Any = ("m5.large",), subnets: Any = None, **more: Any) -> Resource:
    sources = {"subnetIds": [f"{types.SUBNET}::{name}" for name in ("nodes-a",)]}
    properties = {
        "subnetIds": [UNKNOWN] if subnets is None else subnets,
        "scalingConfig": {"minSize": 1, "maxSize": most, "desiredSize": 1},
        "instanceTypes": list(kinds) if isinstance(kinds, tuple) else kinds,
        **more,
    }
    return make(types.NODE_GROUP, "workers", properties, sources=sources if subnets is None else {})


def nodes(cidr_block: str = "10.68.0.0/20") -> Resource:
    return subnet("nodes-a", cidr_block, tags={"Name": "nodes"})


def template(user_data: str = "", **more: Any) -> Resource:
    text = base64.b64encode(user_data.encode()).decode()
    return make(types.LAUNCH_TEMPLATE, "template", {"userData": text, "id": "lt-1", **more})


def node_class(spec: Mapping[str, Any]) -> Resource:
    return make(types.KARPENTER_NODE_CLASS, "default", {"metadata": {"name": "default"}, "spec": spec})


def reservation(block: Any = "100.64.16.0/20", kind: Any = "prefix", name: str = "r", of: str = "pods-a") -> Resource:
    properties = {"subnetId": UNKNOWN, "cidrBlock": block, "reservationType": kind}
    return make(types.RESERVATION, name, properties, sources={"subnetId": [f"{types.SUBNET}::{of}"]})


def alarm(metric: Any = "AvailableIpAddressCount", namespace: Any = "Headroom", **more: Any) -> Resource:
    properties = {"metricName": metric, "namespace": namespace, "treatMissingData": "breaching", **more}
    return make(types.METRIC_ALARM, "alarm", {name: item for name, item in properties.items() if item is not None})


def publisher(namespace: str = "Headroom") -> Resource:
    return make(types.FUNCTION, "publisher", {"environment": {"variables": {"NAMESPACE": namespace}}})


def table(*routes: Mapping[str, Any], name: str = "table") -> Resource:
    return make(types.ROUTE_TABLE, name, {"vpcId": "vpc-1", "routes": list(routes)})


def route(target: str, value: Any = "nat-1", destination: Any = "0.0.0.0/0") -> Resource:
    properties = {"routeTableId": UNKNOWN, "destinationCidrBlock": destination, target: value}
    return make(types.ROUTE, "route", properties, sources={"routeTableId": [f"{types.ROUTE_TABLE}::table"]})


CUSTOM = "AWS_VPC_K8S_CNI_CUSTOM_NETWORK_CFG"


def eni_config(name: str, of: str) -> Resource:
    properties = {"metadata": {"name": name}, "spec": {"subnet": UNKNOWN}}
    return make(types.ENI_CONFIG, name, properties, sources={"spec": [f"{types.SUBNET}::{of}"]})


SNAT = {"environment": {"AWS_VPC_K8S_CNI_EXTERNALSNAT": "true"}}
PREFIXES = {"ENABLE_PREFIX_DELEGATION": "true", "WARM_PREFIX_TARGET": "1"}
PREFIX_MODE = {"environment": PREFIXES}

Case = tuple[str, list[Resource], dict[str, Any], str]

# Rule, stack, configuration, and a part of the one sentence that is said.
VIOLATIONS: list[Case] = [
    ("pod-subnet-size", [subnet(cidr="100.64.1.0/24")], {}, "100.64.1.0/24 holds 251 addresses"),
    ("pod-subnet-inside-vpc", [vpc(), subnet()], {}, "lies in none of the VPC's CIDRs: 10.68.0.0/16"),
    ("pod-subnet-inside-vpc", [subnet()], {"vpcCidrBlocks": ["10.68.0.0/16"]}, "lies in none of the VPC's CIDRs"),
    ("pod-subnet-inside-vpc", [vpc(), cidr(), subnet(cidr="100.64.0.0/29")], {}, "is not a size that EC2 accepts"),
    (
        "pod-subnet-inside-vpc",
        [vpc(), cidr(), subnet(), subnet("nodes", "100.64.32.0/20", tags={})],
        {},
        "100.64.0.0/18 overlaps 100.64.32.0/20 of nodes.",
    ),
    ("pod-subnet-inside-vpc", [vpc(), subnet(cidr="100.64.b.0/24")], {}, "100.64.b.0/24"),
    ("secondary-cidr-legal", [vpc(), cidr("198.19.0.0/16")], {}, "198.19.0.0/16"),
    ("secondary-cidr-legal", [cidr("192.168.0.0/16")], {"vpcCidrBlocks": ["10.68.0.0/16"]}, "192.168.0.0/16"),
    ("secondary-cidr-legal", [cidr("100.64.0.0/10")], {}, "100.64.0.0/10"),
    ("secondary-cidr-legal", [cidr(), cidr("100.64.128.0/17", name="two")], {}, "overlaps"),
    ("secondary-cidr-legal", [cidr()], {"peerCidrBlocks": ["100.64.8.0/24"]}, "100.64.8.0/24"),
    ("secondary-cidr-legal", [cidr("100.64.b.0/24")], {}, "100.64.b.0/24"),
    ("pod-subnet-zones", [subnet()], {"nodeZones": list(ZONES[:2])}, "us-east-1b has nodes and no pod subnet"),
    (
        "pod-subnet-zones",
        [subnet(zone="us-east-1b"), nodes(), group()],
        {},
        "us-east-1a has nodes and no pod subnet; there are pod subnets in us-east-1b.",
    ),
    (
        "pod-subnet-zones",
        [subnet(), subnet("pods-b", "100.64.64.0/18", "us-east-1b"), eni_config("us-east-1b", "pods-a")],
        {},
        "ENIConfig us-east-1b names pods-a, which lies in us-east-1a",
    ),
    ("discovery-tags", [subnet(), addon({CUSTOM: "true"})], {}, "pods-a would get no pods"),
    ("discovery-tags", [subnet()], {"environment": {CUSTOM: "true"}}, "turns the search by tag off"),
    (
        "discovery-tags",
        [subnet(), subnet("pods-b", "100.64.64.0/18", "us-east-1b"), eni_config("us-east-1a", "pods-a")],
        {"environment": {CUSTOM: "true"}},
        "pods-b would get no pods",
    ),
    ("discovery-tags", [subnet(tags={ROLE: "0"})], {"cniVersion": "1.19.2"}, "is an invitation to v1.19.2"),
    ("discovery-tags", [subnet(tags={ROLE: "0"})], {"cniVersion": "1.22.1"}, "must not be used with v1.22.1"),
    ("discovery-tags", [subnet(tags={ROLE: ""})], {}, "counts as no tag from v1.22.0 on"),
    ("discovery-tags", [subnet(tags={"kubernetes.io/role/CNI": "1"})], {}, "is not the tag that the VPC CNI looks for"),
    ("discovery-tags", [subnet(tags={"kubernetes.io/roles/cni": "1"})], {}, "is not the tag"),
    (
        "discovery-tags",
        [subnet(tags={ROLE: "1", "cni.networking.k8s.aws/cluster/a": "shared"})],
        {"cniVersion": "1.19.2"},
        "is not read by v1.19.2",
    ),
    (
        "discovery-tags",
        [subnet(tags={ROLE: "1", "cni.networking.k8s.aws/cluster/a": "shared"})],
        {"cniVersion": "1.22.4", "clusterName": "b"},
        "keeps b out of this subnet",
    ),
    ("pod-subnet-not-for-nodes", [subnet(tags={ROLE: "1", "karpenter.sh/discovery": "x"})], {}, "Karpenter"),
    ("pod-subnet-not-for-nodes", [subnet(tags={ROLE: "1", "kubernetes.io/role/elb": "1"})], {}, "load balancers"),
    ("pod-subnet-not-for-nodes", [subnet("nodes-a"), group()], {}, "nodes-a is a pod subnet, and node group workers"),
    (
        "pod-subnet-not-for-nodes",
        [subnet(tags={ROLE: "1", "team": "x"}), node_class({"subnetSelectorTerms": [{"tags": {"team": "*"}}]})],
        {},
        "the selector terms of default match it",
    ),
    ("pod-subnet-route", [subnet()], {}, "is associated with no route table"),
    ("external-snat-route", [subnet(), associated(own="table"), table()], SNAT, "has no route for 0.0.0.0/0"),
    (
        "external-snat-route",
        [subnet(), associated(own="table"), table(), route("gatewayId", "igw-1"), addon(SNAT["environment"])],
        {},
        "has no route for 0.0.0.0/0",
    ),
    ("prefix-reservation-valid", [subnet(), reservation("100.65.0.0/20")], {}, "does not lie in the subnet"),
    ("prefix-reservation-valid", [subnet(), reservation("100.64.16.0/29")], {}, "cannot hold a /28 prefix"),
    ("prefix-reservation-valid", [subnet(), reservation(), reservation(name="s")], {}, "overlaps the reservation"),
    ("prefix-reservation-valid", [subnet(), reservation("100.64.0.0/18")], {}, "outside its reservations"),
    ("prefix-reservation-valid", [subnet(), reservation(kind="both")], {}, "is none of prefix and explicit"),
    ("prefix-reservation-valid", [subnet(), reservation("100.64.x.0/20")], {}, "100.64.x.0/20"),
    ("prefix-delegation-has-room", [subnet(cidr="100.64.0.0/27")], PREFIX_MODE, "has 0 /28s that can become prefixes"),
    (
        "prefix-delegation-has-room",
        [subnet(cidr="100.64.0.0/24"), addon(PREFIXES)],
        {"expectedNodes": {"us-east-1a": 10}, "podsPerNode": 100, "instanceType": "m5.8xlarge"},
        "has 14 /28s that can become prefixes; 10 m5.8xlarge need 80 in us-east-1a (8 each for 100 pods)",
    ),
    (
        "prefix-delegation-has-room",
        [subnet(cidr="100.64.0.0/25"), subnet("pods-a2", "100.64.1.0/25"), addon(PREFIXES)],
        {"expectedNodes": {"us-east-1a": 2}, "podsPerNode": 100, "instanceType": "m5.8xlarge"},
        "have 12 /28s that can become prefixes together; 2 m5.8xlarge need 16",
    ),
    (
        "prefix-delegation-has-room",
        [subnet(), group(launchTemplate={"id": "lt-1"}), template("--max-pods=29"), addon(PREFIXES)],
        {},
        "growth stops once 29 addresses are there. A full node takes 33 addresses with prefixes and 30 without.",
    ),
    (
        "prefix-delegation-has-room",
        [subnet(), node_class({"kubelet": {"maxPods": 58}}), addon(PREFIXES)],
        {"instanceType": "c5.xlarge"},
        "maxPods 58 is what c5.xlarge runs without prefix delegation, which adds no density then",
    ),
    (
        "prefix-delegation-has-room",
        [subnet()],
        {**PREFIX_MODE, "instanceType": "m5.large", "maxPods": 29},
        "Write 110 for maxPods, or ENABLE_PREFIX_DELEGATION=false.",
    ),
    ("cni-settings-coherent", [addon({"MINIMUM_IP_TARGET": "10"})], {}, "without WARM_IP_TARGET is a ceiling"),
    ("cni-settings-coherent", [addon({"ENABLE_IPv6": "true", "ENABLE_IPv4": "true"})], {}, "exactly one of them"),
    (
        "cni-settings-coherent",
        [daemon_set({"ENABLE_PREFIX_DELEGATION": "true", "WARM_PREFIX_TARGET": "0"})],
        {},
        "makes aws-node exit",
    ),
    ("cni-settings-coherent", [addon({"WARM_IP_TARGETS": "5"})], {}, "Did you mean WARM_IP_TARGET?"),
    ("cni-settings-coherent", [addon({"WARM_IP_TARGET": 5})], {}, "is not a string, and is refused"),
    ("cni-settings-coherent", [addon(configurationValues="[1]")], {}, "is neither a JSON nor a YAML mapping"),
    ("cni-version-safe", [addon(addonVersion="v1.18.1-eksbuild.1"), subnet()], {}, "makes no new network interface"),
    ("cni-version-safe", [addon(addonVersion="v1.22.0-eksbuild.1")], {}, "can hand a node's own primary address"),
    ("cni-version-safe", [addon(addonVersion=None)], {}, "leaves the version to EKS"),
    ("cni-version-safe", [addon(addonVersion="latest")], {}, "is not a version of the VPC CNI"),
    ("cni-version-safe", [subnet()], {"cniVersion": "1.17.1"}, "knows no subnet discovery"),
    ("cni-version-safe", [daemon_set({}, "amazon-k8s-cni:v1.22.3")], {}, "primary address"),
    ("addon-keeps-settings", [addon(resolveConflictsOnUpdate="PRESERVE")], {}, "keeps a value set by hand"),
    ("addon-keeps-settings", [addon(resolveConflictsOnUpdate=None)], {}, "the default, as it is not set"),
    ("addon-keeps-settings", [addon(resolveConflictsOnUpdate="NONE")], {}, "ConfigurationConflict"),
    ("addon-keeps-settings", [addon(resolveConflictsOnCreate="PRESERVE")], {}, "is refused by EKS"),
    ("addon-keeps-settings", [addon(configurationValues=None)], {}, "sets no env"),
    ("addon-keeps-settings", [addon()], {"environment": {"MAX_ENI": "3"}}, "MAX_ENI=3 is live and not among"),
    (
        "max-pods-consistent",
        [group(kinds=("m5.large",), launchTemplate={"id": "lt-1"}), template("kubelet --max-pods=110"), addon({})],
        {},
        "maxPods 110 is more than the 29 pods",
    ),
    (
        "max-pods-consistent",
        [group(launchTemplate={"id": "lt-1"}), template("maxPods: 29"), addon(PREFIXES)],
        {},
        "takes addresses and adds no pod",
    ),
    (
        "max-pods-consistent",
        [group(launchTemplate={"id": "lt-1"}), template("", imageId="ami-1"), addon(PREFIXES)],
        {},
        "maxPods is not set",
    ),
    ("max-pods-consistent", [node_class({"kubelet": {}})], PREFIX_MODE, "maxPods is not set"),
    (
        "max-pods-consistent",
        [node_class({"kubelet": {"maxPods": 110}})],
        {"environment": {}, "instanceType": "m5.large"},
        "maxPods 110 is more than the 29",
    ),
    (
        "node-group-within-capacity",
        [nodes("10.68.0.0/24"), group(50)],
        {},
        "50 m5.large x 30 (3 network interfaces + 27 addresses for 29 pods) + 1 more in a rolling upgrade x 30",
    ),
    (
        "node-group-within-capacity",
        [nodes("10.68.0.0/24"), group(50)],
        {},
        "lets nodes need 1,530 addresses in us-east-1a, where the subnets hold 251",
    ),
    (
        "node-group-within-capacity",
        [nodes("10.68.0.0/24"), group(4), addon(PREFIXES)],
        {"podsPerNode": 29},
        "lets nodes need 15 whole /28s in us-east-1a, where the subnets have 14",
    ),
    (
        "node-group-within-capacity",
        [nodes("10.68.0.0/26"), subnet(), group(20), addon(dict(SNAT["environment"]))],
        {"podsPerNode": 29},
        "are missing where they have to come from (nodes-a (10.68.0.0/26) needs",
    ),
    (
        "node-group-within-capacity",
        [group(50, subnets=["subnet-9"])],
        {"nodeZones": ["us-east-1a"], "zoneAddresses": {"us-east-1a": 100}, "podsPerNode": 10},
        "where the subnets hold 100",
    ),
    ("alarm-has-source", [alarm()], {}, "Headroom/AvailableIpAddressCount is published by nothing"),
    ("alarm-has-source", [alarm(namespace="AWS/EC2"), publisher("AWS/EC2")], {}, "AWS/EC2/AvailableIpAddressCount"),
    (
        "alarm-has-source",
        [
            alarm(
                None,
                None,
                metricQueries=[{"metric": {"metricName": "AvailableIpAddressCount", "namespace": "AWS/EC2"}}],
            )
        ],
        {},
        "is published by nothing",
    ),
    ("alarm-breaches-on-silence", [alarm(treatMissingData=None)], {}, "treatMissingData missing (the default)"),
    ("alarm-breaches-on-silence", [alarm(treatMissingData="notBreaching")], {}, "stays quiet"),
    ("alarm-breaches-on-silence", [alarm("X", "Ours", treatMissingData=None)], {"namespaces": ["Ours"]}, "quiet"),
    ("network-protected", [cidr(protect=False)], {}, "cidr is not protected"),
    (
        "network-protected",
        [cidr(protect=False, component=types.SECONDARY_CIDR_COMPONENT), record(accepts=True)],
        {},
        "cidr is not protected",
    ),
    ("network-protected", [cidr(protect=False), record(accepts=False)], {}, "cidr is not protected"),
    (
        "network-protected",
        [cidr(protect=False, component=types.SECONDARY_CIDR_COMPONENT), record(accepts=UNKNOWN)],
        {},
        "cidr is not protected",
    ),
    ("network-protected", [subnet(protect=False)], {}, "pods-a is a pod subnet and not protected"),
    ("network-protected", [make(types.ADDON, "cni", {"addonName": "vpc-cni"}, protect=False)], {}, "with aws-node"),
]

CLEAN: list[tuple[str, list[Resource], dict[str, Any]]] = [
    ("pod-subnet-size", [subnet()], {}),
    ("pod-subnet-inside-vpc", [vpc(), cidr(), subnet(), subnet("b", "100.64.64.0/18")], {}),
    ("pod-subnet-inside-vpc", [subnet(cidr="10.68.0.0/18")], {"vpcCidrBlocks": ["10.68.0.0/16"]}),
    ("secondary-cidr-legal", [vpc(), cidr(), cidr("100.65.0.0/16", name="two")], {}),
    ("secondary-cidr-legal", [cidr("10.1.0.0/16")], {"vpcCidrBlocks": ["10.68.0.0/16"]}),
    ("pod-subnet-zones", [subnet(), nodes(), group()], {}),
    ("pod-subnet-zones", [nodes(), group()], {}),
    ("discovery-tags", [subnet()], {"cniVersion": "1.19.2"}),
    ("discovery-tags", [subnet(), addon({CUSTOM: "true"}), eni_config("us-east-1a", "pods-a")], {}),
    ("discovery-tags", [subnet(), addon({CUSTOM: "false"})], {"environment": {CUSTOM: "true"}}),
    ("discovery-tags", [nodes(), addon({CUSTOM: "true"})], {}),
    ("discovery-tags", [subnet(tags={ROLE: "0"})], {"cniVersion": "1.23.0"}),
    ("discovery-tags", [subnet(tags={ROLE: "0"}), addon()], {}),
    ("discovery-tags", [subnet(tags={"kubernetes.io/role/elb": "1", "Name": "n"})], {}),
    ("pod-subnet-not-for-nodes", [subnet(), nodes(), group()], {}),
    (
        "pod-subnet-not-for-nodes",
        [subnet(), node_class({"subnetSelectorTerms": [{"tags": {"karpenter.sh/discovery": "x"}}]})],
        {},
    ),
    ("pod-subnet-route", [subnet(), associated()], {}),
    ("external-snat-route", [subnet(), associated(own="table"), table()], {}),
    ("external-snat-route", [subnet(), associated(own="table"), table(), route("natGatewayId")], SNAT),
    (
        "external-snat-route",
        [subnet(), associated(own="table"), table({"cidrBlock": "0.0.0.0/0", "transitGatewayId": UNKNOWN})],
        SNAT,
    ),
    ("external-snat-route", [subnet(), associated()], {**SNAT, "routedTables": ["rtb-1"]}),
    ("prefix-reservation-valid", [subnet(), reservation()], {}),
    ("prefix-delegation-has-room", [subnet()], PREFIX_MODE),
    ("prefix-delegation-has-room", [subnet(cidr="100.64.0.0/27")], {}),
    (
        "prefix-delegation-has-room",
        [subnet(cidr="100.64.0.0/25"), subnet("pods-a2", "100.64.1.0/25"), addon(PREFIXES)],
        {"expectedNodes": {"us-east-1a": 1}, "podsPerNode": 100, "instanceType": "m5.8xlarge"},
    ),
    (
        "prefix-delegation-has-room",
        [subnet(), group(launchTemplate={"id": "lt-1"}), template("--max-pods=110"), addon(PREFIXES)],
        {"instanceType": "m5.large", "maxPods": 110},
    ),
    (
        "prefix-delegation-has-room",
        [subnet(cidr="100.64.0.0/26"), addon(PREFIXES)],
        {"expectedNodes": {"us-east-1a": 1}, "podsPerNode": 100, "instanceType": "m5.large", "maxPods": 30},
    ),
    ("cni-settings-coherent", [addon()], {}),
    ("cni-settings-coherent", [daemon_set(PREFIXES)], {}),
    ("cni-settings-coherent", [make(types.ADDON, "dns", {"addonName": "coredns", "configurationValues": "["})], {}),
    ("cni-version-safe", [addon(), subnet()], {}),
    ("cni-version-safe", [addon(addonVersion="v1.15.1-eksbuild.1")], {}),
    ("addon-keeps-settings", [addon()], {"environment": {"WARM_IP_TARGET": "5", "WARM_ENI_TARGET": "1"}}),
    (
        "max-pods-consistent",
        [group(launchTemplate={"id": "lt-1"}), template("--max-pods 110"), addon(PREFIXES)],
        {},
    ),
    ("max-pods-consistent", [group(), addon(PREFIXES)], {}),
    ("node-group-within-capacity", [nodes(), group()], {}),
    # Under custom networking a node takes one address of its own subnet, and the rest from the ENIConfig's.
    (
        "node-group-within-capacity",
        [
            nodes("10.68.0.0/26"),
            subnet(),
            eni_config("us-east-1a", "pods-a"),
            group(50),
            addon({"AWS_VPC_K8S_CNI_CUSTOM_NETWORK_CFG": "true"}),
        ],
        {},
    ),
    (
        "node-group-within-capacity",
        [nodes(), subnet("pods-a2", UNKNOWN), group()],
        {},
    ),
    ("alarm-has-source", [alarm(), publisher()], {}),
    ("alarm-has-source", [alarm()], {"publishedNamespaces": ["Headroom"]}),
    ("alarm-has-source", [alarm("CPUUtilization", "AWS/EC2")], {}),
    ("alarm-breaches-on-silence", [alarm()], {}),
    ("alarm-breaches-on-silence", [alarm("CPUUtilization", "AWS/EC2", treatMissingData=None)], {}),
    ("network-protected", [vpc(), cidr(), subnet(), addon()], {}),
    (
        "network-protected",
        [cidr(protect=False, component=types.SECONDARY_CIDR_COMPONENT), record(accepts=False)],
        {},
    ),
    ("network-protected", [subnet(protect=False, component=types.POD_SUBNETS_COMPONENT)], {}),
]

# Rule, stack, configuration, and what is not known.
UNDECIDED: list[Case] = [
    ("pod-subnet-size", [subnet(cidr=UNKNOWN)], {}, "cidrBlock"),
    ("pod-subnet-inside-vpc", [vpc(), subnet(cidr=UNKNOWN)], {}, "cidrBlock"),
    ("pod-subnet-inside-vpc", [cidr(), subnet(cidr="10.0.0.0/18")], {}, "the VPC's CIDRs"),
    ("pod-subnet-inside-vpc", [vpc(), subnet(vpcId=UNKNOWN)], {}, "vpcId"),
    ("secondary-cidr-legal", [cidr(UNKNOWN)], {}, "cidrBlock"),
    ("secondary-cidr-legal", [cidr("10.1.0.0/16")], {}, "the VPC's primary CIDR"),
    ("secondary-cidr-legal", [cidr(vpc=UNKNOWN)], {}, "vpcId"),
    ("pod-subnet-zones", [subnet(zone=UNKNOWN)], {"nodeZones": ["us-east-1a"]}, "availabilityZone"),
    ("discovery-tags", [subnet(tags={ROLE: "0"})], {}, "the VPC CNI's version"),
    ("discovery-tags", [subnet(tags=UNKNOWN)], {}, "tags"),
    (
        "discovery-tags",
        [subnet(), make(types.ENI_CONFIG, "a", {"spec": {"subnet": UNKNOWN}})],
        {"environment": {CUSTOM: "true"}},
        "the subnet of an ENIConfig",
    ),
    ("discovery-tags", [subnet(tags={ROLE: UNKNOWN})], {}, f"tag {ROLE}"),
    ("pod-subnet-not-for-nodes", [subnet(tags=UNKNOWN)], {}, "tags"),
    (
        "pod-subnet-route",
        [subnet(), make(types.ROUTE_TABLE_ASSOCIATION, "x", {"subnetId": UNKNOWN})],
        {},
        "subnetId of x",
    ),
    ("external-snat-route", [subnet(), associated()], SNAT, "the routes of rtb-1"),
    ("external-snat-route", [subnet(), associated(table=UNKNOWN)], SNAT, "routeTableId"),
    ("external-snat-route", [subnet(), addon(configurationValues=UNKNOWN)], {}, "configurationValues"),
    ("prefix-reservation-valid", [subnet(), reservation(UNKNOWN)], {}, "cidrBlock"),
    ("prefix-reservation-valid", [subnet(cidr=UNKNOWN), reservation()], {}, "cidrBlock of pods-a"),
    ("prefix-delegation-has-room", [subnet(cidr=UNKNOWN)], PREFIX_MODE, "cidrBlock"),
    ("prefix-delegation-has-room", [subnet(zone=UNKNOWN)], PREFIX_MODE, "availabilityZone"),
    (
        "prefix-delegation-has-room",
        [subnet(cidr="100.64.0.0/27"), subnet("pods-a2", UNKNOWN)],
        PREFIX_MODE,
        "cidrBlock",
    ),
    ("cni-settings-coherent", [addon(configurationValues=UNKNOWN)], {}, "configurationValues"),
    ("cni-settings-coherent", [addon(addonName=UNKNOWN)], {}, "addonName"),
    ("cni-version-safe", [addon(addonVersion=UNKNOWN)], {}, "addonVersion"),
    ("addon-keeps-settings", [addon(resolveConflictsOnUpdate=UNKNOWN)], {}, "resolveConflictsOnUpdate"),
    (
        "max-pods-consistent",
        [group(launchTemplate={"id": "lt-1"}), template("--max-pods=100")],
        {},
        "aws-node's settings",
    ),
    (
        "max-pods-consistent",
        [
            group(launchTemplate={"id": "lt-1"}),
            make(types.LAUNCH_TEMPLATE, "t", {"id": "lt-1", "userData": UNKNOWN}),
        ],
        {},
        "userData",
    ),
    ("node-group-within-capacity", [nodes(), group(UNKNOWN)], {}, "scalingConfig.maxSize"),
    ("node-group-within-capacity", [nodes(), group(kinds=UNKNOWN)], {}, "instanceTypes"),
    ("node-group-within-capacity", [group(subnets=["subnet-9"])], {}, "the zones"),
    ("node-group-within-capacity", [subnet("nodes-a", UNKNOWN, tags={}), group()], {}, "cidrBlock of nodes-a"),
    (
        "node-group-within-capacity",
        [nodes("10.68.0.0/24"), subnet("pods-a2", UNKNOWN), group(50)],
        {},
        "cidrBlock of pods-a2",
    ),
    (
        "node-group-within-capacity",
        [subnet(), group(subnets=["subnet-9"])],
        {"nodeZones": ["us-east-1a"]},
        "the nodes' own subnets",
    ),
    (
        "node-group-within-capacity",
        [nodes(), group(), addon({"AWS_VPC_K8S_CNI_CUSTOM_NETWORK_CFG": "true"})],
        {},
        "the subnets",
    ),
    (
        "node-group-within-capacity",
        [
            nodes(),
            group(launchTemplate={"id": "lt-1"}),
            make(types.LAUNCH_TEMPLATE, "t", {"id": "lt-1", "userData": UNKNOWN}),
        ],
        {},
        "userData",
    ),
    ("alarm-has-source", [alarm(UNKNOWN)], {}, "metricName"),
    ("alarm-has-source", [alarm(namespace=UNKNOWN)], {}, "namespace"),
    ("alarm-breaches-on-silence", [alarm(treatMissingData=UNKNOWN)], {}, "treatMissingData"),
    ("alarm-breaches-on-silence", [alarm(UNKNOWN, treatMissingData=None)], {}, "metricName"),
    ("network-protected", [addon(preserve=UNKNOWN)], {}, "preserve"),
    ("network-protected", [subnet(tags=UNKNOWN, protect=False)], {}, "tags"),
]


def said(name: str, stack: Sequence[Resource], config: Mapping[str, Any] | None = None) -> list[Finding]:
    return list(BY_NAME[name].findings(Resources(stack), config or {}))


@pytest.mark.parametrize(("name", "stack", "config", "sentence"), VIOLATIONS)
def test_a_violation_is_said_with_what_to_write_instead(
    name: str, stack: list[Resource], config: dict[str, Any], sentence: str
) -> None:
    found = said(name, stack, config)
    verdicts = [finding.verdict for finding in found if isinstance(finding.verdict, Problem)]
    assert any(sentence in str(verdict) for verdict in verdicts), [str(finding.verdict) for finding in found]
    assert all(verdict.next_step for verdict in verdicts)


@pytest.mark.parametrize(("name", "stack", "config"), CLEAN)
def test_what_is_right_is_passed_in_silence(name: str, stack: list[Resource], config: dict[str, Any]) -> None:
    assert [finding.message for finding in said(name, stack, config)] == []


@pytest.mark.parametrize(("name", "stack", "config", "unknown"), UNDECIDED)
def test_what_only_up_will_show_is_undecided_and_named(
    name: str, stack: list[Resource], config: dict[str, Any], unknown: str
) -> None:
    found = [finding.verdict for finding in said(name, stack, config)]
    assert unknown in [verdict.unknown for verdict in found if isinstance(verdict, Undecided)], found
    assert not [verdict for verdict in found if isinstance(verdict, Problem)]


@pytest.mark.parametrize("cases", [VIOLATIONS, CLEAN, UNDECIDED], ids=["violating", "clean", "unknown"])
def test_every_rule_has_a_case(cases: Sequence[Sequence[Any]]) -> None:
    assert {case[0] for case in cases} == set(BY_NAME)


# Tags that are resources of their own.


def test_a_subnet_is_for_pods_by_a_tag_that_is_a_resource_of_its_own() -> None:
    bare = subnet(tags={"team": "platform"})
    rule = "pod-subnet-route"
    assert said(rule, [bare]) == []
    assert [finding.resource.name for finding in said(rule, [bare, tag()]) if finding.resource] == ["pods-a"]
    assert said(rule, [bare, tag("0")]) == [], "0 keeps pods out"
    assert said(rule, [bare, tag(on="another")]) == []
    by_id = make(types.TAG, "by-id", {"resourceId": "subnet-1", "key": ROLE, "value": "1"})
    assert len(said(rule, [subnet(tags=None, id="subnet-1"), by_id])) == 1
    assert said(rule, [subnet(tags=None, id=""), make(types.TAG, "x", {"resourceId": "", "key": ROLE})]) == []
    (unknown,) = said(rule, [bare, tag(UNKNOWN)])
    assert isinstance(unknown.verdict, Undecided)
    (unread,) = said("discovery-tags", [subnet(tags=UNKNOWN), tag()])
    assert isinstance(unread.verdict, Undecided)


def test_the_value_of_a_tag_that_is_a_resource_of_its_own_is_judged_too() -> None:
    found = said("discovery-tags", [subnet(tags={}), tag("")], {"cniVersion": "1.22.4"})
    assert ["counts as no tag" in str(finding.verdict) for finding in found] == [True]


@pytest.mark.parametrize(("ignored", "expected"), [((f'tags.["{ROLE}"]',), True), ((), False), (("tags",), False)])
def test_asked_about_a_subnet_of_the_component_alone_a_rule_sees_by_what_it_leaves_alone(
    ignored: tuple[str, ...], *, expected: bool
) -> None:
    """Its tag is another resource, which the engine asks about later; a closed subnet leaves nothing alone."""
    own = replace(subnet(tags={}, component=types.POD_SUBNETS_COMPONENT), ignore_changes=ignored)
    assert is_for_pods(own) is expected
    assert is_for_pods(replace(subnet(tags={}), ignore_changes=ignored)) is False, "of others it tells nothing"


# These judge a resource, or a zone, by what belongs to it; the others look at all of a VPC or at the one CNI.
BY_THEMSELVES = [
    "pod-subnet-size",
    "pod-subnet-not-for-nodes",
    "external-snat-route",
    "prefix-reservation-valid",
    "cni-settings-coherent",
    "cni-version-safe",
    "addon-keeps-settings",
    "alarm-has-source",
    "alarm-breaches-on-silence",
    "network-protected",
]


def renamed(resource: Resource) -> Resource:
    """The same once more, beside the first."""
    return replace(
        resource,
        name=f"other-{resource.name}",
        urn=resource.urn.replace("::p::", "::other::"),
        dependencies={
            key: tuple(urn.replace("::p::", "::other::") for urn in urns) for key, urns in resource.dependencies.items()
        },
    )


@pytest.mark.parametrize(
    ("name", "stack", "config", "unknown"), [case for case in UNDECIDED if case[0] in BY_THEMSELVES]
)
def test_an_unknown_in_one_resource_hides_no_violation_of_the_next(
    name: str, stack: list[Resource], config: dict[str, Any], unknown: str
) -> None:
    """The policies of Pulumi's own SDK fail here: one unknown silences the whole policy."""
    del unknown
    case = next(case for case in VIOLATIONS if case[0] == name)
    other = [renamed(item) for item in case[1]]
    settings_of_both = {**config, **case[2]}
    alone = {str(finding.verdict) for finding in said(name, other, settings_of_both)}
    both = {str(finding.verdict) for finding in said(name, [*other, *stack], settings_of_both)}
    assert {text for text in alone if not text.startswith("undecided")} <= both


def test_a_subnet_whose_block_is_not_known_hides_no_subnet_outside_of_the_vpc() -> None:
    found = said("pod-subnet-inside-vpc", [vpc(), subnet("unknown", UNKNOWN), subnet()], {})
    assert {type(finding.verdict) for finding in found} == {Undecided, Problem}


def test_two_associations_of_one_subnet_are_one_too_many() -> None:
    second = make(
        types.ROUTE_TABLE_ASSOCIATION,
        "second",
        {"subnetId": UNKNOWN, "routeTableId": "rtb-2"},
        sources={"subnetId": [f"{types.SUBNET}::pods-a"]},
    )
    (finding,) = said("pod-subnet-route", [subnet(), associated(), second], {})
    assert "is associated with 2 route tables (pods-a and second); EC2 allows one." in finding.message


def test_ids_join_resources_where_they_are_known() -> None:
    """A state export has ids, and an import of it no dependencies."""
    pods = subnet(id="subnet-1")
    joined = make(types.ROUTE_TABLE_ASSOCIATION, "a", {"subnetId": "subnet-1", "routeTableId": "rtb-1"})
    other = make(types.ROUTE_TABLE_ASSOCIATION, "a", {"subnetId": "subnet-2", "routeTableId": "rtb-1"})
    assert said("pod-subnet-route", [pods, joined], {}) == []
    assert len(said("pod-subnet-route", [pods, other], {})) == 1


def test_an_eni_config_makes_a_subnet_one_for_pods() -> None:
    untagged = subnet(tags={})
    assert said("pod-subnet-route", [untagged], {}) == []
    assert len(said("pod-subnet-route", [untagged, eni_config("us-east-1a", "pods-a")], {})) == 1


def test_node_groups_are_held_to_what_calc_fleet_prints_for_them() -> None:
    """Two groups share a zone: one upgrade at a time, and the arithmetic names both."""
    stack = [nodes("10.68.0.0/24"), group(6), replace(group(2, ("m5.8xlarge",)), name="large", urn="urn:large")]
    (finding,) = said("node-group-within-capacity", stack, {"podsPerNode": 20, "surge": 2})
    rows = [
        Nodes(limits=instance_limits("m5.large"), zone="us-east-1a", pods=20, count=6),
        Nodes(limits=instance_limits("m5.8xlarge"), zone="us-east-1a", pods=20, count=2),
    ]
    (zone,) = plan_fleet(rows, CniSettings(), surge=2).zones
    assert finding.resource is not None
    assert finding.resource.name == "workers", "the group that takes most"
    assert f"lets nodes need {zone.with_upgrade:,} addresses" in finding.message
    assert "6 m5.large x 30" in finding.message
    assert "2 m5.8xlarge x 60" in finding.message
    assert "2 more in a rolling upgrade x 60" in finding.message


def test_subnets_of_different_vpcs_may_overlap() -> None:
    stack = [vpc(), cidr(), subnet(), subnet("other", vpcId="vpc-2", tags={})]
    assert said("pod-subnet-inside-vpc", stack, {}) == []


# Hostile values.

texts = st.sampled_from(
    [
        "",
        "0",
        "1",
        "true",
        "vpc-cni",
        "aws-node",
        "100.64.1.0/24",
        "0.0.0.0/0",
        "us-east-1a",
        "\u0661\u0660.0.0.0/24",
        "\x00",
        "💥",
    ]
)
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts | st.just(UNKNOWN),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            texts | st.sampled_from([ROLE, "name", "env", "id", "spec", "metadata", "maxSize"]), inner, max_size=3
        )
    ),
    max_leaves=6,
)
PROPERTIES = [
    "vpcId",
    "cidrBlock",
    "availabilityZone",
    "tags",
    "subnetId",
    "subnetIds",
    "routeTableId",
    "routes",
    "destinationCidrBlock",
    "reservationType",
    "addonName",
    "addonVersion",
    "configurationValues",
    "resolveConflictsOnUpdate",
    "preserve",
    "instanceTypes",
    "scalingConfig",
    "launchTemplate",
    "userData",
    "metricName",
    "namespace",
    "treatMissingData",
    "metricQueries",
    "metadata",
    "spec",
    "environment",
    "values",
    "chart",
]
TYPES = sorted({type_ for rule in EKS_RULES for type_ in rule.TYPES})


@settings(deadline=None, max_examples=150)
@given(
    stack=st.lists(
        st.tuples(st.sampled_from(TYPES), st.dictionaries(st.sampled_from(PROPERTIES), anything, max_size=5)),
        max_size=5,
    ),
    config=st.dictionaries(
        st.sampled_from(sorted({key for rule in EKS_RULES for key in rule.CONFIG_SCHEMA})), anything, max_size=4
    ),
)
@example(stack=[], config={"zoneAddresses": {"": float("inf")}})
def test_nothing_that_can_be_written_makes_a_rule_fall_over(
    stack: list[tuple[str, dict[str, Any]]], config: dict[str, Any]
) -> None:
    made = [make(type_, f"r{number}", properties) for number, (type_, properties) in enumerate(stack)]
    for rule in EKS_RULES:
        for finding in rule.findings(Resources(made), config):
            assert isinstance(finding.verdict, Problem | Undecided)
            assert str(finding.message)


def test_ten_thousand_resources_are_judged_in_a_moment_and_each_of_them_is() -> None:
    stack: list[Resource] = [vpc(), cidr(), addon(PREFIXES)]
    for number in range(3_333):
        block = f"100.64.{number // 16 % 256}.{number % 16 * 16}/28"
        stack += [
            subnet(f"s{number}", block, id=f"subnet-{number}"),
            make(
                types.ROUTE_TABLE_ASSOCIATION, f"s{number}", {"subnetId": f"subnet-{number}", "routeTableId": "rtb-1"}
            ),
            alarm(namespace="Ours"),
        ]
    begun = time.process_time()
    found = judge(stack, {}, date(2026, 11, 21))
    spent = time.process_time() - begun
    counts: dict[str, int] = {}
    for judgement in found:
        counts[judgement.rule] = counts.get(judgement.rule, 0) + 1
    assert counts["pod-subnet-size"] == 3_333
    assert counts["alarm-has-source"] == 3_333
    assert "pod-subnet-route" not in counts
    assert spent < 10, "a preview must not wait for the rules"


RULE_NAMES = [rule.NAME for rule in EKS_RULES]


@pytest.mark.parametrize("rule", EKS_RULES, ids=RULE_NAMES)
def test_a_rule_says_the_same_twice_and_leaves_its_input_alone(rule: ModuleType) -> None:
    case = next(case for case in VIOLATIONS if case[0] == rule.NAME)
    before = repr(case[1])
    first = [finding.message for finding in said(*case[:3])]
    assert [finding.message for finding in said(*case[:3])] == first
    assert repr(case[1]) == before
