"""Builds the native kernel of the vector index. Everything else about the package is in pyproject.toml.

Optional: where no compiler is at hand the install goes on without it and NumPy does the work (`slatewise doctor` says
which one runs).
"""

import sys
from glob import glob

from setuptools import Extension, setup

GCC_LIKE = ["-O3", "-std=c++17", "-fvisibility=hidden"]
MSVC = ["/O2", "/std:c++17"]

setup(
    ext_modules=[
        Extension(
            "slatewise.index._kernel",
            sources=sorted(glob("native/*.cpp")),
            depends=sorted(glob("native/*.h")),
            extra_compile_args=MSVC if sys.platform == "win32" else GCC_LIKE,
            language="c++",
            py_limited_api=True,
            optional=True,
        )
    ]
)
