"""The tools of ``tools`` through the Model Context Protocol, over standard input or HTTP.

Needs the package ``mcp``, which is an extra: ``pip install 't2app[mcp]'``.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import uvicorn

from t2app import __version__
from t2app.engine import Engine
from t2app.errors import T2Error
from t2app.server.guard import Guard
from t2app.server.tools import Tools

if TYPE_CHECKING:
    from mcp.server.mcpserver import MCPServer

PATH = "/mcp"
GRACE = 4
INSTRUCTIONS = """\
A small language model on this computer that adapts itself to each question by mixing experts. ask
answers; list_experts says what there is; train_expert makes a new expert from solved questions in
the background; adapt_to_examples finds a mix for a handful of examples in less time."""


def check_installed() -> None:
    """``T2Error`` where the package ``mcp`` is missing; asked before the model takes its time."""
    try:
        import mcp.server.mcpserver  # noqa: F401
    except ImportError:
        raise T2Error("this needs the package mcp: pip install 'mcp>=2.3,<3'") from None


def build(tools: Tools) -> MCPServer:
    """A server that offers the tools."""
    from mcp.server.mcpserver import MCPServer

    server = MCPServer("t2app", instructions=INSTRUCTIONS, version=__version__, log_level="WARNING")
    for tool in tools.all:
        server.add_tool(_in_one_line(tool), description=_plain(tool.__doc__ or ""))
    return server


def _in_one_line(tool: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    """What the user can mend reaches the agent; everything else is a defect, and logged."""
    from mcp.server.mcpserver.exceptions import ToolError

    @functools.wraps(tool)
    def called(**arguments: Any) -> dict[str, Any]:
        try:
            return tool(**arguments)
        except T2Error as error:
            raise ToolError(str(error)) from error

    return called


def _plain(text: str) -> str:
    """A docstring without its indentation and marks."""
    return "\n".join(line.strip() for line in text.strip().splitlines()).replace("``", "`")


def run_stdio(engine: Engine) -> None:
    """Serve whoever started this process, until standard input ends."""
    tools = Tools(engine)
    try:
        build(tools).run("stdio")
    finally:
        tools.jobs.close()


def run_http(
    engine: Engine, host: str, port: int, keys: tuple[str, ...], local: bool, body: int
) -> None:
    """Serve at ``/mcp`` until SIGTERM or Ctrl+C, to whoever has one of the ``keys``."""
    tools = Tools(engine)
    app = build(tools).streamable_http_app(streamable_http_path=PATH, host=host)
    config = uvicorn.Config(
        Guard(app, keys, body, local),
        host=host,
        port=port,
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=GRACE,
        server_header=False,
        ws="none",
    )
    try:
        uvicorn.Server(config).run()
    finally:
        tools.jobs.close()
