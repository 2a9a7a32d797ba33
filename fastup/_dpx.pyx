# cython: language_level=3, boundscheck=False, wraparound=False, embedsignature=True
"""The DPX codec: reads a window of a file, writes a picture, and turns the C core's status into a DpxError.

Shapes and types are checked here; then _dpx.h runs without the GIL.
"""

import errno
import operator
import os
import threading
from collections import namedtuple

import numpy as np

from cpython.buffer cimport PyBUF_STRIDES, PyBUF_WRITABLE, PyBuffer_FillInfo, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport INT64_MAX, int64_t, uint8_t, uint32_t, uint64_t

from fastup.errors import DataError, DpxError
from fastup.header import not_dpx


cdef extern from "_dpx.h" nogil:
    enum: DPX_ELEMENT, DPX_ELEMENT_BYTES
    ctypedef enum dpx_status: DPX_OK, DPX_NOT_DPX, DPX_SHORT, DPX_IO, DPX_NAN, DPX_RANGE, DPX_NOT_CODES
    ctypedef struct dpx_problem:
        dpx_status status
        const char *field
        uint32_t at
        const char *expected
        uint64_t found
        uint64_t needed
    ctypedef enum dpx_order: pass
    ctypedef enum dpx_reason: DPX_BY_STANDARD, DPX_BY_WRITER, DPX_BY_SIZE, DPX_BY_PIXELS, DPX_UNDECIDED
    ctypedef struct dpx_layout:
        uint64_t width, height
        uint32_t elements, channels, white
        dpx_order order
        int mirrored, bottom_up, unpadded
        dpx_reason reason
        uint64_t offset, row_bytes, end
    dpx_status dpx_parse(const uint8_t *head, size_t head_bytes, uint64_t file_bytes, uint32_t element,
                         dpx_layout *out, dpx_problem *why)
    dpx_status dpx_decide(dpx_layout *l, uint64_t file_bytes, int found, dpx_problem *why)

cdef extern from "_pixels.h" nogil:
    ctypedef enum dpx_type: DPX_CODES, DPX_SINGLE, DPX_HALF
    int dpx_paired(dpx_order order)

cdef extern from "_file.h" nogil:
    ctypedef char file_char
    ctypedef struct dpx_file:
        int fd
        dpx_layout layout
    dpx_status dpx_open(const file_char *path, uint32_t element, dpx_file *file, dpx_problem *why)
    void dpx_close(dpx_file *file)
    dpx_status dpx_read_window(int fd, const dpx_layout *layout, uint64_t y, uint64_t x, uint64_t height,
                               uint64_t width, dpx_type type, void *dst, int64_t dst_row_bytes, dpx_problem *why)
    dpx_status dpx_write_file(int fd, const uint8_t *header, const dpx_layout *layout, int as_float, const void *src,
                              dpx_problem *why)

cdef extern from "_memory.h" nogil:
    ctypedef struct memory_pool: pass
    ctypedef struct memory_block:
        uint8_t *bytes
    memory_pool *memory_open(size_t most)
    memory_block *memory_take(memory_pool *pool, size_t size)
    void memory_give(memory_block *block)


TYPES = {np.dtype(np.uint16): DPX_CODES, np.dtype(np.float32): DPX_SINGLE, np.dtype(np.float16): DPX_HALF}

# What is smaller than this many bytes once read, one thread reads sooner than several can be started.
THREADS_FROM = 8 << 20

Layout = namedtuple("Layout", "shape white end unpadded reason")
Layout.__doc__ = """What a file holds, and how: shape (height, width, channels) of the frame; white, its largest code,
None for floats; end, where the last row ends in the file; unpadded, whether rows follow one another within words;
reason, what says so, one of `REASONS`."""

REASONS = {DPX_BY_STANDARD: "standard", DPX_BY_WRITER: "writer", DPX_BY_SIZE: "size", DPX_BY_PIXELS: "pixels"}

Problem = namedtuple("Problem", "status field at expected found needed")
Problem.__doc__ = "What is wrong with a file: a dpx_problem of the C core, as `error` takes it."


def error(path, problem):
    """The exception for a `Problem`: OSError for the system's errors, DataError for the frame's, else DpxError."""
    path = os.fspath(path)
    status, field, at, found, needed = problem.status, problem.field, problem.at, problem.found, problem.needed
    if status == DPX_IO:
        return OSError(found, os.strerror(found), path)
    if status == DPX_NAN:
        return DataError(f"{path}: the frame holds NaN; nothing was written")
    if status == DPX_RANGE:
        return DataError(f"{path}: the frame holds codes above {needed}, the white of the file; nothing was written")
    if status == DPX_SHORT:
        return DpxError(f"{path}: {field} is cut short: the file has {found} bytes, expected {needed} or more")
    if status == DPX_NOT_DPX:
        return not_dpx(path, found.to_bytes(4, "big"))
    if status == DPX_NOT_CODES:
        return DpxError(f"{path}: holds floats, not codes; read it with dtype='float32'")
    element = (at - DPX_ELEMENT) // DPX_ELEMENT_BYTES
    of = f" of element {element}" if 0 < element < 8 else ""
    return DpxError(f"{path}: {field}{of} (byte {at}) is {found}, expected {problem.expected}")


cdef _error(path, const dpx_problem *why):
    expected = why.expected.decode() if why.expected != NULL else None
    return error(path, Problem(why.status, why.field.decode(), why.at, expected, why.found, why.needed))


cdef _layout(const dpx_layout *it):
    return Layout((it.height, it.width, it.channels), it.white or None, it.end, bool(it.unpadded), REASONS[it.reason])


def layout(const uint8_t[::1] raw, file_bytes=None):
    """The `Layout` that a header gives a file of that many bytes; of as many as it needs, without.

    Where pixels would tell how rows lie, they are taken not to. Raises DpxError where that cannot be read.
    """
    cdef dpx_layout it
    cdef dpx_problem why
    cdef uint64_t size = INT64_MAX if file_bytes is None else file_bytes
    if (dpx_parse(&raw[0] if raw.shape[0] else NULL, raw.shape[0], size, 0, &it, &why) != DPX_OK
            or it.reason == DPX_UNDECIDED and dpx_decide(&it, size, -1, &why) != DPX_OK):
        raise _error("header", &why)
    return _layout(&it)


cdef _open(path, uint32_t element, dpx_file *file):
    """Open a file, which the caller closes, and learn its layout."""
    cdef dpx_problem why
    cdef dpx_status status
    name = os.fsencode(path)
    if 0 in name:
        raise ValueError("embedded null byte")  # as open() says
    if os.name == "nt":
        name = os.fsdecode(path).encode("utf-16-le", "surrogatepass") + b"\0"  # and one more, which bytes end with
    cdef const char *start = name
    with nogil:
        status = dpx_open(<const file_char *>start, element, file, &why)
    if status != DPX_OK:
        raise _error(path, &why)


def probe(path):
    """The `Layout` of a DPX that fastup can decode, from its header."""
    cdef dpx_file file
    _open(path, 0, &file)
    dpx_close(&file)
    return _layout(&file.layout)


# Memory of large frames; what is smaller, NumPy and malloc keep by themselves. Two are kept: a loop that reads frames
# has the one before in hand until the next is there.
LARGE = 8 << 20
cdef memory_pool *_pool = memory_open(2)


cdef class _Block:
    """Lends a block of memory to an array; when the last view of the array is gone, the block goes back to the pool."""
    cdef memory_block *block
    cdef Py_ssize_t size

    def __cinit__(self, Py_ssize_t size):
        self.size = size
        self.block = memory_take(_pool, size)
        if self.block == NULL:
            raise MemoryError

    def __dealloc__(self):
        if self.block != NULL:
            memory_give(self.block)

    def __getbuffer__(self, Py_buffer *buffer, int flags):
        PyBuffer_FillInfo(buffer, self, self.block.bytes, self.size, 0, flags)


cdef _empty(path, shape, dtype):
    """As np.empty; `path` is what an error is about."""
    size = int(shape[0]) * int(shape[1]) * shape[2] * dtype.itemsize
    try:
        return np.empty(shape, dtype) if size < LARGE else np.ndarray(shape, dtype, _Block(size))
    except (MemoryError, OverflowError, ValueError):  # a sparse file may be any size
        raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM), os.fspath(path)) from None


cdef class _Window:
    """A window of an open file on its way into an array; threads take parts of it."""
    cdef dpx_file file
    cdef dpx_problem why
    cdef dpx_type type
    cdef int64_t y, x, height, width, row_bytes
    cdef char *pixels
    cdef object array  # what owns the pixels. It and the file are there as long as a thread is, even if Ctrl-C ends the
    #                    wait for it

    def __cinit__(self):
        self.file.fd = -1

    def __dealloc__(self):
        dpx_close(&self.file)

    def rows(self, int64_t first, int64_t last):
        """Read rows first to last of the window; on failure say why, unless a thread has already."""
        cdef dpx_problem why
        cdef dpx_status status
        with nogil:
            status = dpx_read_window(self.file.fd, &self.file.layout, self.y + first, self.x, last - first, self.width,
                                     self.type, self.pixels + first * self.row_bytes, self.row_bytes, &why)
        if status != DPX_OK and self.why.status == DPX_OK:
            self.why = why


def read(path, dtype="uint16", window=None, out=None, element=0, threads=1):
    """Read a DPX file, or a window of it. See `fastup.read`."""
    cdef _Window it = _Window()
    cdef Py_buffer view
    cdef int64_t y = 0, x = 0, height, width

    dtype = np.dtype(dtype)
    if dtype not in TYPES:
        raise ValueError(f"dtype is {dtype}, expected uint16 (code values), float32 or float16 (normalised)")
    if operator.index(threads) < 1:
        raise ValueError(f"threads is {threads}, expected 1 or more")
    if not 0 <= operator.index(element) < 8:
        raise ValueError(f"element is {element}, expected 0 to 7")
    it.type = TYPES[dtype]
    _open(path, element, &it.file)
    height, width = it.file.layout.height, it.file.layout.width
    if window is not None:
        y, x, height, width = map(operator.index, window)  # Cython would cut 1.5 down to 1
        # Compared so that nothing can overflow.
        if not (0 <= y < <int64_t>it.file.layout.height and 1 <= height <= <int64_t>it.file.layout.height - y
                and 0 <= x < <int64_t>it.file.layout.width and 1 <= width <= <int64_t>it.file.layout.width - x):
            raise ValueError(
                f"{os.fspath(path)}: window (y, x, height, width) is {tuple(window)}, expected one inside the "
                f"picture of {it.file.layout.height} rows by {it.file.layout.width} columns")
    shape = (height, width, it.file.layout.channels)
    if out is None:
        out = _empty(path, shape, dtype)
    elif not isinstance(out, np.ndarray) or out.shape != shape or out.dtype != dtype:
        raise ValueError(f"out is {describe(out)}, expected {shape} of {dtype}")
    elif not out.flags.aligned or not out[0].flags.c_contiguous:
        raise ValueError("out has gaps in its rows or odd addresses, expected rows of contiguous, aligned pixels")
    PyObject_GetBuffer(out, &view, PyBUF_STRIDES | PyBUF_WRITABLE)
    try:
        it.array, it.pixels, it.row_bytes = out, <char *>view.buf, view.strides[0]
        it.y, it.x, it.height, it.width = y, x, height, width
        _in_threads(it.rows, height, 1 if out.nbytes < THREADS_FROM else threads)
    finally:
        PyBuffer_Release(&view)
    if it.why.status != DPX_OK:
        raise _error(path, &it.why)
    return out


def _in_threads(work, height, threads):
    """Call work(first, last) for as many parts of the rows as there are threads: one here, the others in their own."""
    if os.name == "nt":
        threads = 1  # a descriptor there has one position, which reading moves
    parts = min(threads, height)
    bounds = [height * part // parts for part in range(parts + 1)]
    started = []
    try:
        for pair in zip(bounds[1:], bounds[2:]):
            thread = threading.Thread(target=work, args=pair)
            started.append(thread)  # before it is: Ctrl-C may come in between
            try:
                thread.start()
            except RuntimeError:  # the system gives no more of them
                work(*pair)
        work(0, bounds[1])
    finally:
        for thread in started:
            if thread.ident is not None:
                thread.join()


def write(path, int fd, const uint8_t[::1] header, frame):
    """Write a header and a frame of uint16 or float32 to a descriptor, from where it stands.

    `header` is every byte before the pixels; the frame must have the shape that it gives. `path` is for errors.
    """
    cdef Py_buffer view
    cdef dpx_layout it
    cdef dpx_problem why
    cdef dpx_status status
    cdef int as_float = frame.dtype == np.float32
    # The file is as long as it needs to be, once written.
    if dpx_parse(&header[0], header.shape[0], INT64_MAX, 0, &it, &why) != DPX_OK:
        raise _error(path, &why)
    path = os.fspath(path)
    if dpx_paired(it.order):
        kept = "CBYCRA" if it.channels == 4 else "CBYCR"
        raise DpxError(f"{path}: fastup writes no 4:2:2, which would lose every other colour; "
                       f"header.replace(descriptor='{kept}') keeps them")
    if it.elements > 1:
        raise DpxError(f"{path}: the header has {it.elements} elements, but fastup writes one; header.only(0) is it")
    if it.offset != <uint64_t>header.shape[0] or frame.shape != (it.height, it.width, it.channels):
        raise ValueError(
            f"{path}: the header gives {it.height} rows by {it.width} columns of {it.channels} channels from byte "
            f"{it.offset}, but the frame is {frame.shape} and follows {header.shape[0]} bytes")
    if not it.white and not as_float:
        raise ValueError(f"{path}: the header asks for floats, but the frame is of {frame.dtype}")
    frame = np.require(frame[::-1 if it.bottom_up else 1, ::-1 if it.mirrored else 1], requirements=["C", "ALIGNED"])
    PyObject_GetBuffer(frame, &view, PyBUF_STRIDES)
    try:
        with nogil:
            status = dpx_write_file(fd, &header[0], &it, as_float, view.buf, &why)
    finally:
        PyBuffer_Release(&view)
    if status != DPX_OK:
        raise _error(path, &why)


def describe(array):
    return f"{array.shape} of {array.dtype}" if isinstance(array, np.ndarray) else type(array).__name__
