"""The templates for CI are valid by the schemas and linters of those who read them, and keep to least permission."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from headroom.rehearsal.tools import MANIFEST
from tests.templates.conftest import CHECKOUT, TEMPLATES, template

BIN = Path(sys.executable).parent
SCHEMAS = {
    "github-actions.yml": ("vendor.github-workflows",),
    "gitlab-ci.yml": ("vendor.gitlab-ci", "--data-transform", "gitlab-ci"),
    # Its patterns are of the older dialect, without the flag `u`.
    "azure-pipelines.yml": (
        "vendor.azure-pipelines",
        "--data-transform",
        "azure-pipelines",
        "--regex-variant",
        "nonunicode",
    ),
}
SCHEMAS |= {name.replace(name.split("-", 1)[1], "alarm.yml"): options for name, options in SCHEMAS.items()}
GITHUB = "github-actions.yml"


def tool(name: str, *arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    command = [str(BIN / name), *arguments]
    return subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)  # noqa: S603 - of the lock


def conforms(name: str, file: Path) -> subprocess.CompletedProcess[str]:
    return tool("check-jsonschema", "--builtin-schema", *SCHEMAS[name], str(file))


def zizmor(file: Path) -> subprocess.CompletedProcess[str]:
    return tool("zizmor", "--offline", "--no-config", "--persona", "pedantic", "--no-progress", str(file))


def scripts(name: str) -> list[str]:
    """Every shell script of a template, as the forge puts it together."""
    document = template(name)
    if name.startswith("github-"):
        steps = [step for job in document["jobs"].values() for step in job["steps"]]
        return [step["run"] for step in steps if "run" in step]
    if name.startswith("azure-"):
        return [step["bash"] for step in document["steps"] if "bash" in step]
    return ["\n".join(job["script"]) for job in document.values() if isinstance(job, dict) and "script" in job]


def test_there_is_a_schema_for_every_template() -> None:
    assert {path.name for path in TEMPLATES.glob("*.yml")} == set(SCHEMAS)


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_template_is_valid_by_its_forges_schema(name: str) -> None:
    done = conforms(name, TEMPLATES / name)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("name", "right", "wrong"),
    [
        (GITHUB, "timeout-minutes: 15", "time-out: 15"),
        ("gitlab-ci.yml", "exit_codes: [3]", "exit_codes: {a: 3}"),
        ("azure-pipelines.yml", "versionSpec:", "version:"),
    ],
)
def test_the_schemas_find_what_is_wrong(tmp_path: Path, name: str, right: str, wrong: str) -> None:
    file = tmp_path / name
    text = (TEMPLATES / name).read_text(encoding="utf-8")
    assert right in text
    file.write_text(text.replace(right, wrong), encoding="utf-8")
    assert conforms(name, file).returncode == 1


@pytest.mark.parametrize("name", [GITHUB, "github-alarm.yml"])
def test_zizmor_finds_nothing(name: str) -> None:
    done = zizmor(TEMPLATES / name)
    assert done.returncode == 0, done.stdout + done.stderr


def test_zizmor_would_find_something(tmp_path: Path) -> None:
    file = tmp_path / GITHUB
    text = (TEMPLATES / GITHUB).read_text(encoding="utf-8")
    file.write_text(text.replace("  pull_request:", "  pull_request_target:"), encoding="utf-8")
    assert "dangerous-triggers" in zizmor(file).stdout


def actionlint(*files: Path) -> subprocess.CompletedProcess[str]:
    programs = json.loads(MANIFEST.read_text(encoding="utf-8"))["programs"]
    assert "actionlint" in programs, f"{sys.executable} -m toolchain.setup --tests provides it, as `make test` does"
    # What a repository configures for itself is not looked for, and shell scripts are judged by the locked linter.
    options = ["-no-color", "-config-file", "/dev/null", "-shellcheck", str(BIN / "shellcheck"), "-pyflakes", ""]
    command = [programs["actionlint"], *options, *map(str, files)]
    return subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - the program that was set up


@pytest.mark.actionlint
def test_actionlint_finds_nothing() -> None:
    workflows = sorted(TEMPLATES.glob("github-*.yml"))
    assert len(workflows) == 2
    done = actionlint(*workflows)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.actionlint
@pytest.mark.parametrize(
    ("name", "right", "wrong", "said"),
    [
        # None of these is anything to a schema.
        (GITHUB, "needs.check.outputs.", "needs.check.output.", "[expression]"),
        (GITHUB, "needs: check\n", "needs: chek\n", "[job-needs]"),
        ("github-alarm.yml", "steps.event.outputs.region", "steps.evnt.outputs.region", "[expression]"),
    ],
)
def test_actionlint_finds_what_no_schema_knows(tmp_path: Path, name: str, right: str, wrong: str, said: str) -> None:
    file = tmp_path / name
    text = (TEMPLATES / name).read_text(encoding="utf-8")
    assert right in text
    file.write_text(text.replace(right, wrong), encoding="utf-8")
    assert conforms(name, file).returncode == 0
    done = actionlint(file)
    assert (done.returncode, said in done.stdout) == (1, True), done.stdout + done.stderr


@pytest.mark.parametrize("name", SCHEMAS)
def test_shellcheck_finds_nothing_in_the_steps(name: str) -> None:
    found = scripts(name)
    assert len(found) >= 2
    for script in found:
        done = tool("shellcheck", "--shell", "bash", "-", stdin=script)
        assert done.returncode == 0, done.stdout


def test_shellcheck_finds_nothing_in_the_script_that_the_alarm_templates_share() -> None:
    done = tool("shellcheck", str(TEMPLATES / "respond.sh"))
    assert done.returncode == 0, done.stdout


# What no linter knows.


def github_jobs() -> dict[str, Any]:
    jobs: dict[str, Any] = template(GITHUB)["jobs"]
    return jobs


def test_every_action_is_pinned_by_its_commit_with_the_version_beside_it() -> None:
    used = re.findall(r"uses: (.+)", (TEMPLATES / GITHUB).read_text(encoding="utf-8"))
    assert len(used) == 8
    for item in used:
        assert re.fullmatch(r"[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", item), item
    assert len({item.partition("@")[0] for item in used}) == len({*used}), "one version of each"


def test_what_runs_the_pull_requests_code_can_only_read() -> None:
    assert template(GITHUB)["permissions"] == {}
    running = {name: job["permissions"] for name, job in github_jobs().items() if "headroom.cli" in str(job["steps"])}
    assert running == {"check": {"contents": "read"}}
    for name, job in github_jobs().items():
        text = yaml.safe_dump(job)
        assert ("github.token" in text) == (name == "comment")
        assert "secrets." not in text


def test_a_fork_starts_no_job_that_may_write() -> None:
    guard = "github.event.pull_request.head.repo.full_name == github.repository"
    writing = [job for job in github_jobs().values() if "write" in job["permissions"].values()]
    assert len(writing) == 2
    assert all(guard in job["if"] for job in writing)
    (rule,) = template("gitlab-ci.yml")["headroom-comment"]["rules"]
    assert "$CI_MERGE_REQUEST_SOURCE_PROJECT_ID == $CI_PROJECT_ID" in rule["if"]
    steps = template("azure-pipelines.yml")["steps"]
    (holding,) = [step for step in steps if "env" in step]
    assert "ne(variables['System.PullRequest.IsFork'], 'True')" in holding["condition"]


def test_no_checkout_keeps_a_token() -> None:
    steps = [step for job in github_jobs().values() for step in job["steps"]]
    for step in steps:
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False
    assert template("azure-pipelines.yml")["steps"][0]["persistCredentials"] == "false"


# What they install.


def pins(path: Path) -> dict[str, tuple[str, frozenset[str]]]:
    """Version and hashes of every package of a lock file."""
    found = {}
    for name, version, hashes in re.findall(
        r"^([\w.-]+)==(\S+)[^\n]*((?:\n    --hash=\S+[^\n]*)+)", path.read_text(encoding="utf-8"), re.MULTILINE
    ):
        found[name] = (version, frozenset(re.findall(r"sha256:\w+", hashes)))
    return found


def test_what_a_job_installs_is_locked_as_for_everybody() -> None:
    small, whole = pins(TEMPLATES / "requirements.txt"), pins(CHECKOUT / "requirements.lock")
    assert set(small) == {"click", "pyyaml"}
    for name, pin in small.items():
        assert pin == whole[name]
        assert pin[1]


def test_what_a_job_installs_is_all_that_a_stack_file_needs(tmp_path: Path) -> None:
    example = str(CHECKOUT / "stacks" / "Pulumi.example-emergency.yaml")
    program = (
        "import json, sys\n"
        "before = set(sys.modules)\n"
        "from headroom.cli import main\n"
        f"sys.argv = ['headroom', 'check', {example!r}, '--markdown', {str(tmp_path / 'c.md')!r}]\n"
        "try: main()\n"
        "except SystemExit as stopped: assert not stopped.code, stopped.code\n"
        "print(json.dumps(sorted({name.partition('.')[0] for name in set(sys.modules) - before})))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=CHECKOUT)  # noqa: S603 - ours
    loaded = set(json.loads(done.stdout.splitlines()[-1])) - sys.stdlib_module_names
    compiled = {name for name in loaded if name.startswith("_") or name == "cython_runtime"}  # of PyYAML
    assert loaded - compiled == {"headroom", "policies", "click", "yaml"}
