"""Losses and their gradients against cross-entropy oracles, and what must hold for every input."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from clipmini.loss import clip_loss, duplicate_floor, multi_positive_loss, random_loss, sigmoid_loss, soft_target_loss


def unit(rows: int, columns: int = 6, seed: int = 0) -> torch.Tensor:
    vectors = torch.randn(rows, columns, dtype=torch.double, generator=torch.Generator().manual_seed(seed))
    return F.normalize(vectors, dim=-1).requires_grad_()


def gradients(loss, *inputs):
    return torch.autograd.grad(loss, inputs, retain_graph=True)


def same_value_and_gradient(loss, oracle, inputs):
    torch.testing.assert_close(loss, oracle, rtol=0, atol=1e-12)
    for ours, theirs in zip(gradients(loss, *inputs), gradients(oracle, *inputs), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)


def scalar(value: float) -> torch.Tensor:
    return torch.tensor(value, dtype=torch.double, requires_grad=True)


def test_clip_loss_is_two_cross_entropies_written_out():
    image, text, scale = unit(5), unit(5, seed=1), scalar(7.0)
    rows = torch.stack([torch.stack([scale * image[i] @ text[j] for j in range(5)]) for i in range(5)])
    to_text = -sum(rows[i].log_softmax(0)[i] for i in range(5)) / 5
    to_image = -sum(rows[:, j].log_softmax(0)[j] for j in range(5)) / 5
    same_value_and_gradient(clip_loss(image, text, scale), (to_text + to_image) / 2, (image, text, scale))


def test_hard_negatives_are_wrong_answers_for_pictures_only():
    image, text, wrong, scale = unit(4), unit(4, seed=1), unit(3, seed=2), scalar(7.0)
    target = torch.arange(4)
    oracle = (F.cross_entropy(scale * image @ torch.cat([text, wrong]).t(), target)
              + F.cross_entropy(scale * text @ image.t(), target)) / 2
    same_value_and_gradient(clip_loss(image, text, scale, wrong), oracle, (image, text, wrong, scale))
    groups = torch.arange(4)
    same_value_and_gradient(multi_positive_loss(image, text, scale, groups, wrong), oracle, (image, text, wrong, scale))


def test_multi_positive_without_repeats_is_clip_loss():
    image, text, scale = unit(6), unit(6, seed=1), scalar(12.0)
    same_value_and_gradient(multi_positive_loss(image, text, scale, torch.tensor([5, 3, 1, 0, 2, 9])),
                            clip_loss(image, text, scale), (image, text, scale))


def test_multi_positive_is_a_divergence_from_the_uniform_target():
    image, text, scale, groups = unit(4), unit(4, seed=1), scalar(3.0), torch.tensor([7, 7, 2, 7])
    logits = scale * image @ text.t()
    target = torch.tensor([[1, 1, 0, 1], [1, 1, 0, 1], [0, 0, 3, 0], [1, 1, 0, 1]], dtype=torch.double) / 3
    oracle = (F.kl_div(logits.log_softmax(1), target, reduction="batchmean")
              + F.kl_div(logits.t().log_softmax(1), target, reduction="batchmean")) / 2
    same_value_and_gradient(multi_positive_loss(image, text, scale, groups), oracle, (image, text, scale))


def test_multi_positive_with_repeats_and_hard_negatives():
    image, text, wrong, scale = unit(3), unit(3, seed=1), unit(2, seed=2), scalar(4.0)
    target = torch.tensor([[0.5, 0, 0.5], [0, 1, 0], [0.5, 0, 0.5]], dtype=torch.double)
    rows = (scale * image @ torch.cat([text, wrong]).t()).log_softmax(1)[:, :3]
    columns = (scale * text @ image.t()).log_softmax(1)
    entropy = 2 * math.log(2) / 3
    oracle = (-(target * rows).sum() - (target * columns).sum()) / 6 - entropy
    same_value_and_gradient(multi_positive_loss(image, text, scale, torch.tensor([4, 1, 4]), wrong), oracle,
                            (image, text, wrong, scale))


def test_soft_target_loss_with_a_truth_that_is_not_symmetric():
    image, text, wrong, scale = unit(3), unit(3, seed=1), unit(2, seed=2), scalar(4.0)
    true = torch.tensor([[1, 1, 0], [0, 1, 0], [0, 1, 1]]).bool()  # the second caption fits all, others their own
    rows = torch.tensor([[0.5, 0.5, 0], [0, 1, 0], [0, 0.5, 0.5]], dtype=torch.double)
    columns = torch.tensor([[1, 0, 0], [1 / 3, 1 / 3, 1 / 3], [0, 0, 1]], dtype=torch.double)
    log_rows = (scale * image @ torch.cat([text, wrong]).t()).log_softmax(1)[:, :3]
    oracle = (F.kl_div(log_rows, rows, reduction="batchmean")
              + F.kl_div((scale * text @ image.t()).log_softmax(1), columns, reduction="batchmean")) / 2
    same_value_and_gradient(soft_target_loss(image, text, scale, true, wrong), oracle, (image, text, wrong, scale))


def test_multi_positive_reaches_zero_where_clip_loss_cannot():
    groups = torch.tensor([0, 0, 1, 1])
    perfect = torch.eye(2, dtype=torch.double)[groups]
    assert multi_positive_loss(perfect, perfect, torch.tensor(60.0), groups) < 1e-9
    assert math.isclose(clip_loss(perfect, perfect, torch.tensor(60.0)).item(), math.log(2), rel_tol=1e-6)
    assert math.isclose(duplicate_floor(groups, 4), math.log(2), rel_tol=1e-6)


def test_sigmoid_loss_is_binary_cross_entropy_over_all_pairs():
    image, text, scale, bias = unit(5), unit(5, seed=1), scalar(10.0), scalar(-3.0)
    logits = scale * image @ text.t() + bias
    oracle = F.binary_cross_entropy_with_logits(logits, torch.eye(5, dtype=torch.double), reduction="sum") / 5
    same_value_and_gradient(sigmoid_loss(image, text, scale, bias), oracle, (image, text, scale, bias))
    groups = torch.tensor([1, 2, 1, 3, 2])
    yes = (groups[:, None] == groups[None]).double()
    oracle = F.binary_cross_entropy_with_logits(scale * image @ text.t() + bias, yes, reduction="sum") / 5
    same_value_and_gradient(sigmoid_loss(image, text, scale, bias, groups), oracle, (image, text, scale, bias))


@pytest.mark.parametrize("n", [2, 7, 128])
def test_knowing_nothing_costs_ln_n(n):
    alike = torch.ones(n, 4) / 2
    assert math.isclose(clip_loss(alike, alike, torch.tensor(20.0)).item(), math.log(n), rel_tol=1e-5)
    assert math.isclose(random_loss(n), math.log(n))


@settings(max_examples=25, deadline=None)
@given(st.permutations(range(6)), st.floats(1, 100))
def test_losses_do_not_mind_the_order_of_pairs(order, scale):
    image, text, groups, s = unit(6), unit(6, seed=1), torch.tensor([0, 1, 1, 2, 0, 3]), torch.tensor(scale)
    for loss in (lambda i, t, g: clip_loss(i, t, s), lambda i, t, g: multi_positive_loss(i, t, s, g),
                 lambda i, t, g: sigmoid_loss(i, t, s, torch.tensor(-5.0), g)):
        torch.testing.assert_close(loss(image[order], text[order], groups[order]), loss(image, text, groups))


def test_directions_are_symmetric():
    image, text = unit(5), unit(5, seed=1)
    torch.testing.assert_close(clip_loss(image, text, torch.tensor(9.0)), clip_loss(text, image, torch.tensor(9.0)))


def test_floor_of_unique_captions_is_zero():
    assert duplicate_floor(torch.arange(100), 32) == 0.0
