"""What test_together.py has one process do, or two by torchrun: train, and print the losses and the weights' digest.

    python tests/two_processes.py TOWERS LOSS FOLDER STEPS
"""

import hashlib
import json
import sys

import numpy as np
import torch

from clipmini.config import preset
from clipmini.model import CLIP
from clipmini.tokenizer import Tokenizer
from clipmini.training import Pairs, TrainConfig, together, train

NOISE = 60  # rows: pictures of noise, as flat ones make BatchNorm divide by nearly nothing
SMALL = {"light-cbow": ({"width": 8}, {}),
         "vit-transformer": ({"width": 16, "patch_size": 8, "layers": 2, "heads": 2}, {"layers": 2, "heads": 2})}


def main(towers: str, loss: str, folder: str, steps: str) -> None:
    torch.set_num_threads(1)
    rgba = np.random.default_rng(0).integers(0, 256, (NOISE, 20, 20, 4), dtype=np.uint8)
    rgba[..., 3] = 255
    captions = [[f"thing {i % 12}", f"a {i % 12}"] for i in range(NOISE)]
    pairs = Pairs(torch.from_numpy(rgba), captions, torch.arange(NOISE) % 12)
    tokenizer = Tokenizer.train([c for row in captions for c in row], 560, context_length=32)
    vision, text = SMALL[towers]
    torch.manual_seed(0)
    model = CLIP(preset(towers, tokenizer, {"image_size": 16, **vision}, {"width": 32, **text}, embed_dim=32,
                        sigmoid=loss == "sigmoid"))
    config = TrainConfig(steps=50, batch=15, warmup=5, loss=loss, precision="float32", learning_rate=1e-3, evaluate_every=10,
                         other_texts=0 if loss == "sigmoid" else 3)
    with together.joined():
        run = train(model, pairs, tokenizer, config, folder, progress=False, stop_after=int(steps),
                    evaluate=lambda trained: trained.scale.item() if together.first() else None)
        weights = b"".join(t.numpy().tobytes() for t in run.model.state_dict().values())
        found = {"losses": [row["loss"] for row in run.history], "weights": hashlib.sha256(weights).hexdigest(),
                 "best": run.best}
        assert together.agreed(found) == found  # the same to the bit in all
        if together.first():
            print(json.dumps(found))


if __name__ == "__main__":  # pytest looks into every file for examples
    main(*sys.argv[1:])
