"""The capacity model: pools, fleets, simulated days, forecasts, and how long `headroom calc` takes to answer.

Run: python benchmarks/capacity.py [--nodes 5000] [--sample 100]

Every figure stands beside its floor or peer of the same run: the closed form beside the simulation of the same
nodes, the fleet plan beside reckoning each node by itself, the commands beside a Python that only starts, the
forecast beside the last value and a straight line. Churn: every minute 0, 1 or 2 of a node's 60 pods are deleted
and as many created, so a pod lives an hour on average. Simulated days are judged by the processor's time, which other
work on the machine changes least; the time by the clock stands beside it.
"""

import argparse
import math
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from headroom.capacity.fleet import Nodes, best_warm_targets, plan_fleet
from headroom.capacity.forecast import Reading, forecast
from headroom.capacity.limits import InstanceLimits, instance_limits, instance_types, max_pods
from headroom.capacity.pool import node_pool, node_shape
from headroom.capacity.prefixes import PrefixGrowth
from headroom.capacity.settings import CniSettings
from headroom.capacity.simulation import NodeSimulation

SEED = 20251121
FLEET = 5_000
MINUTES = 24 * 60
PODS = 60
SAMPLE = 100
"""Nodes that are simulated of each further setting, unless the caller wants more."""

SETTINGS = {
    "default (WARM_ENI_TARGET=1)": CniSettings(),
    "WARM_IP_TARGET=5 MINIMUM_IP_TARGET=10": CniSettings(warm_ip_target=5, minimum_ip_target=10),
    "prefixes, WARM_PREFIX_TARGET=1": CniSettings(prefix_delegation=True, warm_prefix_target=1),
    "prefixes, WARM_PREFIX_TARGET=2": CniSettings(prefix_delegation=True, warm_prefix_target=2),
}

LEAST_POOLS_A_SECOND = 1e5
MOST_SIMULATED_SECONDS = 60.0
MOST_FLEET_MILLISECONDS = 50.0
MOST_ANSWER_SECONDS = 0.25

COMMANDS = (
    ("calc node", "--instance-type m5.8xlarge --pods 100"),
    ("calc node", "--instance-type m5.8xlarge --pods 10 --after-peak 100"),
    ("calc fleet", "--nodes us-east-1a:m5.8xlarge:10:100 --nodes us-east-1b:m5.8xlarge:20:10:100"),
    ("calc max-pods", "--instance-type m5.large"),
    ("calc subnet", "--nodes 30 --pods-per-node 100 --instance-type m5.8xlarge --surge 2"),
    ("calc free", "--within 10.0.0.0/16 --used 10.0.0.0/20 --prefix-length 24"),
    ("calc blocks", "--subnet 10.0.0.0/18 --used 10.0.0.17"),
    ("calc association", "--existing 10.0.0.0/16 --candidate 100.64.0.0/16"),
    ("calc layout", "--within 100.64.0.0/16 --zone us-east-1a --zone us-east-1b --prefix-length 18"),
    ("calc overlay", "--pod-cidr 10.244.0.0/16 --pool apps:10:200"),
)
REPEATS = 7

_failed: list[str] = []


def best_seconds(run: Callable[[], object], repeats: int) -> float:
    """Shortest of the repeats, after one run to warm up."""
    run()
    best = float("inf")
    for _ in range(repeats):
        started = time.perf_counter()
        run()
        best = min(best, time.perf_counter() - started)
    return best


def verdict(name: str, *, reached: bool) -> str:
    """Notes a figure that is not reached."""
    if not reached:
        _failed.append(name)
    return "reached" if reached else "NOT reached"


def random_nodes(count: int) -> list[tuple[InstanceLimits, int]]:
    """Nodes of any type with any number of pods, the same at every run."""
    # Not for secrets: a fixed seed makes runs comparable.
    chance = random.Random(SEED)  # noqa: S311
    names = [name for name in instance_types() if instance_limits(name).enis > 1]
    limits = [instance_limits(chance.choice(names)) for _ in range(count)]
    return [(each, chance.randrange(max_pods(each).value + 1)) for each in limits]


def simulated_day(limits: InstanceLimits, settings: CniSettings, seed: int) -> NodeSimulation:
    """One node through 24 hours of churn at steps of a minute."""
    chance = random.Random(seed)  # noqa: S311
    node = NodeSimulation(limits=limits, settings=settings, max_pods=max_pods(limits).value, seed=seed)
    node.add(PODS)
    for replaced in chance.choices(range(3), k=MINUTES):
        node.remove(replaced, "random")
        node.add(replaced)
        node.wait(60)
    return node


def pools() -> None:
    """The closed form, and the simulation of the same nodes."""
    nodes = random_nodes(FLEET)
    print(f"\nPool of a node, {len(nodes):,} nodes of random types and pods")
    print(f"{'':<40} {'closed form, nodes/s':>22} {'simulated, nodes/s':>20}")
    for name, settings in SETTINGS.items():

        def closed(settings: CniSettings = settings) -> None:
            for limits, count in nodes:
                node_pool(limits, settings, count)

        def simulated(settings: CniSettings = settings) -> None:
            for limits, count in nodes[:SAMPLE]:
                node = NodeSimulation(limits=limits, settings=settings, max_pods=max_pods(limits).value)
                node.add(count)
                node.settle()

        started = time.perf_counter()
        closed()
        first = len(nodes) / (time.perf_counter() - started)
        rate = len(nodes) / best_seconds(closed, 5)
        slow = SAMPLE / best_seconds(simulated, 1)
        reached = verdict(f"closed form, {name}", reached=rate >= LEAST_POOLS_A_SECOND)
        print(f"{name:<40} {rate:>22,.0f} {slow:>20,.0f}   {reached} ({LEAST_POOLS_A_SECOND:,.0f})")
        if settings.warm_prefix_target > 1:
            print(f"{'  the first time, with its drawn placements':<40} {first:>20,.0f}")
            bounds(nodes, settings)


def bounds(nodes: Sequence[tuple[InstanceLimits, int]], settings: CniSettings) -> None:
    """The range alone, without a mean."""
    grown = [(node_shape(limits, settings, None, idle_primary=False), count) for limits, count in nodes]
    nitro = [(shape, count) for shape, count in grown if shape.slot_size > 1]

    def run() -> None:
        for shape, count in nitro:
            stop = -(-shape.max_pods // shape.slot_size)
            PrefixGrowth(settings.warm_prefix_target, shape.slots, shape.most_slots, stop).bounds(count)

    rate = len(nitro) / best_seconds(run, 5)
    reached = verdict("bounds of warm prefixes", reached=rate >= LEAST_POOLS_A_SECOND)
    print(f"{'  the range alone':<40} {rate:>22,.0f} {'':>20}   {reached} ({LEAST_POOLS_A_SECOND:,.0f})")


def fleets() -> None:
    """The plan of a fleet, and the same nodes one by one."""
    zones = ("us-east-1a", "us-east-1b", "us-east-1c")
    chance = random.Random(SEED)  # noqa: S311
    kinds = [instance_limits(name) for name in ("m5.large", "c5.xlarge", "m5.8xlarge", "r5.2xlarge", "m6i.4xlarge")]
    fleet = []
    for _ in range(FLEET):
        limits = chance.choice(kinds)
        fleet.append(Nodes(limits=limits, zone=chance.choice(zones), pods=chance.randrange(max_pods(limits).value)))
    print(f"\nPlan of a fleet of {FLEET:,} nodes in {len(zones)} zones")
    print(f"{'':<40} {'plan, ms':>22} {'node by node, ms':>20}")
    for name, settings in SETTINGS.items():
        plan = best_seconds(lambda settings=settings: plan_fleet(fleet, settings), 10) * 1000  # type: ignore[misc] # mypy cannot see the default

        def one_by_one(settings: CniSettings = settings) -> int:
            return sum(node_pool(each.limits, settings, each.pods).most_addresses for each in fleet)

        if one_by_one() != plan_fleet(fleet, settings).addresses:
            _failed.append(f"fleet, {name}: another sum than node by node")
        single = best_seconds(one_by_one, 5) * 1000
        reached = verdict(f"fleet plan, {name}", reached=plan <= MOST_FLEET_MILLISECONDS)
        print(f"{name:<40} {plan:>22,.1f} {single:>20,.1f}   {reached} ({MOST_FLEET_MILLISECONDS:,.0f} ms)")
    started = time.perf_counter()
    advice = best_warm_targets(fleet, SETTINGS["default (WARM_ENI_TARGET=1)"])
    seconds = time.perf_counter() - started
    known = 0 if advice is None else len(advice.kinds)
    print(f"{f'best warm targets, {known} kinds of nodes':<40} {seconds * 1000:>22,.1f}")


def days(nodes: int, sample: int) -> None:
    """24 hours of churn: all nodes with the default setting, a sample with the others."""
    limits = instance_limits("m5.8xlarge")
    print(f"\n24 h of churn at one-minute steps, {limits.instance_type} with {PODS} pods, one core")
    print(f"{'':<40} {'nodes':>8} {'clock, s':>9} {'CPU, s':>8} {'ms a node':>10} {f's for {FLEET:,}':>12}")
    for index, (name, settings) in enumerate(SETTINGS.items()):
        count = nodes if index == 0 else min(sample, nodes)
        started, started_cpu = time.perf_counter(), time.process_time()
        for seed in range(count):
            simulated_day(limits, settings, seed)
        clock, seconds = time.perf_counter() - started, time.process_time() - started_cpu
        whole = seconds / count * FLEET
        reached = verdict(f"simulated day, {name}", reached=whole < MOST_SIMULATED_SECONDS)
        print(
            f"{name:<40} {count:>8,} {clock:>9.1f} {seconds:>8.1f} {seconds / count * 1000:>10.2f} {whole:>12.1f}   "
            f"{reached} ({MOST_SIMULATED_SECONDS:.0f} s)"
        )


def history(seed: int, length: int) -> tuple[list[Reading], Callable[[int], float]]:
    """Free addresses by the hour with a known trend, a weekly and daily pattern, a step, restarts and storms."""
    chance = random.Random(seed)  # noqa: S311
    slope = chance.choice((0, 0, chance.uniform(-15, -1)))
    weekly, daily = chance.uniform(0, 300), chance.uniform(0, 150)
    step_day, step = chance.randrange(10, length - 10), chance.choice((0, chance.uniform(-600, 600)))
    disturbances = [
        (chance.uniform(0, length), chance.uniform(0.05, 0.5), chance.uniform(-800, -200)) for _ in range(4)
    ]

    def truth(day: float) -> float:
        pattern = weekly * (int(day) % 7 >= 5) + daily * math.sin(2 * math.pi * day)  # noqa: PLR2004 - the weekend
        return 5000 + slope * day + pattern + (step if day >= step_day else 0)

    readings = []
    for hour in range(24 * length):
        day = hour / 24
        value = truth(day) + chance.gauss(0, 15)
        value += sum(depth for begin, lasts, depth in disturbances if begin <= day < begin + lasts)
        readings.append(Reading(day * 86_400, max(0.0, round(value))))

    def low(day: int) -> float:
        return min(truth(day + hour / 24) for hour in range(24))

    return readings, low


def forecasts() -> None:
    """Sixty days of history, and the usual low of the week thirty days on."""
    length, ahead, runs = 60, 30, 60
    ours, naive, straight = [], [], []
    for seed in range(runs):
        readings, low = history(seed, length)
        truth = min(low(length - 1 + ahead + offset) for offset in range(-3, 4))
        found = forecast(readings)
        ours.append(abs((found.now or 0) + found.per_day * ahead - truth))
        naive.append(abs(readings[-1].value - truth))
        times = [reading.time / 86_400 for reading in readings]
        values = [reading.value for reading in readings]
        middle, mean = sum(times) / len(times), sum(values) / len(values)
        gradient = sum((t - middle) * (v - mean) for t, v in zip(times, values, strict=True)) / sum(
            (t - middle) ** 2 for t in times
        )
        straight.append(abs(mean + gradient * (length - 1 + ahead - middle) - truth))
    print(
        f"\nForecast {ahead} days ahead from {length} days with patterns, steps, restarts and storms, {runs} histories"
    )
    print(f"{'':<40} {'median error':>14} {'mean error':>12}")
    for name, errors in (("headroom", ours), ("last value", naive), ("straight line", straight)):
        print(f"{name:<40} {sorted(errors)[runs // 2]:>14,.0f} {sum(errors) / runs:>12,.0f}")
    verdict("forecast beats both", reached=sum(ours) < min(sum(naive), sum(straight)))
    readings, _ = history(0, length)
    print(f"{'one forecast':<40} {best_seconds(lambda: forecast(readings), 5) * 1000:>11.1f} ms")


def commands() -> None:
    """Whole processes, from start to exit."""
    program = Path(sys.executable).with_name("headroom")
    if not program.exists():
        found = shutil.which("headroom")
        if found is None:
            print("\nheadroom is not installed here: its commands were not measured")
            return
        program = Path(found)
    floor = best_seconds(lambda: subprocess.run([sys.executable, "-c", "import click"], check=True), REPEATS)
    print("\nheadroom calc, whole process")
    print(f"{'':<60} {'best, s':>8} {'times floor':>12}")
    print(f"{'python -c import click (floor)':<60} {floor:>8.3f} {1.0:>12.1f}")
    for command, options in COMMANDS:
        words = [str(program), *command.split(), *options.split()]

        def answer(words: Sequence[str] = words) -> None:
            subprocess.run(words, check=True, stdout=subprocess.DEVNULL)  # noqa: S603 - ourselves

        seconds = best_seconds(answer, REPEATS)
        reached = verdict(f"{command}", reached=seconds < MOST_ANSWER_SECONDS)
        print(f"{f'{command} {options}'[:60]:<60} {seconds:>8.3f} {seconds / floor:>12.1f}   {reached}")


def main() -> int:
    """Prints the tables; 1 if a figure is not reached."""
    parser = argparse.ArgumentParser(description="The capacity model against its figures.")
    parser.add_argument("--nodes", type=int, default=FLEET, metavar="N", help="nodes that are simulated for a day")
    parser.add_argument("--sample", type=int, default=SAMPLE, metavar="N", help="nodes of each setting but the default")
    options = parser.parse_args()
    nodes, sample = max(1, options.nodes), max(1, options.sample)
    pools()
    fleets()
    forecasts()
    commands()
    days(nodes, sample)
    for name in _failed:
        print(f"not reached: {name}", file=sys.stderr)
    return 1 if _failed else 0


if __name__ == "__main__":
    sys.exit(main())
