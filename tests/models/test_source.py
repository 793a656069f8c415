"""Models from the hub, over HTTP, from a small server that answers as the hub does."""

from __future__ import annotations

import hashlib
import http.server
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from t2app import config
from tests.models.gguf.making import write

COMMIT = "0a1b2c3d4e5f60718293a4b5c6d7e8f901234567"
# Run in a process of its own: where the hub is, its client reads once, when it is imported.
SCRIPT = """
import json, shutil, sys
from t2app import models
from t2app.errors import T2Error

said = []
for name in json.loads(sys.argv[1]):
    if name == "full disk":
        usage = shutil.disk_usage(".")._replace(free=1000)
        shutil.disk_usage = lambda path: usage
        continue
    reports = []
    try:
        base = models.load(name, "none", "cpu", lambda *report: reports.append(report))
        said.append({"base": base.base, "name": base.name, "reports": reports})
    except T2Error as error:
        said.append({"error": str(error)})
print(json.dumps(said))
"""


class Hub(http.server.BaseHTTPRequestHandler):
    """Repositories are folders below ``root``; one named gated-... wants a licence."""

    root: Path
    asked: list[str]
    breaks = False  # whether weights are sent only in part

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        self.asked.append(f"{self.command} {self.path}")
        path = self.path.split("?")[0]
        api = path.startswith("/api/models/")
        parts = path.removeprefix("/api/models/").strip("/").split("/")
        folder = self.root / parts[1] if len(parts) > 1 else self.root / "none"
        if not folder.is_dir():
            return self._refuse(404, "RepoNotFound")
        if api and parts[2] == "revision":
            return self._send({"id": "/".join(parts[:2]), "sha": COMMIT, "siblings": []})
        if api and parts[2] == "tree":
            return self._send([self._entry(folder, file) for file in sorted(folder.rglob("*"))])
        if parts[1].startswith("gated"):
            return self._refuse(403, "GatedRepo")
        return self._file(folder.joinpath(*parts[parts.index("resolve") + 2 :]))

    def _entry(self, folder: Path, file: Path) -> dict:
        kind = "directory" if file.is_dir() else "file"
        path = file.relative_to(folder).as_posix()
        return {"type": kind, "path": path, "size": file.stat().st_size, "oid": file.name}

    def _file(self, file: Path) -> None:
        if not file.is_file():
            return self._refuse(404, "EntryNotFound")
        data = file.read_bytes()
        self._send(data, {"ETag": f'"{file.name}"', "X-Repo-Commit": COMMIT})

    def _refuse(self, status: int, code: str) -> None:
        self._send({"error": code}, {"X-Error-Code": code}, status)

    def _send(self, content: object, headers: dict | None = None, status: int = 200) -> None:
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for key, value in {**(headers or {}), "Content-Length": str(len(data))}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command == "GET":
            cut = self.breaks and ".safetensors" in self.path
            self.wfile.write(data[: len(data) // 2] if cut else data)


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[type[Hub]]:
    kind = type("Hub", (Hub,), {"root": tmp_path / "hub", "asked": []})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), kind)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    kind.url = f"http://127.0.0.1:{server.server_port}"
    yield kind
    server.shutdown()


def load(tmp_path: Path, url: str, *names: str, **environment: str) -> list[dict]:
    """What ``models.load`` said to each name."""
    settings = {
        "HF_ENDPOINT": url,
        "HF_HOME": str(tmp_path / "home"),
        "HF_HUB_OFFLINE": "0",
        "HF_HUB_DISABLE_XET": "1",
        "NO_PROXY": "127.0.0.1",
        **environment,
    }
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, json.dumps(names)],
        cwd=config.ROOT,
        env={**os.environ, **settings},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "it/s" not in done.stderr  # no bars but ours
    said = json.loads(done.stdout.splitlines()[-1])
    assert all("\n" not in one.get("error", "") for one in said)
    return said


def put(checkpoint: Path, folder: Path, without: str = "nothing") -> None:
    folder.mkdir(parents=True)
    for file in checkpoint.iterdir():
        if file.name != without:
            (folder / file.name).write_bytes(file.read_bytes())


def test_from_the_hub(checkpoint, hub, tmp_path):
    put(checkpoint, hub.root / "small")
    put(checkpoint, hub.root / "gated-small")
    put(checkpoint, hub.root / "pickled", "model.safetensors")
    (hub.root / "pickled" / "pytorch_model.bin").write_bytes(b"pickle")
    put(checkpoint, hub.root / "no-template", "chat_template.jinja")
    put(checkpoint, hub.root / "large")

    good, gone, gated, pickled, base, full = load(
        tmp_path,
        hub.url,
        "org/small",
        "org/gone",
        "org/gated-small",
        "org/pickled",
        "org/no-template",
        "full disk",
        "org/large",
    )
    digest = hashlib.sha256((checkpoint / "model.safetensors").read_bytes()).hexdigest()
    assert (good["name"], good["base"]) == ("org/small", f"org/small@{digest[:12]}")
    size = (checkpoint / "model.safetensors").stat().st_size
    assert ["downloading", 0, size] in good["reports"]
    assert "no model 'org/gone' on the Hugging Face hub: check the spelling" in gone["error"]
    assert "is gated: accept its licence" in gated["error"]
    assert "no safetensors weights: pickled ones can run code" in pickled["error"]
    assert "pytorch_model.bin" not in " ".join(hub.asked)
    assert "has no chat template" in base["error"]
    assert "needs 0.3 MB of disk for its download" in full["error"]
    # What cannot be used is refused before its weights are fetched.
    fetched = [path for path in hub.asked if path.startswith("GET") and "safetensors" in path]
    assert [path.split("/")[2] for path in fetched] == ["small"]

    # Without a network what was downloaded still loads, and the rest is one clear line.
    nowhere = "http://127.0.0.1:9"
    again, other = load(tmp_path, nowhere, "org/small", "org/never")
    assert again["base"] == good["base"]
    assert not any(stage == "downloading" for stage, *_ in again["reports"])
    assert "cannot be reached" in other["error"]
    assert "check the connection, or give a folder" in other["error"]
    (offline,) = load(tmp_path, hub.url, "org/never", HF_HUB_OFFLINE="1")
    assert "unset HF_HUB_OFFLINE, or give a folder" in offline["error"]


def test_what_is_on_the_hub_and_no_model(checkpoint, hub, tmp_path):
    adapter = hub.root / "adapter"
    adapter.mkdir(parents=True)
    (adapter / "adapter_config.json").write_text('{"base_model_name_or_path": "org/small"}')
    (adapter / "adapter_model.safetensors").write_bytes(b"weights")
    (lora,) = load(tmp_path, hub.url, "org/adapter")
    assert "is a LoRA adapter of 'org/small' and no whole model" in lora["error"]
    assert not [path for path in hub.asked if path.startswith("GET") and "adapter_model" in path]


def test_packed_models_of_the_hub(hub, tmp_path):
    folder = hub.root / "packed"
    (folder / "big").mkdir(parents=True)
    write(folder / "small-Q8_0.gguf", "Q8_0")
    write(folder / "small-Q4_0.gguf", "Q4_0")
    (folder / "mmproj-small-F16.gguf").write_bytes(b"GGUF")
    write(folder / "big" / "small-F16.gguf", tensors_a_part=8)
    cache = {"T2APP_CACHE": str(tmp_path / "cache")}
    names = ("org/packed:Q4_0", "org/packed:small-Q8_0.gguf", "org/packed:f16", "org/packed")
    one, two, parts, several = load(tmp_path, hub.url, *names, **cache)
    assert [m["name"] for m in (one, two, parts)] == ["small-Q4_0", "small-Q8_0", "small-F16"]
    digest = hashlib.sha256((folder / "small-Q4_0.gguf").read_bytes()).hexdigest()
    assert one["base"] == f"small-Q4_0@{digest[:12]}"
    size = (folder / "small-Q4_0.gguf").stat().st_size
    assert ["downloading", 0, size] in one["reports"]
    assert "org/packed has 3 GGUF models: choose one (F16, Q4_0, Q8_0)" in several["error"]
    fetched = {p.split("/")[-1] for p in hub.asked if p.startswith("GET") and "resolve" in p}
    assert fetched == {"small-Q4_0.gguf", "small-Q8_0.gguf"} | {
        f"small-F16-0000{part}-of-00003.gguf" for part in (1, 2, 3)
    }
    (missing,) = load(tmp_path, hub.url, "org/packed:Q2_K", **cache)
    assert "org/packed has no 'Q2_K': choose from F16, Q4_0, Q8_0" in missing["error"]

    # Without a network: what was downloaded before.
    nowhere = "http://127.0.0.1:9"
    again, other = load(tmp_path, nowhere, "org/packed:Q4_0", "org/never:Q4_0", **cache)
    assert again.get("base", again) == one["base"]
    assert "org/never:Q4_0 is not on this computer, and the Hugging Face hub" in other["error"]


def test_the_only_packed_model_of_a_repository(hub, tmp_path):
    (hub.root / "one").mkdir(parents=True)
    write(hub.root / "one" / "small-Q4_0.gguf", "Q4_0")
    (found,) = load(tmp_path, hub.url, "org/one", T2APP_CACHE=str(tmp_path / "cache"))
    assert found["name"] == "small-Q4_0"


def test_smollm2_is_the_hubs_where_that_can_be_reached(checkpoint, hub, tmp_path):
    put(checkpoint, hub.root / "SmolLM2-135M-Instruct")
    cache = {"T2APP_CACHE": str(tmp_path / "cache"), "PIP_INDEX_URL": "http://127.0.0.1:9"}
    (found,) = load(tmp_path, hub.url, "smollm2", **cache)
    assert found["name"] == "HuggingFaceTB/SmolLM2-135M-Instruct"
    first, auto = load(tmp_path, "http://127.0.0.1:9", "smollm2", "auto", **cache)
    assert first["base"] == auto["base"] == found["base"]


def test_a_download_that_breaks_off_is_one_line(checkpoint, hub, tmp_path):
    """And goes on at the next try."""
    put(checkpoint, hub.root / "small")
    hub.breaks = True
    (broken,) = load(tmp_path, hub.url, "org/small")
    assert "was not downloaded to its end: the Hugging Face hub cannot be" in broken["error"]
    assert "try again, it goes on from there" in broken["error"]
    hub.breaks = False
    (whole,) = load(tmp_path, hub.url, "org/small")
    assert whole["name"] == "org/small"
