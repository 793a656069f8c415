"""Whether a strategy is to be trusted on this model: it is tried on the questions experts keep.

For prototypes that costs nothing: each question is judged by a classifier that has not seen it. The
strategies that ask the model are tried on a sample, which their calibration needs anyway, and
judged in the same way. Results hold for the experts there are; what was computed is on disk (see
``states`` and ``labels``), so another start finds it. Not covered: questions unlike the kept ones.
"""

from __future__ import annotations

import logging
import threading
import weakref
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from t2app.adapt import auto, labels, prototype, router
from t2app.engine import Engine
from t2app.errors import T2Error
from t2app.tasks import dispatch

# Shares of kept and of general questions below which a strategy is not to be trusted.
ENOUGH = 0.8
# Those that sort questions, in the order of what measuring costs.
MEASURED = ("auto", "prototype", "prompt", "classifier")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Trust:
    """Of ``n`` kept questions ``right`` were sent to their expert.

    Of ``general`` questions that belong to no expert, ``left`` were left to the base.
    """

    strategy: str
    right: int
    n: int
    left: int
    general: int

    @property
    def trusted(self) -> bool:
        """Whether both shares are high enough."""
        return self.right >= ENOUGH * self.n and self.left >= ENOUGH * self.general

    @property
    def line(self) -> str:
        """Both shares for people, and the warning where there is one."""
        shares = (
            f"{self.strategy}: {_share(self.right, self.n)} kept questions sent to their expert on "
            f"this model, {_share(self.left, self.general)} general ones left to the base"
        )
        return shares if self.trusted else f"{shares}: not to be trusted"


def _share(part: int, whole: int) -> str:
    return f"{part / max(1, whole):.0%} of {whole}"


def measure(
    engine: Engine, strategy: str, stop: Callable[[], bool] = lambda: False
) -> Trust | None:
    """How a strategy does with the experts there are; None where there is nothing to measure.

    Takes as long as the first question by this strategy does. Raises T2Error where the strategy
    cannot be used, and once ``stop`` says so.
    """
    way = auto.means(engine, strategy)
    if way == "prototype":
        pairs = prototype.left_out(engine)
    elif way in ("prompt", "classifier"):
        pairs = _asked(engine, way, stop)
    else:
        return None
    own = [said == name for name, said in pairs if name != dispatch.OTHER]
    general = [said == name for name, said in pairs if name == dispatch.OTHER]
    if not own:
        return None
    return Trust(strategy, sum(own), len(own), sum(general), len(general))


def known(engine: Engine, strategy: str) -> Trust | None:
    """As ``measure``, but None rather than making anybody wait."""
    way = auto.means(engine, strategy)
    if way == "prototype":
        ready = prototype.is_ready(engine)
    elif way in ("prompt", "classifier"):
        mix = _mix(engine, way)
        ready = mix is not None and labels.is_calibrated(engine, engine.delta(mix))
    else:
        return None
    return measure(engine, strategy) if ready else None


def _mix(engine: Engine, strategy: str) -> dict[str, float] | None:
    """The mix in effect while the model is asked; None without an expert that classifies."""
    if strategy == "prompt":
        return {}
    name = router.find(engine.library.experts())
    return None if name is None else {name: 1.0}


def _asked(engine: Engine, strategy: str, stop: Callable[[], bool]) -> list[tuple[str, str]]:
    names = list(labels.from_experts(engine.library.experts()))
    mix = _mix(engine, strategy)
    if mix is None or len(names) == 1:
        return []
    found = labels.calibration(engine, engine.delta(mix), stop)
    pairs = zip(found.own.tolist(), found.said.tolist(), strict=True)
    return [(names[own], names[said]) for own, said in pairs]


# -- in the background ---------------------------------------------------------------------------

_lock = threading.Lock()
# The engine that was asked about last: an earlier one is about to be given up.
_latest: weakref.ref[Engine] | None = None
_running: WeakKeyDictionary[Engine, threading.Thread] = WeakKeyDictionary()


def measure_in_background(
    engine: Engine, strategies: Iterable[str] = MEASURED
) -> threading.Thread | None:
    """Measure what is not known yet, while nobody asks anything; one thread for an engine.

    None where there is nothing to do. What is being measured for another engine stops.
    """
    global _latest
    with _lock:
        _latest = weakref.ref(engine)
        before = _running.get(engine)
        if before is not None and before.is_alive():
            return before
        missing = [s for s in strategies if _measurable(engine, s) and known(engine, s) is None]
        if not missing:
            return None
        thread = threading.Thread(
            target=_measure_all, args=(engine, missing), name="measure the routing", daemon=True
        )
        _running[engine] = thread
        thread.start()
        return thread


def is_running(engine: Engine) -> bool:
    """Whether something is being measured for this engine."""
    thread = _running.get(engine)
    return thread is not None and thread.is_alive()


def _measurable(engine: Engine, strategy: str) -> bool:
    experts = engine.library.experts()
    there = any(labels.takes_part(e) for e in experts.values())
    return there and (strategy != "classifier" or router.find(experts) is not None)


def _measure_all(engine: Engine, strategies: Iterable[str]) -> None:
    def stop() -> bool:
        return _latest is None or _latest() is not engine

    with engine.turns.background():
        for strategy in strategies:
            try:
                measure(engine, strategy, stop)
            except T2Error as error:
                log.info("the routing of %s is not measured: %s", strategy, error)
