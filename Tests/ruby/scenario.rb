# scenario.rb - runs one file of Tests/scenarios through the Ruby binding; README.md there defines the lines
#
# SPDX-License-Identifier: MIT
require "io/wait"

class Scenario
  Skipped = Class.new(StandardError)
  SYNCS = { "default" => nil, "durable" => :always, "os" => :os, "buffered" => :none }.freeze

  # What a method without a buffer cannot answer: the runner compares sizes itself.
  class TooSmall < StandardError
    attr_reader :size

    def initialize(size)
      super("too small")
      @size = size
    end
  end

  def initialize(path)
    @path, @logs, @cursors, @txns, @pending, @message = path, {}, {}, {}, [], ""
  end

  # ---- Lines

  def run(file)
    File.readlines(file, chomp: true).each.with_index(1) do |line, number|
      next if line.empty? || line.start_with?("#")

      begin
        run_line(line)
      rescue Skipped
        raise
      rescue StandardError => error
        raise "#{File.basename(file)}:#{number}: #{error.class} #{error.message} (#{line[0, 80]})"
      end
    end
  ensure
    @cursors.each_value(&:close)
    @txns.each_value(&:rollback)
    @logs.each_value(&:close)
  end

  def run_line(line)
    before, arrow, after = "#{line} ".partition(" -> ")
    tokens, expected = before.split, (after.split unless arrow.empty?)
    @handle = tokens.first.start_with?("@") ? tokens.shift[1..] : "main"
    came = outcome(tokens.shift, tokens)
    raise "success was expected, and #{came} came: #{@message}" if expected.nil? && came.first == "error"
    return if expected.nil?

    came = came.first(2) if came.first == "error" && expected.size == 2 # the size that is needed is not looked at
    same = came.size == expected.size && expected.zip(came).all? { |pair| agrees?(*pair) }
    raise "#{expected} was expected, and #{came.inspect[0, 300]} came" unless same
  end

  def outcome(operation, tokens)
    came = public_send("op_#{operation}", *tokens)
    came.is_a?(Array) ? came : []
  rescue TooSmall => error
    ["error", "TOO_SMALL", error.size]
  rescue Walrus::Error => error
    @message = error.message
    ["error", Walrus.strerror(error.code)[/WALRUS_E_(\w+)/, 1], *error.size]
  end

  def agrees?(expected, came)
    return true if expected == "*"

    case came
    when Integer then number(expected) == came
    when Symbol then expected == came.to_s
    when Array then expected.split(",").map { |part| bytes(part) } == came.map(&:b)
    else expected == came || bytes(expected) == came.b
    end
  end

  # ---- Tokens

  def number(token) = token == "max" ? (1 << 64) - 1 : Integer(token, 10)

  def bytes(token)
    once, star, times = token.partition("*")
    once = "" if token == "-"
    once.gsub(/%(\h\h)/n) { $1.hex.chr }.b * (star.empty? ? 1 : Integer(times))
  end

  def record(token)
    data, *numbers = token.split(",")
    Walrus::Record.new(bytes(data), *numbers.map { |one| number(one) })
  end

  def log = @logs.fetch(@handle)

  def keep(table, name)
    value = yield
    raise "there is one called #{name} already" if table.key?(name)

    table[name] = value
    nil
  end

  def fits(data, capacity) = data.bytesize > number(capacity) ? raise(TooSmall, data.bytesize) : [data]

  # ---- Library, options

  def op_needs(*functions)
    functions.each do |function|
      Walrus::C::LIBRARY[function]
    rescue Fiddle::DLError
      raise Skipped, "the library has no #{function}"
    end
    nil
  end

  def op_version
    number = Walrus.version_number
    raise Walrus.version if Walrus.version != [number / 10_000, number / 100 % 100, number % 100].join(".")

    [Walrus.abi_version]
  end

  def op_strerror(code) = [Walrus.strerror(code.to_i)[/[^:]*/]]
  def op_crc32(data) = [Walrus.crc32(bytes(data))]
  def op_message(text) = @message.b.include?(bytes(text)) ? nil : raise("the message is: #{@message}")
  def op_option(key, value) = [Walrus.check_option(key, bytes(value))]
  # Options are text here, a mode in octal; there is no other way to set one.
  def op_option_u64(key, value) = [Walrus.check_option(key, key == "file_mode" ? number(value).to_s(8).prepend("0") : value)]
  def op_option_default(key) = [Walrus.options.find { |option| option.key == key }.default]

  # ---- Open and close

  def op_open(*settings)
    keep(@logs, @handle) { Walrus.open(@path, **settings.to_h { |one| one.split("=", 2) }.to_h { |k, v| [k.to_sym, bytes(v)] }) }
  end

  def op_close = @logs.delete(@handle).close
  def op_shutdown = log.shutdown
  def op_destroy = Walrus.destroy(@path)
  def op_recovery = log.recovery_report.to_a.first(2)
  def op_bounds = [log.first_index, log.last_index, log.next_index]

  # ---- Append, durability

  def op_append(data) = [log.append(bytes(data))]
  def op_record(flags, token) = [log.append_record(record(token), sync: SYNCS.fetch(flags))]
  def op_batch(flags, *tokens) = [log.append_batch(tokens.map { |token| record(token) }, sync: SYNCS.fetch(flags))]

  def op_packed(flags, term, *tokens)
    data = tokens.map { |token| bytes(token) }
    [log.append_packed(data.join, data.map(&:bytesize), term: number(term), sync: SYNCS.fetch(flags))]
  end

  def op_async(token)
    @pending << log.append_async(record(token))
    [@pending.last]
  end

  # Without callbacks: each is waited for in turn.
  def op_completions
    done, @pending = @pending, []
    done.each { |index| log.wait_durable(index, 30) }
  end

  def op_sync = log.sync
  def op_durable = [log.durable_index]
  def op_interrupt = log.interrupt
  def seconds(ms) = ms == "-1" ? nil : number(ms) / 1000.0
  def op_wait_durable(index, timeout) = log.wait_durable(number(index), seconds(timeout))

  def op_notify(timeout)
    io = IO.for_fd(log.notify_fd, autoclose: false)
    return [:quiet] unless io.wait_readable(seconds(timeout))

    raise "no 8 bytes" if io.read_nonblock(8).size != 8

    [:readable]
  end

  # ---- Read

  def checked(entry, index = entry.index)
    raise "a wrong checksum or index: #{entry}" if entry.checksum != Walrus.crc32(entry.data) || entry.index != index

    entry.data
  end

  def op_get(index)
    entry = log.get(number(index))
    [checked(entry, number(index)), entry.term, entry.timestamp_ns]
  end

  def op_read(index, capacity) = fits(log.get(number(index)).data, capacity)

  def op_scan(first, last, most)
    found = []
    log.scan(number(first), number(last)) do |entry|
      found << checked(entry, number(first) + found.size)
      break if found.size == number(most)
    end
    found
  end

  def op_range(first, last, max_bytes, capacity)
    entries = log.range(number(first), number(last), max_bytes: number(max_bytes), max_count: number(capacity))
    entries.each.with_index(number(first)).map { |entry, index| checked(entry, index) }
  end

  def op_read_packed(first, count, capacity) = log.read_packed(number(first), max_count: number(count), capacity: number(capacity))
  def op_term(index) = [log.term(number(index))]
  def op_last_index_of_term(term) = [log.last_index_of_term(number(term))]
  def op_seek_time(time) = [log.seek_time(Integer(time))]

  # ---- Truncate

  def op_truncate(index) = log.truncate(number(index))
  def op_truncate_front(index) = log.truncate_front(number(index))
  def op_reset(index) = log.reset(number(index))
  # It is durable whatever the flags say, so the binding has none.
  def op_replace_suffix(from, _flags, *tokens) = log.replace_suffix(number(from), tokens.map { |token| record(token) })

  # ---- Cursors, transactions

  def op_cursor_open(name, index, which)
    keep(@cursors, name) { log.cursor(number(index), durable_only: which == "durable") }
  end

  def moved(entry) = [entry.index, checked(entry)]
  def op_cursor_next(name) = moved(@cursors.fetch(name).next)
  def op_cursor_prev(name) = moved(@cursors.fetch(name).prev)
  def op_cursor_seek(name, index) = @cursors.fetch(name).seek(number(index))
  def op_cursor_position(name) = [@cursors.fetch(name).position]
  def op_cursor_wait(name, timeout) = @cursors.fetch(name).wait(seconds(timeout))
  def op_cursor_close(name) = @cursors.delete(name).close

  def op_txn_begin(name, timeout)
    keep(@txns, name) { log.transaction({ "0" => nil, "-1" => Walrus::FOREVER }.fetch(timeout) { seconds(timeout) }) }
  end

  def op_txn_append(name, token) = @txns.fetch(name).append(record(token)) && nil
  def op_txn_commit(name, flags) = @txns.fetch(name).commit(sync: SYNCS.fetch(flags)).tap { @txns.delete(name) }
  def op_txn_rollback(name) = @txns.delete(name).rollback
  def op_txn_state(name) = [@txns.fetch(name).state]
  def op_txn_count = [log.txn_count]
  def op_txn_expire = [log.txn_expire]

  # ---- Metadata, operations

  def op_meta_set(key, value) = log.meta_set(bytes(key), bytes(value))
  def op_meta_stage(key, value) = log.meta_stage(bytes(key), bytes(value))
  def op_meta_delete(key) = log.meta_delete(bytes(key))
  # The binding answers nil where C says NOT_FOUND.
  def op_meta_get(key, capacity) = (value = log.meta(bytes(key))) ? fits(value, capacity) : %w[error NOT_FOUND]
  def op_meta_list = log.all_meta.to_a
  def op_rotate = log.rotate
  def op_segments = log.segments.map { |segment| "#{segment.first_index}:#{segment.last_index}" }
  def op_stats(field) = [log.stats.fetch(field.to_sym)]
  def op_stats_text(name) = [Integer(log.stats_text[/^#{name} (\d+)$/, 1])]

  # ---- The place

  def op_file(name, data)
    FileUtils.mkdir_p(@path)
    File.binwrite(File.join(@path, name), bytes(data))
    nil
  end

  def op_crash
    FileUtils.cp_r(@path, "#{@path}.crashed")
    op_close
    FileUtils.rm_r(@path)
    FileUtils.mv("#{@path}.crashed", @path)
    nil
  end

  def op_damage(data)
    content = bytes(data)
    found = Dir[File.join(@path, "*.wal")].select { |file| File.binread(file).include?(content) }
    raise "these bytes are in #{found}" if found.size != 1 || File.binread(found[0]).scan(content).size != 1

    all = File.binread(found[0])
    all.setbyte(all.index(content), content.getbyte(0) ^ 1)
    File.binwrite(found[0], all)
    nil
  end

  def op_sleep(ms) = sleep(number(ms) / 1000.0) && nil
end
