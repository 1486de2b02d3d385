"""Builds the native parts: the kernel of the vector index, and counting for features. All else is in pyproject.toml.

Optional: where no compiler is at hand the install goes on without it and NumPy does the work (`slatewise doctor` says
which one runs).
"""

import sys
from glob import glob

from setuptools import Extension, setup

GCC_LIKE = ["-O3", "-std=c++17", "-fvisibility=hidden"]
MSVC = ["/O2", "/std:c++17"]


def native(name: str, folder: str) -> Extension:
    """Return the extension module *name*, made of the C++ files in *folder*."""
    return Extension(
        name,
        sources=sorted(glob(f"{folder}/*.cpp")),
        depends=sorted(glob("native/**/*.h", recursive=True)),
        extra_compile_args=MSVC if sys.platform == "win32" else GCC_LIKE,
        language="c++",
        py_limited_api=True,
        optional=True,
    )


setup(
    ext_modules=[native("slatewise.index._kernel", "native"), native("slatewise.features._counts", "native/features")]
)
