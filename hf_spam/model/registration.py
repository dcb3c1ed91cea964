"""Register our models with transformers' Auto classes, and with peft, once those are imported, and not before.

Registering needs both sides: the Auto classes and our models, which take seconds to import. Importing `hf_spam` must
not pay for that, yet any Auto class must know our models, whichever of the two was imported first. Python has no
simpler way to follow another package's import: a lazy attribute of ours is never asked when only transformers' Auto
classes are used, and transformers offers no entry point for plug-ins. So a finder on `sys.meta_path` runs our
registration right after the modules that hold the Auto classes have been executed.

The finder stays on the list, as transformers' own finder does: removing it could make a thread that is iterating over
the list skip an entry, and a reloaded module would come without our models.
"""

import sys
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any


def _register_configuration() -> None:
    from transformers.models.auto.configuration_auto import AutoConfig

    from .configuration_spam_gpt import SpamGPTConfig

    AutoConfig.register(SpamGPTConfig.model_type, SpamGPTConfig)


def _register_models() -> None:
    from transformers.models.auto.modeling_auto import (
        AutoModel,
        AutoModelForCausalLM,
        AutoModelForSequenceClassification,
    )

    from .backbone_spam_gpt import SpamGPTModel
    from .configuration_spam_gpt import SpamGPTConfig
    from .modeling_spam_gpt import SpamGPTForCausalLM, SpamGPTForSequenceClassification

    AutoModel.register(SpamGPTConfig, SpamGPTModel)
    AutoModelForSequenceClassification.register(SpamGPTConfig, SpamGPTForSequenceClassification)
    AutoModelForCausalLM.register(SpamGPTConfig, SpamGPTForCausalLM)


# What GPT-2's modules are in ours, by the ends of their names.
_ADAPTED = {
    "c_attn": ("W_query", "W_key", "W_value"),
    "c_proj": ("out_proj", "ff.layers.2"),
    "mlp.c_proj": ("ff.layers.2",),
    "ln_1": ("norm1",),
    "ln_2": ("norm2",),
    "ln_f": ("final_norm",),
}


def _register_adapters() -> None:
    """Let each method of peft adapt by default what it adapts in a GPT-2."""
    from peft.utils import constants

    from .configuration_spam_gpt import SpamGPTConfig

    for name, defaults in vars(constants).items():
        if name.startswith("TRANSFORMERS_MODELS_TO_") and "gpt2" in defaults:
            ours = [part for module in defaults["gpt2"] for part in _ADAPTED.get(module, ())]
            defaults[SpamGPTConfig.model_type] = list(dict.fromkeys(ours))


# What runs after which module. Our modules must not import the module they follow: each would need the other while it
# is half imported, or two threads that import one each would wait for each other.
_FOLLOW_UPS = {
    "transformers.models.auto.configuration_auto": _register_configuration,
    "transformers.models.auto.modeling_auto": _register_models,
    "peft.utils.constants": _register_adapters,
}


def register_in_time() -> None:
    """Register with the Auto classes that are already imported, and with the others as soon as they are."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        # Neither class below derives from importlib.abc's: importing that doubles the time of `import hf_spam`.
        sys.meta_path.insert(0, _Finder())
    for name, register in _FOLLOW_UPS.items():
        if name in sys.modules:
            register()


class _Finder:
    """A finder of the modules in `_FOLLOW_UPS`: asks the other finders, then wraps the loader."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in _FOLLOW_UPS:
            return None
        for finder in sys.meta_path:
            spec = None if finder is self else finder.find_spec(fullname, path, target)
            if spec is not None and spec.loader is not None:
                spec.loader = _Loader(spec.loader, _FOLLOW_UPS[fullname])  # type: ignore[assignment]
                return spec
        return None


class _Loader:
    """A loader that runs a follow-up after another loader has executed the module, and leaves no trace in it."""

    def __init__(self, loader: Any, follow_up: Callable[[], None]) -> None:
        self.loader = loader
        self.follow_up = follow_up

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        module: ModuleType | None = self.loader.create_module(spec)
        return module

    def exec_module(self, module: ModuleType) -> None:
        module.__loader__ = self.loader
        if module.__spec__ is not None:
            module.__spec__.loader = self.loader
        self.loader.exec_module(module)
        self.follow_up()
