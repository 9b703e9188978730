"""distmap: denoising score matching on C-alpha distance maps (Guo et al., AAAI 2022)."""

from tertia.models.distmap.family import Distmap

__all__ = ["Distmap"]
