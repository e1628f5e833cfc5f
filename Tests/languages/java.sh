# java.sh - what scripts/test-langs runs for Java

test_java() {
    local jna=/usr/share/java/jna.jar flags=(-Xlint:all -Werror -J-XX:+UseSerialGC -J-XX:TieredStopAtLevel=1)
    if ! command -v javac >/dev/null; then
        skip java "JDK (default-jdk-headless)"
        return
    elif [[ ! -r $jna ]]; then
        skip java "JNA (libjna-java)"
        return
    fi
    block "$root/docs/java.md" java >First.java
    if ! bounded javac "${flags[@]}" -cp "$jna" -d classes "$root"/bindings/java/src/libwalrus/*.java "$root"/Tests/java/*.java \
        "$root"/examples/java/*.java First.java; then
        fail "the binding, its tests, the example or the program of docs/java.md does not compile"
        return
    fi
    java=(java -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -cp "$jna:classes")
    runner "the tests" "${java[@]}" Run "$root/Tests/scenarios"
    expect "docs/java.md begins with a program that works" "$(block "$root/docs/java.md" text)" "${java[@]}" First
    java_example
}

java_example() {
    mkfifo commands
    exec 3<>commands # to read as well, so that it does not wait for a reader
    start served "${java[@]}" Account account <commands 3>&-
    local account=$last
    printf 'deposit 100\nwithdraw 130\nwithdraw 30\n' >&3
    wait_for_lines served 3 || fail "account: it does not answer: $(cat served)"
    expect "account: history is read beside the one that has it open" $'1: deposit 100\n2: withdraw 30' "${java[@]}" Account account history
    kill_hard "$account"
    exec 3>&-
    expect "account: commands" $'1: deposit 100, balance 100\nrefused: there are only 100 in the account\n2: withdraw 30, balance 70' cat served
    expect "account: killed, it goes on where it stopped" $'balance 70\n3: deposit 5, balance 75' \
        "${java[@]}" Account account < <(printf 'balance\ndeposit 5\n')
    # More events than one snapshot takes.
    for i in {1..150}; do echo "deposit 1"; done | bounded "${java[@]}" Account account >many 2>&1
    expect "account: it starts from a snapshot" "balance 225" "${java[@]}" Account account < <(echo balance)
    refuse "account: bad input" "usage" "${java[@]}" Account
}
