"""What a request may say, and what is wrong with one that cannot be answered.

Fields that nobody knows are ignored, as OpenAI's endpoint does. Those that are known there and not
possible here are refused by name, unless they ask for nothing.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictInt, model_validator

from t2app.server.answering import Sampling
from t2app.server.errors import Refused
from t2app.server.names import AUTO

MOST_CHOICES = 16
MOST_PROMPTS = 64
MOST_STOPS = 16
LONGEST_STOP = 200
TEXT_PARTS = ("text", "input_text", "output_text")
ROLES = ("system", "developer", "user", "assistant")

# Known to OpenAI's clients and not possible here, with the values that ask for nothing.
NOTHING: tuple[Any, ...] = (None, False, 0, "", "none", "auto", [], {})
NOT_HERE = {
    "tools": "this endpoint calls no tools",
    "functions": "this endpoint calls no functions",
    "logit_bias": "single tokens cannot be made likelier here",
    "frequency_penalty": "repetition cannot be punished here",
    "presence_penalty": "repetition cannot be punished here",
    "top_logprobs": "log-probabilities are given of the tokens that were said alone",
    "audio": "this endpoint gives text",
    "suffix": "the model continues texts and cannot fill them in",
    "echo": "the prompt is not given back",
    "previous_response_id": "nothing is kept between requests: send the whole conversation",
    "conversation": "nothing is kept between requests: send the whole conversation",
    "background": "nothing is kept between requests: wait for the answer, or stream it",
}


def _flat(content: Any) -> Any:
    """A message's content as one text; parts that are text are joined."""
    if not isinstance(content, list):
        if not isinstance(content, str):
            raise ValueError("give a text, or a list of parts that are text")
        return content
    texts = []
    for number, part in enumerate(content):
        if not isinstance(part, dict) or part.get("type") not in TEXT_PARTS:
            kind = part.get("type") if isinstance(part, dict) else part
            raise ValueError(
                f"part {number} is {str(kind)[:40]!r}, and this model reads text alone"
            )
        if not isinstance(part.get("text"), str):
            raise ValueError(f"part {number} has no text")
        texts.append(part["text"])
    return "".join(texts)


def _role(role: Any) -> Any:
    if role not in ROLES:
        raise ValueError(f"{str(role)[:40]!r} is not a role here: choose from {', '.join(ROLES)}")
    return "system" if role == "developer" else role


def _list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _is_text(value: Any) -> bool:
    """Whether a wish for a format is one for plain text."""
    return value is None or (isinstance(value, dict) and value.get("type") in (None, "text"))


Stop = Annotated[str, Field(min_length=1, max_length=LONGEST_STOP)]


class Message(BaseModel):
    """One turn of a conversation."""

    role: Annotated[str, BeforeValidator(_role)]
    content: Annotated[str, BeforeValidator(_flat)]


class StreamOptions(BaseModel):
    """What a stream carries beside the text."""

    include_usage: bool = False


class _Request(BaseModel):
    """What every route takes."""

    model_config = ConfigDict(extra="allow", allow_inf_nan=False)

    model: Annotated[str, Field(max_length=1000)] = AUTO
    stream: bool = False
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None

    @model_validator(mode="after")
    def _possible(self) -> _Request:
        for name, value in (self.model_extra or {}).items():
            if name in NOT_HERE and not _asks_nothing(value):
                raise Refused(f"{name}: {NOT_HERE[name]}", param=name)
        return self

    def drawn(self, most: int | None, limit: int, param: str, **more: Any) -> Sampling:
        """How answers are drawn; at most ``limit`` tokens each."""
        if most is not None and most > limit:
            raise Refused(
                f"{param}: {most:,}, and this server answers with at most {limit:,} tokens",
                param=param,
            )
        temperature = self.temperature or 0.0
        return Sampling(
            most=most or limit, temperature=temperature, top_p=self.top_p or 1.0, **more
        )


def _asks_nothing(value: Any) -> bool:
    return any(value == nothing for nothing in NOTHING)


class _Drawn(_Request):
    """What both kinds of completion take."""

    max_tokens: Annotated[StrictInt, Field(ge=1)] | None = None
    n: Annotated[StrictInt, Field(ge=1, le=MOST_CHOICES)] | None = None
    seed: StrictInt | None = None
    stop: Annotated[list[Stop], BeforeValidator(_list), Field(max_length=MOST_STOPS)] | None = None
    stream_options: StreamOptions | None = None
    response_format: Any = None

    @model_validator(mode="after")
    def _text_only(self) -> _Drawn:
        if not _is_text(self.response_format):
            raise Refused(
                "response_format: answers cannot be held to a format here; ask for it in words",
                param="response_format",
            )
        return self

    @property
    def with_usage(self) -> bool:
        """Whether a stream ends with what it cost."""
        return self.stream_options is not None and self.stream_options.include_usage


class ChatRequest(_Drawn):
    """``/v1/chat/completions``."""

    messages: Annotated[list[Message], Field(min_length=1)]
    max_completion_tokens: Annotated[StrictInt, Field(ge=1)] | None = None
    logprobs: bool | None = None

    @model_validator(mode="after")
    def _asked(self) -> ChatRequest:
        _check_last(self.messages, "messages")
        return self

    def conversation(self) -> list[dict[str, str]]:
        """The turns as the engine takes them."""
        return [message.model_dump() for message in self.messages]

    def sampling(self, limit: int) -> Sampling:
        """How answers are drawn; at most ``limit`` tokens each."""
        given = "max_completion_tokens" if self.max_completion_tokens else "max_tokens"
        return self.drawn(
            getattr(self, given),
            limit,
            given,
            count=self.n or 1,
            seed=self.seed,
            stops=tuple(self.stop or ()),
            logprobs=bool(self.logprobs),
        )


class CompletionRequest(_Drawn):
    """``/v1/completions``: texts to continue as they are, or their tokens."""

    prompt: str | list[str] | list[StrictInt] | list[list[StrictInt]]
    logprobs: Annotated[StrictInt, Field(ge=0, le=1)] | None = None
    best_of: StrictInt | None = None

    @model_validator(mode="after")
    def _one_of_each(self) -> CompletionRequest:
        if self.best_of not in (None, self.n or 1):
            raise Refused("best_of: answers are not ranked here; leave it out", param="best_of")
        if not self.prompts or not all(self.prompts):
            raise Refused("prompt: it is empty", param="prompt")
        if len(self.prompts) > MOST_PROMPTS:
            raise Refused(
                f"prompt: {len(self.prompts)} of them, and at most {MOST_PROMPTS} are answered at "
                "a time",
                param="prompt",
            )
        return self

    @property
    def prompts(self) -> list[str] | list[list[int]]:
        """As a list, whatever was given."""
        given = self.prompt
        if isinstance(given, str):
            return [given]
        return [given] if given and isinstance(given[0], int) else given

    def sampling(self, limit: int) -> Sampling:
        """How answers are drawn; at most ``limit`` tokens each."""
        return self.drawn(
            self.max_tokens,
            limit,
            "max_tokens",
            count=self.n or 1,
            seed=self.seed,
            stops=tuple(self.stop or ()),
            logprobs=self.logprobs is not None,
        )


class Item(Message):
    """A message of ``/v1/responses``."""

    type: Literal["message"] = "message"


class TextOptions(BaseModel):
    """The form of the answer."""

    format: Any = None


class ResponsesRequest(_Request):
    """``/v1/responses``, as far as text goes."""

    input: str | list[Item]
    instructions: str | None = None
    max_output_tokens: Annotated[StrictInt, Field(ge=1)] | None = None
    text: TextOptions | None = None

    @model_validator(mode="after")
    def _asked(self) -> ResponsesRequest:
        if self.text is not None and not _is_text(self.text.format):
            raise Refused(
                "text.format: answers cannot be held to a format here; ask for it in words",
                param="text.format",
            )
        if isinstance(self.input, list):
            _check_last(self.input, "input")
        elif not self.input.strip():
            raise Refused("input: it is empty", param="input")
        return self

    def conversation(self) -> list[dict[str, str]]:
        """The turns as the engine takes them."""
        given = self.input
        turns = (
            [{"role": "user", "content": given}]
            if isinstance(given, str)
            else [{"role": item.role, "content": item.content} for item in given]
        )
        system = [{"role": "system", "content": self.instructions}] if self.instructions else []
        return [*system, *turns]

    def sampling(self, limit: int) -> Sampling:
        """How the answer is drawn; at most ``limit`` tokens."""
        return self.drawn(self.max_output_tokens, limit, "max_output_tokens")


def _check_last(messages: list[Message], param: str) -> None:
    """``Refused`` unless the last turn is a question."""
    if not messages or messages[-1].role != "user":
        raise Refused(f"{param}: the last one must be a question, of role user", param=param)
    if not messages[-1].content.strip():
        raise Refused(f"{param}: the last one is empty", param=param)
