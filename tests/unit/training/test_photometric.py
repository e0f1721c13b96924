import numpy as np
import torch

from nucbatch.training.photometric import augment_intensities


def likeness(image):
    """Correlation of pixels with their right-hand neighbours, without slopes across the image."""
    rough = image - torch.nn.functional.avg_pool2d(image[None], 9, 1, 4, count_include_pad=False)[0]
    rough = rough[0, 8:-8, 8:-8]
    return float(np.corrcoef(rough[:, 1:].flatten(), rough[:, :-1].flatten())[0, 1])


def test_noise_of_neighbours_differs_in_some_crops_and_is_alike_in_others():
    grey = torch.full((64, 3, 64, 64), 0.4)
    lit = augment_intensities(grey, np.random.default_rng(1))
    noisy = [image for image in lit if image[0, 8:-8, 8:-8].std() > 0.02 and 0.05 < image.mean() < 0.95]
    found = [likeness(image) for image in noisy]
    assert len(found) > 8
    assert min(found) < 0.1  # of a camera
    assert max(found) > 0.5  # resampled or denoised


def test_grains_vary_with_the_light():
    halves = torch.full((64, 3, 64, 64), 0.02)
    halves[..., 32:] = 0.6
    lit = augment_intensities(halves, np.random.default_rng(2))
    bright, dark = lit[:, 0, 8:-8, 40:56].std(dim=(1, 2)), lit[:, 0, 8:-8, 8:24].std(dim=(1, 2))
    ratio = (bright / (dark + 1e-3))[bright > 0.04]
    assert float(ratio.min()) < 1.5
    assert float(ratio.max()) > 4


def test_the_same_seed_gives_the_same_crops_in_the_range():
    images = torch.rand(6, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    once, again = (augment_intensities(images, np.random.default_rng(3)) for _ in range(2))
    assert torch.equal(once, again)
    assert float(once.min()) >= 0
    assert float(once.max()) <= 1
