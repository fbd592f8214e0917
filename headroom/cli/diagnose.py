"""`headroom diagnose`."""

import json
import sys
from datetime import UTC, datetime
from typing import Final

import click

from headroom.cli.facts import Source, diagnosed, read_source, takes_any_source
from headroom.diagnosis.verdict import Diagnosis, Verdict

EXIT_CODES: Final = {Verdict.HEALTHY: 0, Verdict.FOUND: 1, Verdict.NOT_IP: 1, Verdict.UNDECIDED: 3}


@click.command()
@takes_any_source
@click.option("--json", "form", flag_value="json", help="Print JSON.")
@click.option("--yaml", "form", flag_value="yaml", help="Print the runbook's YAML.")
def diagnose(source: Source, form: str | None) -> None:
    """Say why pods get no address, with the evidence, whom it hits and what is still needed.

    \b
    headroom diagnose --cluster prod-use1
    headroom diagnose --bundle eks_i-0abc.tar.gz --json
    headroom diagnose --log ipamd.log plugin.log

    --log adds log files to any of them, or stands alone. Exit code 0: healthy; 1: a cause was found, or it is not
    addresses; 2: bad input; 3: undecided.
    """  # noqa: D301 - click's mark for a paragraph that is not to be wrapped
    found = diagnosed(read_source(source))
    _print(found, form, source)
    sys.exit(EXIT_CODES[found.verdict])


def _print(found: Diagnosis, form: str | None, source: Source) -> None:
    if form is not None:
        from headroom.diagnosis.document import runbook, to_json  # noqa: PLC0415 - only for programs

        if form == "json":
            click.echo(json.dumps(to_json(found), indent=2, ensure_ascii=False))
            return
        import yaml  # noqa: PLC0415 - only for this form

        click.echo(yaml.safe_dump(runbook(found), sort_keys=False, allow_unicode=True, width=120), nl=False)
        return
    from headroom.report.terminal import plain_lines, print_terminal  # noqa: PLC0415 - only for people

    now = datetime.now(UTC)
    # A plan needs the facts of a whole cluster; a page can be made of anything.
    is_planned = found.verdict is Verdict.FOUND or (found.verdict is Verdict.HEALTHY and bool(found.retires))
    given = source.option() if is_planned else source.options()
    if not sys.stdout.isatty():
        click.echo("\n".join(plain_lines(found, source=given, now=now)))
        return
    from rich.console import Console  # noqa: PLC0415 - only where somebody looks

    print_terminal(found, Console(highlight=False), source=given, now=now)
