from glob import glob

from setuptools import Extension, setup

setup(
    name="kernels",
    version="1.0.0",
    ext_modules=[Extension("kernels", sorted(glob("src/*.c")), libraries=["m"], extra_compile_args=["-O3", "-march=x86-64-v3", "-ffast-math", "-g0"])],
)
