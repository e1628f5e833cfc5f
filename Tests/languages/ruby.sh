# ruby.sh - what scripts/test-langs runs for Ruby

test_ruby() {
    if ! command -v ruby >/dev/null; then
        skip ruby "ruby"
        return
    fi
    runner "the tests" ruby -w "$root/Tests/ruby/run.rb"
    block "$root/docs/ruby.md" ruby >first.rb
    expect "docs/ruby.md begins with a program that works" "$(block "$root/docs/ruby.md" text)" ruby -I "$root/bindings/ruby" first.rb

    local jobs=(ruby -w "$root/examples/ruby/jobs.rb")
    expect "jobs: they go in" $'job 1: mail\njob 2: print' "${jobs[@]}" jobs add < <(printf 'mail\nprint\n')
    start worker "${jobs[@]}" jobs work 1
    local worker=$last
    wait_for_lines worker 2 || fail "jobs: the worker does nothing: $(cat worker)"
    expect "jobs: they are listed beside a worker" $'1 done: mail\n2 waits: print' "${jobs[@]}" jobs list
    refuse "jobs: a second worker is refused" "another worker has jobs open" "${jobs[@]}" jobs work
    kill_hard "$worker"
    bounded "${jobs[@]}" jobs work >again 2>&1
    expect "jobs: the one that was killed goes on, and does nothing twice" "doing 2: print" grep -v '^jobs:' again
    expect "jobs: all are done" $'1 done: mail\n2 done: print' "${jobs[@]}" jobs list
    refuse "jobs: bad input" "usage" "${jobs[@]}" jobs
}
