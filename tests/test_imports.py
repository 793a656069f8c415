"""The order in which parts may import each other, read from the source."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# A part imports parts further up, and its own modules.
LEVELS = (
    {"t2app", "config", "errors", "files", "identity"},
    {"svd"},
    {"svf"},
    {"models"},
    {"engine"},
    {
        "tasks",
        "data",
        "adapt",
        "training",
        "evaluation",
        "exchange",
        "export",
        "tiny",
        "vllm_plugin",
    },  # these import each other, but in no circle
    {"cli", "ui", "server", "__main__"},
    {"app"},
)
LEVEL = {part: number for number, parts in enumerate(LEVELS) for part in parts}
SIDE_BY_SIDE = (LEVEL["tasks"], LEVEL["cli"])


def sources() -> list[Path]:
    """Every file of the program."""
    return sorted((ROOT / "t2app").rglob("*.py")) + [
        path for path in [ROOT / "app.py"] if path.exists()
    ]


def part_of(module: str) -> str:
    """``t2app.svf.mixing`` belongs to ``svf``."""
    names = module.split(".")
    return names[1] if names[0] == "t2app" and len(names) > 1 else names[0]


def module_name(path: Path) -> str:
    """``t2app/svf/mixing.py`` is ``t2app.svf.mixing``."""
    names = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(names[:-1] if names[-1] == "__init__" else names)


@cache
def imports(path: Path) -> frozenset[str]:
    """Modules that a file imports anywhere, inside functions too."""
    package = module_name(path).split(".")
    if path.name != "__init__.py":
        package.pop()
    return frozenset(_imports(ast.parse(path.read_text("utf-8")), package))


def _imports(tree: ast.Module, package: list[str]) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            start = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*start, *(node.module or "").split(".")]).strip(".")
            if module == "t2app":  # `from t2app import engine` imports a part
                yield from (f"t2app.{a.name}" for a in node.names if a.name in LEVEL)
            yield module


def part_imports() -> dict[str, set[str]]:
    """For each part the parts that it imports."""
    graph: dict[str, set[str]] = {}
    for path in sources():
        part = part_of(module_name(path))
        found = {part_of(name) for name in imports(path) if name.split(".")[0] == "t2app"}
        graph.setdefault(part, set()).update(found - {part, "t2app"})
    return graph


def importers(library: str) -> set[str]:
    """Modules that import a library."""
    return {
        module_name(path)
        for path in sources()
        if any(name.split(".")[0] == library for name in imports(path))
    }


def test_every_part_has_a_place_in_the_order() -> None:
    assert set(part_imports()) <= set(LEVEL)


@pytest.mark.parametrize("part", sorted(LEVEL))
def test_imports_flow_one_way(part: str) -> None:
    for other in part_imports().get(part, ()):
        beside = LEVEL[part] == LEVEL[other] and LEVEL[part] in (0, *SIDE_BY_SIDE)
        assert LEVEL[other] < LEVEL[part] or beside, f"{part} imports {other}"


def test_parts_side_by_side_import_in_no_circle() -> None:
    try:
        TopologicalSorter(part_imports()).prepare()
    except CycleError as error:
        pytest.fail(f"imports go in a circle: {' -> '.join(error.args[1])}")


def test_tasks_never_see_a_model() -> None:
    assert part_imports()["tasks"] <= {"config", "errors"}


def test_only_the_page_imports_gradio() -> None:
    assert {part_of(module) for module in importers("gradio")} <= {"ui", "app"}


def test_only_the_server_imports_its_libraries() -> None:
    for library in ("fastapi", "uvicorn", "starlette", "prometheus_client"):
        assert {part_of(module) for module in importers(library)} <= {"server"}


def test_only_models_imports_bitsandbytes() -> None:
    assert importers("bitsandbytes") <= {"t2app.models"}


def test_the_package_itself_imports_nothing_large() -> None:
    code = "import sys, t2app; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    assert not {"gradio", "bitsandbytes", "torch", "transformers", "plotly"} & set(loaded)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import t2app.engine", {"t2app.engine"}),
        ("from t2app import engine, __version__", {"t2app", "t2app.engine"}),
        ("def f():\n    import gradio as gr", {"gradio"}),
        ("from . import mixing", {"t2app.svf"}),
        ("from .. import engine", {"t2app", "t2app.engine"}),
        ("from ..engine import Engine", {"t2app.engine"}),
    ],
)
def test_how_imports_are_read(source: str, expected: set[str]) -> None:
    assert set(_imports(ast.parse(source), ["t2app", "svf"])) == expected
