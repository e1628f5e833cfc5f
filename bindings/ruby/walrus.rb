# walrus.rb - libwalrus for Ruby, over Fiddle: an embeddable write-ahead log
#
#     require "walrus"
#     Walrus.open("orders") do |log|
#       index = log.append("hello")   # on stable storage when it returns
#       log[index]                    # "hello"
#     end
#
# Each method says what include/walrus.h says of the function that it stands for, and raises a Walrus::Error where that fails.
#
#   - No call reaches C with a freed handle: calls are counted, and close waits until none is left. Any thread may use a log.
#   - What C lends is copied, and given back before a method returns. A block never runs inside of a call of C.
#   - A wait is made of short ones, so that Ctrl-C and Thread#raise are heard.
#   - Ruby cannot take calls on foreign threads, so there are neither completions nor a logger: append_async and wait_durable.
#
# SPDX-License-Identifier: MIT
require "fiddle"
require "monitor"

module Walrus
  # ---- Errors

  # What every method raises when the library refuses: its code, and a message to act on. Each code is a class of its own.
  class Error < StandardError
    attr_reader :code, :errno, :index, :offset, :path
    attr_accessor :size # TooSmallError: the bytes needed

    def initialize(message, code = self.class::CODE, errno: 0, index: 0, offset: 0, path: "")
      super(message)
      @code, @errno, @index, @offset, @path = code, errno, index, offset, path
    end
  end

  ERRORS = %w[Invalid NotFound Compacted OutOfOrder TooLarge TooSmall Exists NoLog NotALog Version Format Locked ReadOnly Io
              NoSpace NoMemory Corrupt Torn Poisoned Closed Timeout Canceled CaughtUp TxnState TxnExpired TxnFull Forked Busy
              Unsupported Internal].each.with_index(1).to_h do |name, number|
    kind = const_set("#{name}Error", Class.new(Error))
    kind.const_set(:CODE, -number)
    [-number, kind]
  end.freeze

  # ---- The library

  module C # :nodoc:
    LIBRARY = Fiddle.dlopen(ENV["WALRUS_LIBRARY"] || "libwalrus.so.1")
    TYPES = { "p" => Fiddle::TYPE_VOIDP, "i" => Fiddle::TYPE_INT, "u" => -Fiddle::TYPE_INT, "l" => Fiddle::TYPE_LONG_LONG,
              "U" => -Fiddle::TYPE_LONG_LONG, "v" => Fiddle::TYPE_VOID }.freeze

    # Arguments, then the result: p pointer, i and u 32 bits, l and U 64 bits (signed, unsigned), v nothing.
    FUNCTIONS = {
      version: ":p", version_number: ":u", abi_version: ":u", strerror: "i:p", last_error: "p:i", crc32: "pU:u",
      options_new: ":p", options_free: "p:v", options_set: "ppp:i", options_set_u64: "ppU:i", options_get: "pppUp:i",
      options_each: "ppp:i", open: "ppp:i", shutdown: "p:i", close: "p:i", recovery_report: "pp:i", destroy: "p:i",
      append: "ppUp:i", append_record: "ppup:i", append_batch: "ppUup:i", append_packed: "pppUUup:i", append_async: "ppuppp:i",
      sync: "p:i", durable_index: "p:U", wait_durable: "pUl:i", notify_fd: "pp:i", interrupt: "p:i",
      first_index: "p:U", last_index: "p:U", next_index: "p:U", get: "pUp:i", entry_release: "p:v", read: "pUpUp:i",
      get_range: "pUUUpUp:i", entries_release: "pU:v", read_packed: "pUUpUpp:i", term: "pUp:i", last_index_of_term: "pUp:i",
      seek_time: "plp:i", cursor_open: "pUup:i", cursor_next: "pp:i", cursor_prev: "pp:i", cursor_seek: "pU:i",
      cursor_position: "p:U", cursor_wait: "pl:i", cursor_close: "p:v", truncate: "pU:i", truncate_front: "pU:i", reset: "pU:i",
      replace_suffix: "pUpUu:i", txn_begin: "plp:i", txn_append: "pp:i", txn_commit: "pupp:i", txn_rollback: "p:i",
      txn_state: "p:i", txn_count: "p:U", txn_expire: "pp:i", meta_set: "pppU:i", meta_get: "pppUp:i", meta_delete: "pp:i",
      meta_each: "ppp:i", meta_stage: "pppU:i", convert: "ppppp:i", rotate: "p:i", segments: "ppp:i", stats: "pp:i", stats_text: "ppUp:i"
    }.freeze

    FUNCTIONS.each do |name, types|
      arguments, result = types.split(":")
      function = Fiddle::Function.new(LIBRARY["walrus_#{name}"], arguments.chars.map { |type| TYPES[type] }, TYPES[result])
      define_singleton_method(name) { |*values| function.call(*values) }
    end

    # Structs: as abi/walrus-1.abi records them.
    ERROR_SIZE = 1056
    ENTRY_SIZE = 56
    RECORD = "JJQQqQQ"
    REPORT_SIZE = 392
    HISTOGRAM = 24
    STATS = %i[first_index last_index durable_index segments async_pending txn_open appends entries_appended bytes_appended
               bytes_written syncs entries_synced largest_group sync_ns sync_ns_max sync_histogram rotations truncations
               segments_removed segment_cache_hits segment_cache_misses txn_committed txn_rolled_back txn_expired meta_updates
               recovery_ns recovery_bytes_cut recovery_entries_cut].freeze
    STATS_SIZE = 8 + 8 * (STATS.size - 1 + HISTOGRAM)

    module_function

    # Memory of so many zero bytes; with a struct_size, where it has one. A String: Ruby frees it, and does not move its bytes.
    def zeroed(size, struct_size: nil)
      memory = "\0".b * size
      memory[0, 4] = [struct_size].pack("L") if struct_size
      memory
    end

    # Raises what a call of this thread failed with.
    def check(code)
      return code if code >= 0

      error = zeroed(ERROR_SIZE, struct_size: ERROR_SIZE)
      last_error(error)
      errno, _, index, offset, path, message = error.unpack("@8lLQQZ512Z512")
      message.force_encoding(Encoding::UTF_8)
      raise (ERRORS[code] || Error).new(message, code, errno: errno, index: index, offset: offset, path: path)
    end

    # A string that C reads up to its NUL: one inside of it would hide the rest.
    def text(what, value)
      bytes = value.to_s.b
      raise InvalidError, "#{what} has a NUL in it: leave that out" if bytes.include?("\0")

      bytes << "\0"
    end

    # For an unsigned argument: Fiddle would wrap what is out of bounds.
    def unsigned(number, bits = 64)
      number = Integer(number)
      raise InvalidError, "#{number} is not a number of #{bits} bits without a sign" unless number.between?(0, (1 << bits) - 1)

      number
    end

    def signed(number)
      number = Integer(number)
      raise InvalidError, "#{number} is not a number of 64 bits" unless number.between?(-(1 << 63), (1 << 63) - 1)

      number
    end
  end
  raise LoadError, "this binding knows version 1 of libwalrus' interface, and the library has another" if C.abi_version != 1

  FLAGS = { nil => 0, always: 1, os: 2, none: 4 }.freeze # what replaces the log's sync for one call
  REASONS = %i[clean complete torn batch reordered].freeze
  TXN_STATES = [nil, :open, :expired, :committed].freeze
  FOREVER = Float::INFINITY

  Entry = Struct.new(:index, :term, :timestamp_ns, :data, :checksum)
  Record = Struct.new(:data, :term, :index, :timestamp_ns) # to append; whatever is nil is 0: the next index, the time now
  RecoveryReport = Struct.new(:reason, :entries_cut, :bytes_cut, :cut_index, :cut_offset, :segments_scanned, :bytes_scanned,
                              :duration_ns, :durable_index, :segment, :message)
  Segment = Struct.new(:is_tail, :id, :first_index, :last_index, :bytes, :file_bytes, :highest_timestamp_ns, :name)
  Option = Struct.new(:key, :default, :allowed)

  module C # :nodoc:
    module_function

    def copy_of_entry(memory)
      index, term, timestamp, data, size, checksum = memory.unpack("QQqJJL")
      Entry.new(index, term, timestamp, size.zero? ? "".b : Fiddle::Pointer.new(data)[0, size], checksum)
    end

    # Packed records, and the strings that they point into, which have to be kept until the call is over.
    def records(list)
      kept = list.map { |one| one.is_a?(Record) ? one : Record.new(one) }
      packed = kept.map do |one|
        data = String(one.data)
        address = data.empty? ? 0 : Fiddle::Pointer[data].to_i
        [address, data.bytesize, unsigned(one.index || 0), unsigned(one.term || 0), signed(one.timestamp_ns || 0), 0, 0]
          .pack(RECORD)
      end
      [packed.join, kept]
    end

    def flags(sync)
      FLAGS.fetch(sync&.to_sym) { raise InvalidError, "sync: is :always, :os or :none, and not #{sync.inspect}" }
    end

    def with_options(settings)
      options = options_new
      raise NoMemoryError, "there is no memory for options" if options.null?

      settings.each do |key, value|
        check(options_set(options, text("the option", key), text("the value of #{key}", value)))
      end
      yield options
    ensure
      options_free(options) if options && !options.null?
    end
  end

  class << self
    # Opens the log in a directory, with options by their names: sync: "os", segment_size: "1MiB"; Walrus.options lists them.
    # With a block: closes it at its end.
    def open(directory, **options)
      log = Log.new(directory, **options)
      return log unless block_given?

      begin
        yield log
      ensure
        log.close
      end
    end

    def destroy(directory) = C.check(C.destroy(C.text("the directory", directory))) && nil

    # Copies a log into another one, in the format and with the compression that options say, with the same indexes, terms, times and
    # metadata. A copy that died goes on where it was when it is called again.
    def convert(source, target, **options)
      C.with_options(options) do |settings|
        C.check(C.convert(C.text("the source", source), C.text("the target", target), settings, nil, nil))
      end
      nil
    end

    def version = C.version.to_s
    def version_number = C.version_number
    def abi_version = C.abi_version
    def strerror(code) = C.strerror(code).to_s
    def crc32(data) = C.crc32(String(data), String(data).bytesize)

    # All settings of the library.
    def options
      all = []
      visit = Fiddle::Closure::BlockCaller.new(Fiddle::TYPE_INT, [Fiddle::TYPE_VOIDP] * 4) do |_, key, default, allowed|
        all << Option.new(key.to_s, default.to_s, allowed.to_s)
        0
      end
      C.check(C.options_each(nil, visit, nil))
      all
    end

    # How the library understands a setting, as in ("segment_size", "64KiB") to "65536", or why it does not.
    def check_option(key, value)
      C.with_options(key => value) do |options|
        text = C.zeroed(256) # no option is longer
        C.check(C.options_get(options, C.text("the option", key), text, text.bytesize, nil))
        text.unpack1("Z*")
      end
    end
  end

  # ---- An open log

  # What a log shares with its cursors, transactions and finalizer.
  class State # :nodoc:
    SLICE_MS = 50

    attr_reader :handle, :interrupts, :freeing

    def initialize(path, handle)
      @path, @handle, @pid = path, handle, Process.pid
      @mutex, @returned = Mutex.new, ConditionVariable.new
      @freeing = Monitor.new # held while C frees what belongs to the log, or the log itself
      @calls, @closing, @closed, @interrupts = 0, false, false, 0
      @late = Queue.new # what finalizers have left to be freed
    end

    def closed_error = ClosedError.new("log '#{@path}' is closed: open it again to use it")
    def closing? = @closing
    def forked? = Process.pid != @pid

    def enter
      # In a forked child the lock may be held by a thread that is not there any more, and nothing may be done anyway.
      raise ForkedError, "log '#{@path}' was opened before the fork: open it anew here" if forked?

      @mutex.synchronize do
        raise closed_error if @closing

        @calls += 1
      end
      begin
        free_late unless @late.empty?
        yield
      ensure
        @mutex.synchronize do
          @calls -= 1
          @returned.broadcast if @calls.zero?
        end
      end
    end

    def call(function, *arguments)
      enter { C.check(C.public_send(function, @handle, *arguments)) }
    end

    # A call with a place for one number that it gives.
    def give(function, *arguments, type: "Q")
      place = C.zeroed(8)
      call(function, *arguments, place)
      place.unpack1(type)
    end

    def interrupt
      @interrupts += 1
      call(:interrupt)
    end

    # Yields milliseconds until the block does not raise TimeoutError any more, or timeout seconds are over; nil: for ever.
    def wait(timeout)
      deadline = timeout && now + timeout
      before = @interrupts
      loop do
        left = deadline ? ((deadline - now) * 1000).ceil.clamp(0, SLICE_MS) : SLICE_MS
        begin
          return yield(left)
        rescue TimeoutError
          raise if deadline && left.zero?
        end
        raise CanceledError, "interrupt ended the wait" if @interrupts != before # it came between two short waits
      end
    end

    def now = Process.clock_gettime(Process::CLOCK_MONOTONIC)

    def close
      return free_in_child if forked?

      @mutex.synchronize do
        return if @closing

        @closing = true
      end
      C.shutdown(@handle) # whoever waits comes back
      @mutex.synchronize { @returned.wait(@mutex) until @calls.zero? }
      @freeing.synchronize { C.check(close_handle) }
      nil
    end

    def close_handle
      free_late
      C.close(@handle)
    ensure
      @closed = true
      free_late
    end

    # By a finalizer, which may take no lock: beside a close that is under way it must not free anything.
    def free_later(free, handle)
      @closed || forked? ? C.public_send(free, handle) : @late << [free, handle]
    end

    def free_late
      loop { C.public_send(*@late.pop(true)) }
    rescue ThreadError
      nil # it is empty
    end

    # A child frees its copy of the memory, and touches nothing else.
    def free_in_child
      C.close(@handle) unless @closing
      @closing = true
      nil
    end

    # Nobody holds the log any more: there is no call to wait for, and nobody to be told of a failure.
    def finalizer
      proc do
        next if @closing

        @closing = true
        forked? ? C.close(@handle) : close_handle
      end
    end
  end

  # The handle of a cursor or a transaction; one thread at a time.
  class Owned # :nodoc:
    def initialize(state, handle, free, over)
      @state, @handle, @free, @over, @lock = state, handle, free, over, Monitor.new
    end

    def use
      @lock.synchronize do
        raise(*@over) if @handle.zero?

        yield @handle
      end
    end

    def call(function, *arguments) = use { |handle| @state.enter { C.check(C.public_send(function, handle, *arguments)) } }
    def forget = @handle = 0

    def free
      return free_handle if @state.forked?

      @lock.synchronize { free_handle }
    end

    def free_handle
      handle, @handle = @handle, 0
      return if handle.zero?
      return C.public_send(@free, handle) && nil if @state.forked?

      @state.freeing.synchronize { C.public_send(@free, handle) } # not while another thread closes the log
      nil
    end

    def finalizer
      proc do
        handle, @handle = @handle, 0
        @state.free_later(@free, handle) unless handle.zero?
      end
    end
  end

  class Log
    include Enumerable

    PAGE_ENTRIES = 256
    PAGE_BYTES = 1 << 20
    private_constant :PAGE_ENTRIES, :PAGE_BYTES

    attr_reader :path

    def initialize(directory, **options)
      @path = directory.to_s
      out = C.zeroed(8)
      C.with_options(options) { |settings| C.check(C.open(C.text("the directory", @path), settings, out)) }
      @state = State.new(@path, out.unpack1("J"))
      ObjectSpace.define_finalizer(self, @state.finalizer)
    end

    # Writes and syncs what is not durable yet, and frees the log. Waits of other threads raise ClosedError. Again: does nothing.
    def close
      @state.close
    end

    def closed? = @state.closing?
    # Ends use of the log: every later call, and every one that waits, raises ClosedError. close is still due.
    def shutdown = @state.call(:shutdown) && nil

    def recovery_report
      report = C.zeroed(C::REPORT_SIZE, struct_size: C::REPORT_SIZE)
      @state.call(:recovery_report, report)
      reason, *rest = report.unpack("@4lQQQQQQQQZ64Z256")
      RecoveryReport.new(REASONS[reason] || :unknown, *rest)
    end

    # ---- Append

    # Appends data as the next entry, with the term of the one before it, and returns its index.
    def append(data)
      data = String(data)
      @state.give(:append, data, data.bytesize)
    end

    def <<(data)
      append(data)
      self
    end

    # Appends a Record, or data with its own term, index and time. sync: replaces the log's for this call: :always, :os, :none.
    def append_record(data, term: 0, index: 0, timestamp_ns: 0, sync: nil)
      record = data.is_a?(Record) ? data : Record.new(data, term, index, timestamp_ns)
      packed, _kept = C.records([record])
      @state.give(:append_record, packed, C.flags(sync))
    end

    # Appends strings or Records as one: after any crash all of them are there or none. Returns the first one's index.
    def append_batch(list, sync: nil)
      packed, kept = C.records(list)
      @state.give(:append_batch, packed, kept.size, C.flags(sync))
    end

    # Appends a batch that is given as one string and the sizes of its entries, which have to add up to it.
    def append_packed(data, sizes, term: 0, sync: nil)
      data = String(data)
      raise InvalidError, "the sizes do not add up to #{data.bytesize} bytes" if sizes.sum != data.bytesize || sizes.any?(&:negative?)

      list = sizes.pack("L*")
      @state.give(:append_packed, data, list, sizes.size, C.unsigned(term), C.flags(sync))
    end

    # Appends, and does not wait for the entry to become durable: many share a sync. wait_durable or durable_index tell.
    def append_async(data, term: 0, index: 0, timestamp_ns: 0)
      record = data.is_a?(Record) ? data : Record.new(data, term, index, timestamp_ns)
      packed, _kept = C.records([record])
      @state.give(:append_async, packed, 0, nil, nil)
    end

    # ---- Durability

    # Returns once every entry that was appended before, and all staged metadata, is on stable storage.
    def sync = @state.call(:sync) && nil
    # The highest index known to be on stable storage, or 0.
    def durable_index = number(:durable_index)
    # Waits until the entry at index is durable, at most timeout seconds; nil: for ever, 0 tells at once.
    def wait_durable(index, timeout = nil)
      index = C.unsigned(index)
      @state.wait(timeout) { |ms| @state.call(:wait_durable, index, ms) }
      nil
    end

    # A descriptor that becomes readable when the durable index has moved (of a read-only log: the last index). The log's own:
    # IO.for_fd(fd, autoclose: false).
    def notify_fd = @state.give(:notify_fd, type: "l")
    # Ends every wait on the log that began before: CanceledError.
    def interrupt = @state.interrupt && nil

    # ---- Read

    def first_index = number(:first_index)
    def last_index = number(:last_index)
    def next_index = number(:next_index)

    # One entry.
    def get(index)
      entry = C.zeroed(C::ENTRY_SIZE)
      @state.call(:get, C.unsigned(index), entry)
      begin
        C.copy_of_entry(entry)
      ensure
        C.entry_release(entry)
      end
    end

    # The data of one entry; nil where there is none.
    def [](index)
      get(index).data
    rescue NotFoundError, CompactedError
      nil
    end

    # Up to max_count entries from first to last, fewer before their bytes exceed max_bytes, but one.
    def range(first, last, max_bytes: PAGE_BYTES, max_count: PAGE_ENTRIES)
      raise InvalidError, "max_count has to be at least 1" if max_count < 1

      # Memory is taken for what there may be, not for what was asked.
      capacity = max_count.clamp(1, [last_index - first + 1, 1].max)
      entries, count = C.zeroed(C::ENTRY_SIZE * capacity), C.zeroed(8)
      @state.call(:get_range, C.unsigned(first), C.unsigned(last), C.unsigned(max_bytes), entries, capacity, count)
      count = count.unpack1("Q")
      begin
        Array.new(count) { |i| C.copy_of_entry(entries.byteslice(i * C::ENTRY_SIZE, C::ENTRY_SIZE)) }
      ensure
        C.entries_release(entries, count)
      end
    end

    # Yields each entry from first to last, in order; what comes in meanwhile is not among them. The block may do anything.
    def scan(first, last = (1 << 64) - 1)
      return enum_for(:scan, first, last) unless block_given?

      bound = last_index
      last = bound if last > bound && first <= bound
      capacity = PAGE_ENTRIES
      loop do
        begin
          page = range(first, last, max_count: capacity)
        rescue Error
          raise if capacity == 1

          capacity = 1 # what lies before the entry that cannot be read is still handed out
          next
        end
        page.each { |entry| yield entry }
        first += page.size
        return self if first > last
      end
    end

    # Yields each entry.
    def each(&block)
      return enum_for(:each) unless block
      return self if last_index.zero?

      scan(first_index, &block)
    end

    # The strings from first on, up to max_count whose bytes fit capacity; TooSmallError: not even the first one does.
    def read_packed(first, max_count: 65_536, capacity: PAGE_BYTES)
      most = max_count.clamp(0, [last_index - first + 1, 1].max)
      buffer, sizes, count = C.zeroed(capacity), C.zeroed(4 * [most, 1].max), C.zeroed(8)
      begin
        @state.call(:read_packed, C.unsigned(first), most, buffer, capacity, sizes, count)
      rescue TooSmallError => error
        error.size = sizes.unpack1("L")
        raise
      end
      offset = 0
      sizes.unpack("L#{count.unpack1('Q')}").map do |size|
        offset += size
        buffer.byteslice(offset - size, size)
      end
    end

    def term(index) = @state.give(:term, C.unsigned(index))
    # The highest index whose entry has this term.
    def last_index_of_term(term) = @state.give(:last_index_of_term, C.unsigned(term))
    # The first index that holds an entry of this time (nanoseconds, or a Time) or a later one, or one that comes after such.
    def seek_time(time) = @state.give(:seek_time, C.signed(time.is_a?(Time) ? time.to_i * 1_000_000_000 + time.nsec : time))

    # A cursor before the entry at index; 0 is the first one. With a block: closes it at its end.
    def cursor(index = 0, durable_only: false)
      cursor = Cursor.new(@state, self, C.unsigned(index), durable_only ? 1 : 0)
      return cursor unless block_given?

      begin
        yield cursor
      ensure
        cursor.close
      end
    end

    # ---- Truncate: all durable on return

    # Drops every entry after index.
    def truncate(index) = @state.call(:truncate, C.unsigned(index)) && nil
    # Drops every entry before index.
    def truncate_front(index) = @state.call(:truncate_front, C.unsigned(index)) && nil
    # Drops every entry; the next one gets next_index.
    def reset(next_index) = @state.call(:reset, C.unsigned(next_index)) && nil

    # Drops every entry from index from on and appends strings or Records in their place, as one step across any crash.
    def replace_suffix(from, list)
      packed, kept = C.records(list)
      @state.call(:replace_suffix, C.unsigned(from), packed, kept.size, 0)
      nil
    end

    # ---- Transactions

    # A transaction that expires after timeout seconds; nil: as the option txn_timeout_ms says, FOREVER: never. With a block: commits
    # at its end, and rolls back if it raises.
    def transaction(timeout = nil)
      txn = Transaction.new(@state, self, timeout == FOREVER ? -1 : ((timeout || 0) * 1000).ceil)
      return txn unless block_given?

      begin
        yield txn
        txn.commit
      ensure
        txn.rollback
      end
    end

    def txn_count = number(:txn_count)
    def txn_expire = @state.give(:txn_expire)

    # ---- Metadata: small values beside the log that no truncation touches

    # Sets a value, durable on return.
    def meta_set(key, value)
      value = String(value)
      @state.call(:meta_set, C.text("the key", key), value, value.bytesize)
      nil
    end

    # Stages a value to be set together with the next append: after a crash both are there or none.
    def meta_stage(key, value)
      value = String(value)
      @state.call(:meta_stage, C.text("the key", key), value, value.bytesize)
      nil
    end

    # A value; nil where there is none.
    def meta(key)
      value = C.zeroed(65_536) # none is larger
      value.byteslice(0, @state.give(:meta_get, C.text("the key", key), value, value.bytesize))
    rescue NotFoundError
      nil
    end

    def meta_delete(key) = @state.call(:meta_delete, C.text("the key", key)) && nil

    # All keys and values, in the order of the keys' bytes.
    def all_meta
      all = {}
      visit = Fiddle::Closure::BlockCaller.new(Fiddle::TYPE_INT, [*[Fiddle::TYPE_VOIDP] * 3, -Fiddle::TYPE_LONG_LONG]) do |_, key, value, size|
        all[key.to_s] = size.zero? ? "".b : value[0, size]
        0
      end
      @state.call(:meta_each, visit, nil)
      all
    end

    # ---- Operations

    # Ends the last segment and begins a new one.
    def rotate = @state.call(:rotate) && nil

    # The files of the log, oldest first.
    def segments
      all = []
      visit = Fiddle::Closure::BlockCaller.new(Fiddle::TYPE_INT, [Fiddle::TYPE_VOIDP] * 2) do |_, segment|
        tail, *numbers, name = segment[0, 64].unpack("@4LQQQQQqJ")
        all << Segment.new(tail == 1, *numbers, Fiddle::Pointer.new(name).to_s)
        0
      end
      @state.call(:segments, visit, nil)
      all
    end

    # Counts by their names in walrus_stats_t; sync_histogram is an array.
    def stats
      memory = C.zeroed(C::STATS_SIZE, struct_size: C::STATS_SIZE)
      @state.call(:stats, memory)
      poisoned, *numbers = memory.unpack("@4LQ*")
      counts = C::STATS.to_h { |name| [name, name == :sync_histogram ? numbers.shift(C::HISTOGRAM) : numbers.shift] }
      { is_poisoned: poisoned, **counts }
    end

    # The same as text in the Prometheus exposition format.
    def stats_text
      text = C.zeroed(65_536) # many times what there is
      @state.give(:stats_text, text, text.bytesize)
      text.unpack1("Z*")
    end

    def inspect = "#<Walrus::Log #{@path}#{' (closed)' if closed?}>"

    private

    # 0 where it cannot answer.
    def number(function)
      @state.enter { C.public_send(function, @state.handle) }
    rescue ClosedError, ForkedError
      0
    end
  end

  # A position between two entries; Log#cursor makes one. Where the log is truncated below it, it goes back to the cut. Over a log
  # that was opened with read_only: true it follows a writer in another process.
  class Cursor
    def initialize(state, log, index, flags) # :nodoc:
      @state, @log = state, log # the log stays as long as this
      @owned = Owned.new(state, state.give(:cursor_open, index, flags), :cursor_close,
                         [ClosedError, "this cursor is closed: open another one"])
      ObjectSpace.define_finalizer(self, @owned.finalizer)
    end

    # Reads the entry behind the cursor and steps over it. CaughtUpError: there is none yet; CompactedError: seek(0).
    def next = read(:cursor_next)
    # Reads the entry before the cursor and steps back over it.
    def prev = read(:cursor_prev)
    def seek(index) = @owned.call(:cursor_seek, C.unsigned(index)) && nil

    # The index that next would read: where to go on after a restart. 0 when the cursor or its log is closed.
    def position
      @owned.use { |handle| @state.enter { C.cursor_position(handle) } }
    rescue ClosedError, ForkedError
      0
    end

    # Waits until next has something to say, at most timeout seconds; nil: for ever. TimeoutError, CanceledError, ClosedError.
    def wait(timeout = nil)
      @state.wait(timeout) { |ms| @owned.call(:cursor_wait, ms) }
      nil
    end

    # Yields the entries behind the cursor, and each that comes later; ends when none came for timeout seconds.
    def follow(timeout = nil)
      return enum_for(:follow, timeout) unless block_given?

      loop do
        begin
          entry = self.next
        rescue CaughtUpError
          begin
            wait(timeout)
          rescue TimeoutError
            return
          end
          next
        end
        yield entry
      end
    end

    # May come after close of the log, and again.
    def close = @owned.free

    private

    def read(function)
      entry = C.zeroed(C::ENTRY_SIZE)
      @owned.call(function, entry)
      begin
        C.copy_of_entry(entry)
      ensure
        C.entry_release(entry)
      end
    end
  end

  # Entries staged in memory, and appended as one batch; Log#transaction makes one.
  class Transaction
    def initialize(state, log, timeout_ms) # :nodoc:
      @log = log # stays as long as this
      @owned = Owned.new(state, state.give(:txn_begin, timeout_ms), :txn_rollback,
                         [TxnStateError, "this transaction is over: begin another one"])
      ObjectSpace.define_finalizer(self, @owned.finalizer)
    end

    # Stages a copy of a string or Record.
    def append(data, term: 0, index: 0, timestamp_ns: 0)
      packed, _kept = C.records([data.is_a?(Record) ? data : Record.new(data, term, index, timestamp_ns)])
      @owned.call(:txn_append, packed)
      self
    end
    alias << append

    # Appends what was staged as one batch; returns the first index and the count. After a failure it can be committed again,
    # unless state says :committed.
    def commit(sync: nil)
      first, count = C.zeroed(8), C.zeroed(8)
      @owned.use do
        @owned.call(:txn_commit, C.flags(sync), first, count)
        @owned.forget
      end
      [first.unpack1("Q"), count.unpack1("Q")]
    end

    # Drops what was staged. After a commit or another rollback it does nothing.
    def rollback = @owned.free
    # :open, :expired or :committed.
    def state = TXN_STATES[@owned.call(:txn_state)] || :unknown
  end
end
