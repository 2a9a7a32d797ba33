# cython: language_level=3, boundscheck=False, wraparound=False, embedsignature=True
"""The DPX codec: reads a window of a file, writes a picture, and turns the C core's status into a DpxError.

Shapes and types are checked here; then _dpx.h runs without the GIL.
"""

import operator
import mmap
import os

import numpy as np

from cpython.buffer cimport PyBUF_STRIDES, PyBUF_WRITABLE, PyBuffer_FillInfo, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport int64_t, uint8_t, UINT64_MAX, uint32_t, uint64_t, uintptr_t

from fastup.errors import DataError, DpxError
from fastup.header import not_dpx


cdef extern from "_dpx.h" nogil:
    enum:
        DPX_FULL_HEADER
    ctypedef enum dpx_status:
        DPX_OK
        DPX_NOT_DPX
        DPX_SHORT
        DPX_INVALID
        DPX_UNSUPPORTED
        DPX_IO
        DPX_NAN
        DPX_RANGE
    ctypedef struct dpx_problem:
        dpx_status status
        const char *field
        const char *expected
        uint64_t found
        uint64_t needed
    ctypedef struct dpx_layout:
        uint32_t width, height, channels, bits
        int swap
        uint64_t offset, row_bytes
    dpx_status dpx_parse(const uint8_t *head, size_t head_bytes, uint64_t file_bytes, dpx_layout *out,
                         dpx_problem *why)

cdef extern from "_file.h" nogil:
    int file_write(int fd, const void *buffer, size_t size)
    dpx_status dpx_fail_io(dpx_problem *why)
    int64_t file_read_at(int fd, void *buffer, size_t size, uint64_t offset)
    dpx_status dpx_read_window(int fd, const dpx_layout *layout, uint64_t y, uint64_t x, uint64_t height,
                               uint64_t width, int as_float, void *dst, int64_t dst_row_bytes, dpx_problem *why)
    dpx_status dpx_write_rows(int fd, uint64_t height, uint64_t width, uint64_t padding, int as_float,
                              const void *src, int swap, dpx_problem *why)


# Not blocking: a pipe is an error, and not waited for.
OPEN_FLAGS = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0)


def error(path, int status, field, expected, found, needed):
    """The exception for a dpx_problem: OSError for the system's errors, DataError for the frame's, else DpxError."""
    path = os.fspath(path)
    if status == DPX_IO:
        return OSError(found, os.strerror(found), path)
    if status == DPX_NAN:
        return DataError(f"{path}: the frame holds NaN; nothing was written")
    if status == DPX_RANGE:
        return DataError(f"{path}: the frame holds codes above 1023, the white of a 10-bit file; nothing was written")
    if status == DPX_SHORT:
        return DpxError(f"{path}: {field} is cut short: the file has {found} bytes, expected {needed} or more")
    if status == DPX_NOT_DPX:
        return not_dpx(path, found.to_bytes(4, "big"))
    return DpxError(f"{path}: {field} is {found}, expected {expected}")


cdef _raise(path, const dpx_problem *why):
    raise error(path, why.status, why.field.decode(), why.expected.decode() if why.expected != NULL else None,
                why.found, why.needed)


cdef _open(path, dpx_layout *layout):
    """Open a file and learn its layout. Returns the descriptor, which the caller closes."""
    cdef uint8_t head[DPX_FULL_HEADER]
    cdef dpx_problem why
    cdef int64_t got
    cdef uint64_t size
    cdef int fd = os.open(path, OPEN_FLAGS)
    try:
        size = os.fstat(fd).st_size
        with nogil:
            got = file_read_at(fd, head, DPX_FULL_HEADER, 0)
            if got < 0:
                dpx_fail_io(&why)  # a folder, for one: it can be opened, but not read
        if got < 0 or dpx_parse(head, got, size, layout, &why) != DPX_OK:
            _raise(path, &why)
    except BaseException:
        os.close(fd)
        raise
    return fd


# Fresh memory for a large frame costs more than decoding it: the system clears it, in pages of 4 KiB unless asked for
# larger ones. So large frames lie on huge pages, where the system has them, and what two of them left is kept.
HUGE_PAGE = 1 << 21
LARGE = 8 << 20  # what is smaller, malloc keeps by itself
_spare = []


cdef class _Lease:
    """Lends a mapping to an array; when the last view of the array is gone, the mapping is kept for another."""
    cdef object room
    cdef Py_ssize_t size

    def __cinit__(self, Py_ssize_t size):
        self.size = size
        length = size // HUGE_PAGE * HUGE_PAGE + 2 * HUGE_PAGE
        while _spare:  # taken before it is looked at: what it is cannot change under us
            room = _spare.pop()
            if len(room) == length:
                self.room = room
                return
        self.room = mmap.mmap(-1, length, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        try:
            self.room.madvise(mmap.MADV_HUGEPAGE)
        except OSError:
            pass  # this kernel has none: slower, not wrong

    def __getbuffer__(self, Py_buffer *buffer, int flags):
        cdef Py_buffer view
        PyObject_GetBuffer(self.room, &view, PyBUF_WRITABLE)
        start = <char *>view.buf + (-<uintptr_t>view.buf) % <uintptr_t>HUGE_PAGE
        PyBuffer_Release(&view)  # the room stays: it is closed by nobody but its own end
        PyBuffer_FillInfo(buffer, self, start, self.size, 0, flags)

    def __del__(self):
        if self.room is not None:  # there was memory for it
            _spare.append(self.room)
        if len(_spare) > 2:
            _spare.pop(0)


cdef _empty(shape, dtype):
    """As np.empty."""
    size = shape[0] * shape[1] * shape[2] * dtype.itemsize
    if size < LARGE or not hasattr(mmap, "MADV_HUGEPAGE"):
        return np.empty(shape, dtype)
    return np.ndarray(shape, dtype, _Lease(size))


def probe(path):
    """Shape (height, width, channels) and white (largest code) of a DPX that fastup can decode, from its header."""
    cdef dpx_layout layout
    os.close(_open(path, &layout))
    return (layout.height, layout.width, layout.channels), (1 << layout.bits) - 1


def read(path, dtype="uint16", window=None, out=None):
    """Read a DPX file, or a window of it. See `fastup.read`."""
    cdef dpx_layout layout
    cdef dpx_problem why
    cdef dpx_status status
    cdef Py_buffer view
    cdef int64_t y = 0, x = 0, height, width
    cdef int as_float
    cdef int fd

    dtype = np.dtype(dtype)
    if dtype not in (np.uint16, np.float32):
        raise ValueError(f"dtype is {dtype}, expected uint16 (code values) or float32 (normalised)")
    as_float = dtype == np.float32
    fd = _open(path, &layout)
    try:
        height, width = layout.height, layout.width
        if window is not None:
            y, x, height, width = map(operator.index, window)  # Cython would cut 1.5 down to 1
            # Compared so that nothing can overflow.
            if not (0 <= y < layout.height and 1 <= height <= layout.height - y
                    and 0 <= x < layout.width and 1 <= width <= layout.width - x):
                raise ValueError(
                    f"{os.fspath(path)}: window (y, x, height, width) is {tuple(window)}, expected one inside the "
                    f"picture of {layout.height} rows by {layout.width} columns")
        shape = (height, width, layout.channels)
        if out is None:
            out = _empty(shape, dtype)
        elif not isinstance(out, np.ndarray) or out.shape != shape or out.dtype != dtype:
            raise ValueError(f"out is {describe(out)}, expected {shape} of {dtype}")
        elif not out.flags.aligned or out.strides[1:] != (shape[2] * dtype.itemsize, dtype.itemsize):
            raise ValueError("out has gaps in its rows or odd addresses, expected rows of contiguous, aligned pixels")
        PyObject_GetBuffer(out, &view, PyBUF_STRIDES | PyBUF_WRITABLE)
        try:
            with nogil:
                status = dpx_read_window(fd, &layout, y, x, height, width, as_float, view.buf, view.strides[0], &why)
        finally:
            PyBuffer_Release(&view)
        if status != DPX_OK:
            _raise(path, &why)
    finally:
        os.close(fd)
    return out


def write(path, int fd, const uint8_t[::1] header, frame):
    """Write a header and a contiguous (H, W, 3) frame of uint16 or float32 to a descriptor, from where it stands.

    `header` is every byte before the pixels; the frame must have the size that it gives. `path` is for errors.
    """
    cdef Py_buffer view
    cdef dpx_layout layout
    cdef dpx_problem why
    cdef dpx_status status
    cdef int as_float = frame.dtype == np.float32
    # The file is as long as it needs to be, once written.
    if dpx_parse(&header[0], min(header.shape[0], <Py_ssize_t>DPX_FULL_HEADER), UINT64_MAX, &layout, &why) != DPX_OK:
        _raise(path, &why)
    if layout.offset != <uint64_t>header.shape[0] or frame.shape != (layout.height, layout.width, layout.channels):
        raise ValueError(
            f"{os.fspath(path)}: the header gives {layout.height} rows by {layout.width} columns from byte "
            f"{layout.offset}, but the frame is {frame.shape} and follows {header.shape[0]} bytes")
    PyObject_GetBuffer(frame, &view, PyBUF_STRIDES)
    try:
        with nogil:
            if file_write(fd, &header[0], header.shape[0]):
                dpx_fail_io(&why)
                status = DPX_IO
            else:
                status = dpx_write_rows(fd, layout.height, layout.width, layout.row_bytes - 4 * <uint64_t>layout.width,
                                        as_float, view.buf, layout.swap, &why)
    finally:
        PyBuffer_Release(&view)
    if status != DPX_OK:
        _raise(path, &why)


def describe(array):
    return f"{array.shape} of {array.dtype}" if isinstance(array, np.ndarray) else type(array).__name__
