"""Answers in the forms of OpenAI's three routes, whole and as events of a stream."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from t2app.server.answering import Begun, Ended, Event, Piece, Token

DONE = "data: [DONE]\n\n"


def event(value: dict[str, Any], name: str | None = None) -> str:
    """One event of a stream."""
    head = f"event: {name}\n" if name else ""
    return f"{head}data: {json.dumps(value, separators=(',', ':'))}\n\n"


class _Form:
    """What all forms have: a number, a time, the model's name."""

    prefix = ""

    def __init__(self, model: str, with_usage: bool = True, logprobs: bool = False) -> None:
        self.id = f"{self.prefix}-{uuid.uuid4().hex}"
        self.created = int(time.time())
        self.model = model
        self.logprobs = logprobs
        self.with_usage = with_usage

    def usage(self, begun: Begun, ended: Ended) -> dict[str, int]:
        """Tokens read and said."""
        return {
            "prompt_tokens": begun.prompt_tokens,
            "completion_tokens": ended.completion_tokens,
            "total_tokens": begun.prompt_tokens + ended.completion_tokens,
        }


@dataclass
class _Whole:
    """The events of one request, put together."""

    begun: Begun | None = None
    ended: Ended | None = None
    pieces: dict[int, list[Piece]] = field(default_factory=dict)

    @classmethod
    def of(cls, events: Iterable[Event]) -> _Whole:
        found = cls()
        for item in events:
            if isinstance(item, Begun):
                found.begun = item
            elif isinstance(item, Ended):
                found.ended = item
            else:
                found.pieces.setdefault(item.row, []).append(item)
        return found

    def text(self, row: int) -> str:
        return "".join(piece.text for piece in self.pieces[row])

    def finish(self, row: int) -> str | None:
        return self.pieces[row][-1].finish

    def tokens(self, row: int) -> list[Token]:
        return [token for piece in self.pieces[row] for token in piece.tokens]

    @property
    def block(self) -> dict[str, Any]:
        return {**self.begun.block, "timings": self.ended.timings}


class _Completions(_Form):
    """What chat and plain completions share."""

    whole_object = stream_object = ""

    def _choice(self, row: int, text: str, tokens: list[Token], finish: str | None) -> dict:
        raise NotImplementedError

    def whole(self, events: Iterable[Event]) -> dict[str, Any]:
        """The answer as one object."""
        found = _Whole.of(events)
        return {
            "id": self.id,
            "object": self.whole_object,
            "created": self.created,
            "model": self.model,
            "choices": [
                self._choice(row, found.text(row), found.tokens(row), found.finish(row))
                for row in sorted(found.pieces)
            ],
            "usage": self.usage(found.begun, found.ended),
            "t2": found.block,
        }

    def stream(self) -> _Stream:
        """Makes events as the answer grows."""
        return _Stream(self)


class Chat(_Completions):
    """``/v1/chat/completions``."""

    prefix = "chatcmpl"
    whole_object, stream_object = "chat.completion", "chat.completion.chunk"

    def _choice(self, row: int, text: str, tokens: list[Token], finish: str | None) -> dict:
        return {
            "index": row,
            "message": {"role": "assistant", "content": text, "refusal": None},
            "logprobs": self._logprobs(tokens),
            "finish_reason": finish,
        }

    def delta(self, piece: Piece | None, row: int) -> dict[str, Any]:
        """One choice of an event; the role where there is no piece yet."""
        content = {"role": "assistant", "content": ""} if piece is None else {}
        if piece is not None and piece.text:
            content = {"content": piece.text}
        return {
            "index": row,
            "delta": content,
            "logprobs": self._logprobs(piece.tokens) if piece else None,
            "finish_reason": piece.finish if piece else None,
        }

    def _logprobs(self, tokens: list[Token]) -> dict[str, Any] | None:
        if not self.logprobs:
            return None
        return {
            "content": [
                {"token": t.text, "logprob": t.logprob, "bytes": None, "top_logprobs": []}
                for t in tokens
            ],
            "refusal": None,
        }


class Plain(_Completions):
    """``/v1/completions``."""

    prefix = "cmpl"
    whole_object = stream_object = "text_completion"

    def _choice(self, row: int, text: str, tokens: list[Token], finish: str | None) -> dict:
        return {
            "index": row,
            "text": text,
            "logprobs": self._logprobs(tokens),
            "finish_reason": finish,
        }

    def delta(self, piece: Piece | None, row: int) -> dict[str, Any]:
        """One choice of an event."""
        if piece is None:
            return self._choice(row, "", [], None)
        return self._choice(row, piece.text, piece.tokens, piece.finish)

    def _logprobs(self, tokens: list[Token]) -> dict[str, Any] | None:
        if not self.logprobs:
            return None
        return {
            "tokens": [t.text for t in tokens],
            "token_logprobs": [t.logprob for t in tokens],
            "top_logprobs": None,
            "text_offset": None,
        }


class _Stream:
    """Events of a completion as it grows."""

    def __init__(self, form: Chat | Plain) -> None:
        self._form = form
        self._begun: Begun | None = None

    def of(self, item: Event) -> Iterator[str]:
        """The events that one of the engine's becomes."""
        if isinstance(item, Begun):
            self._begun = item
            rows = [self._form.delta(None, row) for row in range(item.rows)]
            yield event(self._chunk(rows, t2=item.block))
        elif isinstance(item, Piece):
            yield event(self._chunk([self._form.delta(item, item.row)]))
        else:
            if self._form.with_usage:
                usage = self._form.usage(self._begun, item)
                block = {**self._begun.block, "timings": item.timings}
                yield event(self._chunk([], usage=usage, t2=block))
            yield DONE

    def broken(self, body: dict[str, Any]) -> Iterator[str]:
        """The last events of an answer that is not whole."""
        yield event(body)
        yield DONE

    def _chunk(self, choices: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
        form = self._form
        return {
            "id": form.id,
            "object": form.stream_object,
            "created": form.created,
            "model": form.model,
            "choices": choices,
            **more,
        }


class Response(_Form):
    """``/v1/responses``."""

    prefix = "resp"

    def whole(self, events: Iterable[Event]) -> dict[str, Any]:
        """The answer as one object."""
        found = _Whole.of(events)
        return self._finished(found.text(0), found.finish(0), found.begun, found.ended)

    def _finished(self, text: str, finish: str | None, begun: Begun, ended: Ended) -> dict:
        cut = finish == "length"
        usage = self.usage(begun, ended)
        return {
            **self.head("incomplete" if cut else "completed"),
            "incomplete_details": {"reason": "max_output_tokens"} if cut else None,
            "output": [self.item(text, "incomplete" if cut else "completed")],
            "usage": {
                "input_tokens": usage["prompt_tokens"],
                "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
                "output_tokens": usage["completion_tokens"],
                "output_tokens_details": {"reasoning_tokens": 0},
                "total_tokens": usage["total_tokens"],
            },
            "t2": {**begun.block, "timings": ended.timings},
        }

    def head(self, status: str) -> dict[str, Any]:
        """The answer without its text."""
        return {
            "id": self.id,
            "object": "response",
            "created_at": self.created,
            "status": status,
            "error": None,
            "incomplete_details": None,
            "instructions": None,
            "metadata": {},
            "model": self.model,
            "output": [],
            "parallel_tool_calls": False,
            "tool_choice": "none",
            "tools": [],
            "temperature": None,
            "top_p": None,
        }

    def item(self, text: str | None, status: str) -> dict[str, Any]:
        """The message of the answer; without parts where there is no text yet."""
        parts = [] if text is None else [_part(text)]
        return {
            "id": self.id.replace("resp", "msg", 1),
            "type": "message",
            "role": "assistant",
            "status": status,
            "content": parts,
        }

    def stream(self) -> _Responses:
        """Makes events as the answer grows."""
        return _Responses(self)


def _part(text: str) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


class _Responses:
    """Events of ``/v1/responses`` as the answer grows."""

    def __init__(self, form: Response) -> None:
        self._form = form
        self._events: list[Event] = []
        self._number = 0
        self._place = {
            "item_id": form.item(None, "in_progress")["id"],
            "output_index": 0,
            "content_index": 0,
        }

    def of(self, item: Event) -> Iterator[str]:
        """The events that one of the engine's becomes."""
        self._events.append(item)
        if isinstance(item, Begun):
            yield from self._opened(item)
        elif isinstance(item, Piece):
            if item.text:
                yield self._event(
                    "response.output_text.delta", delta=item.text, logprobs=[], **self._place
                )
        else:
            yield from self._closed()

    def _opened(self, begun: Begun) -> Iterator[str]:
        response = {**self._form.head("in_progress"), "t2": begun.block}
        yield self._event("response.created", response=response)
        yield self._event("response.in_progress", response=response)
        item = self._form.item(None, "in_progress")
        yield self._event("response.output_item.added", output_index=0, item=item)
        yield self._event("response.content_part.added", part=_part(""), **self._place)

    def _closed(self) -> Iterator[str]:
        response = self._form.whole(self._events)
        item = response["output"][0]
        part = item["content"][0]
        yield self._event(
            "response.output_text.done", text=part["text"], logprobs=[], **self._place
        )
        yield self._event("response.content_part.done", part=part, **self._place)
        yield self._event("response.output_item.done", output_index=0, item=item)
        yield self._event(f"response.{response['status']}", response=response)

    def broken(self, body: dict[str, Any]) -> Iterator[str]:
        """The last event of an answer that is not whole."""
        error = body["error"]
        said = {"code": error["code"] or error["type"], "message": error["message"]}
        yield self._event("error", **said, param=error["param"])
        response = {**self._form.head("failed"), "error": {**said, "code": "server_error"}}
        yield self._event("response.failed", response=response)

    def _event(self, kind: str, **values: Any) -> str:
        made = event({"type": kind, "sequence_number": self._number, **values}, kind)
        self._number += 1
        return made
