"""The shipped weights: complete, small, and better than nothing on proteins they have never seen."""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
import torch

import tertia
from tertia.models.distmap.langevin import denoise
from tertia.structure.sources import open_sources
from tests.structures import make_chain

WEIGHTS = Path(tertia.__file__).parent / "weights"


@pytest.mark.parametrize(
    ("model", "own"), [("distmap", {"leak_ledger.json"}), ("pairlm", {"leak_ledger.json.gz"})]
)
def test_the_folder_holds_card_ledger_and_training_chains_and_no_sequences(model, own):
    names = {path.name for path in (WEIGHTS / model).iterdir()}
    assert names == {"README.md", "model.json", "network.safetensors", "recipe.toml", "training_chains.txt"} | own
    assert max(path.stat().st_size for path in (WEIGHTS / model).iterdir()) < 16_000_000


def test_no_training_chain_was_refused_for_a_neighbour_among_the_test_proteins():
    ledger = json.loads((WEIGHTS / "distmap" / "leak_ledger.json").read_text())
    refused = {hit["chain"] for hit in ledger["refused"]}
    chains = set((WEIGHTS / "distmap" / "training_chains.txt").read_text().split())
    assert len(ledger["excluded"]) > 500 and len(chains) > 2000
    assert not refused & chains


def test_no_training_sequence_was_refused_for_a_neighbour_among_the_test_proteins():
    ledger = json.loads(gzip.decompress((WEIGHTS / "pairlm" / "leak_ledger.json.gz").read_bytes()))
    refused = {row[0] for row in ledger["refused"]}
    chains = set((WEIGHTS / "pairlm" / "training_chains.txt").read_text().split())
    assert len(ledger["excluded"]) > 17_000 and len(refused) > 29_000 and len(chains) > 30_000
    assert not refused & chains


@pytest.mark.parametrize("sigma", [0.1, 0.3, 1.0])
def test_noise_on_a_trace_is_taken_off(sigma):
    """Bonds of 3.8 Angstrom are what every C-alpha trace shares; a network that learned anything restores them."""
    trained = tertia.load("distmap")
    chain = make_chain(60, seed=3)
    noisy = chain.alpha + sigma * np.random.default_rng(0).standard_normal(chain.alpha.shape).astype(np.float32)
    cleaned = denoise(trained.family, trained.network, noisy, chain.sequence, sigma=sigma)
    bonds = [np.linalg.norm(np.diff(coord, axis=0), axis=1) for coord in (noisy, cleaned)]
    before, after = (np.abs(one - 3.8).mean() for one in bonds)
    assert after < 0.6 * before


def test_embeddings_are_standardised_and_use_many_dimensions():
    from tertia.training.validation import effective_dimension

    embeddings = [tertia.embed(make_chain(80, seed=seed))[0] for seed in range(6)]
    rows = np.concatenate([one.residue for one in embeddings])
    assert 0.05 < rows.std() < 10.0 and np.isfinite(rows).all()
    assert effective_dimension(torch.from_numpy(rows)) > 5.0


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_narrow_convolutions_turn_embeddings_by_less_than_a_degree(precision, shared_data):
    chains = some_chains(shared_data)
    exact, narrow = (tertia.embed(chains, precision=one) for one in ("fp32", precision))
    for a, b in zip(exact, narrow, strict=True):
        one, two = a.residue[a.seen], b.residue[a.seen]
        cosine = (one * two).sum(1) / np.linalg.norm(one, axis=1) / np.linalg.norm(two, axis=1)
        assert cosine.mean() > 0.9999


def test_hidden_residues_of_unseen_proteins_are_told_better_than_by_composition(shared_data):
    """CASP12's proteins were kept out of the training with all their relatives; 1 is what composition gives."""
    from tertia.data.batch import collate
    from tertia.tasks.secondary_structure.tables import read_casp12

    trained, generator = tertia.load("pairlm"), np.random.default_rng(0)
    chains = [one.chains[0] for one in read_casp12(shared_data / "secondary_structure")]
    pairs = [trained.family.corrupt(trained.family.featurise(chain), generator) for chain in chains for _ in range(3)]
    noisy, target = (collate(list(part)) for part in zip(*pairs, strict=True))
    with torch.inference_mode():
        loss = trained.family.loss(trained.network, noisy, target)
    assert loss.per_example.mean() < 0.99


def test_the_language_model_gives_one_standardised_row_a_residue():
    chain = make_chain(300, seed=1)
    one = tertia.embed(chain, model="pairlm")[0]
    assert len(one.residue) == 300 and np.isfinite(one.residue).all() and 0.05 < one.residue.std() < 10.0


def some_chains(shared_data):
    """Return three short real chains."""
    chains = []
    for source in open_sources([str(shared_data / "structures" / "structures-002.tar.xz")]):
        found = tertia.read_structure(source).chains if source.name.endswith(".pdb") else ()
        chains += [chain for chain in found if 40 < chain.seen.sum() < 90][:1]
        if len(chains) == 3:
            break
    return chains
