#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include "quantise.h"

PYBIND11_MODULE(quantise, module) {
    module.def("pack", &pack, pybind11::arg("numbers"), pybind11::arg("bits") = 4);
    module.def("unpack", &unpack, pybind11::arg("packed"), pybind11::arg("scale"));
}
