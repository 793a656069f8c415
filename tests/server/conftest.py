"""A real server process on the built-in model, and clients for it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

ROOT = Path(__file__).parents[2]
START_SECONDS = 90


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@dataclass(frozen=True)
class Server:
    """A process that serves at ``url``."""

    url: str
    process: subprocess.Popen
    log: Path
    key: str = ""

    def http(self) -> httpx.Client:
        headers = {"Authorization": f"Bearer {self.key}"} if self.key else {}
        return httpx.Client(base_url=self.url, timeout=60, trust_env=False, headers=headers)

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    def idle(self) -> bool:
        """Whether nothing is being answered."""
        with self.http() as http:
            return "t2app_requests_running 0.0" in http.get("/metrics").text


@contextmanager
def running(command: list[str], log: Path, cache: Path, ready: int = 200) -> Iterator[Server]:
    """``command`` in a process of its own, once ``/health`` answers with status ``ready``."""
    port = free_port()
    settings = {"HF_HUB_OFFLINE": "1", "T2APP_CACHE": str(cache), "OMP_NUM_THREADS": "1"}
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [sys.executable, *command, "--port", str(port)],
            cwd=ROOT,
            env={**os.environ, **settings, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.DEVNULL, stdout=stream, stderr=subprocess.STDOUT,
        )  # fmt: skip
    server = Server(f"http://127.0.0.1:{port}", process, log)
    try:
        _wait(server, ready)
        yield server
    finally:
        process.kill()
        process.wait()


def _wait(server: Server, ready: int) -> None:
    deadline = time.monotonic() + START_SECONDS
    with server.http() as http:
        while time.monotonic() < deadline:
            if server.process.poll() is not None:
                break
            try:
                if http.get("/health").status_code == ready:
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.1)
    pytest.fail(f"the server did not start:\n{server.log.read_text()[-3000:]}")


@pytest.fixture(scope="session")
def server(shared_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """``t2app serve``, without a key, for all tests that leave it running."""
    log = tmp_path_factory.mktemp("serve") / "log"
    command = ["-m", "t2app", "serve", "--max-requests", "64", "--max-tokens", "400"]
    with running(command, log, shared_cache) as found:
        yield found


@pytest.fixture
def start(shared_cache: Path, tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """``start("--api-key", "…")``: another server, for this test alone."""
    with_exit = []

    def begin(
        *options: str, command: tuple[str, ...] = ("-m", "t2app", "serve"), ready: int = 200
    ) -> Server:
        log = tmp_path / f"log{len(with_exit)}"
        context = running([*command, *options], log, shared_cache, ready)
        with_exit.append(context)
        return context.__enter__()

    yield begin
    for context in with_exit:
        context.__exit__(None, None, None)
