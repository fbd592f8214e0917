"""The set-up: `python3 -m toolchain.setup`, or `make setup`; with `--tests`, what only the full test run needs too.

Finds, fetches or builds what the rehearsal and the tests need, and writes down where it is
(`.venv/headroom-toolchain.json`, read by `headroom.rehearsal.tools`). It can be interrupted and
repeated at any time, and two may run at once.
"""

import sys

if sys.version_info < (3, 11):  # noqa: UP036 - this is the message for those who have an older one
    sys.exit(
        f"headroom needs Python 3.11 or newer; {sys.executable} is {sys.version.split()[0]}. "
        "Install a newer one, and name it if it is not found: make PYTHON=/path/to/python3.12 setup"
    )

import contextlib
import json
import os
import shutil
import signal
import time
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from pathlib import Path
from types import FrameType
from typing import Any

from toolchain import environment, parts, processes
from toolchain.cache import cache_folder, locked, this_platform
from toolchain.golang import Go
from toolchain.packages import Installer, PackagesError
from toolchain.progress import Progress, duration
from toolchain.versions import ACTIONLINT, CHECKOUT, ETCD, KUBERNETES, PROMETHEUS, PULUMI, dotted, pulumi_minimum

MANIFEST = environment.ENVIRONMENT / "headroom-toolchain.json"

MODULES = ("etcd", "kubernetes", "pulumi")
"""The Go modules, each a folder beside this file."""

TEST_MODULES = ("actionlint", "promtool")
"""Those that only the full test run needs; the program of each has its name."""

MEMORY_FOR_TWO_BUILDS = 7 << 30
"""Bytes. Linking the API server takes 1.5 GiB; with less memory the builds run one after the other."""


def main() -> int:
    """Runs the set-up; gives the exit code (0 done, 1 a part is not to be had, 130 interrupted)."""
    signal.signal(signal.SIGTERM, _interrupt)
    progress = Progress()
    try:
        return _set_up(progress, tests="--tests" in sys.argv[1:])
    except OSError as error:
        progress.say(
            f"set-up: {error}. The cache is {cache_folder()}: set HEADROOM_CACHE to a folder that can be written to, "
            "with 2 GB free, and run `make setup` again."
        )
        return 1
    except KeyboardInterrupt:
        progress.is_muted = False
        progress.say("set-up: interrupted; `make setup` goes on from here")
        return 130
    finally:
        progress.close()


def signature() -> dict[str, object]:
    """What decides whether an earlier set-up still holds: our pins, and the programs on PATH."""
    programs: dict[str, object] = {}
    for name in ("pulumi", "pulumi-language-python", "etcd", *parts.CONTROL_PLANE):
        path = shutil.which(name)
        if path:
            status = Path(path).stat()
            programs[name] = [path, status.st_size, status.st_mtime_ns]
    return {
        "environment": environment.wanted(),
        "onPath": programs,
        "versions": [PULUMI, ETCD, KUBERNETES, *this_platform()],
        "modules": _recipe(MODULES),
        "cache": str(cache_folder()),
        "pulumiMinimum": dotted(pulumi_minimum()),
    }


def tests_signature() -> list[str]:
    """The same for what only the full test run needs."""
    return [ACTIONLINT, PROMETHEUS, _recipe(TEST_MODULES), *(shutil.which(name) or "" for name in TEST_MODULES)]


def _recipe(modules: tuple[str, ...]) -> str:
    files = [path for name in modules for path in sorted((CHECKOUT / "toolchain" / name).iterdir())]
    return parts.digest([path.read_text("utf-8") for path in files])


def is_current(*, tests: bool = False) -> bool:
    """Whether everything is in place for the present checkout, PATH and pins.

    Args:
        tests: Also what only the full test run needs.
    """
    manifest = _manifest()
    return (
        bool(manifest)
        and environment.present() == environment.wanted()
        and manifest.get("signature") == json.loads(json.dumps(signature()))
        and (not tests or manifest.get("tests") == tests_signature())
        and all(Path(path).exists() for path in manifest["programs"].values())
    )


def _manifest() -> dict[str, Any]:
    """What the last set-up wrote; empty where there was none."""
    try:
        found = json.loads(MANIFEST.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _set_up(progress: Progress, *, tests: bool) -> int:
    started = time.monotonic()
    if is_current(tests=tests):
        progress.say(f"set-up: everything is in place ({time.monotonic() - started:.2f} s)")
        return 0
    cache = cache_folder()
    cache.mkdir(parents=True, exist_ok=True)
    progress.say(f"set-up: Python packages into .venv, programs into {cache}")
    # The lock file of the packages doubles as the checkout's own: it is always there.
    with locked(environment.REQUIREMENTS, progress, "this checkout"):
        if is_current(tests=tests):
            progress.say("set-up: the other one has done it all")
            return 0
        failures = _provide_all(cache, progress, tests=tests)
    if failures:
        progress.say("\nset-up: not complete.\n" + "\n".join(f"  {failure}" for failure in failures))
        return 1
    progress.say(f"set-up: done in {duration(time.monotonic() - started)}")
    return 0


def _provide_all(cache: Path, progress: Progress, *, tests: bool) -> list[str]:
    installer = Installer(cache=cache, progress=progress)
    workshop = parts.Workshop(
        cache=cache, progress=progress, go=Go(cache=cache, progress=progress, installer=installer)
    )
    found: parts.Found = {}
    failures: list[str] = []

    def packages() -> None:
        try:
            environment.provide(installer, progress)
        except PackagesError as error:
            failures.append(
                f"The Python packages cannot be had: {error}\n  What to do: give pip access to a package "
                "index (PIP_INDEX_URL, or `pip config set global.index-url …`), then run `make setup` again."
            )

    def provide(part: parts.Part) -> None:
        try:
            found.update(parts.provide(part, workshop))
        except parts.PartUnavailableError as error:
            failures.append(str(error))

    def control_plane() -> None:
        provide(parts.etcd())
        provide(parts.kubernetes())
        if tests:
            provide(parts.actionlint())
            provide(parts.promtool())

    # Side by side: linking and package installs leave a processor idle that another build can use.
    lanes = [packages, lambda: provide(parts.pulumi()), control_plane]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    workers = ThreadPoolExecutor(max_workers=len(lanes) if memory >= MEMORY_FOR_TWO_BUILDS else 1)
    try:
        running = [workers.submit(lane) for lane in lanes]
        done, _ = wait(running, return_when=FIRST_EXCEPTION)
        for lane in done:
            lane.result()
    except BaseException:
        progress.is_muted = True
        processes.end_all()
        raise
    finally:
        workers.shutdown(wait=True, cancel_futures=True)
    if not failures:
        _write_manifest(found, tests=tests)
    return failures


def _write_manifest(found: parts.Found, *, tests: bool) -> None:
    programs = {name: path for name, path in found.items() if not name.endswith("Version")}
    versions = {name.removesuffix("Version"): value for name, value in found.items() if name.endswith("Version")}
    manifest = {"signature": signature(), "programs": programs, "versions": versions}
    before = _manifest()
    if tests:
        manifest["tests"] = tests_signature()
    elif before.get("tests") == tests_signature():
        # What an earlier `make test` built is there still.
        programs |= {name: before["programs"][name] for name in TEST_MODULES}
        manifest["tests"] = before["tests"]
    partial = MANIFEST.with_suffix(".partial")
    partial.write_text(json.dumps(manifest, indent=1), "utf-8")
    partial.rename(MANIFEST)


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError):
        sys.exit(main())
