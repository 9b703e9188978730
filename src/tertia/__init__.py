"""Learn, extract and use protein embeddings.

Everything below is loaded when it is first used: `import tertia` itself needs neither torch nor numpy.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType

__version__ = "0.1.0"

_MODULE_OF_NAME = {
    "Atoms": "structure.chain",
    "Chain": "structure.chain",
    "CheckpointError": "errors",
    "Embedding": "embedding",
    "InputError": "errors",
    "RecipeError": "errors",
    "Store": "data.store",
    "TertiaError": "errors",
    "decoys": "decoys",
    "embed": "embed",
    "evaluate_denoising": "evaluate",
    "evaluate_task": "evaluate",
    "export": "export",
    "fetch": "fetch",
    "finetune": "finetune",
    "inspect": "inspect",
    "load": "training.checkpoint",
    "predict": "predict",
    "prepare": "prepare",
    "pretrain": "pretrain",
    "read_inputs": "structure.read",
    "read_structure": "structure.read",
    "train_tokenizer": "tokens",
    "verify": "verify",
}

__all__ = ["__version__", *sorted(_MODULE_OF_NAME)]


class _Package(ModuleType):
    """The package as an object: `tertia.embed` is the verb, also after somebody imported the module of that name."""

    def __setattr__(self, name: str, value: object) -> None:
        # Importing the submodule `tertia.embed` sets the attribute `embed` of the package to that module.
        if isinstance(value, ModuleType) and _MODULE_OF_NAME.get(name) == name:
            value = getattr(value, name, value)
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package


def __getattr__(name: str) -> object:
    if name not in _MODULE_OF_NAME:
        raise AttributeError(f"module 'tertia' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"tertia.{_MODULE_OF_NAME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
