"""Plays a cure on the copy: diagnose, plan, preview, up, verify; and holds the copy to its original."""

import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from difflib import ndiff
from pathlib import Path
from typing import Any, Final

from headroom.addresses.problems import Problem, ProblemsError
from headroom.diagnosis.verdict import Diagnosis, Verdict
from headroom.facts.document import load
from headroom.planning.plan import Plan
from headroom.planning.planner import make_plan
from headroom.rehearsal.clock import Clock
from headroom.rehearsal.narration import Narrator
from headroom.rehearsal.scenarios import incident, sight
from headroom.rehearsal.scenarios.incident import Expected, Played, RehearsalFailedError
from headroom.rehearsal.scenarios.shape import Cluster
from headroom.rehearsal.scenarios.twin import hands
from headroom.rehearsal.scenarios.twin.build import build
from headroom.rehearsal.scenarios.twin.original import ALWAYS_GUESSED, Original, read_original
from headroom.rehearsal.world import World

LINES_SHOWN: Final = 10
STUCK_SECONDS: Final = 60.0
"""Wall time in which the copy's pods come to hang as the original's do."""


def open_original(path: Path) -> Original:
    """Reads a snapshot, and what a copy is made of.

    Raises:
        ProblemsError: It cannot be read, or no copy can be made of it, or nothing could be proven on one.
    """
    subject = f"--facts {path}"
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise ProblemsError(
            [
                Problem(
                    rule="readable-file",
                    value=str(path),
                    reason=f"cannot be read: {reason}.",
                    next_step="Name a snapshot that `headroom collect` wrote.",
                )
            ],
            subject=subject,
        ) from None
    original = read_original(load(text, subject=subject))
    if original.diagnosis.verdict is Verdict.UNDECIDED:
        needed = "; ".join(each.reading for each in original.diagnosis.needed[:3])
        raise ProblemsError(
            [
                Problem(
                    rule="twin-has-verdict",
                    value="the diagnosis of these facts",
                    reason=f"is undecided, so that a copy could be held to nothing. Needed: {needed}.",
                    next_step="Read that with `headroom collect`, and try again.",
                )
            ],
            subject=subject,
        )
    return original


def play(original: Original, world: World, narrator: Narrator, clock: Clock) -> dict[str, Any]:
    """Builds the copy and plays the cure on it; returns what `--json` prints beside the phases.

    Raises:
        RehearsalFailedError: The copy is not like the original, or the cure does not cure it.
    """
    running, played = find_out_on_copy(original, world, narrator, clock)
    unproven = ""
    if played.diagnosis.verdict is Verdict.FOUND:
        unproven = _cure(original, world, narrator, running, played)
    else:
        narrator.say("\nThere is nothing to cure, here as there.")
    incident.check_nodes(running)
    return {
        **incident.result_of(played),
        "scenario": f"twin of {original.name}",
        "awsCalls": world.endpoint.calls(),
        "guesses": [*original.guesses, *ALWAYS_GUESSED],
        "unproven": unproven,
        "next": "`headroom plan --facts` on the same snapshot writes the files of the plan that was played here.",
        "cannotShow": list(incident.CANNOT_SHOW),
    }


def find_out_on_copy(original: Original, world: World, narrator: Narrator, clock: Clock) -> tuple[Cluster, Played]:
    """Builds the copy, lets it fall ill by itself, and diagnoses it.

    Raises:
        RehearsalFailedError: The diagnosis is not that of the original.
    """
    with narrator.phase("copy", f"A copy of {original.name}") as phase:
        running = build(world, clock, original, progress=lambda text: narrator.say(f"  {text} …"))
        clock.run()
        narrator.say("The copy guesses")
        for guess in (*original.guesses, *ALWAYS_GUESSED):
            narrator.say(f"  - {guess}")
        phase.facts = {"pods that hang": _until_stuck(running, len(original.waiting))}
    with narrator.phase("diagnose", "Why") as phase:
        causes = tuple((cause.root_cause, cause.detail) for cause in original.diagnosis.causes)
        expected = Expected(verdict=original.diagnosis.verdict, causes=causes)
        played = incident.find_out(expected, world, narrator, running)
        different = list(differences(original.diagnosis, played.diagnosis))
        if different:
            raise RehearsalFailedError(
                "the copy is not like the original, so that nothing on it would prove anything:\n"
                + "\n".join(f"  - {each}" for each in different)
            )
        narrator.say(
            "The copy is ill as the original is: the same verdict, causes, and number of nodes, zones, subnets."
        )
        phase.facts = {"verdict": played.diagnosis.verdict.value, "calls": played.calls}
    return running, played


def differences(original: Diagnosis, copy: Diagnosis) -> Iterator[str]:
    """In what two diagnoses differ: verdict, causes, and whom each cause hits."""
    if original.verdict is not copy.verdict:
        yield f"the verdict is {copy.verdict.value}, there {original.verdict.value}"
    there, here = ({cause.name: cause.scope for cause in each.causes} for each in (original, copy))
    yield from (f"{name} is found there and not here" for name in there.keys() - here.keys())
    yield from (f"{name} is found here and not there" for name in here.keys() - there.keys())
    for name in there.keys() & here.keys():
        for kind in ("nodes", "zones", "subnets"):
            mine, its = len(getattr(here[name], kind)), len(getattr(there[name], kind))
            if mine != its:
                yield f"{name} concerns {mine} {kind}, there {its}"


def _until_stuck(running: Cluster, wanted: int) -> int:
    """Waits until as many pods hang as in the original, or no more come to hang; and until that stays so.

    Every CNI has looked at its pool by then: where EC2 throttles them, they come to that one after the other.
    """
    deadline, begun = time.monotonic() + STUCK_SECONDS, running.nodes.clock.now()
    nodes = list(running.nodes.nodes.values())
    while time.monotonic() < deadline and (
        any(node.ipamd.busy_until < begun for node in nodes) or len(sight.stuck(running)) < wanted
    ):
        time.sleep(0.2)
    return sight.until_still(running, lambda: len(sight.stuck(running)))


def _cure(original: Original, world: World, narrator: Narrator, running: Cluster, played: Played) -> str:
    """Plans, does and verifies; returns what could not be proven here, or nothing."""
    with narrator.phase("plan", "The smallest change that cures it"):
        ours = incident.make(narrator, played)
        theirs = make_plan(original.snapshot, original.diagnosis)
        narrator.say(_compared(theirs, ours))
    # What is to be proven is the original's plan; what must hold afterwards, of the copy's pods and interfaces.
    plan = replace(theirs, postconditions=ours.postconditions)
    missing = hands.not_here(plan)
    if missing:
        narrator.say(f"\nThe copy cannot show {missing}: the plan is made, and not proven here.")
        return missing
    _by_hand(narrator, "What a person does first", hands.before_the_stack(world, running, plan))
    if plan.stack:
        incident.apply_plan(world, narrator, plan, played)
    _by_hand(narrator, "What a person does next", hands.after_the_stack(running, plan, original))
    with narrator.phase("verify", "Until every condition holds") as phase:
        phase.facts = {"conditions": incident.until_met(world, narrator, running, plan)}
    return ""


def _by_hand(narrator: Narrator, title: str, steps: Iterable[str]) -> None:
    with narrator.phase("by hand", title):
        done = False
        for each in steps:
            narrator.say(each)
            done = True
        if not done:
            narrator.say("Nothing.")


def _compared(there: Plan, here: Plan) -> str:
    """What is applied, and how it differs from what the copy's own facts give."""
    if not there.stack and not here.stack:
        return "There is no stack file to apply, by the original's facts and by the copy's."
    said = "What is applied is the stack file that the original's facts give"
    there_text, here_text = _stack_text(there), _stack_text(here)
    if there_text == here_text:
        return f"{said}; the copy's own give the same, byte for byte."
    lines = [line for line in ndiff(there_text.splitlines(), here_text.splitlines()) if line[0] in "+-"]
    return f"{said}; the copy's own differ from it in:\n" + "\n".join(f"  {line}" for line in lines[:LINES_SHOWN])


def _stack_text(plan: Plan) -> str:
    return next((file.text for file in plan.files if file.path.endswith(f"Pulumi.{plan.stack}.yaml")), "")
