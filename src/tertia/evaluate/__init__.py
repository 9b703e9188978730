"""`tertia evaluate`: score a model on data, beside baselines."""

from tertia.evaluate.denoising import DenoisingReport, evaluate_denoising
from tertia.evaluate.task import TaskReport, evaluate_task

__all__ = ["DenoisingReport", "TaskReport", "evaluate_denoising", "evaluate_task"]
