# libwalrus - two commands on a fresh machine: make demo, make test
#
#   make          build/lib/libwalrus.so, the shipped library
#   make demo     the main job on a real file, killed half way, from C and from Python
#   make test     every test
#   make torture  the harnesses' long forms, for SECONDS (3600); docs/TESTING.md says what they are
#   make install  header, library, pkg-config, CMake and manual pages below PREFIX (/usr/local); LIBDIR, DESTDIR as usual
#   make uninstall  takes exactly that away again
#   make dist     a tarball and Debian packages of it, in build/dist
#   make wheel    the Python package with the library in it, in build/wheel/dist
#   make bench    libwalrus against the machine's floor and against RocksDB, LevelDB, LMDB and SQLite: 10 minutes,
#                 tables and plots into docs/benchmarks; FORM=short takes under 3 minutes (into build/bench/report)
#   make bench-formats   size and speed by format and compression, into docs/benchmarks/formats.md: a minute
#   make format   the toolchain's formatter over all Swift code
#   make clean

.PHONY: all setup demo test torture install uninstall dist wheel bench bench-formats format clean

all: setup
	scripts/build

setup:
	scripts/setup

demo: all
	scripts/demo

test: all
	scripts/setup --tests
	scripts/test

SECONDS ?= 3600
torture: all
	scripts/setup --tests
	scripts/torture $(SECONDS)

PREFIX ?= /usr/local
LIBDIR ?= $(PREFIX)/lib
# The library as it was built: whoever may install need not be able to build.
install:
	PREFIX="$(PREFIX)" LIBDIR="$(LIBDIR)" DESTDIR="$(DESTDIR)" scripts/install

uninstall:
	PREFIX="$(PREFIX)" LIBDIR="$(LIBDIR)" DESTDIR="$(DESTDIR)" scripts/install --uninstall

dist: all
	scripts/dist

wheel: all
	scripts/wheel

FORM ?= full
bench: all
	Benchmarks/run --$(FORM)

bench-formats: all
	Benchmarks/formats/run

format:
	swift format --in-place --recursive Package.swift Sources Tests

clean:
	rm -rf build .build .build-*
