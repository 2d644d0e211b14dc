"""The map's nine colours stay apart, on both grounds, for people who see no red, no green or no blue."""

import itertools
import re
from pathlib import Path

import numpy as np
import pytest

from clipmini import plots
from demo_app.map import canvas

# Machado, Oliveira and Fernandes 2009, "A physiologically-based model for simulation of color vision deficiency", table 1,
# severity 1: what the eye's linear RGB becomes.
EYES = {
    "all cones": np.eye(3),
    "no red": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "no green": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "no blue": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
XYZ = np.array([[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]])


def lab(colour: str, eye: str) -> np.ndarray:
    """A colour (#rrggbb) as an eye sees it, in CIELAB (D65)."""
    rgb = np.array([int(colour[i:i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    x, y, z = np.clip(np.array(EYES[eye]) @ linear, 0, 1) @ XYZ.T / [0.95047, 1, 1.08883]
    f = [c ** (1 / 3) if c > 0.008856 else 7.787 * c + 16 / 116 for c in (x, y, z)]
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def colours() -> list[str]:
    return re.findall(r"#[0-9a-f]{6}", re.search(r"const COLOURS = \[(.*?)\]", canvas.SCRIPT)[1])


def apart(eye: str, of: list[str]) -> tuple[float, str, str]:
    """The two that are nearest to each other (CIE 1976 distance; 2.3 is just seen)."""
    return min((float(np.linalg.norm(lab(a, eye) - lab(b, eye))), a, b) for a, b in itertools.combinations(of, 2))


def test_known_colours_are_where_they_should_be():
    assert lab("#ffffff", "all cones") == pytest.approx([100, 0, 0], abs=0.02)
    assert lab("#ff0000", "all cones") == pytest.approx([53.24, 80.09, 67.20], abs=0.05)
    red, green = "#b03a2e", "#4d7326"  # told apart by all cones, hardly without the green ones
    assert apart("no green", [red, green])[0] < 0.5 * apart("all cones", [red, green])[0]


@pytest.mark.parametrize("eye", EYES)
def test_groups_stay_apart(eye):
    assert len(colours()) == 9
    distance, a, b = apart(eye, colours())
    assert distance >= 15, f"{a} and {b} are {distance:.1f} apart for {eye}"


def test_figures_have_the_colours_of_the_app():
    assert list(plots.MAP_COLOURS) == colours()


def test_pictures_and_words_differ_by_shape_too():
    """Without any colour: a disc for one, a diamond for the other, in the canvas and in its legend."""
    drawn = (Path(canvas.__file__).parent / "js" / "draw.js").read_text("utf-8")
    assert 'stamp("diamond"' in drawn and 'stamp("disc"' in drawn and "shapes[+(i < pictures)]" in drawn
