"""Where an endpoint listens, who may come in and how much they may take: options and checks.

For ``t2app serve`` and for the page, which can have the endpoint beside it. Nothing large is
imported: what is wrong is said before a model takes its time.
"""

from __future__ import annotations

import argparse
import errno
import os
import socket
from collections.abc import Sequence
from typing import TYPE_CHECKING

from t2app.errors import T2Error

if TYPE_CHECKING:
    from t2app.server import Limits

LOCAL = "127.0.0.1"
LOOPBACK = (LOCAL, "localhost", "::1")
KEY_VARIABLE = "T2APP_API_KEY"
SHORTEST_KEY = 8
# Bytes of a request.
BODY = 4_000_000


def add_keys(parser: argparse._ActionsContainer) -> None:
    """``--api-key``."""
    parser.add_argument(
        "--api-key",
        action="append",
        default=[],
        metavar="KEY",
        help=f"let in whoever sends this key; may be given several times (default: {KEY_VARIABLE}; "
        "needed where others can reach the address)",
    )


def add_endpoint(parser: argparse._ActionsContainer) -> None:
    """``--api-key`` and the limits."""
    add_keys(parser)
    add = parser.add_argument
    add("--max-tokens", type=int, default=2048, help="the longest answer, in tokens")
    add("--max-requests", type=int, default=32, help="requests answered at a time")
    add("--max-waiting", type=int, default=64, help="requests that wait; further ones get 429")
    add("--max-body", type=int, default=BODY, help="the largest request, in bytes")


def limits(args: argparse.Namespace) -> Limits:
    """The limits that the arguments give. Imports the endpoint, so ``check`` comes first."""
    from t2app.server import Limits

    return Limits(args.max_tokens, args.max_requests, args.max_waiting, args.max_body)


def check(args: argparse.Namespace, host: str, guarded: bool = False) -> tuple[str, ...]:
    """The keys to ask for; ``T2Error`` for impossible limits and for a door that stands open.

    ``guarded`` says that the page beside it asks for a password.
    """
    for name, least in (
        ("max_tokens", 1), ("max_requests", 1), ("max_waiting", 0), ("max_body", 1000)
    ):  # fmt: skip
        if (value := getattr(args, name)) < least:
            option = "--" + name.replace("_", "-")
            raise T2Error(f"{option} is {value}: it must be at least {least}")
    return keys(args.api_key, host, guarded)


def keys(given: Sequence[str], host: str, guarded: bool = False) -> tuple[str, ...]:
    """Those that were given, or that of the environment; ``T2Error`` for a door that is open."""
    found = tuple(given) or tuple(filter(None, [os.environ.get(KEY_VARIABLE)]))
    if not found and (guarded or host not in LOOPBACK):
        reason = "the page asks for a password" if guarded else f"others can reach {host}"
        raise T2Error(
            f"{reason}, so the endpoint needs a key: give --api-key KEY, or set {KEY_VARIABLE}"
        )
    for key in found:
        if len(key) < SHORTEST_KEY or not key.isascii() or key.split() != [key]:
            raise T2Error(
                f"an API key needs at least {SHORTEST_KEY} characters, plain ones without spaces"
            )
    return found


def in_url(host: str) -> str:
    """An address as it stands in a URL."""
    return f"[{host}]" if ":" in host else host


def check_port(port: int | None) -> None:
    """``T2Error`` for a number that no port has."""
    if port is not None and not 0 < port < 65536:
        raise T2Error(f"--port {port} is not a port: choose one from 1 to 65535")


def check_address(host: str, port: int | None) -> None:
    """``T2Error`` unless something can be served there; asked before the model takes its time."""
    check_port(port)
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
