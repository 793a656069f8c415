"""Serve agents through the Model Context Protocol: ask, train, adapt.

Over standard input, for an agent that starts this program, or with --http at /mcp. Needs the
package mcp (pip install 't2app[mcp]'). docs/serving.md lists the tools.
"""

from __future__ import annotations

import argparse

from t2app.cli import endpoint
from t2app.cli.common import add_model, load_engine, note, print_json
from t2app.errors import T2Error

PORT = 8001


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``mcp``."""
    parser.add_argument("--http", action="store_true", help="serve over HTTP, at /mcp")
    parser.add_argument(
        "--host",
        default=endpoint.LOCAL,
        help=f"address to serve on (default {endpoint.LOCAL}: this computer only)",
    )
    parser.add_argument("--port", type=int, default=PORT, help=f"port (default {PORT})")
    endpoint.add_keys(parser)
    add_model(parser)


def run(args: argparse.Namespace) -> int:
    """Serve until it is told to stop."""
    if not args.http and args.json:
        raise T2Error("--json is for --http: over standard input, output is the protocol's")
    from t2app.server import agents

    agents.check_installed()
    if not args.http:
        agents.run_stdio(load_engine(args))
        return 0
    endpoint.check_address(args.host, args.port)
    keys = endpoint.keys(args.api_key, args.host)
    engine = load_engine(args)
    url = f"http://{endpoint.in_url(args.host)}:{args.port}{agents.PATH}"
    note(f"t2app serves agents: {url}  (stop it with Ctrl+C)")
    if args.json:
        print_json({"url": url, "model": engine.base.name})
    local = args.host in endpoint.LOOPBACK
    agents.run_http(engine, args.host, args.port, keys, local, endpoint.BODY)
    return 0
