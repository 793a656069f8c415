"""The table of tasks by strategies: every figure is what it says, nothing is measured twice."""

from __future__ import annotations

import json
import random

import pytest

from t2app.adapt.few_shot import Settings
from t2app.errors import T2Error
from t2app.evaluation import few_shot, grid, measure, results
from t2app.evaluation.memo import Memo, write
from t2app.tasks import BUILT_IN, TASKS
from t2app.tasks.base import Problem, Task

NAMES = ("math", "other", "math-hard")
QUICK = Settings(population=6, generations=2)


def draw(r: random.Random) -> Problem:
    return Problem("math", f"the fox has {r.randint(0, 9999)} dogs", "", "the dog", "the dog")


def score_by_text(problems, answers) -> list[float]:
    """Anything that says different things about different answers and questions."""
    pairs = zip(problems, answers, strict=True)
    return [float((len(p.question) + sum(map(ord, a))) % 2) for p, a in pairs]


@pytest.fixture
def toys(engine, monkeypatch):
    """Small tasks in place of the built-in ones, and quick searches."""
    for name in NAMES:
        toy = Task(name, TASKS[name].description, draw, score_by_text, 4)
        monkeypatch.setitem(grid.TASKS, name, toy)
    monkeypatch.setattr(few_shot, "VARIANTS", {"few-shot 3": (3, QUICK), "few-shot 5": (5, QUICK)})
    monkeypatch.setattr(few_shot, "DRAWS", 2)
    return engine


@pytest.fixture
def toy_grid(toys, tmp_path):
    """The engine, the table, and where its results are."""
    lines: list[str] = []
    memo = Memo(tmp_path / "memo")
    strategies = (*grid.TWO_PASS, "few-shot 3")
    rows = [{"question": "2 foxes", "kind": "math"}, {"question": "hello", "kind": "other"}]
    found = grid.run(toys, NAMES, strategies, 4, memo=memo, handwritten=rows, report=lines.append)
    assert lines[0].startswith("expected: about ")
    return toys, found, memo


def test_a_grid_holds_every_way_to_answer(toy_grid):
    _, found, _ = toy_grid
    assert (found["model"], found["n"]) == ("small@0123456789ab", 4)
    ways = {"base", "math", "code", "reasoning", "oracle", *grid.TWO_PASS}
    assert set(found["tasks"]["math"]) == set(found["tasks"]["math-hard"]) == {*ways, "few-shot 3"}
    assert set(found["tasks"]["other"]) == ways  # the base is meant to answer these
    assert found["tasks"]["math"]["oracle"] == found["tasks"]["math"]["math"]
    assert found["tasks"]["math-hard"]["oracle"] == found["tasks"]["math-hard"]["math"]
    assert found["tasks"]["other"]["oracle"] == found["tasks"]["other"]["base"]
    json.dumps(found)


@pytest.mark.parametrize("way", ["base", "math", "prompt", "prompt, said", "prototype"])
def test_every_figure_is_what_measuring_alone_gives(toy_grid, way):
    engine, found, _ = toy_grid
    task = grid.TASKS["math"]
    problems = task.problems("test", 4, grid.SEED)
    if way in grid.TWO_PASS:
        strategy, said = grid.TWO_PASS[way]
        choices = [grid.adapt.choose(engine, p.question, strategy, generate=said) for p in problems]
        deltas = measure.stack(engine, [c.weights for c in choices])
    else:
        deltas = engine.delta({} if way == "base" else {way: 1.0})
    expected = measure.accuracy(engine, task, problems, deltas).to_dict()
    assert found["tasks"]["math"][way] == expected


def test_few_shot_is_measured_on_what_no_search_has_seen(toy_grid):
    engine, found, _ = toy_grid
    figure = found["few_shot"]["math"]["few-shot 3"]
    assert figure["examples"] == 3
    assert len(figure["draws"]) == 2
    task = grid.TASKS["math"]
    test = {p.question for p in task.problems("test", 4, grid.SEED)}
    for draw_ in range(2):
        shots = few_shot.draw_shots(task, 3, draw_)
        assert not test & {p.question for p in shots.shots}
        larger = few_shot.draw_shots(task, 5, draw_)
        assert larger.shots[:3] == shots.shots
    accuracies = [draw_["accuracy"] for draw_ in figure["draws"]]
    assert figure["accuracy"] == pytest.approx(sum(accuracies) / 2, abs=1e-3)
    assert figure["against_best"]["best"] in grid.TWO_PASS
    first = figure["draws"][0]
    problems = task.problems("test", 4, grid.SEED)
    again = measure.accuracy(engine, task, problems, few_shot.delta_of(engine, first))
    assert again.accuracy == pytest.approx(first["accuracy"])


def test_labels_and_shares_are_counted(toy_grid):
    _, found, _ = toy_grid
    for strategy in grid.TWO_PASS:
        for figures in found["classified"][strategy].values():
            assert sum(figures["labels"].values()) == figures["n"] == 4
        confusion = found["confusion"][strategy]
        assert sum(map(sum, confusion["counts"])) == 12
        assert confusion["kinds"] == ["math", "other"]
        shares = found["contributions"][strategy]["math"]
        assert len(shares["rows"]) == 4
        assert shares["experts"][-1] == "base"
        assert all(sum(row) == pytest.approx(1, abs=1e-3) for row in shares["rows"])
        assert found["handwritten"][strategy]["n"] == 2


def test_the_mixed_stream_is_the_built_in_kinds_together(toy_grid):
    _, found, _ = toy_grid
    mixed = found["mixed"]
    assert set(mixed) == {"base", "oracle", *grid.TWO_PASS}
    kinds = [row for name, row in found["tasks"].items() if name in BUILT_IN]
    for way, figure in mixed.items():
        assert figure["n"] == 8
        mean = sum(row[way]["accuracy"] for row in kinds) / 2
        assert figure["accuracy"] == pytest.approx(mean)
    gain = mixed["prompt"]["gain_over_base"]
    assert gain["mean"] == pytest.approx(
        mixed["prompt"]["accuracy"] - mixed["base"]["accuracy"], abs=1e-3
    )
    assert gain["ci95"][0] <= gain["mean"] <= gain["ci95"][1]


def test_an_interrupted_grid_continues(toy_grid, passes):
    engine, found, memo = toy_grid
    seen = len(passes)
    kept = []
    again = grid.run(engine, NAMES, (*grid.TWO_PASS, "few-shot 3"), 4, memo=memo, keep=kept.append)
    assert len(kept) == 3
    assert again["tasks"] == found["tasks"]
    # Only what the expected time is guessed from ran again.
    assert len(passes) - seen <= 2 * 4


def test_an_expert_that_changed_is_measured_again(toy_grid, make_expert):
    engine, found, memo = toy_grid
    engine.library.add(make_expert("math", seed=77), overwrite=True)
    again = grid.run(engine, ("math",), ("prompt",), 4, memo=memo)
    assert again["experts"]["math"] != found["experts"]["math"]
    assert again["experts"]["code"] == found["experts"]["code"]
    problems = grid.TASKS["math"].problems("test", 4, grid.SEED)
    expected = measure.accuracy(engine, grid.TASKS["math"], problems, engine.delta({"math": 1.0}))
    assert again["tasks"]["math"]["math"] == expected.to_dict()


def test_a_grid_as_tables(toy_grid):
    _, found, _ = toy_grid
    tasks, mixed, against, questions = grid.markdown(found).split("\n\n")
    head, rule, *rows = tasks.split("\n")
    assert head.startswith("| task | base |")
    assert len(rows) == 3
    assert {line.count("|") for line in (head, rule, *rows)} == {head.count("|")}
    accuracy = found["tasks"]["math"]["base"]["accuracy"]
    assert f"| math | {100 * accuracy:.1f} ±" in rows[0]
    assert "| all kinds |" in mixed
    assert "| math | " in against
    assert " to " in against
    head, _, *rows = questions.split("\n")
    assert head == "| hand-written | math | other | together |"
    counts = found["handwritten"]["prompt"]["confusion"]["counts"]
    assert rows[0].startswith(f"| prompt | {counts[0][0]}/1 | {counts[1][1]}/1 |")


def test_other_ways_to_keep_factors_are_measured_for_themselves(toy_grid, monkeypatch, passes):
    engine, found, memo = toy_grid
    assert (found["execution"], found["factors"]) == ("auto", "auto")
    seen = len(passes)
    run = lambda: grid.run(engine, ("math",), ("prompt",), 4, memo=memo)  # noqa: E731
    run()
    pace = len(passes) - seen  # what is measured each time: how long it will take
    monkeypatch.setattr(engine.svf, "storage", "nf4")
    seen = len(passes)
    assert run()["factors"] == "nf4"
    assert len(passes) - seen > pace


def test_a_model_without_a_classifier_is_measured_without_it(toys):
    assert "classifier" in grid.usual(toys)
    toys.library.delete("dispatch")
    assert grid.usual(toys) == tuple(s for s in grid.USUAL if s != "classifier")


def test_it_fails_before_anything_is_measured(toys, passes):
    def refused(tasks, strategies, n=4) -> str:
        with pytest.raises(T2Error) as error:
            grid.run(toys, tasks, strategies, n)
        return str(error.value)

    assert "unknown task 'cooking'" in refused(("cooking",), ("prompt",))
    assert "'magic' cannot be measured" in refused(("math",), ("magic",))
    assert "--n is 0" in refused(("math",), ("prompt",), 0)
    toys.library.delete("dispatch")
    assert "needs an expert that classifies" in refused(("math",), ("prompt", "classifier"))
    for name in list(toys.library.experts()):
        toys.library.delete(name)
    assert "no experts to measure" in refused(("math",), ("prompt",))
    assert passes == []


def test_questions_from_a_file(tmp_path):
    file = tmp_path / "questions.jsonl"
    file.write_text('{"question": "hi", "kind": "other"}\n\n')
    assert grid.read_questions(file) == [{"question": "hi", "kind": "other"}]
    for text in ("no json", '{"question": "hi"}', "[1]"):
        file.write_text(text)
        with pytest.raises(T2Error, match=r"questions\.jsonl"):
            grid.read_questions(file)
    with pytest.raises(T2Error, match="cannot read questions"):
        grid.read_questions(tmp_path / "nowhere")


def test_cross_effects_are_of_the_experts_there_are(toy_grid, make_expert, monkeypatch, tmp_path):
    engine, found, _ = toy_grid
    monkeypatch.setattr(results, "SHIPPED", tmp_path)
    monkeypatch.setenv("T2APP_CACHE", str(tmp_path / "cache"))
    assert results.cross_effects(engine) is None
    write(results.path(engine), found)
    (tmp_path / "broken.json").write_text("{")
    (tmp_path / "other.json").write_text(json.dumps({**found, "model": "another", "date": "9999"}))
    effects = results.cross_effects(engine)
    assert effects["tasks"] == list(NAMES)
    assert set(effects["experts"]) == {"code", "math", "reasoning"}
    assert effects["experts"]["math"]["other"] == found["tasks"]["other"]["math"]
    assert effects["base"]["math"] == found["tasks"]["math"]["base"]
    engine.library.add(make_expert("math", seed=78), overwrite=True)
    engine.library.delete("code")
    assert set(results.cross_effects(engine)["experts"]) == {"reasoning"}
