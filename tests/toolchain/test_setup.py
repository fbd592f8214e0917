"""The set-up as a whole: what it notices, what it writes, what it says."""

import io
import json
import re
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from headroom.addresses.problems import ProblemsError
from headroom.rehearsal.tools import Tools, find_tools, pulumi_environment
from toolchain import environment, setup
from toolchain.progress import Progress, duration
from toolchain.versions import CHECKOUT


def test_a_warm_set_up_is_nothing_but_a_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "etcd"
    program.write_text("")
    manifest = tmp_path / "headroom-toolchain.json"
    manifest.write_text(json.dumps({"signature": setup.signature(), "programs": {"etcd": str(program)}}))
    monkeypatch.setattr(setup, "MANIFEST", manifest)
    monkeypatch.setattr(environment, "present", environment.wanted)

    def refuse(*_: object, **__: object) -> None:
        pytest.fail("a look starts no process and asks no host")

    with monkeypatch.context() as looking:
        looking.setattr(subprocess, "Popen", refuse)
        looking.setattr(socket, "socket", refuse)
        assert setup.is_current()
    program.unlink()
    assert not setup.is_current(), "a cache that was emptied is noticed"


def test_what_only_the_full_test_run_needs_is_asked_for_by_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "etcd"
    program.write_text("")
    manifest = tmp_path / "headroom-toolchain.json"
    written = {"signature": setup.signature(), "programs": {"etcd": str(program)}}
    manifest.write_text(json.dumps(written))
    monkeypatch.setattr(setup, "MANIFEST", manifest)
    monkeypatch.setattr(environment, "present", environment.wanted)

    assert setup.is_current()
    assert not setup.is_current(tests=True)
    manifest.write_text(json.dumps({**written, "tests": setup.tests_signature()}))
    assert setup.is_current(tests=True)
    monkeypatch.setattr(setup, "PROMETHEUS", "99.0.0")
    assert setup.is_current(), "another version of promtool is nothing to a rehearsal"
    assert not setup.is_current(tests=True)


def test_what_tests_need_stays_known_when_a_set_up_without_it_follows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = tmp_path / "headroom-toolchain.json"
    monkeypatch.setattr(setup, "MANIFEST", manifest)
    both = {"actionlint": "/actionlint", "promtool": "/promtool"}
    setup._write_manifest({"etcd": "/etcd", **both}, tests=True)
    setup._write_manifest({"etcd": "/etcd"}, tests=False)
    written = json.loads(manifest.read_text())
    assert written["programs"] == {"etcd": "/etcd", **both}
    assert written["tests"] == setup.tests_signature()
    monkeypatch.setattr(setup, "PROMETHEUS", "99.0.0")
    setup._write_manifest({"etcd": "/etcd"}, tests=False)
    assert json.loads(manifest.read_text())["programs"] == {"etcd": "/etcd"}


def test_another_program_on_path_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = setup.signature()
    program = tmp_path / "etcd"
    program.write_text("")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")

    assert setup.signature() != before


def test_an_environment_that_was_not_completed_does_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stamp = tmp_path / "headroom-environment.json"
    monkeypatch.setattr(environment, "ENVIRONMENT", tmp_path)
    monkeypatch.setattr(environment, "STAMP", stamp)
    assert environment.present() == {}

    stamp.write_text(json.dumps(environment.wanted()))
    assert environment.present() == {}, "the command headroom is missing"
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "headroom").write_text("")
    assert environment.present() == environment.wanted()
    stamp.write_text('{"half')
    assert environment.present() == {}


def test_an_older_python_is_told_what_is_needed() -> None:
    program = "import sys; sys.version_info = (3, 8, 1); import runpy; runpy.run_module('toolchain.setup')"
    result = subprocess.run(  # noqa: S603 - our own interpreter
        [sys.executable, "-c", program], cwd=CHECKOUT, capture_output=True, text=True, check=False
    )

    assert result.returncode == 1
    assert re.match(r"headroom needs Python 3\.11 or newer; \S+ is [\d.]+\. Install a newer one", result.stderr)


def test_progress_off_a_terminal_is_plain_lines() -> None:
    output = io.StringIO()
    progress = Progress(output)

    with progress.step("building etcd", "about 25 s"):
        pass
    with pytest.raises(ValueError, match="no"), progress.step("building Pulumi"):
        raise ValueError("no")
    progress.close()

    assert output.getvalue().splitlines() == [
        "  … building etcd: about 25 s",
        "  ✓ building etcd (0.0 s)",
        "  … building Pulumi",
        "  ✗ building Pulumi (0.0 s)",
    ]
    assert duration(0.26) == "0.3 s"
    assert duration(75) == "1 min 15 s"


def test_make_help_lists_every_target() -> None:
    command = ["make", "--no-print-directory", "help"]  # quiet also where make runs these tests
    listed = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=True).stdout  # noqa: S603 - make
    declared = re.search(r"^\.PHONY: (.*)$", (CHECKOUT / "Makefile").read_text(), re.MULTILINE)

    assert declared
    assert [line.split()[1] for line in listed.splitlines()] == declared[1].split()


def test_tools_that_were_not_set_up_say_run_make_setup(tmp_path: Path) -> None:
    with pytest.raises(ProblemsError, match=r"have not been set up\. In the checkout, run make setup"):
        find_tools(tmp_path / "absent.json")

    manifest = tmp_path / "manifest.json"
    manifest.write_text("[]")
    with pytest.raises(ProblemsError, match="does not name programs and versions"):
        find_tools(manifest)
    manifest.write_text(json.dumps({"programs": {"etcd": "/absent/etcd"}, "versions": {}}))
    with pytest.raises(ProblemsError) as gone:
        find_tools(manifest)
    assert len(gone.value.problems) == 5, "all missing programs at once"


def test_the_engines_environment_leads_to_no_real_account_or_cluster(tmp_path: Path) -> None:
    tools = find_tools()
    inherited = {
        "PATH": "/bin",
        "HOME": "/home/someone",
        "AWS_PROFILE": "production",
        "KUBECONFIG": "/home/someone/.kube/config",
        "PULUMI_ACCESS_TOKEN": "secret",
        "ARM_SUBSCRIPTION_ID": "1",
        "HTTPS_PROXY": "http://proxy.invalid",
        "NO_PROXY": "internal.invalid",
    }

    made = pulumi_environment(
        tools,
        home=tmp_path / "home",
        backend=tmp_path / "state",
        providers={"kubernetes": 2, "aws": 1},
        inherited=inherited,
    )

    assert made["PULUMI_BACKEND_URL"] == f"file://{tmp_path}/state?metadata=skip"
    assert made["PULUMI_DEBUG_PROVIDERS"] == "aws:1,kubernetes:2"
    assert made["NO_PROXY"] == "internal.invalid,127.0.0.1,localhost"
    assert made["HOME"] == "/home/someone"
    assert not made.keys() & {"AWS_PROFILE", "KUBECONFIG", "PULUMI_ACCESS_TOKEN", "ARM_SUBSCRIPTION_ID"}
    assert made["PATH"].split(":")[0] == str(Path(sys.prefix) / "bin")
    assert shutil.which("pulumi", path=made["PATH"]) == str(tools.pulumi)


@pytest.mark.engine
def test_the_engine_that_was_set_up_runs_a_program(tmp_path: Path) -> None:
    tools: Tools = find_tools()
    environment_of_engine = pulumi_environment(tools, home=tmp_path / "home", backend=tmp_path / "state", providers={})
    runtime = {"name": "python", "options": {"toolchain": "pip", "virtualenv": sys.prefix}}
    (tmp_path / "Pulumi.yaml").write_text(json.dumps({"name": "small", "runtime": runtime}))
    program = tmp_path / "__main__.py"

    def engine(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(  # noqa: S603 - the engine that was set up
            [tools.pulumi, *arguments, "--non-interactive", "--color=never"],
            cwd=tmp_path,
            env=environment_of_engine,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )

    assert engine("stack", "init", "test").returncode == 0
    program.write_text("import pulumi\npulumi.export('greeting', pulumi.get_stack())\nprint('from the program')\n")
    started = time.monotonic()
    right = engine("up", "--yes", "--skip-preview")
    seconds = time.monotonic() - started
    assert right.returncode == 0, right.stdout
    assert 'greeting: "test"' in right.stdout
    assert "from the program" in right.stdout
    assert "warning" not in right.stdout, "the language host lies where the engine expects it"

    program.write_text("raise RuntimeError('the program is broken')\n")
    started = time.monotonic()
    wrong = engine("preview")
    assert wrong.returncode != 0
    assert "RuntimeError: the program is broken" in wrong.stdout
    assert "exited with code" not in wrong.stdout, "the executor has told the error already"
    assert time.monotonic() - started < seconds + 4, "a failed preview does not linger"
