"""From the pair outputs of the network to a score on coordinates, and to the loss.

Guo et al. predict H, the derivative of log p by the squared distance of each ordered pair, and carry it to
coordinates by the chain rule (eq. 4): g_i = sum_j 2 (h_ij + h_ji)(x_i - x_j). `paper_force` does exactly that on the
union of the row and column residues of a crop. `force` is the improved rule: unit-vector coefficients, symmetric on a
square map, a mean over columns instead of a sum. Both return sigma times the score, so that the regression target has
unit variance at every level.
"""

from __future__ import annotations

import torch

from tertia.models.distmap.inputs import Inputs, distances, pair_mask
from tertia.nn.whole_batch import whole_batch

NEAR = 4
"""Largest sequence offset of the pairs that carry an own, un-averaged coefficient (bonds, angles, helix turns)."""


def chain_rule(h: torch.Tensor, rows: torch.Tensor, columns: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the two halves of eq. 4 for a block of H.

    Parameters
    ----------
    h: (..., R, S); rows: (..., R, 3) and columns: (..., S, 3), Angstrom.

    Returns
    -------
    A (..., R, 3) = sum_j 2 h_ij (x_i - y_j) and B (..., S, 3) = sum_i 2 h_ij (y_j - x_i); on a whole map
    A + B is eq. 4.
    """
    on_rows = 2.0 * (h.sum(-1, keepdim=True) * rows - h @ columns)
    on_columns = 2.0 * (h.sum(-2)[..., None] * columns - h.transpose(-1, -2) @ rows)
    return on_rows, on_columns


def same_residue(inputs: Inputs) -> torch.Tensor:
    """Return (B, R, S), 1 where row and column are the same residue."""
    same = inputs.position[:, 0, :, None] == inputs.position[:, 1, None, :]
    real = (inputs.chain[:, 0, :, None] == inputs.chain[:, 1, None, :]) & (inputs.chain[:, 0, :, None] > 0)
    return (same & real).to(inputs.coord.dtype)


def paper_force(h: torch.Tensor, inputs: Inputs) -> torch.Tensor:
    """Return sigma G of eq. 4, (B, 2, L, 3), for h (B, R, S, 1): row and column halves add where they meet."""
    on_rows, on_columns = chain_rule(h[..., 0] * pair_mask(inputs), inputs.coord[:, 0], inputs.coord[:, 1])
    same = same_residue(inputs)
    return torch.stack([on_rows + same @ on_columns, on_columns + same.transpose(1, 2) @ on_rows], dim=1)


def released_force(h: torch.Tensor, inputs: Inputs) -> torch.Tensor:
    """Return sigma G, (B, 2, L, 3), as the released code trains it: each half by itself."""
    return torch.stack(chain_rule(h[..., 0] * pair_mask(inputs), inputs.coord[:, 0], inputs.coord[:, 1]), dim=1)


def force(u: torch.Tensor, inputs: Inputs, *, kappa: float = 4.0) -> torch.Tensor:
    """Return sigma G, (B, 2, L, 3), from unit-vector coefficients u (B, R, S, 2).

    sigma G_i = kappa sum_j c_ij (x_i - x_j) / (d_ij + 1) with c_ij = u_ij0 / n + u_ij1 [offset <= 4] / 8, n the number
    of columns with coordinates: the far pairs are averaged, so that the size of the map does not matter; the few pairs
    near in sequence are not, so that the force of a bond does not depend on how many other residues there are.
    """
    u = symmetrise(u, inputs)
    weight = pair_weight(u, inputs)
    halves = []
    for side in (0, 1):
        c = weight if side == 0 else weight.transpose(1, 2)  # (B, side, other, 2)
        n = inputs.seen[:, 1 - side].sum(-1).clamp_min(1)[:, None, None]
        c = c[..., 0] / n + c[..., 1] / (2.0 * NEAR)
        own, other = inputs.coord[:, side], inputs.coord[:, 1 - side]
        halves.append(kappa * (c.sum(-1, keepdim=True) * own - c @ other))
    return torch.stack(halves, dim=1)


def pair_weight(u: torch.Tensor, inputs: Inputs) -> torch.Tensor:
    """Return (B, R, S, 2): coefficients of the difference vectors, 0 where a residue is missing or not near."""
    offset = (inputs.position[:, 0, :, None] - inputs.position[:, 1, None, :]).abs()
    near = (offset <= NEAR) & (inputs.chain[:, 0, :, None] == inputs.chain[:, 1, None, :])
    scale = pair_mask(inputs) / (distances(inputs) + 1.0)
    return u * torch.stack([scale, scale * near], dim=-1)


def symmetrise(u: torch.Tensor, inputs: Inputs) -> torch.Tensor:
    """Return u with u_ij = u_ji for the examples whose rows are their columns; others are left as they are."""
    if u.shape[1] != u.shape[2]:
        return u
    square = (inputs.position[:, 0] == inputs.position[:, 1]).all(-1) & (inputs.chain[:, 0] == inputs.chain[:, 1]).all(
        -1
    )
    return torch.where(square[:, None, None, None], (u + u.transpose(1, 2)) / 2, u)


def squared_error(predicted: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
    """Return (B, 2, L): ||sigma G - sigma T||^2 with sigma T = -noise (eq. 2)."""
    return (predicted + noise).square().sum(-1)


def residue_weight(inputs: Inputs, *, once: bool) -> torch.Tensor:
    """Return (B, 2, L): 1 for each seen residue; with `once`, 0 for a column residue that is a row as well."""
    weight = inputs.seen.float()
    if once:
        also_row = same_residue(inputs).amax(1)  # (B, S)
        weight = torch.stack([weight[:, 0], weight[:, 1] * (1.0 - also_row)], dim=1)
    return weight


def normalised(error: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Return (B,) mean error a coordinate: 1 = predicting zero (Gaussian noise has unit variance)."""
    return (error * weight).sum((1, 2)) / (3.0 * weight.sum((1, 2))).clamp_min(1.0)


def equation_5(error: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Return (B,) sigma^2 / 2 ||G - (X - X~)/sigma^2||_F^2, the summand of eq. 5."""
    return 0.5 * (error * weight).sum((1, 2))


def redundancy(maps: torch.Tensor, inputs: Inputs) -> torch.Tensor:
    """Return 1 / effective dimension of the residue embedding, a scalar from 1 / C to 1.

    Score matching alone leaves most channels telling the same (the released model of Guo et al. has an effective
    dimension below 2). The effective dimension is the participation ratio of the covariance C, (tr C)^2 / ||C||^2: it
    is largest when all channels vary alike and independently. Rows are pooled over columns as in embedding; what a
    cubic in the logarithm of the noise level explains is taken out first, because embeddings are compared at one level.

    Parameters
    ----------
    maps: (B, R, S, C) embedding maps.
    """
    row_seen, n_columns = inputs.seen[:, 0], inputs.seen[:, 1].sum(1).clamp_min(1)[:, None, None]
    rows = maps.sum(2) / n_columns  # (B, R, C); the maps are zero where a residue is missing
    level = inputs.level.float()
    if torch.is_grad_enabled():  # several processes share a batch only in training
        rows, row_seen, level = whole_batch(rows), whole_batch(row_seen), whole_batch(level)
    level = (level - level.mean()) / (level.std(correction=0) + 1.0)
    powers = torch.stack([level**power for power in range(4)], dim=-1)  # (B, 4)
    centre = (rows * row_seen[..., None]).sum(1) / row_seen.sum(1).clamp_min(1)[:, None]  # (B, C)
    explained = powers @ (torch.linalg.pinv(powers) @ centre)
    varied = (rows - explained[:, None])[row_seen]  # (rows, C)
    covariance = varied.T @ varied / len(varied)
    return covariance.square().sum() / (covariance.trace().square() + 1e-12)
