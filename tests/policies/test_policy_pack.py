from __future__ import annotations

import json
import re
import runpy
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pulumi_policy
from google.protobuf import json_format, struct_pb2  # type: ignore[import-untyped]  # no stubs in the lock
from pulumi.runtime.proto import analyzer_pb2
from pulumi_policy import EnforcementLevel, ResourceValidationPolicy, Severity
from pulumi_policy.policy import _PolicyAnalyzerServicer
from pulumi_policy.proxy import UNKNOWN_STRING_VALUE

from policies import rules
from policies.pack import POLICIES, RULES

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pytest
    from pulumi_policy import Policy

CHECKOUT = Path(__file__).parents[2]
ROLE = "kubernetes.io/role/cni"
CONFIG = {
    "expectedNodes": {"us-east-1a": 10},
    "podsPerNode": 100,
    "instanceType": "m5.8xlarge",
    "surge": 1,
}


def by_name() -> Mapping[str, Policy]:
    return {policy.name: policy for policy in POLICIES}


def rule_files() -> list[Path]:
    return sorted(path for path in Path(rules.__path__[0]).glob("*.py") if path.stem != "__init__")


# The pack.


def test_every_rule_of_the_folder_is_in_the_pack_under_the_name_of_its_file() -> None:
    names = [path.stem.replace("_", "-") for path in rule_files()]
    assert [rule.NAME for rule in RULES] == names
    assert list(by_name()) == names
    assert all(re.fullmatch(r"[a-zA-Z0-9-_.]{1,100}", name) for name in names), "what the engine accepts as a name"


def test_every_policy_is_mandatory_and_says_what_it_is_for() -> None:
    for rule, policy in zip(RULES, POLICIES, strict=True):
        assert policy.enforcement_level is EnforcementLevel.MANDATORY, "the SDK's default stops nothing"
        assert policy.description == rule.DESCRIPTION
        assert policy.remediation_steps == rule.REMEDIATION
        assert policy.severity is Severity(rule.SEVERITY)
        assert policy.tags == list(rule.TAGS)
        assert policy.config_schema is not None
        assert policy.config_schema.properties == rule.CONFIG_SCHEMA


def test_the_example_configuration_names_policies_of_the_pack_and_keys_of_their_schema() -> None:
    example = json.loads((CHECKOUT / "stacks" / "policy.example-emergency.json").read_text(encoding="utf-8"))
    schemas = {rule.NAME: rule.CONFIG_SCHEMA for rule in RULES}
    assert example.keys() <= schemas.keys()
    for name, keys in example.items():
        assert keys.keys() <= schemas[name].keys()


def test_importing_the_rules_and_the_pack_starts_no_server_and_loads_no_provider() -> None:
    program = (
        "import sys, pulumi_policy\n"
        "def refuse(*_, **__): raise SystemExit('a PolicyPack was built')\n"
        "pulumi_policy.PolicyPack.__init__ = refuse\n"
        "import policies, policies.pack, policies.findings, policies.rules\n"
        "print(sorted(name for name in sys.modules if name.startswith(('pulumi_', 'boto')) and '.' not in name))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, cwd=CHECKOUT)  # noqa: S603 - our own program
    assert (done.returncode, done.stdout.strip()) == (0, "['pulumi_policy']"), done.stderr


def test_running_the_folder_builds_the_pack_with_all_policies(monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[tuple[str, Any]] = []
    monkeypatch.setattr(pulumi_policy, "PolicyPack", lambda name, policies: built.append((name, policies)))
    runpy.run_path(str(CHECKOUT / "policies" / "__main__.py"), run_name="__main__")
    assert built == [("headroom", POLICIES)]


# A policy as the engine asks it.


def analyzer(config: Mapping[str, Any] | None = None) -> Any:
    servicer = _PolicyAnalyzerServicer("headroom", "0.1.0", POLICIES, EnforcementLevel.ADVISORY)
    properties = json_format.ParseDict(dict(CONFIG if config is None else config), struct_pb2.Struct())
    request = analyzer_pb2.ConfigureAnalyzerRequest(
        policyConfig={
            "pod-subnet-size": analyzer_pb2.PolicyConfig(
                enforcementLevel=analyzer_pb2.EnforcementLevel.MANDATORY, properties=properties
            )
        }
    )
    servicer.Configure(request, None)
    return servicer


def judged(servicer: Any, properties: Mapping[str, Any], type_: str = "aws:ec2/subnet:Subnet") -> list[Any]:
    request = analyzer_pb2.AnalyzeRequest(
        type=type_,
        name="pods-us-east-1a",
        urn=f"urn:pulumi:prod::headroom::{type_}::pods-us-east-1a",
        properties=json_format.ParseDict(dict(properties), struct_pb2.Struct()),
        options=analyzer_pb2.AnalyzerResourceOptions(),
    )
    return list(servicer.Analyze(request, None).diagnostics)


SMALL = {"cidrBlock": "100.64.1.0/24", "availabilityZone": "us-east-1a", "tags": {ROLE: "1"}}


def test_an_undersized_pod_subnet_stops_the_preview() -> None:
    (diagnostic,) = judged(analyzer(), SMALL)
    assert diagnostic.policyName == "pod-subnet-size"
    assert diagnostic.enforcementLevel == analyzer_pb2.EnforcementLevel.MANDATORY
    assert "100.64.1.0/24 holds 251 addresses" in diagnostic.message


def test_a_large_enough_subnet_and_other_resources_pass() -> None:
    assert judged(analyzer(), {**SMALL, "cidrBlock": "100.64.0.0/18"}) == []
    assert judged(analyzer(), SMALL, "aws:ec2/vpc:Vpc") == [], "the rule is about subnets only"


def test_an_unknown_block_is_said_and_stops_too() -> None:
    (diagnostic,) = judged(analyzer(), {**SMALL, "cidrBlock": UNKNOWN_STRING_VALUE})
    assert "pods-us-east-1a: undecided: cidrBlock is not known before `up`." in diagnostic.message
    assert diagnostic.enforcementLevel == analyzer_pb2.EnforcementLevel.MANDATORY


def test_one_unknown_resource_hides_no_violation_of_the_next() -> None:
    servicer = analyzer()
    answers = [judged(servicer, {**SMALL, "tags": UNKNOWN_STRING_VALUE}), judged(servicer, SMALL)]
    assert [len(diagnostics) for diagnostics in answers] == [1, 1]


def test_a_policy_is_a_resource_policy_so_a_preview_is_judged_by_its_inputs() -> None:
    assert all(isinstance(policy, ResourceValidationPolicy) for policy in POLICIES)
