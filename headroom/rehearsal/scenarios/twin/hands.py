"""What a person does of a plan's steps, done on the copy; and which of them the copy cannot show."""

from collections import Counter
from collections.abc import Iterator
from typing import Final

from botocore.exceptions import ClientError

from headroom.diagnosis.impact import INSUFFICIENT
from headroom.diagnosis.verdict import Detail, RootCause
from headroom.facts.values import known_or
from headroom.planning.plan import Check, Plan
from headroom.rehearsal.kube import DAEMON_SETS, PODS
from headroom.rehearsal.nodes import NodeType
from headroom.rehearsal.scenarios import sight
from headroom.rehearsal.scenarios.incident import RehearsalFailedError
from headroom.rehearsal.scenarios.shape import Cluster
from headroom.rehearsal.scenarios.twin.original import Original
from headroom.rehearsal.world import World

UPGRADE: Final = "upgrade-cni"
"""Name of the planner's option."""
_REFUSED_CALLS = (
    f"{RootCause.IPAMD_FAILURE}/{Detail.IAM}",
    f"{RootCause.IPAMD_FAILURE}/{Detail.THROTTLING}",
)
_NOT_HERE: Final = {
    f"{RootCause.ENI_LIMIT}/{Detail.MAX_PODS}": "nodes that are replaced to get another maxPods",
    f"{RootCause.ENI_LIMIT}/{Detail.REGIONAL_QUOTA}": "a quota that AWS raises",
    f"{RootCause.SUBNET_EXHAUSTION}/{Detail.NODE_SUBNET_FULL}": "a node group in other subnets",
    f"{RootCause.IPAMD_FAILURE}/{Detail.CONFIG}": "a setting that a person mends as the evidence says",
    f"{RootCause.IPAMD_FAILURE}/{Detail.AUTO_MODE}": "NodeClasses of EKS Auto Mode",
    RootCause.IPAMD_FAILURE.value: "whatever keeps ipamd from running",
}
"""By cause, what a plan leaves to people and a copy does not have."""


def not_here(plan: Plan) -> str:
    """What the plan needs and the copy cannot show; empty where it can show all of it."""
    return ", ".join(what for cause, what in _NOT_HERE.items() if cause in plan.causes)


def before_the_stack(world: World, running: Cluster, plan: Plan) -> Iterator[str]:
    """The steps before the stack is applied; yields what was done."""
    for condition in plan.postconditions:
        if condition.check is Check.LEAKED_INTERFACES_GONE:
            for interface in condition.subjects:
                world.ec2.delete_network_interface(NetworkInterfaceId=interface)
            yield f"{len(condition.subjects)} interfaces deleted that hung on nothing."
    if any(cause in plan.causes for cause in _REFUSED_CALLS):
        world.endpoint.clear_faults()
        yield "EC2 refuses no calls any more."
    if any(option.name == UPGRADE and option.kept for option in plan.options):
        yield _upgrade(running, plan)


def after_the_stack(running: Cluster, plan: Plan, original: Original) -> Iterator[str]:
    """The steps after it; yields what was done."""
    if RootCause.ENI_LIMIT.value in plan.causes:
        yield _more_nodes(running, original)


def _upgrade(running: Cluster, plan: Plan) -> str:
    """The DaemonSet's new image, as an upgrade of the CNI rolls it out."""
    title = next(step.what for step in plan.steps if "Upgrade" in step.what)
    version = title.partition(" to v")[2].partition(" ")[0].rstrip(",")
    container = running.kube.get(DAEMON_SETS, "aws-node", "kube-system")["spec"]["template"]["spec"]["containers"][0]
    image = f"{container['image'].rpartition(':')[0]}:v{version}-eksbuild.1"
    patch = {"spec": {"template": {"spec": {"containers": [{"name": "aws-node", "image": image}]}}}}
    running.kube.patch(DAEMON_SETS, "aws-node", patch, namespace="kube-system", type="strategic")
    return f"aws-node rolls to {version}."


def _more_nodes(running: Cluster, original: Original) -> str:
    """A node more beside each that pods wait on, with the settings of now; those are cordoned, and their pods moved."""
    hanging = sight.stuck(running)
    full = Counter(pod["spec"]["nodeName"] for pod in hanging)
    container = running.kube.get(DAEMON_SETS, "aws-node", "kube-system")["spec"]["template"]["spec"]["containers"][0]
    environment = {item["name"]: item.get("value", "") for item in container["env"]}
    made = 0
    for node in original.nodes:
        if node.name not in full:
            continue
        running.nodes.cordon(node.name)
        limits = original.limits[node.name]
        kind = NodeType(
            group=known_or(node.node_group, known_or(node.node_pool, "nodes")),
            instance_type=limits.instance_type,
            cpu=str(limits.vcpus or 96),
            memory="384Gi",
            max_pods=known_or(node.max_pods, 110),
        )
        subnet = original.interfaces_of(node)[0].subnet_id
        try:
            running.nodes.add(
                kind, subnet, known_or(node.zone, ""), environment, running.nodes.nodes[node.name].ipamd.version
            )
        except ClientError as error:
            if error.response["Error"]["Code"] != INSUFFICIENT:
                raise
            continue
        made += 1
    if full and not made:
        raise RehearsalFailedError(
            "EC2 launches no further node: the subnets of the nodes have no address left. Nodes need subnets of their "
            "own that have room, before anything else."
        )
    for pod in hanging:
        running.kube.delete(PODS, pod["metadata"]["name"], pod["metadata"]["namespace"])
    refused = f" (EC2 refused {len(full) - made}: their subnets are full)" if made < len(full) else ""
    return (
        f"{made} nodes more{refused}; the {len(full)} full ones cordoned; {len(hanging)} pods deleted, to start "
        "elsewhere."
    )
