# libwalrus - two commands on a fresh machine: make demo, make test
#
#   make          build/lib/libwalrus.so, the shipped library
#   make demo     the main job on a real file, killed half way, from C and from Python
#   make test     every test
#   make bench    a small benchmark against the machine's floor
#   make format   the toolchain's formatter over all Swift code
#   make clean

.PHONY: all setup demo test bench format clean

all: setup
	scripts/build

setup:
	scripts/setup

demo: all
	scripts/demo

test: all
	scripts/test

bench: all
	Benchmarks/run

format:
	swift format --in-place --recursive Package.swift Sources Tests

clean:
	rm -rf build .build .build-embedded
