"""The model that answers now, and the one that is being put in its place.

A tab never keeps an engine: it asks ``Resident`` for the one of the moment. A new model is loaded
in the background while the old one goes on answering; only when it is ready do they change places,
so whatever goes wrong leaves everything as it was. Not covered: layout (``models``), and what a
model needs (``t2app.models``).
"""

from __future__ import annotations

import functools
import inspect
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from t2app.engine import Engine
from t2app.errors import T2Error
from t2app.models import memory
from t2app.models.words import Pace

Reason = Callable[[], str | None]
Load = Callable[..., Engine]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Loading:
    """How far a model has got: a line for people, and the share of the present stage (or None).

    ``error`` is one line once it has failed; ``ready`` is true once the model answers.
    """

    model: str
    line: str = "looking for it"
    share: float | None = None
    error: str | None = None
    ready: bool = False

    @property
    def running(self) -> bool:
        """Neither ready nor failed."""
        return not (self.ready or self.error)


class Resident:
    """Holds one engine; any number of threads may ask for it while another is being loaded."""

    def __init__(self, engine: Engine, load: Load = Engine.load) -> None:
        self._engine = engine
        self._load = load
        self._reasons: list[Reason] = []
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self.loading: Loading | None = None

    @property
    def engine(self) -> Engine:
        """The engine of this moment. Do not keep it beyond the work at hand."""
        return self._engine

    def bind(self, handler: Callable[..., Any], *first: Any) -> Callable[..., Any]:
        """``handler(engine, *first, *values)`` as a handler of ``values``.

        In place of ``partial(handler, engine, *first)``: the engine is that of the moment of the
        call. A generator keeps the one it began with, so an answer is never torn between two.
        """
        if inspect.isgeneratorfunction(handler):

            @functools.wraps(handler)
            def bound(*values: Any) -> Any:
                yield from handler(self._engine, *first, *values)

        else:

            @functools.wraps(handler)
            def bound(*values: Any) -> Any:
                return handler(self._engine, *first, *values)

        # Gradio reads it to know how many values to give, and which of them are events.
        signature = inspect.signature(handler)
        rest = list(signature.parameters.values())[1 + len(first) :]
        bound.__signature__ = signature.replace(parameters=rest)
        return bound

    def refuse_while(self, reason: Reason) -> None:
        """Never change the model while ``reason()`` gives a line, which tells the user why not."""
        self._reasons.append(reason)

    def switch(
        self, model: str, quant: str = "auto", device: str = "auto", storage: str | None = None
    ) -> None:
        """Start to load another model, executed as the present one; ``loading`` tells how far.

        ``storage`` says how its factors are kept, by default as now. Raises T2Error, with nothing
        changed, while something needs the present one.
        """
        with self._lock:
            if self.loading is not None and self.loading.running:
                raise T2Error(f"{self.loading.model} is being loaded: wait until it is ready")
            self._refuse()
            self.loading = Loading(model)
            self._thread = threading.Thread(
                target=self._bring,
                args=(model, quant, device, storage or self._engine.svf.storage),
                name="load a model",
                daemon=True,
            )
        self._thread.start()

    def wait(self, timeout: float | None = None) -> None:
        """Until the model that is being loaded, if any, is ready or has failed."""
        if self._thread is not None:
            self._thread.join(timeout)

    def _refuse(self) -> None:
        for reason in self._reasons:
            if (line := reason()) is not None:
                raise T2Error(f"the model cannot be changed now: {line}")

    def _bring(self, model: str, quant: str, device: str, storage: str) -> None:
        """Load in the background, then change places unless a job has started meanwhile."""
        pace = Pace()

        def report(stage: str, done: int, total: int) -> None:
            share = done / total if total else None
            self.loading = replace(self.loading, line=pace(stage, done, total), share=share)

        outcome: dict[str, Any] = {"ready": True}
        try:
            engine = self._load(
                model,
                quant,
                device,
                report=report,
                execution=self._engine.execution.choice,
                storage=storage,
            )
            self._refuse()
            self._engine = engine
        except T2Error as error:
            outcome = {"error": str(error)}
        except Exception as error:
            if memory.ran_out(error):
                line = f"{model} does not fit into memory: choose nf4 or a smaller model"
            else:  # a defect: the old model must stay all the same
                log.exception("while loading %s", model)
                line = f"{model}: {type(error).__name__}. The terminal says more."
            outcome = {"error": line}
        engine = None
        memory.release()
        self.loading = replace(self.loading, **outcome)
