// Reads DPX frames ahead of their consumer: an ordered, bounded look-ahead on a pool of threads, without the GIL.
//
// Frames are taken in order; a frame that cannot be read keeps its error until its turn comes. The Python side
// (frames.stream) turns a problem into an exception, so this file knows nothing of messages.

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>
#include <pybind11/stl/filesystem.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <fcntl.h>
#if defined(__linux__)
#include <sys/mman.h>
#endif
#include <sys/stat.h>

#include "_file.h"

namespace py = pybind11;

namespace {

class File {
public:
    explicit File(const std::filesystem::path &path) {
#if defined(_WIN32)
        fd_ = _wopen(path.c_str(), _O_RDONLY | _O_BINARY);
#else
        fd_ = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK); // a pipe is an error, and not waited for
#endif
    }
    ~File() {
#if defined(_WIN32)
        if (fd_ >= 0) _close(fd_);
#else
        if (fd_ >= 0) close(fd_);
#endif
    }
    File(const File &) = delete;
    File &operator=(const File &) = delete;

    int fd() const { return fd_; }

    // -1 and errno on failure.
    std::int64_t size() const {
#if defined(_WIN32)
        return _filelengthi64(fd_);
#else
        struct stat info;
        return fstat(fd_, &info) ? -1 : static_cast<std::int64_t>(info.st_size);
#endif
    }

private:
    int fd_ = -1;
};

// Memory for a frame, not cleared: every byte is about to be written. On Linux it starts on a huge page and asks for
// more of them: fresh memory in pages of 4 KiB costs several times what decoding does.
std::uint8_t *allocate(std::size_t bytes) {
#if defined(__linux__) && defined(MADV_HUGEPAGE)
    const std::size_t huge = std::size_t{1} << 21;
    void *memory = nullptr;
    if (bytes >= huge) {
        bytes = (bytes + huge - 1) / huge * huge;
        if (posix_memalign(&memory, huge, bytes)) return nullptr;
        madvise(memory, bytes, MADV_HUGEPAGE); // a wish: without it all is slower, not wrong
        return static_cast<std::uint8_t *>(memory);
    }
#endif
    return static_cast<std::uint8_t *>(std::malloc(bytes));
}

struct Freed {
    void operator()(std::uint8_t *memory) const { std::free(memory); }
};

struct Frame {
    bool ready = false;
    dpx_problem problem{};
    dpx_layout layout{};
    std::unique_ptr<std::uint8_t[], Freed> pixels;
};

void read_frame(const std::filesystem::path &path, dpx_type type, Frame &frame) {
    dpx_problem &why = frame.problem;
    File file(path);
    std::uint8_t head[DPX_FULL_HEADER];
    std::int64_t size = -1, got = -1;
    if (file.fd() >= 0) size = file.size();
    if (size >= 0) got = file_read_at(file.fd(), head, sizeof head, 0);
    if (got < 0) {
        dpx_fail_io(&why);
        return;
    }
    if (dpx_parse(head, static_cast<std::size_t>(got), static_cast<std::uint64_t>(size), 0, &frame.layout, &why))
        return;
    const dpx_layout &l = frame.layout;
    const std::uint64_t row = l.width * l.channels * dpx_type_bytes(type);
    if (l.height <= PTRDIFF_MAX / row) frame.pixels.reset(allocate(row * l.height)); // a sparse file may be any size
    if (!frame.pixels) {
        dpx_fail(&why, DPX_IO, "memory", 0, ENOMEM, nullptr);
        return;
    }
    dpx_read_window(file.fd(), &l, 0, 0, l.height, l.width, type, 0, frame.pixels.get(), static_cast<std::int64_t>(row),
                    &why);
}

class FrameStream {
public:
    FrameStream(std::vector<std::filesystem::path> paths, dpx_type type, unsigned threads, std::size_t ahead)
        : paths_(std::move(paths)), type_(type), ring_(std::min(ahead, paths_.size())) {
        if (threads == 0 || ahead == 0) throw std::invalid_argument("threads and ahead are 1 or more");
        try {
            for (unsigned i = 0; i < threads && i < ring_.size(); i++) pool_.emplace_back([this] { work(); });
        } catch (...) {
            if (pool_.empty()) throw; // else fewer threads do
        }
    }
    ~FrameStream() { close(); }

    // The next frame: (array, None), or (None, problem) as frames.stream expects it.
    py::tuple next() {
        Frame frame;
        while (!take(frame)) {
            if (PyErr_CheckSignals()) throw py::error_already_set();
            // In slices, so that Ctrl-C is heard.
            py::gil_scoped_release release;
            std::unique_lock<std::mutex> lock(mutex_);
            arrived_.wait_for(lock, std::chrono::milliseconds(100),
                              [this] { return closed_ || slot(consumed_).ready; });
        }
        room_.notify_one();

        const dpx_problem &why = frame.problem;
        if (why.status != DPX_OK)
            return py::make_tuple(py::none(), py::make_tuple(static_cast<int>(why.status), why.field, why.at,
                                                             why.expected, why.found, why.needed));
        const dpx_layout &l = frame.layout;
        std::uint8_t *pixels = frame.pixels.release();
        py::capsule owner(pixels, [](void *p) { std::free(p); });
        const std::vector<py::ssize_t> shape{static_cast<py::ssize_t>(l.height), static_cast<py::ssize_t>(l.width),
                                             static_cast<py::ssize_t>(l.channels)};
        return py::make_tuple(py::array(py::dtype(std::string(1, "Hfe"[type_])), shape, pixels, owner), py::none());
    }

    // Ends the threads, each after the frame it is at; called again, it does nothing.
    void close() {
        std::vector<std::thread> pool;
        {
            std::lock_guard<std::mutex> lock(mutex_);
            closed_ = true;
            pool.swap(pool_);
        }
        room_.notify_all();
        arrived_.notify_all();
        for (auto &thread : pool) thread.join();
    }

private:
    Frame &slot(std::size_t index) { return ring_[index % ring_.size()]; }

    // True when the next frame was there; throws StopIteration when there is none left.
    bool take(Frame &frame) {
        std::lock_guard<std::mutex> lock(mutex_);
        if (closed_ || consumed_ == paths_.size()) throw py::stop_iteration();
        if (!slot(consumed_).ready) return false;
        frame = std::move(slot(consumed_));
        slot(consumed_++) = Frame{};
        return true;
    }

    void work() {
        for (;;) {
            std::size_t index;
            {
                std::unique_lock<std::mutex> lock(mutex_);
                room_.wait(lock, [this] {
                    return closed_ || started_ == paths_.size() || started_ < consumed_ + ring_.size();
                });
                if (closed_ || started_ == paths_.size()) return;
                index = started_++;
            }
            Frame frame;
            read_frame(paths_[index], type_, frame);
            {
                std::lock_guard<std::mutex> lock(mutex_);
                frame.ready = true;
                slot(index) = std::move(frame);
            }
            arrived_.notify_all();
        }
    }

    const std::vector<std::filesystem::path> paths_;
    const dpx_type type_;
    std::vector<Frame> ring_; // frame i lies at i modulo its size, which is the look-ahead
    std::size_t started_ = 0, consumed_ = 0;
    bool closed_ = false;
    std::mutex mutex_;
    std::condition_variable room_, arrived_;
    std::vector<std::thread> pool_;
};

} // namespace

PYBIND11_MODULE(_loader, m) {
    m.doc() = "Ordered read-ahead of DPX frames on threads of its own.";
    py::class_<FrameStream>(m, "FrameStream")
        .def(py::init([](std::vector<std::filesystem::path> paths, int type, unsigned threads, std::size_t ahead) {
                 return std::make_unique<FrameStream>(std::move(paths), static_cast<dpx_type>(type), threads, ahead);
             }),
             py::arg("paths"), py::arg("type"), py::arg("threads"), py::arg("ahead"))
        .def("next", &FrameStream::next)
        .def("close", &FrameStream::close, py::call_guard<py::gil_scoped_release>());
}
