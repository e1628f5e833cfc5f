# libwalrus - two commands on a fresh machine: make demo, make test
#
#   make          build/lib/libwalrus.so, the shipped library
#   make demo     the main job on a real file, killed half way, from C and from Python
#   make test     every test
#   make wheel    the Python package with the library in it, in build/wheel/dist
#   make bench    libwalrus against the machine's floor and against RocksDB, LevelDB, LMDB and SQLite: 10 minutes,
#                 tables and plots into docs/benchmarks; FORM=short takes under 3 minutes (into build/bench/report)
#   make format   the toolchain's formatter over all Swift code
#   make clean

.PHONY: all setup demo test wheel bench format clean

all: setup
	scripts/build

setup:
	scripts/setup

demo: all
	scripts/demo

test: all
	scripts/setup --tests
	scripts/test

wheel: all
	scripts/wheel

FORM ?= full
bench: all
	Benchmarks/run --$(FORM)

format:
	swift format --in-place --recursive Package.swift Sources Tests

clean:
	rm -rf build .build .build-*
