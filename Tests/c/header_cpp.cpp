// header_cpp.cpp - walrus.h in a C++17 program that has a namespace walrus of its own
//
// The header has no struct walrus, so that a C++ binding may take the name; and it must link as C.
#include <walrus.h>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <type_traits>
#include <vector>

namespace walrus {

struct close_log {
    void operator()(walrus_t *log) const { walrus_close(log); }
};
struct free_options {
    void operator()(walrus_options_t *options) const { walrus_options_free(options); }
};
using log = std::unique_ptr<walrus_t, close_log>;
using options = std::unique_ptr<walrus_options_t, free_options>;

struct entry : walrus_entry_t {
    entry() : walrus_entry_t{} {}
    entry(const entry &) = delete;
    entry &operator=(const entry &) = delete;
    ~entry() { walrus_entry_release(this); }
    std::string text() const { return std::string(static_cast<const char *>(data), size); }
};

} // namespace walrus

static_assert(std::is_standard_layout<walrus_record_t>::value && std::is_trivial<walrus_record_t>::value, "plain");
static_assert(std::is_standard_layout<walrus_entry_t>::value && std::is_trivial<walrus_entry_t>::value, "plain");
static_assert(std::is_standard_layout<walrus_error_t>::value && std::is_trivial<walrus_error_t>::value, "plain");
static_assert(noexcept(WALRUS_DURABLE | WALRUS_TO_OS), "constants");

static int passed, failed;

static void check(bool good, const char *what) {
    ++(good ? passed : failed);
    if (!good) {
        walrus_error_t error{};
        error.struct_size = sizeof error;
        walrus_last_error(&error);
        std::fprintf(stderr, "header_cpp: not so: %s\n    walrus_last_error: %d %s\n", what,
                     static_cast<int>(error.code), error.message);
    }
}

static bool run(const std::string &dir) {
    walrus::options options(walrus_options_new());
    if (!options || walrus_options_set(options.get(), "sync", "os") != WALRUS_OK)
        return false;
    walrus_t *handle = nullptr;
    if (walrus_open(dir.c_str(), options.get(), &handle) != WALRUS_OK)
        return false;
    walrus::log log(handle);
    std::uint64_t index = 0;
    const std::string text = "hello";
    if (walrus_append(log.get(), text.data(), text.size(), &index) != WALRUS_OK || index != 1)
        return false;
    walrus_record_t record{};
    record.data = text.data();
    record.size = text.size();
    record.term = 3;
    if (walrus_append_record(log.get(), &record, WALRUS_DURABLE, &index) != WALRUS_OK || index != 2)
        return false;
    walrus::entry entry;
    if (walrus_get(log.get(), 2, &entry) != WALRUS_OK || entry.text() != text || entry.term != 3)
        return false;
    std::vector<std::string> seen;
    auto collect = [](void *ctx, const walrus_entry_t *each) -> std::int32_t {
        static_cast<std::vector<std::string> *>(ctx)->emplace_back(static_cast<const char *>(each->data), each->size);
        return 0;
    };
    return walrus_scan(log.get(), 1, 2, collect, &seen) == WALRUS_OK && seen.size() == 2 && seen[0] == text;
}

int main() {
    const char *temporary = std::getenv("TMPDIR");
    std::string parent = std::string(temporary && *temporary ? temporary : "/tmp") + "/walrus-test-cpp-XXXXXX";
    if (mkdtemp(&parent[0]) == nullptr)
        return 2;
    const std::string dir = parent + "/log";
    check(run(dir), "a C++ program appends, reads and scans");
    check(walrus_destroy(dir.c_str()) == WALRUS_OK, "and destroys");
    std::remove(parent.c_str());
    std::printf("header_cpp: %d passed, %d failed\n", passed, failed);
    return failed == 0 ? 0 : 1;
}
