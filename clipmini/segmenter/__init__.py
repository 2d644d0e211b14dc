"""The promptable segmenter: a click, a box, words or a coarse mask choose a part of a picture."""
