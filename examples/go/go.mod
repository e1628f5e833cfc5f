module examples

go 1.19

require libwalrus/walrus v0.2.0

replace libwalrus/walrus => ../../bindings/go
