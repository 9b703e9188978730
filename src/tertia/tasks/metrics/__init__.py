"""Figures of merit: values, classes, quality assessment, and intervals for all of them.

Arrays in, numbers out; truth always comes before prediction.
"""

from tertia.tasks.metrics.classes import (
    Classification,
    accuracy,
    auprc,
    auroc,
    average_precision,
    balanced_accuracy,
    best_threshold,
    classification,
    consistent,
    macro_f,
    matthews,
    prevalences,
)
from tertia.tasks.metrics.intervals import Difference, Interval, bootstrap, compare, resample
from tertia.tasks.metrics.quality import (
    Agreement,
    first_five_loss,
    first_rank_loss,
    first_rank_z,
    global_agreement,
    local_agreement,
)
from tertia.tasks.metrics.values import (
    kendall,
    mean_absolute_error,
    pearson,
    per_group,
    root_mean_square_error,
    spearman,
)

__all__ = [
    "Agreement",
    "Classification",
    "Difference",
    "Interval",
    "accuracy",
    "auprc",
    "auroc",
    "average_precision",
    "balanced_accuracy",
    "best_threshold",
    "bootstrap",
    "classification",
    "compare",
    "consistent",
    "first_five_loss",
    "first_rank_loss",
    "first_rank_z",
    "global_agreement",
    "kendall",
    "local_agreement",
    "macro_f",
    "matthews",
    "mean_absolute_error",
    "pearson",
    "per_group",
    "prevalences",
    "resample",
    "root_mean_square_error",
    "spearman",
]
