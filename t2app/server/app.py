"""The endpoint: OpenAI's routes over one engine, for any number of users.

Not covered: where it listens (``run``), and what names stand for (``names``).
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from t2app import __version__
from t2app.engine import Engine, Prompt
from t2app.server import answering, forms, names
from t2app.server.answering import Event, Piece, Sampling
from t2app.server.counters import Counters
from t2app.server.errors import Refused, install, refusal
from t2app.server.gate import Gate
from t2app.server.guard import Guard
from t2app.server.requests import ChatRequest, CompletionRequest, ResponsesRequest

Form = forms.Chat | forms.Plain | forms.Response
NO_STORE = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


@dataclass(frozen=True)
class Limits:
    """What one request, and all together, may take."""

    tokens: int = 2048  # of an answer
    running: int = 32  # requests at a time
    waiting: int = 64  # behind them
    body: int = 4_000_000  # bytes


class Endpoint:
    """ASGI. ``engine`` gives the engine of the moment, ``keys`` are those that may come in.

    ``local`` says that it listens on this computer alone. ``stop`` ends all streams with a last
    event.
    """

    def __init__(
        self,
        engine: Callable[[], Engine],
        keys: tuple[str, ...] = (),
        limits: Limits = Limits(),
        local: bool = True,
    ) -> None:
        self._engine, self._limits = engine, limits
        self.gate = Gate(limits.running, limits.waiting)
        self.counters = Counters(self.gate)
        self.app = FastAPI(
            title="t2app", version=__version__, summary=__doc__, docs_url=None, redoc_url=None
        )
        install(self.app)
        self._add_routes()
        self._guarded: ASGIApp = Guard(self.app, keys, limits.body, local)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, and count it by its route, of which there are few, and its status."""

        async def watched(message: Any) -> None:
            if message["type"] == "http.response.start":
                route = getattr(scope.get("route"), "path", "none")
                self.counters.requests.labels(route, message["status"]).inc()
            await send(message)

        await self._guarded(scope, receive, watched if scope["type"] == "http" else send)

    def stop(self) -> None:
        """No further step of any answer; safe to call from a signal handler."""
        self.gate.stopping = True

    def _add_routes(self) -> None:
        app = self.app

        @app.get("/health")
        async def health() -> dict[str, Any]:
            """Whether it answers, and with what."""
            self.gate.check()
            return {"status": "ok", "model": self._engine().base.name, "version": __version__}

        @app.get("/metrics", response_class=PlainTextResponse)
        async def metrics() -> Response:
            """Counters for Prometheus."""
            return PlainTextResponse(self.counters.text())

        @app.get("/v1/models")
        def models() -> dict[str, Any]:
            """The names that may be asked; any mix of experts (math=0.7,code=0.3) may be too."""
            return {"object": "list", "data": names.listed(self._engine())}

        @app.get("/v1/models/{name:path}")
        def model(name: str) -> dict[str, Any]:
            """What a name stands for."""
            return names.described(self._engine(), name)

        @app.post("/v1/chat/completions")
        async def chat(asked: ChatRequest, request: Request) -> Response:
            """Answer a conversation, in two passes; ``t2`` tells what was mixed."""
            engine, sampling = self._engine(), asked.sampling(self._limits.tokens)
            choice = names.find(engine, asked.model)
            events = partial(answering.chat, engine, choice, asked.conversation(), sampling)
            form = forms.Chat(asked.model, asked.with_usage, sampling.logprobs)
            return await self._answer(request, form, events, asked.stream)

        @app.post("/v1/completions")
        async def completions(asked: CompletionRequest, request: Request) -> Response:
            """Continue texts as they are, without the chat format."""
            engine, sampling = self._engine(), asked.sampling(self._limits.tokens)
            choice = names.find(engine, asked.model)
            events = partial(_plain, engine, choice, asked.prompts, sampling)
            form = forms.Plain(asked.model, asked.with_usage, sampling.logprobs)
            return await self._answer(request, form, events, asked.stream)

        @app.post("/v1/responses")
        async def responses(asked: ResponsesRequest, request: Request) -> Response:
            """Answer a conversation in the form of OpenAI's newer interface, as text."""
            engine, sampling = self._engine(), asked.sampling(self._limits.tokens)
            choice = names.find(engine, asked.model)
            events = partial(answering.chat, engine, choice, asked.conversation(), sampling)
            return await self._answer(request, forms.Response(asked.model), events, asked.stream)

    async def _answer(
        self, request: Request, form: Form, make: Callable[[], Iterator[Event]], stream: bool
    ) -> Response:
        events = self._events(request, make)
        if stream:
            # The first event is waited for: until then a refusal still has a status of its own.
            first = await anext(events)
            return Events(self._said(form, first, events), headers=NO_STORE)
        async with aclosing(events):
            found = [event async for event in events]
        return JSONResponse(form.whole(found))

    async def _events(
        self, request: Request, make: Callable[[], Iterator[Event]]
    ) -> AsyncIterator[Event]:
        """The events of one answer; it stops where nobody listens any more."""
        began, is_first = time.monotonic(), True
        async with self.gate.enter(), aclosing(self.gate.steps(make)) as steps:
            async for item in steps:
                if await request.is_disconnected():
                    raise Refused("nobody waits for the answer", 499)
                self.counters.watch(item, time.monotonic() - began, is_first)
                is_first = is_first and not isinstance(item, Piece)
                yield item

    async def _said(
        self, form: Form, first: Event, events: AsyncIterator[Event]
    ) -> AsyncIterator[str]:
        """The answer as a stream; an error becomes its last event."""
        stream = form.stream()
        async with aclosing(events):
            try:
                for text in stream.of(first):
                    yield text
                async for item in events:
                    for text in stream.of(item):
                        yield text
            except Exception as error:
                for text in stream.broken(refusal(error).body):
                    yield text


class Events(StreamingResponse):
    """Server-sent events; whatever ends the response closes what makes them."""

    media_type = "text/event-stream"

    async def stream_response(self, send: Send) -> None:
        """Send every event as soon as there is one."""
        async with aclosing(self.body_iterator):
            await super().stream_response(send)


def _plain(
    engine: Engine, choice: names.Choice, prompts: list[str] | list[Prompt], sampling: Sampling
) -> Iterator[Event]:
    """Texts become tokens here, where a thread does the work."""
    ids = [_ids(engine, prompt) for prompt in prompts]
    yield from answering.plain(engine, choice, ids, sampling)


def _ids(engine: Engine, prompt: str | Prompt) -> Prompt:
    ids = engine.tokenizer(prompt).input_ids if isinstance(prompt, str) else prompt
    rows = engine.model.get_input_embeddings().weight.shape[0]
    if not ids or min(ids) < 0 or max(ids) >= rows:
        raise Refused(f"prompt: tokens must be numbers from 0 to {rows - 1:,}", param="prompt")
    return ids
