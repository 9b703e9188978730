"""What embeddings are used for; one package a task."""

from tertia.tasks.homology.task import Homology
from tertia.tasks.interface.task import Interface
from tertia.tasks.localisation.task import Localisation
from tertia.tasks.pair_binding.task import PairBinding
from tertia.tasks.quality.task import Quality
from tertia.tasks.secondary_structure.task import SecondaryStructure
from tertia.tasks.tcr_epitope.task import TcrEpitope

TASKS = {
    "quality": Quality,
    "interface": Interface,
    "pair_binding": PairBinding,
    "tcr_epitope": TcrEpitope,
    "localisation": Localisation,
    "homology": Homology,
    "secondary_structure": SecondaryStructure,
}
"""Every task by name."""
