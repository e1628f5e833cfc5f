module libwalrus/walrus

go 1.19
