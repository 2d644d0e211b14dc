"""Published segmenters: random twins of every kind, compared with the library's own processors, for pictures of odd
shapes."""

import importlib
import json
import sys
import types

import numpy as np
import pytest
import torch
import transformers as hf
from PIL import Image
from safetensors.torch import save_file
from transformers.models.grounding_dino.image_processing_pil_grounding_dino import GroundingDinoImageProcessorPil
from transformers.models.owlv2.image_processing_pil_owlv2 import Owlv2ImageProcessorPil
from transformers.models.sam.image_processing_pil_sam import SamImageProcessorPil

import clipmini
from clipmini.files import CheckpointError
from clipmini.segmenter.prompt import PromptError
from clipmini.tasks.detect import detect, everything
from clipmini.tasks.heatmap import heatmap
from clipmini.tasks.sam import places
from clipmini.tasks.segmenters import load_segmenter

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


def librarys(name: str):
    """A module of transformers that imports torchvision for parts which are not used here: it gets an empty one where there
    is none."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError:
        with pytest.MonkeyPatch.context() as patch:
            for part in ("torchvision", "torchvision.ops", "torchvision.ops.boxes"):
                patch.setitem(sys.modules, part, types.ModuleType(part))
            sys.modules["torchvision.ops.boxes"].batched_nms = None
            return importlib.import_module(name)


def squeezed(image, side, mean, std) -> torch.Tensor:
    """Pixels by the library's PIL processor for squares; SAM 2's and SAM 3's own are made of torchvision."""
    processor = hf.ViTImageProcessorPil(size={"height": side, "width": side}, image_mean=mean, image_std=std, resample=2)
    return processor(image, return_tensors="pt")["pixel_values"]


def far_apart(model):
    """Random weights so large that another coordinate gives another mask."""
    for parameter in model.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.3)
    return model


MEAN, STD, HALF = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225], [0.5, 0.5, 0.5]


def clicks(size, kind):
    """A prompt, as we take it and as the processors of SAM 2 and SAM 3's tracker do."""
    w, h = size
    points, box = [[w * 0.3, h * 0.4], [w * 0.9, h * 0.8]], [w * 0.1, h * 0.2, w * 0.7, h * 0.9]
    theirs = {"points": {"input_points": [[points]], "input_labels": [[[1, 0]]]}, "box": {"input_boxes": [[box]]}}
    theirs["both"] = theirs["points"] | theirs["box"]
    ours = {"points": {"points": points, "labels": [1, 0]}, "box": {"box": box}}
    ours["both"] = ours["points"] | ours["box"]
    return ours[kind], theirs[kind]


def same_as(answer, model, pixels, given, size) -> None:
    """Is it what the library's model says to what its processor made of the prompt, enlarged by its image processor?"""
    found = model(pixel_values=pixels, **{name: value for name, value in given.items() if name != "original_sizes"})
    processing = librarys("transformers.models.sam2.image_processing_sam2").Sam2ImageProcessor
    masks = processing.post_process_masks(None, found.pred_masks, [size[::-1]], binarize=False)[0][0]
    order = found.iou_scores[0, 0].sort(descending=True).indices
    assert answer.masks.shape == (3, size[1], size[0])
    assert torch.allclose(answer.logits, masks[order], rtol=1e-4, atol=1e-3)
    assert torch.allclose(answer.iou, found.iou_scores[0, 0][order], atol=1e-5)
    assert answer.there == pytest.approx(found.object_score_logits.sigmoid().item(), abs=1e-5)


@pytest.fixture(scope="module")
def sam2(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sam2")
    torch.manual_seed(0)
    backbone = {"model_type": "sam2_hiera_det_model", "hidden_size": 8, "num_attention_heads": 1, "image_size": [64, 64],
                "window_positional_embedding_background_size": [4, 4], "blocks_per_stage": [1, 1, 2, 1],
                "embed_dim_per_stage": [8, 16, 32, 64], "num_attention_heads_per_stage": [1, 1, 2, 2],
                "window_size_per_stage": [4, 4, 4, 2], "global_attention_blocks": [3]}
    config = hf.Sam2Config(
        vision_config={"backbone_config": backbone, "backbone_channel_list": [64, 32, 16, 8], "fpn_hidden_size": 16,
                       "backbone_feature_sizes": [[16, 16], [8, 8], [4, 4]]},
        prompt_encoder_config={"hidden_size": 16, "image_size": 64, "patch_size": 16, "mask_input_channels": 8},
        mask_decoder_config={"hidden_size": 16, "mlp_dim": 32, "num_attention_heads": 2, "iou_head_hidden_dim": 16})
    far_apart(hf.Sam2Model(config)).save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps({
        "image_processor_type": "Sam2ImageProcessorFast", "processor_class": "Sam2Processor", "do_convert_rgb": True,
        "do_normalize": True, "do_rescale": True, "do_resize": True, "image_mean": MEAN, "image_std": STD,
        "mask_size": {"height": 16, "width": 16}, "resample": 2, "rescale_factor": 1 / 255,
        "size": {"height": 64, "width": 64}}), encoding="utf-8")
    return folder


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", ["points", "box", "both"])
def test_sam2_is_the_librarys(sam2, size, kind):
    """Coordinates are what the library's Sam2Processor makes of them, masks what its post_process_masks does; pixels are
    those of the library's PIL processor for squares, because SAM 2's own needs torchvision."""
    ours, image = load_segmenter(sam2), picture(size)
    prompt, theirs = clicks(size, kind)
    processor = hf.Sam2Processor(hf.ViTImageProcessorPil(size={"height": 64, "width": 64}))
    given = processor(original_sizes=[[size[1], size[0]]], return_tensors="pt", **theirs)
    ours.set_image(image)
    same_as(ours.predict(**prompt), hf.Sam2Model.from_pretrained(sam2), squeezed(image, 64, MEAN, STD), given, size)


@pytest.fixture(scope="module")
def sam3(tmp_path_factory):
    """A folder as facebook/sam3 is: weights and config.json of Sam3VideoModel, processor_config.json, CLIP's tokenizer. Its
    patches of 14 pixels matter: the finest map is not a quarter of the picture, as SAM 2's is."""
    folder = tmp_path_factory.mktemp("sam3")
    torch.manual_seed(32)  # some of its six instances are above the library's threshold, some below
    vision = {"backbone_config": {"model_type": "sam3_vit_model", "hidden_size": 16, "intermediate_size": 32, "image_size": 56,
                                  "num_hidden_layers": 2, "num_attention_heads": 2, "patch_size": 14, "window_size": 2,
                                  "global_attn_indexes": [1], "pretrain_image_size": 28},
              "fpn_hidden_size": 16, "backbone_feature_sizes": [[16, 16], [8, 8], [4, 4]]}
    small = {"hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 32, "num_layers": 1}
    detector = {"vision_config": vision, "text_config": {**TEXT, "max_position_embeddings": 32, "projection_dim": 16},
                "geometry_encoder_config": small, "detr_encoder_config": small,
                "detr_decoder_config": {**small, "num_queries": 6},
                "mask_decoder_config": {"hidden_size": 16, "num_attention_heads": 2}}
    tracker = {"vision_config": vision, "image_size": 56,
               "prompt_encoder_config": {"hidden_size": 16, "image_size": 56, "mask_input_channels": 8},
               "mask_decoder_config": {"hidden_size": 16, "mlp_dim": 32, "num_attention_heads": 2, "iou_head_hidden_dim": 16},
               "memory_attention_hidden_size": 16, "memory_attention_num_layers": 1, "memory_attention_rope_feat_sizes": [4, 4],
               "memory_attention_feed_forward_hidden_size": 16, "memory_encoder_hidden_size": 16,
               "memory_encoder_output_channels": 8, "mask_downsampler_embed_dim": 16, "memory_fuser_num_layers": 1,
               "memory_fuser_embed_dim": 16, "memory_fuser_intermediate_dim": 16}
    config = hf.Sam3VideoConfig(detector_config=detector, tracker_config=tracker)
    weights = far_apart(hf.Sam3VideoModel(config)).state_dict()
    config.save_pretrained(folder)
    save_file({name: value.clone() for name, value in weights.items()}, folder / "model.safetensors", {"format": "pt"})
    (folder / "processor_config.json").write_text(json.dumps({
        "image_processor": {"image_mean": HALF, "image_std": HALF, "rescale_factor": 1 / 255, "resample": 2,
                            "size": {"height": 56, "width": 56}},
        "processor_class": "Sam3VideoProcessor", "target_size": 56}), encoding="utf-8")
    clip_words(folder)
    return folder


def sam3_processor(folder):
    image_processor = hf.ViTImageProcessorPil(size={"height": 56, "width": 56})
    return hf.Sam3Processor(image_processor, hf.CLIPTokenizer.from_pretrained(folder))


def sam3_instances(found, size, threshold=None):
    """The library's instances, the best first."""
    processing = librarys("transformers.models.sam3.image_processing_sam3").Sam3ImageProcessor
    how = {} if threshold is None else {"threshold": threshold}
    result = processing.post_process_instance_segmentation(None, found, target_sizes=[size[::-1]], **how)[0]
    order = result["scores"].sort(descending=True, stable=True).indices
    return {name: value[order] for name, value in result.items()}


def same_instances(answer, found, size) -> None:
    """Are these all instances above the library's own threshold together, and the two best by themselves?"""
    kept, every = sam3_instances(found, size), sam3_instances(found, size, 0.0)
    assert 0 < len(kept["scores"]) <= 6 == len(every["scores"])
    assert torch.equal(answer.masks[0], kept["masks"].any(0)) and torch.equal(answer.masks[1:], every["masks"][:2].bool())
    assert torch.equal(answer.masks, answer.logits > 0)
    assert torch.allclose(answer.iou, every["scores"][[0, 0, 1]], atol=1e-5)
    assert answer.there == pytest.approx(found.presence_logits.sigmoid().item(), abs=1e-5)


@pytest.mark.parametrize("size", SIZES)
def test_sam3s_words_are_the_librarys(sam3, size):
    """Words are what the library's Sam3Processor makes of them, instances and boxes what its post-processing does; pixels
    are those of its PIL processor for squares, because SAM 3's own needs torchvision."""
    ours, image = load_segmenter(sam3), picture(size)
    words = sam3_processor(sam3)(text="red disc", return_tensors="pt")
    found = hf.Sam3Model.from_pretrained(sam3)(pixel_values=squeezed(image, 56, HALF, HALF), **words)
    ours.set_image(picture((30, 30), seed=1))
    ours.predict(text="red")
    ours.set_image(image)  # nothing must be left of the picture before
    same_instances(ours.predict(text="red disc"), found, size)
    assert "_tracker" not in vars(ours)  # nobody needs it yet
    boxes, scores = ours.find("red disc")
    every = sam3_instances(found, size, 0.0)
    limit = torch.tensor([*size, *size]).float()
    assert torch.allclose(scores, every["scores"], atol=1e-5)
    assert torch.allclose(boxes, every["boxes"].clamp(min=0).minimum(limit), atol=1e-3)


def test_sam3_says_that_a_thing_is_not_there(sam3):
    ours = load_segmenter(sam3)
    ours.set_image(picture())
    some = ours.predict(text="cat")
    ours.threshold = float(some.iou[0])  # the best one is not above it
    none = ours.predict(text="cat")
    assert some.masks[0].any() and not none.masks[0].any()
    assert none.iou.tolist() == [0, *some.iou[1:].tolist()] and torch.equal(none.masks[1:], some.masks[1:])
    torch.nn.init.constant_(ours.model.detr_decoder.presence_head.layer3.bias, -30)
    assert ours.predict(text="cat").there < 1e-3


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", ["points", "box", "both"])
def test_sam3s_clicks_are_the_librarys(sam3, size, kind):
    """Coordinates are what the library's Sam3TrackerProcessor makes of them; pixels as for words."""
    ours, image = load_segmenter(sam3), picture(size)
    prompt, theirs = clicks(size, kind)
    processor = hf.Sam3TrackerProcessor(hf.ViTImageProcessorPil(size={"height": 56, "width": 56}))
    given = processor(original_sizes=[[size[1], size[0]]], return_tensors="pt", **theirs)
    ours.set_image(picture((30, 30), seed=1))
    ours.predict(points=[(1, 1)])
    ours.set_image(image)  # the tracker must not answer of the picture before
    same_as(ours.predict(**prompt), hf.Sam3TrackerModel.from_pretrained(sam3), squeezed(image, 56, HALF, HALF), given, size)


@pytest.mark.parametrize("name,low", [("sam2", 16), ("sam3", 16)])
def test_squeezed_ones_take_a_mask_back_where_it_was(name, low, request):
    ours = load_segmenter(request.getfixturevalue(name))
    ours.set_image(picture((60, 30)))
    mask = np.zeros((30, 60), bool)
    mask[:15, 30:] = True
    seen = {}
    model = ours._tracker.model if name == "sam3" else ours.model
    model.prompt_encoder.mask_embed.register_forward_pre_hook(lambda _, given: seen.update(mask=given[0]))
    first = ours.predict(mask=mask)
    assert first.masks.shape == (3, 30, 60) and ours.predict(mask=first.logits[0]).masks.shape == (3, 30, 60)
    ours.predict(points=[(5, 5)], mask=mask)
    given = torch.from_numpy(mask).float()[None, None] * 2 - 1
    small = torch.nn.functional.interpolate(given, size=(low, low), mode="bilinear", antialias=True)
    assert seen["mask"].shape == small.shape and torch.allclose((seen["mask"] / 2).tanh(), small, atol=1e-3)


def test_sam3_sees_a_picture_once(sam3):
    ours, count = load_segmenter(sam3), []
    ours.model.vision_encoder.backbone.inner.register_forward_hook(lambda *_: count.append(1))
    for seed in (0, 1):
        ours.set_image(picture(seed=seed))
        for prompt in ({"text": "cat"}, {"points": [(5, 5)]}, {"text": "dog"}, {"box": (1, 1, 30, 30)}):
            ours.predict(**prompt)
        assert len(count) == seed + 1 and ours._tracker.model.vision_encoder.backbone is ours.model.vision_encoder.backbone


@pytest.fixture
def pooled(monkeypatch):
    """torchvision's pooling of boxes, as crude as can be, and the boxes that it was given."""
    boxes = []

    def roi_align(features, given, side):
        boxes.extend(given)
        cells = [features[0, :, int(t):max(int(b), int(t) + 1), int(l):max(int(r), int(l) + 1)].mean((1, 2))
                 for l, t, r, b in given[0].tolist()]
        return torch.stack(cells)[..., None, None].expand(-1, -1, side, side)

    torchvision = types.ModuleType("torchvision")
    torchvision.ops = types.SimpleNamespace(roi_align=roi_align)
    monkeypatch.setitem(sys.modules, "torchvision", torchvision)
    monkeypatch.setattr("transformers.models.sam3.modeling_sam3.torchvision", torchvision, raising=False)
    return boxes


@pytest.mark.parametrize("size", SIZES)
def test_sam3_takes_a_box_as_an_example_of_words(sam3, size, pooled):
    """Boxes are what the library's Sam3Processor makes of them; only the pooling is ours, in its model and in ours alike."""
    ours, image, (w, h) = load_segmenter(sam3), picture(size), size
    box = [w * 0.1, h * 0.2, w * 0.7, h * 0.9]
    given = sam3_processor(sam3)(text="red", input_boxes=[[box]], original_sizes=[[h, w]], return_tensors="pt")
    del given["original_sizes"]
    found = hf.Sam3Model.from_pretrained(sam3)(pixel_values=squeezed(image, 56, HALF, HALF), **given)
    ours.set_image(image)
    same_instances(ours.predict(text="red", box=box), found, size)
    assert pooled[-1][0].tolist() == pytest.approx([0.4, 0.8, 2.8, 3.6], abs=1e-4)  # of 4 x 4 cells
    assert not torch.equal(ours.predict(text="red").logits, ours.predict(text="red", box=box).logits)


def test_sam3_says_what_it_does_not_take(sam3, monkeypatch):
    ours = load_segmenter(sam3)
    ours.set_image(picture())
    monkeypatch.setitem(sys.modules, "torchvision", None)
    with pytest.raises(PromptError, match="torchvision"):
        ours.predict(text="red", box=(1, 1, 30, 30))
    for prompt in ({"points": [(5, 5)]}, {"mask": np.ones((40, 70), bool)}):
        with pytest.raises(PromptError, match="words alone or with a box"):
            ours.predict(text="red", **prompt)
    with pytest.raises(PromptError, match="the context is 32"):
        ours.predict(text="cat dog " * 9)


def test_sam3_in_halves(sam3, tmp_path, pooled):
    """Its detector or its tracker saved by itself, as the library does after training."""
    for name, model in (("sam3", hf.Sam3Model), ("sam3_tracker", hf.Sam3TrackerModel)):
        model.from_pretrained(sam3).save_pretrained(tmp_path / name)
        for file in ("processor_config.json", "vocab.json", "merges.txt", "tokenizer.json", "tokenizer_config.json"):
            (tmp_path / name / file).write_bytes((sam3 / file).read_bytes())
    whole, words, clicked = (load_segmenter(f) for f in (sam3, tmp_path / "sam3", tmp_path / "sam3_tracker"))
    for ours in (whole, words, clicked):
        ours.set_image(picture())
    assert torch.equal(words.predict(text="cat").logits, whole.predict(text="cat").logits)
    assert torch.equal(clicked.predict(points=[(5, 5)]).logits, whole.predict(points=[(5, 5)]).logits)
    box = (1, 1, 30, 30)  # alone it is an example too, and the library then says "visual"
    assert torch.equal(words.predict(box=box).logits, whole.predict(text="visual", box=box).logits)
    with pytest.raises(PromptError, match="does not take points"):
        words.predict(points=[(5, 5)])
    with pytest.raises(PromptError, match="embedder="):
        clicked.predict(text="cat")


def test_sam3_with_renamed_weights_is_refused(sam3, tmp_path):
    for file in sam3.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    weights = hf.Sam3VideoModel(hf.Sam3VideoConfig.from_pretrained(sam3)).state_dict()
    weights = {name.replace("model.text_projection", "model.words"): value.clone() for name, value in weights.items()}
    save_file(weights, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(CheckpointError, match="2 of its weights are not there, such as text_projection"):
        load_segmenter(tmp_path)


@pytest.mark.parametrize("name,prompt", [("sam2", {"points": [(30, 60)]}), ("sam3", {"points": [(30, 60)]}),
                                         ("sam3", {"text": "cat"})])
def test_squeezed_ones_see_an_exif_turn(name, prompt, request, tmp_path):
    image, exif = picture((70, 40)), Image.Exif()
    exif[274] = 6  # a phone held upright
    image.save(tmp_path / "turned.png", exif=exif)
    ours = load_segmenter(request.getfixturevalue(name))
    ours.set_image(tmp_path / "turned.png")
    turned = ours.predict(**prompt)
    ours.set_image(image.transpose(Image.Transpose.ROTATE_270))
    assert turned.masks.shape == (3, 70, 40) and torch.equal(turned.logits, ours.predict(**prompt).logits)
    if "points" in prompt:
        with pytest.raises(PromptError, match="40 x 70"):
            ours.predict(points=[(60, 30)])


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


def test_sam3_detects_and_cuts_everything_out(sam3):
    ours = load_segmenter(sam3)
    assert {one.label for one in detect(ours, picture(), ["red", "dog"], threshold=0.0).cutouts} <= {"red", "dog"}
    assert all(one.mask.shape == (40, 70) for one in everything(ours, picture(), side=2, likely=-9, stable=0))


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
