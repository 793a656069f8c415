"""What a server process withstands: bad requests, streams cut off, crowds, keys, its own end."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.server.conftest import Server, running

ROUTES = ("/v1/chat/completions", "/v1/completions", "/v1/responses")
CHAT, PLAIN, _ = ROUTES
KEY = "a-key-for-tests"
# A thousand answers at once: its end is far away, on a fast machine too.
ENDLESS = {
    "model": "base", "prompt": ["hello"] * 64, "n": 16, "temperature": 2.0, "max_tokens": 400,
    "seed": 2, "stream": True,
}  # fmt: skip
LONG = {"model": "base", "messages": [{"role": "user", "content": "hello"}], "stream": True}

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)
TURN = st.fixed_dictionaries(
    {}, optional={"role": st.sampled_from(["user", "system", "tool"]) | JSON, "content": JSON}
)
FIELDS = {
    "model": st.sampled_from(["base", "math=0.5", "math=2", "=", ""]) | JSON,
    "messages": st.lists(TURN, max_size=3) | JSON,
    "prompt": st.lists(st.integers(-5, 2000), max_size=3) | JSON,
    "input": st.lists(TURN, max_size=3) | JSON,
    "max_tokens": st.integers(-1, 3) | JSON,
    "max_output_tokens": st.integers(-1, 3) | JSON,
    **dict.fromkeys(
        (
            *("temperature", "top_p", "n", "seed", "stop", "stream", "stream_options", "logprobs"),
            *("response_format", "text", "tools", "logit_bias", "instructions", "best_of"),
        ),
        JSON,
    ),
}
BODIES = st.fixed_dictionaries({}, optional=FIELDS).map(json.dumps) | JSON.map(json.dumps)


@settings(
    max_examples=200,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(route=st.sampled_from(ROUTES), body=BODIES.map(str.encode) | st.binary(max_size=60))
def test_malformed_requests_are_refused_in_one_shape(server, route: str, body: bytes):
    with server.http() as http:
        found = http.post(route, content=body, headers={"content-type": "application/json"})
    assert found.status_code in (200, 400, 404), found.text
    if found.status_code != 200:
        error = found.json()["error"]
        assert set(error) == {"message", "type", "param", "code"}
        assert error["message"]
        assert "\n" not in error["message"].strip()


def test_a_body_is_never_read_beyond_the_limit(server):
    with server.http() as http:
        head = {"content-type": "application/json"}
        parts = (b" " * 100_000 for _ in range(1000))
        try:
            refused = http.post(CHAT, content=parts, headers=head)  # 100 MB, in chunks
            assert refused.status_code == 413
        except httpx.TransportError:
            pass  # the server hung up while the rest was still being sent
        declared = http.build_request("POST", CHAT, content=b"{}", headers=head)
        declared.headers["content-length"] = str(10**8)
        with socket.create_connection(("127.0.0.1", httpx.URL(server.url).port)) as raw:
            raw.sendall(
                f"POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                f"Content-Length: {10**8}\r\n\r\n".encode()
            )
            assert raw.recv(100).startswith(b"HTTP/1.1 413")
        assert http.get("/health").status_code == 200


def test_pages_of_other_sites_cannot_ask(server):
    """They reach this computer under another name, or send forms and plain text."""
    with server.http() as http:
        assert http.get("/v1/models", headers={"host": "evil.example"}).status_code == 403
        body = json.dumps({**LONG, "stream": False, "max_tokens": 1})
        assert http.post(CHAT, content=body).status_code == 415
        plain = http.post(CHAT, content=body, headers={"content-type": "text/plain"})
        assert plain.status_code == 415
        assert "access-control-allow-origin" not in plain.headers


def say(server, model: str, stop_after: int | None = None) -> str:
    """An answer as it is streamed; the line is cut after so many events."""
    text = ""
    body = {**LONG, "model": model, "max_tokens": 20, "temperature": 1.0, "seed": 5}
    with server.http() as http, http.stream("POST", CHAT, json=body) as answer:
        assert answer.status_code == 200, answer.read()
        for number, line in enumerate(x for x in answer.iter_lines() if x):
            if stop_after is not None and number >= stop_after:
                return text
            if line == "data: [DONE]":
                return text
            [choice] = json.loads(line.removeprefix("data: "))["choices"]
            text += choice["delta"].get("content") or ""
    raise AssertionError("the stream ended without its last event")


def until_idle(server, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not server.idle():
        assert time.monotonic() < deadline, "it still answers nobody"
        time.sleep(0.05)


def test_many_streams_with_many_mixes_half_of_them_cut_off(server):
    """None wrong, none lost: each is what the same request gets alone."""
    mixes = [f"math={i / 20:g},code={(19 - i) / 20:g}" for i in range(16)]
    alone = {mix: say(server, mix) for mix in mixes}
    jobs = [(mix, 3 + i % 5 if i % 2 else None) for i, mix in enumerate(mixes * 4)]
    with ThreadPoolExecutor(len(jobs)) as pool:
        texts = list(pool.map(lambda job: say(server, *job), jobs))
    until_idle(server, 1.0)
    for (mix, cut), text in zip(jobs, texts, strict=True):
        assert alone[mix].startswith(text) if cut is not None else text == alone[mix]


def test_whoever_hangs_up_on_a_whole_answer_stops_it(server):
    body = {**ENDLESS, "stream": False}
    with server.http() as http, pytest.raises(httpx.ReadTimeout):
        http.post(PLAIN, json=body, timeout=0.3)
    until_idle(server, 3.0)


@pytest.fixture(scope="module")
def small(shared_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that asks for a key and answers one at a time; the last test ends it."""
    log = tmp_path_factory.mktemp("small") / "log"
    keys = ("--api-key", KEY, "--api-key", "another-key")
    limits = ("--max-requests", "1", "--max-waiting", "1")
    with running(["-m", "t2app", "serve", *keys, *limits], log, shared_cache) as found:
        yield replace(found, key=KEY)


def test_keys(small):
    def status(path: str = "/v1/models", **headers: str) -> httpx.Response:
        with replace(small, key="").http() as http:
            return http.get(path, headers=headers)

    assert status(authorization=f"Bearer {KEY}").status_code == 200
    assert status(authorization="Bearer another-key").status_code == 200
    for headers in ({}, {"authorization": KEY}, {"authorization": f"Bearer {KEY}x"}):
        refused = status(**headers)
        assert refused.status_code == 401
        assert refused.json()["error"]["code"] == "invalid_api_key"
        assert refused.headers["www-authenticate"] == "Bearer"
    in_url = status(f"/v1/models?api_key={KEY}")
    assert in_url.status_code == 401
    assert "keys in the address are not read" in in_url.json()["error"]["message"]
    assert status("/metrics").status_code == 401
    assert status("/health").status_code == 200
    assert KEY not in small.log.read_text()


def test_a_crowd_is_told_to_come_back(small):
    with small.http() as http, http.stream("POST", PLAIN, json=ENDLESS) as first:
        lines = first.iter_lines()
        assert next(lines)
        waiting = threading.Thread(target=lambda: say(small, "base"))
        waiting.start()
        deadline = time.monotonic() + 60
        while "t2app_requests_waiting 1.0" not in http.get("/metrics").text:
            assert time.monotonic() < deadline
        refused = http.post(CHAT, json=LONG)
        assert refused.status_code == 429
        assert int(refused.headers["retry-after"]) >= 1
        assert refused.json()["error"]["code"] == "rate_limit_exceeded"
    waiting.join(60)
    assert not waiting.is_alive()


def test_its_end_ends_streams_with_a_last_event(small):
    with small.http() as http, http.stream("POST", PLAIN, json=ENDLESS) as answer:
        events = (line for line in answer.iter_lines() if line)
        assert next(events)
        began = time.monotonic()
        small.terminate()
        lines = list(events)
    assert small.process.wait(5) is not None
    assert time.monotonic() - began < 5
    assert lines[-1] == "data: [DONE]"
    assert json.loads(lines[-2].removeprefix("data: "))["error"]["code"] == "stopping"
    assert "Traceback" not in small.log.read_text()
