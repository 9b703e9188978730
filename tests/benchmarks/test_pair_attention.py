"""The benchmark of attention between chains finds what was planted, says null where nothing was, and runs."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace

import numpy as np
import pytest

from benchmarks import pair_attention, pair_attention_page
from benchmarks.complexes import Complex, contacts, touching, unlike
from benchmarks.contact_heads import (
    choose,
    corrected,
    drawn_cells,
    features_of,
    figures_of,
    fit_sparse,
    head_precisions,
    letter_rates,
    letter_scores,
    precision_of_best,
)
from tertia.models import Pairlm
from tertia.sequence import mmseqs
from tertia.tasks.metrics import Interval
from tertia.tasks.metrics.calibration import logistic
from tertia.training import checkpoint
from tests.structures import make_chain, pdb_text, polymer, random_sequence, random_walk_chain

N_HEADS = 5


@pytest.fixture(autouse=True)
def without_mmseqs(monkeypatch) -> None:
    """Few sequences are aligned faster than the program starts."""
    monkeypatch.setattr(mmseqs, "program", lambda: None)


def some_complex(seed: int, *, n_first: int = 31, n_second: int = 36) -> Complex:
    """Return two chains side by side, with some residues missing."""
    coord = random_walk_chain(40, seed)
    first = make_chain(n_first, seed, entry=f"c{seed:02d}", coord=coord[:n_first], missing=[4])
    second = make_chain(n_second, seed + 500, entry=first.entry, id="B", coord=coord[:n_second] + [0.0, 0.0, 5.0])
    return Complex((first, second), *contacts(first, second))


def planted(one: Complex, seed: int, *, head: int = 3) -> np.ndarray:
    """Return attention weights (heads, L, L) that are noise, but of one head, which knows the contacts."""
    n_first, n = len(one.chains[0]), sum(map(len, one.chains))
    maps = np.random.default_rng(seed).random((N_HEADS, n, n)).astype(np.float32)
    maps[head, :n_first, n_first:] += 3.0 * one.contact
    return maps / n


@dataclass(frozen=True)
class Letters:
    """A reader whose one head tells two letters, and which notes what it reads."""

    read: list

    def together(self, first, second) -> np.ndarray:
        self.read.append(second.sequence)
        codes = [np.frombuffer(chain.sequence.encode(), np.uint8).astype(float) for chain in (first, second)]
        return np.sin(codes[0][:, None] * codes[1])[None]


@dataclass(frozen=True)
class Staring:
    """A reader of which the second of two heads gives all of a chain to the residues that are listed for it."""

    wanted: dict

    def alone(self, chain) -> np.ndarray:
        out = np.full((2, len(chain), len(chain)), 0.01)
        out[1][:, self.wanted[chain.id]] = 0.9
        return out


def test_contacts_are_those_of_a_loop_over_residues() -> None:
    one = some_complex(1)
    centres = []
    for chain in one.chains:
        beta, alpha = chain.coord_of("CB", element="C"), chain.alpha
        centres.append([b if np.isfinite(b).all() else a for b, a in zip(beta, alpha, strict=True)])
        assert any(not np.isfinite(b).all() for b in beta)  # a glycine at least
    for i, j in np.ndindex(one.contact.shape):
        distance = np.linalg.norm(centres[0][i] - centres[1][j])
        assert one.contact[i, j] == (distance < 8.0) and one.seen[i, j] == np.isfinite(distance)
    assert not one.seen[4].any() and one.seen.sum() == one.seen.size - 36 and one.contact.sum() > 30


def test_a_file_gives_its_pairs_and_no_cluster_is_taken_twice(tmp_path) -> None:
    coord = random_walk_chain(30, 1)
    twin, far = random_sequence(30, 7), coord + 100.0
    kinds = {
        "a": [("A", 1, coord), ("B", 2, coord + [0, 0, 5.0]), ("C", 3, far)],  # C touches nobody
        "b": [("A", 1, coord), ("B", 4, coord + [0, 0, 5.0])],  # A is that of the first file
        "c": [("A", 5, coord), ("B", 5, coord + [0, 0, 5.0])],  # twice the same chain
        "d": [("A", 6, coord[:20]), ("B", 8, coord + [0, 0, 5.0])],  # A is too short
    }
    for name, chains in kinds.items():
        text = pdb_text([polymer(len(xyz), seed=seed, chain=id, coord=xyz) for id, seed, xyz in chains])
        (tmp_path / f"{name}.pdb").write_text(text)
    almost = twin[:14] + ("A" if twin[14] != "A" else "C") + twin[15:]  # both in one cluster
    pair = [
        polymer(30, chain="A", sequence=twin, coord=coord),
        polymer(30, chain="B", sequence=almost, coord=coord + 3.0),
    ]
    (tmp_path / "e.pdb").write_text(pdb_text(pair))
    (tmp_path / "f.pdb").write_text("no structure")
    found, count = touching([str(tmp_path)])
    assert [one.name for one in found] == ["a A B", "b A B", "e A B"]
    assert dict(count) == {
        "files": 5, "files that cannot be read": 1, "pairs that touch": 3, "pairs with too few contacts": 2,
        "pairs of equal chains": 1, "pairs with a chain too short or too long": 1,
    }  # fmt: skip
    kept, left_out, _ = unlike(found[::-1])
    assert [one.name for one in kept] == ["a A B"] and sum(left_out.values()) == 2 and len(left_out) == 2


def test_correction_takes_away_what_residues_get_anyway(generator) -> None:
    background = generator.random((2, 9, 1)) * generator.random((2, 1, 7))
    assert np.allclose(corrected(background), 0.0, atol=1e-12)
    background[:, 3, 5] += 1.0
    assert corrected(background)[0].argmax() == 3 * 7 + 5


def test_features_are_the_same_in_either_order_and_silent_heads_are_0() -> None:
    one = some_complex(2)
    maps, n_first = planted(one, 2), len(one.chains[0])
    maps[0] = 1e-3
    found = features_of(maps, n_first)
    turned = np.roll(maps, -n_first, axis=(1, 2))
    assert np.allclose(features_of(turned, len(one.chains[1])), found.swapaxes(1, 2), atol=1e-4)
    assert not found[0].any() and np.allclose(found[1:].std(axis=(1, 2)), 1.0, atol=1e-3)


def test_ties_among_the_best_count_by_their_mean(generator) -> None:
    truth, score = generator.random(50) < 0.3, generator.random(50)
    assert precision_of_best(truth, score, 8) == truth[np.argsort(-score)[:8]].mean()
    assert precision_of_best(truth, np.zeros(50), 8) == pytest.approx(truth.mean())
    assert precision_of_best(truth, score, 80) == pytest.approx(truth.mean())


def test_sparse_weights_meet_the_conditions_of_the_optimum(generator) -> None:
    from scipy.optimize import brentq

    rows, penalty = generator.normal(size=(400, 6)), 8.0
    label = (generator.random(400) < logistic(1.5 * rows[:, 2] - rows[:, 4] - 1.0)).astype(float)
    weight = fit_sparse(rows, label, penalty=penalty)
    assert weight[2] > 0.5 and weight[4] < -0.3
    offset = brentq(lambda c: (logistic(rows @ weight + c) - label).sum(), -9.0, 9.0)
    slope = rows.T @ (logistic(rows @ weight + offset) - label)
    assert np.all(np.abs(slope) < penalty + 0.1)
    used = np.abs(weight) > 1e-6
    assert np.allclose(slope[used], -penalty * np.sign(weight[used]), atol=0.1) and not used.all()
    assert np.abs(fit_sparse(rows, label, penalty=1e4)).max() < 1e-6


def test_the_head_that_knows_contacts_is_chosen_and_scores_them(generator) -> None:
    complexes = [some_complex(seed) for seed in range(6)]
    features = [features_of(planted(one, k), len(one.chains[0])) for k, one in enumerate(complexes)]
    half = np.arange(6) % 2
    precision = np.stack([head_precisions(one, each) for one, each in zip(complexes, features, strict=True)])
    cells = [drawn_cells(one, each, generator) for one, each in zip(complexes, features, strict=True)]
    chosen = [choose(precision[half != k], [cells[i] for i in np.flatnonzero(half != k)]) for k in (0, 1)]
    assert [one.head for one in chosen] == [3, 3]
    assert all(np.abs(one.weight).argmax() == 3 for one in chosen)
    found = pair_attention.score(complexes, half, chosen, lambda k: features[k])
    for values in found.values():
        assert values["AP"].min() > 0.95 and values["P@L/5"].min() == 1.0 and values["AUROC"].min() > 0.99
    noise = figures_of(complexes[0], features[0][1])
    assert abs(noise["AUROC"] - 0.5) < 0.2 and noise["AP"] < 5 * complexes[0].base_rate


def test_shuffled_scores_go_back_to_their_residues() -> None:
    complexes, reader = [some_complex(seed) for seed in range(3)], Letters([])
    features = pair_attention.shuffled(reader, complexes)(1)
    assert np.array_equal(features, Letters([]).together(*complexes[1].chains))
    second = complexes[1].chains[1].sequence
    assert reader.read[0] != second and sorted(reader.read[0]) == sorted(second)


@pytest.mark.parametrize("n", [4, 5])
def test_the_other_partner_is_never_the_right_one(n: int) -> None:
    complexes, reader = [some_complex(seed, n_second=33 + seed) for seed in range(n)], Letters([])
    features = pair_attention.other_partner(reader, complexes)
    for k, one in enumerate(complexes):
        assert features(k).shape[1:] == one.contact.shape
        own = one.chains[1].sequence
        others = [other.chains[1].sequence for other in complexes if other is not one]
        assert any(other.startswith(reader.read[k]) for other in others) and not own.startswith(reader.read[k])


def test_strong_weights_on_the_interface_are_counted_beside_what_is_expected() -> None:
    complexes = [some_complex(0), some_complex(0)]
    touched = {"A": complexes[0].contact.any(1), "B": complexes[0].contact.any(0)}
    found = pair_attention.on_interface(Staring(touched), complexes, np.arange(2) % 2)
    assert np.array_equal(found["hits"], found["strong"])
    n_touched, n_known = ([touched["A"].sum(), touched["B"].sum()], [30, 36])
    strong = [31 * n_touched[0], 36 * n_touched[1]]
    assert found["strong"].tolist() == [sum(strong)] * 2
    assert found["expected"][0] == pytest.approx(
        sum(s * t / k for s, t, k in zip(strong, n_touched, n_known, strict=True))
    )
    silent = pair_attention.on_interface(Staring({"A": [], "B": []}), complexes, np.arange(2) % 2)
    assert np.isnan(silent["strong"]).all()


def test_letters_that_touch_are_found_by_their_rates() -> None:
    one = some_complex(3)
    chains = tuple(replace(c, sequence="".join("ACDE"[k // 10] for k in range(len(c)))) for c in one.chains)
    marked = replace(one, chains=chains)
    rates = letter_rates([marked])
    assert np.allclose(rates, rates.T)
    assert figures_of(marked, letter_scores(marked, rates))["AP"] > 1.5 * one.base_rate


def test_the_verdict_follows_from_the_intervals() -> None:
    def gap(control: str, low: float, high: float) -> dict:
        interval = Interval((low + high) / 2, low, high, 0.95, 20, 2000, 0)
        return {"way": "best head", "control": control, "figure": "AP", "interval": interval}

    found = pair_attention_page.conclusions([gap("shuffled", 0.01, 0.2), gap("untrained", 0.02, 0.3)])
    assert len(found) == 1 and "contacts are found beyond every control" in found[0] and "null" not in found[0]
    found = pair_attention_page.conclusions([gap("shuffled", 0.01, 0.2), gap("x", -0.1, 0.1), gap("y", -0.3, -0.1)])[0]
    assert "null result" in found and "above shuffled; not told apart from x; below y" in found


def test_the_page_can_be_made(tmp_path) -> None:
    coord = random_walk_chain(34, 2)
    for k in range(12):
        pair = [
            polymer(34, seed=k, chain="A", coord=coord),
            polymer(34, seed=50 + k, chain="B", coord=coord + [0, 0, 5.0]),
        ]
        (tmp_path / f"c{k:02d}.pdb").write_text(pdb_text(pair))
    models = []
    for name, sizes in (("pairs", {"n_layers": 2}), ("singles", {"n_layers": 1})):
        family = Pairlm(architecture="roberta", width=16, n_heads=2, longest=80, **sizes)
        checkpoint.save(tmp_path / name, family, family.network().eval(), recipe="", meta={})
        models.append(str(tmp_path / name))
    (tmp_path / "known.fa").write_text(f">seen\n{random_sequence(34, 3)}\n")
    (tmp_path / "out").mkdir()
    page = tmp_path / "out" / "page.md"
    text = pair_attention.main([
        models[0], *(str(path) for path in sorted(tmp_path.glob("*.pdb"))), "--control", models[1],
        "--against", str(tmp_path / "known.fa"), "--page", str(page), "--write",
    ])  # fmt: skip
    assert (
        text.split("![")[0].strip() in page.read_text()
        and "12 complexes" in text
        and "without neighbours in training (11)" in text
    )
    rows = ("model", "other partner", "shuffled", "untrained", "single chains", "letters")
    assert all(f"| {row} |" in text for row in rows) and "Rule: attention finds contacts" in text
    told = json.loads(page.with_suffix(".json").read_text())
    assert set(told["rows"]) == set(rows) and len(told["complexes"]) == 12 and len(told["without_neighbours"]) == 11
    assert len(told["heads"]["model"]["AP"]) == 4 and len(told["heads"]["single chains"]["AP"]) == 2
    mean = np.mean(told["rows"]["model"]["best head"]["AP"])
    assert mean == pytest.approx(told["sets"]["all complexes"]["figures"]["model, best head"]["AP"]["value"], rel=1e-4)
