"""What the distance-map network sees of a chain, and the channels it is turned into.

Everything enters as distances, sequence positions and signed dihedrals, so the network is blind to rotation and
translation. The two sides of the map (rows, columns) are kept apart because a training crop is a rectangle: 32 row
residues against 32 column residues that may lie elsewhere in the chain. For a whole chain both sides are the same.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from tertia.residues import LETTERS, N_INDICES, letter_indices
from tertia.structure.chain import Chain

BOND = 3.807
"""Mean distance of consecutive C-alpha atoms across a trans peptide bond, Angstrom."""

N_POSITION = 24
N_PAPER_RESIDUE = len(LETTERS) + N_POSITION
PAPER_ANCHORS = (*range(0, 31), *range(32, 71, 2), *range(73, 101, 3))


@dataclass(frozen=True)
class Inputs:
    """Row residues (side 0) and column residues (side 1) of a distance map; padding is 0 throughout."""

    letter: torch.Tensor  # (B, 2, L) int64, index of the amino acid, 0 = nothing
    position: torch.Tensor  # (B, 2, L) int64, 0-based position in the full sequence
    coord: torch.Tensor  # (B, 2, L, 3) float32, C-alpha in Angstrom, 0 where not seen
    chain: torch.Tensor  # (B, 2, L) int64, chain map: 0 padding, k = k-th chain
    seen: torch.Tensor  # (B, 2, L) bool, residues with a C-alpha
    level: torch.Tensor  # (B,) int64, index of the noise level


def inputs_of_chain(chain: Chain, level: int) -> Inputs:
    """Return the Inputs of one whole chain, without the batch axis."""
    coord = torch.from_numpy(chain.alpha.copy())  # (L, 3)
    seen = torch.isfinite(coord).all(-1)
    coord = torch.where(seen[:, None], coord, 0.0)
    letter = torch.from_numpy(letter_indices(chain.sequence).astype("int64"))
    position = torch.arange(len(chain))
    sides = [torch.stack([column, column]) for column in (letter, position, coord, torch.ones_like(letter), seen)]
    return Inputs(*sides, level=torch.tensor(level))


def pair_mask(inputs: Inputs) -> torch.Tensor:
    """Return (B, R, S) bool, True where both residues of a pair have coordinates."""
    return inputs.seen[:, 0, :, None] & inputs.seen[:, 1, None, :]


def distances(inputs: Inputs) -> torch.Tensor:
    """Return (B, R, S) distances in Angstrom from differences (exact for near atoms, unlike a matrix product)."""
    return (inputs.coord[:, 0, :, None, :] - inputs.coord[:, 1, None, :, :]).square().sum(-1).sqrt()


def position_encoding(position: torch.Tensor) -> torch.Tensor:
    """Return (..., 24) sines and cosines at 12 frequencies of the position in the whole chain (Guo et al.)."""
    divisor = 1000.0 ** (torch.arange(12, device=position.device) / 11.0)
    angle = position[..., None] / divisor
    return torch.cat([angle.sin(), angle.cos()], dim=-1)


def distance_encoding(distance: torch.Tensor) -> torch.Tensor:
    """Return (..., 61) soft bins that sum to 1; anchors 0-100 Angstrom, width 3 (Guo et al., released code)."""
    anchors = torch.tensor(PAPER_ANCHORS, dtype=distance.dtype, device=distance.device)
    scale = -math.log2(math.e) / 18.0  # `exp` takes four times as long as `exp2` where the result is next to nothing
    weight = torch.exp2((distance.clamp(0.0, 100.0)[..., None] - anchors).square() * scale)
    return weight / (weight.sum(-1, keepdim=True) + 1e-6)


def paper_residue_channels(inputs: Inputs) -> torch.Tensor:
    """Return (B, 2, L, 44): amino acid one-hot (20) and position encoding (24), 0 where padded."""
    one_hot = F.one_hot(inputs.letter, N_INDICES)[..., 1 : len(LETTERS) + 1]
    encoded = torch.cat([one_hot, position_encoding(inputs.position)], dim=-1) * (inputs.chain > 0)[..., None]
    return encoded.to(inputs.coord.dtype)


# --- the improved channels -----------------------------------------------------------------------------------------

OFFSETS = 5  # signed one-hot of the sequence offset from -5 to 5
FINE_CENTRES = tuple(3.25 + 0.25 * k for k in range(18))  # 3.25-7.5 Angstrom: angles, turns, helix against strand
COARSE_CENTRES = (*range(2, 22, 1), *range(23, 60, 4))
N_PAIR = len(FINE_CENTRES) + len(COARSE_CENTRES) + (2 * OFFSETS + 1) + 4 + 3 + 3 + 1
LOCAL_OFFSETS = (-4, -3, -2, -1, 1, 2, 3, 4)
LOCAL_MEAN = {1: BOND, 2: 5.9, 3: 7.6, 4: 9.4}  # typical C-alpha distances at short sequence offset, Angstrom
N_RESIDUE = N_INDICES + 1 + 6 + 4 * len(LOCAL_OFFSETS)


def residue_channels(inputs: Inputs, sigma: torch.Tensor) -> torch.Tensor:
    """Return (B, 2, L, N_RESIDUE): letter, seen, two signed C-alpha dihedrals, distances along the chain.

    The dihedrals change sign in a mirror image; everything else is even. All come from the (noisy) coordinates of the
    same side, so a crop knows nothing of the residues outside it.
    """
    one_hot = F.one_hot(inputs.letter, N_INDICES).float()
    blocks = [one_hot, inputs.seen[..., None].float(), *(_dihedral(inputs, start) for start in (-1, -2))]
    spread = (2.0 * sigma.square() + 0.03**2).sqrt()[:, None, None]  # standard deviation of a bond at this noise
    for offset in LOCAL_OFFSETS:
        other, valid = _shifted(inputs, offset)
        deviation = (inputs.coord - other).square().sum(-1).sqrt() - LOCAL_MEAN[abs(offset)]
        scaled = [(deviation / width).clamp(-4.0, 4.0) for width in (spread, 0.5, 3.0)]
        blocks.append(torch.stack([*scaled, torch.ones_like(deviation)], dim=-1) * valid[..., None])
    return torch.cat(blocks, dim=-1) * (inputs.chain > 0)[..., None]


def _shifted(inputs: Inputs, offset: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the coordinates `offset` residues further, (B, 2, L, 3), and where such a residue is there, (B, 2, L)."""
    rolled = [torch.roll(x, -offset, dims=2) for x in (inputs.coord, inputs.position, inputs.seen, inputs.chain)]
    coord, position, seen, chain = rolled
    in_order = (position - inputs.position == offset) & (chain == inputs.chain)
    return coord, in_order & seen & inputs.seen


def _dihedral(inputs: Inputs, start: int) -> torch.Tensor:
    """Return (B, 2, L, 3): sine, cosine and presence of the dihedral of residues i+start .. i+start+3."""
    corners, valid = zip(*(_shifted(inputs, start + k) if start + k else (inputs.coord, inputs.seen) for k in range(4)),
                         strict=True)  # fmt: skip
    first, middle, last = (corners[k + 1] - corners[k] for k in range(3))
    left, right = torch.linalg.cross(first, middle), torch.linalg.cross(middle, last)
    sine = (first * right).sum(-1) * middle.square().sum(-1).sqrt()
    cosine = (left * right).sum(-1)
    norm = (sine.square() + cosine.square()).sqrt().clamp_min(1e-6)
    present = valid[0] & valid[1] & valid[2] & valid[3]
    return torch.stack([sine / norm, cosine / norm, torch.ones_like(norm)], dim=-1) * present[..., None]


def pair_channels(inputs: Inputs, sigma: torch.Tensor) -> torch.Tensor:
    """Return (B, R, S, N_PAIR): radial bases, sequence offset, raw short-range deviations and the pair mask."""
    distance = distances(inputs)[..., None]
    fine = torch.exp(-((distance - distance.new_tensor(FINE_CENTRES)) / 0.25).square() / 2)
    widths = distance.new_tensor([1.0 if c < 22 else 4.0 for c in COARSE_CENTRES])
    coarse = torch.exp(-((distance - distance.new_tensor(COARSE_CENTRES)) / widths).square() / 2)

    offset = (inputs.position[:, 1, None, :] - inputs.position[:, 0, :, None])[..., None]  # (B, R, S, 1)
    one_hot = (offset == torch.arange(-OFFSETS, OFFSETS + 1, device=offset.device)).float()
    soft = torch.tanh(offset / offset.new_tensor([4, 12, 40, 120], dtype=distance.dtype))

    spread = (2.0 * sigma.square() + 0.03**2).sqrt()[:, None, None, None]
    bonded = (offset.abs() == 1) & (inputs.chain[:, 0, :, None, None] == inputs.chain[:, 1, None, :, None])
    stretch = torch.cat([((distance - BOND) / width).clamp(-4.0, 4.0) for width in (spread, 0.1, 0.5)], dim=-1) * bonded
    raw = torch.cat([distance / 10.0, torch.log1p(distance), 1.0 / (1.0 + distance)], dim=-1)
    mask = pair_mask(inputs)[..., None]
    return torch.cat([fine, coarse, one_hot, soft, stretch, raw, torch.ones_like(distance)], dim=-1) * mask


def sigma_levels(n_levels: int, largest: float = 10.0, smallest: float = 0.01) -> torch.Tensor:
    """Return (K,) noise levels in Angstrom, geometric, largest first (Guo et al.: 10 to 0.01)."""
    return torch.exp(torch.linspace(math.log(largest), math.log(smallest), n_levels, dtype=torch.float64)).float()
