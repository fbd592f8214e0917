"""Plays one incident from the page to the proof: collect, diagnose, plan, preview, up, verify."""

import json
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3

from headroom.collect.budget import budget
from headroom.collect.pod_logs import logs_of
from headroom.collect.session import AwsClients, choose_context
from headroom.collect.snapshot import collect_from
from headroom.diagnosis.classifier import diagnose
from headroom.diagnosis.signatures import match
from headroom.diagnosis.verdict import Detail, Diagnosis, RootCause, Verdict
from headroom.facts.document import dump
from headroom.facts.pod_logs import LogAccess
from headroom.facts.snapshot import Line, Origin, Snapshot
from headroom.facts.values import Unknown, known_or
from headroom.planning.conditions import State, evaluate, pods_to_read
from headroom.planning.plan import Plan
from headroom.planning.planner import make_plan
from headroom.rehearsal.clock import Clock
from headroom.rehearsal.engine import CHECKOUT, EngineRun
from headroom.rehearsal.narration import Narrator, engine_summary
from headroom.rehearsal.scenarios import sight
from headroom.rehearsal.scenarios.shape import Cluster, Network, Shape, build
from headroom.rehearsal.world import World

SPEED = 20.0
"""Simulated seconds a wall second: the CNI's 120 s pause takes 6."""
START = datetime(2026, 3, 3, 20, 20, tzinfo=UTC)
VERIFY_SECONDS = 900
"""Simulated time that a cure may take; the plan's own patience is shorter."""
IMPORT_OPTIONS = ("--yes", "--skip-preview", "--protect=false", "--generate-code=false")
"""What answers the questions that `pulumi import` would ask a person."""
LOOK_SECONDS = 20
"""Simulated time between two looks at the postconditions."""

CANNOT_SHOW = (
    "How long AWS takes: associations and interfaces take fixed short times here.",
    "The hour in which an EKS control plane may not know the new CIDR yet: exec, logs and webhooks.",
    "Packets: routes, security groups and network ACLs are checked for existence, not with traffic.",
    "IAM: the simulated AWS allows every call, unless the scenario denies it.",
    "Other users of the VPC: load balancers, Lambda and endpoints that take addresses meanwhile.",
    "The nodes' own logs by the API server: they are read as files.",
)


class RehearsalFailedError(RuntimeError):
    """The rehearsal did not go as the remedy promises; the text says where."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What the diagnosis must come to.

    Attributes:
        verdict: The verdict.
        causes: The causes that must be among those found, as (root cause, detail).
        also: Further causes that may be found beside them.
        kept: Options that the plan must keep, and no others; empty: whichever they are.
    """

    verdict: Verdict = Verdict.FOUND
    causes: tuple[tuple[RootCause, Detail | None], ...] = ()
    also: tuple[tuple[RootCause, Detail | None], ...] = ()
    kept: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """One scenario.

    Attributes:
        name: Its name.
        title: It, in a sentence.
        shape: The cluster.
        expected: What the diagnosis must come to.
        before_nodes: Who else lives in the VPC.
        happen: What goes wrong; returns a sentence of what the engineer sees.
        by_hand: What a person does of the plan's steps before the stack is applied; returns what was done.
        afterwards: The same after it.
        stuck: Whether pods hang.
    """

    name: str
    title: str
    shape: Shape
    expected: Expected
    happen: Callable[[World, Cluster], str]
    before_nodes: Callable[[World, Network], None] = lambda *_: None
    by_hand: Callable[[World, Cluster, Plan], str] | None = None
    afterwards: Callable[[World, Cluster, Plan], str] | None = None
    stuck: bool = True


@dataclass(slots=True, kw_only=True)
class Played:
    """What came of an incident: for the table, and for tests."""

    snapshot: Snapshot
    diagnosis: Diagnosis
    plan: Plan | None = None
    calls: int = 0
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def page_to_preview(self) -> float:
        """Seconds of collecting, diagnosing, planning and previewing."""
        return round(sum(self.seconds.values()), 1)


def play(
    incident: Incident, world: World, narrator: Narrator, clock: Clock, *, save: Path | None = None
) -> dict[str, Any]:
    """Plays it; returns what `--json` prints beside the phases. Facts and verdict are written below `save`.

    Raises:
        RehearsalFailedError: The verdict is wrong, or the cure does not cure.
    """
    played = play_through(incident, world, narrator, clock)
    if save is not None:
        save_played(played, save / incident.name)
    return {
        **result_of(played),
        "scenario": incident.name,
        "awsCalls": world.endpoint.calls(),
        "cannotShow": list(CANNOT_SHOW),
    }


def save_played(played: Played, folder: Path) -> None:
    """Writes what `tests/incidents` keeps of a scenario: its facts, and the verdict that they must come to."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "facts.json").write_text(dump(played.snapshot), encoding="utf-8")
    (folder / "expected.json").write_text(_expected(played), encoding="utf-8")


def result_of(played: Played) -> dict[str, Any]:
    """What `--json` prints of the diagnosis."""
    return {
        "verdict": played.diagnosis.verdict.value,
        "causes": [cause.name for cause in played.diagnosis.causes],
        "callsOfDiagnosis": played.calls,
        "pageToPreview": played.page_to_preview,
    }


def play_through(incident: Incident, world: World, narrator: Narrator, clock: Clock) -> Played:
    """Plays it to its end, and keeps what it came to."""
    with narrator.phase("cluster", f"A cluster: {_made_of(incident.shape)}"):
        running = build(
            world,
            clock,
            incident.shape,
            before_nodes=incident.before_nodes,
            progress=lambda text: narrator.say(f"  {text} …"),
        )
        clock.run()
    with narrator.phase("incident", f"{clock.text()}  {incident.title}") as phase:
        narrator.say(incident.happen(world, running))
        if incident.stuck:
            phase.facts = {"pods that hang": _until_stuck(running)}
        else:
            sight.until_still(running, lambda: len(sight.stuck(running)))
    with narrator.phase("diagnose", "Why") as phase:
        played = find_out(incident.expected, world, narrator, running)
        phase.facts = {"verdict": _told(played.diagnosis), "calls": played.calls}
    if played.diagnosis.verdict is Verdict.FOUND:
        _cure(incident, world, narrator, running, played)
    check_nodes(running)
    return played


def check_nodes(running: Cluster) -> None:
    """Sees that the simulated nodes are well.

    Raises:
        RehearsalFailedError: They met errors of their own: what is seen then proves nothing.
    """
    if running.nodes.errors:
        raise RehearsalFailedError("the simulated nodes met errors:\n" + "\n".join(running.nodes.errors[:5]))


def read(world: World, running: Cluster) -> Snapshot:
    """A snapshot of the running cluster, with what its nodes' logs say."""
    if world.control_plane is None:
        message = "a snapshot needs a control plane"
        raise RuntimeError(message)
    clock = running.nodes.clock
    session = boto3.session.Session("rehearsal", "rehearsal", region_name=world.region)
    snapshot = collect_from(
        running.name,
        AwsClients(session, world.endpoint.url),
        choose_context(running.name, "", kubeconfig=str(world.control_plane.kubeconfig)),
        region=world.region,
        now=lambda: datetime.fromtimestamp(clock.now(), UTC),
    )
    return replace(snapshot, lines=(*known_or(snapshot.lines, ()), *log_lines(world.folder / "nodes")))


def log_lines(folder: Path) -> tuple[Line, ...]:
    """What means something in the nodes' ipamd.log, the last of each kind on each node with their number."""
    found: dict[tuple[str, str], Line] = {}
    for file in sorted(folder.glob("*/ipamd.log")):
        for text in file.read_text(encoding="utf-8", errors="replace").splitlines():
            for hit in match(text, origin=Origin.IPAMD_LOG, cloud="aws"):
                key = (file.parent.name, hit.signature.name)
                before = found.get(key)
                found[key] = Line(
                    origin=Origin.IPAMD_LOG,
                    text=text,
                    node=file.parent.name,
                    file=f"{file.parent.name}/ipamd.log",
                    count=1 + (before.count if before else 0),
                )
    return tuple(found.values())


def find_out(expected: Expected, world: World, narrator: Narrator, running: Cluster) -> Played:
    """Collects and diagnoses, and tells it.

    Raises:
        RehearsalFailedError: The verdict is not the expected one.
    """
    narrator.command(f"headroom diagnose --cluster {running.name} --log …/ipamd.log")
    world.endpoint.forget_calls()
    started = time.monotonic()
    snapshot = read(world, running)
    collected = time.monotonic()
    diagnosis = diagnose(snapshot)
    played = Played(
        snapshot=snapshot,
        diagnosis=diagnosis,
        calls=budget(snapshot).calls,
        seconds={"collect": collected - started, "diagnose": time.monotonic() - collected},
    )
    for line in told(diagnosis):
        narrator.say(line)
    judge(expected, diagnosis)
    return played


def told(diagnosis: Diagnosis) -> Iterable[str]:
    """The diagnosis in a few lines."""
    yield f"VERDICT {diagnosis.verdict.value}"
    for cause in diagnosis.causes:
        made = f", made by {cause.made_by}" if cause.made_by else ""
        yield f"CAUSE   {cause.name} ({cause.confidence.value}{made}): {cause.summary}"
    for other in diagnosis.not_ip:
        yield f"NOT IP  {other.what}"
    if diagnosis.history is not None and diagnosis.history.summary:
        yield f"HOW     {diagnosis.history.summary}"
    if diagnosis.impact is not None and diagnosis.impact.stuck_pods:
        names = ", ".join(f"{hit.kind} {hit.namespace}/{hit.name}" for hit in diagnosis.impact.workloads[:3])
        yield f"HIT     {diagnosis.impact.stuck_pods} pods; restore first: {names}"
    for needed in diagnosis.needed[:3]:
        yield f"NEEDED  {needed.reading}: decides {needed.decides}"


def judge(expected: Expected, diagnosis: Diagnosis) -> None:
    """Compares a diagnosis with what it must come to.

    Raises:
        RehearsalFailedError: It is another one.
    """
    found = {(cause.root_cause, cause.detail) for cause in diagnosis.causes}
    missing = [cause for cause in expected.causes if cause not in found]
    claimed = found - {*expected.causes, *expected.also}
    if diagnosis.verdict is not expected.verdict or missing or claimed:
        raise RehearsalFailedError(
            f"the verdict is {_told(diagnosis)}; expected was {expected.verdict.value} "
            f"{', '.join('/'.join(part.value for part in cause if part) for cause in expected.causes)}"
        )


def check_kept(expected: Expected, plan: Plan) -> None:
    """Compares the options that a plan keeps with those that it must keep.

    Raises:
        RehearsalFailedError: They are others.
    """
    kept = tuple(option.name for option in plan.options if option.kept)
    if expected.kept and kept != expected.kept:
        raise RehearsalFailedError(f"the plan keeps {', '.join(kept)}; expected was {', '.join(expected.kept)}")


def _told(diagnosis: Diagnosis) -> str:
    return " ".join([diagnosis.verdict.value, ", ".join(cause.name for cause in diagnosis.causes)]).strip()


def _cure(incident: Incident, world: World, narrator: Narrator, running: Cluster, played: Played) -> None:
    with narrator.phase("plan", "The smallest change that cures it"):
        plan = make(narrator, played)
        check_kept(incident.expected, plan)
    if incident.by_hand is not None:
        with narrator.phase("by hand", "What a person does"):
            narrator.say(incident.by_hand(world, running, plan))
    if plan.stack:
        apply_plan(world, narrator, plan, played)
    if incident.afterwards is not None:
        with narrator.phase("afterwards", "What a person does next"):
            narrator.say(incident.afterwards(world, running, plan))
    with narrator.phase("verify", "Until every condition holds") as phase:
        phase.facts = {"conditions": until_met(world, narrator, running, plan)}


def apply_plan(world: World, narrator: Narrator, plan: Plan, played: Played) -> None:
    """Previews the plan's stack with the policies, takes into it what is there already, and applies it."""
    with narrator.phase("preview", "Previewed with the policies") as phase:
        arguments = write_plan(world, plan)
        preview = pulumi(world, narrator, "preview", *arguments)
        played.seconds["preview"] = preview.seconds
        phase.facts = {"page to preview (s)": played.page_to_preview}
    imports = world.engine.stack_file(plan.stack).with_name(f"import.{plan.stack}.json")
    if imports.exists():
        with narrator.phase("import", "What is there already is taken into the stack, as it is"):
            pulumi(world, narrator, "import", "--file", str(imports), *IMPORT_OPTIONS)
    with narrator.phase("up", "Applied"):
        pulumi(world, narrator, "up", "--yes", "--skip-preview", *arguments)


def make(narrator: Narrator, played: Played) -> Plan:
    """Makes the plan, and tells it."""
    narrator.command(f"headroom plan --cluster {known_or(played.snapshot.cluster, '…')}")
    started = time.monotonic()
    plan = make_plan(played.snapshot, played.diagnosis)
    played.plan, played.seconds["plan"] = plan, time.monotonic() - started
    for option in plan.options:
        if option.kept:
            narrator.say(f"  ✓ {option.title}. {option.reason}")
    for decision in plan.decisions:
        narrator.say(f"  ? {decision}")
    return plan


def write_plan(world: World, plan: Plan) -> list[str]:
    """Writes the plan's files into the engine's project; returns the options that name the policies."""
    arguments = ["--policy-pack", str(CHECKOUT / "policies")]
    folder = world.engine.stack_file(plan.stack).parent
    for file in plan.files:
        path = folder / Path(file.path).name
        path.write_text(file.text, encoding="utf-8")
        if path.name.startswith("policy."):
            arguments += ["--policy-pack-config", str(path)]
    world.engine.must("stack", "init", plan.stack)
    return arguments


def pulumi(world: World, narrator: Narrator, *arguments: str, must_fail: bool = False, lines: int = 40) -> EngineRun:
    """Runs the engine, and shows what it says.

    Raises:
        RehearsalFailedError: It failed, or did not where it had to.
    """
    shown = [Path(word).name if word.startswith("/") else word for word in arguments]
    narrator.command(" ".join(["pulumi", *shown]))
    result = world.engine.run(*arguments)
    narrator.engine_output(engine_summary(result.output), lines)
    narrator.say(f"  ({result.seconds:.1f} s)")
    if must_fail != (result.code != 0):
        expected = "to be refused" if must_fail else "to succeed"
        raise RehearsalFailedError(f"{result.command} was expected {expected}:\n{result.output}")
    return result


def until_met(world: World, narrator: Narrator, running: Cluster, plan: Plan) -> str:
    """Judges the plan's postconditions again and again, and tells each change.

    Raises:
        RehearsalFailedError: One does not come to hold.
    """
    clock = running.nodes.clock
    started = clock.now()
    said: dict[str, str] = {}
    narrator.command("headroom verify --plan …")
    while True:
        waited = clock.now() - started
        check_nodes(running)
        snapshot = read(world, running)
        found = evaluate(plan, snapshot, waited_seconds=waited, logs=_logs(world, running, plan, snapshot))
        for state in found:
            line = f"{state.state.value:8} {state.condition.title}: {state.because}"
            if said.get(state.condition.check) != state.state:
                said[state.condition.check] = state.state
                narrator.say(f"  {waited:4.0f} s  {line}")
        states = {state.state for state in found}
        if states == {State.MET}:
            return f"all {len(found)} met after {waited:.0f} s (simulated)"
        if State.FAILED in states or waited > VERIFY_SECONDS:
            failed = [f"{state.condition.title}: {state.because}" for state in found if state.state is not State.MET]
            raise RehearsalFailedError("not cured:\n" + "\n".join(failed))
        clock.sleep_until(clock.now() + LOOK_SECONDS, most=1)


def _logs(world: World, running: Cluster, plan: Plan, snapshot: Snapshot) -> tuple[LogAccess, ...] | Unknown:
    kubeconfig = str(world.control_plane.kubeconfig) if world.control_plane is not None else ""
    return logs_of(running.name, pods_to_read(plan, snapshot), kubeconfig=kubeconfig)


def _until_stuck(running: Cluster) -> int:
    deadline = time.monotonic() + 60
    while not sight.stuck(running):
        if time.monotonic() > deadline:
            raise RehearsalFailedError("no pod hangs: the incident did not come about")
        time.sleep(0.2)
    return sight.until_still(running, lambda: len(sight.stuck(running)))


def _made_of(shape: Shape) -> str:
    groups = ", ".join(f"{group.count} {group.kind.instance_type}" for group in shape.groups)
    pods = sum(app.replicas for app in shape.apps)
    return f"{groups}, {pods:,} pods, subnets {', '.join(shape.zones.values())}"


def _expected(played: Played) -> str:
    """What a diagnosis of these facts must come to."""
    causes = [cause.name for cause in played.diagnosis.causes]
    return json.dumps({"verdict": played.diagnosis.verdict.value, "causes": causes}, indent=1) + "\n"
