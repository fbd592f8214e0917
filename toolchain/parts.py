"""The programs that a rehearsal runs, and the ways to each.

In this order: PATH, the cache, the official release, a build from its Go module.
"""

import hashlib
import json
import shutil
import tarfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from toolchain.cache import new_entry, this_platform
from toolchain.download import NotDownloadedError, checksum_of, fetch_file, fetch_text
from toolchain.golang import Go, NoGoError
from toolchain.processes import CommandFailedError, output_of
from toolchain.progress import Progress
from toolchain.versions import (
    ACTIONLINT,
    CHECKOUT,
    ETCD,
    KUBERNETES,
    PROMETHEUS,
    PULUMI,
    dotted,
    parse_version,
    pulumi_minimum,
)

CONTROL_PLANE = ("kube-apiserver", "kube-controller-manager", "kube-scheduler")
PULUMI_LANGUAGE_HOST = "pulumi-language-python"
PULUMI_EXECUTOR = "program-executor"
"""What runs a program for our language host, under a name that no official release uses."""

COMPILER = ("-gcflags=all=-dwarf=false", "-pgo=off")
"""Nobody debugs these programs: without debug information they compile faster into a smaller cache."""

Found = dict[str, str]
"""Programs with their paths, and `…Version` entries, as the manifest stores them."""


class NotServedError(Exception):
    """One way to a part leads nowhere; the message says why."""


class PartUnavailableError(Exception):
    """A part cannot be had at all."""

    def __init__(self, part: "Part", tried: Sequence[str]) -> None:
        lines = "\n".join(f"    - {way}" for way in tried)
        super().__init__(f"{part.title} cannot be had. Tried:\n{lines}\n  What to do: {part.advice}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Workshop:
    """What providing a part needs."""

    cache: Path
    progress: Progress
    go: Go


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One program, or several of one origin and version.

    Attributes:
        title: What messages call it.
        module: The Go module under `toolchain/` that builds it.
        version: The version that is fetched or built.
        release_cost: What a download costs, for the progress line.
        build_cost: What a build costs, for the progress line.
        advice: What to do when no way leads to it.
        on_path: Looks on PATH; raises NotServedError.
        release: Asks for the addresses of the official files and their published SHA-256;
            raises NotDownloadedError, or NotServedError where there are none for this platform.
        build: Builds into a folder.
        inside: What lies in a folder that was downloaded or built.
    """

    title: str
    module: str
    version: str
    release_cost: str
    build_cost: str
    advice: str
    on_path: Callable[[], Found]
    release: Callable[[], dict[str, str]]
    build: Callable[[Go, Path], None]
    inside: Callable[[Path], Found]


def provide(part: Part, workshop: Workshop) -> Found:
    """Finds, fetches or builds a part.

    Raises:
        PartUnavailableError: No way led to it; the message holds each way and why not.
    """
    tried = []
    for name, way in _WAYS.items():
        try:
            return way(part, workshop)
        except (NotServedError, NotDownloadedError, NoGoError, CommandFailedError, OSError) as error:
            tried.append(f"{name}: {error}")
    raise PartUnavailableError(part, tried)


def _installed(part: Part, _workshop: Workshop) -> Found:
    return part.on_path()


def _cached(part: Part, workshop: Workshop) -> Found:
    for folder in (_release_folder(part, workshop), _build_folder(part, workshop)):
        if folder.exists():
            return part.inside(folder)
    raise NotServedError("nothing yet")


def _download(part: Part, workshop: Workshop) -> Found:
    files = part.release()
    with new_entry(_release_folder(part, workshop), workshop.progress) as folder:
        if folder:
            with workshop.progress.step(f"downloading {part.title}", part.release_cost):
                for address, checksum in files.items():
                    _fetch(address, checksum, folder)
    return _cached(part, workshop)


def _build(part: Part, workshop: Workshop) -> Found:
    with new_entry(_build_folder(part, workshop), workshop.progress) as folder:
        if folder:
            workshop.go.command()
            with workshop.progress.step(f"building {part.title} from its Go module", part.build_cost):
                part.build(workshop.go, folder)
    return _cached(part, workshop)


_WAYS = {
    "PATH": _installed,
    "the cache": _cached,
    "the official release": _download,
    "a build from its Go module": _build,
}


def _release_folder(part: Part, workshop: Workshop) -> Path:
    return workshop.cache / f"{part.module}-{part.version}-official-{'-'.join(this_platform())}"


def _build_folder(part: Part, workshop: Workshop) -> Path:
    """Named after all that the build is made from, so that a changed recipe is built anew."""
    recipe = [file.read_text("utf-8") for file in sorted((CHECKOUT / "toolchain" / part.module).iterdir())]
    platform = "-".join(this_platform())
    return workshop.cache / f"{part.module}-{part.version}-built-{platform}-{digest([*COMPILER, *recipe])}"


def pulumi() -> Part:
    """The Pulumi engine; with a built one, the program executor for our own language host."""

    def on_path() -> Found:
        command, version = _on_path("pulumi", "version")
        if version < pulumi_minimum() or version[0] != pulumi_minimum()[0]:
            raise NotServedError(f"{command} is {dotted(version)}, needed is {dotted(pulumi_minimum())} or a newer 3.x")
        host = Path(command).resolve().with_name(PULUMI_LANGUAGE_HOST)
        if not host.exists() and shutil.which(PULUMI_LANGUAGE_HOST) is None:
            raise NotServedError(f"{command} has no {PULUMI_LANGUAGE_HOST} beside it")
        return {"pulumi": command, "pulumiVersion": dotted(version)}

    def release() -> dict[str, str]:
        system, processor = this_platform()
        name = f"pulumi-v{PULUMI}-{system}-{'x64' if processor == 'amd64' else processor}.tar.gz"
        # Two hosts: the archive is judged by a checksum from elsewhere.
        published = fetch_text(
            f"https://github.com/pulumi/pulumi/releases/download/v{PULUMI}/pulumi-{PULUMI}-checksums.txt"
        )
        return {f"https://get.pulumi.com/releases/sdk/{name}": checksum_of(name, published)}

    def build(go: Go, folder: Path) -> None:
        version = f"-X github.com/pulumi/pulumi/sdk/v3/go/common/version.Version=v{PULUMI}"
        flags = [*COMPILER, "-tags=osusergo,grpcnotrace", f"-ldflags=-s -w {version}"]
        go.build("pulumi", folder, ["github.com/pulumi/pulumi/pkg/v3/cmd/pulumi"], flags)
        sdk = _module_folder(go, "pulumi", "github.com/pulumi/pulumi/sdk/v3")
        shutil.copyfile(sdk / "python" / "cmd" / f"{PULUMI_LANGUAGE_HOST}-exec", folder / PULUMI_EXECUTOR)
        shutil.copyfile(CHECKOUT / "toolchain" / "pulumi" / PULUMI_LANGUAGE_HOST, folder / PULUMI_LANGUAGE_HOST)
        (folder / PULUMI_LANGUAGE_HOST).chmod(0o755)

    def inside(folder: Path) -> Found:
        found = {"pulumi": str(folder / "pulumi"), "pulumiVersion": PULUMI}
        if (folder / PULUMI_EXECUTOR).exists():
            found["pulumiLanguageHost"] = str(folder / PULUMI_LANGUAGE_HOST)
        return found

    return Part(
        title="the Pulumi engine",
        module="pulumi",
        version=PULUMI,
        release_cost="about 100 MB, once",
        build_cost="4 to 9 min on 2 cores, 115 MB, once",
        advice="install the Pulumi CLI (https://www.pulumi.com/docs/install/), "
        f"{dotted(pulumi_minimum())} or a newer 3.x, so that `pulumi version` works; {_OR_MODULES}",
        on_path=on_path,
        release=release,
        build=build,
        inside=inside,
    )


def etcd() -> Part:
    """The store of the control plane."""
    wanted = parse_version(ETCD)[:2]

    def on_path() -> Found:
        command, version = _on_path("etcd", "--version")
        if version[:2] != wanted:
            raise NotServedError(f"{command} is {dotted(version)}, needed is {dotted(wanted)}")
        return {"etcd": command}

    def release() -> dict[str, str]:
        system, processor = this_platform()
        if system != "linux":
            raise NotServedError(f"the one for {system} comes in another form of archive")
        folder = f"https://github.com/etcd-io/etcd/releases/download/v{ETCD}"
        name = f"etcd-v{ETCD}-{system}-{processor}.tar.gz"
        return {f"{folder}/{name}": checksum_of(name, fetch_text(f"{folder}/SHA256SUMS"))}

    def build(go: Go, folder: Path) -> None:
        go.build("etcd", folder, ["go.etcd.io/etcd/server/v3"], [*COMPILER, "-ldflags=-s -w"])
        (folder / "server").rename(folder / "etcd")  # Go names a program after its package

    return Part(
        title="etcd",
        module="etcd",
        version=ETCD,
        release_cost="about 25 MB, once",
        build_cost="0.5 to 2.5 min on 2 cores, 26 MB, once",
        advice=f"put etcd {dotted(wanted)} on PATH (https://github.com/etcd-io/etcd/releases); {_OR_MODULES}",
        on_path=on_path,
        release=release,
        build=build,
        inside=lambda folder: {"etcd": str(folder / "etcd")},
    )


def kubernetes() -> Part:
    """The Kubernetes API server, controllers and scheduler, all of one version."""
    wanted = parse_version(KUBERNETES)[:2]

    def on_path() -> Found:
        found = {name: _on_path(name, "--version") for name in CONTROL_PLANE}
        for command, version in found.values():
            if version[:2] != wanted:
                raise NotServedError(f"{command} is {dotted(version)}, needed is {dotted(wanted)}")
        versions = {dotted(version) for _, version in found.values()}
        if len(versions) > 1:
            raise NotServedError(f"their versions differ: {', '.join(sorted(versions))}")
        return {
            **{name: command for name, (command, _) in found.items()},
            "kubernetesVersion": versions.pop(),
        }

    def release() -> dict[str, str]:
        system, processor = this_platform()
        if system != "linux":
            raise NotServedError(f"there is none for {system}")
        folder = f"https://dl.k8s.io/release/v{KUBERNETES}/bin/{system}/{processor}"
        return {f"{folder}/{name}": checksum_of(name, fetch_text(f"{folder}/{name}.sha256")) for name in CONTROL_PLANE}

    def build(go: Go, folder: Path) -> None:
        stamp = {"gitVersion": f"v{KUBERNETES}", "gitMajor": wanted[0], "gitMinor": wanted[1]}
        stamps = " ".join(f"-X k8s.io/component-base/version.{name}={value}" for name, value in stamp.items())
        go.build("kubernetes", folder, ["tool"], [*COMPILER, f"-ldflags=-s -w {stamps}"])

    return Part(
        title="the Kubernetes control plane",
        module="kubernetes",
        version=KUBERNETES,
        release_cost="about 230 MB, once",
        build_cost="4 to 9 min on 2 cores, 235 MB, once",
        advice=f"put {', '.join(CONTROL_PLANE)} {dotted(wanted)} on PATH "
        f"(https://kubernetes.io/releases/download/); {_OR_MODULES}",
        on_path=on_path,
        release=release,
        build=build,
        inside=lambda folder: {
            **{name: str(folder / name) for name in CONTROL_PLANE},
            "kubernetesVersion": KUBERNETES,
        },
    )


def promtool() -> Part:
    """Prometheus's checker of rule files, for the tests of what `headroom watch-files` writes."""
    wanted = parse_version(PROMETHEUS)

    def on_path() -> Found:
        command, version = _on_path("promtool", "--version")
        if version[:1] != wanted[:1]:
            raise NotServedError(f"{command} is {dotted(version)}, needed is {wanted[0]}.x")
        return {"promtool": command}

    def release() -> dict[str, str]:
        system, processor = this_platform()
        folder = f"https://github.com/prometheus/prometheus/releases/download/v{PROMETHEUS}"
        name = f"prometheus-{PROMETHEUS}.{system}-{processor}.tar.gz"
        return {f"{folder}/{name}": checksum_of(name, fetch_text(f"{folder}/sha256sums.txt"))}

    def build(go: Go, folder: Path) -> None:
        # Without the clients of two dozen clouds, in whose inventories a server looks for targets.
        flags = [*COMPILER, "-tags=remove_all_sd", "-ldflags=-s -w"]
        go.build("promtool", folder, ["github.com/prometheus/prometheus/cmd/promtool"], flags)

    return Part(
        title="promtool",
        module="promtool",
        version=PROMETHEUS,
        release_cost="about 130 MB, once",
        build_cost="about 1.5 min on 2 cores, 52 MB, once",
        advice=f"put promtool {wanted[0]}.x on PATH (https://prometheus.io/download/); {_OR_MODULES}",
        on_path=on_path,
        release=release,
        build=build,
        inside=lambda folder: {"promtool": str(folder / "promtool")},
    )


def actionlint() -> Part:
    """The linter of GitHub's workflows, for the tests of what lies in `templates/ci`."""
    wanted = parse_version(ACTIONLINT)

    def on_path() -> Found:
        command, version = _on_path("actionlint", "-version")
        if version[:1] != wanted[:1] or version < wanted:
            raise NotServedError(f"{command} is {dotted(version)}, needed is {dotted(wanted)} or a newer {wanted[0]}.x")
        return {"actionlint": command}

    def release() -> dict[str, str]:
        system, processor = this_platform()
        folder = f"https://github.com/rhysd/actionlint/releases/download/v{ACTIONLINT}"
        name = f"actionlint_{ACTIONLINT}_{system}_{processor}.tar.gz"
        sums = fetch_text(f"{folder}/actionlint_{ACTIONLINT}_checksums.txt")
        return {f"{folder}/{name}": checksum_of(name, sums)}

    def build(go: Go, folder: Path) -> None:
        go.build("actionlint", folder, ["tool"], [*COMPILER, "-ldflags=-s -w"])

    return Part(
        title="actionlint",
        module="actionlint",
        version=ACTIONLINT,
        release_cost="about 2 MB, once",
        build_cost="about 15 s on 2 cores, 6 MB, once",
        advice=f"put actionlint {dotted(wanted)} or newer on PATH (https://github.com/rhysd/actionlint); {_OR_MODULES}",
        on_path=on_path,
        release=release,
        build=build,
        inside=lambda folder: {"actionlint": str(folder / "actionlint")},
    )


_OR_MODULES = "or let Go modules be downloaded (GOPROXY). Then run `make setup` again."


def digest(texts: Sequence[str]) -> str:
    """A short digest of texts, for stamps and names in the cache."""
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:10]


def _on_path(name: str, question: str) -> tuple[str, tuple[int, ...]]:
    """A command and its version."""
    command = shutil.which(name)
    if command is None:
        raise NotServedError(f"there is no {name}")
    version = parse_version(output_of([command, question]))
    if not version:
        raise NotServedError(f"{command} does not tell its version")
    return command, version


def _fetch(address: str, checksum: str, folder: Path) -> None:
    """Downloads a program, or an archive of which it keeps the regular files, without their folders."""
    file = folder / address.rpartition("/")[2]
    fetch_file(address, checksum, file)
    if not file.name.endswith(".tar.gz"):
        file.chmod(0o755)
        return
    with tarfile.open(file) as archive:
        for member in archive:
            source = archive.extractfile(member) if member.isfile() else None
            if source is not None:
                target = folder / Path(member.name).name
                with source, target.open("wb") as output:
                    shutil.copyfileobj(source, output)
                target.chmod(member.mode & 0o755 | 0o600)
    file.unlink()


def _module_folder(go: Go, module: str, path: str) -> Path:
    folder = CHECKOUT / "toolchain" / module
    answer = output_of([go.command(), "-C", folder, "mod", "download", "-json", path], seconds=120)
    if not answer:
        raise NotServedError(f"the Go module {path} could not be downloaded")
    return Path(json.loads(answer)["Dir"])
