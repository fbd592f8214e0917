"""What a plan says: options kept and rejected, files to write, steps, what is not touched, how to go back."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from headroom.facts.document import decode, encode

VERSION = 1
"""Version of the plan's JSON."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """A way out, kept or rejected.

    Attributes:
        name: Its kebab-case name.
        title: What it does, in a few words.
        kept: Whether the plan takes it.
        reason: Why, or why not, with figures.
        addresses: Addresses that it gives, by zone; empty where it gives none or they are unknown.
        days: Days that these last at the growth that was observed, by zone; empty: no growth was observed.
        source: Where the rule that decides is documented.
    """

    name: str
    title: str
    kept: bool
    reason: str
    addresses: Mapping[str, int] = field(default_factory=dict)
    days: Mapping[str, int] = field(default_factory=dict)
    source: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedFile:
    """A file that the plan writes, relative to the checkout.

    Attributes:
        path: Where.
        text: All of it.
        purpose: What it is for.
    """

    path: str
    text: str
    purpose: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """Something that a person does, in order.

    Attributes:
        what: What, in words.
        command: The command; empty where none does it.
        takes: How long, in words.
        touches: What it changes or restarts; empty: nothing but what it makes.
        undo: How to take it back; empty: nothing to take back.
    """

    what: str
    command: str = ""
    takes: str = ""
    touches: str = ""
    undo: str = ""


class Check(StrEnum):
    """What a postcondition looks at; the order is that of cause and effect."""

    CIDR_ASSOCIATED = "cidr_associated"
    SUBNETS_READY = "subnets_ready"
    SETTINGS_AS_PLANNED = "settings_as_planned"
    NOTHING_RESTARTED = "nothing_restarted"
    INTERFACES_IN_NEW_SUBNETS = "interfaces_in_new_subnets"
    LEAKED_INTERFACES_GONE = "leaked_interfaces_gone"
    CNI_READY = "cni_ready"
    STUCK_PODS_RUNNING = "stuck_pods_running"
    NO_NEW_FAILURES = "no_new_failures"
    LOGS_READ = "logs_read"
    # Of AKS.
    OVERLAY_MODE = "overlay_mode"
    NODES_IN_POD_CIDR = "nodes_in_pod_cidr"
    POLICY_ENGINE = "policy_engine"
    ROUTE_TABLE_DETACHED = "route_table_detached"
    SUBNETS_KEPT = "subnets_kept"
    GATEWAY_ATTACHED = "gateway_attached"
    EGRESS_ADDRESS = "egress_address"
    OUTBOUND_TYPE = "outbound_type"
    NODE_POOL_READY = "node_pool_ready"
    RANGES_FREED = "ranges_freed"
    CONNECTIONS_SUCCEED = "connections_succeed"
    NODES_ROUTED = "nodes_routed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Postcondition:
    """What must hold afterwards.

    Attributes:
        check: What is looked at.
        title: It, in a sentence for people.
        subjects: What it is about: CIDRs, CIDRs of subnets, pods as namespace/name, interface ids.
        expected: Values that are expected, by name: settings, route tables by CIDR, start times by pod.
        patience_seconds: How long it may take before it counts as failed; 0: it holds at once or not at all.
        source: Why it may take so long.
    """

    check: Check
    title: str
    subjects: tuple[str, ...] = ()
    expected: Mapping[str, str] = field(default_factory=dict)
    patience_seconds: int = 0
    source: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """A quantity that a plan was made from, and how far it may move before the plan no longer fits.

    Attributes:
        name: What was counted: `nodes in us-east-1a`.
        value: How many there were; ``None``: that was not known.
        least: How many there must be at least; ``None``: fewer do not matter to the plan.
        most: How many there may be at most; ``None``: more do not matter to the plan.
        margin: Where the limits come from, or why there is none, in words.
    """

    name: str
    value: int | None = None
    least: int | None = None
    most: int | None = None
    margin: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The plan of one cluster.

    Attributes:
        cluster: The cluster.
        stack: Name of the stack that it writes; empty: it writes none.
        verdict: What the diagnosis came to.
        causes: The causes that it is for, by name.
        facts_at: When the facts were read.
        fingerprint: Digest of the facts that the plan rests on; `recheck` compares it.
        foundations: Those facts, by name, so that a difference can be told.
        measures: Quantities that it was made from, each with its margin; empty in a plan of an older Headroom.
        options: Every option, in the order in which they were weighed.
        files: What it writes.
        steps: What a person does, in order.
        rollback: How to go back, in order.
        untouched: What it does not touch, in sentences.
        postconditions: What must hold afterwards.
        decisions: What only a person can decide, or look up, before the plan is applied.
    """

    cluster: str
    stack: str
    verdict: str
    causes: tuple[str, ...] = ()
    facts_at: str = ""
    fingerprint: str = ""
    foundations: Mapping[str, str] = field(default_factory=dict)
    measures: tuple[Measure, ...] = ()
    options: tuple[Option, ...] = ()
    files: tuple[PlannedFile, ...] = ()
    steps: tuple[Step, ...] = ()
    rollback: tuple[Step, ...] = ()
    untouched: tuple[str, ...] = ()
    postconditions: tuple[Postcondition, ...] = ()
    decisions: tuple[str, ...] = ()


def digest(foundations: Mapping[str, str]) -> str:
    """The fingerprint of the facts that a plan rests on."""
    return hashlib.sha256(json.dumps(foundations, sort_keys=True).encode()).hexdigest()


def plan_to_json(plan: Plan) -> dict[str, Any]:
    """The plan as JSON values: equal plans give equal values."""
    return {"version": VERSION, **encode(plan)}


def plan_from_json(document: Any) -> Plan:
    """Reads what ``plan_to_json`` wrote.

    Raises:
        ProblemsError: It is no plan; every wrong field is named.
    """
    body = {key: value for key, value in document.items() if key != "version"} if isinstance(document, dict) else {}
    return decode(Plan, body, subject="plan")
