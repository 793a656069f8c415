"""The process in which ``sandbox.py`` runs one program: started by path, never imported by it.

Order matters. Limits on memory and CPU come first, then the program is compiled (not run), the
standard modules it mentions are imported, and only then the doors close: another user when this one
is root, no new processes, no new descriptors, and a filter that leaves about thirty system calls.
The program runs after that. It covers nothing on the other side of the pipe: whoever reads the
results treats them as if the program itself had written them, because it can.
"""

from __future__ import annotations

import _signal as signal  # `signal` itself brings `enum`: 3 ms
import builtins
import marshal
import os
import resource
import struct
import sys
from _json import encode_basestring_ascii

TYPE_CHECKING = False  # `typing` takes longer to import than the rest together
if TYPE_CHECKING:
    from collections.abc import Callable

# The functions below look names up in this copy, so a program that replaces `builtins.len` hurts
# itself and not the code that reports on it.
__builtins__ = dict(vars(builtins))

# What a program may import: standard modules that compute. Anything else is an ImportError.
LISTED = """__future__ abc array base64 binascii bisect builtins calendar cmath collections
    collections.abc colorsys contextlib copy dataclasses datetime decimal difflib enum fractions
    functools graphlib hashlib heapq html io itertools json keyword math numbers operator pprint
    queue random re reprlib secrets statistics string struct sys textwrap time types typing
    unicodedata uuid warnings zlib"""
MODULES = frozenset(LISTED.split())
# Modules that these import only when they are first used, which is too late here.
LATE = {
    "collections": ("heapq",),
    "datetime": ("_strptime",),
    "functools": ("types", "weakref"),
    "random": ("statistics",),
    "time": ("_strptime",),
}

NOBODY = 65534
MAX_DEPTH = 50
MAX_MESSAGE = 300
RESULTS = 3  # the descriptor of the pipe, after standard output has become /dev/null

# The filter: an architecture's number in the kernel's audit.h, and the system calls that are left
# to the program: memory, its own signals, clocks, sleep, random bytes, open descriptors and exit.
#   read write close fstat lseek mmap mprotect munmap brk rt_sigaction rt_sigprocmask rt_sigreturn
#   mremap madvise nanosleep getpid exit gettimeofday sigaltstack gettid futex clock_gettime
#   clock_getres clock_nanosleep exit_group restart_syscall getrandom sched_yield set_robust_list
#   rseq getppid (and time, which only x86_64 has)
X86_64 = """0 1 3 5 8 9 10 11 12 13 14 15 25 28 35 39 60 96 131 186 202 228 229 230 231 219 318 24
    273 334 110 201"""
AARCH64 = """63 64 57 80 62 222 226 215 214 134 135 139 216 233 101 172 93 169 132 178 98 113 114
    115 94 128 278 124 99 293 173"""
ALLOWED = {"x86_64": (0xC000003E, X86_64), "aarch64": (0xC00000B7, AARCH64)}


class TooLarge(Exception):
    """A result is nested too deeply or has too many bytes."""


def encode(value: object, room: int, depth: int = 0) -> tuple[str, int]:
    """JSON text of ``value`` and the bytes left of ``room``; every type but subclasses is kept.

    What JSON lacks becomes an object with one letter: ``{"t": [items]}`` is a tuple, ``s`` a set,
    ``f`` a frozen one, ``b`` bytes, ``c`` a complex number, ``k`` and ``v`` keys and values of a
    dictionary. Raises TypeError for other types, TooLarge past the bounds.
    """
    if value is None:
        text = "null"
    elif isinstance(value, bool):
        text = "true" if value else "false"
    elif isinstance(value, int):
        text = int.__repr__(value)
    elif isinstance(value, float):
        text = float_text(value)
    elif isinstance(value, str):
        text = string_text(value, room)
    elif isinstance(value, bytes):
        text = f'{{"b":{string_text(bytes.decode(value, "latin-1"), room)}}}'
    elif isinstance(value, complex):
        real, imaginary = complex.real.__get__(value), complex.imag.__get__(value)
        text = f'{{"c":[{float_text(real)},{float_text(imaginary)}]}}'
    elif isinstance(value, list):
        return encode_items(list.__iter__(value), room, depth)
    elif isinstance(value, tuple):
        return encode_marked("t", tuple.__iter__(value), room, depth)
    elif isinstance(value, set):
        return encode_marked("s", set.__iter__(value), room, depth)
    elif isinstance(value, frozenset):
        return encode_marked("f", frozenset.__iter__(value), room, depth)
    elif isinstance(value, dict):
        keys, room = encode_items(dict.keys(value), room, depth)
        values, room = encode_items(dict.values(value), room, depth)
        return f'{{"k":{keys},"v":{values}}}', room - 12
    else:
        raise TypeError(f"returned a value of type {type(value).__name__}")
    if len(text) > room:
        raise TooLarge("the results are too long")
    return text, room - len(text)


def float_text(value: float) -> str:
    """A float as the JSON of Python has it."""
    text = float.__repr__(value)
    return {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}.get(text, text)


def string_text(value: str, room: int) -> str:
    """A string in JSON; TooLarge before it is made where it would not fit."""
    if str.__len__(value) > room:
        raise TooLarge(f"the result is longer than {room} characters")
    return encode_basestring_ascii(str.__str__(value))


def encode_marked(mark: str, items: object, room: int, depth: int) -> tuple[str, int]:
    """``{"t": [items]}``, or with another letter."""
    text, room = encode_items(items, room - 6, depth)
    return f'{{"{mark}":{text}}}', room


def encode_items(items: object, room: int, depth: int) -> tuple[str, int]:
    """A JSON array of ``items``; see ``encode``."""
    if depth >= MAX_DEPTH:
        raise TooLarge(f"the result is nested more than {MAX_DEPTH} levels deep")
    texts = []
    for item in items:
        text, room = encode(item, room - 1, depth + 1)
        texts.append(text)
    return f"[{','.join(texts)}]", room - 2


def describe(error: BaseException) -> str:
    """``ZeroDivisionError: division by zero``; never raises, whatever the exception does."""
    name = type(error).__name__
    try:
        text = str.__str__(str(error))
    except BaseException:
        return name
    return f"{name}: {text}"[:MAX_MESSAGE] if text else name


OUT_OF_MEMORY = "used more memory than it may"


class Reporter:
    """Writes one line for each event: ``["value", …]``, ``["failed", "why"]``, ``["end", ""]``…"""

    def __init__(self, room: int) -> None:
        self.room = room
        self._write = os.write

    def send(self, tag: str, text: str) -> None:
        self.send_json(tag, encode_basestring_ascii(text[:MAX_MESSAGE]))

    def send_json(self, tag: str, json: str) -> None:
        data = f'["{tag}",{json}]\n'.encode("ascii")
        while data:
            data = data[self._write(RESULTS, data) :]

    def value(self, value: object) -> None:
        json, self.room = encode(value, self.room)
        self.send_json("value", json)


def mentioned_modules(code: object, found: set[str]) -> set[str]:
    """Modules on the list whose name occurs in the program, imported there or not."""
    found.update(name for name in code.co_names if name in MODULES)
    for constant in code.co_consts:
        if isinstance(constant, type(code)):
            mentioned_modules(constant, found)
    return found


def preload(code: object) -> None:
    """Import what the program will import, while files can still be opened."""
    for name in sorted(mentioned_modules(code, set())):
        for module in (name, *LATE.get(name, ())):
            __import__(module)


def limit(kind: str, value: int) -> None:
    """Set one limit for good, never above the one in force; a system that lacks it goes without."""
    number = getattr(resource, kind, None)
    if number is None:
        return
    ceiling = resource.getrlimit(number)[1]
    if ceiling != resource.RLIM_INFINITY:
        value = min(value, ceiling)
    try:
        resource.setrlimit(number, (value, value))
    except ValueError:
        if kind != "RLIMIT_AS":  # macOS refuses some values here and enforces none
            raise


def system_call_filter(machine: str) -> bytes | None:
    """The BPF program for one architecture: allow the list, answer EPERM to the rest."""
    if machine not in ALLOWED:
        return None
    arch, numbers = ALLOWED[machine]
    calls = [int(number) for number in numbers.split()]

    def instruction(code: int, yes: int, no: int, value: int) -> bytes:
        return struct.pack("=HBBI", code, yes, no, value)

    load, equal, give = 0x20, 0x15, 0x06  # BPF_LD|W|ABS, BPF_JMP|JEQ|K, BPF_RET|K
    kill, allow, deny = 0x80000000, 0x7FFF0000, 0x00050001  # 0005: errno; 0001: EPERM
    program = [
        instruction(load, 0, 0, 4),  # seccomp_data.arch
        instruction(equal, 1, 0, arch),
        instruction(give, 0, 0, kill),
        instruction(load, 0, 0, 0),  # seccomp_data.nr
    ]
    for index, number in enumerate(calls):  # jump over the rest of the list and the denial
        program.append(instruction(equal, len(calls) - index, 0, number))
    return b"".join([*program, instruction(give, 0, 0, deny), instruction(give, 0, 0, allow)])


def filter_installer() -> Callable[[], bool] | None:
    """A function that installs the filter and says whether it holds; None where there is none.

    In two steps, because ``ctypes`` has to be imported while files can be opened.
    """
    program = system_call_filter(os.uname().machine)
    if program is None or not sys.platform.startswith("linux") or sys.maxsize < 2**32:
        return None
    import ctypes

    class Filter(ctypes.Structure):
        _fields_ = [("length", ctypes.c_ushort), ("program", ctypes.c_char_p)]

    prctl = ctypes.CDLL(None).prctl
    chosen = Filter(len(program) // 8, program)
    zeros = (ctypes.c_ulong(0),) * 3

    def install() -> bool:
        prctl(1, ctypes.c_ulong(signal.SIGKILL), *zeros)  # PR_SET_PDEATHSIG: die with the parent
        if prctl(38, ctypes.c_ulong(1), *zeros) != 0:  # PR_SET_NO_NEW_PRIVS
            return False
        # PR_SET_SECCOMP, SECCOMP_MODE_FILTER
        return prctl(22, ctypes.c_ulong(2), ctypes.byref(chosen), *zeros[:2]) == 0

    return install


def close_events() -> None:
    """Where there is no filter: refuse what Python announces (``sys.addaudithook``).

    It keeps a careless program from deleting or signalling; one that means harm gets round it.
    """
    refused = ("os.", "shutil.", "socket.", "subprocess.", "ctypes.", "pty.", "signal.", "open")

    def hook(event: str, _: object, refused: tuple[str, ...] = refused) -> None:
        if event.startswith(refused):
            raise PermissionError(1, f"{event} is not allowed here")

    sys.addaudithook(hook)


def become_nobody() -> None:
    """Limits on processes do not bind root, and files do not refuse it."""
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)


def close_doors(cpu: float, install: Callable[[], bool] | None) -> None:
    """Everything that can wait until the modules are imported."""
    become_nobody()
    limit("RLIMIT_NPROC", 0)
    # 0 and not the number now open: the program could close one of these and open another.
    limit("RLIMIT_NOFILE", 0)
    signal.setitimer(signal.ITIMER_PROF, cpu)  # SIGPROF ends it; RLIMIT_CPU counts whole seconds
    if install is None or not install():
        close_events()


def load(code: object, function: str) -> object:
    """Run the program's top level and return the function; LookupError where there is none."""
    module = type(sys)("solution")
    sys.modules["solution"] = module  # dataclasses look a class's module up
    exec(code, vars(module))
    found = vars(module).get(function)
    if not callable(found):
        raise LookupError(f"the program defines no function {function}")
    return found


def call_all(function: object, inputs: list[list[object]], report: Reporter) -> None:
    """Call the function on each input and send what it returns or raises."""
    for arguments in inputs:
        try:
            report.value(function(*arguments))
        except MemoryError:
            return report.send("limit", OUT_OF_MEMORY)
        except TooLarge as error:
            return report.send("limit", str(error))
        except BaseException as error:  # SystemExit and KeyboardInterrupt are the program's, too
            report.send("failed", describe(error))
    return report.send("end", "")


def redirect() -> dict[str, object]:
    """Read the job from standard input; leave 0, 1, 2 as /dev/null and the pipe as RESULTS."""
    with open(0, "rb", closefd=False) as stream:
        job = marshal.loads(stream.read())
    os.dup2(1, RESULTS)
    empty = os.open(os.devnull, os.O_RDWR)
    for number in range(3):
        os.dup2(empty, number)
    os.closerange(RESULTS + 1, 64)
    return job


def main() -> None:
    """Run one job."""
    job = redirect()
    report = Reporter(job["output_bytes"])
    limit("RLIMIT_CORE", 0)
    limit("RLIMIT_CPU", int(job["cpu_seconds"]) + 1)  # cannot be caught; see also close_doors
    limit("RLIMIT_FSIZE", job["file_bytes"])
    install = filter_installer() if job["use_filter"] else None
    limit("RLIMIT_AS", job["memory_bytes"])
    try:
        code = compile(job["source"], "solution.py", "exec", dont_inherit=True)
        preload(code)
    except MemoryError:
        return report.send("limit", OUT_OF_MEMORY)
    except BaseException as error:
        return report.send("error", describe(error))
    try:
        close_doors(job["cpu_seconds"], install)
    except BaseException as error:
        return report.send("setup", describe(error))
    report.send("ready", "")
    try:
        function = load(code, job["function"])
    except MemoryError:
        return report.send("limit", OUT_OF_MEMORY)
    except LookupError as error:
        return report.send("error", str(error) if type(error) is LookupError else describe(error))
    except BaseException as error:
        return report.send("error", describe(error))
    return call_all(function, job["inputs"], report)


if __name__ == "__main__":
    try:
        main()
    except BaseException:
        os._exit(1)
    os._exit(0)  # without exit handlers and destructors
