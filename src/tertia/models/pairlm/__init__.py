"""pairlm: masked language models on one protein or two joined ones (after Filipavicius et al., 2020)."""

from tertia.models.pairlm.family import Pairlm

__all__ = ["Pairlm"]
