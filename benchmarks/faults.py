"""Verdicts over all rehearsed incidents with every fault in turn: right, in part, undecided, wrong.

Run: python benchmarks/faults.py [--incident NAME] [--made] [--double N [--seed S]]

Each reading of each incident in `tests/incidents` is denied, throttled, not answered, empty, cut short or made to
contradict another one (`headroom.rehearsal.spoiled`). None may make a verdict wrong; what became undecided is listed.
`--double` takes N pairs of faults of each incident instead, at random, the same for the same seed.
"""

import argparse
import json
import random
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from headroom.capacity.fleet import best_warm_targets
from headroom.diagnosis import history
from headroom.diagnosis.classifier import diagnose
from headroom.diagnosis.verdict import Verdict
from headroom.facts.document import load
from headroom.facts.snapshot import Snapshot
from headroom.rehearsal import made
from headroom.rehearsal.scenarios.incidents import INCIDENTS
from headroom.rehearsal.spoiled import Outcome, outcome, spoiled

MADE = (made.exhausted, made.healthy, made.fragmented, made.leaking, made.crowded, made.full_nodes)
FOLDER = Path(__file__).parents[1] / "tests" / "incidents"


def remembering(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same function, which works each question out once: the advice on warm targets is a simulation."""
    answers: dict[str, Any] = {}

    def remember(*arguments: Any, **keywords: Any) -> Any:
        question = repr((arguments, sorted(keywords.items())))
        if question not in answers:
            answers[question] = function(*arguments, **keywords)
        return answers[question]

    return remember


def also_of(name: str) -> set[str]:
    """Causes that may be told of an incident beside those that were."""
    if name not in INCIDENTS:
        return set()
    told = INCIDENTS[name].expected
    return {"/".join(part.value for part in cause if part is not None) for cause in (*told.causes, *told.also)}


def cases(*, made_too: bool) -> Iterator[tuple[str, Snapshot, Verdict, set[str], set[str]]]:
    """Name, facts, verdict, causes, and further causes that may be told."""
    for folder in sorted(FOLDER.iterdir()):
        expected = json.loads((folder / "expected.json").read_text(encoding="utf-8"))
        snapshot = load((folder / "facts.json").read_text(encoding="utf-8"), subject=folder.name)
        yield folder.name, snapshot, Verdict(expected["verdict"]), set(expected["causes"]), also_of(folder.name)
    for make in MADE if made_too else ():
        snapshot = make()
        truth = diagnose(snapshot)
        yield f"made {make.__name__}", snapshot, truth.verdict, {cause.name for cause in truth.causes}, set()


SECONDS_OF_ONE = 25
"""Second faults that are tried beside one first fault: finding all of them is what takes the time."""


def faults(snapshot: Snapshot, *, double: int, seed: int, every_reason: bool) -> Iterator[tuple[str, str, Snapshot]]:
    """Where, what in words, and the facts: of each fault in turn, or of so many pairs of faults."""
    if not double:
        for case in spoiled(snapshot, every_reason=every_reason):
            yield case.where, str(case), case.snapshot
        return
    chance = random.Random(seed)  # noqa: S311 - to choose, not to keep a secret
    alone, left = list(spoiled(snapshot, every_reason=False)), double
    for first in chance.sample(alone, min(len(alone), -(-double // SECONDS_OF_ONE))):
        beside = list(spoiled(first.snapshot, every_reason=False))
        seconds = chance.sample(beside, min(len(beside), SECONDS_OF_ONE, left))
        left -= len(seconds)
        for second in seconds:
            yield f"{first.where} + {second.where}", f"{first} | {second}", second.snapshot


def main() -> int:
    """Prints the table and what is undecided; 1 if a verdict is wrong."""
    parser = argparse.ArgumentParser(description="Verdicts under faults.")
    parser.add_argument("--incident", default="", help="only this one")
    parser.add_argument("--made", action="store_true", help="the clusters of the capacity model too (minutes)")
    parser.add_argument("--double", type=int, default=0, metavar="N", help="so many pairs of faults of each instead")
    parser.add_argument("--seed", type=int, default=1, metavar="S", help="which pairs")
    arguments = parser.parse_args()
    history.best_warm_targets = remembering(best_warm_targets)  # type: ignore[attr-defined]  # for this process only
    total: Counter[Outcome] = Counter()
    undecided: defaultdict[str, set[str]] = defaultdict(set)
    wrong: list[str] = []
    columns = (Outcome.RIGHT, Outcome.PART, Outcome.UNDECIDED, Outcome.WRONG)
    print(f"{'incident':24}{'faults':>8}" + "".join(f"{column.value:>15}" for column in columns) + f"{'seconds':>10}")
    for name, snapshot, verdict, causes, also in cases(made_too=arguments.made):
        if arguments.incident not in ("", name):
            continue
        started, counts = time.perf_counter(), Counter[Outcome]()
        every = not name.startswith("made")
        pairs, seed = arguments.double, arguments.seed
        for where, what, facts in faults(snapshot, double=pairs, seed=seed, every_reason=every):
            diagnosis = diagnose(facts)
            found = outcome(verdict, causes, diagnosis, also=also)
            counts[found] += 1
            if found is Outcome.UNDECIDED and not pairs:
                undecided[where].add(name)
            if found is Outcome.WRONG:
                told = ", ".join(cause.name for cause in diagnosis.causes)
                wrong.append(f"{name}: {what}: {diagnosis.verdict.value} {told}")
        total.update(counts)
        print(
            f"{name:24}{counts.total():>8,}"
            + "".join(f"{counts[column]:>15,}" for column in columns)
            + f"{time.perf_counter() - started:>10.1f}"
        )
    print(f"{'in all':24}{total.total():>8,}" + "".join(f"{total[column]:>15,}" for column in columns))
    if undecided:
        print("\nundecided where one of these is at fault:")
    for where, names in sorted(undecided.items()):
        print(f"  {where}: {', '.join(sorted(names))}")
    for line in wrong:
        print(f"WRONG  {line}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
