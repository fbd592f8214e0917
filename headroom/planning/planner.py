"""Makes the plan: the smallest sufficient change, as files for review and steps for hands."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

from headroom.addresses.association import CIDR_QUOTA
from headroom.addresses.blocks import Block, shown
from headroom.addresses.problems import Problem, ProblemsError
from headroom.capacity.cni_version import (
    FULL_SUBNET_FIXED,
    PRIMARY_ADDRESS_FIXED,
    SUBNET_ROLE_TAG,
    CniVersion,
)
from headroom.capacity.ec2 import PREFIX_ADDRESSES
from headroom.capacity.settings import check_settings, live_settings_to_keep
from headroom.diagnosis.verdict import Cause, Detail, Diagnosis, RootCause, Verdict
from headroom.facts.kubernetes import Kubernetes
from headroom.facts.names import CLUSTER_NAME_RULE, STACK_NAME_RULE, is_cluster_name, is_stack_name
from headroom.facts.snapshot import Snapshot
from headroom.facts.values import known_or
from headroom.planning.addon import ADDON_NAME, addon_import
from headroom.planning.aks_choices import Choices
from headroom.planning.aks_plan import is_aks, make_aks_plan
from headroom.planning.condition_state import LISTED
from headroom.planning.hand_steps import hand_work, leaked_file, leaked_step
from headroom.planning.measures import measures
from headroom.planning.options import Weighed, tag_command, untagged_subnets, weigh
from headroom.planning.plan import Check, Plan, PlannedFile, Postcondition, Step, digest
from headroom.planning.room import Room
from headroom.planning.situation import Situation, read_situation
from headroom.planning.stack_file import Entry, Value, stack_file

COMPONENT = "pods"
"""Logical name of the stack's components (`stacks/emergency.py`)."""

RETRY_SECONDS = 180
"""Time that ipamd may need until it tries again after a failed creation of an interface: a back-off of 120 s, its loop
of 5 s, and EC2's own time (amazon-vpc-cni-k8s, pkg/ipamd/ipamd.go)."""
ASSOCIATION_SECONDS = 120
"""Time for an association to finish; usually seconds."""
ROLLOUT_SECONDS = 900
"""Time for aws-node's DaemonSet to roll: a tenth of the nodes at a time (its maxUnavailable of 10 %)."""
CONTROL_PLANE_SECONDS = 3600
"""Time that the control plane of EKS may need to learn a CIDR that was added to the VPC (EKS user guide,
network-reqs)."""
_PRIMARIES_SHARE_BITS = 2
"""A quarter of a new subnet stays outside its reservations, for the interfaces' own addresses."""


_FORESEEN: Final = Cause(
    root_cause=RootCause.SUBNET_EXHAUSTION,
    summary="No pod waits yet; an alarm or a forecast says that addresses will run short.",
)
"""What a healthy cluster is planned for ahead of time."""


def make_plan(  # noqa: PLR0913 - what a person can ask for, by keyword
    snapshot: Snapshot,
    diagnosis: Diagnosis,
    *,
    stack: str = "",
    growth_per_day: Mapping[str, float] | None = None,
    ahead: bool = False,
    choices: Choices | None = None,
) -> Plan:
    """The plan for a diagnosis. The same facts give the same plan, byte for byte.

    Args:
        snapshot: The facts that the diagnosis was made of.
        diagnosis: What is wrong.
        stack: Name of the stack to write; `<cluster>-emergency` or `<cluster>-density` by default.
        growth_per_day: Addresses a day by zone, as observed; none: options are not weighed in days.
        ahead: Plan more room for a healthy cluster too, because an alarm or a forecast says that it will run short.
        choices: AKS: what a person chose.

    Raises:
        ProblemsError: There is nothing to plan for, or the facts do not suffice; every missing fact is named.
    """
    verdict = diagnosis.verdict
    ahead = ahead and verdict is Verdict.HEALTHY
    if is_aks(snapshot) and (ahead or verdict is Verdict.FOUND):
        return make_aks_plan(snapshot, diagnosis, stack=stack, choices=choices, ahead=ahead)
    if ahead:
        diagnosis = replace(diagnosis, verdict=Verdict.FOUND, causes=(_FORESEEN,))
    if diagnosis.verdict is not Verdict.FOUND:
        raise ProblemsError([_nothing_to_plan(diagnosis)], subject="plan")
    situation = read_situation(snapshot)
    check_names(situation.cluster, stack)
    weighed = weigh(situation, diagnosis, growth_per_day or {}, ahead=ahead)
    writes = weighed.room is not None or bool(weighed.settings)
    if writes and situation.problems:
        raise ProblemsError(situation.problems, subject="plan: the facts do not suffice")
    remedy = "emergency" if weighed.room is not None else "density" if weighed.settings else ""
    stack = (stack or f"{situation.cluster}-{remedy}") if remedy else ""
    rests_on = foundations(situation)
    return Plan(
        cluster=situation.cluster,
        stack=stack,
        verdict=verdict.value,
        causes=tuple(cause.name for cause in diagnosis.causes),
        facts_at=known_or(snapshot.collected_at, ""),
        fingerprint=digest(rests_on),
        foundations=rests_on,
        measures=measures(
            snapshot,
            situation,
            weighed,
            more_nodes=any(map(weighed.keeps, _ROLLS_NODES)) or any(map(_is_at_limit, diagnosis.causes)),
            waits_for=(_patience(situation, weighed) // RETRY_SECONDS - 1) * _per_request(situation),
        ),
        options=weighed.options,
        files=tuple(_files(situation, weighed, stack, snapshot, diagnosis)),
        steps=tuple(_steps(situation, weighed, diagnosis, stack, snapshot)),
        rollback=tuple(_rollback(weighed, stack)),
        untouched=tuple(_untouched(situation, weighed)),
        postconditions=tuple(_postconditions(situation, weighed, snapshot)),
        decisions=tuple(_decisions(situation, weighed, diagnosis)),
    )


def check_names(cluster: str, stack: str) -> None:
    """Refuses names that EKS and Pulumi do not allow: they become part of files' names and of commands.

    Raises:
        ProblemsError: Which, and what is allowed.
    """
    problems = []
    if cluster and not is_cluster_name(cluster):
        problems.append(
            Problem(
                rule="cluster-name",
                key="cluster",
                value=shown(cluster),
                reason="is no name of an EKS cluster.",
                next_step=f"It is {CLUSTER_NAME_RULE}.",
                source="EKS API reference, CreateCluster",
            )
        )
    if stack and not is_stack_name(stack):
        problems.append(
            Problem(
                rule="stack-name",
                key="--stack",
                value=shown(stack),
                reason="is no name of a Pulumi stack.",
                next_step=f"It is {STACK_NAME_RULE}.",
            )
        )
    if problems:
        raise ProblemsError(problems, subject="plan")


def _nothing_to_plan(diagnosis: Diagnosis) -> Problem:
    steps = {
        Verdict.HEALTHY: "Nothing is wrong with addresses; --ahead plans the way off kubenet all the same."
        if diagnosis.cloud == "azure"
        else "Nothing is wrong with addresses; `headroom forecast` says for how long, and --ahead plans more room all "
        "the same.",
        Verdict.NOT_IP: "What is wrong is not addresses; the diagnosis names it.",
        Verdict.UNDECIDED: "Read what the diagnosis still needs, then plan again.",
    }
    return Problem(
        rule="nothing-to-plan",
        value=f"verdict {diagnosis.verdict.value}",
        reason="names no cause that a change would cure.",
        next_step=steps.get(diagnosis.verdict, ""),
    )


def foundations(situation: Situation) -> dict[str, str]:
    """The facts that a plan rests on, as texts."""
    found = {
        "cluster": situation.cluster,
        "region": situation.region,
        "vpc": situation.vpc_id,
        "vpc CIDRs": ", ".join(map(str, situation.vpc_blocks)),
        "VPC CNI": str(situation.cni_version or "unknown"),
        "routes": ", ".join(map(str, situation.routes)),
        "peers": ", ".join(map(str, situation.peers)),
        "Service range": str(situation.service_cidr or "unknown"),
    }
    for name, value in sorted(situation.environment.items()):
        found[f"setting {name}"] = value
    for zone in situation.zones.values():
        found[f"route table of {zone.name}"] = zone.route_table_id or "unknown"
    for name, block in sorted(situation.subnet_blocks.items()):
        found[f"subnet {name}"] = str(block)
    return found


# The files.


def _files(
    situation: Situation, weighed: Weighed, stack: str, snapshot: Snapshot, diagnosis: Diagnosis
) -> Iterator[PlannedFile]:
    if stack:
        yield from _stack_files(situation, weighed, stack)
    if weighed.delete:
        yield leaked_file(situation, weighed.delete, known_or(snapshot.collected_at, ""))
    for cause in diagnosis.causes:
        if cause.made_by is None:
            yield from hand_work(situation, snapshot, cause, room=weighed.room is not None).files


def _stack_files(situation: Situation, weighed: Weighed, stack: str) -> Iterator[PlannedFile]:
    settings = weighed.settings
    entries = [*_common_entries(situation, weighed), *_room_entries(situation, weighed)]
    if settings:
        entries.append(_settings_entry(situation, settings))
    yield PlannedFile(
        path=f"stacks/Pulumi.{stack}.yaml",
        text=stack_file(_title(situation, weighed), entries),
        purpose="the stack's configuration: the review is of this file",
    )
    if weighed.room is not None:
        yield PlannedFile(
            path=f"stacks/policy.{stack}.json",
            text=json.dumps(_policy(situation, weighed.room), indent=2) + "\n",
            purpose="what the policies hold the subnets against",
        )
    if settings and situation.addon is not None:
        yield PlannedFile(
            path=f"stacks/import.{stack}.json",
            text=json.dumps(addon_import("cni", situation.cluster), indent=2) + "\n",
            purpose="takes the managed add-on into the stack as it is",
        )


def _title(situation: Situation, weighed: Weighed) -> str:
    kept = ", ".join(option.title[:1].lower() + option.title[1:] for option in weighed.options if option.kept)
    return f"{situation.cluster}: {kept}.\nWritten by `headroom plan`; nothing is applied but by `pulumi up`."


def _common_entries(situation: Situation, weighed: Weighed) -> Iterator[Entry]:
    yield Entry(key="aws:region", value=situation.region)
    yield Entry(key="headroom:remedy", value="emergency" if weighed.room is not None else "density")
    yield Entry(key="headroom:clusterName", value=situation.cluster)
    version = _target_version(situation, weighed)
    comment = "The version after the upgrade, which comes first." if weighed.upgrade else ""
    yield Entry(key="headroom:cniVersion", value=_quoted_version(version), comment=comment)


def _quoted_version(version: CniVersion | None) -> str:
    return "" if version is None else f"{version.major}.{version.minor}.{version.patch}"


def _target_version(situation: Situation, weighed: Weighed) -> CniVersion | None:
    if not weighed.upgrade or situation.cni_version is None:
        return situation.cni_version
    return FULL_SUBNET_FIXED if situation.cni_version < FULL_SUBNET_FIXED else PRIMARY_ADDRESS_FIXED


def _room_entries(situation: Situation, weighed: Weighed) -> Iterator[Entry]:
    room = weighed.room
    if room is None:
        return
    yield Entry(key="headroom:vpcId", value=situation.vpc_id)
    yield Entry(
        key="headroom:vpcCidrBlocks",
        value=[str(block) for block in situation.vpc_blocks],
        comment="The CIDRs that the VPC has, the primary first.",
    )
    if room.secondary is not None:
        yield Entry(
            key="headroom:secondaryCidrs", value=[str(room.secondary)], comment=" ".join([room.reason, *room.warnings])
        )
    yield Entry(key="headroom:podSubnets", value=_pod_subnets(situation, room), comment=_why_sizes(room))
    if situation.routes:
        yield Entry(key="headroom:routeDestinations", value=[str(block) for block in situation.routes])
    if situation.peers:
        yield Entry(key="headroom:peerCidrBlocks", value=[str(block) for block in situation.peers])
    if situation.service_cidr is not None:
        yield Entry(key="headroom:serviceCidr", value=str(situation.service_cidr))
    if situation.cidr_quota is not None:
        yield Entry(key="headroom:cidrQuota", value=situation.cidr_quota)
    if situation.settings.external_snat:
        yield Entry(
            key="headroom:externalSnat",
            value=True,
            comment="As aws-node has it: pods leave the VPC with their own address, by the route tables above.",
        )
    if weighed.reserve:
        yield Entry(
            key="headroom:prefixReservations",
            value={key: _reservation(block) for key, block in room.blocks.items()},
            comment="Three quarters of each subnet are kept for whole /28s; network interfaces take their own "
            "addresses from the first quarter.",
        )


def _pod_subnets(situation: Situation, room: Room) -> Value:
    return {
        key: {
            "cidrBlock": str(block),
            **({"routeTableId": table} if (table := situation.zones[key].route_table_id) else {"routes": {}}),
        }
        for key, block in room.blocks.items()
    }


def _why_sizes(room: Room) -> str:
    where = "Each takes the route table of its zone's node subnet."
    if room.secondary is None:
        return f"One subnet for every zone that has nodes, in free space of the VPC's own. {where}"
    left = len(room.blocks)
    return f"One subnet for every zone that has nodes ({left}); what is left of the CIDR is for a zone to come. {where}"


def _reservation(block: Block) -> Value:
    quarter = block.prefix_length + _PRIMARIES_SHARE_BITS
    half = block.prefix_length + 1
    return {
        "cidrBlocks": [str(block.subblock(1, quarter)), str(block.subblock(1, half))],
        "primaryAddresses": block.size >> (_PRIMARIES_SHARE_BITS + 1),
    }


def _settings_entry(situation: Situation, settings: Mapping[str, str]) -> Entry:
    addon = situation.addon
    value: dict[str, Value] = {
        "managedBy": "addon" if addon is not None else "daemonset",
        "settings": dict(settings),
        "liveEnvironment": {
            name: value
            for name, value in sorted(situation.environment.items())
            if name in settings or name in live_settings_to_keep(situation.environment)
        },
    }
    if addon is not None:
        value["addonVersion"] = known_or(addon.version, "")
        if isinstance(addon.environment, Mapping):
            value["liveConfiguration"] = json.dumps({"env": dict(sorted(addon.environment.items()))})
        if isinstance(addon.service_account_role_arn, str):
            value["serviceAccountRoleArn"] = addon.service_account_role_arn
    elif any(name in situation.environment for name in settings):
        # They stand in the manifest, so another field manager owns them.
        value["force"] = True
    if not situation.nitro:
        value["nitro"] = False
    return Entry(key="headroom:cniSettings", value=value, comment=_why_settings(situation, settings))


def _why_settings(situation: Situation, settings: Mapping[str, str]) -> str:
    """Which live settings stay, and which of these do nothing beside what is set."""
    stay = [name for name in sorted(live_settings_to_keep(situation.environment)) if name not in settings]
    merged = {**situation.environment, **settings}
    _, warnings = check_settings(merged, situation.cni_version or PRIMARY_ADDRESS_FIXED, changed=merged.keys())
    dead = [warning for warning in warnings if warning.rule == "cni-dead-warm-target" and warning.key in stay]
    sentences = [f"Merged over what is live; settings that somebody chose and that stay: {', '.join(stay) or 'none'}."]
    sentences += [f"{warning.value} {warning.reason}" for warning in dead]
    return " ".join(sentences)


def _policy(situation: Situation, room: Room) -> dict[str, Any]:
    """What `pod-subnet-size` holds the subnets against: today's nodes and one more; and where they may lie.

    The VPC is not of the stack, so that nothing else tells the policies the CIDRs that it has.
    """
    within = {"pod-subnet-inside-vpc": {"vpcCidrBlocks": [str(block) for block in situation.vpc_blocks]}}
    found: dict[str, Any] = within if room.secondary is None else {}
    by_zone = {zone.name: len(zone.nodes) for zone in situation.zones.values() if zone.nodes}
    nodes = [node for zone in situation.zones.values() for node in zone.nodes]
    largest = max(nodes, key=lambda node: (node.pods, node.limits.instance_type), default=None)
    if largest is None:
        return found
    size = {
        "expectedNodes": by_zone,
        "podsPerNode": largest.pods,
        "instanceType": largest.limits.instance_type,
        "surge": 1,
    }
    return {**found, "pod-subnet-size": size}


# The steps.


def _steps(
    situation: Situation, weighed: Weighed, diagnosis: Diagnosis, stack: str, snapshot: Snapshot
) -> Iterator[Step]:
    for relief in diagnosis.impact.reliefs[:1] if diagnosis.impact else ():
        yield Step(what=f"Now, by hand: {relief.what}", command=relief.command, takes="a minute", undo=relief.undo)
    # With prefixes to come, nodes are rolled once these are on.
    later = [cause for cause in diagnosis.causes if cause.detail is Detail.MAX_PODS and weighed.settings]
    # New nodes need room for their pods first.
    more_nodes = [cause for cause in diagnosis.causes if _is_at_limit(cause) and weighed.room is not None]
    first = [cause for cause in diagnosis.causes if cause not in (*later, *more_nodes)]
    yield from _hand_steps(situation, weighed, first, snapshot)
    if len(situation.vpc_blocks) >= (situation.cidr_quota or CIDR_QUOTA) and weighed.unmet:
        region = f" --region {situation.region}" if situation.region else ""
        yield Step(
            what=f"Ask for more IPv4 CIDRs a VPC: it has {len(situation.vpc_blocks)}, and no space for pod subnets",
            command=f"aws service-quotas request-service-quota-increase{region} --service-code vpc "
            f"--quota-code L-83CA0A9D --desired-value {2 * len(situation.vpc_blocks)}",
            takes="minutes to days",
        )
    if stack:
        yield from _stack_steps(situation, weighed, stack)
    for cause in later:
        yield from hand_work(situation, snapshot, cause, room=weighed.room is not None).steps
    yield from (_MORE_NODES for _ in more_nodes)
    if weighed.keeps("custom-networking") and situation.without_eni_config:
        yield Step(
            what="Have the stack make an ENIConfig for each zone (`headroom:customNetworking`), then replace nodes",
            command=f"pulumi up --policy-pack policies --policy-pack-config stacks/policy.{stack}.json",
            takes="minutes a node",
            touches="the nodes: each is replaced",
        )
    elif weighed.keeps("custom-networking"):
        yield Step(
            what="Point the ENIConfig of each zone at its new subnet (`pulumi stack output` names them), then replace "
            "nodes: with custom networking on, a node keeps the subnet that it started with",
            command='kubectl patch eniconfig ZONE --type merge --patch \'{"spec": {"subnet": "SUBNET-ID"}}\'',
            takes="minutes a node",
            touches="the nodes: each is replaced",
        )
    yield Step(
        what="See that it worked",
        command=f"headroom verify --plan stacks/plan.{stack or situation.cluster}.json --cluster {situation.cluster} "
        f"--region {situation.region}",
        takes="up to three minutes",
    )


def _stack_steps(situation: Situation, weighed: Weighed, stack: str) -> Iterator[Step]:
    policies = "--policy-pack policies"
    if weighed.room is not None:
        policies += f" --policy-pack-config stacks/policy.{stack}.json"
    yield Step(
        what="Look at what would happen",
        command=f"pulumi stack select --create {stack} && pulumi preview {policies}",
        takes="seconds",
    )
    if weighed.settings and situation.addon is not None:
        yield Step(
            what="Take the managed add-on into the stack, as it is",
            command=f"pulumi import --file stacks/import.{stack}.json",
            takes="seconds",
        )
    restarts = "aws-node, a tenth of the nodes at a time" if weighed.settings else ""
    yield Step(
        what="Apply it",
        command=f"pulumi up {policies}",
        takes="a minute; nodes that wait look for subnets again within three",
        touches=restarts,
        undo="see how to go back",
    )


_MORE_NODES: Final = Step(
    what="Add nodes (raise the node group's size or the NodePool's limit): those that are there are at their interface "
    "limit, and pods that wait on them start elsewhere once they are deleted",
    takes="minutes",
    touches="nothing that runs",
)


_ROLLS_NODES: Final = ("custom-networking", "raise-max-pods")
"""Options that take effect on nodes that are made anew."""


def _is_at_limit(cause: Cause) -> bool:
    return cause.root_cause is RootCause.ENI_LIMIT and cause.detail is None


def _hand_steps(situation: Situation, weighed: Weighed, causes: Iterable[Cause], snapshot: Snapshot) -> Iterator[Step]:
    region = f" --region {situation.region}" if situation.region else ""
    if weighed.delete:
        yield leaked_step(situation, weighed.delete)
    if weighed.upgrade or any(cause.detail is Detail.CNI_VERSION for cause in causes):
        yield from _upgrade_steps(situation, weighed, region)
    for cause in causes:
        if _is_at_limit(cause):
            yield _MORE_NODES
        elif cause.made_by is None and cause.detail is not None and cause.detail in _BY_HAND:
            yield _BY_HAND[cause.detail]
        elif cause.made_by is None:
            yield from hand_work(situation, snapshot, cause, room=weighed.room is not None).steps


_BY_HAND: Mapping[Detail, Step] = {
    Detail.IAM: Step(
        what="Attach AmazonEKS_CNI_Policy to the role that aws-node uses (its ServiceAccount's, else the nodes'), or "
        "allow it the calls that the evidence names",
        command="aws iam attach-role-policy --role-name ROLE --policy-arn arn:aws:iam::aws:policy/AmazonEKS_CNI_Policy",
        takes="a minute; ipamd asks again within seconds",
    ),
    Detail.THROTTLING: Step(
        what="Take away what calls so often: a low WARM_IP_TARGET, an exhausted subnet, another controller",
        takes="minutes",
    ),
    Detail.AUTO_MODE: Step(
        what="Set podSubnetSelectorTerms and podSecurityGroupSelectorTerms in a NodeClass of your own (the default one "
        "cannot be edited), and point the NodePools at it",
        takes="minutes",
        touches="the nodes of those NodePools: they are replaced",
    ),
}


def _upgrade_steps(situation: Situation, weighed: Weighed, region: str) -> Iterator[Step]:
    target = _target_version(situation, weighed) if weighed.upgrade else PRIMARY_ADDRESS_FIXED
    if situation.addon is not None:
        keep = json.dumps({"env": live_settings_to_keep(situation.environment)}, sort_keys=True)
        yield Step(
            what=f"Upgrade the VPC CNI to v{_quoted_version(target)} or later, one minor version at a time",
            command=f"aws eks update-addon --cluster-name {situation.cluster} --addon-name {ADDON_NAME}{region} "
            f"--addon-version v{_quoted_version(target)}-eksbuild.1 --resolve-conflicts OVERWRITE "
            f"--configuration-values '{keep}'",
            takes="minutes a step",
            touches="aws-node, a tenth of the nodes at a time",
            undo="the same command with the version that runs now",
        )
        return
    yield Step(
        what=f"Upgrade the self-managed VPC CNI to v{_quoted_version(target)} or later, the way it was installed, one "
        "minor version at a time",
        takes="minutes a step",
        touches="aws-node, a tenth of the nodes at a time",
    )


def _rollback(weighed: Weighed, stack: str) -> Iterator[Step]:
    if not stack:
        return
    if weighed.room is None:
        yield Step(
            what="Write the settings that were live (`liveEnvironment`) into `settings`, and apply",
            command="pulumi up",
            takes="minutes",
            touches="aws-node, a tenth of the nodes at a time",
        )
        return
    file = f"stacks/Pulumi.{stack}.yaml"
    yield Step(
        what=f"No new pods there: `headroom:acceptNewPods: false` in {file}",
        command="pulumi up",
        takes="seconds",
    )
    yield Step(
        what="Move the pods away: drain or replace the nodes that have interfaces in the pod subnets",
        takes="minutes a node",
        touches="the pods on them",
    )
    yield Step(
        what=f"`headroom:protect: false` in {file}, then destroy; it is refused while an interface remains",
        command="pulumi up && pulumi destroy --run-program",
        takes="a minute",
    )


def _untouched(situation: Situation, weighed: Weighed) -> Iterator[str]:
    if weighed.room is not None:
        yield "The node subnets, their route tables and the VPC's other CIDRs stay as they are."
        yield "Pods that run keep their addresses."
    if not weighed.settings and not weighed.keeps("upgrade-cni") and not weighed.keeps("custom-networking"):
        yield "No CNI setting is changed, and nothing restarts."
    if situation.service_cidr is not None and weighed.room is not None and weighed.room.secondary is not None:
        yield f"The range of Services, {situation.service_cidr}, is not overlapped."


def _postconditions(situation: Situation, weighed: Weighed, snapshot: Snapshot) -> Iterator[Postcondition]:
    room = weighed.room
    settings = weighed.settings
    kubernetes = known_or(snapshot.kubernetes, Kubernetes())
    patience = _patience(situation, weighed)
    if room is not None and room.secondary is not None:
        yield Postcondition(
            check=Check.CIDR_ASSOCIATED,
            title=f"{room.secondary} is associated with {situation.vpc_id}",
            subjects=(str(room.secondary),),
            patience_seconds=ASSOCIATION_SECONDS,
        )
    if room is not None:
        yield Postcondition(
            check=Check.SUBNETS_READY,
            title="The pod subnets are there, tagged and routed",
            subjects=tuple(str(block) for block in room.blocks.values()),
            expected={
                str(block): situation.zones[zone].route_table_id
                for zone, block in room.blocks.items()
                if situation.zones[zone].route_table_id
            },
            patience_seconds=ASSOCIATION_SECONDS,
        )
    if settings:
        yield Postcondition(
            check=Check.SETTINGS_AS_PLANNED,
            title="aws-node's settings are as planned",
            expected=settings,
            patience_seconds=ROLLOUT_SECONDS,
        )
    elif not weighed.keeps("upgrade-cni") and isinstance(kubernetes.cni_pods, tuple) and kubernetes.cni_pods:
        yield Postcondition(
            check=Check.NOTHING_RESTARTED,
            title="Nothing restarted that should not",
            expected={pod.name: str(pod.restarts) for pod in kubernetes.cni_pods},
        )
    if weighed.delete:
        yield Postcondition(
            check=Check.LEAKED_INTERFACES_GONE,
            title="The leaked interfaces are gone",
            subjects=tuple(sorted(weighed.delete)),
            patience_seconds=RETRY_SECONDS,
        )
    yield Postcondition(
        check=Check.CNI_READY,
        title="aws-node is ready on every node",
        patience_seconds=ROLLOUT_SECONDS if settings or weighed.keeps("upgrade-cni") else RETRY_SECONDS,
    )
    if room is not None and situation.stuck_pods:
        yield Postcondition(
            check=Check.INTERFACES_IN_NEW_SUBNETS,
            title="Nodes that need addresses have interfaces in the new subnets",
            subjects=tuple(str(block) for block in room.blocks.values()),
            patience_seconds=RETRY_SECONDS,
            source="amazon-vpc-cni-k8s, pkg/ipamd/ipamd.go: it tries again after 120 s",
        )
    yield Postcondition(
        check=Check.STUCK_PODS_RUNNING,
        title="The pods that were stuck have addresses",
        subjects=situation.stuck_pods,
        patience_seconds=patience,
        source="amazon-vpc-cni-k8s, pkg/ipamd/ipamd.go: it tries again after 120 s",
    )
    yield Postcondition(
        check=Check.NO_NEW_FAILURES,
        title="No sandbox fails for want of an address any more",
        expected={"since": known_or(snapshot.collected_at, "")},
        patience_seconds=patience,
    )
    if room is not None and situation.stuck_pods:
        secondary = room.secondary is not None
        yield Postcondition(
            check=Check.LOGS_READ,
            title="Logs of pods in the new subnets can be read, as exec could",
            subjects=tuple(str(block) for block in room.blocks.values()),
            patience_seconds=max(patience, CONTROL_PLANE_SECONDS) if secondary else patience,
            source="EKS user guide, network-reqs: the control plane may take an hour to learn a new CIDR; until then "
            "logs and exec of what is in it fail"
            if secondary
            else "",
        )


def _patience(situation: Situation, weighed: Weighed) -> int:
    """Seconds within which the pods that wait get their addresses: one pause more than they need."""
    patience = RETRY_SECONDS * (1 + _rounds(situation))
    return max(patience, ROLLOUT_SECONDS) if weighed.settings or weighed.keeps("upgrade-cni") else patience


def _rounds(situation: Situation) -> int:
    """Requests that the node with most stuck pods makes one after the other: a prefix, or an interface, each.

    Existing interfaces in the full subnet are tried before new ones each time, so that each may wait for the pause.
    """
    return max(1, -(-situation.most_stuck // _per_request(situation)))


def _per_request(situation: Situation) -> int:
    """Addresses that one of them brings."""
    if situation.settings.prefix_delegation:
        return PREFIX_ADDRESSES
    limits = [node.limits.secondary_per_eni for zone in situation.zones.values() for node in zone.nodes]
    return max(1, min(limits, default=1))


def _decisions(situation: Situation, weighed: Weighed, diagnosis: Diagnosis) -> Iterator[str]:
    """What only a person can decide, or look up."""
    room = weighed.room
    if weighed.unmet:
        yield f"Room is what is missing, and none was found. {weighed.unmet}"
    if room is not None:
        yield from _decisions_on_room(situation, room)
        yield from _decision_on_untagged(situation)
        yield from _decision_on_nodes(situation, diagnosis)
    addon = situation.addon
    if weighed.settings and addon is not None and addon.other_configuration != ():
        yield (
            "The add-on's configuration values may hold more than settings, which OVERWRITE would drop: write what "
            f"`aws eks describe-addon --cluster-name {situation.cluster} --addon-name {ADDON_NAME} --query "
            "addon.configurationValues --output text` prints into `liveConfiguration`."
        )
    if weighed.settings and addon is None and not situation.self_managed:
        yield "Whether the managed add-on owns aws-node is unknown; the file assumes that it does not."


def _decision_on_nodes(situation: Situation, diagnosis: Diagnosis) -> Iterator[str]:
    """New nodes, where those that are there are at their limit, in subnets that are short themselves."""
    if not any(_is_at_limit(cause) for cause in diagnosis.causes):
        return
    free = [f"{zone.name} {zone.free:,}" for zone in situation.zones.values() if zone.stuck and zone.free is not None]
    if free:
        yield (
            "Each new node takes at least one address of its node subnet, whatever its pods take; free there now: "
            f"{', '.join(free)}. For more nodes than that, give nodes subnets of their own that have room."
        )


def _decision_on_untagged(situation: Situation) -> Iterator[str]:
    """Subnets that may have been made for pods, and that the CNI does not use because nobody tagged them."""
    candidates, _ = untagged_subnets(situation)
    enough = {
        subnet: free
        for zone in situation.zones.values()
        if zone.stuck
        for subnet, free in zone.untagged.items()
        if subnet in candidates and free >= max(1, zone.short)
    }
    if enough:
        told = ", ".join(f"{subnet} ({free:,} free)" for subnet, free in enough.items())
        yield (
            f"{told}: no tag {SUBNET_ROLE_TAG}, so the CNI uses none of it. Are they meant for pods? Then tagging them "
            f"is the smaller change, and this stack is not needed: `{tag_command(enough)}`"
        )


def _decisions_on_room(situation: Situation, room: Room) -> Iterator[str]:
    for zone in situation.zones.values():
        if not zone.route_table_id:
            yield (
                f"{zone.name}: the route table of its node subnet is unknown, so its pod subnet gets one with `local` "
                "only; that serves while the CNI does the source NAT (its default)."
            )
        if len(zone.node_subnets) > 1:
            others = ", ".join(zone.node_subnets[1:LISTED])
            yield (
                f"{zone.name} has nodes in several subnets; the pod subnet takes the route table of "
                f"{zone.node_subnets[0]}, which has most of them (others: {others})."
            )
    if room.shadowed:
        yield (
            f"{room.secondary} lies in {', '.join(map(str, room.shadowed))}, where a route leads: what takes that "
            "route to these addresses today would stay in the VPC. Does nobody need it? Else name another CIDR in the "
            "file."
        )
    if room.secondary is not None:
        yield (
            "Security groups, network ACLs and allow-lists that name the VPC's CIDRs do not learn the new one: add "
            "`headroom:ingressRules` where pods must reach what such a rule guards."
        )
        if situation.service_cidr is None:
            yield "The cluster's range for Services is unknown: see that it does not overlap the new CIDR."
    if situation.settings.custom_networking:
        yield (
            "Custom networking is on, so tagged subnets are ignored: point the ENIConfigs at the new subnets "
            "(`headroom:customNetworking` and `headroom:cniSettings`), and replace nodes."
        )
    if not situation.stuck_pods:
        yield "No pod is stuck now: this is prevention, and nothing will show at once that it worked."
