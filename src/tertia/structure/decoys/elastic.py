"""Elastic-network modes: the slow motions of the fold (anisotropic network model, Atilgan et al. 2001)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tertia.structure.decoys.trace import Shape, Trace
from tertia.structure.geometry import distance_map

_CUTOFF = 15.0
"""Angstrom, between nodes that a spring joins (Atilgan et al. 2001)."""
_MOST_NODES = 200
_N_MODES = 30
_MOST = 14.0
"""Root mean square displacement in Angstrom at full strength."""


@dataclass(frozen=True, eq=False)
class ElasticModes:
    """A displacement along slow modes, with a root mean square of 1 Angstrom."""

    native: Trace
    displacement: np.ndarray  # (M, 3) float64
    modes: int

    def at(self, strength: float) -> Shape:
        """Displace every residue; what is regular keeps its inner distances in the repair."""
        amplitude = strength * _MOST
        alpha = self.native.alpha + amplitude * self.displacement
        details = {"rms": round(amplitude, 3), "modes": self.modes}
        return Shape(self.native, alpha, self.native.alpha, ~self.native.regular & (amplitude > 1.0), details)


def draw(native: Trace, others: list[Trace], generator: np.random.Generator) -> ElasticModes:
    """Draw amplitudes of the slow modes, in inverse proportion to their frequency."""
    frequency, mode = modes(native)
    n_used = int(generator.integers(min(3, len(frequency)), len(frequency) + 1))
    weight = generator.standard_normal(n_used) / frequency[:n_used]
    displacement = np.einsum("k,kld->ld", weight, mode[:n_used])
    rms = float(np.sqrt(np.square(displacement).sum(axis=1).mean()))
    return ElasticModes(native, displacement / max(rms, 1e-9), n_used)


def modes(trace: Trace) -> tuple[np.ndarray, np.ndarray]:
    """Return the frequencies (K,) and displacements (K, M, 3) of the slow modes, without the six rigid ones.

    Of a long chain every second, third, ... residue is a node; the residues between are interpolated.
    """
    if "modes" not in trace.__dict__:
        stride = -(-len(trace) // _MOST_NODES)
        node = np.unique(np.concatenate([np.arange(0, len(trace), stride), [len(trace) - 1]]))
        value, vector = np.linalg.eigh(_hessian(trace.alpha[node], _CUTOFF * stride ** (1.0 / 3.0)))
        slow = slice(6, min(6 + _N_MODES, len(value)))
        shapes = vector[:, slow].T.reshape(-1, len(node), 3)
        place = np.arange(len(trace))
        whole = np.stack([[np.interp(place, node, shape[:, axis]) for axis in range(3)] for shape in shapes])
        frequency = np.sqrt(np.maximum(value[slow], 1e-3))
        # A frozen dataclass may keep what was worked out from it, as functools.cached_property does.
        trace.__dict__["modes"] = frequency, whole.transpose(0, 2, 1)
    return trace.__dict__["modes"]


def _hessian(node: np.ndarray, cutoff: float) -> np.ndarray:
    """Return (3 K, 3 K), the second derivatives of the energy of springs of one strength; bonds are always springs."""
    count = len(node)
    apart = node[:, None] - node[None, :]
    distance = distance_map(node)
    joined = distance < cutoff
    step = np.arange(count - 1)
    joined[step, step + 1] = joined[step + 1, step] = True
    np.fill_diagonal(joined, False)
    inverse = np.where(joined, 1.0 / np.maximum(distance, 1e-6) ** 2, 0.0)
    block = -np.einsum("ij,ijk,ijl->ikjl", inverse, apart, apart)
    diagonal = -block.sum(axis=2)
    every = np.arange(count)
    block[every, :, every, :] += diagonal
    return block.reshape(3 * count, 3 * count)
