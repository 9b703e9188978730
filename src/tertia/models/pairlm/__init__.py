"""pairlm: masked language models on sequences (after Filipavicius et al., 2020), at present one residue a token."""

from tertia.models.pairlm.family import Pairlm

__all__ = ["Pairlm"]
