"""The model families, by name."""

from tertia.models.distmap import Distmap
from tertia.models.pairlm import Pairlm

FAMILIES = {"distmap": Distmap, "pairlm": Pairlm}
