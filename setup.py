# SPDX-License-Identifier: Apache-2.0
"""The one thing that setup.cfg cannot say: the compiled twin of the rows' reference (docs/decisions/0023)."""

import os

from setuptools import Extension, setup

# A bundle for machines that this one cannot compile for says so; then the wheel is pure, and honest about it.
WITHOUT_KERNEL = os.environ.get("JINSUO_KERNEL") == "no"

setup(
    ext_modules=[]
    if WITHOUT_KERNEL
    else [
        Extension(
            "evidence.kernel._kernel",
            ["evidence/kernel/kernel.c"],
            depends=["evidence/kernel/lanes.h"],
            extra_compile_args=["-O3"],
            libraries=["m"] if os.name == "posix" else [],
            py_limited_api=True,
            # Without a C compiler there is no kernel, and the reference does its work.
            optional=True,
        )
    ]
)
