from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pulumi
import pytest

from components.pod_subnets import PodSubnet, PodSubnets, PodSubnetsArgs
from components.subnet_guard import (
    DETAILED_INTERFACES,
    NAMED_PODS,
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
SUBNET = "aws:ec2/subnet:Subnet"
TAG = "aws:ec2/tag:Tag"
STASH = "pulumi:index:Stash"
ENI_CONFIG = "kubernetes:crd.k8s.amazonaws.com/v1alpha1:ENIConfig"
DRAIN = (
    "Next: set `headroom:acceptNewPods: false`, run `pulumi up`, replace or drain these nodes until their interfaces "
    "are gone, then repeat "
)
NEXT = DRAIN + "`pulumi destroy --run-program`."
NODES = {"i-1": "ip-10-68-0-4.ec2.internal"}


def deleted(type_: str, id_: str = "", **inputs: Any) -> pulumi.ResourceHookArgs:
    return pulumi.ResourceHookArgs(urn="urn", id=id_, name="pods-us-east-1a", type=type_, old_inputs=inputs or None)


def record(*, accept_new_pods: bool = True, **subnet_ids: str) -> pulumi.ResourceHookArgs:
    """The record of all subnets, which a destroy comes to first."""
    recorded = {"subnetIds": subnet_ids, "acceptNewPods": accept_new_pods}
    return deleted(STASH, "pods-in-use", input=recorded)


def interface(number: int, *, instance: str = "i-1", addresses: int = 2) -> InterfaceUse:
    return InterfaceUse(
        interface_id=f"eni-{number:02}",
        subnet_id="subnet-1",
        instance_id=instance,
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


def test_an_eniconfig_stands_for_its_subnet() -> None:
    spec = {"subnet": "subnet-1", "securityGroups": ["sg-1"]}
    assert subnets_of(deleted(ENI_CONFIG, "us-east-1a", metadata={"name": "us-east-1a"}, spec=spec)) == ["subnet-1"]


def test_a_tag_stands_for_what_it_is_on() -> None:
    assert subnets_of(deleted(TAG, "subnet-1,role", resourceId="subnet-1", key="role", value="1")) == ["subnet-1"]
    assert subnets_of(deleted(TAG, "subnet-1,role")) == []


def test_a_resource_that_names_no_subnet_stands_for_none() -> None:
    assert subnets_of(deleted("aws:ec2/route:Route", "r-1", routeTableId="rtb-1")) == []
    assert subnets_of(deleted("aws:ec2/route:Route", "r-1")) == []
    assert subnets_of(deleted("pulumi:index:Stash", "pods-in-use", input={"subnetIds": {}})) == []
    assert subnets_of(deleted("pulumi:index:Stash", "another", input="text")) == []
    assert subnets_of(deleted(ENI_CONFIG, "us-east-1a", metadata={"name": "us-east-1a"})) == []


# What a refusal says.


def test_a_refusal_names_interfaces_nodes_and_pods_and_says_how_to_go_on() -> None:
    pods = PodNames(
        {"100.64.1.4": "shop/checkout-1", "100.64.1.5": "shop/cart-1", "100.64.9.9": "shop/other"}, nodes=NODES
    )
    text = refusal([interface(2, instance="", addresses=1), interface(1)], 2, pods)
    assert text.splitlines() == [
        "2 network interfaces still use these subnets; nothing was deleted.",
        "  subnet-1 eni-02 no instance (aws-K8S-i-1): 1 address, no pods",
        "  subnet-1 eni-01 node ip-10-68-0-4.ec2.internal (i-1): 2 addresses, pods shop/cart-1, shop/checkout-1",
        NEXT,
    ]


def test_a_single_interface_is_spoken_of_in_the_singular() -> None:
    assert refusal([interface(1)], 1, PodNames({})).startswith("1 network interface still uses these subnets;")


def test_a_refusal_of_one_deletion_claims_nothing_about_the_others() -> None:
    """`pulumi up` may have deleted other things before it comes to a single subnet."""
    lines = refusal([interface(1)], 1, PodNames({}), gate=False).splitlines()
    assert lines[0] == "1 network interface still uses this subnet."
    assert lines[-1] == DRAIN + "the command."


def test_a_node_that_the_cluster_does_not_list_is_named_by_its_instance() -> None:
    text = refusal([interface(1)], 1, PodNames({}, nodes={"i-2": "another"}))
    assert "  subnet-1 eni-01 instance i-1: 2 addresses, no pods" in text


def test_of_many_pods_on_one_interface_the_first_are_named_and_the_others_counted() -> None:
    addresses = tuple(f"100.64.0.{last}" for last in range(4, 4 + NAMED_PODS + 3))
    use = InterfaceUse(interface_id="eni-1", subnet_id="subnet-1", instance_id="i-1", addresses=addresses)
    pods = {address: f"shop/pod-{number:02}" for number, address in enumerate(addresses)}
    named = ", ".join(f"shop/pod-{number:02}" for number in range(NAMED_PODS))
    assert f": {NAMED_PODS + 3} addresses, pods {named} and 3 more" in refusal([use], 1, PodNames(pods))
    one_less = dict(list(pods.items())[:NAMED_PODS])
    assert refusal([use], 1, PodNames(one_less)).splitlines()[1].endswith(f"pods {named}")


def test_pods_that_could_not_be_read_are_unknown_and_not_absent() -> None:
    text = refusal([interface(1)], 1, PodNames({}, "the API server answered 403 Forbidden"))
    assert "2 addresses, pods unknown (the API server answered 403 Forbidden)" in text
    assert "no pods" not in text


def test_an_interface_without_instance_or_description_says_so() -> None:
    bare = InterfaceUse(interface_id="eni-1", subnet_id="subnet-1")
    assert "  subnet-1 eni-1 no instance (no description): 0 addresses, no pods" in refusal([bare], 1, PodNames({}))


def test_what_is_not_described_is_counted() -> None:
    described = [interface(number) for number in range(DETAILED_INTERFACES)]
    lines = refusal(described, 57, PodNames({})).splitlines()
    assert lines[0].startswith("57 network interfaces")
    assert len(lines) == 1 + DETAILED_INTERFACES + 2
    assert lines[-2:] == ["  and 37 more", NEXT]


# The hook itself, with what it asks of AWS.


def answers(interfaces: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    return {
        LIST_INTERFACES: {"id": "us-east-1", "ids": list(interfaces), "region": "us-east-1"},
        GET_INTERFACE: lambda args: {"id": args["id"], **interfaces[args["id"]]},
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


DENIED = "UnauthorizedOperation: You are not authorized"
DENIED_IN_LINES = DENIED.replace(": ", ":\n  ")


def ask(recorder: Recorder, what: pulumi.ResourceHookArgs, pods: PodNames | None = None) -> Sequence[PodNames]:
    """Runs the guard; returns how often pods were read."""
    read: list[PodNames] = []

    async def pods_by_address() -> PodNames:
        read.append(pods or PodNames({}))
        return read[-1]

    refusals: list[SubnetInUseError] = []

    async def hook() -> None:
        try:
            await refuse_while_used(what, pods_by_address)
        except SubnetInUseError as error:
            refusals.append(error)

    recorder.run(hook)
    for refused in refusals:
        raise refused
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
    with pytest.raises(SubnetInUseError) as caught:
        ask(recorder, record(a="subnet-1", b="subnet-2"), PodNames({"100.64.0.5": "shop/checkout-1"}, nodes=NODES))
    assert str(caught.value).splitlines() == [
        "2 network interfaces still use these subnets; nothing was deleted.",
        "  subnet-1 eni-1 node ip-10-68-0-4.ec2.internal (i-1): 2 addresses, pods shop/checkout-1",
        "  subnet-2 eni-2 no instance (aws-K8S-i-1): 1 address, no pods",
        NEXT,
    ]
    assert sorted(recorder.tokens()) == [*[GET_INTERFACE] * 2, LIST_INTERFACES], "the cluster names its nodes"


@pytest.mark.parametrize("accept_new_pods", [True, False])
@pytest.mark.parametrize("type_", [SUBNET, ENI_CONFIG])
def test_only_the_record_says_that_nothing_was_deleted(
    recorder: Recorder, type_: str, *, accept_new_pods: bool
) -> None:
    recorder.answers = answers({"eni-1": described("subnet-1", "100.64.0.4")})
    with pytest.raises(SubnetInUseError) as caught:
        ask(recorder, deleted(type_, "subnet-1", spec={"subnet": "subnet-1"}))
    assert str(caught.value).splitlines() == [
        "1 network interface still uses this subnet.",
        "  subnet-1 eni-1 instance i-1: 1 address, no pods",
        DRAIN + "the command.",
    ]
    with pytest.raises(SubnetInUseError, match="these subnets; nothing was deleted"):
        ask(recorder, record(accept_new_pods=accept_new_pods, a="subnet-1"))


def test_a_whole_destroy_is_refused_while_the_subnets_accept_new_pods(recorder: Recorder) -> None:
    """The CNI could make an interface there while the routes are being deleted."""
    recorder.answers = answers({})
    with pytest.raises(SubnetInUseError) as caught:
        ask(recorder, record(accept_new_pods=True, a="subnet-1"))
    assert str(caught.value).splitlines() == [
        "no network interface is left in these subnets, but they still accept new pods; nothing was deleted.",
        "Next: set `headroom:acceptNewPods: false`, run `pulumi up`, then repeat `pulumi destroy --run-program`.",
    ]


def test_empty_subnets_that_accept_no_new_pods_may_all_go(recorder: Recorder) -> None:
    recorder.answers = answers({})
    assert ask(recorder, record(accept_new_pods=False, a="subnet-1", b="subnet-2")) == []
    assert [asked.args for asked in recorder.asked] == [
        {"filters": [{"name": "subnet-id", "values": ["subnet-1", "subnet-2"]}]}
    ]


@pytest.mark.parametrize("what", [deleted(SUBNET, "subnet-1"), record(accept_new_pods=False, a="subnet-1")])
def test_a_listing_that_fails_refuses_and_says_why(recorder: Recorder, what: pulumi.ResourceHookArgs) -> None:
    recorder.answers = {LIST_INTERFACES: recorder.failing(DENIED_IN_LINES)}
    with pytest.raises(SubnetInUseError) as caught:
        ask(recorder, what)
    first, step = str(caught.value).splitlines()
    assert first.startswith("whether subnet-1 are in use could not be read: ")
    assert first.endswith(f"{DENIED}."), "what EC2 said stands on one line"
    assert step == "Next: allow ec2:DescribeNetworkInterfaces, or wait, and repeat the command."


def test_a_listing_that_is_not_known_refuses(recorder: Recorder) -> None:
    recorder.answers = {LIST_INTERFACES: None}
    with pytest.raises(SubnetInUseError, match="whether subnet-1 are in use could not be read: no answer"):
        ask(recorder, deleted(SUBNET, "subnet-1"))


def test_a_description_that_fails_is_said_and_the_refusal_stands(recorder: Recorder) -> None:
    recorder.answers = answers({"eni-1": described("subnet-1", "100.64.0.4"), "eni-2": {}})
    describe, fail = recorder.answers[GET_INTERFACE], recorder.failing(DENIED_IN_LINES)
    assert callable(describe)
    recorder.answers[GET_INTERFACE] = lambda args: (fail if args["id"] == "eni-2" else describe)(args)
    with pytest.raises(SubnetInUseError) as caught:
        ask(recorder, record(a="subnet-1"), PodNames({}, nodes=NODES))
    lines = str(caught.value).splitlines()
    assert lines[0] == "2 network interfaces still use these subnets; nothing was deleted."
    assert lines[1].startswith("  eni-2 no instance (not described: ")
    assert lines[1].endswith(f"{DENIED}): 0 addresses, no pods")
    assert lines[2] == "  subnet-1 eni-1 node ip-10-68-0-4.ec2.internal (i-1): 1 address, no pods"


def test_a_description_that_is_not_known_is_said_and_the_refusal_stands(recorder: Recorder) -> None:
    recorder.answers = {**answers({"eni-1": {}}), GET_INTERFACE: None}
    with pytest.raises(SubnetInUseError, match=r"eni-1 no instance \(not described: no answer\): 0 addresses"):
        ask(recorder, deleted(SUBNET, "subnet-1"))


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


@pytest.mark.parametrize(
    ("accept_new_pods", "name", "may_go"),
    [(True, "pods-us-east-1a", False), (False, "pods-us-east-1a", True), (False, "pods-us-east-1b", False)],
)
def test_the_invitation_may_go_while_pods_are_there_but_only_when_the_subnet_stays(
    recorder: Recorder, name: str, *, accept_new_pods: bool, may_go: bool
) -> None:
    """A closed subnet loses its tag, and so does one that is taken out: there the tag goes before the routes do."""
    subnet = PodSubnet(zone="us-east-1a", cidr_block="100.64.0.0/18", route_table_id="rtb-a")
    args = PodSubnetsArgs(
        vpc_ids={"100.64.0.0/16": "vpc-1"},
        subnets={"us-east-1a": subnet},
        cluster="prod-use1",
        cni_version="1.19.2",
        accept_new_pods=accept_new_pods,
    )
    recorder.run(lambda: PodSubnets("pods", args))
    recorder.answers = answers({"eni-1": described("subnet-1", "100.64.0.4")})
    hook = recorder.hooks["pods-in-use"]
    going = pulumi.ResourceHookArgs(
        urn="urn", id="subnet-1,role", name=name, type=TAG, old_inputs={"resourceId": "subnet-1"}
    )
    if may_go:
        recorder.run(lambda: hook(going))
        assert recorder.asked == []
    else:
        with pytest.raises(SubnetInUseError, match="1 network interface still uses this subnet"):
            recorder.run(lambda: hook(going))


def test_a_component_without_a_reader_of_pods_knows_none(recorder: Recorder) -> None:
    names: list[PodNames] = []

    async def program() -> None:
        names.append(await unknown_pods())

    recorder.run(program)
    assert names == [PodNames({}, "no cluster access was configured")]
