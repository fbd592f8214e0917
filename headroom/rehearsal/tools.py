"""Where the programs of a rehearsal are, and the environment in which the Pulumi engine runs offline."""

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headroom.addresses.problems import Problem, ProblemsError

MANIFEST = Path(sys.prefix) / "headroom-toolchain.json"
"""Written by the set-up (`toolchain/setup.py`) into the environment that it made."""

_CLOUD_VARIABLES = ("PULUMI_", "AWS_", "AZURE_", "ARM_", "KUBE")
"""Prefixes of variables that would lead a rehearsal to a real account, cluster or backend."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """The programs that the set-up found, fetched or built.

    Attributes:
        pulumi: The Pulumi CLI.
        pulumi_version: Its version, such as `3.259.0`.
        language_host: Our own language host for Python; None with an official CLI, which has its own.
        kubernetes_version: The version of the three control plane programs.
    """

    pulumi: Path
    pulumi_version: str
    language_host: Path | None
    etcd: Path
    kube_apiserver: Path
    kube_controller_manager: Path
    kube_scheduler: Path
    kubernetes_version: str


def find_tools(manifest: Path = MANIFEST) -> Tools:
    """The programs that a rehearsal runs, as the last set-up left them.

    Raises:
        ProblemsError: There was no set-up, or something that it provided has gone since: run make setup.
    """
    content = _read(manifest)
    programs: dict[str, str] = content["programs"]
    versions: dict[str, str] = content["versions"]
    names = ["pulumi", "etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"]
    names += [name for name in ("pulumiLanguageHost",) if name in programs]
    problems = [
        _problem(programs.get(name, name), "is not there, though the set-up provided it.")
        for name in names
        if not os.access(programs.get(name, ""), os.R_OK)
    ]
    if problems:
        raise ProblemsError(problems, subject="the tools of a rehearsal")
    paths = {name: Path(path) for name, path in programs.items()}
    return Tools(
        pulumi=paths["pulumi"],
        pulumi_version=versions["pulumi"],
        language_host=paths.get("pulumiLanguageHost"),
        etcd=paths["etcd"],
        kube_apiserver=paths["kube-apiserver"],
        kube_controller_manager=paths["kube-controller-manager"],
        kube_scheduler=paths["kube-scheduler"],
        kubernetes_version=versions["kubernetes"],
    )


def pulumi_environment(
    tools: Tools,
    *,
    home: Path,
    backend: Path,
    providers: Mapping[str, int],
    inherited: Mapping[str, str] = os.environ,
) -> dict[str, str]:
    """All environment variables for running `pulumi` offline against stand-in providers.

    Nothing that names a real account, cluster or backend is passed on from the present environment.

    Args:
        tools: What `find_tools` gave.
        home: Pulumi's own folder (PULUMI_HOME); made if it is not there.
        backend: The folder for the state of stacks; made if it is not there.
        providers: Ports of running stand-in providers by package name, such as `{"aws": 40001}`.
        inherited: The environment to start from.
    """
    home.mkdir(parents=True, exist_ok=True)
    backend.mkdir(parents=True, exist_ok=True)
    environment = {name: value for name, value in inherited.items() if not name.startswith(_CLOUD_VARIABLES)}
    # Compiled again at every start, the program and the policies would take a third longer.
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    folders = (Path(sys.prefix) / "bin", tools.pulumi.parent)
    environment |= {
        "PATH": os.pathsep.join([*map(str, folders), inherited.get("PATH", os.defpath)]),
        "PULUMI_HOME": str(home),
        # Without its side files: the engine rewrites them in place, and whoever reads meanwhile finds them empty.
        "PULUMI_BACKEND_URL": f"{backend.absolute().as_uri()}?metadata=skip",
        "PULUMI_CONFIG_PASSPHRASE": "rehearsal",
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
        "PULUMI_DIY_BACKEND_DISABLE_CHECKPOINT_BACKUPS": "true",
        "HEADROOM_PYTHON": sys.executable,
        # Everything that a rehearsal talks to is on this machine; a proxy must not come between.
        **{name: _with_loopback(inherited.get(name, "")) for name in ("NO_PROXY", "no_proxy")},
    }
    if providers:
        pairs = (f"{name}:{port}" for name, port in sorted(providers.items()))
        environment["PULUMI_DEBUG_PROVIDERS"] = ",".join(pairs)
    return environment


def _with_loopback(exceptions: str) -> str:
    return ",".join([*([exceptions] if exceptions else []), "127.0.0.1", "localhost"])


def _read(manifest: Path) -> dict[str, Any]:
    try:
        content = json.loads(manifest.read_text("utf-8"))
    except FileNotFoundError:
        problem = _problem(str(manifest), "is not there: the tools of a rehearsal have not been set up.")
    except (OSError, ValueError) as error:
        problem = _problem(str(manifest), f"cannot be read ({error}).")
    else:
        if isinstance(content, dict) and content.keys() >= {"programs", "versions"}:
            return content
        problem = _problem(str(manifest), "does not name programs and versions.")
    raise ProblemsError([problem], subject="the tools of a rehearsal")


def _problem(value: str, reason: str) -> Problem:
    return Problem(rule="toolchain-missing", value=value, reason=reason, next_step="In the checkout, run make setup.")
