"""Expert vectors of the paper's own code (SakanaAI/self-adaptive-llms), as experts of t2app.

It stores an unbounded ``p`` (r,) for each weight whose name holds ``mlp``, scales the singular
values by ``mm = sigmoid(p) * max_mult`` and rescales the matrix to keep the sum of its singular
values, so ``z = mm * sum(sigma) / sum(sigma * mm)``: ``max_mult`` cancels out. Every other matrix
keeps ``z = 1``. Two kinds of file hold these vectors: ``policy_params.pt``, a list in model order,
and ``learnable_params.pt``, a dict by weight. Neither says which model it was trained on: names and
sizes are checked, the model cannot be. The reference rounds ``mm`` to bfloat16, here it is float32.
Not covered: its few-shot mixes, and its LoRA adapters.
"""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import torch
from torch import Tensor

from t2app import __version__
from t2app.errors import T2Error
from t2app.svf.expert import Expert

SUFFIX = ".pt"
LISTED = "learnable_params_module_list."
MIXED = "adaptive_weights"
ADAPTED = "mlp"
SOURCE = "SakanaAI/self-adaptive-llms"


def load(path: Path, sigma: Mapping[str, Tensor], base: str, name: str) -> Expert:
    """The expert in a ``.pt`` file of the reference, for the model with singular values ``sigma``.

    ``sigma`` is (r,) by module name, in model order. Nothing in the file is executed. ``T2Error``
    for a file that holds anything but such vectors, or vectors for another model.
    """
    path = Path(path)
    values = _by_matrix(path, _tensors(path), [key for key in sigma if ADAPTED in key])
    z = {key: torch.ones(len(s), dtype=torch.float32) for key, s in sigma.items()}
    for key, p in values.items():
        _check(path, key, p, sigma)
        z[key] = scale(p, sigma[key])
    header = {
        "description": f"imported from {path.name} of {SOURCE}",
        "base": base,
        "objective": "rl",
        "source": {"project": SOURCE, "file": path.name, "sha256": _sha256(path)},
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {"t2app": __version__, "torch": torch.__version__},
    }
    return Expert(name, z, header)


def scale(p: Tensor, sigma: Tensor) -> Tensor:
    """``z`` (r,) of the reference's parameter ``p`` (r,) for singular values ``sigma`` (r,)."""
    mask = p.detach().double().cpu().sigmoid()
    s = sigma.detach().double().cpu()
    return (mask * s.sum() / (s * mask).sum()).float()


def _tensors(path: Path) -> dict[str, Tensor]:
    """The file as tensors by name, or ``T2Error``."""
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise T2Error(f"no file at {path}: check the name") from None
    except pickle.UnpicklingError:
        raise T2Error(
            f"{path.name} holds more than tensors and was not opened, as it could run code: "
            "choose the policy_params.pt or learnable_params.pt of a training run"
        ) from None
    except Exception as error:  # torch raises whatever its zip and pickle readers do
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise T2Error(f"cannot read {path.name}: {reason[:120]}; get the file again") from error
    tensors = isinstance(found, Mapping) and all(isinstance(v, Tensor) for v in found.values())
    if not tensors or not found:
        raise T2Error(f"{path.name} is no dict of tensors: {_WANTED}")
    return {str(key): value for key, value in found.items()}


_WANTED = f"choose a policy_params.pt or learnable_params.pt of {SOURCE}"


def _by_matrix(path: Path, found: Mapping[str, Tensor], adapted: list[str]) -> dict[str, Tensor]:
    """The vectors by module name; ``adapted`` are this model's, in the order of its layers."""
    if MIXED in found:
        raise T2Error(
            f"{path.name} is a mix that a few-shot search found, not an expert: import the experts "
            "it was made of, and search the mix here"
        )
    if all(key.startswith(LISTED) for key in found):
        if sorted(found) != sorted(f"{LISTED}{i}" for i in range(len(adapted))):
            raise T2Error(
                f"{path.name} has vectors for {len(found)} matrices, this model has "
                f"{len(adapted)} called {ADAPTED}: it was trained on another model"
            )
        return {key: found[f"{LISTED}{i}"] for i, key in enumerate(adapted)}
    named = {key.removesuffix(".weight"): value for key, value in found.items()}
    foreign = sorted(set(named) - set(adapted))
    if foreign:
        raise T2Error(
            f"{path.name} has a vector for {foreign[0]}, which is no {ADAPTED} matrix of this "
            f"model: it was trained on another model, or {_WANTED}"
        )
    return named


def _check(path: Path, key: str, p: Tensor, sigma: Mapping[str, Tensor]) -> None:
    wanted = len(sigma[key])
    if p.shape != (wanted,) or not p.is_floating_point():
        raise T2Error(
            f"{path.name} has {tuple(p.shape)} values for {key}, this model needs ({wanted},): "
            "it was trained on another model"
        )
    if not torch.isfinite(p).all():
        raise T2Error(f"{path.name}: {key} holds NaN or infinity; choose an earlier checkpoint")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
