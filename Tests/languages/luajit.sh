# luajit.sh - what scripts/test-langs runs for LuaJIT

test_luajit() {
    if ! command -v luajit >/dev/null; then
        skip luajit "luajit"
        return
    fi
    runner "the tests" luajit "$root/Tests/luajit/run.lua" "$root"
    block "$root/docs/luajit.md" lua >first.lua
    expect "docs/luajit.md begins with a program that works" "$(block "$root/docs/luajit.md" text)" \
        env LUA_PATH="$root/bindings/luajit/?.lua;;" luajit first.lua

    local metrics=(luajit "$root/examples/luajit/metrics.lua") appender
    mkfifo lines
    exec 3<>lines # to read as well, so that it does not wait for a reader
    start appended "${metrics[@]}" metrics append <lines 3>&-
    appender=$last
    for i in {1..100}; do echo "load $i"; done >&3
    wait_for_lines appended 1 || fail "metrics: it appends nothing: $(cat appended)"
    expect "metrics: a summary beside the appender" "load: 100, mean 50.5, least 1, most 100" "${metrics[@]}" metrics summary
    kill_hard "$appender"
    exec 3>&-
    expect "metrics: killed, it goes on where it stopped" "102 measurements, all of them on stable storage; 1 lines left out" \
        "${metrics[@]}" metrics append < <(printf 'load 203\nnonsense\ntemperature -1.5\n')
    expect "metrics: the summary has all" $'load: 101, mean 52.0099, least 1, most 203\ntemperature: 1, mean -1.5, least -1.5, most -1.5' \
        "${metrics[@]}" metrics summary
    expect "metrics: of the last hour" $'load: 101, mean 52.0099, least 1, most 203\ntemperature: 1, mean -1.5, least -1.5, most -1.5' \
        "${metrics[@]}" metrics summary 3600
    refuse "metrics: there is nothing" "no such directory" "${metrics[@]}" none summary
    refuse "metrics: bad input" "usage" "${metrics[@]}" metrics
}
