"""NumPy twins of the kernels, written for clarity alone; imports nothing of fastup."""

import numpy as np


def keys_cubic(distance):
    """Keys' cubic convolution kernel, a = -1/2, at a distance in pixels."""
    d = abs(distance)
    if d <= 1:
        return 1.5 * d**3 - 2.5 * d**2 + 1
    if d < 2:
        return -0.5 * d**3 + 2.5 * d**2 - 4 * d + 2
    return 0.0


def bicubic(picture, vertical, horizontal):
    """Bicubic enlargement of (h, w, c) by exact fractions, half-pixel centres, edge pixels repeated; float64."""
    result = np.asarray(picture, np.float64)
    for axis, scale in enumerate((vertical, horizontal)):
        source = np.moveaxis(result, axis, 0)
        size = source.shape[0]
        target = np.zeros((int(size * scale), *source.shape[1:]))
        for i in range(len(target)):
            centre = (i + 0.5) / float(scale) - 0.5
            for j in range(int(np.floor(centre)) - 2, int(np.floor(centre)) + 4):
                target[i] += keys_cubic(centre - j) * source[min(max(j, 0), size - 1)]
        result = np.moveaxis(target, 0, axis)
    return result


def convolve_same(picture, kernel):
    """Convolution as networks mean it: (h, w, c) with an odd (kh, kw, c, d), zeros outside, to (h, w, d); float64."""
    kh, kw, _, features = kernel.shape
    h, w, _ = picture.shape
    padded = np.pad(np.asarray(picture, np.float64), ((kh // 2, kh // 2), (kw // 2, kw // 2), (0, 0)))
    result = np.zeros((h, w, features))
    for y in range(h):
        for x in range(w):
            result[y, x] = np.tensordot(padded[y : y + kh, x : x + kw], kernel, 3)
    return result


def depth_to_space(values, block):
    """(h, w, block * block * c) to (h * block, w * block, c), pixel by pixel."""
    h, w, depth = values.shape
    channels = depth // block**2
    result = np.zeros((h * block, w * block, channels), values.dtype)
    for y in range(h * block):
        for x in range(w * block):
            start = (y % block * block + x % block) * channels
            result[y, x] = values[y // block, x // block, start : start + channels]
    return result


def sub_pixel(picture, kernel, bias, vertical, horizontal, channels):
    """Sub-pixel convolution by (p, q) pairs, one cell at a time: (h, w, c) to (h / q * p, w / q * p, channels)."""
    (p_v, q_v), (p_h, q_h) = vertical, horizontal
    kh, kw = kernel.shape[:2]
    above, left = (kh - q_v) // 2, (kw - q_h) // 2
    h, w, _ = picture.shape
    padded = np.pad(np.asarray(picture, np.float64), ((above, above), (left, left), (0, 0)))
    result = np.zeros((h // q_v * p_v, w // q_h * p_h, channels))
    for row in range(h // q_v):
        for column in range(w // q_h):
            seen = padded[row * q_v : row * q_v + kh, column * q_h : column * q_h + kw]
            cell = (np.tensordot(seen, kernel, 3) + bias).reshape(p_v, p_h, channels)
            result[row * p_v : (row + 1) * p_v, column * p_h : (column + 1) * p_h] = cell
    return result


def luma(picture):
    """The papers' Y of normalised RGB, 16..235, unrounded."""
    red, green, blue = np.moveaxis(np.asarray(picture, np.float64), -1, 0)
    return 65.481 * red + 128.553 * green + 24.966 * blue + 16


def ssim(a, b):
    """Structural similarity of two planes, peak 255, 11 x 11 Gaussian of sigma 1.5, one 'valid' window at a time."""
    line = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
    window = np.outer(line, line) / line.sum() ** 2
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    total = []
    for y in range(a.shape[0] - 10):
        for x in range(a.shape[1] - 10):
            u, v = a[y : y + 11, x : x + 11], b[y : y + 11, x : x + 11]
            mean_u, mean_v = (window * u).sum(), (window * v).sum()
            var_u, var_v = (window * (u - mean_u) ** 2).sum(), (window * (v - mean_v) ** 2).sum()
            both = (window * (u - mean_u) * (v - mean_v)).sum()
            total.append(
                (2 * mean_u * mean_v + c1) * (2 * both + c2) / ((mean_u**2 + mean_v**2 + c1) * (var_u + var_v + c2))
            )
    return float(np.mean(total))


def tile_origins(height, width, tile_h, tile_w, jitter):
    """(y, x) of each tile: plain ones in raster order, then those half a tile down and right."""
    plain = [(y, x) for y in range(0, height, tile_h) for x in range(0, width, tile_w)]
    shifted = [
        (y + tile_h // 2, x + tile_w // 2) for y, x in plain if y + tile_h < height and x + tile_w < width and jitter
    ]
    return plain + shifted


def tile_cut(frame, origins, tile_h, tile_w, v, h, fill):
    """Tiles with borders out of a padded frame; `fill` is "edge" or a constant."""
    # One tile and one border on every side reach as far as any tile does.
    pad = ((v + tile_h,) * 2, (h + tile_w,) * 2, (0, 0))
    wide = np.pad(frame, pad, mode="edge") if fill == "edge" else np.pad(frame, pad, constant_values=fill)
    tiles = [wide[y + tile_h : y + 2 * tile_h + 2 * v, x + tile_w : x + 2 * tile_w + 2 * h] for y, x in origins]
    return np.array(tiles)


def tile_stitch(tiles, height, width, v, h):
    """The picture from its plain tiles, pixel by pixel."""
    tile_h, tile_w = tiles.shape[1] - 2 * v, tiles.shape[2] - 2 * h
    columns = (width + tile_w - 1) // tile_w
    frame = np.empty((height, width, tiles.shape[3]), tiles.dtype)
    for y in range(height):
        for x in range(width):
            number = (y // tile_h) * columns + x // tile_w
            frame[y, x] = tiles[number, v + y % tile_h, h + x % tile_w]
    return frame


def tile_detail(frame, origins, tile_h, tile_w):
    """Sums of |pixel - right| + |pixel - lower| inside each tile: Python ints, or float64 for floats."""
    sums = []
    for y, x in origins:
        tile = frame[y : y + tile_h, x : x + tile_w]
        wide = tile.astype(np.int64) if tile.dtype.kind == "u" else tile
        total = 0
        for axis in (0, 1):
            total += np.abs(np.diff(wide, axis=axis)).astype(np.float64 if tile.dtype.kind == "f" else np.int64).sum()
        sums.append(total)
    return np.array(sums).astype(np.float32)


def tile_rank(score, count):
    """Positions of the `count` highest scores, highest first, ties by position."""
    return sorted(range(len(score)), key=lambda i: (-score[i], i))[:count]


def area(frame, size):
    """Area averaging by the overlap of every result pixel with every source pixel, in double precision."""

    def weights(source, result):
        table = np.zeros((result, source))
        for i in range(result):
            for j in range(source):
                low, high = max(i * source / result, j), min((i + 1) * source / result, j + 1)
                table[i, j] = max(0.0, high - low) * result / source
        return table

    rows, columns = weights(frame.shape[0], size[0]), weights(frame.shape[1], size[1])
    return np.einsum("ij,jkc,lk->ilc", rows, frame.astype(float), columns)


def degrade(frame, size, softness, peaking):
    """SD tape without its noise, pixel by pixel along each line."""

    def blur(picture, sigma):
        reach = int(np.ceil(4 * sigma))
        kernel = [np.exp(-(k**2) / (2 * sigma**2)) for k in range(-reach, reach + 1)]
        result = np.zeros_like(picture)
        for x in range(picture.shape[1]):
            for k in range(-reach, reach + 1):
                nearest = min(max(x + k, 0), picture.shape[1] - 1)
                result[:, x] += kernel[k + reach] / sum(kernel) * picture[:, nearest]
        return result

    picture = blur(area(frame, size), softness)
    return np.clip(picture + peaking * (picture - blur(picture, 1.0)), 0, 1)


def dpx_header(width, height, order="big", offset=2048, own_offset=None, line_padding=0, fill=b"\xff"):
    """Header of a 10-bit RGB DPX, method A, to the first pixel; whatever is not said here is `fill`, over and over.

    `offset` is the image's and `own_offset` the element's, which counts unless it is 0 or all ones.
    """
    own_offset = offset if own_offset is None else own_offset
    length = offset if own_offset in (0, 0xFFFFFFFF) else own_offset
    head = bytearray((fill * (length // len(fill) + 1))[:length])
    head[:4] = b"SDPX" if order == "big" else b"XPDS"
    numbers = [
        (4, 4, offset), (24, 4, 1664), (28, 4, 384), (768, 2, 0), (770, 2, 1), (772, 4, width), (776, 4, height),
        (780, 4, 0), (800, 1, 50), (803, 1, 10), (804, 2, 1), (806, 2, 0), (808, 4, own_offset), (812, 4, line_padding),
    ]  # fmt: skip
    for at, size, value in numbers:
        head[at : at + size] = value.to_bytes(size, order)
    return bytes(head)


def dpx_pixels(codes, order="big", padding=b"", low=0):
    """10-bit codes (h, w, 3) as method A has them, pixel by pixel; `low` is what the two spare bits hold."""
    rows = []
    for row in np.asarray(codes).tolist():
        rows.append(b"".join((r << 22 | g << 12 | b << 2 | low).to_bytes(4, order) for r, g, b in row) + padding)
    return b"".join(rows)


def dpx_read(data):
    """Codes (h, w, 3) of a 10-bit RGB DPX, method A; None where the bytes are not one, or not all of one."""
    order = {b"SDPX": "big", b"XPDS": "little"}.get(data[:4])
    if order is None or len(data) < 1664:
        return None

    def number(at, size=4):
        return int.from_bytes(data[at : at + size], order)

    ones = 0xFFFFFFFF
    width, height, own, padding = number(772), number(776), number(808), number(812)
    offset = number(4) if own in (0, ones) else own
    stride = 4 * width + (0 if padding == ones else padding)
    kind = (number(770, 2), number(800, 1), number(803, 1), number(804, 2))
    if kind != (1, 50, 10, 1) or number(780) not in (0, ones) or number(806, 2) not in (0, 0xFFFF):
        return None
    if width in (0, ones) or height in (0, ones) or not 1664 <= offset < ones:
        return None
    if number(768, 2) not in (0, 0xFFFF) or (padding != ones and padding > 65536):
        return None
    if offset + (height - 1) * stride + 4 * width > len(data):
        return None
    codes = np.zeros((height, width, 3), np.uint16)
    for y in range(height):
        words = np.frombuffer(data, ">u4" if order == "big" else "<u4", width, offset + y * stride)
        codes[y] = np.stack([words >> 22, words >> 12 & 1023, words >> 2 & 1023], axis=-1)
    return codes
