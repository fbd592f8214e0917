"""The watch stack over weeks: a quiet month without an alarm, then growth, and the alarms before the first stuck pod.

The network, the nodes' CNI and what EC2 refuses are simulated; the stack is previewed and applied by the real engine,
and its function's own code runs every five minutes against the simulated AWS. EC2 is asked anew whenever an interface
or an address has come or gone, and else its last answer stands; CloudWatch gets values by the hour, each with its time.
Alarms are read back from CloudWatch and evaluated by its documented rules. Nothing is scripted but how many pods there
are.
"""

import math
import random
import shutil
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final, cast

from botocore.exceptions import ClientError

from components.publisher.handler import VALUES_PER_CALL, Memory, Settings, publish
from headroom.addresses.blocks import Block, usable_addresses
from headroom.capacity.cni_version import CniVersion
from headroom.capacity.watch import SCHEDULE_MINUTES, Metric, dimensions
from headroom.facts.document import dump
from headroom.rehearsal.alarm_board import AlarmBoard, Transition, read_board
from headroom.rehearsal.clock import Clock
from headroom.rehearsal.engine import CHECKOUT
from headroom.rehearsal.forge import NAME as REPOSITORY
from headroom.rehearsal.forge import OWNER, TRIGGER_TOKEN, Forge, PullRequest
from headroom.rehearsal.kube import PODS, REPLICA_SETS
from headroom.rehearsal.narration import Narrator
from headroom.rehearsal.node_ec2 import NodeEc2
from headroom.rehearsal.nodes import Nodes, NodeType, SimulatedNode
from headroom.rehearsal.scenarios import incident
from headroom.rehearsal.scenarios.incident import RehearsalFailedError, pulumi
from headroom.rehearsal.scenarios.shape import (
    CLUSTER,
    CNI_VERSION,
    NAMESPACE,
    STOCK_ENVIRONMENT,
    Cluster,
    Network,
    Shape,
    build_network,
    deploy,
    wait_for,
)
from headroom.rehearsal.trigger import alarm_event, deliver, respond
from headroom.rehearsal.world import REGION, World

NAME: Final = "eks-watch"
START: Final = datetime(2026, 1, 5, tzinfo=UTC)
"""A Monday."""
SPEED: Final = 20.0

STACK: Final = f"{CLUSTER}-watch"
SECRET: Final = "headroom/forge"  # noqa: S105 - a name, not a secret
TOPIC: Final = "arn:aws:sns:us-east-1:123456789012:on-call"
ZONES: Final = {f"{REGION}a": "10.30.1.0/24", f"{REGION}b": "10.30.2.0/24"}
ENVIRONMENT: Final = {**STOCK_ENVIRONMENT, "WARM_IP_TARGET": "3", "MINIMUM_IP_TARGET": "10"}
PODS_PER_NODE: Final = 24
"""With three addresses kept ready these are the 27 that an m5.large can have."""
KINDS: Final = {
    zone: NodeType(group=f"web-{zone[-1]}", instance_type="m5.large", cpu="1930m", memory="7Gi") for zone in ZONES
}
"""One node group a zone, as a cluster autoscaler wants it."""

TICK_SECONDS: Final = 60 * SCHEDULE_MINUTES
DAY_SECONDS: Final = 86_400
QUIET_DAYS: Final = 30
MOST_DAYS: Final = 40
"""How long growth may go on until a pod hangs."""
FIRST_DAYS: Final = 3
"""The publisher's first days, in which the alarm on forecasts says that there is none yet."""

NIGHT_PODS: Final = 95
"""Pods of a zone by night, when nothing grows."""
DAY_PODS: Final = 15
"""More of them by day."""
GROWTH_PER_DAY: Final = {f"{REGION}a": 6.0, f"{REGION}b": 1.5}
MISSED: Final = 0.004
"""Runs of the function that do not come about."""
PATIENCE_SECONDS: Final = 60
"""A pod that has no address after so long hangs."""

LEAST_LEAD_HOURS: Final = {"forecast": 7 * 24.0, "warning": 1.0, "free-critical": 1.0, "page": 1.0}
"""How long before the first stuck pod an alarm of each kind has to come: seven days where growth is steady, and one
hour (issue 6)."""

CANNOT_SHOW: Final = (
    "CloudWatch's anomaly bands: their model is not published; here it is the mean of two weeks.",
    "What CloudWatch and Lambda add in time: values and runs come at once here.",
    "IAM of the function: the simulated AWS allows every call.",
    "Other forges: GitHub's API is played here, GitLab's and Azure's in tests.",
)


@dataclass(slots=True, kw_only=True)
class Workload:
    """Pods that come and go, on nodes that are added as they are needed.

    Attributes:
        nodes: The simulated nodes.
        network: Where they are.
        order: Of all chance.
        pods: Name of the node by pod, by zone; in the order in which they came.
        stuck: Pods without an address, or for whose node EC2 had none; with when they came.
        refused: EC2's error codes, where a node could not start.
    """

    nodes: Nodes
    network: Network
    order: random.Random
    pods: dict[str, dict[str, str]] = field(default_factory=lambda: {zone: {} for zone in ZONES})
    stuck: dict[str, float] = field(default_factory=dict)
    refused: set[str] = field(default_factory=set)
    _number: int = 0

    def bring(self, zone: str, wanted: int) -> None:
        """Makes it so many pods in a zone."""
        there = self.pods[zone]
        for _ in range(len(there) - wanted):
            self._remove(zone, self.order.choice(list(there)))
        for _ in range(wanted - len(there)):
            self._add(zone)

    def replace(self, zone: str, count: int) -> None:
        """A rolling update: new pods come, then as many of the old ones go."""
        old = list(self.pods[zone])[:count]
        for _ in old:
            self._add(zone)
        for pod in old:
            self._remove(zone, pod)

    def _remove(self, zone: str, pod: str) -> None:
        node = self.nodes.nodes[self.pods[zone].pop(pod)]
        node.ipamd.release(pod, self.nodes.clock.now())
        self.stuck.pop(pod, None)

    def _add(self, zone: str) -> None:
        started = self.nodes.clock.now()
        node = self._room(zone)
        self._number += 1
        pod = f"{NAMESPACE}/{KINDS[zone].group}-{self._number:05}"
        if node is None:
            self.stuck[pod] = started
            return
        self.pods[zone][pod] = node.name
        while node.ipamd.assign(pod, self.nodes.clock.now()) is None:
            if self.nodes.clock.now() - started >= PATIENCE_SECONDS:
                self.stuck[pod] = started
                return
            self.nodes.settle(5)

    def _room(self, zone: str) -> SimulatedNode | None:
        """The node of a zone with fewest pods; a new one where all are full."""
        names = list(self.pods[zone].values())
        own = [node for node in self.nodes.nodes.values() if node.zone == zone]
        found = min(own, key=lambda node: (names.count(node.name), node.name), default=None)
        if found is not None and names.count(found.name) < PODS_PER_NODE:
            return found
        try:
            node = self.nodes.add(
                KINDS[zone], self.network.subnet_ids[zone], zone, ENVIRONMENT, CniVersion.parse(CNI_VERSION)
            )
        except ClientError as error:
            self.refused.add(error.response["Error"]["Code"])
            return None
        self.nodes.settle(60)
        return node

    @property
    def state(self) -> tuple[int, ...]:
        """What changes when EC2's answers do: the nodes' holdings, by identity."""
        return tuple(id(node.ipamd.held) for node in self.nodes.nodes.values())


class Ec2UntilItChanges:
    """EC2 for the nodes: what it has described or refused stands until a call changes something.

    Nodes without addresses ask for some every two minutes, for days. Nobody but the nodes changes anything.
    """

    def __init__(self, client: Any) -> None:
        self._client = client
        self._described: dict[str, Any] = {}
        self._refused: dict[str, ClientError] = {}

    def __getattr__(self, name: str) -> Callable[..., Any]:
        """A call."""
        call = getattr(self._client, name)

        def ask(**arguments: Any) -> Any:
            key = f"{name} {sorted(arguments.items())!r}"
            if key in self._refused:
                # Raised again and again, it would gather every place that it came through.
                raise self._refused[key].with_traceback(None)
            if key in self._described:
                return self._described[key]
            try:
                answer = call(**arguments)
            except ClientError as error:
                self._refused[key] = error
                raise
            if name.startswith("describe_"):
                self._described[key] = answer
            else:
                self._described.clear()
                self._refused.clear()
            return answer

        return ask


class Ec2AsItStands:
    """EC2 for the function: asked anew where something has changed since, and dated by the rehearsal's clock."""

    def __init__(self, client: Any, clock: Clock, state: Callable[[], Any]) -> None:
        self._client, self._clock, self._state = client, clock, state
        self._at: Any = None
        self._answers: dict[str, list[Any]] = {}
        self._kept: Any = None

    def get_paginator(self, name: str) -> "_Pages":
        """Pages of a Describe call."""
        return _Pages(self, name)

    def __getattr__(self, name: str) -> Any:
        """Any other call goes through."""
        return getattr(self._client, name)

    def pages(self, name: str, asked: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """The pages of a call, with EC2's date as the rehearsal has it."""
        state = self._state()
        if state != self._at:
            self._at, self._answers = state, {}
        if name not in self._answers:
            self._answers[name] = list(self._client.get_paginator(name).paginate(**asked))
        date = datetime.fromtimestamp(self._clock.now(), UTC).strftime("%a, %d %b %Y %H:%M:%S GMT")
        for page in self._answers[name]:
            yield {**page, "ResponseMetadata": {"HTTPHeaders": {"date": date}}}


@dataclass(frozen=True, slots=True)
class _Pages:
    ec2: Ec2AsItStands
    name: str

    def paginate(self, **asked: Any) -> Iterator[dict[str, Any]]:
        return self.ec2.pages(self.name, asked)


class CloudWatchByTheHour:
    """CloudWatch for the function: an hour's values in one call, and of a history only what was not read before.

    Values carry their time, and wait here only until somebody reads. The function asks for eight weeks every hour, and
    what is older than an hour does not change any more.
    """

    def __init__(self, client: Any) -> None:
        self._client = client
        self._waiting: defaultdict[str, list[Any]] = defaultdict(list)
        self._read: dict[str, dict[datetime, float]] = {}
        self._until: datetime | None = None

    def put_metric_data(self, **asked: Any) -> None:
        """Takes values."""
        self._waiting[asked["Namespace"]] += asked["MetricData"]

    def flush(self) -> None:
        """Hands on what has been put since."""
        for namespace, values in sorted(self._waiting.items()):
            for first in range(0, len(values), VALUES_PER_CALL):
                self._client.put_metric_data(Namespace=namespace, MetricData=values[first : first + VALUES_PER_CALL])
        self._waiting.clear()

    def get_paginator(self, name: str) -> "_Histories":
        """Pages of GetMetricData, the only one that the function asks for by pages."""
        if name != "get_metric_data":
            raise ValueError(name)
        return _Histories(self)

    def __getattr__(self, name: str) -> Any:
        """Any other call goes through."""
        return getattr(self._client, name)

    def pages(self, queries: Sequence[Any], begin: datetime, end: datetime) -> Iterator[dict[str, Any]]:
        """One page with all of it."""
        self.flush()
        keys = {each["Id"]: repr(each["MetricStat"]) for each in queries}
        since = begin
        if self._until is not None and self._read.keys() >= set(keys.values()):
            since = max(begin, self._until.replace(minute=0, second=0, microsecond=0) - timedelta(hours=1))
        asked = {"MetricDataQueries": list(queries), "StartTime": since, "EndTime": end}
        for page in self._client.get_paginator("get_metric_data").paginate(**asked):
            for result in page["MetricDataResults"]:
                new = dict(zip(result["Timestamps"], result["Values"], strict=True))
                self._read.setdefault(keys[result["Id"]], {}).update(new)
        self._until = end
        results = []
        for name, key in keys.items():
            kept = {time: value for time, value in self._read.get(key, {}).items() if begin <= time < end}
            results.append({"Id": name, "StatusCode": "Complete", "Timestamps": list(kept), "Values": [*kept.values()]})
        yield {"MetricDataResults": results}


@dataclass(frozen=True, slots=True)
class _Histories:
    cloudwatch: CloudWatchByTheHour

    def paginate(self, **asked: Any) -> Iterator[dict[str, Any]]:
        return self.cloudwatch.pages(asked["MetricDataQueries"], asked["StartTime"], asked["EndTime"])


@dataclass(slots=True, kw_only=True)
class Weeks:
    """The run of time: pods come and go, the function runs, alarms are evaluated.

    Attributes:
        clock: The time.
        workload: The pods.
        board: The alarms.
        run: One run of the function.
        flush: Called before anybody reads what it published.
        began: When growth began; None: it has not.
        runs: Runs of the function.
        missed: Those that did not come about.
        first_stuck: When the first pod came that hangs.
    """

    clock: Clock
    workload: Workload
    board: AlarmBoard
    run: Callable[[], int]
    flush: Callable[[], None]
    began: float | None = None
    runs: int = 0
    missed: int = 0
    first_stuck: float | None = None

    def hour(self) -> list[Transition]:
        """Lives through an hour; what the composite alarms did in it."""
        begin = self.clock.now()
        for tick in range(3600 // TICK_SECONDS):
            self._pods(begin + tick * TICK_SECONDS)
            if self.workload.order.random() < MISSED:
                self.missed += 1
            else:
                self.run()
                self.runs += 1
            end = begin + (tick + 1) * TICK_SECONDS
            self.workload.nodes.settle(max(0.0, end - self.clock.now()))
            if self.workload.stuck and self.first_stuck is None:
                self.first_stuck = min(self.workload.stuck.values())
        self.clock.advance(begin + 3600 - self.clock.now())
        self.flush()
        return self.board.read_hour(begin)

    def _pods(self, now: float) -> None:
        moment = datetime.fromtimestamp(now, UTC)
        working = moment.weekday() < 5  # noqa: PLR2004 - Monday to Friday
        hour = moment.hour + moment.minute / 60
        by_day = min(1.0, max(0.0, hour - 8)) - min(1.0, max(0.0, hour - 18))
        for zone in ZONES:
            grown = 0.0 if self.began is None else GROWTH_PER_DAY[zone] * (now - self.began) / DAY_SECONDS
            wanted = NIGHT_PODS + math.floor(grown + DAY_PODS * by_day * working)
            if self.first_stuck is None:
                self.workload.bring(zone, wanted)
                if working and moment.hour in (11, 15) and moment.minute == 0:
                    self.workload.replace(zone, 8)


def play(world: World, narrator: Narrator, clock: Clock) -> dict[str, Any]:
    """Plays it; returns what `--json` prints beside the phases.

    Raises:
        RehearsalFailedError: An alarm came in the quiet month, or none in time before the first stuck pod.
    """
    with narrator.phase("cluster", "A cluster of two zones, a /24 each") as phase:
        workload = _build(world, clock)
        phase.facts = {"nodes": len(workload.nodes.nodes), "pods": sum(map(len, workload.pods.values()))}
    with narrator.phase("watch", "The watch stack, previewed and applied"):
        weeks, rule = _watch(world, narrator, clock, workload)
    with narrator.phase("quiet", f"{QUIET_DAYS} quiet days: working days, deploys, weekends, missed runs") as phase:
        phase.facts = _quiet(narrator, weeks)
    weeks.began = clock.now()
    with narrator.phase("growth", f"{_date(weeks.began)}  {GROWTH_PER_DAY[f'{REGION}a']:g} pods more a day") as phase:
        narrator.say("  Nobody looks at anything. What the alarms say:")
        warned = _until_warned(narrator, weeks)
        phase.facts = {"days": _days(clock.now() - weeks.began)}
    with narrator.phase("pull request", f"{_date(warned.time)}  The alarm opens a pull request") as phase:
        request = _pull_request(world, narrator, weeks, warned, rule)
        phase.facts = {"pull request": request.number}
    with narrator.phase("exhaustion", "Nobody merges it, and it goes on until a pod hangs") as phase:
        _until_stuck(narrator, weeks)
        leads = _judged(narrator, weeks)
        phase.facts = {"hours before the first stuck pod": ", ".join(f"{kind} {lead:.0f}" for kind, lead in leads)}
    return {
        "scenario": NAME,
        "verdict": "warned",
        "causes": [],
        "leadHours": {kind: round(lead, 1) for kind, lead in leads},
        "falseAlarms": 0,
        "runsOfTheFunction": weeks.runs,
        "missedRuns": weeks.missed,
        "pullRequest": request.title,
        "awsCalls": world.endpoint.calls(),
        "cannotShow": list(CANNOT_SHOW),
        "next": "stacks/Pulumi.example-watch.yaml is the file to copy for a cluster of your own.",
    }


def _build(world: World, clock: Clock) -> Workload:
    shape = Shape(
        vpc_cidr="10.30.0.0/16",
        public_cidr="10.30.0.0/24",
        zones=ZONES,
        groups=(),
        apps=(),
        environment=ENVIRONMENT,
    )
    network = build_network(world.ec2, shape)
    world.eks.create_cluster(
        name=CLUSTER,
        version="1.33",
        roleArn="arn:aws:iam::123456789012:role/cluster",
        resourcesVpcConfig={"subnetIds": list(network.subnet_ids.values())},
    )
    nodes = Nodes(
        kube=world.kube,
        ec2=cast("Any", Ec2UntilItChanges(world.ec2)),
        clock=clock,
        folder=world.folder / "nodes",
        vpc_id=network.vpc_id,
        security_groups=[network.security_group_id],
        cluster=CLUSTER,
        network=world.node_network,
    )
    world.on_close(nodes.stop)
    deploy(world.kube, shape)
    workload = Workload(nodes=nodes, network=network, order=random.Random(1))  # noqa: S311 - a rehearsal repeats itself
    for zone in ZONES:
        workload.bring(zone, NIGHT_PODS)
    nodes.settle(3600 - clock.now() % 3600)
    return workload


def _watch(world: World, narrator: Narrator, clock: Clock, workload: Workload) -> tuple[Weeks, str]:
    world.client("secretsmanager").create_secret(Name=SECRET, SecretString=TRIGGER_TOKEN)
    ids = workload.network.subnet_ids
    world.engine.init(
        STACK,
        {
            "aws:region": world.region,
            "headroom:remedy": "watch",
            "headroom:clusterName": CLUSTER,
            "headroom:vpcId": workload.network.vpc_id,
            "headroom:watchedSubnets": {ids[zone]: {"zone": zone, "cidrBlock": ZONES[zone]} for zone in ZONES},
            "headroom:nodeGroups": {
                kind.group: {"instanceType": kind.instance_type, "podsPerNode": PODS_PER_NODE}
                for kind in KINDS.values()
            },
            "headroom:cniEnvironment": {
                name: value for name, value in ENVIRONMENT.items() if name.startswith(("WARM_IP", "MINIMUM_IP"))
            },
            "headroom:pageTopics": [TOPIC],
            "headroom:trigger": {"forge": "github", "repository": f"{OWNER}/{REPOSITORY}", "secret": SECRET},
        },
    )
    pulumi(world, narrator, "preview", "--policy-pack", str(CHECKOUT / "policies"), lines=12)
    pulumi(world, narrator, "up", "--yes", "--skip-preview", lines=-4)
    rule = world.engine.must("stack", "output", "trigger").output.strip()
    function = world.engine.must("stack", "output", "function").output.strip()
    variables = world.client("lambda").get_function(FunctionName=function)["Configuration"]["Environment"]["Variables"]
    watched = "{" + ", ".join(f'"{name}": true' for name in ids.values()) + "}"
    cloudwatch = CloudWatchByTheHour(world.client("cloudwatch"))
    clients = {
        "cloudwatch": cloudwatch,
        "ec2": Ec2AsItStands(world.client("ec2"), clock, lambda: workload.state),
        "service-quotas": world.client("service-quotas"),
    }
    memory = Memory()
    board = read_board(world.client("cloudwatch"), f"headroom/{CLUSTER}/")
    settings = Settings.read(variables, watched)
    weeks = Weeks(
        clock=clock,
        workload=workload,
        board=board,
        run=lambda: publish(settings, clients.__getitem__, memory),
        flush=cloudwatch.flush,
    )
    narrator.say(f"  {len(board.alarms)} alarms on metrics, {len(board.composites)} that tell somebody.")
    return weeks, rule


def _quiet(narrator: Narrator, weeks: Weeks) -> dict[str, Any]:
    begin = weeks.clock.now()
    told: list[Transition] = []
    for hour in range(24 * QUIET_DAYS):
        told += weeks.hour()
        if hour % (24 * 10) == 24 * 10 - 1:
            narrator.say(f"  {_date(weeks.clock.now())}  {_free(weeks)}")
    early = [each for each in told if each.time < begin + FIRST_DAYS * DAY_SECONDS]
    false = [each for each in told if each.on and each not in early]
    false += [each for each in early if each.on and not each.alarm.endswith("/forecast")]
    if any(each.on for each in early):
        off = max((each.time for each in early if not each.on), default=begin)
        narrator.say(
            f"  Until {_date(off)} the alarm on forecasts is on, as its text says: there is none of less than two days."
        )
    if false:
        names = ", ".join(f"{each.alarm} on {_date(each.time)}" for each in false)
        raise RehearsalFailedError(f"alarms in a quiet month: {names}")
    if weeks.first_stuck is not None:
        raise RehearsalFailedError("a pod hangs in the quiet month")
    narrator.say(f"  No warning and no page in {weeks.runs:,} runs; {weeks.missed} runs were missed.")
    return {"runs": weeks.runs, "missed": weeks.missed, "warnings": 0, "pages": 0}


def _until_warned(narrator: Narrator, weeks: Weeks) -> Transition:
    """Goes on until an alarm that starts the pipeline is on."""
    for _ in range(24 * MOST_DAYS):
        changed = weeks.hour()
        _tell(narrator, weeks, changed)
        for each in changed:
            if each.on and each.alarm.endswith(("/warning", "/page")):
                return each
        if weeks.first_stuck is not None:
            raise RehearsalFailedError("a pod hangs, and no alarm has warned of it")
    raise RehearsalFailedError(f"no alarm in {MOST_DAYS} days of growth")


def _until_stuck(narrator: Narrator, weeks: Weeks) -> None:
    for _ in range(24 * MOST_DAYS):
        if weeks.first_stuck is not None:
            return
        _tell(narrator, weeks, weeks.hour())
    raise RehearsalFailedError(f"no pod hangs after {MOST_DAYS} days of growth")


def _tell(narrator: Narrator, weeks: Weeks, changed: Sequence[Transition]) -> None:
    for each in changed:
        name = each.alarm.removeprefix(f"headroom/{CLUSTER}/")
        narrator.say(f"  {_date(each.time)}  {name:22} {'ALARM' if each.on else 'OK':6} {_free(weeks)}")


def _pull_request(world: World, narrator: Narrator, weeks: Weeks, warned: Transition, rule: str) -> PullRequest:
    event = alarm_event(warned.alarm, datetime.fromtimestamp(warned.time, UTC), region=world.region)
    _show_pods(world, weeks.workload)
    running = Cluster(
        shape=Shape(vpc_cidr="", public_cidr="", zones=ZONES, groups=(), apps=()),
        network=weeks.workload.network,
        nodes=weeks.workload.nodes,
        kube=world.kube,
    )
    folder = world.folder / "infra"
    (folder / "stacks").mkdir(parents=True)
    shutil.copyfile(CHECKOUT / "Pulumi.yaml", folder / "Pulumi.yaml")
    facts = world.folder / "facts.json"
    facts.write_text(dump(incident.read(world, running)), encoding="utf-8")
    with Forge("github", clock=weeks.clock.now) as forge:
        delivery = deliver(event, aws=world.client, rule=rule, forge=forge)
        narrator.say(f"  EventBridge: {rule} → repository_dispatch, answered {', '.join(map(str, delivery.statuses))}")
        if not delivery.started:
            raise RehearsalFailedError(f"the event started no pipeline: {delivery}")
        answer = respond(delivery, forge=forge, checkout=folder, facts=facts)
        if answer.pull_request is None:
            raise RehearsalFailedError(f"the pipeline opened no pull request:\n{answer.output}")
        again = respond(
            deliver(event, aws=world.client, rule=rule, forge=forge), forge=forge, checkout=folder, facts=facts
        )
        if len(forge.open) != 1 or again.pull_request is None:
            raise RehearsalFailedError(f"the same alarm once more made {len(forge.open)} pull requests")
        request = answer.pull_request
        narrator.say(f"  #{request.number}  {request.title}  [{', '.join(request.labels)}]")
        narrator.output("\n".join(request.text.splitlines()[:12]))
        narrator.say("  The same alarm once more: still one pull request. Nothing is applied.")
    return request


def _show_pods(world: World, workload: Workload) -> None:
    """Writes the pods into the API server, where a pipeline reads them: those that the nodes run."""
    for zone, pods in workload.pods.items():
        group = KINDS[zone].group
        spec = {"containers": [{"name": "web", "image": "registry.invalid/web:1"}], "terminationGracePeriodSeconds": 1}
        labels = {"app": group}
        for pod, node in pods.items():
            metadata = {"name": pod.partition("/")[2], "namespace": NAMESPACE, "labels": labels}
            world.kube.create(PODS, {"metadata": metadata, "spec": {**spec, "nodeName": node}})
        # It takes over the pods that are there.
        world.kube.create(
            REPLICA_SETS,
            {
                "metadata": {"name": group, "namespace": NAMESPACE},
                "spec": {
                    "replicas": len(pods),
                    "selector": {"matchLabels": labels},
                    "template": {"metadata": {"labels": labels}, "spec": spec},
                },
            },
        )
    count = len(workload.nodes.nodes)
    wait_for(lambda: _aws_nodes(world) == count, seconds=60, what="aws-node to be scheduled on every node")
    workload.nodes.write_all_running()
    workload.nodes.write_host_pods_running()


def _aws_nodes(world: World) -> int:
    return len(world.kube.list_all(PODS, "kube-system", labels="k8s-app=aws-node", fields="spec.nodeName!="))


def _judged(narrator: Narrator, weeks: Weeks) -> list[tuple[str, float]]:
    """How long each alarm was on before the first stuck pod; the table.

    Raises:
        RehearsalFailedError: One came too late.
    """
    stuck = weeks.first_stuck
    if stuck is None:
        raise RehearsalFailedError("no pod hangs")
    zone = next(iter(ZONES))
    found: list[tuple[str, float]] = []
    rows: list[tuple[str, str, str]] = []
    for kind, needed in LEAST_LEAD_HOURS.items():
        name = f"headroom/{CLUSTER}/{zone}/{kind}"
        begin = began(weeks.board.transitions, name, stuck)
        if begin is None or (stuck - begin) / 3600 < needed:
            raise RehearsalFailedError(f"{name} did not come {needed:g} hours before the first stuck pod")
        found.append((kind, (stuck - begin) / 3600))
        rows.append((name.removeprefix(f"headroom/{CLUSTER}/"), _date(begin), _lead(stuck - begin)))
    errors = set(weeks.workload.refused)
    for node in weeks.workload.nodes.nodes.values():
        ec2 = node.ipamd.ec2
        errors |= {code for _, code in ec2.errors} if isinstance(ec2, NodeEc2) else set()
    rows.append((f"first stuck pod ({', '.join(sorted(errors)) or 'no address'})", _date(stuck), "-"))
    narrator.table(("WHAT", "WHEN", "BEFORE THE FIRST STUCK POD"), rows)
    return found


def began(transitions: Sequence[Transition], name: str, end: float) -> float | None:
    """When an alarm came on that was on at that time; one that paused for less than a day never stopped."""
    began = stopped = None
    for each in transitions:
        if each.alarm != name or each.time > end:
            continue
        if not each.on:
            stopped = each.time
        elif began is None or (stopped is not None and each.time - stopped > DAY_SECONDS):
            began, stopped = each.time, None
        else:
            stopped = None
    return None if stopped is not None and end - stopped > DAY_SECONDS else began


def _free(weeks: Weeks) -> str:
    """Free addresses by zone, as the function published them last."""
    cloudwatch, now = weeks.board.cloudwatch, weeks.clock.now()
    texts = []
    for zone in ZONES:
        named = [{"Name": name, "Value": value} for name, value in dimensions(CLUSTER, zone).items()]
        metric = {"Namespace": "Headroom", "MetricName": str(Metric.FREE_ADDRESSES), "Dimensions": named}
        answer = cloudwatch.get_metric_data(
            MetricDataQueries=[{"Id": "m", "MetricStat": {"Metric": metric, "Period": 3600, "Stat": "Minimum"}}],
            StartTime=datetime.fromtimestamp(now - 3600, UTC),
            EndTime=datetime.fromtimestamp(now, UTC),
        )
        values = answer["MetricDataResults"][0]["Values"]
        texts.append(f"{zone[-2:]} {values[0]:.0f}" if values else f"{zone[-2:]} unknown")
    usable = usable_addresses(Block.parse(next(iter(ZONES.values()))))
    return f"free of {usable}: {', '.join(texts)}"


def _date(time: float) -> str:
    return datetime.fromtimestamp(time, UTC).strftime("%a %d %b %H:%M")


def _lead(seconds: float) -> str:
    return f"{seconds / DAY_SECONDS:.1f} days" if seconds >= 2 * DAY_SECONDS else f"{seconds / 3600:.1f} hours"


def _days(seconds: float) -> float:
    return round(seconds / DAY_SECONDS, 1)
