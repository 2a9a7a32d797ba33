/* The channels of a frame's pixels: orders them, normalises them, and the way back; runs of pixels and whole windows.
 * Plain C99, also valid C++. No Python, no allocation, no I/O. */
#ifndef FASTUP_PIXELS_H
#define FASTUP_PIXELS_H

#include "_samples.h"

#if defined(__SSE2__) || defined(_M_X64)
#define DPX_STREAMS
#include <emmintrin.h>
#endif

typedef enum { DPX_CODES, DPX_SINGLE, DPX_HALF } dpx_type; /* uint16 codes; float32 and float16, normalised */

/* Pixels done at a time: their samples, of any number a pixel, are whole groups, and they stay in the nearest cache. */
enum { DPX_RUN = 768 };

static inline size_t dpx_type_bytes(dpx_type type) { return type == DPX_SINGLE ? 4 : 2; }

/* ---- the order of channels ---- */

/* From samples to channels of whole pixels. Of 4:2:2 they start on a pair; where the last pixel of an odd width has no
 * Cr of its own, it takes the one before, `cr`. Returns the Cr seen last. */
#define DPX_ORDER(name, type)                                                                                          \
    DPX_WIDE static inline type name(dpx_order order, const type *__restrict src, type *__restrict dst, size_t pixels, \
                                     type cr) {                                                                        \
        switch (order) {                                                                                               \
        case DPX_AS_STORED: break;                                                                                     \
        case DPX_ABGR:                                                                                                 \
            for (size_t i = 0; i < pixels; i++, src += 4, dst += 4)                                                    \
                dst[0] = src[3], dst[1] = src[2], dst[2] = src[1], dst[3] = src[0];                                    \
            break;                                                                                                     \
        case DPX_CBYCR:                                                                                                \
            for (size_t i = 0; i < pixels; i++, src += 3, dst += 3) dst[0] = src[1], dst[1] = src[0], dst[2] = src[2]; \
            break;                                                                                                     \
        case DPX_CBYCRA:                                                                                               \
            for (size_t i = 0; i < pixels; i++, src += 4, dst += 4)                                                    \
                dst[0] = src[1], dst[1] = src[0], dst[2] = src[2], dst[3] = src[3];                                    \
            break;                                                                                                     \
        case DPX_CBYCRY:                                                                                               \
            for (size_t i = 0; i < pixels / 2; i++, src += 4, dst += 6) {                                              \
                dst[0] = src[1], dst[1] = src[0], dst[2] = src[2];                                                     \
                dst[3] = src[3], dst[4] = src[0], dst[5] = src[2];                                                     \
            }                                                                                                          \
            if (pixels > 1) cr = src[-2];                                                                              \
            if (pixels % 2) dst[0] = src[1], dst[1] = src[0], dst[2] = cr;                                             \
            break;                                                                                                     \
        case DPX_CBYACRYA:                                                                                             \
            for (size_t i = 0; i < pixels / 2; i++, src += 6, dst += 8) {                                              \
                dst[0] = src[1], dst[1] = src[0], dst[2] = src[3], dst[3] = src[2];                                    \
                dst[4] = src[4], dst[5] = src[0], dst[6] = src[3], dst[7] = src[5];                                    \
            }                                                                                                          \
            if (pixels > 1) cr = src[-3];                                                                              \
            if (pixels % 2) dst[0] = src[1], dst[1] = src[0], dst[2] = cr, dst[3] = src[2];                            \
            break;                                                                                                     \
        }                                                                                                              \
        return cr;                                                                                                     \
    }
DPX_ORDER(dpx_order16, uint16_t)
DPX_ORDER(dpx_order32, uint32_t)

static inline int dpx_paired(dpx_order order) { return order == DPX_CBYCRY || order == DPX_CBYACRYA; }

/* ---- normalising ---- */

/* Divided, not multiplied by a reciprocal: the result is the float nearest to code / white. */
DPX_WIDE static inline void dpx_singles(const uint16_t *__restrict src, float *__restrict dst, size_t count,
                                        float white) {
    for (size_t i = 0; i < count; i++) dst[i] = (float)(int32_t)src[i] / white;
}

/* Of 16 bits, two quotients lie so near the middle between two halves that their nearest float is the middle, and would
 * be rounded the wrong way. So each that is not exact is cut off, with its lowest bit set to say so. */
DPX_WIDE static inline void dpx_unround(const uint16_t *__restrict src, float *__restrict dst, size_t count,
                                        float white) {
    for (size_t i = 0; i < count; i++) {
        const double product = (double)dst[i] * white; /* exact */
        uint32_t v;
        memcpy(&v, dst + i, 4);
        v = product > src[i] ? v - 1 : v;
        v = product != src[i] ? v | 1u : v;
        memcpy(dst + i, &v, 4);
    }
}

/* The nearest half-precision number, ties to even, as its bits; of a float's bits. */
static inline uint16_t dpx_half(uint32_t v) {
    const uint32_t sign = v >> 16 & 0x8000u;
    uint32_t tiny;
    float moved;
    v &= 0x7fffffffu;
    memcpy(&moved, &v, 4);
    moved += 0.5f; /* a number too small to be normal: the sum's lowest bits are its own */
    memcpy(&tiny, &moved, 4);
    tiny -= 0x3f000000u;
    if (v >= 0x47800000u)
        v = v > 0x7f800000u ? 0x7e00u : 0x7c00u;
    else
        v = v < 0x38800000u ? tiny : (v - 0x38000000u + 0xfffu + (v >> 13 & 1u)) >> 13;
    return (uint16_t)(v | sign);
}

/* Of floats, or of their bits in words: what a compiler takes for two kinds of memory. */
DPX_WIDE static inline void dpx_halves(const void *__restrict src, uint16_t *__restrict dst, size_t count) {
    for (size_t i = 0; i < count; i++) {
        uint32_t v;
        memcpy(&v, (const uint8_t *)src + 4 * i, 4);
        dst[i] = dpx_half(v);
    }
}

/* ---- past the caches ---- */

/* A frame larger than the caches needn't go through them: half the traffic is saved, as memory isn't read before it is
 * overwritten, and what else lies there stays. */
static inline void dpx_copy_past(uint8_t *__restrict dst, const uint8_t *__restrict src, size_t bytes) {
#ifdef DPX_STREAMS
    const size_t head = (size_t)((0 - (uintptr_t)dst) % 16);
    if (head < bytes) {
        memcpy(dst, src, head);
        dst += head, src += head, bytes -= head;
        for (; bytes >= 16; bytes -= 16, dst += 16, src += 16)
            _mm_stream_si128((__m128i *)(void *)dst, _mm_loadu_si128((const __m128i *)(const void *)src));
    }
#endif
    memcpy(dst, src, bytes);
}

/* Before others may look. */
static inline void dpx_finish_past(void) {
#ifdef DPX_STREAMS
    _mm_sfence();
#endif
}

/* ---- a run of pixels ---- */

/* Which samples of its row a run of pixels needs: whole groups, and whole pairs. */
typedef struct {
    uint64_t begin, end; /* pixels: those asked for, and some more */
    uint64_t first;      /* the sample that lies at `start` */
    uint64_t start;      /* in the file */
    size_t bytes;
} dpx_span;

static inline dpx_span dpx_span_of(const dpx_layout *l, uint64_t row, uint64_t x, uint64_t pixels) {
    const uint64_t group = dpx_group(l), before = l->unpadded ? row * l->width * l->samples : 0;
    dpx_span s;
    s.begin = x;
    s.end = x + pixels;
    if (dpx_paired(l->order)) {
        s.begin -= x % 2;
        if (s.begin + 1 == l->width && s.begin > 0) s.begin -= 2; /* the last pixel looks back for its Cr */
        if (s.end % 2 && s.end < l->width) s.end++;
    }
    s.first = (before + s.begin * l->samples) / group * group;
    s.start = l->offset + (l->unpadded ? 0 : row * l->row_bytes) + dpx_bytes(l, s.first);
    s.bytes = (size_t)dpx_bytes(l, before + s.end * l->samples - s.first);
    s.first -= before; /* counted from the row's own start; below it where a word is shared: it wraps, and back */
    return s;
}

static inline void dpx_mirror(uint8_t *pixels, uint64_t count, size_t size) {
    uint8_t kept[16];
    for (uint64_t i = 0; i < count / 2; i++) {
        uint8_t *a = pixels + i * size, *b = pixels + (count - 1 - i) * size;
        memcpy(kept, a, size);
        memcpy(a, b, size);
        memcpy(b, kept, size);
    }
}

/* Codes or floats of channels to what is asked for. */
static inline void dpx_deliver(const dpx_layout *l, const void *src, dpx_type type, void *dst, size_t count) {
    if (l->store == DPX_FLOATS) {
        if (type == DPX_HALF)
            dpx_halves(src, (uint16_t *)dst, count);
        else
            memcpy(dst, src, count * 4);
    } else if (type == DPX_SINGLE) {
        dpx_singles((const uint16_t *)src, (float *)dst, count, (float)l->white);
    } else if (type == DPX_HALF) {
        float singles[512];
        for (size_t done = 0, n; done < count; done += n) {
            n = count - done < 512 ? count - done : 512;
            dpx_singles((const uint16_t *)src + done, singles, n, (float)l->white);
            if (l->white == 65535) dpx_unround((const uint16_t *)src + done, singles, n, (float)l->white);
            dpx_halves(singles, (uint16_t *)dst + done, n);
        }
    } else {
        memcpy(dst, src, count * 2);
    }
}

/* Pixels [x, x + pixels) of a row, in runs; src is where the span's samples are. To dst `past` the caches, or through
 * them. */
static inline void dpx_decode(const dpx_layout *l, const uint8_t *src, const dpx_span *span, uint64_t x,
                              uint64_t pixels, dpx_type type, int past, void *dst) {
    const size_t skip = (size_t)(span->begin * l->samples - span->first); /* samples of a group that began before */
    const size_t pixel_bytes = l->channels * dpx_type_bytes(type);
    const uint64_t run_bytes = dpx_bytes(l, DPX_RUN * l->samples);
    uint32_t cr = l->store == DPX_FLOATS ? 0x3f000000u : 1u << (l->bits - 1); /* no colour: 0.5, or the middle code */
    if (l->order == DPX_AS_STORED && skip == 0 && !past) {
        if (l->store == DPX_FLOATS && type == DPX_SINGLE) {
            dpx_unpack_floats(src, (uint8_t *)dst, (size_t)pixels * l->samples, l->swap);
            return;
        }
        if (l->store != DPX_FLOATS && type == DPX_CODES) {
            dpx_unpack(l, src, (uint16_t *)dst, (size_t)pixels * l->samples);
            return;
        }
    }
    for (uint64_t at = span->begin; at < span->end; at += DPX_RUN, src += run_bytes) {
        const size_t run = (size_t)(span->end - at < DPX_RUN ? span->end - at : DPX_RUN);
        const size_t drop = (size_t)(at < x ? x - at : 0); /* pixels more than were asked for */
        const size_t stop = (size_t)(x + pixels - at < run ? x + pixels - at : run);
        const size_t count = (stop - drop) * l->channels, bytes = (stop - drop) * pixel_bytes;
        union {
            uint16_t codes[DPX_RUN * 4 + 32];
            uint32_t floats[DPX_RUN * 4];
        } samples, channels;
        const uint8_t *ready;
        if (l->store == DPX_FLOATS) {
            dpx_unpack_floats(src, (uint8_t *)samples.floats, run * l->samples, l->swap);
            cr = dpx_order32(l->order, samples.floats, channels.floats, run, cr);
            ready =
                (const uint8_t *)((l->order == DPX_AS_STORED ? samples.floats : channels.floats) + drop * l->channels);
        } else {
            dpx_unpack(l, src, samples.codes, skip + run * l->samples);
            cr = dpx_order16(l->order, samples.codes + skip, channels.codes, run, (uint16_t)cr);
            ready = (const uint8_t *)((l->order == DPX_AS_STORED ? samples.codes + skip : channels.codes) +
                                      drop * l->channels);
        }
        if (past) {
            uint32_t delivered[DPX_RUN * 4];
            dpx_deliver(l, ready, type, delivered, count);
            dpx_copy_past((uint8_t *)dst, (const uint8_t *)delivered, bytes);
        } else {
            dpx_deliver(l, ready, type, dst, count);
        }
        dst = (uint8_t *)dst + bytes;
    }
}

/* A window of the picture, which must lie inside it, out of a file in memory; rows of dst are dst_row_bytes apart. */
static inline void dpx_decode_window(const uint8_t *file, const dpx_layout *l, uint64_t y, uint64_t x, uint64_t height,
                                     uint64_t width, dpx_type type, void *dst, int64_t dst_row_bytes) {
    const size_t pixel_bytes = l->channels * dpx_type_bytes(type);
    uint8_t *to = (uint8_t *)dst;
    if (l->bottom_up) {
        y = l->height - y - height;
        to += (int64_t)(height - 1) * dst_row_bytes;
        dst_row_bytes = -dst_row_bytes;
    }
    if (l->mirrored) x = l->width - x - width;
    for (uint64_t row = y; row < y + height; row++, to += dst_row_bytes) {
        const dpx_span span = dpx_span_of(l, row, x, width);
        dpx_decode(l, file + span.start, &span, x, width, type, 0, to);
        if (l->mirrored) dpx_mirror(to, width, pixel_bytes);
    }
}

/* Whether samples are read straight to where pixels are wanted, as dpx_in_place can make those of them there. */
static inline int dpx_direct(const dpx_layout *l, dpx_type type) {
    return l->order == DPX_AS_STORED &&
           (l->store == DPX_FLOATS ? type == DPX_SINGLE
                                   : type == DPX_CODES && (l->store == DPX_WORDS || l->store == DPX_TWELVES));
}

static inline void dpx_in_place(const dpx_layout *l, void *samples, size_t count) {
    if (l->store == DPX_TWELVES)
        dpx_words_in_place((uint16_t *)samples, count, l->swap, l->shift, 4095);
    else if (l->swap && l->store == DPX_WORDS)
        dpx_words_in_place((uint16_t *)samples, count, 1, 0, 0xffff);
    else if (l->swap)
        dpx_floats_in_place((uint32_t *)samples, count);
}

/* ---- to the file: frames to codes ---- */

/* All codes or-ed together: above white means that one of them is. */
DPX_WIDE static inline uint32_t dpx_or_codes(const uint16_t *src, size_t count) {
    uint32_t seen = 0;
    for (size_t i = 0; i < count; i++) seen |= src[i];
    return seen;
}

/* Clips to 0..1 and rounds to the nearest code, halves upward: exactly so, as a product of 24 and 16 bits fits into a
 * double, and with the half added it does, but where it is far below the first code. NaN are counted. Floats are
 * clipped by their bits, which are in the same order from 0 on: comparisons of floats may trap, and keep compilers from
 * vectorising the loop. */
DPX_WIDE static inline uint32_t dpx_codes(const float *__restrict src, uint16_t *__restrict dst, size_t count,
                                          double white) {
    uint32_t nan = 0;
    for (size_t i = 0; i < count; i++) {
        int32_t v;
        float x;
        memcpy(&v, src + i, 4);
        nan += (uint32_t)((v & 0x7fffffff) > 0x7f800000);
        v = v > 0 ? v : 0;
        v = v < 0x3f800000 ? v : 0x3f800000;
        memcpy(&x, &v, 4);
        dst[i] = (uint16_t)(int32_t)(x * white + 0.5);
    }
    return nan;
}

DPX_WIDE static inline uint32_t dpx_nans(const float *src, size_t count) {
    uint32_t nan = 0;
    for (size_t i = 0; i < count; i++) nan += (uint32_t)(src[i] != src[i]);
    return nan;
}

/* A run of at most DPX_RUN pixels, from the start of a group, to the bytes of the file. src holds codes, or floats
 * where as_float. */
static inline dpx_status dpx_encode(const dpx_layout *l, const void *src, int as_float, size_t pixels, uint8_t *dst,
                                    dpx_problem *why) {
    /* The order of channels back to that of samples: where two change places, they do so again. */
    const size_t count = pixels * l->channels;
    union {
        uint16_t codes[DPX_RUN * 4 + 32];
        uint32_t floats[DPX_RUN * 4];
    } codes, samples;
    if (l->store == DPX_FLOATS) {
        const uint32_t *from = (const uint32_t *)src;
        if (dpx_nans((const float *)src, count)) return dpx_fail(why, DPX_NAN, "frame", 0, 0, "numbers");
        if (l->order != DPX_AS_STORED) {
            dpx_order32(l->order, from, samples.floats, pixels, 0);
            from = samples.floats;
        }
        dpx_unpack_floats((const uint8_t *)from, dst, count, l->swap);
        return DPX_OK;
    }
    const uint16_t *from = (const uint16_t *)src;
    if (as_float) {
        if (dpx_codes((const float *)src, codes.codes, count, l->white))
            return dpx_fail(why, DPX_NAN, "frame", 0, 0, "numbers");
        from = codes.codes;
    } else if (dpx_or_codes(from, count) > l->white) {
        const dpx_problem problem = {DPX_RANGE, "frame", 0, NULL, dpx_or_codes(from, count), l->white};
        *why = problem;
        return DPX_RANGE;
    }
    if (l->order != DPX_AS_STORED) {
        dpx_order16(l->order, from, samples.codes, pixels, 0);
        from = samples.codes;
    }
    dpx_pack(l, from, dst, count);
    return DPX_OK;
}

#endif
