// Batches of tiles, which are windows of many DPX frames, read ahead of their consumer on threads of their own. Knows
// nothing of Python.
#ifndef FASTUP_TILE_LOADER_H
#define FASTUP_TILE_LOADER_H

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <cstring>
#include <deque>
#include <filesystem>
#include <memory>
#include <mutex>
#include <new>
#include <stdexcept>
#include <thread>
#include <vector>
#if !defined(_WIN32)
#include <csetjmp>
#include <csignal>
#include <sys/mman.h>
#endif

#include "_file.h"
#include "_memory.h"

namespace fastup {

// What frames of one kind must be, and where the picture lies in them.
struct FrameKind {
    std::uint64_t height = 0, width = 0;                   // of a frame
    std::uint32_t white = 0;                               // 0 for floats
    std::int64_t top = 0, left = 0, rows = 0, columns = 0; // the picture in it

    // Whether the picture lies in the frame.
    bool possible() const {
        return top >= 0 && left >= 0 && rows > 0 && columns > 0 && static_cast<std::uint64_t>(top + rows) <= height &&
               static_cast<std::uint64_t>(left + columns) <= width;
    }
};

// One side of the pairs, input or target: its files, what each of them must be, and the tiles that are cut from them.
struct Side {
    std::vector<std::filesystem::path> files;
    std::vector<FrameKind> kinds;
    std::vector<std::uint32_t> kind_of;           // each file
    std::uint32_t white = 0;                      // of all of them; 0 where they differ, or are floats
    std::int64_t tile_rows = 0, tile_columns = 0; // with their border
    bool edge = true;                             // beyond the picture lies its nearest pixel, or `fill`
    std::array<std::uint8_t, 12> fill{};          // a pixel

    static constexpr std::uint32_t channels = 3;
    dpx_type type() const { return white ? DPX_CODES : DPX_SINGLE; }
    std::size_t pixel_bytes() const { return channels * dpx_type_bytes(type()); }
    std::size_t tile_bytes() const { return static_cast<std::size_t>(tile_rows * tile_columns) * pixel_bytes(); }
    const FrameKind &kind(std::size_t frame) const { return kinds[kind_of[frame]]; }

    // Whether pictures lie in their frames, every file has a kind, and a tile has pixels.
    bool possible() const {
        return tile_rows > 0 && tile_columns > 0 && kind_of.size() == files.size() &&
               std::all_of(kinds.begin(), kinds.end(), [](const FrameKind &each) { return each.possible(); }) &&
               std::all_of(kind_of.begin(), kind_of.end(), [this](std::uint32_t each) { return each < kinds.size(); });
    }
};

// The same tile of both sides. Corners are in pixels of the picture, and may lie outside it.
struct Tile {
    std::int32_t frame;
    std::array<std::int32_t, 2> y, x;
    std::int32_t turn; // 1: left to right, 2: upside down, 4: rows for columns, before the others
    bool alone;        // without the target
};

struct Batch {
    std::vector<Tile> tiles;
    std::vector<std::size_t> targets;    // how many of the tiles before each have one
    std::array<std::size_t, 2> counts{}; // tiles of each side
    std::array<Memory, 2> pixels;
    std::size_t begun = 0, done = 0;
    std::size_t failed = SIZE_MAX; // the first tile that could not be read, of which side, and why
    std::size_t side = 0;
    dpx_problem problem{};

    bool complete() const { return done == tiles.size(); }
};

// An open file of a side.
struct OpenFile {
    dpx_file file{-1, 0, 0, {}};
    std::size_t key = SIZE_MAX;
    const std::uint8_t *mapped = nullptr;

    OpenFile() = default;
    ~OpenFile() {
#if !defined(_WIN32)
        if (mapped) munmap(const_cast<std::uint8_t *>(mapped), static_cast<std::size_t>(file.size));
#endif
        dpx_close(&file);
    }
    OpenFile(const OpenFile &) = delete;
    OpenFile &operator=(const OpenFile &) = delete;
};

// Opens a frame; fails where it isn't what it was.
inline dpx_status open_frame(const Side &side, std::size_t frame, dpx_file *file, dpx_problem *why) {
    static const char *before = "what it was when the pairs were checked";
    const dpx_layout &l = file->layout;
    const FrameKind &kind = side.kind(frame);
    if (dpx_open(side.files[frame].c_str(), 0, file, why)) return why->status;
    if (l.width != kind.width) return dpx_fail(why, DPX_INVALID, "pixels per line", 772, l.width, before);
    if (l.height != kind.height) return dpx_fail(why, DPX_INVALID, "lines per image", 776, l.height, before);
    if (l.channels != Side::channels)
        return dpx_fail(why, DPX_INVALID, "number of channels", DPX_ELEMENT + 20, l.channels, before);
    if (l.white != kind.white) return dpx_fail(why, DPX_INVALID, "bit depth", DPX_ELEMENT + 23, l.bits, before);
    return DPX_OK;
}

#if !defined(_WIN32)
// A mapped file that shrinks, or a disk that fails, shows as SIGBUS in the thread that looks. It comes back to where
// the thread said; any other SIGBUS goes where it went before.
inline thread_local sigjmp_buf *volatile guarded = nullptr; // the handler looks at it
inline struct sigaction sigbus_before;

inline void on_sigbus(int) {
    if (guarded) siglongjmp(*guarded, 1);
    sigaction(SIGBUS, &sigbus_before, nullptr); // and is raised again on return
}

inline void catch_sigbus() {
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
    explicit MappedFiles(std::size_t count) : files_(count) {}

    // Null if it isn't mapped.
    const OpenFile *get(std::size_t key) const { return files_[key].load(std::memory_order_acquire); }

    // Maps an open file, if there is room, and keeps it from now on; or gives it back.
    std::unique_ptr<OpenFile> keep(std::size_t key, std::unique_ptr<OpenFile> open) {
#if !defined(_WIN32)
        std::lock_guard<std::mutex> lock(mutex_);
        const std::size_t bytes = static_cast<std::size_t>(open->file.size);
        if (files_[key].load() || kept_.size() >= MOST_FILES || bytes > MOST_BYTES - bytes_) return open;
        void *memory = mmap(nullptr, bytes, PROT_READ, MAP_SHARED, open->file.fd, 0);
        if (memory == MAP_FAILED) return open; // then it is read
        open->mapped = static_cast<const std::uint8_t *>(memory);
        bytes_ += bytes;
        kept_.push_back(std::move(open));
        files_[key].store(kept_.back().get(), std::memory_order_release);
#endif
        return open;
    }

private:
    static constexpr std::size_t MOST_FILES = 64, MOST_BYTES = std::size_t{128} << 20;

    std::vector<std::atomic<const OpenFile *>> files_;
    std::vector<std::unique_ptr<OpenFile>> kept_;
    std::size_t bytes_ = 0;
    std::mutex mutex_;
};

// A bounded number of open files, each in the place that its key gives. Every thread has its own.
class OpenFiles {
public:
    OpenFiles(std::size_t count, MappedFiles &mapped) : places_(count), mapped_(mapped) {}

    // Null, with the reason, if the frame cannot be opened or isn't what it was.
    const OpenFile *get(const Side &side, std::size_t number, std::size_t frame, dpx_problem *why) {
        const std::size_t key = 2 * frame + number;
        if (const OpenFile *open = mapped_.get(key)) return open;
        std::unique_ptr<OpenFile> &place = places_[key % places_.size()];
        if (place && place->key == key) return place.get();
        place = nullptr; // closed before another is opened
        auto open = std::make_unique<OpenFile>();
        open->key = key;
        if (open_frame(side, frame, &open->file, why)) return nullptr;
        place = mapped_.keep(key, std::move(open));
        return place ? place.get() : mapped_.get(key);
    }

private:
    std::vector<std::unique_ptr<OpenFile>> places_;
    MappedFiles &mapped_;
};

// Reads a window of a frame. A mapped one is looked at, and the file afterwards: where it was cut short, what is
// missing may have been zeros. A file that was changed at all may be whole again by now, so it is read; that errs where
// it must.
inline dpx_status read_window(const OpenFile &open, std::uint64_t y, std::uint64_t x, std::uint64_t height,
                              std::uint64_t width, dpx_type type, std::uint8_t *dst, std::int64_t row_bytes,
                              dpx_problem *why) {
    const dpx_file &file = open.file;
#if !defined(_WIN32)
    if (open.mapped) {
        sigjmp_buf back;
        const bool failed = sigsetjmp(back, 0) != 0;
        if (!failed) {
            guarded = &back;
            dpx_decode_window(open.mapped, &file.layout, y, x, height, width, type, dst, row_bytes);
        }
        guarded = nullptr;
        std::uint64_t size;
        std::int64_t changed;
        if (file_state(file.fd, &size, &changed)) return dpx_fail_io(why);
        if (size < file.size) return dpx_fail_short(why, "image data", size, file.size);
        if (!failed && changed == file.changed) return DPX_OK;
    }
#endif
    return dpx_read_window(file.fd, &file.layout, y, x, height, width, type, dst, row_bytes, why);
}

inline void fill_row(std::uint8_t *row, std::int64_t from, std::int64_t to, const std::uint8_t *pixel,
                     std::size_t bytes) {
    for (std::int64_t x = from; x < to; x++) std::memcpy(row + static_cast<std::size_t>(x) * bytes, pixel, bytes);
}

// Reads a tile to dst; what lies beyond the picture is filled in.
inline dpx_status read_tile(const Side &side, const FrameKind &kind, const OpenFile &open, std::int64_t y,
                            std::int64_t x, std::uint8_t *dst, dpx_problem *why) {
    const std::size_t bytes = side.pixel_bytes(), row_bytes = static_cast<std::size_t>(side.tile_columns) * bytes;
    const std::int64_t y0 = std::max<std::int64_t>(y, 0), y1 = std::min(y + side.tile_rows, kind.rows);
    const std::int64_t x0 = std::max<std::int64_t>(x, 0), x1 = std::min(x + side.tile_columns, kind.columns);
    const auto row = [&](std::int64_t line) { return dst + static_cast<std::size_t>(line - y) * row_bytes; };
    std::uint8_t *first = row(y0) + static_cast<std::size_t>(x0 - x) * bytes;
    if (read_window(open, static_cast<std::uint64_t>(kind.top + y0), static_cast<std::uint64_t>(kind.left + x0),
                    static_cast<std::uint64_t>(y1 - y0), static_cast<std::uint64_t>(x1 - x0), side.type(), first,
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
    TileLoader(Side inputs, Side targets, unsigned threads, std::size_t open_files)
        : sides_{std::move(inputs), std::move(targets)}, mapped_(2 * sides_[0].files.size()) {
        if (sides_[0].files.size() != sides_[1].files.size())
            throw std::invalid_argument("both sides need as many files");
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

    const std::array<Side, 2> &sides() const { return sides_; }

    // The tiles of a batch, which is begun at once, behind those before it.
    void submit(std::vector<Tile> tiles) {
        for (const Tile &tile : tiles) check(tile);
        auto batch = std::make_unique<Batch>();
        batch->tiles = std::move(tiles);
        for (const Tile &tile : batch->tiles) {
            batch->targets.push_back(batch->counts[1]);
            batch->counts[0]++;
            batch->counts[1] += !tile.alone;
        }
        if (!batch->counts[1]) throw std::invalid_argument("no tile has a target");
        for (std::size_t side = 0; side < 2; side++) {
            batch->pixels[side].reset(memory_take(memory_.get(), batch->counts[side] * sides_[side].tile_bytes()));
            if (!batch->pixels[side]) throw std::bad_alloc();
        }
        {
            std::lock_guard<std::mutex> lock(mutex_);
            batches_.push_back(std::move(batch));
        }
        submitted_.notify_all();
    }

    // The batch that was submitted first; null if it isn't complete after so long.
    std::shared_ptr<Batch> take(std::chrono::milliseconds patience) {
        std::unique_lock<std::mutex> lock(mutex_);
        const auto none = [this] { return closed_ || batches_.empty(); };
        if (patience.count()) done_.wait_for(lock, patience, [&] { return none() || batches_.front()->complete(); });
        if (none()) throw std::runtime_error("no batch was submitted, or the loader is closed");
        if (!batches_.front()->complete()) return nullptr;
        std::shared_ptr<Batch> batch = std::move(batches_.front());
        batches_.pop_front();
        begun_--;
        return batch;
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
        bool good = tile.frame >= 0 && static_cast<std::size_t>(tile.frame) < sides_[0].files.size();
        good = good && tile.turn >= 0 && tile.turn < 8;
        for (std::size_t i = 0; good && i < 2; i++) {
            const Side &s = sides_[i];
            const FrameKind &kind = s.kind(static_cast<std::size_t>(tile.frame));
            good = good && tile.y[i] < kind.rows && tile.y[i] > -s.tile_rows;
            good = good && tile.x[i] < kind.columns && tile.x[i] > -s.tile_columns;
            good = good && (tile.turn < 4 || s.tile_rows == s.tile_columns);
        }
        if (!good) throw std::invalid_argument("a tile has no pixel in its picture, or cannot be turned that way");
    }

    void work(std::size_t open_files) {
        OpenFiles files(open_files, mapped_);
        const std::size_t most = std::max(sides_[0].tile_bytes(), sides_[1].tile_bytes());
        const std::unique_ptr<std::uint8_t[]> scratch(new (std::nothrow) std::uint8_t[most]);
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
            dpx_problem why{};
            std::size_t part = 2 * first; // one side of a tile
            while (part < 2 * last && !read(files, *batch, part / 2, part % 2, scratch.get(), &why)) part++;
            bool complete;
            {
                std::lock_guard<std::mutex> lock(mutex_);
                if (part < 2 * last && part / 2 < batch->failed) {
                    batch->failed = part / 2;
                    batch->side = part % 2;
                    batch->problem = why;
                }
                batch->done += last - first;
                complete = batch->complete();
            }
            if (complete) done_.notify_one(); // there is one consumer
        }
    }

    dpx_status read(OpenFiles &files, Batch &batch, std::size_t i, std::size_t number, std::uint8_t *scratch,
                    dpx_problem *why) const {
        const Side &side = sides_[number];
        const Tile &tile = batch.tiles[i];
        if (number && tile.alone) return DPX_OK;
        std::uint8_t *dst = batch.pixels[number]->bytes + (number ? batch.targets[i] : i) * side.tile_bytes();
        if (tile.turn && !scratch) return dpx_fail(why, DPX_IO, "memory", 0, ENOMEM, nullptr);
        const auto frame = static_cast<std::size_t>(tile.frame);
        const OpenFile *open = files.get(side, number, frame, why);
        if (!open ||
            read_tile(side, side.kind(frame), *open, tile.y[number], tile.x[number], tile.turn ? scratch : dst, why))
            return why->status;
        const auto turn = side.type() == DPX_CODES ? turn_tile<6> : turn_tile<12>;
        if (tile.turn) turn(scratch, dst, side.tile_rows, side.tile_columns, tile.turn);
        return DPX_OK;
    }

    const std::array<Side, 2> sides_;
    MappedFiles mapped_;
    const MemoryPool memory_{memory_open(MEMORY_SPARES)};
    std::deque<std::shared_ptr<Batch>> batches_; // submitted and not taken, in order
    std::size_t begun_ = 0;                      // how many of those, from the front, have no tile left to begin
    bool closed_ = false;
    std::mutex mutex_;
    std::condition_variable submitted_, done_;
    std::vector<std::thread> pool_;
};

} // namespace fastup

#endif
