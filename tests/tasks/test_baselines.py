"""Baselines and audits: by hand, against scikit-learn and plain loops, and on the real proteins of two tasks."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from tertia.data.example import Example
from tertia.sequence.fasta import Record
from tertia.structure.read_sequences import sequence_chain
from tertia.tasks import audit, baselines
from tertia.tasks.metrics import accuracy

A, B, C, D = "MKTAYIAKQRQISFVK", "GSHMLEDPVDAWWRRC", "ACDEFGHIKLMNPQRS", "TTWWYYVVFFLLIIKK"


def example(*sequences: str, target: float | list[float] = 0.0) -> Example:
    chains = tuple(sequence_chain(Record(sequence[:4], sequence)) for sequence in sequences)
    return Example("/".join(sequences), chains, np.atleast_1d(np.asarray(target, dtype=float)))


def random_proteins(generator: np.random.Generator, n: int) -> list[str]:
    return ["".join(generator.choice(list("ACDEFGHIKLMNPQRSTVWYX"), generator.integers(5, 40))) for _ in range(n)]


def test_majority_leaves_unknown_classes_out() -> None:
    train = [example(A, target=1), example(B, target=1), example(C, target=2), example(D, target=np.nan)]
    assert baselines.majority(train, [example(A), example(B)], n_classes=4).tolist() == [[0, 2 / 3, 1 / 3, 0]] * 2
    with pytest.raises(ValueError, match="no example has a class"):
        baselines.class_shares(train[3:], n_classes=4)


def test_letters_of_residues_by_hand() -> None:
    train = [example("AAAC", target=[0, 0, 1, np.nan])]
    (found,) = baselines.letter_classes(train, [example("CAW")], n_classes=2)
    assert found == pytest.approx(np.array([[2 / 3, 1 / 3]] * 3))  # C is not known, A is 0, 0, 1, W never seen
    (found,) = baselines.letter_classes([*train, example("C", target=[1])], [example("CAW")], n_classes=2)
    assert found == pytest.approx(np.array([[0, 1], [2 / 3, 1 / 3], [0.5, 0.5]]))


def test_composition_by_hand_and_in_either_order() -> None:
    (row,) = baselines.composition([example("AAUC")])
    assert (row[0], row[1], row[20], row[21]) == pytest.approx((0.5, 0.25, 0.25, np.log(4)))
    assert row[:21].sum() == pytest.approx(1.0)
    pair, turned = baselines.composition([example(A, B), example(B, A)])
    assert np.array_equal(pair, turned) and len(pair) == 44


def test_logistic_regression_as_scikit_learn(generator: np.random.Generator) -> None:
    features, classes = generator.normal(size=(200, 4)), generator.integers(3, size=200)
    features[:, 0] += classes
    features[:, 3] = 7.0  # constant
    fitted = baselines.fit_logistic(features, classes, n_classes=3)
    scaled = (features - fitted.mean) / fitted.scale
    expected = LogisticRegression(C=1.0, tol=1e-8, max_iter=1000).fit(scaled, classes).predict_proba(scaled)
    assert fitted(features) == pytest.approx(expected, abs=1e-3)
    assert np.isfinite(fitted(1e6 * features)).all()


def test_degrees_by_hand() -> None:
    train = [example(A, B, target=1), example(A, C, target=1), example(B, C, target=0)]
    found = baselines.degree_scores(train, [example(A, D), example(D, D), example(B, B), example(C, A)])
    assert found == pytest.approx([3 / 4, 1 / 2, 1 / 2, 3 / 4])


def test_shared_words_as_sets(generator: np.random.Generator) -> None:
    targets, queries = random_proteins(generator, 40), [*random_proteins(generator, 30), "AC", A]
    targets.append(A)
    found = baselines.nearest_by_words(queries, targets, word=2, most=len(targets)).toarray()
    pairs = [{s.replace("U", "X")[k : k + 2] for k in range(len(s) - 1)} for s in queries + targets]
    expected = [[len(q & t) / max(len(q | t), 1) for t in pairs[len(queries) :]] for q in pairs[: len(queries)]]
    assert found == pytest.approx(np.array(expected), abs=1e-6)
    nearest = baselines.nearest_by_words(queries, targets, word=2, most=3).toarray()
    assert (np.count_nonzero(nearest, axis=1) <= 3).all()
    assert nearest.max(axis=1) == pytest.approx(found.max(axis=1))
    assert baselines.nearest_by_words(["AC"], targets, word=3).nnz == 0  # shorter than a word


def test_the_nearest_protein_gives_its_class() -> None:
    train = [example(A, target=0), example(B, target=1), example(C, target=1)]
    found = baselines.neighbour_classes(train, [example(A[:12]), example(B[2:]), example("WWWWWW")], n_classes=3)
    assert found == pytest.approx(np.array([[1, 0, 0], [0, 1, 0], [1 / 3, 2 / 3, 0]]))


def test_pairs_of_neighbours_as_a_loop(generator: np.random.Generator) -> None:
    proteins, others = random_proteins(generator, 12), random_proteins(generator, 8)
    draw = [(generator.integers(12, size=2), float(generator.integers(2))) for _ in range(30)]
    train = [example(proteins[i], proteins[j], target=label) for (i, j), label in draw]
    test = [example(others[i], others[j]) for i, j in generator.integers(8, size=(25, 2))]
    near = baselines.nearest_by_words(others, proteins, word=1, most=12).toarray()
    similarity = {(a, b): near[i, j] for i, a in enumerate(others) for j, b in enumerate(proteins)}
    expected = []
    for pair in test:
        a, b = (chain.sequence for chain in pair.chains)
        weights = [
            sum(similarity[a, c] * similarity[b, d] for c, d in ((x, y), (y, x)))
            for x, y in ([chain.sequence for chain in known.chains] for known in train)
        ]
        expected.append(np.average([known.target[0] for known in train], weights=weights))
    assert baselines.neighbour_pairs(train, test, word=1, most=12) == pytest.approx(expected, abs=1e-5)
    assert baselines.neighbour_pairs(train, [example("W", "W")], word=3) == pytest.approx(
        [np.mean([known.target[0] for known in train])]
    )


def test_overlaps_and_repeats_by_hand() -> None:
    splits = {"train": [example(A, B, target=1), example(B, A, target=0), example(C, C, target=1)]}
    splits["test"] = [example(B, A), example(A, D), example(D, D)]
    (found,) = audit.overlaps(splits, identity=0.9, tool="builtin")
    assert found == audit.Overlap("train", "test", n_sequences=2, n_examples=2, n_pairs=1, n_clusters=2)
    assert audit.overlaps(splits)[0].n_clusters is None
    assert audit.repeats(splits["train"]) == audit.Repeats(n_repeats=1, n_contradictions=1, n_with_itself=1)
    kept, shared = audit.without_shared_sequences(splits["test"], splits["train"])
    assert (kept, shared) == (splits["test"][2:], splits["test"][:2])
    kept, shared = audit.without_shared_pairs(splits["test"], splits["train"])
    assert (kept, shared) == (splits["test"][1:], splits["test"][:1])


def test_degrees_tell_hubs_of_one_label(generator: np.random.Generator) -> None:
    names = random_proteins(generator, 60)
    hubs = [example(names[0], name, target=1) for name in names[1:30]]
    rest = [example(a, b, target=0) for a, b in pairwise(names[30:])]
    uneven = audit.degrees(hubs + rest)
    assert uneven.p < 0.01 and uneven.auroc > 0.9 and uneven.n_proteins == 60
    ring = list(zip(names, names[1:] + names[:1], strict=True))
    even = audit.degrees([example(a, b, target=k % 2) for k, (a, b) in enumerate(ring)])
    assert (even.mean_positive, even.mean_negative, even.statistic, even.auroc) == (1.0, 1.0, 0.0, 0.5)
    with pytest.raises(ValueError, match="no pairs"):
        audit.degrees([])


def test_a_cut_by_cluster_parts_no_cluster() -> None:
    examples = [example(sequence[k:]) for sequence in (A * 4, B * 4, C * 4, D * 4) for k in range(3)]
    train, valid = audit.cut_by_cluster(examples, share=0.4, identity=0.5, tool="builtin")
    assert len(train) + len(valid) == 12 and train and valid
    assert not {e.sequence[-16:] for e in train} & {e.sequence[-16:] for e in valid}
    with pytest.raises(ValueError, match="no cluster"):
        audit.cut_by_cluster([example(A, B)])


def test_real_proteins_are_placed_better_than_by_majority(shared_data: Path) -> None:
    from tertia.tasks.localisation.tables import PLACES, read_places

    found = read_places(shared_data / "localization")
    train, test = found["train"][::8], found["valid"][::8]
    truth = np.array([protein.target[0] for protein in test])
    placed = {
        name: accuracy(truth, score.argmax(axis=1))
        for name, score in (
            ("majority", baselines.majority(train, test, n_classes=len(PLACES))),
            ("composition", baselines.composition_classes(train, test, n_classes=len(PLACES))),
            ("neighbour", baselines.neighbour_classes(train, test, n_classes=len(PLACES))),
        )
    }
    assert placed["majority"] < placed["composition"] - 0.1 and placed["majority"] < placed["neighbour"] - 0.05
    (shared,) = audit.overlaps({name: found[name] for name in ("train", "valid")})
    assert (shared.n_sequences, shared.n_examples) == (5, 5)
