"""Start the page: ``python app.py``, then chat in the browser.

Parses the arguments, loads the engine, serves the page. Whatever a user can get wrong ends with one
line on standard error and exit code 2. Not covered: everything that needs no page, which is
``python -m t2app``.
"""

from __future__ import annotations

import argparse
import errno
import os
import socket
import sys
from collections.abc import Sequence
from typing import NoReturn

from t2app.cli.common import MODEL_HELP, chosen, loading, logged
from t2app.config import AUTO
from t2app.errors import T2Error

LOCAL = "127.0.0.1"


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, without the whole usage."""

    def error(self, message: str) -> NoReturn:
        raise T2Error(f"{message} (python app.py --help lists the options)")


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The options; ``T2Error`` for what cannot be one."""
    parser = _Parser(prog="app.py", description="Chat with a model that adapts to each question.")
    add = parser.add_argument
    add("--model", default=AUTO, help=MODEL_HELP)
    add("--quant", default="auto", choices=("auto", "nf4", "int8", "none"), help="how to load it")
    add("--device", default="auto", help="auto, cpu, cuda, or one GPU of several: cuda:1")
    ways = ("auto", "factored", "merged")
    add(
        "--execution",
        default="auto",
        choices=ways,
        help="how a mix is executed (docs/benchmarks.md)",
    )
    kept = ("auto", "dense", "int8", "nf4")
    add("--factors", default="auto", choices=kept, help="how factors are kept (docs/benchmarks.md)")
    add("--host", default=LOCAL, help=f"address to serve on (default {LOCAL}: this computer only)")
    add("--port", type=int, help="port to serve on (default: the first free one from 7860)")
    add("--auth", metavar="USER:PASS", help="ask visitors for this name and password")
    add("--no-browser", action="store_true", help="do not open the page in a browser")
    options = parser.parse_args(arguments)
    options.auth = _credentials(options.auth)
    if options.port is not None and not 0 < options.port < 65536:
        raise T2Error(f"--port {options.port} is not a port: choose one from 1 to 65535")
    return options


def _credentials(text: str | None) -> tuple[str, str] | None:
    if text is None:
        return None
    user, _, password = text.partition(":")
    if not (user and password):
        raise T2Error("--auth needs a name and a password: --auth USER:PASS")
    return user, password


def check_address(host: str, port: int | None) -> None:
    """``T2Error`` if the page cannot be served there; asked before the model takes its time."""
    elsewhere = T2Error(f"--host {host!r} is not an address of this computer")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port or 0, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except OSError:
        raise elsewhere from None
    with socket.socket(family, kind, protocol) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
        except PermissionError:
            raise T2Error(f"port {port} needs special rights: choose one above 1023") from None
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise elsewhere from None
            raise T2Error(
                f"port {port} is in use: stop what runs there or choose another with --port"
            ) from None


def can_open_browser() -> bool:
    """Whether a browser window would appear in front of whoever started this."""
    if sys.platform in ("darwin", "win32"):
        return "SSH_CONNECTION" not in os.environ
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def serve(options: argparse.Namespace) -> None:
    """Load the model and serve the page until interrupted."""
    check_address(options.host, options.port)
    _stay_local()
    # The large libraries come after everything that can be refused without them.
    from t2app.engine import Engine
    from t2app.ui import page

    logged()
    model = chosen(options.model, options.device)
    say(f"Loading {model} …")
    # Not kept in a name here: the page may put another model in its place.
    blocks = page.build(
        Engine.load(
            model,
            options.quant,
            options.device,
            report=loading(),
            execution=options.execution,
            storage=options.factors,
        )
    )
    try:
        _, url, _ = blocks.launch(
            server_name=options.host,
            server_port=options.port,
            auth=options.auth,
            inbrowser=not options.no_browser and can_open_browser(),
            prevent_thread_lock=True,
            **page.launch_options(),
        )
    except OSError as error:
        raise T2Error(f"cannot serve on {options.host}, port {options.port}: {error}") from error
    say(f"t2app is ready: {url}  (stop it with Ctrl+C)")
    if options.auth is None and options.host not in (LOCAL, "localhost", "::1"):
        say("Everyone who can reach this address can use it; --auth USER:PASS asks for a password.")
    blocks.block_thread()


def _stay_local() -> None:
    """No statistics are sent anywhere, and a proxy is not asked for the page on this computer."""
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    for name in ("NO_PROXY", "no_proxy"):
        os.environ[name] = ",".join(filter(None, (os.environ.get(name), LOCAL, "localhost")))


def say(line: str) -> None:
    """One line for whoever watches the terminal."""
    print(line, flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the app; the exit code."""
    try:
        serve(parse(arguments))
    except T2Error as error:
        print(f"app.py: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
