"""Official releases are verified, and a machine without a network finds out quickly."""

import functools
import hashlib
import http.server
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from toolchain import download
from toolchain.download import NotDownloadedError, checksum_of, fetch_file, fetch_text


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Keeps the test output clean."""


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Path, str]]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    folder = tmp_path / "site"
    folder.mkdir()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield folder, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_file_with_the_published_checksum_is_kept(site: tuple[Path, str], tmp_path: Path) -> None:
    folder, url = site
    (folder / "etcd").write_bytes(b"program")
    (folder / "SHA256SUMS").write_text(f"{'0' * 64}  other\n{hashlib.sha256(b'program').hexdigest()}  etcd\n")

    checksum = checksum_of("etcd", fetch_text(f"{url}/SHA256SUMS"))
    fetch_file(f"{url}/etcd", checksum, tmp_path / "etcd")

    assert (tmp_path / "etcd").read_bytes() == b"program"


def test_a_file_with_another_checksum_is_refused_and_removed(site: tuple[Path, str], tmp_path: Path) -> None:
    folder, url = site
    (folder / "etcd").write_bytes(b"something else")

    with pytest.raises(NotDownloadedError, match="but 0000 is published: refused"):
        fetch_file(f"{url}/etcd", "0000", tmp_path / "etcd")

    assert not (tmp_path / "etcd").exists()


def test_the_checksum_comes_from_a_list_by_name_or_from_a_file_of_its_own() -> None:
    assert checksum_of("b", "AA  a\nBB *b\n") == "bb"
    assert checksum_of("kube-apiserver", "CC\n") == "cc"
    with pytest.raises(NotDownloadedError, match="do not name c"):
        checksum_of("c", "AA  a\nBB  b\n")


def test_a_host_that_refuses_or_knows_nothing_is_given_up_with_the_reason(site: tuple[Path, str]) -> None:
    with pytest.raises(NotDownloadedError, match=r"404|[Nn]ot [Ff]ound"):
        fetch_text(f"{site[1]}/absent")
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        with pytest.raises(NotDownloadedError, match="refused"):
            fetch_text(f"http://127.0.0.1:{unused.getsockname()[1]}/")


def test_a_host_that_never_answers_is_given_up_in_time(monkeypatch: pytest.MonkeyPatch, site: tuple[Path, str]) -> None:
    del site
    usual = download.PATIENCE
    monkeypatch.setattr(download, "PATIENCE", 0.3)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        started = time.monotonic()
        with pytest.raises(NotDownloadedError):
            fetch_text(f"http://127.0.0.1:{silent.getsockname()[1]}/")

    assert time.monotonic() - started < usual
