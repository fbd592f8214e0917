"""The options that say whether a cluster is one of EKS or of AKS. Not a command itself."""

import logging
from collections.abc import Callable
from typing import Any, Final

import click

CLOUDS: Final = ("eks", "aks")


def takes_cloud(function: Callable[..., Any]) -> Callable[..., Any]:
    """Adds `--cloud`, `--subscription` and `--resource-group`; the command gets them under these names."""
    for option in (
        click.option("--resource-group", default="", help="With --cloud aks: the cluster's resource group."),
        click.option("--subscription", default="", help="With --cloud aks: its subscription, by id."),
        click.option("--cloud", type=click.Choice(CLOUDS), default="eks", help="Of what --cluster is; eks by default."),
    ):
        function = option(function)
    return function


def quieten() -> None:
    """What the SDKs repeat, close or try is nothing to tell: what fails in the end is told with the answer.

    azure-identity tells of every way to sign in that it tried, at every call.
    """
    for name in ("urllib3", "azure"):
        logging.getLogger(name).setLevel(logging.ERROR)
