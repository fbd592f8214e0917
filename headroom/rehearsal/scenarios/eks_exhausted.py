"""`eks-exhausted`: the subnets of a cluster run dry, and the emergency stack cures it."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from headroom.addresses.blocks import Block, usable_addresses
from headroom.capacity.cni_version import SUBNET_ROLE_TAG
from headroom.diagnosis.verdict import RootCause
from headroom.rehearsal.clock import Clock
from headroom.rehearsal.engine import CHECKOUT
from headroom.rehearsal.kube import DEPLOYMENTS, EVENTS
from headroom.rehearsal.narration import Narrator
from headroom.rehearsal.scenarios import cluster as reference
from headroom.rehearsal.scenarios import sight
from headroom.rehearsal.scenarios.cluster import NAMESPACE, ZONES, Cluster, wait_for
from headroom.rehearsal.scenarios.incident import (
    CANNOT_SHOW,
    Expected,
    RehearsalFailedError,
    check_nodes,
    find_out,
    make,
    pulumi,
    result_of,
    save_played,
    until_met,
    write_plan,
)
from headroom.rehearsal.world import REGION, World

NAME = "eks-exhausted"
STACK = f"{reference.CLUSTER}-emergency"
BY_HAND = f"{reference.CLUSTER}-by-hand"
SCALED, BEFORE, AFTER = "checkout-api", 120, 360

EXPECTED = Expected(causes=((RootCause.SUBNET_EXHAUSTION, None),), also=((RootCause.WARM_TARGET, None),))


def play(world: World, narrator: Narrator, clock: Clock, *, save: Path | None = None) -> dict[str, Any]:
    """Plays the incident; returns what `--json` prints beside the phases. Facts and verdict go to `save`."""
    with narrator.phase("cluster", "A cluster like many: 30 m5.8xlarge, 1,200 pods, three /22 subnets") as phase:
        running = reference.build_cluster(world, clock, progress=lambda text: narrator.say(f"  {text} …"))
        clock.run()
        narrator.table(*_subnet_table(world, running))
        pods = sum(len(node.ipamd.pods) for node in running.nodes.nodes.values())
        held = sum(node.ipamd.state.subnet_addresses for node in running.nodes.nodes.values())
        narrator.say(
            f"{pods:,} pods run. Their nodes hold {held:,} addresses: a network interface keeps its addresses as "
            "long as one pod uses one of them,\nand one more interface is kept warm (WARM_ENI_TARGET=1)."
        )
        phase.facts = {"pods running": pods, "addresses held": held}
    with narrator.phase("incident", f"{clock.text()}  {SCALED} scales out, and its pods hang") as phase:
        stuck = _incident(world, running, narrator)
        phase.facts = {"pods that hang": stuck}
    with narrator.phase("refused", "What not to do: the commands of a published rule (CRE-2025-0112), judged") as phase:
        phase.facts = _refused(world, running, narrator)
    with narrator.phase("diagnose", "Why pods get no address, whom it hits, how it came to this") as phase:
        played = find_out(EXPECTED, world, narrator, running)
        phase.facts = {"verdict": ", ".join(cause.name for cause in played.diagnosis.causes), "AWS calls": played.calls}
    with narrator.phase("plan", "The smallest change that cures it, as files for review"):
        plan = make(narrator, played)
        if plan.stack != STACK:
            raise RehearsalFailedError(f"the plan writes {plan.stack or 'no stack'}, not {STACK}")
        narrator.output(plan.files[0].text)
    aws_nodes = sight.aws_nodes(running)
    with narrator.phase("preview", "The emergency stack, previewed with the policies") as phase:
        policies = write_plan(world, plan)
        preview = pulumi(world, narrator, "preview", *policies)
        played.seconds["preview"] = preview.seconds
        phase.facts = {"took (s)": round(preview.seconds, 2), "page to preview (s)": played.page_to_preview}
    with narrator.phase("up", "Applied") as phase:
        up = pulumi(world, narrator, "up", "--yes", "--skip-preview", *policies)
        phase.facts = {"took (s)": round(up.seconds, 2)}
    with narrator.phase("recovery", f"{clock.text()}  Nobody touches the cluster; the CNI finds the subnets") as phase:
        phase.facts = _recovery(world, running, narrator, aws_nodes)
    with narrator.phase("verify", "Every postcondition of the plan") as phase:
        phase.facts = {"conditions": until_met(world, narrator, running, plan)}
    with narrator.phase("destroy", "A premature destroy is refused, and nothing is deleted") as phase:
        phase.facts = _destroy(world, running, narrator)
    check_nodes(running)
    if save is not None:
        save_played(played, save / NAME)
    return {
        **result_of(played),
        "scenario": NAME,
        "awsCalls": world.endpoint.calls(),
        "cannotShow": list(CANNOT_SHOW),
    }


def _incident(world: World, running: Cluster, narrator: Narrator) -> int:
    narrator.command(f"kubectl -n {NAMESPACE} scale deployment {SCALED} --replicas={AFTER}")
    running.kube.patch(DEPLOYMENTS, SCALED, {"spec": {"replicas": AFTER}}, namespace=NAMESPACE)
    wait_for(
        lambda: sight.bound_of(running, SCALED) >= AFTER and bool(sight.stuck(running)),
        seconds=60,
        what="pods to hang",
    )
    sight.until_still(running, lambda: len(sight.stuck(running)))
    stuck = [pod for pod in sight.pods(running) if not sight.has_address(pod)]
    narrator.command(f"kubectl -n {NAMESPACE} get pods -l app={SCALED} -o wide | grep -v Running | head -4")
    narrator.table(
        ("NAME", "READY", "STATUS", "RESTARTS", "NODE"),
        [(p["metadata"]["name"], "0/1", sight.reason(p), 0, p["spec"]["nodeName"]) for p in stuck[:3]],
    )
    events = running.kube.list_all(EVENTS, NAMESPACE, fields="reason=FailedCreatePodSandBox")
    narrator.command(f"kubectl -n {NAMESPACE} get events --field-selector reason=FailedCreatePodSandBox | tail -1")
    narrator.output(events[-1]["message"] if events else "(no event)")
    narrator.say("The event names no cause. On the node, ipamd does:")
    narrator.command("grep Insufficient /var/log/aws-routed-eni/ipamd.log | tail -1")
    narrator.output(_last_ipamd_line(world, "InsufficientFreeAddressesInSubnet"))
    narrator.table(*_subnet_table(world, running))
    asks = next(iter(running.nodes.nodes.values())).limits.ipv4_per_eni
    most = max(subnet["AvailableIpAddressCount"] for subnet in _node_subnets(world, running))
    narrator.say(
        f"{len(stuck)} pods hang. A new interface asks for {asks} addresses at once, and no subnet has more than "
        f"{most} left: they are of no use to anybody."
    )
    if not stuck:
        raise RehearsalFailedError("no pod hangs: the subnets did not run dry")
    return len(stuck)


def _refused(world: World, running: Cluster, narrator: Narrator) -> dict[str, Any]:
    narrator.say("The rule's loop, run in bash, asks for these subnets:")
    loop = [f"100.64.{word}.0/24" for word in ("1", "b", "c")]
    world.engine.init(BY_HAND, configuration(running, _subnets(running, loop)))
    first = pulumi(world, narrator, "preview", must_fail=True)
    narrator.say("\nWith the letters mended they are valid, and still /24s. The policy pack judges them:")
    mended = [f"100.64.{number}.0/24" for number in (1, 2, 3)]
    world.engine.configure(BY_HAND, configuration(running, _subnets(running, mended)))
    judged = ["--policy-pack", str(CHECKOUT / "policies"), "--policy-pack-config", _policy_config(world)]
    second = pulumi(world, narrator, "preview", *judged, must_fail=True)
    if "pod-subnet-size" not in second.output:
        raise RehearsalFailedError("the policy pack did not refuse the /24s")
    return {"invalid (s)": round(first.seconds, 2), "undersized (s)": round(second.seconds, 2)}


def _recovery(
    world: World, running: Cluster, narrator: Narrator, aws_nodes: Mapping[str, tuple[str, int]]
) -> dict[str, Any]:
    clock = running.nodes.clock
    started = clock.now()
    narrator.say(
        "Each node that failed waits out the rest of its 120 s after InsufficientFreeAddressesInSubnet, then "
        "describes\nthe subnets of its zone and takes the one with most free addresses that carries the tag "
        f"{SUBNET_ROLE_TAG}=1."
    )
    before = len(sight.stuck(running))
    while len(sight.stuck(running)):
        left = len(sight.stuck(running))
        if clock.now() - started > 900:  # noqa: PLR2004 - five times what the CNI's pause explains
            raise RehearsalFailedError(f"{left} pods still hang 15 simulated minutes after the remedy")
        if left and left != before:
            narrator.say(f"  {clock.text()}  {left} pods wait")
            before = left
        clock.sleep_until(clock.now() + 10, most=1)
    new = [pod for pod in sight.pods(running) if pod["status"].get("podIP", "").startswith("100.64.")]
    ready = sorted(sight.ready_at(pod) for pod in new)
    narrator.say(f"  {clock.text(ready[-1])}  the last pod is ready")
    # Six rounds of the pool's loop: what is counted then holds still.
    sight.until_still(running, lambda: sight.interfaces(running), seconds=30)
    narrator.table(*_subnet_table(world, running))
    restarted = {name for name, state in sight.aws_nodes(running).items() if aws_nodes.get(name) != state}
    restarted |= {pod["metadata"]["name"] for pod in sight.pods(running) if sight.restarts(pod)}
    narrator.say(
        f"{len(new)} pods have addresses from 100.64.0.0/16. Restarted: "
        f"{', '.join(sorted(restarted)) or 'nothing'}. The first pod came up {ready[0] - started:.0f} s after `up`, "
        f"the last {ready[-1] - started:.0f} s after it (simulated time)."
    )
    if restarted:
        raise RehearsalFailedError(f"restarted: {', '.join(sorted(restarted))}")
    return {
        "pods in the new subnets": len(new),
        "first pod after (simulated s)": round(ready[0] - started),
        "last pod after (simulated s)": round(ready[-1] - started),
        "restarted": len(restarted),
    }


def _destroy(world: World, running: Cluster, narrator: Narrator) -> dict[str, Any]:
    plain = pulumi(world, narrator, "destroy", "--yes", "--skip-preview", must_fail=True, lines=-1)
    narrator.say("\nProtection taken away on purpose, and the program run, so that its guard is asked:")
    narrator.command("pulumi config set headroom:protect false")
    world.engine.must("config", "set", "headroom:protect", "false")
    pulumi(world, narrator, "up", "--yes", "--skip-preview", lines=0)
    guarded = pulumi(world, narrator, "destroy", "--yes", "--skip-preview", "--run-program", must_fail=True, lines=30)
    subnets = _pod_subnets(world, running)
    associated = [
        table
        for subnet in subnets
        for table in world.ec2.describe_route_tables(
            Filters=[{"Name": "association.subnet-id", "Values": [subnet["SubnetId"]]}]
        )["RouteTables"]
    ]
    if "still use" not in guarded.output or len(subnets) != len(ZONES) or len(associated) != len(ZONES):
        raise RehearsalFailedError("the destroy was not refused before anything was deleted")
    return {"plain (s)": round(plain.seconds, 2), "with the program (s)": round(guarded.seconds, 2)}


# What is configured and run


def _subnets(running: Cluster, blocks: Sequence[str]) -> dict[str, dict[str, str]]:
    return {
        zone: {"cidrBlock": block, "routeTableId": running.network.route_table_ids[zone]}
        for zone, block in zip(ZONES, blocks, strict=True)
    }


def configuration(running: Cluster, subnets: Mapping[str, Mapping[str, str]]) -> dict[str, Any]:
    """The stack file of the emergency stack for this cluster."""
    return {
        "aws:region": REGION,
        "headroom:remedy": "emergency",
        "headroom:clusterName": reference.CLUSTER,
        "headroom:cniVersion": reference.CNI_VERSION,
        "headroom:vpcId": running.network.vpc_id,
        "headroom:vpcCidrBlocks": [reference.VPC_CIDR],
        "headroom:serviceCidr": reference.SERVICE_CIDR,
        "headroom:secondaryCidrs": ["100.64.0.0/16"],
        "headroom:podSubnets": {zone: dict(subnet) for zone, subnet in subnets.items()},
        "headroom:tags": {"team": "platform"},
    }


def _policy_config(world: World) -> str:
    per_zone = (reference.SERVICE_NODES + reference.ANALYTICS_NODES) // len(ZONES)
    file = world.folder / "policy.json"
    content = {
        "pod-subnet-size": {
            "expectedNodes": dict.fromkeys(ZONES, per_zone),
            "podsPerNode": reference.SERVICE_PODS_PER_NODE,
            "instanceType": reference.SERVICES.instance_type,
            "surge": 1,
        }
    }
    file.write_text(json.dumps(content), encoding="utf-8")
    return str(file)


# What can be seen


def _node_subnets(world: World, running: Cluster) -> list[Any]:
    return world.ec2.describe_subnets(SubnetIds=list(running.network.subnet_ids.values()))["Subnets"]


def _pod_subnets(world: World, running: Cluster) -> list[Any]:
    return world.ec2.describe_subnets(
        Filters=[
            {"Name": "vpc-id", "Values": [running.network.vpc_id]},
            {"Name": f"tag:{SUBNET_ROLE_TAG}", "Values": ["1"]},
        ]
    )["Subnets"]


def _subnet_table(world: World, running: Cluster) -> tuple[tuple[str, ...], list[tuple[object, ...]]]:
    described = world.ec2.describe_subnets(Filters=[{"Name": "vpc-id", "Values": [running.network.vpc_id]}])["Subnets"]
    node_subnets = set(running.network.subnet_ids.values())
    tagged = {item["SubnetId"] for item in _pod_subnets(world, running)}
    by_subnet: Counter[str] = Counter()
    for node in running.nodes.nodes.values():
        for interface in node.ipamd.interfaces:
            by_subnet[interface.subnet_id] += 1
    rows: list[tuple[object, ...]] = []
    for subnet in sorted(described, key=lambda item: (item["AvailabilityZone"], item["CidrBlock"])):
        if subnet["SubnetId"] not in node_subnets | tagged:
            continue
        usable = usable_addresses(Block.parse(subnet["CidrBlock"]))
        use = "nodes and pods" if subnet["SubnetId"] in node_subnets else "pods"
        rows.append(
            (
                subnet["AvailabilityZone"],
                subnet["SubnetId"],
                subnet["CidrBlock"],
                use,
                subnet["AvailableIpAddressCount"],
                usable,
                by_subnet[subnet["SubnetId"]],
            )
        )
    return ("ZONE", "SUBNET", "CIDR", "FOR", "FREE", "OF", "INTERFACES"), rows


def _last_ipamd_line(world: World, fragment: str) -> str:
    lines = [
        line
        for file in (world.folder / "nodes").glob("*/ipamd.log")
        for line in file.read_text(encoding="utf-8").splitlines()
        if fragment in line
    ]
    if not lines:
        raise RehearsalFailedError(f"no node logged {fragment}")
    return max(lines, key=lambda line: json.loads(line)["ts"])
