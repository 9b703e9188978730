"""Encode whole chains by streaming, at one or several fixed noise levels; several are concatenated."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn as nn

from tertia.models.distmap.inputs import Inputs
from tertia.models.distmap.stream import OnRows, residue_features, rows_of_strip
from tertia.nn.encoded import Encoded

IN_MEMORY = 1 << 28
"""Raw maps of at most so many bytes (256 MB: 1,000 residues) are symmetrised in memory, larger ones in a file."""

NARROW = {"bf16": torch.bfloat16, "fp16": torch.float16}


class Encoder:
    """A network with its weights folded; `encode` gives what `network.encode` gives, in memory linear in L.

    Parameters
    ----------
    levels: indices of the noise levels; their embeddings stand side by side in the channels.
    precision: "fp32", or "bf16" or "fp16" for the 3x3 convolutions and their maps beside a float32 stream; of the two
        fp16 is the nearer one, since everything in these maps is of unit size.
    """

    def __init__(
        self, network: nn.Module, levels: Sequence[int], *, precision: str = "fp32", device: str = "cpu"
    ) -> None:
        self.folded = tuple(network.fold(level).to(device) for level in levels)
        if precision != "fp32":
            self.folded = tuple(folded.narrow(NARROW[precision]) for folded in self.folded)
        self.standard = network.standard
        self.device = torch.device(device)

    @property
    def width(self) -> int:
        """Channels of an embedding."""
        return sum(len(folded.gain) for folded in self.folded)

    @torch.inference_mode()
    def encode(self, inputs: Inputs) -> Encoded:
        """Return residue and protein embeddings of a padded batch of whole chains, on the CPU."""
        seen = inputs.seen[:, 0]
        moved = self._moved(inputs)
        kinds: dict[str, list[torch.Tensor]] = {"residue": [], "protein": []}
        for folded in self.folded:
            level = torch.full_like(inputs.level, folded.level)
            residue = residue_features(moved, folded).cpu()
            protein = residue.sum(1) / seen.sum(1).clamp_min(1)[:, None]
            kinds["residue"].append(self.standard("residue", residue, level, seen))
            kinds["protein"].append(self.standard("protein", protein, level, seen.any(-1)))
        return Encoded(chain=inputs.chain[:, 0], **{kind: torch.cat(parts, -1) for kind, parts in kinds.items()})

    @torch.inference_mode()
    def encode_pairs(self, inputs: Inputs, *, folder: str | Path | None = None) -> tuple[Encoded, Pairs]:
        """Return residue and protein embeddings of one chain, and its pair level to be read by rows.

        `folder` is where raw maps that are too large for the memory are kept meanwhile; they vanish with the process.
        """
        length = inputs.letter.shape[-1]
        maps = [RawMaps(length, len(folded.gain), folder) for folded in self.folded]
        return self._encoded(inputs, [raw.add for raw in maps]), Pairs(self, maps, inputs.seen[0, 0])

    @torch.inference_mode()
    def encode_edges(self, inputs: Inputs, source: np.ndarray, sink: np.ndarray) -> tuple[Encoded, np.ndarray]:
        """Return residue and protein embeddings of one chain, and those of the pairs (source, sink): (E, C) float32.

        They are entries of the pair level, which is never held as a whole.
        """
        edges = [RawEdges(source, sink, len(folded.gain)) for folded in self.folded]
        encoded = self._encoded(inputs, [raw.add for raw in edges])
        seen = inputs.seen[0, 0]
        mask = (seen[source] & seen[sink])[None]
        parts = [
            self.standard("pair", raw.symmetric()[None], torch.tensor([folded.level]), mask)[0]
            for folded, raw in zip(self.folded, edges, strict=True)
        ]
        return encoded, torch.cat(parts, -1).numpy()

    def memory(self, n_residues: int, *, pair: bool = False) -> int:
        """Return about how many bytes one chain needs beside the weights."""
        block = self.folded[0].blocks
        width, inner = block[0].reduce.shape
        delay = sum(one.dilation for one in block)
        rows = rows_of_strip(n_residues, self.folded[0])
        if rows >= n_residues:
            columns = n_residues * (2 * width + 3 * inner + 3 * 64)
        else:
            # The rows that wait, room for the strip to move up, the strip and its temporaries.
            columns = delay * (2 * width + 2 * inner) + 2 * rows * (width + 3 * inner + 3 * 64)
        largest = min(4 * n_residues**2 * width, IN_MEMORY) * (2 + len(self.folded)) if pair else 0
        return 4 * columns * n_residues + largest

    def _encoded(self, inputs: Inputs, takers: Sequence[OnRows]) -> Encoded:
        """Return residue and protein embeddings of one chain; each level hands the rows of its map to its taker."""
        moved, seen = self._moved(inputs), inputs.seen[:, 0]
        residues, proteins = [], []
        for folded, take in zip(self.folded, takers, strict=True):
            level = torch.full_like(inputs.level, folded.level)
            residue = residue_features(moved, folded, on_rows=take).cpu()
            residues.append(self.standard("residue", residue, level, seen))
            proteins.append(self.standard("protein", residue.sum(1) / seen.sum(1)[:, None], level, seen.any(-1)))
        return Encoded(chain=inputs.chain[:, 0], residue=torch.cat(residues, -1), protein=torch.cat(proteins, -1))

    def _moved(self, inputs: Inputs) -> Inputs:
        return type(inputs)(**{name: value.to(self.device) for name, value in vars(inputs).items()})


class Pairs:
    """The pair level of one chain: symmetric, standardised, zero where a residue is missing; given out by rows."""

    def __init__(self, encoder: Encoder, maps: Sequence[RawMaps], seen: torch.Tensor) -> None:
        self._encoder, self._maps, self._seen = encoder, maps, seen
        self.shape = (len(seen), len(seen), encoder.width)

    @torch.inference_mode()
    def rows(self) -> Iterator[np.ndarray]:
        """Yield (rows, L, C) float32 from top to bottom."""
        n_rows = max(1, min(64, IN_MEMORY // (16 * self.shape[1] * self.shape[2])))
        for start in range(0, len(self._seen), n_rows):
            stop = min(start + n_rows, len(self._seen))
            mask = self._seen[None, start:stop, None] & self._seen[None, None]
            parts = []
            for folded, raw in zip(self._encoder.folded, self._maps, strict=True):
                rows = torch.from_numpy(raw.symmetric(start, stop))[None]
                parts.append(self._encoder.standard("pair", rows, torch.tensor([folded.level]), mask)[0])
            yield torch.cat(parts, -1).numpy()

    def close(self) -> None:
        """Free what the raw maps take."""
        for raw in self._maps:
            raw.close()


class RawEdges:
    """The entries E_ij and E_ji of chosen pairs, taken from the rows of the maps as these stream by."""

    def __init__(self, source: np.ndarray, sink: np.ndarray, width: int) -> None:
        row, column = (torch.from_numpy(np.concatenate(ends)) for ends in ((source, sink), (sink, source)))
        self._order = torch.argsort(row)
        self._row, self._column = row[self._order], column[self._order]
        self._values = torch.empty(len(row), width)

    def add(self, start: int, rows: torch.Tensor) -> None:
        """Take the rows (1, rows, L, C) from `start` on."""
        first, last = torch.searchsorted(self._row, torch.tensor([start, start + rows.shape[1]])).tolist()
        row, column = (index[first:last].to(rows.device) for index in (self._row - start, self._column))
        self._values[self._order[first:last]] = rows[0, row, column].cpu()

    def symmetric(self) -> torch.Tensor:
        """Return (E_ij + E_ji) / 2 of the pairs, (E, C)."""
        forth, back = self._values.chunk(2) if len(self._values) else (self._values, self._values)
        return (forth + back) / 2


class RawMaps:
    """The maps E_ij (L, L, C) float32 of one chain, written by rows and read back symmetrised."""

    def __init__(self, length: int, width: int, folder: str | Path | None) -> None:
        self._shape = (length, length, width)
        size = 4 * length * length * width
        self._array = np.empty(self._shape, np.float32) if size <= IN_MEMORY else None
        self._file = None if self._array is not None else tempfile.TemporaryFile(dir=folder)  # noqa: SIM115

    def add(self, start: int, rows: torch.Tensor) -> None:
        """Take the rows (1, rows, L, C) from `start` on."""
        values = rows[0].cpu().numpy()
        if self._array is not None:
            self._array[start : start + len(values)] = values
        else:
            self._file.seek(4 * start * self._shape[1] * self._shape[2])
            self._file.write(np.ascontiguousarray(values).data)
            self._file.flush()

    def symmetric(self, start: int, stop: int) -> np.ndarray:
        """Return (E_ij + E_ji) / 2 for rows i from start to stop, (rows, L, C)."""
        if self._array is not None:
            return (self._array[start:stop] + self._array[:, start:stop].swapaxes(0, 1)) / 2
        length, _, width = self._shape
        descriptor = self._file.fileno()
        values = _read(descriptor, 4 * start * length * width, (stop - start, length, width))
        for j in range(length):  # column block (j, start:stop) lies together in row j
            values[:, j] += _read(descriptor, 4 * (j * length + start) * width, (stop - start, width))
        values *= 0.5
        return values

    def close(self) -> None:
        """Free the memory or the file."""
        self._array = None
        if self._file is not None:
            self._file.close()


def _read(descriptor: int, offset: int, shape: tuple[int, ...]) -> np.ndarray:
    values = np.empty(shape, np.float32)
    view = memoryview(values).cast("B")
    done = 0
    while done < len(view):  # one call may return less than asked for (at most 2 GB)
        count = os.preadv(descriptor, [view[done:]], offset + done)
        if not count:
            raise OSError("the scratch file ended too early")
        done += count
    return values
