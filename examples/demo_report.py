"""Collect what the demo's commands left behind and write it as report.html."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import demo_figures as draw
import h5py
import numpy as np
from demo_denoising import perturbed_and_denoised
from demo_page import Page

from tertia import Chain, read_structure

KIND_OF_CHAIN = {
    **{("2gtl", chain): "globin" for chain in "ABCDEFGHIJKL"},
    **{("2gtl", chain): "linker" for chain in "MNO"},
    **{("7ok9", chain): "penicillin-binding protein" for chain in "ABCDEFGHIJKL"},
    **{("7ok9", chain): "pentaglycine" for chain in "PQRSTUVWXY"},
}
SHOWN = ("2gtl", "M")  # a linker: one long helix, then sheets; its cluster is never trained on
SHOWN_NAME = "chain M of 2GTL"
NOISE = 2.0  # Angstrom on each coordinate

UNTIDY = """Crystal structures are untidy: residues are missing, peptides, ligands and ions stand between the
chains. <code>tertia inspect</code> says what is in a file and what reading it changed. Nothing is dropped
silently, and a residue without coordinates keeps its place in the sequence."""

COPIES = """Copies of a sequence teach nothing new, and relatives of a training chain make a validation
meaningless. So copies are refused, the rest is clustered at 30 % sequence identity, and each cluster goes as a
whole to one part."""

TASK = """Gaussian noise of some size σ is put on the C-alpha atoms. The network sees the residue types and the
distances between the moved atoms, and must say where each atom came from. To do that well it has to know what
proteins look like. No labels are needed."""

LOSS = """<b>The loss while training.</b> 1 means predicting nothing. The held-out cluster is another protein of
another fold: what falls there is knowledge of protein geometry, not of the five chains that were trained on."""

LEVELS = """<b>The same by size of the noise,</b> at the end of training, on the held-out protein. Large noise
is easy to see; noise of a hundredth of an Ångström is finer than the crystal structure itself, and no model
gets far below 1 there."""

MAPS = f"""<b>C-alpha distances of {SHOWN_NAME}.</b> The native map, the same after noise on every coordinate,
and what the model makes of that. Stripes in the error are single atoms in the wrong place."""

FRESH_ONLY = """This installation holds no shipped weights, so the figures show the model that was trained for a
minute above. It knows five chains and nothing else: do not use it for anything."""

POOLED = """The inner maps of the network, averaged over partners, describe each residue by its surroundings;
averaged again, the whole chain."""

HEAT = f"""<b>One column for each residue</b> of {SHOWN_NAME}, one row for each channel, similar channels
together, each relative to its mean in this chain. Above, the distance to the third residue on: about 5 Å in a helix
(shaded), 10 Å in a strand."""

CHAINS = """<b>Every chain as one point,</b> in the plane of the two directions in which the vectors differ
most. Copies of one protein fall together, up to the differences between their places in the crystal. Longer
chains are larger points."""


@dataclass(frozen=True)
class Results:
    """What the commands of the demo made, and how long they took."""

    folder: Path
    structures: Sequence[Path]
    shipped: bool  # whether shipped weights were there and used
    seconds: dict[str, float]  # of each verb

    def lines(self, name: str) -> list[dict]:
        """Return a file of JSON lines."""
        return [json.loads(line) for line in (self.folder / name).read_text().splitlines()]

    def vectors(self, *, shipped: bool) -> Path:
        """Return the embedding file of one of the two models."""
        return self.folder / ("shipped.h5" if shipped else "fresh.h5")


def write_report(results: Results) -> Path:
    """Write the report and return its path."""
    chains, log = results.lines("inspect.jsonl"), results.lines("run/log.jsonl")
    page = Page(
        "From a file to a vector",
        "Two crystal structures were read, a model was trained on some of their chains for a minute, and every chain "
        "was embedded. All of it happened on this machine, just now, without a network.",
    )
    band(page, results, chains, log)
    reading(page, chains)
    preparing(page, json.loads((results.folder / "store" / "report.json").read_text()))
    learning(page, log)
    denoising(page, results)
    embedding(page, results)
    path = results.folder / "report.html"
    path.write_text(page.html())
    return path


def band(page: Page, results: Results, chains: Sequence[dict], log: Sequence[dict]) -> None:
    """Add the large numbers at the top."""
    best = min(line["loss"] for line in log if line["kind"] == "valid")
    residue, _, _ = residue_level(results, shipped=results.shipped)
    page.numbers(
        [
            (f"{len(chains)}", "protein chains read"),
            (f"{sum(chain['n_with_coordinates'] for chain in chains):,}", "residues with coordinates"),
            (f"{results.seconds['pretrain']:.0f} s", "of training"),
            (f"1.00 → {best:.2f}", "loss on an unseen protein"),
            (f"{residue.shape[1]}", "numbers for each residue"),
        ]
    )


def reading(page: Page, chains: Sequence[dict]) -> None:
    page.section("Read", UNTIDY)
    page.command("tertia inspect 2gtl.cif 7ok9.cif")
    rows = []
    for kind in dict.fromkeys(KIND_OF_CHAIN.values()):
        own = [chain for chain in chains if KIND_OF_CHAIN.get((chain["entry"], chain["chain"])) == kind]
        total = [sum(chain[column] for chain in own) for column in ("n_residues", "n_with_coordinates")]
        names = own[0]["chain"] + "–" + own[-1]["chain"]
        rows.append((kind, own[0]["entry"], f"{len(own)} ({names})", *total, sum(len(chain["gaps"]) for chain in own)))
    page.table(("protein", "entry", "chains", "residues", "with coordinates", "gaps"), rows)


def preparing(page: Page, report: dict) -> None:
    page.section("Prepare", COPIES)
    page.command("tertia prepare 2gtl.cif 7ok9.cif -o store --fractions 0.67 0.33 0 --seed 1")
    parts = [(name, part["clusters"], part["chains"], part["residues"]) for name, part in report["parts"].items()]
    page.table(("part", "clusters", "chains", "residues"), parts)
    what = {"duplicate": "copies of another chain", "min_length": "peptides shorter than 20 residues"}
    refused = ", ".join(f"{count} {what.get(rule, rule)}" for rule, count in report["rules"].items())
    page.text(f"Refused, each with its reason in <code>store/report.json</code>: {refused}.")


def learning(page: Page, log: Sequence[dict]) -> None:
    page.section("Learn", TASK)
    page.command("tertia pretrain distmap_tiny store=store -o run")
    train = [(line["step"], line["loss"]) for line in log if line["kind"] == "train"]
    valid = [line for line in log if line["kind"] == "valid"]
    curve = draw.loss_curves(*zip(*train, strict=True), [(line["step"], line["loss"]) for line in valid])
    page.figure(curve, LOSS, label="Training and validation loss against the optimiser step")
    levels = sorted((float(name), value) for name, value in valid[-1]["groups"].items())
    # Few examples fell on each of the 32 levels; four neighbours together are steadier.
    groups = np.array_split(np.array(levels), max(len(levels) // 4, 1))
    curve = draw.level_curve(*zip(*((np.exp(np.log(g[:, 0]).mean()), g[:, 1].mean()) for g in groups), strict=True))
    page.figure(curve, LEVELS, label="Validation loss against the noise level")


def denoising(page: Page, results: Results) -> None:
    name = "The shipped model" if results.shipped else "The model trained above"
    page.section(
        "Denoise",
        f"{name} moves the atoms of a perturbed chain back, one step at each noise level from {NOISE:g} to 0.1 Å "
        "(<code>tertia.models.distmap.langevin.refine</code>).",
    )
    model = "distmap" if results.shipped else str(results.folder / "run")
    shown = perturbed_and_denoised(chain_of(results.structures, SHOWN), model=model, sigma=NOISE)
    maps = {"native": shown.native, f"with noise, σ = {NOISE:g} Å": shown.noisy, "denoised": shown.denoised}
    note = (
        "right: error of the map above\n\nRMSD to the native chain\n"
        f"{shown.rmsd_noisy:.2f} Å with noise\n{shown.rmsd_denoised:.2f} Å denoised"
    )
    label = "Distance maps: native, with noise, denoised, and their errors"
    page.figure(draw.distance_maps(maps, note), MAPS, label=label)


def embedding(page: Page, results: Results) -> None:
    page.section("Embed", POOLED)
    page.command("tertia embed 2gtl.cif 7ok9.cif -o shipped.h5") if results.shipped else page.notice(FRESH_ONLY)
    page.command("tertia embed 2gtl.cif 7ok9.cif -o fresh.h5 --model run")
    page.figure(
        draw.residue_heat_map(*residue_level(results, shipped=results.shipped)),
        HEAT,
        label="Heat map of the residue embeddings under the local geometry",
    )
    which = [("the shipped model", True)] if results.shipped else []
    for title, shipped in [*which, ("the model trained for a minute", False)]:
        page.figure(
            draw.chain_map(*protein_level(results, shipped=shipped), title=f"By {title}"),
            CHAINS if shipped is results.shipped else "<b>The same</b> with the weights of section 3.",
            label=f"Map of the chains by their protein embeddings, {title}",
        )


def residue_level(results: Results, *, shipped: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the embedding of the shown chain (L, D), which residues were seen (L,), CA(i)-CA(i+3) in Å (L,)."""
    alpha = chain_of(results.structures, SHOWN).alpha
    with h5py.File(results.vectors(shipped=shipped)) as file:
        residue = file["_".join(SHOWN)]["residue"][:].astype(np.float32)
    turn = np.full(len(alpha), np.nan)
    turn[:-3] = np.linalg.norm(alpha[3:] - alpha[:-3], axis=1)
    return residue, np.isfinite(alpha[:, 0]), turn


def protein_level(results: Results, *, shipped: bool) -> tuple[np.ndarray, list[str], list[str], list[int]]:
    """Return protein vectors (n, D), chain names, kinds and lengths of all chains but the peptides."""
    rows = []
    with h5py.File(results.vectors(shipped=shipped)) as file:
        for (entry, chain), kind in KIND_OF_CHAIN.items():
            if kind != "pentaglycine":
                group = file[f"{entry}_{chain}"]
                rows.append((group["protein"][:].astype(np.float32), chain, kind, len(group["residue"])))
    vectors, names, kinds, lengths = zip(*rows, strict=True)
    return np.stack(vectors), list(names), list(kinds), list(lengths)


def chain_of(structures: Sequence[Path], key: tuple[str, str]) -> Chain:
    """Return one chain of the entries."""
    entry, name = key
    structure = read_structure(next(path for path in structures if path.stem == entry))
    return next(chain for chain in structure.chains if chain.id == name)
