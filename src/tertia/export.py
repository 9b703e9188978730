"""`tertia export`: write a model in the layout of another library."""

from __future__ import annotations

from pathlib import Path


def export(model: str | Path, output: str | Path) -> Path:
    """Write a language model, with its tokenizer, as a folder that `transformers.AutoModel.from_pretrained` loads.

    Parameters
    ----------
    model: name of a shipped model, or a checkpoint folder.
    output: a new or empty folder.

    Returns
    -------
    The folder.

    Raises
    ------
    CheckpointError: no such model, or none that another library has; InputError: the folder is not empty.
    """
    from tertia.errors import CheckpointError, InputError
    from tertia.training import checkpoint

    output = Path(output)
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise InputError(str(output), found="is there already", allowed="a new or an empty folder")
    trained = checkpoint.load(model)
    if not hasattr(trained.family, "export"):
        raise CheckpointError(str(model), found=f"is a {trained.family.name}, which no other library reads")
    trained.family.export(trained.network, output)
    return output
