"""The comment on a pull request: what is read in ten seconds, what is folded, and what a hostile name cannot do."""

from __future__ import annotations

import json
from datetime import date
from typing import TYPE_CHECKING, Any

from headroom.addresses.problems import Problem
from policies.capacity import ZoneCapacity
from policies.comment import FOLDED_AFTER, LARGEST, to_markdown
from policies.configuration import PolicyException
from policies.findings import Finding, Undecided
from policies.free import Free
from policies.pack import RULES, Judgement
from policies.reports import BAR, Check, Refused, Report, bar
from policies.resources import Place, Resource
from tests.policies.conftest import run, small, stack_file, state, subnet

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

RULE = "pod-subnet-size"
FILE = "stacks/Pulumi.prod.yaml"


def judgement(
    message: str = "is too small.", *, rule: str = RULE, excepted: PolicyException | None = None
) -> Judgement:
    subnet = Resource(type="t", name="pods", urn="urn", properties={}, place=Place(file=FILE, line=14))
    problem = Problem(rule=rule, value="100.64.1.0/24", reason=message)
    return Judgement(rule=rule, finding=Finding(subnet, problem), enforcement="mandatory", excepted=excepted)


def comment(judgements: Sequence[Judgement] = (), **more: Any) -> str:
    return to_markdown(Report(checks=[check(judgements, **more)]))


def check(judgements: Sequence[Judgement] = (), source: str = FILE, **more: Any) -> Check:
    return Check(source=source, judgements=judgements, door="stack file", resources=7, file=source, **more)


def zone(**more: Any) -> ZoneCapacity:
    given: dict[str, Any] = {"zone": "us-east-1a", "before": 0, "after": 251, "needed": 1520, "basis": "30 nodes"}
    return ZoneCapacity(**given | more)


def test_the_comment_begins_with_the_verdict_then_the_line_then_the_zone(tmp_path: Path) -> None:
    file = tmp_path / "c.md"
    run(str(small(tmp_path)), "--markdown", str(file))
    lines = file.read_text(encoding="utf-8").splitlines()
    assert lines[0] == "<!-- headroom check: violation -->"
    assert lines[1].startswith("**Headroom: 1 violation, 0 undecided** · `")
    assert lines[3].startswith(f"- ❌ `{RULE}` line ")
    assert lines[5] == "| zone | free now | pod addresses | needed | |"
    assert lines[7] == f"| us-east-1a | not read | 251 | 500 | {'▓' * BAR} short by 249 |"


def test_the_whole_of_a_small_comment() -> None:
    zones = [zone(free=Free(0, 1019)), zone(zone="us-east-1b", before=16379, after=16379, free=Free(311, None))]
    assert comment([judgement()], zones=zones, free_from="as subnets.json has it") == (
        "<!-- headroom check: violation -->\n"
        f"**Headroom: 1 violation, 0 undecided** · `{FILE}`\n"
        "\n"
        f"- ❌ `{RULE}` line 14: 100.64.1.0/24 is too small.\n"
        "\n"
        "| zone | free now | pod addresses | needed | |\n"
        "|---|---:|---:|---:|---|\n"
        "| us-east-1a | 0 of 1,019 | 0 → 251 | 1,520 | ▓▓▓▓▓▓▓▓▓▓ short by 1,269 |\n"
        "| us-east-1b | 311 | 16,379 | 1,520 | ▓░░░░░░░░░ 14,859 to spare |\n"
        "\n"
        "<details><summary>What to write instead</summary>\n"
        "\n"
        f"- `{RULE}`: {next(rule.REMEDIATION for rule in RULES if rule.NAME == RULE)}\n"
        "\n"
        "</details>\n"
        "\n"
        "<details><summary>What the figures say</summary>\n"
        "\n"
        "- free now: as subnets.json has it\n"
        "- pod addresses: what the zone's pod subnets hold, before → after the change\n"
        "- needed in us-east-1a, us-east-1b: 30 nodes\n"
        "\n"
        "</details>\n"
    )


def test_a_gap_in_the_table_says_what_would_fill_it() -> None:
    text = comment(zones=[zone(before=None, needed=None, basis="")])
    assert "| us-east-1a | not read | 251 | not known |  |" in text
    assert "`--facts FILE`" in text
    assert "`--base BRANCH` shows those before" in text
    assert "needed in us-east-1a: the policy configuration does not let that be told" in text


def test_what_is_undecided_is_not_shown_as_well() -> None:
    finding = Finding(None, Undecided("cidrBlock"))
    text = comment([Judgement(rule=RULE, finding=finding, enforcement="mandatory")], unasked=["Nobody answered."])
    assert "**Headroom: 0 violations, 2 undecided**" in text
    assert f"❔ 7 resources, {len(RULES)} rules, no violation, 2 undecided." in text
    assert "✅" not in text
    assert "<details><summary>2 could not be checked</summary>" in text
    assert "- ❔ Nobody answered." in text


def test_a_clean_stack_says_so() -> None:
    text = comment()
    assert text.startswith("<!-- headroom check: clean -->")
    assert f"✅ 7 resources, {len(RULES)} rules, no violation." in text


def test_an_exception_shows_its_reason_and_its_last_day() -> None:
    passed = PolicyException("pods", "until the move", date(2999, 1, 1))
    text = comment([judgement(excepted=passed)])
    assert "**Headroom: 0 violations, 0 undecided**" in text
    assert "1 let pass by an exception" in text
    assert "(until 2999-01-01: until the move)" in text


def test_of_several_files_those_with_findings_come_first_and_clean_ones_are_folded() -> None:
    clean = check(source="stacks/Pulumi.<a>.yaml", zones=[zone(after=16379)])
    text = to_markdown(Report(checks=[clean, check([judgement()])]))
    assert "**Headroom: 1 violation, 0 undecided** · 2 files" in text
    assert text.index(f"**`{FILE}`**") < text.index("✅ <code>stacks/Pulumi.&lt;a&gt;.yaml</code></summary>")
    assert "rules, no violation.\n\n| zone" in text, "a table needs an empty line above it"
    assert text.count("<details>") == text.count("</details>")


def test_what_cannot_be_read_stands_first_with_every_problem() -> None:
    problems = [Problem(rule="r", value="a", reason="is wrong."), Problem(rule="r", value="b", reason="too.")]
    text = to_markdown(Report(checks=[check([judgement()])], refused=[Refused("x.yaml", problems)]))
    assert text.startswith("<!-- headroom check: invalid -->\n**Headroom: 1 cannot be read, 1 violation, 0 undecided**")
    assert "`x.yaml` cannot be checked:\n\n- ❌ a is wrong.\n- ❌ b too.\n" in text


def test_where_no_stack_file_has_changed_the_comment_says_that() -> None:
    text = to_markdown(Report(checks=(), since="abc"))
    assert text == "<!-- headroom check: unchanged -->\n**Headroom: no stack file changed**\n"


# Much of it.


def test_of_many_findings_each_rule_shows_some_and_the_rest_is_folded() -> None:
    many = [judgement(rule=rule) for rule in (RULE, "pod-subnet-route") for _ in range(FOLDED_AFTER)]
    text = comment(many)
    shown, _, folded = text.partition(f"<summary>{FOLDED_AFTER} more</summary>")
    assert shown.count(f"❌ `{RULE}`") == shown.count("❌ `pod-subnet-route`") == FOLDED_AFTER // 2
    assert folded.count("❌") == FOLDED_AFTER


def test_the_most_severe_findings_come_first() -> None:
    by_severity = {rule.SEVERITY: rule.NAME for rule in RULES}
    text = comment([judgement(rule=by_severity["medium"]), judgement(rule=by_severity["critical"])])
    assert text.index(by_severity["critical"]) < text.index(by_severity["medium"])


def test_a_comment_is_never_longer_than_a_forge_takes() -> None:
    long = [judgement("x" * 900, rule=rule.NAME) for rule in RULES for _ in range(300)]
    zones = [zone(zone=f"zone-{number}") for number in range(200)]
    text = to_markdown(
        Report(checks=[check(long, f"{number}", zones=zones, unasked=["y" * 5000] * 99) for number in "ab"])
    )
    assert len(text) < LARGEST + 100
    assert "in the output of the check" in text
    assert text.count("<details>") == text.count("</details>")


# Names that somebody else chose.


def test_a_name_that_is_markup_stays_text(tmp_path: Path) -> None:
    zone_ = "<b>|x\n# @all"
    written = {"cidrBlock": "100.64.1.0/24", "routeTableId": "rtb-11111111", "zone": zone_}
    refused = stack_file(tmp_path, podSubnets={"<img src=x>\n": written})
    pods = subnet()
    pods["inputs"]["availabilityZone"] = zone_
    for source, stdin in ((str(refused), None), ("-", state({**pods, "urn": f"{pods['urn']}<img src=x>"}))):
        run(source, "--markdown", str(tmp_path / "c.md"), "--sarif", str(tmp_path / "c.sarif"), stdin=stdin)
        text = (tmp_path / "c.md").read_text(encoding="utf-8")
        assert "<img" not in text.replace("\\<img", "")
        assert "<b" not in text.replace("\\<b", "")
        assert "\n#" not in text
        assert "@all" not in text, "nobody is called"
        json.loads((tmp_path / "c.sarif").read_text(encoding="utf-8"))
    assert "| \\<b\\>\\|x #<!-- --> @<!-- -->all |" in text


def test_a_backslash_does_not_free_what_stands_behind_it() -> None:
    assert "is \\\\\\<b\\> small." in comment([judgement("is \\<b> small.")])


def test_a_command_in_a_sentence_is_code_and_a_stray_backtick_is_none() -> None:
    assert "Run `headroom calc free --within <cidr>`." in comment(
        [judgement("Run `headroom calc free --within <cidr>`.")]
    )
    assert "\\`\\<b\\>" in comment([judgement("is `<b> small.")])
    assert "\\`\\`\\<b\\>\\`\\`" in comment([judgement("is ``<b>`` small.")])


def test_a_file_name_cannot_end_its_own_code() -> None:
    assert "· `a' <b>`" in comment(source="a`\n<b>")


def test_a_bar_is_as_long_as_the_zone_is_full() -> None:
    def drawn(after: int, needed: int | None) -> str:
        return bar(zone(after=after, needed=needed))

    assert drawn(1000, 100) == "▓░░░░░░░░░ 900 to spare"
    assert drawn(1000, 1000) == "▓▓▓▓▓▓▓▓▓▓ 0 to spare"
    assert drawn(0, 0) == "░░░░░░░░░░ 0 to spare"
    assert drawn(10, 11) == "▓▓▓▓▓▓▓▓▓▓ short by 1"
    assert drawn(10, None) == ""
