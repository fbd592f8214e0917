"""How a forge runs a template of `templates/ci`, played on a repository of our own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

CHECKOUT = Path(__file__).parents[2]
TEMPLATES = CHECKOUT / "templates" / "ci"
EXAMPLE = CHECKOUT / "stacks" / "Pulumi.example-emergency.yaml"
# What `headroom check` reads when it runs from a checkout.
PRODUCT = ("headroom", "policies", "templates", "Pulumi.yaml", "stacks/policy.example-emergency.json")


def template(name: str) -> Any:
    return yaml.safe_load((TEMPLATES / name).read_text(encoding="utf-8"))


def bare_environment() -> dict[str, str]:
    """The present one without what a job of a forge, or git, would have set."""
    foreign = ("GIT_", "GITHUB_", "CI_", "SYSTEM_", "BUILD_", "PYTHON", "HEADROOM")
    return {name: value for name, value in os.environ.items() if not name.startswith(foreign)}


@dataclass(frozen=True, slots=True)
class Job:
    """A checkout of the repository in the state that a forge hands to a job, and the commands of a template in it."""

    folder: Path
    bin: Path

    def git(self, *arguments: str) -> str:
        environment = bare_environment() | {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
        for who in ("AUTHOR", "COMMITTER"):
            environment |= {f"GIT_{who}_NAME": "a", f"GIT_{who}_EMAIL": "a@example.com"}
        done = subprocess.run(  # noqa: S603 - git on a folder of ours
            ["git", *arguments],  # noqa: S607 - the one that the tests' user has
            cwd=self.folder,
            env=environment,
            check=True,
            capture_output=True,
            text=True,
        )
        return done.stdout.strip()

    def propose(self, block: str) -> None:
        """A branch whose stack file has this block in one zone, merged into main as forges do it for a job."""
        text = EXAMPLE.read_text(encoding="utf-8").replace("100.64.0.0/18", block)
        self.git("checkout", "--quiet", "-B", "change", "main")
        (self.folder / "stacks" / "Pulumi.prod.yaml").write_text(text, encoding="utf-8")
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", "a change")
        self.git("checkout", "--quiet", "-B", "merge", "main")
        self.git("merge", "--quiet", "--no-ff", "--message", "both", "change")

    def run(
        self, script: str, variables: Mapping[str, str], *, shell: tuple[str, ...] = ("bash", "-eo", "pipefail")
    ) -> subprocess.CompletedProcess[str]:
        """Runs a step as the forge's runner does, with the programs of `bin` before all others."""
        environment = bare_environment() | {"PATH": f"{self.bin}{os.pathsep}{os.environ['PATH']}", **variables}
        command = [*shell, "-c", script]
        return subprocess.run(  # noqa: S603 - the step of a template of ours
            command, cwd=self.folder, env=environment, check=False, capture_output=True, text=True
        )

    def installed(self) -> list[str]:
        """The commands that were given to pip."""
        log = self.bin / "pip.log"
        return log.read_text(encoding="utf-8").splitlines() if log.exists() else []


@pytest.fixture
def job(tmp_path: Path) -> Job:
    """A repository with Headroom in it and no stack file yet; `python` is ours, and installs nothing."""
    folder, bin_ = tmp_path / "repository", tmp_path / "bin"
    for name in PRODUCT:
        source, target = CHECKOUT / name, folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copyfile(source, target)
    bin_.mkdir()
    stub = (
        f'#!/bin/sh\nif [ "$1 $2" = "-m pip" ]; then echo "$@" >> "{bin_}/pip.log"; exit 0; fi\n'
        f'exec "{sys.executable}" "$@"\n'
    )
    for name in ("python", "python3"):
        (bin_ / name).write_text(stub, encoding="utf-8")
        (bin_ / name).chmod(0o755)
    made = Job(folder, bin_)
    made.git("init", "--quiet", "--initial-branch", "main")
    made.git("add", "--all")
    made.git("commit", "--quiet", "--message", "the start")
    return made


@dataclass(frozen=True, slots=True)
class Request:
    """What a forge was asked."""

    method: str
    path: str
    body: Any
    headers: Mapping[str, str]


@dataclass(slots=True)
class Forge:
    """A forge's API: answers are looked up by method and path with its query; what is not there is 404."""

    address: str = ""
    answers: dict[str, tuple[int, Any]] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)

    def answer(self, question: str, value: Any, code: int = 200) -> None:
        self.answers[question] = (code, value)

    def written(self) -> list[tuple[str, str, Any]]:
        """What was changed: method, path, body."""
        return [(item.method, item.path, item.body) for item in self.requests if item.method != "GET"]


@pytest.fixture
def forge() -> Iterator[Forge]:
    state = Forge()

    class Handler(BaseHTTPRequestHandler):
        def _serve(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            headers = {name.lower(): value for name, value in self.headers.items()}
            state.requests.append(Request(self.command, self.path, body, headers))
            code, value = state.answers.get(f"{self.command} {self.path}", (404, {"message": "Not Found"}))
            text = value.encode() if isinstance(value, str) else json.dumps(value).encode()
            self.send_response(code)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_POST = do_PUT = do_PATCH = _serve  # noqa: N815 - the names that the library calls

        def log_message(self, *_: object) -> None:
            """Nothing: the test's output is its own."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    state.address = f"http://127.0.0.1:{server.server_port}"
    yield state
    server.shutdown()
    thread.join()
    server.server_close()
