"""`headroom diagnose`."""

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import click

from headroom.addresses.problems import Problem, ProblemsError
from headroom.cli.facts import FactsFrom, diagnosed, read_facts
from headroom.diagnosis.verdict import Diagnosis, Verdict
from headroom.facts.snapshot import Snapshot
from headroom.facts.values import items

EXIT_CODES: Final = {Verdict.HEALTHY: 0, Verdict.FOUND: 1, Verdict.NOT_IP: 1, Verdict.UNDECIDED: 3}
SUBJECT: Final = "headroom diagnose"


@click.command()
@click.option("--cluster", default="", help="The EKS cluster to read.")
@click.option("--facts", type=click.Path(path_type=Path), help="A snapshot written by `headroom collect`.")
@click.option("--bundle", type=click.Path(path_type=Path), help="A folder of outputs, or an EKS log archive.")
@click.option("--case", type=click.Path(path_type=Path), help="A case file: lines, and what is known.")
@click.option("--log", "logs", multiple=True, type=click.Path(path_type=Path), help="A log file; more may follow.")
@click.argument("more", nargs=-1, type=click.Path(path_type=Path), metavar="[FILE]...")
@click.option("--region", default="", help="With --cluster: its Region.")
@click.option("--profile", default="", help="With --cluster: profile of the AWS credentials.")
@click.option("--context", default="", help="With --cluster: context of the kubeconfig.")
@click.option("--endpoint-url", default="", help="With --cluster: another endpoint for AWS.")
@click.option("--json", "form", flag_value="json", help="Print JSON.")
@click.option("--yaml", "form", flag_value="yaml", help="Print the runbook's YAML.")
def diagnose(  # noqa: PLR0913, PLR0917 - one argument for each option
    cluster: str,
    facts: Path | None,
    bundle: Path | None,
    case: Path | None,
    logs: tuple[Path, ...],
    more: tuple[Path, ...],
    region: str,
    profile: str,
    context: str,
    endpoint_url: str,
    form: str | None,
) -> None:
    """Say why pods get no address, with the evidence, whom it hits and what is still needed.

    \b
    headroom diagnose --cluster prod-use1
    headroom diagnose --bundle eks_i-0abc.tar.gz --json
    headroom diagnose --log ipamd.log plugin.log

    --log adds log files to any of them, or stands alone. Exit code 0: healthy; 1: a cause was found, or it is not
    addresses; 2: bad input; 3: undecided.
    """  # noqa: D301 - click's mark for a paragraph that is not to be wrapped
    live = FactsFrom(
        file=facts, cluster=cluster, region=region, profile=profile, context=context, endpoint_url=endpoint_url
    )
    _check_sources(cluster=cluster, facts=facts, bundle=bundle, case=case, logs=logs, more=more)
    logs = (*logs, *more)
    snapshot = _read(live, bundle=bundle, case=case)
    if logs:
        snapshot = _with_logs(snapshot, logs)
    found = diagnosed(snapshot)
    _print(found, form, _source(cluster, facts))
    sys.exit(EXIT_CODES[found.verdict])


def _check_sources(**given: Any) -> None:
    names = [name for name in ("cluster", "facts", "bundle", "case") if given[name]]
    stray = given["more"] if not given["logs"] else ()
    if not stray and (len(names) == 1 or (not names and given["logs"])):
        return
    if stray:
        problem = Problem(
            rule="where-from",
            value=str(stray[0]),
            reason="follows no option that says what it is.",
            next_step="Write --log before logs, else --bundle, --case or --facts before it.",
        )
        raise ProblemsError([problem], subject=SUBJECT)
    options = " and ".join(f"--{name}" for name in names)
    problem = Problem(
        rule="where-from",
        value=options or "Nothing",
        reason="are both given." if len(names) > 1 else "is given to read.",
        next_step="Name one of --cluster NAME, --facts FILE, --bundle PATH, --case FILE, or logs by --log FILE.",
    )
    raise ProblemsError([problem], subject=SUBJECT)


def _read(live: FactsFrom, *, bundle: Path | None, case: Path | None) -> Snapshot:
    if case is not None:
        from headroom.collect.case import read_case  # noqa: PLC0415 - only for a case file

        return read_case(case)
    if bundle is not None:
        from headroom.collect.bundle import read_bundle  # noqa: PLC0415 - only for a bundle

        return read_bundle(bundle)
    if live.file is not None or live.cluster:
        return read_facts(live)
    return Snapshot()


def _with_logs(snapshot: Snapshot, logs: tuple[Path, ...]) -> Snapshot:
    from headroom.collect.logs import read_log  # noqa: PLC0415 - only for logs

    problems: list[Problem] = []
    lines, sources = list(items(snapshot.lines)), list(snapshot.sources)
    for path in logs:
        try:
            found, source = read_log(path)
        except ProblemsError as error:
            problems += error.problems
            continue
        lines += found
        sources.append(source)
    if problems:
        raise ProblemsError(problems, subject=SUBJECT)
    return replace(snapshot, lines=tuple(lines), sources=tuple(sources))


def _source(cluster: str, facts: Path | None) -> str:
    """How the next command would be given the same facts; a plan needs those of a whole cluster."""
    if facts is not None:
        return f"--facts {facts}"
    return f"--cluster {cluster or 'NAME'}"


def _print(found: Diagnosis, form: str | None, source: str) -> None:
    if form is not None:
        from headroom.diagnosis.document import runbook, to_json  # noqa: PLC0415 - only for programs

        if form == "json":
            click.echo(json.dumps(to_json(found), indent=2, ensure_ascii=False))
            return
        import yaml  # noqa: PLC0415 - only for this form

        click.echo(yaml.safe_dump(runbook(found), sort_keys=False, allow_unicode=True, width=120), nl=False)
        return
    from headroom.report.terminal import plain_lines, print_terminal  # noqa: PLC0415 - only for people

    if not sys.stdout.isatty():
        click.echo("\n".join(plain_lines(found, source=source)))
        return
    from rich.console import Console  # noqa: PLC0415 - only where somebody looks

    print_terminal(found, Console(highlight=False), source=source)
