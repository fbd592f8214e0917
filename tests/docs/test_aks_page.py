"""The page on AKS goes the way that a plan prints: the same commands, in the same order."""

import re
from pathlib import Path

from headroom.diagnosis.classifier import diagnose
from headroom.facts.document import load
from headroom.planning.planner import make_plan

PAGE = Path(__file__).parents[2] / "docs" / "aks.md"
FACTS = Path(__file__).parents[1] / "incidents" / "aks-kubenet-exhausted" / "facts.json"
READS = ("headroom audit-egress", "headroom collect", "headroom diagnose", "headroom plan", "headroom rehearse", "az ")
"""Commands that a plan does not print as they are: they come before it, or their addresses are filled in."""


def commands(text: str) -> list[str]:
    """The command lines of console blocks, without their comments, a line that goes on joined."""
    blocks = re.findall(r"```console\n(.*?)```", text, flags=re.DOTALL)
    lines = [line for block in blocks for line in re.sub(r"\\\n\s*", "", block).splitlines()]
    return [line.removeprefix("$ ").partition("  #")[0].strip() for line in lines]


def test_the_numbered_steps_are_those_of_a_plan_in_its_order() -> None:
    snapshot = load(FACTS.read_text(encoding="utf-8"), subject=FACTS.name)
    plan = make_plan(snapshot, diagnose(snapshot))
    printed = re.sub(
        r"--subscription \S+", "--subscription SUBSCRIPTION", "\n".join(step.command for step in plan.steps)
    )
    numbered = PAGE.read_text(encoding="utf-8").partition("\n## 1.")[2].partition("\n## The old cluster")[0]
    at = count = 0
    for line in commands(numbered):
        if line.startswith(READS):
            continue
        place = printed.find(line, at)
        assert place >= 0, f"{line}: not in the plan, or not in this order"
        at, count = place, count + 1
    assert count >= 20


def test_the_audit_is_asked_for_on_the_page_as_in_the_plan() -> None:
    snapshot = load(FACTS.read_text(encoding="utf-8"), subject=FACTS.name)
    [step] = [each for each in make_plan(snapshot, diagnose(snapshot)).steps if "audit-egress" in each.command]
    asked = next(line for line in commands(PAGE.read_text(encoding="utf-8")) if "audit-egress --cluster" in line)
    for text in (step.command, asked):
        assert "--plan changes.sh --inventory lists.yaml --record stacks/audit.aks-prod-eus2-egress.json" in text


def test_the_files_that_the_page_names_are_those_of_the_plan() -> None:
    snapshot = load(FACTS.read_text(encoding="utf-8"), subject=FACTS.name)
    plan = make_plan(snapshot, diagnose(snapshot))
    written = {file.path for file in plan.files} | {"stacks/plan.aks-prod-eus2-overlay.json"}
    made = ("audit.", "probes.", "gate.")
    named = re.findall(r"stacks/[\w.-]+\.(?:json|yaml|txt)\b", PAGE.read_text(encoding="utf-8"))
    assert {name for name in named if not name.removeprefix("stacks/").startswith(made)} <= written
