// test_scenarios.cpp - runs Tests/scenarios through walrus.hpp; README.md there defines the lines
//
// An operation is a function from arguments to what came; it goes through the throwing form, and an error that is thrown is what came as well.
#include <walrus.hpp>

#include <algorithm>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <dlfcn.h>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iostream>
#include <poll.h>
#include <sstream>
#include <thread>
#include <unistd.h>
#include <variant>

namespace fs = std::filesystem;
using words = std::deque<std::string>;

// ---- What came, and what stops a line

struct word {
    std::string text;
};
using pair = std::pair<std::string, std::string>;
using came = std::variant<std::uint64_t, std::int64_t, std::string, word, pair>;
using answer = std::vector<came>;

struct wrong : std::runtime_error {
    using std::runtime_error::runtime_error;
};
struct skipped : std::runtime_error {
    using std::runtime_error::runtime_error;
};
// What C answers with a code, and the binding with a value.
struct code_came {
    std::string name;
    std::optional<std::size_t> size;
};

static std::string name_of(walrus::errc code) {
    const std::string text = walrus::describe(code);
    return text.substr(std::strlen("WALRUS_E_"), text.find(':') - std::strlen("WALRUS_E_"));
}

template <class T> static T or_not_found(std::optional<T> found) {
    if (!found)
        throw code_came{"NOT_FOUND", {}};
    return std::move(*found);
}

// ---- Tokens

static std::uint64_t number(const std::string &token) {
    if (token == "max")
        return walrus::to_end;
    std::size_t used = 0;
    std::uint64_t value = 0;
    if (!token.empty() && token[0] >= '0' && token[0] <= '9')
        value = std::stoull(token, &used);
    if (used != token.size() || used == 0)
        throw wrong("\"" + token + "\" is not a number");
    return value;
}

static std::int64_t signed_number(const std::string &token) {
    std::size_t used = 0;
    const std::int64_t value = std::stoll(token, &used);
    if (used != token.size())
        throw wrong("\"" + token + "\" is not a signed number");
    return value;
}

static std::string bytes(const std::string &token) {
    const std::size_t star = token.find('*');
    const std::string once = token == "-" ? "" : token.substr(0, star);
    std::string one, all;
    for (std::size_t i = 0; i < once.size(); i++) {
        if (once[i] == '%') {
            one += static_cast<char>(std::stoi(once.substr(i + 1, 2), nullptr, 16));
            i += 2;
        } else {
            one += once[i];
        }
    }
    for (std::uint64_t times = star == std::string::npos ? 1 : number(token.substr(star + 1)); times > 0; times--)
        all += one;
    return all;
}

static words split(const std::string &text, char at) {
    words parts;
    std::istringstream stream(text);
    for (std::string part; std::getline(stream, part, at);)
        parts.push_back(part);
    return parts;
}

static walrus::durability durability(const std::string &token) {
    static const std::map<std::string, walrus::durability> flags = {{"default", walrus::durability::as_opened},
                                                                    {"durable", walrus::durability::durable},
                                                                    {"os", walrus::durability::to_os},
                                                                    {"buffered", walrus::durability::buffered}};
    const auto found = flags.find(token);
    return found != flags.end() ? found->second : throw wrong("\"" + token + "\" is no flag");
}

static walrus::timeout timeout(const std::string &token) {
    const std::int64_t milliseconds = signed_number(token);
    return milliseconds < 0 ? walrus::forever : walrus::timeout(std::chrono::milliseconds(milliseconds));
}

// The arguments of a line, taken one by one, and the payloads of the records among them.
struct arguments {
    words rest;
    std::deque<std::string> payloads;

    std::string token() {
        if (rest.empty())
            throw wrong("the operation needs another argument");
        std::string first = rest.front();
        rest.pop_front();
        return first;
    }
    std::uint64_t number() { return ::number(token()); }
    std::string bytes() { return ::bytes(token()); }
    walrus::record record() {
        const words fields = split(token(), ',');
        payloads.push_back(::bytes(fields.at(0)));
        return walrus::record(payloads.back(), fields.size() > 1 ? ::number(fields[1]) : 0, fields.size() > 2 ? ::number(fields[2]) : 0,
                              fields.size() > 3 ? signed_number(fields[3]) : 0);
    }
    std::vector<walrus::record> records() {
        std::vector<walrus::record> all;
        while (!rest.empty())
            all.push_back(record());
        return all;
    }
};

// ---- The state of a scenario

template <class T> using table = std::map<std::string, T>;

template <class T> static T &find(table<T> &all, const std::string &name) {
    const auto found = all.find(name);
    return found != all.end() ? found->second : throw wrong("there is nothing open called " + name);
}

template <class T> static T take(table<T> &all, const std::string &name) {
    T taken = std::move(find(all, name));
    all.erase(name);
    return taken;
}

template <class T> static answer keep(table<T> &all, const std::string &name, T value) {
    if (!all.emplace(name, std::move(value)).second)
        throw wrong("there is one called " + name + " already");
    return {};
}

static came checked(const walrus::entry &entry, std::uint64_t index) {
    if (entry.index() != index || entry.checksum() != walrus::crc32(entry.view()))
        throw wrong("entry " + std::to_string(index) + " has a wrong index or checksum");
    return entry.str();
}

class scenario {
public:
    explicit scenario(fs::path directory) : directory_(std::move(directory)) {}
    void run(const fs::path &file);

private:
    void run_line(const std::string &line);
    answer operation(const std::string &name, arguments &given);
    static void compare(const words &expected, const answer &came);

    std::optional<answer> library(const std::string &name, arguments &given);
    std::optional<answer> place(const std::string &name, arguments &given);
    std::optional<answer> append(const std::string &name, arguments &given);
    std::optional<answer> read(const std::string &name, arguments &given);
    std::optional<answer> cursor(const std::string &name, arguments &given);
    std::optional<answer> txn(const std::string &name, arguments &given);
    std::optional<answer> meta(const std::string &name, arguments &given);
    std::optional<answer> operate(const std::string &name, arguments &given);
    answer completions();
    void damage(const std::string &content) const;
    walrus::log &log() { return find(logs_, handle_); }

    fs::path directory_;
    std::string handle_, message_;
    table<walrus::log> logs_;
    table<walrus::cursor> cursors_;
    table<walrus::transaction> txns_;
    std::mutex mutex_;
    std::condition_variable told_;
    std::vector<std::pair<std::uint64_t, walrus::errc>> completed_;
    std::size_t expected_ = 0;
};

// ---- Operations, in groups; none: it is in another one

std::optional<answer> scenario::library(const std::string &name, arguments &given) {
    if (name == "needs") {
        for (; !given.rest.empty(); given.rest.pop_front())
            if (dlsym(RTLD_DEFAULT, given.rest.front().c_str()) == nullptr)
                throw skipped("the library has no " + given.rest.front());
        return answer{};
    }
    if (name == "version") {
        const std::uint32_t all = walrus::version_number();
        const std::string text = std::to_string(all / 10000) + "." + std::to_string(all / 100 % 100) + "." + std::to_string(all % 100);
        if (walrus::version() != text)
            throw wrong("the version is not its number");
        return answer{std::uint64_t(walrus::abi_version())};
    }
    if (name == "strerror") {
        const std::string text = walrus::describe(static_cast<walrus::errc>(signed_number(given.token())));
        return answer{text.substr(0, text.find(':'))};
    }
    if (name == "crc32")
        return answer{std::uint64_t(walrus::crc32(given.bytes()))};
    if (name == "message") {
        const std::string text = given.bytes();
        if (message_.find(text) == std::string::npos)
            throw wrong("the message does not contain \"" + text + "\": " + message_);
        return answer{};
    }
    if (name == "option" || name == "option_u64") {
        const std::string key = given.token();
        walrus::options options;
        name == "option" ? options.set(key, given.bytes()) : options.set_u64(key, given.number());
        return answer{options.get(key)};
    }
    if (name == "option_default") {
        const std::string wanted = given.token();
        std::string found;
        walrus::options::each([&](const char *key, const char *value, const char *) { found = wanted == key ? value : found; });
        return answer{found};
    }
    return std::nullopt;
}

std::optional<answer> scenario::place(const std::string &name, arguments &given) {
    if (name == "open") {
        walrus::options options;
        for (; !given.rest.empty(); given.rest.pop_front()) {
            const std::string setting = given.rest.front();
            const std::size_t equals = setting.find('=');
            options.set(setting.substr(0, equals), bytes(setting.substr(equals + 1)));
        }
        return keep(logs_, handle_, walrus::log(directory_, options));
    }
    if (name == "close") {
        take(logs_, handle_).close();
    } else if (name == "destroy") {
        walrus::log::destroy(directory_);
    } else if (name == "file") {
        fs::create_directories(directory_);
        const std::string file = given.token();
        std::ofstream(directory_ / file, std::ios::binary) << given.bytes();
    } else if (name == "crash") {
        const fs::path aside = directory_.string() + ".crashed";
        fs::copy(directory_, aside);
        take(logs_, handle_).close();
        fs::remove_all(directory_);
        fs::rename(aside, directory_);
    } else if (name == "damage") {
        damage(given.bytes());
    } else if (name == "sleep") {
        std::this_thread::sleep_for(std::chrono::milliseconds(given.number()));
    } else {
        return std::nullopt;
    }
    return answer{};
}

void scenario::damage(const std::string &content) const {
    std::vector<std::pair<fs::path, std::size_t>> found;
    for (const fs::directory_entry &file : fs::directory_iterator(directory_)) {
        if (file.path().extension() != ".wal")
            continue;
        std::stringstream data;
        data << std::ifstream(file.path(), std::ios::binary).rdbuf();
        const std::string all = data.str();
        for (std::size_t at = all.find(content); at != std::string::npos; at = all.find(content, at + 1))
            found.emplace_back(file.path(), at);
    }
    if (found.size() != 1)
        throw wrong("these bytes are in the segments " + std::to_string(found.size()) + " times, not once");
    std::fstream file(found[0].first, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(static_cast<std::streamoff>(found[0].second));
    file.put(static_cast<char>(content[0] ^ 1));
}

std::optional<answer> scenario::append(const std::string &name, arguments &given) {
    if (name == "append")
        return answer{log().append(given.bytes())};
    if (name == "record") {
        const walrus::durability flags = durability(given.token());
        return answer{log().append_record(given.record(), flags)};
    }
    if (name == "batch") {
        const walrus::durability flags = durability(given.token());
        return answer{log().append_batch(given.records(), flags).first};
    }
    if (name == "packed") {
        const walrus::durability flags = durability(given.token());
        const std::uint64_t term = given.number();
        std::string data;
        std::vector<std::uint32_t> sizes;
        while (!given.rest.empty()) {
            const std::string payload = given.bytes();
            data += payload;
            sizes.push_back(static_cast<std::uint32_t>(payload.size()));
        }
        return answer{log().append_packed(data, sizes.data(), sizes.size(), term, flags).first};
    }
    if (name == "async") {
        const std::uint64_t index = log().append_async(given.record(), [this](std::uint64_t at, const walrus::failure &why) {
            std::lock_guard<std::mutex> hold(mutex_);
            completed_.emplace_back(at, why.code());
            told_.notify_one();
        });
        ++expected_;
        return answer{index};
    }
    if (name == "completions")
        return completions();
    if (name == "replace_suffix") {
        const std::uint64_t from = given.number();
        durability(given.token()); // it is durable whatever the flags say, so the binding has none
        log().replace_suffix(from, given.records());
        return answer{};
    }
    return std::nullopt;
}

answer scenario::completions() {
    std::unique_lock<std::mutex> hold(mutex_);
    if (!told_.wait_for(hold, std::chrono::seconds(30), [this] { return completed_.size() >= expected_; }))
        throw wrong("only " + std::to_string(completed_.size()) + " appends were reported");
    answer came;
    for (const auto &[index, code] : completed_) {
        if (code != walrus::errc::ok)
            throw wrong("the append of " + std::to_string(index) + " completed with " + name_of(code));
        came.emplace_back(index);
    }
    completed_.clear();
    expected_ = 0;
    return came;
}

static answer scan(walrus::log &log, std::uint64_t first, std::uint64_t last, std::uint64_t most) {
    answer found;
    const std::int32_t ended = log.scan(first, last, [&](walrus::entry_view entry) {
        if (entry.index() != first + found.size() || entry.checksum() != walrus::crc32(entry.view()))
            throw wrong("the scan gave a wrong entry");
        found.emplace_back(entry.str());
        return found.size() == most ? 7 : 0;
    });
    if (ended != (most != 0 && found.size() == most ? 7 : 0))
        throw wrong("the scan answered " + std::to_string(ended));
    return found;
}

std::optional<answer> scenario::read(const std::string &name, arguments &given) {
    if (name == "get") {
        const std::uint64_t index = given.number();
        const walrus::entry entry = log().get(index);
        return answer{checked(entry, index), entry.term(), entry.timestamp_ns()};
    }
    if (name == "read") {
        const std::uint64_t index = given.number();
        std::string buffer(given.number(), '\0');
        buffer.resize(log().read(index, buffer.data(), buffer.size()));
        return answer{buffer};
    }
    if (name == "scan") {
        const std::uint64_t first = given.number(), last = given.number();
        return scan(log(), first, last, given.number());
    }
    if (name == "range") {
        std::uint64_t index = given.number();
        const std::uint64_t last = given.number(), max_bytes = given.number();
        answer found;
        for (const walrus::entry &entry : log().get_range(index, last, max_bytes, given.number()))
            found.push_back(checked(entry, index++));
        return found;
    }
    if (name == "read_packed") {
        const std::uint64_t first = given.number(), count = given.number();
        const walrus::packed packed = log().read_packed(first, count, given.number());
        answer found;
        for (std::string_view payload : packed.views())
            found.emplace_back(std::string(payload));
        return found;
    }
    if (name == "term")
        return answer{log().term(given.number())};
    if (name == "last_index_of_term")
        return answer{or_not_found(log().last_index_of_term(given.number()))};
    if (name == "seek_time")
        return answer{or_not_found(log().seek_time(signed_number(given.token())))};
    return std::nullopt;
}

std::optional<answer> scenario::cursor(const std::string &name, arguments &given) {
    if (name.compare(0, 7, "cursor_") != 0)
        return std::nullopt;
    const std::string which = given.token();
    if (name == "cursor_open") {
        const std::uint64_t index = given.number();
        return keep(cursors_, which, log().cursor(index, given.token() == "durable"));
    }
    walrus::cursor &cursor = find(cursors_, which);
    if (name == "cursor_next" || name == "cursor_prev") {
        const std::optional<walrus::entry> entry = name == "cursor_next" ? cursor.next() : cursor.prev();
        if (!entry)
            throw code_came{name == "cursor_next" ? "CAUGHT_UP" : "NOT_FOUND", {}};
        return answer{entry->index(), checked(*entry, entry->index())};
    }
    if (name == "cursor_position")
        return answer{cursor.position()};
    if (name == "cursor_wait") {
        if (!cursor.wait(timeout(given.token())))
            throw code_came{"TIMEOUT", {}};
    } else if (name == "cursor_seek") {
        cursor.seek(given.number());
    } else if (name == "cursor_close") {
        take(cursors_, which);
    } else {
        return std::nullopt;
    }
    return answer{};
}

std::optional<answer> scenario::txn(const std::string &name, arguments &given) {
    if (name == "txn_count")
        return answer{log().txn_count()};
    if (name == "txn_expire")
        return answer{log().txn_expire()};
    if (name.compare(0, 4, "txn_") != 0)
        return std::nullopt;
    const std::string which = given.token();
    if (name == "txn_begin") {
        const std::string time = given.token();
        return keep(txns_, which, time == "0" ? log().begin_txn() : log().begin_txn(timeout(time)));
    }
    walrus::transaction &txn = find(txns_, which);
    if (name == "txn_append") {
        txn.append(given.record());
    } else if (name == "txn_commit") {
        const walrus::indexes indexes = txn.commit(durability(given.token()));
        txns_.erase(which);
        return answer{indexes.first, indexes.count};
    } else if (name == "txn_rollback") {
        take(txns_, which).rollback();
    } else if (name == "txn_state") {
        static const char *const states[] = {"0", "open", "expired", "committed"};
        return answer{word{states[static_cast<int>(txn.state())]}};
    } else {
        return std::nullopt;
    }
    return answer{};
}

std::optional<answer> scenario::meta(const std::string &name, arguments &given) {
    if (name == "meta_list") {
        answer all;
        for (const auto &[key, value] : log().meta())
            all.emplace_back(pair(key, value));
        return all;
    }
    if (name.compare(0, 5, "meta_") != 0)
        return std::nullopt;
    const std::string key = given.bytes();
    if (name == "meta_set") {
        log().meta_set(key, given.bytes());
    } else if (name == "meta_stage") {
        log().meta_stage(key, given.bytes());
    } else if (name == "meta_delete") {
        if (!log().meta_delete(key))
            throw code_came{"NOT_FOUND", {}};
    } else if (name == "meta_get") {
        const std::uint64_t capacity = given.number();
        const std::string value = or_not_found(log().meta_get(key));
        if (value.size() > capacity) // the binding has no buffer
            throw code_came{"TOO_SMALL", value.size()};
        return answer{value};
    } else {
        return std::nullopt;
    }
    return answer{};
}

static std::uint64_t field(const walrus_stats_t &stats, const std::string &name) {
#define FIELD(field) {#field, stats.field}
    const std::map<std::string, std::uint64_t> fields = {
        FIELD(is_poisoned), FIELD(first_index), FIELD(last_index), FIELD(durable_index), FIELD(segments), FIELD(async_pending),
        FIELD(txn_open), FIELD(appends), FIELD(entries_appended), FIELD(bytes_appended), FIELD(bytes_written), FIELD(syncs),
        FIELD(entries_synced), FIELD(largest_group), FIELD(rotations), FIELD(truncations), FIELD(segments_removed),
        FIELD(segment_cache_hits), FIELD(segment_cache_misses), FIELD(txn_committed), FIELD(txn_rolled_back), FIELD(txn_expired),
        FIELD(meta_updates), FIELD(recovery_bytes_cut), FIELD(recovery_entries_cut)};
#undef FIELD
    const auto found = fields.find(name);
    return found != fields.end() ? found->second : throw wrong("walrus_stats_t has no field " + name);
}

static std::string notify(walrus::log &log, int timeout_ms) {
    pollfd one{log.notify_fd(), POLLIN, 0};
    if (poll(&one, 1, timeout_ms) != 1)
        return "quiet";
    std::uint64_t moved;
    if (::read(one.fd, &moved, sizeof moved) != sizeof moved)
        throw wrong("the descriptor is readable, and 8 bytes cannot be read");
    return "readable";
}

static std::uint64_t number_in(const std::string &text, const std::string &name) {
    for (const std::string &line : split(text, '\n'))
        if (line.compare(0, name.size() + 1, name + " ") == 0)
            return number(line.substr(name.size() + 1));
    throw wrong("the text has no line for " + name);
}

std::optional<answer> scenario::operate(const std::string &name, arguments &given) {
    if (name == "bounds")
        return answer{log().first_index(), log().last_index(), log().next_index()};
    if (name == "durable")
        return answer{log().durable_index()};
    if (name == "recovery") {
        static const char *const reasons[] = {"clean", "complete", "torn", "batch", "reordered"};
        const walrus_recovery_report_t report = log().recovery_report();
        return answer{word{reasons[report.reason]}, report.entries_cut};
    }
    if (name == "notify")
        return answer{word{notify(log(), static_cast<int>(signed_number(given.token())))}};
    if (name == "stats")
        return answer{field(log().stats(), given.token())};
    if (name == "stats_text")
        return answer{number_in(log().stats_text(), given.token())};
    if (name == "segments") {
        answer all;
        for (const walrus::segment &one : log().segments())
            all.emplace_back(word{std::to_string(one.first_index) + ":" + std::to_string(one.last_index)});
        return all;
    }
    if (name == "wait_durable") {
        const std::uint64_t index = given.number();
        if (!log().wait_durable(index, timeout(given.token())))
            throw code_came{"TIMEOUT", {}};
        return answer{};
    }
    static const std::map<std::string, std::function<void(walrus::log &, arguments &)>> plain = {
        {"shutdown", [](walrus::log &log, arguments &) { log.shutdown(); }},
        {"sync", [](walrus::log &log, arguments &) { log.sync(); }},
        {"rotate", [](walrus::log &log, arguments &) { log.rotate(); }},
        {"interrupt", [](walrus::log &log, arguments &) { log.interrupt(); }},
        {"truncate", [](walrus::log &log, arguments &all) { log.truncate(all.number()); }},
        {"truncate_front", [](walrus::log &log, arguments &all) { log.truncate_front(all.number()); }},
        {"reset", [](walrus::log &log, arguments &all) { log.reset(all.number()); }},
    };
    const auto found = plain.find(name);
    if (found == plain.end())
        return std::nullopt;
    found->second(log(), given);
    return answer{};
}

// ---- Lines

static bool agrees(const std::string &expected, const came &one) {
    if (expected == "*")
        return true;
    if (const auto *value = std::get_if<std::uint64_t>(&one))
        return number(expected) == *value;
    if (const auto *value = std::get_if<std::int64_t>(&one))
        return signed_number(expected) == *value;
    if (const auto *value = std::get_if<std::string>(&one))
        return bytes(expected) == *value;
    if (const auto *value = std::get_if<word>(&one))
        return expected == value->text;
    const auto &[key, value] = std::get<pair>(one);
    const std::size_t comma = expected.find(',');
    return comma != std::string::npos && bytes(expected.substr(0, comma)) == key && bytes(expected.substr(comma + 1)) == value;
}

static std::string show(const came &one) {
    if (const auto *value = std::get_if<std::uint64_t>(&one))
        return std::to_string(*value);
    if (const auto *value = std::get_if<std::int64_t>(&one))
        return std::to_string(*value);
    if (const auto *value = std::get_if<std::string>(&one))
        return "\"" + value->substr(0, 40) + "\" (" + std::to_string(value->size()) + " bytes)";
    if (const auto *value = std::get_if<word>(&one))
        return value->text;
    return std::get<pair>(one).first + "," + std::get<pair>(one).second.substr(0, 40);
}

void scenario::compare(const words &expected, const answer &came) {
    bool same = expected.size() == came.size();
    for (std::size_t i = 0; same && i < came.size(); i++)
        same = agrees(expected[i], came[i]);
    if (same)
        return;
    std::string text;
    for (const auto &one : came)
        text += " " + show(one);
    throw wrong("other results were expected, and this came:" + text);
}

answer scenario::operation(const std::string &name, arguments &given) {
    using group = std::optional<answer> (scenario::*)(const std::string &, arguments &);
    for (const group one : {&scenario::library, &scenario::place, &scenario::append, &scenario::read, &scenario::cursor, &scenario::txn,
                            &scenario::meta, &scenario::operate})
        if (std::optional<answer> came = (this->*one)(name, given)) {
            if (!given.rest.empty())
                throw wrong(name + " takes fewer arguments");
            return std::move(*came);
        }
    throw wrong("there is no operation " + name);
}

void scenario::run_line(const std::string &line) {
    words tokens = split(line, ' '), results;
    const auto arrow = std::find(tokens.begin(), tokens.end(), "->");
    const bool has_results = arrow != tokens.end();
    if (has_results)
        results.assign(arrow + 1, tokens.end());
    tokens.erase(arrow, tokens.end());
    handle_ = "main";
    if (tokens.front()[0] == '@') {
        handle_ = tokens.front().substr(1);
        tokens.pop_front();
    }
    const std::string name = tokens.front();
    tokens.pop_front();
    arguments given{tokens, {}};
    code_came failed;
    try {
        const answer came = operation(name, given);
        return has_results ? compare(results, came) : void();
    } catch (const walrus::error &error) {
        message_ = error.what();
        failed = {name_of(error.code()), error.size_needed()};
    } catch (const code_came &code) {
        failed = code;
    }
    const bool is_expected = results.size() >= 2 && results.size() <= 3 && results[0] == "error" && results[1] == failed.name &&
                             (results.size() == 2 || (failed.size && number(results[2]) == *failed.size));
    if (!is_expected)
        throw wrong("error " + failed.name + " came: " + message_);
}

void scenario::run(const fs::path &file) {
    std::ifstream stream(file);
    std::string line;
    for (int at = 1; std::getline(stream, line); at++) {
        if (line.empty() || line[0] == '#')
            continue;
        try {
            run_line(line);
        } catch (const skipped &) {
            throw;
        } catch (const std::exception &error) {
            throw wrong(file.filename().string() + ":" + std::to_string(at) + ": " + error.what());
        }
    }
    cursors_.clear();
    for (auto &[name, txn] : txns_)
        txn.rollback();
    for (auto &[name, log] : logs_)
        log.close();
}

int main(int argc, char **argv) {
    std::vector<fs::path> files;
    for (const fs::directory_entry &file : fs::directory_iterator(WALRUS_SCENARIOS))
        if (file.path().extension() == ".scenario" && (argc < 2 || file.path().string().find(argv[1]) != std::string::npos))
            files.push_back(file.path());
    std::sort(files.begin(), files.end());
    int passed = 0, failed = 0;
    for (const fs::path &file : files) {
        std::string place = (fs::temp_directory_path() / "walrus-cpp-XXXXXX").string();
        if (mkdtemp(place.data()) == nullptr)
            return 2;
        try {
            scenario one(fs::path(place) / "log");
            one.run(file);
            ++passed;
        } catch (const skipped &error) {
            std::cout << "skipped: " << file.filename().string() << " (" << error.what() << ")\n";
        } catch (const std::exception &error) {
            std::cout << "FAILED: " << error.what() << "\n";
            ++failed;
        }
        fs::remove_all(place);
    }
    const std::string program = fs::path(argv[0]).filename().string();
    std::cout << program << ": " << passed << " passed, " << failed << " failed" << std::endl;
    return failed == 0 && passed > 0 ? 0 : 1;
}
