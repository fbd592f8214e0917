"""The command line: `headroom COMMAND`. Each command is a module of its own, imported when it is called."""

import importlib
import io
import sys

import click

from headroom.addresses.problems import ProblemsError

COMMANDS = {
    "audit-egress": "Say who allow-lists a cluster's addresses, and what to add before they change.",
    "calc": "The arithmetic of addresses: nodes, fleets, subnets, free blocks, ranges, forecasts.",
    "check": "Judge a stack by the policies, without an engine or credentials.",
    "collect": "Read a live cluster of EKS or AKS into a snapshot: the cloud, Kubernetes, the CNI.",
    "diagnose": "Say why pods get no address, with the evidence: live, or from a bundle, logs, a ticket.",
    "forecast": "When zones and subnets run dry: from CloudWatch, or from a file.",
    "gate": "Watch a step of a traffic shift, and say whether the next one may come.",
    "one-side": "Show that CronJobs and leader-elected consumers run in one of two clusters only.",
    "plan": "Write the smallest change that cures it, as files for review.",
    "probes": "Show that each NetworkPolicy denies what it should, by probes that must fail.",
    "rehearse": "Play an incident on this machine, with no cloud account, and see it cured.",
    "report": "Write a diagnosis as one HTML page, and as Markdown.",
    "respond": "Answer an alarm of the watch stack: a pull request with diagnosis and plan, as files.",
    "verify": "Watch the postconditions of a plan until they hold.",
    "watch-files": "Write Prometheus rules and a Grafana dashboard from the model's thresholds.",
}
"""Commands with their one line of help; module and function have the command's name, hyphens as underscores."""

BAD_INPUT = 2
INTERRUPTED = 130
"""As shells tell it. Click's own 1 means of most commands that something was found, or has to go back."""


class _LazyGroup(click.Group):
    """Knows its commands without importing them: `--help` answers at once."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        del ctx
        if cmd_name not in COMMANDS:
            return None
        name = cmd_name.replace("-", "_")
        command: click.Command = getattr(importlib.import_module(f"headroom.cli.{name}"), name)
        return command

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            click.echo("Interrupted.", err=True)
            ctx.exit(INTERRUPTED)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="headroom")
def headroom() -> None:
    """Why a Kubernetes cluster cannot give its pods addresses, and the remedy as reviewed Pulumi code.

    \b
    headroom rehearse          an incident and its cure, on this machine
    headroom COMMAND --help    what a command needs
    """  # noqa: D301 - click's mark for a paragraph that is not to be wrapped


def main() -> None:
    """Runs the command line; bad input is one message and exit code 2."""
    for stream in (sys.stdout, sys.stderr):
        # A terminal or a file may not know a character: its escape is better than no answer.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        headroom()
    except ProblemsError as error:
        click.echo(str(error), err=True)
        sys.exit(BAD_INPUT)
