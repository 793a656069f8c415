"""The figures of a benchmark as tables for people, and against what they should be."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Found = Mapping[str, Any]

# Name, what it should be, and how to read it. They were set for two CPU cores and the shape of
# Qwen2.5-0.5B, and are ratios within one run.
AIMS: tuple[tuple[str, str, float, Callable[[Found], float]], ...] = (
    ("merged decoding, one row, against the base", ">=", 0.97,
     lambda f: f["decode_1"]["merged"]["speed"]),
    ("factored decoding, one row, against the base", ">=", 0.75,
     lambda f: f["decode_1"]["factored"]["speed"]),
    ("factored decoding, 16 rows, against the base", ">=", 0.80,
     lambda f: f["decode_16"]["factored"]["speed"]),
    ("16 rows with 16 mixes, against one mix", ">=", 0.97,
     lambda f: f["decode_16"]["factored"]["seconds"]
     / f["decode_16"]["factored, 16 mixes"]["seconds"]),
    ("switching a mix, factored, milliseconds", "<=", 1.0,
     lambda f: 1e3 * f["switch"]["factored"]["seconds"]),
    ("switching, times faster than the reference's way", ">=", 1000,
     lambda f: f["switch"]["times_faster"]),
    ("factoring, times faster than the reference's svd", ">=", 4,
     lambda f: f["factor"]["times_faster"]),
    ("factoring, peak extra memory in largest matrices (float32)", "<=", 3,
     lambda f: f["factor"]["peak_extra_matrices"]),
    ("first pass, share of the answer's time", "<=", 0.10,
     lambda f: f["first_pass"]["share_of_answer"]),
    ("Llama-3-8B: NF4 base, factors in NF4, share of bfloat16", "<=", 0.5,
     lambda f: f["nf4_at_8b"]["share_of_bfloat16"]["factors in NF4"]),
)  # fmt: skip


def aims(found: Found) -> list[dict[str, Any]]:
    """Each aim with the figure that was measured and whether it is met."""
    rows = []
    for name, sign, limit, read in AIMS:
        value = read(found)
        met = value >= limit if sign == ">=" else value <= limit
        rows.append(
            {"what": name, "aim": f"{sign} {limit:g}", "value": round(value, 4), "met": met}
        )
    return rows


def markdown(found: Found) -> str:
    """Every table."""
    about = found["about"]
    versions = ", ".join(f"{name} {value}" for name, value in about["versions"].items())
    head = (
        f"{about['model']} in {about['precision']} on {about['device']} ({about['processor']}, "
        f"{about['threads']} threads; --factors {about['factors']}), {about['date']}; {versions}. "
        f"Medians of {about['rounds']} rounds in which all ways take turns, quartiles in brackets."
    )
    parts = [head, _ways(found), _once(found), _errors(found), _aims(found)]
    return "\n\n".join(parts)


def _ways(found: Found) -> str:
    """One row for each way to run a mix."""
    columns = {
        "a step, one row": "decode_1",
        "a step, 16 rows": "decode_16",
        f"prefill, {found['prefill']['tokens']} tokens": "prefill",
    }
    beside = {
        "base, packed": found["megabytes"]["packed copy of the weights"],
        "factored": found["megabytes"]["factored: factors"],
        "merged": found["megabytes"]["merged: one mix"],
        "LoRA r=16": found["megabytes"]["LoRA r=16"],
    }
    switch = {name: _time(found["switch"][name]) for name in ("factored", "merged")}
    rows = []
    for name in found["decode_16"]:
        cells = [_cell(found[key].get(name)) for key in columns.values()]
        memory = f"{beside[name]:,.0f} MB" if name in beside else ""
        rows.append([name, *cells, switch.get(name, ""), memory])
    rows.append(["reference: rebuild from U, S, V", "as base", "as base", "as base",
                 _time(found["switch"]["reference"]),
                 f"{found['megabytes']['reference: U, S, V']:,.0f} MB"])  # fmt: skip
    weights = f"memory beside the weights ({found['megabytes']['weights']:,.0f} MB)"
    return _table(["", *columns, "switching a mix", weights], rows)


def _once(found: Found) -> str:
    factor, first = found["factor"], found["first_pass"]
    rows = [
        ["factoring one block", _seconds(factor["one block"])],
        ["the same with svd, as the reference does",
         _seconds(factor["one block, reference's svd"])],
        ["first pass", _time(first["first pass"])],
        [f"answer of {first['tokens']} tokens", _time(first["answer"])],
    ]  # fmt: skip
    for name, size in found["nf4_at_8b"]["gigabytes"].items():
        rows.append([f"{found['nf4_at_8b']['model']}, counted: {name}", f"{size:.2f} GB"])
    return _table(["once", "time or memory"], rows)


def _errors(found: Found) -> str:
    rows = [[name, f"{100 * value:.2f} %"] for name, value in found["relative_error"].items()]
    return _table(["output of one layer", "relative error against the rebuilt weight"], rows)


def _aims(found: Found) -> str:
    rows = [
        [row["what"], row["aim"], f"{row['value']:g}", "yes" if row["met"] else "**no**"]
        for row in aims(found)
    ]
    return _table(["aim", "wanted", "measured", "met"], rows)


def _cell(times: Found | None) -> str:
    return "" if times is None else f"{_time(times)}: {times['speed']:.2f} x"


def _time(times: Found) -> str:
    """``52.1 ms (51.8-53.0)``."""
    return _seconds(times) if times["seconds"] >= 1 else _spread(times, "ms", 1e3)


def _seconds(times: Found) -> str:
    """``0.521 s (0.518-0.53)``, also where that is short."""
    return _spread(times, "s", 1)


def _spread(times: Found, unit: str, scale: float) -> str:
    value, low, high = (scale * times[key] for key in ("seconds", "low", "high"))
    return f"{value:.3g} {unit} ({low:.3g}-{high:.3g})"


def _table(titles: list[str], rows: list[list[str]]) -> str:
    lines = [titles, ["---"] * len(titles), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
