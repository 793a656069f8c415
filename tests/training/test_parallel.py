"""Several processes train the expert that one trains: real processes, gloo on the CPU."""

from __future__ import annotations

import csv
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from t2app.svf import expert as expert_file
from t2app.training.parallel import World, choose_device
from t2app.training.tally import Tally

ROOT = Path(__file__).resolve().parents[2]


def free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def start(arguments: list[str], folder: Path, **more: str) -> subprocess.Popen:
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
        "T2APP_CACHE": str(folder / "cache"),
        "T2APP_EXPERTS": str(folder / "experts"),
        **more,
    }
    return subprocess.Popen(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def end(process: subprocess.Popen) -> str:
    out, err = process.communicate(timeout=240)
    assert process.returncode == 0, err[-2000:]
    return out


def together(objective: str, size: int, folder: Path) -> dict:
    """Train the toy expert in ``size`` processes; what the main one saved."""
    folder.mkdir()
    found, port = folder / "found.pt", free_port()
    processes = [
        start(
            [str(Path(__file__).with_name("together.py")), objective, str(found)],
            folder,
            RANK=str(rank),
            WORLD_SIZE=str(size),
            MASTER_ADDR="127.0.0.1",
            MASTER_PORT=port,
        )
        for rank in range(size)
    ]
    for process in processes:
        end(process)
    return torch.load(found, weights_only=True)


def test_two_processes_train_what_one_trains(tmp_path):
    """Both objectives. Five rows a step do not divide by two: the shares differ in size."""
    one, two = (together("sft+rl", size, tmp_path / str(size)) for size in (1, 2))
    assert one["delta"].any()
    for key in ("delta", "kept"):
        torch.testing.assert_close(two[key], one[key], rtol=1e-3, atol=1e-4)
    for a, b in zip(one["curve"], two["curve"], strict=True):
        for key in ("reward", "loss", "validation", "best"):
            close = None if b[key] is None else pytest.approx(b[key], rel=1e-4, abs=1e-6)
            assert a[key] == close, (a["step"], key)
    assert one["after"] == two["after"]


def test_the_command_under_accelerate(tmp_path, checkpoint):
    """``accelerate launch ... -m t2app train``: one report, one expert, the same vectors."""
    rows = tmp_path / "rows.csv"
    with rows.open("w", newline="") as file:
        csv.writer(file).writerow(("question", "answer"))
        csv.writer(file).writerows((f"fox {n}", "ab" if n % 2 else "ba") for n in range(20))
    train = (
        f"-m t2app train {rows} --name fox --model {checkpoint} --objective sft --steps 3 "
        "--prompts 5 --validate-every 1 --json"
    ).split()
    launch = "-m accelerate.commands.launch --cpu --num_processes 2 --main_process_port".split()
    outs = {}
    for size, prefix in ((1, []), (2, [*launch, free_port()])):
        outs[size] = end(start([*prefix, *train], tmp_path / str(size)))
    reports = {size: json.loads(out) for size, out in outs.items()}
    assert outs[2].count("\n") == 1, "only the main process prints"
    assert reports[1]["after"] == reports[2]["after"]
    one, two = (expert_file.load(Path(reports[size]["path"])) for size in (1, 2))
    for name in one.z:
        torch.testing.assert_close(two.z[name], one.z[name], rtol=1e-3, atol=1e-4)


def test_one_process_needs_no_launcher():
    world = World()
    assert world.main
    assert world.spread(lambda items: [2 * i for i in items], [1, 2, 3]) == [2, 4, 6]
    assert world.spread(lambda items: pytest.fail("no work"), []) == []
    assert world.agree("x") == "x"
    tensor = torch.ones(2)
    world.add(tensor)
    assert tensor.tolist() == [1, 1]


@pytest.mark.parametrize(
    ("size", "rank", "count", "chosen"),
    [
        ("1", "0", 4, []),
        ("4", "0", 4, [0]),
        ("4", "3", 4, [3]),
        ("8", "3", 4, [3]),  # two machines
        ("4", "3", 1, [0]),  # each process is shown its own only
        ("4", "3", 2, []),  # refused when the model is loaded, but not on the CPU
        ("4", "3", 0, []),
    ],
)
def test_each_process_chooses_a_gpu_of_its_own(monkeypatch, size, rank, count, chosen):
    asked: list[int] = []
    monkeypatch.setenv("WORLD_SIZE", size)
    monkeypatch.setenv("LOCAL_RANK", rank)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    monkeypatch.setattr(torch.cuda, "set_device", asked.append)
    choose_device()
    assert asked == chosen


def test_tallies_add_up():
    one, two = Tally(), Tally()
    one.add("reward", 3.0, 4)
    two.add("reward", -1.0, 4)
    assert one.mean("kl") is None
    one.values += two.values
    assert one.mean("reward") == 0.25
