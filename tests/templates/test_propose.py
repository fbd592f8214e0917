"""One open pull request a cluster and cause, whichever forge and whatever it answers; nothing but a plan's files."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib.util import module_from_spec, spec_from_file_location
from typing import TYPE_CHECKING, Any

import pytest
import urllib3

from headroom.rehearsal.forge import BASE, BODY_CHARACTERS, FORGES, JOB_TOKEN, Forge
from tests.templates.conftest import TEMPLATES, bare_environment

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

WHEN = datetime(2026, 3, 3, 20, 20, tzinfo=UTC)
BRANCH = "headroom/prod-use1/subnet_exhaustion"
FILE = "stacks/Pulumi.prod-use1-emergency.yaml"


@cache
def program() -> Any:
    """`propose.py`, which is run by path."""
    spec = spec_from_file_location("propose", TEMPLATES / "propose.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules["propose"] = module  # its dataclasses look for it
    spec.loader.exec_module(module)
    return module


class Clock:
    """Simulated time."""

    def __init__(self) -> None:
        self.now = WHEN

    def __call__(self) -> float:
        return self.now.timestamp()

    def wait(self, minutes: float) -> None:
        self.now += timedelta(minutes=minutes)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=FORGES)
def forge(request: pytest.FixtureRequest, clock: Clock) -> Iterator[Forge]:
    with Forge(request.param, clock=clock) as running:
        yield running


def written(folder: Path, **more: Any) -> Path:
    """What `headroom respond` writes."""
    document = {
        "branch": BRANCH,
        "title": "prod-use1: subnet_exhaustion, no pod hangs yet",
        "labels": ["headroom"],
        "rank": 0,
        "message": "Headroom: plan for prod-use1\n\nHeadroom-Alarm: headroom/prod-use1/us-east-1a/warning",
        "files": {FILE: "config: {}\n"},
        **more,
    }
    text = document.pop("text", "The report.\n")
    folder.mkdir(exist_ok=True)
    (folder / "proposal.json").write_text(json.dumps(document), encoding="utf-8")
    (folder / "body.md").write_text(text, encoding="utf-8")
    return folder


def run(
    forge: Forge,
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    *,
    variables: Mapping[str, str] | None = None,
    **client: Any,
) -> tuple[int, str]:
    """Exit code, and all that was printed; retries follow at once."""
    module = program()
    options = {"retries": module.patient(0), "timeout": 2.0, **client}
    given = forge.variables() | dict(variables or {})
    code = module.main([forge.name, str(folder)], given, now=forge.clock(), **options)
    said = capsys.readouterr()
    assert JOB_TOKEN not in said.out + said.err
    return code, said.out + said.err


Capsys = pytest.CaptureFixture[str]


def test_the_first_proposal_opens_a_pull_request_with_the_plans_files(
    forge: Forge, tmp_path: Path, capsys: Capsys
) -> None:
    code, said = run(forge, written(tmp_path / "p", labels=["headroom", "urgent"]), capsys)
    assert code == 0, said
    (made,) = forge.open
    assert (made.branch, made.base, made.labels) == (BRANCH, BASE, ["headroom", "urgent"])
    assert made.text.partition("\n")[2] == "The report.\n"
    assert forge.files(BRANCH) == {**forge.files(), FILE: "config: {}\n"}
    assert FILE not in forge.files(), "nothing is merged"


def test_the_next_alarm_of_the_same_cause_brings_it_up_to_date(
    forge: Forge, tmp_path: Path, clock: Clock, capsys: Capsys
) -> None:
    run(forge, written(tmp_path / "p"), capsys)
    clock.wait(61)
    code, said = run(forge, written(tmp_path / "p", text="Worse.\n", files={FILE: "config: {a: b}\n"}), capsys)
    assert code == 0, said
    assert said.startswith("Brought up to date: ")
    (made,) = forge.open
    assert made.text.endswith("\nWorse.\n")
    assert forge.files(BRANCH)[FILE] == "config: {a: b}\n"


def test_another_cause_or_cluster_is_another_pull_request(forge: Forge, tmp_path: Path, capsys: Capsys) -> None:
    for branch in (BRANCH, "headroom/prod-use1/eni_limit", "headroom/prod-euw1/subnet_exhaustion"):
        run(forge, written(tmp_path / "p", branch=branch), capsys)
    assert sorted(each.branch for each in forge.open) == [
        "headroom/prod-euw1/subnet_exhaustion",
        "headroom/prod-use1/eni_limit",
        BRANCH,
    ]


def test_the_same_event_twice_changes_nothing(forge: Forge, tmp_path: Path, clock: Clock, capsys: Capsys) -> None:
    folder = written(tmp_path / "p", text="A long line of a long report.\n" * 40)
    run(forge, folder, capsys)
    before = len([each for each in forge.requests if each.method != "GET"])
    clock.wait(600)
    assert run(forge, folder, capsys)[1].startswith("Says that already: ")
    assert len([each for each in forge.requests if each.method != "GET"]) == before


def test_a_change_waits_for_the_least_time_unless_it_is_more_urgent(
    forge: Forge, tmp_path: Path, clock: Clock, capsys: Capsys
) -> None:
    run(forge, written(tmp_path / "p"), capsys)
    clock.wait(59)
    code, said = run(forge, written(tmp_path / "p", text="Later.\n"), capsys)
    assert (code, said) == (0, "Was brought up to date at 2026-03-03T20:20:00Z, and is not again before 21:20 UTC.\n")
    run(forge, written(tmp_path / "p", text="It pages.\n", rank=2, labels=["headroom", "urgent"]), capsys)
    (made,) = forge.open
    assert made.text.endswith("\nIt pages.\n")
    assert made.labels == ["headroom", "urgent"]


@pytest.mark.parametrize("time", ["yesterday", "2026-13-45T99:99:99Z", "2026-03-03T20:20:00", "2999-01-01T00:00:00Z"])
def test_a_mark_that_somebody_has_changed_holds_nothing_back(
    tmp_path: Path, clock: Clock, capsys: Capsys, time: str
) -> None:
    with Forge("github", clock=clock) as forge:
        run(forge, written(tmp_path / "p"), capsys)
        (made,) = forge.open
        made.text = made.text.replace("2026-03-03T20:20:00Z", time)
        code, said = run(forge, written(tmp_path / "p", text="Later.\n"), capsys)
        assert (code, said[:21]) == (0, "Brought up to date: h"), said


def test_what_somebody_closed_is_not_opened_again_at_once(
    forge: Forge, tmp_path: Path, clock: Clock, capsys: Capsys
) -> None:
    folder = written(tmp_path / "p")
    run(forge, folder, capsys)
    forge.end(1)
    clock.wait(30)
    assert run(forge, folder, capsys) == (0, "It was closed at 20:20 UTC and is not opened again before 21:20 UTC.\n")
    assert forge.open == []
    clock.wait(31)
    run(forge, folder, capsys)
    assert [each.number for each in forge.open] == [2]


def test_after_a_merge_there_is_nothing_to_propose_until_the_plan_differs(
    forge: Forge, tmp_path: Path, clock: Clock, capsys: Capsys
) -> None:
    run(forge, written(tmp_path / "p"), capsys)
    forge.end(1, merged=True)
    clock.wait(120)
    code, said = run(forge, written(tmp_path / "p", text="Still.\n"), capsys)
    assert (code, said) == (0, "The default branch says that already: what is left to do is `pulumi up`.\n")
    run(forge, written(tmp_path / "p", files={FILE: "config: {c: d}\n"}), capsys)
    assert [each.number for each in forge.open] == [2]


def test_only_so_many_are_opened_within_a_day(forge: Forge, tmp_path: Path, clock: Clock, capsys: Capsys) -> None:
    limit = {"HEADROOM_A_DAY": "2"}
    for number in range(4):
        code, said = run(forge, written(tmp_path / "p", branch=f"headroom/c{number}/x"), capsys, variables=limit)
        assert code == 0, said
    assert len(forge.open) == 2
    assert said == "2 pull requests were opened within a day: no further one (HEADROOM_A_DAY).\n"
    clock.wait(24 * 60 + 1)
    run(forge, written(tmp_path / "p", branch="headroom/c9/x"), capsys, variables=limit)
    assert len(forge.open) == 3


def test_a_reviewers_commit_is_left_alone_and_the_text_is_brought_up_to_date(
    forge: Forge, tmp_path: Path, clock: Clock, capsys: Capsys
) -> None:
    run(forge, written(tmp_path / "p"), capsys)
    forge.push(BRANCH, {FILE: "config: {by: hand}\n"})
    clock.wait(61)
    _, said = run(forge, written(tmp_path / "p", text="New.\n", files={FILE: "config: {e: f}\n"}), capsys)
    assert said.endswith("Somebody has changed its branch: the files were left as they are.\n")
    assert forge.files(BRANCH)[FILE] == "config: {by: hand}\n"
    assert forge.open[0].text.endswith("\nNew.\n")


def test_a_branch_of_somebody_elses_without_a_pull_request_is_left_alone(
    forge: Forge, tmp_path: Path, capsys: Capsys
) -> None:
    forge.push(BRANCH, {"notes.txt": "mine"})
    code, said = run(forge, written(tmp_path / "p"), capsys)
    assert code == 0
    assert "has a commit of somebody else" in said
    assert forge.open == []


def test_a_longer_report_than_the_forge_takes_is_cut_and_said_to_be(
    forge: Forge, tmp_path: Path, capsys: Capsys
) -> None:
    text = "A line of the report.\n" * 60_000
    assert run(forge, written(tmp_path / "p", text=text), capsys)[0] == 0
    (made,) = forge.open
    assert len(made.text) <= BODY_CHARACTERS[forge.name]
    assert "the run's artifact has all of it" in made.text
    assert program().MARK.match(made.text)
    if forge.name == "azure":
        assert [each.count("A line") for each in made.comments] == [60_000]


# What forges answer.


@pytest.mark.parametrize(("code", "said"), [(401, "token"), (403, "permission"), (404, "not there")])
def test_a_refusal_is_told_with_what_to_do(forge: Forge, tmp_path: Path, capsys: Capsys, code: int, said: str) -> None:
    forge.fail("GET", code, body={"message": f"no, {JOB_TOKEN}"})
    before = len(forge.requests)
    # GitHub and GitLab answer the first question with 404 where the repository is not theirs to see.
    done, told = run(forge, written(tmp_path / "p"), capsys)
    assert done == 1
    assert f"answered {code}" in told
    assert said in told
    assert "***" in told
    assert len(forge.requests) == before + 1, "trying again would be of no use"


def test_a_token_that_is_wrong_is_refused_by_each_forge(forge: Forge, tmp_path: Path, capsys: Capsys) -> None:
    name = {"github": "GITHUB_TOKEN", "gitlab": "HEADROOM_TOKEN", "azure": "SYSTEM_ACCESSTOKEN"}[forge.name]
    code, said = run(forge, written(tmp_path / "p"), capsys, variables={name: "another"})
    assert code == 1
    assert "answered 401" in said
    assert "another" not in said


@pytest.mark.parametrize(("code", "headers"), [(429, {"Retry-After": "0"}), (503, {}), (500, {}), (502, {})])
def test_what_passes_is_tried_again(
    forge: Forge, tmp_path: Path, capsys: Capsys, code: int, headers: dict[str, str]
) -> None:
    forge.fail(".", code, headers=headers, count=3)
    assert run(forge, written(tmp_path / "p"), capsys)[0] == 0
    assert len(forge.open) == 1


def test_what_does_not_pass_is_given_up_after_five_attempts(forge: Forge, tmp_path: Path, capsys: Capsys) -> None:
    forge.fail(".", 503, count=99)
    code, said = run(forge, written(tmp_path / "p"), capsys)
    assert code == 1
    assert "503" in said
    assert len(forge.requests) == 5


def test_githubs_secondary_limit_is_waited_for_and_its_hourly_one_is_told(tmp_path: Path, capsys: Capsys) -> None:
    with Forge("github") as forge:
        forge.fail(
            "GET", 403, headers={"Retry-After": "0"}, body={"message": "You have exceeded a secondary rate limit."}
        )
        assert run(forge, written(tmp_path / "p"), capsys)[0] == 0
    with Forge("github") as forge:
        forge.fail("GET", 403, headers={"x-ratelimit-remaining": "0", "x-ratelimit-reset": "1772570400"})
        code, said = run(forge, written(tmp_path / "p"), capsys)
        assert code == 1
        assert "(rate limit: try again at 20:40 UTC)" in said
        assert len(forge.requests) == 1


def test_an_answer_that_is_lost_after_its_effect_doubles_nothing(forge: Forge, tmp_path: Path, capsys: Capsys) -> None:
    """The branch, the commit and the pull request are each made, and their answers lost."""
    for pattern in ("POST .*/(?:git/refs|repository/commits|pushes)", "POST .*/(?:pulls|merge_requests|pullrequests)"):
        forge.fail(pattern, 502, after=True)
    code, said = run(forge, written(tmp_path / "p"), capsys)
    assert code == 0, said
    assert [each.number for each in forge.open] == [1]
    assert forge.files(BRANCH)[FILE] == "config: {}\n"


def test_a_connection_that_breaks_off_and_an_answer_that_is_late_are_tried_again(
    forge: Forge, tmp_path: Path, capsys: Capsys
) -> None:
    forge.fail("GET", 0)
    forge.fail("GET", 200, seconds=0.3)
    assert run(forge, written(tmp_path / "p"), capsys, timeout=urllib3.Timeout(0.1))[0] == 0
    assert len(forge.open) == 1


def test_a_run_that_opens_it_meanwhile_is_no_error(forge: Forge, tmp_path: Path, capsys: Capsys) -> None:
    folder = written(tmp_path / "p")
    run(forge, folder, capsys)
    # This run still sees no pull request, as one that has begun before.
    listing: Any = {"value": []} if forge.name == "azure" else []
    forge.fail("GET .*(?:pulls|merge_requests|pullrequests)", 200, body=listing, count=2)
    code, said = run(forge, written(tmp_path / "q", files={FILE: "config: {g: h}\n"}), capsys)
    assert code == 0, said
    assert said.startswith("Is open already: ")
    assert [each.number for each in forge.open] == [1]


def test_labels_that_are_refused_do_not_cost_the_pull_request(tmp_path: Path, capsys: Capsys) -> None:
    with Forge("github") as forge:
        forge.fail("POST .*/labels", 403, body={"message": "Resource not accessible by integration"})
        code, said = run(forge, written(tmp_path / "p"), capsys)
        assert (code, len(forge.open)) == (0, 1)
    assert "without its labels: " in said
    assert "Resource not accessible by integration" in said


def test_azures_sign_in_page_is_no_success(tmp_path: Path, capsys: Capsys) -> None:
    with Forge("azure") as forge:
        forge.fail("GET", 203, body="<html>Sign In</html>", headers={"Content-Type": "text/html"})
        code, said = run(forge, written(tmp_path / "p"), capsys)
    assert code == 1
    assert "answered 203" in said


# What it is given.


@pytest.mark.parametrize(
    "wrong",
    [
        {"branch": "main"},
        {"branch": "headroom/../main"},
        {"files": {}},
        {"files": {".github/workflows/x.yml": "on: push"}},
        {"files": {"stacks/../.gitlab-ci.yml": "x"}},
        {"files": {"stacks/Pulumi.a/b.yaml": "x"}},
        {"files": {"stacks/x.py": "x"}},
    ],
)
def test_nothing_but_a_plans_branch_and_files_is_ever_written(
    forge: Forge, tmp_path: Path, capsys: Capsys, wrong: dict[str, Any]
) -> None:
    code, said = run(forge, written(tmp_path / "p", **wrong), capsys)
    assert code == 2
    assert "something else than a plan's branch and files" in said
    assert forge.requests == []


def test_without_a_proposal_nothing_is_asked(forge: Forge, tmp_path: Path, capsys: Capsys) -> None:
    assert run(forge, tmp_path, capsys) == (0, "Nothing is proposed.\n")
    assert forge.requests == []


def test_a_proposal_that_is_none_and_limits_that_are_none_are_told(
    forge: Forge, tmp_path: Path, capsys: Capsys
) -> None:
    folder = written(tmp_path / "p")
    assert run(forge, folder, capsys, variables={"HEADROOM_A_DAY": "many"}) == (
        2,
        "HEADROOM_A_DAY is no whole number.\n",
    )
    (folder / "proposal.json").write_text("{}", encoding="utf-8")
    assert run(forge, folder, capsys)[0] == 2


def test_the_program_runs_by_its_path_and_names_the_variables_that_are_missing(tmp_path: Path) -> None:
    for name, variable in (("github", "GITHUB_TOKEN"), ("gitlab", "HEADROOM_TOKEN"), ("azure", "SYSTEM_ACCESSTOKEN")):
        done = subprocess.run(  # noqa: S603 - ours
            [sys.executable, str(TEMPLATES / "propose.py"), name, str(tmp_path)],
            env=bare_environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 2
        assert variable in done.stderr


def test_what_it_writes_to_the_logs_holds_no_token_however_the_client_is_shown() -> None:
    module = program()
    client = module.GitLab.read(
        {"HEADROOM_TOKEN": "s3cret", "CI_API_V4_URL": "", "CI_PROJECT_ID": "", "CI_DEFAULT_BRANCH": ""}
    )
    assert "s3cret" not in repr(client)
