"""Before a request is read: whether it may come in, and how large it is.

A page of another site can make a browser send requests to this computer, so on the loopback a
request must name it as its host (no DNS rebinding), and a body must be declared to be JSON, which
no page may send across sites without being allowed to.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Awaitable, Callable, Sequence

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from t2app.server.errors import Refused

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
# Without a key: whether it runs is nobody's secret, nor how it is asked.
OPEN = frozenset({"/health", "/openapi.json", "/docs"})


class Guard:
    """ASGI: keys, hosts and the size of bodies, in front of ``app``."""

    def __init__(self, app: ASGIApp, keys: Sequence[str], body: int, local: bool) -> None:
        self._app, self._body, self._local = app, body, local
        self._keys = [_digest(key) for key in keys]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the request in, or answer it here."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            headers = Headers(scope=scope)
            self._check(scope, headers)
            if scope["method"] != "POST":
                await self._app(scope, receive, send)
                return
            body = await self._read(headers, receive)
        except Refused as refused:
            await refused.response()(scope, receive, send)
            return
        await self._app(scope, _replay(body, receive), send)

    def _check(self, scope: Scope, headers: Headers) -> None:
        if self._local and _host(headers.get("host", "")) not in LOOPBACK:
            raise Refused(
                "this server answers on this computer only, by the name localhost or 127.0.0.1", 403
            )
        if self._keys and scope["path"] not in OPEN:
            self._check_key(headers, scope["query_string"])
        if scope["method"] == "POST" and not _is_json(headers.get("content-type", "")):
            raise Refused("the body must be JSON: send Content-Type: application/json", 415)

    def _check_key(self, headers: Headers, query: bytes) -> None:
        kind, _, key = headers.get("authorization", "").partition(" ")
        given = _digest(key.strip())
        # Every key is compared, each in constant time.
        matches = [hmac.compare_digest(given, known) for known in self._keys]
        if kind.lower() == "bearer" and any(matches):
            return
        where = " (keys in the address are not read, since addresses get written down)"
        raise Refused(
            "the key is missing or wrong: send Authorization: Bearer KEY"
            + where * (b"key" in query.lower()),
            401,
            code="invalid_api_key",
        )

    async def _read(self, headers: Headers, receive: Receive) -> bytes:
        """The body; ``Refused`` (413) as soon as it is known to be too large."""
        declared = headers.get("content-length", "0")
        if declared.isdecimal() and int(declared) > self._body:
            raise self._too_large()
        parts, size, more = [], 0, True
        while more:
            message = await receive()
            if message["type"] != "http.request":
                break
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            if size > self._body:
                raise self._too_large()
            more = message.get("more_body", False)
        return b"".join(parts)

    def _too_large(self) -> Refused:
        return Refused(f"the body is larger than {self._body:,} bytes: send less at a time", 413)


def _replay(body: bytes, receive: Receive) -> Callable[[], Awaitable[Message]]:
    """A ``receive`` that gives the body that was read, then what follows it."""
    given = False

    async def again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


def _digest(key: str) -> bytes:
    """Of one length, whatever that of the key."""
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()


def _host(header: str) -> str:
    """The name in a Host header, without the port."""
    if header.startswith("["):
        return header[1:].partition("]")[0]
    return header.partition(":")[0].lower()


def _is_json(kind: str) -> bool:
    return kind.partition(";")[0].strip().lower() == "application/json"
