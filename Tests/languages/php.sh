# php.sh - what scripts/test-langs runs for PHP

test_php() {
    if ! command -v php >/dev/null || ! php -m | grep -qx FFI; then
        skip php "PHP with FFI (php-cli)"
        return
    fi
    local php=(php -d ffi.enable=1 -d display_errors=1 -d error_reporting=-1)
    runner "the tests" "${php[@]}" "$root/Tests/php/run.php"
    block "$root/docs/php.md" php >first.php
    expect "docs/php.md begins with a program that works" "$(block "$root/docs/php.md" text)" \
        "${php[@]}" -d include_path="$root/bindings/php" first.php

    local audit=("${php[@]}" "$root/examples/php/audit.php") recorder hash
    mkfifo lines
    exec 3<>lines # to read as well, so that it does not wait for a reader
    start recorded "${audit[@]}" trail record <lines 3>&-
    recorder=$last
    printf 'ann opened the door\nnonsense\nbob left\n' >&3
    wait_for_lines recorded 3 || fail "audit: it records nothing: $(cat recorded)"
    kill_hard "$recorder"
    exec 3>&-
    expect "audit: what it had printed is there after a kill" $'1 ann opened the door\n2 bob left' "${audit[@]}" trail show
    bounded "${audit[@]}" trail record < <(echo "ann closed the door") >>recorded 2>&1
    expect "audit: it goes on where it stopped" $'1 ann opened the door\n3 ann closed the door' "${audit[@]}" trail show ann
    hash=$(sed -n 's/^2 \([0-9a-f]*\) bob left$/\1/p' recorded)
    expect "audit: the chain holds" "3 entries, the last one $(sed -n 's/^3 \([0-9a-f]*\) .*/\1/p' recorded)" "${audit[@]}" trail verify "$hash"
    refuse "audit: a hash that is not in it" "is not in the trail" "${audit[@]}" trail verify 0123456789abcdef
    refuse "audit: bad input" "usage" "${audit[@]}" trail
}
