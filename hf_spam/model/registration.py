"""Our models become known to transformers' Auto classes when those are imported, and not before.

Registering needs both sides: transformers' Auto classes and our models, seconds of imports. Who only imports the
package should not pay for that, and who uses an Auto class should find it done, in whichever order the two were
imported. So a finder on `sys.meta_path` lets our registration follow the execution of the modules that hold the
Auto classes. It stays there, as transformers' own finder does: taking it away again would make a thread that is just
walking the list miss an entry, and a module that is reloaded would come without our models.
"""

import sys
from collections.abc import Callable, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType


def _register_configuration() -> None:
    from transformers.models.auto.configuration_auto import AutoConfig

    from .configuration_spam_gpt import SpamGPTConfig

    AutoConfig.register(SpamGPTConfig.model_type, SpamGPTConfig)


def _register_models() -> None:
    from transformers.models.auto.modeling_auto import AutoModelForCausalLM, AutoModelForSequenceClassification

    from .configuration_spam_gpt import SpamGPTConfig
    from .modeling_spam_gpt import SpamGPTForCausalLM, SpamGPTForSequenceClassification

    AutoModelForSequenceClassification.register(SpamGPTConfig, SpamGPTForSequenceClassification)
    AutoModelForCausalLM.register(SpamGPTConfig, SpamGPTForCausalLM)


# What follows which module. Our modules must not import the one that they follow: each would then need the other while
# it is half imported itself, or two threads that import one each would wait for each other.
_FOLLOW_UPS = {
    "transformers.models.auto.configuration_auto": _register_configuration,
    "transformers.models.auto.modeling_auto": _register_models,
}


def register_in_time() -> None:
    """Register with the Auto classes that are imported already, and with the others as soon as they are."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())
    for name, register in _FOLLOW_UPS.items():
        if name in sys.modules:
            register()


class _Finder(MetaPathFinder):
    """Finds the modules of `_FOLLOW_UPS` as the other finders do, with a loader that registers at the end."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in _FOLLOW_UPS:
            return None
        for finder in sys.meta_path:
            spec = None if finder is self else finder.find_spec(fullname, path, target)
            if spec is not None and spec.loader is not None:
                spec.loader = _Loader(spec.loader, _FOLLOW_UPS[fullname])
                return spec
        return None


class _Loader(Loader):
    """Another loader, and what follows when it has executed the module; the module keeps no trace of this one."""

    def __init__(self, loader: Loader, follow_up: Callable[[], None]) -> None:
        self.loader = loader
        self.follow_up = follow_up

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self.loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        module.__loader__ = self.loader
        if module.__spec__ is not None:
            module.__spec__.loader = self.loader
        self.loader.exec_module(module)
        self.follow_up()
