"""Train an expert on the rows of a file, or on a built-in task.

FILE is CSV (comma, semicolon, tab or pipe), JSON Lines or a JSON array with a question and an
answer in each row. Encoding, delimiter and columns are detected and can be named; how an answer is
judged follows from what the answers are, and what is learned from (--objective) from how often the
base model gets them right. Rows are split into those to train on, those to choose the best step by,
and those to measure before and after.

Ctrl-C finishes the step and keeps the best expert so far; a second Ctrl-C ends at once. Every step
ends with a checkpoint: --resume continues the last run that did not get to its end, or the one
named, with the settings and rows it was started with.

Several processes or machines train one expert together: accelerate launch ... -m t2app train ...
"""

from __future__ import annotations

import argparse
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from t2app.cli import common, rows, try_reward
from t2app.cli.common import add_model, load_engine, print_json
from t2app.errors import T2Error

if TYPE_CHECKING:
    from t2app.data import Preview
    from t2app.engine import Engine
    from t2app.tasks import Task
    from t2app.training.loop import Progress
    from t2app.training.parallel import World
    from t2app.training.runs import Run, Spec, Status
    from t2app.training.settings import Settings

BAR = 24  # characters
LAST = "the last one"
FOR_FILES = (
    "reward",
    "try_reward",
    "columns",
    "encoding",
    "delimiter",
    "header",
    "tell",
    "description",
    "rejected",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``train``; one option for each setting."""
    from t2app.training.experts import TEST

    parser.add_argument("file", nargs="?", metavar="FILE", help="rows to train on")
    parser.add_argument(
        "--task",
        help="instead of FILE: math, code, reasoning or dispatch; or public rows: gsm8k, mbpp, "
        "arc-easy, arc-challenge",
    )
    parser.add_argument(
        "--data",
        metavar="DIR",
        help="folder with the public rows of --task (default: from the Hugging Face hub)",
    )
    parser.add_argument("--name", help="name of the expert (default: that of the file or task)")
    parser.add_argument(
        "--resume",
        nargs="?",
        const=LAST,
        metavar="RUN",
        help="continue a run, by its id or its expert's name (default: the last one)",
    )
    _add_file_arguments(parser.add_argument_group("how FILE is read and judged"))
    parser.add_argument(
        "--test",
        type=int,
        default=TEST,
        help="problems, at most, that it is measured on before and after",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace an expert of that name")
    _add_settings(parser.add_argument_group("how it is trained"))
    add_model(parser)


def _add_settings(group: Any) -> None:
    from t2app.training.settings import HELP, MODULES, OBJECTIVES, Settings

    choices = {"objective": tuple(OBJECTIVES), "modules": tuple(MODULES)}
    for field in fields(Settings):
        option, what = f"--{field.name.replace('_', '-')}", HELP[field.name]
        if isinstance(field.default, bool):
            group.add_argument(
                option, action=argparse.BooleanOptionalAction, default=field.default, help=what
            )
        else:
            group.add_argument(
                option,
                type=type(field.default),
                default=field.default,
                choices=choices.get(field.name),
                help=f"{what} (default: {field.default})",
            )


def _add_file_arguments(group: Any) -> None:
    """Options that need a FILE; without one they are None."""
    from t2app.tasks.rewards import REWARDS

    group.add_argument(
        "--reward",
        metavar="NAME|FILE.py|NAME=WEIGHT,...",
        help=f"how answers are judged: auto (default), {', '.join(REWARDS)}, a file of your own "
        "with a function reward(answer, row), or several with weights that add up to 1",
    )
    group.add_argument(
        "--try-reward",
        action="store_true",
        default=None,
        help="show what the reward gives on the first rows, and train nothing",
    )
    rows.add_reading(group)
    group.add_argument(
        "--tell",
        action=argparse.BooleanOptionalAction,
        help="tell the model what it can choose from, where answers are labels or options "
        "(default: it is told)",
    )
    group.add_argument("--description", help="what the expert is for; default: from the questions")
    group.add_argument(
        "--rejected", metavar="CSV", help="write the rows that cannot be used here, with reasons"
    )


def run(args: argparse.Namespace) -> int:
    """Train, and print the report."""
    from t2app.training import parallel
    from t2app.training.settings import Settings

    _refuse_contradictions(args)
    settings = Settings(**{f.name: getattr(args, f.name) for f in fields(Settings)})
    if args.try_reward:
        return try_reward.run(args)
    parallel.choose_device()
    say = common.note if parallel.is_main() else _silent
    given = rows.FileRows(args, say) if args.file and args.resume is None else None
    engine = load_engine(args)
    task, rejected = given.task(engine) if given else (_named_task(engine, args), "")
    world = parallel.World.join(engine.base.device)
    try:
        if args.resume is not None:
            spec, task, kept = _unfinished(engine, args, world)
        else:
            spec, kept = _begin(engine, task, rejected, args, settings, world)
        shown = given.preview if given else _preview(task, spec, say)
        status = _train(engine, task, spec, kept, world)
    finally:
        world.leave()
    return _print(args, spec, status, shown, kept) if world.main else 0


def _refuse_contradictions(args: argparse.Namespace) -> None:
    from t2app.data import public
    from t2app.tasks import TASKS

    if args.resume is not None:
        return
    known = (*TASKS, *(name for name, task in public.TASKS.items() if "train" in task.splits))
    if (args.file is None) == (args.task is None):
        raise T2Error("give either a FILE with rows to train on, or --task")
    if args.task is not None and args.task not in known:
        raise T2Error(f"unknown task {args.task!r}: choose from {', '.join(known)}")
    if args.data is not None and args.task not in public.TASKS:
        raise T2Error("--data is the folder of public rows: name them with --task, such as gsm8k")
    given = [name for name in FOR_FILES if getattr(args, name) is not None]
    if args.task is not None and given:
        raise T2Error(
            f"--{given[0].replace('_', '-')} is for a FILE with rows, not for --task {args.task}"
        )
    if args.test < 1:
        raise T2Error(f"--test is {args.test}: it must be at least 1")


def _named_task(engine: Engine, args: argparse.Namespace) -> Task | None:
    """The task of that name; what is classified depends on the experts that there are."""
    from t2app.adapt import router
    from t2app.data import public
    from t2app.tasks import DISPATCH, TASKS

    if args.task == DISPATCH.name:
        return router.task(engine.library.experts())
    if args.task not in public.TASKS:
        return TASKS.get(args.task)
    return public.load(
        args.task,
        Path(args.data) if args.data else None,
        seed=args.seed,
        count_tokens=engine.count_tokens,
        max_tokens=engine.longest_prompt,
    )


def _silent(text: str, end: str = "\n") -> None:
    """Only the main process speaks."""


# -- the run -------------------------------------------------------------------------------------


def _begin(
    engine: Engine,
    task: Task,
    rejected: str,
    args: argparse.Namespace,
    settings: Settings,
    world: World,
) -> tuple[Spec, Run | None]:
    """A new run; only the main process has it."""
    from t2app.training import runs
    from t2app.training.experts import spec_for

    name = args.name or (rows.name_of(args.file) if args.file else args.task)
    spec = spec_for(engine, task, name, settings, overwrite=args.overwrite, size=args.test)
    spec = world.agree(spec)
    if not world.main:
        return spec, None
    for other in runs.all_runs(spec.base):
        if other.status().state == "interrupted" and other.spec().name == name:
            common.note(
                f"run {other.folder.name} did not get to its end; --resume would continue it"
            )
            break
    return spec, runs.Run.create(spec, task, rejected)


def _unfinished(
    engine: Engine, args: argparse.Namespace, world: World
) -> tuple[Spec, Task, Run | None]:
    """The run that ``--resume`` means, which the main process takes."""
    from t2app.training import runs

    run = _wanted(engine, args) if world.main else None
    if run is not None:
        run.hold()
        run.forget_stop()
    spec, packed = world.agree((run.spec(), runs.packed(run.task())) if run else None)
    return spec, runs.unpacked(packed), run


def _wanted(engine: Engine, args: argparse.Namespace) -> Run:
    from t2app.training import runs

    wanted = args.name if args.resume == LAST else args.resume
    for run in runs.all_runs(engine.base.base):
        fits = wanted in (None, run.folder.name) or wanted == run.spec().name
        if fits and run.status().state in ("interrupted", "stopped", "failed"):
            return run
    of = f" of {wanted!r}" if wanted else ""
    raise T2Error(f"there is no unfinished run{of} for {engine.base.base}: nothing to resume")


def _train(engine: Engine, task: Task, spec: Spec, run: Run | None, world: World) -> Status:
    from t2app.training.experts import train_expert

    bar = _Bar()
    try:
        with _ctrl_c() as pressed:
            return train_expert(
                engine,
                task,
                spec,
                run,
                watch=bar.show,
                stop=lambda: pressed.is_set() or (run is not None and run.asked_to_stop()),
                world=world,
            )
    finally:
        bar.clear()
        if run is not None:
            run.release()


@contextmanager
def _ctrl_c() -> Iterator[threading.Event]:
    """Set by the first Ctrl-C; the second one interrupts."""
    pressed = threading.Event()

    def press(number: int, frame: Any) -> None:
        if pressed.is_set():
            raise KeyboardInterrupt
        pressed.set()

    if threading.current_thread() is not threading.main_thread():
        yield pressed  # signals are the main thread's
        return
    before = signal.signal(signal.SIGINT, press)
    try:
        yield pressed
    finally:
        signal.signal(signal.SIGINT, before)


# -- what is printed -----------------------------------------------------------------------------


class _Bar:
    """Progress on standard error: a bar on a terminal, in a log file a line now and then."""

    def __init__(self) -> None:
        self._line = common.Line()
        self._last = ""
        self._alarms: list[dict[str, Any]] = []

    def show(self, status: Status, progress: Progress | None) -> None:
        """What goes on now."""
        from t2app.training import alarms
        from t2app.training.journal import progress_line

        for alarm in alarms.new(status.alarms, self._alarms):
            self.clear()
            common.note(f"alarm: {alarms.line(alarm)}")
        self._alarms = status.alarms
        if self._line.live:
            self._line.show(self._bar(status, progress))
        elif progress is not None:
            self._line.show(progress_line(progress))
        elif status.why and status.why != self._last:
            self._say(status.why)
            self._last = status.why
        elif status.state == "running" and status.done in (0, status.total):
            self._say(status.phase)

    def _say(self, text: str) -> None:
        """A line of a log file that is no step."""
        self._line.end()
        common.note(text)

    def _bar(self, status: Status, progress: Progress | None) -> str:
        done = round(BAR * status.done / status.total) if status.total else 0
        left = "" if status.seconds_left is None else f"  {_clock(status.seconds_left)} left"
        if progress is not None:
            reward = "" if progress.reward is None else f"reward {progress.reward:+.2f}  "
            loss = "" if progress.loss is None else f"loss {progress.loss:.2f}  "
            self._last = f"  {reward}{loss}best {progress.best:.0%}"
        return f"{'█' * done}{'░' * (BAR - done)} {status.phase}{self._last}{left}"

    def clear(self) -> None:
        """Leave the line to what follows."""
        self._line.clear()


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def _preview(task: Task, spec: Spec, say: Any) -> Preview:
    """Show the first row that is trained on as it will be asked and answered."""
    from t2app import data

    first = (
        task.rows["train"][0]
        if isinstance(task, data.RowsTask)
        else task.problems("train", 1, spec.settings.seed)[0]
    )
    shown = data.preview(task, first)
    for line in shown.lines():
        say(line)
    return shown


def _print(args: argparse.Namespace, spec: Spec, status: Status, shown: Preview, run: Run) -> int:
    from t2app.training import alarms

    report = status.report
    if report is None:
        raise T2Error(f"{status.error}; --resume {spec.id} continues")
    if args.json:
        curve = run.curve()
        print_json({**report, "run": spec.id, "preview": shown.to_dict(), "curve": curve})
        return 0
    print(
        f"{report['expert']}: {report['before']['accuracy']:.1%} -> "
        f"{report['after']['accuracy']:.1%} on {report['after']['n']} held-out rows, "
        f"in {report['seconds']:.0f} s; written to {report['path']}"
    )
    print(report["verdict_words"])
    print(report["harm"]["words"])
    for alarm in report["alarms"]:
        print(f"alarm: {alarms.line(alarm)}")
    return 0
