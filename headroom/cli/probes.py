"""`headroom probes`."""

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any, Final

import click
import yaml

from headroom.addresses.problems import Problem, ProblemsError
from headroom.cli.facts import read_text
from headroom.cli.files import write_text
from headroom.facts.document import decode, encode, load
from headroom.facts.kubernetes import Kubernetes
from headroom.facts.values import Unknown, known
from headroom.planning.policy_findings import Finding, findings, idle, labels_said
from headroom.planning.policy_probes import RUN_LABEL, Cluster, Expectation, ProbePlan, cluster_of, plan_probes
from headroom.planning.probe_jobs import DEADLINE_SECONDS, IMAGE, is_pinned, jobs
from headroom.planning.probe_record import ProbeRecord, ProbesVerdict, write_record
from headroom.planning.probe_results import PolicyVerdict, ProbeResult, ProbeRun, State, Verdict, exit_code, judge_run
from headroom.planning.probe_verdicts import WRONG, record_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from headroom.collect.probe_jobs import ProbeCluster, Progress
    from headroom.facts.azure import Azure

PLAN_FILE: Final = "probes.json"
JOBS_FILE: Final = "jobs.yaml"
RESULTS_FILE: Final = "results.json"
SUBJECT: Final = "headroom probes"
FOUND, UNDECIDED = 1, 3
RUN_FORM: Final = "%Y%m%d-%H%M%S"
"""How a run is called: by its time, in UTC."""
LEFT_OVER: Final = timedelta(seconds=4 * DEADLINE_SECONDS)
"""A run that began longer ago is over, whatever it has left: its pods end at the deadline."""
STYLES: Final = {
    Verdict.ENFORCED: "green",
    Verdict.NOT_ENFORCED: "red",
    Verdict.BROKEN: "red",
    Verdict.DENIES_NOTHING: "red",
    Verdict.UNDECIDED: "yellow",
}
MARKS: Final = {State.MET: "✓", State.GOT_THROUGH: "✗", State.FAILED: "✗", State.UNDECIDED: "?"}


@click.command()
@click.option("--facts", "file", type=click.Path(path_type=Path), help="A snapshot written by `headroom collect`.")
@click.option("--context", default="", help="Context of the kubeconfig: the cluster to read instead.")
@click.option("--write", "folder", type=click.Path(path_type=Path), help="Write the Jobs and the plan to this folder.")
@click.option("--run", "is_run", is_flag=True, help="With --context: run the Jobs, read them, delete them.")
@click.option("--results", type=click.Path(path_type=Path), help=f"Judge pods read after a run, by {PLAN_FILE} beside.")
@click.option("--record", type=click.Path(path_type=Path), help="Write the result for the stack that shifts traffic.")
@click.option("--policy", "policies", multiple=True, help="Only this policy, as NAMESPACE/NAME; more may follow.")
@click.option("--image", default=IMAGE, help="A mirror of Kubernetes' agnhost image, by its digest.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def probes(  # noqa: PLR0913 - one argument for each option
    file: Path | None,
    context: str,
    folder: Path | None,
    *,
    is_run: bool,
    results: Path | None,
    record: Path | None,
    policies: tuple[str, ...],
    image: str,
    as_json: bool,
) -> None:
    """Show that each NetworkPolicy denies what it should, by allowed and denied probes.

    \b
    headroom probes --context aks-prod-overlay --run
    headroom probes --facts cluster.json --write probes/

    A probe is a TCP connection to a port that a running pod declares: nothing is sent. Its source is a Job's pod with
    right or wrong labels that no Service takes in. Nothing runs without --run. --record is what the aks-traffic stack
    reads before its first step.

    Exit code 0: all enforced (without --run or --results: nothing wrong found); 1: a policy is not enforced, broken,
    or denies nothing; 2: bad input; 3: undecided.
    """  # noqa: D301 - click's mark for a paragraph that is not to be wrapped
    _check_source({"--facts": file, "--context": context, "--results": results})
    problems = _option_problems(context, folder if results is not None else None, is_run=is_run, image=image)
    if record is not None:
        problems += _record_problems(results, policies, is_run=is_run)
    if problems:
        raise ProblemsError(problems, subject="command line")
    if results is not None:
        plan, ran = _read_results(results)
        verdicts = judge_run(plan, ran)
        made = _recorded(plan, results, verdicts) if record is not None else None
        _tell_end((), verdicts, f"--context NAME --write {quote(str(results.parent))}", as_json=as_json)
        _write_record(record, made)
        sys.exit(exit_code(verdicts))
    live = _connected(context) if context else None
    kubernetes, azure, named = _facts(file) if file is not None else (live.read() if live else Kubernetes(), None, "")
    cluster = cluster_of(kubernetes)
    if not isinstance(cluster, Cluster):
        _tell_unread(cluster, as_json=as_json)
        if live is not None:
            unread = tuple(f"{what}: {why}" for what, why in cluster)
            _write_record(record, ProbeRecord(probed=_now(), cluster=live.name, server=live.server, unread=unread))
        sys.exit(UNDECIDED)
    found = findings(cluster, azure)
    plan = plan_probes(cluster, run=_run_name(), only=_known(cluster, policies), idle=idle(found))
    plan = replace(plan, cluster=live.name if live else named, server=live.server if live else "")
    found = tuple(each for each in found if not each.policy or each.policy in plan.policies)
    if folder is not None:
        _write(folder, plan, image)
    if live is not None and is_run:
        ran = _run(live, plan, image, quiet=as_json)
        verdicts = judge_run(plan, ran)
        _tell_end(found, verdicts, f"--context {quote(context)} --run", as_json=as_json)
        _write_record(record, record_of(plan.cluster, plan.server, _now(), found, verdicts))
        sys.exit(exit_code(verdicts))
    _tell_plan(found, plan, folder, context, as_json=as_json)
    sys.exit(FOUND if any(each.kind in WRONG for each in found) else 0)


def _check_source(sources: Mapping[str, object]) -> None:
    given = [name for name, value in sources.items() if value]
    if len(given) != 1:
        problem = Problem(
            rule="where-from",
            value=" and ".join(given) or "None of --facts, --context and --results",
            reason="are given together." if given else "is given.",
            next_step="Name a snapshot (--facts FILE), a cluster (--context NAME) or a run's pods (--results FILE).",
        )
        raise ProblemsError([problem], subject="command line")


def _option_problems(context: str, useless_folder: Path | None, *, is_run: bool, image: str) -> list[Problem]:
    problems = []
    if is_run and not context:
        problems.append(
            Problem(
                rule="run-needs-cluster",
                value="--run",
                reason="needs a cluster: a snapshot's pods have moved by now.",
                next_step="Name it by --context NAME, or write the Jobs with --write FOLDER.",
            )
        )
    if useless_folder is not None:
        problems.append(Problem(rule="results-alone", value="--write", reason="has nothing to write with --results."))
    if not is_pinned(image):
        problems.append(
            Problem(
                rule="image-by-digest",
                value=image,
                reason="does not say which image is meant for good.",
                next_step="Name it by its digest: NAME@sha256: and 64 hexadecimal digits.",
                key="--image",
            )
        )
    return problems


def _record_problems(results: Path | None, policies: Sequence[str], *, is_run: bool) -> list[Problem]:
    """A record of what was not tried, or of a part, is none."""
    problems = []
    if not is_run and results is None:
        reason, step = "has nothing to record: a plan shows nothing.", "Give --run, or --results FILE of a run."
        problems.append(Problem(rule="record-of-a-run", value="--record", reason=reason, next_step=step))
    if policies:
        reason, step = "leaves policies out, and traffic waits for all of them.", "Take --policy away."
        problems.append(Problem(rule="record-of-all", value="--policy", reason=reason, next_step=step))
    return problems


def _recorded(plan: ProbePlan, results: Path, verdicts: Sequence[PolicyVerdict]) -> ProbeRecord:
    """The record of a run that was read afterwards.

    Raises:
        ProblemsError: Its plan does not say of which cluster it is, or when, or is of some policies only.
    """
    ran = _time_of(plan.run)
    if ran is not None and plan.cluster and not plan.only:
        return record_of(plan.cluster, plan.server, ran, (), verdicts)
    because = "does not say when it ran."
    if plan.only or not plan.cluster:
        because = "is a plan of some policies only." if plan.only else "names no cluster."
    step = "Write the Jobs anew with --context, for all policies, and run them."
    plan_file = str(results.with_name(PLAN_FILE))
    problem = Problem(rule="record-of-all", value=plan_file, reason=because, next_step=step, key="--record")
    raise ProblemsError([problem], subject=SUBJECT)


def _write_record(path: Path | None, record: ProbeRecord | None) -> None:
    """Writes the record that was asked for."""
    if path is None or record is None:
        return
    write_text(path, write_record(record), key="--record", subject=SUBJECT)
    clear = record.verdict is ProbesVerdict.CLEAR
    follows = "; commit it with the first headroom:step of the aks-traffic stack" if clear else ""
    click.echo(f"Recorded as {record.verdict.value} of {record.cluster}: {path}{follows}", err=True)


def _now() -> datetime:
    return datetime.now(UTC)


def _run_name() -> str:
    return _now().strftime(RUN_FORM)


def _time_of(run: str) -> datetime | None:
    """When a run began, by its name; ``None`` for a name of another form."""
    try:
        return datetime.strptime(run, RUN_FORM).replace(tzinfo=UTC)
    except ValueError:
        return None


def _connected(context: str) -> "ProbeCluster":
    from headroom.collect.probe_jobs import probe_cluster  # noqa: PLC0415 - the client takes a while to load

    found = probe_cluster(context)
    if isinstance(found, Unknown):
        problem = Problem(rule="cluster-reachable", value=context, reason=f"cannot be used: {found}.", key="--context")
        raise ProblemsError([problem], subject=SUBJECT)
    return found


def _facts(file: Path) -> tuple[Kubernetes, "Azure | None", str]:
    snapshot = load(read_text(file), subject=file.name)
    kubernetes = known(snapshot.kubernetes)
    if kubernetes is None:
        problem = Problem(
            rule="facts-of-kubernetes",
            value=str(file),
            reason="says nothing of the API server.",
            next_step="Collect anew: headroom collect.",
            key="--facts",
        )
        raise ProblemsError([problem], subject=SUBJECT)
    return kubernetes, known(snapshot.azure), known(snapshot.cluster) or ""


def _known(cluster: Cluster, wanted: Sequence[str]) -> tuple[str, ...]:
    there = [f"{each.namespace}/{each.name}" for each in cluster.world.every()]
    problems = [
        Problem(
            rule="policy-exists",
            value=name,
            reason="is no NetworkPolicy of the cluster.",
            next_step=f"There are: {', '.join(there[:10]) or 'none'}{' …' if len(there) > 10 else ''}.",  # noqa: PLR2004 - what fits a line
            key="--policy",
        )
        for name in wanted
        if name not in there
    ]
    if problems:
        raise ProblemsError(problems, subject="command line")
    return tuple(wanted)


# Files


def _write(folder: Path, plan: ProbePlan, image: str) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        made = yaml.safe_dump_all(jobs(plan, image=image), sort_keys=False, width=120)
        (folder / JOBS_FILE).write_text(made, encoding="utf-8")
        (folder / PLAN_FILE).write_text(json.dumps(encode(plan), indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        problem = Problem(
            rule="folder-writable", value=str(folder), reason=f"cannot be written: {error.strerror}.", key="--write"
        )
        raise ProblemsError([problem], subject=SUBJECT) from None


def _read_results(path: Path) -> tuple[ProbePlan, ProbeRun]:
    from headroom.collect.probe_jobs import read_results  # noqa: PLC0415 - the client takes a while to load

    plan_file = path.with_name(PLAN_FILE)
    plan = decode(ProbePlan, _json(plan_file), subject=plan_file.name)
    document = _json(path)
    listed = document.get("items") if isinstance(document, Mapping) else None
    try:
        return plan, read_results(listed, jobs(plan))  # type: ignore[arg-type] # anything else than a list is caught
    except (LookupError, TypeError, AttributeError, ValueError):
        raise _refused(
            path,
            "is no list of pods.",
            f"Write it with: kubectl get pods --all-namespaces -o json > {RESULTS_FILE}",
        ) from None


def _json(path: Path) -> Any:
    try:
        return json.loads(read_text(path, wrote="headroom probes --write"))
    except (ValueError, RecursionError) as error:
        if isinstance(error, ProblemsError):
            raise
        raise _refused(path, "is no JSON.", f"--write FOLDER writes {PLAN_FILE}; kubectl writes the results.") from None


def _refused(path: Path, reason: str, next_step: str) -> ProblemsError:
    problem = Problem(rule="results-file", value=str(path), reason=reason, next_step=next_step, key="--results")
    return ProblemsError([problem], subject=SUBJECT)


# Running


def _run(live: "ProbeCluster", plan: ProbePlan, image: str, *, quiet: bool) -> ProbeRun:
    made = jobs(plan, image=image)
    namespaces = {each["metadata"]["namespace"] for each in made}
    if not made:
        return ProbeRun()
    _clean_left_over(live)
    try:
        with _progress(len(made), quiet=quiet) as told:
            return live.run(plan.run, made, told=told)
    except KeyboardInterrupt:
        click.echo("Interrupted: deleting the Jobs.", err=True)
        sys.exit(UNDECIDED)
    finally:
        left = live.clean(plan.run, namespaces)
        if left:
            click.echo(
                f"Jobs were left in {', '.join(left)}. Delete them: "
                f"kubectl delete jobs --all-namespaces --selector {RUN_LABEL}={plan.run}",
                err=True,
            )


def _clean_left_over(live: "ProbeCluster") -> None:
    """Deletes the Jobs of runs that were killed; those of one that may still be going on are left to it."""
    for run, namespaces in live.runs().items():
        ran = _time_of(run)
        if ran is not None and _now() - ran > LEFT_OVER and not live.clean(run, namespaces):
            click.echo(f"Deleted the Jobs that the run of {ran:%Y-%m-%d %H:%M} UTC left behind.", err=True)


@contextmanager
def _progress(number: int, *, quiet: bool) -> "Iterator[Callable[[Progress], None]]":
    from rich.console import Console  # noqa: PLC0415 - not for --help

    console = Console(stderr=True)
    live = console.is_terminal and not quiet
    last = ""

    def told(progress: "Progress") -> None:
        nonlocal last
        text = f"{progress.ended} of {progress.jobs} probe Jobs ended"
        text += f"; {progress.waiting}" if progress.waiting else ""
        if status is not None:
            status.update(text)
        elif not quiet and text != last:
            click.echo(text, err=True)
        last = text

    with console.status(f"Starting {number} probe Jobs") if live else nullcontext() as status:
        yield told


# Telling


def _tell_unread(unread: Sequence[tuple[str, Unknown]], *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({"undecided": {name: str(why) for name, why in unread}}, indent=2))
        return
    click.secho("UNDECIDED  policies add up, so none is judged while something of them is unknown", fg="yellow")
    for name, why in unread:
        click.echo(f"  {name}: {why}")
    click.echo("NEXT  headroom collect, with the reader's role of `headroom collect --permissions rbac`")


def _tell_plan(found: Sequence[Finding], plan: ProbePlan, folder: Path | None, context: str, *, as_json: bool) -> None:
    if as_json:
        document = {"findings": [asdict(each) for each in found], "plan": encode(plan), "jobs": len(jobs(plan))}
        click.echo(json.dumps(document, indent=2))
        return
    _tell_findings(found)
    if not plan.policies:
        click.echo("There is no NetworkPolicy: every pod may talk to every pod.")
        return
    denied = sum(each.expects is Expectation.DENIED for each in plan.probes)
    click.echo(
        f"PROBES  {len(plan.probes)} for {len(plan.policies)} policies: {denied} denied, {len(plan.probes) - denied} "
        f"allowed, from {len(jobs(plan))} Jobs"
    )
    for name in plan.policies:
        _tell_policy(plan, name)
    for line in _next(plan, folder, context):
        click.echo(f"NEXT  {line}")


def _tell_policy(plan: ProbePlan, name: str) -> None:
    click.secho(f"  {name}", bold=True)
    for each in plan.probes:
        if each.policy == name:
            click.echo(
                f"    {each.expects.value:<8}{each.namespace} ({labels_said(each.labels)}) -> "
                f"{each.target_namespace}/{each.target}:{each.port}  {each.why}"
            )
    for unprobed in plan.unprobed:
        if unprobed.policy == name:
            click.echo(f"    not probed: {unprobed.what}: {unprobed.because}")


def _next(plan: ProbePlan, folder: Path | None, context: str) -> list[str]:
    if not plan.probes:
        return ["mend what is found above; no probe can show anything"]
    if folder is None:
        return [f"headroom probes --context {quote(context) if context else 'NAME'} --run"]
    results = quote(str(folder / RESULTS_FILE))
    return [
        f"kubectl apply --filename {quote(str(folder / JOBS_FILE))}",
        f"kubectl get pods --all-namespaces -o json > {results}    when the Jobs have ended, in a minute or two",
        f"headroom probes --results {results}",
        f"kubectl delete jobs --all-namespaces --selector {RUN_LABEL}={plan.run}",
    ]


def _tell_findings(found: Sequence[Finding]) -> None:
    for each in found:
        colour = "red" if each.kind in WRONG else "yellow"
        click.secho(f"{each.kind.value.upper()}  {each.policy or 'all policies'}", fg=colour, bold=True)
        click.echo(f"  {each.what}")
        for evidence in each.evidence:
            click.echo(f"    evidence  {evidence}")


def _tell_end(found: Sequence[Finding], verdicts: Sequence[PolicyVerdict], again: str, *, as_json: bool) -> None:
    if as_json:
        document = {
            "findings": [asdict(each) for each in found],
            "policies": [encode(each) for each in verdicts],
            "exitCode": exit_code(verdicts),
        }
        click.echo(json.dumps(document, indent=2))
        return
    _tell_findings(found)
    for verdict in verdicts:
        click.secho(f"{verdict.verdict.value.upper()}  {verdict.policy}", fg=STYLES[verdict.verdict], bold=True)
        click.echo(f"  {verdict.because}")
        for result in verdict.results:
            if result.state is not State.MET or result.because:
                click.echo(f"  {MARKS[result.state]} {_result_line(result)}")
        for unprobed in verdict.unprobed:
            click.echo(f"  - not probed: {unprobed.what}: {unprobed.because}")
    if not verdicts:
        click.echo("There is no NetworkPolicy: every pod may talk to every pod.")
        return
    code = exit_code(verdicts)
    if code:
        mended = "mend what is red above" if code == FOUND else "look at what is marked ? above"
        click.echo(f"NEXT  {mended}, then headroom probes {again}")
    else:
        click.echo("NEXT  nothing is left to do here; run it again whenever a policy or what enforces it changes")


def _result_line(result: ProbeResult) -> str:
    probe = result.probe
    came = "" if result.state is State.MET else f", {result.outcome.value}"
    return (
        f"{probe.expects.value}{came}  {probe.namespace} ({labels_said(probe.labels)}) -> "
        f"{probe.target_namespace}/{probe.target}:{probe.port}  {probe.why}: {result.because}"
    )
