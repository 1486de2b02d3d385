// An array of Python's as plain memory, checked once where it enters.
#pragma once
#include <Python.h>

namespace slatewise {

struct Buffer {
    Py_buffer view{};
    bool held = false;
    ~Buffer() {
        if (held) PyBuffer_Release(&view);
    }
    bool take(PyObject* object, const char* name, bool writable, Py_ssize_t itemsize, Py_ssize_t at_least) {
        const int flags = PyBUF_C_CONTIGUOUS | PyBUF_FORMAT | (writable ? PyBUF_WRITABLE : 0);
        if (PyObject_GetBuffer(object, &view, flags) != 0) return false;
        held = true;
        if (view.itemsize != itemsize || view.len / itemsize < at_least) {
            PyErr_Format(PyExc_ValueError, "%s: %zd entries of %zd bytes, expected at least %zd of %zd", name,
                         view.len / (view.itemsize > 0 ? view.itemsize : 1), view.itemsize, at_least, itemsize);
            return false;
        }
        return true;
    }
    Py_ssize_t count() const { return view.len / view.itemsize; }
    template <class T>
    T* as() const {
        return static_cast<T*>(view.buf);
    }
};

}  // namespace slatewise
