"""The examples of docs/serving.md, run as they stand against a server process."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

DOCS = (Path(__file__).parents[2] / "docs" / "serving.md").read_text(encoding="utf-8")
RUN = {
    "sh": ["bash", "-c"],
    "python": [sys.executable, "-c"],
    "javascript": ["node", "--input-type=module", "-e"],
}


@pytest.mark.parametrize("language", RUN)
def test_an_example_answers(server, language):
    command = RUN[language]
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    blocks = re.findall(rf"```{language}\n(.*?)```", DOCS, re.DOTALL)
    [code] = [block for block in blocks if "How many chairs" in block]
    code = code.replace("http://127.0.0.1:8000", server.url)
    done = subprocess.run([*command, code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "96" in done.stdout


def test_routes_are_those_of_the_page(server):
    with server.http() as http:
        paths = http.get("/openapi.json").json()["paths"]
    assert all(path.partition("{")[0].rstrip("/") in DOCS for path in paths)
