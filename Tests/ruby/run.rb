# run.rb - the tests of bindings/ruby: the scenarios, and what is Ruby's own
#
# SPDX-License-Identifier: MIT
require "fileutils"
require "tmpdir"
require_relative "../../bindings/ruby/walrus"
require_relative "scenario"

$passed = $failed = 0

def test(name)
  Dir.mktmpdir { |place| yield File.join(place, "log") }
  $passed += 1
rescue Scenario::Skipped => error
  puts "skipped #{name}: #{error.message}"
rescue Exception => error # rubocop:disable Lint/RescueException
  $failed += 1
  puts "FAILED  #{name}: #{error.class}: #{error.message}", error.backtrace.first(6)
end

def check(condition, came = nil)
  raise "this came: #{came.inspect}" unless condition
end

def refused(kind)
  yield
rescue kind => error
  error
else
  raise "#{kind} was expected, and success came"
end

files = Dir[File.join(__dir__, "../scenarios/*.scenario")].sort
check(!files.empty?)
files.each { |file| test(File.basename(file)) { |path| Scenario.new(path).run(file) } }

test "an error has its class, its code and its details" do |path|
  Walrus.open(path) do |log|
    error = refused(Walrus::NotFoundError) { log.get(7) }
    check(error.code == -2 && error.index == 7 && error.is_a?(Walrus::Error), error)
    check(log[7].nil? && log.meta("none").nil?)
    refused(Walrus::InvalidError) { log.meta_set("a\0b", "") }
    refused(Walrus::InvalidError) { log.get(-1) }
    refused(Walrus::InvalidError) { log.append_packed("abc", [1, 1]) }
    refused(Walrus::LockedError) { Walrus.open(path) }
  end
  check(refused(Walrus::IoError) { Walrus.open("#{path}/no/parent") }.errno == 2)
end

test "a closed log never reaches C" do |path|
  log = Walrus.open(path)
  log << "a"
  cursor, txn = log.cursor, log.transaction
  log.close
  log.close
  refused(Walrus::ClosedError) { log << "b" }
  refused(Walrus::ClosedError) { log.get(1) }
  refused(Walrus::ClosedError) { log.all_meta }
  refused(Walrus::ClosedError) { cursor.next }
  refused(Walrus::ClosedError) { cursor.wait }
  refused(Walrus::ClosedError) { txn << "b" }
  check([log.next_index, cursor.position] == [0, 0])
  2.times { cursor.close }
  2.times { txn.rollback }
  refused(Walrus::ClosedError) { cursor.seek(0) }
  refused(Walrus::TxnStateError) { txn.state }
end

test "close beside everything" do |path|
  5.times do
    log = Walrus.open(path, sync: "os")
    cursor, last = log.cursor, 0
    work = [-> { last = log.append("entry") }, -> { log.append_async("later") }, -> { log.get(1) }, -> { cursor.follow { |_| nil } },
            -> { log.wait_durable(log.last_index) }]
    threads = work.map do |one|
      Thread.new do
        loop { one.call }
      rescue Walrus::ClosedError
        :closed
      rescue Walrus::NotFoundError
        retry
      end
    end
    sleep 0.03
    log.close
    threads.each { |thread| check(thread.join(20)&.value == :closed, thread) }
    Walrus.open(path) { |again| check(again.last_index >= last, again.last_index) }
  end
end

test "waits end" do |path|
  Walrus.open(path) do |log|
    cursor = log.cursor
    refused(Walrus::TimeoutError) { cursor.wait(0.005) }
    { -> { log.interrupt } => Walrus::CanceledError, -> { log.shutdown } => Walrus::ClosedError }.each do |stop, kind|
      thread = Thread.new { refused(kind) { cursor.wait } }
      sleep 0.03
      stop.call
      check(thread.join(20), "a wait without an end")
    end
  end
  Walrus.open(path) do |log|
    thread = Thread.new { log.cursor.wait }
    thread.report_on_exception = false
    sleep 0.03
    thread.raise(Interrupt)
    refused(Interrupt) { check(thread.join(20), "a wait that does not hear") }
  end
end

test "a block may do anything" do |path|
  Walrus.open(path, sync: "none") do |log|
    log.append_batch((1..600).map(&:to_s)) # more than a page
    check(log.scan(1) { |entry| log << "later" if entry.index == 600 }.equal?(log))
    check(log.map(&:data).first(600) == (1..600).map(&:to_s), log.count)
    check(log.scan(1) { |entry| break entry.index if entry.index == 300 } == 300)
    refused(ZeroDivisionError) { log.scan(1) { 1 / 0 } }
    refused(Walrus::ClosedError) { log.scan(1) { log.close } }
  end
end

test "a transaction is all or nothing" do |path|
  Walrus.open(path) do |log|
    log.transaction { |txn| txn << "a" << "b" }
    refused(ZeroDivisionError) { log.transaction { |txn| txn << (1 / 0).to_s } }
    check(log.map(&:data) == %w[a b])
  end
end

test "a forked child is told" do |path|
  Walrus.open(path) do |log|
    log << "a"
    cursor = log.cursor
    pid = fork do
      refused(Walrus::ForkedError) { log << "b" }
      refused(Walrus::ForkedError) { cursor.next }
      cursor.close
      log.close
      exit!(0)
    rescue Exception # rubocop:disable Lint/RescueException
      exit!(1)
    end
    check(Process.wait2(pid)[1].success?)
    pid = fork { exit(0) } # finalizers run there
    check(Process.wait2(pid)[1].success?)
    log << "c"
    check(log.map(&:data) == %w[a c])
  end
end

test "convert keeps everything but the format" do |path|
  target = "#{path}.json"
  Walrus.open(path) do |log|
    log.append_record("hello", term: 3, index: 5)
    log.meta_set("key", "value")
    Walrus.convert(path, target, format: "json")
  end
  Walrus.open(target, format: "json") { |copy| check(copy.get(5).to_a.values_at(1, 3) == [3, "hello"] && copy.meta("key") == "value") }
  refused(Walrus::FormatError) { Walrus.open(path, format: "json") }
  refused(Walrus::InvalidError) { Walrus.convert(path, path) }
end

test "what is forgotten is freed" do |path|
  Thread.new { Walrus.open(path).cursor && nil }.join
  finish = Time.now + 20
  begin
    GC.start
    Walrus.open(path).close
  rescue Walrus::LockedError
    sleep 0.01
    Time.now < finish ? retry : raise
  end
end

test "collections at any place free what is forgotten" do |path|
  Thread.new do
    log = Walrus.open(path, sync: "none")
    200.times { log.cursor && log.transaction && log.append("a") }
    GC.start
    log.append("b")
    check(log.txn_count < 200, log.txn_count)
  end.join
  1000.times { "x" * 100_000 } # collections, at places that Ruby chooses
  GC.start
  Walrus.open(path) { |log| check(log.last_index == 201, log.last_index) }
end

test "collections during calls" do |path|
  GC.stress = true
  Walrus.open(path, sync: "none") do |log|
    3.times { |i| log.append_batch(["x" * 5, Walrus::Record.new("y#{i}", 3)]) }
    log.meta_set("key", "value")
    check(log.map(&:data).last == "y2" && log.all_meta == { "key" => "value" } && log.segments.size == 1)
  end
ensure
  GC.stress = false
end

puts "#{$passed} passed, #{$failed} failed"
exit($failed.zero?)
