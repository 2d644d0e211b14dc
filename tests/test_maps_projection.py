"""The map: the same each time, faithful to neighbours, and bad points are told."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from clipmini.tasks.maps import projection
from clipmini.tasks.maps.projection import MapError


def groups(n: int = 30, kinds: int = 4, seed: int = 0, width: int = 16):
    """Unit vectors in clusters -> (vectors, number of the cluster)."""
    g = torch.Generator().manual_seed(seed)
    centres = torch.randn(kinds, width, generator=g)
    kind = torch.arange(n * kinds) % kinds
    return F.normalize(centres[kind] + 0.25 * torch.randn(len(kind), width, generator=g), dim=1), kind


def test_pca_is_scikit_learns():
    from sklearn.decomposition import PCA

    vectors, _ = groups()
    ours, theirs = projection.pca(vectors).numpy(), PCA(2).fit_transform(vectors.numpy())
    for k in range(2):
        assert min(np.abs(ours[:, k] - theirs[:, k]).max(), np.abs(ours[:, k] + theirs[:, k]).max()) < 1e-5


@pytest.mark.parametrize("n", [1, 2, 3, 5, 7])
def test_few_points_and_equal_ones(n):
    vectors = F.normalize(torch.randn(n, 6, generator=torch.Generator().manual_seed(1)), dim=1)
    assert projection.umap(vectors).shape == projection.pca(vectors).shape == (n, 2)
    assert torch.isfinite(projection.umap(vectors)).all()
    same = vectors[:1].repeat(n, 1)
    assert not projection.pca(same).any() and not projection.umap(same).any()
    assert not projection.umap(vectors[:1].repeat(20, 1)).any()


def test_umap_keeps_clusters_and_is_the_same_twice():
    from sklearn.manifold import trustworthiness

    vectors, kind = groups()
    xy = projection.umap(vectors, seed=3)
    assert torch.equal(xy, projection.umap(vectors, seed=3))
    assert trustworthiness(vectors.numpy(), xy.numpy(), n_neighbors=10, metric="cosine") > 0.8
    near = torch.cdist(xy, xy).topk(6, largest=False).indices[:, 1:]
    assert (kind[near] == kind[:, None]).float().mean() > 0.95


def test_neighbours_are_exact():
    vectors, _ = groups()
    indices, distances = projection.nearest(vectors[:7], vectors, 5)
    cosines = vectors[:7] @ vectors.t()
    assert torch.equal(indices[:, 0], torch.arange(7))
    torch.testing.assert_close(1 - distances, cosines.sort(dim=1, descending=True).values[:, :5], rtol=0, atol=1e-6)


@settings(deadline=None)
@given(st.integers(0, 10_000))
def test_a_new_point_lands_inside_its_neighbours_hull(seed):
    from scipy.spatial import Delaunay

    vectors, _ = groups(20)
    g = torch.Generator().manual_seed(seed)
    xy, new = torch.randn(80, 2, generator=g), F.normalize(torch.randn(3, 16, generator=g), dim=1)
    placed = projection.place(new, vectors, xy)
    indices, _ = projection.nearest(new, vectors, projection.NEIGHBOURS)
    for point, rows in zip(placed, indices, strict=True):
        assert Delaunay(xy[rows].numpy()).find_simplex(point.numpy()) >= 0


def test_a_known_point_lands_near_itself():
    vectors, _ = groups()
    xy = projection.pca(vectors)
    assert (projection.place(vectors, vectors, xy) - xy).norm(dim=1).median() < 0.35 * xy.std()


def test_the_gap_is_measured_and_taken_out():
    images, _ = groups(seed=1)
    texts = F.normalize(images + torch.full((16,), 0.5), dim=1)
    assert projection.modality_gap(images, texts) == pytest.approx((images.mean(0) - texts.mean(0)).norm().item())
    a, b = projection.without_gap(images, texts)
    assert projection.modality_gap(a, b) < 0.2 * projection.modality_gap(images, texts)
    torch.testing.assert_close(a.norm(dim=1), torch.ones(len(a)))


def test_aligned_maps_do_not_jump():
    g = torch.Generator().manual_seed(0)
    first = torch.randn(40, 2, generator=g)
    turn = torch.tensor([[0.0, -1.0], [1.0, 0.0]])
    moved = 3 * (first @ turn) * torch.tensor([1.0, 1.0]) + 7
    mirrored = first * torch.tensor([-1.0, 1.0])
    for again in projection.aligned([first, moved, mirrored])[1:]:
        torch.testing.assert_close(again, first - first.mean(0), rtol=0, atol=1e-4)


def test_a_film_has_a_map_for_each_step():
    vectors, _ = groups()
    noise = F.normalize(torch.randn(vectors.shape, generator=torch.Generator().manual_seed(5)), dim=1)
    steps = [F.normalize(a * vectors + (1 - a) * noise, dim=1) for a in (0.3, 0.7, 1.0)]
    maps = projection.film(steps)
    assert [m.shape for m in maps] == [(120, 2)] * 3 and all(torch.isfinite(m).all() for m in maps)
    still = projection.umap(steps[2])
    torch.testing.assert_close(maps[2], still - still.mean(0), rtol=0, atol=1e-5)  # the last one is the map as it is
    moved = [(b - a).norm(dim=1).mean() / b.std() for a, b in zip(maps, maps[1:], strict=False)]
    assert moved[1] < 1.2  # points move, the whole map does not turn over


def test_a_kept_map_is_not_made_again(tmp_path, monkeypatch, capsys):
    vectors, _ = groups()
    first = projection.project(vectors, "umap", cache=tmp_path)
    monkeypatch.setattr(projection, "umap", None)
    assert torch.equal(projection.project(vectors, "umap", cache=tmp_path), first)
    with pytest.raises(TypeError):  # other content: it would be made
        projection.project(vectors[:-1], "umap", cache=tmp_path)
    file, = tmp_path.glob("map-*.npy")
    file.write_bytes(file.read_bytes()[:40])
    monkeypatch.setattr(projection, "umap", lambda vectors, seed: first)
    assert torch.equal(projection.project(vectors, "umap", cache=tmp_path), first)  # a damaged file is made anew
    assert np.load(file).shape == (120, 2)
    whole = file.read_bytes()
    file.write_bytes(whole[:400] + bytes(16) + whole[416:])  # finite numbers still, and others
    assert torch.equal(projection.project(vectors, "umap", cache=tmp_path), first)
    assert "does not fit its checksum; making it anew" in capsys.readouterr().err and file.read_bytes() == whole


@pytest.mark.parametrize("points, told", [
    (torch.full((3, 4), float("nan")), "row 0 holds NaN or infinite numbers .3 such rows"),
    (torch.zeros(0, 4), "N from 1 to 50,000"),
    (torch.zeros(50_001, 2), r"\(50001, 2\).*Take a sample"), (torch.zeros(4), "map wants")])
def test_points_that_are_none(points, told):
    with pytest.raises(MapError, match=told):
        projection.project(points)
    with pytest.raises(MapError, match="no map 'tsne'"):
        projection.project(torch.eye(3), "tsne")
