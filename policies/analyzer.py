"""The policy pack as the engine talks to it: one gRPC service for all rules.

Pulumi's own `PolicyPack` turns every property into Python anew for every policy, which for thirty rules and 300
resources takes seconds. This service speaks the same protocol (pulumi/pulumi, proto/pulumi/analyzer.proto), reads
each request once and asks all rules; to the engine every rule is a policy of its own, with its name, its severity,
its configuration and its enforcement level.
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from types import ModuleType
from typing import Any, Final

from google.protobuf import empty_pb2, struct_pb2  # type: ignore[import-untyped]  # no stubs in the lock
from pulumi.runtime.proto import analyzer_pb2, plugin_pb2

from policies.configuration import EXCEPTIONS, EXCEPTIONS_KEY, Enforcement, RuleConfig, with_node_zones
from policies.pack import PACK_NAME, RULES, VERSION, Judgement, judge_rule
from policies.resources import Resource, Resources, canonical_type, plain, settled

_LEVELS: Final[Mapping[str, Any]] = {
    "advisory": analyzer_pb2.ADVISORY,
    "mandatory": analyzer_pb2.MANDATORY,
    "disabled": analyzer_pb2.DISABLED,
}
_LEVEL_NAMES: Final[Mapping[int, Enforcement]] = {
    analyzer_pb2.ADVISORY: "advisory",
    analyzer_pb2.MANDATORY: "mandatory",
    analyzer_pb2.DISABLED: "disabled",
    analyzer_pb2.REMEDIATE: "mandatory",
}
_SEVERITIES: Final[Mapping[str, Any]] = {
    "low": analyzer_pb2.POLICY_SEVERITY_LOW,
    "medium": analyzer_pb2.POLICY_SEVERITY_MEDIUM,
    "high": analyzer_pb2.POLICY_SEVERITY_HIGH,
    "critical": analyzer_pb2.POLICY_SEVERITY_CRITICAL,
}


class Analyzer:
    """Answers the engine: the methods of its Analyzer service, as far as `policies.server` offers them."""

    def __init__(self, rules: tuple[ModuleType, ...] = RULES) -> None:
        self._rules = rules
        self._by_type: dict[str, list[ModuleType]] = {}
        for rule in rules:
            if rule.SCOPE == "resource":
                for type_ in rule.TYPES:
                    self._by_type.setdefault(type_, []).append(rule)
        self._types = frozenset(type_ for rule in rules for type_ in rule.TYPES)
        self._config: Mapping[str, RuleConfig] = {}
        # What the program writes, as the engine sent it for each resource: of the stack it sends outputs only.
        self._written: dict[str, Any] = {}

    def GetAnalyzerInfo(self, request: Any, context: Any) -> Any:  # noqa: N802 - the protocol's name
        """The rules, as policies."""
        del request, context
        return analyzer_pb2.AnalyzerInfo(
            name=PACK_NAME,
            version=VERSION,
            supportsConfig=True,
            policies=[_policy_info(rule) for rule in self._rules],
        )

    def GetPluginInfo(self, request: Any, context: Any) -> Any:  # noqa: N802 - the protocol's name
        """The pack's version."""
        del request, context
        return plugin_pb2.PluginInfo(version=VERSION)

    def Configure(self, request: Any, context: Any) -> Any:  # noqa: N802 - the protocol's name
        """Takes the configuration that the engine has read and checked."""
        del context
        self._config = with_node_zones(
            {
                name: RuleConfig(_properties(item.properties), _LEVEL_NAMES[item.enforcementLevel])
                for name, item in request.policyConfig.items()
            }
        )
        return empty_pb2.Empty()

    def Analyze(self, request: Any, context: Any) -> Any:  # noqa: N802 - the protocol's name
        """Judges one resource by its inputs, before it is made."""
        del context
        kind = canonical_type(request.type)
        if kind in self._types:
            self._written[request.urn] = request.properties
        rules = self._by_type.get(kind)
        response = analyzer_pb2.AnalyzeResponse()
        if rules:
            resources = Resources([_resource(request, parent=request.options.parent)])
            for rule in rules:
                config = self._config.get(rule.NAME)
                found = judge_rule(rule, resources, config, _today(), whole_stack=False)
                response.diagnostics.extend(_diagnostics(rule, found))
        return response

    def AnalyzeStack(self, request: Any, context: Any) -> Any:  # noqa: N802 - the protocol's name
        """Judges all resources by their outputs, when the program has ended."""
        del context
        resources = Resources(
            _resource(item, parent=item.parent, written=self._written.get(item.urn))
            for item in request.resources
            if canonical_type(item.type) in self._types
        )
        response = analyzer_pb2.AnalyzeResponse()
        for rule in self._rules:
            # Rules on single resources have been asked; here they only say which of their exceptions are over.
            judged = resources if rule.SCOPE == "stack" else Resources(())
            found = judge_rule(rule, judged, self._config.get(rule.NAME), _today())
            response.diagnostics.extend(_diagnostics(rule, found))
        return response


def _today() -> Any:
    return datetime.now(UTC).date()


def _resource(message: Any, *, parent: str, written: Any = None) -> Resource:
    properties = _properties(message.properties)
    inputs = None if written is None else _properties(written)
    dependencies: Mapping[str, Any] = getattr(message, "propertyDependencies", {})
    return Resource(
        type=message.type,
        name=message.name,
        urn=message.urn,
        # As `documents` has it: what the program says wins, what only the provider knows is added.
        properties=settled(message.type, properties, inputs or {}) if inputs is not None else properties,
        parent=parent,
        protect=message.options.protect,
        ignore_changes=tuple(message.options.ignoreChanges),
        inputs=inputs,
        dependencies={name: tuple(found.urns) for name, found in dependencies.items()},
    )


def _properties(struct: Any) -> dict[str, Any]:
    return {name: _value(value) for name, value in struct.fields.items()}


def _value(value: Any) -> Any:
    """A value of the wire, read directly: several times as fast as by way of JSON."""
    kind = value.WhichOneof("kind")
    if kind == "string_value":
        return plain(value.string_value)
    if kind == "struct_value":
        return plain({name: _value(item) for name, item in value.struct_value.fields.items()})
    if kind == "list_value":
        return [_value(item) for item in value.list_value.values]
    if kind == "number_value":
        return plain(value.number_value)
    return value.bool_value if kind == "bool_value" else None


def _diagnostics(rule: ModuleType, judgements: Iterator[Judgement]) -> Iterator[Any]:
    for judgement in judgements:
        if judgement.excepted is not None:
            continue
        resource = judgement.finding.resource
        yield analyzer_pb2.AnalyzeDiagnostic(
            policyName=rule.NAME,
            policyPackName=PACK_NAME,
            policyPackVersion=VERSION,
            message=f"{rule.DESCRIPTION}\n{judgement.message}",
            urn=resource.urn if resource is not None else "",
            description=rule.DESCRIPTION,
            enforcementLevel=_LEVELS[judgement.enforcement],
            severity=_SEVERITIES[rule.SEVERITY],
        )


def _policy_info(rule: ModuleType) -> Any:
    schema = struct_pb2.Struct()
    schema.update({**rule.CONFIG_SCHEMA, EXCEPTIONS_KEY: EXCEPTIONS})
    return analyzer_pb2.PolicyInfo(
        name=rule.NAME,
        description=rule.DESCRIPTION,
        enforcementLevel=_LEVELS[rule.ENFORCEMENT],
        configSchema=analyzer_pb2.PolicyConfigSchema(properties=schema),
        severity=_SEVERITIES[rule.SEVERITY],
        tags=list(rule.TAGS),
        remediation_steps=rule.REMEDIATION,
        policy_type=analyzer_pb2.POLICY_TYPE_RESOURCE if rule.SCOPE == "resource" else analyzer_pb2.POLICY_TYPE_STACK,
    )
