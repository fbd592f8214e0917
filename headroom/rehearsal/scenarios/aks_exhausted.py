"""`aks-kubenet-exhausted`: pods hang for want of addresses, and six weeks of migration to overlay follow.

The story is that of a published post-mortem ("The night our AKS cluster ran out of pod IPs"), with what it got wrong
put right: the cause is not its verdict, the subnet keeps its route table, the gate does not pass on nothing, and the
last step is one.
"""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final

import yaml
from azure.core.exceptions import HttpResponseError

from headroom.addresses.blocks import listed
from headroom.cli.check import check
from headroom.cli.plan import read_plan, written_files
from headroom.collect.budget import budget
from headroom.diagnosis.classifier import diagnose
from headroom.diagnosis.verdict import Detail, Diagnosis, RootCause
from headroom.facts.azure import HOST_LOCAL_COMMAND
from headroom.planning.allow_list_inventory import example as example_inventory
from headroom.planning.allow_lists import Span
from headroom.planning.audit_record import file_name as audit_file
from headroom.planning.fill_in import open_keys
from headroom.planning.plan import Plan
from headroom.planning.planner import make_plan
from headroom.planning.probe_record import file_name as probes_file
from headroom.planning.traffic import ROLLBACK_WINDOW_DAYS as ROLLBACK_DAYS
from headroom.rehearsal import aks_estate as names
from headroom.rehearsal.aks_cni import HostLocal
from headroom.rehearsal.aks_estate import Estate
from headroom.rehearsal.aks_visitors import Manners, Visitors
from headroom.rehearsal.aks_world import AksWorld
from headroom.rehearsal.clock import Clock
from headroom.rehearsal.kube import DEPLOYMENTS, EVENTS
from headroom.rehearsal.narration import Narrator
from headroom.rehearsal.policy_engine import NETWORK_POLICIES, run_probe_jobs
from headroom.rehearsal.scenarios.aks_billing import BILLING, LEADS, bill, billing_of, firewall, lead, make_billing
from headroom.rehearsal.scenarios.aks_cluster import (
    NAMESPACE,
    Running,
    deploy,
    grow_old,
    logs_of,
    refusals_told,
    shortened,
    start_cluster,
)
from headroom.rehearsal.scenarios.aks_incidents import until_met
from headroom.rehearsal.scenarios.aks_story import Story
from headroom.rehearsal.scenarios.incident import (
    Expected,
    Played,
    RehearsalFailedError,
    judge,
    result_of,
    save_played,
    told,
)
from policies.resources import VNET_SUBNET

NAME: Final = "aks-kubenet-exhausted"
NEXT: Final = (
    "`headroom plan --cloud aks …` writes the same files for a cluster of your own (--ahead: before anything hangs); "
    "docs/aks.md goes through them."
)
MAX_PODS: Final = 40
"""Of a node; AKS's default is 110. Fewer pods, the same arithmetic: neither can use up 253 addresses."""
DAEMONS: Final = ("kube-proxy", "calico-node")
APPS: Final[Mapping[str, int]] = {
    "checkout-api": 12,
    "payments": 42,
    "catalog": 42,
    "search": 42,
    "cart": 42,
    "orders": 42,
}
"""Replicas on the six nodes that have been there from the start."""
BATCH: Final = {"reports": 24}
"""What the three nodes were added for."""
SCALED, AFTER = "checkout-api", 22
NEW_CLUSTER: Final = "aks-prod-eus2-overlay"
ONE_SIDE: Final = f"one-side.{names.OLD_CLUSTER}.txt"
"""The plan's list of what must run in one of the two clusters only."""
EGRESS, OVERLAY, TRAFFIC, RETIRE = (
    f"{names.OLD_CLUSTER}-{name}" for name in ("egress", "overlay", "traffic", "retire")
)
KNOWN_BY_PEOPLE: Final[Mapping[str, str]] = {
    "frontDoor.resourceGroup": names.GROUP,
    "frontDoor.profile": names.FRONT_DOOR,
    "frontDoor.originGroup": names.ORIGIN_GROUP,
    "origins.old.name": names.OLD_ORIGIN,
    "origins.old.hostName": "kubenet.checkout.example.com",
    "origins.old.originHostHeader": "checkout.example.com",
    "origins.new.hostName": "overlay.checkout.example.com",
    "origins.new.originHostHeader": "checkout.example.com",
    "gate.workspaceId": names.WORKSPACE,
}
"""What no reading knows and a person writes into the plan's files, by its key."""
REQUESTS_A_MINUTE: Final = 6000
REQUESTS_A_POD: Final = 280
"""What one pod of the shop's front answers in a minute; above it, requests fail and wait."""
FEW, ENOUGH = 10, 24
"""Replicas of it in the new cluster: what somebody guessed, and what all requests need."""
SHORT: Final = Manners(errors=0.04, p95=650.0)
"""How a cluster answers that has fewer."""
ROUNDS: Final = 5
"""Diagnoses after each of which what is printed is done; three nodes leak."""
EXPECTED: Final = Expected(causes=((RootCause.IPAMD_FAILURE, Detail.HOST_LOCAL_LEAK),))
MINUTES_AT_ONCE: Final = 5
"""Simulated minutes between two breaths of a rehearsal while a gate watches."""
MISLABELLED: Final = "allow-payments-from-checkout"
DAY: Final = 86_400.0
NOT_FOUND: Final = 404

CANNOT_SHOW: Final = (
    "How long Azure takes: a cluster, a gateway and a role are there at once here; Front Door's propagation is 20 min.",
    "Packets: routes, security groups and NAT are checked for existence; requests are counted, not sent.",
    "Role assignments as Azure Policy, locks and Conditional Access limit them.",
    "Why a DEL was lost: here the runtime is said to have been restarted; on a node, read the kubelet's journal.",
    "Schedules of CronJobs: the controllers run by the wall's clock, so the job is started when its night has come.",
    "Data of the application: sessions, queues and volumes that live in the old cluster alone.",
    "The sampling and the delays of Application Insights beyond two minutes.",
)


@refusals_told()
def play(world: AksWorld, narrator: Narrator, clock: Clock, *, save: Path | None = None) -> dict[str, Any]:
    """Plays it; returns what `--json` prints beside the phases. Facts and verdict go to `save`."""
    estate = Estate(world.arm)
    labels = {names.OLD_ORIGIN: names.OLD_CLUSTER, NEW_CLUSTER: NEW_CLUSTER}
    visitors = Visitors(arm=world.arm, group=estate.origin_group_id, labels=labels, per_minute=REQUESTS_A_MINUTE)
    story = Story(world=world, narrator=narrator, clock=clock, estate=estate, visitors=visitors)
    with narrator.phase("cluster", "A cluster of 2022: kubenet, and a database that knows its address") as phase:
        old = _cluster(story)
        phase.facts = {"nodes": len(old.kubelets.nodes), "pods": len(old.pods())}
    with narrator.phase("incident", f"{clock.text()}  {SCALED} scales out, and its pods hang") as phase:
        phase.facts = {"pods that hang": _incident(story, old)}
    with narrator.phase("diagnose", "Why pods get no address") as phase:
        played = _diagnose(story, old)
        phase.facts = {"verdict": ", ".join(cause.name for cause in played.diagnosis.causes), "calls": played.calls}
    with narrator.phase("relief", "What is printed is done, and nothing else") as phase:
        phase.facts = _relief(story, old, played)
    world.begin_plane(NEW_CLUSTER)
    with narrator.phase("plan", "In place, or beside it?") as phase:
        phase.facts = _plan(story, old, played)
    with narrator.phase("egress", "An address that stays: made first, attached later") as phase:
        phase.facts = _egress(story, old)
    with narrator.phase("overlay", "A cluster with overlay beside it, in a subnet of its own") as phase:
        new = _overlay(story, old)
        phase.facts = {"nodes": len(new.kubelets.nodes), "pods": len(new.pods())}
    with narrator.phase("probes", "Every NetworkPolicy, tried in the new cluster") as phase:
        phase.facts = _probes(story, new)
    with narrator.phase("traffic", "10, 25, 50, 100 %: a bad step is stopped and taken back") as phase:
        phase.facts = _traffic(story, old, new)
    with narrator.phase("window", "Nine days in which the old cluster stays the way back") as phase:
        phase.facts = _window(story, old, new)
    with narrator.phase("retire", "The end of the old cluster, in the order that works") as phase:
        phase.facts = _retire(story, old, new)
    if save is not None:
        save_played(played, save / NAME)
    return {
        **result_of(played),
        "scenario": NAME,
        "azureCalls": world.arm.calls(),
        "gates": [{"step": step, "outcome": outcome} for step, outcome in story.gates],
        "bills": [{"night": night, "from": source, "exitCode": code} for night, source, code in story.bills],
        "cannotShow": list(CANNOT_SHOW),
        "next": NEXT,
    }


# The cluster and its incident


def _cluster(story: Story) -> Running:
    estate, narrator = story.estate, story.narrator
    pools = (names.pool("default", 3, mode="System", maxPods=MAX_PODS), names.pool("apps", 3, maxPods=MAX_PODS))
    names.make_network(estate)
    names.make_cluster(estate, *pools, networkPolicy="calico")
    address = estate.outbound_address(names.OLD_CLUSTER)
    names.make_consumers(estate, address)
    names.make_front_door(estate)
    narrator.say("  nodes and pods …")
    program = billing_of(estate, names.OLD_CLUSTER)
    old = start_cluster(story.world, estate, story.clock, names.OLD_CLUSTER, daemons=DAEMONS, program=program)
    deploy(old, APPS)
    narrator.say("  three nodes more, for jobs that come and go by the thousand; in some nights the runtime restarts …")
    old.shell.run(_scale(6))
    late = [f"aks-apps-vmss{index:06x}" for index in (3, 4, 5)]
    deploy(old, BATCH)
    grow_old(old, late, free=1)
    make_billing(old, suspended=False)
    lead(old, story.now())
    make_policies(old)
    bill(story, old)
    narrator.say(f"Its pods are seen as {address}, an address that AKS made for its load balancer.")
    story.visitors.pass_minutes(1)
    return old


def _scale(count: int) -> str:
    where = f"--resource-group {names.GROUP} --cluster-name {names.OLD_CLUSTER} --name apps"
    return f"az aks nodepool scale {where} --node-count {count}"


def _incident(story: Story, old: Running) -> int:
    narrator = story.narrator
    narrator.command(f"kubectl -n {NAMESPACE} scale deployment {SCALED} --replicas={AFTER}")
    old.kube.patch(DEPLOYMENTS, SCALED, {"spec": {"replicas": AFTER}}, namespace=NAMESPACE)
    old.settle("pods to hang", lambda: _told_of(old) and _bound(old, SCALED) >= AFTER)
    stuck = old.stuck()
    narrator.command(f"kubectl -n {NAMESPACE} get pods -o wide | grep ContainerCreating")
    rows = [(p["metadata"]["name"], "0/1", "ContainerCreating", p["spec"]["nodeName"]) for p in stuck]
    narrator.table(("NAME", "READY", "STATUS", "NODE"), rows)
    events = old.kube.list_all(EVENTS, NAMESPACE, fields="reason=FailedCreatePodSandBox")
    narrator.output(events[-1]["message"])
    return len(stuck)


def _told_of(running: Running) -> bool:
    return bool(running.kube.list_all(EVENTS, NAMESPACE, fields="reason=FailedCreatePodSandBox"))


def _bound(running: Running, app: str) -> int:
    pods = running.pods()
    return sum(p["metadata"].get("labels", {}).get("app") == app and bool(p["spec"].get("nodeName")) for p in pods)


def _diagnose(story: Story, old: Running) -> Played:
    narrator = story.narrator
    story.in_step()
    worst = sorted({pod["spec"]["nodeName"] for pod in old.stuck()})
    narrator.command(f"{HOST_LOCAL_COMMAND.replace('NODE', worst[0], 1)} > {worst[0]}.txt")
    text = old.debug(worst[0])
    narrator.output("\n".join(text.splitlines()[:3]))
    kubelet = old.kubelets.nodes[worst[0]]
    reserved = len(kubelet.cni.reserved()) if isinstance(kubelet.cni, HostLocal) else 0
    narrator.say(f"  … {reserved} files in all, for {len(kubelet.sandboxes())} sandboxes.")
    narrator.say(f"The same on {listed(worst[1:])}.")
    narrator.command(f"headroom diagnose {old.named} {logs_of(worst)}")
    names.write_balancer_metrics(story.estate, story.clock.now())
    old.world.arm.forget_calls()
    lead(old, story.now())
    started = time.monotonic()
    snapshot = old.read(debugged=worst)
    collected = time.monotonic()
    found = diagnose(snapshot)
    played = Played(
        snapshot=snapshot,
        diagnosis=found,
        calls=budget(snapshot).calls,
        seconds={"collect": collected - started, "diagnose": time.monotonic() - collected},
    )
    for line in told(found):
        narrator.say(line)
    judge(EXPECTED, found)
    return played


def reliefs(diagnosis: Diagnosis) -> list[str]:
    """The commands that a diagnosis prints, in its order."""
    return [each.command for each in (diagnosis.impact.reliefs if diagnosis.impact is not None else ())]


def _relief(story: Story, old: Running, played: Played) -> dict[str, Any]:
    narrator, started = story.narrator, story.clock.now()
    found = played.diagnosis
    for number in range(1, ROUNDS + 1):
        for command in reliefs(found):
            narrator.command(command)
            said = old.shell.run(command)
            narrator.output("\n".join(shortened(said)))
        old.settle("evicted pods to find a place", lambda: all(p["spec"].get("nodeName") for p in old.pods()))
        story.in_step()
        stuck = len(old.stuck())
        narrator.say(f"  {story.clock.text()}  {stuck} pods hang")
        if not stuck:
            old.settle("all pods to run", lambda: not old.without_address())
            minutes = round((story.clock.now() - started) / 60, 1)
            return {"rounds": number, "nodes": len(old.kubelets.nodes), "simulated minutes": minutes}
        narrator.command("headroom diagnose …")
        found = diagnose(old.read(debugged=sorted({pod["spec"]["nodeName"] for pod in old.stuck()})))
        for line in list(told(found))[:2]:
            narrator.say(line)
    raise RehearsalFailedError(f"{len(old.stuck())} pods still hang after {ROUNDS} rounds of what is printed")


def _plan(story: Story, old: Running, played: Played) -> dict[str, Any]:
    """What the plan makes of the incident's facts.

    Raises:
        RehearsalFailedError: It does not plan a cluster beside the old one, which has a policy engine of its own.
    """
    narrator, started = story.narrator, time.monotonic()
    narrator.command(f"headroom plan {old.named}")
    plan = make_plan(played.snapshot, played.diagnosis)
    played.plan, played.seconds["plan"] = plan, time.monotonic() - started
    for option in plan.options:
        narrator.say(f"  {'✓' if option.kept else '✗'} {option.title}. {option.reason}")
    files = [file.path for file in plan.files]
    for file in plan.files:
        narrator.say(f"  {file.path}: {file.purpose}")
    wanted = [f"stacks/Pulumi.{stack}.yaml" for stack in (EGRESS, OVERLAY, TRAFFIC, RETIRE)]
    if not set(wanted) <= set(files):
        raise RehearsalFailedError(f"the plan writes {', '.join(files) or 'nothing'}, not {', '.join(wanted)}")
    written = written_files(plan)
    for file in written:
        (story.world.engine.project / file.path).write_text(file.text, encoding="utf-8")
    _decide(story, plan)
    filled = _fill_in(story)
    _replace(plan, old, played.diagnosis, narrator)
    narrator.say("\nWhat the plan says to do tonight is done. Did it work?")
    met = until_met(read_plan(story.world.engine.project / written[-1].path), old, narrator, written[-1].path)
    return {"steps": len(plan.steps), "files": len(written), "filled in": filled, "conditions": met}


def _replace(plan: Plan, old: Running, diagnosis: Diagnosis, narrator: Narrator) -> None:
    """Deletes the machines of the drained nodes, one at a time, by the command that the plan has for the first."""
    command = next(step.command for step in plan.steps if " delete-machines " in step.command)
    [leak] = (cause for cause in diagnosis.causes if cause.detail is Detail.HOST_LOCAL_LEAK)
    narrator.say("\nThe drained nodes go, and their files with them:")
    for node in leak.scope.nodes:
        named = command.replace(leak.scope.nodes[0], node)
        narrator.command(named)
        narrator.output("\n".join(old.shell.run(named)))


def _fill_in(story: Story) -> int:
    """Writes into the plan's files what only a person knows; how many keys that were.

    Raises:
        RehearsalFailedError: The plan asks for something that nobody has told here.
    """
    count = 0
    for path in sorted(story.world.engine.stack_file(TRAFFIC).parent.glob("Pulumi.*.yaml")):
        text = path.read_text(encoding="utf-8")
        config = yaml.safe_load(text)["config"]
        asked = open_keys({key.partition(":")[2]: value for key, value in config.items() if ":" in key})
        for key, value in asked.items():
            if key not in KNOWN_BY_PEOPLE:
                raise RehearsalFailedError(f"{path.name} asks for {key}, which nobody here knows")
            last = key.rpartition(".")[2]
            written = rf'\b{last}: "?{re.escape(value)}"?$'
            text = re.sub(written, f'{last}: "{KNOWN_BY_PEOPLE[key]}"', text, count=1, flags=re.MULTILINE)
        path.write_text(text, encoding="utf-8")
        if asked:
            keys = ", ".join(asked)
            story.narrator.say(f"stacks/{path.name}: filled in by a person, who alone knows it: {keys}.")
        count += len(asked)
    return count


def _decide(story: Story, plan: Plan) -> None:
    """Decides on the plan's list of what runs on one side only.

    Raises:
        RehearsalFailedError: It misses the job, or what elects a leader.
    """
    file = next(file for file in plan.files if file.path == f"stacks/{ONE_SIDE}")
    asked = [line for line in file.text.splitlines() if line.startswith("? ")]
    if len(asked) != 1 or f"deployment/{LEADS}" not in asked[0] or f"cronjob/{BILLING}" not in file.text:
        raise RehearsalFailedError(f"the plan lists something else as running on one side only:\n{file.text}")
    story.narrator.say(f"{file.path} asks one question, which is answered: {asked[0]}")
    path = story.world.engine.stack_file(TRAFFIC).with_name(ONE_SIDE)
    path.write_text(file.text.replace("\n? ", "\n"), encoding="utf-8")


# An address that stays


def _egress(story: Story, old: Running) -> dict[str, Any]:
    narrator, estate = story.narrator, story.estate
    story.make_stack(EGRESS)
    story.up(EGRESS)
    before = estate.outbound_address(names.OLD_CLUSTER)
    address = str(json.loads(story.world.engine.must("stack", "output", "addresses", "--stack", EGRESS).output)[0])
    if estate.outbound_address(names.OLD_CLUSTER) != before:
        raise RehearsalFailedError("the address moved before anything was attached")
    narrator.say(f"The new address is {address}; the cluster is still seen as {before}.")
    narrator.say("\nThe old cluster is to go behind the gateway as well. Attached before the audit, it is refused:")
    gateways = story.config(EGRESS)["headroom:gateways"]
    story.write(EGRESS, "headroom:gateways", {"main": {**gateways["main"], "subnets": {"nodes": estate.subnet_id()}}})
    story.write(EGRESS, "headroom:attach", value=True)
    story.pulumi("preview", "--stack", EGRESS, must_fail=True)
    changed = _audit(story, old, before, address)
    _naive(story)
    narrator.say("\nThe stack does it with every property of the subnet, which it takes over as it is:")
    kept = _kept(estate.subnet())
    story.up(EGRESS)
    after = estate.subnet()
    if _kept(after) != kept or not after["properties"].get("natGateway"):
        raise RehearsalFailedError(f"the subnet lost something: {kept} became {_kept(after)}")
    if estate.outbound_address(names.OLD_CLUSTER) != address:
        raise RehearsalFailedError("the cluster is not seen with the new address")
    narrator.say(f"Route table, security group and service endpoints are there; {old.name} is now seen as {address}.")
    story.pass_time(DAY / 2)
    bill(story, old)
    return {"address": address, "lists changed": changed}


_KEPT: Final = ("addressPrefix", "routeTable", "networkSecurityGroup", "serviceEndpoints", "delegations")


def _kept(subnet: Mapping[str, Any]) -> dict[str, Any]:
    return {key: subnet["properties"].get(key) for key in _KEPT}


def _audit(story: Story, running: Running, old: str, new: str) -> int:
    """Finds who knows the old address, adds the new one there by the commands of its plan, and audits again."""
    from headroom.cli.audit_egress import audit_egress  # noqa: PLC0415 - the SDKs load slowly

    narrator, engine = story.narrator, story.world.engine
    record = engine.stack_file(EGRESS).with_name(audit_file(EGRESS))
    plan = story.world.folder / "changes.sh"
    given = ["--old", old, "--new", new, "--region", names.LOCATION, "--endpoint-url", story.world.arm.url]
    asked = f"headroom audit-egress --old {old} --new {new} --region {names.LOCATION}"
    recorded = f"--record stacks/{record.name}"
    narrator.command(f"{asked} --plan changes.sh {recorded}")
    code, said = story.command(audit_egress, *given, "--record", str(record), "--plan", str(plan))
    narrator.output(said)
    if code != 1 or names.DATABASE not in said:
        raise RehearsalFailedError(f"the audit does not find the database (exit code {code}):\n{said}")
    commands = [line for line in plan.read_text(encoding="utf-8").splitlines() if line.startswith("az ")]
    narrator.command("sh changes.sh")
    for command in commands:
        narrator.output("\n".join(running.shell.run(command)))
    if new not in firewall(story.estate) or old not in firewall(story.estate):
        raise RehearsalFailedError("the database does not have both addresses")
    inventory = story.world.folder / "lists.yaml"
    confirmed = example_inventory((Span.parse(new),)).replace("confirmed: no", "confirmed: yes")
    inventory.write_text(confirmed, encoding="utf-8")
    narrator.say("What Azure cannot tell, its owners confirm, each list of it, in lists.yaml.")
    narrator.command(f"{asked} --inventory lists.yaml {recorded}")
    code, said = story.command(audit_egress, *given, "--inventory", str(inventory), "--record", str(record))
    narrator.output(said)
    if code:
        raise RehearsalFailedError(f"the audit is not clear after its own plan (exit code {code}):\n{said}")
    return len(commands)


_NAIVE_URN: Final = f"urn:pulumi:preprod::shop::{VNET_SUBNET}::nodes"


def _naive(story: Story) -> None:
    """The published change of the subnet: refused by the policies, and tried on a copy, where what it leaves out goes.

    Raises:
        RehearsalFailedError: The policies let it pass; or the simulated Azure keeps the route table, which Azure would
            not.
    """
    narrator, estate = story.narrator, story.estate
    vnet, subnet = "vnet-preprod", names.NODE_SUBNET
    network = "Microsoft.Network"
    space = {"addressSpace": {"addressPrefixes": ["10.30.0.0/16"]}}
    estate.add(f"{network}/virtualNetworks", vnet, location=names.LOCATION, properties=space)
    subnet_id = estate.add(
        f"{network}/virtualNetworks/subnets", vnet, subnet, properties={"addressPrefix": "10.30.4.0/22"}
    )
    gateway = estate.add(f"{network}/natGateways", "nat-preprod", location=names.LOCATION, sku={"name": "Standard"})
    names.make_cluster(estate, names.pool("default", 3, mode="System", vnetSubnetID=subnet_id), name="aks-preprod-eus2")
    before = estate.network.subnets.get(estate.group, vnet, subnet).as_dict()["properties"]
    table = before["routeTable"]["id"].rpartition("/")[2]
    naive: dict[str, Any] = {"addressPrefix": "10.30.4.0/22", "natGateway": {"id": gateway}}
    state = {"urn": _NAIVE_URN, "type": VNET_SUBNET, "id": subnet_id, "custom": True}
    step = {"op": "update", "urn": _NAIVE_URN, "newState": {**state, "inputs": naive, "outputs": {**before, **naive}}}
    preview = story.world.folder / "preview.json"
    preview.write_text(json.dumps({"steps": [step]}), encoding="utf-8")
    narrator.say(
        "\nThe published Bicep puts the gateway on the subnet with its prefix alone. In a preview that is an "
        "update like any other; the policies refuse it:"
    )
    narrator.command("headroom check preview.json")
    code, said = story.command(check, str(preview))
    narrator.output(said)
    if code != 1 or "subnet-complete" not in said:
        raise RehearsalFailedError(f"the policies let the naive change of a subnet pass (exit code {code}):\n{said}")
    narrator.say("\nAzure itself accepts it. Tried in pre-production:")
    body: Any = {"properties": naive}
    estate.network.subnets.begin_create_or_update(estate.group, vnet, subnet, body).result()
    after = estate.network.subnets.get(estate.group, vnet, subnet).as_dict()["properties"]
    if after.get("routeTable"):
        raise RehearsalFailedError("the simulated Azure keeps what a PUT leaves out")
    narrator.table(
        ("PROPERTY", "BEFORE", "AFTER"), [("routeTable", table, "none"), ("natGateway", "none", "nat-preprod")]
    )
    narrator.say("Three nodes have lost the routes to each other's pods (Azure/AKS #400, #1242).")


# The cluster beside it


def _overlay(story: Story, old: Running) -> Running:
    narrator, estate = story.narrator, story.estate
    story.make_stack(OVERLAY)
    story.up(OVERLAY)
    new = start_cluster(
        story.world,
        estate,
        story.clock,
        NEW_CLUSTER,
        daemons=("kube-proxy", "calico-node", "azure-cns"),
        program=billing_of(estate, NEW_CLUSTER),
    )
    path = f"stacks/verify.{OVERLAY}.json"
    until_met(read_plan(story.world.engine.project / path), new, narrator, path)
    narrator.say(
        f"What runs in the old cluster is applied to the new one; what elects a leader ({LEADS}) has no pods there yet."
    )
    deploy(new, {**APPS, **BATCH, SCALED: FEW, LEADS: 0})
    make_billing(new, suspended=False)
    make_policies(new)
    seen = {name: estate.outbound_address(name) for name in (names.OLD_CLUSTER, NEW_CLUSTER)}
    if len(set(seen.values())) != 1:
        raise RehearsalFailedError(f"the clusters are seen with different addresses: {seen}")
    blocks = sorted(node.pod_cidr for node in new.kubelets.nodes.values())
    narrator.say(
        f"{len(new.pods())} pods run on {len(blocks)} nodes, each with a /24 of its own ({blocks[0]}, {blocks[1]}, …): "
        "overlay has one too."
    )
    narrator.say(f"Both clusters are seen as {seen[NEW_CLUSTER]}.")
    _move(story, new, "--stop")
    _one_side(story, old, new, "old")
    bill(story, old, new)
    return new


# Policies


def make_policies(running: Running) -> None:
    """The policies that have gathered: nothing may come in but what is allowed, and one that selects no pod."""
    ingress = {"namespaceSelector": {"matchLabels": {"name": "ingress-nginx"}}}
    ports = [{"protocol": "TCP", "port": 8080}]
    rules: Mapping[str, dict[str, Any]] = {
        "default-deny-ingress": {"podSelector": {}},
        "allow-checkout-from-ingress": {
            "podSelector": {"matchLabels": {"app": SCALED}},
            "ingress": [{"from": [ingress], "ports": ports}],
        },
        MISLABELLED: {
            "podSelector": {"matchLabels": {"app": "payment"}},
            "ingress": [{"from": [{"podSelector": {"matchLabels": {"app": SCALED}}}], "ports": ports}],
        },
    }
    for name, spec in rules.items():
        running.kube.create(
            NETWORK_POLICIES,
            {
                "apiVersion": NETWORK_POLICIES.group_version,
                "kind": NETWORK_POLICIES.kind,
                "metadata": {"name": name, "namespace": NAMESPACE},
                "spec": {"policyTypes": ["Ingress"], **spec},
            },
        )


def _probes(story: Story, new: Running) -> dict[str, Any]:
    narrator = story.narrator
    code, said = _probe(story, new)
    if code != 1 or MISLABELLED not in said:
        raise RehearsalFailedError(
            f"the probes do not find the policy that selects nothing (exit code {code}):\n{said}"
        )
    narrator.say("\nIts selector has a letter too few. Mended, and tried again:")
    selector = {"spec": {"podSelector": {"matchLabels": {"app": "payments"}}}}
    narrator.command(f"kubectl -n {NAMESPACE} patch networkpolicy {MISLABELLED} --patch '{json.dumps(selector)}'")
    new.kube.patch(NETWORK_POLICIES, MISLABELLED, selector, namespace=NAMESPACE)
    code, said = _probe(story, new)
    if code:
        raise RehearsalFailedError(f"a policy is not enforced (exit code {code}):\n{said}")
    return {"policies": 3, "enforced": said.count("ENFORCED  ")}


def _probe(story: Story, new: Running) -> tuple[int, str]:
    """Runs the probes, with the cluster's policy engine on; exit code and what they said."""
    record = story.world.engine.stack_file(TRAFFIC).with_name(probes_file(TRAFFIC))
    story.narrator.command(f"headroom probes --context {new.name} --run --record stacks/{record.name}")

    def run() -> tuple[int, str]:
        ended = _headroom(story, [new], "probes", "--context", new.name, "--run", "--record", str(record))
        return ended.returncode, ended.stdout + ended.stderr

    code, said = story.meanwhile(run, lambda: run_probe_jobs(new.kube, engine_on=True))
    said = said.replace(f"{record.parent}/", "stacks/")
    story.narrator.output(said)
    return code, said


def _headroom(story: Story, clusters: Sequence[Running], *words: str) -> "subprocess.CompletedProcess[str]":
    """Runs one of our own commands with contexts of these clusters.

    In a process of its own: which kubeconfig is the usual one is settled when its package is loaded.
    """
    environment = {**os.environ, "KUBECONFIG": str(story.world.credentials(*(each.name for each in clusters)))}
    command = [sys.executable, "-m", "headroom.cli", *words]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)  # noqa: S603 - our own program


# Traffic


def _traffic(story: Story, old: Running, new: Running) -> dict[str, Any]:
    narrator = story.narrator
    story.visitors.capacity = lambda: {NEW_CLUSTER: _ready(new) * REQUESTS_A_POD}
    story.visitors.short = SHORT
    story.make_stack(TRAFFIC)
    story.up(TRAFFIC)
    narrator.say("The new origin is there, disabled. An hour and a half pass: Front Door's edges, and a baseline.")
    story.visitors.pass_minutes(90)
    story.in_step()
    for step in (10, 25):
        _step(story, step, must=0)
    said = _step(story, 50, must=1)
    back = next(line for line in said.splitlines() if line.startswith("NEXT"))
    command = back.removeprefix("NEXT").split("    ")[0].strip()
    narrator.say("\nThe way back is that one command:")
    words = command.split()
    story.pulumi(*words[1:], "--yes", "--skip-preview")
    _gate(story, int(command.rpartition("=")[2]), must=0)
    narrator.say(f"\n{_ready(new)} pods answer {REQUESTS_A_POD} requests a minute each: too few for half of them.")
    narrator.command(f"kubectl -n {NAMESPACE} scale deployment {SCALED} --replicas={ENOUGH}")
    new.kube.patch(DEPLOYMENTS, SCALED, {"spec": {"replicas": ENOUGH}}, namespace=NAMESPACE)
    new.settle("the further pods to be ready", lambda: _ready(new) >= ENOUGH)
    _step(story, 50, must=0)
    narrator.say("\nBefore the last step, what runs on one side only moves: stopped in one, started in the other.")
    _hand_over(story, old, new)
    _step(story, 100, must=0)
    return {"gates": len(story.gates), "stopped": sum(outcome == "stopped" for _, outcome in story.gates)}


def _ready(running: Running) -> int:
    found = running.kube.get(DEPLOYMENTS, SCALED, NAMESPACE)
    return int((found.get("status") or {}).get("readyReplicas") or 0)


def _step(story: Story, step: int, *, must: int) -> str:
    """One pull request: the step, and the gate after it; what the gate said."""
    story.write(TRAFFIC, "headroom:step", step)
    story.up(TRAFFIC, lines=8)
    return _gate(story, step, must=must)


def _gate(story: Story, step: int, *, must: int) -> str:
    """Runs the gate while minutes pass; what it said.

    Raises:
        RehearsalFailedError: It ends otherwise than it must, or not at all.
    """
    from headroom.cli.gate import gate  # noqa: PLC0415 - the SDKs load slowly

    file = story.world.engine.stack_file(TRAFFIC)
    since = datetime.fromtimestamp(story.world.arm.now(), UTC).isoformat(timespec="seconds")
    story.narrator.command(f"headroom gate stacks/{file.name}")
    arguments = [str(file), "--since", since, "--every", "1", "--endpoint-url", story.world.arm.url]
    code, said = story.meanwhile(
        lambda: story.command(gate, *arguments), lambda: story.visitors.pass_minutes(MINUTES_AT_ONCE)
    )
    story.in_step()
    story.narrator.output(said)
    outcome = {0: "passed", 1: "stopped"}.get(code, "undecided")
    story.gates.append((step, outcome))
    if code != must:
        raise RehearsalFailedError(f"the gate of step {step} ends with {code}, not {must}:\n{said}")
    return said


# Nine days, and the end


def _window(story: Story, old: Running, new: Running) -> dict[str, Any]:
    """The rollback window, a night at a time; the job runs in the new cluster from the first on."""
    narrator = story.narrator
    story.make_stack(RETIRE)
    story.up(RETIRE)
    narrator.say("\nA day after the last step somebody wants to save the money:")
    story.pass_time(DAY)
    bill(story, old, new)
    _phase(story, "zero", must_fail=True)
    for _ in range(1, ROLLBACK_DAYS):
        story.pass_time(DAY)
        bill(story, old, new)
    # The window begins when the gate has passed, minutes after the last step's own day.
    story.pass_time(DAY / 24)
    return {"days": ROLLBACK_DAYS, "bills": len(story.bills), "failed": sum(bool(code) for *_, code in story.bills)}


def _hand_over(story: Story, old: Running, new: Running) -> None:
    """What `headroom one-side` prints is done: in the old cluster first, and in the new one once nothing runs there."""
    for running, option, expected in ((old, "--stop", "neither"), (new, "--start", "new")):
        _move(story, running, option)
        running.settle(
            "what elects a leader to follow", partial(_followed, running, wanted=BATCH[LEADS] if running is new else 0)
        )
        _one_side(story, old, new, expected)


def _move(story: Story, running: Running, option: str) -> None:
    """Does in a cluster what `headroom one-side` prints for it.

    Raises:
        RehearsalFailedError: It prints nothing.
    """
    from headroom.cli.one_side import one_side  # noqa: PLC0415 - when it is due

    story.narrator.command(f"headroom one-side stacks/{ONE_SIDE} {option} {running.name} | sh")
    code, said = story.command(one_side, str(_one_side_list(story)), option, running.name)
    if code:
        raise RehearsalFailedError(f"nothing is printed that moves the job (exit code {code}):\n{said}")
    for command in said.splitlines():
        story.narrator.output("\n".join(running.shell.run(command)))


def _followed(running: Running, *, wanted: int) -> bool:
    """Whether the pods of what elects a leader are as many as wanted, with an address."""
    pods = [pod for pod in running.pods() if pod["metadata"].get("labels", {}).get("app") == LEADS]
    return len(pods) == wanted and all(pod.get("status", {}).get("podIP") for pod in pods)


def _one_side_list(story: Story) -> Path:
    """The plan's list, on which somebody has decided: what elects a leader here writes what both clusters share."""
    path = story.world.engine.stack_file(TRAFFIC).with_name(ONE_SIDE)
    if not path.exists():
        raise RehearsalFailedError(f"nobody has written {ONE_SIDE}")
    return path


def _one_side(story: Story, old: Running, new: Running, expected: str) -> None:
    """Asks both clusters where everything runs that must run on one side only.

    Raises:
        RehearsalFailedError: Elsewhere than expected.
    """
    for running in (old, new):
        # The command reads by the wall's clock.
        lead(running, datetime.now(UTC))
    words = ["--old", old.name, "--new", new.name, "--expect", expected]
    story.narrator.command(f"headroom one-side stacks/{ONE_SIDE} {' '.join(words)}")
    ended = _headroom(story, [old, new], "one-side", str(_one_side_list(story)), *words)
    story.narrator.output(ended.stdout)
    if ended.returncode:
        raise RehearsalFailedError(f"what must run on one side only does not: {ended.stdout}{ended.stderr}")


def _phase(story: Story, phase: str, *, must_fail: bool = False) -> None:
    story.write(RETIRE, "headroom:phase", phase)
    story.up(RETIRE, must_fail=must_fail)


def _retire(story: Story, old: Running, new: Running) -> dict[str, Any]:
    narrator, estate = story.narrator, story.estate
    drained = _drain(story, old)
    _phase(story, "zero")
    pool: Any = estate.containers.agent_pools.get(estate.group, names.OLD_CLUSTER, "apps")
    if pool.count:
        raise RehearsalFailedError(f"{pool.count} nodes are left in the pool apps")
    went = [name for name in old.kubelets.nodes if name.startswith("aks-apps-")]
    narrator.say(f"{len(went)} nodes go; the system pool stays until the end.")
    # Nothing is asked of its API server any more, and nobody waits for what its nodes would tell it.
    old.end()
    narrator.say("\nDeleted now, the cluster would leave its route table in use, and the deletion would fail:")
    _phase(story, "delete", must_fail=True)
    _phase(story, "detach")
    _phase(story, "delete")
    try:
        estate.containers.managed_clusters.get(estate.group, names.OLD_CLUSTER)
    except HttpResponseError as error:
        if error.status_code != NOT_FOUND:
            raise
    else:
        raise RehearsalFailedError("the old cluster is still there")
    subnet = estate.subnet()["properties"]
    if subnet.get("routeTable") or not subnet.get("natGateway"):
        raise RehearsalFailedError(f"the subnet is not as it must be: {subnet}")
    story.pass_time(DAY)
    bill(story, new)
    if new.without_address() or story.visitors.shares() != {names.OLD_CLUSTER: 0.0, NEW_CLUSTER: 1.0}:
        raise RehearsalFailedError("the new cluster does not serve all requests")
    return {"pods drained": drained, "nodes that went": len(went) + 3, "bills": len(story.bills)}


def _drain(story: Story, old: Running) -> int:
    """Does what the stack names as the step before its pools go to zero; how many pods left them."""
    command = story.pulumi("stack", "output", "next", "--stack", RETIRE).output.partition(";")[0].strip()
    story.narrator.command(command)
    said = old.shell.run(command)
    story.narrator.output("\n".join(said))
    return int(said[-1].partition(" ")[0])
