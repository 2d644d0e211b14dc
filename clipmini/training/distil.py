"""Distillation: beside its captions, a picture is drawn to what a model that was trained before says of it.

The teacher sees the picture clean, the pupil sees it augmented or sketched, so that the pupil learns to see through
what was done to it and forgets less of what the teacher knew (Hinton et al. 2015, "Distilling the Knowledge in a Neural
Network"; on vectors in place of shares as in Romero et al. 2015, "FitNets").
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from clipmini.augment import augment
from clipmini.model import CLIP
from clipmini.tokenizer import Tokenizer
from clipmini.training.pairs import Pairs

AT_A_TIME = 256


@torch.no_grad()
def targets(teacher: CLIP, tokenizer: Tokenizer, pairs: Pairs) -> Tensor:
    """Where each picture is to lie -> unit vectors (rows, E).

    That is between the teacher's vector of the picture and the mean of those of its concept. Only what the teacher
    names rightly counts: another picture is drawn to the mean of its concept alone, and a concept of which it knows no
    picture has zeros, which draw nowhere.
    """
    teacher.eval()
    v, generator = teacher.config.vision, torch.Generator()
    vectors = torch.cat([teacher.encode_image(augment(part, v.image_size, v.mean, v.std, generator, 0.0, 0.0, 0.0))
                         for part in pairs.rgba.split(AT_A_TIME)])  # (rows, E)
    concepts, concept = torch.unique(pairs.groups, return_inverse=True)
    first = {int(c): row for row, c in reversed(list(enumerate(concept.tolist())))}
    names = tokenizer([pairs.captions[first[c]][0] for c in range(len(concepts))], truncate=True)
    texts = torch.cat([teacher.encode_text(part) for part in names.split(AT_A_TIME)])  # (concepts, E)
    right = torch.cat([(part @ texts.t()).argmax(1) for part in vectors.split(AT_A_TIME)]) == concept
    sums = torch.zeros(len(concepts), vectors.shape[1]).index_add_(0, concept[right], vectors[right])
    return F.normalize(F.normalize(sums, dim=-1)[concept] + vectors * right[:, None], dim=-1)


def distance(image: Tensor, aims: Tensor) -> Tensor:
    """The mean of 1 - cosine of unit vectors (B, E) and their targets (B, E); targets of zeros count as reached."""
    return (aims.norm(dim=-1) - (image * aims).sum(-1)).mean()
