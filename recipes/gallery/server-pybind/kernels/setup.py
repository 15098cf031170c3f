from glob import glob

from pybind11.setup_helpers import Pybind11Extension
from setuptools import setup

setup(
    name="quantise",
    version="1.0.0",
    ext_modules=[Pybind11Extension("quantise", sorted(glob("*.cpp")), cxx_std=17, extra_compile_args=["-O3", "-march=x86-64-v3"])],
)
