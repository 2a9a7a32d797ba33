"""The two native modules. Everything else is in pyproject.toml."""

import os
import sys

from pybind11.setup_helpers import Pybind11Extension
from setuptools import Extension, setup

# -O3 vectorises; wide instructions are picked at run time (see _dpx.h), so no -march here.
OPTIMISE = "/O2" if sys.platform == "win32" else "-O3"

NATIVE = ["fastup/_dpx.h", "fastup/_pixels.h", "fastup/_file.h"]

# std::filesystem::path came with macOS 10.15.
os.environ.setdefault("MACOSX_DEPLOYMENT_TARGET", "10.15")

setup(
    ext_modules=[
        Extension(
            "fastup._dpx",
            ["fastup/_dpx.pyx"],
            depends=NATIVE,
            include_dirs=["fastup"],
            extra_compile_args=[OPTIMISE],
        ),
        Pybind11Extension(
            "fastup._loader",
            ["fastup/_loader.cpp"],
            depends=NATIVE,
            include_dirs=["fastup"],
            extra_compile_args=[OPTIMISE],
            cxx_std=17,
        ),
    ],
)
