"""The options of LoRA."""

from dataclasses import dataclass

from ..options import MODEL, option
from .adapters import ALPHA, LORA_DROPOUT, RANK, Lora, build_lora


@dataclass
class AdapterArguments:
    """Which adapters train with `--trainable lora`."""

    lora_rank: int | None = option(
        None, "With --trainable lora: rank of the adapters (default: 8).", MODEL, range=RANK
    )
    lora_alpha: int | None = option(None, "They count alpha / rank (default: 8).", MODEL, range=ALPHA)
    lora_dropout: float | None = option(None, "Dropout before them (default: 0).", MODEL, range=LORA_DROPOUT)
    lora_target_modules: str | None = option(
        None,
        "Layers with adapters: all-linear, or names between commas: W_query,W_key,W_value,out_proj,layers.0,layers.2 "
        "(default: all-linear).",
        MODEL,
        "NAMES",
    )

    def build_lora(self, trainable: str) -> Lora | None:
        """Return the adapters that the options ask for; see `adapters.build_lora`."""
        return build_lora(self.lora_rank, self.lora_alpha, self.lora_dropout, self.lora_target_modules, trainable)
