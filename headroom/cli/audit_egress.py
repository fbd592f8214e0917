"""`headroom audit-egress`: who allow-lists a cluster's addresses, and what has to change before they do."""

import json
import os
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
import yaml

from headroom.addresses.problems import Problem, ProblemsError
from headroom.cli.calc.answer import FINDING, UNDECIDED, Answer, Table, answers
from headroom.cli.clouds import quieten
from headroom.cli.files import unwritable, write_text
from headroom.facts.azure import resource_name
from headroom.planning.allow_list_inventory import Inventory, example, read_inventory
from headroom.planning.allow_list_services import SERVICES
from headroom.planning.allow_lists import Caller, Finding, Span, Verdict, read_addresses
from headroom.planning.audit_record import AuditVerdict, Named, write_record
from headroom.planning.egress_audit import KINDS_UNDECIDED, Audit, audit
from headroom.planning.egress_changes import commands_of, label_of, script, where
from headroom.planning.emergency_keys import near
from headroom.planning.live_check import JOB, check_echo, job_manifest, read_seen
from headroom.planning.records import UNREADABLE
from headroom.report.text import SHOWN_ITEMS, clean, first_and_more

if TYPE_CHECKING:
    from headroom.collect.egress_addresses import ClusterEgress
    from headroom.collect.egress_audit import Manager
    from headroom.facts.snapshot import Source

HELP = """
\b
headroom audit-egress --cluster aks-prod --resource-group rg-prod --new 20.2.2.2
headroom audit-egress --old 20.1.1.1 --new 20.2.2.2 --record stacks/audit.prod-egress.json

Who lets the old address in, and not the new one: firewall rules of databases and namespaces, network rules of
storage, vaults and registries, API servers, security groups, firewalls, Front Door. Run it before the address changes.

Exit code 1: a list has the old address alone; 3: something could not be read, or nobody has confirmed it.
"""
SUBJECT: Final = "headroom audit-egress"
SHOWN: Final = (Verdict.OLD_ONLY, Verdict.UNKNOWN, Verdict.BOTH, Verdict.NEW_ONLY)
"""Verdicts whose lists are rows of the table; of the others those that have the old address."""
ROWS: Final = 40
CELL: Final = 100
"""Characters of a cell at most; --json has everything."""
_WORDS: Final = {
    Verdict.OLD_ONLY: "OLD ONLY",
    Verdict.UNKNOWN: "unknown",
    Verdict.BOTH: "both",
    Verdict.NEW_ONLY: "new only",
    Verdict.OPEN: "open to all",
    Verdict.NO_EFFECT: "no effect",
    Verdict.NOT_LISTED: "neither",
}
_EXIT: Final = {AuditVerdict.CLEAR: 0, AuditVerdict.OLD_ONLY: FINDING, AuditVerdict.UNDECIDED: UNDECIDED}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Options:
    """What was given on the command line."""

    old: tuple[str, ...]
    new: tuple[str, ...]
    cluster: tuple[str, ...]
    resource_group: str
    subscription: tuple[str, ...]
    region: str
    inventory: Path | None
    record: Path | None
    plan: Path | None
    accept_unread: tuple[str, ...]
    every: bool
    endpoint_url: str


@click.command(
    "audit-egress", help=HELP, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.option("--old", multiple=True, metavar="ADDRESS", help="An address or prefix in use; else those of --cluster.")
@click.option("--new", multiple=True, metavar="ADDRESS", help="An address or prefix that will be.")
@click.option("--cluster", multiple=True, help="An AKS cluster: its name, or its ARM id.")
@click.option("--resource-group", default="", help="The resource group of clusters given by name.")
@click.option("--subscription", multiple=True, help="A subscription to look through; all that are seen unless given.")
@click.option("--region", default="", help="Where the clusters are, such as eastus2, where no cluster is given.")
@click.option("--inventory", type=click.Path(path_type=Path), help="Lists that Azure cannot tell, confirmed by owners.")
@click.option("--record", type=click.Path(path_type=Path), help="Write the result for the stack that attaches.")
@click.option("--plan", type=click.Path(path_type=Path), help="Write the changes as a script for review.")
@click.option("--accept-unread", multiple=True, metavar="TYPE", help="A type or kind that somebody answers for.")
@click.option("--all", "every", is_flag=True, help="Show lists with neither address too.")
@click.option("--live-check", type=click.Path(path_type=Path), help="Write a Job that asks --echo for its address.")
@click.option("--echo", default="", metavar="URL", help="A service of yours that answers with the caller's address.")
@click.option(
    "--seen", multiple=True, type=click.Path(path_type=Path), help="Logs of that Job: compare, read no Azure."
)
@click.option("--role", is_flag=True, help="Print the role that the audit needs.")
@click.option("--endpoint-url", default="", help="The simulated Azure of a rehearsal.")
@answers
def audit_egress(
    *,
    live_check: Path | None,
    echo: str,
    seen: tuple[Path, ...],
    role: bool,
    **given: Any,
) -> Answer:
    """Reads the options and answers."""
    if role:
        return _role()
    options = _Options(**given)
    if live_check is not None:
        return _write_job(live_check, echo, options)
    problems: list[Problem] = []
    old, wrong = read_addresses(options.old, "--old")
    new, also_wrong = read_addresses(options.new, "--new")
    problems += wrong + also_wrong
    problems += _missing(options, seen)
    problems += _not_known(options.accept_unread)
    problems += [*unwritable(options.record, key="--record"), *unwritable(options.plan, key="--plan")]
    if problems:
        raise ProblemsError(problems, subject=SUBJECT)
    if seen:
        return _compare(seen, old, new)
    return _audit(options, old, new)


def _missing(options: _Options, seen: Sequence[Path]) -> list[Problem]:
    problems = []
    if not options.new:
        step = "Give each address that the clusters will have; the aks-egress stack prints them."
        problems.append(Problem(rule="new-addresses", key="--new", value="Nothing", reason="is given.", next_step=step))
    if not options.old and not options.cluster and not seen:
        step = "Give it, or --cluster and --resource-group to find it."
        problems.append(Problem(rule="old-addresses", key="--old", value="Nothing", reason="is given.", next_step=step))
    for name in options.cluster:
        if not name.startswith("/") and not (options.resource_group and _subscription(options)):
            step = "Give --resource-group and --subscription too, or the cluster's ARM id."
            reason = "is a name without its resource group or subscription."
            problems.append(Problem(rule="cluster", key="--cluster", value=name[:80], reason=reason, next_step=step))
    return problems


def _not_known(accepted: Sequence[str]) -> list[Problem]:
    """What nobody can answer for, since the audit does not look at it."""
    known = {each.casefold(): each for each in (*(service.type for service in SERVICES), *KINDS_UNDECIDED)}
    return [
        Problem(
            rule="accept-unread",
            key="--accept-unread",
            value=each[:80],
            reason="is no type that the audit looks at.",
            next_step=near(each, tuple(known.values())),
        )
        for each in accepted
        if each.casefold() not in known
    ]


def _subscription(options: _Options) -> str:
    """The one that clusters given by name are in: the first that is given, else as the environment says."""
    found = next(iter(options.subscription), "")
    return found or os.environ.get("AZURE_SUBSCRIPTION_ID", "")


def _audit(options: _Options, old: tuple[Span, ...], new: tuple[Span, ...]) -> Answer:
    inventory = _inventory(options.inventory)
    quieten()
    click.echo("Reading lists of addresses from Azure …", err=True)
    from headroom.collect.azure_pipeline import arm_pipeline  # noqa: PLC0415 - the SDKs take a while to load
    from headroom.collect.egress_audit import Manager, read_lists  # noqa: PLC0415 - the same

    pipeline = arm_pipeline(options.endpoint_url)
    try:
        clusters = _clusters(Manager(pipeline), options)
        caller, problems = _caller(options, old, new, clusters)
        if problems:
            raise ProblemsError(problems, subject=SUBJECT)
        reading = read_lists(pipeline, options.subscription, progress=_tell)
    except KeyboardInterrupt:
        # Not click's own code, which would say that a list has the old address alone.
        click.echo("Interrupted: nothing was written.", err=True)
        sys.exit(UNDECIDED)
    finally:
        pipeline.close()
    found = audit(reading, caller, inventory)
    now = datetime.now(UTC)
    if options.record is not None:
        write_text(options.record, write_record(found.record(now)), key="--record", subject=SUBJECT)
    if options.plan is not None:
        write_text(options.plan, script(found), key="--plan", subject=SUBJECT)
    return _answer(found, options, clusters, now)


def _clusters(manager: "Manager", options: _Options) -> list["ClusterEgress"]:
    from headroom.collect.egress_addresses import read_egress_addresses  # noqa: PLC0415 - the SDKs load slowly

    subscription = _subscription(options)
    ids = [
        name
        if name.startswith("/")
        else f"/subscriptions/{subscription}/resourceGroups/{options.resource_group}"
        f"/providers/Microsoft.ContainerService/managedClusters/{name}"
        for name in options.cluster
    ]
    return [read_egress_addresses(manager, each, known=bool(options.old)) for each in ids]


def _caller(
    options: _Options, old: tuple[Span, ...], new: tuple[Span, ...], clusters: Sequence["ClusterEgress"]
) -> tuple[Caller, list[Problem]]:
    problems: list[Problem] = []
    if not old:
        found, problems = read_addresses((each for cluster in clusters for each in cluster.addresses), "--cluster")
        # A cluster that has its new way out already is no reason to look for its address as an old one.
        old = tuple(span for span in found if not any(each.contains(span) for each in new))
        if not old and not problems:
            step = "There is nothing to audit, unless others have addresses that change: give those with --old."
            reason = "is already the only way out of these clusters."
            value = ", ".join(span.text for span in new)
            problems.append(Problem(rule="old-addresses", key="--new", value=value, reason=reason, next_step=step))
    for span in old:
        if any(each.overlaps(span) for each in new):
            reason = "is given as an old and as a new address."
            problems.append(Problem(rule="addresses-differ", key="--old", value=span.text, reason=reason))
    regions = {cluster.region for cluster in clusters} | (
        {options.region.strip().casefold()} if options.region else set()
    )
    return (
        Caller(
            old=old,
            new=new,
            regions=frozenset(regions - {""}),
            subnets=frozenset(subnet.casefold() for cluster in clusters for subnet in cluster.subnets),
            clusters=frozenset(cluster.cluster_id.casefold() for cluster in clusters),
        ),
        problems,
    )


def _inventory(path: Path | None) -> Inventory:
    if path is None:
        return Inventory()
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError, *UNREADABLE) as error:
        step = "Leave --inventory out once: an answer that lacks nothing but owners ends with a file to begin with."
        why = error.strerror if isinstance(error, OSError) else ""
        reason = f"cannot be read: {why or type(error).__name__}."
        problem = Problem(rule="inventory", key="--inventory", value=str(path), reason=reason, next_step=step)
        raise ProblemsError([problem], subject=SUBJECT) from None
    return read_inventory(document, path.name)


def _tell(source: "Source") -> None:
    """One line a reading, beside the answer."""
    outcome = source.outcome or f"{source.items:,} read"
    click.echo(f"{'✗' if source.outcome else '✓'} {source.name}: {outcome}, {source.calls:,} calls", err=True)


def _answer(found: Audit, options: _Options, clusters: Sequence["ClusterEgress"], now: datetime) -> Answer:
    accepted = {each.casefold() for each in options.accept_unread}
    undecided = tuple(each for each in found.undecided if each.type.casefold() not in accepted)
    record = found.record(now)
    verdict = replace(record, undecided=undecided).verdict
    counts = Counter(each.verdict for each in found.findings)
    caller = found.caller
    by = f" ({', '.join(dict.fromkeys(way for each in clusters for way in each.by))})" if clusters else ""
    calls = ", ".join(f"{name.replace('_', ' ')} {count:,}" for name, count in found.reading.calls.items())
    rows = [each for each in found.findings if options.every or each.verdict in SHOWN or each.holds]
    hidden = len(found.findings) - len(rows)
    listed = ", ".join(f"{count:,} {_WORDS[each]}" for each in Verdict if (count := counts[each])) or "none"
    facts = [
        ("verdict", verdict.value.replace("_", " ")),
        ("old addresses", ", ".join(span.text for span in caller.old) + by),
        ("new addresses", ", ".join(span.text for span in caller.new)),
        ("subscriptions", f"{len(found.reading.subscriptions):,}"),
        ("lists", f"{listed}; --all shows {hidden:,} more" if hidden else listed),
        ("calls", calls),
    ]
    return Answer(
        data=_data(found, verdict, undecided, now),
        facts=facts,
        tables=_tables(found, rows, undecided),
        next_step=_next(found, verdict, undecided, options),
        exit_code=_EXIT[verdict],
    )


def _tables(found: Audit, rows: Sequence[Finding], undecided: Sequence[Named]) -> list[Table]:
    lists = Table(
        ("verdict", "what", "resource", "list", "has", "why"),
        [_row(each) for each in rows[:ROWS]],
        title=f"Lists, the first {ROWS} of {len(rows):,}" if len(rows) > ROWS else "Lists",
    )
    changes = Table(
        ("", "add", "to", "how"),
        [
            (
                number,
                ", ".join(change.addition.entries),
                clean(where(change.finding.list), CELL),
                _how(change.addition.refused, change.addition.by_hand, commands=len(commands_of(change.addition)))
                + (" BEFORE anything else: nodes are locked out otherwise" if change.first else ""),
            )
            for number, change in enumerate(found.changes, 1)
        ],
        title="Changes, in this order; the old addresses stay until the rollback window is over",
    )
    unread = Table(
        ("undecided", "where", "why"),
        [
            (label_of(each.type), "-" if each.place == each.type else _short(each.place), clean(each.because, 2 * CELL))
            for each in undecided[:ROWS]
        ],
        title=f"Undecided, the first {ROWS} of {len(undecided):,}" if len(undecided) > ROWS else "Undecided",
    )
    covered = Table(
        ("type", "found", "read", "denied", "throttled", "unread"),
        [
            (label_of(each.type), each.found, each.read, each.denied, each.throttled, each.unread)
            for each in found.reading.coverage
            if each.found
        ],
        title="Read",
    )
    return [lists, changes, unread, covered]


def _row(finding: Finding) -> tuple[str, str, str, str, str, str]:
    of = finding.list
    has = first_and_more([entry.name or entry.text for entry in finding.holds], SHOWN_ITEMS)
    because = "; ".join(each for each in (finding.because, of.note if finding.missing else "") if each)
    return (
        _WORDS[finding.verdict],
        label_of(of.type),
        clean(of.name, CELL),
        clean(of.place, CELL),
        has or "-",
        clean(because, 2 * CELL) or "-",
    )


def _short(place: str) -> str:
    """An ARM id and a list as the resource's name and the list."""
    identifier, _, rest = place.partition(" ")
    return clean(f"{resource_name(identifier)} {rest}".strip() if identifier.startswith("/") else place, CELL)


def _how(refused: str, by_hand: str, *, commands: int) -> str:
    if refused:
        return f"the service {refused}"
    if by_hand:
        return f"by hand: {by_hand}"
    return f"{commands} command{'s' if commands != 1 else ''}, see --plan"


def _next(found: Audit, verdict: AuditVerdict, undecided: Sequence[Named], options: _Options) -> str:
    again = "run this again"
    if verdict is AuditVerdict.OLD_ONLY:
        plan = (
            f"review {options.plan}" if options.plan else "the same with --plan changes.sh writes the changes: review"
        )
        return f"{plan}, make them, and {again}; both addresses stay until the rollback window is over"
    if verdict is AuditVerdict.CLEAR:
        if options.record is None:
            return "the same with --record stacks/audit.STACK.json, for the aks-egress stack"
        return f"commit {options.record}, and set headroom:attach: true in the aks-egress stack"
    if options.inventory is None:
        return f"the same with --inventory lists.yaml, which begins with:\n{example(found.caller.new)}"
    types = " or ".join(dict.fromkeys(each.type for each in undecided))
    return (
        f"make readable or confirm what is undecided ({len(undecided):,}), or answer for it with --accept-unread "
        f"{types}, and {again}"
    )


def _data(found: Audit, verdict: AuditVerdict, undecided: Sequence[Named], now: datetime) -> dict[str, Any]:
    record: dict[str, Any] = json.loads(write_record(found.record(now)))
    return {
        **record,
        "verdict": verdict.value,
        "undecided": [{"type": each.type, "place": each.place, "because": each.because} for each in undecided],
        "findings": [
            {
                "verdict": each.verdict.value,
                "type": each.list.type,
                "resourceId": each.list.resource_id,
                "place": each.list.place,
                "has": [{"name": entry.name, "text": entry.text} for entry in each.holds],
                "missing": [span.text for span in each.missing],
                "because": each.because,
            }
            for each in found.findings
        ],
        "changes": [
            {
                "resourceId": each.finding.list.resource_id,
                "place": each.finding.list.place,
                "first": each.first,
                "add": list(each.addition.entries),
                "commands": list(commands_of(each.addition)),
                "byHand": each.addition.by_hand,
                "refused": each.addition.refused,
                "removeLater": [entry.name or entry.text for entry in each.remove_later],
                "lookAtLater": [entry.name or entry.text for entry in each.keep],
            }
            for each in found.changes
        ],
        "warnings": [],
    }


def _role() -> Answer:
    from headroom.collect.permissions import permissions  # noqa: PLC0415 - for this alone

    click.echo(permissions("azure-audit"), nl=False)
    sys.exit(0)


def _write_job(path: Path, echo: str, options: _Options) -> Answer:
    problems = check_echo(echo)
    if problems:
        raise ProblemsError(problems, subject=SUBJECT)
    write_text(path, job_manifest(echo), key="--live-check", subject=SUBJECT)
    new = " ".join(f"--new {each}" for each in options.new) or "--new ADDRESS"
    old = " ".join(f"--old {each}" for each in options.old) or "--old ADDRESS"
    steps = [
        # A Job that has ended is not run again by `apply`, and its logs are those of before.
        f"kubectl --context CONTEXT delete job {JOB} --ignore-not-found",
        f"kubectl --context CONTEXT apply -f {path}",
        f"kubectl --context CONTEXT wait --for=condition=complete --timeout=5m job/{JOB}",
        f"kubectl --context CONTEXT logs -l app.kubernetes.io/name={JOB} --tail=-1 > CONTEXT.log",
    ]
    return Answer(
        data={"manifest": str(path), "commands": steps, "warnings": []},
        facts=[("written", str(path)), *((f"in both clusters {number}", step) for number, step in enumerate(steps, 1))],
        next_step=f"headroom audit-egress {old} {new} --seen OLD.log --seen NEW.log",
    )


def _compare(files: Sequence[Path], old: tuple[Span, ...], new: tuple[Span, ...]) -> Answer:
    problems: list[Problem] = []
    found = []
    for path in files:
        try:
            found.append(read_seen(path.name, path.read_text(encoding="utf-8", errors="replace"), old, new))
        except OSError as error:
            reason = f"cannot be read: {error.strerror or type(error).__name__}."
            problems.append(Problem(rule="file", key="--seen", value=str(path), reason=reason))
    if problems:
        raise ProblemsError(problems, subject=SUBJECT)
    rows = []
    for each in found:
        if each.unreadable or not each.addresses:
            verdict = "unknown: no address in it" if not each.addresses else f"unknown: {each.unreadable[0]}"
        elif each.unexpected:
            verdict = f"NEITHER: {', '.join(each.unexpected)}"
        else:
            verdict = f"old: {', '.join(each.outdated)}" if each.outdated else "new"
        rows.append((each.name, ", ".join(each.addresses) or "-", verdict))
    unknown = any(row[2].startswith("unknown") for row in rows)
    wrong = any(row[2].startswith("NEITHER") for row in rows)
    later = "every address is one that was audited" if not wrong else "audit again with the addresses that were seen"
    return Answer(
        data={"seen": [{"file": row[0], "addresses": row[1], "verdict": row[2]} for row in rows], "warnings": []},
        tables=[Table(("logs", "seen with", "verdict"), rows)],
        next_step=f"{later}" if not unknown else "look at the Job's pods, and write the logs again",
        exit_code=FINDING if wrong else UNDECIDED if unknown else 0,
    )
