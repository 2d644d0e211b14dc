"""Heatmaps: every method on every tower, against slow oracles, and what can't be drawn is told."""

import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from clipmini.config import CLIPConfig, TextConfig, VisionConfig
from clipmini.embedder import Embedder
from clipmini.image import ImageError
from clipmini.model import CLIP
from clipmini.tasks.classify import build_classifier
from clipmini.tasks.heatmap import METHODS, HeatmapError, Score, heatmap, score, word_relevance
from clipmini.tasks.heatmap import methods as H
from clipmini.tasks.prompts import EVERYDAY_WORDS, PromptError
from clipmini.vision import as_grid
from foreign import shake
from test_embedder import picture

PHRASES = ["red cat", "blue square", "dog"]
TOWERS = {"vit": VisionConfig("vit", 32, 32, 3, 4, 8), "resnet": VisionConfig("resnet", 64, 8, (1, 1, 1, 1), 8),
          "light": VisionConfig("light", 32, 8, (1, 1, 1, 1))}


@pytest.fixture(scope="module")
def models(tokenizer):
    """An Embedder with random weights for each kind of tower."""
    torch.manual_seed(3)
    ids = {name: getattr(tokenizer, name) for name in ("vocab_size", "context_length", "sot_id", "eos_id", "pad_id")}
    text = TextConfig("transformer", width=32, layers=2, heads=2, **ids)
    return {kind: Embedder(shake(CLIP(CLIPConfig(vision, text, 16))).requires_grad_(False), tokenizer, kind)
            for kind, vision in TOWERS.items()}


def view(embedder, image=None, phrases=PHRASES):
    image = H.squared(image or picture(50, 50), embedder.config.vision.mean)
    texts, neutral = embedder.embed_texts(phrases), embedder.embed_texts(["thing", "stuff"])
    return H.View(embedder, image, H.default_size(embedder), texts, neutral)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", TOWERS)
def test_every_method_gives_maps_of_one_shape_and_range(models, kind, method):
    if (kind, method) == ("light", "relevance"):
        with pytest.raises(HeatmapError, match="no attention to weigh; choose gradcam"):
            heatmap(models[kind], picture(60, 30), PHRASES, method)
        return
    found = heatmap(models[kind], picture(60, 30), PHRASES, method)
    assert found.maps.shape == (3, 112, 224) and found.maps.dtype == torch.float32 and found.method == method
    assert found.cells.shape[0] == 3 and found.cells.shape[1] == found.cells.shape[2] >= 12
    for map_ in found.maps:
        assert (map_.min(), map_.max()) == (0, 1) or not map_.any()
    again = heatmap(models[kind], picture(60, 30), PHRASES, method)
    assert torch.equal(again.maps, found.maps)


def test_everyday_words_are_embedded_once_by_who_maps_many_pictures(models, monkeypatch):
    e, asked = models["light"], []
    everyday = build_classifier(e, EVERYDAY_WORDS, ["a {}"])
    expected = heatmap(e, picture(30, 30), PHRASES, "surgery", ["a {}"])
    monkeypatch.setattr(e, "embed_texts", lambda texts, embed=e.embed_texts: (asked.extend(texts), embed(texts))[1])
    found = heatmap(e, picture(30, 30), PHRASES, "surgery", ["a {}"], everyday=everyday)
    assert torch.equal(found.maps, expected.maps) and asked == [f"a {phrase}" for phrase in PHRASES]
    other = heatmap(e, picture(30, 30), PHRASES, "surgery", ["a {}"], everyday=everyday[:5])
    assert not torch.equal(other.cells, expected.cells)  # they are used


@pytest.mark.parametrize("kind", ["vit", "resnet"])
def test_at_the_own_size_positions_are_the_own(models, kind):
    tower, size = models[kind].model.visual, TOWERS[kind].image_size
    pixels = torch.randn(2, 3, size, size)
    if kind == "vit":
        cells = torch.cat([tower.class_embedding.expand(2, 1, -1), tower.embed_patches(pixels)], dim=1)
        assert torch.equal(tower.tokens(pixels), tower.ln_pre(cells + tower.positional_embedding))
        assert tower.tokens(torch.randn(1, 3, 48, 48)).shape == (1, 37, 32)
    else:
        torch.testing.assert_close(tower.forward_features(pixels)["features"], tower(pixels), rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", TOWERS)
def test_the_score_that_is_differentiated_is_the_models_own(models, kind):
    e = models[kind]
    pixels = torch.randn(1, 3, e.config.vision.image_size, e.config.vision.image_size)
    features = e.model.visual.forward_features(pixels)["features"]
    torch.testing.assert_close(F.normalize(features, dim=-1), e.model.encode_image(pixels), rtol=0, atol=1e-5)


def test_value_is_a_token_that_sees_itself_only(models):
    """Against torch's own attention with a mask that leaves each token itself."""
    tower = models["vit"].model.visual
    pixels = torch.randn(1, 3, 32, 32)
    x = tower.tokens(pixels)
    for block in tower.transformer.resblocks[:-1]:
        x = block(x)
    last = tower.transformer.resblocks[-1]
    alone = last(x, mask=torch.eye(x.shape[1], dtype=torch.bool))
    expected = (tower.ln_post(alone) @ tower.proj)[0, 1:]
    torch.testing.assert_close(tower.value_cells(pixels)[0], expected, rtol=0, atol=1e-5)


def test_relevance_against_a_slow_oracle(models):
    """Chefer's rule, written with numbers in loops: attention nudged at one place at a time gives its gradient."""
    e = models["vit"]
    v = view(e, phrases=["red cat"])
    v = H.View(e, v.image, 16, v.texts.double(), v.neutral)  # 2 x 2 patches: 5 tokens
    tower = e.model.visual.double()
    try:
        pixels = v.pixels().double()
        blocks = tower.transformer.resblocks

        def score(nudge=None):
            x = tower.tokens(pixels)
            attentions = []
            for b, block in enumerate(blocks):
                q, k, val = block.attn.project(block.ln_1(x))
                a = torch.softmax(q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5, dim=-1)
                if nudge is not None and nudge[0] == b:
                    a = a.clone()
                    a[0, nudge[1], nudge[2], nudge[3]] += nudge[4]
                attentions.append(a)
                x = x + block.attn.merge(a @ val)
                x = x + block.mlp(block.ln_2(x))
            feature = (tower.ln_post(x[:, 0]) @ tower.proj)[0]
            return (feature / feature.norm()) @ v.texts[0], attentions

        _, attentions = score()
        R = torch.eye(5, dtype=torch.double)
        for b, a in enumerate(attentions):
            mean = torch.zeros(5, 5, dtype=torch.double)
            for h in range(4):
                for i in range(5):
                    for j in range(5):
                        gradient = (score((b, h, i, j, 1e-5))[0] - score((b, h, i, j, -1e-5))[0]) / 2e-5
                        mean[i, j] += max(float(gradient * a[0, h, i, j]), 0.0) / 4
            R = R + mean @ R
        named = tower.forward_features(pixels.requires_grad_())
        cosine = (F.normalize(named["features"], dim=-1) @ v.texts.t())[0, 0]
        ours = torch.eye(5, dtype=torch.double)
        for a, g in zip(named["attentions"], torch.autograd.grad(cosine, named["attentions"]), strict=True):
            ours = ours + (a * g).clamp(min=0).mean(1)[0] @ ours
        torch.testing.assert_close(ours, R, rtol=1e-4, atol=1e-8)
    finally:
        e.model.visual.float()
    v = H.View(e, v.image, 16, v.texts.float(), v.neutral)
    torch.testing.assert_close(H.relevance(v)[0].flatten().double(), R[0, 1:], rtol=2e-3, atol=1e-6)


@pytest.mark.parametrize("kind", TOWERS)
def test_gradcam_against_finite_differences(models, kind):
    """Nudge the last map of one channel everywhere: the slope of the cosine is the sum of that channel's gradient."""
    e = models[kind]
    v = view(e, phrases=["red cat"])
    read = v.tower.forward_features(v.pixels())["read"]
    cells = (read[:, 1:] if kind == "vit" else read).detach().double()
    model = e.model.visual.double()
    try:
        P, C = cells.shape[1:]
        side = int(P**0.5)

        def cosine(nudged):
            if kind == "light":
                feature = model.proj(nudged.mean(1))
            elif kind == "resnet":
                pool = model.attnpool
                x = model.pool_tokens(as_grid(nudged))
                q, k, val = model.heads(pool.q_proj(x[:, :1])), model.heads(pool.k_proj(x)), model.heads(pool.v_proj(x))
                a = (q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5).softmax(-1)
                feature = pool.c_proj((a @ val).transpose(1, 2).flatten(2))[:, 0]
            else:
                x = model.tokens(v.pixels().double())
                for block in model.transformer.resblocks[:-1]:
                    x = block(x)
                last = model.transformer.resblocks[-1]
                read = torch.cat([last.ln_1(x)[:, :1], nudged], dim=1)
                q, k, val = last.attn.project(read)
                a = (q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5).softmax(-1)
                row = (x + last.attn.merge(a @ val))[:, :1]
                feature = (model.ln_post(row + last.mlp(last.ln_2(row))) @ model.proj)[:, 0]
            return (F.normalize(feature, dim=-1) @ v.texts[0].double()).item()

        weights = torch.zeros(C, dtype=torch.double)
        for c in range(C):
            step = torch.zeros_like(cells)
            step[..., c] = 1e-5
            weights[c] = (cosine(cells + step) - cosine(cells - step)) / 2e-5 / P
        expected = (cells[0] @ weights).clamp(min=0).reshape(side, side)
    finally:
        e.model.visual.float()
    torch.testing.assert_close(H.gradcam(v)[0].double(), expected, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("kind", ["vit", "light"])
def test_occlusion_against_brute_force(models, kind):
    """Each square painted into the picture by hand; each cell the mean over all squares that hide it."""
    e = models[kind]
    v = view(e)
    size = e.config.vision.image_size
    pixels, edges = v.pixels(size), [round(i * size / 12) for i in range(13)]
    expected = torch.zeros(3, 12, 12)
    for cy in range(12):
        for cx in range(12):
            falls = []
            for y in range(cy - 2, cy + 1):
                for x in range(cx - 2, cx + 1):
                    painted = pixels.clone()
                    for row in range(max(y, 0), min(y + 3, 12)):
                        for column in range(max(x, 0), min(x + 3, 12)):
                            painted[:, :, edges[row]:edges[row + 1], edges[column]:edges[column + 1]] = 0
                    falls.append((e.model.encode_image(pixels) - e.model.encode_image(painted)) @ v.texts.t())
            expected[:, cy, cx] = torch.cat(falls).mean(0)
    torch.testing.assert_close(H.occlusion(v), expected, rtol=0, atol=1e-5)


def test_windows_are_the_parts_that_they_say(models):
    """A window in the middle of the padded picture holds the pixels of its place."""
    v = view(models["light"])
    crops, places = H.window_crops(v)
    assert len(crops) == len(places) and crops.shape[1:] == (3, 32, 32)
    whole = v.pixels(128)
    inside = ((places[:, :2] - places[:, 2:] / 2 >= 0) & (places[:, :2] + places[:, 2:] / 2 <= 1)).all(1)
    assert 100 < int(inside.sum()) < len(places)
    for i in inside.nonzero()[::40, 0].tolist():
        x, y, side = places[i].tolist()
        left, top, n = round(128 * (x - side / 2)), round(128 * (y - side / 2)), round(128 * side)
        part = whole[..., top:top + n, left:left + n]
        part = F.interpolate(part, size=32, mode="bilinear", antialias=True, align_corners=False)
        torch.testing.assert_close(crops[i], part[0], rtol=0, atol=1e-5)


def test_a_vote_lands_where_its_window_is():
    grid = H.votes_on_grid(torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([[0.25, 0.75, 0.3], [0.75, 0.25, 0.3]]),
                           20)
    assert grid.shape == (2, 20, 20)
    (y, x), (v, u) = ((divmod(int(g.argmax()), 20)) for g in grid)
    assert (x in (4, 5), y in (14, 15), u in (14, 15), v in (4, 5)) == (True,) * 4


def test_what_all_texts_share_is_taken_out(models):
    """Surgery of a light tower: the same map, however much of the shared direction a phrase has."""
    v = view(models["light"])
    shared = torch.cat([v.texts, v.neutral]).mean(0)
    cells = F.normalize(v.tower.forward_features(v.pixels())["patches"][0], dim=-1)
    torch.testing.assert_close(H.surgery(v)[1].flatten(), cells @ (v.texts[1] - shared), rtol=0, atol=1e-6)


def test_segments_and_none():
    maps = torch.tensor([[[0.9, 0.2, 0.35]], [[0.8, 0.1, 0.4]]])
    found = H.Heatmap(picture(3, 1), ("a", "b"), maps, maps, "gradcam")  # its threshold is 0.3
    assert found.segmented.tolist() == [[0, 2, 1]]


@pytest.mark.parametrize("size, cell", [((200, 100), (3, 1)), ((100, 200), (1, 3))])
def test_a_map_covers_the_picture_without_what_squared_it(size, cell):
    """Eight cells a side; the picture is the middle half of them, and a bright cell stays where it was in it."""
    cells = torch.zeros(1, 8, 8)
    cells[0, cell[0], cell[1]] = 1.0
    map_ = H.stretched(cells, size)[0]
    y, x = divmod(int(map_.argmax()), map_.shape[1])
    left, top = (224 - map_.shape[1]) // 2, (224 - map_.shape[0]) // 2
    assert map_.shape == ((112, 224) if size[0] > size[1] else (224, 112))
    assert (abs(y + top - 28 * (cell[0] + 0.5)) <= 2) and (abs(x + left - 28 * (cell[1] + 0.5)) <= 2)


def test_nothing_to_see_is_a_map_of_zeros():
    assert not H.stretched(torch.full((2, 4, 4), 3.0), (40, 40)).any()


@pytest.mark.parametrize("size", [(1, 1), (1, 15), (7000, 5000)])
def test_odd_pictures(models, size):
    found = heatmap(models["light"], Image.new("RGB", size, "red"), PHRASES, "value")
    assert max(found.maps.shape[1:]) == 224 and torch.isfinite(found.maps).all() and max(found.image.size) <= 896


def test_bad_input_is_told(models):
    with pytest.raises(HeatmapError, match="no method 'magic'; choose one of windows, surgery"):
        heatmap(models["vit"], picture(9, 9), PHRASES, "magic")
    with pytest.raises(PromptError, match="no labels"):
        heatmap(models["vit"], picture(9, 9), " ")
    with pytest.raises(PromptError, match="200 labels; the limit is 30"):
        heatmap(models["vit"], picture(9, 9), [f"phrase {i}" for i in range(200)])
    with pytest.raises(ImageError):
        heatmap(models["vit"], b"no picture", PHRASES)
    with pytest.raises(ImageError, match="8000 x 6000 = 48,000,000 pixels; the limit is 40,000,000"):
        heatmap(models["vit"], Image.new("RGB", (8000, 6000)), PHRASES)


def test_a_model_that_only_embeds_has_windows_and_occlusion(models):
    from types import SimpleNamespace

    e = models["light"]
    blind = Embedder(e.model, e.tokenizer, "blind")
    blind.model = SimpleNamespace(encode_image=e.model.encode_image, encode_lists=e.model.encode_lists, visual=None,
                                  config=e.config, scale=e.model.scale, parameters=e.model.parameters)
    with pytest.raises(HeatmapError,
                       match="vectors of whole pictures only; choose one of the methods windows, occlusion"):
        heatmap(blind, picture(20, 20), PHRASES, "value")
    assert torch.equal(heatmap(blind, picture(20, 20), PHRASES, "occlusion").maps,
                       heatmap(e, picture(20, 20), PHRASES, "occlusion").maps)


def test_words_of_a_phrase(models):
    e, image = models["vit"], picture(30, 30)
    found = word_relevance(e, image, "red cat on  square")
    assert [word for word, _ in found] == ["red", "cat", "on", "square"]
    whole, without = e.embed_texts(["red cat on square", "red cat square"]) @ e.embed_images([image])[0]
    assert found[2][1] == pytest.approx((whole - without).item(), abs=1e-6)
    with pytest.raises(HeatmapError, match="1 word"):
        word_relevance(e, image, "cat")


def test_scores_of_maps_whose_answer_is_known():
    mask = torch.zeros(100, 100, dtype=torch.bool)
    mask[20:40, 20:40] = True
    perfect, beside, wrong = mask.float(), torch.zeros(100, 100), 1 - mask.float()
    beside[42, 30] = 1.0  # three pixels away: 3% of the side
    assert score(perfect, mask, 0.5) == Score(True, True, 1.0, 1.0)
    near = score(beside, mask, 0.5)
    assert (near.pointing, near.on_mask, near.iou) == (True, False, 0.0)
    beside[44, 30] = 2.0
    assert not score(beside, mask, 0.5).pointing
    assert score(wrong, mask, 0.5).iou == 0 and score(wrong, mask, 0.5).average_precision < 0.05
    half = torch.zeros(100, 100)
    half[20:40, 20:30] = 1.0
    assert score(half, mask, 0.5).iou == pytest.approx(0.5)
    with pytest.raises(HeatmapError, match="not empty"):
        score(half, torch.zeros(100, 100, dtype=torch.bool), 0.5)
