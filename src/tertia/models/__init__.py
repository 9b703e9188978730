"""The model families, by name."""

from tertia.models.distmap import Distmap

FAMILIES = {"distmap": Distmap}
