"""Published segmenters: random twins of every kind, compared with the library's own processors, for pictures of odd
shapes."""

import json

import numpy as np
import pytest
import torch
import transformers as hf
from PIL import Image
from transformers.models.grounding_dino.image_processing_pil_grounding_dino import GroundingDinoImageProcessorPil
from transformers.models.owlv2.image_processing_pil_owlv2 import Owlv2ImageProcessorPil
from transformers.models.sam.image_processing_pil_sam import SamImageProcessorPil

import clipmini
from clipmini.files import CheckpointError
from clipmini.segmenter.prompt import PromptError
from clipmini.tasks.detect import detect, everything
from clipmini.tasks.heatmap import heatmap
from clipmini.tasks.segmenters import load_segmenter, places

SIZES = [(70, 40), (40, 70), (64, 64), (9, 5), (333, 120)]
WORDS = ["red", "disc", "cat", "a", "dog"]


def picture(size=(70, 40), seed=0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 255, (size[1], size[0], 3)).astype(np.uint8))


def clip_words(folder) -> None:
    """A CLIP tokenizer of few words."""
    letters = [chr(c) for c in range(ord("a"), ord("z") + 1)]
    vocabulary = {t: i for i, t in enumerate([*letters, *(c + "</w>" for c in letters), "<|startoftext|>",
                                              "<|endoftext|>"])}
    (folder / "vocab.json").write_text(json.dumps(vocabulary), encoding="utf-8")
    (folder / "merges.txt").write_text("#version: 0.2\n", encoding="utf-8")
    hf.CLIPTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt")).save_pretrained(folder)


TEXT = {"vocab_size": 54, "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2,
        "max_position_embeddings": 16, "bos_token_id": 52, "eos_token_id": 53, "pad_token_id": 53}


@pytest.fixture(scope="module")
def sam(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sam")
    torch.manual_seed(0)
    config = hf.SamConfig(
        vision_config={"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 64,
                       "patch_size": 8, "output_channels": 16, "window_size": 4, "num_pos_feats": 8, "mlp_dim": 64,
                       "global_attn_indexes": [1]},
        prompt_encoder_config={"hidden_size": 16, "image_size": 64, "patch_size": 8, "mask_input_channels": 8},
        mask_decoder_config={"hidden_size": 16, "mlp_dim": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
                             "iou_head_hidden_dim": 16})
    hf.SamModel(config).save_pretrained(folder)
    SamImageProcessorPil(size={"longest_edge": 64}, pad_size={"height": 64, "width": 64},
                         mask_size={"longest_edge": 32}, mask_pad_size={"height": 32, "width": 32}
                         ).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", ["points", "box"])
def test_sam_is_the_librarys(sam, size, kind):
    ours, image = load_segmenter(sam), picture(size)
    w, h = size
    points, box = [[w * 0.3, h * 0.4], [w * 0.9, h * 0.8]], [w * 0.1, h * 0.2, w * 0.7, h * 0.9]
    processor = hf.SamProcessor(SamImageProcessorPil.from_pretrained(sam))
    given = {"input_points": [[points]], "input_labels": [[[1, 0]]]} if kind == "points" else {"input_boxes": [[box]]}
    inputs = processor(image, return_tensors="pt", **given)
    wanted = {k: v.float() if v.is_floating_point() else v for k, v in inputs.items()
              if k not in ("original_sizes", "reshaped_input_sizes")}
    theirs = hf.SamModel.from_pretrained(sam)(**wanted)
    masks = processor.image_processor.post_process_masks(theirs.pred_masks, inputs["original_sizes"],
                                                         inputs["reshaped_input_sizes"], binarize=False)[0][0]
    order = theirs.iou_scores[0, 0].sort(descending=True).indices
    ours.set_image(image)
    answer = ours.predict(points, [1, 0]) if kind == "points" else ours.predict(box=box)
    assert answer.masks.shape == (3, h, w)
    assert torch.allclose(answer.logits, masks[order], atol=1e-6) and torch.allclose(answer.iou, theirs.iou_scores[0, 0][order])


def test_sam_takes_a_mask_back_where_it_was(sam):
    ours = load_segmenter(sam)
    ours.set_image(picture((60, 30)))
    mask = np.zeros((30, 60), bool)
    mask[:, 30:] = True
    seen = {}
    ours.model.prompt_encoder.mask_embed.register_forward_pre_hook(lambda _, given: seen.update(mask=given[0]))
    assert ours.predict(points=[(5, 5)], mask=mask).masks.shape == (3, 30, 60)
    inner = seen["mask"][0, 0] > 0
    assert inner.shape == (32, 32)
    assert bool(inner[:16, 17:].all()) and not bool(inner[:, :15].any()) and not bool(inner[16:].any())


def test_an_exif_turn_is_made_before_coordinates_count(sam, tmp_path):
    image = picture((70, 40))
    exif = Image.Exif()
    exif[274] = 6  # a phone held upright
    image.save(tmp_path / "turned.png", exif=exif)
    ours = load_segmenter(sam)
    ours.set_image(tmp_path / "turned.png")
    assert ours.image.size == (40, 70) and ours.predict(points=[(39, 69)]).masks.shape == (3, 70, 40)
    with pytest.raises(PromptError, match="40 x 70"):
        ours.predict(points=[(69, 39)])


def test_sam_gets_words_from_a_clip(sam):
    with pytest.raises(PromptError, match="embedder="):
        ours = load_segmenter(sam)
        ours.set_image(picture())
        ours.predict(text="cat")
    ours = load_segmenter(sam, embedder=clipmini.load("emoji", device="cpu"))
    ours.set_image(picture())
    assert ours.predict(text="cat").masks.shape == (3, 40, 70)


def test_words_click_where_the_thing_is():
    """An apple on the left of a wide white picture: the clicks are on it."""
    from clipmini.embedder import assets_folder

    embedder = clipmini.load("emoji", device="cpu")
    samples = sorted((assets_folder() / "samples").glob("*.png"))
    image = Image.new("RGB", (400, 200), "white")
    image.paste(Image.open(samples[0]).convert("RGB").resize((150, 150)), (20, 25))
    found = places(heatmap(embedder, image, [samples[0].stem.replace("-", " ")], progress=False).maps[0], image.size)
    assert 1 <= len(found) <= 3 and all(20 < x < 170 and 25 < y < 175 for x, y in found), found


@pytest.fixture(scope="module")
def clipseg(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clipseg")
    torch.manual_seed(0)
    config = hf.CLIPSegConfig(text_config=TEXT, vision_config={
        "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2, "image_size": 32,
        "patch_size": 8}, projection_dim=16, extract_layers=[0, 1, 2], reduce_dim=16, decoder_num_attention_heads=2,
        decoder_intermediate_size=32, conditional_layer=0)
    hf.CLIPSegForImageSegmentation(config).save_pretrained(folder)
    hf.ViTImageProcessorPil(size={"height": 32, "width": 32}).save_pretrained(folder)
    clip_words(folder)
    return folder


@pytest.mark.parametrize("size", SIZES)
def test_clipseg_is_the_librarys(clipseg, size):
    ours, image = load_segmenter(clipseg), picture(size)
    pixels = hf.ViTImageProcessorPil.from_pretrained(clipseg)(image, return_tensors="pt")["pixel_values"]
    words = hf.CLIPTokenizer.from_pretrained(clipseg)(["red disc"], return_tensors="pt", padding=True)
    theirs = hf.CLIPSegForImageSegmentation.from_pretrained(clipseg)(pixel_values=pixels, **words).logits
    large = torch.nn.functional.interpolate(theirs.reshape(1, 1, 32, 32), size=size[::-1], mode="bilinear")[0, 0]
    ours.set_image(image)
    answer = ours.predict(text="red disc")
    assert torch.allclose(answer.logits[0], large, atol=1e-5)
    assert answer.masks[2].sum() >= answer.masks[0].sum() >= answer.masks[1].sum() and answer.iou.isnan().all()
    with pytest.raises(PromptError, match="does not take points"):
        ours.predict(points=[(1, 1)])
    with pytest.raises(PromptError, match="tokens"):
        ours.predict(text="cat dog " * 9)


@pytest.fixture(scope="module")
def owl(tmp_path_factory):
    folder = tmp_path_factory.mktemp("owl")
    torch.manual_seed(0)
    config = hf.Owlv2Config(text_config={**TEXT, "pad_token_id": 0}, vision_config={
        "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "image_size": 32,
        "patch_size": 8}, projection_dim=16)
    hf.Owlv2ForObjectDetection(config).save_pretrained(folder)
    Owlv2ImageProcessorPil(size={"height": 32, "width": 32}).save_pretrained(folder)
    clip_words(folder)
    return folder


@pytest.mark.parametrize("size", SIZES)
def test_owl_is_the_librarys(owl, size):
    ours, image = load_segmenter(owl), picture(size)
    processor = Owlv2ImageProcessorPil.from_pretrained(owl)
    words = hf.CLIPTokenizer.from_pretrained(owl)(["red"], return_tensors="pt", padding="max_length", max_length=16)
    found = hf.Owlv2ForObjectDetection.from_pretrained(owl)(**processor(image, return_tensors="pt"), **words)
    theirs = processor.post_process_object_detection(found, 0.0, target_sizes=torch.tensor([size[::-1]]))[0]
    order = theirs["scores"].sort(descending=True, stable=True).indices
    ours.set_image(image)
    boxes, scores = ours.find("red")
    limit = torch.tensor([*size, *size]).float()
    assert torch.allclose(scores, theirs["scores"][order], atol=1e-5)
    assert torch.allclose(boxes, theirs["boxes"][order].clamp(min=0).minimum(limit), atol=1e-3)
    answer = ours.predict(text="red")
    left, top, right, bottom = boxes[0].round().int().tolist()
    assert answer.masks[0].sum() == (right - left) * (bottom - top) and answer.there == pytest.approx(scores[0].item())


@pytest.fixture(scope="module")
def grounding(tmp_path_factory):
    folder = tmp_path_factory.mktemp("grounding")
    torch.manual_seed(0)
    (folder / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", ".", "?", *WORDS]), encoding="utf-8")
    hf.BertTokenizer(str(folder / "vocab.txt")).save_pretrained(folder)
    config = hf.GroundingDinoConfig(
        backbone_config=hf.SwinConfig(image_size=32, patch_size=2, embed_dim=8, depths=[1, 1, 1], num_heads=[1, 2, 2],
                                      window_size=2, out_features=["stage2", "stage3"]),
        text_config={"model_type": "bert", "vocab_size": 11, "hidden_size": 16, "num_hidden_layers": 1,
                     "num_attention_heads": 2, "intermediate_size": 32, "max_position_embeddings": 16},
        d_model=32, encoder_layers=1, encoder_ffn_dim=16, encoder_attention_heads=2, decoder_layers=2,
        decoder_ffn_dim=16, decoder_attention_heads=2, num_queries=12, num_feature_levels=3, encoder_n_points=2,
        decoder_n_points=2, max_text_len=16)
    hf.GroundingDinoForObjectDetection(config).save_pretrained(folder)
    GroundingDinoImageProcessorPil(size={"shortest_edge": 32, "longest_edge": 64}).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("size", [(70, 40), (40, 70), (64, 64)])
def test_grounding_dino_is_the_librarys(grounding, size):
    ours, image = load_segmenter(grounding), picture(size)
    processor = GroundingDinoImageProcessorPil.from_pretrained(grounding)
    words = hf.BertTokenizer.from_pretrained(grounding)(["red."], return_tensors="pt")
    found = hf.GroundingDinoForObjectDetection.from_pretrained(grounding)(**processor(image, return_tensors="pt"),
                                                                          **words)
    w, h = size
    middles = found.pred_boxes[0] * torch.tensor([w, h, w, h])
    scores = found.logits[0].sigmoid().amax(-1)
    best = int(scores.argmax())
    x, y, bw, bh = middles[best].tolist()
    ours.set_image(image)
    boxes, ranked = ours.find("Red")
    assert ranked[0].item() == pytest.approx(scores[best].item(), abs=1e-5)
    wanted = [max(0, x - bw / 2), max(0, y - bh / 2), min(w, x + bw / 2), min(h, y + bh / 2)]
    assert boxes[0].tolist() == pytest.approx(wanted, abs=1e-3)


def test_places_are_the_brightest_and_apart():
    map_ = torch.zeros(10, 20)
    map_[2, 3], map_[2, 4], map_[8, 15], map_[5, 5] = 1.0, 0.99, 0.95, 0.5
    assert places(map_, (200, 100)) == [(35, 25), (155, 85)]  # not the neighbour, not the pale one


def test_everything_of_a_published_one(sam):
    found = everything(load_segmenter(sam), picture(), side=2, likely=-9, stable=0)
    assert found and all(one.mask.shape == (40, 70) for one in found)


def test_detectors_detect(owl):
    found = detect(load_segmenter(owl), picture(), ["red", "dog"], threshold=0.0)
    assert found.cutouts and {one.label for one in found.cutouts} <= {"red", "dog"}
    assert all(0 <= one.score <= 1 and one.mask.shape == (40, 70) for one in found.cutouts)
    assert detect(load_segmenter(owl), picture(), ["red"], threshold=1.1).none == ("red",)


def test_wrong_names_are_told(tmp_path):
    with pytest.raises(CheckpointError, match="no-such"):
        load_segmenter("owner/no-such-model")
    (tmp_path / "config.json").write_text('{"model_type": "bert"}', encoding="utf-8")
    with pytest.raises(CheckpointError, match="'bert'"):
        load_segmenter(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "sam"}', encoding="utf-8")
    with pytest.raises(CheckpointError, match="SamModel"):
        load_segmenter(tmp_path)
