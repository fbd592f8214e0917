"""The policies of the pack: the rules in the form that the engine asks."""

from collections.abc import Callable
from types import ModuleType

from pulumi_policy import (
    EnforcementLevel,
    Policy,
    PolicyConfigSchema,
    ReportViolation,
    ResourceValidationArgs,
    ResourceValidationPolicy,
    Severity,
)

from policies.findings import Undecided
from policies.rules import pod_subnet_size

RULES: tuple[ModuleType, ...] = (pod_subnet_size,)


def _policy(rule: ModuleType) -> ResourceValidationPolicy:
    return ResourceValidationPolicy(
        name=rule.NAME,
        description=rule.DESCRIPTION,
        validate=_validator(rule),
        # The SDK's default is advisory, which stops nothing.
        enforcement_level=EnforcementLevel.MANDATORY,
        config_schema=PolicyConfigSchema(properties=dict(rule.CONFIG_SCHEMA)),
        severity=Severity(rule.SEVERITY),
        tags=list(rule.TAGS),
        remediation_steps=rule.REMEDIATION,
    )


def _validator(rule: ModuleType) -> Callable[[ResourceValidationArgs, ReportViolation], None]:
    def validate(args: ResourceValidationArgs, report: ReportViolation) -> None:
        if args.resource_type != rule.RESOURCE_TYPE:
            return
        for finding in rule.findings(args.props, args.get_config()):
            # What could not be judged is said, and not passed over: it stops this one resource too.
            report(f"{args.name}: {finding}" if isinstance(finding, Undecided) else str(finding), None)

    return validate


POLICIES: list[Policy] = [_policy(rule) for rule in RULES]
