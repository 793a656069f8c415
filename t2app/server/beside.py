"""The endpoint beside the page, on the same port: its addresses are taken out in front."""

from __future__ import annotations

from typing import Any

from starlette.middleware import Middleware
from starlette.types import ASGIApp, Receive, Scope, Send

from t2app.server.app import Endpoint

OWN = frozenset({"/health", "/metrics", "/openapi.json"})


class Beside:
    """ASGI middleware: OpenAI's addresses go to ``endpoint``, all others to ``app``."""

    def __init__(self, app: ASGIApp, endpoint: Endpoint) -> None:
        self._app, self._endpoint = app, endpoint

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request on."""
        path = scope.get("path", "")
        mine = scope["type"] == "http" and (path in OWN or path.startswith("/v1/"))
        await (self._endpoint if mine else self._app)(scope, receive, send)


def launch_options(endpoint: Endpoint) -> dict[str, Any]:
    """What a page's ``launch`` needs for the endpoint to answer beside it."""
    return {"app_kwargs": {"middleware": [Middleware(Beside, endpoint=endpoint)]}}
