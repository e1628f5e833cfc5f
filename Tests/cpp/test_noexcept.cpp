// test_noexcept.cpp - walrus.hpp without exceptions and run-time types: every try_ operation once
//
// Compiled with -fno-exceptions -fno-rtti. That it compiles is half of the test.
#include <walrus.hpp>

#include "check.hpp"

using namespace std::chrono_literals;
using walrus::errc;

static_assert(!WALRUS_HAS_EXCEPTIONS);

CASE(a_log_is_used_through_results) {
    auto opened = walrus::log::try_open(place(), walrus::options().sync(walrus::sync::os).segment_size(4096));
    CHECK(opened);
    walrus::log log = std::move(*opened);
    CHECK(walrus::log::try_open(place()).code() == errc::locked);
    CHECK(*log.try_append("a") == 1 && *log.try_append_record(walrus::record("b", 2), walrus::durability::durable) == 2);
    CHECK((*log.try_append_batch({"c", "d"}) == walrus::indexes{3, 2}));
    const std::uint32_t sizes[] = {1, 1};
    CHECK((*log.try_append_packed("ef", sizes, 2, 2) == walrus::indexes{5, 2}));
    std::uint64_t told = 0;
    CHECK(*log.try_append_async("g", [&](std::uint64_t index, const walrus::failure &why) { told = why ? 0 : index; }) == 7);
    CHECK(log.try_sync() && *log.try_wait_durable(7, 30s) && log.durable_index() == 7);
    CHECK(*log.try_notify_fd() >= 0 && log.try_interrupt());

    const auto entry = log.try_get(2);
    CHECK(entry && entry->view() == "b" && entry->term() == 2);
    CHECK(log.try_get(9).code() == errc::not_found && log.try_get(9).why().message()[0] != 0);
    char buffer[4];
    CHECK(*log.try_read(1, buffer, sizeof buffer) == 1 && buffer[0] == 'a');
    std::string seen;
    CHECK(*log.try_scan(1, 3, [&](walrus::entry_view one) { seen += one.view(); }) == 0 && seen == "abc");
    CHECK(log.try_get_range(1, 3, 100, 10)->size() == 3 && log.try_read_packed(1, 3, 10)->data == "abc");
    CHECK(*log.try_term(2) == 2 && **log.try_last_index_of_term(2) >= 2 && *log.try_seek_time(0) == 1u);

    auto cursor = log.try_cursor(1);
    CHECK(cursor && (*cursor->try_next())->view() == "a" && (*cursor->try_prev())->view() == "a");
    CHECK(cursor->try_seek(8) && !*cursor->try_next() && !*cursor->try_wait(0s));

    auto txn = log.try_begin();
    CHECK(txn && txn->try_append("t") && *txn->try_state() == walrus::txn_state::open);
    CHECK((*txn->try_commit() == walrus::indexes{8, 1}) && *log.try_txn_expire() == 0);
    CHECK(log.try_begin(1s)->try_rollback());

    CHECK(log.try_meta_set("k", "v") && log.try_meta_stage("s", "w") && **log.try_meta_get("k") == "v");
    CHECK(*log.try_meta_delete("k") && log.try_meta()->empty());
    CHECK((*log.try_replace_suffix(8, {"u"}) == walrus::indexes{8, 1}) && log.try_meta()->at("s") == "w");
    CHECK(log.try_rotate() && log.try_truncate(7) && log.try_truncate_front(2) && !log.try_segments()->empty());
    CHECK(log.try_stats()->last_index == 7 && !log.try_stats_text()->empty() && log.try_recovery_report());
    CHECK(*walrus::options().try_get("sync") == "always");
    CHECK(log.try_reset(50) && log.next_index() == 50);
    CHECK(log.try_shutdown() && log.try_append("no").code() == errc::closed && log.try_close());
    CHECK(told == 7);
    CHECK(walrus::try_convert(place(), place("copy")));
    CHECK(*walrus::try_convert(place(), place("copy"), walrus::options(), [](std::uint64_t, std::uint64_t) {}) == 0);
    CHECK(walrus::log::try_destroy(place()));
}

int main(int argc, char **argv) { return check::main(argv[0], argc, argv); }
