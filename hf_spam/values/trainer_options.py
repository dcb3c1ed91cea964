"""The Trainer's own options: the ranges of those that work here, and why others have only one value."""

from collections.abc import Mapping
from typing import Any

from ..errors import UserError
from .ranges import COUNT, SEED, SHARE, Range

STEPS = Range(above=0, at_most=10**9, share=True)
_BETA = Range(at_least=0, below=1)
RANGES: dict[str, Range] = {
    "adam_beta1": _BETA,
    "adam_beta2": _BETA,
    "adam_epsilon": Range(above=0, at_most=1000),  # at 0, what has no gradient would become NaN
    "label_smoothing_factor": SHARE,
    "torch_empty_cache_steps": COUNT,
    "logging_steps": STEPS,
    "eval_steps": STEPS,
    "eval_delay": Range(at_least=0, at_most=10**9),
    "eval_accumulation_steps": COUNT,
    "data_seed": SEED,
    "dataloader_num_workers": Range(at_least=0, at_most=256),
    "dataloader_prefetch_factor": Range(at_least=1, at_most=1000),
    "ddp_bucket_cap_mb": Range(at_least=1, at_most=10**6),
    "warmup_ratio": SHARE,  # only in older releases
}

# The only value, besides its default, that an option can have here, and why.
_HALVES = "it would leave the saved weights in half the precision"
_COMPILING = "torch.compile does not make this model faster: see the package's README"
_NO_LIGER = "there are no Liger kernels for this model"
_LAUNCHED = "the launcher has connected the processes before"
FIXED: dict[str, tuple[Any, str]] = {
    "do_train": (True, "a run trains"),
    "do_eval": (True, "a run evaluates every split"),
    "do_predict": (True, "a run evaluates every split"),
    "hub_strategy": ("end", "a run is pushed when it is finished"),
    "hub_always_push": (False, "a run is pushed when it is finished"),
    "prediction_loss_only": (False, "the report needs the predictions"),
    "batch_eval_metrics": (False, "the metrics are of the whole split"),
    "eval_do_concat_batches": (True, "the metrics are of the whole split"),
    "eval_use_gather_object": (False, "the predictions are tensors"),
    "include_for_metrics": ([], "the metrics read predictions and labels alone"),
    "label_names": (None, "the model's are known"),
    "length_column_name": ("length", "there is no such column: lengths are counted"),
    "auto_find_batch_size": (False, "the batch belongs to the recipe: choose --per_device_train_batch_size"),
    "fp16_full_eval": (False, _HALVES),
    "bf16_full_eval": (False, _HALVES),
    "torch_compile": (False, _COMPILING),
    "torch_compile_backend": (None, _COMPILING),
    "torch_compile_mode": (None, _COMPILING),
    "use_liger_kernel": (False, _NO_LIGER),
    "liger_kernel_config": (None, _NO_LIGER),
    "use_cache": (False, "a classifier reads one position and keeps no keys and values"),
    "neftune_noise_alpha": (None, "the cached output of the frozen blocks never passes the embeddings"),
    "save_only_model": (False, "a checkpoint here is there to resume from"),
    "enable_jit_checkpoint": (False, "SIGTERM saves a checkpoint anyway"),
    "parallelism_config": (None, "only FSDP and DeepSpeed divide this model"),
    "ddp_backend": (None, _LAUNCHED),
    "ddp_timeout": (1800, _LAUNCHED),
    "local_rank": (-1, _LAUNCHED),
}


def refuse_fixed(given: Mapping[str, Any]) -> None:
    """Refuse options that have another value than the only possible one.

    Raises:
        UserError: If there is such an option.
    """
    for name, (possible, why) in FIXED.items():
        if name in given and given[name] != possible:
            shown = "the default" if possible in (None, []) else str(possible).lower()
            raise UserError(f"--{name}: expected {shown}, found {given[name]}: {why}.")
