from __future__ import annotations

import argparse
import os
import socket
from pathlib import Path

import pytest

import app
from t2app.cli import app_command
from t2app.config import AUTO


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", dict(os.environ))


def parse(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    app_command.add_arguments(parser)
    return parser.parse_args(arguments)


def test_defaults() -> None:
    options = parse()
    assert (options.model, options.host, options.port) == (AUTO, "127.0.0.1", None)
    assert options.auth is None
    assert not options.api


@pytest.mark.parametrize("device", ["auto", "cpu", "cuda", "cuda:1"])
def test_devices_are_those_of_the_command(device: str) -> None:
    assert parse("--device", device).device == device


@pytest.mark.parametrize(
    ("device", "expected"),
    [
        ("gpu", "unknown device 'gpu': choose auto, cpu, cuda or one GPU (cuda:1)"),
        ("cuda:2", "device 'cuda:2' does not exist: there are 2"),
    ],
)
def test_a_bad_device_is_the_line_of_the_command(
    device: str,
    expected: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    checkpoint: Path,
) -> None:
    from t2app.cli import main

    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    options = ["--device", device, "--model", str(checkpoint)]
    assert app.main(options) == main(["ask", "hello", *options]) == 2
    first, second = capsys.readouterr().err.splitlines()
    assert first == f"app.py: {expected}"
    assert second.endswith(f": {expected}")


def test_auth_may_hold_colons(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    monkeypatch.setattr(app_command, "serve", seen.append)
    assert app.main(["--auth", "me:a:b"]) == 0
    assert seen[0].auth == ("me", "a:b")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--port", "x"], "--port"),
        (["--port", "0"], "choose one from 1 to 65535"),
        (["--port", "65536"], "choose one from 1 to 65535"),
        (["--auth", "me"], "USER:PASS"),
        (["--auth", ":secret"], "USER:PASS"),
        (["--quant", "int3"], "int3"),
        (["--nonsense"], "--nonsense"),
        (["--host", "no-such-host.invalid"], "no-such-host.invalid"),
        (["--host", "192.0.2.1"], "192.0.2.1"),
    ],
)
def test_bad_arguments_are_one_line(
    arguments: list[str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert app.main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert expected in err


def test_a_busy_port_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert app.main(["--port", str(port)]) == 2
    assert capsys.readouterr().err == (
        f"app.py: port {port} is in use: stop what runs there or choose another with --port\n"
    )


def test_a_missing_model_is_one_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert app.main(["--model", str(tmp_path / "none")]) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize(
    ("platform", "variables", "expected"),
    [
        ("linux", {}, False),
        ("linux", {"DISPLAY": ":0"}, True),
        ("linux", {"WAYLAND_DISPLAY": "wayland-0"}, True),
        ("darwin", {}, True),
        ("darwin", {"SSH_CONNECTION": "x"}, False),
        ("win32", {}, True),
    ],
)
def test_a_browser_opens_only_where_someone_sees_it(
    platform: str, variables: dict[str, str], expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.platform", platform)
    monkeypatch.setattr(os, "environ", variables)
    assert app_command.can_open_browser() is expected
