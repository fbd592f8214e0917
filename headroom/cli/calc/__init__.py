"""`headroom calc`: the figures that planner, policy, alarm and report use, for anybody to ask for."""

import importlib

import click

COMMANDS = {
    "node": "What a node's pods take from the subnets, by instance type and settings.",
    "fleet": "The same for all nodes, by zone and subnet, and the warm targets that suit them.",
    "max-pods": "How many pods a node should be told that it can run.",
    "subnet": "How large a subnet has to be.",
    "free": "Free aligned blocks of a VPC.",
    "blocks": "The /28 map of a subnet: what prefix delegation can still use.",
    "association": "Whether a CIDR may be associated with a VPC.",
    "layout": "Pod subnets by availability zone, which never move again.",
    "overlay": "How many nodes and pods an AKS overlay (or kubenet) carries.",
    "forecast": "When subnets run dry, from the history of their free addresses.",
}
"""Commands with their one line of help; each is a module of this package, imported when it is called."""


class _LazyGroup(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        del ctx
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"headroom.cli.calc.{cmd_name.replace('-', '_')}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


HELP = """
\b
headroom calc node --instance-type m5.8xlarge --pods 100
headroom calc subnet --nodes 30 --pods-per-node 100 --instance-type m5.8xlarge

The arithmetic of addresses, each figure with its terms and its source on demand (--explain), as a table or as JSON
(--json). Exit code: 0 done, 1 a finding (too little, not allowed), 2 bad input, 3 undecided.
"""


@click.group(
    cls=_LazyGroup,
    help=HELP,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
def calc() -> None:
    """The group; each command is a module of its own."""
