"""What a rehearsal of Azure runs: the simulated Azure, the stand-in for azure-native, the real engine over both."""

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from headroom.rehearsal.arm.endpoint import Endpoint, start_arm
from headroom.rehearsal.engine import CHECKOUT, Engine
from headroom.rehearsal.providers.azure_native import start_provider
from headroom.rehearsal.tools import Tools, pulumi_environment


@dataclass(frozen=True, slots=True, kw_only=True)
class AzureWorld:
    """The running parts; a context manager that ends them all.

    Attributes:
        folder: Logs, the engine's project and state.
        arm: The simulated Azure.
        engine: The Pulumi engine over the program.
    """

    folder: Path
    arm: Endpoint
    engine: Engine
    _closing: contextlib.ExitStack

    def close(self) -> None:
        """Ends every process; may be called again."""
        self._closing.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def start_azure_world(  # noqa: PLR0913  # the parts of a world, by keyword
    folder: Path,
    tools: Tools,
    *,
    program: Path = CHECKOUT,
    providers: Mapping[str, int] | None = None,
    variables: Mapping[str, str] | None = None,
    settings: Mapping[str, float] | None = None,
    on_line: Callable[[str], None] | None = None,
) -> AzureWorld:
    """Starts the parts.

    Args:
        folder: A new folder for all that they write.
        tools: What the set-up provided.
        program: The folder with the program and its Pulumi.yaml.
        providers: Ports of further stand-in providers by package name, such as `kubernetes`.
        variables: Further variables for the engine and its programs, such as KUBECONFIG.
        settings: See `headroom.rehearsal.arm.settings.Settings`.
        on_line: Called with every line that the engine prints.

    Raises:
        HelperError: A helper process did not start.
    """
    with contextlib.ExitStack() as undo:
        closing = undo.enter_context(contextlib.ExitStack())
        arm = closing.enter_context(start_arm(folder / "arm", **(settings or {})))
        provider = closing.enter_context(start_provider(folder, arm))
        environment = pulumi_environment(
            tools,
            home=folder / "pulumi-home",
            backend=folder / "pulumi-state",
            providers={"azure-native": provider.port, **(providers or {})},
        )
        engine = Engine(
            folder, {**environment, **arm.environment(), **(variables or {})}, program=program, on_line=on_line
        )
        world = AzureWorld(folder=folder, arm=arm, engine=engine, _closing=closing)
        undo.pop_all()
    return world
