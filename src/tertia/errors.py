"""What tertia says when it cannot go on: where, which entry, what was found, what is allowed, what to do."""

from __future__ import annotations


class TertiaError(Exception):
    """A mistake in what the user gave, told in five parts.

    Parameters
    ----------
    where: file, recipe or option in which it was found.
    entry: the chain, record or key inside it, or "" when the whole of `where` is meant.
    found: what stands there.
    allowed: what could have stood there.
    hint: what to do next.
    """

    def __init__(self, where: str, entry: str = "", *, found: str, allowed: str = "", hint: str = "") -> None:
        self.where = str(where)
        self.entry = entry
        self.found = found
        self.allowed = allowed
        self.hint = hint
        super().__init__(str(self))

    def __str__(self) -> str:
        place = f"{self.where}, entry '{self.entry}'" if self.entry else self.where
        allowed = f"; allowed: {self.allowed}" if self.allowed else ""
        hint = f"\nhint: {self.hint}" if self.hint else ""
        return f"{place}: {self.found}{allowed}{hint}"

    def __reduce__(self):
        # Keyword-only arguments do not survive the default pickling between worker processes.
        return _rebuild, (type(self), self.where, self.entry, self.found, self.allowed, self.hint)


def _rebuild(kind, where, entry, found, allowed, hint):
    return kind(where, entry, found=found, allowed=allowed, hint=hint)


class InputError(TertiaError):
    """A structure, sequence or table that cannot be used."""


class RecipeError(TertiaError):
    """A recipe or `key=value` override that cannot be used."""


class CheckpointError(TertiaError):
    """A checkpoint folder that is incomplete, damaged or of another family."""


class TrainingError(TertiaError):
    """A training run that cannot go on."""
