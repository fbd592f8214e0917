"""`--base`: what a stack was before the change, and which stack files a branch changes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import yaml

from headroom.addresses.problems import ProblemsError
from tests.policies.conftest import SMALL, Repository, policy, run, stack_file, state, subnet

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def zones(*arguments: str) -> dict[str, tuple[int | None, int]]:
    """Addresses of each zone's pod subnets before and after."""
    document: dict[str, Any] = json.loads(run(*arguments, "--json").stdout)
    (check,) = document.get("checks", [document])
    return {zone["zone"]: (zone["before"], zone["after"]) for zone in check["zones"]}


def checked(*arguments: str) -> list[str]:
    return [check["source"] for check in json.loads(run(*arguments, "--json").stdout)["checks"]]


def refusal(*arguments: str) -> str:
    done = run(*arguments)
    assert isinstance(done.exception, ProblemsError), done.output
    return str(done.exception)


# Before and after.


def test_the_zones_of_a_branch_are_shown_with_those_of_its_start(repository: Repository) -> None:
    file = str(repository.stack_file(podSubnets=SMALL).relative_to(repository.folder))
    assert zones(file, "--base", "main") == {
        "us-east-1a": (16_379, 251),
        "us-east-1b": (16_379, 0),
        "us-east-1c": (16_379, 0),
    }


def test_a_new_stack_held_nothing_before(repository: Repository) -> None:
    file = str(repository.stack_file("new", podSubnets=SMALL))
    assert zones(file, "--base", "main") == {"us-east-1a": (0, 251)}


def test_what_the_other_branch_did_meanwhile_is_not_before(repository: Repository) -> None:
    repository.git("checkout", "--quiet", "main")
    repository.stack_file(podSubnets={})
    repository.commit()
    repository.git("checkout", "--quiet", "change")
    assert zones("stacks/Pulumi.prod.yaml", "--base", "main")["us-east-1a"] == (16_379, 16_379)


def test_a_file_may_be_the_base(tmp_path: Path) -> None:
    before = stack_file(tmp_path, name="before", podSubnets=SMALL)
    after = stack_file(tmp_path)
    assert zones(str(after), "--base", str(before))["us-east-1a"] == (251, 16_379)


def test_a_state_may_be_compared_with_a_state(tmp_path: Path) -> None:
    before, after = tmp_path / "before.json", tmp_path / "after.json"
    before.write_text(state(subnet("100.64.0.0/24")), encoding="utf-8")
    after.write_text(state(subnet()), encoding="utf-8")
    assert zones(str(after), "--base", str(before)) == {"us-east-1a": (251, 16_379)}


def test_a_program_is_run_with_the_configuration_of_then(repository: Repository) -> None:
    program = (
        "import pulumi\n"
        "class Subnet(pulumi.CustomResource):\n"
        "    def __init__(self, name, props):\n"
        "        super().__init__('aws:ec2/subnet:Subnet', name, props)\n"
        "size = pulumi.Config().require('size')\n"
        "tags = {'kubernetes.io/role/cni': '1'}\n"
        "zone = 'us-east-1a'\n"
        "Subnet('s', {'cidrBlock': f'100.64.0.0/{size}', 'availabilityZone': zone, 'tags': tags})\n"
    )
    (repository.folder / "__main__.py").write_text(program, encoding="utf-8")
    file = repository.folder / "stacks" / "Pulumi.any.yaml"
    file.write_text(yaml.safe_dump({"config": {"headroom:size": "24"}}), encoding="utf-8")
    repository.commit()
    file.write_text(yaml.safe_dump({"config": {"headroom:size": "18"}}), encoding="utf-8")
    assert zones("stacks/Pulumi.any.yaml", "--base", "HEAD") == {"us-east-1a": (251, 16_379)}
    assert zones(".", "--stack", "any", "--base", "HEAD") == {"us-east-1a": (251, 16_379)}


def test_a_start_that_cannot_be_judged_is_noted_and_blames_nobody(repository: Repository) -> None:
    (repository.folder / "stacks" / "Pulumi.prod.yaml").write_text("config: {", encoding="utf-8")
    repository.commit()
    repository.stack_file()
    done = run("stacks/Pulumi.prod.yaml", "--base", "HEAD", "--markdown", "c.md")
    assert done.exit_code == 0, done.output
    note = "What the pod subnets were before is not known: Pulumi.prod.yaml in HEAD cannot be judged."
    assert f"note - stacks/Pulumi.prod.yaml {note}" in done.output
    assert note in (repository.folder / "c.md").read_text(encoding="utf-8")


# What changed.


def test_without_a_source_every_stack_file_that_changed_is_checked(repository: Repository) -> None:
    repository.stack_file("untouched")
    repository.commit()
    repository.git("checkout", "--quiet", "-b", "further")
    repository.stack_file(podSubnets=SMALL)
    repository.commit()
    repository.stack_file("written but not committed")
    (repository.folder / "stacks" / "notes.yaml").write_text("a: 1", encoding="utf-8")
    assert checked("--base", "change") == [
        "stacks/Pulumi.prod.yaml",
        "stacks/Pulumi.written but not committed.yaml",
    ]
    assert run("--base", "change").exit_code == 1


def test_a_stack_file_that_is_gone_is_not_looked_for(repository: Repository) -> None:
    repository.stack_file("other")
    (repository.folder / "stacks" / "Pulumi.prod.yaml").unlink()
    assert checked("--base", "main") == ["stacks/Pulumi.other.yaml"]


def test_where_nothing_changed_the_check_is_clean_and_says_so(repository: Repository) -> None:
    done = run("--base", "main", "--markdown", "c.md", "--sarif", "c.sarif", "--code-quality", "q.json")
    assert done.exit_code == 0
    commit = repository.git("rev-parse", "main").strip()
    assert done.output == f"clean: no stack file has changed since {commit[:12]}.\n"
    assert "no stack file changed" in (repository.folder / "c.md").read_text(encoding="utf-8")
    assert json.loads((repository.folder / "q.json").read_text(encoding="utf-8")) == []
    assert checked("--base", "main") == []


def test_a_changed_policy_configuration_is_held_against_every_stack_file(repository: Repository) -> None:
    config = policy(repository.folder, {})
    repository.commit()
    assert checked("--base", "HEAD", "--policy-config", config) == []
    policy(repository.folder, {"pod-subnet-size": "advisory"})
    assert checked("--base", "HEAD", "--policy-config", config) == ["stacks/Pulumi.prod.yaml"]


def test_a_policy_configuration_from_elsewhere_is_no_part_of_the_change(repository: Repository) -> None:
    (repository.folder.parent / "elsewhere").mkdir()
    assert checked("--base", "main", "--policy-config", policy(repository.folder.parent / "elsewhere", {})) == []


def test_the_project_may_lie_in_a_folder_of_the_repository(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    inner = repository.folder / "inner"
    (inner / "stacks").mkdir(parents=True)
    (inner / "Pulumi.yaml").write_bytes((repository.folder / "Pulumi.yaml").read_bytes())
    stack_file(inner / "stacks", name="here", podSubnets=SMALL)
    repository.commit()
    stack_file(inner / "stacks", name="here")
    monkeypatch.chdir(inner)
    assert checked("--base", "main") == ["stacks/Pulumi.here.yaml"]
    assert zones("stacks/Pulumi.here.yaml", "--base", "HEAD")["us-east-1a"] == (251, 16_379)


# Bad input.


def test_what_is_no_commit_is_refused_with_what_to_do(repository: Repository, tmp_path: Path) -> None:
    assert "nope is neither a file nor a commit that this repository has. Fetch it" in refusal("--base", "nope")
    assert "neither a file nor a commit" in refusal("--base=--output=x")
    assert not list(repository.folder.glob("x*"))
    assert "is a file, and nothing was named to compare with it" in refusal("--base", "Pulumi.yaml")
    several = refusal("a.yaml", "b.yaml", "--base", "Pulumi.yaml")
    assert "Pulumi.yaml is one file, and 2 were named." in several
    document = tmp_path / "state.json"
    document.write_text(state(), encoding="utf-8")
    assert "is a commit, and a state is not kept in one" in refusal(str(document), "--base", "main")


def test_histories_that_share_nothing_are_refused(repository: Repository) -> None:
    repository.git("checkout", "--quiet", "--orphan", "alone")
    repository.commit()
    assert "has no history in common" in refusal("--base", "main")


def test_a_folder_without_a_repository_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert "is no file, and git cannot look here: fatal: not a git repository" in refusal("--base", "main")


def test_a_machine_without_git_is_told(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(repository.folder))
    assert "git is not on PATH." in refusal("--base", "main")


def test_a_stack_file_that_was_not_text_is_noted(repository: Repository) -> None:
    file = repository.folder / "stacks" / "Pulumi.prod.yaml"
    file.write_bytes(b"\xff\xfe")
    repository.commit()
    repository.stack_file()
    assert "is not UTF-8 text" in run("stacks/Pulumi.prod.yaml", "--base", "HEAD").output
