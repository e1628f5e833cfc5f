// test_walrus.cpp - what walrus.hpp adds to the C interface: ownership, exceptions, ranges, callbacks
//
// What a log answers is checked by test_scenarios.cpp.
#include <walrus.hpp>

#include "check.hpp"

#include <array>
#include <atomic>
#include <condition_variable>
#include <stdexcept>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

using namespace std::chrono_literals;
using walrus::errc;

static walrus::options fast() {
    walrus::options options;
    options.sync(walrus::sync::none).preallocate(false);
    return options;
}

// The code of what body throws.
template <class F> static errc thrown_by(F body) {
    try {
        body();
    } catch (const walrus::error &error) {
        return error.code();
    }
    return errc::ok;
}

template <class F> static bool becomes(F is_so) {
    for (int i = 0; i < 15000; ++i) {
        if (is_so())
            return true;
        std::this_thread::sleep_for(2ms);
    }
    return false;
}

// ---- Types

template <class T> constexpr bool only_moves =
    std::is_nothrow_move_constructible_v<T> && std::is_nothrow_move_assignable_v<T> && !std::is_copy_constructible_v<T> &&
    !std::is_copy_assignable_v<T>;
static_assert(only_moves<walrus::log> && only_moves<walrus::cursor> && only_moves<walrus::transaction> && only_moves<walrus::entry>);
static_assert(std::is_nothrow_copy_constructible_v<walrus::error> && std::is_nothrow_copy_constructible_v<walrus::failure>,
              "a copy that throws while an exception is thrown ends the program");
static_assert(noexcept(std::declval<walrus::log &>().try_append("a")) && noexcept(walrus::log::try_open("a")) &&
              noexcept(std::declval<walrus::cursor &>().try_next()) && noexcept(std::declval<walrus::log &>().try_meta()));

template <class T, class = void> struct lends_a_view : std::false_type {};
template <class T> struct lends_a_view<T, std::void_t<decltype(std::declval<T>().view())>> : std::true_type {};
static_assert(lends_a_view<walrus::entry &>::value && !lends_a_view<walrus::entry>::value, "a temporary entry lends nothing");

CASE(bytes_are_whatever_is_contiguous) {
    walrus::log log(place(), fast());
    const std::array<unsigned char, 2> array{0, 1};
    const unsigned char raw[] = {0, 2, 0};
    const std::vector<std::byte> vector(2);
    log.append("literal");
    log.append(std::string("with\0NUL", 8));
    log.append(std::string_view("view"));
    log.append(array);
    log.append(raw);
    log.append(vector);
    log.append(std::vector<char>{});
    log.append({raw, 1});
    std::vector<std::size_t> sizes;
    for (const walrus::entry &entry : log.range())
        sizes.push_back(entry.size());
    CHECK((sizes == std::vector<std::size_t>{7, 8, 4, 2, 3, 2, 0, 1}));
    CHECK(log.get(2).str() == std::string("with\0NUL", 8));
#if WALRUS_HAS_SPAN
    const std::array<std::byte, 2> bytes{std::byte{7}, std::byte{8}};
    log.append(std::span<const std::byte>(bytes));
    const walrus::entry entry = log.get(9);
    CHECK(entry.span().size() == 2 && entry.span()[1] == std::byte{8});
#endif
}

// ---- Ownership

CASE(handles_outlive_their_log) {
    walrus::entry entry;
    walrus::cursor cursor;
    walrus::transaction transaction;
    {
        walrus::log log(place(), fast());
        log.append(std::string(100000, 'x'));
        log.sync();
        entry = log.get(1);
        cursor = log.cursor();
        transaction = log.begin_txn();
        transaction.append("staged");
        log.truncate(0);
    }
    walrus::log::destroy(place());
    CHECK(entry.size() == 100000 && walrus::crc32(entry.view()) == entry.checksum());
    CHECK(cursor.try_next().code() == errc::closed && cursor.position() == 1);
    CHECK(transaction.try_append("more").code() == errc::closed);
    CHECK(transaction.try_rollback());
}

CASE(what_was_moved_from_is_refused) {
    walrus::log log(place(), fast());
    log.append("a");
    walrus::log other(std::move(log));
    CHECK(!log.is_open() && log.try_append("b").code() == errc::invalid && log.next_index() == 0);
    CHECK(thrown_by([&] { log.range().begin(); }) == errc::invalid);
    walrus::cursor first = other.cursor(), second = std::move(first);
    CHECK(first.try_next().code() == errc::invalid && second.next()->view() == "a");
    CHECK(first.position() == 0 && first.try_wait(0s).code() == errc::invalid);
    walrus::transaction begun = other.begin_txn(), moved = std::move(begun);
    CHECK(begun.try_append("b").code() == errc::invalid && other.txn_count() == 1);
    moved = walrus::transaction();
    CHECK(other.txn_count() == 0);
    walrus::entry entry = other.get(1), taken = std::move(entry);
    CHECK(entry.size() == 0 && taken.view() == "a");
    other.close();
    other.close();
    log = walrus::log(place(), fast());
    CHECK(log.last_index() == 1);
}

CASE(a_transaction_rolls_back_unless_it_is_committed) {
    walrus::log log(place(), fast());
    try {
        walrus::transaction transaction = log.begin_txn(10s);
        transaction.append("no");
        throw std::runtime_error("meant");
    } catch (const std::runtime_error &) {
    }
    CHECK(log.txn_count() == 0 && log.last_index() == 0);
    walrus::transaction transaction = log.begin_txn(walrus::forever);
    transaction.append(walrus::record("yes", 3));
    CHECK(transaction.state() == walrus::txn_state::open);
    CHECK((transaction.commit() == walrus::indexes{1, 1}));
    CHECK(transaction.try_commit().code() == errc::invalid && log.term(1) == 3);
}

// ---- Errors

CASE(an_error_tells_all_that_is_known) {
    try {
        walrus::log log(place("no/such"));
        CHECK(!"it throws");
    } catch (const walrus::error &error) {
        const walrus::error copy = error;
        CHECK(copy.code() == errc::io && copy.os_errno() == ENOENT);
        CHECK(std::string(copy.what()).find("no/such") != std::string::npos);
        CHECK(std::string(copy.path()).find(check::directory) == 0);
    }
    walrus::log log(place(), fast());
    log.append("12345");
    char buffer[4];
    const auto read = log.try_read(1, buffer, sizeof buffer);
    CHECK(read.code() == errc::too_small && read.why().size_needed() == 5);
    CHECK(log.try_read_packed(1, 10, 4).why().size_needed() == 5);
    CHECK(thrown_by([&] { log.get(7); }) == errc::not_found && log.try_get(7).why().index() == 7);
    CHECK(log.try_read_packed(1, 10, std::numeric_limits<std::size_t>::max()).code() == errc::no_memory);
    CHECK(thrown_by([&] { log.meta_set(std::string("a\0b", 3), "v"); }) == errc::invalid);
    CHECK(thrown_by([&] { log.append_packed("abc", std::array<std::uint32_t, 2>{1, 3}.data(), 2); }) == errc::invalid);
    CHECK(std::string(walrus::describe(errc::torn)).find("WALRUS_E_TORN") == 0);
}

CASE(wrong_options_are_told_by_open) {
    CHECK(walrus::log::try_open(place(), walrus::options().set("segment_sise", "1MiB")).code() == errc::invalid);
    CHECK(thrown_by([] { walrus::log log(place(), walrus::options().sync_interval(-1ms).segment_size(1)); }) == errc::invalid);
    CHECK(!std::filesystem::exists(place()));
}

CASE(every_option_has_a_setter_that_takes_effect) {
    using options = walrus::options;
    const std::vector<std::pair<const char *, void (*)(options &)>> setters = {
        {"create", [](options &o) { o.create(false); }},
        {"must_be_new", [](options &o) { o.must_be_new(true); }},
        {"read_only", [](options &o) { o.read_only(true); }},
        {"recovery", [](options &o) { o.recovery(walrus::recovery::strict); }},
        {"sync", [](options &o) { o.sync(walrus::sync::interval); }},
        {"sync_interval_ms", [](options &o) { o.sync_interval(5ms); }},
        {"sync_bytes", [](options &o) { o.sync_bytes(5); }},
        {"async_max_bytes", [](options &o) { o.async_max_bytes(5); }},
        {"segment_size", [](options &o) { o.segment_size(8192); }},
        {"preallocate", [](options &o) { o.preallocate(false); }},
        {"cached_segments", [](options &o) { o.cached_segments(5); }},
        {"buffer_size", [](options &o) { o.buffer_size(8192); }},
        {"sync_padding", [](options &o) { o.sync_padding(4096); }},
        {"file_mode", [](options &o) { o.file_mode(0600); }},
        {"verify_reads", [](options &o) { o.verify_reads(false); }},
        {"zero_copy", [](options &o) { o.zero_copy(false); }},
        {"max_entry_size", [](options &o) { o.max_entry_size(5); }},
        {"max_segments", [](options &o) { o.max_segments(5); }},
        {"retention_bytes", [](options &o) { o.retention_bytes(5); }},
        {"retention_age_ms", [](options &o) { o.retention_age(5ms); }},
        {"txn_timeout_ms", [](options &o) { o.txn_timeout(5ms); }},
        {"txn_max_entries", [](options &o) { o.txn_max_entries(5); }},
        {"format", [](options &o) { o.format(walrus::format::json); }},
        {"compression", [](options &o) { o.compression(walrus::compression::zlib); }},
        {"compression_level", [](options &o) { o.compression_level(9); }},
        {"compression_min_size", [](options &o) { o.compression_min_size(5); }},
    };
    std::map<std::string, std::string> defaults;
    options::each([&](const char *key, const char *value, const char *) { defaults[key] = value; });
    CHECK(setters.size() == defaults.size());
    for (const auto &[key, set] : setters) {
        options changed;
        CHECK(defaults.count(key) == 1 && changed.get(key) == defaults[key]);
        set(changed);
        if (changed.get(key) == defaults[key])
            check::fail(__FILE__, __LINE__, std::string(key) + " is as before");
    }
}

// ---- Callbacks

CASE(what_a_visitor_throws_goes_on) {
    walrus::log log(place(), fast());
    log.append_batch({"a", "b"});
    log.meta_set("key", "value");
    const auto throws = [](auto &&...) { throw std::runtime_error("meant"); };
    const auto is_thrown = [](auto body) {
        try {
            body();
        } catch (const std::runtime_error &error) {
            return std::string(error.what()) == "meant";
        }
        return false;
    };
    CHECK(is_thrown([&] { log.scan(1, walrus::to_end, throws); }));
    CHECK(is_thrown([&] { (void)log.try_scan(1, 2, throws); }));
    CHECK(is_thrown([&] { log.meta_each(throws); }));
    CHECK(is_thrown([&] { log.each_segment(throws); }));
    CHECK(is_thrown([&] { walrus::options::each(throws); }));
    std::string seen;
    CHECK(log.scan(1, 2, [&](walrus::entry_view entry) { return seen += entry.view(), entry.index() == 1 ? 7 : 0; }) == 7);
    CHECK(seen == "a");
}

CASE(what_a_completion_throws_is_told_by_close) {
    walrus::log log(place(), fast());
    log.append_async("a", [](std::uint64_t, const walrus::failure &) { throw std::runtime_error("first"); });
    log.append_async("b", [](std::uint64_t, const walrus::failure &) { throw std::runtime_error("second"); });
    CHECK(log.append_future("c").get() == 3);
    CHECK(log.callback_exception() != nullptr && log.callback_exception() == nullptr);
    log.append_async("d", [](std::uint64_t, const walrus::failure &) { throw std::runtime_error("told"); });
    try {
        log.close();
        CHECK(!"it throws");
    } catch (const std::runtime_error &error) {
        CHECK(std::string(error.what()) == "told");
    }
    CHECK(!log.is_open());
}

CASE(what_a_logger_throws_does_not_unwind_through_the_library) {
    std::atomic<int> messages{0};
    walrus::log log(place(), fast().logger(walrus::level::debug, [&](walrus::level, const char *message) {
        CHECK(message[0] != 0);
        ++messages;
        throw std::runtime_error("meant");
    }));
    log.append("a");
    log.rotate();
    walrus::log moved = std::move(log);
    moved.append("b");
    moved.rotate();
    CHECK(messages > 0 && moved.callback_exception() != nullptr);
    CHECK(moved.try_close());
}

CASE(completions_come_in_order_and_own_what_they_hold) {
    walrus::log log(place(), fast());
    std::mutex mutex;
    std::condition_variable changed;
    std::vector<std::uint64_t> told;
    auto held = std::make_shared<int>(0);
    for (int i = 0; i < 100; ++i)
        log.append_async(walrus::record("x", 3), [&, held](std::uint64_t index, const walrus::failure &why) {
            std::lock_guard<std::mutex> hold(mutex);
            told.push_back(why ? 0 : index);
            if (index == 50 && log.try_sync().code() != errc::busy)
                told.push_back(0); // it would wait for itself
            changed.notify_one();
        });
    {
        std::unique_lock<std::mutex> hold(mutex);
        CHECK(changed.wait_for(hold, 30s, [&] { return told.size() == 100; }));
    }
    for (std::size_t i = 0; i < told.size(); ++i)
        CHECK(told[i] == i + 1);
    log.shutdown();
    CHECK(log.try_append_async("no", [held](std::uint64_t, const walrus::failure &) {}).code() == errc::closed);
    log.close();
    CHECK(held.use_count() == 1);
}

// ---- Ranges and waits

CASE(ranges_and_cursors_are_looped_over) {
    walrus::log log(place(), fast());
    CHECK(log.range().begin() == log.range().end());
    log.append_batch(std::vector<walrus::record>{{"1"}, {"2"}, {"3"}});
    const auto joined = [](auto &&range) {
        std::string all;
        for (const auto &entry : range)
            all += entry.view();
        return all;
    };
    CHECK(joined(log.range()) == "123" && joined(log.range(2)) == "23" && joined(log.range(1, 2)) == "12");
    CHECK(joined(log.range(4)) == "" && joined(log.range(3, 1)) == "");
    walrus::cursor cursor = log.cursor(2);
    CHECK(joined(cursor) == "23" && !cursor.next());
    log.append("4");
    CHECK(joined(cursor.follow(1ms)) == "4" && cursor.prev()->view() == "4");
    log.rotate();
    log.append("5");
    log.truncate_front(5);
    CHECK(thrown_by([&] { joined(log.range(1)); }) == errc::compacted);
    CHECK(thrown_by([&] { joined(log.cursor(1)); }) == errc::compacted);
    CHECK(log.get_range(5, walrus::to_end, 100, 100).size() == 1);
    CHECK((log.replace_suffix(5, {"five", "six"}) == walrus::indexes{5, 2}));
    const std::array<std::uint32_t, 2> sizes{1, 2};
    CHECK((log.append_packed("abb", sizes.data(), sizes.size()) == walrus::indexes{7, 2}));
    CHECK(log.read_packed(7, 10, 100).views() == (std::vector<std::string_view>{"a", "bb"}));
}

CASE(waits_are_interrupted_and_time_out) {
    walrus::log log(place(), fast());
    walrus::cursor cursor = log.cursor();
    CHECK(!cursor.wait(std::chrono::nanoseconds(1)) && !cursor.wait(0s) && !cursor.wait(-1s));
    std::atomic<bool> over{false};
    errc code = errc::ok;
    std::thread waiting([&] {
        code = cursor.try_wait(walrus::forever).code();
        over = true;
    });
    CHECK(becomes([&] { return log.interrupt(), over.load(); }));
    waiting.join();
    CHECK(code == errc::canceled);
    log.append("a");
    CHECK(!log.wait_durable(1, 0s) && log.wait_durable(1));
    CHECK(cursor.wait(std::chrono::hours(24 * 365 * 200)) && cursor.wait(std::chrono::hours::max()));
}

CASE(threads_share_a_log) {
    walrus::log log(place());
    std::vector<std::thread> threads;
    std::atomic<int> wrong{0};
    for (int i = 0; i < 4; ++i)
        threads.emplace_back([&] {
            for (int j = 0; j < 20; ++j) {
                const auto index = log.try_append("shared");
                wrong += !index || log.get(*index).str() != "shared" || log.durable_index() < *index;
            }
        });
    for (std::thread &thread : threads)
        thread.join();
    CHECK(wrong == 0 && log.last_index() == 80);
}

CASE(a_forked_child_is_refused_and_may_close) {
    walrus::log log(place(), fast());
    log.append("a");
    const pid_t child = fork();
    if (child == 0) {
        bool refused = log.try_append("b").code() == errc::forked && log.last_index() == 0;
        (void)log.try_close();
        _exit(refused && !log.is_open() ? 0 : 1);
    }
    int status = -1;
    CHECK(child > 0 && waitpid(child, &status, 0) == child && status == 0);
    CHECK(log.append("b") == 2);
}

// ---- Metadata, operations

CASE(metadata_and_counts_are_values) {
    walrus::log log(place(), fast());
    log.meta_set("large", std::string(40000, 'm'));
    log.meta_stage("staged", "value");
    CHECK(!log.meta_get("staged"));
    log.append("a");
    CHECK(log.meta_get("large")->size() == 40000 && log.meta().at("staged") == "value");
    CHECK(log.meta_delete("large") && !log.meta_delete("large") && !log.meta_get("large"));
    CHECK(log.stats().entries_appended == 1 && log.stats_text().find("walrus_appends_total 1\n") != std::string::npos);
    CHECK(log.segments().size() == 1 && log.segments()[0].file == "0000000000000001.wal");
    CHECK(log.recovery_report().reason == WALRUS_RECOVERY_CLEAN);
    CHECK(log.seek_time(0) == 1u && !log.last_index_of_term(9) && !log.seek_time(std::numeric_limits<std::int64_t>::max()));
}

CASE(a_copy_in_another_format_can_be_stopped_and_goes_on) {
    {
        walrus::log log(place("source"), fast());
        for (int i = 0; i < 5000; ++i)
            log.append("entry " + std::to_string(i));
    }
    walrus::options json;
    json.format(walrus::format::json).compression_level(-1);
    CHECK(walrus::convert(place("source"), place("target"), json, [](std::uint64_t done, std::uint64_t total) {
        return done < total ? 7 : 0;
    }) == 7);
    try {
        walrus::convert(place("source"), place("target"), json, [](std::uint64_t, std::uint64_t) { throw std::runtime_error("meant"); });
        CHECK(!"it throws");
    } catch (const std::runtime_error &error) {
        CHECK(std::string(error.what()) == "meant");
    }
    walrus::convert(place("source"), place("target"), json);
    walrus::log copy(place("target"), json);
    CHECK(copy.last_index() == 5000 && copy.get(5000).str() == "entry 4999");
    CHECK(walrus::try_convert(place("none"), place("target")).code() == errc::no_log);
}

int main(int argc, char **argv) { return check::main(argv[0], argc, argv); }
