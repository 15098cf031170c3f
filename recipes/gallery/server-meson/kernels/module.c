#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "attention.h"

/* One step over keys and values that are made of a seed. */
static PyObject *step(PyObject *self, PyObject *args) {
    static float keys[LENGTH * 64], paged[LENGTH * 64], query[64], weights[LENGTH], out[64];
    int head;
    float seed;
    (void)self;
    if (!PyArg_ParseTuple(args, "if", &head, &seed))
        return NULL;
    if (head < 8 || head > 64 || head % 8)
        return PyErr_Format(PyExc_ValueError, "expected a multiple of 8 up to 64, found %d", head);
    for (int i = 0; i < LENGTH * head; i++)
        keys[i] = seed * (float)(i % 7);
    for (int i = 0; i < head; i++)
        query[i] = seed;
    cache(head, keys, paged);
    scores(head, query, paged, weights);
    mask(head, weights);
    values(head, weights, paged, out);
    double sum = 0;
    for (int i = 0; i < head; i++)
        sum += out[i];
    return PyFloat_FromDouble(sum);
}

static PyMethodDef methods[] = {{"step", step, METH_VARARGS, NULL}, {0}};
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "attention", NULL, -1, methods, 0, 0, 0, 0};

PyMODINIT_FUNC PyInit_attention(void) {
    return PyModule_Create(&module);
}
