"""Linear probes: against closed truths, and with the test rows out of reach."""

import pytest
import torch
import torch.nn.functional as F

from clipmini.tasks import probe


def clouds(n: int, classes: int = 3, width: int = 8, apart: float = 3.0, seed: int = 0):
    """n rows around one corner for each class."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(n) % classes
    return torch.randn(n, width, generator=generator) + apart * torch.eye(classes, width)[labels], labels


def test_a_probe_separates_what_a_plane_can_and_nothing_else():
    features, labels = clouds(300, apart=8.0)
    assert probe.accuracy(probe.fit(features, labels), *clouds(300, apart=8.0, seed=1)) > 0.99
    noise = torch.randn(300, 8, generator=torch.Generator().manual_seed(5))
    assert probe.accuracy(probe.fit(noise, labels), torch.randn(3000, 8), torch.arange(3000) % 3) < 0.4


def test_strength_is_the_inverse_of_weight_decay():
    features, labels = clouds(60)
    weak, strong = (abs(probe.fit(features, labels, c).coef_).mean() for c in (0.001, 100.0))
    assert weak < 0.1 * strong


def test_few_rows_takes_k_of_each_class_and_all_of_a_small_one():
    labels = torch.tensor([0] * 10 + [1] * 2 + [5] * 4)
    rows = probe.few_rows(labels, 3)
    assert labels[rows].bincount()[[0, 1, 5]].tolist() == [3, 2, 3]
    assert rows.tolist() == sorted(set(rows.tolist())) and torch.equal(rows, probe.few_rows(labels, 3))
    assert not torch.equal(probe.few_rows(labels, 3, seed=1), rows)


def test_the_curve_rises_with_k_and_never_trains_on_test_rows():
    features, labels = clouds(600, classes=6, apart=2.0)
    found = probe.few_shot(features[:300], labels[:300], features[300:], labels[300:], ks=(1, 8, 40))
    assert [s.k for s in found] == [1, 8, 40] and found[0].mean < found[1].mean < found[2].mean
    assert all(s.low <= s.mean <= s.high for s in found) and found[0].low < found[0].high
    shuffled = labels[300:][torch.randperm(300, generator=torch.Generator().manual_seed(0))]
    assert probe.few_shot(features[:300], labels[:300], features[300:], shuffled, ks=(40,))[0].mean < 0.3


def test_the_sweep_prefers_what_generalises():
    features, labels = clouds(90, width=60, apart=1.5)
    found = probe.sweep(features, labels, strengths=(1e-6, 0.1))
    assert found[0.1] > 0.5 and set(found) == {1e-6, 0.1}
    noise = torch.randn(90, 100, generator=torch.Generator().manual_seed(2))  # learnt by heart at will, nothing in it
    assert probe.accuracy(probe.fit(noise, labels, 100.0), noise, labels) == 1.0
    assert probe.sweep(noise, labels, strengths=(100.0,))[100.0] < 0.6
    with pytest.raises(ValueError, match="a class has 2 rows, fewer than 5 folds"):
        probe.sweep(features[:8], torch.tensor([0, 0, 0, 0, 0, 0, 1, 1]))


def test_rows_that_do_not_match_are_named():
    features, labels = clouds(30)
    with pytest.raises(ValueError, match="30 vectors and 29 labels of 3 classes"):
        probe.fit(features, labels[:29])
    with pytest.raises(ValueError, match="of 1 classes"):
        probe.fit(features, torch.zeros(30, dtype=torch.long))


def test_the_probe_of_a_command_is_chosen_on_the_training_rows_alone(monkeypatch):
    generator = torch.Generator().manual_seed(0)
    centres = torch.randn(3, 8, generator=generator)
    labels = torch.arange(60) % 3
    features = F.normalize(centres[labels] + 0.4 * torch.randn(60, 8, generator=generator), dim=1)
    found = probe.probed(features[:45], labels[:45], features[45:], labels[45:])
    best = probe.sweep(features[:45], labels[:45], folds=5)
    seen, sweep = [], probe.sweep
    monkeypatch.setattr(probe, "sweep", lambda x, y, **options: seen.append(x) or sweep(x, y, **options))
    assert probe.probed(features[:45], labels[:45], features[45:], labels[45:]) == found
    assert len(seen) == 1 and torch.equal(seen[0], features[:45])
    assert found.strength == max(best, key=lambda c: best[c]) and (found.n, found.classes) == (15, 3)
    fitted = probe.fit(features[:45], labels[:45], found.strength)
    assert found.share == probe.accuracy(fitted, features[45:], labels[45:]) and found.low < found.share <= found.high
    assert [s.k for s in found.shots] == [1, 2, 4, 8]
    said = probe.told(found)
    assert f"linear probe: {found.share:.1%}" in said and len(said.splitlines()) == 6
    single = torch.tensor([0, 1, 2])
    assert probe.probed(features[:3], single, features[45:], labels[45:]).shots == []  # a row a class: nothing to choose by
