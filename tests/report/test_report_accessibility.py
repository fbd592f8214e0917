"""The page in a real browser: axe finds nothing, it fits a phone, it fetches nothing, no script runs.

Needs Chromium with its WebDriver and axe-core, which is JavaScript; without them these tests are skipped and say so.
"""

import json
import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from headroom.diagnosis.verdict import Diagnosis
from headroom.facts.snapshot import Snapshot
from headroom.report.page import render_page
from tests.report.conftest import SCRIPT

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
AXE = next(
    (
        path
        for path in (
            Path(os.environ.get("AXE_JS", "")),
            *(
                Path(folder) / "axe-core" / "axe.min.js"
                for folder in ("/usr/local/lib/node_modules", "/usr/lib/node_modules")
            ),
            Path(__file__).parents[2] / "node_modules" / "axe-core" / "axe.min.js",
        )
        if path.is_file()
    ),
    None,
)
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
RUN_AXE = """
const done = arguments[arguments.length - 1];
axe.run(document, {runOnly: arguments[0]}).then(found => done({
  violations: found.violations.map(each => [each.id, ...each.nodes.map(node => node.html.slice(0, 200))].join(' | ')),
  passes: found.passes.length,
})).catch(error => done({error: String(error)}));
"""

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(
        None in (CHROMIUM, DRIVER, AXE),
        reason="no Chromium, chromedriver or axe-core (Debian: apt-get install chromium chromium-driver; "
        "npm install --global axe-core, or AXE_JS=path of axe.min.js): accessibility is NOT checked here",
    ),
]


class Browser:
    """Headless Chromium behind its WebDriver (W3C WebDriver; commands of Chromium's own by `cdp`)."""

    def __init__(self, address: str) -> None:
        self._address = address
        options = {
            "binary": CHROMIUM,
            "args": ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"],
            "perfLoggingPrefs": {"enableNetwork": True},
        }
        wanted = {
            "browserName": "chrome",
            "goog:chromeOptions": options,
            "goog:loggingPrefs": {"performance": "ALL", "browser": "ALL"},
        }
        self._session = self.call("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})["sessionId"]

    def call(self, method: str, path: str, body: Any = None) -> Any:
        request = urllib.request.Request(  # noqa: S310 - our own WebDriver on this machine
            f"{self._address}{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=120) as answer:  # noqa: S310 - as above
            return json.load(answer)["value"]

    def session(self, method: str, path: str, body: Any = None) -> Any:
        return self.call(method, f"/session/{self._session}{path}", body)

    def run(self, script: str, *arguments: Any, wait: bool = False) -> Any:
        return self.session(
            "POST", f"/execute/{'async' if wait else 'sync'}", {"script": script, "args": list(arguments)}
        )

    def cdp(self, command: str, **parameters: Any) -> Any:
        return self.session("POST", "/goog/cdp/execute", {"cmd": command, "params": parameters})

    def requested(self) -> list[str]:
        """Addresses that the browser has asked for since it was last asked."""
        messages = [
            json.loads(entry["message"])["message"]
            for entry in self.session("POST", "/se/log", {"type": "performance"})
        ]
        return [
            message["params"]["request"]["url"]
            for message in messages
            if message["method"] == "Network.requestWillBeSent"
        ]

    def close(self) -> None:
        self.session("DELETE", "")


@contextmanager
def driven() -> Iterator[Browser]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with subprocess.Popen(  # noqa: S603 - found on the PATH
        [str(DRIVER), f"--port={port}", "--silent"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as driver:
        try:
            browser = _connected(f"http://127.0.0.1:{port}")
            try:
                yield browser
            finally:
                browser.close()
        finally:
            driver.terminate()


def _connected(address: str) -> Browser:
    for _ in range(200):
        try:
            with urllib.request.urlopen(f"{address}/status", timeout=5):  # noqa: S310 - our own WebDriver
                return Browser(address)
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.05)
    raise TimeoutError("chromedriver does not answer")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with driven() as one:
        yield one


@pytest.fixture(scope="module")
def page(diagnosis: Diagnosis, snapshot: Snapshot, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(render_page(diagnosis, snapshot=snapshot, source="--cluster prod-use1"), encoding="utf-8")
    return path.as_uri()


def axe(browser: Browser) -> Any:
    assert AXE is not None
    browser.run(AXE.read_text(encoding="utf-8"))
    return browser.run(RUN_AXE, RULES, wait=True)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("which", ["found", "healthy_diagnosis", "undecided_diagnosis", "not_ip_diagnosis"])
def test_axe_finds_no_violation(  # noqa: PLR0913, PLR0917 - fixtures
    which: str, scheme: str, browser: Browser, page: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    address = page
    if which != "found":
        (tmp_path / "report.html").write_text(render_page(request.getfixturevalue(which)), encoding="utf-8")
        address = (tmp_path / "report.html").as_uri()
    browser.cdp("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
    browser.session("POST", "/url", {"url": address})
    # Tables are folded away at first, and are to be judged too.
    browser.run("document.querySelectorAll('details').forEach(each => each.open = true)")
    found = axe(browser)
    assert found.get("violations") == []
    assert found["passes"] > 20


def test_it_fits_a_phone_without_scrolling_sideways(browser: Browser, page: str) -> None:
    browser.cdp("Emulation.setDeviceMetricsOverride", width=360, height=780, deviceScaleFactor=2, mobile=True)
    try:
        browser.session("POST", "/url", {"url": page})
        assert browser.run("return document.documentElement.scrollWidth") == 360
    finally:
        browser.cdp("Emulation.clearDeviceMetricsOverride")


def test_it_asks_for_nothing_but_itself(browser: Browser, page: str) -> None:
    browser.requested()
    browser.session("POST", "/url", {"url": page})
    assert [each for each in browser.requested() if not each.startswith("data:")] == [page]


def test_no_script_of_a_hostile_name_runs(
    browser: Browser, hostile_diagnosis: Diagnosis, hostile_snapshot: Snapshot, tmp_path: Path
) -> None:
    path = tmp_path / "report.html"
    path.write_text(render_page(hostile_diagnosis, snapshot=hostile_snapshot), encoding="utf-8")
    browser.session("POST", "/url", {"url": path.as_uri()})
    assert browser.run("return document.scripts.length") == 0
    assert SCRIPT in browser.run("return document.body.innerText")
    # A script that got in all the same would be stopped by the page's own policy.
    browser.run(
        "const s = document.createElement('script'); s.textContent = 'window.owned = 1'; document.body.append(s)"
    )
    assert browser.run("return typeof window.owned") == "undefined"
