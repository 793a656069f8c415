"""Serve an endpoint with OpenAI's protocol: the model's name is the mix.

base is the plain model, auto chooses for every question, the name of an expert or of a saved mix is
that one alone, math=0.7,code=0.3 is a mix made on the spot. docs/serving.md shows how to ask.
"""

from __future__ import annotations

import argparse

from t2app.cli import endpoint
from t2app.cli.common import add_model, load_engine, note, print_json

PORT = 8000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``serve``."""
    parser.add_argument(
        "--host",
        default=endpoint.LOCAL,
        help=f"address to serve on (default {endpoint.LOCAL}: this computer only)",
    )
    parser.add_argument("--port", type=int, default=PORT, help=f"port (default {PORT})")
    endpoint.add_endpoint(parser)
    add_model(parser)


def run(args: argparse.Namespace) -> int:
    """Serve until it is told to stop."""
    endpoint.check_address(args.host, args.port)
    keys = endpoint.check(args, args.host)
    engine = load_engine(args)
    from t2app.server import Endpoint
    from t2app.server import run as server

    local = args.host in endpoint.LOOPBACK
    door = Endpoint(lambda: engine, keys, endpoint.limits(args), local)
    url = f"http://{endpoint.in_url(args.host)}:{args.port}/v1"

    def ready() -> None:
        note(f"t2app is ready: {url}  (stop it with Ctrl+C)")
        if args.json:
            print_json({"url": url, "model": engine.base.name})

    server.serve(door, args.host, args.port, ready)
    return 0
