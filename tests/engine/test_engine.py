"""Running the model: rows and mixes in one batch, labels, log-probabilities, prompts."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor
from transformers import TopPLogitsWarper

from t2app.engine import ROOM_FOR_ANSWER, TOKENS_AT_ONCE, Engine, Prompt
from t2app.errors import T2Error
from t2app.svf.expert import Expert

# Of different lengths, so that a batch of them is padded on the left.
QUESTIONS = (
    "the fox",
    "a",
    "over the lazy dog jumps the quick brown fox",
    "12 + 30 = ?",
    "dog dog",
)
# Enough ends that rows of a random model stop at different steps.
ENDS = set(range(0, 300, 11))


def user(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


def prompts(engine: Engine) -> list[Prompt]:
    return [engine.prompt_ids(user(q)) for q in QUESTIONS]


def random_deltas(engine: Engine, rows: int, seed: int = 5) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(rows, engine.svf.layout.total, generator=generator) * 0.4


def one_by_one(
    engine: Engine, rows: Sequence[Prompt], deltas: Sequence[Tensor | None], **options
) -> list[list[int]]:
    return [
        engine.generate([row], delta, **options)[0].token_ids
        for row, delta in zip(rows, deltas, strict=True)
    ]


# -- decoding --------------------------------------------------------------------------------


def test_greedy_equals_transformers(engine):
    engine.ends = ENDS
    for prompt in prompts(engine):
        expected = engine.model.generate(
            torch.tensor([prompt]),
            attention_mask=torch.ones(1, len(prompt), dtype=torch.long),
            do_sample=False,
            max_new_tokens=12,
            eos_token_id=sorted(ENDS),
            pad_token_id=0,
        )[0, len(prompt) :]
        assert engine.generate([prompt], max_new_tokens=12)[0].token_ids == expected.tolist()


@pytest.mark.parametrize("ends", [set(), ENDS], ids=["to the limit", "with ends"])
@pytest.mark.parametrize("mixed", [False, True], ids=["base", "one mix"])
def test_a_batch_equals_single_runs(engine, ends, mixed):
    engine.ends = ends
    delta = random_deltas(engine, 1)[0] if mixed else None
    rows = prompts(engine)
    batch = engine.generate(rows, delta, max_new_tokens=16)
    alone = one_by_one(engine, rows, [delta] * len(rows), max_new_tokens=16)
    assert [c.token_ids for c in batch] == alone
    if ends:
        assert len({len(ids) for ids in alone}) > 1, "the rows should end at different steps"


@pytest.mark.parametrize("mixed", [False, True])
def test_a_beginning_that_prompts_share_is_run_once(engine, passes, mixed):
    engine.ends = ENDS
    rows = [[5, 9, 20, 31, 8, 7, 6, 5, 4, 40, *end] for end in ([41], [50, 51, 52], [60, 61])]
    delta = random_deltas(engine, 1)[0] if mixed else None
    found = engine.generate(rows, delta, max_new_tokens=8)
    assert passes[0] == (1, 10)
    assert passes[1] == (3, 3)
    assert [c.token_ids for c in found] == one_by_one(engine, rows, [delta] * 3, max_new_tokens=8)


def test_rows_with_different_mixes_equal_single_runs(engine):
    engine.ends = ENDS
    rows = prompts(engine)
    deltas = random_deltas(engine, len(rows))
    deltas[1] = 0
    alone = one_by_one(engine, rows, list(deltas), max_new_tokens=16)
    batch = [c.token_ids for c in engine.generate(rows, deltas, max_new_tokens=16)]
    assert batch == alone
    assert batch != one_by_one(engine, rows, [None] * len(rows), max_new_tokens=16)
    assert alone[1] == engine.generate([rows[1]], None, max_new_tokens=16)[0].token_ids


@pytest.mark.parametrize("batch_size", [1, 2, 64])
def test_completions_come_in_the_order_of_the_prompts(engine, batch_size):
    rows = prompts(engine)
    deltas = random_deltas(engine, len(rows))
    done = engine.generate(rows, deltas, max_new_tokens=5, batch_size=batch_size)
    assert [c.token_ids for c in done] == one_by_one(engine, rows, list(deltas), max_new_tokens=5)


def test_a_long_prompt_takes_no_room_from_the_rows_beside_it(engine):
    engine.ends = set()
    short, other = prompts(engine)[:2]
    long = [*short] * (1 + (engine.base.context - 8) // len(short))
    long = long[: engine.base.context - 8]
    done = engine.generate([long, short, other], max_new_tokens=20)
    assert [len(c.token_ids) for c in done] == [8, 20, 20]
    assert done[1].token_ids == engine.generate([short], max_new_tokens=20)[0].token_ids


def test_rows_are_scored_in_groups_that_fit(engine):
    rows = [[1] * n for n in (5, 900, 40, 3000, 7, 5000, 10)]
    said = [[1] * n for n in (3, 10, 200, 50, 60, 4000, 1)]
    chosen = [0, 1, 2, 3, 5, 6]
    groups = list(engine.scoring_batches(rows, said, chosen))
    assert sorted(i for group in groups for i in group) == chosen
    assert len(groups) > 1
    for group in groups:
        width = max(len(rows[i]) + len(said[i]) for i in group)
        assert len(group) == 1 or len(group) * width <= TOKENS_AT_ONCE[0]


@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_that_are_not_finite_end_an_answer(engine, monkeypatch, temperature, value):
    def broken(hidden):
        logits = torch.zeros(len(hidden), 300)
        logits[-1, 7] = value
        return logits

    monkeypatch.setattr(engine.passes, "logits", broken)
    with pytest.raises(T2Error, match="not finite: the answer ends here"):
        engine.generate(prompts(engine), temperature=temperature, seed=1)


def test_no_prompts_give_no_completions(engine):
    assert engine.generate([]) == []


def test_decoding_stops_at_an_end_token_and_leaves_other_rows_alone(engine):
    engine.ends = set()
    rows = prompts(engine)
    free = [c.token_ids for c in engine.generate(rows, max_new_tokens=10)]
    end = free[0][4]
    engine.ends = {end}
    steps = list(engine.decode(rows, max_new_tokens=10))
    said = {row: [s[row] for s in steps if row in s] for row in range(len(rows))}
    for row, ids in said.items():
        cut = free[row].index(end) + 1 if end in free[row] else 10
        assert ids == free[row][:cut]
    assert len(said[0]) <= 5
    done = engine.generate(rows, max_new_tokens=10)
    assert [c.finished for c in done] == [end in ids for ids in free]


def test_text_is_without_the_end_token(engine):
    ids = [*engine.tokenizer("fox").input_ids, engine.tokenizer.eos_token_id]
    assert engine.text(ids) == "fox"


def test_closing_stops_the_model_at_once(engine, passes):
    steps = engine.decode(prompts(engine), max_new_tokens=50)
    next(steps), next(steps)
    assert len(passes) == 2
    steps.close()
    assert list(steps) == []
    assert len(passes) == 2


def test_rows_that_ended_cost_nothing(engine, passes):
    engine.ends = ENDS
    done = engine.generate(prompts(engine), max_new_tokens=16)
    rows_run = sum(rows for rows, _ in passes)
    assert rows_run == sum(len(c.token_ids) for c in done)


def test_an_exception_in_the_middle_leaves_the_base(engine):
    before = engine.generate(prompts(engine)[:1], max_new_tokens=4)
    steps = engine.decode(prompts(engine)[:1], random_deltas(engine, 1)[0], max_new_tokens=4)
    next(steps)
    with pytest.raises(KeyError):
        steps.throw(KeyError("stop"))
    assert engine.generate(prompts(engine)[:1], max_new_tokens=4) == before


def test_a_mix_is_not_in_effect_between_steps(engine):
    rows = prompts(engine)[:1]
    steps = engine.decode(rows, random_deltas(engine, 1)[0], max_new_tokens=4)
    next(steps)
    during = engine.generate(rows, max_new_tokens=4)
    steps.close()
    assert during == engine.generate(rows, max_new_tokens=4)


# -- sampling --------------------------------------------------------------------------------


def test_a_seed_decides_the_sample(engine):
    rows = prompts(engine)

    def run(seed: int) -> list[list[int]]:
        done = engine.generate(rows, max_new_tokens=8, temperature=1.0, seed=seed)
        return [c.token_ids for c in done]

    assert run(1) == run(1)
    assert run(1) != run(2)


def test_seeded_sampling_leaves_the_global_generator_alone(engine):
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    engine.generate(prompts(engine), max_new_tokens=3, temperature=1.0, seed=1)
    assert torch.equal(torch.rand(1), expected)


def test_samples_follow_the_softmax(engine):
    n, temperature = 3000, 1.5
    prompt = prompts(engine)[0]
    rows = [prompt] * n
    steps = list(engine.decode(rows, max_new_tokens=1, temperature=temperature, seed=0))
    tokens = {row: token for step in steps for row, token in step.items()}
    assert len(tokens) == n
    counts = torch.bincount(torch.tensor(list(tokens.values())), minlength=300)
    logits = engine.model(torch.tensor([prompt])).logits[0, -1]
    p = (logits / temperature).softmax(-1)
    sigma = (n * p * (1 - p)).sqrt()
    assert ((counts - n * p).abs() <= 5 * sigma + 1).all()


@pytest.mark.parametrize("top_p", [1e-9, 0.3, 0.9])
def test_top_p_draws_among_the_likeliest_as_transformers_does(engine, top_p):
    prompt = prompts(engine)[2]
    with torch.no_grad():
        logits = engine.model(torch.tensor([prompt])).logits[:, -1].float()
    allowed = TopPLogitsWarper(top_p)(None, logits)[0].isfinite().nonzero().flatten().tolist()
    options = {"temperature": 1.0, "top_p": top_p, "max_new_tokens": 1, "seed": 3}
    said = {token for row in engine.decode([prompt] * 60, **options) for token in row.values()}
    assert said <= set(allowed)
    assert (len(said) > 1) == (len(allowed) > 1)


@pytest.mark.parametrize("temperature", [1e-300, 1e-45, 1e-3])
def test_a_very_low_temperature_is_greedy(engine, temperature):
    rows = prompts(engine)
    cold = engine.generate(rows, max_new_tokens=4, temperature=temperature, seed=0)
    assert cold == engine.generate(rows, max_new_tokens=4)


@pytest.mark.parametrize("seed", [-1, 2**64, 10**30])
def test_any_whole_number_is_a_seed(engine, seed):
    rows = prompts(engine)[:1]
    once = engine.generate(rows, max_new_tokens=3, temperature=1e30, seed=seed)
    assert once == engine.generate(rows, max_new_tokens=3, temperature=1e30, seed=seed)


# -- prompts ---------------------------------------------------------------------------------


def test_a_prompt_is_the_chat_template(engine):
    assert engine.tokenizer.decode(engine.prompt_ids(user("the fox"))) == (
        "<|user|>the fox<|end|><|assistant|>"
    )


def test_a_question_that_is_too_long_is_refused_with_numbers(engine):
    fits = "1" * (1024 - ROOM_FOR_ANSWER - 3)
    assert len(engine.prompt_ids(user(fits))) == 1024 - ROOM_FOR_ANSWER
    with pytest.raises(T2Error, match=r"too long: 1,009 tokens, and small reads at most 1,008"):
        engine.prompt_ids(user(fits + "1"))
    with pytest.raises(T2Error, match=r"100,003 tokens"):
        engine.prompt_ids(user("1" * 100_000))


def test_an_answer_ends_where_the_context_ends(engine):
    engine.ends = set()
    prompt = engine.prompt_ids(user("1" * (1024 - ROOM_FOR_ANSWER - 3)))
    assert len(engine.generate([prompt], max_new_tokens=99)[0].token_ids) == ROOM_FOR_ANSWER


@pytest.mark.parametrize("mark", ["<|end|>", "<|assistant|>", "<|user|>", "<|system|>"])
def test_typed_special_tokens_are_only_text(engine, mark):
    special = {i for i in range(300) if engine.tokenizer.decode([i]).startswith("<|")}
    assert len(special) == 4

    def marks(text: str) -> list[int]:
        return [i for i in engine.prompt_ids(user(text)) if i in special]

    assert marks(f"x{mark}{mark}y <{mark}|end|>") == marks("x")
    assert "x" in engine.tokenizer.decode(engine.prompt_ids(user(f"x{mark}y")))


@pytest.mark.parametrize(
    "text", ["\x00\x07\x1b[31m", "\ud83d half", "😀👩‍👩‍👧", "\u202eabc", "é\u0301"]
)
def test_odd_characters_are_answered(engine, text):
    prompt = engine.prompt_ids(user(text))
    assert len(engine.generate([prompt], max_new_tokens=2)[0].token_ids) == 2


# -- mixes of experts ------------------------------------------------------------------------


@pytest.mark.parametrize("weights", [None, {}, {"math": 0.0}, {"math": 0.0, "code": 0}])
def test_no_weight_is_the_base(engine, weights):
    assert engine.delta(weights) is None


def test_one_at_full_weight_is_that_expert(engine):
    expert = engine.library.get("math")
    flat = torch.cat([expert.z[name] for name in engine.svf.layout.names]) - 1
    assert torch.equal(engine.delta({"math": 1.0}), flat)


def test_a_mix_is_the_weighted_sum(engine):
    math, code = engine.delta({"math": 1.0}), engine.delta({"code": 1.0})
    torch.testing.assert_close(
        engine.delta({"math": 0.7, "code": 0.25, "reasoning": 0.0}), 0.7 * math + 0.25 * code
    )


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"maths": 1.0}, "unknown expert 'maths': did you mean math"),
        ({"other": 0.5}, "unknown expert 'other'"),
        ({"math": -0.1}, "weight of 'math'"),
        ({"math": float("nan")}, "weight of 'math'"),
        ({"math": 0.7, "code": 0.7}, "normalise"),
    ],
)
def test_impossible_weights(engine, weights, message):
    with pytest.raises(T2Error, match=message):
        engine.delta(weights)


def test_a_changed_file_changes_the_mix(engine, make_expert: Callable[..., Expert]):
    before = engine.delta({"math": 1.0})
    engine.library.add(make_expert("math", seed=77), overwrite=True)
    after = engine.delta({"math": 1.0})
    assert not torch.equal(before, after)
    engine.library.delete("math")
    with pytest.raises(T2Error, match="unknown expert 'math'"):
        engine.delta({"math": 1.0})


def test_ones_are_the_base_bit_for_bit(engine):
    ones = Expert(
        "ones",
        {name: torch.ones(size) for name, size in engine.svf.layout.sizes.items()},
        {"base": engine.base.base},
    )
    engine.library.add(ones)
    delta = engine.delta({"ones": 1.0})
    rows, said = prompts(engine), [[5, 6, 7]] * len(QUESTIONS)
    base, _ = engine.logprobs(rows, said)
    assert torch.equal(engine.logprobs(rows, said, delta)[0], base)
    assert torch.equal(engine.read(rows, delta), engine.read(rows))
    labels = ["the", "fox", "dog"]
    assert engine.label_probabilities(user("a"), labels, delta) == engine.label_probabilities(
        user("a"), labels
    )


# -- threads ---------------------------------------------------------------------------------


def test_threads_with_different_mixes_never_see_each_other(engine):
    deltas = [None, *random_deltas(engine, 3)]
    labels = ["math", "code", "other"]
    rows = prompts(engine)[:2]

    def ask(delta: Tensor | None) -> tuple:
        ids = [c.token_ids for c in engine.generate(rows, delta, max_new_tokens=8)]
        return ids, engine.label_probabilities(user("the fox"), labels, delta)

    expected = [ask(delta) for delta in deltas]
    assert len({str(e) for e in expected}) == len(deltas)
    engine.labels.prefixes.clear()
    found: list[list[tuple]] = [[] for _ in deltas]
    start = threading.Barrier(len(deltas))

    def work(i: int) -> None:
        start.wait()
        for _ in range(6):
            found[i].append(ask(deltas[i]))

    threads = [threading.Thread(target=work, args=(i,)) for i in range(len(deltas))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for runs, right in zip(found, expected, strict=True):
        assert len(runs) == 6
        for ids, probabilities in runs:
            assert ids == right[0]
            assert probabilities == pytest.approx(right[1], abs=1e-6)


def test_two_answers_at_once_in_one_thread(engine):
    first, second = random_deltas(engine, 2)
    rows = prompts(engine)[:1]
    a, b = (engine.decode(rows, d, max_new_tokens=6) for d in (first, second))
    together = list(itertools.zip_longest(a, b))
    for at, delta in enumerate((first, second)):
        alone = list(engine.decode(rows, delta, max_new_tokens=6))
        assert [step[at] for step in together if step[at]] == alone


# -- labels ----------------------------------------------------------------------------------

LABELS = {
    "apart": ["math", "code", "other"],
    "same first token": ["the", "theory", "thesis", "fox"],
    "one is the beginning of another": ["math", "math-hard", "math-harder", "other"],
    "one only": ["other"],
}


def by_brute_force(engine: Engine, messages, labels: list[str], delta: Tensor | None) -> dict:
    """Every label token by token, without a cache, each token among those that fit any label."""
    prompt = engine.prompt_ids(messages)
    spelled = {x: [*engine.tokenizer(x).input_ids, engine.tokenizer.eos_token_id] for x in labels}
    found = {}
    for label, ids in spelled.items():
        share = 1.0
        for i, token in enumerate(ids):
            allowed = sorted({o[i] for o in spelled.values() if o[:i] == ids[:i] and len(o) > i})
            with torch.no_grad(), engine.svf.using(delta):
                logits = engine.model(torch.tensor([prompt + ids[:i]])).logits[0, -1]
            share *= logits[allowed].softmax(0)[allowed.index(token)].item()
        found[label] = share
    return found


@pytest.mark.parametrize("labels", LABELS.values(), ids=LABELS)
@pytest.mark.parametrize("mixed", [False, True], ids=["base", "mix"])
def test_labels_have_the_probability_of_being_said(engine, labels, mixed):
    delta = random_deltas(engine, 1)[0] if mixed else None
    messages = [{"role": "system", "content": "pick one"}, *user("the lazy dog")]
    found = engine.label_probabilities(messages, labels, delta)
    assert list(found) == labels
    assert sum(found.values()) == pytest.approx(1, abs=1e-9)
    assert found == pytest.approx(by_brute_force(engine, messages, labels, delta), abs=1e-5)


def test_some_labels_do_share_their_beginning(engine):
    for name in ("same first token", "one is the beginning of another"):
        first = [engine.tokenizer(label).input_ids[0] for label in LABELS[name]]
        assert len(set(first)) < len(first)


def test_many_labels_sum_to_one(engine):
    labels = [f"label{i}" for i in range(60)]
    found = engine.label_probabilities(user("a"), labels)
    assert sum(found.values()) == pytest.approx(1, abs=1e-9)


def test_the_prefix_is_run_once_for_each_mix(engine, passes):
    labels = LABELS["apart"]
    system = [{"role": "system", "content": "the quick brown fox " * 8}]
    engine.label_probabilities([*system, *user("dog")], labels)
    first = list(passes)
    passes.clear()
    engine.label_probabilities([*system, *user("fox")], labels)
    assert len(first) == 2
    assert first[0][1] > 30
    assert [n for _, n in passes] == [first[1][1]]
    passes.clear()
    engine.label_probabilities([*system, *user("fox")], labels, random_deltas(engine, 1)[0])
    assert len(passes) == 2


def test_the_prefix_cache_changes_nothing(engine):
    """Warm, cold, after other questions, other mixes and more prefixes than are kept."""
    deltas = [None, *random_deltas(engine, 2)]
    systems = [[{"role": "system", "content": f"pick {i} the fox"}] for i in range(4)]
    asked = [
        (system, question, delta)
        for system in systems
        for question in ("the dog", "\nthe dog", "a quick one")
        for delta in deltas
    ]
    cold = []
    for system, question, delta in asked:
        engine.labels.prefixes.clear()
        cold.append(engine.label_probabilities([*system, *user(question)], LABELS["apart"], delta))
    for i in [*range(len(asked)), *reversed(range(len(asked)))]:
        system, question, delta = asked[i]
        warm = engine.label_probabilities([*system, *user(question)], LABELS["apart"], delta)
        assert warm == pytest.approx(cold[i], abs=1e-6)
    assert len(engine.labels.prefixes) <= 8


def test_labels_after_a_conversation(engine):
    talk = [*user("a"), {"role": "assistant", "content": "b"}, *user("the fox")]
    found = engine.label_probabilities(talk, LABELS["apart"])
    assert found == pytest.approx(by_brute_force(engine, talk, LABELS["apart"], None), abs=1e-5)


# -- log-probabilities -----------------------------------------------------------------------


def completions(engine: Engine) -> list[list[int]]:
    done = engine.generate(prompts(engine), max_new_tokens=9, temperature=1.0, seed=4)
    return [c.token_ids[: 3 + i] for i, c in enumerate(done)]


@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_logprobs_are_those_of_a_plain_forward_pass(engine, temperature):
    rows, said = prompts(engine), completions(engine)
    deltas = random_deltas(engine, len(rows))
    values, mask = engine.logprobs(rows, said, deltas, temperature)
    longest = max(map(len, said))
    assert values.shape == mask.shape == (len(rows), longest)
    assert values.dtype == torch.float32
    for i, (prompt, ids) in enumerate(zip(rows, said, strict=True)):
        with engine.svf.using(deltas[i]):
            logits = engine.model(torch.tensor([prompt + ids])).logits[0] / temperature
        plain = logits.log_softmax(-1)[len(prompt) - 1 : -1]
        expected = plain[torch.arange(len(ids)), ids]
        torch.testing.assert_close(values[i, : len(ids)], expected, atol=1e-4, rtol=0)
        assert values[i, len(ids) :].eq(0).all()
        assert mask[i].tolist() == [True] * len(ids) + [False] * (longest - len(ids))


def test_logprobs_are_differentiable_in_the_mix(engine):
    rows, said = prompts(engine), completions(engine)
    delta = (random_deltas(engine, 1)[0] * 0.1).requires_grad_()
    engine.logprobs(rows, said, delta)[0].sum().backward()
    direction = random_deltas(engine, 1, seed=8)[0]
    direction = direction / direction.norm()

    def total(step: float) -> float:
        with torch.no_grad():
            return engine.logprobs(rows, said, delta + step * direction)[0].double().sum().item()

    numeric = (total(0.02) - total(-0.02)) / 0.04
    assert (delta.grad @ direction).item() == pytest.approx(numeric, rel=0.02, abs=0.05)
    assert all(p.grad is None for p in engine.model.parameters())


# -- hidden states and status ----------------------------------------------------------------


@pytest.mark.parametrize(("depth", "layer"), [(1.0, 2), (0.6, 2), (0.5, 1)])
def test_hidden_states_are_those_of_single_rows(engine, depth, layer):
    rows = prompts(engine)
    deltas = random_deltas(engine, len(rows))
    behind = [min(3, len(row)) for row in rows]
    found = engine.read(rows, deltas, depth, behind)
    assert found.shape == (len(rows), 2, 64)
    for i, row in enumerate(rows):
        with torch.no_grad(), engine.svf.using(deltas[i]):
            out = engine.model(torch.tensor([row]), output_hidden_states=True)
        states = out.hidden_states[layer][0]
        expected = torch.stack([states[-1], states[min(behind[i], len(row) - 1) :].mean(0)])
        torch.testing.assert_close(found[i], expected, atol=1e-4, rtol=1e-4)


def test_status(engine):
    status = engine.status()
    assert status["model"] == "small"
    assert status["device"] == "CPU"
    assert status["precision"] == "float32"
    assert status["context"] == 1024
    assert status["memory_mb"] > 0


def test_loading_from_a_folder(checkpoint, tmp_path, monkeypatch):
    monkeypatch.setenv("T2APP_CACHE", str(tmp_path))  # factors that no other test has computed
    steps = []
    engine = Engine.load(str(checkpoint), report=lambda _, done, total: steps.append((done, total)))
    assert steps[-1] == (14, 14)
    assert engine.base.name == checkpoint.name
    prompt = engine.prompt_ids(user("the fox"))
    assert engine.generate([prompt], max_new_tokens=3)[0].token_ids
    assert engine.library.experts() == {}
