"""Each program here tries something that the sandbox must survive."""

from __future__ import annotations

import math
import os
import sys
import tempfile
import textwrap
import time
from pathlib import Path

import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from t2app.errors import T2Error
from t2app.tasks import sandbox
from t2app.tasks.sandbox import Failed, Limits, Outcome, run, run_many

pytestmark = pytest.mark.skipif(not sandbox.HAS_LIMITS, reason="needs the resource module")

HAS_FILTER = sys.platform.startswith("linux") and os.uname().machine in ("x86_64", "aarch64")
QUICK = Limits(cpu_seconds=0.3, wall_seconds=60)  # a busy machine takes its time


@pytest.fixture(params=["filter", "no filter"])
def walls(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the system call filter, and with only what other systems have."""
    if request.param == "filter" and not HAS_FILTER:
        pytest.skip("no system call filter on this system")
    monkeypatch.setattr(sandbox, "USE_FILTER", request.param == "filter")


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which the sandbox makes its temporary folders."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def call(source: str, *arguments: object, limits: Limits = QUICK) -> Outcome:
    """Run ``f`` of an indented program once."""
    return run(textwrap.dedent(source), "f", [arguments], limits=limits)


def attempt(statement: str) -> object:
    """What becomes of a statement: "allowed", or the exception that stopped it."""
    source = f"""
        import os, sys
        def f():
            try:
                {statement}
            except Exception as error:
                return type(error).__name__
            return "allowed"
        """
    return call(source).values[0]


def test_returns_one_value_for_each_call() -> None:
    source = "import math\ndef root(x, y=0):\n    return math.isqrt(x) + y\n"
    outcome = run(source, "root", [[16], [25, 1], [-1], [36]])
    assert outcome.status == "ok"
    assert outcome.values == (4, 6, outcome.values[2], 6)
    assert isinstance(outcome.values[2], Failed)
    assert outcome.values[2].message.startswith("ValueError")


def test_no_calls() -> None:
    assert run("def f(): pass", "f", []) == Outcome("ok", ())


SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
    | st.binary() | st.complex_numbers(allow_nan=False)
)  # fmt: skip
KEYS = SCALARS | st.tuples(SCALARS, SCALARS) | st.frozensets(SCALARS)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner) | st.dictionaries(KEYS, inner) | st.tuples(inner, inner) | st.sets(KEYS)
    ),
    max_leaves=20,
)


@settings(max_examples=5, deadline=None)
@given(st.lists(VALUES, min_size=20, max_size=40))
def test_results_keep_their_types(values: list[object]) -> None:
    outcome = run("def f(x): return x", "f", [[value] for value in values])
    assert outcome.status == "ok"
    assert list(outcome.values) == values
    assert [type(value) for value in outcome.values] == [type(value) for value in values]


def test_odd_results() -> None:
    source = """
        from collections import Counter, namedtuple
        Point = namedtuple("Point", "x y")
        class Word(str): pass
        def f():
            odd = [float("nan"), float("-inf"), (1, 2), "\\ud800"]
            return odd + [Counter("aab"), Point(1, 2), Word("w")]
        """
    (value,) = call(source).values
    assert math.isnan(value.pop(0))
    assert value == [-math.inf, (1, 2), "\ud800", {"a": 2, "b": 1}, (1, 2), "w"]


@pytest.mark.parametrize(
    ("source", "value"),
    [
        (
            "from collections import Counter\ndef f(): return Counter('aab').most_common(1)",
            [("a", 2)],
        ),
        ("import datetime\ndef f(): return datetime.datetime.strptime('7', '%d').day", 7),
        ("import functools\ndef f(): return functools.singledispatch(len)([1])", 1),
        ("import random\ndef f(): return len(random.sample(range(9), 3))", 3),
    ],
)
def test_modules_that_others_import_when_they_are_first_used(source: str, value: object) -> None:
    assert run(source, "f", [[]]).values == (value,)


@pytest.mark.parametrize(
    ("result", "message"),
    [
        ("lambda: 0", "type function"),
        ("[object()]", "type object"),
        ("{int: 3}", "type type"),
        ("{1, print}", "type builtin_function"),
        ("bytearray(2)", "type bytearray"),
        ("10 ** 5000", "4300 digits"),
    ],
)
def test_other_results_fail(result: str, message: str) -> None:
    outcome = call(f"def f(): return {result}")
    assert outcome.status == "ok"
    assert message in outcome.values[0].message


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("def f(:", "SyntaxError"),
        ("x = 1", "no function f"),
        ("f = 3", "no function f"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("{}['key']", "KeyError"),
        ("import numpy\ndef f(): pass", "No module named 'numpy'"),
        ("import sys\nsys.exit(0)", "SystemExit"),
        ("import os\nos._exit(0)", "ended by itself"),
        ("import os\nos._exit(7)", "ended by itself"),
        ("(" * 5000, "too many nested parentheses"),
        ("x = " + "-" * 100_000 + "1", ""),
        ("\0", ""),
    ],
)
def test_programs_without_a_function_to_call(source: str, message: str) -> None:
    outcome = run(source, "f", [[], []], limits=QUICK)
    assert outcome.status in ("error", "limit")
    assert message in outcome.message
    assert outcome.values == (Failed(outcome.message),) * 2


@pytest.mark.parametrize("name", ["exit(0)", "sys.exit('bye')", "raise KeyboardInterrupt"])
def test_leaving_is_one_failed_call(name: str) -> None:
    outcome = run(f"import sys\ndef f(x):\n    if x: {name}\n    return x\n", "f", [[1], [0]])
    assert outcome.status == "ok"
    assert isinstance(outcome.values[0], Failed)
    assert outcome.values[1] == 0


def test_calls_before_an_exit_count() -> None:
    outcome = run("import os\ndef f(x):\n    if x: os._exit(0)\n    return 5", "f", [[0], [1], [0]])
    assert outcome.status == "error"
    assert outcome.values == (5, Failed(outcome.message), Failed(outcome.message))


def test_exception_that_cannot_be_described() -> None:
    source = """
        class Evil(Exception):
            def __str__(self): raise self
        def f(): raise Evil
        """
    assert call(source).values == (Failed("Evil"),)


def test_recursion_fails_one_call() -> None:
    assert "RecursionError" in call("def f(): return f()").values[0].message
    deep = call("import sys\ndef f(n=0):\n    sys.setrecursionlimit(10**8)\n    return f(n + 1)")
    assert deep.status in ("limit", "error", "timeout")


def test_arguments_are_fresh_for_each_call() -> None:
    shared = [3, 1, 2]
    outcome = run(
        "def f(x):\n    x.sort()\n    x.append(9)\n    return x", "f", [[shared], [shared]]
    )
    assert outcome.values == ([1, 2, 3, 9], [1, 2, 3, 9])
    assert shared == [3, 1, 2]


@pytest.mark.parametrize(
    "body",
    [
        "while True: pass",
        "return sum(range(10 ** 12))",
        "signal.signal(signal.SIGPROF, signal.SIG_IGN)\n    while True: pass",
        "signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 32))\n    while True: pass",
        "signal.setitimer(signal.ITIMER_PROF, 0)\n    while True: pass",
        "while True:\n        try: g()\n        except BaseException: pass",
    ],
)
@pytest.mark.usefixtures("walls")
def test_endless_loop(body: str) -> None:
    # `signal` is not among the modules a program may import; `_signal` is built in.
    source = f"import _signal as signal\ndef f():\n    {body}\n"
    outcome = run(source, "f", [[]], limits=QUICK)
    if "setitimer" in body and outcome.status == "ok":
        assert "not permitted" in outcome.values[0].message
    else:
        assert outcome.status == "timeout"
        assert "CPU" in outcome.message


def test_endless_loop_while_loading() -> None:
    assert call("while True: pass").status == "timeout"


def test_sleeping() -> None:
    start = time.monotonic()
    outcome = call(
        "import time\ndef f(): time.sleep(60)", limits=Limits(cpu_seconds=1, wall_seconds=0.7)
    )
    assert outcome.status == "timeout"
    assert outcome.message == "took more than 0.7 seconds"
    assert time.monotonic() - start < 30


@pytest.mark.parametrize(
    "body",
    [
        "return len(bytearray(10 ** 10))",
        "return len([0] * 10 ** 9)",
        "x = []\n    while True: x.append([x])",
        "return 1 << 10 ** 11",
    ],
)
def test_memory_bomb(body: str) -> None:
    outcome = call(f"def f():\n    {body}", limits=Limits(cpu_seconds=5, memory_mb=128))
    assert outcome.status == "limit"
    assert "memory" in outcome.message


@pytest.mark.parametrize(
    "result",
    [
        "'x' * 10 ** 7",
        "['x' * 1000] * 10 ** 4",
        "list(range(10 ** 6))",
        "{n: n for n in range(10 ** 6)}",
    ],
)
def test_huge_result(result: str) -> None:
    outcome = call(f"def f(): return {result}", limits=Limits(cpu_seconds=5))
    assert outcome.status == "limit"
    assert "long" in outcome.message


@pytest.mark.parametrize("nest", ["[x]", "{0: x}", "(x, x)"])
def test_nested_result(nest: str) -> None:
    outcome = call(f"def f():\n    x = 0\n    for _ in range(10 ** 5): x = {nest}\n    return x")
    assert outcome.status == "limit"
    assert "nested" in outcome.message
    cycle = call("def f():\n    x = []\n    x.append(x)\n    return x")
    assert cycle.status == "limit"


def test_prints_are_dropped() -> None:
    fake = '["value",42]\\n["end",""]'
    outcome = call(f"""
        import sys
        def f():
            print('{fake}', flush=True)
            sys.stderr.write('{fake}')
            for _ in range(10 ** 4): print("x" * 10 ** 4)
            return 1
        """)
    assert outcome == Outcome("ok", (1,))


def test_input_is_empty() -> None:
    assert "EOFError" in call("def f(): return input()").values[0].message


@pytest.mark.parametrize(
    "line",
    [
        '["end",""]',
        '["setup",""]',
        "[]",
        "[[],0]",
        "null",
        '{"k":0}',
        "[" * 5000,
        "\\xff",
        "1" * 5000,
    ],
)
def test_results_written_by_hand_never_pass_for_calls(line: str) -> None:
    source = f"import os\nos.write(3, b'{line}\\n')\ndef f(): return 1"
    outcome = call(source)
    assert outcome.status == "error"
    assert len(outcome.values) == 1


def test_flooding_the_pipe() -> None:
    outcome = call(
        "import os\nwhile True: os.write(3, b'x' * 65536)", limits=Limits(cpu_seconds=20)
    )
    assert outcome.status == "limit"


def test_replacing_builtins_and_modules() -> None:
    source = """
        import builtins, json, os, sys
        def f(x):
            for name in "len isinstance type str bool list dict BaseException".split():
                setattr(builtins, name, None)
            json.dumps = json.encoder.encode_basestring_ascii = os.write = os._exit = None
            sys.stdout = sys.modules = None
            return [x, {"a": 1.5}]
        """
    assert run(textwrap.dedent(source), "f", [[1], [2]]) == Outcome(
        "ok", ([1, {"a": 1.5}], [2, {"a": 1.5}])
    )


def test_environment_is_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("T2APP_SECRET", "hunter2")
    (names,) = call("import os\ndef f(): return sorted(os.environ)").values
    assert set(names) <= {"PYTHONHASHSEED", "LC_CTYPE", "__CF_USER_TEXT_ENCODING"}


def test_order_of_a_set_is_the_same_every_time() -> None:
    source = "def f(): return list({'a', 'b', 'c', 'd', 'e', 'f'})"
    assert call(source) == call(source)


@pytest.mark.parametrize(
    "statement",
    [
        "open('/etc/passwd').read()",
        "open('mine', 'w').write('x' * 10 ** 9)",
        "os.open('mine', os.O_CREAT | os.O_RDWR)",
        "os.close(0), open('/etc/passwd')",
        "os.listdir('/')",
        "os.mkdir('folder')",
        "os.remove('/tmp/t2app-nothing')",
        "os.rename('/tmp/t2app-nothing', '/tmp/t2app-nothing-2')",
        "os.symlink('/', 'link')",
        "os.chmod('.', 0o777)",
        "os.fork()",
        "os.system('true')",
        "os.execv('/bin/true', ['true'])",
        "os.posix_spawn('/bin/true', ['true'], {})",
        "os.pipe()",
        "os.kill(os.getppid(), 9)",
        "os.killpg(0, 9)",
        "os.setuid(0)",
        "__import__('_socket').socket()",
        "__import__('socket').create_connection(('127.0.0.1', 80))",
        "__import__('subprocess').run(['true'])",
        "__import__('_thread').start_new_thread(print, ())",
        "__import__('multiprocessing').Process(target=print).start()",
        "__import__('urllib.request')",
    ],
)
@pytest.mark.usefixtures("walls")
def test_nothing_outside_can_be_reached(statement: str, folders: Path) -> None:
    result = attempt(statement)
    if statement.startswith("os.system"):  # gives a status instead of raising
        result = attempt(f"assert {statement} == 0")
    assert isinstance(result, str)
    assert result.endswith("Error")
    # Refused, and not merely without an object.
    assert result not in ("FileNotFoundError", "ProcessLookupError", "NameError", "AttributeError")
    assert not list(folders.iterdir())


@pytest.mark.skipif(not HAS_FILTER, reason="no system call filter on this system")
def test_filter_holds_below_python() -> None:
    """Straight to the C library, past everything that Python checks."""
    source = """
        import sys
        def f():
            import ctypes
            libc = ctypes.CDLL(None, use_errno=True)
            results = {}
            for name, arguments in {
                "socket": (2, 1, 0), "fork": (), "execv": (b"/bin/true", 0), "dup": (0,),
                "open": (b"/etc/passwd", 0), "unlink": (b"/tmp/t2app-nothing",),
                "kill": (libc.getppid(), 9), "ptrace": (0, 0, 0, 0), "unshare": (0x10000000,),
                "memfd_create": (b"m", 0), "prctl": (1, 0),
            }.items():
                results[name] = getattr(libc, name)(*arguments), ctypes.get_errno()
            return results
        """
    (results,) = call(source).values
    assert set(map(tuple, results.values())) == {(-1, 1)}, results


@pytest.mark.usefixtures("walls")
def test_fork_bomb() -> None:
    source = """
        import os
        def f():
            made = 0
            for _ in range(1000):
                try:
                    os.fork()
                    made += 1
                except OSError:
                    pass
            return made
        """
    assert call(source).values == (0,)


def test_crash() -> None:
    outcome = call("import ctypes\ndef f(): ctypes.string_at(0)")
    assert outcome.status == ("error" if HAS_FILTER else "ok")
    if HAS_FILTER:
        assert outcome.message == "the program crashed (SIGSEGV)"


def test_folder_is_gone_afterwards(folders: Path) -> None:
    call("def f(): return 1")
    call("while True: pass")
    run_many([("def f(): 1 / 0", "f", [[]])] * 3, QUICK)
    assert not list(folders.iterdir())


def test_nothing_is_left_running() -> None:
    # The browser tests keep an app and a driver running beside this one.
    before = {child.pid for child in psutil.Process().children(recursive=True)}
    for source in ("def f(): return 1", "while True: pass", "import os; os._exit(0)"):
        call(source)
    after = {child.pid for child in psutil.Process().children(recursive=True)}
    assert after <= before


def test_many_at_once() -> None:
    sources = [f"def f(x): return x + {number}" for number in range(20)]
    sources += ["while True: pass", "def f(:"]
    outcomes = run_many([(source, "f", [[1], [2]]) for source in sources], QUICK)
    assert [outcome.values for outcome in outcomes[:20]] == [(n + 1, n + 2) for n in range(20)]
    assert [outcome.status for outcome in outcomes[20:]] == ["timeout", "error"]
    assert run_many([]) == []


def test_equal_jobs_run_once(monkeypatch: pytest.MonkeyPatch) -> None:
    started = []
    start = sandbox._start
    monkeypatch.setattr(sandbox, "_start", lambda *args: started.append(1) or start(*args))
    jobs = [("def f(x): return x", "f", [[1]])] * 5 + [("def f(x): return x", "f", [[1.0]])]
    assert [outcome.values for outcome in run_many(jobs)] == [(1,)] * 6
    assert len(started) == 2


def test_modules_a_program_may_import() -> None:
    from t2app.tasks._sandbox_child import MODULES

    source = "\n".join(f"import {name}" for name in MODULES if name != "__future__")
    source += "\nimport datetime\ndef f(): return str(datetime.datetime.strptime('1', '%d').day)"
    assert run(source, "f", [[]]) == Outcome("ok", ("1",))


def test_dataclasses_and_annotations() -> None:
    source = """
        from __future__ import annotations
        from dataclasses import dataclass
        @dataclass
        class Point:
            x: int = 1
        def f() -> list[int]: return [Point().x]
        if __name__ == "__main__":
            raise SystemExit
        """
    assert call(source).values == ([1],)


def test_without_limits_there_is_a_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "HAS_LIMITS", False)
    with pytest.raises(T2Error, match="needs Linux or macOS"):
        run("def f(): pass", "f", [[]])


def test_an_interpreter_that_does_not_start_is_a_clear_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sandbox, "COMMAND", ["/bin/false"])
    with pytest.raises(T2Error, match="cannot run"):
        run("def f(): pass", "f", [[]])
    monkeypatch.setattr(sandbox, "COMMAND", ["/nowhere/python"])
    with pytest.raises(T2Error, match="cannot be started"):
        run("def f(): pass", "f", [[]])


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="needs root")
def test_root_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "USE_FILTER", False)
    ids = call("import os\ndef f(): return [os.getuid(), os.getgid(), os.getgroups()]").values[0]
    assert ids == [sandbox.NOBODY, sandbox.NOBODY, []]
