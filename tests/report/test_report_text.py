"""Text of others is made fit to be shown; the terminal and Markdown say what the diagnosis says."""

import io
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from headroom.diagnosis.classifier import diagnose
from headroom.diagnosis.verdict import Diagnosis, Evidence, HitWorkload, Impact, Verdict
from headroom.rehearsal import made
from headroom.report.markdown import to_markdown
from headroom.report.terminal import plain_lines, print_terminal
from headroom.report.text import age, clean, counted, first_and_more, of_whole
from tests.aks import conftest as aks
from tests.report.conftest import SCRIPT, TURNED


def screen(
    diagnosis: Diagnosis, *, width: int = 100, source: str = "--cluster prod-use1", now: datetime | None = None
) -> str:
    console = Console(file=io.StringIO(), width=width, highlight=False, force_terminal=False, color_system=None)
    print_terminal(diagnosis, console, source=source, now=now)
    written = console.file
    assert isinstance(written, io.StringIO)
    return written.getvalue()


def words(text: str) -> str:
    return " ".join(text.split())


@given(st.text())
def test_shown_text_is_printable_on_one_line_and_of_limited_length(text: str) -> None:
    shown = clean(text, 40)
    assert shown.isprintable()
    assert "\n" not in shown
    # A character that is not printable takes up to ten as an escape.
    assert len(shown) <= 400


@given(st.text(alphabet=st.characters(min_codepoint=33, max_codepoint=126), max_size=40))
def test_plain_names_are_shown_as_they_are(text: str) -> None:
    assert clean(text) == text


def test_what_turns_or_hides_is_shown_as_its_escape() -> None:
    assert clean("a\u202eb\u200bc\x1b[31m") == "a\\u202eb\\u200bc\\x1b[31m"
    assert clean("two\nlines\tand  blanks") == "two lines and blanks"
    assert clean("x" * 400) == "x" * 299 + "…"


def test_numbers_have_their_units_and_wholes() -> None:
    assert (counted(1, "pod"), counted(2_000, "pod"), counted(2, "try", "tries")) == ("1 pod", "2,000 pods", "2 tries")
    assert of_whole(3, 8) == "3 of 8"
    assert (of_whole(None, 8), of_whole(3, None), of_whole(None, None)) == ("unknown of 8", "3 of unknown", "unknown")
    assert first_and_more(["a", "b", "c", "d"], 2) == "a, b and 2 more"
    assert (first_and_more(["a"], 2), first_and_more([], 2)) == ("a", "")


# Plain text.


def test_plain_text_is_one_fact_a_line_each_with_its_kind(diagnosis: Diagnosis) -> None:
    lines = list(plain_lines(diagnosis, source="--cluster prod-use1"))
    assert all("\n" not in line for line in lines)
    assert lines[0] == "verdict: found: subnet_exhaustion in us-east-1a and us-east-1b"
    for line in (
        "cluster: prod-use1, facts of 2026-03-03T21:14:00Z",
        "cause: subnet_exhaustion (proven): 37 pods wait on 14 nodes whose 2 subnets have no free address.",
        "evidence: subnet_exhaustion: AvailableIpAddressCount: 0 free of 1,019 (threshold: 30 at once) [subnet-0a1]",
        "not-it: eni_limit: every node has a free slot",
        "hit: 37 pods without an address, 5 Services",
        "restore: 6 Deployment shop/mailer 3 of 6 ready, 3 stuck: behind no Service",
        "relief-undo: kubectl --namespace batch scale deployment/report-daily --replicas=24",
        "escalation: not met: IP allocation failures across all nodes in cluster: 14 of 30 nodes.",
    ):
        assert line in lines
    owners = "pods 359, idle in nodes' pools 250, interfaces' own 21"
    assert f"subnet: subnet-0c3 us-east-1c 389 of 1,019 free, 0 free /28s: {owners}" in lines
    unknown = "cooldown of the pools (denied (pods/log)), decides between cooldown and the warm pool"
    assert f"unknown: {unknown}; would not change the verdict: kubectl logs" in lines
    assert lines[-1] == "next: headroom plan --cluster prod-use1"
    assert lines.count("not-it: eni_limit: every node has a free slot") == 1, "causes share what was ruled out"


def test_plain_text_of_ten_thousand_workloads_is_cut_and_says_so(diagnosis: Diagnosis) -> None:
    workloads = tuple(HitWorkload(kind="Deployment", namespace="d", name=f"w{n}") for n in range(10_000))
    lines = list(plain_lines(replace(diagnosis, impact=Impact(stuck_pods=10_000, workloads=workloads))))
    assert sum(line.startswith("restore: ") for line in lines) == 1_001
    assert "restore: and 9,000 further workloads" in lines


# The screen.


@pytest.mark.parametrize("width", [40, 80, 120, 200])
def test_the_screen_fits_the_terminal(diagnosis: Diagnosis, hostile_diagnosis: Diagnosis, width: int) -> None:
    for each in (diagnosis, hostile_diagnosis):
        assert max(len(line) for line in screen(each, width=width).splitlines()) <= width


def test_the_screen_says_cause_how_hit_and_next_in_this_order(diagnosis: Diagnosis) -> None:
    text = screen(diagnosis)
    places = [text.index(label) for label in ("CAUSE ", "HOW ", "HIT ", "CALL ", "NEXT ")]
    assert places == sorted(places)
    flat = words(text)
    for part in (
        "subnet-0a1 us-east-1a 0 of 1,019 free",
        "389 of 1,019 free not the cause",
        "not it eni_limit (every node has a free slot)",
        "unknown cooldown of the pools",
        "Restore first: shop/checkout-api (0 of 12 ready), shop/payments (3 of 8 ready)",
        "and 3 more.",
        "Now, by hand, reversible: Scale Deployment batch/report-daily to 0",
        "1 further workload could give way.",
        "NEXT headroom plan --cluster prod-use1",
    ):
        assert part in flat, part
    assert len(text.splitlines()) <= 60


def test_the_screen_of_other_verdicts_says_them(
    healthy_diagnosis: Diagnosis, undecided_diagnosis: Diagnosis, not_ip_diagnosis: Diagnosis
) -> None:
    assert "VERDICT Healthy Nothing is wrong with the addresses of pods" in words(screen(healthy_diagnosis))
    undecided = words(screen(undecided_diagnosis))
    assert "VERDICT Undecided Not enough could be read to say why" in undecided
    assert "could change the verdict: aws ec2 describe-subnets" in undecided
    assert "NEXT aws ec2 describe-subnets" in undecided
    assert "it is not addresses: image pull ErrImagePull [pod d/x, 3 times]" in words(screen(not_ip_diagnosis))


def test_no_name_reaches_the_terminal_with_its_control_characters(hostile_diagnosis: Diagnosis) -> None:
    for text in (screen(hostile_diagnosis), "\n".join(plain_lines(hostile_diagnosis))):
        assert not any(mark in text for mark in ("\x1b", "\x07", "\u202e", "\u2066"))
    assert "[31m" not in screen(hostile_diagnosis)


# Markdown.


def test_markdown_begins_with_the_verdict_and_folds_the_evidence(diagnosis: Diagnosis) -> None:
    text = to_markdown(diagnosis, source="--cluster prod-use1")
    assert text.startswith(
        "**Headroom: Cause found** · `prod-use1` · facts of 2026-03-03T21:14:00Z\n\n"
        "❌ subnet\\_exhaustion in us-east-1a and us-east-1b\n"
    )
    assert text.index("Next: `headroom plan --cluster prod-use1`") < text.index("<details><summary>Evidence for")
    assert "| subnet-0a1 | us-east-1a | 0 of 1,019 | ▓▓▓▓▓▓▓▓▓▓ | pods 561," in text
    assert "| subnet-0c3 | us-east-1c | 389 of 1,019 | ▓▓▓▓▓▓▓░░░ |" in text
    assert "| 1 | shop/checkout-api | 0 of 12 |" in text
    assert text.count("<details>") == text.count("</details>")


def test_hostile_names_stay_text_in_markdown(hostile_diagnosis: Diagnosis) -> None:
    text = to_markdown(hostile_diagnosis)
    assert "\\<script\\>" in text
    assert "@all" not in text
    assert "#1" not in text
    assert not any(mark in text for mark in ("\x1b", "\u202e", "\u2066"))
    rows = [line for line in text.splitlines() if line.startswith("| 1 |")]
    assert rows
    assert all(row.replace("\\|", "").count("|") == 5 for row in rows)
    outside = [line for line in text.splitlines() if SCRIPT in line]
    assert all(f"`{SCRIPT}" in line or line.startswith("- not `") or "`echo" in line for line in outside)
    assert TURNED not in text


def test_markdown_of_ten_thousand_workloads_fits_a_comment(diagnosis: Diagnosis) -> None:
    workloads = tuple(
        HitWorkload(kind="Deployment", namespace="d" * 300, name=f"w{n}" * 60, why="y" * 500) for n in range(10_000)
    )
    text = to_markdown(replace(diagnosis, impact=Impact(stuck_pods=10_000, workloads=workloads)))
    assert len(text) < 65_536
    assert "… and 9,980 further workloads." in text


NOW = datetime(2026, 3, 3, 21, 20, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("read_at", "expected"),
    [
        ("2026-03-03T21:20:10Z", "just read"),
        ("2026-03-03T21:19:30Z", "1 minute old"),
        ("2026-03-03T21:14:00Z", "6 minutes old"),
        ("2026-03-03T22:20:29+02:00", "1 hour old"),
        ("2026-02-28T21:00:00", "3 days old"),
        ("2026-03-03T21:30:00Z", ""),
        ("yesterday", ""),
        ("", ""),
    ],
)
def test_facts_have_their_age_where_it_is_known(read_at: str, expected: str) -> None:
    assert age(read_at, NOW) == expected


def test_the_age_of_the_facts_follows_the_verdict(diagnosis: Diagnosis) -> None:
    lines = list(plain_lines(diagnosis, now=NOW))
    assert lines[0].startswith("verdict: found: ")
    assert lines[1] == "cluster: prod-use1, facts of 2026-03-03T21:14:00Z, 6 minutes old"
    assert list(plain_lines(replace(diagnosis, cluster=""), now=NOW))[1].startswith("facts: facts of ")
    shown = screen(diagnosis, now=NOW)
    assert shown.index("prod-use1, facts of 2026-03-03T21:14:00Z, 6 minutes old") < shown.index("HOW")


def test_every_verdict_ends_with_a_command(diagnosis: Diagnosis) -> None:
    expected = {
        Verdict.FOUND: "headroom plan --facts f",
        Verdict.HEALTHY: "headroom forecast --cluster prod-use1",
        Verdict.NOT_IP: "headroom report --facts f",
    }
    for verdict, command in expected.items():
        lines = list(plain_lines(replace(diagnosis, verdict=verdict), source="--facts f"))
        assert lines[-1] == f"next: {command}"


def test_a_healthy_cluster_on_kubenet_is_told_the_day_and_the_plan_ahead() -> None:
    for facts, retires in ((aks.cluster(), "2028-03-31"), (aks.cluster(network=aks.OVERLAY), "")):
        found = diagnose(facts)
        assert (found.verdict, found.retires) == (Verdict.HEALTHY, retires)
        lines = list(plain_lines(found, source="--cloud aks --cluster aks-prod"))
        if retires:
            assert lines[-2] == "do: kubenet is retired on 2028-03-31: plan the way off it while nothing hangs."
            assert lines[-1] == "next: headroom plan --ahead --cloud aks --cluster aks-prod"
        else:
            assert not any("2028" in line or "--ahead" in line for line in lines)


def test_the_first_evidence_on_a_terminal_is_of_different_kinds(diagnosis: Diagnosis) -> None:
    same = [Evidence(what="AvailableIpAddressCount", value=f"{number} free") for number in range(4)]
    said = Evidence(what="InsufficientFreeAddressesInSubnet", count=412)
    cause = replace(diagnosis.causes[0], evidence=(*same, said))
    shown = screen(replace(diagnosis, causes=(cause,), history=None))
    places = [shown.index(text) for text in ("0 free", "InsufficientFreeAddressesInSubnet", "and 3 further readings")]
    assert places == sorted(places)
    assert "1 free" not in shown, "the table of subnets and --json have the others"


def test_a_healthy_cluster_shows_what_is_free_in_each_subnet() -> None:
    shown = screen(diagnose(made.healthy()))
    assert "Healthy" in shown
    assert shown.count("of 1,019 free") == 3
