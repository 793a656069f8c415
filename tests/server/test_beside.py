"""The endpoint beside the page: one port, one model, a password and a key."""

from __future__ import annotations

import pytest

import app

APP = ("app.py", "--no-browser", "--api")
BODY = {"model": "math", "messages": [{"role": "user", "content": "hello"}]}
KEY = "a-key-for-tests"


def test_page_and_endpoint_at_the_same_time(start):
    server = start(command=APP)
    with server.http() as http:
        assert "<!doctype html>" in http.get("/").text
        assert http.get("/config").json()["title"] == "t2app"
        answer = http.post("/v1/chat/completions", json=BODY).json()
        assert answer["choices"][0]["message"]["content"]
        assert http.get("/v1/models/none").json()["error"]["code"] == "model_not_found"
        with http.stream("POST", "/v1/chat/completions", json={**BODY, "stream": True}) as stream:
            parts = list(stream.iter_text())
        assert len(parts) > 2  # as it grows, and not all at the end
        slow = {**BODY, "stream": True, "temperature": 2.0, "max_tokens": 2000, "n": 16}
        with http.stream("POST", "/v1/chat/completions", json=slow) as stream:
            lines = (line for line in stream.iter_lines() if line)
            assert next(lines)
            server.terminate()
            assert list(lines)[-1] == "data: [DONE]"
    assert server.process.wait(8) in (0, 130)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--api-key", KEY], "give --api too"),
        (["--api", "--auth", "me:secret"], "the page asks for a password, so the endpoint needs"),
        (["--api", "--host", "0.0.0.0"], "others can reach 0.0.0.0, so the endpoint needs a key"),
        (["--api", "--api-key", "short"], "at least 8 characters"),
        (["--api", "--max-requests", "0"], "--max-requests is 0: it must be at least 1"),
    ],
)
def test_a_door_never_stands_open(arguments, expected, capsys, monkeypatch):
    monkeypatch.delenv("T2APP_API_KEY", raising=False)
    assert app.main(["--no-browser", *arguments]) == 2
    error = capsys.readouterr().err
    assert expected in error
    assert error.count("\n") == 1
