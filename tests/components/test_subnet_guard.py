from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pulumi
import pytest

from components.pod_subnets import PodSubnet, PodSubnets, PodSubnetsArgs
from components.subnet_guard import (
    DETAILED_INTERFACES,
    InterfaceUse,
    PodNames,
    SubnetInUseError,
    refusal,
    refuse_while_used,
    subnets_of,
    unknown_pods,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.conftest import Recorder

LIST_INTERFACES = "aws:ec2/getNetworkInterfaces:getNetworkInterfaces"
GET_INTERFACE = "aws:ec2/getNetworkInterface:getNetworkInterface"
GET_INSTANCE = "aws:ec2/getInstance:getInstance"
NEXT = (
    "Next: set `headroom:acceptNewPods: false`, run `pulumi up`, replace or drain these nodes until their interfaces "
    "are gone, then repeat `pulumi destroy --run-program`."
)


def deleted(type_: str, id_: str = "", **inputs: Any) -> pulumi.ResourceHookArgs:
    return pulumi.ResourceHookArgs(urn="urn", id=id_, name="pods-us-east-1a", type=type_, old_inputs=inputs or None)


def interface(number: int, *, node: str = "ip-10-68-0-4.ec2.internal (i-1)", addresses: int = 2) -> InterfaceUse:
    return InterfaceUse(
        interface_id=f"eni-{number:02}",
        subnet_id="subnet-1",
        node=node,
        addresses=tuple(f"100.64.{number}.{last}" for last in range(4, 4 + addresses)),
        description="aws-K8S-i-1",
    )


# Which subnets a deletion is about.


def test_a_subnet_stands_for_itself() -> None:
    assert subnets_of(deleted("aws:ec2/subnet:Subnet", "subnet-1", vpcId="vpc-1")) == ["subnet-1"]


@pytest.mark.parametrize(
    "type_",
    ["aws:ec2/routeTableAssociation:RouteTableAssociation", "aws:ec2/networkAclAssociation:NetworkAclAssociation"],
)
def test_an_association_stands_for_its_subnet(type_: str) -> None:
    assert subnets_of(deleted(type_, "assoc-1", subnetId="subnet-1", routeTableId="rtb-1")) == ["subnet-1"]


def test_the_record_stands_for_all_subnets_in_a_stable_order() -> None:
    recorded = {"subnetIds": {"us-east-1b": "subnet-2", "us-east-1a": "subnet-1"}}
    assert subnets_of(deleted("pulumi:index:Stash", "pods-in-use", input=recorded)) == ["subnet-1", "subnet-2"]


def test_a_resource_that_names_no_subnet_stands_for_none() -> None:
    assert subnets_of(deleted("aws:ec2/route:Route", "r-1", routeTableId="rtb-1")) == []
    assert subnets_of(deleted("aws:ec2/route:Route", "r-1")) == []
    assert subnets_of(deleted("pulumi:index:Stash", "pods-in-use", input={"subnetIds": {}})) == []


# What a refusal says.


def test_a_refusal_names_interfaces_nodes_and_pods_and_says_how_to_go_on() -> None:
    pods = PodNames({"100.64.1.4": "shop/checkout-1", "100.64.1.5": "shop/cart-1", "100.64.9.9": "shop/other"})
    text = refusal([interface(2, node="", addresses=1), interface(1)], 2, pods)
    assert text.splitlines() == [
        "2 network interfaces still use these subnets; nothing was deleted.",
        "  subnet-1 eni-02 no node (aws-K8S-i-1): 1 address, no pods",
        "  subnet-1 eni-01 node ip-10-68-0-4.ec2.internal (i-1): 2 addresses, pods shop/cart-1, shop/checkout-1",
        NEXT,
    ]


def test_a_single_interface_is_spoken_of_in_the_singular() -> None:
    assert refusal([interface(1)], 1, PodNames({})).startswith("1 network interface still uses these subnets;")


def test_pods_that_could_not_be_read_are_unknown_and_not_absent() -> None:
    text = refusal([interface(1)], 1, PodNames({}, "the API server answered 403 Forbidden"))
    assert "2 addresses, pods unknown (the API server answered 403 Forbidden)" in text
    assert "no pods" not in text


def test_an_interface_without_node_or_description_says_so() -> None:
    bare = InterfaceUse(interface_id="eni-1", subnet_id="subnet-1", node="", addresses=(), description="")
    assert "  subnet-1 eni-1 no node (no description): 0 addresses, no pods" in refusal([bare], 1, PodNames({}))


def test_what_is_not_described_is_counted() -> None:
    described = [interface(number) for number in range(DETAILED_INTERFACES)]
    lines = refusal(described, 57, PodNames({})).splitlines()
    assert lines[0].startswith("57 network interfaces")
    assert len(lines) == 1 + DETAILED_INTERFACES + 2
    assert lines[-2:] == ["  and 37 more", NEXT]


# The hook itself, with what it asks of AWS.


def answers(
    interfaces: Mapping[str, Mapping[str, Any]], private_dns: str = "ip-10-68-0-4.ec2.internal"
) -> dict[str, Any]:
    return {
        LIST_INTERFACES: {"id": "us-east-1", "ids": list(interfaces), "region": "us-east-1"},
        GET_INTERFACE: lambda args: {"id": args["id"], **interfaces[args["id"]]},
        GET_INSTANCE: lambda args: {"id": args["instanceId"], "privateDns": private_dns},
    }


def described(subnet: str, *addresses: str, instance: str = "i-1") -> dict[str, Any]:
    return {
        "subnetId": subnet,
        "privateIps": list(addresses),
        "description": "aws-K8S-i-1",
        "attachments": [{"instanceId": instance, "attachmentId": "a-1", "deviceIndex": 1, "networkCardIndex": 0}]
        if instance
        else [],
    }


def ask(recorder: Recorder, what: pulumi.ResourceHookArgs, pods: PodNames | None = None) -> Sequence[PodNames]:
    """Runs the guard; returns how often pods were read."""
    read: list[PodNames] = []

    async def pods_by_address() -> PodNames:
        read.append(pods or PodNames({}))
        return read[-1]

    recorder.run(lambda: refuse_while_used(what, pods_by_address, pulumi.InvokeOptions()))
    return read


def test_an_empty_subnet_may_go_and_costs_one_call(recorder: Recorder) -> None:
    recorder.answers = answers({})
    assert ask(recorder, deleted("aws:ec2/subnet:Subnet", "subnet-1")) == [], "pods are read for a refusal only"
    assert [(asked.token, asked.args) for asked in recorder.asked] == [
        (LIST_INTERFACES, {"filters": [{"name": "subnet-id", "values": ["subnet-1"]}]})
    ]


def test_what_stands_for_no_subnet_asks_nothing(recorder: Recorder) -> None:
    assert ask(recorder, deleted("aws:ec2/route:Route", "r-1")) == []
    assert recorder.asked == []


def test_a_subnet_in_use_is_refused_with_its_nodes_and_pods(recorder: Recorder) -> None:
    recorder.answers = answers(
        {
            "eni-2": described("subnet-2", "100.64.64.9", instance=""),
            "eni-1": described("subnet-1", "100.64.0.4", "100.64.0.5"),
        }
    )
    record = deleted("pulumi:index:Stash", "pods-in-use", input={"subnetIds": {"a": "subnet-1", "b": "subnet-2"}})
    with pytest.raises(SubnetInUseError) as caught:
        ask(recorder, record, PodNames({"100.64.0.5": "shop/checkout-1"}))
    assert str(caught.value).splitlines() == [
        "2 network interfaces still use these subnets; nothing was deleted.",
        "  subnet-1 eni-1 node ip-10-68-0-4.ec2.internal (i-1): 2 addresses, pods shop/checkout-1",
        "  subnet-2 eni-2 no node (aws-K8S-i-1): 1 address, no pods",
        NEXT,
    ]
    assert sorted(recorder.tokens()) == [GET_INSTANCE, *[GET_INTERFACE] * 2, LIST_INTERFACES]


def test_a_node_without_a_name_is_named_by_its_instance(recorder: Recorder) -> None:
    recorder.answers = answers({"eni-1": described("subnet-1", "100.64.0.4")}, private_dns="")
    with pytest.raises(SubnetInUseError, match="node i-1: 1 address"):
        ask(recorder, deleted("aws:ec2/subnet:Subnet", "subnet-1"))


def test_many_interfaces_cost_a_bounded_number_of_calls(recorder: Recorder) -> None:
    many = {f"eni-{number:03}": described("subnet-1", f"100.64.1.{number}") for number in range(57)}
    recorder.answers = answers(many)
    with pytest.raises(SubnetInUseError, match="and 37 more"):
        ask(recorder, deleted("aws:ec2/subnet:Subnet", "subnet-1"))
    assert recorder.tokens().count(GET_INTERFACE) == DETAILED_INTERFACES


def test_the_hook_of_the_component_is_the_guard(recorder: Recorder) -> None:
    subnet = PodSubnet(zone="us-east-1a", cidr_block="100.64.0.0/18", route_table_id="rtb-a")
    args = PodSubnetsArgs(
        vpc_ids={"100.64.0.0/16": "vpc-1"}, subnets={"us-east-1a": subnet}, cluster="prod-use1", cni_version="1.19.2"
    )
    recorder.run(lambda: PodSubnets("pods", args))
    recorder.answers = answers({"eni-1": described("subnet-1", "100.64.0.4")})
    hook = recorder.hooks["pods-in-use"]
    with pytest.raises(SubnetInUseError, match=r"pods unknown \(no cluster access was configured\)"):
        recorder.run(lambda: hook(deleted("aws:ec2/subnet:Subnet", "subnet-1")))


def test_a_component_without_a_reader_of_pods_knows_none(recorder: Recorder) -> None:
    names: list[PodNames] = []

    async def program() -> None:
        names.append(await unknown_pods())

    recorder.run(program)
    assert names == [PodNames({}, "no cluster access was configured")]
