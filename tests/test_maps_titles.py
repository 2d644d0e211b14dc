"""Names for the parts of a map: when one is given, and how often it is right."""

from collections import Counter

import pytest
import torch

from clipmini.tasks.maps import folder, titles
from demo_app.map import stored

PARTS, EACH = ("cat", "car", "tree", "sun", "hat", "key", "egg", "bus"), 7  # with their words 64 points: 8 parts
PLACES = torch.tensor([[9.0 * (i % 3), 9.0 * (i // 3)] for i in range(8)])


@pytest.fixture(scope="module")
def found():
    return folder.read(stored.shipped("emoji"))


def toy():
    """Eight parts of pictures and a word, each around an axis of its own -> (xy, level, pictures, names)."""
    noise, axes = torch.Generator().manual_seed(0), torch.eye(8, 16)
    pictures = axes.repeat_interleave(EACH, 0) + 0.05 * torch.randn(8 * EACH, 16, generator=noise)
    level = torch.nn.functional.normalize(torch.cat([pictures - pictures.mean(0), axes - axes.mean(0)]), dim=1)
    xy = torch.cat([PLACES.repeat_interleave(EACH, 0), PLACES])
    return xy + 0.1 * torch.randn(xy.shape, generator=noise), level, 8 * EACH, ["picture"] * 8 * EACH + list(PARTS)


def test_each_part_gets_the_word_that_is_its_own():
    xy, level, pictures, names = toy()
    found = titles.titles(xy, level, pictures, names)
    for title in found:
        nearest = (PLACES - torch.tensor([title.x, title.y])).norm(dim=1).argmin()
        assert title.en == PARTS[nearest] and title.zh == title.en
    assert len(found) >= 6 and len({title.en for title in found}) == len(found)


def test_a_part_without_a_word_of_its_own_gets_no_name():
    """The places say that there are eight parts; the vectors are all alike, or there are no words."""
    xy, level, pictures, names = toy()
    mixed = torch.nn.functional.normalize(torch.randn(level.shape, generator=torch.Generator().manual_seed(1)), dim=1)
    assert titles.titles(xy, mixed, pictures, names) == []
    assert titles.titles(xy[:pictures], level[:pictures], pictures, names[:pictures]) == []


def test_auc_and_clusters_are_those_of_scikit_learn():
    metrics, cluster = pytest.importorskip("sklearn.metrics"), pytest.importorskip("sklearn.cluster")
    generator = torch.Generator().manual_seed(2)
    for n in (5, 60, 400):
        scores, member = torch.rand(n, generator=generator), torch.rand(n, generator=generator) < 0.3
        member[:2] = torch.tensor([True, False])
        assert titles.auc(scores, member) == pytest.approx(metrics.roc_auc_score(member, scores))
    xy = toy()[0]
    ours, theirs = titles.clusters(xy, 8, seed=1), cluster.KMeans(8, n_init=10, random_state=0).fit_predict(xy)
    assert metrics.adjusted_rand_score(theirs, ours) == 1


def test_names_on_the_map_of_the_drawings_are_right(found):
    """A name is right where its own group (Unicode's, nine of them) is that of most members of its part. At least nine of
    ten are, of at least 30; a third of the parts gets one."""
    level, right, given, parts = folder.levels(found)[1], 0, 0, 0
    for name in ("umap", "umap without gap"):
        xy = found.maps[name]
        part = titles.clusters(xy, round(len(xy) ** 0.5))
        parts += len(part.unique())
        for title in titles.titles(xy, level, found.pictures, found.names):
            here = part == part[(xy - torch.tensor([title.x, title.y])).norm(dim=1).argmin()]
            group = Counter(found.groups[i] for i in here.nonzero().flatten().tolist()).most_common(1)[0][0]
            word = found.pictures + found.names[found.pictures:].index(title.en)
            right, given = right + (found.groups[word] == group), given + 1
    assert given >= 30 and right >= 0.9 * given and given >= parts / 4, (right, given, parts)


def test_the_shipped_names_are_in_two_languages_at_two_levels(found):
    for name in ("umap", "umap without gap"):
        big, fine = (found.titles[name][level] for level in folder.LEVELS)
        assert 10 <= len(big) < len(fine) and all(title.en.isascii() and not title.zh.isascii() for title in big + fine)
        low, high = found.maps[name].amin(0), found.maps[name].amax(0)
        assert all(low[0] <= title.x <= high[0] and low[1] <= title.y <= high[1] for title in big + fine)
