"""The line of training jobs that a page looks at, whichever model is loaded."""

from __future__ import annotations

import threading
from collections.abc import Callable

from t2app.engine import Engine
from t2app.training.jobs import Jobs


class Queues:
    """The job queue of the engine of the moment, one for the whole app."""

    def __init__(self, make: Callable[[Engine], Jobs] = Jobs) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._engine: Engine | None = None
        self._jobs: Jobs | None = None

    def of(self, engine: Engine) -> Jobs:
        """The queue of ``engine``; that of another engine, which is idle then, ends."""
        with self._lock:
            if self._jobs is None or self._engine is not engine:
                if self._jobs is not None:
                    self._jobs.close()
                self._engine, self._jobs = engine, self._make(engine)
            return self._jobs

    def busy(self) -> str | None:
        """Why the model must stay for now, in one line; None while nothing is trained on it."""
        if self._jobs is None or self._jobs.idle():
            return None
        return "an expert is being trained on this model: wait for it, or stop it on the Train page"
