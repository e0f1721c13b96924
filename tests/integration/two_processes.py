"""What each of two processes started by torchrun does in test_training_torchrun: a team, then a training.

torchrun --nproc-per-node 2 two_processes.py DATA OUT
"""

import json
import sys
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits as entropy

from nucbatch.networks.unet import UNet
from nucbatch.training.processes import process_group


@dataclass(frozen=True, slots=True)
class ImageBatch:
    images: Tensor
    masks: Tensor


def main(out: Path) -> None:
    seen: dict[str, object] = {}
    with process_group("auto", batch=4) as group:
        torch.manual_seed(0)
        batch = ImageBatch(torch.rand(4, 3, 16, 16), (torch.rand(4, 1, 16, 16) > 0.5).float())
        alone = UNet(width=2, depth=1).eval()  # running statistics: no picture depends on its neighbours
        entropy(alone(batch.images), batch.masks).backward()
        expected = [parameter.grad.clone() for parameter in alone.parameters()]
        alone.zero_grad()
        share = group.share(batch)
        joined = group.joined(alone)
        entropy(joined(share.images), share.masks).backward()
        seen["gradient"] = all(
            torch.allclose(parameter.grad, one, atol=1e-6)
            for parameter, one in zip(alone.parameters(), expected, strict=True)
        )
        seen["mean"], seen["highest"] = group.mean(group.rank), group.highest(group.rank)
        group.check_agreement(alone)
        with torch.no_grad():
            alone.head.bias += group.rank
        try:
            group.check_agreement(alone)
        except RuntimeError as error:
            seen["disagreement"] = str(error)
        seen["rank"] = group.rank
    (out / f"rank{group.rank}.json").write_text(json.dumps(seen))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
