"""The endpoint as OpenAI's own client sees it, against a server process."""

from __future__ import annotations

import math
from collections.abc import Iterator

import openai
import pytest
from openai import OpenAI

QUESTION = "There are 8 rows of 12 chairs. 17 chairs are removed. How many chairs are there now?"
ASKED = [{"role": "user", "content": QUESTION}]
RIGHT = "79"


@pytest.fixture(scope="module")
def client(server) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{server.url}/v1", api_key="none needed", max_retries=0) as client:
        yield client


def test_models(client):
    names = [model.id for model in client.models.list()]
    assert names == ["base", "auto", "code", "dispatch", "math", "reasoning"]
    assert client.models.retrieve("math=0.7,code=0.3").id == "math=0.7,code=0.3"
    with pytest.raises(openai.NotFoundError, match="did you mean math"):
        client.models.retrieve("mth")


def test_an_answer_in_two_passes(client):
    found = client.chat.completions.create(model="auto", messages=ASKED)
    [choice] = found.choices
    assert RIGHT in choice.message.content
    assert choice.finish_reason == "stop"
    assert found.usage.total_tokens == found.usage.prompt_tokens + found.usage.completion_tokens
    assert found.t2["label"] == "math"
    assert found.t2["weights"]["math"] > 0.9
    assert sum(found.t2["probabilities"].values()) == pytest.approx(1)
    assert set(found.t2["timings"]) == {"first_pass", "switch", "second_pass"}


def test_the_name_of_the_model_is_the_mix(client):
    def say(model: str) -> str:
        found = client.chat.completions.create(model=model, messages=ASKED)
        assert found.model == model
        return found.choices[0].message.content

    assert say("math") == say("math=1")
    assert say("base") == say("math=0") != say("math")


def test_a_stream_is_the_whole_answer(client):
    whole = client.chat.completions.create(model="math", messages=ASKED)
    chunks = list(
        client.chat.completions.create(
            model="math", messages=ASKED, stream=True, stream_options={"include_usage": True}
        )
    )
    *said, last = chunks
    text = "".join(chunk.choices[0].delta.content or "" for chunk in said)
    assert text == whole.choices[0].message.content
    assert [c.choices[0].finish_reason for c in said if c.choices[0].finish_reason] == ["stop"]
    assert said[0].choices[0].delta.role == "assistant"
    assert said[0].t2["weights"] == {"math": 1.0}
    assert (last.choices, last.usage) == ([], whole.usage)
    assert len({chunk.id for chunk in chunks}) == 1


def test_without_being_asked_a_stream_has_no_usage(client):
    chunks = list(client.chat.completions.create(model="math", messages=ASKED, stream=True))
    assert all(chunk.usage is None and chunk.choices for chunk in chunks)


@pytest.mark.parametrize("stream", [False, True])
def test_stop_texts_are_not_said(client, stream):
    found = client.chat.completions.create(
        model="math", messages=ASKED, stop=["zebra", " The answer"], stream=stream
    )
    if stream:
        choices = [chunk.choices[0] for chunk in found]
        text, finish = "".join(c.delta.content or "" for c in choices), choices[-1].finish_reason
    else:
        text, finish = found.choices[0].message.content, found.choices[0].finish_reason
    assert text.endswith("= 79.")
    assert finish == "stop"


def test_an_answer_that_is_cut_off_says_so(client):
    for limit in ({"max_tokens": 3}, {"max_completion_tokens": 3}):
        found = client.chat.completions.create(model="math", messages=ASKED, **limit)
        assert found.choices[0].finish_reason == "length"
        assert found.usage.completion_tokens == 3


def test_seed_temperature_and_several_answers(client):
    def say(**options) -> list[str]:
        found = client.chat.completions.create(
            model="base", messages=ASKED, max_tokens=20, **options
        )
        assert [choice.index for choice in found.choices] == list(range(len(found.choices)))
        return [choice.message.content for choice in found.choices]

    drawn = say(n=4, temperature=1.5, seed=7)
    assert drawn == say(n=4, temperature=1.5, seed=7)
    assert len(set(drawn)) > 1
    assert say(n=4, temperature=1.5, seed=8) != drawn
    assert set(say(n=3, temperature=1.5, top_p=1e-6)) == set(say())


def test_log_probabilities_are_those_of_the_tokens(client):
    found = client.chat.completions.create(model="math", messages=ASKED, logprobs=True)
    choice = found.choices[0]
    tokens = choice.logprobs.content
    assert len(tokens) == found.usage.completion_tokens
    assert "".join(t.token for t in tokens).startswith(choice.message.content)
    assert all(t.logprob <= 1e-6 for t in tokens)
    assert math.exp(sum(t.logprob for t in tokens)) > 0.1
    chunks = client.chat.completions.create(
        model="math", messages=ASKED, logprobs=True, stream=True
    )
    heard = [chunk.choices[0].logprobs for chunk in chunks]
    streamed = [token for part in heard if part for token in part.content]
    assert [t.logprob for t in streamed] == pytest.approx([t.logprob for t in tokens], abs=1e-3)


def test_texts_are_continued_as_they_are(client):
    found = client.completions.create(
        model="base", prompt=["hello", "one two"], n=2, max_tokens=4, logprobs=1
    )
    assert [choice.index for choice in found.choices] == [0, 1, 2, 3]
    assert found.choices[0].text == found.choices[1].text != found.choices[2].text
    assert len(found.choices[0].logprobs.token_logprobs) == 4
    ids = client.completions.create(model="base", prompt=[5, 6, 7], max_tokens=2)
    assert ids.usage.prompt_tokens == 3
    stream = client.completions.create(model="base", prompt="hello", max_tokens=4, stream=True)
    assert "".join(c.choices[0].text for c in stream) == found.choices[0].text


def test_responses(client):
    found = client.responses.create(
        model="math", instructions="Be brief.", input=ASKED, max_output_tokens=100
    )
    assert RIGHT in found.output_text
    assert found.status == "completed"
    assert found.usage.total_tokens == found.usage.input_tokens + found.usage.output_tokens
    short = client.responses.create(model="math", input=QUESTION, max_output_tokens=2)
    assert (short.status, short.incomplete_details.reason) == ("incomplete", "max_output_tokens")


def test_responses_as_a_stream(client):
    with client.responses.stream(model="math", input=QUESTION) as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_response()
    assert kinds[0] == "response.created"
    assert kinds[-1] == "response.completed"
    assert RIGHT in final.output_text


def test_what_cannot_be_done_is_named(client):
    for options, field in (
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"temperature": 3}, "temperature"),
        ({"n": 99}, "n"),
        ({"max_tokens": 10**6}, "max_tokens"),
        ({"logprobs": True, "top_logprobs": 3}, "top_logprobs"),
    ):
        with pytest.raises(openai.BadRequestError) as caught:
            client.chat.completions.create(model="base", messages=ASKED, **options)
        assert caught.value.param == field
        assert field in caught.value.message


def test_a_conversation_that_is_too_long_is_refused(client):
    long = [{"role": "user", "content": "word " * 3000}]
    with pytest.raises(openai.BadRequestError, match="reads at most") as caught:
        client.chat.completions.create(model="base", messages=[*long, *ASKED])
    assert caught.value.code == "context_length_exceeded"


def test_unknown_fields_are_ignored(client):
    found = client.chat.completions.create(
        model="math", messages=ASKED, max_tokens=2, user="me", extra_body={"nonsense": [1]}
    )
    assert found.choices[0].finish_reason == "length"


def test_a_stream_of_several_answers(client):
    chunks = client.chat.completions.create(
        model="base", messages=ASKED, n=3, max_tokens=4, temperature=1.0, seed=1, stream=True
    )
    texts, roles, ends = ["", "", ""], [], []
    for chunk in chunks:
        for choice in chunk.choices:
            texts[choice.index] += choice.delta.content or ""
            roles += [choice.index] if choice.delta.role else []
            ends += [choice.index] if choice.finish_reason else []
    assert roles == [0, 1, 2]
    assert sorted(ends) == [0, 1, 2]
    whole = client.chat.completions.create(
        model="base", messages=ASKED, n=3, max_tokens=4, temperature=1.0, seed=1
    )
    assert texts == [choice.message.content for choice in whole.choices]
