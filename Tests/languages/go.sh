# go.sh - what scripts/test-langs runs for Go

test_go() {
    if ! command -v go >/dev/null; then
        skip go "Go toolchain (golang-go)"
        return
    fi
    export GOFLAGS= GOPROXY=off GOCACHE=${GOCACHE:-$root/build/go-cache}
    go_package
    go_examples
}

go_package() {
    local unformatted status=0
    unformatted=$(gofmt -l "$root/bindings/go" "$root/examples/go")
    if [[ -z $unformatted ]]; then pass "gofmt"; else fail "gofmt: $unformatted"; fi
    if (cd "$root/bindings/go" && bounded go vet .) && (cd "$root/examples/go" && bounded go vet ./...); then
        pass "go vet"
    else
        fail "go vet"
    fi
    (cd "$root/bindings/go" && bounded go test -count=1 -timeout "${limit}s" -v .) >go-test 2>&1 || status=$?
    passed=$((passed + $(grep -c '^ *--- PASS' go-test))) failed=$((failed + $(grep -c '^ *--- FAIL' go-test)))
    if ((status != 0)); then
        grep -v -e '^ *--- PASS' -e '^=== ' go-test | tail -n 60
        grep -q '^ *--- FAIL' go-test || fail "go test: status $status"
    fi
    grep '^ok' go-test
}

go_examples() {
    mkdir first && block "$root/docs/go.md" go >first/main.go
    printf 'module first\n\ngo 1.19\n\nrequire libwalrus/walrus v0.2.0\n\nreplace libwalrus/walrus => %s\n' "$root/bindings/go" >first/go.mod
    (cd first && bounded go build -o ../first-program .) || fail "the program of docs/go.md does not compile"
    expect "docs/go.md begins with a program that works" "$(block "$root/docs/go.md" text)" ./first-program

    if ! (cd "$root/examples/go" && bounded go build -o "$place/go/" ./queue ./follow); then
        fail "examples/go do not compile"
        return
    fi
    expect "queue: events go in" "events up to 3 are safe" ./queue orders push < <(printf 'created\npaid\nshipped\n')
    expect "queue: a worker handles one" "1: created" ./queue orders work 1
    expect "queue: the next one goes on" $'2: paid\n3: shipped' ./queue orders work
    expect "queue: nothing is handled twice" "" ./queue orders work
    expect "queue: replay" $'2: paid\n3: shipped' ./queue orders replay 2
    refuse "queue: bad input" "usage" ./queue orders
    refuse "queue: what is no log is refused" "a log is a directory" ./queue /dev/null push
    go_follows_python
}

# Go follows what Python writes, is killed while it is written, and goes on: nothing is left out.
go_follows_python() {
    local writer follower wanted
    wanted=$(for i in {1..300}; do echo "$i: line $i"; done)
    touch before
    start before ./follow followed position 300
    follower=$last
    start writer env PYTHONPATH="$root/bindings/python" PYTHONDONTWRITEBYTECODE=1 python3 -c '
import time, walrus
with walrus.open("followed", sync="os") as log:
    for i in range(1, 301):
        log.append(b"line %d" % i)
        time.sleep(0.002)
    log.sync()'
    writer=$last
    wait_for_lines before 50 || fail "follow: the follower sees nothing: $(cat before writer)"
    kill_hard "$follower"
    bounded ./follow followed position 300 >after 2>&1
    wait "$writer" || fail "follow: the writer failed: $(cat writer)"
    # The kill may fall between an entry and its position: one entry may be there twice.
    expect "follow: Go follows Python, is killed, and goes on" "$wanted" uniq <(cat before after)
}
