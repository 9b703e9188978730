"""Learn, extract and use protein embeddings.

Everything below is loaded when it is first used: `import tertia` itself needs neither torch nor numpy.
"""

from __future__ import annotations

import importlib

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
    "embed": "embed",
    "evaluate": "evaluate",
    "fetch": "fetch",
    "inspect": "inspect",
    "load": "embed",
    "prepare": "prepare",
    "pretrain": "pretrain",
    "read_inputs": "structure.read",
    "read_structure": "structure.read",
    "verify": "verify",
}

__all__ = [*sorted(_MODULE_OF_NAME), "__version__"]


def __getattr__(name: str):
    if name not in _MODULE_OF_NAME:
        raise AttributeError(f"module 'tertia' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"tertia.{_MODULE_OF_NAME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
