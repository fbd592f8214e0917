"""Python packages from lock files with hashes: with uv where it can be had, else with pip.

No package index is named here: pip and uv use whatever the machine has configured for them.
"""

import hashlib
import os
import shlex
import shutil
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from toolchain.cache import new_entry, this_platform
from toolchain.processes import CommandFailedError, output_of, run
from toolchain.progress import Progress
from toolchain.versions import CHECKOUT, UV_MINIMUM, parse_version

UV_LOCK = CHECKOUT / "toolchain" / "uv-command.lock"

FROM_PIP = {
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "find-links": "UV_FIND_LINKS",
    "cert": "SSL_CERT_FILE",
    "trusted-host": "UV_INSECURE_HOST",
}
"""pip's settings of where packages come from, and uv's words for them (uv reads none of pip's)."""


class PackagesError(Exception):
    """Packages could not be installed."""


def lock_digest(lock: Path) -> str:
    """A short digest of a lock file, for names in the cache."""
    return hashlib.sha256(lock.read_bytes()).hexdigest()[:10]


def uv_environment(pip_settings: str, environment: Mapping[str, str]) -> dict[str, str]:
    """What uv has to be told so that it uses the indexes that pip is configured for.

    Args:
        pip_settings: The output of `pip config list`, environment variables included.
        environment: The present environment; what it tells uv itself wins.
    """
    told: dict[str, str] = {}
    for line in pip_settings.splitlines():
        key, _, value = line.partition("=")
        name = FROM_PIP.get(key.rpartition(".")[2])
        values = " ".join(shlex.split(value.replace("\\n", " "))).split()
        if name is None or not values or name in environment:
            continue
        told[name] = " ".join(values) if name in {"UV_INDEX", "UV_INSECURE_HOST"} else ",".join(values)
    if "UV_INDEX" in told and "UV_INDEX_STRATEGY" not in environment:
        # As pip does it. Safe here: the lock's hashes decide what may be installed.
        told["UV_INDEX_STRATEGY"] = "unsafe-best-match"
    return told


@dataclass(slots=True)
class Installer:
    """Creates environments and installs locked packages."""

    cache: Path
    progress: Progress
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _sought: bool = False
    _uv: Path | None = None
    _environment: dict[str, str] = field(default_factory=dict)

    def create_environment(self, folder: Path) -> None:
        """Makes a virtual environment with the Python that runs the set-up.

        Raises:
            PackagesError: Python's module venv is not there or failed.
        """
        log = self.cache / "logs" / "environment.log"
        uv = self.uv()
        try:
            if uv:
                run([uv, "venv", "--quiet", "--python", base_python(), folder], log=log)
            else:
                run([base_python(), "-m", "venv", "--clear", folder], log=log)
        except CommandFailedError as error:
            raise PackagesError(f"{folder} could not be made: {error}") from error

    def install_locked(self, python: Path, lock: Path) -> None:
        """Installs all packages of a lock file into an environment and compiles them.

        Raises:
            PackagesError: Neither uv nor pip could install them.
        """
        uv = self.uv()
        tried = []
        if uv:
            command: list[str | Path] = [
                uv,
                "pip",
                "install",
                "--quiet",
                "--python",
                python,
                "--require-hashes",
                "--no-deps",
            ]
            try:
                run(
                    [*command, "--compile-bytecode", "-r", lock],
                    log=self.cache / "logs" / "packages-uv.log",
                    environment=self._environment,
                )
            except CommandFailedError as error:
                tried.append(f"uv: {error}")
                self.progress.say(f"  uv could not install them, so pip tries: {error}")
            else:
                return
            self._uv = None
        command = [python, "-m", "pip", "install", "--quiet", "--require-hashes", "--no-deps", "--no-input"]
        try:
            if not output_of([python, "-m", "pip", "--version"]):
                run([python, "-m", "ensurepip"], log=self.cache / "logs" / "ensurepip.log")
            run(
                [*command, "-r", lock],
                log=self.cache / "logs" / "packages-pip.log",
                environment=_pip_patience(),
            )
        except CommandFailedError as error:
            raise PackagesError("\n    ".join([*tried, f"pip: {error}"])) from error

    def install_project(self, python: Path, project: Path) -> None:
        """Installs the checkout itself, editable, with the build tools of the environment.

        Raises:
            PackagesError: It could not be installed.
        """
        uv = self.uv()
        how: list[str | Path] = [uv, "pip", "install", "--python", python] if uv else [python, "-m", "pip", "install"]
        try:
            run(
                [*how, "--quiet", "--no-deps", "--no-build-isolation", "--editable", project],
                log=self.cache / "logs" / "project.log",
                environment=self._environment,
            )
        except CommandFailedError as error:
            raise PackagesError(f"the project itself could not be installed: {error}") from error

    def install_into(self, folder: Path, lock: Path) -> None:
        """Unpacks locked packages into a plain folder, for programs that come as packages.

        Raises:
            PackagesError: They could not be had.
        """
        uv = self.uv()
        log = self.cache / "logs" / f"{lock.stem}.log"
        if uv:
            command: list[str | Path] = [
                uv,
                "pip",
                "install",
                "--quiet",
                "--python",
                base_python(),
                "--target",
                folder,
            ]
            try:
                run([*command, "--require-hashes", "-r", lock], log=log, environment=self._environment)
            except CommandFailedError as error:
                raise PackagesError(str(error)) from error
            return
        self._pip_into(folder, lock, log)

    def uv(self) -> Path | None:
        """The uv command: the one on PATH, else the locked one in the cache; nothing if it cannot be had."""
        with self._lock:
            if not self._sought:
                self._uv = self._find_uv()
                self._sought = True
            return self._uv

    def _find_uv(self) -> Path | None:
        self._environment = uv_environment(
            output_of([base_python(), "-m", "pip", "config", "list"]), environment=os.environ
        )
        on_path = shutil.which("uv")
        if on_path and parse_version(output_of([on_path, "--version"])) >= UV_MINIMUM:
            return Path(on_path)
        operating_system, processor = this_platform()
        destination = self.cache / f"uv-{lock_digest(UV_LOCK)}-{operating_system}-{processor}"
        try:
            with new_entry(destination, self.progress) as folder:
                if folder:
                    with self.progress.step("fetching uv, which installs packages faster than pip", "17 MB, once"):
                        self._pip_into(folder, UV_LOCK, self.cache / "logs" / "uv.log")
        except (PackagesError, OSError) as error:
            self.progress.say(f"  uv cannot be had, so pip does its work more slowly: {error}")
            return None
        return destination / "bin" / "uv"

    def _pip_into(self, folder: Path, lock: Path, log: Path) -> None:
        python = base_python()
        command: list[str | Path] = [
            "-m",
            "pip",
            "install",
            "--quiet",
            "--no-deps",
            "--no-input",
            "--require-hashes",
        ]
        try:
            if not output_of([python, "-m", "pip", "--version"]):
                # Distributions split pip off from Python; a virtual environment brings its own.
                scratch = self.cache / "pip"
                if not (scratch / "bin" / "pip").exists():
                    run([python, "-m", "venv", "--clear", scratch], log=log)
                python = scratch / "bin" / "python"
            run([python, *command, "--target", folder, "-r", lock], log=log, environment=_pip_patience())
        except CommandFailedError as error:
            raise PackagesError(str(error)) from error


def base_python() -> Path:
    """The Python outside any virtual environment that runs the set-up."""
    return Path(getattr(sys, "_base_executable", None) or sys.executable)


def _pip_patience() -> dict[str, str]:
    """Fewer retries than pip's five, which take minutes without a network; the user's own wish wins."""
    return {"PIP_RETRIES": os.environ.get("PIP_RETRIES", "2"), "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
