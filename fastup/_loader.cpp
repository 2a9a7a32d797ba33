// The Python module of FrameStream and TileLoader: their bindings, and nothing else.
//
// What cannot be read comes as a Problem, which _dpx.error turns into an exception, so this file knows nothing of
// messages.

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>
#include <pybind11/stl/filesystem.h>

#include <string>
#include <tuple>

#include "_frame_stream.h"
#include "_tile_loader.h"

namespace py = pybind11;
using namespace py::literals;
using namespace fastup;

namespace {

// What is wrong with a frame of a side.
struct Problem {
    std::size_t side, frame;
    dpx_problem why;
};

// What `take` gives, which waits for so long at most and gives nothing if it isn't there by then. Without the GIL, and
// in slices, so that Ctrl-C is heard.
template <class Take> auto wait_for(Take take) {
    auto taken = take(std::chrono::milliseconds(0));
    while (!taken) {
        if (PyErr_CheckSignals()) throw py::error_already_set();
        py::gil_scoped_release release;
        taken = take(std::chrono::milliseconds(100));
    }
    return taken;
}

// An array on a block of memory, which goes back to its pool when nobody sees the array any more.
py::array array_of(Memory memory, dpx_type type, std::vector<std::uint64_t> shape) {
    const std::uint8_t *pixels = memory->bytes;
    py::capsule owner(memory.get(), [](void *block) { memory_give(static_cast<memory_block *>(block)); });
    memory.release();
    return py::array(py::dtype(std::string(1, "Hfe"[type])), std::move(shape), pixels, owner);
}

py::object next_frame(FrameStream &stream) {
    Frame frame = *wait_for([&](auto patience) { return stream.take(patience); });
    if (frame.problem.status) return py::cast(Problem{0, frame.number, frame.problem});
    const dpx_layout &l = frame.layout;
    return array_of(std::move(frame.pixels), stream.type(), {l.height, l.width, l.channels});
}

py::object take_batch(TileLoader &loader) {
    const auto batch = wait_for([&](auto patience) { return loader.take(patience); });
    const auto count = batch->tiles.size();
    if (batch->failed < count)
        return py::cast(
            Problem{batch->side, static_cast<std::size_t>(batch->tiles[batch->failed].frame), batch->problem});
    py::tuple arrays(2);
    for (std::size_t i = 0; i < 2; i++) {
        const Side &side = loader.sides()[i];
        const auto rows = static_cast<std::uint64_t>(side.tile_rows),
                   columns = static_cast<std::uint64_t>(side.tile_columns);
        arrays[i] =
            array_of(std::move(batch->pixels[i]), side.type(), {batch->counts[i], rows, columns, Side::channels});
    }
    return arrays;
}

void submit(TileLoader &loader, py::array_t<std::int32_t, py::array::c_style | py::array::forcecast> rows) {
    if (rows.ndim() != 2 || rows.shape(0) == 0 || rows.shape(1) != 6)
        throw std::invalid_argument("tiles are rows of 6 numbers, one at least");
    std::vector<Tile> tiles;
    const auto row = rows.unchecked<2>();
    for (py::ssize_t i = 0; i < row.shape(0); i++) {
        const bool alone = row(i, 5) >= 8;
        tiles.push_back({row(i, 0), {row(i, 1), row(i, 3)}, {row(i, 2), row(i, 4)}, row(i, 5) - 8 * alone, alone});
    }
    loader.submit(std::move(tiles));
}

using Size = std::tuple<std::int64_t, std::int64_t>;
using Window = std::tuple<std::int64_t, std::int64_t, std::int64_t, std::int64_t>;

FrameKind make_kind(Size size, std::optional<std::uint32_t> white, Window picture) {
    FrameKind kind;
    const auto [height, width] = size;
    kind.height = static_cast<std::uint64_t>(std::max<std::int64_t>(height, 0));
    kind.width = static_cast<std::uint64_t>(std::max<std::int64_t>(width, 0));
    kind.white = white.value_or(0);
    std::tie(kind.top, kind.left, kind.rows, kind.columns) = picture;
    if (!kind.possible()) throw std::invalid_argument("a kind that cannot be: its picture lies in no such frame");
    return kind;
}

Side make_side(std::vector<std::filesystem::path> files, std::vector<FrameKind> kinds,
               std::vector<std::uint32_t> kind_of, Size tile, std::optional<double> fill) {
    Side side;
    side.files = std::move(files);
    side.kinds = std::move(kinds);
    side.kind_of = std::move(kind_of);
    const auto same = [&](const FrameKind &each) { return each.white == side.kinds[0].white; };
    if (!side.kinds.empty() && std::all_of(side.kinds.begin(), side.kinds.end(), same))
        side.white = side.kinds[0].white;
    std::tie(side.tile_rows, side.tile_columns) = tile;
    side.edge = !fill;
    const double value = fill.value_or(0);
    if (!side.possible() || (side.white && !(value >= 0 && value <= side.white)))
        throw std::invalid_argument("a side that cannot be: a file has no such kind, or it has no such code");
    for (std::size_t i = 0; i < Side::channels; i++) {
        const auto code = static_cast<std::uint16_t>(side.white ? value : 0);
        const auto single = static_cast<float>(value);
        const std::size_t bytes = dpx_type_bytes(side.type());
        std::memcpy(&side.fill[i * bytes], side.white ? static_cast<const void *>(&code) : &single, bytes);
    }
    return side;
}

} // namespace

PYBIND11_MODULE(_loader, m) {
    m.doc() = "Reads DPX ahead of its consumer on threads of its own: frames in order, batches of tiles.";

    py::class_<Problem>(m, "Problem", "What is wrong with a file, by its side and the number of its frame.")
        .def_readonly("side", &Problem::side)
        .def_readonly("frame", &Problem::frame)
        .def_property_readonly("status", [](const Problem &it) { return static_cast<int>(it.why.status); })
        .def_property_readonly("field", [](const Problem &it) { return it.why.field; })
        .def_property_readonly("at", [](const Problem &it) { return it.why.at; })
        .def_property_readonly("expected", [](const Problem &it) { return it.why.expected; })
        .def_property_readonly("found", [](const Problem &it) { return it.why.found; })
        .def_property_readonly("needed", [](const Problem &it) { return it.why.needed; });

    py::class_<FrameStream>(m, "FrameStream", "Whole frames, in the order of their files.")
        .def(py::init<std::vector<std::filesystem::path>, int, unsigned, std::size_t>(), "files"_a, py::kw_only(),
             "type"_a, "threads"_a, "ahead"_a)
        .def("next", &next_frame, "The next frame, or what is wrong with it.")
        .def("close", &FrameStream::close, py::call_guard<py::gil_scoped_release>(), "End the threads.");

    py::class_<FrameKind>(m, "FrameKind", "What frames of one kind must be, and where the picture lies in them.")
        .def(py::init(&make_kind), "size"_a, "white"_a, "picture"_a);

    py::class_<Side>(m, "Side", "The files of inputs or targets, what each of them must be, and how tiles are cut.")
        .def(py::init(&make_side), py::kw_only(), "files"_a, "kinds"_a, "kind_of"_a, "tile"_a, "fill"_a = py::none());

    py::class_<TileLoader>(m, "TileLoader", "Batches of tiles, in the order in which they were submitted.")
        .def(py::init<Side, Side, unsigned, std::size_t>(), "inputs"_a, "targets"_a, py::kw_only(), "threads"_a,
             "open_files"_a)
        .def("submit", &submit, "tiles"_a,
             "Begin a batch: rows of frame, y, x of the input, y, x of the target, turn; 8 more: of the input alone.")
        .def("take", &take_batch, "The inputs and targets of the next batch, or what is wrong with one of its files.")
        .def("clear", &TileLoader::clear, "Forget what was submitted.")
        .def("close", &TileLoader::close, py::call_guard<py::gil_scoped_release>(), "End the threads.");
}
