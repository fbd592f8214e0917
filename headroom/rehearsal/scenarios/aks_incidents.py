"""Incidents on AKS, each with its own cause and its own cure: what the plan says is done, command by command."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from azure.core.exceptions import HttpResponseError

from headroom.collect.budget import budget
from headroom.diagnosis.classifier import diagnose
from headroom.diagnosis.verdict import Detail, RootCause
from headroom.facts.azure import HOST_LOCAL_COMMAND
from headroom.planning.conditions import State, evaluate
from headroom.planning.plan import Plan, Step
from headroom.planning.planner import make_plan
from headroom.rehearsal import aks_estate as names
from headroom.rehearsal.aks_estate import Estate
from headroom.rehearsal.aks_shell import UnknownCommandError
from headroom.rehearsal.aks_world import AksWorld
from headroom.rehearsal.clock import Clock
from headroom.rehearsal.kube import DEPLOYMENTS
from headroom.rehearsal.narration import Narrator, engine_summary
from headroom.rehearsal.scenarios.aks_cluster import (
    NAMESPACE,
    Running,
    deploy,
    grow_old,
    in_step,
    logs_of,
    own,
    refusals_told,
    shortened,
    start_cluster,
)
from headroom.rehearsal.scenarios.incident import (
    LOOK_SECONDS,
    VERIFY_SECONDS,
    Expected,
    Played,
    RehearsalFailedError,
    judge,
    result_of,
    save_played,
    told,
)

LEAST_PODS: Final = 30
"""maxPods of the small clusters: a pool must have room for as many (AKS documentation)."""
OVERLAY_DAEMONS: Final = ("kube-proxy", "azure-cns")
KUBENET_DAEMONS: Final = ("kube-proxy", "calico-node")
WEB: Final = "web"
OWNER: Final = "prod-eus2-clusters"
_SHOWN: Final = 12
ROUNDS: Final = 4
"""Plans after each of which what they say to do now is done."""

CANNOT_SHOW: Final = (
    "How long Azure takes: nodes, pools and reimages are there at once here.",
    "Packets: routes and security groups are checked for existence, not with traffic.",
    "What a reimage does to volumes, and to pods without a controller.",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class AksIncident:
    """One scenario.

    Attributes:
        name: Its name.
        title: It, in a sentence.
        daemons: DaemonSets of its cluster.
        build: Makes Azure as it was before.
        fill: Deploys what runs before, and lets the past happen.
        happen: What goes wrong; returns what the engineer does and sees.
        expected: What the diagnosis must come to.
        owned: Whether a Pulumi stack owns the cluster.
        lasting: Whether the rest of the plan is carried out too, not what helps at once alone.
        wanted: A command that Azure refuses in the incident and has to take after the remedy; empty: none.
        cured: What must be true at the end, beside all pods having addresses.
    """

    name: str
    title: str
    daemons: Sequence[str]
    build: Callable[[Estate], None]
    fill: Callable[[Running], None]
    happen: Callable[[Running], str]
    expected: Expected
    owned: bool = False
    lasting: bool = True
    wanted: str = ""
    cured: Callable[[Running], bool] = lambda _: True


@refusals_told()
def play(
    incident: AksIncident, world: AksWorld, narrator: Narrator, clock: Clock, *, save: Path | None = None
) -> dict[str, Any]:
    """Plays it; returns what `--json` prints beside the phases. Facts and verdict are written below `save`.

    Raises:
        RehearsalFailedError: The verdict is wrong, or what the plan says does not cure.
    """
    estate = Estate(world.arm)
    with narrator.phase("cluster", "A cluster") as phase:
        names.make_network(estate)
        incident.build(estate)
        running = start_cluster(world, estate, clock, names.OLD_CLUSTER, daemons=incident.daemons)
        incident.fill(running)
        if incident.owned:
            narrator.say(f"The stack {OWNER} has taken it over, and ignores changes of it.")
            own(running, OWNER, _owner(estate))
        phase.facts = {"nodes": len(running.kubelets.nodes), "pods": len(running.pods())}
    with narrator.phase("incident", f"{clock.text()}  {incident.title}") as phase:
        narrator.say(incident.happen(running))
        running.settle("pods to wait", lambda: bool(running.without_address()))
        time.sleep(1)
        phase.facts = {"pods without an address": len(running.without_address())}
    with narrator.phase("diagnose", "Why") as phase:
        played = find_out(incident, running, narrator)
        phase.facts = {"verdict": ", ".join(cause.name for cause in played.diagnosis.causes), "calls": played.calls}
    with narrator.phase("plan", "The smallest change that cures it"):
        plan = make(played, narrator, running)
    with narrator.phase("relief", "What helps at once, command by command") as phase:
        phase.facts = _relieved(plan, running, narrator)
    if incident.lasting:
        with narrator.phase("remedy", "What lasts, command by command") as phase:
            lasting = [step for step in plan.steps if not _is_relief(step)]
            phase.facts = {"commands": carry_out(lasting, running, narrator)}
            if incident.wanted:
                _repeat(incident.wanted, running, narrator)
                phase.facts["refused before, taken now"] = 1
            running.settle("pods to be looked at", lambda: all(_was_tried(pod) for pod in running.without_address()))
            if running.without_address():
                narrator.say("There is room now; what waits still needs nodes.")
                phase.facts |= _relieved(_planned(running), running, narrator)
        with narrator.phase("verify", "Until every condition holds") as phase:
            phase.facts = {"conditions": until_met(plan, running, narrator)}
    running.settle("every pod to have an address", lambda: not running.without_address())
    if not incident.cured(running):
        raise RehearsalFailedError("the cluster is not as the remedy promises")
    if save is not None:
        save_played(played, save / incident.name)
    return {
        **result_of(played),
        "scenario": incident.name,
        "azureCalls": world.arm.calls(),
        "cannotShow": list(CANNOT_SHOW),
        "next": "headroom diagnose --cloud aks --subscription ID --resource-group GROUP --cluster NAME",
    }


def _repeat(command: str, running: Running, narrator: Narrator) -> None:
    """What Azure refused in the incident is asked of it again: that it is taken now is what cured means.

    Raises:
        RehearsalFailedError: Azure refuses it again.
    """
    narrator.say("\nWhat Azure refused is asked of it again:")
    narrator.command(command)
    try:
        said = running.shell.run(command)
    except HttpResponseError as error:
        raise RehearsalFailedError(f"after the remedy Azure still refuses {command}: {error.message}") from error
    narrator.output("\n".join(shortened(said)) or "taken")


def find_out(incident: AksIncident, running: Running, narrator: Narrator) -> Played:
    """Collects and diagnoses, and tells it.

    Raises:
        RehearsalFailedError: The verdict is not the expected one.
    """
    in_step(running.world.arm, running.clock)
    names.write_balancer_metrics(running.estate, running.clock.now())
    leaking = _leaking(running)
    for node in leaking:
        narrator.command(f"{HOST_LOCAL_COMMAND.replace('NODE', node, 1)} > {node}.txt")
    narrator.command(" ".join([f"headroom diagnose {running.named}", *([logs_of(leaking)] if leaking else [])]))
    running.world.arm.forget_calls()
    started = time.monotonic()
    snapshot = running.read(debugged=leaking)
    collected = time.monotonic()
    found = diagnose(snapshot)
    for line in told(found):
        narrator.say(line)
    judge(incident.expected, found)
    return Played(
        snapshot=snapshot,
        diagnosis=found,
        calls=budget(snapshot).calls,
        seconds={"collect": collected - started, "diagnose": time.monotonic() - collected},
    )


def make(played: Played, narrator: Narrator, running: Running) -> Plan:
    """Makes the plan, and tells it."""
    narrator.command(f"headroom plan {running.named}")
    started = time.monotonic()
    plan = make_plan(played.snapshot, played.diagnosis)
    played.plan, played.seconds["plan"] = plan, time.monotonic() - started
    for option in plan.options:
        narrator.say(f"  {'✓' if option.kept else '✗'} {option.title}. {option.reason}")
    for number, step in enumerate(plan.steps, 1):
        narrator.say(f"  {number}. {step.what}")
    return plan


def _is_relief(step: Step) -> bool:
    return step.what.startswith(("Now, by hand", "Once it is drained"))


def _relieved(plan: Plan, running: Running, narrator: Narrator) -> dict[str, Any]:
    """Does what the plan says to do now; where one round does not help all pods, diagnoses and plans again."""
    count = 0
    for number in range(1, ROUNDS + 1):
        steps = [step for step in plan.steps if _is_relief(step)]
        done = carry_out(steps, running, narrator)
        if not done:
            narrator.say("Nothing helps at once.")
            return {"rounds": number - 1, "commands": count}
        count += done
        running.settle("evicted pods to find a place", lambda: all(p["spec"].get("nodeName") for p in running.pods()))
        time.sleep(1)
        waiting = len(running.without_address())
        narrator.say(f"  {running.clock.text()}  {waiting} pods wait")
        if not waiting:
            return {"rounds": number, "commands": count}
        plan = _planned(running)
    raise RehearsalFailedError(f"{len(running.without_address())} pods still wait after {ROUNDS} rounds of relief")


def _planned(running: Running) -> Plan:
    """A new plan of how the cluster stands now."""
    snapshot = running.read(debugged=_leaking(running))
    return make_plan(snapshot, diagnose(snapshot))


def _was_tried(pod: Mapping[str, Any]) -> bool:
    """Whether the scheduler has looked at a pod that has no address."""
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return any(each["type"] == "PodScheduled" and each["status"] == "False" for each in conditions)


def _leaking(running: Running) -> list[str]:
    """Nodes of kubenet with pods that wait for an address: where somebody looks at the files."""
    return sorted({pod["spec"]["nodeName"] for pod in running.stuck()}) if running.is_kubenet else []


def carry_out(steps: Sequence[Step], running: Running, narrator: Narrator) -> int:
    """Does what steps say, in their order; gives how many commands that were.

    Raises:
        RehearsalFailedError: Azure refuses one, or the rehearsal does not know it.
    """
    count = 0
    for step in steps:
        if not step.command or step.command.startswith("headroom "):
            continue
        if step.command.startswith("pulumi "):
            count += _with_pulumi(step.command, running, narrator)
            continue
        narrator.command(step.command)
        try:
            said = running.shell.run(step.command)
        except HttpResponseError as error:
            raise RehearsalFailedError(f"Azure refuses {step.command}: {error.message}") from error
        except UnknownCommandError as error:
            raise RehearsalFailedError(str(error)) from error
        narrator.output("\n".join(shortened(said)))
        count += 1
    return count


def _owner(estate: Estate) -> dict[str, Any]:
    """The configuration of a stack that owns the cluster and changes nothing of it."""
    cluster = {"resourceGroup": names.GROUP, "name": names.OLD_CLUSTER, "pools": ["apps"], "systemPools": ["default"]}
    return {
        "headroom:remedy": "aks-retire",
        "azure-native:location": names.LOCATION,
        "headroom:trafficStack": "none",
        "headroom:oldCluster": {**cluster, "subnet": estate.subnet_id()},
        "headroom:phase": "keep",
    }


def _with_pulumi(command: str, running: Running, narrator: Narrator) -> int:
    """Runs what a step says with the stack that owns the cluster; nothing where there is none.

    Raises:
        RehearsalFailedError: The engine fails, or plans a change that it must not.
    """
    engine = running.world.engine
    if not engine.stack_file(OWNER).exists():
        return 0
    for words in (part.split() for part in command.split(" && ")):
        narrator.command(" ".join(words))
        # What a person would be asked.
        answers = ("--yes", "--skip-preview") if words[1] == "up" else ()
        found = engine.run(*words[1:], *answers, "--stack", OWNER)
        narrator.engine_output(engine_summary(found.output), _SHOWN)
        if found.code:
            raise RehearsalFailedError(f"{found.command} fails:\n{found.output}")
    return 1


def until_met(plan: Plan, running: Running, narrator: Narrator, path: str = "…") -> str:
    """Judges the plan's postconditions again and again, and tells each change.

    Args:
        plan: The plan.
        running: The cluster.
        narrator: Who tells it.
        path: The plan's file.

    Raises:
        RehearsalFailedError: One does not come to hold.
    """
    clock, said = running.clock, dict[str, str]()
    started = clock.now()
    narrator.command(f"headroom verify {running.named} --plan {path}")
    while True:
        waited = clock.now() - started
        in_step(running.world.arm, clock)
        names.write_balancer_metrics(running.estate, clock.now())
        found = evaluate(plan, running.read(), waited_seconds=waited)
        for state in found:
            if said.get(state.condition.title) != state.state:
                said[state.condition.title] = state.state
                narrator.say(f"  {waited:4.0f} s  {state.state.value:8} {state.condition.title}: {state.because}")
        states = {state.state for state in found}
        if states <= {State.MET}:
            return f"all {len(found)} met after {waited:.0f} s (simulated)"
        if State.FAILED in states or waited > VERIFY_SECONDS:
            failed = [f"{state.condition.title}: {state.because}" for state in found if state.state is not State.MET]
            raise RehearsalFailedError("not cured:\n" + "\n".join(failed))
        clock.sleep_until(clock.now() + LOOK_SECONDS, most=1)


# What is common


def _scale(running: Running, replicas: int) -> str:
    running.kube.patch(DEPLOYMENTS, WEB, {"spec": {"replicas": replicas}}, namespace=NAMESPACE)
    running.settle(
        "pods to be made", lambda: sum(p["metadata"]["labels"].get("app") == WEB for p in running.pods()) >= replicas
    )
    return f"$ kubectl -n {NAMESPACE} scale deployment {WEB} --replicas={replicas}"


def _kubenet(estate: Estate, **more: Any) -> None:
    pools = (
        names.pool("default", 2, mode="System", maxPods=LEAST_PODS),
        names.pool("apps", 2, maxPods=LEAST_PODS),
    )
    names.make_cluster(estate, *pools, **more)


def _leak(running: Running) -> None:
    deploy(running, {WEB: 60})
    grow_old(running, ["aks-apps-vmss000000", "aks-apps-vmss000001"], free=1)


def _overlay(**more: Any) -> dict[str, Any]:
    return {"networkPlugin": "azure", "networkPluginMode": "overlay", "networkPolicy": "azure", **more}


LEAK: Final = AksIncident(
    name="aks-host-local-leak",
    title="Files that no pod uses fill the range of two nodes",
    daemons=KUBENET_DAEMONS,
    build=lambda estate: _kubenet(estate, networkPolicy="calico"),
    fill=_leak,
    happen=lambda running: _scale(running, 90),
    expected=Expected(
        causes=((RootCause.IPAMD_FAILURE, Detail.HOST_LOCAL_LEAK),), also=((RootCause.ENI_LIMIT, Detail.MAX_PODS),)
    ),
    lasting=False,
)


def _in_place(estate: Estate) -> None:
    identity = estate.add("Microsoft.ManagedIdentity/userAssignedIdentities", "id-aks", location=names.LOCATION)
    names.grant(estate, identity)
    _kubenet(estate, identity={"type": "UserAssigned", "userAssignedIdentities": {identity: {}}})


IN_PLACE: Final = AksIncident(
    name="aks-in-place",
    title="The same, in a cluster that can move to overlay as it is",
    daemons=("kube-proxy",),
    build=_in_place,
    owned=True,
    fill=_leak,
    happen=lambda running: _scale(running, 90),
    expected=LEAK.expected,
    cured=lambda running: not running.is_kubenet,
)


def _small_subnet(estate: Estate) -> None:
    names.make_cluster(
        estate,
        names.pool("default", 2, mode="System", maxPods=LEAST_PODS),
        names.pool("apps", 2, maxPods=LEAST_PODS),
        **_overlay(podCidr="100.64.0.0/16"),
    )
    free = names.free_addresses(estate)
    estate.arm.take_addresses(estate.subnet_id(), free)


def _no_room(running: Running) -> str:
    said = _scale(running, 120)
    return f"{said}\n{refused(running, _nodes(running, 4))}"


def _nodes(running: Running, count: int) -> str:
    where = f"--resource-group {names.GROUP} --cluster-name {running.name} --name apps"
    return f"az aks nodepool scale {where} --node-count {count}"


def refused(running: Running, command: str) -> str:
    """A command that Azure refuses, with what it says.

    Raises:
        RehearsalFailedError: It does not.
    """
    try:
        running.shell.run(command)
    except HttpResponseError as error:
        return f"$ {command}\n{error.message}"
    raise RehearsalFailedError(f"Azure takes {command}")


NODE_SUBNET_FULL: Final = AksIncident(
    name="aks-node-subnet-full",
    title="Pods have room, and nodes have none",
    daemons=OVERLAY_DAEMONS,
    build=_small_subnet,
    fill=lambda running: deploy(running, {WEB: 80}),
    happen=_no_room,
    expected=Expected(
        causes=((RootCause.SUBNET_EXHAUSTION, Detail.NODE_SUBNET_FULL),), also=((RootCause.ENI_LIMIT, Detail.MAX_PODS),)
    ),
)


def _one_block(running: Running) -> None:
    node = running.kubelets.nodes["aks-default-vmss000000"]
    # DELs that azure-cns never saw: a /24 has six addresses more than a node has pods.
    for number in range(_LOST_DELS):
        node.cni.add(f"past-{number}", "past")
    deploy(running, {WEB: 230})


_LOST_DELS: Final = 12


def _overlay_of_one(estate: Estate) -> None:
    pool = names.pool("default", 1, mode="System", maxPods=250)
    names.make_cluster(estate, pool, **_overlay(podCidr="100.64.0.0/16"))


OVERLAY_BLOCK: Final = AksIncident(
    name="aks-overlay-block",
    title="A node's /24 is used up under overlay",
    daemons=OVERLAY_DAEMONS,
    build=_overlay_of_one,
    fill=_one_block,
    happen=lambda running: _scale(running, 248),
    expected=Expected(causes=((RootCause.SUBNET_EXHAUSTION, Detail.OVERLAY_NODE_BLOCK),)),
)


def _small_range(estate: Estate) -> None:
    names.make_cluster(
        estate,
        names.pool("default", 1, mode="System", maxPods=LEAST_PODS, upgradeSettings={"maxSurge": "1"}),
        names.pool("apps", 1, maxPods=LEAST_PODS, upgradeSettings={"maxSurge": "1"}),
        **_overlay(podCidr="100.64.0.0/22"),
    )


_TO_TEN: Final = (
    f"az aks nodepool update --resource-group {names.GROUP} --cluster-name {names.OLD_CLUSTER} --name apps "
    "--enable-cluster-autoscaler --min-count 1 --max-count 10"
)


def _more_at_most(running: Running) -> str:
    said = _scale(running, 90)
    return f"{said}\n{refused(running, _TO_TEN)}"


POD_CIDR: Final = AksIncident(
    name="aks-pod-cidr",
    title="The pod CIDR is too small for the autoscaler's maximum",
    daemons=OVERLAY_DAEMONS,
    build=_small_range,
    fill=lambda running: deploy(running, {WEB: 40}),
    happen=_more_at_most,
    wanted=_TO_TEN,
    expected=Expected(
        causes=((RootCause.SUBNET_EXHAUSTION, Detail.POD_CIDR_EXHAUSTED),),
        also=((RootCause.ENI_LIMIT, Detail.MAX_PODS),),
    ),
)

INCIDENTS: Final[Mapping[str, AksIncident]] = {
    incident.name: incident for incident in (IN_PLACE, LEAK, NODE_SUBNET_FULL, OVERLAY_BLOCK, POD_CIDR)
}
"""By name, as `headroom rehearse --scenario` takes them."""
