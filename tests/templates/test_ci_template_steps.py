"""The commands of the templates, run as they stand on a repository with a bad and with a good stack file."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.templates.conftest import CHECKOUT, Forge, Job, template

if TYPE_CHECKING:
    import subprocess

# Each starts git and our commands many times over.
pytestmark = pytest.mark.slow

BAD, GOOD = "100.64.1.0/24", "100.64.0.0/18"
REPORT = "report/comment.md"


def steps_of(name: str) -> dict[str, str]:
    """The shell steps of a template by their names."""
    if name == "github":
        jobs = template("github-actions.yml")["jobs"].values()
        return {step["name"]: step["run"] for job in jobs for step in job["steps"] if "run" in step}
    steps = template("azure-pipelines.yml")["steps"]
    return {step["displayName"]: step["bash"] for step in steps if "bash" in step}


def variables_of(name: str) -> dict[str, str]:
    """What a template sets for its steps, by the names that these see."""
    key = {"github": "env", "azure": "variables", "gitlab": "variables"}[name]
    file = {"github": "github-actions.yml", "azure": "azure-pipelines.yml", "gitlab": "gitlab-ci.yml"}[name]
    found: dict[str, str] = template(file)[key]
    return found


def check(job: Job, name: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Installs and checks as the forge of that name does."""
    variables = variables_of(name) | more
    if name == "gitlab":
        script = "\n".join(template("gitlab-ci.yml")["headroom"]["script"])
        base = job.git("merge-base", "main", "HEAD")
        return job.run(script, {**variables, "CI_MERGE_REQUEST_DIFF_BASE_SHA": base})
    steps = steps_of(name)
    assert job.run(steps["Install"], variables).returncode == 0
    for file in ("output", "summary"):
        (job.bin / file).touch()
    paths = {"GITHUB_OUTPUT": str(job.bin / "output"), "GITHUB_STEP_SUMMARY": str(job.bin / "summary")}
    return job.run(steps["Check"], variables | paths)


def report(job: Job) -> str:
    return (job.folder / REPORT).read_text(encoding="utf-8")


ALL = pytest.mark.parametrize("name", ["github", "gitlab", "azure"])


@ALL
def test_a_bad_stack_file_fails_the_job_and_a_good_one_passes(job: Job, name: str) -> None:
    job.propose(BAD)
    bad = check(job, name)
    assert bad.returncode == 1, bad.stdout + bad.stderr
    assert "violation pod-subnet-size stacks/Pulumi.prod.yaml:" in bad.stdout
    assert report(job).startswith("<!-- headroom check: violation -->")
    job.propose(GOOD)
    good = check(job, name)
    assert good.returncode == 0, good.stdout + good.stderr
    assert report(job).startswith("<!-- headroom check: clean -->")
    assert json.loads((job.folder / "report" / "headroom.sarif").read_text(encoding="utf-8"))["version"] == "2.1.0"
    assert job.installed()[0] == "-m pip install --quiet --require-hashes --requirement ./templates/ci/requirements.txt"


@ALL
def test_the_capacity_before_is_that_of_the_target_branch(job: Job, name: str) -> None:
    job.propose(GOOD)
    job.git("checkout", "--quiet", "-B", "main", "merge")
    job.propose(BAD)
    check(job, name)
    assert "| us-east-1a | not read | 16,379 → 251 |" in report(job)


@ALL
def test_a_policy_configuration_is_used_where_there_is_one(job: Job, name: str) -> None:
    (job.folder / "stacks" / "policy.json").write_text('{"pod-subnet-size": "advisory"}', encoding="utf-8")
    job.git("add", "--all")
    job.git("commit", "--quiet", "--message", "a configuration")
    job.propose(BAD)
    done = check(job, name)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "advisory pod-subnet-size" in done.stdout


@ALL
def test_a_pull_request_without_a_stack_file_passes(job: Job, name: str) -> None:
    (job.folder / "notes.txt").write_text("x", encoding="utf-8")
    job.git("checkout", "--quiet", "-b", "change")
    job.git("add", "--all")
    job.git("commit", "--quiet", "--message", "notes")
    assert check(job, name).returncode == 0
    assert report(job).startswith("<!-- headroom check: unchanged -->")


@ALL
def test_a_stack_file_that_cannot_be_read_fails_the_job_and_is_told(job: Job, name: str) -> None:
    job.propose("100.64.0.0/18\n      cidrBlock: twice")
    done = check(job, name)
    assert done.returncode == 2
    assert "is written twice" in report(job)
    assert "is written twice" in done.stderr


def undecided(job: Job) -> None:
    """A proposal of which a rule cannot judge a part: an expected zone is missing in the configuration."""
    config = {"pod-subnet-size": {"expectedNodes": {"us-east-1a": 50}, "podsPerNode": 9, "instanceType": "m5.large"}}
    (job.folder / "stacks" / "policy.json").write_text(json.dumps(config), encoding="utf-8")
    job.git("add", "--all")
    job.git("commit", "--quiet", "--message", "a configuration")
    job.propose(GOOD)


@pytest.mark.parametrize(
    ("name", "said"),
    [("github", "::warning title=headroom::"), ("azure", "##vso[task.complete result=SucceededWithIssues;]")],
)
def test_what_is_undecided_fails_unless_it_may_pass_and_then_it_is_shown(job: Job, name: str, said: str) -> None:
    undecided(job)
    assert check(job, name).returncode == 3
    passing = check(job, name, UNDECIDED="pass")
    assert passing.returncode == 0
    assert said in passing.stdout
    job.propose(BAD)
    assert check(job, name, UNDECIDED="pass").returncode == 1, "a violation never passes"


def test_what_is_undecided_is_a_warning_to_gitlab(job: Job) -> None:
    undecided(job)
    assert check(job, "gitlab").returncode == 3
    assert template("gitlab-ci.yml")["headroom"]["allow_failure"] == {"exit_codes": [3]}


def test_gitlab_gets_its_code_quality_report_under_the_name_that_it_looks_for(job: Job) -> None:
    job.propose(BAD)
    check(job, "gitlab")
    name = template("gitlab-ci.yml")["headroom"]["artifacts"]["reports"]["codequality"]
    (finding,) = json.loads((job.folder / name).read_text(encoding="utf-8"))
    assert finding["location"]["path"] == "stacks/Pulumi.prod.yaml"


def test_github_shows_the_report_as_summary_and_tells_the_other_jobs_that_there_is_one(job: Job) -> None:
    job.propose(BAD)
    check(job, "github")
    assert (job.bin / "summary").read_text(encoding="utf-8") == report(job)
    assert (job.bin / "output").read_text(encoding="utf-8") == "written=true\n"


def test_without_a_report_the_other_jobs_are_told_nothing(job: Job) -> None:
    job.propose(GOOD)
    (job.folder / "Pulumi.yaml").unlink()
    done = check(job, "github")
    assert done.returncode == 2
    assert (job.bin / "output").read_text(encoding="utf-8") == ""


def test_azure_shows_the_report_as_summary(job: Job) -> None:
    job.propose(BAD)
    assert f"##vso[task.uploadsummary]{job.folder}/{REPORT}" in check(job, "azure").stdout


def test_the_job_judges_with_the_headroom_of_the_repository(job: Job) -> None:
    job.propose(GOOD)
    module = job.folder / "headroom" / "cli" / "check.py"
    module.write_text(f"print('of the repository')\n{module.read_text(encoding='utf-8')}", encoding="utf-8")
    assert "of the repository" in check(job, "github").stdout


def test_headroom_may_lie_in_a_folder_of_the_repository(job: Job) -> None:
    inside = job.folder / "vendor"
    inside.mkdir()
    for name in ("headroom", "policies", "templates"):
        (job.folder / name).rename(inside / name)
    job.git("add", "--all")
    job.git("commit", "--quiet", "--message", "moved")
    job.propose(BAD)
    done = check(job, "github", HEADROOM="vendor")
    assert done.returncode == 1, done.stderr
    assert job.installed() == [
        "-m pip install --quiet --require-hashes --requirement vendor/templates/ci/requirements.txt"
    ]


# The comment, from the step of each template to the forge's API.


def api(name: str, forge: Forge) -> tuple[dict[str, str], dict[str, Any]]:
    """The variables of a job that comments, and what the forge answers it."""
    if name == "github":
        list_ = "/repos/org/infra/issues/7/comments"
        return (
            {
                "GITHUB_TOKEN": "t0ken",
                "GITHUB_API_URL": forge.address,
                "GITHUB_REPOSITORY": "org/infra",
                "PULL_REQUEST": "7",
            },
            {f"GET {list_}?per_page=100&page=1": [], f"POST {list_}": {"id": 1}},
        )
    if name == "gitlab":
        list_ = "/api/v4/projects/5/merge_requests/7/notes"
        return (
            {
                "HEADROOM_TOKEN": "t0ken",
                "CI_API_V4_URL": f"{forge.address}/api/v4",
                "CI_PROJECT_ID": "5",
                "CI_MERGE_REQUEST_IID": "7",
            },
            {
                "GET /api/v4/user": {"id": 42},
                f"GET {list_}?per_page=100&page=1": [],
                f"POST {list_}": {"id": 1},
            },
        )
    list_ = "/org/My%20Project/_apis/git/repositories/r-1/pullRequests/7/threads?api-version=7.1"
    return (
        {
            "SYSTEM_ACCESSTOKEN": "t0ken",
            "SYSTEM_COLLECTIONURI": f"{forge.address}/org/",
            "SYSTEM_TEAMPROJECT": "My Project",
            "BUILD_REPOSITORY_ID": "r-1",
            "SYSTEM_PULLREQUEST_PULLREQUESTID": "7",
        },
        {f"GET {list_}": {"value": []}, f"POST {list_}": {"id": 1}},
    )


@ALL
def test_the_step_writes_the_report_as_a_comment(job: Job, forge: Forge, name: str) -> None:
    job.propose(BAD)
    check(job, name)
    variables, answers = api(name, forge)
    for question, value in answers.items():
        forge.answer(question, value)
    if name == "gitlab":
        script = "\n".join(template("gitlab-ci.yml")["headroom-comment"]["script"])
    else:
        script = steps_of(name)["Comment" if name == "github" else "Keep one comment up to date"]
    done = job.run(script, variables_of(name) | variables)
    assert (done.returncode, done.stdout) == (0, "The comment was added.\n"), done.stderr
    ((_, _, body),) = forge.written()
    text = body["comments"][0]["content"] if name == "azure" else body["body"]
    assert text == report(job)
    assert "t0ken" not in done.stdout + done.stderr


def test_the_step_of_the_template_hands_over_what_the_program_reads() -> None:
    steps = template("github-actions.yml")["jobs"]["comment"]["steps"]
    (step,) = [step for step in steps if step.get("name") == "Comment"]
    assert step["env"] == {
        "GITHUB_TOKEN": "${{ github.token }}",
        "PULL_REQUEST": "${{ github.event.pull_request.number }}",
    }
    (azure,) = [step for step in template("azure-pipelines.yml")["steps"] if "env" in step]
    assert azure["env"] == {"SYSTEM_ACCESSTOKEN": "$(System.AccessToken)"}


def test_the_templates_name_files_that_are_there() -> None:
    for name in ("github", "gitlab", "azure"):
        variables = variables_of(name)
        requirements = variables.get("REQUIREMENTS") or variables["HEADROOM_REQUIREMENTS"]
        assert (CHECKOUT / requirements).is_file()
