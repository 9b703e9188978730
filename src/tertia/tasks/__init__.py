"""What embeddings are used for; one package a task."""

from tertia.tasks.interface.task import Interface
from tertia.tasks.quality.task import Quality

TASKS = {"quality": Quality, "interface": Interface}
"""Every task by name."""
