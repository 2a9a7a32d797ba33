"""What `fastup match` does to every frame, against what one would do otherwise."""

import shutil
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import fastup
from fastup._warp import warp
from fastup.footage import opening
from fastup.pairs import signatures

HD, SD = (1080, 1440), (480, 720)


@pytest.fixture(scope="module")
def hd():
    """A picture of HD, (H, W, 3) float32."""
    y, x = np.mgrid[: HD[0], : HD[1]].astype(np.float32)
    smooth = np.stack([np.sin(x / 40 + y / 90), np.cos(y / 17), np.sin((x - y) / 23)], -1)
    return np.ascontiguousarray(0.5 + 0.4 * smooth, np.float32)


def test_hd_is_put_on_a_turned_sd_picture(against, hd):
    """By scikit-image's cubic, which reads 16 pixels for one, where Lanczos' kernel has 64; ours goes in two passes."""
    from skimage.transform import AffineTransform
    from skimage.transform import warp as skimage_warp

    matrix = np.array([[1.04, -0.01, 12.0], [0.01, 1.03, -3.0]])
    whole = np.eye(3)  # of (x, y), and pixels at whole numbers
    whole[:2, :2] = matrix[::-1, 1::-1]
    whole[:2, 2] = (matrix[:, 2] + matrix[:, :2] @ (0.5, 0.5) - 0.5)[::-1]

    def ours():
        return warp(hd, matrix, HD)

    def peer():
        return skimage_warp(hd, AffineTransform(whole), output_shape=HD, order=3, mode="edge", preserve_range=True)

    assert np.abs(ours() - peer())[20:-60, 20:-60].max() < 0.01
    against(ours, peer, rounds=5, at_least=0.8)


def test_hd_is_made_smaller_by_lanczos(against, hd):
    """By OpenImageIO's resize on one thread: the same kernel, without a turn."""
    import OpenImageIO as oiio

    scale = np.divide(HD, SD)
    matrix = np.column_stack([np.diag(scale), np.zeros(2)])
    source = oiio.ImageBuf(hd)
    region = oiio.ROI(0, SD[1], 0, SD[0], 0, 1, 0, 3)

    def ours():
        return warp(hd, matrix, SD)

    def peer():
        return oiio.ImageBufAlgo.resize(source, filtername="lanczos3", roi=region, nthreads=1)

    assert np.abs(ours() - peer().get_pixels(oiio.FLOAT))[10:-10, 10:-10].max() < 0.01
    against(ours, peer, rounds=5, at_least=4.0)


def test_pass_one_against_reading(against, tmp_path, picture):
    """Signatures of 96 frames of 720x480, against nothing but reading them on two threads."""
    frame = picture(SD)
    paths = [tmp_path / "film" / f"{number:04d}.dpx" for number in range(96)]
    paths[0].parent.mkdir()
    for number, path in enumerate(paths):
        fastup.write(path, np.roll(frame, 8 * number, axis=0))

    def ours():
        return signatures.read(opening.source(paths[0].parent), cache=tmp_path / "cache")

    def peer():
        with ThreadPoolExecutor(2) as pool:
            return sum(len(frame) for frame in pool.map(fastup.read, paths))

    assert len(ours()) == len(paths)
    against(ours, peer, before=lambda: shutil.rmtree(tmp_path / "cache", True), rounds=7, at_least=0.15)
