from __future__ import annotations

import ast
import gc
import inspect
import json
import re
import runpy
import subprocess
import sys
import time
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc  # type: ignore[import-untyped]  # no stubs in the lock
import pytest
import yaml
from google.protobuf import empty_pb2, json_format, struct_pb2  # type: ignore[import-untyped]  # the same
from pulumi.runtime.proto import analyzer_pb2, analyzer_pb2_grpc, plugin_pb2

from policies import cni, notes, resources, rules, server
from policies.analyzer import Analyzer
from policies.configuration import EXCEPTIONS_KEY, RuleConfig, read_configuration
from policies.findings import Finding, Undecided
from policies.pack import PACK_NAME, RULES, VERSION, judge, schemas
from policies.resources import SUBNET, Resource

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import ModuleType

    from headroom.addresses.problems import Problem

    Item = tuple[str, str, Mapping[str, Any], Mapping[str, list[str]]]

CHECKOUT = Path(__file__).parents[2]
ROLE = "kubernetes.io/role/cni"
UNKNOWN_STRING_VALUE = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
TODAY = date(2026, 11, 21)
CONFIG = {
    "expectedNodes": {"us-east-1a": 10},
    "podsPerNode": 100,
    "instanceType": "m5.8xlarge",
    "surge": 1,
}


def rule_files() -> list[Path]:
    return sorted(path for path in Path(rules.__path__[0]).glob("*.py") if path.stem != "__init__")


# The rules.


def test_every_rule_of_the_folder_is_in_the_pack_under_the_name_of_its_file() -> None:
    names = [path.stem.replace("_", "-") for path in rule_files()]
    assert [rule.NAME for rule in RULES] == names
    assert all(re.fullmatch(r"[a-zA-Z0-9-_.]{1,100}", name) for name in names), "what the engine accepts as a name"


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.NAME)
def test_a_rule_says_what_it_is_for_how_hard_it_holds_and_which_incident_it_would_have_stopped(
    rule: ModuleType,
) -> None:
    assert rule.ENFORCEMENT == "mandatory", "a rule that is milder has to say why, and be let pass here"
    assert rule.SEVERITY in ("low", "medium", "high", "critical")
    assert rule.SCOPE in ("resource", "stack")
    assert rule.DESCRIPTION.endswith(".")
    assert len(rule.REMEDIATION) > 30, "what to write instead"
    assert len({"eks", "aks"} & set(rule.TAGS)) == 1
    assert rule.TYPES
    assert rule.__doc__
    assert "\n    Stops: " in (rule.findings.__doc__ or ""), "the incident"
    source = inspect.getsource(rule)
    assert 'ENFORCEMENT = "mandatory"' in source, "explicit, not inherited"
    for key, schema in rule.CONFIG_SCHEMA.items():
        assert schema.get("type"), key
        assert schema.get("description"), key


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.NAME)
def test_a_rule_looks_at_no_resource_type_that_it_does_not_list(rule: ModuleType) -> None:
    """The engine's requests are filtered by these lists, so a type that is missing would never be seen."""
    constants = {name: value for name, value in vars(resources).items() if isinstance(value, str) and ":" in value}
    used = {
        node.id
        for node in ast.walk(ast.parse(inspect.getsource(rule)))
        if isinstance(node, ast.Name) and node.id in constants and not node.id.endswith("_COMPONENT")
    }
    assert {constants[name] for name in used} <= {*rule.TYPES, *cni.TYPES}


def test_the_example_configuration_is_one_that_the_rules_accept() -> None:
    example = json.loads((CHECKOUT / "stacks" / "policy.example-emergency.json").read_text(encoding="utf-8"))
    problems: list[Problem] = []
    assert read_configuration(example, schemas(), problems).keys() == example.keys()
    assert problems == []


def test_importing_the_rules_and_the_pack_starts_no_server_and_loads_no_provider() -> None:
    program = (
        "import sys, grpc\n"
        "def refuse(*_, **__): raise SystemExit('a server was built')\n"
        "grpc.server = refuse\n"
        "import policies, policies.analyzer, policies.pack, policies.reports, policies.server\n"
        "import policies.doors.stack_file\n"
        "print(sorted(name for name in sys.modules if name.startswith(('pulumi_', 'boto')) and '.' not in name))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, cwd=CHECKOUT)  # noqa: S603 - our own program
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr


def test_running_the_folder_serves_all_rules(monkeypatch: pytest.MonkeyPatch) -> None:
    served: list[Any] = []
    monkeypatch.setattr(server, "serve", lambda: served.append(server.load()))
    runpy.run_path(str(CHECKOUT / "policies" / "__main__.py"), run_name="__main__")
    (analyzer_,) = served
    info = analyzer_.GetAnalyzerInfo(empty_pb2.Empty(), None)
    assert [policy.name for policy in info.policies] == [rule.NAME for rule in RULES]
    assert gc.isenabled()
    assert len((CHECKOUT / "policies" / "__main__.py").read_text(encoding="utf-8").splitlines()) <= 15


def test_what_the_process_waits_for_before_its_port_holds_no_rule() -> None:
    """The engine is waiting: what is imported after the port is said overlaps with its connecting."""
    program = (
        "import sys, policies.server; print(sorted(n for n in sys.modules if n.startswith(('policies.', 'headroom'))))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=CHECKOUT)  # noqa: S603 - our own program
    assert done.stdout.strip() == "['policies.notes', 'policies.server']"


def test_the_version_that_the_engine_shows_is_that_of_the_packs_own_file() -> None:
    described = yaml.safe_load((CHECKOUT / "policies" / "PulumiPolicy.yaml").read_text(encoding="utf-8"))
    assert str(described["version"]) == VERSION


# The pack as the engine asks it.


def analyzer(config: Mapping[str, Any] | None = None, level: int = analyzer_pb2.MANDATORY) -> Analyzer:
    servicer = Analyzer()
    servicer.Configure(configuration(level, CONFIG if config is None else config), None)
    return servicer


def configuration(level: int, config: Mapping[str, Any] = CONFIG) -> Any:
    item = analyzer_pb2.PolicyConfig(enforcementLevel=level, properties=struct(config))  # type: ignore[arg-type]  # an enumeration's value
    return analyzer_pb2.ConfigureAnalyzerRequest(policyConfig={"pod-subnet-size": item})


def struct(properties: Mapping[str, Any]) -> Any:
    return json_format.ParseDict(dict(properties), struct_pb2.Struct())


def analyze_request(properties: Mapping[str, Any], type_: str = SUBNET) -> Any:
    return analyzer_pb2.AnalyzeRequest(
        type=type_,
        name="pods-us-east-1a",
        urn=f"urn:pulumi:prod::headroom::headroom:index:PodSubnets${type_}::pods-us-east-1a",
        properties=struct(properties),
        options=analyzer_pb2.AnalyzerResourceOptions(),
    )


def judged(servicer: Analyzer, properties: Mapping[str, Any], type_: str = SUBNET) -> list[Any]:
    return list(servicer.Analyze(analyze_request(properties, type_), None).diagnostics)


SMALL = {"cidrBlock": "100.64.1.0/24", "availabilityZone": "us-east-1a", "tags": {ROLE: "1"}}


def test_every_rule_is_a_policy_of_its_own_to_the_engine() -> None:
    info = Analyzer().GetAnalyzerInfo(empty_pb2.Empty(), None)
    assert (info.name, info.version, info.supportsConfig) == (PACK_NAME, VERSION, True)
    assert [policy.name for policy in info.policies] == [rule.NAME for rule in RULES]
    for rule, policy in zip(RULES, info.policies, strict=True):
        assert policy.enforcementLevel == analyzer_pb2.MANDATORY, "the engine's default stops nothing"
        assert policy.description == rule.DESCRIPTION
        assert policy.remediation_steps == rule.REMEDIATION
        assert analyzer_pb2.PolicySeverity.Name(policy.severity).endswith(rule.SEVERITY.upper())
        assert list(policy.tags) == list(rule.TAGS)
        assert set(policy.configSchema.properties) == {*rule.CONFIG_SCHEMA, EXCEPTIONS_KEY}


def test_an_undersized_pod_subnet_stops_the_preview_under_its_rules_name() -> None:
    (diagnostic,) = judged(analyzer(), SMALL)
    assert diagnostic.policyName == "pod-subnet-size"
    assert diagnostic.enforcementLevel == analyzer_pb2.MANDATORY
    assert diagnostic.severity == analyzer_pb2.POLICY_SEVERITY_CRITICAL
    assert "\n100.64.1.0/24 holds 251 addresses" in diagnostic.message
    assert diagnostic.urn.endswith("::pods-us-east-1a")


def test_a_large_enough_subnet_and_other_resources_pass() -> None:
    assert judged(analyzer(), {**SMALL, "cidrBlock": "100.64.0.0/18"}) == []
    assert judged(analyzer(), SMALL, "aws:s3/bucket:Bucket") == [], "the rule is about subnets only"


def test_the_configuration_chooses_the_level_of_a_single_rule() -> None:
    (diagnostic,) = judged(analyzer(level=analyzer_pb2.ADVISORY), SMALL)
    assert diagnostic.enforcementLevel == analyzer_pb2.ADVISORY
    assert judged(analyzer(level=analyzer_pb2.DISABLED), SMALL) == []


def test_an_unknown_block_is_said_and_stops_too() -> None:
    (diagnostic,) = judged(analyzer(), {**SMALL, "cidrBlock": UNKNOWN_STRING_VALUE})
    assert "pods-us-east-1a: undecided: cidrBlock is not known before `up`." in diagnostic.message
    assert diagnostic.enforcementLevel == analyzer_pb2.MANDATORY


def test_one_unknown_resource_hides_no_violation_of_the_next() -> None:
    servicer = analyzer()
    answers = [judged(servicer, {**SMALL, "tags": UNKNOWN_STRING_VALUE}), judged(servicer, SMALL)]
    assert [len(diagnostics) for diagnostics in answers] == [1, 1]


def stack_request(*items: Item) -> Any:
    return analyzer_pb2.AnalyzeStackRequest(
        resources=[
            analyzer_pb2.AnalyzerResource(
                type=type_,
                name=name,
                urn=f"urn:pulumi:prod::headroom::{type_}::{name}",
                properties=struct(properties),
                options=analyzer_pb2.AnalyzerResourceOptions(protect=True),
                propertyDependencies={
                    key: analyzer_pb2.AnalyzerPropertyDependencies(urns=urns) for key, urns in sources.items()
                },
            )
            for type_, name, properties, sources in items
        ]
    )


ASSOCIATION = "aws:ec2/routeTableAssociation:RouteTableAssociation"
CIDR = "aws:ec2/vpcIpv4CidrBlockAssociation:VpcIpv4CidrBlockAssociation"


def test_resources_are_joined_by_what_the_engine_knows_of_their_dependencies() -> None:
    """At a preview no id is known, so this is the only way from a subnet to its route table."""
    subnet: Item = (SUBNET, "pods", {**SMALL, "vpcId": "vpc-1"}, {})
    cidr: Item = (CIDR, "cidr", {"vpcId": "vpc-1", "cidrBlock": "100.64.0.0/16"}, {})
    urn = f"urn:pulumi:prod::headroom::{SUBNET}::pods"
    table: Item = (
        ASSOCIATION,
        "pods",
        {"subnetId": UNKNOWN_STRING_VALUE, "routeTableId": "rtb-1"},
        {"subnetId": [urn]},
    )
    assert list(Analyzer().AnalyzeStack(stack_request(subnet, cidr, table), None).diagnostics) == []
    (alone,) = Analyzer().AnalyzeStack(stack_request(subnet, cidr), None).diagnostics
    assert alone.policyName == "pod-subnet-route"
    assert alone.urn == urn


def test_every_method_of_the_engines_service_is_answered_but_for_changing_resources() -> None:
    service = analyzer_pb2.DESCRIPTOR.services_by_name["Analyzer"]
    assert {*server.ANSWERED, *server.ACKNOWLEDGED, "Remediate"} == set(service.methods_by_name)
    assert all(callable(getattr(server.Pack, name)) for name in server.ANSWERED)


def test_the_pack_is_ready_in_time_and_answers_over_the_wire() -> None:
    begun = time.monotonic()
    with subprocess.Popen(  # noqa: S603 - our own program
        [sys.executable, "-u", "-m", "pulumi.policy", "127.0.0.1:0", str(CHECKOUT / "policies")],
        stdout=subprocess.PIPE,
        text=True,
        cwd=CHECKOUT / "policies",
    ) as process:
        try:
            assert process.stdout is not None
            port = int(process.stdout.readline())
            seconds = time.monotonic() - begun
            with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
                stub = analyzer_pb2_grpc.AnalyzerStub(channel)
                greeting = stub.Handshake(analyzer_pb2.AnalyzerHandshakeRequest(), timeout=10)
                stub.ConfigureStack(analyzer_pb2.AnalyzerStackConfigureRequest(), timeout=10)
                info = stub.GetAnalyzerInfo(empty_pb2.Empty(), timeout=10)
                plugin = stub.GetPluginInfo(empty_pb2.Empty(), timeout=10)
                with pytest.raises(grpc.RpcError) as refused:
                    stub.Remediate(analyzer_pb2.AnalyzeRequest(), timeout=10)
                answer = stub.Analyze(analyze_request(SMALL), timeout=10)
        finally:
            process.terminate()
    assert greeting == analyzer_pb2.AnalyzerHandshakeResponse()
    assert len(info.policies) == len(RULES)
    assert plugin == plugin_pb2.PluginInfo(version=VERSION)
    assert refused.value.code() == grpc.StatusCode.UNIMPLEMENTED, "the engine takes it for: nothing to change"
    assert [diagnostic.policyName for diagnostic in answer.diagnostics] == ["pod-subnet-size"]
    assert seconds < 5, "0.4 s is asked for on a quiet machine: benchmarks/check.py measures it"


@pytest.fixture
def note(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Where notes are kept for the time of a test; there is none yet."""
    path = tmp_path / "cache" / "analyzer-info"
    monkeypatch.setattr(notes, "NOTE", path)
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    return path


def test_a_second_start_tells_the_policies_before_any_rule_is_loaded(note: Path) -> None:
    first = server.Pack()
    first.load()
    assert note.is_file()
    told = first.GetAnalyzerInfo(empty_pb2.Empty(), None)
    second = server.Pack()  # and its rules are not loaded
    assert second.GetAnalyzerInfo(empty_pb2.Empty(), None) == told
    assert second.GetPluginInfo(empty_pb2.Empty(), None).version == VERSION
    assert second.Configure(configuration(analyzer_pb2.MANDATORY), None) == empty_pb2.Empty()
    assert [policy.name for policy in told.policies] == [rule.NAME for rule in RULES]


@pytest.mark.parametrize("starts", [0, 1])
def test_a_configuration_taken_before_the_rules_are_loaded_holds_for_the_first_resource(
    note: Path, starts: int
) -> None:
    for _ in range(starts):
        server.Pack().load()
    assert note.is_file() == bool(starts)
    pack = server.Pack()
    pack.Configure(configuration(analyzer_pb2.DISABLED), None)
    pack.load()
    assert list(pack.Analyze(analyze_request(SMALL), None).diagnostics) == []
    pack.Configure(configuration(analyzer_pb2.ADVISORY), None)
    (diagnostic,) = pack.Analyze(analyze_request(SMALL), None).diagnostics
    assert diagnostic.enforcementLevel == analyzer_pb2.ADVISORY


@pytest.mark.usefixtures("note")
def test_a_note_on_files_that_have_changed_since_is_not_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    sources = tmp_path / "sources"
    (sources / "__pycache__").mkdir(parents=True)
    (sources / "rule.py").write_text("A = 1")
    monkeypatch.setattr(notes, "SOURCES", (sources,))
    mark = notes.fingerprint()
    notes.write(mark, b"answer\nof two lines")
    assert notes.read(mark) == b"answer\nof two lines"
    (sources / "__pycache__" / "rule.pyc").write_bytes(b"x")
    assert notes.fingerprint() == mark, "bytecode is written at every first start"
    (sources / "rule.py").write_text("A = 22")
    assert notes.read(notes.fingerprint()) is None
    (sources / "rule.py").write_text("A = 1")
    (sources / "another.py").write_text("")
    assert notes.read(notes.fingerprint()) is None


def test_whatever_a_rule_is_made_of_counts_for_the_note() -> None:
    program = (
        "import sys, policies.server\n"
        "policies.server.load()\n"
        "print(*(module.__file__ for module in sys.modules.values() if getattr(module, '__file__', None)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=CHECKOUT)  # noqa: S603 - our own program
    ours = {Path(name) for name in done.stdout.split() if Path(name).is_relative_to(CHECKOUT)}
    ours = {path for path in ours if not path.is_relative_to(sys.prefix)}
    assert len(ours) > len(RULES)
    assert [path for path in ours if not any(path.is_relative_to(folder) for folder in notes.SOURCES)] == []


def test_where_no_note_can_be_written_or_read_the_rules_answer(note: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    note.parent.write_text("a file where a folder should be")
    pack = server.Pack()
    pack.load()
    assert len(pack.GetAnalyzerInfo(empty_pb2.Empty(), None).policies) == len(RULES)
    note.parent.unlink()
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    server.Pack().load()
    assert not note.exists(), "who wants no bytecode wants no note"


def test_rules_that_do_not_load_are_an_answer_to_the_engine_and_no_silence(
    note: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def load() -> Analyzer:
        port = int(capsys.readouterr().out)
        channel = grpc.insecure_channel(f"127.0.0.1:{port}")
        waiting.append(analyzer_pb2_grpc.AnalyzerStub(channel).GetAnalyzerInfo.future(empty_pb2.Empty(), timeout=10))
        raise ImportError("a rule is broken")

    waiting: list[Any] = []
    monkeypatch.setattr(server, "load", load)
    with pytest.raises(ImportError):
        server.serve()
    assert isinstance(waiting[0].exception(), grpc.RpcError)
    assert not note.exists()


# Exceptions.


def with_exception(expires: date, resource: str = "pods") -> dict[str, RuleConfig]:
    item = {"resource": resource, "reason": "until the move in March", "expires": expires.isoformat()}
    return {"pod-subnet-size": RuleConfig({**CONFIG, EXCEPTIONS_KEY: [item]})}


def small_subnet() -> list[Resource]:
    tags = {ROLE: "1"}
    properties = {"cidrBlock": "100.64.1.0/24", "availabilityZone": "us-east-1a", "tags": tags, "vpcId": "vpc-1"}
    return [Resource(type=SUBNET, name="pods", urn="urn:1", properties=properties, protect=True)]


def said(configuration: Mapping[str, RuleConfig]) -> list[Any]:
    return [found for found in judge(small_subnet(), configuration, TODAY) if found.rule == "pod-subnet-size"]


def test_an_exception_lets_its_resource_pass_until_its_day_is_over() -> None:
    (last_day,) = said(with_exception(TODAY))
    assert last_day.excepted is not None
    assert last_day.excepted.reason == "until the move in March"
    for resource in ("other", "pod"):
        (other,) = said(with_exception(TODAY, resource))
        assert other.excepted is None


def test_an_exception_that_has_expired_fails_besides_what_it_let_pass() -> None:
    expired, finding = said(with_exception(TODAY - timedelta(days=1)))
    assert "was let pass until 2026-11-20 (until the move in March), and that day is over." in expired.message
    assert finding.excepted is None


@pytest.mark.parametrize(
    "item",
    [
        "pods",
        {"resource": "pods", "reason": "r"},
        {"resource": "pods", "reason": "  ", "expires": "2027-01-01"},
        {"resource": "pods", "reason": "r", "expires": "soon"},
        {"resource": 5, "reason": "r", "expires": "2027-01-01"},
        {"resource": "pods", "reason": "r", "expires": "2027-01-01", "rule": "x"},
    ],
)
def test_an_exception_that_does_not_say_enough_lets_nothing_pass_and_is_said(item: object) -> None:
    wrong, finding = said({"pod-subnet-size": RuleConfig({**CONFIG, EXCEPTIONS_KEY: [item]})})
    assert "pod-subnet-size.exceptions[0]" in wrong.message
    assert finding.excepted is None


def test_what_is_wrong_with_a_configuration_file_comes_all_at_once_with_the_nearest_right_name() -> None:
    problems: list[Problem] = []
    document = {
        "pod-subnet-sise": {},
        "pod-subnet-size": {"podsPerNodes": 3, "surge": -1, "expectedNodes": {"a": "x"}, "instanceType": 5},
        "discovery-tags": "sometimes",
        "pod-subnet-route": {"enforcementLevel": "advisory"},
        "all": "advisory",
    }
    found = read_configuration(document, schemas(), problems)
    text = "\n".join(str(problem) for problem in problems)
    assert len(problems) == 6, text
    assert "Did you mean pod-subnet-size?" in text
    assert "Did you mean podsPerNode?" in text
    assert found["pod-subnet-route"].enforcement == "advisory"
    assert found["alarm-has-source"].enforcement == "advisory", "`all` holds for rules that are not named"


@pytest.mark.parametrize("document", [None, [], "x", 5])
def test_a_configuration_that_is_no_mapping_is_one_problem(document: object) -> None:
    problems: list[Problem] = []
    assert read_configuration(document, schemas(), problems) == {}
    assert len(problems) == 1


def test_a_finding_without_a_resource_stands_for_the_whole_stack() -> None:
    assert Finding(None, Undecided("x")).resource is None
