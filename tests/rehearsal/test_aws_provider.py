"""The stand-in for Pulumi's aws provider, spoken to as the engine speaks to it."""

import inspect
import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from typing import Any

import boto3
import grpc  # type: ignore[import-untyped]  # no stubs in the lock
import pulumi_aws
import pytest
from google.protobuf import empty_pb2  # type: ignore[import-untyped]  # no stubs in the lock
from pulumi.runtime.proto import plugin_pb2, provider_pb2, provider_pb2_grpc, status_pb2

from headroom.rehearsal.aws.endpoint import Endpoint, start_endpoint
from headroom.rehearsal.providers.aws import PACKAGE, start_provider
from headroom.rehearsal.providers.aws_api import use_endpoint
from headroom.rehearsal.providers.common import Provider, serve
from headroom.rehearsal.providers.values import UNKNOWN, plain, struct

ASSOCIATION = "aws:ec2/vpcIpv4CidrBlockAssociation:VpcIpv4CidrBlockAssociation"
SUBNET = "aws:ec2/subnet:Subnet"
TAG = "aws:ec2/tag:Tag"
TABLE = "aws:ec2/routeTable:RouteTable"
ROUTE = "aws:ec2/route:Route"
TABLE_ASSOCIATION = "aws:ec2/routeTableAssociation:RouteTableAssociation"
ACL_ASSOCIATION = "aws:ec2/networkAclAssociation:NetworkAclAssociation"
INGRESS = "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule"
EGRESS = "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule"
RESERVATION = "aws:ec2/subnetCidrReservation:SubnetCidrReservation"
NODE_GROUP = "aws:eks/nodeGroup:NodeGroup"
ADDON = "aws:eks/addon:Addon"

Properties = dict[str, Any]


def urn(token: str) -> str:
    return f"urn:pulumi:dev::trial::headroom:index:PodSubnets${token}::it"


class Engine:
    """One connection of the engine, with one provider instance behind it."""

    def __init__(self, port: int, **configuration: Any) -> None:
        self.channel = grpc.insecure_channel(f"127.0.0.1:{port}", options=[("grpc.use_local_subchannel_pool", 1)])
        self.stub = provider_pb2_grpc.ResourceProviderStub(self.channel)
        self.stub.Attach(plugin_pb2.PluginAttach(address="127.0.0.1:1"))
        self.stub.Handshake(provider_pb2.ProviderHandshakeRequest(engine_address="127.0.0.1:1"))
        texts = {name: item if isinstance(item, str) else json.dumps(item) for name, item in configuration.items()}
        self.stub.Configure(provider_pb2.ConfigureRequest(args=struct(texts)))

    def check(self, token: str, inputs: Properties) -> tuple[Properties, dict[str, str]]:
        answer = self.stub.Check(provider_pb2.CheckRequest(urn=urn(token), news=struct(inputs)))
        return plain(answer.inputs), {failure.property: failure.reason for failure in answer.failures}

    def create(
        self, token: str, inputs: Properties, *, preview: bool = False, timeout: float = 0
    ) -> tuple[str, Properties]:
        inputs, failures = self.check(token, inputs)
        assert failures == {}
        answer = self.stub.Create(
            provider_pb2.CreateRequest(urn=urn(token), properties=struct(inputs), preview=preview, timeout=timeout)
        )
        return answer.id, plain(answer.properties)

    def diff(self, token: str, old: Properties, old_inputs: Properties, new: Properties, *ignored: str) -> Properties:
        answer = self.stub.Diff(
            provider_pb2.DiffRequest(
                id="x",
                urn=urn(token),
                olds=struct(old),
                old_inputs=struct(old_inputs),
                news=struct(new),
                ignoreChanges=ignored,
            )
        )
        assert answer.hasDetailedDiff
        assert (answer.changes == provider_pb2.DiffResponse.DIFF_SOME) == bool(answer.diffs)
        return {"diffs": list(answer.diffs), "replaces": list(answer.replaces), "paths": sorted(answer.detailedDiff)}

    def update(
        self, token: str, identifier: str, old: Properties, old_inputs: Properties, new: Properties, *ignored: str
    ) -> Properties:
        answer = self.stub.Update(
            provider_pb2.UpdateRequest(
                id=identifier,
                urn=urn(token),
                olds=struct(old),
                old_inputs=struct(old_inputs),
                news=struct(new),
                ignoreChanges=ignored,
            )
        )
        return plain(answer.properties)

    def read(
        self, token: str, identifier: str, state: Properties | None = None, inputs: Properties | None = None
    ) -> tuple[str, Properties, Properties]:
        answer = self.stub.Read(
            provider_pb2.ReadRequest(
                id=identifier, urn=urn(token), properties=struct(state or {}), inputs=struct(inputs or {})
            )
        )
        return answer.id, plain(answer.properties), plain(answer.inputs)

    def delete(self, token: str, identifier: str, state: Properties, *, timeout: float = 0) -> None:
        self.stub.Delete(
            provider_pb2.DeleteRequest(id=identifier, urn=urn(token), properties=struct(state), timeout=timeout)
        )

    def invoke(self, token: str, **arguments: Any) -> Properties:
        answer = self.stub.Invoke(provider_pb2.InvokeRequest(tok=token, args=struct(arguments)))
        return plain(getattr(answer, "return"))


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    folder = tmp_path_factory.mktemp("aws")
    with start_endpoint(folder, association_seconds=0.2, addon_seconds=0.1, reservation_rate=100) as endpoint:
        yield endpoint


@pytest.fixture(scope="module")
def port(aws: Endpoint) -> Iterator[int]:
    use_endpoint(aws.url)
    server, port = serve(Provider(PACKAGE, patience=30))
    yield port
    server.stop(None).wait()


@pytest.fixture
def engine(port: int, aws: Endpoint) -> Iterator[Engine]:
    made = Engine(port, region="us-east-1")
    yield made
    made.channel.close()
    aws.clear_faults()


def client(aws: Endpoint, service: str) -> Any:
    return boto3.client(
        service,  # type: ignore[call-overload]  # any service
        endpoint_url=aws.url,
        region_name="us-east-1",
        aws_access_key_id="rehearsal",
        aws_secret_access_key="rehearsal",  # noqa: S106  # no secret
    )


@pytest.fixture(scope="module")
def ec2(aws: Endpoint) -> Any:
    return client(aws, "ec2")


@pytest.fixture
def vpc(ec2: Any) -> str:
    return str(ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"])


@pytest.fixture
def subnet(ec2: Any, vpc: str) -> str:
    made = ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.0.0/22", AvailabilityZone="us-east-1a")
    return str(made["Subnet"]["SubnetId"])


def subnet_inputs(vpc: str, **more: Any) -> Properties:
    tags = {"kubernetes.io/role/cni": "1", "Name": "pods-a"}
    return {"vpcId": vpc, "cidrBlock": "10.0.64.0/18", "availabilityZone": "us-east-1a", "tags": tags, **more}


def error_of(error: pytest.ExceptionInfo[grpc.RpcError]) -> str:
    return str(error.value.details())


# --- the provider itself ---------------------------------------------------------------------------------------


def test_it_reports_the_version_of_the_sdk_that_it_stands_in_for(engine: Engine) -> None:
    assert engine.stub.GetPluginInfo(empty_pb2.Empty()).version == metadata.version("pulumi-aws")


def test_a_type_or_function_without_a_stand_in_is_a_clear_error(engine: Engine) -> None:
    with pytest.raises(grpc.RpcError) as no_type:
        engine.check("aws:s3/bucket:Bucket", {})
    with pytest.raises(grpc.RpcError) as no_function:
        engine.invoke("aws:s3/getBucket:getBucket")

    assert no_type.value.code() == grpc.StatusCode.UNIMPLEMENTED
    assert error_of(no_type).startswith("no stand-in for aws:s3/bucket:Bucket: the rehearsal's provider for aws knows")
    assert error_of(no_function).startswith("no stand-in for aws:s3/getBucket:getBucket")


def test_configuration_that_would_be_without_effect_is_refused(engine: Engine) -> None:
    news = struct({"region": "us-east-1", "ignoreTags": json.dumps({"keys": ["a"]})})

    answer = engine.stub.CheckConfig(provider_pb2.CheckRequest(urn=urn("pulumi:providers:aws"), news=news))

    assert [failure.property for failure in answer.failures] == ["ignoreTags"]


def test_two_instances_of_the_provider_keep_their_regions_apart(port: int, vpc: str) -> None:
    west, east = Engine(port, region="us-west-2"), Engine(port, region="us-east-1")

    assert west.invoke("aws:index/getRegion:getRegion")["region"] == "us-west-2"
    assert east.invoke("aws:index/getRegion:getRegion")["region"] == "us-east-1"
    with pytest.raises(grpc.RpcError, match="no matching EC2 VPC found"):
        west.invoke("aws:ec2/getVpc:getVpc", id=vpc)
    assert west.invoke("aws:ec2/getVpc:getVpc", id=vpc, region="us-east-1")["id"] == vpc
    for made in (west, east):
        made.channel.close()


def kept_by(error: grpc.RpcError) -> provider_pb2.ErrorResourceInitFailed:
    """What the engine is told to keep although its creation failed."""
    status = status_pb2.Status.FromString(dict(error.trailing_metadata())["grpc-status-details-bin"])
    kept = provider_pb2.ErrorResourceInitFailed()
    assert status.details[0].Unpack(kept)
    return kept


def until(done: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + 60
    while not done():
        assert time.monotonic() < deadline, f"{what} did not happen"
        time.sleep(0.02)


def test_a_wait_ends_when_the_engine_cancels_and_what_exists_is_kept(aws: Endpoint, engine: Engine, vpc: str) -> None:
    aws.change(association_seconds=300)
    aws.forget_calls()
    inputs = {"vpcId": vpc, "cidrBlock": "100.64.0.0/16"}
    try:
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(engine.create, ASSOCIATION, inputs, timeout=200)
            until(lambda: "AssociateVpcCidrBlock" in aws.calls(), "the association")
            engine.stub.Cancel(empty_pb2.Empty())
            with pytest.raises(grpc.RpcError) as cancelled:
                waiting.result(60)
    finally:
        aws.change(association_seconds=0.2)

    kept = kept_by(cancelled.value)
    assert kept.id.startswith("vpc-cidr-assoc-")
    assert plain(kept.properties)["cidrBlock"] == "100.64.0.0/16"


def test_nothing_is_begun_for_an_engine_that_has_cancelled(aws: Endpoint, engine: Engine, vpc: str) -> None:
    engine.stub.Cancel(empty_pb2.Empty())
    aws.forget_calls()

    with pytest.raises(grpc.RpcError) as cancelled:
        engine.create(SUBNET, subnet_inputs(vpc))

    assert cancelled.value.code() == grpc.StatusCode.CANCELLED
    assert aws.calls() == {}


def test_what_exists_is_kept_when_a_later_step_of_its_creation_fails(aws: Endpoint, engine: Engine, vpc: str) -> None:
    aws.fail("ModifySubnetAttribute", "InternalError")
    inputs = subnet_inputs(vpc, mapPublicIpOnLaunch=True)

    with pytest.raises(grpc.RpcError, match="ModifySubnetAttribute") as failed:
        engine.create(SUBNET, inputs)

    kept = kept_by(failed.value)
    state = engine.update(SUBNET, kept.id, plain(kept.properties) | {"mapPublicIpOnLaunch": False}, inputs, inputs)
    assert state["mapPublicIpOnLaunch"] is True, "the next update finishes it"


def test_no_call_is_made_for_an_engine_that_has_died(aws: Endpoint, port: int, vpc: str) -> None:
    dying = Engine(port, region="us-east-1")
    aws.delay("CreateSubnet", 2)
    aws.forget_calls()

    started = threading.Thread(target=lambda: _swallow(dying, vpc))
    started.start()
    until(lambda: not aws.back_door("GET", "faults"), "the delay")
    dying.channel.close()
    started.join(60)
    until(lambda: "CreateSubnet" in aws.calls(), "the answer")
    time.sleep(0.3)

    calls = aws.calls()
    assert calls.get("CreateSubnet") == 1, "what was under way takes effect"
    assert "ModifySubnetAttribute" not in calls, "what would have followed does not"


def _swallow(dying: Engine, vpc: str) -> None:
    with pytest.raises((grpc.RpcError, ValueError)):
        dying.create(SUBNET, subnet_inputs(vpc, mapPublicIpOnLaunch=True))


# --- CIDR associations -----------------------------------------------------------------------------------------


def test_an_association_is_waited_for(engine: Engine, ec2: Any, vpc: str) -> None:
    identifier, state = engine.create(ASSOCIATION, {"vpcId": vpc, "cidrBlock": "100.64.0.0/16"})

    found = ec2.describe_vpcs(VpcIds=[vpc])["Vpcs"][0]["CidrBlockAssociationSet"][1]
    assert (found["AssociationId"], found["CidrBlockState"]["State"]) == (identifier, "associated")
    assert state == {"vpcId": vpc, "cidrBlock": "100.64.0.0/16", "region": "us-east-1"}
    engine.delete(ASSOCIATION, identifier, state)
    assert engine.read(ASSOCIATION, identifier, state, state)[0] == "", "gone"
    engine.delete(ASSOCIATION, identifier, state)


def test_an_illegal_association_is_told_as_the_real_provider_tells_it(engine: Engine, vpc: str) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        engine.create(ASSOCIATION, {"vpcId": vpc, "cidrBlock": "198.19.0.0/16"})

    assert re.match(
        r"creating EC2 VPC IPv4 CIDR Block Association: operation error EC2: AssociateVpcCidrBlock, https response "
        r"error StatusCode: 400, RequestID: [\w-]+, api error InvalidVpc\.Range: The CIDR '198\.19\.0\.0/16' is "
        r"restricted",
        error_of(refused),
    )


def test_an_association_that_takes_too_long_is_kept_as_not_ready(aws: Endpoint, engine: Engine, vpc: str) -> None:
    aws.change(association_seconds=30)
    try:
        with pytest.raises(grpc.RpcError) as late:
            engine.create(ASSOCIATION, {"vpcId": vpc, "cidrBlock": "100.64.0.0/16"}, timeout=0.3)
    finally:
        aws.change(association_seconds=0.2)

    kept = kept_by(late.value)
    assert "last state: 'associating'" in kept.reasons[0]


def test_an_association_that_was_not_waited_for_is_finished_by_the_next_update(
    aws: Endpoint, engine: Engine, ec2: Any, vpc: str
) -> None:
    inputs = {"vpcId": vpc, "cidrBlock": "100.64.0.0/16"}
    aws.change(association_seconds=2)
    try:
        with pytest.raises(grpc.RpcError) as late:
            engine.create(ASSOCIATION, inputs, timeout=0.2)
    finally:
        aws.change(association_seconds=0.2)
    kept = kept_by(late.value)

    engine.update(ASSOCIATION, kept.id, plain(kept.properties), inputs, inputs)

    found = ec2.describe_vpcs(VpcIds=[vpc])["Vpcs"][0]["CidrBlockAssociationSet"][1]
    assert found["CidrBlockState"]["State"] == "associated"


@pytest.mark.parametrize(
    ("cidr", "reason"),
    [("100.64.b.0/24", "invalid CIDR address: 100.64.b.0/24"), ("100.68.0.18/18", 'did you mean "100.68.0.0/18"?')],
)
def test_what_is_no_cidr_is_refused_before_anything_is_asked_of_aws(engine: Engine, cidr: str, reason: str) -> None:
    _, failures = engine.check(ASSOCIATION, {"vpcId": "vpc-1", "cidrBlock": cidr})

    assert reason in failures["cidrBlock"]


# --- subnets -----------------------------------------------------------------------------------------------------


def test_a_preview_knows_the_inputs_and_leaves_the_rest_open(engine: Engine) -> None:
    inputs = {"vpcId": UNKNOWN, "cidrBlock": "100.64.0.0/18", "tags": {"a": "b"}}

    identifier, state = engine.create(SUBNET, inputs, preview=True)

    assert identifier == ""
    assert (state["vpcId"], state["arn"], state["availabilityZone"]) == (UNKNOWN, UNKNOWN, UNKNOWN)
    assert (state["cidrBlock"], state["tagsAll"]) == ("100.64.0.0/18", {"a": "b"})


def test_a_subnet_has_the_outputs_that_ec2_tells(engine: Engine, ec2: Any, vpc: str) -> None:
    identifier, state = engine.create(SUBNET, subnet_inputs(vpc, mapPublicIpOnLaunch=True))

    found = ec2.describe_subnets(SubnetIds=[identifier])["Subnets"][0]
    assert state["arn"] == found["SubnetArn"]
    assert (state["ownerId"], state["availabilityZoneId"]) == ("123456789012", "use1-az6")
    assert state["tagsAll"] == {"kubernetes.io/role/cni": "1", "Name": "pods-a"}
    assert found["MapPublicIpOnLaunch"] is state["mapPublicIpOnLaunch"] is True


def test_unchanged_is_unchanged_and_refresh_finds_nothing(engine: Engine, vpc: str) -> None:
    inputs = subnet_inputs(vpc)
    identifier, state = engine.create(SUBNET, inputs)

    assert engine.diff(SUBNET, state, inputs, inputs)["diffs"] == []
    assert engine.read(SUBNET, identifier, state, inputs) == (identifier, state, inputs)


@pytest.mark.parametrize(
    ("changed", "replaces", "paths"),
    [
        (
            {"tags": {"Name": "pods-a", "team": "net"}},
            [],
            ["tags.team", "tagsAll.team", 'tagsAll["kubernetes.io/role/cni"]', 'tags["kubernetes.io/role/cni"]'],
        ),
        ({"mapPublicIpOnLaunch": True}, [], ["mapPublicIpOnLaunch"]),
        ({"cidrBlock": "10.0.128.0/18"}, ["cidrBlock"], ["cidrBlock"]),
        ({"availabilityZone": "us-east-1b"}, ["availabilityZone"], ["availabilityZone"]),
        ({"vpcId": UNKNOWN}, ["vpcId"], ["vpcId"]),
        ({"region": "us-west-2"}, ["region"], ["region"]),
    ],
)
def test_what_replaces_a_subnet_and_what_does_not(
    engine: Engine, vpc: str, changed: Properties, replaces: list[str], paths: list[str]
) -> None:
    inputs = subnet_inputs(vpc)
    state = {**inputs, "region": "us-east-1", "arn": "arn:x", "tagsAll": inputs["tags"]}

    found = engine.diff(SUBNET, state, inputs, {**inputs, **changed})

    diffs = sorted(changed) if "tags" not in changed else ["tags", "tagsAll"]
    assert found == {"diffs": diffs, "replaces": replaces, "paths": paths}


def test_ignored_changes_are_no_differences(engine: Engine, vpc: str) -> None:
    inputs = subnet_inputs(vpc)
    tags = {**inputs["tags"], "cost": "7"}
    state = {**inputs, "tags": tags, "tagsAll": tags, "region": "us-east-1"}

    assert engine.diff(SUBNET, state, inputs, inputs)["paths"] == ["tags.cost", "tagsAll.cost"]
    assert engine.diff(SUBNET, state, inputs, inputs, "tags.cost")["diffs"] == ["tagsAll"]
    assert engine.diff(SUBNET, state, inputs, inputs, "tags.cost", "tagsAll.cost")["diffs"] == []
    assert engine.diff(SUBNET, state, inputs, inputs, "tags", "tagsAll")["diffs"] == []


def test_an_ignored_key_with_dots_has_to_be_written_as_the_bridge_does(engine: Engine, vpc: str) -> None:
    inputs = subnet_inputs(vpc)
    tags = {**inputs["tags"], "a.b/c": "7"}
    state = {**inputs, "tags": tags, "tagsAll": tags, "region": "us-east-1"}

    assert engine.diff(SUBNET, state, inputs, inputs, 'tags.["a.b/c"]', 'tagsAll.["a.b/c"]')["diffs"] == []
    assert engine.diff(SUBNET, state, inputs, inputs, 'tags["a.b/c"]', 'tagsAll["a.b/c"]')["diffs"] == [
        "tags",
        "tagsAll",
    ], "the engine takes this form too, the real provider does not"


def test_an_update_leaves_alone_what_is_ignored_and_changes_the_rest(engine: Engine, ec2: Any, vpc: str) -> None:
    inputs = subnet_inputs(vpc)
    identifier, state = engine.create(SUBNET, inputs)
    ec2.create_tags(Resources=[identifier], Tags=[{"Key": "a.b/c", "Value": "7"}])
    _, seen, refreshed = engine.read(SUBNET, identifier, state, inputs)
    assert seen["tagsAll"]["a.b/c"] == "7"
    assert refreshed == inputs, "a refresh takes no key into the inputs that the program did not write"
    wanted, _ = engine.check(SUBNET, {**inputs, "tags": {**inputs["tags"], "team": "net"}})

    ignored = ('tags.["a.b/c"]', 'tagsAll.["a.b/c"]')
    after = engine.update(SUBNET, identifier, seen, refreshed, wanted, *ignored)

    assert after["tagsAll"] == {**wanted["tags"], "a.b/c": "7"}
    after = engine.update(SUBNET, identifier, seen, refreshed, wanted)
    assert after["tagsAll"] == wanted["tags"], "what is not ignored goes"


def test_a_single_tag_lives_and_changes_and_goes_twice(engine: Engine, ec2: Any, subnet: str) -> None:
    inputs = {"resourceId": subnet, "key": "kubernetes.io/role/cni", "value": "1"}
    identifier, state = engine.create(TAG, inputs)

    def tags() -> dict[str, str]:
        described = ec2.describe_subnets(SubnetIds=[subnet])["Subnets"][0].get("Tags", [])
        return {tag["Key"]: tag["Value"] for tag in described}

    assert identifier == f"{subnet},kubernetes.io/role/cni"
    assert tags()["kubernetes.io/role/cni"] == "1"
    assert engine.diff(TAG, state, inputs, inputs)["diffs"] == []
    assert engine.read(TAG, identifier, state, inputs) == (identifier, state, inputs)
    assert engine.read(TAG, identifier)[2] == inputs, "as an import sees it"
    engine.update(TAG, identifier, state, inputs, {**inputs, "value": "0"})
    assert tags()["kubernetes.io/role/cni"] == "0"
    assert engine.diff(TAG, state, inputs, {**inputs, "key": "other"})["replaces"] == ["key"]
    engine.delete(TAG, identifier, state)
    assert "kubernetes.io/role/cni" not in tags()
    assert engine.read(TAG, identifier, state, inputs)[0] == ""
    engine.delete(TAG, identifier, state)
    ec2.delete_subnet(SubnetId=subnet)
    engine.delete(TAG, identifier, state)


def test_tags_are_added_changed_and_taken_away_in_place(engine: Engine, ec2: Any, vpc: str) -> None:
    inputs = subnet_inputs(vpc)
    identifier, state = engine.create(SUBNET, inputs)
    wanted = {**inputs, "tags": {"Name": "pods", "team": "net"}}

    after = engine.update(SUBNET, identifier, state, inputs, wanted)

    tags = ec2.describe_subnets(SubnetIds=[identifier])["Subnets"][0]["Tags"]
    assert {tag["Key"]: tag["Value"] for tag in tags} == wanted["tags"] == after["tagsAll"]
    assert engine.diff(SUBNET, after, wanted, wanted)["diffs"] == []


def test_drift_is_seen_by_a_refresh_and_mended_by_an_update(engine: Engine, ec2: Any, vpc: str) -> None:
    inputs = subnet_inputs(vpc)
    identifier, state = engine.create(SUBNET, inputs)
    ec2.delete_tags(Resources=[identifier], Tags=[{"Key": "kubernetes.io/role/cni"}])

    _, drifted, refreshed = engine.read(SUBNET, identifier, state, inputs)
    assert drifted["tags"] == refreshed["tags"] == {"Name": "pods-a"}
    assert engine.diff(SUBNET, drifted, refreshed, inputs)["paths"] == [
        'tagsAll["kubernetes.io/role/cni"]',
        'tags["kubernetes.io/role/cni"]',
    ]

    assert engine.update(SUBNET, identifier, drifted, refreshed, inputs)["tags"] == inputs["tags"]


def test_the_default_tags_of_the_provider_are_merged_into_tags(port: int, vpc: str) -> None:
    tagging = Engine(port, region="us-east-1", defaultTags={"tags": {"owner": "platform", "Name": "default"}})

    inputs, _ = tagging.check(SUBNET, subnet_inputs(vpc))
    _, state = tagging.create(SUBNET, inputs)

    assert inputs["tags"] == {"owner": "platform", "kubernetes.io/role/cni": "1", "Name": "pods-a"}
    assert state["tagsAll"] == inputs["tags"]
    tagging.channel.close()


def test_an_import_gives_the_inputs_that_would_make_it(engine: Engine, vpc: str, subnet: str) -> None:
    identifier, state, inputs = engine.read(SUBNET, subnet)

    assert (identifier, state["vpcId"]) == (subnet, vpc)
    assert inputs["cidrBlock"] == "10.0.0.0/22"
    assert inputs.keys() <= set(next(kind for kind in PACKAGE.kinds if kind.token == SUBNET).inputs)
    assert engine.read(SUBNET, "subnet-0123456789abcdef0")[0] == ""


def test_a_subnet_that_is_in_use_is_not_deleted_and_the_error_says_so(engine: Engine, ec2: Any, vpc: str) -> None:
    identifier, state = engine.create(SUBNET, subnet_inputs(vpc))
    interface = ec2.create_network_interface(SubnetId=identifier)["NetworkInterface"]["NetworkInterfaceId"]

    with pytest.raises(grpc.RpcError) as refused:
        engine.delete(SUBNET, identifier, state, timeout=0.3)
    assert error_of(refused).startswith(f"deleting EC2 Subnet ({identifier}): operation error EC2: DeleteSubnet")
    assert "api error DependencyViolation" in error_of(refused)

    ec2.delete_network_interface(NetworkInterfaceId=interface)
    engine.delete(SUBNET, identifier, state)
    engine.delete(SUBNET, identifier, state)


def test_what_the_stand_in_does_not_simulate_is_refused_by_name(engine: Engine) -> None:
    _, failures = engine.check(SUBNET, {"vpcId": "vpc-1", "ipv4IpamPoolId": "x", "colour": "red"})

    assert "does not simulate" in failures["ipv4IpamPoolId"]
    assert "not expected here" in failures["colour"]
    assert engine.check(SUBNET, {})[1]["vpcId"].startswith("Missing required argument")


# --- routes and associations -------------------------------------------------------------------------------------


def test_a_route_table_with_its_routes_lives_and_changes(engine: Engine, ec2: Any, vpc: str) -> None:
    gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    inputs = {"vpcId": vpc, "routes": [{"cidrBlock": "0.0.0.0/0", "gatewayId": gateway}], "tags": {"a": "b"}}
    identifier, state = engine.create(TABLE, inputs)
    assert state["routes"] == inputs["routes"]
    assert state["arn"].endswith(f":route-table/{identifier}")
    assert engine.diff(TABLE, state, inputs, inputs)["diffs"] == []
    assert engine.read(TABLE, identifier, state, inputs)[2] == inputs

    other = {**inputs, "routes": [{"cidrBlock": "192.0.2.0/24", "gatewayId": gateway}]}
    assert engine.diff(TABLE, state, inputs, other)["diffs"] == ["routes"]
    after = engine.update(TABLE, identifier, state, inputs, other)

    assert after["routes"] == other["routes"]
    engine.delete(TABLE, identifier, after)
    assert engine.read(TABLE, identifier, after, other)[0] == ""


def test_a_single_route_is_created_read_imported_and_deleted(engine: Engine, ec2: Any, vpc: str) -> None:
    gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    table, _ = engine.create(TABLE, {"vpcId": vpc})
    inputs = {"routeTableId": table, "destinationCidrBlock": "0.0.0.0/0", "gatewayId": gateway}

    identifier, state = engine.create(ROUTE, inputs)

    assert identifier.startswith(f"r-{table}")
    assert (state["origin"], state["state"]) == ("CreateRoute", "active")
    assert engine.read(ROUTE, identifier, state, inputs) == (identifier, state, inputs)
    imported = engine.read(ROUTE, f"{table}_0.0.0.0/0")
    assert (imported[0], imported[2]["gatewayId"]) == (identifier, gateway)
    engine.delete(ROUTE, identifier, state)
    assert engine.read(ROUTE, identifier, state, inputs)[0] == ""
    engine.delete(ROUTE, identifier, state)


def test_a_route_needs_one_destination_and_one_target(engine: Engine) -> None:
    _, failures = engine.check(ROUTE, {"routeTableId": "rtb-1", "destinationCidrBlock": "0.0.0.0/0"})

    assert "one target of" in failures[""]


def test_a_subnet_is_associated_with_one_table_at_a_time(engine: Engine, vpc: str, subnet: str) -> None:
    first, _ = engine.create(TABLE, {"vpcId": vpc})
    second, _ = engine.create(TABLE, {"vpcId": vpc})
    inputs = {"subnetId": subnet, "routeTableId": first}
    identifier, state = engine.create(TABLE_ASSOCIATION, inputs)
    assert engine.read(TABLE_ASSOCIATION, identifier, state, inputs) == (identifier, state, inputs)
    assert engine.read(TABLE_ASSOCIATION, f"{subnet}/{first}")[0] == identifier

    with pytest.raises(grpc.RpcError, match=r"creating Route Table Association: .*Resource\.AlreadyAssociated"):
        engine.create(TABLE_ASSOCIATION, {"subnetId": subnet, "routeTableId": second})

    wanted = {"subnetId": subnet, "routeTableId": second}
    assert engine.diff(TABLE_ASSOCIATION, state, inputs, wanted)["replaces"] == []
    after = engine.update(TABLE_ASSOCIATION, identifier, state, inputs, wanted)
    assert after["routeTableId"] == second
    assert engine.read(TABLE_ASSOCIATION, identifier, after, wanted)[2] == wanted, "found although its id is another"
    engine.delete(TABLE_ASSOCIATION, identifier, after)
    assert engine.read(TABLE_ASSOCIATION, identifier, after, wanted)[0] == ""
    engine.delete(TABLE_ASSOCIATION, identifier, after)


def test_a_network_acl_is_given_to_a_subnet_and_the_default_one_given_back(
    engine: Engine, ec2: Any, vpc: str, subnet: str
) -> None:
    acl = ec2.create_network_acl(VpcId=vpc)["NetworkAcl"]["NetworkAclId"]
    inputs = {"networkAclId": acl, "subnetId": subnet}

    def acl_of_subnet() -> str:
        filters = [{"Name": "association.subnet-id", "Values": [subnet]}]
        return str(ec2.describe_network_acls(Filters=filters)["NetworkAcls"][0]["NetworkAclId"])

    default = acl_of_subnet()
    identifier, state = engine.create(ACL_ASSOCIATION, inputs)
    assert acl_of_subnet() == acl
    assert engine.read(ACL_ASSOCIATION, identifier, state, inputs) == (identifier, state, inputs)

    engine.delete(ACL_ASSOCIATION, identifier, state)
    assert acl_of_subnet() == default
    assert engine.read(ACL_ASSOCIATION, identifier, state, inputs)[0] == ""
    engine.delete(ACL_ASSOCIATION, identifier, state)


@pytest.mark.parametrize("token", [INGRESS, EGRESS])
def test_a_security_group_rule_lives_and_changes(engine: Engine, ec2: Any, vpc: str, token: str) -> None:
    filters = [{"Name": "vpc-id", "Values": [vpc]}]
    group = ec2.describe_security_groups(Filters=filters)["SecurityGroups"][0]["GroupId"]
    inputs = {
        "securityGroupId": group,
        "ipProtocol": "tcp",
        "fromPort": 443,
        "toPort": 443,
        "cidrIpv4": "100.64.0.0/16",
        "description": "pods",
        "tags": {"a": "b"},
    }

    identifier, state = engine.create(token, inputs)

    assert state["securityGroupRuleId"] == identifier
    assert state["arn"].endswith(f":security-group-rule/{identifier}")
    assert engine.diff(token, state, inputs, inputs)["diffs"] == []
    assert engine.read(token, identifier, state, inputs) == (identifier, state, inputs)
    wanted = {**inputs, "cidrIpv4": "100.65.0.0/16", "description": "more pods"}
    after = engine.update(token, identifier, state, inputs, wanted)
    assert (after["cidrIpv4"], after["description"]) == ("100.65.0.0/16", "more pods")
    engine.delete(token, identifier, after)
    assert engine.read(token, identifier, after, wanted)[0] == ""
    engine.delete(token, identifier, after)


def test_a_rule_for_everything_has_no_ports(engine: Engine, ec2: Any, vpc: str) -> None:
    filters = [{"Name": "vpc-id", "Values": [vpc]}]
    group = ec2.describe_security_groups(Filters=filters)["SecurityGroups"][0]["GroupId"]
    inputs = {"securityGroupId": group, "ipProtocol": "-1", "cidrIpv4": "100.64.0.0/16"}

    identifier, state = engine.create(INGRESS, inputs)

    assert "fromPort" not in state
    assert engine.diff(INGRESS, state, inputs, inputs)["diffs"] == []
    assert engine.read(INGRESS, identifier, state, inputs)[2] == inputs


def test_many_reservations_at_once_are_throttled_and_all_arrive(
    aws: Endpoint, engine: Engine, ec2: Any, subnet: str
) -> None:
    aws.forget_calls()
    everything = [
        {"subnetId": subnet, "cidrBlock": f"10.0.1.{16 * number}/28", "reservationType": "prefix"}
        for number in range(8)
    ]

    aws.change(reservation_rate=4)
    try:
        with ThreadPoolExecutor(8) as pool:
            made = list(pool.map(lambda inputs: engine.create(RESERVATION, inputs), everything))
    finally:
        aws.change(reservation_rate=100)

    assert aws.calls()["CreateSubnetCidrReservation"] > 8, "some were refused with RequestLimitExceeded and repeated"
    assert ec2.describe_subnets(SubnetIds=[subnet])["Subnets"][0]["AvailableIpAddressCount"] == 1019 - 128
    identifier, state = made[0]
    assert engine.read(RESERVATION, identifier, state, everything[0]) == (identifier, state, everything[0])
    assert engine.read(RESERVATION, f"{subnet}:{identifier}")[0] == identifier
    wanted = {**everything[0], "description": "x"}
    assert engine.diff(RESERVATION, state, everything[0], wanted)["replaces"] == ["description"]
    for identifier, state in made:
        engine.delete(RESERVATION, identifier, state)
    engine.delete(RESERVATION, identifier, state)
    assert engine.read(RESERVATION, identifier, state)[0] == ""


# --- the add-on ----------------------------------------------------------------------------------------------------


@pytest.fixture
def cluster(aws: Endpoint, subnet: str) -> str:
    name = f"prod-{subnet}"
    role = "arn:aws:iam::123456789012:role/eks"
    client(aws, "eks").create_cluster(name=name, roleArn=role, resourcesVpcConfig={"subnetIds": [subnet]})
    return name


def addon_inputs(cluster: str, **more: Any) -> Properties:
    return {"clusterName": cluster, "addonName": "vpc-cni", "addonVersion": "v1.19.2-eksbuild.1", **more}


def test_an_addon_is_created_updated_and_preserved_at_its_end(aws: Endpoint, engine: Engine, cluster: str) -> None:
    inputs = addon_inputs(cluster, resolveConflictsOnUpdate="OVERWRITE", preserve=True, tags={"a": "b"})
    identifier, state = engine.create(ADDON, inputs)
    assert identifier == f"{cluster}:vpc-cni"
    assert engine.diff(ADDON, state, inputs, inputs)["diffs"] == []
    assert engine.read(ADDON, identifier, state, inputs)[2] == inputs

    wanted = {**inputs, "configurationValues": '{"env":{"WARM_IP_TARGET":"5"}}', "tags": {"c": "d"}}
    after = engine.update(ADDON, identifier, state, inputs, wanted)
    assert aws.aws_node_environment(cluster)["WARM_IP_TARGET"] == "5"
    assert (after["configurationValues"], after["tagsAll"]) == (wanted["configurationValues"], {"c": "d"})

    engine.delete(ADDON, identifier, after)
    assert aws.aws_node_environment(cluster), "the DaemonSet stays"
    assert engine.read(ADDON, identifier, after, wanted)[0] == ""
    engine.delete(ADDON, identifier, after)


def test_an_addon_that_exists_is_adopted_by_import(aws: Endpoint, engine: Engine, cluster: str) -> None:
    eks = client(aws, "eks")
    eks.create_addon(clusterName=cluster, addonName="vpc-cni", addonVersion="v1.19.2-eksbuild.1")
    wanted = addon_inputs(cluster, resolveConflictsOnUpdate="OVERWRITE", preserve=True)

    identifier, state, inputs = engine.read(ADDON, f"{cluster}:vpc-cni")

    assert (identifier, inputs) == (f"{cluster}:vpc-cni", addon_inputs(cluster))
    assert engine.diff(ADDON, state, inputs, wanted)["diffs"] == ["preserve", "resolveConflictsOnUpdate"]
    aws.forget_calls()
    engine.update(ADDON, identifier, state, inputs, wanted)
    assert "UpdateAddon" not in aws.calls(), "what only the provider knows needs no update of the add-on"


def test_a_conflict_fails_the_update_with_the_field(aws: Endpoint, engine: Engine, cluster: str) -> None:
    inputs = addon_inputs(cluster, resolveConflictsOnUpdate="NONE")
    identifier, state = engine.create(ADDON, inputs)
    aws.set_aws_node_environment(cluster, {**aws.aws_node_environment(cluster), "WARM_ENI_TARGET": "4"})

    wanted = {**inputs, "configurationValues": '{"env":{"WARM_IP_TARGET":"5"}}'}
    with pytest.raises(grpc.RpcError) as refused:
        engine.update(ADDON, identifier, state, inputs, wanted)

    assert error_of(refused).startswith(f"waiting for EKS Add-On ({identifier}) update: unexpected state 'Failed'")
    assert "ConfigurationConflict: Conflicts found when trying to apply." in error_of(refused)
    assert 'env[name="WARM_ENI_TARGET"].value' in error_of(refused)


def test_values_outside_the_schema_are_refused_as_eks_refuses_them(engine: Engine, cluster: str) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        engine.create(ADDON, addon_inputs(cluster, configurationValues='{"env":{"ENABLE_IPv6":"true"}}'))

    assert re.match(
        r"creating EKS Add-On: operation error EKS: CreateAddon, https response error StatusCode: 400, "
        r"RequestID: .*, InvalidParameterException: .*\$\.env\.ENABLE_IPv6: is not defined in the schema",
        error_of(refused),
    )


def test_a_failed_creation_is_kept_so_that_it_can_be_replaced(aws: Endpoint, engine: Engine, cluster: str) -> None:
    aws.set_aws_node_environment(cluster, {"WARM_ENI_TARGET": "4"})

    with pytest.raises(grpc.RpcError, match="unexpected state 'CREATE_FAILED', wanted target 'ACTIVE'") as failed:
        engine.create(ADDON, addon_inputs(cluster))

    assert any(key == "grpc-status-details-bin" for key, _ in failed.value.trailing_metadata())
    assert (
        "resolve_conflicts_on_create"
        in engine.check(ADDON, addon_inputs(cluster, resolveConflictsOnCreate="PRESERVE"))[1][
            "resolveConflictsOnCreate"
        ]
    )


# --- the node group ------------------------------------------------------------------------------------------------


def make_node_group(aws: Endpoint, cluster: str, subnet: str) -> None:
    client(aws, "eks").create_nodegroup(
        clusterName=cluster,
        nodegroupName="services",
        nodeRole="arn:aws:iam::123456789012:role/nodes",
        subnets=[subnet],
        instanceTypes=["m5.8xlarge"],
        scalingConfig={"minSize": 1, "maxSize": 30, "desiredSize": 3},
    )


def test_a_node_group_that_exists_is_imported_and_its_sizes_are_handed_over_together(
    aws: Endpoint, engine: Engine, cluster: str, subnet: str
) -> None:
    make_node_group(aws, cluster, subnet)
    identifier, state, inputs = engine.read(NODE_GROUP, f"{cluster}:services")
    assert (identifier, inputs["scalingConfig"]) == (
        f"{cluster}:services",
        {"minSize": 1, "maxSize": 30, "desiredSize": 3},
    )
    wanted = {**inputs, "scalingConfig": {"minSize": 1, "maxSize": 12, "desiredSize": 3}}
    assert engine.diff(NODE_GROUP, state, inputs, wanted)["diffs"] == ["scalingConfig"]
    aws.forget_calls()
    after = engine.update(NODE_GROUP, identifier, state, inputs, wanted)
    assert after["scalingConfig"]["maxSize"] == 12
    assert set(aws.calls()) == {"UpdateNodegroupConfig", "DescribeNodegroup"}
    assert engine.read(NODE_GROUP, f"{cluster}:gone", {}, wanted)[0] == ""
    replaced = engine.diff(NODE_GROUP, after, wanted, {**wanted, "subnetIds": ["subnet-1"]})
    assert replaced["replaces"] == ["subnetIds"]
    with pytest.raises(grpc.RpcError, match="the stand-in makes no node group"):
        engine.create(NODE_GROUP, wanted)


# --- functions -----------------------------------------------------------------------------------------------------


def camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(part.capitalize() for part in others)


def result_names(token: str) -> set[str]:
    """The names of a real function's result."""
    service, function = token.split(":")[1].split("/", maxsplit=1)[0], token.rsplit(":", 1)[-1]
    module = pulumi_aws if service == "index" else getattr(pulumi_aws, service)
    result = getattr(module, f"{function[0].upper()}{function[1:]}Result")
    return {camel(name) for name in inspect.signature(result.__init__).parameters if name != "__self__"} - {"self"}


@pytest.mark.filterwarnings(r"ignore:aws\..* has been deprecated:DeprecationWarning")  # the SDK's own, on import
def test_every_function_answers_with_the_names_of_the_real_sdk(  # noqa: PLR0913, PLR0917  # fixtures
    aws: Endpoint, engine: Engine, ec2: Any, vpc: str, subnet: str, cluster: str
) -> None:
    node = aws.plant([{"subnetId": subnet, "instanceType": "m5.large", "interfaces": [{"addresses": 2}]}])[0]
    interface = node["interfaces"][1]["networkInterfaceId"]
    engine.create(ADDON, addon_inputs(cluster))
    make_node_group(aws, cluster, subnet)
    client(aws, "secretsmanager").create_secret(Name="headroom/trigger", SecretString="token")
    table = ec2.describe_route_tables(Filters=[{"Name": "vpc-id", "Values": [vpc]}])["RouteTables"][0]["RouteTableId"]
    group = ec2.create_security_group(GroupName="databases", Description="Databases", VpcId=vpc)["GroupId"]
    ec2.authorize_security_group_ingress(
        GroupId=group,
        IpPermissions=[
            {"IpProtocol": "tcp", "FromPort": 5432, "ToPort": 5432, "IpRanges": [{"CidrIp": "100.64.0.0/16"}]}
        ],
    )
    of_group = [{"name": "group-id", "values": [group]}]
    rules = ec2.describe_security_group_rules(Filters=[{"Name": "group-id", "Values": [group]}])["SecurityGroupRules"]
    rule = next(item["SecurityGroupRuleId"] for item in rules if not item["IsEgress"])
    in_vpc = [{"name": "vpc-id", "values": [vpc]}]
    questions: dict[str, Properties] = {
        "aws:ec2/getVpc:getVpc": {"id": vpc},
        "aws:ec2/getSubnet:getSubnet": {"id": subnet},
        "aws:ec2/getSubnets:getSubnets": {"filters": in_vpc},
        "aws:ec2/getRouteTable:getRouteTable": {"routeTableId": table},
        "aws:ec2/getRouteTables:getRouteTables": {"vpcId": vpc},
        "aws:ec2/getNetworkAcls:getNetworkAcls": {"vpcId": vpc},
        "aws:ec2/getNetworkInterface:getNetworkInterface": {"id": interface},
        "aws:ec2/getNetworkInterfaces:getNetworkInterfaces": {"filters": in_vpc},
        "aws:ec2/getInstance:getInstance": {"instanceId": node["instanceId"]},
        "aws:vpc/getSecurityGroupRules:getSecurityGroupRules": {"filters": of_group},
        "aws:vpc/getSecurityGroupRule:getSecurityGroupRule": {"securityGroupRuleId": rule},
        "aws:eks/getCluster:getCluster": {"name": cluster},
        "aws:eks/getAddon:getAddon": {"clusterName": cluster, "addonName": "vpc-cni"},
        "aws:eks/getNodeGroup:getNodeGroup": {"clusterName": cluster, "nodeGroupName": "services"},
        "aws:secretsmanager/getSecretVersion:getSecretVersion": {"secretId": "headroom/trigger"},
        "aws:index/getCallerIdentity:getCallerIdentity": {},
        "aws:index/getRegion:getRegion": {},
    }

    answers = {token: engine.invoke(token, **arguments) for token, arguments in questions.items()}

    assert questions.keys() == PACKAGE.functions.keys()
    optional = {"filters", "vpcId"}
    for token, answer in answers.items():
        assert answer.keys() - optional == result_names(token) - optional, token
    assert answers["aws:ec2/getVpc:getVpc"]["mainRouteTableId"] == table
    assert answers["aws:ec2/getSubnets:getSubnets"]["ids"] == [subnet]
    assert answers["aws:ec2/getSubnet:getSubnet"]["availableIpAddressCount"] == 1019 - 4
    assert len(answers["aws:ec2/getNetworkInterfaces:getNetworkInterfaces"]["ids"]) == 2
    found = answers["aws:ec2/getNetworkInterface:getNetworkInterface"]
    assert found["attachments"][0]["instanceId"] == node["instanceId"]
    assert len(found["privateIps"]) == 3
    assert answers["aws:ec2/getInstance:getInstance"]["privateDns"] == node["privateDnsName"]
    assert rule in answers["aws:vpc/getSecurityGroupRules:getSecurityGroupRules"]["ids"]
    assert answers["aws:vpc/getSecurityGroupRule:getSecurityGroupRule"]["cidrIpv4"] == "100.64.0.0/16"
    assert answers["aws:eks/getCluster:getCluster"]["vpcConfig"]["vpcId"] == vpc
    assert answers["aws:eks/getAddon:getAddon"]["addonVersion"] == "v1.19.2-eksbuild.1"
    sizes = answers["aws:eks/getNodeGroup:getNodeGroup"]["scalingConfigs"]
    assert sizes == [{"minSize": 1, "maxSize": 30, "desiredSize": 3}]
    assert answers["aws:index/getCallerIdentity:getCallerIdentity"]["accountId"] == aws.account


def test_a_look_up_that_finds_none_or_several_says_so(engine: Engine, vpc: str, ec2: Any) -> None:
    for cidr in ("10.0.0.0/24", "10.0.1.0/24"):
        ec2.create_subnet(VpcId=vpc, CidrBlock=cidr, AvailabilityZone="us-east-1a")

    with pytest.raises(grpc.RpcError, match="no matching EC2 Subnet found"):
        engine.invoke("aws:ec2/getSubnet:getSubnet", id="subnet-0123456789abcdef0")
    with pytest.raises(grpc.RpcError, match="multiple EC2 Subnets matched"):
        engine.invoke("aws:ec2/getSubnet:getSubnet", vpcId=vpc)


def test_it_runs_as_a_process_of_its_own_and_logs_each_request(
    aws: Endpoint, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("provider")
    with start_provider(folder, aws.url) as helper:
        engine = Engine(helper.port, region="us-east-1")
        assert engine.invoke("aws:index/getRegion:getRegion")["region"] == "us-east-1"
        engine.channel.close()

    entries = [json.loads(line) for line in (folder / "aws-provider.jsonl").read_text().splitlines()]
    assert [(entry["method"], entry["subject"], entry["outcome"]) for entry in entries] == [
        ("Invoke", "aws:index/getRegion:getRegion", "OK")
    ]
