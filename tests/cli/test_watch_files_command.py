from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from headroom.addresses.problems import ProblemsError
from headroom.cli.watch_files import watch_files

CHECKOUT = Path(__file__).parents[2]
EXAMPLE = CHECKOUT / "stacks" / "Pulumi.example-watch.yaml"
FACTS = CHECKOUT / "tests" / "incidents" / "eks-healthy" / "facts.json"


def run(*arguments: object) -> str:
    result = CliRunner().invoke(watch_files, [str(each) for each in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def refused(*arguments: object) -> list[str]:
    with pytest.raises(ProblemsError) as caught:
        CliRunner().invoke(watch_files, [str(each) for each in arguments], catch_exceptions=False)
    return [problem.message for problem in caught.value.problems]


def levels(file: Path) -> dict[str, str]:
    """Each zone's constants: "name zone"."""
    groups: list[dict[str, Any]] = yaml.safe_load(file.read_text(encoding="utf-8"))["groups"]
    return {
        f"{rule['record'].removeprefix('headroom:zone_')} {rule['labels']['zone']}": rule["expr"]
        for rule in groups[0]["rules"]
        if "zone" in rule["labels"]
    }


def test_the_stack_files_thresholds_are_those_of_the_stacks_alarms(tmp_path: Path) -> None:
    output = run("--stack-file", EXAMPLE, "--folder", tmp_path / "new")
    found = levels(tmp_path / "new" / "headroom-prod-use1.rules.yaml")
    # As tests/stacks/test_watch_stack.py has it of the alarm: one m5.8xlarge with 100 pods.
    assert found["critical_addresses us-east-1a"] == "vector(109)"
    assert found["usable_addresses us-east-1a"] == "vector(1019)", "not the control plane's subnet"
    assert json.loads((tmp_path / "new" / "headroom-prod-use1.dashboard.json").read_text())["schemaVersion"] == 41
    assert output.splitlines()[-1].startswith("Next: promtool check rules ")
    assert "held by others unknown" in output


def test_facts_alone_tell_subnets_node_types_and_what_others_hold(tmp_path: Path) -> None:
    output = run("--facts", FACTS, "--folder", tmp_path)
    (rules,) = tmp_path.glob("*.rules.yaml")
    found = levels(rules)
    assert len({name.split(" ")[1] for name in found}) >= 1
    assert "unknown" not in output
    facts = json.loads(FACTS.read_text(encoding="utf-8"))
    assert rules.name == f"headroom-{facts['cluster']}.rules.yaml"


def test_the_files_are_the_same_every_time(tmp_path: Path) -> None:
    run("--facts", FACTS, "--folder", tmp_path / "a")
    run("--facts", FACTS, "--folder", tmp_path / "b")
    assert [file.read_text() for file in sorted((tmp_path / "a").iterdir())] == [
        file.read_text() for file in sorted((tmp_path / "b").iterdir())
    ]


def test_nothing_to_read_another_stacks_file_and_a_label_without_a_value_are_refused(tmp_path: Path) -> None:
    assert refused() == ["Neither --stack-file nor --facts is given. Name the watch stack's file, or a snapshot."]
    other = CHECKOUT / "stacks" / "Pulumi.example-emergency.yaml"
    assert refused("--stack-file", other) == [
        f"{other} is no file of a watch stack. Name one like stacks/Pulumi.example-watch.yaml."
    ]
    broken = tmp_path / "broken.yaml"
    for text in ("a: [", "config:\n  since: 2027-02-30\n"):
        broken.write_text(text)
        assert "cannot be read as YAML" in refused("--stack-file", broken)[0]
    assert refused("--facts", FACTS, "--label", "prod", "--folder", tmp_path) == [
        "prod is no label with its value. Write NAME=VALUE, such as cluster=prod-use1."
    ]
    assert list(tmp_path.iterdir()) == [broken]


def test_what_is_wrong_in_the_stack_file_is_told_with_its_keys(tmp_path: Path) -> None:
    file = tmp_path / "Pulumi.x-watch.yaml"
    document = yaml.safe_load(EXAMPLE.read_text(encoding="utf-8"))
    document["config"]["headroom:nodeGroups"] = {"a": {"instanceType": "m9.none"}}
    document["config"]["headroom:horizonDays"] = "soon"
    file.write_text(yaml.safe_dump(document))
    told = refused("--stack-file", file, "--folder", tmp_path / "out")
    assert any("headroom:nodeGroups.a.instanceType" in each for each in told), told
    assert any("headroom:horizonDays" in each for each in told), told
    assert not (tmp_path / "out").exists()
