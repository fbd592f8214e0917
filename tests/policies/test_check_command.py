"""`headroom check`: its doors, its outputs and its exit codes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from click.testing import CliRunner, Result

from headroom.addresses.problems import ProblemsError
from headroom.cli import COMMANDS
from headroom.cli.check import check
from policies.pack import RULES
from policies.reports import BAR, bar, to_sarif

if TYPE_CHECKING:
    from collections.abc import Mapping

CHECKOUT = Path(__file__).parents[2]
EXAMPLE = CHECKOUT / "stacks" / "Pulumi.example-emergency.yaml"
POLICY = CHECKOUT / "stacks" / "policy.example-emergency.json"
UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
SUBNET = "aws:ec2/subnet:Subnet"
ASSOCIATION = "aws:ec2/routeTableAssociation:RouteTableAssociation"


def run(*arguments: str, stdin: str | None = None) -> Result:
    return CliRunner().invoke(check, list(arguments), input=stdin)


def stack_file(folder: Path, *, name: str = "prod", **changes: Any) -> Path:
    config: dict[str, Any] = yaml.safe_load(EXAMPLE.read_text(encoding="utf-8"))["config"]
    config |= {f"headroom:{key}": value for key, value in changes.items()}
    path = folder / f"Pulumi.{name}.yaml"
    path.write_text(yaml.safe_dump({"config": config}, sort_keys=False), encoding="utf-8")
    return path


def small(folder: Path) -> Path:
    zone = {"cidrBlock": "100.64.1.0/24", "routeTableId": "rtb-1"}
    return stack_file(folder, podSubnets={"us-east-1a": zone})


def state(*resources: Mapping[str, Any]) -> str:
    return json.dumps({"version": 3, "deployment": {"resources": list(resources)}})


def subnet(cidr: str = "100.64.0.0/18", **more: Any) -> dict[str, Any]:
    inputs = {
        "vpcId": "vpc-1",
        "cidrBlock": cidr,
        "availabilityZone": "us-east-1a",
        "tags": {"kubernetes.io/role/cni": "1"},
    }
    return {
        "urn": f"urn:pulumi:prod::p::{SUBNET}::pods",
        "type": SUBNET,
        "id": "subnet-1",
        "inputs": inputs,
        "protect": True,
        **more,
    }


def route_table() -> dict[str, Any]:
    return {
        "urn": f"urn:pulumi:prod::p::{ASSOCIATION}::pods",
        "type": ASSOCIATION,
        "id": "rtbassoc-1",
        "inputs": {"subnetId": "subnet-1", "routeTableId": "rtb-1"},
    }


INSIDE = {"pod-subnet-inside-vpc": {"vpcCidrBlocks": ["100.64.0.0/16"]}}


def policy(folder: Path, document: object) -> str:
    path = folder / "policy.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    return str(path)


# Exit codes.


def test_a_clean_stack_file_exits_with_0_and_says_what_comes_next() -> None:
    done = run(str(EXAMPLE), "--policy-config", str(POLICY))
    assert done.exit_code == 0, done.output
    assert "zone us-east-1a holds 16,379 needs 1,650" in done.output
    assert done.output.splitlines()[-1].startswith("clean: 0 violations, 0 undecided; 7 resources, 18 rules")


def test_a_violation_exits_with_1_and_names_rule_file_and_line(tmp_path: Path) -> None:
    path = small(tmp_path)
    done = run(str(path))
    assert done.exit_code == 1
    line = next(
        number for number, text in enumerate(path.read_text(encoding="utf-8").splitlines(), 1) if "100.64.1.0" in text
    )
    assert f"violation pod-subnet-size {path}:{line} 100.64.1.0/24 holds 251 addresses" in done.output


def test_what_cannot_be_decided_exits_with_3_and_a_violation_outweighs_it(tmp_path: Path) -> None:
    config = policy(tmp_path, INSIDE)
    unknown = run("-", "--policy-config", config, stdin=state(subnet(UNKNOWN), route_table()))
    assert unknown.exit_code == 3, unknown.output
    assert "undecided pod-subnet-size - pods: undecided: cidrBlock is not known before `up`." in unknown.output
    both = run("-", "--policy-config", config, stdin=state(subnet(UNKNOWN)))
    assert both.exit_code == 1


def test_an_advisory_rule_is_shown_and_lets_the_check_pass(tmp_path: Path) -> None:
    config = policy(tmp_path, {"pod-subnet-size": "advisory"})
    done = run(str(small(tmp_path)), "--policy-config", config)
    assert done.exit_code == 0
    assert "advisory pod-subnet-size" in done.output
    disabled = run(str(small(tmp_path)), "--policy-config", policy(tmp_path, {"pod-subnet-size": "disabled"}))
    assert "pod-subnet-size" not in disabled.output


def test_an_exception_lets_one_resource_pass_and_is_shown(tmp_path: Path) -> None:
    item = {"resource": "pods-us-east-1a", "reason": "until the move", "expires": "2999-01-01"}
    config = policy(tmp_path, {"pod-subnet-size": {"exceptions": [item]}})
    done = run(str(small(tmp_path)), "--policy-config", config, "--markdown", str(tmp_path / "c.md"))
    assert done.exit_code == 0
    assert "excepted pod-subnet-size" in done.output
    assert "1 let pass by an exception" in (tmp_path / "c.md").read_text(encoding="utf-8")
    item["expires"] = "2020-01-01"
    config = policy(tmp_path, {"pod-subnet-size": {"exceptions": [item]}})
    assert run(str(small(tmp_path)), "--policy-config", config).exit_code == 1


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("x.json", "{", "is not JSON"),
        ("x.json", "[]", "is neither a preview nor a state"),
        ("x.json", "[" * 100_000, "is not JSON"),
        ("x.json", '{"deployment": {"resources": 5}}', "is no list of resources"),
        ("x.json", '{"steps": 5}', "is no list of steps"),
        ("x.json", '{"steps": [], "changeSummary": {"same": 3}}', "pulumi preview --json --show-sames"),
        ("Pulumi.x.yaml", "config: {", "cannot be read as YAML"),
        ("Pulumi.x.yaml", "config: {a: 1}", "headroom check . --stack x"),
    ],
)
def test_bad_input_is_refused_with_what_would_be_accepted(tmp_path: Path, name: str, text: str, sentence: str) -> None:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    done = run(str(path))
    assert isinstance(done.exception, ProblemsError), done.output
    assert sentence in str(done.exception)


def test_what_is_not_there_is_refused(tmp_path: Path) -> None:
    for arguments in (["missing.yaml"], [str(tmp_path)], [str(CHECKOUT)], [str(CHECKOUT), "--stack", "missing"]):
        done = run(*arguments)
        assert isinstance(done.exception, ProblemsError), arguments
    binary = tmp_path / "x.json"
    binary.write_bytes(b"\xff\xfe\x00")
    assert "is not UTF-8 text" in str(run(str(binary)).exception)
    assert "cannot be written" in str(run(str(EXAMPLE), "--sarif", str(tmp_path / "none" / "x")).exception)


def test_a_misspelt_rule_in_the_configuration_is_refused(tmp_path: Path) -> None:
    done = run(str(EXAMPLE), "--policy-config", policy(tmp_path, {"pod-subnet-sise": {}}))
    assert "Did you mean pod-subnet-size?" in str(done.exception)


# Doors.


def test_a_state_is_judged_by_ids_and_a_pending_deletion_is_no_longer_there(tmp_path: Path) -> None:
    config = policy(tmp_path, INSIDE)
    clean = run("-", "--policy-config", config, stdin=state(subnet(), route_table()))
    assert clean.exit_code == 0, clean.output
    gone = run("-", "--policy-config", config, stdin=state(subnet(), {**route_table(), "delete": True}))
    assert "pod-subnet-route" in gone.output


def test_a_preview_is_judged_as_it_will_be_with_the_capacity_before(tmp_path: Path) -> None:
    old = subnet("100.64.0.0/24")
    steps = [
        {"op": "update", "urn": old["urn"], "oldState": old, "newState": subnet()},
        {"op": "same", "urn": route_table()["urn"], "newState": route_table(), "oldState": route_table()},
        {"op": "delete", "urn": "urn:pulumi:prod::p::x::gone", "oldState": {"urn": "urn:pulumi:prod::p::x::gone"}},
    ]
    document = {"steps": steps, "changeSummary": {"same": 1, "update": 1}}
    done = run("-", "--json", "--policy-config", policy(tmp_path, INSIDE), stdin=json.dumps(document))
    result = json.loads(done.output)
    assert (done.exit_code, result["verdict"], result["door"], result["resources"]) == (0, "clean", "preview", 2)
    assert result["zones"] == [{"zone": "us-east-1a", "before": 251, "after": 16379, "needed": 500}]


def program(folder: Path, text: str, **config: object) -> Path:
    runtime = {"name": "python"}
    (folder / "Pulumi.yaml").write_text(yaml.safe_dump({"name": "p", "runtime": runtime}), encoding="utf-8")
    (folder / "Pulumi.dev.yaml").write_text(yaml.safe_dump({"config": config}), encoding="utf-8")
    (folder / "__main__.py").write_text(text, encoding="utf-8")
    return folder


RAW = """\
import pulumi

class Subnet(pulumi.CustomResource):
    id: pulumi.Output[str]
    def __init__(self, name, props):
        super().__init__("aws:ec2/subnet:Subnet", name, props, pulumi.ResourceOptions(protect=True))

class Association(pulumi.CustomResource):
    def __init__(self, name, props):
        super().__init__("aws:ec2/routeTableAssociation:RouteTableAssociation", name, props)

size = pulumi.Config().require("size")
tags = {"kubernetes.io/role/cni": "1"}
zone = "us-east-1a"
pods = Subnet("pods", {"vpcId": "v", "cidrBlock": f"100.64.0.0/{size}", "availabilityZone": zone, "tags": tags})
Association("pods", {"subnetId": pods.id, "routeTableId": "rtb-1"})
"""


def test_any_python_program_is_run_without_engine_or_credentials(tmp_path: Path) -> None:
    config = policy(tmp_path, INSIDE)
    clean = run(str(program(tmp_path, RAW, size="18")), "--stack", "dev", "--policy-config", config)
    assert clean.exit_code == 0, clean.output
    done = run(str(program(tmp_path, RAW, size="24")), "--stack", "dev", "--policy-config", config)
    assert done.exit_code == 1
    assert "__main__.py:15 100.64.0.0/24 holds 251 addresses" in done.output, "the line of the program"


def test_what_a_program_asks_the_cloud_is_not_guessed_but_said(tmp_path: Path) -> None:
    text = 'import pulumi\nprint(pulumi.runtime.invoke("aws:ec2/getVpc:getVpc", {}).value)\n'
    done = run(str(program(tmp_path, text)), "--stack", "dev")
    assert done.exit_code == 3
    assert "The program asks the cloud (aws:ec2/getVpc:getVpc)" in done.output


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("import pulumi\npulumi.Config().require('size')\n", "Missing required configuration variable 'p:size'"),
        ("import pulumi\n1 / 0\n", "fails with ZeroDivisionError: division by zero (__main__.py line 2)"),
        ("import pulumi\nraise pulumi.RunError('no')\n", "refuses its configuration: no"),
        ("import nothing_of_the_kind\n", "ModuleNotFoundError"),
    ],
)
def test_a_program_that_fails_is_bad_input_without_a_traceback(tmp_path: Path, text: str, sentence: str) -> None:
    done = run(str(program(tmp_path, text)), "--stack", "dev")
    assert isinstance(done.exception, ProblemsError)
    assert sentence in str(done.exception)


def test_the_command_itself_exits_with_2_on_bad_input_and_prints_no_traceback() -> None:
    command = [sys.executable, "-c", "from headroom.cli import main; main()", "check", "missing.yaml"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=CHECKOUT)  # noqa: S603 - ours
    assert done.returncode == 2
    assert "missing.yaml cannot be read" in done.stderr
    assert "Traceback" not in done.stderr
    assert "check" in COMMANDS


def test_a_stack_file_is_checked_without_the_pulumi_sdk() -> None:
    program_text = (
        "import sys\n"
        "from headroom.cli import main\n"
        f"sys.argv = ['headroom', 'check', {str(EXAMPLE)!r}]\n"
        "try: main()\n"
        "except SystemExit as stopped: assert not stopped.code, stopped.code\n"
        "print(sorted({'pulumi', 'grpc', 'rich', 'pulumi_aws'} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", program_text]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=CHECKOUT)  # noqa: S603 - ours
    assert done.stdout.splitlines()[-1] == "[]", done.stderr


# Outputs.


def outputs(folder: Path) -> tuple[dict[str, Any], dict[str, Any], str]:
    sarif, markdown = folder / "c.sarif", folder / "c.md"
    done = run(str(small(folder)), "--json", "--sarif", str(sarif), "--markdown", str(markdown))
    return (
        json.loads(done.output),
        json.loads(sarif.read_text(encoding="utf-8")),
        markdown.read_text(encoding="utf-8"),
    )


def test_json_carries_verdict_findings_and_zones(tmp_path: Path) -> None:
    document, _, _ = outputs(tmp_path)
    assert document["verdict"] == "violation"
    assert document["rules"] == len(RULES)
    (violation,) = document["violations"]
    assert (violation["rule"], violation["resource"]) == ("pod-subnet-size", "pods-us-east-1a")
    assert violation["line"] > 1
    assert document["zones"] == [{"zone": "us-east-1a", "before": None, "after": 251, "needed": 500}]


def test_sarif_has_what_the_standard_asks_for(tmp_path: Path) -> None:
    _, sarif, _ = outputs(tmp_path)
    assert sarif["version"] == "2.1.0"
    (run_,) = sarif["runs"]
    driver = run_["tool"]["driver"]
    assert [rule["id"] for rule in driver["rules"]] == [rule.NAME for rule in RULES]
    assert len({rule["id"] for rule in driver["rules"]}) == len(RULES)
    for result in run_["results"]:
        assert driver["rules"][result["ruleIndex"]]["id"] == result["ruleId"]
        assert result["message"]["text"]
        assert result["level"] in ("none", "note", "warning", "error")
        assert result["kind"] == "fail" or result["level"] == "none", "sarif-v2.1.0, 3.27.10"
        for location in result["locations"]:
            assert location["physicalLocation"]["region"]["startLine"] >= 1
            assert location["physicalLocation"]["artifactLocation"]["uri"]
    assert all(set(invocation) >= {"executionSuccessful"} for invocation in run_["invocations"])


def test_the_comment_begins_with_the_verdict_and_draws_the_zone(tmp_path: Path) -> None:
    _, _, comment = outputs(tmp_path)
    lines = comment.splitlines()
    assert lines[0].startswith("**Headroom: 1 violation, 0 undecided** · `")
    assert lines[2].startswith("- ❌ `pod-subnet-size` ")
    assert f"{'▓' * BAR} short by 249" in comment
    assert "<details><summary>What to write instead</summary>" in comment


def test_a_name_that_is_markup_stays_text_in_the_comment(tmp_path: Path) -> None:
    zone = {"cidrBlock": "100.64.1.0/24", "routeTableId": "rtb-1", "zone": "<b>|x\n# @all"}
    path = stack_file(tmp_path, podSubnets={"<img src=x>\n": zone})
    run(str(path), "--markdown", str(tmp_path / "c.md"), "--sarif", str(tmp_path / "c.sarif"))
    comment = (tmp_path / "c.md").read_text(encoding="utf-8")
    assert "<img" not in comment.replace("\\<img", "")
    assert "\n#" not in comment
    json.loads((tmp_path / "c.sarif").read_text(encoding="utf-8"))


def test_a_bar_is_as_long_as_the_zone_is_full() -> None:
    from policies.capacity import ZoneCapacity  # noqa: PLC0415 - one use

    def drawn(after: int, needed: int | None) -> str:
        return bar(ZoneCapacity(zone="a", before=None, after=after, needed=needed))

    assert drawn(1000, 100) == "▓░░░░░░░░░ 900 to spare"
    assert drawn(1000, 1000) == "▓▓▓▓▓▓▓▓▓▓ 0 to spare"
    assert drawn(0, 0) == "░░░░░░░░░░ 0 to spare"
    assert drawn(10, 11) == "▓▓▓▓▓▓▓▓▓▓ short by 1"
    assert drawn(10, None) == ""


def test_a_terminal_gets_the_remedy_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headroom.cli.check._print_plain", sys.modules["headroom.cli.check"]._print_terminal)
    done = run(str(small(tmp_path)))
    assert "✗ violation" in done.output
    assert "Write a larger block" in " ".join(done.output.split())


def test_the_sarif_of_a_clean_check_has_no_result() -> None:
    from policies.reports import Check  # noqa: PLC0415 - one use

    clean = Check(source="x", door="state", resources=0, judgements=())
    assert to_sarif(clean, "1")["runs"][0]["results"] == []
    assert clean.verdict == "clean"
