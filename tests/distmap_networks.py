"""Distance-map networks whose weights keep every activation near unit size, so that nothing hides in a zero."""

from __future__ import annotations

import torch

from tertia.data.batch import collate
from tertia.models.distmap import Distmap
from tertia.models.distmap.inputs import Inputs

FAMILIES = {
    "tertia": Distmap(n_blocks=6),
    "paper": Distmap(mode="paper", bottleneck=16, n_blocks=6, dilations=(1, 3, 5, 9)),
}
TINY = Distmap(width=8, bottleneck=4, n_blocks=2, n_levels=4, embed_level=2)
"""For tests of what stands behind a network."""


def dilations(family: Distmap) -> tuple[int, ...]:
    """Return the dilation of every block."""
    return tuple(family.dilations[k % len(family.dilations)] for k in range(family.n_blocks))


def network_of(family: Distmap, *, seed: int = 0) -> torch.nn.Module:
    """Return a network in evaluation mode with random weights, gains, running statistics and standardisation."""
    generator = torch.Generator().manual_seed(seed)

    def normal(x: torch.Tensor) -> torch.Tensor:
        return torch.randn(x.shape, generator=generator)

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = family.network()
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if "gain" in name:
                parameter.copy_(1.0 + 0.1 * normal(parameter))
            elif parameter.ndim > 1 and "offset" not in name and "level" not in name:
                parameter.copy_(normal(parameter) / parameter[0].numel() ** 0.5)
            else:
                parameter.add_(0.1 * normal(parameter))
        for name, buffer in network.named_buffers():
            if name.endswith("running_mean"):
                buffer.copy_(0.3 * normal(buffer))
            elif name.endswith("running_var"):
                buffer.copy_(0.5 + normal(buffer).abs())
        network.standard.mean.copy_(0.3 * normal(network.standard.mean))
        network.standard.std.copy_(0.5 + normal(network.standard.std).abs())
    return network.eval()


def batch(family: Distmap, *chains, level: int | None = None) -> Inputs:
    """Return the padded batch of some chains, at one noise level if given."""
    inputs = collate([family.featurise(chain) for chain in chains])
    if level is not None:
        inputs.level.fill_(level)
    return inputs
