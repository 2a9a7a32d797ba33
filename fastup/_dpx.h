/* The DPX codec's core (SMPTE 268M): where the pixels of a file lie. Every function that can fail returns a dpx_status;
 * a dpx_problem says which field was wrong and what was found.
 * Plain C99, also valid C++. No Python, no allocation, no I/O. */
#ifndef FASTUP_DPX_H
#define FASTUP_DPX_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum {
    DPX_MIN_HEADER = 1664,   /* the generic header; some writers stop here */
    DPX_FULL_HEADER = 2048,  /* with the film and television headers */
    DPX_MAX_PADDING = 65536, /* after a line; there to align lines with a disk's blocks, so more is a lie */
    DPX_ELEMENTS = 8,
    DPX_ELEMENT = 780, /* where the first element's record is, and how long each is */
    DPX_ELEMENT_BYTES = 72
};

typedef enum {
    DPX_OK = 0,
    DPX_NOT_DPX,     /* the magic number is another's */
    DPX_SHORT,       /* the file ends too early: found bytes, needed bytes */
    DPX_INVALID,     /* a field holds what no DPX can hold */
    DPX_UNSUPPORTED, /* legal, but not read by fastup */
    DPX_IO,          /* the system reports an error: found is errno */
    DPX_NAN,         /* a float to be written is not a number */
    DPX_RANGE,       /* an integer to be written is above white, which is needed */
    DPX_NOT_CODES    /* codes are asked for, but the file holds floats */
} dpx_status;

typedef struct {
    dpx_status status;
    const char *field;    /* which one, in words */
    uint32_t at;          /* its byte position; 0 where it has none */
    const char *expected; /* what it should hold, in words; NULL where needed says it */
    uint64_t found;
    uint64_t needed;
} dpx_problem;

/* How the samples of a row lie. */
typedef enum {
    DPX_BYTES,    /* 8 bits */
    DPX_WORDS,    /* 16 bits */
    DPX_FLOATS,   /* 32 bits */
    DPX_TENS,     /* three in a 32-bit word, the first in its high end */
    DPX_TENS_LOW, /* the same with the first in the low end: one component per pixel */
    DPX_TWELVES,  /* one in a 16-bit word */
    DPX_BITS      /* a stream of bits, the lowest first, in 32-bit words */
} dpx_store;

/* How the samples of a pixel make its channels. */
typedef enum {
    DPX_AS_STORED,
    DPX_ABGR,   /* to R G B A */
    DPX_CBYCR,  /* to Y Cb Cr */
    DPX_CBYCRA, /* to Y Cb Cr A */
    DPX_CBYCRY, /* two pixels share Cb and Cr: Cb Y Cr Y, to Y Cb Cr for each */
    DPX_CBYACRYA
} dpx_order;

/* By what rows are known to end on words of 32 bits, or to run on. */
typedef enum {
    DPX_BY_STANDARD, /* they end on words */
    DPX_BY_WRITER,
    DPX_BY_SIZE,
    DPX_BY_PIXELS,
    DPX_UNDECIDED /* the header and the size of the file leave it open: dpx_look decides by the pixels */
} dpx_reason;

typedef struct {
    uint64_t width, height;
    uint32_t elements; /* of the file */
    uint32_t channels; /* of the frame given out */
    uint32_t samples;  /* stored per pixel */
    uint32_t bits;
    uint32_t white; /* the largest code; 0 for floats */
    dpx_store store;
    dpx_order order;
    int shift;               /* spare bits below a filled sample: method A has them, method B has them above */
    int swap;                /* the file's byte order is not this machine's */
    int mirrored, bottom_up; /* rows, columns run the other way */
    int unpadded;            /* rows follow one another within words */
    dpx_reason reason;       /* for that */
    int fallback;            /* undecided, and the pixels do not tell: 1 unpadded, 0 padded, -1 the file is cut short */
    uint64_t offset;         /* of the first pixel, from the start of the file */
    uint64_t row_bytes;      /* from one row to the next; nothing where they are unpadded */
    uint64_t end;            /* where the last row ends with its padding */
} dpx_layout;

static inline int dpx_host_is_big(void) {
    const uint16_t one = 1;
    return *(const uint8_t *)&one == 0;
}

static inline uint32_t dpx_swap32(uint32_t v) {
    return (v >> 24) | ((v >> 8) & 0xff00u) | ((v << 8) & 0xff0000u) | (v << 24);
}

static inline uint16_t dpx_swap16(uint16_t v) { return (uint16_t)((v >> 8) | (v << 8)); }

static inline uint32_t dpx_u32(const uint8_t *p, int swap) {
    uint32_t v;
    memcpy(&v, p, 4);
    return swap ? dpx_swap32(v) : v;
}

static inline uint32_t dpx_u16(const uint8_t *p, int swap) {
    uint16_t v;
    memcpy(&v, p, 2);
    return swap ? dpx_swap16(v) : v;
}

static inline dpx_status dpx_fail(dpx_problem *why, dpx_status status, const char *field, uint32_t at, uint64_t found,
                                  const char *expected) {
    const dpx_problem problem = {status, field, at, expected, found, 0};
    *why = problem;
    return status;
}

static inline dpx_status dpx_fail_short(dpx_problem *why, const char *field, uint64_t found, uint64_t needed) {
    const dpx_problem problem = {DPX_SHORT, field, 0, NULL, found, needed};
    *why = problem;
    return DPX_SHORT;
}

/* Samples lie in groups: a group starts on a byte, and every so many samples one does. */
static inline uint64_t dpx_group(const dpx_layout *l) {
    return l->store == DPX_BITS ? 32 : l->store == DPX_TENS || l->store == DPX_TENS_LOW ? 3 : 1;
}

/* Bytes that so many samples take from the start of a group on. */
static inline uint64_t dpx_bytes(const dpx_layout *l, uint64_t samples) {
    switch (l->store) {
    case DPX_BYTES: return samples;
    case DPX_WORDS:
    case DPX_TWELVES: return samples * 2;
    case DPX_FLOATS: return samples * 4;
    case DPX_TENS:
    case DPX_TENS_LOW: return (samples + 2) / 3 * 4;
    case DPX_BITS: break;
    }
    return (samples * l->bits + 31) / 32 * 4;
}

/* ---- where the pixels are ---- */

static inline dpx_status dpx_parse_flavour(const uint8_t *record, uint32_t at, int swap, dpx_layout *out,
                                           dpx_problem *why) {
    const uint32_t sign = dpx_u32(record, swap), descriptor = record[20];
    const uint32_t packing = dpx_u16(record + 24, swap), encoding = dpx_u16(record + 26, swap);

    if (sign != 0 && sign != 0xffffffffu)
        return dpx_fail(why, DPX_UNSUPPORTED, "data sign", at, sign, "0: fastup reads no signed codes");

    out->order = DPX_AS_STORED;
    out->samples = out->channels = 1;
    switch (descriptor) {
    case 50: out->samples = out->channels = 3; break;
    case 51: out->samples = out->channels = 4; break;
    case 52: out->samples = out->channels = 4, out->order = DPX_ABGR; break;
    case 100: out->samples = 2, out->channels = 3, out->order = DPX_CBYCRY; break;
    case 101: out->samples = 3, out->channels = 4, out->order = DPX_CBYACRYA; break;
    case 102: out->samples = out->channels = 3, out->order = DPX_CBYCR; break;
    case 103: out->samples = out->channels = 4, out->order = DPX_CBYCRA; break;
    default:
        if (descriptor < 1 || descriptor > 8 || descriptor == 5 || descriptor == 7)
            return dpx_fail(
                why, DPX_UNSUPPORTED, "descriptor", at + 20, descriptor,
                "1 to 4 (R, G, B, A), 6 (luma), 8 (depth), 50 to 52 (RGB, RGBA, ABGR) or 100 to 103 (CbYCr)");
    }

    out->bits = record[23];
    out->white = out->bits < 32 ? (1u << out->bits) - 1 : 0;
    out->shift = 0;
    switch (out->bits) {
    case 1: out->store = DPX_BITS; break;
    case 8: out->store = DPX_BYTES; break;
    case 16: out->store = DPX_WORDS; break;
    case 32: out->store = DPX_FLOATS; break;
    case 10:
        out->store = packing == 0 ? DPX_BITS : out->samples == 1 ? DPX_TENS_LOW : DPX_TENS;
        if (packing == 1) out->shift = 2;
        break;
    case 12:
        out->store = packing == 0 ? DPX_BITS : DPX_TWELVES;
        if (packing == 1) out->shift = 4;
        break;
    default: return dpx_fail(why, DPX_UNSUPPORTED, "bit depth", at + 23, out->bits, "1, 8, 10, 12, 16 or 32");
    }
    /* Left undefined, it does no harm where there is but one way. */
    if (packing > 2 && (packing != 0xffffu || out->bits == 10 || out->bits == 12))
        return dpx_fail(why, DPX_INVALID, "packing", at + 24, packing,
                        "0 (packed), 1 (filled, method A) or 2 (filled, method B)");
    if (encoding != 0 && encoding != 0xffffu)
        return dpx_fail(why, DPX_UNSUPPORTED, "encoding", at + 26, encoding, "0 (none): fastup reads no run lengths");
    return DPX_OK;
}

/* Some scanners do not pad rows of 10 bits, and say who they are. */
static inline int dpx_known_writer(const uint8_t *head, const dpx_layout *l) {
    const char *creator = (const char *)head + 160, *device = (const char *)head + 1556;
    return (l->store == DPX_TENS || l->store == DPX_TENS_LOW) &&
           (memcmp(creator, "Lasergraphics Inc.", 18) == 0 || memcmp(creator, "DIAMANT-Film", 12) == 0 ||
            memcmp(device, "Scanity", 7) == 0);
}

/* How many bytes all rows take where none but the last is padded; 0 where that makes no difference. */
static inline uint64_t dpx_unpadded_bytes(const dpx_layout *l) {
    const uint64_t row = l->width * l->samples;
    const int whole =
        l->store == DPX_BITS ? row * l->bits % 32 == 0 : row % dpx_group(l) == 0 && dpx_bytes(l, row) % 4 == 0;
    if (whole || l->height == 1 || l->store == DPX_FLOATS || l->height >= UINT64_MAX / 64 / row) return 0;
    return dpx_bytes(l, l->height * row);
}

/* Bytes that a file needs whose rows are padded; its last one need not be. */
static inline uint64_t dpx_padded_needs(const dpx_layout *l) {
    return l->offset + (l->height - 1) * l->row_bytes + dpx_bytes(l, l->width * l->samples);
}

/* What the header and the size of a file say of its rows, where unpadded ones, up to `end`, fit into it. Both may be:
 * where the file is longer than either needs, where it is shorter than it says of itself, and where a known scanner
 * began what another program seems to have written anew. */
static inline dpx_reason dpx_reason_of(const uint8_t *head, dpx_layout *l, uint64_t file_bytes, uint64_t end) {
    const uint64_t needed = dpx_padded_needs(l);
    const uint32_t says = dpx_u32(head + 16, l->swap);
    const int known = dpx_known_writer(head, l), fits = needed <= file_bytes;
    l->fallback = known ? 1 : fits ? 0 : -1;
    if (known) return file_bytes == needed || file_bytes == l->end ? DPX_UNDECIDED : DPX_BY_WRITER;
    if (fits) return file_bytes > l->end ? DPX_UNDECIDED : DPX_BY_STANDARD;
    return file_bytes < end + 4 && says != needed && says != l->end ? DPX_BY_SIZE : DPX_UNDECIDED;
}

/* Completes a layout that is undecided by what was found of the rows: 1 that they are unpadded, 0 that they are padded,
 * -1 that they do not tell. */
static inline dpx_status dpx_decide(dpx_layout *l, uint64_t file_bytes, int found, dpx_problem *why) {
    const uint64_t needed = dpx_padded_needs(l);
    l->reason = found >= 0 ? DPX_BY_PIXELS : l->fallback > 0 ? DPX_BY_WRITER : DPX_BY_STANDARD;
    l->unpadded = found >= 0 ? found : l->fallback;
    if (l->unpadded < 0 || (!l->unpadded && needed > file_bytes))
        return dpx_fail_short(why, "image data", file_bytes, needed);
    if (l->unpadded) {
        l->end = l->offset + dpx_unpadded_bytes(l);
        l->row_bytes = 0;
    }
    return DPX_OK;
}

/* Where an element's rows are, held against the file's real size. */
static inline dpx_status dpx_parse_place(const uint8_t *head, uint32_t element, uint64_t file_bytes, dpx_layout *out,
                                         dpx_problem *why) {
    const uint32_t undefined = 0xffffffffu, at = DPX_ELEMENT + DPX_ELEMENT_BYTES * element;
    const uint64_t row_samples = out->width * out->samples, used = dpx_bytes(out, row_samples);
    const uint32_t own = dpx_u32(head + at + 28, out->swap), image = dpx_u32(head + 4, out->swap);
    const uint64_t most = UINT64_MAX / 2 + 1; /* more than any file */
    uint64_t padding = dpx_u32(head + at + 32, out->swap);

    /* An element's own offset counts, except 0 and all ones, which stand for the image's. */
    if (own != 0 && own != undefined) {
        if (own < DPX_MIN_HEADER) return dpx_fail(why, DPX_INVALID, "data offset", at + 28, own, "1664 or more");
        out->offset = own;
    } else if (element > 0) {
        return dpx_fail(why, DPX_INVALID, "data offset", at + 28, own, "where this element's pixels are");
    } else {
        if (image < DPX_MIN_HEADER || image == undefined)
            return dpx_fail(why, DPX_INVALID, "image offset", 4, image, "1664 or more");
        out->offset = image;
    }

    if (padding == undefined) padding = 0;
    if (padding > DPX_MAX_PADDING)
        return dpx_fail(why, DPX_INVALID, "end-of-line padding", at + 32, padding, "65536 or less");
    out->row_bytes = (used + 3) / 4 * 4 + padding;
    /* height < 2^32 and row_bytes < 2^37: divide rather than multiply, then both products fit. */
    if (out->height - 1 > file_bytes / out->row_bytes && out->height >= most / out->row_bytes)
        return dpx_fail_short(why, "image data", file_bytes, most);
    out->end = out->offset + out->height * out->row_bytes;
    out->unpadded = 0;
    out->reason = DPX_BY_STANDARD;
    const uint64_t unpadded = out->elements == 1 && padding == 0 ? dpx_unpadded_bytes(out) : 0;
    if (unpadded && out->offset + unpadded <= file_bytes) {
        out->reason = dpx_reason_of(head, out, file_bytes, out->offset + unpadded);
        if (out->reason == DPX_UNDECIDED) return DPX_OK;
        if (out->reason != DPX_BY_STANDARD) {
            out->unpadded = 1;
            out->row_bytes = 0;
            out->end = out->offset + unpadded;
            return DPX_OK;
        }
    }
    const uint64_t needed = dpx_padded_needs(out);
    return needed <= file_bytes ? DPX_OK : dpx_fail_short(why, "image data", file_bytes, needed);
}

/* head: the first head_bytes of the file, DPX_MIN_HEADER of them at least unless the file is shorter.
 * All sizes are held against file_bytes in 64 bits, so that nobody allocates for a file that lies. Every element that
 * the file declares must be sound, whichever is asked for. file_bytes is 2^63 - 1 at most. A layout that is
 * undecided has padded rows until dpx_decide completes it. */
static inline dpx_status dpx_parse(const uint8_t *head, size_t head_bytes, uint64_t file_bytes, uint32_t element,
                                   dpx_layout *out, dpx_problem *why) {
    const uint32_t undefined = 0xffffffffu;
    memset(out, 0, sizeof *out);
    if (head_bytes < 4) return dpx_fail_short(why, "header", file_bytes, DPX_MIN_HEADER);
    if (memcmp(head, "SDPX", 4) == 0)
        out->swap = !dpx_host_is_big();
    else if (memcmp(head, "XPDS", 4) == 0)
        out->swap = dpx_host_is_big();
    else
        return dpx_fail(why, DPX_NOT_DPX, "magic number", 0, dpx_u32(head, !dpx_host_is_big()), "SDPX or XPDS");
    if (head_bytes < DPX_MIN_HEADER) return dpx_fail_short(why, "header", file_bytes, DPX_MIN_HEADER);

    const uint32_t orientation = dpx_u16(head + 768, out->swap);
    if (orientation > 3 && orientation != 0xffffu)
        return dpx_fail(why, DPX_UNSUPPORTED, "orientation", 768, orientation,
                        "0 to 3: fastup reads no columns as rows");
    out->mirrored = orientation == 1 || orientation == 3;
    out->bottom_up = orientation == 2 || orientation == 3;
    uint32_t elements = dpx_u16(head + 770, out->swap);
    if (elements == 0 || elements == 0xffffu) elements = 1; /* undefined */
    if (elements > DPX_ELEMENTS) return dpx_fail(why, DPX_INVALID, "number of image elements", 770, elements, "1 to 8");
    if (element >= elements)
        return dpx_fail(why, DPX_INVALID, "number of image elements", 770, elements,
                        "more than the number of the element asked for, which counts from 0");
    out->elements = elements;

    out->width = dpx_u32(head + 772, out->swap);
    if (out->width == 0 || out->width == undefined)
        return dpx_fail(why, DPX_INVALID, "pixels per line", 772, out->width, "a width");
    out->height = dpx_u32(head + 776, out->swap);
    if (out->height == 0 || out->height == undefined)
        return dpx_fail(why, DPX_INVALID, "lines per image", 776, out->height, "a height");

    dpx_layout other = *out;
    for (uint32_t i = 0; i < elements; i++) {
        const uint32_t at = DPX_ELEMENT + DPX_ELEMENT_BYTES * i;
        dpx_layout *l = i == element ? out : &other;
        if (dpx_parse_flavour(head + at, at, l->swap, l, why)) return why->status;
        if (dpx_parse_place(head, i, file_bytes, l, why)) return why->status;
    }
    return DPX_OK;
}

#endif
