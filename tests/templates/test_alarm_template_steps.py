"""The alarm templates' commands, run as they stand: from an event to one pull request, and never from a hostile one."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from headroom.rehearsal.forge import FORGES, JOB_TOKEN, Forge
from tests.templates.conftest import CHECKOUT, TEMPLATES, bare_environment, template
from tests.templates.test_ci_templates import pins

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

# Each starts git and our commands many times over.
pytestmark = pytest.mark.slow

FACTS = CHECKOUT / "tests" / "incidents" / "eks-healthy" / "facts.json"
EVENT = {
    "cluster": "prod-use1",
    "alarm": "headroom/prod-use1/us-east-1a/page",
    "region": "us-east-1",
    "account": "123456789012",
    "time": "2026-03-03T20:20:00Z",
    "id": "c4c1c1c9-6542-e61b-6ef0-8c4d36933a92",
}


class Runner:
    """A runner of one forge: a checkout, and programs of ours in the place of pip, aws and apt-get."""

    def __init__(self, folder: Path, name: str) -> None:
        self.name = name
        self.checkout, self.bin = folder / "checkout", folder / "bin"
        (self.checkout / "stacks").mkdir(parents=True)
        self.bin.mkdir()
        shutil.copyfile(CHECKOUT / "Pulumi.yaml", self.checkout / "Pulumi.yaml")
        (self.checkout / "headroom").symlink_to(CHECKOUT / "headroom")
        (self.checkout / "policies").symlink_to(CHECKOUT / "policies")
        (self.checkout / "templates").symlink_to(CHECKOUT / "templates")
        # The snapshot takes the place of the cluster.
        self._program(
            "python",
            f'if [ "$1 $2" = "-m pip" ]; then echo "pip $*" >> "{self.bin}/log"; exit 0; fi\n'
            f'case "$*" in *"respond --folder"*) exec "{sys.executable}" "$@" --facts "{FACTS}";; esac\n'
            f'exec "{sys.executable}" "$@"',
        )
        for program in ("aws", "apt-get"):
            self._program(program, f'echo "{program} $*" >> "{self.bin}/log"')

    def _program(self, name: str, script: str) -> None:
        (self.bin / name).write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        (self.bin / name).chmod(0o755)

    def log(self) -> str:
        log = self.bin / "log"
        return log.read_text(encoding="utf-8") if log.exists() else ""

    def run(self, script: str, variables: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
        environment = bare_environment() | {"PATH": f"{self.bin}{os.pathsep}{os.environ['PATH']}", **variables}
        return subprocess.run(  # noqa: S603 - the step of a template of ours
            ["bash", "-eo", "pipefail", "-c", script],  # noqa: S607 - the runner's shell
            cwd=self.checkout,
            env=environment,
            check=False,
            capture_output=True,
            text=True,
        )

    def respond(self, event: str) -> subprocess.CompletedProcess[str]:
        """All that reads the cluster."""
        variables = self.variables() | {"HEADROOM_EVENT": event}
        if self.name == "gitlab":
            script = "\n".join(template("gitlab-alarm.yml")["headroom-respond"]["script"])
            script = script.replace("/tmp/aws-id-token", str(self.bin / "token"))  # noqa: S108 - of the template
            return self.run(script, variables | {"AWS_ID_TOKEN": "id", "HEADROOM_ROLE_ARN": "arn"})
        if self.name == "azure":
            (step,) = [each for each in template("azure-alarm.yml")["steps"] if each.get("displayName") == "Respond"]
            return self.run(step["bash"], variables)
        steps = {
            each["name"]: each for each in template("github-alarm.yml")["jobs"]["respond"]["steps"] if "name" in each
        }
        for name in ("output", "summary"):
            (self.bin / name).touch()
        variables |= {"GITHUB_OUTPUT": str(self.bin / "output"), "GITHUB_STEP_SUMMARY": str(self.bin / "summary")}
        done = self.run(steps["Read the event"]["run"], variables)
        if done.returncode:
            return done
        assert (self.bin / "output").read_text(encoding="utf-8").splitlines()[-1] == "region=us-east-1"
        return self.run(steps["Respond"]["run"], variables)

    def propose(self, forge: Forge) -> subprocess.CompletedProcess[str]:
        """All that writes."""
        document = template(f"{self.name}-alarm.yml")
        if self.name == "github":
            script = document["jobs"]["propose"]["steps"][-1]["run"]
        elif self.name == "gitlab":
            script = "\n".join(document["headroom-propose"]["script"])
        else:
            script = document["steps"][-1]["bash"]
        return self.run(script, self.variables() | forge.variables())

    def variables(self) -> dict[str, str]:
        document = template(f"{self.name}-alarm.yml")
        found: dict[str, str] = document["env" if self.name == "github" else "variables"]
        return found


@pytest.fixture(params=FORGES)
def runner(request: pytest.FixtureRequest, tmp_path: Path) -> Runner:
    return Runner(tmp_path, request.param)


@pytest.fixture
def forge(runner: Runner) -> Iterator[Forge]:
    with Forge(runner.name) as running:
        yield running


def test_an_event_becomes_one_pull_request_and_the_next_one_finds_it(runner: Runner, forge: Forge) -> None:
    for _ in range(2):
        done = runner.respond(json.dumps(EVENT))
        assert done.returncode == 0, done.stdout + done.stderr
        done = runner.propose(forge)
        assert done.returncode == 0, done.stdout + done.stderr
        assert JOB_TOKEN not in done.stdout + done.stderr
    (made,) = forge.open
    assert made.title == "[urgent] prod-use1: subnet_exhaustion, no pod hangs yet"
    assert "stacks/Pulumi.prod-use1-emergency.yaml" in forge.files(made.branch)
    assert "aws eks update-kubeconfig --name prod-use1" in runner.log()
    assert "--require-hashes --requirement" in runner.log() or runner.name != "gitlab"


@pytest.mark.parametrize(
    "event",
    [
        {**EVENT, "cluster": '"; touch pwned; "'},
        {**EVENT, "cluster": "$(touch pwned)"},
        {**EVENT, "cluster": "--help"},
        {**EVENT, "region": "us-east-1; touch pwned"},
        {**EVENT, "alarm": "headroom/prod-use1/`touch pwned`/page"},
        {"cluster": "prod-use1"},
    ],
)
def test_a_hostile_event_ends_the_job_before_anything_is_read(runner: Runner, event: dict[str, str]) -> None:
    done = runner.respond(json.dumps(event))
    assert done.returncode == 2, done.stdout + done.stderr
    assert "aws eks" not in runner.log()
    assert not (runner.checkout / "pwned").exists()
    assert not (runner.checkout / "proposal").exists()
    assert "touch pwned" not in done.stdout + done.stderr


# What no linter knows.


def test_no_text_of_the_event_is_part_of_a_command() -> None:
    text = {name: (TEMPLATES / f"{name}-alarm.yml").read_text(encoding="utf-8") for name in FORGES}
    jobs = template("github-alarm.yml")["jobs"].values()
    scripts = [step["run"] for job in jobs for step in job["steps"] if "run" in step]
    assert scripts
    assert not [script for script in scripts if "${{" in script]
    assert text["azure"].count("parameters.event") == 1
    (step,) = [step for step in template("azure-alarm.yml")["steps"] if "parameters.event" in str(step)]
    assert step["env"]["HEADROOM_EVENT"] == "${{ parameters.event }}"
    assert "HEADROOM_EVENT" not in "".join(
        line for line in (TEMPLATES / "respond.sh").read_text(encoding="utf-8").splitlines() if not line.startswith("#")
    )
    assert "$HEADROOM_EVENT" not in "\n".join(template("gitlab-alarm.yml")["headroom-respond"]["script"])


def test_what_reads_the_cluster_cannot_write_and_what_writes_cannot_read_it() -> None:
    jobs = template("github-alarm.yml")["jobs"]
    assert template("github-alarm.yml")["permissions"] == {}
    assert jobs["respond"]["permissions"] == {"contents": "read", "id-token": "write"}
    assert jobs["propose"]["permissions"] == {"contents": "write", "pull-requests": "write"}
    assert "github.token" not in str(jobs["respond"])
    assert "aws" not in str(jobs["propose"]["steps"])
    assert "HEADROOM_TOKEN" not in str(template("gitlab-alarm.yml")["headroom-respond"])
    steps = template("azure-alarm.yml")["steps"]
    assert [each["displayName"] for each in steps if "System.AccessToken" in str(each)] == [
        "Keep one pull request a cluster and cause"
    ]
    for job in jobs.values():
        for step in job["steps"]:
            if step.get("uses", "").startswith("actions/checkout@"):
                assert step["with"]["persist-credentials"] is False


def test_no_template_applies_anything() -> None:
    for name in FORGES:
        text = (TEMPLATES / f"{name}-alarm.yml").read_text(encoding="utf-8")
        assert "pulumi " not in text
        assert "kubectl" not in text


def test_the_writing_job_installs_one_package_as_it_is_locked_for_everybody() -> None:
    small, whole = pins(TEMPLATES / "propose.txt"), pins(CHECKOUT / "requirements.lock")
    assert small == {"urllib3": whole["urllib3"]}


def test_the_event_that_the_workflow_waits_for_is_the_triggers() -> None:
    from components.alarm_trigger import EVENT_TYPE  # noqa: PLC0415 - loads the provider's SDK

    document: Any = template("github-alarm.yml")
    # YAML reads `on` as true.
    assert document[True]["repository_dispatch"]["types"] == [EVENT_TYPE]
