from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from nucbatch.core.errors import InputError
from nucbatch.networks.unet import UNet
from nucbatch.training.processes import ProcessGroup, is_main_process, process_group

CPU = torch.device("cpu")


@dataclass(frozen=True, slots=True)
class ImageBatch:
    images: Tensor
    masks: Tensor


def test_shares_hold_every_picture_once_with_its_mask() -> None:
    batch = ImageBatch(torch.arange(6.0), 10 * torch.arange(6.0))
    shares = [ProcessGroup(rank, 3, CPU).share(batch) for rank in range(3)]
    assert [share.images.tolist() for share in shares] == [[0, 3], [1, 4], [2, 5]]
    assert all(torch.equal(10 * share.images, share.masks) for share in shares)


def test_one_process_is_a_team_of_its_own() -> None:
    network = UNet(width=1, depth=1)
    with process_group("cpu", batch=3) as alone:
        assert (alone.is_main, alone.size, alone.device) == (True, 1, CPU)
        assert alone.joined(network) is network
        assert alone.mean(2.5) == alone.highest(2.5) == 2.5
        alone.check_agreement(network)
    assert is_main_process()


def test_a_batch_that_cannot_be_shared_evenly_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "3")
    monkeypatch.setenv("RANK", "1")
    with pytest.raises(InputError, match="start a number that divides 8"), process_group("cpu", batch=8):
        pass
    assert not is_main_process()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_device_that_is_not_there_is_refused() -> None:
    with pytest.raises(InputError, match="Use cpu"), process_group("cuda", batch=8):
        pass
