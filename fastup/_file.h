/* Opens files, and moves pixels between them and memory, through _pixels.h: the I/O of both native modules. Positioned
 * reads and plain writes, in pieces that stay in the cache; no allocation, and no mapping, so that a file that shrinks
 * under the reader is an error and not a crash. */
#ifndef FASTUP_FILE_H
#define FASTUP_FILE_H

#include "_pixels.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#if defined(_WIN32)
#include <io.h>
#include <stdio.h>
typedef wchar_t file_char;
#define file_close _close
#define file_put(fd, buffer, bytes) _write(fd, buffer, (unsigned)(bytes))
/* A descriptor has one user at a time here, so seeking it is safe. */
static inline int file_get(int fd, void *buffer, size_t bytes, uint64_t offset) {
    return _lseeki64(fd, (int64_t)offset, SEEK_SET) < 0 ? -1 : _read(fd, buffer, (unsigned)bytes);
}
#else
#include <sys/types.h>
#include <unistd.h>
typedef char file_char;
#define file_close close
#define file_put write
#define file_get(fd, buffer, bytes, offset) pread(fd, buffer, bytes, (off_t)(offset))
#endif

enum { FILE_PIECE = 65536 };    /* within every thread's stack and every second-level cache */
enum { FILE_GAP_BYTES = 8192 }; /* the longest gap between rows that is read rather than skipped */
enum { FILE_PAST = 16 << 20 };  /* from so many bytes of floats on, they go to memory past the caches */
enum { FILE_BUFFER = 131072 };  /* written at a time: each call costs the file system some bookkeeping */

static inline dpx_status dpx_fail_io(dpx_problem *why) {
    return dpx_fail(why, DPX_IO, "file", 0, (uint64_t)errno, NULL);
}

/* How many bytes were read, fewer only at the end of the file; -1 and errno on failure. */
static inline int64_t file_read_at(int fd, void *buffer, size_t bytes, uint64_t offset) {
    size_t done = 0;
    while (done < bytes) {
        const int64_t got = file_get(fd, (char *)buffer + done, bytes - done, offset + done);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return -1;
        if (got == 0) break;
        done += (size_t)got;
    }
    return (int64_t)done;
}

/* Room for a new file of so many bytes: a full disk is known at once, and where there is room already the system need
 * not hurry to find some when the file takes another's name, which costs more than writing. 0, or -1 and errno. */
static inline int file_reserve(int fd, uint64_t bytes) {
#if defined(__linux__)
    while (fallocate(fd, 0, 0, (off_t)bytes)) {
        if (errno == ENOSPC || errno == EDQUOT || errno == EFBIG) return -1;
        if (errno != EINTR) break; /* this file system, or what is no file, can't: then without */
    }
#else
    (void)fd, (void)bytes;
#endif
    return 0;
}

/* 0, or -1 and errno. */
static inline int file_write(int fd, const void *buffer, size_t bytes) {
    size_t done = 0;
    while (done < bytes) {
        const int64_t put = file_put(fd, (const char *)buffer + done, bytes - done);
        if (put < 0 && errno == EINTR) continue;
        if (put == 0) errno = EIO; /* and not for ever */
        if (put <= 0) return -1;
        done += (size_t)put;
    }
    return 0;
}

/* Pixels [x, x + pixels) of `rows` rows, of which the first is `row` and its samples `span`; they fit in a piece. */
static inline dpx_status dpx_read_piece(int fd, const dpx_layout *l, uint64_t row, uint64_t rows, uint64_t x,
                                        uint64_t pixels, dpx_type type, int past, uint8_t *dst, int64_t dst_row_bytes,
                                        dpx_problem *why) {
    uint8_t piece[FILE_PIECE];
    const dpx_span span = dpx_span_of(l, row, x, pixels);
    const size_t bytes = (size_t)((rows - 1) * l->row_bytes) + span.bytes;
    const int direct = rows == 1 && dpx_direct(l, type);
    const int64_t got = file_read_at(fd, direct ? dst : piece, bytes, span.start);
    if (got < 0) return dpx_fail_io(why);
    if ((uint64_t)got < bytes) return dpx_fail_short(why, "image data", span.start + (uint64_t)got, span.start + bytes);
    if (direct) dpx_in_place(l, dst, (size_t)pixels * l->samples);
    for (uint64_t i = 0; i < rows && !direct; i++)
        dpx_decode(l, piece + i * l->row_bytes, &span, x, pixels, type, past, dst + (int64_t)i * dst_row_bytes);
    return DPX_OK;
}

/* Reads a window of the picture, which must lie inside it, into dst, whose rows are dst_row_bytes apart. */
static inline dpx_status dpx_read_window(int fd, const dpx_layout *layout, uint64_t y, uint64_t x, uint64_t height,
                                         uint64_t width, dpx_type type, void *dst, int64_t dst_row_bytes,
                                         dpx_problem *why) {
    dpx_layout l = *layout;
    const size_t pixel_bytes = l.channels * dpx_type_bytes(type);
    const uint64_t row_samples = l.width * l.samples;
    uint8_t *to = (uint8_t *)dst;
    const int past = type != DPX_CODES && height * width * pixel_bytes >= FILE_PAST;
    if (l.store == DPX_FLOATS && type == DPX_CODES) return dpx_fail(why, DPX_NOT_CODES, "bit depth", 0, 32, NULL);
    if (l.bottom_up) {
        y = l.height - y - height;
        to += (int64_t)(height - 1) * dst_row_bytes;
        dst_row_bytes = -dst_row_bytes;
    }
    if (l.mirrored) x = l.width - x - width;
    /* Rows that follow one another on both sides are one long row. */
    if (width == l.width && (int64_t)(width * pixel_bytes) == dst_row_bytes && !l.mirrored &&
        !(dpx_paired(l.order) && width % 2) &&
        (l.unpadded || (row_samples % dpx_group(&l) == 0 && dpx_bytes(&l, row_samples) == l.row_bytes))) {
        l.offset += l.unpadded ? 0 : y * l.row_bytes;
        x = l.unpadded ? y * l.width : 0;
        l.width = l.unpadded ? l.width * l.height : width * height;
        width *= height;
        y = 0;
        height = 1;
    }
    /* A group or a pair more on either side may be needed. */
    const uint64_t most = (FILE_PIECE - 256) / dpx_bytes(&l, DPX_RUN * l.samples) * DPX_RUN;
    uint64_t rows = 1; /* in one read: a system call costs more than a few kilobytes too much */
    if (width <= most && !l.unpadded) {
        const uint64_t bytes = dpx_span_of(&l, y, x, width).bytes;
        if (l.row_bytes - bytes <= FILE_GAP_BYTES) rows = 1 + (FILE_PIECE - bytes) / l.row_bytes;
    }
    for (uint64_t row = 0; row < height; row += rows) {
        if (rows > height - row) rows = height - row;
        for (uint64_t at = 0; at < width; at += most)
            if (dpx_read_piece(fd, &l, y + row, rows, x + at, width - at < most ? width - at : most, type, past,
                               to + at * pixel_bytes, dst_row_bytes, why))
                return why->status;
        if (l.mirrored)
            for (uint64_t at = 0; at < rows; at++) dpx_mirror(to + (int64_t)at * dst_row_bytes, width, pixel_bytes);
        if (row + rows < height) to += (int64_t)rows * dst_row_bytes;
    }
    if (past) dpx_finish_past();
    return DPX_OK;
}

enum { FILE_LOOKS = 64 };       /* rows that are looked at where they tell how they lie */
enum { FILE_LOOK = 1024 };      /* pixels of each */
enum { FILE_FILLED = 1 << 20 }; /* the most that a file is filled up by */

/* How little three rows that follow one another differ from a slope, at places all over a picture whose rows are as the
 * layout has them: the sum over so many values. Out of step, rows slant, and fit less. */
static inline dpx_status dpx_unevenness(int fd, const dpx_layout *layout, uint64_t height, uint64_t *sum,
                                        uint64_t *values, dpx_problem *why) {
    uint16_t rows[3][FILE_LOOK * 4];
    dpx_layout l = *layout;
    const uint64_t width = l.width < FILE_LOOK ? l.width : FILE_LOOK, x = (l.width - width) / 2;
    const uint64_t looks = height - 2 < FILE_LOOKS ? height - 2 : FILE_LOOKS;
    l.mirrored = l.bottom_up = 0;
    *sum = 0;
    for (uint64_t look = 0; look < looks; look++) {
        const uint64_t y = looks > 1 ? look * (height - 3) / (looks - 1) : 0;
        if (dpx_read_window(fd, &l, y, x, 3, width, DPX_CODES, rows, sizeof rows[0], why)) return why->status;
        for (uint64_t i = 0; i < width * l.channels; i++) {
            const int32_t bend = rows[0][i] - 2 * rows[1][i] + rows[2][i];
            *sum += (uint64_t)(bend < 0 ? -bend : bend);
        }
    }
    *values = looks * width * l.channels;
    return DPX_OK;
}

/* Whether rows, of a layout of padded ones, end with samples and then with zeros, as a writer has them that pads. */
static inline dpx_status dpx_zeros_follow(int fd, const dpx_layout *l, uint64_t height, int *found, dpx_problem *why) {
    const uint64_t row = l->width * l->samples, group = dpx_group(l), first = (row - 1) / group * group;
    const size_t bytes = (size_t)(l->row_bytes - dpx_bytes(l, first));
    const uint64_t samples = group == 3 ? bytes / 4 * 3 : bytes * 8 / (l->store == DPX_TWELVES ? 16 : l->bits);
    const uint64_t looks = height < FILE_LOOKS ? height : FILE_LOOKS;
    uint64_t spared = 0, zeros = 0; /* rows with room behind their samples, and with zeros there */
    for (uint64_t look = 0; look < looks; look++) {
        const uint64_t y = looks > 1 ? look * (height - 1) / (looks - 1) : 0;
        uint8_t end[64];
        uint32_t seen = 0;
        const int64_t got = file_read_at(fd, end, bytes, l->offset + (y + 1) * l->row_bytes - bytes);
        if (got < 0) return dpx_fail_io(why);
        if ((size_t)got < bytes || dpx_sample(l, end, row - first - 1) == 0) continue;
        for (uint64_t i = row - first; i < samples; i++) seen |= dpx_sample(l, end, i);
        spared += row - first < samples;
        zeros += row - first < samples && seen == 0;
    }
    *found = spared >= 8 && spared * 2 >= looks && zeros * 16 >= spared * 15;
    return DPX_OK;
}

/* Whether a file ends on a block, and has nothing but zeros from `start` on: not too many, as a file may be sparse. */
static inline int file_is_filled_up(int fd, uint64_t start, uint64_t end) {
    uint8_t piece[4096];
    if (end % 512 || end - start > FILE_FILLED) return 0;
    while (start < end) {
        const size_t bytes = (size_t)(end - start < sizeof piece ? end - start : sizeof piece);
        if (file_read_at(fd, piece, bytes, start) != (int64_t)bytes) return 0;
        for (size_t i = 0; i < bytes; i++)
            if (piece[i]) return 0;
        start += bytes;
    }
    return 1;
}

/* Completes a layout that is undecided by a look at the pixels: rows are padded where zeros follow them, or lie as they
 * continue each other best, by more than chance gives. A picture of nothing ends where the zeros begin. */
static inline dpx_status dpx_look(int fd, dpx_layout *l, uint64_t file_bytes, dpx_problem *why) {
    dpx_layout way = *l;
    const uint64_t end = l->offset + dpx_unpadded_bytes(l);
    uint64_t height = (file_bytes - l->offset) / l->row_bytes; /* of rows that a file cut short still has */
    uint64_t sums[2], values, root = 1;
    int found = -1, zeros;
    if (height > l->height) height = l->height;
    if (dpx_zeros_follow(fd, l, height, &zeros, why)) return why->status;
    if (zeros) {
        found = 0;
    } else if (height > 2) {
        if (dpx_unevenness(fd, &way, height, &sums[0], &values, why)) return why->status;
        way.unpadded = 1;
        way.row_bytes = 0;
        if (dpx_unevenness(fd, &way, height, &sums[1], &values, why)) return why->status;
        const int better = sums[1] < sums[0];
        const uint64_t worse = sums[!better];
        while ((root + 1) * (root + 1) <= values) root++;
        if ((worse - sums[better]) * root > 4 * worse) found = better;
    }
    if (found < 0 && end < l->end && end < file_bytes && file_is_filled_up(fd, end, file_bytes)) found = 1;
    return dpx_decide(l, file_bytes, found, why);
}

/* An open file and its layout. */
typedef struct {
    int fd;          /* -1 where none is open */
    uint64_t size;   /* of the file, when it was opened */
    int64_t changed; /* the time of its last change, then */
    dpx_layout layout;
} dpx_file;

/* A descriptor to read from, of a path as the system takes it; -1 and errno on failure. */
static inline int file_open(const file_char *path) {
#if defined(_WIN32)
    return _wopen(path, _O_RDONLY | _O_BINARY | _O_NOINHERIT);
#else
    int fd;
    do {
        fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a pipe is an error, and not waited for */
    } while (fd < 0 && errno == EINTR);
    return fd;
#endif
}

/* How long an open file is, and when it was changed, in nanoseconds; 0, or -1 and errno. */
static inline int file_state(int fd, uint64_t *size, int64_t *changed) {
#if defined(_WIN32)
    const int64_t length = _filelengthi64(fd);
    *size = (uint64_t)length;
    *changed = 0;
    return length < 0 ? -1 : 0;
#else
    struct stat info;
    if (fstat(fd, &info)) return -1;
    *size = (uint64_t)info.st_size;
#if defined(__APPLE__)
    *changed = (int64_t)info.st_mtimespec.tv_sec * 1000000000 + info.st_mtimespec.tv_nsec;
#else
    *changed = (int64_t)info.st_mtim.tv_sec * 1000000000 + info.st_mtim.tv_nsec;
#endif
    return 0;
#endif
}

/* What is closed already stays so. */
static inline void dpx_close(dpx_file *file) {
    if (file->fd >= 0) file_close(file->fd);
    file->fd = -1;
}

/* The layout of an element of an open file of so many bytes. */
static inline dpx_status dpx_read_layout(int fd, uint64_t file_bytes, uint32_t element, dpx_layout *out,
                                         dpx_problem *why) {
    uint8_t head[DPX_FULL_HEADER];
    const int64_t got = file_read_at(fd, head, sizeof head, 0);
    if (got < 0) return dpx_fail_io(why); /* a folder, for one: it can be opened, but not read */
    if (dpx_parse(head, (size_t)got, file_bytes, element, out, why)) return why->status;
    return out->reason == DPX_UNDECIDED ? dpx_look(fd, out, file_bytes, why) : DPX_OK;
}

/* Opens a file for dpx_close to close, and reads the layout of an element; on failure nothing is open. */
static inline dpx_status dpx_open(const file_char *path, uint32_t element, dpx_file *file, dpx_problem *why) {
    dpx_status status;
    file->fd = file_open(path);
    if (file->fd < 0 || file_state(file->fd, &file->size, &file->changed))
        status = dpx_fail_io(why);
    else
        status = dpx_read_layout(file->fd, file->size, element, &file->layout, why);
    if (status) dpx_close(file);
    return status;
}

/* Bytes on their way to a file. */
typedef struct {
    int fd;
    size_t used;
    uint8_t bytes[FILE_BUFFER];
} file_buffer;

static inline int file_flush(file_buffer *buffer) {
    const size_t used = buffer->used;
    buffer->used = 0;
    return file_write(buffer->fd, buffer->bytes, used);
}

/* Writes a header, and contiguous rows, packed, after it, where the file stands; src holds uint16 codes, or floats
 * where as_float. */
static inline dpx_status dpx_write_file(int fd, const uint8_t *header, const dpx_layout *layout, int as_float,
                                        const void *src, dpx_problem *why) {
    const dpx_layout l = *layout;
    const size_t pixel_bytes = l.channels * (as_float ? sizeof(float) : sizeof(uint16_t));
    const uint64_t row_samples = l.width * l.samples, used = dpx_bytes(&l, row_samples);
    /* Rows make one long row. */
    const int joined = l.unpadded || (row_samples % dpx_group(&l) == 0 && used == l.row_bytes);
    const uint64_t width = joined ? l.width * l.height : l.width, height = joined ? 1 : l.height;
    const uint8_t *from = (const uint8_t *)src;
    file_buffer buffer;
    if (file_reserve(fd, l.end) || file_write(fd, header, (size_t)l.offset)) return dpx_fail_io(why);
    buffer.fd = fd;
    buffer.used = 0;
    for (uint64_t row = 0; row < height; row++) {
        for (uint64_t at = 0; at < width; at += DPX_RUN) {
            const size_t run = (size_t)(width - at < DPX_RUN ? width - at : DPX_RUN);
            const size_t bytes = (size_t)dpx_bytes(&l, run * l.samples);
            if (bytes > FILE_BUFFER - buffer.used && file_flush(&buffer)) return dpx_fail_io(why);
            if (dpx_encode(&l, from, as_float, run, buffer.bytes + buffer.used, why)) return why->status;
            buffer.used += bytes;
            from += run * pixel_bytes;
        }
        if (!joined) { /* a row's end: no more than a buffer, by DPX_MAX_PADDING */
            const size_t bytes = (size_t)(l.row_bytes - used);
            if (bytes > FILE_BUFFER - buffer.used && file_flush(&buffer)) return dpx_fail_io(why);
            memset(buffer.bytes + buffer.used, 0, bytes);
            buffer.used += bytes;
        }
    }
    return file_flush(&buffer) ? dpx_fail_io(why) : DPX_OK;
}

#endif
