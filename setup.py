# SPDX-License-Identifier: Apache-2.0
"""The one thing that setup.cfg cannot say: the compiled twin of the rows' reference (docs/decisions/0023)."""

import os

from setuptools import Extension, setup

setup(
    ext_modules=[
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
