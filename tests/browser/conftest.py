"""A running app and a real Chromium for the tests of the page.

Without Chromium the tests are skipped with a reason; ``T2APP_REQUIRE_BROWSER=1`` makes that a
failure. A test that fails shows the end of the app's log.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
START_SECONDS = 90
LOG = pytest.StashKey[Path]()
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = [
    "--no-sandbox",  # tests may run as root, as in a container
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Every test in this folder has the marker ``browser``."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker("browser")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Put the app's log beside a failure."""
    report = yield
    if report.failed and LOG in item.config.stash:
        report.sections.append(("log of app.py", _end_of(item.config.stash[LOG])))
    return report


def _end_of(log: Path) -> str:
    return log.read_text(errors="replace")[-6000:]


def _unavailable(reason: str) -> NoReturn:
    """Skip, or fail where the browser tests must run."""
    if os.environ.get("T2APP_REQUIRE_BROWSER", "") not in ("", "0"):
        pytest.fail(f"T2APP_REQUIRE_BROWSER is set, but {reason}")
    pytest.skip(reason)


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def _wait_until_it_answers(url: str, app: subprocess.Popen[bytes], log: Path) -> None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if app.poll() is not None:
            pytest.fail(f"app.py ended with exit code {app.returncode}:\n{_end_of(log)}")
        try:
            with opener.open(url, timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    pytest.fail(f"app.py did not answer within {START_SECONDS} s:\n{_end_of(log)}")


@contextmanager
def running(command: list[str], log: Path, cache: Path, config: pytest.Config) -> Iterator[str]:
    """An app in a process of its own; gives its address."""
    port = _free_port()
    url = f"http://127.0.0.1:{port}/"
    settings = {
        "GRADIO_ANALYTICS_ENABLED": "False",
        "HF_HUB_OFFLINE": "1",
        "PYTHONUNBUFFERED": "1",
        "T2APP_CACHE": str(cache),
    }
    with log.open("wb") as stream:
        app = subprocess.Popen(
            [sys.executable, *command, "--host", "127.0.0.1", "--port", str(port)],
            cwd=ROOT,
            env={**os.environ, **settings},
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
        )
    try:
        _wait_until_it_answers(url, app, log)
        config.stash[LOG] = log
        yield url
    finally:
        app.terminate()
        try:
            app.wait(10)
        except subprocess.TimeoutExpired:
            app.kill()
            app.wait()


@pytest.fixture(scope="session")
def app_url(
    chromium: str,
    shared_cache: Path,
    tmp_path_factory: pytest.TempPathFactory,
    pytestconfig: pytest.Config,
) -> Iterator[str]:
    """Address of the app, started once for the whole run with the built-in model.

    It asks for ``chromium`` first, so that nothing is started where there is none.
    """
    log = tmp_path_factory.mktemp("app") / "app.log"
    with running(["app.py"], log, shared_cache, pytestconfig) as url:
        yield url


@pytest.fixture(scope="session")
def chromium() -> str:
    """Path of an installed Chromium."""
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        _unavailable(f"none of {', '.join(BROWSERS)} is installed")
    if importlib.util.find_spec("playwright") is None:
        _unavailable("playwright is not installed (requirements-dev.txt)")
    return path


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Any]:
    """Headless Chromium (``playwright.sync_api.Browser``).

    One for each file and not for the whole run: while Playwright is active its event loop runs in
    this thread, and no test could start another.
    """
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=chromium, headless=True, args=ARGUMENTS)
        yield opened
        opened.close()


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    """A new window with a storage of its own (``playwright.sync_api.Page``)."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    yield context.new_page()
    context.close()
