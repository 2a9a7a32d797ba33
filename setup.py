"""The two native modules. Everything else is in pyproject.toml."""

import glob
import os
import sys

from pybind11.setup_helpers import Pybind11Extension
from setuptools import Extension, setup

# -O3 vectorises; wide instructions are picked at run time (see _samples.h), so no -march here. The same memory is seen
# as words and as floats, hence no strict aliasing.
OPTIMISE = ["/O2"] if sys.platform == "win32" else ["-O3", "-fno-strict-aliasing"]
LINK = []

# What `make test` asks for, such as address,undefined or thread. A finding ends the process.
SANITIZE = os.environ.get("FASTUP_SANITIZE")
if SANITIZE:
    LINK = [f"-fsanitize={SANITIZE}"]
    OPTIMISE += [*LINK, "-fno-sanitize-recover=undefined", "-fno-omit-frame-pointer", "-g", "-O1"]

NATIVE = ["setup.py", *glob.glob("fastup/*.h")]

# std::filesystem::path came with macOS 10.15.
os.environ.setdefault("MACOSX_DEPLOYMENT_TARGET", "10.15")

setup(
    ext_modules=[
        Extension(
            "fastup._dpx",
            ["fastup/_dpx.pyx"],
            depends=NATIVE,
            include_dirs=["fastup"],
            extra_compile_args=[*OPTIMISE],
            extra_link_args=[*LINK],
        ),
        Pybind11Extension(
            "fastup._loader",
            ["fastup/_loader.cpp"],
            depends=NATIVE,
            include_dirs=["fastup"],
            extra_compile_args=[*OPTIMISE],
            extra_link_args=[*LINK],
            cxx_std=17,
        ),
    ],
)
