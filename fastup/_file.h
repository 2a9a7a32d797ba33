/* Pixels between an open file and memory, through _dpx.h; the I/O that both native modules share.
 *
 * Positioned reads and plain writes, in pieces that stay in the cache; no allocation, and no mapping, so that a file
 * that shrinks under the reader is an error and not a crash.
 */
#ifndef FASTUP_FILE_H
#define FASTUP_FILE_H

#include "_dpx.h"

#include <errno.h>
#if defined(_WIN32)
#include <io.h>
#include <stdio.h>
#else
#include <sys/types.h>
#include <unistd.h>
#endif

enum { FILE_PIECE_PIXELS = 16384 }; /* 64 KiB of words: within every thread's stack and every second-level cache */
enum { FILE_GAP_BYTES = 8192 };     /* the longest gap between rows that is read rather than skipped */

static inline dpx_status dpx_fail_io(dpx_problem *why) { return dpx_fail(why, DPX_IO, "file", (uint64_t)errno, NULL); }

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

/* 0, or -1 and errno. */
static inline int file_write(int fd, const void *buffer, size_t bytes) {
    size_t done = 0;
    while (done < bytes) {
#if defined(_WIN32)
        int put = _write(fd, (const char *)buffer + done, (unsigned)(bytes - done));
#else
        ssize_t put = write(fd, (const char *)buffer + done, bytes - done);
#endif
        if (put < 0) {
            if (errno == EINTR) continue;
            return -1;
        }
        done += (size_t)put;
    }
    return 0;
}

/* Reads a window of the picture, which must lie inside it, into dst: float32 normalised when as_float, else uint16.
 * Rows of dst are dst_row_bytes apart. */
static inline dpx_status dpx_read_window(int fd, const dpx_layout *layout, uint64_t y, uint64_t x, uint64_t height,
                                         uint64_t width, int as_float, void *dst, int64_t dst_row_bytes,
                                         dpx_problem *why) {
    uint8_t piece[FILE_PIECE_PIXELS * 4];
    const uint64_t pixel_bytes = 3 * (as_float ? sizeof(float) : sizeof(uint16_t));
    uint64_t row, done, i, rows = 1; /* in one read: a system call costs more than a few kilobytes too much */

    /* Rows that follow one another on both sides are one long row. */
    if (width * 4 == layout->row_bytes && (int64_t)(width * pixel_bytes) == dst_row_bytes) {
        width *= height;
        height = 1;
    }
    if (width * 4 <= sizeof piece && layout->row_bytes - width * 4 <= FILE_GAP_BYTES)
        rows = 1 + (sizeof piece - width * 4) / layout->row_bytes;
    for (row = 0; row < height; row += rows) {
        const uint64_t start = layout->offset + (y + row) * layout->row_bytes + x * 4;
        uint8_t *to = (uint8_t *)dst + (int64_t)row * dst_row_bytes;
        if (rows > height - row) rows = height - row;
        for (done = 0; done < width; done += FILE_PIECE_PIXELS) {
            const size_t pixels = (size_t)(width - done < FILE_PIECE_PIXELS ? width - done : FILE_PIECE_PIXELS);
            const size_t bytes = (size_t)((rows - 1) * layout->row_bytes) + pixels * 4;
            const int64_t got = file_read_at(fd, piece, bytes, start + done * 4);
            if (got < 0) return dpx_fail_io(why);
            if ((uint64_t)got < bytes)
                return dpx_fail_short(why, "image data", start + done * 4 + (uint64_t)got, start + done * 4 + bytes);
            for (i = 0; i < rows; i++) {
                const uint8_t *from = piece + i * layout->row_bytes;
                uint8_t *at = to + (int64_t)i * dst_row_bytes + done * pixel_bytes;
                if (as_float)
                    dpx_unpack10a_f32(from, (float *)(void *)at, pixels, layout->swap);
                else
                    dpx_unpack10a_u16(from, (uint16_t *)(void *)at, pixels, layout->swap);
            }
        }
    }
    return DPX_OK;
}

/* Packs contiguous rows and writes them where the file stands. Rows get `padding` zero bytes at their end. */
static inline dpx_status dpx_write_rows(int fd, uint64_t height, uint64_t width, uint64_t padding, int as_float,
                                        const void *src, int swap, dpx_problem *why) {
    uint8_t piece[FILE_PIECE_PIXELS * 4];
    uint64_t row, done, left;

    if (padding == 0) {
        width *= height;
        height = 1;
    }
    for (row = 0; row < height; row++) {
        for (done = 0; done < width; done += FILE_PIECE_PIXELS) {
            const size_t pixels = (size_t)(width - done < FILE_PIECE_PIXELS ? width - done : FILE_PIECE_PIXELS);
            const size_t first = (size_t)(row * width + done) * 3;
            if (as_float) {
                if (dpx_pack10a_f32((const float *)src + first, piece, pixels, swap))
                    return dpx_fail(why, DPX_NAN, "frame", 0, "numbers");
            } else {
                const uint32_t seen = dpx_pack10a_u16((const uint16_t *)src + first, piece, pixels, swap);
                if (seen > 1023) return dpx_fail(why, DPX_RANGE, "frame", seen, "codes of 0 to 1023");
            }
            if (file_write(fd, piece, pixels * 4)) return dpx_fail_io(why);
        }
        memset(piece, 0, sizeof piece);
        for (left = padding; left > 0;) {
            const size_t bytes = (size_t)(left < sizeof piece ? left : sizeof piece);
            if (file_write(fd, piece, bytes)) return dpx_fail_io(why);
            left -= bytes;
        }
    }
    return DPX_OK;
}

#endif
