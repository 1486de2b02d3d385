// The Python side of counting for features: checks every array once where it enters.
//
// Keeps the interpreter: each call takes some microseconds, letting go and coming back may take longer.
#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>

#include <new>
#include <vector>

#include "../buffer.h"
#include "counts.h"

namespace {

using namespace slatewise;

PyObject* refused(const char* what) {
    PyErr_SetString(PyExc_ValueError, what);
    return nullptr;
}

PyObject* between(PyObject*, PyObject* args) {
    PyObject *starts, *nexts, *nears, *decays, *befores, *wanted, *out;
    if (!PyArg_ParseTuple(args, "OOOOOOO", &starts, &nexts, &nears, &decays, &befores, &wanted, &out)) return nullptr;
    Buffer start, next, near, decayed, before, rows, counts;
    if (!start.take(starts, "start", false, 8, 1) || !next.take(nexts, "next", false, 8, 0) ||
        !near.take(nears, "near", false, 8, next.count()) || !decayed.take(decays, "decayed", false, 8, next.count()) ||
        !before.take(befores, "before", false, 8, 0) || !rows.take(wanted, "wanted", false, 8, 0) ||
        !counts.take(out, "out", true, 8, 2 * before.count() * rows.count()))
        return nullptr;
    const Pairs pairs{start.as<int64_t>(), start.count() - 1,     next.as<int64_t>(),
                      near.as<int64_t>(),  decayed.as<int64_t>(), next.count()};
    auto* const found = counts.as<int64_t>();
    if (!pairs_between(pairs, before.as<int64_t>(), before.count(), rows.as<int64_t>(), rows.count(), found,
                       found + before.count() * rows.count()))
        return refused("start: expected to rise from 0 to the number of entries");
    Py_RETURN_NONE;
}

PyObject* met_in(PyObject*, PyObject* args) {
    PyObject *pasts, *done, *kinds, *wanted, *out_times, *out_latest;
    if (!PyArg_ParseTuple(args, "OOOOOO", &pasts, &done, &kinds, &wanted, &out_times, &out_latest)) return nullptr;
    Buffer past, action, actions, rows, times, latest;
    if (!past.take(pasts, "past", false, 8, 0) || !action.take(done, "action", false, 8, past.count()) ||
        !actions.take(kinds, "actions", false, 8, 0) || !rows.take(wanted, "wanted", false, 8, 0) ||
        !times.take(out_times, "times", true, 8, (1 + actions.count()) * rows.count()) ||
        !latest.take(out_latest, "latest", true, 8, rows.count()))
        return nullptr;
    met(past.as<int64_t>(), action.as<int64_t>(), past.count(), actions.as<int64_t>(), actions.count(),
        rows.as<int64_t>(), rows.count(), times.as<int64_t>(), latest.as<int64_t>());
    Py_RETURN_NONE;
}

// fields: rows of (start, slots, first, numeric).
PyObject* shared_with(PyObject*, PyObject* args) {
    PyObject *owns, *pasts, *fields, *weights, *shares;
    double total;
    long long width, tokens;
    if (!PyArg_ParseTuple(args, "OOLOOdLO", &owns, &pasts, &width, &fields, &weights, &total, &tokens, &shares))
        return nullptr;
    if (width < 1 || tokens < 1 || tokens > (1LL << 31)) return refused("width, tokens: expected at least 1");
    Buffer own, past, field, weight, out;
    if (!own.take(owns, "own", false, 4, 0) || !past.take(pasts, "past", false, 4, 0)) return nullptr;
    const int64_t n = own.count() / width, steps = past.count() / width;
    if (!field.take(fields, "fields", false, 8, 0) || !weight.take(weights, "weight", false, 8, steps)) return nullptr;
    const int64_t count = field.count() / 4;
    if (!out.take(shares, "out", true, 4, 2 * count * n)) return nullptr;
    try {
        std::vector<Attribute> attributes;
        for (int64_t f = 0; f < count; ++f) {
            const int64_t* const told = field.as<int64_t>() + 4 * f;
            if (told[0] < 0 || told[1] < 1 || told[0] > width - told[1]) return refused("fields: beyond the width");
            attributes.push_back({told[0], told[1], told[2], told[3] != 0});
        }
        std::vector<double> counted(2 * static_cast<size_t>(tokens));
        if (!shared(own.as<int32_t>(), n, past.as<int32_t>(), steps, width, attributes.data(), count,
                    weight.as<double>(), total, tokens, counted.data(), out.as<float>()))
            return refused("own, past: expected tokens from 0 to below `tokens`");
    } catch (const std::bad_alloc&) {
        return PyErr_NoMemory();
    }
    Py_RETURN_NONE;
}

PyObject* admit_pairs(PyObject*, PyObject* args) {
    PyObject *pairs, *firsts, *times, *helds, *emptied, *out;
    long long ways;
    double period, most;
    if (!PyArg_ParseTuple(args, "OOOOOLddO", &pairs, &firsts, &times, &helds, &emptied, &ways, &period, &most, &out))
        return nullptr;
    Buffer pair, first, at, held, empty_at, admitted;
    if (!pair.take(pairs, "pairs", false, 8, 0) || !first.take(firsts, "first", false, 8, pair.count()) ||
        !at.take(times, "at", false, 8, pair.count()) || !held.take(helds, "held", true, 8, 1) ||
        !empty_at.take(emptied, "empty_at", true, 8, held.count()) ||
        !admitted.take(out, "admitted", true, 1, pair.count()))
        return nullptr;
    if (ways < 1 || ways > held.count()) return refused("ways: expected from 1 to the number of slots");
    if (!admit(pair.as<uint64_t>(), first.as<int64_t>(), at.as<double>(), pair.count(), held.as<uint64_t>(),
               empty_at.as<double>(), held.count(), ways, period, most, admitted.as<uint8_t>()))
        return refused("first: expected slots of the table");
    Py_RETURN_NONE;
}

PyObject* follow_users(PyObject*, PyObject* args) {
    PyObject *whose, *which, *known, *used, *held, *out;
    long long ways, clock;
    if (!PyArg_ParseTuple(args, "OOOOOLLO", &whose, &which, &known, &used, &held, &ways, &clock, &out)) return nullptr;
    Buffer user, item, users, used_at, items, before;
    if (!user.take(whose, "user", false, 8, 0) || !item.take(which, "item", false, 8, user.count()) ||
        !users.take(known, "users", true, 8, 1) || !used_at.take(used, "used_at", true, 8, users.count()) ||
        !items.take(held, "items", true, 4, users.count()))
        return nullptr;
    if (ways < 1 || users.count() % ways != 0) return refused("ways: expected to divide the number of slots");
    const int64_t width = items.count() / users.count();
    if (!before.take(out, "before", true, 4, user.count() * width)) return nullptr;
    const Lasts lasts{users.as<int64_t>(), used_at.as<int64_t>(), items.as<int32_t>(), users.count(), ways, width};
    if (!follow(user.as<int64_t>(), item.as<int64_t>(), user.count(), lasts, clock, before.as<int32_t>()))
        return refused("user, item: expected rows from 0 on");
    Py_RETURN_NONE;
}

PyMethodDef methods[] = {
    {"between", between, METH_VARARGS, "between(start, next, near, decayed, before, wanted, out): counts of pairs"},
    {"met", met_in, METH_VARARGS, "met(past, action, actions, wanted, times, latest): what a history holds of some values"},
    {"shared", shared_with, METH_VARARGS, "shared(own, past, width, fields, weight, total, tokens, out): shared tokens"},
    {"admit", admit_pairs, METH_VARARGS,
     "admit(pairs, first, at, held, empty_at, ways, period, most, admitted): which repeats count"},
    {"follow", follow_users, METH_VARARGS,
     "follow(user, item, users, used_at, items, ways, clock, before): what users did before"},
    {nullptr, nullptr, 0, nullptr},
};

PyModuleDef definition{PyModuleDef_HEAD_INIT, "_counts", "Native counting for the ranker's features.", -1, methods,
                       nullptr, nullptr, nullptr, nullptr};

}  // namespace

PyMODINIT_FUNC PyInit__counts() { return PyModule_Create(&definition); }
