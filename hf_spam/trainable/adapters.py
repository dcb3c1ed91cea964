"""LoRA: what trains is a product of two small matrices beside each linear layer, and the head; peft does the work.

The classifier gets its adapters in place, and peft's model around it is what the Trainer takes: its checkpoints then
hold the adapters and the head alone. Everything else goes on with the classifier inside.
"""

import json
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import nn

from ..checkpoint.adapter import (
    ADAPTER_WEIGHTS,
    HEAD,
    LARGEST_ALPHA,
    LARGEST_RANK,
    Adapter,
    adapted_layers,
    adapter_shapes,
    parse_adapter,
    read_adapter_weights,
    require_peft,
    wrap,
)
from ..checkpoint.configuration import ADAPTER_CONFIG, CONFIG
from ..checkpoint.files import find_file
from ..checkpoint.opening import open_checkpoint
from ..conversion.from_own import is_own
from ..data.labels import SINGLE
from ..errors import UserError
from ..model.configuration_spam_gpt import SpamGPTConfig
from ..model.modeling_spam_gpt import SpamGPTForSequenceClassification
from ..system.reading import read_json
from ..values.ranges import Range

RANK = Range(at_least=1, at_most=LARGEST_RANK)
ALPHA = Range(at_least=1, at_most=LARGEST_ALPHA)
LORA_DROPOUT = Range(at_least=0, below=1)
LINEAR_LAYERS = ("W_query", "W_key", "W_value", "out_proj", "layers.0", "layers.2")  # of a block
ALL_LINEAR = "all-linear"
LORA_OPTIONS = ("lora_rank", "lora_alpha", "lora_dropout", "lora_target_modules")
_NAME = re.compile(r"(trf_blocks\.\d{1,4}\.)?((att\.)?(W_query|W_key|W_value|out_proj)|(ff\.)?layers\.[02])", re.ASCII)
_BLOCK = re.compile(r"(trf_blocks\.\d{1,4})\.(?!att\.|ff\.)", re.ASCII)
# What a base may have otherwise than the run: nothing of it changes a score.
_PASSING = {"architectures", "auto_map", "transformers_version", "dtype", "torch_dtype", "drop_rate", "use_cache"}
_PASSING |= {"initializer_range", "_name_or_path", "tie_word_embeddings", "ignore_index"}


@dataclass(frozen=True)
class Lora:
    """The options of a LoRA. The defaults are peft's; its layers are those of the book's appendix E: every linear one.

    Attributes:
        rank: Of the two matrices of each layer.
        alpha: Their product counts alpha / rank.
        dropout: Of what they read, in training.
        target_modules: The adapted layers: `all-linear`, or ends of names, as `W_query` or `trf_blocks.11.layers.0`.

    Raises:
        UserError: If a value is out of its range, or no layer of a block has such a name.
    """

    rank: int = 8
    alpha: int = 8
    dropout: float = 0.0
    target_modules: str = ALL_LINEAR

    def __post_init__(self) -> None:
        RANK.check("lora_rank", self.rank, whole=True)
        ALPHA.check("lora_alpha", self.alpha, whole=True)
        LORA_DROPOUT.check("lora_dropout", self.dropout, whole=False)
        names = self._names
        for name in names:
            if not _NAME.fullmatch(name):
                raise UserError(
                    f"--lora_target_modules: expected {ALL_LINEAR}, or names of linear layers between commas "
                    f"({', '.join(LINEAR_LAYERS)}; trf_blocks.0.out_proj for one block's), found {name!r}."
                )
        if len(set(names)) < len(names):
            raise UserError(f"--lora_target_modules: expected each name once, found {self.target_modules}.")

    @property
    def _names(self) -> list[str]:
        return [name.strip() for name in self.target_modules.split(",")] if self.target_modules != ALL_LINEAR else []

    @property
    def targets(self) -> tuple[str, ...]:
        """The ends of the names of the adapted layers."""
        return tuple(sorted({_full_name(name) for name in self._names})) or LINEAR_LAYERS

    def describe(self, model: nn.Module) -> str:
        """Return one line on the adapters of a model: `wrap_classifier`'s, inside."""
        adapters = [(name, it.numel()) for name, it in model.named_parameters() if ".lora_" in name]
        layers = len({name.rpartition(".lora_")[0] for name, _ in adapters})
        number = sum(count for _, count in adapters)
        return (
            f"lora   {layers} layers get adapters of rank {self.rank}, alpha {self.alpha}: {number:,} parameters; "
            f"they and the head train"
        )


def build_lora(
    rank: int | None, alpha: int | None, dropout: float | None, target_modules: str | None, trainable: str
) -> Lora | None:
    """Return the LoRA that options ask for, if `trainable` is `lora`, after a look whether peft is there.

    Raises:
        UserError: If an option of LoRA is given without it, has no such value, or peft is missing.
    """
    given = {"rank": rank, "alpha": alpha, "dropout": dropout, "target_modules": target_modules}
    options: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    if trainable != "lora":
        if options:
            raise UserError(
                f"--lora_{next(iter(options))}: expected with --trainable lora, found --trainable {trainable}."
            )
        return None
    require_peft("--trainable lora")
    return Lora(**options)


def _full_name(name: str) -> str:
    """Put the layer's part between its block and its own name, as the model has it."""
    part = "att." if name.endswith(("W_query", "W_key", "W_value", "out_proj")) else "ff."
    return _BLOCK.sub(lambda block: f"{block[0]}{part}", name)


def wrap_classifier(model: SpamGPTForSequenceClassification, lora: Lora, seed: int) -> Any:
    """Return peft's model around a classifier, which gets adapters that change nothing yet.

    Args:
        model: Changed in place.
        lora: The options.
        seed: Of the adapters' first matrices. The others are zero.

    Raises:
        UserError: If the model has no layer that one of the names means.
    """
    adapter = Adapter(lora.rank, lora.alpha, lora.targets, "")
    for target in adapter.targets:
        if not adapted_layers(model, (target,)):
            blocks = model.config.n_layers
            raise UserError(f"--lora_target_modules: expected layers of {blocks} blocks, from 0, found {target}.")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return wrap(model, adapter, lora.dropout)


def is_adapted(model: object) -> bool:
    """Tell whether a model is peft's. Nothing is imported for it."""
    peft = sys.modules.get("peft")
    return peft is not None and isinstance(model, peft.PeftModel)


def count_adapters(model: SpamGPTForSequenceClassification, lora: Lora) -> int:
    """Return the parameters that would train: those of the adapters and the head."""
    shapes = adapter_shapes(model, Adapter(lora.rank, lora.alpha, lora.targets, ""), Path(ADAPTER_CONFIG))
    return sum(torch.Size(shape).numel() for shape in shapes.values())


def trained_head(model: SpamGPTForSequenceClassification) -> nn.Linear:
    """Return the head that trains: the model's own, or peft's copy of it."""
    head: Any = model.score
    copies: nn.ModuleDict | None = dict(head.named_children()).get("modules_to_save")
    return head if copies is None else copies["default"]  # type: ignore[return-value]


# --- files -----------------------------------------------------------------------------------------------------------


def save_adapter(wrapped: Any, folder: Path, base: str) -> None:
    """Write `adapter_config.json` and `adapter_model.safetensors`, and nothing else, the same for the same run.

    Args:
        wrapped: peft's model.
        folder: Where they go.
        base: `base_model_name_or_path`, by which peft and transformers find the base.
    """
    # Not by its `save_pretrained`, which writes a README.md, asks the Hub about the base, and lists names in no order.
    import peft

    state = peft.get_peft_model_state_dict(wrapped, save_embedding_layers=False)
    save_file(
        {name: it.detach().cpu().contiguous() for name, it in state.items()},
        folder / ADAPTER_WEIGHTS,
        {"format": "pt"},
    )
    values = wrapped.peft_config["default"].to_dict() | {"base_model_name_or_path": base, "inference_mode": True}
    values |= {"target_modules": sorted(values["target_modules"]), "modules_to_save": [HEAD]}
    values["peft_type"] = values["peft_type"].value
    text = json.dumps(values, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)
    (folder / ADAPTER_CONFIG).write_text(f"{text}\n", encoding="utf-8")


def save_base(model: SpamGPTForSequenceClassification, folder: Path) -> None:
    """Write the classifier that the adapters started from as a checkpoint of ours, without them.

    Args:
        model: Inside peft's model.
        folder: Created.
    """
    state = {}
    for name, tensor in model.state_dict().items():
        if ".lora_" not in name and ".modules_to_save." not in name:
            state[name.replace(".base_layer.", ".").replace(".original_module.", ".")] = tensor.cpu()
    with torch.device("meta"):
        base = SpamGPTForSequenceClassification(model.config)
    base.load_state_dict(state, assign=True)
    base.save_pretrained(folder)


@dataclass(frozen=True)
class Base:
    """A classifier of ours that an adapter names as its base.

    Attributes:
        name: The repository on the Hub, or the folder.
        folder: Where it was read from.
    """

    name: str
    folder: Path


def own_base(source: str, repository: str | None, config: SpamGPTConfig) -> Base | None:
    """Return what an adapter can name as its base: the classifier of ours that a run starts from, if it is the run's.

    Args:
        source: The folder that the weights were read from.
        repository: The one on the Hub that they come from.
        config: The run's.

    Returns:
        `None` if the start is no classifier of ours, or has other labels, another
        pooling rule or another tokenizer's ids.
    """
    folder = Path(source)
    if not folder.is_dir() or find_file(folder, CONFIG) is None or not is_own(folder):
        return None
    opened = open_checkpoint(folder, ("checkpoint", "language model"))
    if opened.kind != "checkpoint" or _facts(SpamGPTConfig.from_fields(opened.config)) != _facts(config):
        return None
    return Base(repository or str(folder.resolve()), folder)


def _facts(config: SpamGPTConfig) -> dict[str, Any]:
    facts = {name: value for name, value in config.to_dict().items() if name not in _PASSING}
    return facts | {"problem_type": config.problem_type or SINGLE}  # which transformers' loss fills in


def read_own_adapter(folder: Path, wrapped: Any) -> dict[str, torch.Tensor]:
    """Return the tensors of the adapter in a checkpoint of a run.

    Raises:
        UserError: If it is of another rank, of other layers or of another model than the run's.
    """
    path = folder / ADAPTER_CONFIG
    found, own = parse_adapter(read_json(path), path), wrapped.peft_config["default"]
    expected = (own.r, float(own.lora_alpha), set(own.target_modules))
    if (found.rank, found.alpha, set(found.targets)) != expected:
        raise UserError(f"{path}: expected the adapters of this run, found others. Name a checkpoint of the same run.")
    return read_adapter_weights(folder, found, wrapped.config)


def restore_adapter(folder: Path, wrapped: Any) -> None:
    """Load the adapter of a checkpoint of a run.

    Raises:
        UserError: See `read_own_adapter`.
    """
    import peft

    peft.set_peft_model_state_dict(wrapped, read_own_adapter(folder, wrapped))
