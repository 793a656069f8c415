"""What an expert keeps on another quantisation of its model: the built-in experts, measured.

Run with ``python benchmarks/requantised.py``; prints one JSON object. The built-in model is packed
as GGUF packs weights and unpacked again, factored anew, and given the vectors that were trained on
the original. Beside the accuracy stands how far apart the changes of the weights are, and how far
the largest singular values. Not covered: quantisations that the package ``gguf`` cannot make (all
of the K family), and other models.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch
from gguf import GGMLQuantizationType, quants
from safetensors.torch import load_file, save_file

KINDS = ("original", "Q8_0", "Q5_1", "Q5_0", "Q4_1", "Q4_0")


def packed(source: Path, folder: Path, kind: str) -> float:
    """Write the model with its matrices packed and unpacked; the relative error of these."""
    shutil.copytree(source, folder)
    path = folder / "model.safetensors"
    tensors, error, whole = load_file(path), 0.0, 0.0
    for name, tensor in tensors.items():
        if kind == "original" or tensor.dim() != 2:
            continue
        wanted = GGMLQuantizationType[kind]
        values = tensor.float().numpy()
        tensors[name] = torch.from_numpy(quants.dequantize(quants.quantize(values, wanted), wanted))
        error += (tensors[name] - tensor.float()).square().sum().item()
        whole += tensor.float().square().sum().item()
    save_file(tensors, path, {"format": "pt"})
    return (error / whole) ** 0.5 if whole else 0.0


def change(engine, delta: torch.Tensor) -> dict[str, torch.Tensor]:
    """``Q diag(delta) Q^T`` of each matrix: what the expert does to its input or output."""
    found = {}
    for name, part in engine.svf.layout.split(delta).items():
        basis = engine.factors_of[name].basis.float()
        found[name] = (basis * part) @ basis.t()
    return found


def main() -> None:
    """Measure every way to pack."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=200, help="problems of each task")
    args = parser.parse_args()
    from t2app import config, models
    from t2app.engine import Engine
    from t2app.evaluation import measure
    from t2app.svf import expert as expert_file
    from t2app.tasks import TASKS

    names = ("math", "code", "reasoning")
    experts = {n: expert_file.load(config.ROOT / f"experts/tiny/{n}.safetensors") for n in names}
    rows, first = [], None
    with tempfile.TemporaryDirectory() as work:
        os.environ["T2APP_EXPERTS"] = str(Path(work) / "none")
        for kind in KINDS:
            folder = Path(work) / f"packed-{kind}"
            error = packed(config.TINY_DIR, folder, kind)
            base = models.load(str(folder), "none", "cpu")
            found = models.factors(base)
            engine = Engine(base, found)
            engine.factors_of = found
            deltas = {n: e.delta(engine.svf.layout.names) for n, e in experts.items()}
            changes = {n: change(engine, d) for n, d in deltas.items()}
            tops = {n: s[0].item() for n, s in engine.sigma.items()}
            first = first or (changes, tops)
            row = {"weights": kind, "error of the weights": round(error, 5)}
            row["largest singular values, median difference"] = round(
                statistics.median(abs(tops[n] / first[1][n] - 1) for n in tops), 5
            )
            for name in names:
                apart = [
                    ((c - first[0][name][m]).norm() / first[0][name][m].norm()).item()
                    for m, c in changes[name].items()
                ]
                problems = TASKS[name].problems("test", args.n, 7)
                row[name] = {
                    "change of weights, difference": round(statistics.mean(apart), 3),
                    "base": measure.accuracy(engine, TASKS[name], problems, None).accuracy,
                    "expert": measure.accuracy(
                        engine, TASKS[name], problems, deltas[name]
                    ).accuracy,
                }
            rows.append(row)
            print(json.dumps(row), file=sys.stderr, flush=True)
            engine.svf.remove()
    print(json.dumps({"n": args.n, "rows": rows}))


if __name__ == "__main__":
    main()
