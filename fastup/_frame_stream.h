// Whole DPX frames in order, read ahead of their consumer on threads of their own. Knows nothing of Python.
#ifndef FASTUP_FRAME_STREAM_H
#define FASTUP_FRAME_STREAM_H

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <filesystem>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <thread>
#include <vector>

#include "_file.h"
#include "_memory.h"

namespace fastup {

// A frame that was read, or the problem that it has.
struct Frame {
    std::size_t number = 0;
    dpx_problem problem{};
    dpx_layout layout{};
    Memory pixels;
};

// Frame i waits in the ring, at i modulo its length, which is how many frames are read ahead. A frame that cannot be
// read keeps its problem until its turn comes.
class FrameStream {
public:
    FrameStream(std::vector<std::filesystem::path> files, int type, unsigned threads, std::size_t ahead)
        : files_(std::move(files)), type_(static_cast<dpx_type>(type)), ring_(std::min(ahead, files_.size())) {
        if (threads == 0 || ahead == 0) throw std::invalid_argument("threads and ahead are 1 or more");
        try {
            for (unsigned i = 0; i < threads && i < ring_.size(); i++) pool_.emplace_back([this] { work(); });
        } catch (...) {
            if (pool_.empty()) throw; // else fewer threads do
        }
    }
    ~FrameStream() { close(); }

    dpx_type type() const { return type_; }

    // The next frame; nothing if it isn't there after so long.
    std::optional<Frame> take(std::chrono::milliseconds patience) {
        std::optional<Frame> frame;
        {
            std::unique_lock<std::mutex> lock(mutex_);
            const auto over = [this] { return closed_ || taken_ == files_.size(); };
            if (patience.count())
                arrived_.wait_for(lock, patience, [&] { return over() || place_of(taken_).has_value(); });
            if (over()) throw std::runtime_error("no frame is left, or the stream is closed");
            frame.swap(place_of(taken_));
            if (!frame) return frame;
            taken_++;
        }
        room_.notify_one();
        return frame;
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
    std::optional<Frame> &place_of(std::size_t number) { return ring_[number % ring_.size()]; }

    void work() {
        for (;;) {
            Frame frame;
            {
                std::unique_lock<std::mutex> lock(mutex_);
                room_.wait(lock,
                           [this] { return closed_ || begun_ == files_.size() || begun_ < taken_ + ring_.size(); });
                if (closed_ || begun_ == files_.size()) return;
                frame.number = begun_++;
            }
            read(frame);
            {
                std::lock_guard<std::mutex> lock(mutex_);
                place_of(frame.number) = std::move(frame);
            }
            arrived_.notify_all();
        }
    }

    void read(Frame &frame) const {
        dpx_file file;
        dpx_problem &why = frame.problem;
        if (dpx_open(files_[frame.number].c_str(), 0, &file, &why)) return;
        const dpx_layout &l = frame.layout = file.layout;
        const std::uint64_t row = l.width * l.channels * dpx_type_bytes(type_);
        if (l.height <= PTRDIFF_MAX / row) // a sparse file may be any size
            frame.pixels.reset(memory_take(memory_.get(), static_cast<std::size_t>(row * l.height)));
        if (frame.pixels)
            dpx_read_window(file.fd, &l, 0, 0, l.height, l.width, type_, frame.pixels->bytes,
                            static_cast<std::int64_t>(row), &why);
        else
            dpx_fail(&why, DPX_IO, "memory", 0, ENOMEM, nullptr);
        dpx_close(&file);
    }

    const std::vector<std::filesystem::path> files_;
    const dpx_type type_;
    const MemoryPool memory_{memory_open(2)};
    std::vector<std::optional<Frame>> ring_;
    std::size_t begun_ = 0, taken_ = 0; // how many frames
    bool closed_ = false;
    std::mutex mutex_;
    std::condition_variable room_, arrived_;
    std::vector<std::thread> pool_;
};

} // namespace fastup

#endif
