"""Template sets and class names: as many as published, each usable, the 80 and the 1,000 as the package open_clip has
them."""

import ast
import importlib.util
from pathlib import Path

import pytest

from clipmini.data.classnames import CLASS_NAMES, PUBLISHED_TEMPLATES, imagenet_names
from clipmini.tasks.prompts import TEMPLATES, check_template

OPEN_CLIP = importlib.util.find_spec("open_clip")


def test_template_sets_have_their_published_sizes_and_are_usable():
    sizes = {"openai80": 80, "openai7": 7, "cifar": 18, "food": 1, "pets": 1, "flowers": 1, "cars": 8, "textures": 8,
             "aircraft": 2, "satellite": 3, "digits": 1, "scenes": 2}
    assert {name: len(templates) for name, templates in PUBLISHED_TEMPLATES.items()} == sizes
    for templates in PUBLISHED_TEMPLATES.values():
        assert len(set(templates)) == len(templates) and all(check_template(t) == t for t in templates)
    assert set(PUBLISHED_TEMPLATES) < set(TEMPLATES)
    assert set(PUBLISHED_TEMPLATES["openai7"]) < set(PUBLISHED_TEMPLATES["openai80"])


def test_class_lists_have_their_published_sizes():
    sizes = {"cifar10": 10, "cifar100": 100, "imagenette": 10, "fashion_mnist": 10, "mnist": 10, "food101": 101,
             "pets": 37}
    assert {name: len(names) for name, names in CLASS_NAMES.items()} == sizes
    for names in CLASS_NAMES.values():
        assert len({n.lower() for n in names}) == len(names) and not any("_" in n for n in names)
    assert list(CLASS_NAMES["cifar100"]) == sorted(CLASS_NAMES["cifar100"])


@pytest.mark.skipif(OPEN_CLIP is None, reason="install open_clip_torch without its dependencies")
def test_the_80_and_the_1000_are_open_clips():
    tree = ast.parse((Path(OPEN_CLIP.origin).parent / "zero_shot_metadata.py").read_text(encoding="utf-8"))
    theirs = {node.targets[0].id: node.value for node in tree.body if isinstance(node, ast.Assign)}
    for ours, name in (("openai80", "OPENAI_IMAGENET_TEMPLATES"), ("openai7", "SIMPLE_IMAGENET_TEMPLATES")):
        frames = ["".join(p.value if isinstance(p, ast.Constant) else "{}" for p in f.body.values)
                  for f in theirs[name].elts]
        assert list(PUBLISHED_TEMPLATES[ours]) == frames
    names = imagenet_names()
    assert len(names) == 1000 and names[0] == "tench" and set(CLASS_NAMES["imagenette"]) - set(names) <= {
        "English springer", "chain saw", "gas pump"}  # which OpenAI renamed


def test_without_open_clip_the_other_package_answers(monkeypatch):
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "open_clip" else real(name))
    assert len(imagenet_names()) == 1000
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert imagenet_names() is None
