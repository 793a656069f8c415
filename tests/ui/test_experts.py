"""What happens on the experts page: with a small random model, real files and real handlers."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from t2app.adapt import two_pass
from t2app.errors import T2Error
from t2app.evaluation import figures, results
from t2app.svf import expert as expert_file
from t2app.ui import asking, words
from t2app.ui import experts_handlers as act
from t2app.ui.conversation import Turn
from t2app.ui.experts_handlers import View

SKIP = act.gr.skip()


def look(engine: Any, now: View = View()) -> View:  # noqa: B008
    return act.looked(engine, now)[0]


def said(update: Any) -> str:
    assert update["visible"] == bool(update["value"])
    return update["value"]


def click(**data: str) -> SimpleNamespace:
    return SimpleNamespace(**data)


def outside(engine: Any, tmp_path: Path, name: str = "sums") -> Path:
    """A file of an expert that is not in the folder."""
    path = tmp_path / f"{name}.safetensors"
    expert_file.save(replace(engine.library.get("math"), name=name), path)
    return path


# -- the list ------------------------------------------------------------------------------------


def test_the_first_look_opens_the_first_expert_and_the_next_changes_nothing(engine) -> None:
    now = look(engine)
    assert now.chosen == "code"
    assert act.looked(engine, now) == (SKIP, SKIP)


def test_what_another_page_adds_is_seen_and_the_choice_stays(engine, make_expert) -> None:
    now = replace(look(engine), chosen="math")
    engine.library.add(make_expert("algebra"))
    later, notice = act.looked(engine, now)
    assert later.chosen == "math"
    assert later.seen != now.seen
    assert notice == SKIP


def test_what_another_page_removes_is_told_and_another_expert_opens(engine) -> None:
    now = replace(look(engine), chosen="math")
    engine.library.delete("math")
    later, notice = act.looked(engine, now)
    assert later.chosen == "code"
    assert "math is gone" in said(notice).lower()
    # A click on the row that this page still shows does no harm either.
    later, notice = act.picked(engine, now, click(expert="math"))
    assert later.chosen == "code"


def test_a_click_opens_an_expert_and_nonsense_opens_none(engine) -> None:
    now = look(engine)
    assert act.picked(engine, now, click(expert="reasoning"))[0].chosen == "reasoning"
    for event in (click(), click(expert="../math"), click(expert=None)):
        assert act.picked(engine, now, event)[0] == SKIP


def test_the_table_has_everything_and_escapes_what_a_file_says(engine, make_expert) -> None:
    expert = make_expert("odd")
    header = {
        "description": "<b>bold</b> {{value}} ${1}",
        "before": {"accuracy": 0.125},
        "after": {"accuracy": 0.75},
        "rows": {"train": 1234},
        "objective": "rl",
        "reward": "<i>",
        "settings": {"steps": 24},
        "created": "2026-11-21T09:39:39+00:00",
    }
    engine.library.add(replace(expert, header={**expert.header, **header}))
    table, problems = act.listed(engine, replace(look(engine), chosen="odd"))
    for text in (
        "&lt;b&gt;bold&lt;/b&gt;", "12\xa0% → <b>75\xa0%</b>", "1,234", "21 Nov 2026", "24 steps",
        "reward &lt;i&gt;", engine.base.base, f"{engine.svf.layout.total:,}", 'aria-pressed="true"',
    ):  # fmt: skip
        assert text in table
    assert table.count("data-expert=") == 5
    assert problems == ""


@pytest.mark.parametrize(
    "header",
    [
        {"before": 0.5, "after": {"accuracy": "high"}, "rows": [1], "created": 7, "gain": "much"},
        {"before": {"accuracy": 7}, "after": {"accuracy": -1}, "rows": {"train": "x"}},
        {"settings": [1], "curve": [{"step": "x"}, 3, None], "examples": "text", "mix": [1]},
        {"curve": [{"step": 1, "reward": "x"}], "examples": [1, "", None], "gain": {"mean": 1}},
        {"curve": {"a": 1}, "mix": {"weights": {"math": "x"}}, "objective": ["rl"]},
    ],
)
def test_a_header_of_any_form_hides_nothing(engine, make_expert, header) -> None:
    expert = make_expert("odd")
    engine.library.add(replace(expert, header={**expert.header, **header}))
    now = replace(look(engine), chosen="odd")
    assert "odd" in act.listed(engine, now)[0]
    assert act.opened(engine, now, None)[1]["visible"]


def test_files_that_do_not_fit_are_named_with_the_reason_and_without_the_folder(engine) -> None:
    (engine.library.folder / "broken.safetensors").write_bytes(b"x")
    problems = act.listed(engine, look(engine))[1]
    assert "1 file does not fit" in problems
    assert "broken.safetensors" in problems
    assert "damaged" in problems
    assert str(engine.library.folder) not in problems


def test_without_experts_the_page_says_what_to_do(empty_engine) -> None:
    now = look(empty_engine)
    assert now.chosen is None
    assert "Train one" in act.listed(empty_engine, now)[0]
    assert not act.opened(empty_engine, now, None)[1]["visible"]
    assert not act.compared(empty_engine, now, None, None)[0]["visible"]
    assert act.effects(empty_engine, None)[0]["visible"] is False


# -- one expert ----------------------------------------------------------------------------------


def heat(figure: Any) -> list[list[float]]:
    return [list(row) for row in figure.data[0].z]


def test_an_expert_is_opened_with_its_strength_by_layer_and_module(engine) -> None:
    now = replace(look(engine), chosen="math")
    values = act.opened(engine, now, None)
    shown, _, title, download, name, _, sure, figure, line, matrix, *_ = values
    expert = engine.library.get("math")
    assert "math" in title
    assert expert_file.load(Path(download)).name == name == shown == "math"
    assert sure["visible"] is False
    cells = heat(figure)
    assert len(cells) == 2  # layers
    assert [len(row) for row in cells] == [7, 7]  # modules
    first = next(iter(engine.library.shapes))
    assert cells[0][0] == pytest.approx((expert.z[first] - 1).abs().mean().item())
    strongest = max(expert.z, key=lambda key: (expert.z[key] - 1).abs().mean())
    assert matrix["value"] == strongest
    assert strongest.split(".")[-1] in line
    assert len(matrix["choices"]) == 14


def test_what_is_being_typed_survives_a_change_of_the_folder(engine, make_expert) -> None:
    now = replace(look(engine), chosen="math")
    first = act.opened(engine, now, None)
    engine.library.add(make_expert("algebra"))
    again = act.opened(engine, look(engine, now), first[0])
    names = ("name", "description", "sure")
    assert dict(zip(names, again[4:7], strict=True)) == dict.fromkeys(names, SKIP)
    assert again[9] == SKIP  # the matrix that was chosen


def test_one_matrix_shows_z_and_the_spectrum(engine) -> None:
    now = replace(look(engine), chosen="math")
    name = next(iter(engine.library.shapes))
    figure, line = act.matrix(engine, now, name)
    spectrum, z = figure.data
    assert list(z.y) == pytest.approx(engine.library.get("math").z[name].tolist())
    assert spectrum.y[0] == 1
    assert list(spectrum.y) == sorted(spectrum.y, reverse=True)
    assert "64 singular values are turned up" in line
    assert act.matrix(engine, now, "no such matrix") == (SKIP, SKIP)


def test_an_expert_that_changes_nothing_can_be_looked_at(engine, make_expert) -> None:
    expert = make_expert("idle")
    ones = {name: torch.ones_like(z) for name, z in expert.z.items()}
    engine.library.add(replace(expert, z=ones))
    now = replace(look(engine), chosen="idle")
    assert "changes nothing" in act.opened(engine, now, None)[8]
    assert act.matrix(engine, now, next(iter(ones)))[0].data
    assert act.paired(engine, "idle", "math")[0]


def test_curves_that_the_file_keeps_are_drawn(engine, make_expert) -> None:
    expert = make_expert("learnt")
    curve = [{"step": i, "reward": i / 4, "validation": i / 4, "loss": None} for i in range(3)]
    engine.library.add(replace(expert, header={**expert.header, "curve": curve}))
    values = act.opened(engine, replace(look(engine), chosen="learnt"), None)
    assert [curve["visible"] for curve in values[11:13]] == [True, True]
    values = act.opened(engine, replace(look(engine), chosen="math"), None)
    assert [curve["visible"] for curve in values[11:13]] == [False, False]


def test_an_example_question_leads_to_the_chat(engine, make_expert) -> None:
    expert = make_expert("asked")
    engine.library.add(replace(expert, header={**expert.header, "examples": ["Why?", "How?"]}))
    now = replace(look(engine), chosen="asked")
    tabs, question = act.try_example(engine, now, click(question="1"))
    assert tabs.selected == words.TAB_CHAT
    assert question == "How?"
    for event in (click(), click(question="7"), click(question="x")):
        assert act.try_example(engine, now, event) == (SKIP, SKIP)


# -- changes -------------------------------------------------------------------------------------


def test_import_takes_the_expert_over_and_opens_it(engine, tmp_path) -> None:
    path = outside(engine, tmp_path)
    now, notice, file, name = act.imported(engine, look(engine), str(path), "")
    assert now.chosen == "sums"
    assert "sums is here" in said(notice)
    assert (file, name) == (None, "")
    again, notice, file, _ = act.imported(engine, now, str(path), "")
    assert again == file == SKIP
    assert "exists already" in said(notice)
    now, _, _, _ = act.imported(engine, now, str(path), " totals ")
    assert now.chosen == "totals"


def test_import_of_something_else_is_refused_without_naming_the_folder(engine, tmp_path) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(b"nothing")
    now, notice, file, _ = act.imported(engine, look(engine), str(path), "")
    assert now == file == SKIP
    assert "X.safetensors is damaged" in said(notice)
    assert str(tmp_path) not in said(notice)
    assert "Choose a file" in said(act.imported(engine, look(engine), None, "")[1])


def test_rename_and_describe(engine) -> None:
    now = replace(look(engine), chosen="math")
    later, notice = act.saved(engine, now, "sums", "adds things up")
    assert later.chosen == "sums"
    assert "described and called sums" in said(notice)
    assert engine.library.get("sums").description == "adds things up"
    later, notice = act.saved(engine, later, "code", "adds things up")
    assert "code&#x27; exists already" in said(notice)
    assert "sums" in engine.library.experts()
    assert "Nothing was changed" in said(act.saved(engine, look(engine), "code", _of(engine))[1])


def _of(engine: Any) -> str:
    return engine.library.get("code").description


def test_renaming_what_another_page_removed(engine) -> None:
    now = replace(look(engine), chosen="math")
    engine.library.delete("math")
    later, notice = act.saved(engine, now, "sums", "adds things up")
    assert later.chosen == "code"
    assert "gone" in said(notice)


def test_delete_asks_first_and_can_be_taken_back(engine) -> None:
    now = replace(look(engine), chosen="math")
    sure, question = act.question(engine, now)
    assert sure["visible"]
    assert "Delete <b>math</b>?" in question
    assert "math" in engine.library.experts()
    later, notice, gone, undo = act.deleted(engine, now)
    assert later.chosen == "code"
    assert "math is deleted" in said(notice)
    assert gone == "math"
    assert undo["visible"]
    back, notice, gone, undo = act.restored(engine, later, gone)
    assert back.chosen == "math"
    assert gone is None
    assert undo["visible"] is False
    assert "math" in engine.library.experts()


def test_deleting_the_expert_that_sorts_questions_says_what_needs_it(engine) -> None:
    _, question = act.question(engine, replace(look(engine), chosen="dispatch"))
    assert words.STRATEGIES["classifier"][0] in question


def test_the_folder_itself_may_vanish(engine) -> None:
    now = replace(look(engine), chosen="math")
    shutil.rmtree(engine.library.folder)
    later, notice = act.looked(engine, now)
    assert later.chosen is None
    assert "gone" in said(notice)
    assert "math" in said(act.deleted(engine, now)[1])


def test_an_answer_in_progress_outlives_its_expert_and_the_next_one_is_told(engine) -> None:
    turn = Turn("What is 2 + 3?", "manual", weights={"math": 1.0})
    running = asking.answer(engine, two_pass.stream, (turn,), (), False, 0, 16)
    next(running)
    engine.library.delete("math")
    *_, last = running
    assert last[0][-1].state == "done"
    *_, refused = asking.answer(engine, two_pass.stream, (turn,), (), False, 0, 16)
    turns, _, _, _, notice, box, _ = refused
    assert turns == ()
    assert "math" in said(notice)
    assert box["value"] == turn.question
    # The sliders follow: the next question goes without the expert that has gone.
    _, hand, _ = asking.refreshed(engine, {"code": 0.25, "math": 1.0, "reasoning": 0.0})
    assert hand == {"code": 0.25, "reasoning": 0.0}


# -- the expert that sorts questions -----------------------------------------------------------


class Queue:
    """Stands for the line of training jobs: it only notes what it is asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, dict[str, Any]]] = []

    def of(self, engine: Any) -> Queue:
        return self

    def submit_task(self, task: Any, **more: Any) -> None:
        if self.asked:
            raise T2Error("a run called dispatch is in line already")
        self.asked.append((task, more))


def test_the_page_says_when_the_expert_that_sorts_is_out_of_date(engine, make_expert) -> None:
    assert act.router_state(engine)[0]["visible"] is False
    questions = [f"What is the weather like in town {n}?" for n in range(20)]
    expert = make_expert("weather")
    engine.library.add(replace(expert, header={**expert.header, "examples": questions}))
    told, button = act.router_state(engine)
    assert "has not learned weather" in said(told)
    assert button["visible"]
    queue = Queue()
    tabs, notice, *hidden = act.retrained(engine, queue)
    assert tabs.selected == words.TAB_TRAIN
    assert "being trained" in said(notice)
    assert [update["visible"] for update in hidden] == [False, False]
    task, more = queue.asked[0]
    assert task.name == "dispatch"
    assert more == {"name": "dispatch", "overwrite": True}
    tabs, notice, *_ = act.retrained(engine, queue)
    assert tabs == SKIP
    assert "in line already" in said(notice)


def test_the_page_says_when_no_expert_sorts(engine) -> None:
    engine.library.delete("dispatch")
    assert "No expert sorts questions yet" in said(act.router_state(engine)[0])


# -- several experts -----------------------------------------------------------------------------


def test_all_experts_are_compared_and_two_side_by_side(engine) -> None:
    now = replace(look(engine), chosen="math")
    figure, line, one, other, pair = act.compared(engine, now, None, None)
    cells = heat(figure["value"])
    assert [round(cells[i][i], 6) for i in range(4)] == [1] * 4
    assert cells[0][1] == cells[1][0]
    assert (one["value"], other["value"]) == ("math", "code")
    assert pair["visible"]
    assert "Closest" in line
    words_, first, second, *drawn, agreement = act.paired(engine, "math", "code")
    assert "Cosine similarity" in words_
    assert ("math" in first, "code" in second) == (True, True)
    assert [figure.data[0].zmax for figure in drawn] == [drawn[0].data[0].zmax] * 2
    assert agreement.data[0].zmin == -1
    assert act.paired(engine, "math", "gone")[0] == SKIP


def test_a_choice_that_has_gone_is_replaced(engine) -> None:
    now = replace(look(engine), chosen="code")
    _, _, one, other, _ = act.compared(engine, now, "gone", "code")
    assert (one["value"], other["value"]) == ("code", "dispatch")


# -- what they do --------------------------------------------------------------------------------


def test_measured_effects_are_shown_for_the_experts_that_were_measured(engine, monkeypatch) -> None:
    figure = {"accuracy": 0.25, "n": 500, "ci95": [0.2, 0.3]}
    found = {
        "tasks": ["math", "code"],
        "base": {"math": figure, "code": figure},
        "experts": {"math": {"math": {**figure, "accuracy": 0.75}, "code": figure}},
        "date": "2026-11-21",
    }
    sorted_ = figures.confusion(["math", "math", "code"], ["math", "code", "code"])
    monkeypatch.setattr(results, "cross_effects", lambda engine: found)
    shares = figures.contributions([{"math": 0.75}, {"math": 0.25}])
    whole = {
        "confusion": {"prompt": sorted_},
        "contributions": {"prompt": {"math": shares, "code": figures.contributions([{"code": 1}])}},
    }
    monkeypatch.setattr(results, "load", lambda engine: whole)
    drawn, line, strategy, sorting = act.effects(engine, None)
    assert sorting["visible"]
    assert heat(drawn["value"]) == [[0, 0.5], [0, 0]]
    assert "500 fresh questions a task" in line
    assert strategy["value"] == "prompt"
    whole["confusion"]["prototype"] = sorted_
    assert act.effects(engine, "prototype")[2]["value"] == "prototype"
    assert act.effects(engine, "gone")[2]["value"] == "prompt"
    drawn, line, task = act.confusion(engine, "prompt", None)
    assert heat(drawn["value"]) == [[1, 0], [0.5, 0.5]]
    assert "2 of 3" in line
    assert [name for name, _ in task["choices"]] == ["all tasks: means", "math", "code"]
    drawn, line = act.mixed(engine, "prompt", task["value"])
    assert bars(drawn["value"]) == {
        "code": (["math", "code"], [0, 1]),
        "math": (["math", "code"], [0.5, 0]),
        "base": (["math", "code"], [0.5, 0]),
    }
    assert "mean" in line
    assert act.confusion(engine, "classifier", None)[0]["visible"] is False


def bars(figure: Any) -> dict[str, tuple[list[Any], list[float]]]:
    return {bar.name: (list(bar.x), list(bar.y)) for bar in figure.data}


def kept(monkeypatch: pytest.MonkeyPatch, **contributions: Any) -> None:
    """Results of an evaluation that kept these mixes: strategy -> task -> shares."""
    sorted_ = figures.confusion(["math", "code"], ["math", "code"])
    whole = {"confusion": dict.fromkeys(("prompt", "classifier"), sorted_)}
    monkeypatch.setattr(results, "load", lambda engine: whole | {"contributions": contributions})


def test_mixes_of_an_evaluation_are_shown_by_question(engine, monkeypatch) -> None:
    shares = figures.contributions([{"math": 0.75}, {"math": 0.25}])
    other = figures.contributions([{"code": 1}])
    kept(monkeypatch, prompt={"math": shares, "code": other}, classifier={"code": other})
    drawn, line = act.mixed(engine, "prompt", "math")
    # An expert that the task did not meet is there too: colours are those of the means.
    assert bars(drawn["value"]) == {
        "code": ([1, 2], [0, 0]),
        "math": ([1, 2], [0.75, 0.25]),
        "base": ([1, 2], [0.25, 0.75]),
    }
    means = act.mixed(engine, "prompt", "")[0]["value"]
    colours = [[bar.marker.color for bar in figure.data] for figure in (drawn["value"], means)]
    assert colours[0] == colours[1]
    assert "the first 2 of “math”" in line
    # Another strategy keeps the task if it was measured with it too.
    assert act.confusion(engine, "prompt", "math")[2]["value"] == "math"
    task = act.confusion(engine, "classifier", "math")[2]["value"]
    assert bars(act.mixed(engine, "classifier", task)[0]["value"])["code"] == (["code"], [1])


def test_mixes_that_were_not_kept_are_told(engine, monkeypatch) -> None:
    shares = figures.contributions([{"math": 0.75}])
    old = {key: shares[key] for key in ("experts", "mean")}
    kept(monkeypatch, prompt={"math": old, "code": old | {"rows": []}})
    assert act.mixed(engine, "prompt", "")[0]["visible"]
    for strategy, task in (("prompt", "math"), ("prompt", "code"), ("classifier", "")):
        drawn, line = act.mixed(engine, strategy, task)
        assert drawn["visible"] is False
        assert "was not kept" in line
    assert act.confusion(engine, "classifier", "math")[2]["visible"] is False


def test_every_task_of_the_results_that_come_with_the_program_is_drawn(engine, monkeypatch) -> None:
    whole = json.loads((results.SHIPPED / "tiny.json").read_text())
    monkeypatch.setattr(results, "load", lambda engine: whole)
    for strategy, by_task in whole["contributions"].items():
        assert [name for _, name in act.confusion(engine, strategy, None)[2]["choices"]] == [
            "", *by_task
        ]  # fmt: skip
        for task, shares in by_task.items():
            drawn = act.mixed(engine, strategy, task)[0]["value"]
            assert len(drawn.data[0].x) == len(shares["rows"]) == 30
            assert [bar.name for bar in drawn.data] == shares["experts"]


def test_nothing_measured_is_said(engine) -> None:
    drawn, line, _, sorting = act.effects(engine, None)
    assert drawn["visible"] is sorting["visible"] is False
    assert "t2app eval" in line


def test_contributions_of_the_conversation(engine) -> None:
    turn = Turn("q", "prompt", state="done", looked=True, weights={"math": 0.75})
    other = Turn("q", "prompt", state="done", looked=True, weights={"code": 1.0})
    figure, line = act.contributions((turn, other, Turn("open", "prompt")))
    assert {bar.name: list(bar.y) for bar in figure["value"].data} == {
        "code": [0, 1],
        "math": [0.75, 0],
        "base": [0.25, 0],
    }
    assert "Question 2 was answered by code 100" in line
    figure, line = act.contributions(())
    assert figure["visible"] is False
    assert "Ask something" in line
