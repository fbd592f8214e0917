"""Packages come from wherever the machine has pip configured for, in the locked versions."""

import re
from pathlib import Path

import pytest

from toolchain.packages import uv_environment
from toolchain.versions import CHECKOUT

LOCKS = [CHECKOUT / "requirements.lock", *sorted((CHECKOUT / "toolchain").glob("*.lock"))]


def test_uv_is_told_the_indexes_that_pip_is_configured_for() -> None:
    settings = (
        ":env:.find-links='/opt/wheels'\n"
        "global.cert='/etc/ssl/own.pem'\n"
        "global.extra-index-url='https://b.invalid/simple\\nhttps://c.invalid/simple'\n"
        "global.index-url='https://a.invalid/simple'\n"
        "global.timeout='5'\n"
    )

    assert uv_environment(settings, {}) == {
        "UV_DEFAULT_INDEX": "https://a.invalid/simple",
        "UV_INDEX": "https://b.invalid/simple https://c.invalid/simple",
        "UV_INDEX_STRATEGY": "unsafe-best-match",
        "UV_FIND_LINKS": "/opt/wheels",
        "SSL_CERT_FILE": "/etc/ssl/own.pem",
    }


def test_what_the_user_tells_uv_wins_over_pips_settings() -> None:
    settings = "global.index-url='https://a.invalid/simple'\n"

    assert uv_environment(settings, {"UV_DEFAULT_INDEX": "https://own.invalid/simple"}) == {}
    assert uv_environment("", {}) == {}


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_every_locked_package_has_a_hash_and_no_lock_names_an_index(lock: Path) -> None:
    text = lock.read_text()
    packages = re.split(r"\n(?=\S)", text.strip())
    without = [package.splitlines()[0] for package in packages if "==" in package and "--hash=sha256:" not in package]

    assert len(LOCKS) == 3
    assert without == []
    assert not re.search(r"https?://|--index-url|--find-links", text)
