"""Reads what was typed: every problem is collected, and they are told together."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from fractions import Fraction
from typing import Final

from headroom.addresses.blocks import Block, parse_address, read_blocks, shown
from headroom.addresses.problems import Problem, ProblemsError
from headroom.capacity.cni_version import OBSERVED_VERSION
from headroom.capacity.limits import (
    LARGE_INSTANCE_MAX_PODS,
    SMALL_INSTANCE_VCPUS,
    InstanceLimits,
    instance_limits,
    max_pods,
)
from headroom.capacity.overlay import Surge
from headroom.capacity.settings import SETTINGS, CniSettings, check_settings

MOST: Final = 1_000_000_000
"""Counts above this are slips of the pen."""

MOST_INTERFACES: Final = 64
MOST_ADDRESSES: Final = 128
"""No EC2 type has nearly as many network interfaces on a card, or IPv4 addresses on an interface: 24 and 64 are the
most (amazon-vpc-cni-k8s, pkg/vpc/vpc_ip_resource_limit.go)."""

_COUNT: Final = re.compile(r"[0-9]{1,12}", re.ASCII)
_PERCENT: Final = re.compile(r"([0-9]{1,6}(?:\.[0-9]{1,4})?)%?", re.ASCII)
_LIMITS: Final = re.compile(r"([0-9]{1,12}),([0-9]{1,12})", re.ASCII)

_CONTRADICTIONS: Final = frozenset(
    {"cni-minimum-without-warm", "cni-prefix-without-target", "cni-one-ip-family", "cni-ipv6-mode"}
)
"""Settings that a cluster should not have and whose consequences can be reckoned all the same."""


@dataclass(slots=True)
class Reader:
    """Collects what is wrong with the options of a command.

    Attributes:
        problems: What keeps the question from being answered.
        warnings: What to know beside the answer.
    """

    problems: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)

    def done(self, subject: str) -> None:
        """Raises `ProblemsError` with everything that was wrong, if anything was."""
        if self.problems:
            raise ProblemsError(dict.fromkeys(self.problems), subject=subject)

    def problem(self, rule: str, value: object, reason: str, next_step: str, key: str = "") -> None:
        """Notes a problem."""
        self.problems.append(Problem(rule=rule, value=shown(value), reason=reason, next_step=next_step, key=key))

    def missing(self, option: str, what: str) -> None:
        """Notes that an option is needed."""
        self.problem("option-missing", option, "is needed.", what)

    def count(self, text: str, key: str, *, least: int = 0, most: int = MOST) -> int:
        """A whole number; 0 where it is none, which is then noted."""
        if _COUNT.fullmatch(text) and least <= int(text) <= most:
            return int(text)
        self.problem(
            "number",
            text or "nothing",
            "is no number that can be reckoned with."
            if not _COUNT.fullmatch(text)
            else f"is not within {least:,} to {most:,}.",
            f"Write a whole number from {least:,} to {most:,}.",
            key,
        )
        return 0

    def percent(self, text: str, key: str) -> Fraction:
        """A percentage, with or without its sign, of at most four digits behind the point."""
        found = _PERCENT.fullmatch(text)
        if found:
            return Fraction(found[1])
        self.problem("percent", text or "nothing", "is no percentage.", "Write a number such as 25 or 12.5.", key)
        return Fraction(0)

    def surge(self, text: str, key: str) -> Surge:
        """`3` or `10%`."""
        try:
            return Surge.parse(text, key=key)
        except ProblemsError as error:
            self.problems.extend(error.problems)
            return Surge(0)

    def block(self, text: str, key: str, *, canonical: bool = False) -> Block | None:
        """One CIDR; None where it is none, which is then noted."""
        try:
            return Block.parse(text, canonical=canonical, key=key)
        except ProblemsError as error:
            self.problems.extend(error.problems)
            return None

    def blocks(self, texts: Sequence[str], key: str, *, addresses: bool = False) -> list[Block]:
        """Several CIDRs, or addresses too; the place of a bad one is named where there are several."""
        if len(texts) == 1 and not addresses:
            block = self.block(texts[0], key)
            return [] if block is None else [block]
        return read_blocks(texts, key=key, problems=self.problems, addresses=addresses)

    def address(self, text: str, key: str) -> int | None:
        """One address; None where it is none, which is then noted."""
        try:
            return parse_address(text, key)
        except ProblemsError as error:
            self.problems.extend(error.problems)
            return None

    def pair(self, text: str, key: str, separator: str, form: str) -> tuple[str, str] | None:
        """The two sides of `NAME=VALUE` or `ZONE:CIDR`."""
        left, found, right = text.partition(separator)
        if found and left and right:
            return left, right
        self.problem("pair", text or "nothing", f"is not of the form {form}.", f"Write {form}.", key)
        return None

    def limits(self, instance_type: str | None, limits: str | None) -> InstanceLimits | None:
        """The limits of an instance type, or those that were given as numbers."""
        if instance_type is not None and limits is not None:
            self.problem(
                "limits-twice",
                f"--limits {limits}",
                f"stands beside --instance-type {shown(instance_type)}.",
                "Give one of them.",
            )
            return None
        if instance_type is not None:
            try:
                return instance_limits(instance_type)
            except ProblemsError as error:
                self.problems.extend(error.problems)
                return None
        if limits is None:
            self.missing("--instance-type", "Write the nodes' instance type, or --limits ENIS,IPV4.")
            return None
        return self.limits_as_numbers(limits, "--limits")

    def limits_as_numbers(self, text: str, key: str) -> InstanceLimits | None:
        """`ENIS,IPV4`."""
        found = _LIMITS.fullmatch(text)
        if found is None:
            self.problem(
                "limits", text or "nothing", "is not of the form ENIS,IPV4.", "Write two numbers such as 8,30.", key
            )
            return None
        enis, addresses = int(found[1]), int(found[2])
        if 1 <= enis <= MOST_INTERFACES and 2 <= addresses <= MOST_ADDRESSES:  # noqa: PLR2004 - its own and one for a pod
            return InstanceLimits(enis=enis, ipv4_per_eni=addresses)
        self.problem(
            "limits",
            text,
            "are the limits of no instance type.",
            f"Write 1 to {MOST_INTERFACES} network interfaces, and 2 to {MOST_ADDRESSES} IPv4 addresses on each.",
            key,
        )
        return None

    def assumed_max_pods(
        self, limits: InstanceLimits, settings: CniSettings, *, idle_primary: bool = False
    ) -> int | None:
        """The maxPods to reckon with where none is given; None for the advised one of an instance type.

        Where the vCPUs are not known the ceiling is not either, which is said if it makes a difference. For a type
        the lower one is taken, as its users would; for limits given as numbers the higher one, so that no address is
        left out.
        """
        advised = max_pods(
            limits,
            prefix_delegation=settings.prefix_delegation,
            custom_networking=settings.custom_networking or idle_primary,
        )
        higher = min(advised.uncapped, LARGE_INSTANCE_MAX_PODS)
        taken, other = (advised.value, higher) if limits.instance_type else (higher, advised.value)
        if not advised.cap_known and taken != other:
            self.warnings.append(
                Problem(
                    rule="vcpus-unknown",
                    value=limits.instance_type or f"{limits.enis},{limits.ipv4_per_eni}",
                    reason=f"has an unknown number of vCPUs: maxPods was taken to be {taken}, and {other} is advised "
                    f"{'above' if limits.instance_type else 'up to'} {SMALL_INSTANCE_VCPUS} vCPUs.",
                    next_step="Give the nodes' maxPods.",
                    source="amazon-eks-ami, max-pods-calculator.sh",
                )
            )
        return None if limits.instance_type else taken

    def settings(
        self, pairs: Sequence[str], *, nitro: bool = True, custom_networking: bool = False
    ) -> tuple[CniSettings, dict[str, str]]:
        """aws-node's settings from `NAME=VALUE`.

        A name that is no setting, and a value that aws-node does not accept, are problems. What contradicts itself
        is a warning: what comes of it can be reckoned.
        """
        environment: dict[str, str] = {}
        for text in pairs:
            name, found, value = text.partition("=")
            if not found or not name:
                self.problem(
                    "setting-form", text or "nothing", "is not of the form NAME=VALUE.", "Write NAME=VALUE.", "--set"
                )
            elif environment.get(name, value) != value:
                self.problem("setting-twice", name, "is set twice.", "Set it once.", "--set")
            else:
                environment[name] = value
        if custom_networking:
            environment["AWS_VPC_K8S_CNI_CUSTOM_NETWORK_CFG"] = "true"
        problems, warnings = check_settings(environment, OBSERVED_VERSION, nitro=nitro)
        # The value names the setting already.
        for problem in problems:
            told = self.warnings if problem.rule in _CONTRADICTIONS else self.problems
            told.append(replace(problem, key="--set"))
        for warning in warnings:
            if warning.rule == "cni-setting-unknown":
                self.problems.append(_unknown_setting(warning))
            else:
                self.warnings.append(replace(warning, key="--set"))
        return CniSettings.from_environment(environment), environment

    def one_of(self, text: str, names: Iterable[str], key: str) -> str | None:
        """One of several names; None where it is none, which is then noted with the nearest."""
        known = list(names)
        if text in known:
            return text
        near = get_close_matches(text, known, n=1)
        step = f"Did you mean {near[0]}?" if near else f"Write one of {', '.join(known)}."
        self.problem("name", text or "nothing", "is not known.", step, key)
        return None

    def tell(self, error: ProblemsError) -> None:
        """Notes the problems of an error."""
        self.problems.extend(error.problems)


def warm_targets(environment: Mapping[str, str]) -> dict[str, str]:
    """The settings as a command repeats them, by name."""
    return dict(sorted(environment.items()))


def _unknown_setting(warning: Problem) -> Problem:
    near = get_close_matches(warning.value.upper(), SETTINGS, n=1, cutoff=0.0)
    return Problem(
        rule="cni-setting-known",
        value=shown(warning.value),
        reason="is not a setting of aws-node.",
        next_step=f"The nearest is {near[0]}." if near else "",
        source=warning.source,
        key="--set",
    )
