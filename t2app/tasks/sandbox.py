"""Run a Python function that a model wrote, on inputs it has not seen, and return its results.

Each program gets a process of its own, which is killed with its whole group when it is over. It has
limits on CPU time, wall time, memory, file size, processes and open files, an empty environment and
an empty temporary folder, and it is not root. On Linux (x86_64, aarch64) a seccomp filter leaves it
about thirty system calls: it can compute, sleep and tell the time, and can neither open a file nor
a socket, start a process or a thread, or send a signal. It may import standard modules that compute
(``_sandbox_child.MODULES``) and nothing else.

The program never learns the expected values: it sends back what its function returned, and the
caller compares. A program that finds the pipe and writes to it by hand therefore gains nothing over
one that returns the same values; the size and shape of what comes back are bounded all the same.

What this does not stop: use of a defect in the kernel or in the interpreter; CPU time and memory up
to the limits, for as many programs at once as there are processors; conclusions about the machine
from timing. Outside Linux, or on other processors, there is no filter: nothing can be opened and no
process started, but a program that means harm could still delete or rename what the user may, and
macOS does not enforce the limit on memory. Where programs come from strangers, put the whole app
into a container or a virtual machine.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import marshal
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from t2app.errors import T2Error

CHILD = Path(__file__).with_name("_sandbox_child.py")
NOBODY = 65534
HAS_LIMITS = importlib.util.find_spec("resource") is not None
USE_FILTER = True  # tests switch it off to see what holds without it

# -P, -s and -S: nothing but the standard library can be imported. Not -I, which would ignore
# PYTHONHASHSEED: with a random one the order of a set, and so a verdict, could change between runs.
COMMAND = [sys.executable, "-P", "-s", "-S", "-B", "-X", "utf8", str(CHILD)]
LINE_BYTES = 4096  # the most that one line needs besides a result: a message of 300 characters
ENVIRONMENT = {"PYTHONHASHSEED": "0"}

Status = Literal["ok", "error", "timeout", "limit"]
Job = tuple[str, str, Sequence[Sequence[Any]]]


@dataclass(frozen=True)
class Limits:
    """What one program may use, all its calls together."""

    cpu_seconds: float = 1.0
    wall_seconds: float = 10.0
    memory_mb: int = 256
    file_kb: int = 64
    output_bytes: int = 1_000_000


@dataclass(frozen=True)
class Failed:
    """Stands for the result of a call that gave none."""

    message: str


@dataclass(frozen=True)
class Outcome:
    """What became of one program.

    ``ok``: every call was made, though single ones may be ``Failed`` because they raised.
    ``error``: the program did not compile, raised, lacks the function, or ended early.
    ``timeout`` and ``limit``: it used more time, memory or room for results than it has.
    ``values`` has one entry for each input in every case.
    """

    status: Status
    values: tuple[Any, ...]
    message: str = ""


def run(
    source: str,
    function: str,
    inputs: Sequence[Sequence[Any]],
    *,
    limits: Limits = Limits(),
) -> Outcome:
    """Call ``function(*args)`` for each ``args`` in ``inputs``, in order, in one process.

    ``inputs`` holds None, bool, int, float, complex, str, bytes, list, tuple, set and dict. Results
    keep those types; any other result is ``Failed``. Raises T2Error where this
    system cannot run such a process, and ValueError for inputs of other types.
    """
    return _run(_pack(source, function, inputs, limits), len(inputs), limits)


def run_many(jobs: Sequence[Job], limits: Limits = Limits()) -> list[Outcome]:
    """``run`` for each ``(source, function, inputs)``, one process for each processor at a time.

    Jobs that are equal run once.
    """
    packed = [_pack(*job, limits) for job in jobs]
    sizes = {data: len(job[2]) for data, job in zip(packed, jobs, strict=True)}
    with ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as pool:
        futures = {data: pool.submit(_run, data, size, limits) for data, size in sizes.items()}
        try:
            return [futures[data].result() for data in packed]
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _pack(source: str, function: str, inputs: Sequence[Sequence[Any]], limits: Limits) -> bytes:
    """The job as the child reads it; equal jobs give equal bytes."""
    job = {
        "source": source,
        "function": function,
        "inputs": [list(arguments) for arguments in inputs],
        "cpu_seconds": limits.cpu_seconds,
        "memory_bytes": limits.memory_mb << 20,
        "file_bytes": limits.file_kb << 10,
        "output_bytes": limits.output_bytes,
        "use_filter": USE_FILTER,
    }
    # Version 2 writes an object that occurs twice twice: no call sees what another call changed.
    return marshal.dumps(job, 2)


def _run(job: bytes, calls: int, limits: Limits) -> Outcome:
    """Start the child, read what it sends until it ends or time is up, kill what is left."""
    if not HAS_LIMITS:
        raise T2Error(
            "Running model-written code needs Linux or macOS (on Windows: WSL): "
            "this Python has no 'resource' module."
        )
    with (
        tempfile.TemporaryDirectory(prefix="t2app-", ignore_cleanup_errors=True) as folder,
        tempfile.TemporaryFile() as stdin,
    ):
        if os.geteuid() == 0:
            os.chown(folder, NOBODY, NOBODY)
        stdin.write(job)
        stdin.seek(0)
        child = _start(folder, stdin)
        deadline = time.monotonic() + limits.wall_seconds
        try:
            data, ended = _read(child, deadline, limits.output_bytes + LINE_BYTES * (calls + 3))
        finally:
            usage = _end(child)
    return _judge(data, ended, child.returncode, usage, calls, limits)


def _start(folder: str, stdin: Any) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            COMMAND,
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=folder,
            env=ENVIRONMENT,
            start_new_session=True,
        )
    except OSError as error:
        raise T2Error(f"A process to run code in cannot be started: {error}") from error


def _read(child: subprocess.Popen[bytes], deadline: float, most: int) -> tuple[bytes, str]:
    """Bytes from the child, and why reading stopped: ``closed``, ``time`` or ``size``."""
    assert child.stdout is not None
    number = child.stdout.fileno()
    poll = select.poll()
    poll.register(number, select.POLLIN)
    data = bytearray()
    while len(data) <= most:
        left = deadline - time.monotonic()
        if left <= 0 or not poll.poll(left * 1000):
            return bytes(data), "time"
        chunk = os.read(number, 1 << 16)
        if not chunk:
            return bytes(data), "closed"
        data += chunk
    return bytes(data), "size"


def _end(child: subprocess.Popen[bytes]) -> float:
    """Kill the group, reap the child and return the CPU seconds it used.

    The child is reaped only after the kill, so its number cannot belong to another process yet.
    """
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.stdout is not None:
        child.stdout.close()
    return usage.ru_utime + usage.ru_stime


def _judge(data: bytes, ended: str, code: int, cpu: float, calls: int, limits: Limits) -> Outcome:
    """Turn the child's lines and the way it ended into an outcome."""
    if not data and ended == "closed" and code > 0:
        raise T2Error(f"{sys.executable} cannot run {CHILD.name} (exit code {code})")
    values: list[Any] = []
    tag, payload = "", ""
    for number, line in enumerate(data.split(b"\n")[:-1]):
        tag, payload = _parse(line)
        if number == 0 and tag == "setup":  # later lines may be the program's
            raise T2Error(f"A process to run code in cannot be closed off: {payload}")
        if tag in ("value", "failed"):
            values.append(payload if tag == "value" else Failed(str(payload)))
        elif tag != "ready":
            break
    status, message = _verdict(tag, str(payload), ended, code, cpu, limits)
    if status == "ok" and len(values) != calls:
        status, message = "error", "the program wrote results of its own"
    values = values[:calls] + [Failed(message)] * (calls - len(values))
    return Outcome(status, tuple(values), message)


def _verdict(
    tag: str, payload: str, ended: str, code: int, cpu: float, limits: Limits
) -> tuple[Status, str]:
    """Status and message, from the child's last line and how it ended."""
    if tag == "end":
        return "ok", ""
    if tag in ("error", "limit"):
        return ("error" if tag == "error" else "limit"), payload
    if ended == "time":
        return "timeout", f"took more than {limits.wall_seconds:g} seconds"
    if ended == "size":
        return "limit", f"sent more than {limits.output_bytes} bytes"
    if code in (-signal.SIGPROF, -signal.SIGXCPU) or cpu > limits.cpu_seconds:
        return "timeout", f"used more than {limits.cpu_seconds:g} seconds of CPU time"
    if code < 0 and code != -signal.SIGKILL:
        return "error", f"the program crashed ({signal.Signals(-code).name})"
    return "error", "the program ended by itself before all calls were made"


def _parse(line: bytes) -> tuple[str, Any]:
    """One line of the child; a program may have written it, so it may hold anything."""
    try:
        tag, payload = json.loads(line, object_hook=_decode)
    except (ValueError, TypeError, KeyError, RecursionError):
        return "error", "the program wrote results of its own"
    return (
        (tag, payload) if isinstance(tag, str) else ("error", "the program wrote its own results")
    )


def _decode(pairs: dict[str, Any]) -> Any:
    """Undo what ``_sandbox_child.encode`` does to types that JSON lacks."""
    if "k" in pairs:
        return dict(zip(pairs["k"], pairs["v"], strict=True))
    ((mark, value),) = pairs.items()
    return _MARKED[mark](value)


_MARKED: dict[str, Callable[[Any], Any]] = {
    "t": tuple,
    "s": set,
    "f": frozenset,
    "b": lambda text: text.encode("latin-1"),
    "c": lambda parts: complex(*parts),
}
