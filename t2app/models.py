"""Loading a base model, and the factors of its original weights.

The built-in model, a local folder or a Hugging Face hub id, in full precision or quantised. This is
the only place that knows bitsandbytes. Not covered: checkpoints that are quantised already, pickled
weights, models that need code from their repository.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
import transformers
from huggingface_hub import snapshot_download
from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError
from safetensors import safe_open
from torch import Tensor
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    BitsAndBytesConfig,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from t2app import config as paths
from t2app.errors import T2Error
from t2app.svd.cache import Progress, dense_weight, load_or_compute
from t2app.svd.factor import Factor
from t2app.svd.modules import adapted_modules, module_shape, unadapted

QUANTS = ("auto", "nf4", "int8", "none")
CAUSAL_SUFFIXES = ("ForCausalLM", "LMHeadModel", "ForConditionalGeneration")
WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class BaseModel:
    """A frozen model, ready to run, and what identifies it.

    ``base`` names the exact weights: ``NAME@`` and the start of their SHA-256, or hub id and
    revision; experts carry it. ``context`` is the longest sequence in tokens.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    name: str
    base: str
    device: torch.device
    precision: str
    context: int
    folder: Path


def load(name: str = paths.TINY, quant: str = "auto", device: str = "auto") -> BaseModel:
    """Load ``"tiny"``, a local folder or a hub id; ``T2Error`` says what is wrong with it.

    ``quant``: ``auto`` is NF4 on a GPU and none on a CPU (where NF4 is slower) and for the built-in
    model; ``none`` is bfloat16, float32 for the built-in model. ``device``: ``auto`` is the GPU if
    there is one.
    """
    place = _device(device)
    folder, label, revision = _locate(name)
    precision = _precision(label, quant, place)
    files = _weight_files(folder)
    _read_headers(files)
    config = _config(folder)
    tokenizer = _tokenizer(folder)
    model = _model(folder, config, label, precision, place)
    return BaseModel(
        model=model,
        tokenizer=tokenizer,
        name=label,
        base=f"{label}@{revision or _digest(files)[:12]}",
        device=place,
        precision=precision,
        context=config.get_text_config(decoder=True).max_position_embeddings,
        folder=folder,
    )


def factors(base: BaseModel, progress: Progress | None = None) -> dict[str, Factor]:
    """Factors of the original weights, never of quantised ones, from the cache if it has them.

    The same for every precision of one model, so that an expert trained on NF4 also fits bfloat16.
    ``T2Error`` if the cache cannot be written.
    """
    dtype = _dtype(base.name)
    key = f"{base.base}-{str(dtype).removeprefix('torch.')}"
    quantised = base.precision in ("nf4", "int8")
    return load_or_compute(base.model, key, progress, _Originals(base) if quantised else None)


class _Originals:
    """The full-precision matrices of a quantised model, read from its checkpoint when asked for."""

    def __init__(self, base: BaseModel) -> None:
        self._base = base
        self._modules = adapted_modules(base.model)

    def __call__(self, name: str) -> Tensor:
        found = self._from_file(name)
        if found is None:
            found = dense_weight(self._plain.get_submodule(name))
        return found.to(device=self._base.device, dtype=_dtype(self._base.name))

    def _from_file(self, name: str) -> Tensor | None:
        """The matrix (m, n), if the checkpoint has it under the live name and in that shape."""
        module = self._modules[name]
        short = name.removeprefix(f"{self._base.model.base_model_prefix}.")
        for key in (f"{name}.weight", f"{short}.weight"):
            if key not in self._index:
                continue
            with safe_open(self._index[key], framework="pt") as file:
                tensor = file.get_tensor(key)
            # Set by transformers on what it replaced: GPT-2's layers are stored transposed.
            if module.source_cls is transformers.pytorch_utils.Conv1D:
                tensor = tensor.t()
            return tensor if tensor.shape == module_shape(module) else None
        return None

    @cached_property
    def _index(self) -> dict[str, Path]:
        return _read_headers(_weight_files(self._base.folder))

    @cached_property
    def _plain(self) -> PreTrainedModel:
        """The whole model on the CPU: only transformers knows how it renames and fuses weights."""
        config = _config(self._base.folder)
        return _from_pretrained(self._base.folder, config, _dtype(self._base.name), None, "cpu")


def _dtype(label: str) -> torch.dtype:
    return torch.float32 if label == paths.TINY else torch.bfloat16


def _device(device: str) -> torch.device:
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        place = torch.device(device)
    except RuntimeError:
        place = None
    if place is None or place.type not in ("cpu", "cuda"):
        raise T2Error(f"unknown device {device!r}: choose auto, cpu or cuda")
    if place.type == "cuda" and not torch.cuda.is_available():
        raise T2Error(f"device {device!r} was asked for but no CUDA GPU is usable: choose cpu")
    if place.type == "cuda" and (place.index or 0) >= torch.cuda.device_count():
        raise T2Error(f"device {device!r} does not exist: there are {torch.cuda.device_count()}")
    return place


def _precision(label: str, quant: str, place: torch.device) -> str:
    if quant not in QUANTS:
        raise T2Error(f"unknown quantisation {quant!r}: choose from {', '.join(QUANTS)}")
    plain = str(_dtype(label)).removeprefix("torch.")
    installed = importlib.util.find_spec("bitsandbytes") is not None
    if quant == "none" or (quant == "auto" and (label == paths.TINY or place.type == "cpu")):
        return plain
    if quant == "auto" and not installed:
        log.warning("bitsandbytes is not installed: %s is loaded in %s", label, plain)
        return plain
    if not installed:
        raise T2Error(f"{quant} needs bitsandbytes: pip install bitsandbytes, or use --quant none")
    return "nf4" if quant == "auto" else quant


def _locate(name: str) -> tuple[Path, str, str | None]:
    """Folder, label and (hub) revision of a model."""
    folder = Path(name).expanduser()
    if name == paths.TINY or (name and folder.resolve() == paths.TINY_DIR.resolve()):
        if not paths.TINY_DIR.is_dir():
            raise T2Error(f"no built-in model in {paths.TINY_DIR}: run python -m t2app pretrain")
        return paths.TINY_DIR, paths.TINY, None
    if name.strip() and folder.is_dir():
        return folder, folder.resolve().name, None
    if name.strip() and folder.exists():
        raise T2Error(f"{name!r} is not a folder: give the folder that holds config.json")
    if not name.strip() or name.startswith((".", "~", "/")) or "\\" in name or name.count("/") > 1:
        raise T2Error(f"no model folder {name!r}: give tiny, a folder or a Hugging Face model id")
    folder = _download(name)
    return folder, name, folder.name


def _download(name: str) -> Path:
    """Snapshot of a hub model, of which pickled weights are never fetched."""
    try:
        folder = snapshot_download(
            name,
            allow_patterns=["*.safetensors", "*.json", "*.txt", "*.model", "*.jinja"],
            ignore_patterns=["consolidated*", "original/*", "onnx/*"],
        )
    except GatedRepoError as error:
        raise T2Error(
            f"model {name!r} is gated: accept its licence on huggingface.co, then hf auth login"
        ) from error
    except RepositoryNotFoundError as error:
        raise T2Error(f"no model {name!r} on the Hugging Face hub: check the spelling") from error
    except Exception as error:
        # The client passes on whatever its network stack raises, with no common class.
        raise T2Error(
            f"model {name!r} is no local folder, and the Hugging Face hub gave "
            f"{_first_line(error)}; check the connection or give a folder"
        ) from error
    return Path(folder)


def _weight_files(folder: Path) -> list[Path]:
    """The safetensors files of a checkpoint, sorted; ``T2Error`` if one or all are missing."""
    if not (folder / "config.json").is_file():
        raise T2Error(f"{folder} has no config.json: give the folder of a Hugging Face model")
    if (folder / INDEX).is_file():
        names = set(_json(folder / INDEX).get("weight_map", {}).values())
        files = [folder / Path(name).name for name in sorted(names)]
    else:
        files = [folder / WEIGHTS]
    missing = [file.name for file in files if not file.is_file()]
    if files and not missing:
        return files
    raise _no_weights(folder, missing)


def _no_weights(folder: Path, missing: list[str]) -> T2Error:
    """The error for a checkpoint whose safetensors files are not there."""
    pickled = [file.name for kind in ("*.bin", "*.pt", "*.pth") for file in folder.glob(kind)]
    if pickled and not (folder / INDEX).is_file():
        return T2Error(
            f"{folder} has only pickled weights ({pickled[0]}), which can run code when they are "
            "loaded: convert them to safetensors"
        )
    names = ", ".join(missing[:3]) or WEIGHTS
    return T2Error(f"{folder} lacks its weights ({names}): get them again")


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise T2Error(f"cannot read {path}: {_first_line(error)}; get it again") from error
    if not isinstance(content, dict):
        raise T2Error(f"cannot read {path}: it holds no JSON object; get it again")
    return content


def _read_headers(files: list[Path]) -> dict[str, Path]:
    """File of each tensor; ``T2Error`` if a file does not hold every byte its header promises."""
    index = {}
    for path in files:
        try:
            with path.open("rb") as file:
                length = int.from_bytes(file.read(8), "little")
                size = path.stat().st_size
                header = json.loads(file.read(length)) if length < size else None
            header.pop("__metadata__", None)
            end = max(entry["data_offsets"][1] for entry in header.values())
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise T2Error(f"{path} is not a whole safetensors file: download it again") from error
        if 8 + length + end != size:
            raise T2Error(
                f"{path} is truncated: {size} bytes of {8 + length + end}; download it again"
            )
        index.update(dict.fromkeys(header, path))
    return index


def _digest(files: list[Path]) -> str:
    """SHA-256 of the weights: of the file, or of the files' digests where there are several."""
    digests = []
    for path in files:
        with path.open("rb") as file:
            digests.append(hashlib.file_digest(file, "sha256").hexdigest())
    if len(digests) == 1:
        return digests[0]
    return hashlib.sha256("".join(digests).encode()).hexdigest()


def _config(folder: Path) -> PreTrainedConfig:
    """Configuration of a decoder-only language model, else ``T2Error``."""
    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True)
    except Exception as error:
        # A wrong value in config.json surfaces as nearly any exception.
        raise T2Error(f"cannot use {folder / 'config.json'}: {_first_line(error)}") from error
    kinds = config.architectures or []
    causal = type(config) in transformers.MODEL_FOR_CAUSAL_LM_MAPPING
    if config.is_encoder_decoder or not causal or not _is_causal(kinds):
        kind = ", ".join(kinds) or config.model_type
        raise T2Error(f"{folder} is no decoder-only language model ({kind}): choose a chat model")
    if getattr(config, "quantization_config", None) is not None:
        raise T2Error(
            f"{folder} is quantised already, so its original weights cannot be factored: "
            "give the full-precision checkpoint with --quant nf4"
        )
    return config


def _is_causal(architectures: list[str]) -> bool:
    return not architectures or any(name.endswith(CAUSAL_SUFFIXES) for name in architectures)


def _tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except Exception as error:
        raise T2Error(f"{folder} has no usable tokenizer: {_first_line(error)}") from error
    if not tokenizer.chat_template:
        raise T2Error(f"{folder} has no chat template: choose an instruction-tuned (chat) model")
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    tokenizer.padding_side = "left"
    return tokenizer


def _model(
    folder: Path, config: PreTrainedConfig, label: str, precision: str, place: torch.device
) -> PreTrainedModel:
    """The frozen model in evaluation mode."""
    quantised = precision in ("nf4", "int8")
    dtype = torch.bfloat16 if quantised else _dtype(label)
    model = _from_pretrained(folder, config, dtype, _quantisation(precision), place)
    model.eval().requires_grad_(False)
    adapted_modules(model)
    skipped = unadapted(model)
    if skipped:
        log.warning("%d weights of %s are not adapted, first %s", len(skipped), label, skipped[0])
    if quantised and place.type == "cpu":
        _keep_unpacked(model)
    return model


def _from_pretrained(
    folder: Path,
    config: PreTrainedConfig,
    dtype: torch.dtype,
    quantisation: BitsAndBytesConfig | None,
    place: torch.device | str,
) -> PreTrainedModel:
    """``AutoModelForCausalLM.from_pretrained``; any failure, missing weights too, is one line."""
    extra = {} if quantisation is None else {"quantization_config": quantisation}
    try:
        with _quiet():
            model, info = AutoModelForCausalLM.from_pretrained(
                folder,
                config=config,
                dtype=dtype,
                device_map={"": place},
                use_safetensors=True,
                local_files_only=True,
                output_loading_info=True,
                **extra,
            )
    except torch.OutOfMemoryError as error:
        raise T2Error(f"{folder} does not fit on {place}: choose a smaller model or nf4") from error
    except Exception as error:
        # transformers raises nearly any exception for weights that do not match the configuration.
        raise T2Error(f"cannot load {folder}: {_first_line(error)}") from error
    missing = sorted(info["missing_keys"])
    if missing:
        raise T2Error(
            f"{folder} lacks {len(missing)} weights of its model, first {missing[0]}: get it again"
        )
    return model


def _quantisation(precision: str) -> BitsAndBytesConfig | None:
    if precision == "nf4":
        return BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=torch.bfloat16,
        )
    return BitsAndBytesConfig(load_in_8bit=True) if precision == "int8" else None


def _keep_unpacked(model: PreTrainedModel) -> None:
    """Stop bitsandbytes from repacking 4-bit weights at the first evaluation on a CPU.

    On processors with AVX512-BF16 it reorders the weight in place for a faster product that has no
    gradient: whatever runs through it afterwards passes none on to delta, without an error.
    """
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False


@contextmanager
def _quiet() -> Iterator[None]:
    """No reports and bars from transformers: what matters becomes one line of a ``T2Error``."""
    logs = transformers.utils.logging
    level = logs.get_verbosity()
    bar = logs.is_progress_bar_enabled()
    logs.set_verbosity_error()
    logs.disable_progress_bar()
    try:
        yield
    finally:
        logs.set_verbosity(level)
        if bar:
            logs.enable_progress_bar()


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0].rstrip('.')}" if lines else type(error).__name__
