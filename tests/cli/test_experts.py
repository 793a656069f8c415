"""``experts``: list, show, import, export, delete."""

from __future__ import annotations

from dataclasses import replace

import torch

from t2app.svf import expert as expert_file


def test_list(cli, engine, make_expert):
    before = {"accuracy": 0.1, "n": 5, "ci95": [0, 0.3]}
    expert = make_expert("zoo")
    engine.library.add(replace(expert, header={**expert.header, "before": before}))
    (engine.library.folder / "broken.safetensors").write_bytes(b"nothing")
    found = cli("experts", "--json").json
    assert found == cli("experts", "list", "--json").json
    names = [e["name"] for e in found["experts"]]
    assert names == ["code", "dispatch", "math", "reasoning", "zoo"]
    assert set(found["experts"][0]) == {
        "name", "description", "base", "task", "objective", "reward", "before", "after", "created",
    }  # fmt: skip
    assert found["experts"][-1]["before"] == before
    assert list(found["problems"]) == ["broken.safetensors"]
    people = cli("experts")
    assert people.code == 0
    assert [line.split()[0] for line in people.out.splitlines()] == names
    assert "10.0 %" in people.out
    assert "broken.safetensors" in people.err
    assert people.err.count("\n") == 1


def test_list_without_experts(cli, engine):
    for name in list(engine.library.experts()):
        engine.library.delete(name)
    assert cli("experts", "--json").json == {"experts": [], "problems": {}}


def test_an_odd_header_does_not_hide_the_list(cli, engine, make_expert):
    expert = make_expert("odd")
    header = {**expert.header, "before": 0.5, "after": {"accuracy": "high"}}
    engine.library.add(replace(expert, header=header))
    done = cli("experts")
    assert done.code == 0
    assert "odd" in done.out


def test_show(cli, engine):
    found = cli("experts", "show", "math", "--json").json
    expert = engine.library.get("math")
    assert found["name"] == "math"
    assert found["task"] == "math"
    assert found["base"] == engine.base.base
    assert found["numbers"] == engine.svf.layout.total
    assert set(found["mean_abs_delta"]) == set(expert.z)
    assert "description: " in cli("experts", "show", "math").out


def test_show_cuts_what_is_too_long_for_people(cli, engine, make_expert):
    expert = make_expert("long")
    header = {**expert.header, "curve": [{"step": n, "reward": 0.1} for n in range(99)]}
    engine.library.add(replace(expert, header={**header, "notes": "word " * 500}))
    lines = cli("experts", "show", "long").out.splitlines()
    assert max(map(len, lines)) < 400
    assert any(line.startswith('curve: 99 of them, the first {"step": 0') for line in lines)
    assert len(cli("experts", "show", "long", "--json").json["curve"]) == 99


def test_export_and_import(cli, engine, tmp_path):
    target = tmp_path / "out" / "copy.safetensors"
    found = cli("experts", "export", "math", str(target), "--json").json
    assert found == {"expert": "math", "path": str(target)}
    before = engine.library.get("math")
    assert cli("experts", "delete", "math", "--json").json == {"deleted": "math"}
    assert "math" not in engine.library.experts()
    found = cli("experts", "import", str(target), "--json").json
    assert found["expert"] == "math"
    after = engine.library.get("math")
    assert all(torch.equal(after.z[k], v) for k, v in before.z.items())
    assert after.header == before.header


def test_nothing_is_overwritten_by_accident(cli, tmp_path):
    target = tmp_path / "copy.safetensors"
    assert cli("experts", "export", "math", str(target)).code == 0
    again = cli("experts", "export", "math", str(target))
    assert again.code == 2
    assert "exists already" in again.err
    assert cli("experts", "export", "math", str(target), "--overwrite").code == 0
    again = cli("experts", "import", str(target))
    assert again.code == 2
    assert "'math' exists already" in again.err
    assert cli("experts", "import", str(target), "--overwrite").code == 0


def test_an_expert_of_another_base_is_refused(cli, engine, make_expert, tmp_path):
    expert = make_expert("foreign")
    path = tmp_path / "foreign.safetensors"
    expert_file.save(replace(expert, header={**expert.header, "base": "other@1"}), path)
    done = cli("experts", "import", str(path))
    assert done.code == 2
    assert "made for other@1, not for small@0123456789ab" in done.err
    assert "foreign" not in engine.library.experts()


def test_an_expert_whose_name_is_no_name_is_refused(cli, engine, make_expert, tmp_path):
    path = tmp_path / "x.safetensors"
    expert_file.save(replace(make_expert("x"), name="../../evil"), path)
    done = cli("experts", "import", str(path))
    assert done.code == 2
    assert "is not a name for an expert" in done.err
    assert set(engine.library.experts()) == {"code", "dispatch", "math", "reasoning"}


def test_rename_describe_delete_restore(cli, engine):
    found = cli("experts", "rename", "math", "sums", "--json").json
    assert (found["expert"], found["was"]) == ("sums", "math")
    found = cli("experts", "describe", "sums", "adds things up", "--json").json
    assert found == {"expert": "sums", "description": "adds things up"}
    assert engine.library.get("sums").description == "adds things up"
    assert cli("experts", "delete", "sums").code == 0
    assert "sums" not in engine.library.experts()
    assert cli("experts", "restore", "sums", "--json").json["expert"] == "sums"
    assert engine.library.get("sums").description == "adds things up"
    refused = cli("experts", "rename", "sums", "code")
    assert refused.code == 2
    assert "'code' exists already" in refused.err


def test_compare(cli, engine):
    found = cli("experts", "compare", "--json").json
    assert list(found) == list(found["math"]) == ["code", "dispatch", "math", "reasoning"]
    assert found["math"]["math"] == 1
    assert found["math"]["code"] == found["code"]["math"]
    for name in ("code", "dispatch", "math"):
        engine.library.delete(name)
    assert "needs two experts" in cli("experts", "compare").err


def test_import_of_the_reference(cli, engine, tmp_path):
    path = tmp_path / "policy_params.pt"
    names = [name for name in engine.sigma if "mlp" in name]
    torch.save(
        {
            f"learnable_params_module_list.{i}": torch.linspace(-1, 1, len(engine.sigma[name]))
            for i, name in enumerate(names)
        },
        path,
    )
    found = cli("experts", "import", str(path), "--name", "gsm8k", "--json").json
    assert found["expert"] == "gsm8k"
    expert = engine.library.get("gsm8k")
    for name, z in expert.z.items():
        assert torch.equal(z, torch.ones_like(z)) == (name not in names)
        kept = (engine.sigma[name] * z).sum()
        assert torch.isclose(kept, engine.sigma[name].sum(), rtol=1e-5)


def test_check_puts_other_questions_and_keeps_what_came_of_it(cli, engine, monkeypatch):
    monkeypatch.setattr("t2app.evaluation.harm.general", lambda: ["a fox?", "a dog?"])
    engine.ends = set(range(0, 300, 16))
    found = cli("experts", "check", "math", "--json").json
    assert found["expert"] == "math"
    assert found["harm"]["groups"][0]["n"] == 2
    assert engine.library.get("math").header["harm"] == found["harm"]
    assert cli("experts", "check", "math").out.endswith(f"harm: {found['harm']['words']}\n")
