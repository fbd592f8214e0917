"""`headroom report`."""

import sys
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from headroom.addresses.problems import Problem, ProblemsError
from headroom.cli.facts import Source, diagnosed, read_source, takes_any_source
from headroom.diagnosis.verdict import Diagnosis, Verdict
from headroom.facts.snapshot import Snapshot

if TYPE_CHECKING:
    from headroom.planning.plan import Plan
    from headroom.report.forecast_picture import ForecastView

EXIT_CODES: Final = {Verdict.HEALTHY: 0, Verdict.FOUND: 1, Verdict.NOT_IP: 1, Verdict.UNDECIDED: 3}
STDOUT: Final = "-"


@click.command()
@takes_any_source
@click.option("-o", "--output", default="report.html", show_default=True, help="The page to write; - for stdout.")
@click.option("--markdown", type=click.Path(path_type=Path), help="Write Markdown here too, for an issue or a chat.")
@click.option(
    "--history", type=click.Path(path_type=Path), help="CSV as of `headroom forecast`: draws how long it lasts."
)
@click.option("--plan/--no-plan", "with_plan", default=True, help="Whether to show the plan that follows.")
def report(source: Source, output: str, markdown: Path | None, history: Path | None, *, with_plan: bool) -> None:
    """Write a diagnosis as one HTML page: evidence, impact, the map of each subnet, the plan.

    \b
    headroom report --cluster prod-use1 -o report.html
    headroom report --bundle eks_i-0abc.tar.gz --markdown report.md

    The sources are those of `headroom diagnose`.
    The page is one file, needs no network and runs no script. Exit code 0: healthy; 1: a cause was found, or it is
    not addresses; 2: bad input; 3: undecided.
    """  # noqa: D301 - click's mark for a paragraph that is not to be wrapped
    # The template engine costs more than all else here; the help does without it.
    from headroom.report.markdown import to_markdown  # noqa: PLC0415
    from headroom.report.page import render_page  # noqa: PLC0415

    snapshot = read_source(source)
    diagnosis = diagnosed(snapshot)
    given = source.option() if diagnosis.verdict is Verdict.FOUND else source.options()
    plan, no_plan = _plan(snapshot, diagnosis) if with_plan else (None, "")
    differences = _differences(plan) if plan is not None else []
    page = render_page(
        diagnosis,
        snapshot=snapshot,
        plan=plan,
        forecasts=_forecasts(history, snapshot) if history is not None else (),
        differences=differences,
        no_plan=no_plan,
        source=given,
        version=version("headroom"),
    )
    if output == STDOUT:
        click.echo(page, nl=False)
    else:
        _write(Path(output), page)
        click.echo(f"{diagnosis.verdict.value}: {output} ({len(page.encode()) // 1024:,} KiB).", err=True)
    if markdown is not None:
        _write(markdown, to_markdown(diagnosis, source=given, plan=plan, differences=differences))
    sys.exit(EXIT_CODES[diagnosis.verdict])


def _plan(snapshot: Snapshot, diagnosis: Diagnosis) -> tuple["Plan | None", str]:
    """The plan, or why there is none."""
    if diagnosis.verdict is not Verdict.FOUND:
        return None, ""
    from headroom.planning.planner import make_plan  # noqa: PLC0415 - only where a cause was found

    try:
        return make_plan(snapshot, diagnosis), ""
    except ProblemsError as error:
        return None, "No plan: " + " ".join(problem.message for problem in error.problems)


def _forecasts(history: Path, snapshot: Snapshot) -> "list[ForecastView]":
    """What a file of free addresses says of each zone; of each subnet where no zone is known."""
    from headroom.cli.forecast import file_forecasts  # noqa: PLC0415 - only where there is a history
    from headroom.report.forecast_picture import forecast_view  # noqa: PLC0415 - the same

    found = [each for each in file_forecasts(history, snapshot) if "freeAddresses" in each[1]]
    zones = [each for each in found if not each[0].subnet] or found
    return [
        forecast_view(
            number, place.name, place.readings["freeAddresses"], figures["freeAddresses"], usable=place.usable
        )
        for number, (place, figures) in enumerate(zones, start=1)
    ]


def _differences(plan: "Plan") -> list[str]:
    """What the plan's files say that the checkout's do not."""
    from headroom.cli.plan import difference  # noqa: PLC0415 - only where there is a plan

    return [difference(file, Path()) for file in plan.files]


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        problem = Problem(
            rule="report-file",
            value=str(path),
            reason=f"cannot be written: {error.strerror}.",
            next_step="Name a file in a folder that is there.",
        )
        raise ProblemsError([problem], subject="report") from None
