"""The density stack: what a node holds and keeps ready, changed by aws-node's settings alone.

For clusters whose subnets have room, or hold it idle: warm targets, cooldown, prefix delegation. Nothing of the VPC is
made or changed; aws-node restarts on every node, a tenth of them at a time.
"""

from typing import TYPE_CHECKING

import pulumi

from headroom.addresses.problems import ProblemsError
from stacks.emergency import read_cni_settings, without_consequences
from stacks.settings import ConfigReader

if TYPE_CHECKING:
    from components.cni_settings import CniSettingsArgs

NAME = "cni"
"""Logical name of the stack's component: it never changes."""


def deploy() -> None:
    """Declares the stack.

    Raises:
        ProblemsError: Everything that is wrong with the configuration; nothing was registered.
    """
    args = read_settings(ConfigReader())
    from components.cni_settings import CniSettings  # noqa: PLC0415 - loads the Kubernetes SDK, which takes a while

    _, warnings = args.check()
    for warning in warnings:
        pulumi.log.warn(warning.message)
    settings = CniSettings(NAME, args)
    pulumi.export("environment", dict(sorted(settings.environment.items())))
    pulumi.export(
        "next",
        "aws-node restarts on a tenth of the nodes at a time: kubectl -n kube-system rollout status daemonset aws-node",
    )


def read_settings(config: ConfigReader) -> "CniSettingsArgs":
    """Reads the configuration.

    Raises:
        ProblemsError: Every problem with its key.
    """
    cluster = config.required_text("clusterName", "prod-use1")
    cni_version = config.required_text("cniVersion", "1.19.2")
    args = read_cni_settings(config, cluster, cni_version, custom_networking=False)
    if args is None and not config.problems_at("cniSettings"):
        config.problem(
            "cniSettings", "nothing", "is set.", "Write managedBy and settings; `headroom plan` writes them all."
        )
    config.refuse_other_keys("remedy")
    if config.problems or args is None:
        raise ProblemsError(without_consequences(config.problems), subject="configuration")
    return args
