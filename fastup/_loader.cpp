// Reads DPX ahead of its consumer on threads of its own, without the GIL: whole frames in order (FrameStream), and
// batches of windows from many frames (TileLoader).
//
// What cannot be read keeps its problem until its turn comes. The Python side turns it into an exception, so this file
// knows nothing of messages.

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>
#include <pybind11/stl/filesystem.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <filesystem>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

#include <fcntl.h>
#include <sys/stat.h>
#if !defined(_WIN32)
#include <csetjmp>
#include <csignal>
#include <sys/mman.h>
#endif

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
#if defined(_WIN32)
    return static_cast<std::uint8_t *>(std::malloc(bytes));
#else
    // Aligned as TensorFlow and JAX want an array that they take without a copy.
    void *aligned = nullptr;
    return posix_memalign(&aligned, 64, bytes) ? nullptr : static_cast<std::uint8_t *>(aligned);
#endif
}

struct Freed {
    void operator()(std::uint8_t *memory) const { std::free(memory); }
};

using Memory = std::unique_ptr<std::uint8_t[], Freed>;

struct Frame {
    bool ready = false;
    dpx_problem problem{};
    dpx_layout layout{};
    Memory pixels;
};

// The layout of an open frame, and the size of its file that the layout was held against; -1, with the reason, if it
// cannot be read.
std::int64_t open_frame(const File &file, dpx_layout *layout, dpx_problem *why) {
    const std::int64_t size = file.fd() < 0 ? -1 : file.size();
    if (size < 0) {
        dpx_fail_io(why);
        return -1;
    }
    if (dpx_open(file.fd(), static_cast<std::uint64_t>(size), 0, layout, why)) return -1;
    return size;
}

// As _dpx.error expects it.
py::tuple told(const dpx_problem &why) {
    return py::make_tuple(static_cast<int>(why.status), why.field, why.at, why.expected, why.found, why.needed);
}

// Memory that was let go, for the next that wants as much: to give it back to the system and ask for more costs several
// times what filling it does, and holds up other threads.
class Spare {
public:
    explicit Spare(std::size_t most) : most_(most) {}

    Memory take(std::size_t bytes) {
        {
            std::lock_guard<std::mutex> lock(mutex_);
            const auto same =
                std::find_if(spare_.begin(), spare_.end(), [=](auto &each) { return each.first == bytes; });
            if (same != spare_.end()) {
                Memory memory = std::move(same->second);
                spare_.erase(same);
                return memory;
            }
        }
        return Memory(allocate(bytes));
    }

    void give(Memory memory, std::size_t bytes) {
        std::lock_guard<std::mutex> lock(mutex_);
        if (spare_.size() < most_) spare_.emplace_back(bytes, std::move(memory));
    }

private:
    const std::size_t most_;
    std::vector<std::pair<std::size_t, Memory>> spare_;
    std::mutex mutex_;
};

// Memory on loan to an array: it comes back when nobody sees the array any more.
struct Loan {
    Memory memory;
    std::size_t bytes;
    std::shared_ptr<Spare> spare;
};

py::array array_of(Memory memory, dpx_type type, std::vector<py::ssize_t> shape, std::shared_ptr<Spare> spare) {
    std::size_t bytes = dpx_type_bytes(type);
    for (const py::ssize_t size : shape) bytes *= static_cast<std::size_t>(size);
    const std::uint8_t *pixels = memory.get();
    py::capsule owner(new Loan{std::move(memory), bytes, std::move(spare)}, [](void *p) {
        std::unique_ptr<Loan> loan(static_cast<Loan *>(p));
        loan->spare->give(std::move(loan->memory), loan->bytes);
    });
    return py::array(py::dtype(std::string(1, "Hfe"[type])), std::move(shape), pixels, owner);
}

void read_frame(const std::filesystem::path &path, dpx_type type, Frame &frame) {
    dpx_problem &why = frame.problem;
    File file(path);
    if (open_frame(file, &frame.layout, &why) < 0) return;
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
        if (why.status != DPX_OK) return py::make_tuple(py::none(), told(why));
        const dpx_layout &l = frame.layout;
        const std::vector<py::ssize_t> shape{static_cast<py::ssize_t>(l.height), static_cast<py::ssize_t>(l.width),
                                             static_cast<py::ssize_t>(l.channels)};
        std::uint8_t *pixels = frame.pixels.release();
        py::capsule owner(pixels, [](void *p) { std::free(p); });
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

// ---- windows of many frames ----

// One side of the pairs, input or target: its files, what each of them must be, and the tiles that are cut from them.
struct Side {
    std::vector<std::filesystem::path> paths;
    dpx_type type;
    std::uint64_t height, width;           // of a frame
    std::uint32_t white;                   // 0 for floats
    std::int64_t top, left, rows, columns; // the picture in it
    std::int64_t tile_rows, tile_columns;  // with their border
    bool edge;                             // beyond the picture lies its nearest pixel, or `fill`
    std::array<std::uint8_t, 12> fill;     // a pixel

    static constexpr std::uint32_t channels = 3;
    std::size_t pixel_bytes() const { return channels * dpx_type_bytes(type); }
    std::size_t tile_bytes() const { return static_cast<std::size_t>(tile_rows * tile_columns) * pixel_bytes(); }
};

// The same tile of both sides. Corners are in pixels of the picture, and may lie outside it.
struct Tile {
    std::int32_t frame;
    std::array<std::int32_t, 2> y, x;
    std::int32_t turn; // 1: left to right, 2: upside down, 4: rows for columns, before the others
};

struct Batch {
    std::vector<Tile> tiles;
    std::array<Memory, 2> pixels;
    std::size_t begun = 0, done = 0;
    std::size_t failed = SIZE_MAX; // the first tile that could not be read
    std::size_t side = 0;
    dpx_problem problem{};
};

// An open frame of a side.
struct Open {
    std::size_t key = SIZE_MAX;
    std::unique_ptr<File> file;
    dpx_layout layout{};
    std::uint64_t size = 0; // of the file, when it was opened
    const std::uint8_t *mapped = nullptr;
};

// False, with the reason, if the frame cannot be opened or is not what it was.
bool open_of(const Side &side, std::size_t frame, Open *open, dpx_problem *why) {
    static const char *before = "what it was when the pairs were checked";
    const dpx_layout &l = open->layout;
    open->file = std::make_unique<File>(side.paths[frame]);
    const std::int64_t size = open_frame(*open->file, &open->layout, why);
    if (size < 0) return false;
    open->size = static_cast<std::uint64_t>(size);
    if (l.width != side.width) return dpx_fail(why, DPX_INVALID, "pixels per line", 772, l.width, before) == DPX_OK;
    if (l.height != side.height) return dpx_fail(why, DPX_INVALID, "lines per image", 776, l.height, before) == DPX_OK;
    if (l.channels != Side::channels)
        return dpx_fail(why, DPX_INVALID, "number of channels", DPX_ELEMENT + 20, l.channels, before) == DPX_OK;
    if (l.white != side.white)
        return dpx_fail(why, DPX_INVALID, "bit depth", DPX_ELEMENT + 23, l.bits, before) == DPX_OK;
    return true;
}

#if !defined(_WIN32)
// A mapped file that shrinks, or a disk that fails, shows as SIGBUS in the thread that looks. It comes back to where
// the thread said; any other goes where it went before.
thread_local sigjmp_buf *volatile guarded = nullptr; // the handler looks at it
struct sigaction sigbus_before;

void on_sigbus(int) {
    if (guarded) siglongjmp(*guarded, 1);
    sigaction(SIGBUS, &sigbus_before, nullptr); // and is raised again on return
}

void catch_sigbus() {
    static std::once_flag once;
    std::call_once(once, [] {
        struct sigaction action{};
        action.sa_handler = on_sigbus;
        action.sa_flags = SA_NODEFER; // as the handler may not return
        sigaction(SIGBUS, &action, &sigbus_before);
    });
}
#endif

// The first files that are asked for, mapped for good: tiles come from them seven times as fast as by reading. A set
// that is larger than the bounds would not gain from others in their place, as its tiles come in a random order.
class MappedFiles {
public:
    explicit MappedFiles(std::size_t count) : opens_(count) {}
#if !defined(_WIN32)
    ~MappedFiles() {
        for (const auto &open : kept_)
            munmap(const_cast<std::uint8_t *>(open->mapped), static_cast<std::size_t>(open->size));
    }
#endif
    MappedFiles(const MappedFiles &) = delete;
    MappedFiles &operator=(const MappedFiles &) = delete;

    // Null if it isn't mapped.
    const Open *get(std::size_t key) const { return opens_[key].load(std::memory_order_acquire); }

    // Maps an open frame, if there is room; it is there from now on.
    void keep(std::size_t key, Open &open) {
#if !defined(_WIN32)
        std::lock_guard<std::mutex> lock(mutex_);
        const std::size_t bytes = static_cast<std::size_t>(open.size);
        if (opens_[key].load() || kept_.size() >= MOST_FILES || bytes > MOST_BYTES - bytes_) return;
        void *memory = mmap(nullptr, bytes, PROT_READ, MAP_SHARED, open.file->fd(), 0);
        if (memory == MAP_FAILED) return; // then it is read
        open.mapped = static_cast<const std::uint8_t *>(memory);
        bytes_ += bytes;
        kept_.push_back(std::make_unique<Open>(std::move(open)));
        opens_[key].store(kept_.back().get(), std::memory_order_release);
#endif
    }

private:
    static constexpr std::size_t MOST_FILES = 64, MOST_BYTES = std::size_t{128} << 20;

    std::vector<std::atomic<const Open *>> opens_;
    std::vector<std::unique_ptr<Open>> kept_;
    std::size_t bytes_ = 0;
    std::mutex mutex_;
};

// A bounded number of open files, each in the place that its number gives. Every thread has its own.
class OpenFiles {
public:
    OpenFiles(std::size_t count, MappedFiles &mapped) : places_(count), mapped_(mapped) {}

    // Null, with the reason, if it cannot be opened or is not what it was.
    const Open *get(const Side &side, std::size_t number, std::size_t frame, dpx_problem *why) {
        const std::size_t key = 2 * frame + number;
        if (const Open *open = mapped_.get(key)) return open;
        Open &place = places_[key % places_.size()];
        if (place.key == key) return &place;
        place = Open{};
        if (!open_of(side, frame, &place, why)) return nullptr;
        mapped_.keep(key, place);
        if (const Open *open = mapped_.get(key)) return open;
        place.key = key;
        return &place;
    }

private:
    std::vector<Open> places_;
    MappedFiles &mapped_;
};

// Reads a window of a frame. A mapped one is looked at first and held against its size afterwards: what a file that was
// cut short has no bytes for may read as zeros.
dpx_status read_window(const Open &open, std::uint64_t y, std::uint64_t x, std::uint64_t height, std::uint64_t width,
                       dpx_type type, std::uint8_t *dst, std::int64_t row_bytes, dpx_problem *why) {
    const dpx_layout &l = open.layout;
    if (!open.mapped) return dpx_read_window(open.file->fd(), &l, y, x, height, width, type, 0, dst, row_bytes, why);
#if !defined(_WIN32)
    sigjmp_buf back;
    const bool failed = sigsetjmp(back, 0) != 0;
    if (!failed) {
        guarded = &back;
        dpx_decode_window(open.mapped, &l, y, x, height, width, type, dst, row_bytes);
    }
    guarded = nullptr;
    const std::int64_t size = open.file->size();
    if (size < 0) return dpx_fail_io(why);
    if (static_cast<std::uint64_t>(size) < open.size)
        return dpx_fail_short(why, "image data", static_cast<std::uint64_t>(size), open.size);
    if (failed) return dpx_fail(why, DPX_IO, "file", 0, EIO, nullptr);
#endif
    return DPX_OK;
}

void fill_row(std::uint8_t *row, std::int64_t from, std::int64_t to, const std::uint8_t *pixel, std::size_t bytes) {
    for (std::int64_t x = from; x < to; x++) std::memcpy(row + static_cast<std::size_t>(x) * bytes, pixel, bytes);
}

// Reads a tile to dst; what lies beyond the picture is filled in.
dpx_status read_tile(const Side &side, const Open &open, std::int64_t y, std::int64_t x, std::uint8_t *dst,
                     dpx_problem *why) {
    const std::size_t bytes = side.pixel_bytes(), row_bytes = static_cast<std::size_t>(side.tile_columns) * bytes;
    const std::int64_t y0 = std::max<std::int64_t>(y, 0), y1 = std::min(y + side.tile_rows, side.rows);
    const std::int64_t x0 = std::max<std::int64_t>(x, 0), x1 = std::min(x + side.tile_columns, side.columns);
    const auto row = [&](std::int64_t line) { return dst + static_cast<std::size_t>(line - y) * row_bytes; };
    std::uint8_t *first = row(y0) + static_cast<std::size_t>(x0 - x) * bytes;
    if (read_window(open, static_cast<std::uint64_t>(side.top + y0), static_cast<std::uint64_t>(side.left + x0),
                    static_cast<std::uint64_t>(y1 - y0), static_cast<std::uint64_t>(x1 - x0), side.type, first,
                    static_cast<std::int64_t>(row_bytes), why))
        return why->status;
    for (std::int64_t line = y0; line < y1; line++) {
        std::uint8_t *to = row(line);
        fill_row(to, 0, x0 - x, side.edge ? to + static_cast<std::size_t>(x0 - x) * bytes : side.fill.data(), bytes);
        fill_row(to, x1 - x, side.tile_columns,
                 side.edge ? to + static_cast<std::size_t>(x1 - x - 1) * bytes : side.fill.data(), bytes);
    }
    for (std::int64_t line = y; line < y + side.tile_rows; line++) {
        if (line >= y0 && line < y1) continue;
        if (side.edge)
            std::memcpy(row(line), row(line < y0 ? y0 : y1 - 1), row_bytes);
        else
            fill_row(row(line), 0, side.tile_columns, side.fill.data(), bytes);
    }
    return DPX_OK;
}

// A tile, which is square where rows become columns, turned.
template <std::size_t BYTES>
void turn_tile(const std::uint8_t *src, std::uint8_t *dst, std::int64_t rows, std::int64_t columns, int turn) {
    for (std::int64_t y = 0; y < rows; y++)
        for (std::int64_t x = 0; x < columns; x++) {
            const std::int64_t v = turn & 2 ? rows - 1 - y : y, h = turn & 1 ? columns - 1 - x : x;
            const std::int64_t from = turn & 4 ? h * columns + v : v * columns + h;
            std::memcpy(dst, src + static_cast<std::size_t>(from) * BYTES, BYTES);
            dst += BYTES;
        }
}

class TileLoader {
public:
    TileLoader(std::vector<Side> sides, unsigned threads, std::size_t open_files)
        : sides_(std::move(sides)), mapped_(sides_.empty() ? 0 : 2 * sides_[0].paths.size()) {
        if (sides_.size() != 2 || sides_[0].paths.size() != sides_[1].paths.size())
            throw std::invalid_argument("two sides of as many frames each are needed");
        if (threads == 0 || open_files < threads) throw std::invalid_argument("threads and files are 1 or more");
#if !defined(_WIN32)
        catch_sigbus();
#endif
        try {
            for (unsigned i = 0; i < threads; i++)
                pool_.emplace_back([this, each = open_files / threads] { work(each); });
        } catch (...) {
            if (pool_.empty()) throw; // else fewer threads do
        }
    }
    ~TileLoader() { close(); }

    // Tiles as rows of (frame, y and x of the input, y and x of the target, turn); begun at once, behind those before.
    void submit(py::array_t<std::int32_t, py::array::c_style | py::array::forcecast> rows) {
        if (rows.ndim() != 2 || rows.shape(0) == 0 || rows.shape(1) != 6)
            throw std::invalid_argument("tiles are rows of 6 numbers, one at least");
        auto batch = std::make_shared<Batch>();
        const auto row = rows.unchecked<2>();
        for (py::ssize_t i = 0; i < row.shape(0); i++) {
            const Tile tile{row(i, 0), {row(i, 1), row(i, 3)}, {row(i, 2), row(i, 4)}, row(i, 5)};
            check(tile);
            batch->tiles.push_back(tile);
        }
        for (std::size_t side = 0; side < 2; side++) {
            batch->pixels[side] = spare_->take(batch->tiles.size() * sides_[side].tile_bytes());
            if (!batch->pixels[side]) throw std::bad_alloc();
        }
        {
            std::lock_guard<std::mutex> lock(mutex_);
            batches_.push_back(std::move(batch));
        }
        submitted_.notify_all();
    }

    // The batch that was submitted first: (inputs, targets, None), or (side, frame, problem).
    py::tuple take() {
        std::shared_ptr<Batch> batch;
        while (!(batch = ready())) {
            if (PyErr_CheckSignals()) throw py::error_already_set();
            // In slices, so that Ctrl-C is heard.
            py::gil_scoped_release release;
            std::unique_lock<std::mutex> lock(mutex_);
            done_.wait_for(lock, std::chrono::milliseconds(100), [this] {
                return closed_ || batches_.empty() || batches_.front()->done == batches_.front()->tiles.size();
            });
        }
        if (batch->failed != SIZE_MAX)
            return py::make_tuple(batch->side, batch->tiles[batch->failed].frame, told(batch->problem));
        std::array<py::array, 2> arrays;
        for (std::size_t side = 0; side < 2; side++) {
            const Side &s = sides_[side];
            arrays[side] = array_of(std::move(batch->pixels[side]), s.type,
                                    {static_cast<py::ssize_t>(batch->tiles.size()), s.tile_rows, s.tile_columns,
                                     static_cast<py::ssize_t>(Side::channels)},
                                    spare_);
        }
        return py::make_tuple(arrays[0], arrays[1], py::none());
    }

    // Forgets what was submitted.
    void clear() {
        std::lock_guard<std::mutex> lock(mutex_);
        batches_.clear();
        begun_ = 0;
    }

    // Ends the threads, each after the tiles it is at; called again, it does nothing.
    void close() {
        std::vector<std::thread> pool;
        {
            std::lock_guard<std::mutex> lock(mutex_);
            closed_ = true;
            pool.swap(pool_);
        }
        submitted_.notify_all();
        done_.notify_all();
        for (auto &thread : pool) thread.join();
    }

private:
    static constexpr std::size_t TAKEN = 8; // tiles at a time: few enough to share a batch, enough to seldom meet

    void check(const Tile &tile) const {
        bool good = tile.frame >= 0 && static_cast<std::size_t>(tile.frame) < sides_[0].paths.size();
        good = good && tile.turn >= 0 && tile.turn < 8;
        for (std::size_t i = 0; i < 2; i++) {
            const Side &s = sides_[i];
            good = good && tile.y[i] < s.rows && tile.y[i] > -s.tile_rows;
            good = good && tile.x[i] < s.columns && tile.x[i] > -s.tile_columns;
            good = good && (tile.turn < 4 || s.tile_rows == s.tile_columns);
        }
        if (!good) throw std::invalid_argument("a tile has no pixel in its picture, or cannot be turned that way");
    }

    // The first batch, if it is done.
    std::shared_ptr<Batch> ready() {
        std::lock_guard<std::mutex> lock(mutex_);
        if (closed_ || batches_.empty()) throw std::runtime_error("no batch was submitted, or the loader is closed");
        if (batches_.front()->done < batches_.front()->tiles.size()) return nullptr;
        std::shared_ptr<Batch> batch = std::move(batches_.front());
        batches_.pop_front();
        begun_--;
        return batch;
    }

    void work(std::size_t open_files) {
        OpenFiles files(open_files, mapped_);
        Memory scratch(allocate(std::max(sides_[0].tile_bytes(), sides_[1].tile_bytes())));
        for (;;) {
            std::shared_ptr<Batch> batch;
            std::size_t first, last;
            {
                std::unique_lock<std::mutex> lock(mutex_);
                submitted_.wait(lock, [this] { return closed_ || begun_ < batches_.size(); });
                if (closed_) return;
                batch = batches_[begun_];
                first = batch->begun;
                last = batch->begun = std::min(first + TAKEN, batch->tiles.size());
                if (last == batch->tiles.size()) begun_++;
            }
            std::size_t failed = SIZE_MAX, side = 0;
            dpx_problem why{};
            for (std::size_t i = first; i < last && failed == SIZE_MAX; i++)
                for (side = 0; side < 2; side++)
                    if (!read(files, *batch, i, side, scratch.get(), &why)) {
                        failed = i;
                        break;
                    }
            bool complete;
            {
                std::lock_guard<std::mutex> lock(mutex_);
                if (failed < batch->failed) {
                    batch->failed = failed;
                    batch->side = side;
                    batch->problem = why;
                }
                batch->done += last - first;
                complete = batch->done == batch->tiles.size();
            }
            if (complete) done_.notify_one(); // there is one consumer
        }
    }

    bool read(OpenFiles &files, Batch &batch, std::size_t i, std::size_t number, std::uint8_t *scratch,
              dpx_problem *why) const {
        const Side &side = sides_[number];
        const Tile &tile = batch.tiles[i];
        std::uint8_t *dst = batch.pixels[number].get() + i * side.tile_bytes();
        if (tile.turn && !scratch) return dpx_fail(why, DPX_IO, "memory", 0, ENOMEM, nullptr) == DPX_OK;
        const Open *open = files.get(side, number, static_cast<std::size_t>(tile.frame), why);
        if (!open || read_tile(side, *open, tile.y[number], tile.x[number], tile.turn ? scratch : dst, why))
            return false;
        if (tile.turn && side.type == DPX_CODES)
            turn_tile<6>(scratch, dst, side.tile_rows, side.tile_columns, tile.turn);
        if (tile.turn && side.type == DPX_SINGLE)
            turn_tile<12>(scratch, dst, side.tile_rows, side.tile_columns, tile.turn);
        return true;
    }

    const std::vector<Side> sides_;
    MappedFiles mapped_;
    const std::shared_ptr<Spare> spare_ = std::make_shared<Spare>(32);
    std::deque<std::shared_ptr<Batch>> batches_; // submitted and not taken, in order
    std::size_t begun_ = 0;                      // how many of those, from the front, have no tile left to begin
    bool closed_ = false;
    std::mutex mutex_;
    std::condition_variable submitted_, done_;
    std::vector<std::thread> pool_;
};

// A side from Python: (paths, frame (height, width), white, picture (top, left, rows, columns), tile (rows, columns),
// fill (None, or a pixel as bytes)).
Side side_of(py::tuple told) {
    Side side{};
    side.paths = told[0].cast<std::vector<std::filesystem::path>>();
    std::tie(side.height, side.width) = told[1].cast<std::tuple<std::uint64_t, std::uint64_t>>();
    side.white = told[2].is_none() ? 0 : told[2].cast<std::uint32_t>();
    side.type = side.white ? DPX_CODES : DPX_SINGLE;
    std::tie(side.top, side.left, side.rows, side.columns) =
        told[3].cast<std::tuple<std::int64_t, std::int64_t, std::int64_t, std::int64_t>>();
    std::tie(side.tile_rows, side.tile_columns) = told[4].cast<std::tuple<std::int64_t, std::int64_t>>();
    const bool within = side.top >= 0 && side.left >= 0 && side.rows > 0 && side.columns > 0 && side.tile_rows > 0 &&
                        side.tile_columns > 0 && static_cast<std::uint64_t>(side.top + side.rows) <= side.height &&
                        static_cast<std::uint64_t>(side.left + side.columns) <= side.width;
    side.edge = told[5].is_none();
    const std::string fill = side.edge ? std::string(side.pixel_bytes(), '\0') : told[5].cast<std::string>();
    if (!within || fill.size() != side.pixel_bytes()) throw std::invalid_argument("a side that cannot be");
    std::copy(fill.begin(), fill.end(), side.fill.begin());
    return side;
}

} // namespace

PYBIND11_MODULE(_loader, m) {
    m.doc() = "Reads DPX ahead of its consumer on threads of its own: frames in order, batches of tiles.";
    py::class_<FrameStream>(m, "FrameStream")
        .def(py::init([](std::vector<std::filesystem::path> paths, int type, unsigned threads, std::size_t ahead) {
                 return std::make_unique<FrameStream>(std::move(paths), static_cast<dpx_type>(type), threads, ahead);
             }),
             py::arg("paths"), py::arg("type"), py::arg("threads"), py::arg("ahead"))
        .def("next", &FrameStream::next)
        .def("close", &FrameStream::close, py::call_guard<py::gil_scoped_release>());
    py::class_<TileLoader>(m, "TileLoader")
        .def(py::init([](std::vector<py::tuple> told, unsigned threads, std::size_t open_files) {
                 std::vector<Side> sides;
                 for (const auto &side : told) sides.push_back(side_of(side));
                 return std::make_unique<TileLoader>(std::move(sides), threads, open_files);
             }),
             py::arg("sides"), py::arg("threads"), py::arg("open_files"))
        .def("submit", &TileLoader::submit)
        .def("take", &TileLoader::take)
        .def("clear", &TileLoader::clear)
        .def("close", &TileLoader::close, py::call_guard<py::gil_scoped_release>());
}
