"""The page: one file, no script, no network, everything escaped, all of it there."""

from dataclasses import replace
from html.parser import HTMLParser

import pytest

from headroom.diagnosis.verdict import Detail, Diagnosis, HitWorkload, Impact, RootCause, Verdict, ZoneAddresses
from headroom.facts.aws import Aws
from headroom.facts.snapshot import Snapshot
from headroom.facts.values import Reason, Unknown
from headroom.planning.plan import Check, Option, Plan, Postcondition, Step
from headroom.report.page import render_page
from tests.report.conftest import LONG, SCRIPT, TURNED

VOID = frozenset({"meta", "br", "link", "img", "input", "hr", "wbr"})
PLAN = Plan(
    cluster="prod-use1",
    stack="prod-use1-emergency",
    verdict="found",
    options=(
        Option(
            name="secondary-cidr",
            title="Associate a secondary CIDR",
            kept=True,
            reason="It overlaps nothing.",
            addresses={"us-east-1a": 16379},
            days={"us-east-1a": 400},
        ),
        Option(
            name="warm-targets", title="Retune the warm targets", kept=False, reason=f"It restarts aws-node {SCRIPT}."
        ),
    ),
    steps=(Step(what="Look", command="pulumi preview", takes="seconds"), Step(what="Apply", command="pulumi up")),
    rollback=(Step(what="Destroy", command="pulumi destroy"),),
    untouched=("No setting is changed.",),
    postconditions=(Postcondition(check=Check.CNI_READY, title="aws-node is ready"),),
    decisions=("Whether 100.64.0.0/16 is routed elsewhere.",),
)
DIFF = "--- /dev/null\n+++ b/stacks/Pulumi.prod-use1-emergency.yaml\n@@ -0,0 +1,2 @@\n+config:\n+  name: <b>x</b>\n"


class Outline(HTMLParser):
    """Tags, ids, headings and text of a page; fails on tags that are not closed in order."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.headings: list[int] = []
        self.words: list[str] = []
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        if tag in {"h1", "h2", "h3", "h4", "h5"}:
            self.headings.append(int(tag[1]))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> closes nothing at {self.getpos()}"

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] not in {"style", "script"}:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join("".join(self.words).split())

    def values(self, attribute: str) -> list[str]:
        return [value for _, attributes in self.tags if (value := attributes.get(attribute))]


@pytest.fixture(scope="module")
def page(diagnosis: Diagnosis, snapshot: Snapshot) -> Outline:
    return Outline(
        render_page(
            diagnosis,
            snapshot=snapshot,
            plan=PLAN,
            differences=[DIFF],
            source="--cluster prod-use1",
            version="0.1.0",
        )
    )


def test_the_verdict_comes_first_and_the_next_command_is_on_it(page: Outline) -> None:
    assert page.text.index("Cause found") < page.text.index("subnet_exhaustion in us-east-1a and us-east-1b")
    assert "37 pods without an address" in page.text
    assert "0 of 1,019 addresses free in us-east-1a" in page.text
    assert "headroom plan --cluster prod-use1" in page.text
    assert "Escalate. Subnet completely exhausted" in page.text


def test_evidence_impact_history_readings_and_plan_are_all_there(page: Outline) -> None:
    for words in (
        "InsufficientFreeAddressesInSubnet: EC2 refused",
        "aws-node on 14 nodes · 412 times · 20:51 to 21:13 · source: amazon-vpc-cni-k8s",
        "(threshold: 30 at once)",
        "eni_limit: every node has a free slot",
        "shop/checkout-api",
        "0 of 12 ready",
        "PodDisruptionBudget checkout-api violated",
        "Karpenter NodePool general 1 NodeClaim cannot be launched",
        "managed node group apps AsgInstanceLaunchFailures: no addresses",
        "kubectl --namespace batch scale deployment/report-daily --replicas=24 # takes it back",
        "Pods that have gone left addresses behind.",
        "Needed for all pods with WARM_IP_TARGET=10",
        "WARM_ENI_TARGET=1",
        "ipamd logs: denied (pods/log)",
        "would not change the verdict",
        "Not read: denied (pods/log).",
        "Associate a secondary CIDR kept",
        "Gives 16,379 in us-east-1a.",
        "Lasts 400 days in us-east-1a.",
        "Weighed and rejected (1)",
        "+ name: <b>x</b>",
        "pulumi preview",
        "No setting is changed.",
        "Whether 100.64.0.0/16 is routed elsewhere.",
        "aws-node is ready",
    ):
        assert words in page.text, words


def test_each_subnet_has_a_picture_its_words_and_its_table(page: Outline, snapshot: Snapshot) -> None:
    pictures = [attributes for tag, attributes in page.tags if tag == "svg" and attributes.get("class") == "map"]
    assert [each["role"] for each in pictures] == ["img", "img", "img"]
    ids = page.values("id")
    assert all(each["aria-labelledby"] in ids for each in pictures)
    assert "Map of subnet-0a1: 0 of 1,019 addresses free; 561 pods, 424 idle in nodes' pools, 34 interfaces' own." in (
        page.text
    )
    assert "10.68.204.0 to 10.68.204.255" in page.text
    assert page.text.count("Addresses of subnet-") == len(snapshot.aws.subnets)  # type: ignore[union-attr,arg-type] # known


def test_the_page_is_one_file_without_script_or_network(page: Outline) -> None:
    tags = {tag for tag, _ in page.tags}
    assert tags.isdisjoint({"script", "link", "img", "iframe", "object", "embed", "form", "base", "video", "audio"})
    assert all(value.startswith("#") for value in page.values("href"))
    assert page.values("src") == []
    assert not any(name.startswith("on") for _, attributes in page.tags for name in attributes)
    policy = next(a["content"] for _, a in page.tags if a.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    assert policy.startswith("default-src 'none'")
    assert "script-src" not in policy


def test_nothing_in_the_style_reaches_out(diagnosis: Diagnosis) -> None:
    rendered = render_page(diagnosis)
    assert "url(" not in rendered
    assert "@import" not in rendered
    assert "http://" not in rendered
    assert "https://" not in rendered


def test_headings_go_down_one_by_one_landmarks_are_there_and_ids_are_unique(page: Outline) -> None:
    assert page.headings[0] == 1
    assert page.headings.count(1) == 1
    assert all(after - before <= 1 for before, after in zip(page.headings, page.headings[1:], strict=False))
    tags = [tag for tag, _ in page.tags]
    for landmark in ("header", "nav", "main", "footer"):
        assert tags.count(landmark) == 1
    ids = page.values("id")
    assert len(ids) == len(set(ids))
    assert {value.removeprefix("#") for value in page.values("href")} <= set(ids)
    assert set(page.values("aria-labelledby")) <= set(ids)
    assert tags.count("table") == tags.count("caption")
    assert ("html", {"lang": "en"}) in page.tags


def test_what_can_scroll_can_be_reached_with_the_keyboard(page: Outline) -> None:
    scrolling = [a for tag, a in page.tags if tag == "pre" or a.get("class") == "scroll"]
    assert scrolling
    assert all(each.get("tabindex") == "0" and each.get("role") and each.get("aria-label") for each in scrolling)


def test_hostile_names_stay_text(hostile_diagnosis: Diagnosis, hostile_snapshot: Snapshot) -> None:
    plan = replace(PLAN, steps=(Step(what=SCRIPT, command=f"echo {TURNED}"),), decisions=(SCRIPT,))
    rendered = render_page(
        hostile_diagnosis,
        snapshot=hostile_snapshot,
        plan=plan,
        differences=[f"--- /dev/null\n+++ b/{SCRIPT}\n+{TURNED}\n"],
        no_plan=SCRIPT,
        source=f"--cluster {SCRIPT}",
        version=SCRIPT,
    )
    page = Outline(rendered)
    assert "script" not in {tag for tag, _ in page.tags}
    assert "img" not in {tag for tag, _ in page.tags}
    assert SCRIPT in page.text, "it is shown as what it is"
    assert not any(mark in rendered for mark in ("\u202e", "\u2066", "\x1b", "\x07"))
    assert "\\u202e" in page.text
    assert "x" * 1_000 not in rendered


def test_ten_thousand_workloads_are_shown_in_part_and_counted(diagnosis: Diagnosis) -> None:
    workloads = tuple(HitWorkload(kind="Deployment", namespace="d", name=f"w{n}") for n in range(10_000))
    page = Outline(render_page(replace(diagnosis, impact=Impact(stuck_pods=10_000, workloads=workloads))))
    assert "… and 9,950 further workloads, in the JSON of headroom diagnose." in page.text
    assert "d/w49 " in page.text
    assert "d/w50 " not in page.text


def test_many_subnets_are_shown_in_part_and_counted(diagnosis: Diagnosis) -> None:
    assert diagnosis.history is not None
    subnets = tuple(ZoneAddresses(subnet_id=f"subnet-{n:04d}", usable=251, free=n) for n in range(700))
    page = Outline(render_page(replace(diagnosis, history=replace(diagnosis.history, subnets=subnets))))
    assert "… and 650 further subnets." in page.text
    assert "zone unknown · subnet-0000" in page.text


@pytest.mark.parametrize("which", ["healthy_diagnosis", "undecided_diagnosis", "not_ip_diagnosis"])
def test_every_verdict_makes_a_sound_page(which: str, request: pytest.FixtureRequest) -> None:
    found: Diagnosis = request.getfixturevalue(which)
    page = Outline(render_page(found))
    words = {
        Verdict.HEALTHY: "Healthy",
        Verdict.UNDECIDED: "Undecided",
        Verdict.NOT_IP: "Not an address problem",
    }[found.verdict]
    assert words in page.text
    assert page.headings[0] == 1
    assert all(after - before <= 1 for before, after in zip(page.headings, page.headings[1:], strict=False))


def test_an_undecided_page_says_what_would_decide(undecided_diagnosis: Diagnosis) -> None:
    text = Outline(render_page(undecided_diagnosis)).text
    assert "1 reading would help; the first that matters: AvailableIpAddressCount." in text
    assert "could change the verdict" in text
    assert "aws ec2 describe-subnets" in text


def test_names_are_not_broken_at_their_hyphens_and_still_escaped(diagnosis: Diagnosis) -> None:
    first = diagnosis.causes[0]
    scope = replace(first.scope, zones=("us-east-1a", "a-<b>"), nodes=(f"n-{LONG}",))
    cause = replace(first, detail=Detail.HOST_LOCAL_LEAK, root_cause=RootCause.IPAMD_FAILURE, scope=scope)
    rendered = render_page(replace(diagnosis, causes=(cause,)))
    assert '<span class="w">us-east-1a</span>' in rendered
    assert '<span class="w">a-&lt;b&gt;</span>' in rendered
    assert f'<span class="w">n-{LONG[:20]}' not in rendered, "what is longer than a line breaks where it must"
    assert "ipamd_failure/<wbr>host_local_leak" in rendered


def test_what_a_plan_writes_between_backticks_is_code_and_still_escaped(diagnosis: Diagnosis) -> None:
    steps = (Step(what=f"Set `a: {SCRIPT}` there"), Step(what="One ` alone stays"))
    rendered = render_page(diagnosis, plan=replace(PLAN, steps=steps))
    assert "<code>a: &lt;script&gt;alert(1)&lt;/script&gt;</code>" in rendered
    assert "One ` alone stays" in rendered


def test_without_a_plan_the_reason_is_shown(diagnosis: Diagnosis) -> None:
    assert "No plan: nothing to do." in Outline(render_page(diagnosis, no_plan="No plan: nothing to do.")).text


def test_unread_interfaces_make_no_picture_that_looks_empty(snapshot: Snapshot, diagnosis: Diagnosis) -> None:
    assert isinstance(snapshot.aws, Aws)
    unread = replace(snapshot, aws=replace(snapshot.aws, interfaces=Unknown(Reason.DENIED)))
    assert diagnosis.history is not None
    history = replace(
        diagnosis.history, subnets=tuple(replace(each, by_owner={}) for each in diagnosis.history.subnets)
    )
    page = Outline(render_page(replace(diagnosis, history=history), snapshot=unread))
    assert not any(attributes.get("class") == "map" for _, attributes in page.tags)


def test_equal_diagnoses_give_equal_bytes(diagnosis: Diagnosis, snapshot: Snapshot) -> None:
    assert render_page(diagnosis, snapshot=snapshot) == render_page(diagnosis, snapshot=snapshot)
