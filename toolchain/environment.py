"""The project's environment: `.venv` in the checkout, with the locked packages and the command `headroom`."""

import hashlib
import json
import shutil
import sys
import tomllib

from toolchain.packages import Installer
from toolchain.processes import output_of
from toolchain.progress import Progress
from toolchain.versions import CHECKOUT, PYTHON_MINIMUM, parse_version

ENVIRONMENT = CHECKOUT / ".venv"
STAMP = ENVIRONMENT / "headroom-environment.json"
PYTHON = ENVIRONMENT / "bin" / "python"
REQUIREMENTS = CHECKOUT / "requirements.lock"


def wanted() -> dict[str, str]:
    """What the environment depends on; the stamp holds the same once it is complete."""
    return {
        "packages": hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest(),
        "project": hashlib.sha256(json.dumps(_installed_project(), sort_keys=True).encode()).hexdigest(),
        "checkout": str(CHECKOUT),
    }


def _installed_project() -> list[object]:
    """The parts of pyproject.toml that an editable install depends on: not the settings of linters."""
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text("utf-8"))
    return [project["build-system"], project["project"], project["tool"]["hatch"]]


def present() -> dict[str, str]:
    """What the environment was last completed for; empty if it never was."""
    try:
        stamp = json.loads(STAMP.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return stamp if isinstance(stamp, dict) and (ENVIRONMENT / "bin" / "headroom").exists() else {}


def provide(installer: Installer, progress: Progress) -> None:
    """Makes the environment, or brings it up to date.

    Raises:
        PackagesError: Packages could not be installed.
    """
    stamp, target = present(), wanted()
    if stamp == target:
        return
    moved = bool(stamp) and stamp["checkout"] != target["checkout"]  # its scripts name the old place
    if moved or parse_version(output_of([PYTHON, "--version"])) < PYTHON_MINIMUM:
        if ENVIRONMENT.exists():
            shutil.rmtree(ENVIRONMENT)
        with progress.step(f"making the environment .venv with Python {sys.version.split()[0]}"):
            installer.create_environment(ENVIRONMENT)
        stamp = {}
    STAMP.unlink(missing_ok=True)
    if stamp.get("packages") != target["packages"]:
        with progress.step("installing the Python packages of requirements.lock", "about 1 min, 1.2 GB"):
            installer.install_locked(PYTHON, REQUIREMENTS)
    with progress.step("installing headroom itself, editable"):
        installer.install_project(PYTHON, CHECKOUT)
    partial = STAMP.with_suffix(".partial")
    partial.write_text(json.dumps(target, indent=1), "utf-8")
    partial.rename(STAMP)
