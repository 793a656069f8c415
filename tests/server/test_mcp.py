"""The tools for agents, through the protocol's own client."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from typing import Any

import anyio
import pytest
from mcp.client.client import Client
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client

from t2app.cli import main
from t2app.server import agents
from t2app.server.tools import Tools

NAMES = [
    *("ask", "ask_with_mix", "list_experts", "show_expert"),
    *("train_expert", "training_status", "stop_training", "adapt_to_examples"),
]
KEY = "a-key-for-tests"


@pytest.fixture
def tools(engine):
    tools = Tools(engine)
    yield tools
    tools.jobs.close()


@pytest.fixture
def call(tools) -> Callable[..., Any]:
    """``call("ask", question=…)`` as an agent calls it."""

    def call(tool: str, /, **arguments: Any) -> Any:
        async def through() -> Any:
            async with Client(agents.build(tools)) as client:
                return await client.call_tool(tool, arguments)

        found = anyio.run(through)
        return found.content[0].text if found.is_error else found.structured_content

    return call


def test_eight_tools_that_say_what_they_do(tools):
    async def listed():
        async with Client(agents.build(tools)) as client:
            return (await client.list_tools()).tools

    found = anyio.run(listed)
    assert [tool.name for tool in found] == NAMES
    for tool in found:
        assert len(tool.description) > 80
        assert "``" not in tool.description
    assert set(found[1].input_schema["properties"]) == {"question", "mix", "max_tokens"}
    assert found[1].input_schema["required"] == ["question"]


def test_asking(call):
    found = call("ask", question="the quick fox", max_tokens=4)
    assert found["answer"]
    assert set(found) == {"answer", "label", "probabilities", "weights", "why", "tokens"}
    assert call("ask_with_mix", question="a", mix="math", max_tokens=2)["weights"] == {"math": 1.0}
    mixed = call("ask_with_mix", question="a", mix="math=0.5,code=0.2", max_tokens=2)
    assert mixed["weights"] == {"math": 0.5, "code": 0.2}
    assert call("ask_with_mix", question="a", max_tokens=2)["weights"] == {}


def test_experts(call):
    found = call("list_experts")
    assert [e["name"] for e in found["experts"]] == ["code", "dispatch", "math", "reasoning"]
    assert call("show_expert", name="math")["task"] == "math"


@pytest.mark.parametrize(
    ("tool", "arguments", "message"),
    [
        ("show_expert", {"name": "mth"}, "did you mean math"),
        ("ask", {"question": " "}, "the question is empty"),
        ("ask_with_mix", {"question": "a", "mix": "math=2"}, "weights sum to 2"),
        ("train_expert", {"name": "Bad Name", "rows": [{"question": "a", "answer": "b"}]}, "name"),
        ("train_expert", {"name": "x", "rows": []}, "is empty"),
        ("training_status", {"run": "none"}, "none"),
        ("adapt_to_examples", {"examples": [], "name": "math"}, "exists already"),
        ("ask", {}, "question"),
    ],
)
def test_what_is_wrong_is_told_in_words(call, tool, arguments, message):
    said = call(tool, **arguments)
    assert isinstance(said, str)
    assert message in said
    assert "Traceback" not in said


def test_training_and_stopping(call):
    rows = [{"question": f"the fox {i}", "answer": "dog" if i % 2 else "cat"} for i in range(60)]
    begun = call("train_expert", name="mine", rows=rows, description="dogs and cats", minutes=5)
    assert begun["expert"] == "mine"
    assert begun["notes"]
    assert call("stop_training", run=begun["run"])["run"] == begun["run"]
    deadline = time.monotonic() + 60
    while (state := call("training_status", run=begun["run"])["state"]) in ("waiting", "running"):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert state in ("stopped", "done")
    assert begun["run"] in [job["run"] for job in call("training_status")["runs"]]


def test_adapting(call):
    examples = [{"question": f"the fox {i}", "answer": "dog"} for i in range(3)]
    found = call("adapt_to_examples", examples=examples, name="found")
    assert found["kept_as"] == "found"
    assert call("show_expert", name="found")["mix"]


def test_over_standard_input(shared_cache):
    """A process that an agent starts; its output is the protocol and nothing else."""
    command = StdioServerParameters(
        command=sys.executable, args=["-m", "t2app", "mcp"], env={**os.environ}
    )

    async def talk():
        async with Client(stdio_client(command)) as client:
            names = [tool.name for tool in (await client.list_tools()).tools]
            asked = {"question": "There are 8 rows of 12 chairs. How many chairs is that?"}
            return names, await client.call_tool("ask", asked)

    names, answer = anyio.run(talk)
    assert names == NAMES
    assert "96" in answer.structured_content["answer"]


@pytest.mark.slow  # starts one more process; the guard in front of it is tested with the endpoint
def test_over_http_with_a_key(start):
    server = start(*("--http", "--api-key", KEY), command=("-m", "t2app", "mcp"), ready=404)
    import httpx2

    async def talk(key: str) -> list[str]:
        head = {"Authorization": f"Bearer {key}"}
        async with httpx2.AsyncClient(headers=head, trust_env=False) as http:
            transport = streamable_http_client(f"{server.url}/mcp", http_client=http)
            async with Client(transport) as client:
                return [tool.name for tool in (await client.list_tools()).tools]

    assert anyio.run(talk, KEY) == NAMES
    with server.http() as http:
        assert http.post("/mcp", json={}).status_code == 401


def test_what_the_command_refuses(capsys, monkeypatch):
    monkeypatch.delenv("T2APP_API_KEY", raising=False)
    assert main(["mcp", "--http", "--host", "0.0.0.0"]) == 2
    assert "needs a key" in capsys.readouterr().err
    assert main(["mcp", "--json"]) == 2
    assert "--json is for --http" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "mcp.server.mcpserver", None)
    assert main(["mcp"]) == 2
    assert "pip install 'mcp>=2.3,<3'" in capsys.readouterr().err
