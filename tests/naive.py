"""NumPy twins of the kernels, written for clarity alone; imports nothing of fastup."""

import math
from fractions import Fraction

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


def highest(values, reach):
    """The highest value within so many pixels each way."""
    result = np.empty_like(values)
    for y, x in np.ndindex(values.shape):
        result[y, x] = values[max(y - reach, 0) : y + reach + 1, max(x - reach, 0) : x + reach + 1].max()
    return result


def parts(target):
    """Which pixels of normalised RGB are beside lines, and which are flats: by steps of luma in 3 x 3 pixels."""
    luma = target @ [0.299, 0.587, 0.114]
    step = highest(luma, 1) + highest(-luma, 1)
    return highest(step, 2) >= 0.15, highest(step, 8) < 0.04


def halo(picture, target, reach):
    """How much too bright edges are on their bright side, in codes of 10 bits: pixel by pixel."""
    luma, flats = target @ [0.299, 0.587, 0.114], parts(target)[1]
    more = picture @ [0.299, 0.587, 0.114] - luma
    more = more - (more[flats].mean() if flats.any() else 0)
    sums, count, top = {}, 0, highest(luma, reach)
    for y, x in np.ndindex(luma.shape):
        rings = [
            distance
            for distance in range(2, reach + 1, 2)
            if (
                luma[max(y - distance, 0) : y + distance + 1, max(x - distance, 0) : x + distance + 1]
                <= luma[y, x] - 0.15
            ).any()
        ]
        if rings and luma[y, x] >= top[y, x] - 0.02:
            place = y // 16, x // 16, rings[0]
            sums[place] = sums.get(place, 0) + more[y, x]
            count += 1
    return 1023 * sum(max(each, 0) for each in sums.values()) / count


def still(target, before):
    """Where no mean of 7 x 7 pixels of a channel changes by 0.01 or more within 8 pixels: pixel by pixel."""
    height, width, _ = target.shape
    change = np.zeros((height, width))
    for y, x in np.ndindex(height, width):
        rows = np.clip(np.arange(y - 3, y + 4), 0, height - 1)
        columns = np.clip(np.arange(x - 3, x + 4), 0, width - 1)
        sums = (np.float64(target) - before)[rows][:, columns].mean((0, 1))
        change[y, x] = np.abs(sums).max()
    return highest(change, 8) < 0.01


def flicker(picture, before, still):
    """The mean absolute change in codes of 10 bits of the pixels whose middle lies on a still one."""
    total, count = 0.0, 0
    height, width, channels = picture.shape
    for y, x in np.ndindex(height, width):
        if still[int((y + 0.5) * still.shape[0] / height), int((x + 0.5) * still.shape[1] / width)]:
            total += np.abs(np.float64(picture[y, x]) - before[y, x]).sum()
            count += channels
    return 1023 * total / count


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


# -- DPX: where each sample lies, and from that a writer and a reader --------------------------------------------------
#
# Samples are the numbers as they are stored, in the order in which they are: Cb Y Cr Y for 4:2:2, A B G R for ABGR.
# Pictures are what a reader gives: R G B (A), or Y Cb Cr (A), or one channel; upright, with as many of each channel.

UNDEFINED = 0xFFFFFFFF

# How many samples a pixel has, and how many channels; for those that have as many, which channel each sample is.
DPX_COMPONENTS = {1: 1, 2: 1, 3: 1, 4: 1, 6: 1, 8: 1, 50: 3, 51: 4, 52: 4, 100: 2, 101: 3, 102: 3, 103: 4}
DPX_CHANNELS = DPX_COMPONENTS | {100: 3, 101: 4}
DPX_ORDER = {1: [0], 50: [0, 1, 2], 51: [0, 1, 2, 3], 52: [3, 2, 1, 0], 102: [1, 0, 2], 103: [1, 0, 2, 3]}
DPX_BITS = (1, 8, 10, 12, 16, 32)


def dpx_packed(bits, packing):
    """Whether samples follow each other bit by bit in 32-bit words."""
    return bits == 1 or (bits in (10, 12) and packing == 0)


def dpx_unit(bits, packing):
    """Bytes of the words that the byte order turns round."""
    if dpx_packed(bits, packing) or bits in (10, 32):
        return 4
    return 1 if bits == 8 else 2


def dpx_places(count, descriptor, bits, packing):
    """The lowest bit of every sample of a row, counted from the lowest bit of the row's first word."""
    n = np.arange(count)
    if dpx_packed(bits, packing):
        return n * bits
    if bits == 10:  # three in a word; the first is the highest, unless pixels have one sample
        third = n % 3 if DPX_COMPONENTS[descriptor] == 1 else 2 - n % 3
        return n // 3 * 32 + third * 10 + (2 if packing == 1 else 0)
    if bits == 12:
        return n * 16 + (4 if packing == 1 else 0)
    return n * bits


def dpx_used(count, bits, packing):
    """Bytes that hold that many samples, to the end of the last one's word."""
    if dpx_packed(bits, packing):
        return 4 * -(-count * bits // 32)
    if bits == 10:
        return 4 * -(-count // 3)
    return count * dpx_unit(bits, packing)


def dpx_turned(rows, unit, order):
    """Rows of bytes with their words turned from the file's byte order to lowest byte first, or back."""
    if order == "little":
        return rows
    return rows.reshape(len(rows), -1, unit)[..., ::-1].reshape(rows.shape)


def dpx_to_samples(picture, descriptor):
    """(h, w, channels) to the (h, samples) that are stored."""
    if descriptor in (100, 101):
        samples = np.zeros((*picture.shape[:2], DPX_COMPONENTS[descriptor]), picture.dtype)
        even = picture[:, 0::2]  # chroma is that of the first pixel of each pair
        samples[:, 0::2, 0] = even[..., 1]
        samples[:, 1::2, 0] = even[:, : picture.shape[1] // 2, 2]
        samples[..., 1] = picture[..., 0]
        samples[..., 2:] = picture[..., 3:]
    else:
        samples = picture[..., DPX_ORDER[1 if descriptor < 50 else descriptor]]
    return samples.reshape(len(picture), -1)


def dpx_to_picture(samples, width, descriptor, middle):
    """The inverse; `middle` is the Cr of a picture that has none, one pixel of 4:2:2."""
    samples = samples.reshape(len(samples), width, -1)
    picture = np.zeros((*samples.shape[:2], DPX_CHANNELS[descriptor]), samples.dtype)
    if descriptor in (100, 101):
        for x in range(width):
            own = x // 2 * 2 + 1  # the pixel of this pair that has Cr beside it
            before = own if own < width else own - 2
            picture[:, x, 1] = samples[:, x // 2 * 2, 0]
            picture[:, x, 2] = samples[:, before, 0] if before > 0 else middle
        picture[..., 0] = samples[..., 1]
        picture[..., 3:] = samples[..., 2:]
    else:
        picture[..., DPX_ORDER[1 if descriptor < 50 else descriptor]] = samples
    return picture


def dpx_header(
    width, height, order="big", offset=2048, own_offset=None, line_padding=0, fill=b"\xff",
    *, descriptor=50, bits=10, packing=1, elements=None, orientation=0,
):  # fmt: skip
    """Header of a DPX to the first pixel; whatever is not said here is `fill`, over and over.

    `offset` is the image's and `own_offset` the element's, which counts unless it is 0 or all ones. `elements` is for
    several: dicts of descriptor, bits, packing, offset (their own) and line_padding; what one lacks is as for a single.
    """
    own_offset = offset if own_offset is None else own_offset
    first = {
        "descriptor": descriptor, "bits": bits, "packing": packing, "offset": own_offset, "line_padding": line_padding,
    }  # fmt: skip
    elements = [first | element for element in elements or [{}]]
    length = min(offset if e["offset"] in (0, UNDEFINED) else e["offset"] for e in elements)
    head = bytearray((fill * (length // len(fill) + 1))[:length])
    head[:4] = b"SDPX" if order == "big" else b"XPDS"
    numbers = [
        (4, 4, offset), (24, 4, 1664), (28, 4, 384), (768, 2, orientation), (770, 2, len(elements)), (772, 4, width),
        (776, 4, height),
    ]  # fmt: skip
    for at, e in zip(range(780, 1356, 72), elements, strict=False):
        numbers += [
            (at, 4, 0), (at + 20, 1, e["descriptor"]), (at + 23, 1, e["bits"]), (at + 24, 2, e["packing"]),
            (at + 26, 2, 0), (at + 28, 4, e["offset"]), (at + 32, 4, e["line_padding"]),
        ]  # fmt: skip
    for at, size, value in numbers:
        head[at : at + size] = value.to_bytes(size, order)
    return bytes(head)


def dpx_pixels(picture, order="big", padding=b"", low=0, *, descriptor=50, bits=10, packing=1, padded=True):
    """A picture as it is stored, its first row first; `low`, 0 to 3, is what every two bits hold that hold no sample.

    Rows that are not `padded` follow each other sample by sample.
    """
    samples = dpx_to_samples(np.asarray(picture), descriptor)
    if not padded:
        samples = samples.reshape(1, -1)
    height, count = samples.shape
    used = dpx_used(count, bits, packing)
    rows = np.full((height, -(-used // 4) * 4 if padded else used), low * 0x55, np.uint8)
    words = np.unpackbits(rows[:, :used], axis=1, bitorder="little")
    numbers = samples.astype("<f4" if bits == 32 else "<u4", "C").view(np.uint8).reshape(height, count, 4)
    numbers = np.unpackbits(numbers, axis=2, bitorder="little")[..., :bits]
    words[:, dpx_places(count, descriptor, bits, packing)[:, None] + np.arange(bits)] = numbers
    rows[:, :used] = dpx_turned(np.packbits(words, axis=1, bitorder="little"), dpx_unit(bits, packing), order)
    return b"".join(row.tobytes() + (padding if padded else b"") for row in rows)


def dpx_layout(data, element=0):
    """Where and how a picture lies in a DPX, as a dict; None where the bytes are not one, or not all of one."""
    order = {b"SDPX": "big", b"XPDS": "little"}.get(bytes(data[:4]))
    if order is None or len(data) < 1664:
        return None

    def number(at, size=4):
        return int.from_bytes(data[at : at + size], order)

    width, height, count, orientation = number(772), number(776), number(770, 2), number(768, 2)
    count = 1 if count in (0, 0xFFFF) else count
    if width in (0, UNDEFINED) or height in (0, UNDEFINED) or count > 8 or element >= count:
        return None
    if orientation not in (0, 1, 2, 3, 0xFFFF):
        return None
    found = []
    for i in range(count):
        at = 780 + 72 * i
        descriptor, bits, packing = number(at + 20, 1), number(at + 23, 1), number(at + 24, 2)
        if number(at) not in (0, UNDEFINED) or number(at + 26, 2) not in (0, 0xFFFF):  # signed, run lengths
            return None
        if descriptor not in DPX_COMPONENTS or bits not in DPX_BITS:
            return None
        if packing not in (0, 1, 2) and (packing != 0xFFFF or bits in (10, 12)):
            return None
        offset, line_padding = number(at + 28), number(at + 32)
        if offset in (0, UNDEFINED):
            offset = number(4) if i == 0 else 0
        line_padding = 0 if line_padding == UNDEFINED else line_padding
        if not 1664 <= offset < UNDEFINED or line_padding > 65536:
            return None
        samples = width * DPX_COMPONENTS[descriptor]
        used = dpx_used(samples, bits, packing)
        row = -(-used // 4) * 4 + line_padding
        needed = offset + (height - 1) * row + used
        it = {
            "order": order, "width": width, "height": height, "orientation": orientation % 0xFFFF,
            "descriptor": descriptor, "bits": bits, "packing": packing, "channels": DPX_CHANNELS[descriptor],
            "offset": offset, "samples": samples, "used": used, "row": row, "padded": True, "reason": "standard",
        }  # fmt: skip
        unpadded = it | {"padded": False, "used": dpx_used(height * samples, bits, packing)}
        if dpx_packed(bits, packing):
            same = height == 1 or samples * bits % 32 == 0
        elif bits == 10:
            same = height == 1 or samples % 3 == 0
        else:
            same = height == 1 or used % 4 == 0
        if not (count > 1 or line_padding or bits == 32 or same or offset + unpadded["used"] > len(data)):
            texts = bytes(data[160:260]), bytes(data[1556:1588])
            known = bits == 10 and packing in (1, 2) and (
                texts[0].startswith((b"Lasergraphics Inc.", b"DIAMANT-Film")) or texts[1].startswith(b"Scanity")
            )  # fmt: skip
            ends = needed, offset + height * row  # of padded ones, whose last row need not be
            if known and len(data) not in ends:
                it = unpadded | {"reason": "writer"}
            elif (
                not known
                and len(data) < needed
                and len(data) - offset - unpadded["used"] < 4
                and number(16) not in ends
            ):
                it = unpadded | {"reason": "size"}
            elif known or len(data) < needed or len(data) > ends[1]:
                told = dpx_looks_unpadded(data, it, unpadded)
                end = offset + unpadded["used"]
                if told is None and end < min(ends[1], len(data)):  # a picture of nothing ends where zeros begin
                    told = True if not any(data[end:]) and len(data) % 512 == 0 and len(data) - end <= 1 << 20 else None
                if told is None and known:
                    it = unpadded | {"reason": "writer"}
                elif told is not None:
                    it = (unpadded if told else it) | {"reason": "pixels"}
        if it["padded"] and len(data) < needed:
            return None
        found.append(it)
    return found[element]


def dpx_rows(data, layout, height, count):
    """The samples of the first rows, so many of each; rows that are not padded are one."""
    bits, packing = layout["bits"], layout["packing"]
    used = layout["used"] if not layout["padded"] or count == layout["samples"] else layout["row"]
    rows = np.ndarray((height, used), np.uint8, data, layout["offset"], (layout["row"], 1))
    words = np.unpackbits(dpx_turned(rows, dpx_unit(bits, packing), layout["order"]), axis=1, bitorder="little")
    numbers = np.zeros((height, count, 32), np.uint8)
    numbers[..., :bits] = words[:, dpx_places(count, layout["descriptor"], bits, packing)[:, None] + np.arange(bits)]
    return np.packbits(numbers, axis=2, bitorder="little").view("<f4" if bits == 32 else "<u4")[..., 0]


def dpx_stored(data, layout, height):
    """The first rows of a picture, as they are stored."""
    bits, count = layout["bits"], layout["samples"]
    if layout["padded"]:
        samples = dpx_rows(data, layout, height, count)
    else:
        samples = dpx_rows(data, layout, 1, layout["height"] * count).reshape(-1, count)[:height]
    samples = samples.astype(np.float32 if bits == 32 else np.uint16)
    return dpx_to_picture(samples, layout["width"], layout["descriptor"], 0.5 if bits == 32 else 1 << (bits - 1))


def dpx_looks_unpadded(data, padded, unpadded):
    """Whether pixels say that rows are unpadded; None where they don't. Both layouts fit, but for the last padded rows.

    They are not where samples end with zeros, which are the padding. Else the rows are as they curve less from one to
    the next, if that is more than four standard deviations of what chance gives.
    """

    def spread(count):
        return [look * (count - 1) // (min(count, 64) - 1) for look in range(min(count, 64))] if count > 1 else [0]

    height, bits, count = (len(data) - padded["offset"]) // padded["row"], padded["bits"], padded["samples"]
    height = min(height, padded["height"])
    filled = bits == 10 and padded["packing"] != 0
    slots = 3 if filled else 32 // bits if not dpx_packed(bits, padded["packing"]) and bits != 12 else None
    row = padded["row"]
    slots = row // 4 * slots if slots else row // 2 if bits == 12 and padded["packing"] != 0 else row * 8 // bits
    if slots > count and height:
        ends = dpx_rows(data, padded, height, slots)[spread(height)]
        looks, ends = len(ends), ends[ends[:, count - 1] > 0]
        zeros = (ends[:, count:] == 0).all(1).sum()
        if len(ends) >= max(8, looks / 2) and 16 * zeros >= 15 * len(ends):
            return False
    if height < 3:
        return None
    sums = []
    for layout in (padded, unpadded):
        picture = dpx_stored(data, layout, height).astype(np.int64)
        width = min(1024, picture.shape[1])
        left = (picture.shape[1] - width) // 2
        rows = picture[:, left : left + width]
        looks = spread(height - 2)
        sums.append(sum(int(abs(rows[y] - 2 * rows[y + 1] + rows[y + 2]).sum()) for y in looks))
        values = len(looks) * rows[0].size
    root, worse, better = math.isqrt(values), max(sums), min(sums)
    return sums[1] < sums[0] if (worse - better) * root > 4 * worse else None


def dpx_read(data, element=0):
    """The upright picture (h, w, channels) of a DPX; None where the bytes are not one, or not all of one.

    Codes, uint16; float32 of a file of floats.
    """
    layout = dpx_layout(data, element)
    if layout is None:
        return None
    picture = dpx_stored(data, layout, layout["height"])
    picture = picture[:, ::-1] if layout["orientation"] in (1, 3) else picture
    return picture[::-1] if layout["orientation"] in (2, 3) else picture


def dpx_as(picture, bits, dtype):
    """A picture as codes, or as the nearest float32 or float16 to code / white; floats of a file as the nearest."""
    if dtype == "uint16":
        return picture
    with np.errstate(over="ignore", invalid="ignore"):  # float16 ends at 65504, and damaged files hold odd NaN
        return (picture if bits == 32 else picture / np.float64(2**bits - 1)).astype(dtype)


def compare_fields(frame, before, block=16):
    """Combing of three weaves, and difference to the field before and its mean, by blocks; see `fastup._fields`."""
    frame, before = np.asarray(frame, np.float64), np.asarray(before, np.float64)
    rows, columns = frame.shape[0] // block, frame.shape[1] // block

    def combing(top, bottom):
        pad = np.pad(bottom, ((1, 1), (0, 0)), mode="edge")
        below = np.concatenate([top[1:], top[-1:]])
        return pad[:-2] + 4 * bottom + pad[2:] - 3 * (top + below)

    def blocks(field):
        return field[: rows * block // 2, : columns * block].reshape(rows, block // 2, columns, block)

    def even(picture):  # a whole number of lines to each field
        picture = picture[: picture.shape[0] // 2 * 2]
        return picture[0::2], picture[1::2]

    (top, bottom), (top_before, bottom_before) = even(frame), even(before)
    weaves = [(top, bottom), (top, bottom_before), (top_before, bottom)]
    comb = np.stack([blocks(combing(*weave)).std((1, 3)) for weave in weaves])
    differences = [blocks(top - top_before), blocks(bottom - bottom_before)]
    return comb, np.stack([d.std((1, 3)) for d in differences]), np.stack([abs(d.mean((1, 3))) for d in differences])


def cheapest_path(cost, jump, follower, kind, entries, switch):
    """The cost of the cheapest path through each state at each time, by trying all paths."""
    import itertools

    count, states = cost.shape
    least = np.full((count, states), np.inf)
    for path in itertools.product(range(states), repeat=count):
        if path[0] not in entries:
            continue
        total = cost[0, path[0]]
        for i, (a, b) in enumerate(itertools.pairwise(path), 1):
            ways = [0.0] if follower[a] == b else []
            if b in entries:
                ways.append(jump[i] + (switch if kind[a] != kind[b] else 0.0))
            total += cost[i, b] + min(ways, default=np.inf)
        for i, s in enumerate(path):
            least[i, s] = min(least[i, s], total)
    return least


def resized(frame, size, filter):
    """Lanczos or bicubic by the definition, one result line at a time, in double precision."""
    kernel, reach = {
        "lanczos": (lambda x: np.sinc(x) * np.sinc(x / 3), 3),
        "bicubic": (lambda x: 1 - 2.5 * x**2 + 1.5 * x**3 if x < 1 else 2 - 4 * x + 2.5 * x**2 - 0.5 * x**3, 2),
    }[filter]
    frame = np.asarray(frame, np.float64)
    for axis, count in enumerate(size):
        lines = np.moveaxis(frame, axis, 0)
        if count == len(lines):
            continue
        scale, made = len(lines) / count, []
        for i in range(count):
            centre, total, weight = (i + 0.5) * scale - 0.5, 0.0, 0.0
            for j in range(int(np.floor(centre - reach * scale)), int(np.ceil(centre + reach * scale)) + 1):
                if (x := abs(j - centre) / scale) < reach:
                    total = total + kernel(x) * lines[min(max(j, 0), len(lines) - 1)]
                    weight += kernel(x)
            made.append(total / weight)
        frame = np.moveaxis(np.array(made), 0, axis)
    return frame


def matlab(codes, size):
    """MATLAB's ``imresize(picture, size)`` of a uint8 picture (H, W, C), pixel by pixel, in double precision.

    By ``imresize.m``: places counted from 1, the cubic made wider where the picture shrinks, weights of a sum of 1,
    places beyond the picture mirrored, the axis that shrinks the most first, halves away from zero, 0 to 255.
    """

    def cubic(x):
        x = abs(x)
        if x <= 1:
            return 1.5 * x**3 - 2.5 * x**2 + 1
        return -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2 if x <= 2 else 0.0

    for axis in (0, 1) if size[0] / codes.shape[0] <= size[1] / codes.shape[1] else (1, 0):
        lines = np.moveaxis(codes, axis, 0).astype(float)
        length, made = len(lines), []
        scale = size[axis] / length
        shrinks = min(scale, 1)
        for k in range(1, size[axis] + 1):
            u = k / scale + 0.5 * (1 - 1 / scale)
            left = int(np.floor(u - 4 / shrinks / 2))
            places = range(left, left + int(np.ceil(4 / shrinks)) + 2)
            weights = [shrinks * cubic(shrinks * (u - place)) for place in places]
            total, pixel = sum(weights), 0.0
            for place, weight in zip(places, weights, strict=True):
                mirrored = (place - 1) % (2 * length)
                pixel = pixel + weight / total * lines[mirrored if mirrored < length else 2 * length - 1 - mirrored]
            made.append(pixel)
        made = np.clip(np.moveaxis(np.array(made), 0, axis), 0, 255)
        codes = np.array([int(x) + (x - int(x) >= 0.5) for x in made.ravel()]).reshape(made.shape)
    return codes.astype(np.uint8)


LUMA_SHARES = {  # of red and blue
    "601": (Fraction(299, 1000), Fraction(114, 1000)), "709": (Fraction(2126, 10000), Fraction(722, 10000)),
    "240M": (Fraction(212, 1000), Fraction(87, 1000)), "2020": (Fraction(2627, 10000), Fraction(593, 10000)),
    "FCC": (Fraction(30, 100), Fraction(11, 100)),
}  # fmt: skip
CHROMA_SITINGS = {  # across and down
    "left": (0, Fraction(1, 2)), "center": (Fraction(1, 2), Fraction(1, 2)), "topleft": (0, 0),
    "top": (Fraction(1, 2), 0), "bottomleft": (0, 1), "bottom": (Fraction(1, 2), 1),
}  # fmt: skip


def quick_luma(frame):
    """(R + 2 G + B) / 4 of codes, rounded to the nearest, halves up."""
    red, green, blue = np.moveaxis(np.asarray(frame)[..., :3], -1, 0).astype(object)
    return np.vectorize(lambda total: math.floor(Fraction(total, 4) + Fraction(1, 2)))(red + 2 * green + blue)


def _chroma_lines(count, v, siting, interlaced):
    """For each line of chroma, where it is among the lines of the frame, and whose field it is of (0: all are one)."""
    if not interlaced:
        return [(line * v + CHROMA_SITINGS[siting][1] * (v - 1), 0) for line in range(count)]
    if CHROMA_SITINGS[siting][1] == Fraction(1, 2):  # in the middle of the frame's lines
        return [(line * v + Fraction(v - 1, 2), line % 2) for line in range(count)]
    return [(2 * (line // 2 * v + CHROMA_SITINGS[siting][1] * (v - 1)) + line % 2, line % 2) for line in range(count)]


def rgb_of_planes(planes, bits, matrix, siting="left", interlaced=False, full=False, keep=False, number=float):
    """R, G, B of planes of Y, Cb and Cr before rounding, (H, W, 3): exact with Fractions as numbers, else float64."""
    luma, *chroma = planes
    (height, width), (rows, columns) = luma.shape, chroma[0].shape
    v, h = (next(n for n in (1, 2, 4) if -(-a // n) == b) for a, b in ((height, rows), (width, columns)))
    interlaced = interlaced and v > 1 and rows > 1
    at_x = [column * h + CHROMA_SITINGS[siting][0] * (h - 1) for column in range(columns)]
    lines = _chroma_lines(rows, v, siting, interlaced)
    upsampled = []
    for plane in chroma:
        wide = _interpolated(plane.astype(object if number is Fraction else np.float64), at_x, range(width), 1, number)
        tall = np.empty((height, width), wide.dtype)
        for field in (0, 1) if interlaced else (0,):
            own = [line for line in range(rows) if lines[line][1] == field]
            of = range(field, height, 2) if interlaced else range(height)
            tall[list(of)] = _interpolated(wide[own], [lines[line][0] for line in own], of, 0, number)
        upsampled.append(tall)
    unit = 1 << (bits - 8)
    black, span, chroma_span = (0, 2**bits - 1, 2**bits - 1) if full else (16 * unit, 219 * unit, 224 * unit)
    y = (luma.astype(wide.dtype) - black) / number(span)
    cb, cr = ((plane - (1 << (bits - 1))) / number(chroma_span) for plane in upsampled)
    kr, kb = (number(k) for k in LUMA_SHARES[matrix])
    r, b = y + 2 * (1 - kr) * cr, y + 2 * (1 - kb) * cb
    rgb = np.stack([r, (y - kr * r - kb * b) / (1 - kr - kb), b], axis=2)
    return rgb * 876 + 64 if keep and not full else rgb * 1023


def planes_of_rgb(frame, white, bits, matrix, subsampling=(1, 2), siting="left", full=False, keep=False):
    """Y, Cb and Cr of a frame (H, W, 3) before rounding, with Fractions, exact; chroma filtered, then subsampled."""
    frame = np.vectorize(Fraction, otypes=[object])(np.asarray(frame).tolist())
    black, span = Fraction(64 * (white + 1), 1024), Fraction(876 * (white + 1), 1024)
    frame = (frame - black) / span if keep else frame / white
    kr, kb = LUMA_SHARES[matrix]
    y = kr * frame[:, :, 0] + (1 - kr - kb) * frame[:, :, 1] + kb * frame[:, :, 2]
    unit = 1 << (bits - 8)
    black, span, chroma_span = (0, 2**bits - 1, 2**bits - 1) if full else (16 * unit, 219 * unit, 224 * unit)
    made = [y * span + black]
    for channel, share in ((2, kb), (0, kr)):
        plane = (frame[:, :, channel] - y) / (2 * (1 - share)) * chroma_span + (1 << (bits - 1))
        for axis, factor, place in zip((0, 1), subsampling, reversed(CHROMA_SITINGS[siting]), strict=True):
            if factor > 1:
                plane = np.moveaxis(_halved(np.moveaxis(plane, axis, 0), place), 0, axis)
        made.append(plane)
    return made


def _halved(plane, place):
    """Every second sample of the first axis, filtered, at the first of two, in their middle, or at the second."""
    last, result = len(plane) - 1, []
    for first in range(0, len(plane), 2):
        at = first + place
        if at.denominator == 1:
            shares = {at - 1: Fraction(1, 4), at: Fraction(1, 2), at + 1: Fraction(1, 4)}
        else:
            shares = {at - Fraction(1, 2): Fraction(1, 2), at + Fraction(1, 2): Fraction(1, 2)}
        result.append(sum(plane[min(max(int(where), 0), last)] * share for where, share in shares.items()))
    return np.array(result)


def _interpolated(plane, positions, wanted, axis, number):
    """Linear interpolation along an axis; the ends go on."""
    plane = np.moveaxis(plane, axis, 0)
    result = []
    for at in wanted:
        after = next((n for n, position in enumerate(positions) if position >= at), len(positions) - 1)
        before = max(after - 1, 0) if positions[after] > at else after
        share = number(at - positions[before]) / number(positions[after] - positions[before]) if after > before else 0
        share = min(share, 1)
        result.append(plane[before] * (1 - share) + plane[after] * share)
    return np.moveaxis(np.array(result), 0, axis)


def nearest_codes(exact, most=1023):
    """Nearest codes of Fractions, halves up, clipped."""
    codes = [min(max(math.floor(value + Fraction(1, 2)), 0), most) for value in exact.ravel()]
    return np.array(codes, np.uint16).reshape(exact.shape)


def codes(values, white):
    """Nearest codes of normalised floats: clipped, halves upward; float64 holds a float32 times white."""
    return np.floor(np.clip(values.astype(np.float64), 0, 1) * white + 0.5).astype(np.uint16)


def levels(picture, white):
    """Mean luma of each of 36 x 48 cells of (H, W, C), 65535 for white, unrounded: every pixel by the part inside."""
    picture = np.asarray(picture, np.float64)
    height, width, channels = picture.shape
    y = picture[:, :, 0] if channels < 3 else picture[:, :, :3] @ (0.25, 0.5, 0.25)

    def shares(size, cells):
        low, high = np.arange(cells)[:, None] / cells * size, np.arange(1, cells + 1)[:, None] / cells * size
        at = np.arange(size)
        return np.clip(np.minimum(at + 1, high) - np.maximum(at, low), 0, None) / (size / cells)

    return np.clip(shares(height, 36) @ y @ shares(width, 48).T / (white or 1) * 65535, 0, 65535)


def described(grid, noise):
    """Differences of a blurred grid (36, 48) over the root mean square of those around: (32, 44, 2), 32 for it."""
    wide = np.pad(np.asarray(grid, np.float64), 1, mode="edge")
    wide = (wide[:, :-2] + 2 * wide[:, 1:-1] + wide[:, 2:]) / 4
    smooth = (wide[:-2] + 2 * wide[1:-1] + wide[2:]) / 4
    both = np.stack([smooth[3:-1, 2:-2] - smooth[1:-3, 2:-2], smooth[2:-2, 3:-1] - smooth[2:-2, 1:-3]], -1)
    result = np.empty_like(both)
    for y in range(32):
        for x in range(44):
            around = both[max(y - 3, 0) : y + 4, max(x - 3, 0) : x + 4]
            result[y, x] = both[y, x] * 32 / np.sqrt((around**2).mean() + noise**2)
    return np.clip(result, -127, 127)


def likeness(one, other):
    """Correlation about 0 of two descriptions, with a twentieth of a full one's energy added to that of each."""
    a, b = np.asarray(one, np.float64).ravel(), np.asarray(other, np.float64).ravel()
    least = a.size * 1024 // 20
    return a @ b / np.sqrt((a @ a + least) * (b @ b + least))


def change(before, after):
    """As `fastup._signatures.changes` has it, of two grids: largest blocks, median block, shift down and across."""
    a, b = np.asarray(before, np.float64), np.asarray(after, np.float64)
    both = (a + b) / 2 / 65535
    down, across = (both[2:, 1:-1] - both[:-2, 1:-1]) / 2, (both[1:-1, 2:] - both[1:-1, :-2]) / 2
    basis = np.stack([np.ones_like(down), both[1:-1, 1:-1], down, across]).reshape(4, -1)
    rest, solution = (b - a)[1:-1, 1:-1].ravel(), np.zeros(4)
    for _ in range(3):
        left = rest - solution @ basis
        weight = (1 + (left / (2 * np.median(np.abs(left)) + 1)) ** 2) ** -2
        solution = np.linalg.solve((basis * weight) @ basis.T + 1e-3 * np.eye(4), (basis * weight) @ rest)
    left = (rest - solution @ basis).reshape(down.shape)
    blocks = np.sort(np.abs(left.reshape(17, 2, 23, 2).mean((1, 3))).ravel())
    return blocks[-3:].mean(), np.median(blocks), *(-solution[2:] / 65535)


def path_cost(path, places, cost, alone, jump, step, far=4):
    """What a path through candidates costs: each of `path` is the number of a candidate, or of none, the last."""
    total, width = 0.0, places.shape[1]
    for i, k in enumerate(path):
        if k < width and places[i, k] < 0:
            return math.inf
        total += alone[i] if k == width else cost[i, k]
        if i:
            before = path[i - 1]
            if k == width and before == width:
                go = 0.0
            elif k == width or before == width:
                go = jump[i] / 2
            else:
                on = places[i, k] - places[i - 1, before]
                go = {0: step, 1: 0.0}.get(on, step * on / 2 if 0 < on <= far + 1 else math.inf)
                go = min(go, jump[i])
            total += go
    return total


# -- pictures on pictures ---------------------------------------------------------------------------------------------


def _lanczos_row(length, place, step):
    """The weights of `length` pixels around a place (continuous), float64; beyond them the outermost go on."""
    scale = max(1.0, step)
    row = np.zeros(length)
    reach = int(np.ceil(3 * scale)) + 1
    near = np.arange(int(np.floor(place)) - reach, int(np.floor(place)) + reach + 1)
    x = (near + 0.5 - place) / scale
    weights = np.where(abs(x) < 3, np.sinc(x) * np.sinc(x / 3), 0)
    np.add.at(row, np.clip(near, 0, length - 1), weights / weights.sum())
    return row


def warped(picture, matrix, size):
    """A picture by an affine transform, from the definition: lines along, then the columns across them."""
    (a, b, c), (d, e, f) = np.asarray(matrix, float)
    height, width, channels = picture.shape
    result = np.zeros((*size, channels))
    step = e - d * b / a  # in the picture's x from column to column, along a line of the picture
    for i in range(size[0]):
        for j in range(size[1]):
            y, x = i + 0.5, j + 0.5
            place = a * y + b * x + c
            reach = int(np.ceil(3 * max(1.0, a))) + 1
            near = np.arange(int(np.floor(place)) - reach, int(np.floor(place)) + reach + 1)
            away = (near + 0.5 - place) / max(1.0, a)
            weights = np.where(abs(away) < 3, np.sinc(away) * np.sinc(away / 3), 0)
            for line, weight in zip(near, weights / weights.sum(), strict=True):
                if weight:
                    on = (line + 0.5 - b * x - c) / a  # the y on the result where this column crosses the line
                    row = _lanczos_row(width, d * on + e * x + f, step)
                    result[i, j] += weight * (row @ picture[min(max(line, 0), height - 1)])
    return result


def flow_sums(one, other, block):
    """Sums over blocks of two pictures, (21, rows, columns), in the order of `fastup._flow`."""
    one, other = one.astype(float), other.astype(float)
    rows, columns = (n // block for n in one.shape)
    result = np.zeros((21, rows, columns))
    for row in range(rows):
        for column in range(columns):
            middle = row * block + block // 2, column * block + block // 2
            for y in range(row * block, (row + 1) * block):
                for x in range(column * block, (column + 1) * block):
                    if not (0 < y < one.shape[0] - 1 and 0 < x < one.shape[1] - 1):
                        continue
                    h, s = other[y, x] - other[middle], one[y, x] - one[middle]
                    gy, gx = (other[y + 1, x] - other[y - 1, x]) / 2, (other[y, x + 1] - other[y, x - 1]) / 2
                    ey, ex = (one[y + 1, x] - one[y - 1, x]) / 2, (one[y, x + 1] - one[y, x - 1]) / 2
                    result[:, row, column] += (
                        1, h, s, h * h, h * s, s * s, gy, gx, gy * h, gx * h, gy * s, gx * s, gy * gy, gy * gx, gx * gx,
                        gy * ey, (gy * ex + gx * ey) / 2, gx * ex, ey * ey, ey * ex, ex * ex,
                    )  # fmt: skip
    return result


def tiles_inside(origins, height, width, tile, rim):
    """The numbers of the square tiles that lie wholly in a picture, `rim` pixels from its edges or more."""
    return [
        number
        for number, (y, x) in enumerate(origins)
        if min(y, x) >= rim and y + tile <= height - rim and x + tile <= width - rim
    ]


def mapped_by_curves(frame, x, y):
    """Each channel through straight pieces between the points (x, y), of which the first and the last go on."""
    out = np.empty(frame.shape)
    for c in range(3):
        slopes = np.diff(y[c]) / np.diff(x[c])
        for at in np.ndindex(frame.shape[:2]):
            value = float(frame[at][c])
            piece = min(max(sum(value >= each for each in x[c][1:-1]), 0), len(slopes) - 1)
            out[at][c] = y[c][piece] + slopes[piece] * (value - x[c][piece])
    return out


def mapped_by_matrix(frame, matrix):
    """Each pixel, with a 1 after it, by a matrix of three rows."""
    ones = np.ones((*frame.shape[:2], 1))
    return np.einsum("ij,hwj->hwi", np.asarray(matrix, float), np.concatenate([frame, ones], 2).astype(float))


def moved_grid(grid, matrix):
    """A grid (36, 48) looked up bilinearly where `matrix` has each cell, (down, across) from the middle; float64."""
    grid, result = np.asarray(grid, np.float64), np.empty((36, 48))
    for row in range(36):
        for column in range(48):
            y, x = np.asarray(matrix, np.float64) @ (row - 17.5, column - 23.5, 1) + (17.5, 23.5)
            y, x = min(max(y, 0), 34.999), min(max(x, 0), 46.999)
            j, i = int(y), int(x)
            corners = grid[j : j + 2, i : i + 2]
            result[row, column] = [1 - (y - j), y - j] @ corners @ [1 - (x - i), x - i]
    return result
