"""One policy, several doors: the real engine with the pack, and `headroom check`, say the same finding by finding."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from concurrent import futures
from typing import TYPE_CHECKING, Any

import grpc  # type: ignore[import-untyped]  # no stubs in the lock
import pytest
import yaml
from google.protobuf import empty_pb2, struct_pb2  # type: ignore[import-untyped]  # the same
from pulumi.runtime.proto import plugin_pb2, provider_pb2, provider_pb2_grpc

from headroom.rehearsal.engine import CHECKOUT, Engine
from policies.pack import RULES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from headroom.rehearsal.world import World

pytestmark = pytest.mark.engine

STACK = "violations"
POLICIES = str(CHECKOUT / "policies")

# Every rule is violated by a plain provider resource; no component of ours takes part.
PROGRAM = """\
import base64
import json

import pulumi
import pulumi_aws as aws
import pulumi_kubernetes as kubernetes
from pulumi_azure_native import cdn, containerservice, network

ROLE = "kubernetes.io/role/cni"
config = pulumi.Config()
vpc = aws.ec2.Vpc("vpc", cidr_block="10.68.0.0/16")
table = aws.ec2.RouteTable("local", vpc_id=vpc.id)
secondary = aws.ec2.VpcIpv4CidrBlockAssociation("secondary", vpc_id=vpc.id, cidr_block="100.64.0.0/16")
illegal = aws.ec2.VpcIpv4CidrBlockAssociation("illegal", vpc_id=vpc.id, cidr_block="198.19.0.0/16")
nodes = aws.ec2.Subnet(
    "nodes", vpc_id=vpc.id, cidr_block="10.68.0.0/24", availability_zone="us-east-1a", tags={ROLE: "0"}
)
other = aws.ec2.Subnet("other", vpc_id=vpc.id, cidr_block="10.68.2.0/24", availability_zone="us-east-1c")
small = aws.ec2.Subnet(
    "small",
    vpc_id=secondary.vpc_id,
    cidr_block="100.64.0.0/28",
    availability_zone="us-east-1a",
    tags={ROLE: "1", "karpenter.sh/discovery": "prod"},
)
outside = aws.ec2.Subnet(
    "outside", vpc_id=vpc.id, cidr_block="100.65.0.0/24", availability_zone="us-east-1b", tags={ROLE: "1"}
)
hidden = aws.ec2.Subnet(
    "hidden", vpc_id=vpc.id, cidr_block=vpc.arn, availability_zone="us-east-1b", tags={ROLE: "1"}
)
aws.ec2.RouteTableAssociation("small", subnet_id=small.id, route_table_id=table.id)
aws.ec2.SubnetCidrReservation("all", subnet_id=small.id, cidr_block="100.64.0.0/28", reservation_type="prefix")
template = aws.ec2.LaunchTemplate(
    "template", user_data=base64.b64encode(b"maxPods: 29").decode(), instance_type="m5.large"
)
aws.eks.NodeGroup(
    "workers",
    cluster_name="prod",
    node_role_arn="arn:aws:iam::123456789012:role/nodes",
    subnet_ids=[nodes.id, small.id, other.id],
    scaling_config={"min_size": 1, "desired_size": 1, "max_size": 90},
    launch_template={"id": template.id, "version": "1"},
)
aws.eks.Addon(
    "cni",
    cluster_name="prod",
    addon_name="vpc-cni",
    addon_version="v1.18.1-eksbuild.1",
    configuration_values=json.dumps(
        {"env": {"ENABLE_PREFIX_DELEGATION": "true", "MINIMUM_IP_TARGET": "5", "AWS_VPC_K8S_CNI_EXTERNALSNAT": "true"}}
    ),
    resolve_conflicts_on_update="PRESERVE",
)
aws.cloudwatch.MetricAlarm(
    "free",
    comparison_operator="LessThanThreshold",
    evaluation_periods=1,
    namespace="AWS/EC2",
    metric_name="AvailableIpAddressCount",
    threshold=50,
    period=60,
    statistic="Minimum",
)
aws.ec2.Subnet(
    "kept",
    vpc_id=vpc.id,
    cidr_block="10.68.3.0/28",
    availability_zone="us-east-1a",
    tags={ROLE: "1"},
    opts=pulumi.ResourceOptions(protect=True),
)
kubernetes.apiextensions.CustomResource(
    "class",
    api_version="karpenter.k8s.aws/v1",
    kind="EC2NodeClass",
    metadata={"name": "default"},
    spec={"subnetSelectorTerms": [{"tags": {"karpenter.sh/discovery": "prod"}}]},
)

address = network.PublicIPAddress("egress", resource_group_name="rg", ip_address="20.9.9.9", sku={"name": "Basic"})
gateway = network.NatGateway(
    "egress", resource_group_name="rg", sku={"name": "Standard"}, public_ip_addresses=[{"id": address.id}]
)
vnet = network.VirtualNetwork("hub", resource_group_name="rg", address_space={"address_prefixes": ["10.20.0.0/16"]})
snet = network.Subnet(
    "aks",
    resource_group_name="rg",
    virtual_network_name=vnet.name,
    address_prefix="10.20.4.0/28",
    nat_gateway={"id": gateway.id},
)
containerservice.ManagedCluster(
    "overlay",
    resource_group_name="rg",
    network_profile=containerservice.ContainerServiceNetworkProfileArgs(
        network_plugin="azure",
        network_plugin_mode="overlay",
        outbound_type="userAssignedNATGateway",
        pod_cidr="172.30.0.0/22",
    ),
    api_server_access_profile={"authorized_ip_ranges": ["203.0.113.0/24"]},
    agent_pool_profiles=[{"name": "apps", "count": 30, "vnet_subnet_id": snet.id}],
)
containerservice.ManagedCluster(
    "kubenet",
    resource_group_name="rg",
    network_profile={
        "network_plugin": "kubenet",
        "pod_cidr": vnet.id.apply(lambda _: "10.200.0.0/16"),
        "outbound_type": "none",
    },
    agent_pool_profiles=[{"name": "apps", "count": 9, "vnet_subnet_id": snet.id}],
    opts=pulumi.ResourceOptions(protect=True, ignore_changes=["networkProfile"]),
)
cdn.AFDOriginGroup("checkout", resource_group_name="rg", profile_name="fd", origin_group_name="checkout")
for name, weight in (("old", 0), ("new", 100)):
    cdn.AFDOrigin(
        name,
        resource_group_name="rg",
        profile_name="fd",
        origin_group_name="checkout",
        host_name=f"{name}.example.com",
        weight=weight,
    )
"""

CONFIG = {
    "pod-subnet-size": {"exceptions": [{"resource": "kept", "reason": "until the move", "expires": "2999-12-31"}]},
    "alarm-breaches-on-silence": {"enforcementLevel": "advisory"},
    "secondary-cidr-legal": {"exceptions": [{"resource": "illegal", "reason": "asked AWS", "expires": "2020-01-01"}]},
}


class EchoProvider(provider_pb2_grpc.ResourceProviderServicer):
    """Takes every resource, and answers a preview with its inputs, as providers do."""

    def __init__(self) -> None:
        self._made = 0

    def Handshake(self, request: Any, context: Any) -> Any:  # noqa: N802 - the protocol's name
        del request, context
        return provider_pb2.ProviderHandshakeResponse(accept_secrets=True, accept_resources=True, accept_outputs=True)

    def Attach(self, request: Any, context: Any) -> Any:  # noqa: N802 - the protocol's name
        del request, context
        return empty_pb2.Empty()

    Cancel = Attach

    def GetPluginInfo(self, request: Any, context: Any) -> Any:  # noqa: N802 - the protocol's name
        del request, context
        return plugin_pb2.PluginInfo(version="7.51.1")

    def CheckConfig(self, request: Any, context: Any) -> Any:  # noqa: N802 - the protocol's name
        del context
        return provider_pb2.CheckResponse(inputs=request.news)

    Check = CheckConfig

    def DiffConfig(self, request: Any, context: Any) -> Any:  # noqa: N802 - the protocol's name
        del request, context
        return provider_pb2.DiffResponse(changes=provider_pb2.DiffResponse.DIFF_NONE)

    Diff = DiffConfig

    def Configure(self, request: Any, context: Any) -> Any:  # noqa: N802 - the protocol's name
        del request, context
        return provider_pb2.ConfigureResponse(acceptSecrets=True, supportsPreview=True, acceptResources=True)

    def Create(self, request: Any, context: Any) -> Any:  # noqa: N802 - the protocol's name
        del context
        self._made += 1
        properties = struct_pb2.Struct()
        properties.CopyFrom(request.properties)
        return provider_pb2.CreateResponse(id="" if request.preview else f"id-{self._made}", properties=properties)


@pytest.fixture(scope="module")
def echo() -> Iterator[int]:
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=4))
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(EchoProvider(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield port
    server.stop(None).wait()


@pytest.fixture(scope="module")
def engine(world: World, echo: int, tmp_path_factory: pytest.TempPathFactory) -> Engine:
    program = tmp_path_factory.mktemp("program")
    runtime = {"name": "python", "options": {"toolchain": "pip", "virtualenv": ".venv"}}
    description = {"name": "raw", "runtime": runtime, "main": ".", "stackConfigDir": "stacks"}
    (program / "Pulumi.yaml").write_text(yaml.safe_dump(description), encoding="utf-8")
    (program / "__main__.py").write_text(PROGRAM, encoding="utf-8")
    (program / "policy.json").write_text(json.dumps(CONFIG), encoding="utf-8")
    environment = {
        **world.engine.environment,
        "PULUMI_DEBUG_PROVIDERS": f"aws:{echo},kubernetes:{echo},azure-native:{echo}",
    }
    folder = tmp_path_factory.mktemp("engine")
    engine = Engine(folder, environment, program=program)
    engine.init(STACK, {"aws:region": "us-east-1"})
    return engine


def by_engine(engine: Engine, folder: Path) -> set[tuple[str, str, str, str]]:
    """Rule, level, URN and sentence of everything that the engine reports."""
    events = folder / "events.json"
    config = str(program_of(engine) / "policy.json")
    result = engine.run(
        "preview",
        "--stack",
        STACK,
        "--policy-pack",
        POLICIES,
        "--policy-pack-config",
        config,
        "--event-log",
        str(events),
        # The flag is there for those who ask for debugging commands.
        environment={"PULUMI_DEBUG_COMMANDS": "true"},
    )
    assert result.code != 0
    assert events.exists(), result.output
    found = set()
    for line in events.read_text(encoding="utf-8").splitlines():
        event = json.loads(line).get("policyEvent")
        if event is not None:
            message = re.sub(r"<\{%.*?%\}>", "", event["message"]).rstrip("\n")
            found.add((event["policyName"], event["enforcementLevel"], event.get("resourceUrn", ""), message))
    return found


def program_of(engine: Engine) -> Path:
    from pathlib import Path  # noqa: PLC0415 - one use

    described = yaml.safe_load((engine.project / "Pulumi.yaml").read_text(encoding="utf-8"))
    return Path(described["main"])


def check(engine: Engine, *arguments: str) -> dict[str, Any]:
    command = [sys.executable, "-c", "from headroom.cli import main; main()", "check", *arguments, "--json"]
    config = str(program_of(engine) / "policy.json")
    done = subprocess.run(  # noqa: S603 - our own command
        [*command, "--policy-config", config], capture_output=True, text=True, check=False, cwd=engine.project
    )
    assert done.returncode == 1, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def of_check(result: dict[str, Any], *kinds: str) -> set[tuple[str, str, str, str]]:
    descriptions = {rule.NAME: rule.DESCRIPTION for rule in RULES}
    return {
        (
            item["rule"],
            "advisory" if kind == "advisory" else "mandatory",
            item["urn"] or "",
            f"{descriptions[item['rule']]}\n{item['message']}",
        )
        for kind in kinds
        for item in result[kind]
    }


ALL = ("violations", "undecided", "advisory")


def test_the_engine_and_check_say_the_same_finding_by_finding(engine: Engine, tmp_path: Path) -> None:
    root = f"urn:pulumi:{STACK}::raw::pulumi:pulumi:Stack::raw-{STACK}"
    said = {(rule, level, "" if urn == root else urn, text) for rule, level, urn, text in by_engine(engine, tmp_path)}
    by_check = of_check(check(engine, ".", "--stack", STACK), *ALL)
    assert said == by_check
    assert {rule for rule, *_ in said} == {rule.NAME for rule in RULES}, "the program violates every rule"
    for unknown in ("cidrBlock", "networkProfile.podCidr"):
        assert any(text.endswith(f"undecided: {unknown} is not known before `up`.") for *_, text in said)


def test_a_preview_and_a_state_say_the_same_as_the_program(engine: Engine, tmp_path: Path) -> None:
    by_program = check(engine, ".", "--stack", STACK)
    preview = tmp_path / "preview.json"
    preview.write_text(engine.must("preview", "--stack", STACK, "--json", "--show-sames").output, encoding="utf-8")
    by_preview = check(engine, str(preview))
    assert of_check(by_preview, *ALL) == of_check(by_program, *ALL)
    assert by_preview["zones"] == [{**zone, "before": 0} for zone in by_program["zones"]]
    engine.must("up", "--yes", "--skip-preview", "--stack", STACK)
    state = tmp_path / "state.json"
    state.write_text(engine.must("stack", "export", "--stack", STACK).output, encoding="utf-8")
    by_state = of_check(check(engine, str(state)), "violations")
    missing = of_check(by_program, "violations") - by_state
    assert missing == set(), "what is known before `up` is known after it too"


def test_a_preview_knows_what_a_cluster_was_and_what_changes_the_engine_leaves_alone(
    engine: Engine, tmp_path: Path
) -> None:
    engine.must("up", "--yes", "--skip-preview", "--stack", STACK)
    program = program_of(engine) / "__main__.py"
    changed = PROGRAM.replace("userAssignedNATGateway", "userDefinedRouting").replace(
        '"10.200.0.0/16"', '"10.201.0.0/16"'
    )
    program.write_text(changed, encoding="utf-8")
    preview = tmp_path / "preview.json"
    try:
        text = engine.must("preview", "--stack", STACK, "--json", "--show-sames").output
    finally:
        program.write_text(PROGRAM, encoding="utf-8")
    preview.write_text(text, encoding="utf-8")
    said = [item for item in check(engine, str(preview))["violations"] if item["rule"] == "aks-change-in-place"]
    assert [item["resource"] for item in said] == ["overlay", "overlay"], "the other one ignores its changes"
    assert said[0]["message"].startswith(
        "networkProfile.outboundType from userAssignedNATGateway to userDefinedRouting is planned as delete and create"
    )
