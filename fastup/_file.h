/* Pixels between an open file and memory, through _pixels.h; the I/O that both native modules share.
 *
 * Positioned reads and plain writes, in pieces that stay in the cache; no allocation, and no mapping, so that a file
 * that shrinks under the reader is an error and not a crash.
 */
#ifndef FASTUP_FILE_H
#define FASTUP_FILE_H

#include "_pixels.h"

#include <errno.h>
#if defined(__linux__)
#include <fcntl.h>
#endif
#if defined(_WIN32)
#include <io.h>
#include <stdio.h>
#else
#include <sys/types.h>
#include <unistd.h>
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
#if defined(_WIN32)
        int got = -1; /* a descriptor has one user at a time here, so seeking it is safe */
        if (_lseeki64(fd, (int64_t)(offset + done), SEEK_SET) >= 0)
            got = _read(fd, (char *)buffer + done, (unsigned)(bytes - done));
#else
        ssize_t got = pread(fd, (char *)buffer + done, bytes - done, (off_t)(offset + done));
#endif
        if (got < 0) {
            if (errno == EINTR) continue;
            return -1;
        }
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
#if defined(_WIN32)
        int put = _write(fd, (const char *)buffer + done, (unsigned)(bytes - done));
#else
        ssize_t put = write(fd, (const char *)buffer + done, bytes - done);
#endif
        if (put <= 0) {
            if (put < 0 && errno == EINTR) continue;
            if (put == 0) errno = EIO; /* and not for ever */
            return -1;
        }
        done += (size_t)put;
    }
    return 0;
}

/* Pixels [x, x + pixels) of `rows` rows, of which the first is `row` and its samples `span`; they fit in a piece. */
static inline dpx_status dpx_read_piece(int fd, const dpx_layout *l, uint64_t row, uint64_t rows, uint64_t x,
                                        uint64_t pixels, dpx_type type, int plainly, int past, uint8_t *dst,
                                        int64_t dst_row_bytes, dpx_problem *why) {
    uint8_t piece[FILE_PIECE];
    const dpx_span span = dpx_span_of(l, row, x, pixels);
    const size_t bytes = (size_t)((rows - 1) * l->row_bytes) + span.bytes;
    const int direct = !plainly && rows == 1 && dpx_direct(l, type);
    const int64_t got = file_read_at(fd, direct ? dst : piece, bytes, span.start);
    uint64_t i;
    if (got < 0) return dpx_fail_io(why);
    if ((uint64_t)got < bytes) return dpx_fail_short(why, "image data", span.start + (uint64_t)got, span.start + bytes);
    if (direct) dpx_settle(l, dst, (size_t)pixels * l->samples);
    for (i = 0; i < rows && !direct; i++) {
        const uint8_t *from = piece + i * l->row_bytes;
        uint8_t *to = dst + (int64_t)i * dst_row_bytes;
        if (plainly)
            dpx_decode_plainly(l, from, &span, x, pixels, type, to);
        else
            dpx_decode(l, from, &span, x, pixels, type, past, to);
    }
    return DPX_OK;
}

/* Reads a window of the picture, which must lie inside it, into dst, whose rows are dst_row_bytes apart. `plainly`
 * takes the definition instead of the fast loops. */
static inline dpx_status dpx_read_window(int fd, const dpx_layout *layout, uint64_t y, uint64_t x, uint64_t height,
                                         uint64_t width, dpx_type type, int plainly, void *dst, int64_t dst_row_bytes,
                                         dpx_problem *why) {
    dpx_layout l = *layout;
    const size_t pixel_bytes = l.channels * dpx_type_bytes(type);
    const uint64_t row_samples = l.width * l.samples;
    uint8_t *to = (uint8_t *)dst;
    const int past = type != DPX_CODES && height * width * pixel_bytes >= FILE_PAST;
    uint64_t row, at, rows, most;

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
    most = (FILE_PIECE - 256) / dpx_bytes(&l, DPX_RUN * l.samples) * DPX_RUN;
    rows = 1; /* in one read: a system call costs more than a few kilobytes too much */
    if (width <= most && !l.unpadded) {
        const uint64_t bytes = dpx_span_of(&l, y, x, width).bytes;
        if (l.row_bytes - bytes <= FILE_GAP_BYTES) rows = 1 + (FILE_PIECE - bytes) / l.row_bytes;
    }
    for (row = 0; row < height; row += rows) {
        if (rows > height - row) rows = height - row;
        for (at = 0; at < width; at += most)
            if (dpx_read_piece(fd, &l, y + row, rows, x + at, width - at < most ? width - at : most, type, plainly,
                               past, to + at * pixel_bytes, dst_row_bytes, why))
                return why->status;
        if (l.mirrored)
            for (at = 0; at < rows; at++) dpx_mirror(to + (int64_t)at * dst_row_bytes, width, pixel_bytes);
        if (row + rows < height) to += (int64_t)rows * dst_row_bytes;
    }
    if (past) dpx_settle_past();
    return DPX_OK;
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
    const int joined = row_samples % dpx_group(&l) == 0 && used == l.row_bytes; /* rows make one long row */
    const uint64_t width = joined ? l.width * l.height : l.width, height = joined ? 1 : l.height;
    const uint8_t *from = (const uint8_t *)src;
    file_buffer buffer;
    uint64_t row, at;

    if (file_reserve(fd, l.end) || file_write(fd, header, (size_t)l.offset)) return dpx_fail_io(why);
    buffer.fd = fd;
    buffer.used = 0;
    for (row = 0; row < height; row++) {
        for (at = 0; at < width; at += DPX_RUN) {
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
