"""A run on disk: what is kept, what is refused, what a kill leaves behind."""

from __future__ import annotations

import pytest
import torch

from t2app.errors import T2Error
from t2app.training.runs import Run

SETTINGS = {"task": "toy", "lr": 0.1, "kl": 0.0}
STATE = {"delta": torch.arange(3.0), "best": 0.5, "step": 4}


def test_a_new_run_has_no_checkpoint(tmp_path):
    run = Run(tmp_path / "a" / "b", SETTINGS)
    assert run.load() is None
    assert run.curve() == []


def test_what_is_saved_is_loaded(tmp_path):
    Run(tmp_path, SETTINGS).save({**STATE, "step": 3})
    Run(tmp_path, SETTINGS).save(STATE)
    found = Run(tmp_path, SETTINGS).load()
    assert torch.equal(found["delta"], STATE["delta"])
    assert (found["best"], found["step"]) == (0.5, 4)


@pytest.mark.parametrize(
    ("changes", "named"),
    [({"lr": 0.2}, "lr"), ({"kl": 1, "lr": 2}, "kl, lr"), ({"new": 1}, "new")],
)
def test_other_settings_are_refused(tmp_path, changes, named):
    Run(tmp_path, SETTINGS).save(STATE)
    with pytest.raises(T2Error, match=rf"other settings \({named}\).*delete that folder"):
        Run(tmp_path, {**SETTINGS, **changes})
    assert Run(tmp_path, SETTINGS).load()["step"] == 4


@pytest.mark.parametrize("keep", [0, 10, 0.5, 0.99])
def test_a_damaged_checkpoint_is_one_clear_line(tmp_path, keep):
    run = Run(tmp_path, SETTINGS)
    run.save(STATE)
    path = tmp_path / "checkpoint.pt"
    data = path.read_bytes()
    path.write_bytes(data[: int(keep * len(data)) if keep < 1 else keep])
    with pytest.raises(T2Error, match=r"checkpoint.pt is damaged: delete .* to begin anew") as e:
        run.load()
    assert "\n" not in str(e.value)


def test_foreign_bytes_are_a_damaged_checkpoint(tmp_path):
    run = Run(tmp_path, SETTINGS)
    (tmp_path / "checkpoint.pt").write_bytes(b"PK\x03\x04 no checkpoint at all")
    with pytest.raises(T2Error, match="damaged"):
        run.load()


def test_pickled_code_is_not_run(tmp_path):
    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "owned"), "w"))

    run = Run(tmp_path, SETTINGS)
    torch.save({"delta": Evil()}, tmp_path / "checkpoint.pt")
    with pytest.raises(T2Error, match="damaged"):
        run.load()
    assert not (tmp_path / "owned").exists()


def test_damaged_settings(tmp_path):
    Run(tmp_path, SETTINGS)
    (tmp_path / "settings.json").write_text('{"task": ')
    with pytest.raises(T2Error, match=r"settings.json is damaged"):
        Run(tmp_path, SETTINGS)


def test_a_half_written_checkpoint_is_not_seen(tmp_path):
    run = Run(tmp_path, SETTINGS)
    run.save(STATE)
    (tmp_path / "checkpoint.part").write_bytes(b"half")
    assert run.load()["step"] == 4


def test_the_log_keeps_the_last_of_repeated_steps(tmp_path):
    run = Run(tmp_path, SETTINGS)
    for step, reward in ((1, 0.1), (2, 0.2), (3, 0.3), (2, 0.25), (3, 0.35)):
        run.log({"step": step, "reward": reward})
    with (tmp_path / "log.jsonl").open("a") as file:
        file.write('{"step": 4, "rew')
    assert [r["reward"] for r in run.curve()] == [0.1, 0.25, 0.35]


def test_a_finished_run_leaves_nothing(tmp_path):
    folder = tmp_path / "run"
    run = Run(folder, SETTINGS)
    run.save(STATE)
    run.log({"step": 1})
    run.finish()
    assert not folder.exists()
    assert Run(folder, {**SETTINGS, "lr": 9}).load() is None
