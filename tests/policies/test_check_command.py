"""`headroom check`: its doors, its outputs and its exit codes."""

from __future__ import annotations

import gc
import json
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
import yaml

from headroom.addresses.problems import ProblemsError
from headroom.cli import COMMANDS
from policies.pack import RULES
from tests.policies.conftest import (
    CHECKOUT,
    EXAMPLE,
    INSIDE,
    POLICY,
    SUBNET,
    UNKNOWN,
    policy,
    route_table,
    run,
    small,
    stack_file,
    state,
    subnet,
)

if TYPE_CHECKING:
    from pathlib import Path

# Exit codes.


def test_a_clean_stack_file_exits_with_0_and_says_what_comes_next() -> None:
    done = run(str(EXAMPLE), "--policy-config", str(POLICY))
    assert done.exit_code == 0, done.output
    assert "zone us-east-1a holds 16,379 needs 1,650" in done.output
    said = rf"clean: 0 violations, 0 undecided; \d+ resources, {len(RULES)} rules \(stack file\)\. Next: .+"
    assert re.fullmatch(said, done.output.splitlines()[-1])


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
    zone = {"zone": "us-east-1a", "before": 251, "after": 16379, "needed": 500, "freeNow": None}
    assert result["zones"] == [zone]


@pytest.mark.parametrize("kind", ["preview", "state"])
def test_a_finding_of_a_preview_names_the_line_of_the_stack_file_here(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "Pulumi.yaml").write_text(yaml.safe_dump({"name": "p", "runtime": "python"}), encoding="utf-8")
    path = small(tmp_path)
    line = next(
        number for number, text in enumerate(path.read_text(encoding="utf-8").splitlines(), 1) if "100.64.1.0" in text
    )
    small_subnet = subnet(
        "100.64.1.0/24",
        urn=f"urn:pulumi:prod::p::headroom:index:PodSubnets${SUBNET}::pods-us-east-1a",
        sourcePosition="project:///components/pod_subnets.py#232",
    )
    step = {"op": "create", "urn": small_subnet["urn"], "newState": small_subnet}
    document = (
        json.dumps({"steps": [step], "changeSummary": {"create": 1}}) if kind == "preview" else state(small_subnet)
    )
    elsewhere = "components/pod_subnets.py:232"

    def places() -> set[str]:
        done = run("-", "--policy-config", str(POLICY), stdin=document)
        found = [text.split() for text in done.output.splitlines() if text.startswith("violation pod-subnet-size ")]
        return {words[2] for words in found}

    monkeypatch.chdir(tmp_path)
    assert places() == {f"Pulumi.prod.yaml:{line}"}
    path.write_text(path.read_text(encoding="utf-8").replace("clusterName", "clusterNam"), encoding="utf-8")
    assert places() == {elsewhere}, "a file that the program would refuse says nothing"
    path.rename(tmp_path / "Pulumi.other.yaml")
    assert places() == {elsewhere}
    (tmp_path / "Pulumi.yaml").unlink()
    assert places() == {elsewhere}


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


@pytest.mark.parametrize("stack", ["watch", "limits", "aks-egress", "aks-overlay", "aks-traffic", "aks-retire"])
def test_a_stack_file_whose_program_cannot_run_here_is_told_in_one_line_with_what_to_install(
    monkeypatch: pytest.MonkeyPatch, stack: str
) -> None:
    monkeypatch.delitem(sys.modules, "policies.doors.program", raising=False)
    monkeypatch.setitem(sys.modules, "pulumi", None)
    file = CHECKOUT / "stacks" / f"Pulumi.example-{stack}.yaml"
    done = run(str(file))
    assert isinstance(done.exception, ProblemsError)
    (problem,) = done.exception.problems
    assert problem.message == (
        f"{file} can only be judged by running its program, and pulumi is not installed here. Install what the program "
        "needs: requirements.lock (in a job of templates/ci: REQUIREMENTS); or check what `pulumi preview --json` "
        "writes."
    )


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


def test_a_program_is_found_in_a_folder_named_from_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "project").mkdir()
    program(tmp_path / "project", RAW, size="24")
    monkeypatch.chdir(tmp_path)
    done = run("project", "--stack", "dev", "--policy-config", policy(tmp_path, INSIDE))
    assert done.exit_code == 1, done.output
    assert "project/__main__.py:15 100.64.0.0/24 holds 251 addresses" in done.output


def test_what_a_program_prints_is_no_part_of_the_answer(tmp_path: Path) -> None:
    folder = str(program(tmp_path, f"print('hello')\n{RAW}", size="24"))
    done = run(folder, "--stack", "dev", "--json", "--policy-config", policy(tmp_path, INSIDE))
    assert json.loads(done.stdout)["verdict"] == "violation"
    assert "hello" in done.stderr


def test_a_program_that_ends_itself_is_refused(tmp_path: Path) -> None:
    done = run(str(program(tmp_path, "import sys\nsys.exit(0)\n")), "--stack", "dev")
    assert "The program ends itself (exit code 0)." in str(done.exception)


def test_resources_of_imported_modules_are_seen_in_every_run(tmp_path: Path) -> None:
    program(tmp_path, "import network_of_the_test\n", size="24")
    (tmp_path / "network_of_the_test.py").write_text(RAW, encoding="utf-8")
    (tmp_path / "Pulumi.prod.yaml").write_text(yaml.safe_dump({"config": {"size": "18"}}), encoding="utf-8")
    config = policy(tmp_path, INSIDE)
    files = [str(tmp_path / f"Pulumi.{stack}.yaml") for stack in ("dev", "prod")]
    done = run(*files, "--json", "--policy-config", config)
    result = json.loads(done.stdout)
    assert [check["verdict"] for check in result["checks"]] == ["violation", "clean"]
    assert [check["resources"] for check in result["checks"]] == [2, 2]


def test_the_stack_file_of_any_program_is_judged_by_running_it(tmp_path: Path) -> None:
    file = program(tmp_path, RAW, size="24") / "Pulumi.dev.yaml"
    done = run(str(file), "--policy-config", policy(tmp_path, INSIDE))
    assert done.exit_code == 1
    assert "(program)" in done.output


def test_a_program_that_cannot_run_here_is_said_to_be_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "policies.doors.program", None)
    done = run(str(program(tmp_path, RAW, size="24") / "Pulumi.dev.yaml"))
    assert "can only be judged by running its program" in str(done.exception)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("name: {", "Pulumi.yaml cannot be read as YAML"),
        ("name: p\nruntime: nodejs\n", "is not the project of a Python program"),
        ("5", "is not the project of a Python program"),
    ],
)
def test_a_project_that_is_none_is_refused(tmp_path: Path, text: str, sentence: str) -> None:
    folder = program(tmp_path, RAW, size="18")
    (folder / "Pulumi.yaml").write_text(text, encoding="utf-8")
    assert sentence in str(run(str(folder), "--stack", "dev").exception)


def test_a_project_with_a_strange_config_is_still_run(tmp_path: Path) -> None:
    folder = program(tmp_path, RAW, size="18")
    (folder / "Pulumi.yaml").write_text("{name: p, runtime: python, config: [5]}", encoding="utf-8")
    assert run(str(folder), "--stack", "dev", "--policy-config", policy(tmp_path, INSIDE)).exit_code == 0


def test_the_garbage_collector_works_again_afterwards(tmp_path: Path) -> None:
    run(str(small(tmp_path)))
    assert gc.isenabled()


def test_standard_input_is_called_by_its_name() -> None:
    assert "Standard input is not JSON" in str(run("-", stdin="hello").exception)


# Several sources.


def test_several_sources_are_judged_together_and_the_worst_decides(tmp_path: Path) -> None:
    good, bad = stack_file(tmp_path, name="good"), small(tmp_path)
    done = run(str(good), str(bad))
    assert done.exit_code == 1
    assert f"zone us-east-1b holds 16,379 needs 500 {good}" in done.output
    assert done.output.splitlines()[-1] == "violation: 1 violation, 0 undecided in 2 of 2 files"


def test_a_source_that_cannot_be_read_does_not_hide_the_others(tmp_path: Path) -> None:
    broken = tmp_path / "Pulumi.broken.yaml"
    broken.write_text("config: {", encoding="utf-8")
    done = run(str(broken), str(small(tmp_path)), "--json", "--markdown", str(tmp_path / "c.md"))
    assert isinstance(done.exception, ProblemsError), "bad input outweighs a violation"
    result = json.loads(done.stdout)
    assert result["verdict"] == "invalid"
    assert [check["verdict"] for check in result["checks"]] == ["violation"]
    assert result["refused"][0]["source"] == str(broken)
    comment = (tmp_path / "c.md").read_text(encoding="utf-8")
    assert "**Headroom: 1 cannot be read, 1 violation, 0 undecided** · 2 files" in comment


def test_one_source_that_cannot_be_read_still_gets_its_comment(tmp_path: Path) -> None:
    broken = tmp_path / "Pulumi.broken.yaml"
    broken.write_text("config: {", encoding="utf-8")
    done = run(str(broken), "--json", "--markdown", str(tmp_path / "c.md"))
    assert isinstance(done.exception, ProblemsError)
    assert done.stdout == ""
    assert "cannot be read as YAML" in (tmp_path / "c.md").read_text(encoding="utf-8")


# For people.


def test_a_terminal_gets_findings_remedies_and_zones_within_its_width(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = sys.modules["headroom.cli.check"]
    monkeypatch.setattr(command, "_print_plain", command._print_terminal)
    monkeypatch.setenv("COLUMNS", "80")
    lines = run(str(small(tmp_path)), str(stack_file(tmp_path, name="good"))).output.splitlines()
    assert max(map(len, lines)) <= 80 or all(str(tmp_path) in line for line in lines if len(line) > 80)
    text = " ".join(" ".join(lines).split())
    assert "✗ violation" in text
    assert "Write a larger block" in text
    assert "needed: the pods of 2 full nodes, at EKS's cap of 250 each" in text
    assert "us-east-1a not read 251 500 ▓▓▓▓▓▓▓▓▓▓ short by 249" in text


def test_a_terminal_shows_the_first_of_very_many_findings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = sys.modules["headroom.cli.check"]
    monkeypatch.setattr(command, "_print_plain", command._print_terminal)
    subnets = [subnet(urn=f"urn:pulumi:prod::p::{SUBNET}::pods-{number}") for number in range(25)]
    done = run("-", "--policy-config", policy(tmp_path, INSIDE), stdin=state(*subnets))
    assert done.output.count("pods-1 ") < done.output.count("pods-")
    assert "… and 5 more: --json has all of them" in done.output
