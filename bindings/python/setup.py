# setup.py - puts the library into the wheel; all else is in pyproject.toml
#
# The library is $WALRUS_LIBRARY, or build/lib/libwalrus.so of the source tree. The wheel is for this platform, and for every
# Python 3, whose ABI ctypes does not care about.
#
# SPDX-License-Identifier: MIT
import os
import shutil
from pathlib import Path

from setuptools import Distribution, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_py import build_py

HERE = Path(__file__).resolve().parent
LIBRARY = Path(os.environ.get("WALRUS_LIBRARY") or HERE.parent.parent / "build" / "lib" / "libwalrus.so")


class PlatformDistribution(Distribution):
    def has_ext_modules(self):
        return True


class BuildWithLibrary(build_py):
    def run(self):
        super().run()
        if not LIBRARY.is_file():
            raise SystemExit(f"There is no library at {LIBRARY}. Build it first with make, or name it in WALRUS_LIBRARY.")
        shutil.copyfile(LIBRARY, Path(self.build_lib) / "walrus" / "libwalrus.so")


class AnyPython3(bdist_wheel):
    def get_tag(self):
        return ("py3", "none", super().get_tag()[2])


setup(distclass=PlatformDistribution, cmdclass={"build_py": BuildWithLibrary, "bdist_wheel": AnyPython3})
