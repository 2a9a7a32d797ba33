"""A Numba kernel: what the blocks of two pictures say of how far one lies off the other."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from fastup._types import Floats

# The sums of `sums`: `h` is the second picture, `g` its gradients, `s` the first, `e` its gradients. Of both pictures,
# how much they are more than their middle pixel of the block is summed, so that no digits are lost. GYEX is the mean of
# that and of GXEY.
N, H, S, HH, HS, SS, GY, GX, GYH, GXH, GYS, GXS, GYGY, GYGX, GXGX, GYEY, GYEX, GXEX, EYEY, EYEX, EXEX = range(21)


def sums(one: Floats, other: Floats, block: int) -> NDArray[np.float64]:
    """Sums over the pixels of each block of two pictures, by the names above: (21, H // block, W // block).

    Gradients are central differences over two pixels, so the outermost pixels of the pictures count for nothing. Rows
    and columns beyond the last whole block are left out.

    Parameters
    ----------
    one, other : (H, W), float32
    block
        Pixels of a side, 1 or more.
    """
    if one.ndim != 2 or one.shape != other.shape or not one.dtype == other.dtype == np.float32:
        raise ValueError(
            f"found {one.shape} of {one.dtype} and {other.shape} of {other.dtype}, expected (H, W), float32"
        )
    if block < 1:
        raise ValueError(f"block: found {block}, expected 1 or more")
    result = np.zeros((EXEX + 1, one.shape[0] // block, one.shape[1] // block))
    _sums(np.ascontiguousarray(one), np.ascontiguousarray(other), block, result)
    return result


@njit(cache=True, nogil=True)
def _sums(one, other, block, result):
    height, width = one.shape
    half = np.float32(0.5)
    for row in range(result.shape[1]):
        for column in range(result.shape[2]):
            n = 0
            middle = row * block + block // 2, column * block + block // 2
            h0, s0 = other[middle], one[middle]
            h_ = s_ = hh = hs = ss = gy_ = gx_ = gyh = gxh = gys = gxs = gygy = gygx = gxgx = gyey = gyex = gxex = (
                eyey
            ) = eyex = exex = np.float32(0)
            for y in range(max(row * block, 1), min((row + 1) * block, height - 1)):
                for x in range(max(column * block, 1), min((column + 1) * block, width - 1)):
                    h, s = other[y, x] - h0, one[y, x] - s0
                    gy = half * (other[y + 1, x] - other[y - 1, x])
                    gx = half * (other[y, x + 1] - other[y, x - 1])
                    ey = half * (one[y + 1, x] - one[y - 1, x])
                    ex = half * (one[y, x + 1] - one[y, x - 1])
                    n += 1
                    h_ += h
                    s_ += s
                    hh += h * h
                    hs += h * s
                    ss += s * s
                    gy_ += gy
                    gx_ += gx
                    gyh += gy * h
                    gxh += gx * h
                    gys += gy * s
                    gxs += gx * s
                    gygy += gy * gy
                    gygx += gy * gx
                    gxgx += gx * gx
                    gyey += gy * ey
                    gyex += half * (gy * ex + gx * ey)
                    gxex += gx * ex
                    eyey += ey * ey
                    eyex += ey * ex
                    exex += ex * ex
            at = result[:, row, column]
            at[N], at[H], at[S], at[HH], at[HS], at[SS], at[GY], at[GX] = n, h_, s_, hh, hs, ss, gy_, gx_
            at[GYH], at[GXH], at[GYS], at[GXS], at[GYGY], at[GYGX], at[GXGX] = gyh, gxh, gys, gxs, gygy, gygx, gxgx
            at[GYEY], at[GYEX], at[GXEX], at[EYEY], at[EYEX], at[EXEX] = gyey, gyex, gxex, eyey, eyex, exex
