/* The DPX codec's core (SMPTE 268M): where the pixels of a file lie, and how they are unpacked and packed.
 *
 * Plain C99, also valid C++. No Python, no allocation, no I/O. Every function returns a dpx_status; a dpx_problem says
 * which field was wrong and what was found. Read so far: 10-bit RGB, filled by method A, in both byte orders.
 */
#ifndef FASTUP_DPX_H
#define FASTUP_DPX_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define DPX_SANITIZED
#endif

/* Wide instructions picked at run time, where the compiler and the C library can do it (GNU ifunc); "arch=haswell"
 * would not do, it asks for that very processor. Elsewhere the plain loops stand: arm64 vectorises them as they are.
 * Sanitizers start after ifuncs are resolved, so they go without. */
#if defined(__x86_64__) && defined(__GLIBC__) && !defined(DPX_SANITIZED) && !defined(__clang__) && __GNUC__ >= 12
#define DPX_WIDE __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#elif defined(__x86_64__) && defined(__GLIBC__) && !defined(DPX_SANITIZED) &&                                          \
    (defined(__clang__) ? __clang_major__ >= 14 : __GNUC__ >= 8)
#define DPX_WIDE __attribute__((target_clones("avx2", "default")))
#else
#define DPX_WIDE
#endif

#if defined(_MSC_VER)
#define DPX_RESTRICT __restrict
#else
#define DPX_RESTRICT __restrict__
#endif

enum {
    DPX_MIN_HEADER = 1664,  /* the generic header; some writers stop here */
    DPX_FULL_HEADER = 2048, /* with the film and television headers */
    DPX_MAX_PADDING = 65536 /* after a line; there to align lines with a disk's blocks, so more is a lie */
};

typedef enum {
    DPX_OK = 0,
    DPX_NOT_DPX,     /* the magic number is another's */
    DPX_SHORT,       /* the file ends too early: found bytes, needed bytes */
    DPX_INVALID,     /* a field holds what no DPX can hold */
    DPX_UNSUPPORTED, /* legal, but not read by fastup */
    DPX_IO,          /* the system reports an error: found is errno */
    DPX_NAN,         /* a float to be written is not a number */
    DPX_RANGE        /* an integer to be written is above white: found is its value */
} dpx_status;

typedef struct {
    dpx_status status;
    const char *field;    /* which one, in words, with its byte position */
    const char *expected; /* what it should hold, in words; NULL where needed says it */
    uint64_t found;
    uint64_t needed;
} dpx_problem;

typedef struct {
    uint32_t width, height, channels, bits;
    int swap;           /* the file's byte order is not this machine's */
    uint64_t offset;    /* of the first pixel, from the start of the file */
    uint64_t row_bytes; /* from one row to the next */
} dpx_layout;

/* ---- reading single values ---- */

static inline int dpx_host_is_big(void) {
    const uint16_t one = 1;
    uint8_t first;
    memcpy(&first, &one, 1);
    return first == 0;
}

static inline uint32_t dpx_swap32(uint32_t v) {
    return (v >> 24) | ((v >> 8) & 0xff00u) | ((v << 8) & 0xff0000u) | (v << 24);
}

static inline uint32_t dpx_u32(const uint8_t *p, int swap) {
    uint32_t v;
    memcpy(&v, p, 4);
    return swap ? dpx_swap32(v) : v;
}

static inline uint32_t dpx_u16(const uint8_t *p, int swap) {
    uint16_t v;
    memcpy(&v, p, 2);
    return swap ? (uint32_t)(uint16_t)((v >> 8) | (v << 8)) : v;
}

static inline dpx_status dpx_fail(dpx_problem *why, dpx_status status, const char *field, uint64_t found,
                                  const char *expected) {
    why->status = status;
    why->field = field;
    why->found = found;
    why->expected = expected;
    why->needed = 0;
    return status;
}

static inline dpx_status dpx_fail_short(dpx_problem *why, const char *field, uint64_t found, uint64_t needed) {
    dpx_fail(why, DPX_SHORT, field, found, NULL);
    why->needed = needed;
    return DPX_SHORT;
}

/* ---- where the pixels are ---- */

/* head: the first head_bytes of the file, DPX_MIN_HEADER of them at least unless the file is shorter.
 * All sizes are held against file_bytes in 64 bits, so that nobody allocates for a file that lies. */
static inline dpx_status dpx_parse(const uint8_t *head, size_t head_bytes, uint64_t file_bytes, dpx_layout *out,
                                   dpx_problem *why) {
    const uint32_t undefined = 0xffffffffu;
    uint32_t value, image_offset;
    uint64_t needed, padding;
    int swap;

    memset(out, 0, sizeof *out);
    if (head_bytes < 4) return dpx_fail_short(why, "header", file_bytes, DPX_MIN_HEADER);
    if (memcmp(head, "SDPX", 4) == 0)
        swap = !dpx_host_is_big();
    else if (memcmp(head, "XPDS", 4) == 0)
        swap = dpx_host_is_big();
    else
        return dpx_fail(why, DPX_NOT_DPX, "magic number (byte 0)", dpx_u32(head, !dpx_host_is_big()), "SDPX or XPDS");
    if (head_bytes < DPX_MIN_HEADER) return dpx_fail_short(why, "header", file_bytes, DPX_MIN_HEADER);
    out->swap = swap;

    value = dpx_u16(head + 768, swap);
    if (value != 0 && value != 0xffffu)
        return dpx_fail(why, DPX_UNSUPPORTED, "orientation (byte 768)", value,
                        "0 (left to right, top to bottom), which is all that fastup reads so far");
    value = dpx_u16(head + 770, swap);
    if (value == 0 || value > 8)
        return dpx_fail(why, DPX_INVALID, "number of image elements (byte 770)", value, "1 to 8");
    if (value != 1)
        return dpx_fail(why, DPX_UNSUPPORTED, "number of image elements (byte 770)", value,
                        "1, which is all that fastup reads so far");

    out->width = dpx_u32(head + 772, swap);
    if (out->width == 0 || out->width == undefined)
        return dpx_fail(why, DPX_INVALID, "pixels per line (byte 772)", out->width, "a width");
    out->height = dpx_u32(head + 776, swap);
    if (out->height == 0 || out->height == undefined)
        return dpx_fail(why, DPX_INVALID, "lines per image (byte 776)", out->height, "a height");

    value = dpx_u32(head + 780, swap);
    if (value != 0 && value != undefined)
        return dpx_fail(why, DPX_UNSUPPORTED, "data sign (byte 780)", value,
                        "0 (unsigned), which is all that fastup reads so far");
    value = head[800];
    if (value != 50)
        return dpx_fail(why, DPX_UNSUPPORTED, "descriptor (byte 800)", value,
                        "50 (RGB), which is all that fastup reads so far");
    out->channels = 3;
    value = head[803];
    if (value != 10)
        return dpx_fail(why, DPX_UNSUPPORTED, "bit depth (byte 803)", value,
                        "10, which is all that fastup reads so far");
    out->bits = 10;
    value = dpx_u16(head + 804, swap);
    if (value != 1)
        return dpx_fail(why, DPX_UNSUPPORTED, "packing (byte 804)", value,
                        "1 (filled, method A), which is all that fastup reads so far");
    value = dpx_u16(head + 806, swap);
    if (value != 0 && value != 0xffffu)
        return dpx_fail(why, DPX_UNSUPPORTED, "encoding (byte 806)", value, "0 (none): fastup reads no run lengths");

    /* An element's own offset counts, except 0 and all ones, which stand for the image's. */
    image_offset = dpx_u32(head + 4, swap);
    value = dpx_u32(head + 808, swap);
    if (value == 0 || value == undefined) {
        if (image_offset < DPX_MIN_HEADER || image_offset == undefined)
            return dpx_fail(why, DPX_INVALID, "image offset (byte 4)", image_offset, "1664 or more");
        value = image_offset;
    } else if (value < DPX_MIN_HEADER) {
        return dpx_fail(why, DPX_INVALID, "data offset (byte 808)", value, "1664 or more");
    }
    out->offset = value;

    value = dpx_u32(head + 812, swap);
    padding = value == undefined ? 0 : value;
    if (padding > DPX_MAX_PADDING)
        return dpx_fail(why, DPX_INVALID, "end-of-line padding (byte 812)", padding, "65536 or less");
    out->row_bytes = (uint64_t)out->width * 4 + padding;
    /* height < 2^32 and row_bytes < 2^35: divide rather than multiply, then both products fit. */
    if (out->height - 1 > (file_bytes / out->row_bytes))
        return dpx_fail_short(why, "image data", file_bytes,
                              (uint64_t)out->height > UINT64_MAX / 2 / out->row_bytes
                                  ? UINT64_MAX / 2
                                  : out->offset + (uint64_t)out->height * out->row_bytes - padding);
    needed = out->offset + (uint64_t)(out->height - 1) * out->row_bytes + (uint64_t)out->width * 4;
    if (needed > file_bytes) return dpx_fail_short(why, "image data", file_bytes, needed);
    return DPX_OK;
}

/* ---- 10 bits, method A: a pixel is a 32-bit word, red << 22 | green << 12 | blue << 2 ---- */

DPX_WIDE static inline void dpx_unpack10a_u16(const uint8_t *DPX_RESTRICT src, uint16_t *DPX_RESTRICT dst,
                                              size_t pixels, int swap) {
    size_t i;
    if (swap)
        for (i = 0; i < pixels; i++) {
            uint32_t v;
            memcpy(&v, src + 4 * i, 4);
            v = dpx_swap32(v);
            dst[3 * i] = (uint16_t)(v >> 22);
            dst[3 * i + 1] = (uint16_t)((v >> 12) & 1023u);
            dst[3 * i + 2] = (uint16_t)((v >> 2) & 1023u);
        }
    else
        for (i = 0; i < pixels; i++) {
            uint32_t v;
            memcpy(&v, src + 4 * i, 4);
            dst[3 * i] = (uint16_t)(v >> 22);
            dst[3 * i + 1] = (uint16_t)((v >> 12) & 1023u);
            dst[3 * i + 2] = (uint16_t)((v >> 2) & 1023u);
        }
}

/* Divided, not multiplied by a reciprocal: the result is the float nearest to code / 1023. */
DPX_WIDE static inline void dpx_unpack10a_f32(const uint8_t *DPX_RESTRICT src, float *DPX_RESTRICT dst, size_t pixels,
                                              int swap) {
    size_t i;
    if (swap)
        for (i = 0; i < pixels; i++) {
            uint32_t v;
            memcpy(&v, src + 4 * i, 4);
            v = dpx_swap32(v);
            dst[3 * i] = (float)(int32_t)(v >> 22) / 1023.0f;
            dst[3 * i + 1] = (float)(int32_t)((v >> 12) & 1023u) / 1023.0f;
            dst[3 * i + 2] = (float)(int32_t)((v >> 2) & 1023u) / 1023.0f;
        }
    else
        for (i = 0; i < pixels; i++) {
            uint32_t v;
            memcpy(&v, src + 4 * i, 4);
            dst[3 * i] = (float)(int32_t)(v >> 22) / 1023.0f;
            dst[3 * i + 1] = (float)(int32_t)((v >> 12) & 1023u) / 1023.0f;
            dst[3 * i + 2] = (float)(int32_t)((v >> 2) & 1023u) / 1023.0f;
        }
}

/* Returns the bits of all codes or-ed together: above 1023 means that one of them does not fit. */
DPX_WIDE static inline uint32_t dpx_pack10a_u16(const uint16_t *DPX_RESTRICT src, uint8_t *DPX_RESTRICT dst,
                                                size_t pixels, int swap) {
    uint32_t seen = 0;
    size_t i;
    for (i = 0; i < pixels; i++) {
        const uint32_t r = src[3 * i], g = src[3 * i + 1], b = src[3 * i + 2];
        uint32_t v = r << 22 | g << 12 | b << 2;
        seen |= r | g | b;
        if (swap) v = dpx_swap32(v);
        memcpy(dst + 4 * i, &v, 4);
    }
    return seen;
}

/* Clips to 0..1 and rounds to the nearest code (halves upward). Comparisons are false for NaN, which therefore ends as
 * 0 here and is counted. */
static inline uint32_t dpx_code10(float x) {
    x = x > 0.0f ? x : 0.0f;
    x = x < 1.0f ? x : 1.0f;
    return (uint32_t)(int32_t)(x * 1023.0f + 0.5f);
}

/* Returns how many values are not numbers. */
DPX_WIDE static inline uint32_t dpx_pack10a_f32(const float *DPX_RESTRICT src, uint8_t *DPX_RESTRICT dst, size_t pixels,
                                                int swap) {
    uint32_t nan = 0;
    size_t i;
    for (i = 0; i < pixels; i++) {
        const float r = src[3 * i], g = src[3 * i + 1], b = src[3 * i + 2];
        uint32_t v = dpx_code10(r) << 22 | dpx_code10(g) << 12 | dpx_code10(b) << 2;
        nan += (uint32_t)(r != r) + (uint32_t)(g != g) + (uint32_t)(b != b);
        if (swap) v = dpx_swap32(v);
        memcpy(dst + 4 * i, &v, 4);
    }
    return nan;
}

#endif
