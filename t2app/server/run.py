"""The endpoint as a server of its own."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import uvicorn

from t2app.server.app import Endpoint

# Seconds that answers get to send their last event once the server is told to stop.
GRACE = 4


class _Server(uvicorn.Server):
    """Tells the endpoint when it is to stop, so that its streams end instead of being cut off."""

    def __init__(self, config: uvicorn.Config, endpoint: Endpoint, ready: Callable[[], Any]):
        super().__init__(config)
        self._endpoint, self._ready = endpoint, ready

    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._ready()

    def handle_exit(self, sig: int, frame: Any) -> None:
        self._endpoint.stop()
        super().handle_exit(sig, frame)


def serve(endpoint: Endpoint, host: str, port: int, ready: Callable[[], Any]) -> None:
    """Serve until SIGTERM or Ctrl+C; ``ready()`` once it listens.

    Addresses are not logged: whoever sends a key in one does not find it in a file.
    """
    config = uvicorn.Config(
        endpoint,
        host=host,
        port=port,
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=GRACE,
        server_header=False,
        ws="none",
    )
    server = _Server(config, endpoint, ready)
    with suppress(KeyboardInterrupt):
        server.run()
    endpoint.gate.end()
