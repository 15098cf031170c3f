#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "tile.h"

static PyObject *call(float (*kernel)(float *, size_t), PyObject *args) {
    float x[32];
    Py_ssize_t n = PyTuple_Size(args);
    if (n < 1 || n > 32)
        return PyErr_Format(PyExc_ValueError, "expected 1 to 32 numbers");
    for (Py_ssize_t i = 0; i < n; i++) {
        x[i] = (float)PyFloat_AsDouble(PyTuple_GetItem(args, i));
        if (PyErr_Occurred())
            return NULL;
    }
    return PyFloat_FromDouble(kernel(x, (size_t)n));
}

#define FUNCTION(NAME)                                                                             \
    static PyObject *py_##NAME(PyObject *self, PyObject *args) {                                   \
        (void)self;                                                                                \
        return call(NAME, args);                                                                   \
    }
FUNCTION(softmax)
FUNCTION(rmsnorm)
FUNCTION(gelu)
FUNCTION(rope)
FUNCTION(matmul)

#define METHOD(NAME) {#NAME, py_##NAME, METH_VARARGS, NULL}
static PyMethodDef methods[] = {METHOD(softmax), METHOD(rmsnorm), METHOD(gelu),
                                METHOD(rope),    METHOD(matmul),  {0}};
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "kernels", NULL, -1, methods, 0, 0, 0, 0};

PyMODINIT_FUNC PyInit_kernels(void) {
    return PyModule_Create(&module);
}
