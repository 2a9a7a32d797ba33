/* Fuzzes the C core by libFuzzer; `make fuzz` builds and runs it.
 *
 * The input is a DPX file. Every element is parsed, a window of it is read in every way, and every way must give the
 * same bytes, inside the window's memory alone: the pixels that a second decoder, written from the standard, gives.
 * What can be written is written and read again. The name that the file carries in its header is not the parser's
 * business: it says which window, how long the file seems to be, and what goes wrong with the I/O, so that mutations
 * find those too.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

/* The core does its I/O here: faster than files, as long as a file can be, and as contrary. */
static ssize_t fuzz_pread(int fd, void *buffer, size_t bytes, off_t offset);
static ssize_t fuzz_write(int fd, const void *buffer, size_t bytes);
static int fuzz_fallocate(int fd, int mode, off_t offset, off_t bytes);
#define pread fuzz_pread
#define write fuzz_write
#define fallocate fuzz_fallocate

#include "_file.h"

#define CHECK(what)                                                                                                    \
    do {                                                                                                               \
        if (!(what)) {                                                                                                 \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #what);                                         \
            abort();                                                                                                   \
        }                                                                                                              \
    } while (0)

typedef unsigned __int128 wide; /* in which no size overflows */

enum { CONTROL = 36 };
enum { SMALL = 1 << 12, LARGE = 600000 }; /* values that are looked at; more than a read gives of any flavour */

/* What the file's name says; corpus.py writes it. */
typedef struct {
    uint8_t length;     /* 0: as it is, 1: endless, 2: `more` longer, 3: `more` << 31 longer */
    uint8_t large;      /* a large window is read, too */
    uint8_t flip;       /* 1: rows go to memory upwards; 2, 4: from the right, the bottom */
    uint8_t gap;        /* pixels between the rows in memory */
    uint8_t piece;      /* bytes a call reads or writes at most; 0: all */
    uint8_t fails;      /* which call fails; 0: none */
    uint8_t interrupts; /* every call is interrupted first */
    uint8_t cut;        /* the file is shorter than it was, by 1 << cut bytes */
    uint32_t x, y, width, height, more;
} control;

/* ---- a file ---- */

static struct {
    const uint8_t *bytes;
    uint64_t kept, length; /* what is behind the kept bytes is made up */
} file;

static struct {
    uint8_t *bytes;
    size_t used, room;
} written;

static struct {
    unsigned piece, fails, interrupts, calls, odd;
} faults;

static uint8_t file_byte(uint64_t at) {
    CHECK(at < file.length);
    return at < file.kept ? file.bytes[at] : (uint8_t)(at * 0x9e3779b97f4a7c15u >> 56);
}

/* What a call does with so many bytes: fewer, or -1. */
static ssize_t fault(size_t bytes, int error) {
    faults.odd ^= 1;
    if (faults.interrupts && faults.odd) {
        errno = EINTR;
        return -1;
    }
    if (++faults.calls == faults.fails) {
        errno = error;
        return -1;
    }
    return (ssize_t)(faults.piece && bytes > faults.piece ? faults.piece : bytes);
}

static ssize_t fuzz_pread(int fd, void *buffer, size_t bytes, off_t offset) {
    const ssize_t take = fault(bytes, EIO);
    uint64_t at = (uint64_t)offset, i = 0, n;
    CHECK(fd == 3 && offset >= 0 && bytes > 0);
    if (take <= 0 || at >= file.length) return take < 0 ? -1 : 0;
    n = (uint64_t)take < file.length - at ? (uint64_t)take : file.length - at;
    if (at < file.kept) {
        i = n < file.kept - at ? n : file.kept - at;
        memcpy(buffer, file.bytes + at, i);
    }
    for (; i < n; i++) ((uint8_t *)buffer)[i] = file_byte(at + i);
    return (ssize_t)n;
}

static ssize_t fuzz_write(int fd, const void *buffer, size_t bytes) {
    const ssize_t take = fault(bytes, ENOSPC);
    CHECK(fd == 4 && bytes <= written.room - written.used);
    if (take < 0) return -1;
    memcpy(written.bytes + written.used, buffer, (size_t)take);
    written.used += (size_t)take;
    return take;
}

static int fuzz_fallocate(int fd, int mode, off_t offset, off_t bytes) {
    CHECK(fd == 4 && mode == 0 && offset == 0 && (uint64_t)bytes == written.room);
    return fault(0, faults.piece % 2 ? EOPNOTSUPP : ENOSPC) < 0 ? -1 : 0;
}

static void set_faults(const control *c) {
    memset(&faults, 0, sizeof faults);
    if (c) faults.piece = c->piece, faults.fails = c->fails, faults.interrupts = c->interrupts;
}

static void *get(size_t bytes) {
    void *memory = malloc(bytes);
    CHECK(memory);
    return memory;
}

/* A status, once it is checked that its problem says the same, in full. */
static dpx_status checked(dpx_status status, const dpx_problem *why) {
    if (status == DPX_OK) return status;
    CHECK(why->status == status && why->field && *why->field);
    if (status == DPX_SHORT) CHECK(why->found < why->needed || why->found == INT64_MAX);
    if (status == DPX_NOT_DPX || status == DPX_INVALID || status == DPX_UNSUPPORTED)
        CHECK(why->expected && why->at < DPX_MIN_HEADER);
    return status;
}

/* ---- the standard, once more ---- */

static int is_paired(const dpx_layout *l) { return l->order == DPX_CBYCRY || l->order == DPX_CBYACRYA; }

/* Bytes of so many samples in a row. */
static wide bytes_of(const dpx_layout *l, wide samples) {
    switch (l->bits) {
    case 8: return samples;
    case 16: return samples * 2;
    case 32: return samples * 4;
    case 12:
        if (l->store == DPX_TWELVES) return samples * 2;
        break;
    case 10:
        if (l->store != DPX_BITS) return (samples + 2) / 3 * 4;
        break;
    }
    return (samples * l->bits + 31) / 32 * 4;
}

/* So many bytes of the file as one number. */
static uint32_t word_at(const dpx_layout *l, uint64_t at, int bytes) {
    uint32_t v = 0;
    const int big = l->swap != dpx_host_is_big();
    int i;
    for (i = 0; i < bytes; i++) v |= (uint32_t)file_byte(at + (uint64_t)i) << 8 * (big ? bytes - 1 - i : i);
    return v;
}

static uint32_t sample_at(const dpx_layout *l, uint64_t row, uint64_t sample) {
    const uint64_t start = l->offset + (l->unpadded ? 0 : row * l->row_bytes);
    const uint64_t i = sample + (l->unpadded ? row * l->width * l->samples : 0);
    if (l->bits == 8) return file_byte(start + i);
    if (l->bits == 16) return word_at(l, start + 2 * i, 2);
    if (l->bits == 32) return word_at(l, start + 4 * i, 4);
    if (l->store == DPX_TWELVES) return word_at(l, start + 2 * i, 2) >> l->shift & 4095;
    if (l->bits == 10 && l->store != DPX_BITS) {
        const unsigned third = l->samples == 1 ? i % 3 : 2 - i % 3;
        return word_at(l, start + i / 3 * 4, 4) >> (10 * third + (unsigned)l->shift) & 1023;
    }
    {
        uint32_t v = 0, bit;
        for (bit = 0; bit < l->bits; bit++) {
            const uint64_t at = i * l->bits + bit;
            v |= (word_at(l, start + at / 32 * 4, 4) >> at % 32 & 1) << bit;
        }
        return v;
    }
}

/* A channel of a pixel of the upright picture: its code, or the bits of its float. */
static uint32_t value_at(const dpx_layout *l, uint64_t y, uint64_t x, uint32_t channel) {
    const uint64_t row = l->bottom_up ? l->height - 1 - y : y, col = l->mirrored ? l->width - 1 - x : x;
    const uint64_t own = col * l->samples;
    if (l->order == DPX_ABGR) return sample_at(l, row, own + 3 - channel);
    if ((l->order == DPX_CBYCR || l->order == DPX_CBYCRA) && channel < 2) return sample_at(l, row, own + 1 - channel);
    if (!is_paired(l)) return sample_at(l, row, own + channel);
    if (channel == 0) return sample_at(l, row, own + 1);
    if (channel == 3) return sample_at(l, row, own + 2);
    if (channel == 1) return sample_at(l, row, (col - col % 2) * l->samples);
    if ((col | 1) < l->width) return sample_at(l, row, (col | 1) * l->samples);
    if (col > 0) return sample_at(l, row, (col - 1) * l->samples);
    return l->bits == 32 ? 0x3f000000 : 1u << (l->bits - 1);
}

/* The float16 nearest to a number, as its bits. */
static uint32_t half_of(double number) {
    const uint32_t sign = signbit(number) ? 0x8000 : 0;
    const double size = fabs(number);
    int power;
    double steps;
    if (isnan(number)) return 0x7e00 | sign;
    if (size >= 65520) return 0x7c00 | sign;
    power = size < ldexp(1, -14) ? -14 : ilogb(size);
    steps = nearbyint(ldexp(size, 10 - power)); /* 2048 of them carry over into the exponent, as they should */
    return sign | (uint32_t)((power + 14) * 1024 + (int)steps);
}

/* What a reader must give for it: the bits. */
static uint32_t delivered(const dpx_layout *l, uint32_t value, dpx_type type) {
    float single;
    if (l->bits == 32)
        memcpy(&single, &value, 4);
    else
        single = (float)value / (float)l->white;
    if (type == DPX_CODES) return value;
    if (type == DPX_HALF) return half_of(l->bits == 32 ? (double)single : value / (double)l->white);
    memcpy(&value, &single, 4);
    return value;
}

/* What the parser makes of an element's record, which is in the file. */
static void check_layout(const dpx_layout *l, uint32_t element, uint64_t length) {
    static const uint8_t kinds[][4] = {/* descriptor, samples, channels, order */
                                       {1, 1, 1, DPX_AS_STORED},  {2, 1, 1, DPX_AS_STORED},  {3, 1, 1, DPX_AS_STORED},
                                       {4, 1, 1, DPX_AS_STORED},  {6, 1, 1, DPX_AS_STORED},  {8, 1, 1, DPX_AS_STORED},
                                       {50, 3, 3, DPX_AS_STORED}, {51, 4, 4, DPX_AS_STORED}, {52, 4, 4, DPX_ABGR},
                                       {100, 2, 3, DPX_CBYCRY},   {101, 3, 4, DPX_CBYACRYA}, {102, 3, 3, DPX_CBYCR},
                                       {103, 4, 4, DPX_CBYCRA}};
    const uint64_t record = DPX_ELEMENT + DPX_ELEMENT_BYTES * element;
    const uint32_t packing = word_at(l, record + 24, 2), elements = word_at(l, 770, 2);
    const wide row = (wide)l->width * l->samples, used = bytes_of(l, row);
    wide padding = word_at(l, record + 32, 4);
    size_t kind = 0;
    while (kinds[kind][0] != file_byte(record + 20)) CHECK(++kind < sizeof kinds / sizeof *kinds);
    CHECK(l->samples == kinds[kind][1] && l->channels == kinds[kind][2] && l->order == kinds[kind][3]);
    CHECK(l->swap == ((file_byte(0) == 'S') != dpx_host_is_big()));
    CHECK(l->bits == file_byte(record + 23) && l->white == (l->bits == 32 ? 0 : (1u << l->bits) - 1));
    CHECK((l->store == DPX_BITS) == (l->bits == 1 || (packing == 0 && (l->bits == 10 || l->bits == 12))));
    CHECK(l->shift == (packing != 1 ? 0 : l->bits == 10 ? 2 : l->bits == 12 ? 4 : 0));
    CHECK(l->width == word_at(l, 772, 4) && l->height == word_at(l, 776, 4) && l->width > 0 && l->height > 0);
    CHECK(l->elements == (elements == 0 || elements == 0xffff ? 1 : elements));
    CHECK(element < l->elements && l->elements <= DPX_ELEMENTS);
    CHECK(l->offset >= DPX_MIN_HEADER &&
          l->offset == word_at(l, word_at(l, record + 28, 4) + 1 > 1 ? record + 28 : 4, 4)); /* not 0, nor all ones */
    CHECK(l->reason == DPX_BY_STANDARD || l->reason == DPX_BY_PIXELS || (l->unpadded && l->reason != DPX_UNDECIDED));
    if (l->unpadded) {
        CHECK(l->row_bytes == 0 && l->elements == 1 && l->bits != 32 && l->height > 1);
        CHECK(l->offset + bytes_of(l, row * l->height) == l->end && l->end <= length);
        if (l->reason == DPX_BY_SIZE) CHECK(length < l->end + 4);
        if (l->reason == DPX_BY_WRITER)
            CHECK(l->bits == 10 && (file_byte(160) == 'L' || file_byte(160) == 'D' || file_byte(1556) == 'S'));
    } else {
        if (padding == UINT32_MAX) padding = 0;
        CHECK(padding <= DPX_MAX_PADDING && l->row_bytes == (used + 3) / 4 * 4 + padding);
        CHECK((wide)l->offset + (wide)l->row_bytes * (l->height - 1) + used <= length);
        CHECK((wide)l->offset + (wide)l->row_bytes * l->height == l->end);
    }
}

/* ---- reading ---- */

typedef struct {
    uint64_t y, x, height, width;
} window;

static uint64_t less(uint64_t a, uint64_t b) { return a < b ? a : b; }

/* A window of so many values at most. */
static window window_of(const dpx_layout *l, const control *c, uint64_t most) {
    window w;
    most /= l->channels;
    w.width = less(c->width ? 1 + (c->width - 1) % l->width : l->width, most);
    w.height = less(c->height ? 1 + (c->height - 1) % l->height : l->height, most / w.width);
    w.x = c->x % (l->width - w.width + 1);
    w.y = c->y % (l->height - w.height + 1);
    if (c->flip & 2) w.x = l->width - w.width - w.x;
    if (c->flip & 4) w.y = l->height - w.height - w.y;
    return w;
}

/* A window as floats or codes in memory that it fills, or but for gaps between its rows, and upwards; pixels and gaps
 * are first what `fill` says. */
static uint8_t *read_window(const dpx_layout *l, const control *c, window w, dpx_type type, int fill,
                            dpx_status *status, dpx_problem *why) {
    const size_t row = (size_t)w.width * l->channels * dpx_type_bytes(type);
    const size_t step = row + c->gap % 8u * dpx_type_bytes(type), bytes = step * (size_t)(w.height - 1) + row;
    const int up = c->flip & 1;
    uint8_t *memory = get(bytes), *pixels;
    uint64_t y, i;
    memset(memory, fill, bytes);
    memset(why, 0xee, sizeof *why);
    *status = checked(dpx_read_window(3, l, w.y, w.x, w.height, w.width, type,
                                      up ? memory + step * (size_t)(w.height - 1) : memory,
                                      up ? -(int64_t)step : (int64_t)step, why),
                      why);
    pixels = get(row * (size_t)w.height);
    for (y = 0; y < w.height; y++) {
        memcpy(pixels + y * row, memory + (up ? w.height - 1 - y : y) * step, row);
        for (i = row; i < step && y + 1 < w.height; i++) CHECK(memory[y * step + i] == fill);
    }
    free(memory);
    return pixels;
}

static void check_pixel(const dpx_layout *l, window w, dpx_type type, const uint8_t *pixels, uint64_t y, uint64_t x) {
    uint32_t channel;
    for (channel = 0; channel < l->channels; channel++) {
        const size_t bytes = dpx_type_bytes(type);
        const uint8_t *at = pixels + ((y * w.width + x) * l->channels + channel) * bytes;
        uint16_t two;
        uint32_t got, expected = delivered(l, value_at(l, w.y + y, w.x + x, channel), type);
        memcpy(&two, at, 2);
        got = two;
        if (bytes == 4) memcpy(&got, at, 4);
        CHECK(got == expected);
    }
}

/* Out of a file in memory, as long as it is: nothing behind it may be looked at. */
static void check_in_memory(const dpx_layout *l, window w, dpx_type type, const uint8_t *expected) {
    const size_t row = (size_t)w.width * l->channels * dpx_type_bytes(type);
    uint8_t *whole, *pixels;
    uint64_t i;
    if (file.length > LARGE) return;
    whole = get((size_t)file.length);
    for (i = 0; i < file.length; i++) whole[i] = file_byte(i);
    pixels = get(row * (size_t)w.height);
    dpx_decode_window(whole, l, w.y, w.x, w.height, w.width, type, pixels, (int64_t)row);
    CHECK(memcmp(pixels, expected, row * (size_t)w.height) == 0);
    free(pixels);
    free(whole);
}

static void read_all(const dpx_layout *l, const control *c, uint64_t most) {
    const window w = window_of(l, c, most);
    dpx_type type;
    for (type = DPX_CODES; type <= DPX_HALF; type = (dpx_type)(type + 1)) {
        const size_t bytes = (size_t)(w.height * w.width) * l->channels * dpx_type_bytes(type);
        dpx_problem why;
        dpx_status status, again;
        uint8_t *pixels, *others;
        uint64_t i;

        set_faults(NULL);
        pixels = read_window(l, c, w, type, 0xa5, &status, &why);
        others = read_window(l, c, w, type, 0x5a, &again, &why); /* what is not written is not the same */
        CHECK(status == again && status == (l->bits == 32 && type == DPX_CODES ? DPX_NOT_CODES : DPX_OK));
        if (status == DPX_OK) {
            const uint64_t count = w.height * w.width;
            CHECK(memcmp(pixels, others, bytes) == 0);
            for (i = 0; i < count; i += 1 + count / SMALL) check_pixel(l, w, type, pixels, i / w.width, i % w.width);
            check_pixel(l, w, type, pixels, w.height - 1, w.width - 1);
            check_in_memory(l, w, type, pixels);

            /* Past the caches, to any address that is aligned, a row at a time. */
            if (!l->mirrored && type != DPX_CODES) {
                const size_t shift = c->gap % 8u * dpx_type_bytes(type);
                const uint64_t width = less(w.width, 4 * DPX_RUN);
                const size_t row = (size_t)width * l->channels * dpx_type_bytes(type);
                uint8_t *past = get(shift + row);
                CHECK(dpx_read_piece(3, l, l->bottom_up ? l->height - 1 - w.y : w.y, 1, w.x, width, type, 1,
                                     past + shift, 0, &why) == DPX_OK);
                CHECK(memcmp(past + shift, pixels, row) == 0);
                free(past);
            }

            /* The same, of a system that makes difficulties. */
            if (most == SMALL && (c->piece || c->fails || c->interrupts || c->cut)) {
                const uint64_t length = file.length;
                set_faults(c);
                if (c->cut) file.length -= less(file.length, (uint64_t)1 << c->cut % 63);
                free(others);
                others = read_window(l, c, w, type, 0xa5, &status, &why);
                file.length = length;
                if (status == DPX_OK)
                    CHECK(memcmp(pixels, others, bytes) == 0);
                else if (status == DPX_IO)
                    CHECK(c->fails && why.found == EIO);
                else
                    CHECK(status == DPX_SHORT && c->cut);
                if (c->fails && faults.calls >= c->fails) CHECK(status == DPX_IO);
                set_faults(NULL);
            }
        }
        free(pixels);
        free(others);
    }
}

/* ---- writing ---- */

static dpx_status write_file(const uint8_t *header, const dpx_layout *l, int as_float, const void *frame) {
    dpx_problem why;
    dpx_status status;
    memset(&why, 0xee, sizeof why);
    written.used = 0;
    status = checked(dpx_write_file(4, header, l, as_float, frame, &why), &why);
    if (status == DPX_IO) CHECK(why.found == ENOSPC || why.found == EOPNOTSUPP);
    if (status == DPX_RANGE) CHECK(why.needed == l->white && why.found > l->white);
    if (status != DPX_OK) return status;
    CHECK(written.used == l->end && memcmp(written.bytes, header, (size_t)l->offset) == 0);
    return status;
}

/* What was written last, as it is stored; the caller frees it. */
static void *written_pixels(const dpx_layout *l, dpx_type type) {
    const dpx_layout *in = l;
    void *pixels = get((size_t)(l->width * l->height) * l->channels * dpx_type_bytes(type));
    dpx_layout read;
    dpx_problem why;
    file.bytes = written.bytes;
    file.kept = file.length = written.used;
    CHECK(dpx_read_layout(3, written.used, 0, &read, &why) == DPX_OK);
    CHECK(read.width == in->width && read.height == in->height && read.offset == in->offset && read.end == in->end &&
          read.row_bytes == in->row_bytes && read.store == in->store && read.order == in->order &&
          read.unpadded == in->unpadded);
    read.mirrored = read.bottom_up = 0;
    CHECK(dpx_read_window(3, &read, 0, 0, read.height, read.width, type, pixels,
                          (int64_t)(read.width * read.channels * dpx_type_bytes(type)), &why) == DPX_OK);
    return pixels;
}

/* A frame of anything, which is refused for what is wrong with it, or comes back as the nearest that can be stored. */
static void write_anything(const uint8_t *header, const dpx_layout *l, int as_float, const uint8_t *data, size_t size) {
    const size_t count = (size_t)(l->width * l->height) * l->channels;
    uint8_t *frame = get(count * (as_float ? 4 : 2));
    dpx_status status, expected = DPX_OK;
    size_t i;
    for (i = 0; i < count * (as_float ? 4 : 2); i++) frame[i] = data[i % size];
    for (i = 0; i < count && as_float; i++) {
        float x;
        memcpy(&x, frame + 4 * i, 4);
        if (isnan(x)) expected = DPX_NAN;
    }
    for (i = 0; i < count && !as_float; i++) {
        uint16_t code;
        memcpy(&code, frame + 2 * i, 2);
        if (code > l->white) expected = DPX_RANGE;
    }
    status = write_file(header, l, as_float, frame);
    CHECK(status == expected);
    if (status == DPX_OK) {
        uint8_t *pixels = written_pixels(l, l->bits == 32 ? DPX_SINGLE : DPX_CODES);
        if (l->bits == 32 || !as_float)
            CHECK(memcmp(pixels, frame, count * (as_float ? 4 : 2)) == 0);
        else
            for (i = 0; i < count; i++) {
                float x;
                uint16_t code;
                memcpy(&x, frame + 4 * i, 4);
                memcpy(&code, pixels + 2 * i, 2);
                CHECK(code == floor(fmin(fmax(x, 0), 1) * l->white + 0.5));
            }
        free(pixels);
    }
    free(frame);
}

static void write_all(const dpx_layout *layout, const control *c, const uint8_t *data, size_t size) {
    const wide values = (wide)layout->width * layout->height * layout->channels;
    const dpx_type type = layout->bits == 32 ? DPX_SINGLE : DPX_CODES;
    dpx_layout read = *layout, l;
    dpx_problem why;
    dpx_status status;
    uint8_t *header, *frame, *pixels, *first;
    size_t i, bytes;
    int nan = 0;

    if (is_paired(layout) || layout->elements > 1 || values > 4 * SMALL || layout->offset > 4 * SMALL) return;
    header = get((size_t)layout->offset);
    for (i = 0; i < layout->offset; i++) header[i] = file_byte(i);
    status = checked(dpx_parse(header, (size_t)layout->offset, INT64_MAX, 0, &l, &why), &why);
    CHECK(status == DPX_OK && l.offset == layout->offset);
    if (l.reason == DPX_UNDECIDED) CHECK(l.fallback == 0 && dpx_decide(&l, INT64_MAX, -1, &why) == DPX_OK);
    CHECK(!l.unpadded || l.reason == DPX_BY_WRITER);
    if (l.end > LARGE) { /* padding */
        free(header);
        return;
    }
    written.room = (size_t)l.end;
    written.bytes = get(written.room);

    /* As it is stored, it comes back: codes as codes, and by way of floats. */
    read.mirrored = read.bottom_up = 0;
    bytes = (size_t)values * dpx_type_bytes(type);
    frame = get(bytes);
    set_faults(NULL);
    CHECK(dpx_read_window(3, &read, 0, 0, read.height, read.width, type, frame,
                          (int64_t)(read.width * read.channels * dpx_type_bytes(type)), &why) == DPX_OK);
    for (i = 0; i < bytes && l.bits == 32; i += 4) {
        float x;
        memcpy(&x, frame + i, 4);
        nan |= isnan(x);
    }
    status = write_file(header, &l, l.bits == 32, frame);
    CHECK(status == (nan ? DPX_NAN : DPX_OK));
    if (status == DPX_OK) {
        pixels = written_pixels(&l, type);
        CHECK(memcmp(pixels, frame, bytes) == 0);
        free(pixels);
        first = get(written.used);
        memcpy(first, written.bytes, written.used);
        if (l.bits != 32) {
            pixels = written_pixels(&l, DPX_SINGLE);
            CHECK(write_file(header, &l, 1, pixels) == DPX_OK);
            CHECK(memcmp(first, written.bytes, written.used) == 0);
            free(pixels);
        }
        set_faults(c);
        status = write_file(header, &l, l.bits == 32, frame);
        CHECK(status == DPX_OK || (status == DPX_IO && c->fails));
        if (status == DPX_OK) CHECK(memcmp(first, written.bytes, written.used) == 0);
        set_faults(NULL);
        free(first);
    }
    if (l.bits != 32) write_anything(header, &l, 0, data, size);
    write_anything(header, &l, 1, data + size / 2, size - size / 2);
    free(frame);
    free(written.bytes);
    free(header);
}

/* What the pixels tell of a layout, whatever happens to the I/O. */
static dpx_status look(dpx_layout *l, uint64_t length, const control *c) {
    dpx_layout again = *l;
    dpx_problem why, other;
    dpx_status status, faulty;
    CHECK(!l->unpadded && l->row_bytes > 0 && l->elements == 1 && l->bits != 32);
    set_faults(NULL);
    status = checked(dpx_look(3, l, length, &why), &why);
    CHECK(status == DPX_OK || (status == DPX_SHORT && !l->unpadded) || (status == DPX_SHORT && l->fallback < 0));
    set_faults(c);
    faulty = checked(dpx_look(3, &again, length, &other), &other);
    CHECK(faulty == status || (faulty == DPX_IO && c->fails));
    if (faulty == DPX_OK) CHECK(again.unpadded == l->unpadded && again.end == l->end && again.reason == l->reason);
    set_faults(NULL);
    return status;
}

/* ---- libFuzzer ---- */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    control c = {0};
    uint8_t *head;
    uint32_t element;
    uint64_t length = size;
    size_t head_bytes, i;
    if (size >= CONTROL + sizeof c) memcpy(&c, data + CONTROL, sizeof c);
    switch (c.length % 4) {
    case 1: length = INT64_MAX; break;
    case 2: length += c.more; break;
    case 3: length += (uint64_t)c.more << 31; break;
    }
    if (length > INT64_MAX) length = INT64_MAX;
    file.bytes = data;
    file.kept = size;
    file.length = length;
    head_bytes = (size_t)less(length, DPX_FULL_HEADER);
    head = get(head_bytes); /* as long as it is: nothing behind it may be looked at */
    for (i = 0; i < head_bytes; i++) head[i] = file_byte(i);
    for (element = 0; element < 9; element++) {
        dpx_layout l;
        dpx_problem why;
        memset(&why, 0xee, sizeof why);
        file.bytes = data; /* again: written_pixels has put another there */
        file.kept = size;
        file.length = length;
        if (checked(dpx_parse(head, head_bytes, length, element, &l, &why), &why) != DPX_OK) break;
        if (l.reason == DPX_UNDECIDED && look(&l, length, &c) != DPX_OK) break;
        check_layout(&l, element, length);
        read_all(&l, &c, SMALL);
        if (c.large == 1 && element == 0) read_all(&l, &c, LARGE);
        write_all(&l, &c, data, size);
    }
    free(head);
    return 0;
}

/* Every second mutation is of the parser's fields: most of a header is nobody's business. */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed) {
    static const uint16_t fields[][2] = {/* where, and how long; from 780 on of an element */
                                         {0, 4},   {4, 4},   {16, 4},  {768, 2}, {770, 2}, {772, 4}, {776, 4},
                                         {780, 4}, {800, 1}, {803, 1}, {804, 2}, {806, 2}, {808, 4}, {812, 4}};
    static const uint32_t numbers[] = {
        0,   1,   2,   3,   4,   6,    8,    10,    12,    16,    32,         50,         51,         52,
        100, 101, 102, 103, 255, 1664, 2048, 65535, 65536, 65537, 0x7fffffff, 0x80000000, 0xfffffffe, 0xffffffff};
    uint32_t field, at, bytes, value, i;
    int big;
    if (seed % 2 || size < DPX_MIN_HEADER) return LLVMFuzzerMutate(data, size, max_size);
    field = seed / 2 % 64;
    if (field >= 24) { /* the controls, byte by byte; the rest is for the fields, for some of them often */
        LLVMFuzzerMutate(data + CONTROL, sizeof(control), sizeof(control));
        return size;
    }
    field = field < 14 ? field : field - 10;
    at = fields[field][0], bytes = fields[field][1];
    if (at >= 780) at += 72 * (seed / 128 % 8 < 6 ? 0 : 1);
    big = data[0] == 'S';
    value = seed / 1024 % 4 ? numbers[seed / 4096 % (sizeof numbers / sizeof *numbers)] : seed / 4096 % 4096;
    if (at == 0) {
        memcpy(data, big ? "XPDS" : "SDPX", 4);
        return size;
    }
    for (i = 0; i < bytes; i++) data[at + i] = (uint8_t)(value >> 8 * (big ? bytes - 1 - i : i));
    return size;
}
