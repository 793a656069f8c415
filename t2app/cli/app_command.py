"""Open the page: chat in the browser.

Serves it until it is stopped, and OpenAI's protocol beside it (--api). ``python app.py`` in a clone
is the same.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from typing import TYPE_CHECKING, Any, NoReturn

from t2app.cli import endpoint
from t2app.cli.common import MODEL_HELP, add_json, chosen, loading, logged, note, print_json
from t2app.config import AUTO
from t2app.errors import T2Error

if TYPE_CHECKING:
    from t2app.server import Endpoint
    from t2app.ui.resident import Resident

LOCAL = endpoint.LOCAL


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``app``."""
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
    group = parser.add_argument_group("endpoint for programs (docs/serving.md)")
    group.add_argument(
        "--api", action="store_true", help="serve OpenAI's protocol too, under /v1 of the page"
    )
    endpoint.add_endpoint(group)
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Serve the page until it is stopped."""
    args.auth = _credentials(args.auth)
    endpoint.check_port(args.port)
    if args.api_key and not args.api:
        raise T2Error("--api-key is for the endpoint: give --api too, or leave it out")
    serve(args)
    return 0


def _credentials(text: str | None) -> tuple[str, str] | None:
    if text is None:
        return None
    user, _, password = text.partition(":")
    if not (user and password):
        raise T2Error("--auth needs a name and a password: --auth USER:PASS")
    return user, password


def can_open_browser() -> bool:
    """Whether a browser window would appear in front of whoever started this."""
    if sys.platform in ("darwin", "win32"):
        return "SSH_CONNECTION" not in os.environ
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def serve(options: argparse.Namespace) -> None:
    """Load the model and serve the page until interrupted."""
    endpoint.check_address(options.host, options.port)
    keys = endpoint.check(options, options.host, options.auth is not None) if options.api else ()
    _stay_local()
    say = note if options.json else _say
    # The large libraries come after everything that can be refused without them.
    from t2app.ui import page

    logged()
    options.model = chosen(options.model, options.device)
    say(f"Loading {options.model} …")
    resident = _resident(options)
    blocks = page.build(resident)
    beside = _endpoint(options, keys, resident) if options.api else {}
    try:
        _, url, _ = blocks.launch(
            server_name=options.host,
            server_port=options.port,
            auth=options.auth,
            inbrowser=not options.no_browser and can_open_browser(),
            prevent_thread_lock=True,
            **page.launch_options(),
            **beside,
        )
    except OSError as error:
        raise T2Error(f"cannot serve on {options.host}, port {options.port}: {error}") from error
    say(f"t2app is ready: {url}  (stop it with Ctrl+C)")
    if options.api:
        say(f"Programs ask at {url.rstrip('/')}/v1")
    if options.auth is None and options.host not in endpoint.LOOPBACK:
        say("Everyone who can reach this address can use it; --auth USER:PASS asks for a password.")
    if options.json:
        print_json({"url": url})
    blocks.block_thread()


def _resident(options: argparse.Namespace) -> Resident:
    """Holds the engine. It gets no other name: the page may put another model in its place."""
    from t2app.engine import Engine
    from t2app.ui.resident import Resident

    return Resident(
        Engine.load(
            options.model,
            options.quant,
            options.device,
            report=loading(),
            execution=options.execution,
            storage=options.factors,
        )
    )


def _endpoint(
    options: argparse.Namespace, keys: tuple[str, ...], resident: Resident
) -> dict[str, Any]:
    """What ``launch`` needs for the endpoint to answer beside the page, with its model."""
    from t2app.server import Endpoint
    from t2app.server.beside import launch_options

    local = options.host in endpoint.LOOPBACK
    door = Endpoint(lambda: resident.engine, keys, endpoint.limits(options), local)
    _end_streams_first(door)
    return launch_options(door)


def _end_streams_first(door: Endpoint) -> None:
    """On SIGTERM and Ctrl+C answers get their last event before the page closes."""

    def end(*_: Any) -> NoReturn:
        door.stop()
        raise KeyboardInterrupt

    for kind in (signal.SIGINT, signal.SIGTERM):
        signal.signal(kind, end)


def _stay_local() -> None:
    """No statistics are sent anywhere, and a proxy is not asked for the page on this computer."""
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    for name in ("NO_PROXY", "no_proxy"):
        os.environ[name] = ",".join(filter(None, (os.environ.get(name), LOCAL, "localhost")))


def _say(line: str) -> None:
    """One line for whoever watches the terminal."""
    print(line, flush=True)
