"""Makes the plan of an AKS cluster: relief now, then the smallest change that lasts, as files and steps."""

import json
import re
from collections.abc import Iterator
from shlex import quote
from typing import Final

from headroom.addresses.blocks import listed, shown
from headroom.addresses.problems import Problem, ProblemsError
from headroom.diagnosis.verdict import Detail, Diagnosis, RootCause
from headroom.facts.names import STACK_NAME_RULE, is_stack_name
from headroom.facts.snapshot import Snapshot
from headroom.facts.values import Unknown, items, known, known_or
from headroom.planning.aks_blue_green import (
    Design,
    egress_files,
    gateway_choice,
    gateway_name,
    gateway_reasons,
    unread_behind_gateways,
)
from headroom.planning.aks_choices import OVERRIDES, Choices
from headroom.planning.aks_eligibility import Answer
from headroom.planning.aks_measures import aks_measures
from headroom.planning.aks_network import MANAGED_NAT, USER_NAT
from headroom.planning.aks_options import AksWeighed, weigh_aks
from headroom.planning.aks_situation import AksSituation, foundations, read_aks_situation, subnet_state
from headroom.planning.aks_steps import (
    authorized,
    blue_green_steps,
    change_steps,
    egress_steps,
    in_place_steps,
    one_side_file,
    outbound_steps,
    relief_steps,
)
from headroom.planning.plan import Check, Plan, PlannedFile, Postcondition, Step, digest, plan_to_json

CLUSTER_NAME: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9])?")
"""Name of an AKS cluster; to be matched in full (Azure naming rules, Microsoft.ContainerService)."""
_LONGEST_SUFFIX: Final = "-overlay"
"""What is put behind the name that stacks begin with, at its longest."""
NODE_SECONDS: Final = 900
"""Time for a node to come, and for what waits to be placed on it."""
UPDATE_SECONDS: Final = 7200
"""Time for all nodes to be reimaged and to report their new range; our own choice: AKS names none."""
NETWORK_SECONDS: Final = 600
"""Time for a change of a subnet or of the outbound type to show; our own choice."""
METRIC_SECONDS: Final = 1800
"""Time for a window of connection counts to begin after the change and to be published; our own choice."""


def make_aks_plan(
    snapshot: Snapshot, diagnosis: Diagnosis, *, stack: str = "", choices: Choices | None = None, ahead: bool = False
) -> Plan:
    """The plan for a diagnosis of an AKS cluster. The same facts give the same plan, byte for byte.

    Args:
        snapshot: The facts that the diagnosis was made of.
        diagnosis: What is wrong.
        stack: What the names of stacks begin with; the cluster's name by default.
        choices: What a person chose.
        ahead: Whether nothing is wrong yet, and the cluster is to outlast what it is.

    Raises:
        ProblemsError: A name is none, or nothing is to be planned ahead.
    """
    choices = choices or Choices()
    situation = read_aks_situation(snapshot)
    base = stack or situation.cluster
    _check_names(situation.cluster, base)
    weighed = weigh_aks(situation, diagnosis, choices, base, ahead=ahead)
    if ahead and not weighed.unmet and not any(option.kept for option in weighed.options):
        problem = Problem(
            rule="nothing-to-plan",
            value=situation.cluster,
            reason="is healthy, and is neither on kubenet nor bound by an overlay's range.",
            next_step="`headroom plan --set way=in-place` or way=blue-green plans an overlay all the same.",
        )
        raise ProblemsError([problem], subject="plan")
    made = weighed.blue_green
    named = made.overlay_stack if made is not None else f"{base}-egress" if weighed.outbound == USER_NAT else ""
    rests_on = foundations(situation)
    return Plan(
        cluster=situation.cluster,
        stack=named,
        verdict=diagnosis.verdict.value,
        causes=tuple(cause.name for cause in diagnosis.causes),
        facts_at=known_or(snapshot.collected_at, ""),
        fingerprint=digest(rests_on),
        foundations=rests_on,
        measures=aks_measures(situation, weighed),
        options=weighed.options,
        files=tuple(_files(situation, weighed, base)),
        steps=tuple(_steps(situation, weighed, diagnosis, base)),
        rollback=tuple(_rollback(situation, weighed, base)),
        untouched=tuple(_untouched(situation, weighed)),
        postconditions=tuple(_postconditions(situation, weighed, diagnosis)),
        decisions=tuple(dict.fromkeys(_decisions(situation, weighed))),
    )


def is_aks(snapshot: Snapshot) -> bool:
    """Whether a snapshot is of an AKS cluster."""
    return known(snapshot.cloud) == "azure" or known(snapshot.azure) is not None


def _check_names(cluster: str, base: str) -> None:
    problems = []
    if cluster and not CLUSTER_NAME.fullmatch(cluster):
        problems.append(
            Problem(
                rule="cluster-name",
                key="cluster",
                value=shown(cluster),
                reason="is no name of an AKS cluster.",
                next_step="It has up to 63 letters, digits, hyphens and underscores, a letter or digit first and last.",
                source="Azure naming rules, Microsoft.ContainerService",
            )
        )
    if base and not is_stack_name(f"{base}{_LONGEST_SUFFIX}"):
        problems.append(
            Problem(
                rule="stack-name",
                key="--stack",
                value=shown(base),
                reason="is no name of a Pulumi stack.",
                next_step=f"With {_LONGEST_SUFFIX} behind it, it is {STACK_NAME_RULE}.",
            )
        )
    if not cluster:
        problems.append(
            Problem(
                rule="fact-unknown",
                value="cluster",
                reason="is unknown.",
                next_step="Read it with `headroom collect --cloud aks`.",
            )
        )
    if problems:
        raise ProblemsError(problems, subject="plan")


# Files.


def _gateway_subnets(situation: AksSituation) -> dict[str, str]:
    """The nodes' subnets that get a gateway, by key."""
    subnets = situation.node_subnets
    if len(subnets) == 1:
        return {"nodes": subnets[0].subnet_id}
    return {subnet.name: subnet.subnet_id for subnet in subnets}


def _files(situation: AksSituation, weighed: AksWeighed, base: str) -> Iterator[PlannedFile]:
    made = weighed.blue_green
    if made is not None:
        yield from made.files
        yield one_side_file(situation)
        document = plan_to_json(_plan_of_new(situation, made))
        yield PlannedFile(
            path=f"stacks/verify.{made.overlay_stack}.json",
            text=json.dumps(document, indent=1, ensure_ascii=False) + "\n",
            purpose=f"what `headroom verify` holds {made.cluster} to",
        )
    elif weighed.outbound == USER_NAT:
        subnets = _gateway_subnets(situation)
        what = "leaves by them once they are attached"
        yield from egress_files(situation, f"{base}-egress", subnets, what)


def _plan_of_new(situation: AksSituation, made: Design) -> Plan:
    """What the new cluster is held to, once it stands."""
    vnet = situation.vnet
    subnet_id = f"{vnet.vnet_id if vnet is not None else ''}/subnets/snet-{made.cluster}"
    return Plan(
        cluster=made.cluster,
        stack=made.overlay_stack,
        verdict="planned",
        postconditions=(
            *_overlay_conditions(str(made.pod_cidr), made.policy),
            Postcondition(
                check=Check.GATEWAY_ATTACHED,
                title="The NAT gateway is on the nodes' subnet",
                expected={subnet_id: made.gateway_id},
                patience_seconds=NETWORK_SECONDS,
            ),
            _egress_condition(situation, made.gateway_id, kept=made.gateway is None),
        ),
    )


# Steps.


def _steps(situation: AksSituation, weighed: AksWeighed, diagnosis: Diagnosis, base: str) -> Iterator[Step]:
    yield from relief_steps(situation, weighed, diagnosis)
    relieved = bool(weighed.reliefs or weighed.without_route)
    verify = Step(
        what="See that it worked",
        command=f"headroom verify {situation.reached_by} --cluster {situation.cluster} --plan "
        f"stacks/plan.{_plan_name(situation, weighed, base)}.json",
        takes="minutes",
    )
    if relieved and weighed.blue_green is not None:
        # What follows takes days: what was done tonight is proven tonight.
        yield verify
    yield from change_steps(situation, weighed)
    yield from in_place_steps(situation, weighed)
    if weighed.blue_green is not None:
        yield from blue_green_steps(situation, weighed.blue_green)
    if weighed.outbound == USER_NAT:
        yield from egress_steps(situation, f"{base}-egress", attaches=True)
    yield from outbound_steps(situation, weighed)
    if weighed.keeps("split-cluster"):
        yield Step(what="Split the cluster: workloads of their own go to a cluster of their own", takes="weeks")
    # At the end of the way beside it this cluster is gone, and the new one has been looked at.
    if weighed.blue_green is None and _checked(situation, weighed, diagnosis):
        yield verify


def _plan_name(situation: AksSituation, weighed: AksWeighed, base: str) -> str:
    if weighed.blue_green is not None:
        return weighed.blue_green.overlay_stack
    return f"{base}-egress" if weighed.outbound == USER_NAT else situation.cluster


def _checked(situation: AksSituation, weighed: AksWeighed, diagnosis: Diagnosis) -> bool:
    return any(_postconditions(situation, weighed, diagnosis))


def _rollback(situation: AksSituation, weighed: AksWeighed, base: str) -> Iterator[Step]:
    for relief in weighed.reliefs:
        if relief.undo:
            yield Step(what=f"Undo: {relief.what}", command=relief.undo, takes="minutes")
    for pool in weighed.pools:
        yield Step(
            what=f"Move the pods back to {pool.old.name}, then delete {pool.name}",
            command=f"kubectl uncordon -l kubernetes.azure.com/agentpool={quote(pool.old.name)} && az aks nodepool "
            f"delete {situation.of_pools} --name {quote(pool.name)}",
            takes="minutes",
        )
    if weighed.grown is not None:
        yield Step(what=f"A pod range never shrinks: {weighed.grown} stays")
    if weighed.outbound == USER_NAT:
        made_so = (*egress_steps(situation, f"{base}-egress", attaches=True), *outbound_steps(situation, weighed))
        for step in reversed([each for each in made_so if each.undo]):
            what = f"Undo: {step.what.partition('.')[0]}"
            yield Step(what=what, command=step.undo, takes=step.takes, touches=step.touches)
        yield Step(what="AKS gives its own address back when the type moves: going back, it is another one")
    elif weighed.outbound:
        yield Step(what=f"There may be no way back from {weighed.outbound}: AKS's documentation says two things of it")
    if weighed.in_place:
        yield Step(
            what="There is no way back once the update has begun, neither to kubenet nor to addresses of the VNet: "
            "until then nothing but the policy engine is to be put back"
        )
    made = weighed.blue_green
    if made is not None:
        yield Step(
            what="At any time: all requests back to the old cluster, then what runs on one side only",
            command=f"pulumi config set headroom:step 0 --stack {made.traffic_stack} && pulumi up --stack "
            f"{made.traffic_stack}",
            takes="up to 45 minutes until all edges have it",
            touches="the requests",
        )
        yield Step(
            what=f"Once no request is left there: headroom:protect: false in stacks/Pulumi.{made.overlay_stack}.yaml, "
            "then destroy it. Static addresses stay: they are on the allow-lists",
            command=f"pulumi up --stack {made.overlay_stack} && pulumi destroy --stack {made.overlay_stack}",
            takes="a quarter of an hour",
        )


def _untouched(situation: AksSituation, weighed: AksWeighed) -> Iterator[str]:
    made = weighed.blue_green
    if made is not None:
        yield (
            f"{situation.cluster}, its subnets, its route table and its outbound address stay as they are until it is "
            "retired."
        )
    if weighed.pools or weighed.grown is not None:
        yield "Pods that run keep their addresses until they are moved."
    if weighed.outbound and not weighed.in_place:
        yield "Pods, nodes and their addresses within the VNet stay as they are."
    if weighed.in_place:
        yield "The nodes' subnet, its security group, its service endpoints and its NAT gateway stay as they are."


# What must hold afterwards.


def _overlay_conditions(pod_cidr: str, engine: str) -> Iterator[Postcondition]:
    yield Postcondition(
        check=Check.OVERLAY_MODE,
        title="The cluster reports Azure CNI Overlay",
        expected={"networkPlugin": "azure", "networkPluginMode": "overlay", "podCidr": pod_cidr},
        patience_seconds=UPDATE_SECONDS,
    )
    yield Postcondition(
        check=Check.NODES_IN_POD_CIDR,
        title="Every node is Ready and has the new range",
        subjects=(pod_cidr,),
        patience_seconds=UPDATE_SECONDS,
        source="AKS documentation, azure-cni-overlay-pod-expand: a success of the update says nothing of the nodes",
    )
    if engine:
        yield Postcondition(
            check=Check.POLICY_ENGINE,
            title="Network policies are enforced again" if engine != "none" else "No policy engine, as before",
            subjects=(engine,),
            patience_seconds=UPDATE_SECONDS,
        )


def _egress_condition(situation: AksSituation, gateway_id: str, *, kept: bool) -> Postcondition:
    return Postcondition(
        check=Check.EGRESS_ADDRESS,
        title="It is seen with the gateway's address" if kept else "It is seen with the new address",
        subjects=(gateway_id,),
        expected={} if kept else dict.fromkeys(situation.outbound_addresses, "old"),
        patience_seconds=NETWORK_SECONDS,
    )


def _postconditions(situation: AksSituation, weighed: AksWeighed, diagnosis: Diagnosis) -> Iterator[Postcondition]:
    since = known_or(situation.snapshot.collected_at, "")
    patience = UPDATE_SECONDS if weighed.in_place or weighed.pools else NODE_SECONDS
    if weighed.pools:
        yield Postcondition(
            check=Check.NODE_POOL_READY,
            title="The new node pools are ready",
            expected={pool.name: str(pool.max_pods or "") for pool in weighed.pools},
            patience_seconds=NODE_SECONDS,
        )
    if weighed.grown is not None:
        yield from _overlay_conditions(str(weighed.grown), "")
    if weighed.in_place:
        yield from _in_place_conditions(situation, weighed)
    leaked = {
        node for cause in diagnosis.causes if cause.detail is Detail.HOST_LOCAL_LEAK for node in cause.scope.nodes
    }
    if leaked and not weighed.in_place:
        yield Postcondition(
            check=Check.RANGES_FREED,
            title="No node's range is full of reservations any more",
            subjects=tuple(sorted(leaked)),
            patience_seconds=UPDATE_SECONDS,
        )
    if any(cause.detail is Detail.ROUTE_LIMIT for cause in diagnosis.causes):
        yield Postcondition(
            check=Check.NODES_ROUTED,
            title="Every node that takes pods has a route",
            patience_seconds=patience,
        )
    kept = _kept_subnets(situation, weighed)
    if kept:
        yield Postcondition(
            check=Check.SUBNETS_KEPT,
            title="The subnets have everything that they had",
            expected=kept,
        )
    if weighed.outbound:
        yield from _outbound_conditions(situation, weighed, since)
    if any(cause.root_cause is RootCause.SNAT_EXHAUSTION for cause in diagnosis.causes):
        yield Postcondition(
            check=Check.CONNECTIONS_SUCCEED,
            title="No outbound connection fails for want of a port",
            expected={"since": since},
            patience_seconds=METRIC_SECONDS,
        )
    if situation.stuck_pods or weighed.pools or weighed.grown is not None or weighed.in_place:
        yield Postcondition(
            check=Check.STUCK_PODS_RUNNING,
            title="No pod waits for an address",
            subjects=situation.stuck_pods,
            patience_seconds=patience,
        )
        yield Postcondition(
            check=Check.NO_NEW_FAILURES,
            title="No sandbox fails for want of an address any more",
            expected={"since": since},
            patience_seconds=patience,
        )


def _in_place_conditions(situation: AksSituation, weighed: AksWeighed) -> Iterator[Postcondition]:
    cidr = str(weighed.in_place_cidr or known_or(situation.network.pod_cidr, ""))
    yield from _overlay_conditions(cidr, situation.policy)
    tables = {
        subnet.subnet_id: table
        for subnet in situation.node_subnets
        if (table := known(subnet.route_table_id)) is not None
    }
    old = known(situation.network.pod_cidr)
    if tables and old is not None and known(situation.network.network_plugin) == "kubenet":
        yield Postcondition(
            check=Check.ROUTE_TABLE_DETACHED,
            title="No route to a node's pods is left",
            subjects=(old,),
            expected=tables,
            patience_seconds=UPDATE_SECONDS,
        )


def _kept_subnets(situation: AksSituation, weighed: AksWeighed) -> dict[str, str]:
    """The VNet's subnets as they are now, less what the plan changes of them."""
    if not (weighed.in_place or weighed.blue_green is not None or weighed.outbound):
        return {}
    changed = {subnet.subnet_id for subnet in situation.node_subnets}
    found = {}
    for vnet in items(situation.azure.vnets):
        for subnet in items(vnet.subnets):
            state = json.loads(subnet_state(subnet))
            if subnet.subnet_id in changed:
                if weighed.in_place:
                    state.pop("routeTable")
                if weighed.outbound:
                    state.pop("natGateway")
            found[subnet.subnet_id] = json.dumps(state, sort_keys=True)
    return found


def _outbound_conditions(situation: AksSituation, weighed: AksWeighed, since: str) -> Iterator[Postcondition]:
    del since
    if weighed.outbound == USER_NAT:
        gateway = (
            f"/subscriptions/{situation.subscription}/resourceGroups/{situation.group}/providers/Microsoft.Network"
            f"/natGateways/{gateway_name(situation)}"
        )
        yield Postcondition(
            check=Check.GATEWAY_ATTACHED,
            title="The NAT gateway is on the nodes' subnet",
            expected=dict.fromkeys(_gateway_subnets(situation).values(), gateway),
            patience_seconds=NETWORK_SECONDS,
        )
        yield _egress_condition(situation, gateway, kept=False)
    yield Postcondition(
        check=Check.OUTBOUND_TYPE,
        title="The cluster's outbound type is the new one",
        subjects=(weighed.outbound,),
        patience_seconds=NETWORK_SECONDS,
    )


# Decisions.


def _decisions(situation: AksSituation, weighed: AksWeighed) -> Iterator[str]:
    """What only a person can decide, or look up."""
    yield from weighed.unmet
    yield from _decisions_on_way(weighed)
    if weighed.outbound == USER_NAT:
        yield " ".join(gateway_reasons(gateway_choice(situation)))
    if weighed.outbound == MANAGED_NAT:
        old = listed(situation.outbound_addresses) or "the old address"
        yield f"AKS manages the VNet, so AKS makes the gateway: its address replaces {old} on every allow-list."
    if (weighed.blue_green is not None or weighed.outbound) and authorized(situation):
        yield "The API server may be reached from listed ranges alone: the new address comes first, or nodes lose it."
    if weighed.pools:
        names = listed(sorted({pool.old.name for pool in weighed.pools}))
        yield f"CPU and memory were not read: see that the machines of {names} carry as many pods as maxPods allows."
        yield (
            f"Labels of {names} are not carried over: see them with az aks nodepool show, and add them with --labels. "
            "Pods that ask for one, or for the old pool by its name, wait otherwise."
        )


def _decisions_on_way(weighed: AksWeighed) -> Iterator[str]:
    made, found = weighed.blue_green, weighed.eligibility
    if weighed.in_place and found is not None:
        yield (
            "All node pools are reimaged at the same time, and there is no way back: choose the hour, or --set "
            "way=blue-green."
        )
        yield from found.consequences[2:]
        if weighed.in_place_cidr is not None:
            yield f"Pods get the range {weighed.in_place_cidr}. {unread_behind_gateways(weighed.in_place_cidr)}"
        if isinstance(weighed.rules, Unknown):
            yield f"The nodes' security groups were not read ({weighed.rules}): see that none denies traffic of pods."
        for condition in found.of(Answer.FIRST):
            if condition.rule in OVERRIDES:
                yield f"{condition.because} {condition.next_step}"
    if made is not None and found is not None and found.answer is Answer.UNKNOWN:
        missing = " ".join(condition.because for condition in found.of(Answer.UNKNOWN))
        yield f"The way in place may be open too; what decides it was not read: {missing}"
    if made is not None:
        yield from made.notes
        for rule in made.rules:
            if rule.priority is None:
                yield (
                    f"{rule.group}: no priority is free before {rule.denied_by}, which denies {rule.source} to "
                    f"{rule.destination}."
                )
        yield "The kubeconfig needs a context for each cluster, named as the clusters are: az aks get-credentials."
