"""What Prometheus reads at ``/metrics``."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from t2app.server.answering import Begun, Ended, Event, Piece
from t2app.server.gate import Gate


class Counters:
    """Requests, tokens and times since the start."""

    def __init__(self, gate: Gate) -> None:
        self._registry = CollectorRegistry()
        made = {"namespace": "t2app", "registry": self._registry}
        self.requests = Counter(
            "requests", "requests answered or refused", ["route", "status"], **made
        )
        self.tokens = Counter("tokens", "tokens read and said", ["kind"], **made)
        self.first = Histogram("first_text_seconds", "until an answer's first text", **made)
        self.whole = Histogram("answer_seconds", "until an answer's end", **made)
        running = Gauge("requests_running", "requests that are being answered", **made)
        running.set_function(lambda: gate.running)
        waiting = Gauge("requests_waiting", "requests that wait for others", **made)
        waiting.set_function(lambda: gate.waiting)

    def watch(self, item: Event, seconds: float, is_first: bool) -> None:
        """Count one event of an answer, so many seconds after its request came in."""
        if isinstance(item, Begun):
            self.tokens.labels("prompt").inc(item.prompt_tokens)
        elif isinstance(item, Piece) and is_first:
            self.first.observe(seconds)
        elif isinstance(item, Ended):
            self.tokens.labels("completion").inc(item.completion_tokens)
            self.whole.observe(seconds)

    def text(self) -> bytes:
        """In the form that Prometheus reads."""
        return generate_latest(self._registry)
