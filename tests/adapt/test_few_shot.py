"""The search over mixes: what it yields, that a batch scores like one at a time, when it ends."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from t2app.adapt import few_shot, judge, mixes
from t2app.adapt.few_shot import Settings
from t2app.adapt.result import Adaptation
from t2app.engine import Completion
from t2app.errors import T2Error
from t2app.svf.compare import place
from t2app.tasks.judging import judged

SMALL = Settings(population=8, generations=3, patience=3, prior=0)


def alone(engine, shots, weights: dict[str, float]) -> float:
    """Fitness of one candidate, its examples one at a time."""
    delta = engine.delta(weights)
    prompts = [engine.prompt_ids(shots.task.messages(p)) for p in shots.shots]
    said = [
        engine.generate([p], delta, max_new_tokens=shots.task.max_new_tokens)[0] for p in prompts
    ]
    scores = judged(shots.task, shots.shots, said)
    return sum(scores) / len(scores)


def test_a_population_in_batches_scores_like_one_at_a_time(engine, toy_shots, passes):
    shots = toy_shots(3)
    # With all of them elite, every candidate has to answer everything.
    search = few_shot.search(engine, shots, replace(SMALL, generations=1, elite=1.0))
    [only] = list(search)
    assert max(rows for rows, *_ in passes) > 8, "not one at a time"
    expected = [alone(engine, shots, candidate) for candidate in only.population]
    assert list(only.fitnesses) == pytest.approx(expected)
    assert len(set(expected)) > 1


def test_likelihood_of_gold_answers_in_one_batch_is_that_of_each(engine, toy_shots):
    shots = toy_shots(3)
    settings = replace(SMALL, generations=1, fitness="likelihood")
    [only] = list(few_shot.search(engine, shots, settings))
    for candidate, fitness in zip(only.population, only.fitnesses, strict=True):
        means = []
        for problem in shots.shots:
            values, counted = engine.logprobs(
                [engine.prompt_ids(shots.task.messages(problem))],
                [engine.answer_ids("the lazy dog")],
                engine.delta(candidate),
            )
            means.append((values.sum() / counted.sum()).item())
        assert fitness == pytest.approx(sum(means) / 3, abs=1e-4)


def test_one_record_a_generation(engine, toy_shots):
    settings = replace(SMALL, fitness="likelihood", tolerance=0)
    found = list(few_shot.search(engine, toy_shots(3), settings))
    assert [g.number for g in found] == [1, 2, 3]
    assert [g.why for g in found] == [None, None, "all 3 generations are done"]
    best = [g.best_fitness for g in found]
    assert best == sorted(best)
    for g in found:
        assert g.limit == 3
        assert len(g.population) == len(g.fitnesses) == 8
        assert set(g.mean) == set(g.spread) == {"code", "math", "reasoning"}
        assert all(0 <= w <= 1 for row in g.population for w in row.values())
        assert all(sum(row.values()) <= 1 + 1e-5 for row in g.population)
        assert g.best_fitness >= max(g.fitnesses) - 1e-9
        assert g.to_dict()["weights"] == g.found.weights
    assert found[-1].seconds >= found[0].seconds > 0


def test_the_first_generation_tries_the_base_and_every_expert_alone(engine, toy_shots):
    first = next(few_shot.search(engine, toy_shots(2), SMALL))
    third = pytest.approx(1 / 3, abs=1e-5)
    assert first.population[:5] == (
        {"code": third, "math": third, "reasoning": third},
        {"code": 0, "math": 0, "reasoning": 0},
        {"code": 1, "math": 0, "reasoning": 0},
        {"code": 0, "math": 1, "reasoning": 0},
        {"code": 0, "math": 0, "reasoning": 1},
    )


def test_the_same_seed_finds_the_same(engine, toy_shots):
    one, two = (list(few_shot.search(engine, toy_shots(3), SMALL)) for _ in range(2))
    assert [g.population for g in one] == [g.population for g in two]
    assert one[-1].found == two[-1].found
    other = list(few_shot.search(engine, toy_shots(3), replace(SMALL, seed=1)))
    assert other[0].population != one[0].population


def test_the_mix_that_is_found_is_the_sum_of_its_parts(engine, toy_shots):
    *_, last = few_shot.search(engine, toy_shots(3), SMALL)
    found = last.found
    [row] = found.alpha
    expected = engine.delta(dict(zip(found.experts, row, strict=True)))
    expected = torch.zeros(engine.svf.layout.total) if expected is None else expected
    assert torch.allclose(found.delta, expected, atol=1e-6)
    assert found.weights == pytest.approx(dict(zip(found.experts, row, strict=True)))


def test_free_weights_may_sum_to_more_than_1(engine, toy_shots):
    settings = replace(SMALL, normalised=False)
    *_, last = few_shot.search(engine, toy_shots(3), settings)
    assert max(sum(row.values()) for row in last.population) > 1
    assert all(0 <= w <= 1 for row in last.population for w in row.values())


def test_a_weight_for_each_layer(engine, toy_shots):
    settings = replace(SMALL, per_layer=True, generations=2)
    *_, last = few_shot.search(engine, toy_shots(3), settings)
    found = last.found
    assert len(found.alpha) == 2
    deltas = dict(
        zip(found.experts, engine.deltas(map(engine.library.get, found.experts)), strict=True)
    )
    mixed = engine.svf.layout.split(found.delta)
    for name, vector in mixed.items():
        row = found.alpha[int(place(name)[0])]
        parts = [
            w * engine.svf.layout.split(deltas[e])[name]
            for e, w in zip(found.experts, row, strict=True)
        ]
        assert torch.allclose(vector, sum(parts), atol=1e-6)


def test_blocks_cover_the_whole_vector(engine):
    layout = engine.svf.layout
    assert few_shot.blocks(layout, per_layer=False) == [slice(0, layout.total)]
    one, two = few_shot.blocks(layout, per_layer=True)
    assert (one.start, one.stop, two.stop) == (0, two.start, layout.total)


def test_it_ends_when_the_weights_have_settled(engine, toy_shots):
    settings = replace(SMALL, generations=50, patience=50, tolerance=0.2, fitness="likelihood")
    *_, last = few_shot.search(engine, toy_shots(2), settings)
    assert last.why == "the weights have settled"
    assert last.number < 50
    assert max(last.spread.values()) < 0.2


def test_it_ends_when_nothing_gets_better(engine, toy_shots):
    settings = replace(SMALL, generations=50, patience=2)
    found = list(few_shot.search(engine, toy_shots(2, score=lambda p, a: [0.0] * len(a)), settings))
    assert len(found) == 3
    assert found[-1].why == "no better mix in the last 2 generations"
    assert found[-1].found.likelihood is None


def test_it_ends_when_every_example_is_right(engine, toy_shots):
    shots = toy_shots(2, score=lambda p, a: [1.0] * len(a))
    *_, last = few_shot.search(engine, shots, SMALL)
    assert (last.number, last.why) == (2, "every example is answered right")


def test_ties_go_to_the_answers_that_the_model_finds_likely(engine, toy_shots):
    shots = toy_shots(2, score=lambda p, a: [1.0] * len(a))
    [only] = list(few_shot.search(engine, shots, replace(SMALL, generations=1)))
    assert set(only.fitnesses) == {1.0}
    prompts = [engine.prompt_ids(shots.task.messages(p)) for p in shots.shots]
    likely = []
    for candidate in only.population:
        done = engine.generate(prompts, engine.delta(candidate), max_new_tokens=6, likelihoods=True)
        likely.append(sum(c.likelihood for c in done) / 2)
    assert only.found.likelihood == pytest.approx(max(likely), abs=1e-4)


def first_pass_says(monkeypatch, **probabilities: float) -> None:
    label = max(probabilities, key=probabilities.__getitem__)
    said = Adaptation("prototype", label, probabilities)
    monkeypatch.setattr(few_shot.prototype, "choose", lambda *_: said)
    monkeypatch.setattr(few_shot.prototype, "missing", lambda _: ())


@pytest.mark.parametrize("name", ["code", "reasoning", "other"])
def test_ties_go_to_what_the_first_pass_says(engine, toy_shots, monkeypatch, name):
    first_pass_says(monkeypatch, **{name: 1.0})
    shots = toy_shots(2, score=lambda p, a: [1.0] * len(a))
    *_, last = few_shot.search(engine, shots, replace(SMALL, prior=0.01))
    weights = {**last.found.weights, "other": 1 - sum(last.found.weights.values())}
    assert weights[name] == pytest.approx(1)  # and not a mix in which it only leads


def worth(monkeypatch, engine, right) -> None:
    """Make a candidate solve of every example what ``right`` says of its weights."""
    names = [name for name in engine.library.experts() if name != "dispatch"]
    stacked = engine.deltas(map(engine.library.get, names))

    def said(_, prompts, __, mixes, **___) -> list[Completion]:
        alphas = torch.linalg.lstsq(stacked.T, mixes.T).solution.T.tolist()
        weights = [dict(zip(names, alpha, strict=True)) for alpha in alphas]
        return [Completion([1], str(right(w)), True, -1.0) for w in weights]

    monkeypatch.setattr(judge.drafts, "generate", said)


def read_scores(_, answers) -> list[float]:
    return [float(answer) for answer in answers]


@pytest.mark.parametrize(("prior", "found"), [(0, 1.0), (0.9, 1.0), (2, 0.75), (4, 0.0)])
def test_the_first_pass_counts_for_some_examples(engine, monkeypatch, toy_shots, prior, found):
    """The expert is right, the base wrong, half of each mostly right; a first pass says base."""
    first_pass_says(monkeypatch, other=1.0)
    worth(monkeypatch, engine, lambda w: (0.0, 0.75, 1.0)[round(2 * w["math"])])
    shots = toy_shots(2, score=read_scores)
    candidates = torch.tensor([[[1.0]], [[0.0]], [[0.5]]])
    experts = few_shot._experts(engine, ["math"])
    settings, parts = replace(SMALL, prior=prior), few_shot.blocks(engine.svf.layout, False)
    deltas = engine.deltas(experts.values())
    judging = few_shot._judge(engine, shots, settings, experts, deltas, parts)
    best = max(judging.scores(candidates).values())
    assert best.fitness == found
    assert best.worth == pytest.approx({1.0: 1, 0.75: 0.75 + prior / 4, 0.0: prior / 2}[found])


def test_the_first_pass_is_silent_about_experts_that_it_does_not_know(
    engine, toy_shots, monkeypatch
):
    first_pass_says(monkeypatch, other=0.75, math=0.25)
    experts, settings = few_shot._experts(engine, ["math"]), replace(SMALL, prior=2)
    before = few_shot._prior(engine, toy_shots(4), settings, experts)
    assert before.tolist() == [0.125, 0.375]  # 2 examples of 4, shared out
    monkeypatch.setattr(few_shot.prototype, "missing", lambda _: ("math",))
    assert not few_shot._prior(engine, toy_shots(4), settings, experts).any()


def test_nor_about_saved_mixes_and_what_classifies(engine, make_expert):
    mixed = make_expert("mine", seed=7)
    mixed.header["mix"] = {"weights": {"math": 1.0}}
    engine.library.add(mixed)
    known = engine.library.experts()
    assert few_shot.unknown(engine, known) == ["code", "dispatch", "math", "mine", "reasoning"]
    for expert in known.values():
        expert.header["examples"] = ["How many foxes are there?"]
        engine.library.add(expert, overwrite=True)
    assert few_shot.unknown(engine, engine.library.experts()) == ["dispatch", "mine"]
    [line] = few_shot.notes(engine, replace(SMALL, prior=2), ["math", "mine"])
    assert "cannot name mine, so it does not count" in line
    assert few_shot.notes(engine, replace(SMALL, prior=2), ["math"]) == ()
    assert few_shot.notes(engine, SMALL, ["mine"]) == ()


def test_free_weights_do_not_count_twice_for_the_first_pass(engine, monkeypatch, toy_shots):
    """Two experts at once are no more what a first pass says than the likelier one alone."""
    first_pass_says(monkeypatch, math=0.6, code=0.4)
    shots = toy_shots(2, score=lambda p, a: [1.0] * len(a))
    settings = replace(SMALL, prior=2, normalised=False)
    first, *_ = few_shot.search(engine, shots, settings, ["math", "code"])
    assert first.found.weights == pytest.approx({"math": 1, "code": 0})


def test_likelihood_refuses_examples_without_answers(engine, toy_shots):
    shots = toy_shots(3)
    bare = replace(shots, shots=(replace(shots.shots[0], steps=""), *shots.shots[1:]))
    with pytest.raises(T2Error, match="toy: likelihood goes by given answers"):
        few_shot.search(engine, bare, replace(SMALL, fitness="likelihood"))


@pytest.mark.parametrize("fitness", ["accuracy", "likelihood"])
@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to"),
    ],
    ids=["cuda", "cpu"],
)
def test_where_memory_runs_out_fewer_rows_go_at_once(
    engine, toy_shots, monkeypatch, fitness, error
):
    settings = replace(SMALL, generations=1, fitness=fitness, elite=1.0)
    shots = toy_shots(3)
    [whole] = few_shot.search(engine, shots, settings)
    seen = []

    def small(block, args):
        seen.append(len(args[0]))
        if len(args[0]) > 5:
            raise error

    handle = engine.model.get_decoder().layers[0].register_forward_pre_hook(small)
    try:
        [halved] = few_shot.search(engine, shots, replace(settings, batch=16))
    finally:
        handle.remove()
    assert halved.fitnesses == pytest.approx(whole.fitnesses, abs=1e-5)
    assert [rows for rows in seen if rows > 1][:3] == [16, 8, 4]


def test_other_errors_are_not_taken_for_lack_of_memory(engine, toy_shots, monkeypatch):
    def fail(ids, cache, effect):
        raise RuntimeError("a defect")

    monkeypatch.setattr(engine.passes, "hidden", fail)
    with pytest.raises(RuntimeError, match="a defect"):
        next(few_shot.search(engine, toy_shots(3), SMALL))


def test_a_mix_that_was_passed_over_is_told(engine, toy_shots, monkeypatch):
    """The base solves nothing, every other mix all; but a first pass says base."""
    first_pass_says(monkeypatch, other=1.0)
    worth(monkeypatch, engine, lambda w: float(max(w.values()) > 0.01))
    shots = toy_shots(5, score=read_scores)
    first, *_ = few_shot.search(engine, shots, replace(SMALL, prior=1000))
    assert first.found.weights == pytest.approx(dict.fromkeys(first.mean, 0))
    assert (first.best_fitness, first.fittest) == (0, 1)


def test_a_better_mix_wins_where_the_first_pass_counts_for_little(engine, toy_shots, monkeypatch):
    first_pass_says(monkeypatch, other=1.0)
    for g in few_shot.search(engine, toy_shots(5), replace(SMALL, prior=0.9)):
        assert g.best_fitness >= max(f for f in g.fitnesses if f is not None)


def test_what_was_scored_is_not_scored_again(engine, toy_shots, passes):
    settings = replace(SMALL, population=4, elite=0.5, generations=2, tolerance=0, seed=2)
    search = few_shot.search(engine, toy_shots(5), settings, ["math"])
    next(search)
    seen = len(passes)
    second = next(search)
    new = passes[seen][0]
    distinct = {tuple(row.items()) for row in second.population}
    assert new <= 5 * (len(distinct) - 1)  # the best so far takes part again, for nothing


def test_closing_the_search_stops_it(engine, toy_shots, passes):
    search = few_shot.search(engine, toy_shots(2), SMALL)
    next(search)
    search.close()
    seen = len(passes)
    assert list(search) == []
    assert len(passes) == seen


def test_an_expert_that_is_deleted_during_the_search_does_no_harm(engine, toy_shots):
    expected = list(few_shot.search(engine, toy_shots(2), SMALL))
    search = few_shot.search(engine, toy_shots(2), SMALL)
    first = next(search)
    engine.library.delete("math")
    (engine.library.folder / "broken.safetensors").write_bytes(b"no expert")
    found = [first, *search]
    assert found[-1].found == expected[-1].found
    path = mixes.save(engine, "kept", toy_shots(2), found[-1].found, SMALL)
    assert torch.allclose(engine.delta({"kept": 1.0}), found[-1].found.delta, atol=1e-6)
    assert path.exists()


def test_only_the_experts_that_were_asked_for(engine, toy_shots):
    first = next(few_shot.search(engine, toy_shots(2), SMALL, ["math", "code"]))
    assert set(first.mean) == {"math", "code"}
    with pytest.raises(T2Error, match="unknown expert 'mth': did you mean math"):
        few_shot.search(engine, toy_shots(2), SMALL, ["mth"])


def test_without_experts_there_is_nothing_to_mix(empty_engine, toy_shots):
    with pytest.raises(T2Error, match=r"no experts to mix.*train or import"):
        few_shot.search(empty_engine, toy_shots(2))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"population": 3}, "population is 3"),
        ({"generations": 0}, "generations is 0"),
        ({"elite": 0}, "elite is 0"),
        ({"elite": 1.5}, "elite is 1.5"),
        ({"tolerance": -0.1}, "tolerance is -0.1"),
        ({"patience": 0}, "patience is 0"),
        ({"batch": 0}, "batch is 0"),
        ({"fitness": "luck"}, "unknown fitness 'luck': choose from accuracy, likelihood"),
    ],
)
def test_impossible_settings(wrong, message):
    with pytest.raises(T2Error, match=message):
        Settings(**wrong)


def test_the_defaults_are_the_papers():
    assert (Settings().population, Settings().elite, Settings().generations) == (32, 0.2, 100)
    assert Settings().elites == 6


def test_less_at_once_where_memory_runs_out(engine, toy_shots, monkeypatch):
    settings = replace(SMALL, generations=1, elite=1.0)
    whole = list(few_shot.search(engine, toy_shots(2), settings))
    generate, sizes = engine.generate, []

    def short_of_memory(*args, batch_size, **options):
        sizes.append(batch_size)
        if batch_size > 100:
            raise torch.cuda.OutOfMemoryError
        return generate(*args, batch_size=batch_size, **options)

    monkeypatch.setattr(engine, "generate", short_of_memory)
    again = list(few_shot.search(engine, toy_shots(2), settings))
    assert sizes[:3] == [320, 160, 80]
    assert set(sizes[3:]) <= {80}
    assert again[0].fitnesses == whole[0].fitnesses
