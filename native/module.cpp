// The Python side: checks every array once where it enters, and lets go of the interpreter while it works.
//
// Segments and lists are handles that keep their arrays alive. Python 3.11's limited API, so one build serves all
// later versions.
#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>

#include <cmath>
#include <cstring>
#include <initializer_list>
#include <new>

#include "buffer.h"
#include "segment.h"

namespace {

using namespace slatewise;

const Instructions* cpu = nullptr;

struct SegmentHandle {
    Buffer codes, scales, vectors, rows, deaths, hints;
    Segment segment{};
};

struct ListsHandle {
    Buffer codes, scales, spread, offsets;
    Lists lists{};
    int64_t blocks_spanned = 0;
    int64_t dim = 0;
};

template <class T>
void destroy(PyObject* capsule) {
    delete static_cast<T*>(PyCapsule_GetPointer(capsule, PyCapsule_GetName(capsule)));
}

const char* const SEGMENT = "slatewise.segment";
const char* const LISTS = "slatewise.lists";

template <class T>
PyObject* handle(T* made, const char* name) {
    PyObject* capsule = PyCapsule_New(made, name, destroy<T>);
    if (capsule == nullptr) delete made;
    return capsule;
}

PyObject* make_segment(PyObject*, PyObject* args) {
    PyObject *codes, *scales, *vectors, *rows, *deaths, *hints;
    long long dim, blocks;
    int writable;
    if (!PyArg_ParseTuple(args, "OOOOOOLLp", &codes, &scales, &vectors, &rows, &deaths, &hints, &dim, &blocks,
                          &writable))
        return nullptr;
    if (dim < 1 || dim > 65536 || blocks < 0 || blocks > (int64_t{1} << 30) / LANES) {
        PyErr_Format(PyExc_ValueError, "dim %lld and blocks %lld: expected 1 to 65536 and up to %lld", dim, blocks,
                     (1LL << 30) / LANES);
        return nullptr;
    }
    auto* made = new (std::nothrow) SegmentHandle;
    if (made == nullptr) return PyErr_NoMemory();
    const int64_t positions = blocks * LANES;
    if (!made->codes.take(codes, "codes", writable, 1, blocks * block_bytes(groups_of(dim))) ||
        !made->scales.take(scales, "scales", writable, 4, positions) ||
        !made->vectors.take(vectors, "vectors", writable, 4, positions * dim) ||
        !made->rows.take(rows, "rows", false, 4, positions) ||
        !made->deaths.take(deaths, "deaths", false, 8, positions) ||
        !made->hints.take(hints, "hints", false, 2, blocks)) {
        delete made;
        return nullptr;
    }
    made->segment = {made->codes.as<uint8_t>(), made->scales.as<float>(),   made->vectors.as<float>(),
                     made->rows.as<int32_t>(),  made->deaths.as<int64_t>(), made->hints.as<uint16_t>(),
                     blocks,                    dim};
    return handle(made, SEGMENT);
}

PyObject* make_lists(PyObject*, PyObject* args) {
    PyObject *codes, *scales, *spread, *offsets;
    long long dim;
    if (!PyArg_ParseTuple(args, "OOOOL", &codes, &scales, &spread, &offsets, &dim)) return nullptr;
    auto* made = new (std::nothrow) ListsHandle;
    if (made == nullptr) return PyErr_NoMemory();
    bool fine = dim >= 1 && dim <= 65536 && made->offsets.take(offsets, "offsets", false, 8, 1);
    const int64_t count = fine ? made->offsets.count() - 1 : 0;
    const int64_t blocks = (count + LANES - 1) / LANES;
    fine = fine && made->codes.take(codes, "codes", false, 1, blocks * block_bytes(groups_of(dim))) &&
           made->scales.take(scales, "scales", false, 4, blocks * LANES) &&
           made->spread.take(spread, "spread", false, 4, count);
    if (fine) {
        const auto* at = made->offsets.as<int64_t>();
        fine = at[0] == 0;
        for (int64_t l = 0; fine && l < count; ++l) fine = at[l + 1] >= at[l];
        if (!fine) PyErr_SetString(PyExc_ValueError, "offsets: expected to start at 0 and never fall");
        made->lists = {made->codes.as<uint8_t>(), made->scales.as<float>(), made->spread.as<float>(), at, count};
        made->blocks_spanned = at[count];
        made->dim = dim;
    } else if (!PyErr_Occurred()) {
        PyErr_SetString(PyExc_ValueError, "dim: expected 1 to 65536");
    }
    if (!fine) {
        delete made;
        return nullptr;
    }
    return handle(made, LISTS);
}

template <class T>
T* behind(PyObject* capsule, const char* name) {
    return static_cast<T*>(PyCapsule_GetPointer(capsule, name));
}

// What every search takes: (base, lists, fresh, length, at, query, allow, k, rows, scores).
struct Request {
    Buffer query, allow, rows, scores;
    Shown shown{};
    Allow allowed{nullptr, 0};
    int64_t k = 0;

    bool take(PyObject* base, PyObject* lists, PyObject* fresh, long long length, long long at, PyObject* vector,
              PyObject* mask, PyObject* out_rows, PyObject* out_scores) {
        const auto* b = behind<SegmentHandle>(base, SEGMENT);
        const auto* l = b == nullptr ? nullptr : behind<ListsHandle>(lists, LISTS);
        const auto* f = l == nullptr ? nullptr : behind<SegmentHandle>(fresh, SEGMENT);
        if (f == nullptr) return false;
        if (f->segment.dim != b->segment.dim || l->dim != b->segment.dim || l->blocks_spanned > b->segment.blocks || length < 0 ||
            length > f->segment.positions()) {
            PyErr_SetString(PyExc_ValueError, "segments and lists do not belong together");
            return false;
        }
        if (!query.take(vector, "query", false, 4, b->segment.dim) ||
            !rows.take(out_rows, "rows", true, 8, 0) || !scores.take(out_scores, "scores", true, 4, rows.count()))
            return false;
        if (query.count() != b->segment.dim) {
            PyErr_Format(PyExc_ValueError, "query: width %zd, expected %lld", query.count(),
                         static_cast<long long>(b->segment.dim));
            return false;
        }
        for (int64_t d = 0; d < b->segment.dim; ++d) {
            if (!std::isfinite(query.as<float>()[d])) {
                PyErr_SetString(PyExc_ValueError, "query: not finite");
                return false;
            }
        }
        if (mask != Py_None) {
            if (!allow.take(mask, "allow", false, 1, 0)) return false;
            // An empty array may have no address, which would mean that everything is allowed.
            static const uint8_t none = 0;
            allowed = {allow.count() > 0 ? allow.as<uint8_t>() : &none, allow.count()};
        }
        shown = {&b->segment, &l->lists, &f->segment, length, at};
        k = rows.count();
        return true;
    }
};

template <class Work>
PyObject* counted(Work work) {
    int64_t found = 0;
    bool out_of_memory = false;
    Py_BEGIN_ALLOW_THREADS;
    try {
        found = work();
    } catch (const std::bad_alloc&) {
        out_of_memory = true;
    }
    Py_END_ALLOW_THREADS;
    return out_of_memory ? PyErr_NoMemory() : PyLong_FromLongLong(found);
}

PyObject* search_lists(PyObject*, PyObject* args) {
    PyObject *base, *lists, *fresh, *vector, *mask, *out_rows, *out_scores;
    long long length, at, shortlist, probes, quota;
    if (!PyArg_ParseTuple(args, "OOOLLOOOOLLL", &base, &lists, &fresh, &length, &at, &vector, &mask, &out_rows,
                          &out_scores, &shortlist, &probes, &quota))
        return nullptr;
    Request request;
    if (!request.take(base, lists, fresh, length, at, vector, mask, out_rows, out_scores)) return nullptr;
    if (request.k < 1 || shortlist < request.k || shortlist > (1 << 24) || probes < 0) {
        PyErr_SetString(PyExc_ValueError, "shortlist: expected k to 2**24, with k and probes not negative");
        return nullptr;
    }
    return counted([&] {
        return search(request.shown, request.query.as<float>(), request.allowed, {request.k, shortlist, probes, quota},
                      request.rows.as<int64_t>(), request.scores.as<float>(), *cpu);
    });
}

PyObject* search_rows(PyObject*, PyObject* args) {
    PyObject *base, *lists, *fresh, *vector, *mask, *out_rows, *out_scores, *position_of, *earlier;
    long long length, at;
    if (!PyArg_ParseTuple(args, "OOOLLOOOOOO", &base, &lists, &fresh, &length, &at, &vector, &mask, &out_rows,
                          &out_scores, &position_of, &earlier))
        return nullptr;
    Request request;
    Buffer newest, older;
    if (!request.take(base, lists, fresh, length, at, vector, mask, out_rows, out_scores)) return nullptr;
    if (!newest.take(position_of, "position_of", false, 8, 0) ||
        !older.take(earlier, "earlier", false, 8, request.shown.fresh->positions()))
        return nullptr;
    return counted([&] {
        return search_allowed(request.shown, request.query.as<float>(), request.allowed, newest.as<int64_t>(),
                              newest.count(), older.as<int64_t>(), request.k, request.rows.as<int64_t>(),
                              request.scores.as<float>(), *cpu);
    });
}

bool within(const Buffer& positions, int64_t end, const char* name) {
    for (Py_ssize_t i = 0; i < positions.count(); ++i) {
        if (positions.as<int64_t>()[i] < 0 || positions.as<int64_t>()[i] >= end) {
            PyErr_Format(PyExc_ValueError, "%s: %lld, expected 0 to %lld", name,
                         static_cast<long long>(positions.as<int64_t>()[i]), static_cast<long long>(end - 1));
            return false;
        }
    }
    return true;
}

PyObject* place_vectors(PyObject*, PyObject* args) {
    PyObject *segment, *vectors, *sources, *targets;
    if (!PyArg_ParseTuple(args, "OOOO", &segment, &vectors, &sources, &targets)) return nullptr;
    const auto* to = behind<SegmentHandle>(segment, SEGMENT);
    if (to == nullptr) return nullptr;
    if (to->codes.view.readonly || to->scales.view.readonly || to->vectors.view.readonly) {
        PyErr_SetString(PyExc_ValueError, "segment: expected one that was made writable");
        return nullptr;
    }
    Buffer from, source, target;
    const int64_t dim = to->segment.dim;
    if (!from.take(vectors, "vectors", false, 4, 0) || !target.take(targets, "targets", false, 8, 0) ||
        !within(target, to->segment.positions(), "targets"))
        return nullptr;
    const bool picked = sources != Py_None;
    if (picked && (!source.take(sources, "sources", false, 8, target.count()) ||
                   !within(source, from.count() / dim, "sources")))
        return nullptr;
    if (!picked && from.count() / dim < target.count()) {
        PyErr_SetString(PyExc_ValueError, "vectors: fewer than targets");
        return nullptr;
    }
    return counted([&]() -> int64_t {
        place(from.as<float>(), picked ? source.as<int64_t>() : nullptr, target.as<int64_t>(), target.count(),
              to->segment);
        return target.count();
    });
}

PyObject* assign_vectors(PyObject*, PyObject* args) {
    PyObject *lists, *vectors, *out;
    long long dim;
    if (!PyArg_ParseTuple(args, "OOLO", &lists, &vectors, &dim, &out)) return nullptr;
    const auto* to = behind<ListsHandle>(lists, LISTS);
    if (to == nullptr) return nullptr;
    Buffer from, list_of;
    if (!list_of.take(out, "out", true, 4, 0)) return nullptr;
    const int64_t count = list_of.count();
    const bool fits = dim == to->dim && to->lists.count > 0;
    if (!fits) {
        PyErr_SetString(PyExc_ValueError, "lists: none, or of another width");
        return nullptr;
    }
    if (!from.take(vectors, "vectors", false, 4, count * dim)) return nullptr;
    return counted([&]() -> int64_t {
        assign(from.as<float>(), count, dim, to->lists.codes, to->lists.scales, to->lists.count, list_of.as<int32_t>(),
               *cpu);
        return count;
    });
}

PyObject* layout_lists(PyObject*, PyObject* args) {
    PyObject *list_of, *offsets, *positions;
    if (!PyArg_ParseTuple(args, "OOO", &list_of, &offsets, &positions)) return nullptr;
    Buffer from, starts, out;
    if (!from.take(list_of, "list_of", false, 4, 0) || !starts.take(offsets, "offsets", true, 8, 1) ||
        !out.take(positions, "positions", true, 8, from.count()))
        return nullptr;
    const int64_t lists = starts.count() - 1;
    for (Py_ssize_t i = 0; i < from.count(); ++i) {
        if (from.as<int32_t>()[i] < 0 || from.as<int32_t>()[i] >= lists) {
            PyErr_SetString(PyExc_ValueError, "list_of: beyond the lists");
            return nullptr;
        }
    }
    return counted([&]() -> int64_t {
        layout(from.as<int32_t>(), from.count(), lists, starts.as<int64_t>(), out.as<int64_t>());
        return from.count();
    });
}

// The share of a buffer's bytes per second that one core reads: what any scan is measured against.
PyObject* read_bytes(PyObject*, PyObject* args) {
    PyObject* array;
    if (!PyArg_ParseTuple(args, "O", &array)) return nullptr;
    Buffer from;
    if (!from.take(array, "array", false, 8, 0)) return nullptr;
    return counted([&]() -> int64_t {
        const uint64_t* words = from.as<uint64_t>();
        uint64_t sums[8] = {};
        const Py_ssize_t count = from.count();
        for (Py_ssize_t i = 0; i + 8 <= count; i += 8)
            for (int j = 0; j < 8; ++j) sums[j] += words[i + j];
        uint64_t all = 0;
        for (const uint64_t sum : sums) all ^= sum;
        return static_cast<int64_t>(all & 0x7fffffff);
    });
}

PyObject* use_instructions(PyObject*, PyObject* args) {
    const char* name = nullptr;
    if (!PyArg_ParseTuple(args, "|z", &name)) return nullptr;
    const Instructions* wanted = instructions(name);
    if (wanted == nullptr) {
        PyErr_Format(PyExc_ValueError, "instructions: %s is not available on this machine", name);
        return nullptr;
    }
    cpu = wanted;
    return PyUnicode_FromString(cpu->name);
}

PyObject* available(PyObject*, PyObject*) {
    PyObject* names = PyList_New(0);
    if (names == nullptr) return nullptr;
    for (const Instructions* set : {avx512vnni(), avx2(), neon(), portable()}) {
        if (set == nullptr) continue;
        PyObject* name = PyUnicode_FromString(set->name);
        const bool fine = name != nullptr && PyList_Append(names, name) == 0;
        Py_XDECREF(name);
        if (!fine) {
            Py_DECREF(names);
            return nullptr;
        }
    }
    return names;
}

PyMethodDef methods[] = {
    {"segment", make_segment, METH_VARARGS, "segment(codes, scales, vectors, rows, deaths, hints, dim, blocks, writable)"},
    {"lists", make_lists, METH_VARARGS, "lists(codes, scales, spread, offsets, dim)"},
    {"search", search_lists, METH_VARARGS,
     "search(base, lists, fresh, length, at, query, allow, rows, scores, shortlist, probes, quota) -> found"},
    {"search_allowed", search_rows, METH_VARARGS,
     "search_allowed(base, lists, fresh, length, at, query, allow, rows, scores, position_of, earlier) -> found"},
    {"place", place_vectors, METH_VARARGS, "place(segment, vectors, sources, targets) -> placed"},
    {"assign", assign_vectors, METH_VARARGS, "assign(lists, vectors, dim, out) -> assigned"},
    {"layout", layout_lists, METH_VARARGS, "layout(list_of, offsets, positions) -> laid out"},
    {"read", read_bytes, METH_VARARGS, "read(array of 8-byte numbers): touches every byte once"},
    {"use", use_instructions, METH_VARARGS, "use(name=None) -> name of the instruction set that runs from now on"},
    {"available", available, METH_NOARGS, "available() -> names, best first"},
    {nullptr, nullptr, 0, nullptr},
};

PyModuleDef definition{PyModuleDef_HEAD_INIT, "_kernel", "Native parts of the vector index.", -1, methods,
                       nullptr, nullptr, nullptr, nullptr};

}  // namespace

PyMODINIT_FUNC PyInit__kernel() {
    cpu = instructions();
    return PyModule_Create(&definition);
}
