"""The prompt workbench against counts by hand and against the zero-shot classifier."""

from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F

import clipmini
from clipmini.commands import main
from clipmini.embedder import Embedder, assets_folder
from clipmini.plots import template_scores
from clipmini.tasks.classify import build_classifier, classify
from clipmini.tasks.templates import as_text, ensemble, examine, forward_selection, on_one_picture, prompt_vectors
from test_embedder import picture

LABELS, TEMPLATES = ["cat", "apple", "moon"], ["{}", "a {}", "red {}"]


def test_the_ensemble_of_all_is_the_zero_shot_classifier(make_clip, tokenizer):
    embedder = Embedder(make_clip("light-cbow", seed=4), tokenizer)
    vectors = prompt_vectors(embedder, LABELS, TEMPLATES)
    assert vectors.shape == (3, 3, 32)
    classifier = build_classifier(embedder, LABELS, TEMPLATES)
    torch.testing.assert_close(ensemble(vectors, {0, 1, 2}), classifier, rtol=0, atol=1e-6)
    features = embedder.embed_images([picture(20, 20, seed=i) for i in range(24)])
    bench = examine(embedder, features, torch.arange(24) % 3, LABELS, TEMPLATES)
    right = (features @ build_classifier(embedder, LABELS, TEMPLATES).t()).argmax(1) == torch.arange(24) % 3
    assert bench.embeddings.accuracy == pytest.approx(right.float().mean().item()) and bench.n == 24
    assert {s.what for s in bench.alone} == {s.what for s in bench.without} == set(TEMPLATES)
    assert [s.accuracy for s in bench.alone] == sorted((s.accuracy for s in bench.alone), reverse=True)
    for i, template in enumerate(TEMPLATES):
        others = build_classifier(embedder, LABELS, [t for t in TEMPLATES if t != template])
        share = ((features @ others.t()).argmax(1) == torch.arange(24) % 3).float().mean().item()
        assert {s.what: s.accuracy for s in bench.without}[template] == pytest.approx(share), i
    shares = sum((embedder.logit_scale * features @ v.t()).softmax(1) for v in vectors)
    expected = (shares.argmax(1) == torch.arange(24) % 3).float().mean().item()
    assert bench.probabilities.accuracy == pytest.approx(expected)
    text = as_text(bench)
    assert "red {}" in text and "judged on the other 12" in text
    assert all(s.low <= s.accuracy <= s.high for s in bench.alone)
    assert template_scores(bench).axes[0].get_xlabel() == "top-1 on 24 pictures"


def test_forward_selection_takes_what_helps_and_stops():
    generator = torch.Generator().manual_seed(0)
    centres = F.normalize(torch.randn(3, 16, generator=generator), dim=-1)
    targets = torch.arange(60) % 3
    features = F.normalize(centres[targets] + 0.3 * torch.randn(60, 16, generator=generator), dim=-1)
    noise = F.normalize(torch.randn(2, 3, 16, generator=generator), dim=-1)
    steps = forward_selection(features, targets, torch.stack([noise[0], centres, noise[1]]), ["bad", "good", "worse"])
    assert [s.what for s in steps] == ["good"] and steps[0].accuracy > 0.9  # nothing helps any more
    assert (steps[0].low, steps[0].high) != (0, 1)
    stacked = torch.stack([noise[0], centres, noise[1]])
    embedder = SimpleNamespace(logit_scale=10.0, embed_texts=lambda prompts: stacked.view(9, 16))
    bench = examine(embedder, features, targets, ["x", "y", "z"], ["bad {}", "good {}", "worse {}"])
    assert bench.without[0].what == "good {}"  # the most missed
    assert bench.without[0].accuracy < bench.embeddings.accuracy
    assert bench.alone[0].what == "good {}"


def test_probabilities_and_vectors_may_disagree():
    """Two templates of three vote for y; the third is nearer to x by more, which a mean of vectors counts and a mean of
    probabilities, all near 0 or 1, does not."""
    vectors = torch.tensor([[[1.0, 0], [0, 1.0]], [[0.6, 0.8], [0.8, 0.6]], [[0.6, 0.8], [0.8, 0.6]]])
    embedder = SimpleNamespace(logit_scale=100.0, embed_texts=lambda prompts: vectors.view(6, 2))
    features = torch.tensor([[0.8, 0.6]] * 4)
    bench = examine(embedder, features, torch.zeros(4, dtype=torch.long), ["x", "y"], TEMPLATES)
    assert (bench.embeddings.accuracy, bench.probabilities.accuracy) == (1.0, 0.0)
    with pytest.raises(ValueError, match="3 pictures say nothing"):
        examine(embedder, features[:3], torch.zeros(3), ["x", "y"], TEMPLATES)


def test_the_command(tiny_checkpoints, tmp_path, capsys):
    from foreign import write_archive
    from test_benchmark import jpeg

    write_archive(tmp_path / "0.tar", [(jpeg(i), "cls", str(i % 2)) for i in range(12)])
    (tmp_path / "classnames.txt").write_text("red cat\nblue square\n")
    line = ["prompts", str(tiny_checkpoints["light-cbow"]), "--dataset", "imagenet-r", "--folder", str(tmp_path),
            "--limit", "10", "--plot", str(tmp_path / "t.png")]
    assert main(line) == 0
    said = capsys.readouterr().out
    assert "10 pictures" in said and "an emoji of a {}" in said and (tmp_path / "t.png").stat().st_size > 5000


def test_a_set_of_captions_has_no_labels_to_fill_in(tiny_checkpoints, capsys):
    assert main(["prompts", str(tiny_checkpoints["light-cbow"]), "--dataset", "flickr8k"]) == 1
    assert "'flickr8k' has captions and no classes" in capsys.readouterr().err


def test_one_picture(make_clip, tokenizer):
    embedder = Embedder(make_clip("light-cbow", seed=4), tokenizer)
    found = on_one_picture(embedder, picture(20, 20), LABELS, TEMPLATES)
    assert found.templates == tuple(TEMPLATES) and found.probabilities.shape == (5, 3)
    torch.testing.assert_close(found.probabilities.sum(1), torch.ones(5))
    for row, templates in zip(found.probabilities[:4], [*([t] for t in TEMPLATES), TEMPLATES], strict=True):
        expected = classify(embedder, [picture(20, 20)], LABELS, templates).probabilities[0]
        torch.testing.assert_close(row, expected, rtol=0, atol=1e-5)
    torch.testing.assert_close(found.probabilities[4], found.probabilities[:3].mean(0))


def test_a_label_with_an_article_is_asked_as_classify_asks(make_clip, tokenizer):
    embedder = Embedder(make_clip("light-cbow", seed=4), tokenizer)
    labels = ["a cat", "the moon"]
    found = on_one_picture(embedder, picture(20, 20), labels, TEMPLATES)
    expected = classify(embedder, [picture(20, 20)], labels, ["a {}"]).probabilities[0]
    torch.testing.assert_close(found.probabilities[1], expected, rtol=0, atol=1e-5)
    assert not torch.allclose(expected, classify(embedder, [picture(20, 20)], ["cat", "moon"], ["a a {}"]).probabilities[0])


def test_what_the_templates_choose_is_said():
    pytest.importorskip("gradio")
    from clipmini.tasks.templates import OnePicture
    from demo_app.tabs.prompts import verdict, why

    def said(*rows, lang="en"):
        shares = torch.tensor([*rows, *rows[:2]])  # two rows more, of all together, which are no templates
        return verdict(lang, OnePicture(tuple(TEMPLATES[:len(rows)]), shares), ("cat", "dog"))

    assert said([.9, .1], [.6, .4], [.7, .3]) == "All 3 templates choose “cat”: “{}” most surely (90.0%), “a {}” least (60.0%)."
    assert said([.3, .7], [.8, .2], [.45, .55]) == (
        "The prompt decides: “a {}” chooses “cat” (80.0%), “{}” chooses “dog” (70.0%).")
    assert said([.9, .1]).startswith("The template “{}” chooses “cat” (90.0%)") and "猫" not in said([.9, .1], lang="zh")
    emoji = clipmini.load("emoji")
    measured = emoji.meta["results"]["twemoji, one template"]["top1"]
    assert f"right with one template {measured:.1%}" in why("en", emoji) and "measured" not in why(
        "en", SimpleNamespace(meta={})).lower()
    for odd in (7, [1], {"a, one template": 3, "a, ensemble": {"top1": "x"}}):
        assert "Measured" not in why("en", SimpleNamespace(meta={"results": odd}))


def test_the_example_on_which_the_sentence_decides():
    """What the Prompts view shows: the embedded model says "dog" to one sentence and "animal" to another."""
    labels, templates = ["dog", "animal", "face"], ["{}", "a drawing of a {}", "a photo of a {}.", "the word {}"]
    found = on_one_picture(clipmini.load("emoji"), assets_folder() / "samples" / "dog_face.png", labels, templates)
    assert found.probabilities[:4].argmax(1).tolist() == [0, 0, 1, 1]
    assert (found.probabilities[:2, 0] > 0.6).all() and (found.probabilities[2:4, 0] < 0.1).all()
