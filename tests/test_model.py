"""The towers against transformers' with copied weights, the parameter names of the published files, and invariants."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import CLIPConfig as TheirConfig
from transformers import CLIPModel

from clipmini.config import PRESETS, CLIPConfig, TextConfig, VisionConfig
from clipmini.families.hugging_face import hugging_face_config, to_hugging_face
from clipmini.model import CLIP, count_parameters
from clipmini.text import CBOW, PrefixTree, TextTransformer, packs
from clipmini.vision import AttentionPool2d, ModifiedResNet, VisionTransformer, as_cells
from foreign import shake

TINY_TEXT = TextConfig("transformer", vocab_size=60, context_length=12, width=32, layers=3, heads=4,
                       sot_id=57, eos_id=58, pad_id=0)
TINY_VIT = VisionConfig("vit", 24, 48, 3, 4, 8)


def twins(vision: VisionConfig, text: TextConfig, embed_dim: int):
    """Our model and transformers', with the same random weights."""
    torch.manual_seed(0)
    ours = CLIP(CLIPConfig(vision, text, embed_dim)).eval()
    with torch.no_grad():
        for parameter in ours.parameters():
            if parameter.ndim == 1:
                parameter.add_(0.1 * torch.randn_like(parameter))  # biases of 0 and gains of 1 would hide mistakes
    theirs = CLIPModel(TheirConfig(**hugging_face_config(ours.config))).eval()
    theirs.load_state_dict(to_hugging_face(ours.state_dict()), strict=True)
    return ours, theirs


def some_ids(config: TextConfig, lengths: list[int]) -> torch.Tensor:
    ids = torch.full((len(lengths), max(lengths) + 2), config.pad_id)
    for row, length in zip(ids, lengths, strict=True):
        row[0], row[1:length + 1], row[length + 1] = config.sot_id, torch.randint(1, 50, (length,)), config.eos_id
    return ids


@pytest.mark.parametrize("activation", ["gelu", "quick_gelu"])
@pytest.mark.parametrize("size", ["tiny", "half of ViT-B/32"])
def test_both_towers_equal_transformers(activation, size):
    if size == "tiny":
        vision, text, dim = TINY_VIT, TINY_TEXT, 20
    else:
        vision, dim = VisionConfig("vit", 224, 384, 6, 6, 32), 256
        text = TextConfig("transformer", width=256, layers=6, heads=4)
    vision = VisionConfig(**{**vision.__dict__, "activation": activation})
    text = TextConfig(**{**text.__dict__, "activation": activation})
    ours, theirs = twins(vision, text, dim)
    pixels, ids = torch.randn(3, 3, vision.image_size, vision.image_size), some_ids(text, [3, 9, 0])
    with torch.no_grad():
        images = F.normalize(theirs.get_image_features(pixels).pooler_output, dim=-1)
        texts = F.normalize(theirs.get_text_features(ids).pooler_output, dim=-1)
        torch.testing.assert_close(ours.encode_image(pixels), images, rtol=0, atol=1e-5)
        torch.testing.assert_close(ours.encode_text(ids), texts, rtol=0, atol=1e-5)
        logits = theirs(input_ids=ids, pixel_values=pixels).logits_per_image
        torch.testing.assert_close(ours(pixels, ids), logits, rtol=0, atol=1e-4)


def test_gradients_equal_transformers():
    ours, theirs = (model.double() for model in twins(TINY_VIT, TINY_TEXT, 20))
    pixels, ids = torch.randn(3, 3, 24, 24, dtype=torch.double), some_ids(TINY_TEXT, [3, 7, 5])
    ours(pixels, ids).diagonal().sum().backward()
    theirs(input_ids=ids, pixel_values=pixels).logits_per_image.diagonal().sum().backward()
    gradients = to_hugging_face({n.removeprefix("text."): p.grad for n, p in ours.named_parameters()})
    for name, parameter in theirs.named_parameters():
        torch.testing.assert_close(gradients[name], parameter.grad, rtol=0, atol=1e-9)


def test_vit_b_32_has_the_published_names_and_size():
    with torch.device("meta"):
        model = CLIP(PRESETS["ViT-B/32"])
    assert count_parameters(model) == 151_277_313
    assert sum(p.numel() for p in model.visual.parameters()) == 87_849_216
    names = set(model.state_dict())
    assert len(names) == 302  # OpenAI's file, less input_resolution, context_length and vocab_size
    for name in ("visual.conv1.weight", "visual.class_embedding", "visual.transformer.resblocks.11.attn.in_proj_weight",
                 "transformer.resblocks.0.mlp.c_fc.bias", "ln_final.weight", "text_projection", "positional_embedding",
                 "token_embedding.weight", "logit_scale"):
        assert name in names


def test_rn50_has_the_published_names_and_size():
    with torch.device("meta"):
        model = CLIP(PRESETS["RN50"])
    assert count_parameters(model) == 102_007_137
    for name in ("visual.layer1.0.downsample.0.weight", "visual.layer4.2.bn3.running_var",
                 "visual.attnpool.positional_embedding",
                 "visual.attnpool.c_proj.weight", "visual.bn1.num_batches_tracked"):
        assert name in model.state_dict()


def test_patch_matmul_is_the_convolution():
    tower = VisionTransformer(TINY_VIT, 20)
    pixels = torch.randn(2, 3, 24, 24)
    torch.testing.assert_close(tower.embed_patches(pixels), tower.conv1(pixels).flatten(2).transpose(1, 2), rtol=0,
                               atol=1e-5)


def test_attention_pool_equals_torch():
    pool, W = AttentionPool2d(9, 32, 4, 10), 32
    grid = torch.randn(2, W, 3, 3)
    tokens = grid.flatten(2).permute(2, 0, 1)
    tokens = torch.cat([tokens.mean(0, keepdim=True), tokens]) + pool.positional_embedding[:, None]
    expected, _ = F.multi_head_attention_forward(
        tokens[:1], tokens, tokens, W, 4, None, torch.cat([pool.q_proj.bias, pool.k_proj.bias, pool.v_proj.bias]),
        None, None, False, 0.0, pool.c_proj.weight, pool.c_proj.bias, use_separate_proj_weight=True,
        q_proj_weight=pool.q_proj.weight, training=False, need_weights=False,
        k_proj_weight=pool.k_proj.weight, v_proj_weight=pool.v_proj.weight)
    torch.testing.assert_close(pool(grid), expected[0], rtol=0, atol=1e-5)


@pytest.mark.parametrize("vision",
                         [TINY_VIT, VisionConfig("resnet", 64, 8, (1, 1, 1, 1), 4), VisionConfig("light", 32, 8)])
@pytest.mark.parametrize("text", [TINY_TEXT, TextConfig("cbow", 60, 12, 32, sot_id=57, eos_id=58, pad_id=0)])
def test_every_pairing_runs_and_shows_its_intermediates(vision, text):
    model = CLIP(CLIPConfig(vision, text, 20)).eval()
    pixels, ids = torch.randn(2, 3, vision.image_size, vision.image_size), some_ids(text, [4, 2, 1])
    assert model(pixels, ids).shape == (2, 3)
    torch.testing.assert_close(model.encode_image(pixels).norm(dim=1), torch.ones(2))
    torch.testing.assert_close(model.visual.forward_features(pixels)["features"], model.visual(pixels), rtol=0,
                               atol=1e-5)
    torch.testing.assert_close(model.text.forward_features(ids)["features"], model.text(ids), rtol=0, atol=1e-5)
    model.load_state_dict(model.state_dict(), strict=True)


def test_patches_are_the_places_of_the_picture():
    for vision in (TINY_VIT, VisionConfig("light", 32, 8)):
        tower = CLIP(CLIPConfig(vision, TINY_TEXT, 20)).eval().visual
        pixels = torch.randn(1, 3, vision.image_size, vision.image_size)
        changed = pixels.clone()
        changed[..., :2, :2] += 3  # the upper left corner: it moves the first patch most
        one, other = (tower.forward_features(x)["patches"] for x in (pixels, changed))
        assert one.shape == (1, vision.grid**2, 20)
        assert (one - other).norm(dim=-1).argmax() == 0
    tower = VisionTransformer(TINY_VIT, 20)
    named = tower.forward_features(torch.randn(2, 3, 24, 24))
    torch.testing.assert_close(named["patches"], tower.ln_post(named["states"][-1][:, 1:]) @ tower.proj)


def keeps_the_promise(tower, pixels: torch.Tensor, forward: bool = True) -> dict:
    """What vision.ImageTower says of forward_features, looked at -> its answer. forward: compare with tower(pixels)."""
    named = tower.forward_features(pixels.requires_grad_())
    features = tower(pixels) if forward else named["features"]
    assert {"grid_before", "grid", "patches", "features", "read", "attentions"} <= set(named)
    B, E = features.shape
    side = -(-pixels.shape[-1] // tower.stride)
    P = side * side
    assert named["grid_before"].shape[0] == B and named["grid_before"].ndim == 4
    assert named["grid"].shape[::2] == (B, side) and named["grid"].shape[3] == side
    assert named["patches"].shape == tower.value_cells(pixels).shape == tower.surgery_cells(pixels).shape == (B, P, E)
    torch.testing.assert_close(named["features"], features, rtol=0, atol=1e-5)
    torch.testing.assert_close(tower.joint(as_cells(named["grid"])), named["patches"], rtol=0, atol=1e-5)
    T = named["read"].shape[1]
    assert named["read"].shape[0] == B and T >= P
    for attention in named["attentions"]:
        assert attention.shape[0] == B and attention.shape[2] == attention.shape[3] == P + 1
        torch.testing.assert_close(attention.sum(-1), torch.ones(attention.shape[:3]))
    # Of one picture's answer, to the first number: it reaches that picture alone, and all of its cells.
    reached = torch.autograd.grad(named["features"][0, 0], [named["read"], *named["attentions"]])
    assert reached[0][0, -P:].abs().amax(-1).min() > 0 and not reached[0][1:].any()
    assert all(gradient[0].any() and not gradient[1:].any() for gradient in reached[1:])
    return named


@pytest.mark.parametrize("size", ["own", "another"])
@pytest.mark.parametrize("vision, attentions", [(VisionConfig("vit", 32, 48, 3, 4, 8), 3),
                                                (VisionConfig("resnet", 64, 8, (1, 2, 1, 1), 4), 1),
                                                (VisionConfig("light", 32, 8, (1, 1, 2, 1)), 0)])
def test_every_tower_keeps_the_promise_of_an_image_tower(vision, attentions, size):
    torch.manual_seed(0)
    tower = shake(CLIP(CLIPConfig(vision, TINY_TEXT, 20))).requires_grad_(False).visual
    S = vision.image_size if size == "own" else vision.image_size * 3 // 2
    # CLIP's attention pool, as lesson 03 writes it, takes its own size only: what reads its cells interpolates.
    named = keeps_the_promise(tower, torch.randn(2, 3, S, S), forward=size == "own" or vision.tower != "resnet")
    assert len(named["attentions"]) == attentions
    assert size == "another" or named["grid"].shape[2] == vision.grid


def test_resnet_grid_matches_config():
    config = VisionConfig("resnet", 64, 8, (1, 1, 1, 1), 4)
    grid = ModifiedResNet(config, 5).grid_features(torch.randn(1, 3, 64, 64))
    assert grid.shape == (1, 256, config.grid, config.grid)
    light = VisionConfig("light", 40, 8)
    assert CLIP(CLIPConfig(light, TINY_TEXT, 5)).visual.grid_features(torch.randn(1, 3, 40, 40)).shape[-1] == light.grid


@pytest.mark.parametrize("tower", [TextTransformer, CBOW])
def test_padding_never_matters(tower):
    model = tower(TINY_TEXT, 8)
    short = some_ids(TINY_TEXT, [4])
    for pad in (TINY_TEXT.pad_id, TINY_TEXT.eos_id):  # OpenAI pads with 0, Hugging Face with the end token
        padded = F.pad(short, (0, 5), value=pad)
        torch.testing.assert_close(model(padded), model(short), rtol=0, atol=1e-6)


def test_the_end_is_found_by_its_id_not_by_its_size():
    # A self-trained vocabulary may have ids above the end token: argmax over ids would pool at one of them.
    tower = TextTransformer(TINY_TEXT, 8)
    ids = torch.tensor([[57, 3, 4, 58, 59]])
    assert tower.end_positions(ids).tolist() == [3]
    with pytest.raises(ValueError, match="row 1 of ids has no end token"):
        tower(torch.tensor([[57, 3, 58], [57, 3, 4]]))
    with pytest.raises(ValueError, match="ids have 13 tokens; the context is 12"):
        tower(torch.full((1, 13), 58))


def test_cbow_is_blind_to_order_and_the_transformer_is_not():
    ids = torch.tensor([[57, 5, 6, 7, 58], [57, 7, 6, 5, 58]])
    cbow, reader = CBOW(TINY_TEXT, 8)(ids), TextTransformer(TINY_TEXT, 8)(ids)
    torch.testing.assert_close(cbow[0], cbow[1])
    assert not torch.allclose(reader[0], reader[1], atol=1e-4)


@settings(max_examples=20, deadline=None)
@given(st.permutations(range(5)))
def test_permuting_pairs_permutes_logits(order):
    torch.manual_seed(0)
    model = CLIP(CLIPConfig(TINY_VIT, TINY_TEXT, 20)).eval()
    pixels, ids = torch.randn(5, 3, 24, 24), some_ids(TINY_TEXT, [1, 2, 3, 4, 5])
    with torch.no_grad():
        torch.testing.assert_close(model(pixels[order], ids[order]), model(pixels, ids)[order][:, order], rtol=0,
                                   atol=1e-5)


def test_the_sigmoid_bias_is_part_of_the_logits():
    model = CLIP(CLIPConfig(TINY_VIT, TINY_TEXT, 20, sigmoid=True)).eval()
    pixels, ids = torch.randn(2, 3, 24, 24), some_ids(TINY_TEXT, [3, 4])
    cosines = model.encode_image(pixels) @ model.encode_text(ids).t()
    torch.testing.assert_close(model(pixels, ids), model.scale * cosines - 10)


def test_scale_is_an_exponential_and_clamped():
    model = CLIP(CLIPConfig(TINY_VIT, TINY_TEXT, 20))
    assert math.isclose(model.scale.item(), 1 / 0.07, rel_tol=1e-5)
    with torch.no_grad():
        model.logit_scale.fill_(9.0)
    assert math.isclose(model.scale.item(), 100.0, rel_tol=1e-5)
    model.clamp_scale_()
    assert math.isclose(model.logit_scale.item(), math.log(100), rel_tol=1e-6)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.lists(st.integers(0, 4), min_size=0, max_size=6), min_size=1, max_size=12), st.integers(1, 20))
def test_the_prefix_tree_changes_nothing(words, places):
    torch.manual_seed(0)
    tower = TextTransformer(TINY_TEXT, 20).double().eval()
    lists = [[TINY_TEXT.sot_id, *row, TINY_TEXT.eos_id] for row in words]
    ids = torch.full((len(lists), 8), TINY_TEXT.pad_id)
    for row, values in zip(ids, lists, strict=True):
        row[:len(values)] = torch.tensor(values)
    with torch.no_grad():
        torch.testing.assert_close(tower.forward_lists(lists, places), tower(ids), rtol=0, atol=1e-12)


def test_packs_keep_every_list_and_their_size():
    lists = sorted([[9, a, b, c, 8] for a in range(3) for b in range(3) for c in range(3)])
    for places in (1, 5, 12, 1000):
        found = packs(lists, places)
        assert [i for rows in found for i in rows] == list(range(len(lists)))
        assert all(len(PrefixTree([lists[i] for i in rows]).ids) <= max(places, 5) for rows in found)
    assert len(packs(lists, 1000)) == 1 and packs([], 5) == []


def test_what_follows_the_first_end_is_not_read():
    tower = TextTransformer(TINY_TEXT, 20).eval()
    with torch.no_grad():
        a, b = tower.forward_lists([[57, 3, 58, 4, 5, 58], [57, 3, 58]])
    assert torch.equal(a, b)
