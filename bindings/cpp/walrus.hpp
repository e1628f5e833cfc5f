// walrus.hpp - libwalrus from C++17: handles that free themselves, views, ranges, and errors as exceptions or as values
//
//     walrus::log log("orders");
//     std::uint64_t index = log.append("hello");              durable when it returns
//     std::cout << log.get(index).str();
//
// Each operation comes twice. append() throws a walrus::error; try_append() is noexcept and returns a walrus::result, which holds a value
// or a walrus::failure. Without exceptions (-fno-exceptions) only the try_ form is there. What walrus.h says of a function holds for both: errors,
// threads, what is durable; comments here tell only what is added.
//
//   Handles    log, cursor, transaction and entry can be moved and not copied, and may be destroyed in any order. One that was moved from or
//              closed answers INVALID. Destructors close, roll back and release; log::close() is there to report errors.
//   Threads    a log may be used by any number of threads; the others belong to one at a time. No call of a log, nor of its cursors and
//              transactions, may be under way when it is closed: shutdown() first ends them.
//   Callbacks  are whatever can be called. What a visitor throws goes on where the walk was begun. What a completion or a logger throws is kept,
//              and thrown again by close(), unless callback_exception() fetched it before. Nothing unwinds through the library.
//   Bytes      go in as anything contiguous of one-byte elements: string literals, std::string(_view), std::vector<std::byte>, std::span.
//              They come out as std::string_view, in C++20 also as std::span<const std::byte>.
//   Memory     where there is none, the try_ form fails with NO_MEMORY. (With -fno-exceptions the standard library ends the program instead.)
//
// SPDX-License-Identifier: MIT
#ifndef WALRUS_HPP
#define WALRUS_HPP

#include <walrus.h>

#include <cassert>
#include <charconv>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <initializer_list>
#include <iterator>
#include <limits>
#include <map>
#include <memory>
#include <mutex>
#include <new>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#if defined(__cpp_exceptions) || defined(__EXCEPTIONS)
#define WALRUS_HAS_EXCEPTIONS 1
#include <exception>
#include <future>
#else
#define WALRUS_HAS_EXCEPTIONS 0
#endif

#if __cplusplus >= 202002L && __has_include(<span>)
#define WALRUS_HAS_SPAN 1
#include <span>
#else
#define WALRUS_HAS_SPAN 0
#endif

namespace walrus {

// ---- Library

inline std::string_view version() noexcept { return walrus_version(); }
inline std::uint32_t version_number() noexcept { return walrus_version_number(); }
inline std::uint32_t abi_version() noexcept { return walrus_abi_version(); }

// ---- Errors

enum class errc : std::int32_t {
    ok = WALRUS_OK,
    invalid = WALRUS_E_INVALID,
    not_found = WALRUS_E_NOT_FOUND,
    compacted = WALRUS_E_COMPACTED,
    out_of_order = WALRUS_E_OUT_OF_ORDER,
    too_large = WALRUS_E_TOO_LARGE,
    too_small = WALRUS_E_TOO_SMALL,
    exists = WALRUS_E_EXISTS,
    no_log = WALRUS_E_NO_LOG,
    not_a_log = WALRUS_E_NOT_A_LOG,
    version = WALRUS_E_VERSION,
    format = WALRUS_E_FORMAT,
    locked = WALRUS_E_LOCKED,
    read_only = WALRUS_E_READ_ONLY,
    io = WALRUS_E_IO,
    no_space = WALRUS_E_NO_SPACE,
    no_memory = WALRUS_E_NO_MEMORY,
    corrupt = WALRUS_E_CORRUPT,
    torn = WALRUS_E_TORN,
    poisoned = WALRUS_E_POISONED,
    closed = WALRUS_E_CLOSED,
    timeout = WALRUS_E_TIMEOUT,
    canceled = WALRUS_E_CANCELED,
    caught_up = WALRUS_E_CAUGHT_UP,
    txn_state = WALRUS_E_TXN_STATE,
    txn_expired = WALRUS_E_TXN_EXPIRED,
    txn_full = WALRUS_E_TXN_FULL,
    forked = WALRUS_E_FORKED,
    busy = WALRUS_E_BUSY,
    unsupported = WALRUS_E_UNSUPPORTED,
    internal = WALRUS_E_INTERNAL
};

// Name and meaning of a code, as in "WALRUS_E_TORN: ...".
inline const char *describe(errc code) noexcept { return walrus_strerror(static_cast<std::int32_t>(code)); }

// Indexes that follow each other.
struct indexes {
    std::uint64_t first = 0;
    std::uint64_t count = 0;

    std::uint64_t end() const noexcept { return first + count; }
    friend bool operator==(const indexes &a, const indexes &b) noexcept { return a.first == b.first && a.count == b.count; }
};

// What went wrong. Copying one never fails; where there is no memory, details are lost and the code stays.
class failure {
public:
    failure() noexcept = default;
    explicit failure(errc code) noexcept : code_(code) {}
    failure(failure &&) noexcept = default;
    failure &operator=(failure &&) noexcept = default;
    ~failure() = default;
    failure(const failure &other) noexcept
        : code_(other.code_), size_needed_(other.size_needed_), appended_(other.appended_), details_(copy_of(other.details_)) {}
    failure &operator=(const failure &other) noexcept {
        failure copy(other);
        return *this = std::move(copy);
    }

    // The calling thread's last failure, which was answered with this code.
    static failure last(std::int32_t code) noexcept {
        failure found(static_cast<errc>(code));
        std::unique_ptr<walrus_error_t> details(new (std::nothrow) walrus_error_t{});
        if (details) {
            details->struct_size = sizeof *details;
            if (walrus_last_error(details.get()) == WALRUS_OK && details->code == code)
                found.details_ = std::move(details);
        }
        return found;
    }

    // Whether something went wrong at all.
    explicit operator bool() const noexcept { return code_ != errc::ok; }

    errc code() const noexcept { return code_; }
    // A sentence that a person can act on. The texts live as long as this does.
    const char *message() const noexcept { return details_ ? details_->message : describe(code_); }
    int os_errno() const noexcept { return details_ ? details_->os_errno : 0; }
    std::uint64_t index() const noexcept { return details_ ? details_->index : 0; }
    std::uint64_t offset() const noexcept { return details_ ? details_->offset : 0; }
    const char *path() const noexcept { return details_ ? details_->path : ""; }
    // With too_small: how large the buffer has to be.
    std::size_t size_needed() const noexcept { return size_needed_; }
    // Entries that are in the log although the call failed, and are not known to be durable: those of an append whose wait was
    // interrupted, and of a commit of which only the wait failed.
    std::optional<indexes> appended() const noexcept {
        return appended_.first != 0 ? std::optional<indexes>(appended_) : std::nullopt;
    }

    failure with_size(std::size_t size) && noexcept {
        size_needed_ = size;
        return std::move(*this);
    }
    failure with_appended(indexes appended) && noexcept {
        appended_ = appended;
        return std::move(*this);
    }

private:
    static std::unique_ptr<walrus_error_t> copy_of(const std::unique_ptr<walrus_error_t> &details) noexcept {
        return std::unique_ptr<walrus_error_t>(details ? new (std::nothrow) walrus_error_t(*details) : nullptr);
    }

    errc code_ = errc::ok;
    std::size_t size_needed_ = 0;
    indexes appended_;
    std::unique_ptr<walrus_error_t> details_;
};

#if WALRUS_HAS_EXCEPTIONS
// A failure that was thrown.
class error : public std::exception {
public:
    explicit error(failure why) noexcept : why_(std::move(why)) {}

    const char *what() const noexcept override { return why_.message(); }
    const failure &why() const noexcept { return why_; }
    errc code() const noexcept { return why_.code(); }
    const char *message() const noexcept { return why_.message(); }
    int os_errno() const noexcept { return why_.os_errno(); }
    std::uint64_t index() const noexcept { return why_.index(); }
    std::uint64_t offset() const noexcept { return why_.offset(); }
    const char *path() const noexcept { return why_.path(); }
    std::size_t size_needed() const noexcept { return why_.size_needed(); }
    std::optional<indexes> appended() const noexcept { return why_.appended(); }

private:
    failure why_;
};
#endif

// A value, or why there is none. Look before you take the value, or let value() throw.
template <class T> class [[nodiscard]] result {
public:
    result(T value) noexcept : value_(std::move(value)) {}
    result(failure why) noexcept : why_(std::move(why)) {}

    explicit operator bool() const noexcept { return value_.has_value(); }
    errc code() const noexcept { return why_.code(); }
    const failure &why() const noexcept { return why_; }

    T &operator*() & noexcept { return assert(value_), *value_; }
    const T &operator*() const & noexcept { return assert(value_), *value_; }
    T &&operator*() && noexcept { return assert(value_), std::move(*value_); }
    T *operator->() noexcept { return assert(value_), &*value_; }
    const T *operator->() const noexcept { return assert(value_), &*value_; }

#if WALRUS_HAS_EXCEPTIONS
    T value() && {
        if (!value_)
            throw error(std::move(why_));
        return std::move(*value_);
    }
#endif

private:
    std::optional<T> value_;
    failure why_;
};

template <> class [[nodiscard]] result<void> {
public:
    result() noexcept = default;
    result(failure why) noexcept : why_(std::move(why)) {}

    explicit operator bool() const noexcept { return !why_; }
    errc code() const noexcept { return why_.code(); }
    const failure &why() const noexcept { return why_; }

#if WALRUS_HAS_EXCEPTIONS
    void value() && {
        if (why_)
            throw error(std::move(why_));
    }
#endif

private:
    failure why_;
};

// ---- What goes in

// Any contiguous bytes. They have to live during the call alone.
class bytes {
public:
    bytes() noexcept = default;
    bytes(const void *data, std::size_t size) noexcept : data_(data), size_(size) {}
    bytes(const char *text) noexcept : data_(text), size_(text != nullptr ? std::strlen(text) : 0) {}
    template <class C, class Element = std::remove_pointer_t<decltype(std::data(std::declval<const C &>()))>,
              class = std::enable_if_t<sizeof(Element) == 1 && std::is_trivially_copyable_v<Element> &&
                                       !std::is_same_v<std::remove_cv_t<std::remove_extent_t<C>>, char>>>
    bytes(const C &container) noexcept : data_(std::data(container)), size_(std::size(container)) {}

    const void *data() const noexcept { return data_; }
    std::size_t size() const noexcept { return size_; }

private:
    const void *data_ = nullptr;
    std::size_t size_ = 0;
};

// A name or path that ends in NUL: const char *, std::string, std::filesystem::path. One that holds a NUL becomes NULL, which the library refuses.
class text {
public:
    text(const char *chars) noexcept : chars_(chars) {}
    template <class S, class = std::enable_if_t<std::is_same_v<decltype(std::declval<const S &>().c_str()), const char *>>>
    text(const S &string) noexcept
        : chars_(std::strlen(string.c_str()) == length(string, 0) ? string.c_str() : nullptr) {}

    const char *c_str() const noexcept { return chars_; }

private:
    template <class S> static auto length(const S &string, int) noexcept -> decltype(string.size()) { return string.size(); }
    template <class S> static auto length(const S &path, long) noexcept -> decltype(path.native().size()) {
        return path.native().size();
    }

    const char *chars_;
};

// What is appended: walrus_record_t, initialised.
struct record : walrus_record_t {
    template <class Data, class = std::enable_if_t<std::is_convertible_v<const Data &, bytes>>>
    record(const Data &payload, std::uint64_t with_term = 0, std::uint64_t at_index = 0, std::int64_t at_ns = 0) noexcept
        : walrus_record_t{} {
        const bytes source(payload);
        data = source.data();
        size = source.size();
        index = at_index;
        term = with_term;
        timestamp_ns = at_ns;
    }
};
static_assert(sizeof(record) == sizeof(walrus_record_t), "arrays of records are passed as they are");

// Records that lie one behind the other: {"a", "b"}, std::vector<walrus::record>, std::array, std::span.
class records {
public:
    records() noexcept = default;
    records(const record *first, std::size_t count) noexcept : data_(first), size_(count) {}
    // The list lives as long as the call that this is an argument of.
    records(std::initializer_list<record> list) noexcept : size_(list.size()) { data_ = list.begin(); }
    template <class C, class = std::enable_if_t<
                           std::is_same_v<std::remove_cv_t<std::remove_pointer_t<decltype(std::data(std::declval<const C &>()))>>, record>>>
    records(const C &container) noexcept : data_(std::data(container)), size_(std::size(container)) {}

    const record *data() const noexcept { return data_; }
    std::size_t size() const noexcept { return size_; }

private:
    const record *data_ = nullptr;
    std::size_t size_ = 0;
};

// How durable an append is when it returns, whatever the option sync says.
enum class durability : std::uint32_t {
    as_opened = 0,
    durable = WALRUS_DURABLE,
    to_os = WALRUS_TO_OS,
    buffered = WALRUS_BUFFERED
};

// Milliseconds as C has them: any duration, rounded up and not below 0; or walrus::forever.
class timeout {
public:
    template <class Rep, class Period> timeout(std::chrono::duration<Rep, Period> time) noexcept : ms_(rounded(time)) {}
    std::int64_t milliseconds() const noexcept { return ms_; }

private:
    friend constexpr timeout wait_forever() noexcept;
    constexpr timeout() noexcept = default;
    template <class Duration> static std::int64_t rounded(Duration time) noexcept {
        using double_ms = std::chrono::duration<long double, std::milli>;
        if (time <= Duration::zero())
            return 0;
        if (double_ms(time).count() >= static_cast<long double>(std::numeric_limits<std::int64_t>::max() / 2))
            return std::numeric_limits<std::int64_t>::max();
        return static_cast<std::int64_t>(std::chrono::ceil<std::chrono::milliseconds>(time).count());
    }

    std::int64_t ms_ = -1;
};
constexpr timeout wait_forever() noexcept { return timeout(); }
inline constexpr timeout forever = wait_forever();

// As the last index of a range: to the end.
inline constexpr std::uint64_t to_end = std::numeric_limits<std::uint64_t>::max();

// CRC-32 (IEEE 802.3): the value of zlib's crc32 and of an entry's checksum.
inline std::uint32_t crc32(bytes data) noexcept { return walrus_crc32(data.data(), data.size()); }

// ---- What comes out

namespace detail {

// What an entry tells, whether it is owned or lent.
template <class Self> class entry_fields {
public:
    std::uint64_t index() const noexcept { return raw().index; }
    std::uint64_t term() const noexcept { return raw().term; }
    std::int64_t timestamp_ns() const noexcept { return raw().timestamp_ns; }
    std::uint32_t checksum() const noexcept { return raw().checksum; }
    const void *data() const noexcept { return raw().data; }
    std::size_t size() const noexcept { return raw().size; }
    std::string str() const { return std::string(static_cast<const char *>(raw().data), raw().size); }

protected:
    std::string_view as_view() const noexcept {
        return raw().size != 0 ? std::string_view(static_cast<const char *>(raw().data), raw().size) : std::string_view();
    }

private:
    const walrus_entry_t &raw() const noexcept { return static_cast<const Self *>(this)->c_entry(); }
};

// Runs what allocates: no memory is a failure, not an exception.
template <class F> auto guarded(F body) noexcept -> decltype(body()) {
#if WALRUS_HAS_EXCEPTIONS
    try {
        return body();
    } catch (...) {
        return failure(errc::no_memory);
    }
#else
    return body();
#endif
}

inline result<void> done(std::int32_t code) noexcept {
    if (code < 0)
        return failure::last(code);
    return {};
}

template <class T> result<T> given(std::int32_t code, T value) noexcept {
    if (code < 0)
        return failure::last(code);
    return value;
}

// Indexes of what was appended: after an error they were written if, and only if, the entries are in the log all the same.
inline result<indexes> appended(std::int32_t code, std::uint64_t first, std::uint64_t count) noexcept {
    if (code < 0)
        return failure::last(code).with_appended(first != 0 ? indexes{first, count} : indexes{});
    return indexes{first, count};
}

inline result<std::uint64_t> appended_one(std::int32_t code, std::uint64_t index) noexcept {
    if (code < 0)
        return failure::last(code).with_appended(index != 0 ? indexes{index, 1} : indexes{});
    return index;
}

// Codes that are answers: false, or nothing.
inline result<bool> unless(std::int32_t answer, std::int32_t code) noexcept {
    if (code == answer)
        return false;
    return given(code, true);
}

template <class T> result<std::optional<T>> found(std::int32_t code, T value) noexcept {
    if (code == WALRUS_E_NOT_FOUND)
        return std::optional<T>();
    return given(code, std::optional<T>(std::move(value)));
}

#if WALRUS_HAS_EXCEPTIONS
using exception = std::exception_ptr;
#else
using exception = std::nullptr_t;
#endif

// A visitor while its walk lasts, and what it threw. A visitor answers nothing, or an integer: above 0 stops.
template <class F> struct walk {
    F &visit;
    exception thrown = nullptr;

    template <class... Arguments> std::int32_t step(Arguments &&...arguments) noexcept {
        using answer = decltype(visit(std::forward<Arguments>(arguments)...));
        static_assert(std::is_void_v<answer> || (std::is_integral_v<answer> && !std::is_same_v<answer, bool>),
                      "a visitor returns nothing, or an integer that is above 0 to stop");
#if WALRUS_HAS_EXCEPTIONS
        try {
#endif
            if constexpr (std::is_void_v<answer>) {
                visit(std::forward<Arguments>(arguments)...);
                return 0;
            } else {
                return static_cast<std::int32_t>(visit(std::forward<Arguments>(arguments)...));
            }
#if WALRUS_HAS_EXCEPTIONS
        } catch (...) {
            thrown = std::current_exception();
            return 1;
        }
#endif
    }

    // The walk is over: what was thrown goes on, and whatever stopped it is the value.
    result<std::int32_t> end(std::int32_t code) const {
#if WALRUS_HAS_EXCEPTIONS
        if (thrown)
            std::rethrow_exception(thrown);
#endif
        return given(code, code);
    }
};

// Begins a walk; begin is handed the ctx.
template <class F, class Begin> result<std::int32_t> walk_with(F &visit, Begin begin) {
    walk<F> state{visit};
    return state.end(begin(static_cast<void *>(&state)));
}

} // namespace detail

// An entry that is lent, to a visitor for one.
class entry_view : public detail::entry_fields<entry_view> {
public:
    explicit entry_view(const walrus_entry_t &raw) noexcept : raw_(&raw) {}

    std::string_view view() const noexcept { return as_view(); }
#if WALRUS_HAS_SPAN
    std::span<const std::byte> span() const noexcept { return std::as_bytes(std::span(as_view())); }
#endif
    const walrus_entry_t &c_entry() const noexcept { return *raw_; }

private:
    const walrus_entry_t *raw_;
};

// An entry. With zero_copy it lends the mapped file's bytes, which stay as they are until it is destroyed, whatever happens to the log.
class entry : public detail::entry_fields<entry> {
public:
    entry() noexcept = default;
    entry(entry &&other) noexcept : raw_(std::exchange(other.raw_, walrus_entry_t{})) {}
    entry &operator=(entry &&other) noexcept {
        if (this != &other) {
            walrus_entry_release(&raw_);
            raw_ = std::exchange(other.raw_, walrus_entry_t{});
        }
        return *this;
    }
    entry(const entry &) = delete;
    entry &operator=(const entry &) = delete;
    ~entry() { walrus_entry_release(&raw_); }

    // Not of a temporary: its bytes would be gone with it. str() copies them.
    std::string_view view() const & noexcept { return as_view(); }
    std::string_view view() const && = delete;
#if WALRUS_HAS_SPAN
    std::span<const std::byte> span() const & noexcept { return std::as_bytes(std::span(as_view())); }
    std::span<const std::byte> span() const && = delete;
#endif
    const walrus_entry_t &c_entry() const noexcept { return raw_; }
    walrus_entry_t *c_entry() noexcept { return &raw_; }

private:
    walrus_entry_t raw_{};
};
static_assert(sizeof(entry) == sizeof(walrus_entry_t), "arrays of entries are filled as they are");

// Copies of entries, one behind the other.
struct packed {
    std::string data;
    std::vector<std::uint32_t> sizes;

    std::vector<std::string_view> views() const {
        std::vector<std::string_view> all;
        std::size_t offset = 0;
        for (std::uint32_t size : sizes) {
            all.push_back(std::string_view(data).substr(offset, size));
            offset += size;
        }
        return all;
    }
};

// walrus_segment_info_t, whose name may be kept.
struct segment : walrus_segment_info_t {
    explicit segment(const walrus_segment_info_t &info) : walrus_segment_info_t(info), file(info.name) { name = nullptr; }
    std::string file;
};

// ---- Options

enum class sync { always, interval, os, none };
enum class recovery { strict, torn_tail, salvage };
enum class format { binary, json, proto };
enum class compression { none, zlib };
enum class level : std::int32_t { error = WALRUS_LOG_ERROR, warn = WALRUS_LOG_WARN, info = WALRUS_LOG_INFO, debug = WALRUS_LOG_DEBUG };

namespace detail {

// What callbacks need, at an address that stays when the log is moved. C refers to it until walrus_close has returned.
struct log_state {
    std::function<void(level, const char *)> logger;
    std::mutex mutex;
    exception thrown = nullptr; // the first that a completion or the logger threw

    template <class F> void run(F body) noexcept {
#if WALRUS_HAS_EXCEPTIONS
        try {
            body();
        } catch (...) {
            std::lock_guard<std::mutex> hold(mutex);
            if (!thrown)
                thrown = std::current_exception();
        }
#else
        body();
#endif
    }

    static void logged(void *ctx, std::int32_t severity, const char *message) {
        auto *state = static_cast<log_state *>(ctx);
        state->run([&] { state->logger(static_cast<level>(severity), message); });
    }
};

} // namespace detail

// Settings. The first one that was wrong is told when the log is opened, and by why().
class options {
public:
    options() noexcept : handle_(walrus_options_new()) {
        if (!handle_)
            why_ = failure(errc::no_memory);
    }

    options &create(bool value) noexcept { return set_u64("create", value); }
    options &must_be_new(bool value) noexcept { return set_u64("must_be_new", value); }
    options &read_only(bool value) noexcept { return set_u64("read_only", value); }
    options &recovery(walrus::recovery value) noexcept {
        static const char *const names[] = {"strict", "torn_tail", "salvage"};
        return set("recovery", names[static_cast<int>(value)]);
    }
    options &sync(walrus::sync value) noexcept {
        static const char *const names[] = {"always", "interval", "os", "none"};
        return set("sync", names[static_cast<int>(value)]);
    }
    options &sync_interval(std::chrono::milliseconds value) noexcept { return set_ms("sync_interval_ms", value); }
    options &sync_bytes(std::uint64_t value) noexcept { return set_u64("sync_bytes", value); }
    options &async_max_bytes(std::uint64_t value) noexcept { return set_u64("async_max_bytes", value); }
    options &segment_size(std::uint64_t value) noexcept { return set_u64("segment_size", value); }
    options &preallocate(bool value) noexcept { return set_u64("preallocate", value); }
    options &cached_segments(std::uint64_t value) noexcept { return set_u64("cached_segments", value); }
    options &buffer_size(std::uint64_t value) noexcept { return set_u64("buffer_size", value); }
    options &sync_padding(std::uint64_t value) noexcept { return set_u64("sync_padding", value); }
    options &file_mode(std::uint32_t value) noexcept { return set_u64("file_mode", value); }
    options &verify_reads(bool value) noexcept { return set_u64("verify_reads", value); }
    options &zero_copy(bool value) noexcept { return set_u64("zero_copy", value); }
    options &max_entry_size(std::uint64_t value) noexcept { return set_u64("max_entry_size", value); }
    options &max_segments(std::uint64_t value) noexcept { return set_u64("max_segments", value); }
    options &retention_bytes(std::uint64_t value) noexcept { return set_u64("retention_bytes", value); }
    options &retention_age(std::chrono::milliseconds value) noexcept { return set_ms("retention_age_ms", value); }
    options &format(walrus::format value) noexcept {
        static const char *const names[] = {"binary", "json", "proto"};
        return set("format", names[static_cast<int>(value)]);
    }
    options &compression(walrus::compression value) noexcept {
        static const char *const names[] = {"none", "zlib"};
        return set("compression", names[static_cast<int>(value)]);
    }
    // 0 to 9, or -1: zlib's own choice.
    options &compression_level(int value) noexcept {
        char digits[16];
        *std::to_chars(digits, digits + sizeof digits - 1, value).ptr = 0;
        return set("compression_level", digits);
    }
    options &compression_min_size(std::uint64_t value) noexcept { return set_u64("compression_min_size", value); }
    options &txn_timeout(std::chrono::milliseconds value) noexcept { return set_ms("txn_timeout_ms", value); }
    options &txn_max_entries(std::uint64_t value) noexcept { return set_u64("txn_max_entries", value); }

    // Any option, as text or as a number: walrus.h lists them.
    options &set(text key, text value) noexcept {
        return note(handle_ ? walrus_options_set(handle_.get(), key.c_str(), value.c_str()) : 0);
    }
    options &set_u64(text key, std::uint64_t value) noexcept {
        return note(handle_ ? walrus_options_set_u64(handle_.get(), key.c_str(), value) : 0);
    }

    // Is told messages up to a level, on any thread, possibly on several at once; every function that takes the same log answers BUSY inside.
    options &logger(level up_to, std::function<void(level, const char *)> fn) noexcept {
        logger_ = std::move(fn);
        logger_level_ = up_to;
        return *this;
    }

    // What was wrong, if something was.
    const failure &why() const noexcept { return why_; }

    // What an option is set to, as text.
    result<std::string> try_get(text key) const noexcept {
        if (why_)
            return why_;
        return detail::guarded([&]() -> result<std::string> {
            std::string value(64, '\0');
            std::size_t size = 0;
            std::int32_t code;
            while ((code = walrus_options_get(handle_.get(), key.c_str(), value.data(), value.size(), &size)) == WALRUS_E_TOO_SMALL)
                value.resize(size);
            if (code < 0)
                return failure::last(code);
            value.resize(size - 1);
            return value;
        });
    }

    // Calls visit(key, default, allowed) for each option that the library knows. The texts are static.
    template <class F> static result<std::int32_t> try_each(F &&visit) {
        return detail::walk_with(visit, [](void *ctx) {
            return walrus_options_each(
                nullptr,
                [](void *c, const char *key, const char *value, const char *allowed) {
                    return static_cast<detail::walk<std::remove_reference_t<F>> *>(c)->step(key, value, allowed);
                },
                ctx);
        });
    }

#if WALRUS_HAS_EXCEPTIONS
    std::string get(text key) const { return try_get(key).value(); }
    template <class F> static std::int32_t each(F &&visit) { return try_each(visit).value(); }
#endif

    const walrus_options_t *c_options() const noexcept { return handle_.get(); }

private:
    friend class log;
    struct freeing {
        void operator()(walrus_options_t *handle) const noexcept { walrus_options_free(handle); }
    };

    options &set_ms(const char *key, std::chrono::milliseconds value) noexcept {
        return set_u64(key, value.count() < 0 ? std::numeric_limits<std::uint64_t>::max() : static_cast<std::uint64_t>(value.count()));
    }
    options &note(std::int32_t code) noexcept {
        if (code < 0 && !why_)
            why_ = failure::last(code);
        return *this;
    }

    std::unique_ptr<walrus_options_t, freeing> handle_;
    std::function<void(level, const char *)> logger_;
    level logger_level_ = level::warn;
    failure why_;
};

#if WALRUS_HAS_EXCEPTIONS
namespace detail {

// An input iterator over what a source reads: read() gives the next entry, or none at the end.
template <class Source> class entry_iterator {
public:
    using iterator_category = std::input_iterator_tag;
    using value_type = entry;
    using difference_type = std::ptrdiff_t;
    using pointer = const entry *;
    using reference = const entry &;

    entry_iterator() noexcept = default;
    explicit entry_iterator(Source *source) : source_(source) { ++*this; }
    const entry &operator*() const noexcept { return *current_; }
    const entry *operator->() const noexcept { return &*current_; }
    entry_iterator &operator++() {
        current_ = source_->read();
        if (!current_)
            source_ = nullptr;
        return *this;
    }
    void operator++(int) { ++*this; }
    friend bool operator==(const entry_iterator &a, const entry_iterator &b) noexcept { return a.source_ == b.source_; }
    friend bool operator!=(const entry_iterator &a, const entry_iterator &b) noexcept { return !(a == b); }

private:
    Source *source_ = nullptr;
    std::optional<entry> current_;
};

template <class Source> class entry_range {
public:
    using iterator = entry_iterator<Source>;

    explicit entry_range(Source source) noexcept : source_(std::move(source)) {}
    iterator begin() { return iterator(&source_); }
    iterator end() noexcept { return iterator(); }

private:
    Source source_;
};

} // namespace detail
#endif

// ---- Cursors

// A position in a log that moves. A loop over it reads what is there; follow() waits for more.
class cursor {
public:
    cursor() noexcept = default;
    cursor(cursor &&other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
    cursor &operator=(cursor &&other) noexcept {
        if (this != &other) {
            walrus_cursor_close(handle_);
            handle_ = std::exchange(other.handle_, nullptr);
        }
        return *this;
    }
    cursor(const cursor &) = delete;
    cursor &operator=(const cursor &) = delete;
    ~cursor() { walrus_cursor_close(handle_); }

    // The entry behind the cursor, over which it steps; none where there is none yet.
    result<std::optional<entry>> try_next() noexcept { return step(walrus_cursor_next, WALRUS_E_CAUGHT_UP); }
    // The entry before the cursor, over which it steps back; none where the log begins.
    result<std::optional<entry>> try_prev() noexcept { return step(walrus_cursor_prev, WALRUS_E_NOT_FOUND); }
    result<void> try_seek(std::uint64_t index) noexcept { return detail::done(walrus_cursor_seek(handle_, index)); }
    // Whether there is something to read: false if the time is over.
    result<bool> try_wait(timeout time) noexcept {
        return detail::unless(WALRUS_E_TIMEOUT, walrus_cursor_wait(handle_, time.milliseconds()));
    }
    std::uint64_t position() const noexcept { return walrus_cursor_position(handle_); }
    walrus_cursor_t *c_cursor() const noexcept { return handle_; }

#if WALRUS_HAS_EXCEPTIONS
    std::optional<entry> next() { return try_next().value(); }
    std::optional<entry> prev() { return try_prev().value(); }
    void seek(std::uint64_t index) { try_seek(index).value(); }
    bool wait(timeout time) { return try_wait(time).value(); }

    struct following {
        cursor *from;
        timeout time;

        std::optional<entry> read() {
            for (;;) {
                std::optional<entry> found = from->next();
                if (found || !from->wait(time))
                    return found;
            }
        }
    };
    // A range that waits for entries, and ends when none came for so long.
    detail::entry_range<following> follow(timeout time) noexcept { return detail::entry_range<following>({this, time}); }

    std::optional<entry> read() { return next(); }
    using iterator = detail::entry_iterator<cursor>;
    iterator begin() { return iterator(this); }
    iterator end() noexcept { return iterator(); }
#endif

private:
    friend class log;
    explicit cursor(walrus_cursor_t *handle) noexcept : handle_(handle) {}

    result<std::optional<entry>> step(std::int32_t (*move)(walrus_cursor_t *, walrus_entry_t *), std::int32_t at_end) noexcept {
        entry found;
        const std::int32_t code = move(handle_, found.c_entry());
        if (code == at_end)
            return std::optional<entry>();
        if (code < 0)
            return failure::last(code);
        return std::optional<entry>(std::move(found));
    }

    walrus_cursor_t *handle_ = nullptr;
};

// ---- Transactions

enum class txn_state : std::int32_t { open = WALRUS_TXN_OPEN, expired = WALRUS_TXN_EXPIRED, committed = WALRUS_TXN_COMMITTED };

// Entries staged for one atomic append. Its destructor rolls back what was not committed, and must not run inside the log's logger.
class transaction {
public:
    transaction() noexcept = default;
    transaction(transaction &&other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
    transaction &operator=(transaction &&other) noexcept {
        if (this != &other) {
            walrus_txn_rollback(handle_);
            handle_ = std::exchange(other.handle_, nullptr);
        }
        return *this;
    }
    transaction(const transaction &) = delete;
    transaction &operator=(const transaction &) = delete;
    ~transaction() { walrus_txn_rollback(handle_); }

    result<void> try_append(const record &what) noexcept { return detail::done(walrus_txn_append(handle_, &what)); }
    // After a failure it is as before and can be committed again, unless failure::appended() says where its entries are.
    result<indexes> try_commit(durability flags = durability::as_opened) noexcept {
        std::uint64_t first = 0, count = 0;
        const std::int32_t code = walrus_txn_commit(handle_, static_cast<std::uint32_t>(flags), &first, &count);
        if (code == WALRUS_OK)
            handle_ = nullptr;
        return detail::appended(code, first, count);
    }
    // BUSY leaves it as it is.
    result<void> try_rollback() noexcept {
        const std::int32_t code = walrus_txn_rollback(handle_);
        if (code != WALRUS_E_BUSY)
            handle_ = nullptr;
        return detail::done(code);
    }
    // INVALID once it has been committed or rolled back.
    result<txn_state> try_state() const noexcept {
        const std::int32_t state = walrus_txn_state(handle_);
        return detail::given(state, static_cast<txn_state>(state));
    }
    walrus_txn_t *c_txn() const noexcept { return handle_; }

#if WALRUS_HAS_EXCEPTIONS
    void append(const record &what) { try_append(what).value(); }
    indexes commit(durability flags = durability::as_opened) { return try_commit(flags).value(); }
    void rollback() { try_rollback().value(); }
    txn_state state() const { return try_state().value(); }
#endif

private:
    friend class log;
    explicit transaction(walrus_txn_t *handle) noexcept : handle_(handle) {}

    walrus_txn_t *handle_ = nullptr;
};

// ---- Logs

class log {
public:
    log() noexcept = default; // not open
    log(log &&other) noexcept : handle_(std::exchange(other.handle_, nullptr)), state_(std::move(other.state_)) {}
    log &operator=(log &&other) noexcept {
        if (this != &other) {
            end();
            handle_ = std::exchange(other.handle_, nullptr);
            state_ = std::move(other.state_);
        }
        return *this;
    }
    log(const log &) = delete;
    log &operator=(const log &) = delete;
    // Must not run inside one of the log's own callbacks: the log then stays open for good.
    ~log() { end(); }

    static result<log> try_open(text dir, const options &settings = options()) noexcept {
        if (settings.why())
            return settings.why();
        return detail::guarded([&]() -> result<log> {
            log opened;
            opened.state_ = std::make_unique<detail::log_state>();
            std::int32_t code = WALRUS_OK;
            if (settings.logger_) {
                opened.state_->logger = settings.logger_;
                code = walrus_options_set_logger(settings.handle_.get(), detail::log_state::logged, opened.state_.get(),
                                                 static_cast<std::int32_t>(settings.logger_level_));
            }
            if (code == WALRUS_OK)
                code = walrus_open(dir.c_str(), settings.handle_.get(), &opened.handle_);
            if (code < 0)
                return failure::last(code);
            return opened;
        });
    }
    static result<void> try_destroy(text dir) noexcept { return detail::done(walrus_destroy(dir.c_str())); }

    // The log is closed whatever this says, but for BUSY.
    result<void> try_close() noexcept {
        const std::int32_t code = walrus_close(handle_);
        if (code != WALRUS_E_BUSY)
            handle_ = nullptr;
        return detail::done(code);
    }
    result<void> try_shutdown() noexcept { return detail::done(walrus_shutdown(handle_)); }
    bool is_open() const noexcept { return handle_ != nullptr; }
    walrus_t *c_log() const noexcept { return handle_; }
    result<walrus_recovery_report_t> try_recovery_report() const noexcept {
        walrus_recovery_report_t report{};
        report.struct_size = sizeof report;
        const std::int32_t code = walrus_recovery_report(handle_, &report);
        return detail::given(code, report);
    }

    // ---- Append

    result<std::uint64_t> try_append(bytes data) noexcept {
        std::uint64_t index = 0;
        const std::int32_t code = walrus_append(handle_, data.data(), data.size(), &index);
        return detail::appended_one(code, index);
    }
    result<std::uint64_t> try_append_record(const record &what, durability flags = durability::as_opened) noexcept {
        std::uint64_t index = 0;
        const std::int32_t code = walrus_append_record(handle_, &what, static_cast<std::uint32_t>(flags), &index);
        return detail::appended_one(code, index);
    }
    result<indexes> try_append_batch(records batch, durability flags = durability::as_opened) noexcept {
        std::uint64_t first = 0;
        const std::int32_t code =
            walrus_append_batch(handle_, batch.data(), batch.size(), static_cast<std::uint32_t>(flags), &first);
        return detail::appended(code, first, batch.size());
    }
    // INVALID also if the sizes do not add up to the bytes.
    result<indexes> try_append_packed(bytes data, const std::uint32_t *sizes, std::size_t count, std::uint64_t term = 0,
                                      durability flags = durability::as_opened) noexcept {
        std::uint64_t total = 0;
        for (std::size_t i = 0; sizes != nullptr && i < count; i++)
            total += sizes[i];
        if (total != data.size())
            return failure(errc::invalid); // the library would read beyond the bytes
        std::uint64_t first = 0;
        const std::int32_t code =
            walrus_append_packed(handle_, data.data(), sizes, count, term, static_cast<std::uint32_t>(flags), &first);
        return detail::appended(code, first, count);
    }
    // done(index, const failure &) is called once, on the log's completion thread, if, and only if, this succeeds.
    template <class F> result<std::uint64_t> try_append_async(const record &what, F done) noexcept {
        struct completion {
            F done;
            detail::log_state *state;

            static void complete(void *ctx, std::uint64_t index, std::int32_t status) {
                std::unique_ptr<completion> self(static_cast<completion *>(ctx));
                detail::log_state *state = self->state;
                state->run([&] {
                    self->done(index, failure(static_cast<errc>(status)));
                    self.reset(); // what it holds may throw, too
                });
            }
        };
        std::unique_ptr<completion> self(new (std::nothrow) completion{std::move(done), state_.get()});
        if (!self)
            return failure(errc::no_memory);
        std::uint64_t index = 0;
        const std::int32_t code = walrus_append_async(handle_, &what, 0, completion::complete, self.get(), &index);
        if (code == WALRUS_OK)
            (void)self.release(); // complete() has it, or has had it
        return detail::given(code, index);
    }

    // ---- Durability

    result<void> try_sync() noexcept { return detail::done(walrus_sync(handle_)); }
    std::uint64_t durable_index() const noexcept { return walrus_durable_index(handle_); }
    // Whether the entry is durable: false if the time is over.
    result<bool> try_wait_durable(std::uint64_t index, timeout time = forever) noexcept {
        return detail::unless(WALRUS_E_TIMEOUT, walrus_wait_durable(handle_, index, time.milliseconds()));
    }
    result<int> try_notify_fd() noexcept {
        int fd = -1;
        const std::int32_t code = walrus_notify_fd(handle_, &fd);
        return detail::given(code, fd);
    }
    result<void> try_interrupt() noexcept { return detail::done(walrus_interrupt(handle_)); }

    // ---- Read

    std::uint64_t first_index() const noexcept { return walrus_first_index(handle_); }
    std::uint64_t last_index() const noexcept { return walrus_last_index(handle_); }
    std::uint64_t next_index() const noexcept { return walrus_next_index(handle_); }
    result<entry> try_get(std::uint64_t index) const noexcept {
        entry found;
        const std::int32_t code = walrus_get(handle_, index, found.c_entry());
        return detail::given(code, std::move(found));
    }
    // The entry's size; with too_small failure::size_needed().
    result<std::size_t> try_read(std::uint64_t index, void *buffer, std::size_t capacity) const noexcept {
        std::size_t size = 0;
        const std::int32_t code = walrus_read(handle_, index, buffer, capacity, &size);
        if (code == WALRUS_E_TOO_SMALL)
            return failure::last(code).with_size(size);
        return detail::given(code, size);
    }
    // Calls visit(walrus::entry_view). The value is what it stopped with, or 0. What visit throws goes on from here.
    template <class F> result<std::int32_t> try_scan(std::uint64_t first, std::uint64_t last, F &&visit) const {
        return detail::walk_with(visit, [&](void *ctx) {
            return walrus_scan(
                handle_, first, last,
                [](void *c, const walrus_entry_t *raw) {
                    return static_cast<detail::walk<std::remove_reference_t<F>> *>(c)->step(entry_view(*raw));
                },
                ctx);
        });
    }
    result<std::vector<entry>> try_get_range(std::uint64_t first, std::uint64_t last, std::size_t max_bytes,
                                             std::size_t max_count) const noexcept {
        return detail::guarded([&]() -> result<std::vector<entry>> {
            const std::uint64_t held = last_index(), end = last < held ? last : held;
            const std::uint64_t there = end > first ? end - first + 1 : 1;
            std::vector<entry> found(there < max_count ? static_cast<std::size_t>(there) : max_count);
            std::size_t count = 0;
            const std::int32_t code = walrus_get_range(handle_, first, last, max_bytes, found.empty() ? nullptr : found[0].c_entry(),
                                                       found.size(), &count);
            if (code < 0)
                return failure::last(code);
            found.resize(count);
            return found;
        });
    }
    result<packed> try_read_packed(std::uint64_t first, std::size_t max_count, std::size_t capacity) const noexcept {
        return detail::guarded([&]() -> result<packed> {
            const std::uint64_t held = last_index(), there = held > first ? held - first + 1 : 1;
            packed all{std::string(capacity, '\0'),
                       std::vector<std::uint32_t>(there < max_count ? static_cast<std::size_t>(there) : max_count)};
            std::size_t count = 0, size = 0;
            const std::int32_t code = walrus_read_packed(handle_, first, all.sizes.size(), all.data.data(), capacity,
                                                         all.sizes.data(), &count);
            if (code == WALRUS_E_TOO_SMALL)
                return failure::last(code).with_size(all.sizes[0]);
            if (code < 0)
                return failure::last(code);
            all.sizes.resize(count);
            for (std::uint32_t one : all.sizes)
                size += one;
            all.data.resize(size);
            return all;
        });
    }
    result<std::uint64_t> try_term(std::uint64_t index) const noexcept {
        std::uint64_t term = 0;
        const std::int32_t code = walrus_term(handle_, index, &term);
        return detail::given(code, term);
    }
    // None if no entry has the term.
    result<std::optional<std::uint64_t>> try_last_index_of_term(std::uint64_t term) const noexcept {
        std::uint64_t index = 0;
        const std::int32_t code = walrus_last_index_of_term(handle_, term, &index);
        return detail::found(code, index);
    }
    // None if all entries are earlier.
    result<std::optional<std::uint64_t>> try_seek_time(std::int64_t timestamp_ns) const noexcept {
        std::uint64_t index = 0;
        const std::int32_t code = walrus_seek_time(handle_, timestamp_ns, &index);
        return detail::found(code, index);
    }
    // Before the entry at index; 0: before the first one.
    result<walrus::cursor> try_cursor(std::uint64_t index = 0, bool durable_only = false) const noexcept {
        walrus_cursor_t *opened = nullptr;
        const std::int32_t code = walrus_cursor_open(handle_, index, durable_only ? WALRUS_DURABLE_ONLY : 0, &opened);
        return detail::given(code, walrus::cursor(opened));
    }

    // ---- Truncate

    result<void> try_truncate(std::uint64_t index) noexcept { return detail::done(walrus_truncate(handle_, index)); }
    result<void> try_truncate_front(std::uint64_t index) noexcept { return detail::done(walrus_truncate_front(handle_, index)); }
    result<void> try_reset(std::uint64_t next_index) noexcept { return detail::done(walrus_reset(handle_, next_index)); }
    result<indexes> try_replace_suffix(std::uint64_t from, records suffix) noexcept {
        const std::int32_t code = walrus_replace_suffix(handle_, from, suffix.data(), suffix.size(), 0);
        return detail::given(code, indexes{from, suffix.size()});
    }

    // ---- Transactions

    // As long as the option txn_timeout_ms says.
    result<transaction> try_begin() noexcept { return begin_for(0); }
    result<transaction> try_begin(timeout time) noexcept { return begin_for(time.milliseconds() == 0 ? 1 : time.milliseconds()); }
    std::uint64_t txn_count() const noexcept { return walrus_txn_count(handle_); }
    result<std::uint64_t> try_txn_expire() noexcept {
        std::uint64_t expired = 0;
        const std::int32_t code = walrus_txn_expire(handle_, &expired);
        return detail::given(code, expired);
    }

    // ---- Metadata

    result<void> try_meta_set(text key, bytes value) noexcept {
        return detail::done(walrus_meta_set(handle_, key.c_str(), value.data(), value.size()));
    }
    result<void> try_meta_stage(text key, bytes value) noexcept {
        return detail::done(walrus_meta_stage(handle_, key.c_str(), value.data(), value.size()));
    }
    // None if there is no such key.
    result<std::optional<std::string>> try_meta_get(text key) const noexcept {
        return detail::guarded([&]() -> result<std::optional<std::string>> {
            std::string value(256, '\0');
            std::size_t size = 0;
            std::int32_t code;
            while ((code = walrus_meta_get(handle_, key.c_str(), value.data(), value.size(), &size)) == WALRUS_E_TOO_SMALL)
                value.resize(size); // it may have grown again until the next look
            if (code == WALRUS_OK)
                value.resize(size);
            return detail::found(code, std::move(value));
        });
    }
    // Whether there was such a key.
    result<bool> try_meta_delete(text key) noexcept {
        return detail::unless(WALRUS_E_NOT_FOUND, walrus_meta_delete(handle_, key.c_str()));
    }
    // Calls visit(std::string_view key, std::string_view value), in order of the keys' bytes.
    template <class F> result<std::int32_t> try_meta_each(F &&visit) const {
        return detail::walk_with(visit, [&](void *ctx) {
            return walrus_meta_each(
                handle_,
                [](void *c, const char *key, const void *value, std::size_t size) {
                    const auto bytes = size != 0 ? std::string_view(static_cast<const char *>(value), size) : std::string_view();
                    return static_cast<detail::walk<std::remove_reference_t<F>> *>(c)->step(std::string_view(key), bytes);
                },
                ctx);
        });
    }
    result<std::map<std::string, std::string>> try_meta() const noexcept {
        return detail::guarded([&]() -> result<std::map<std::string, std::string>> {
            std::map<std::string, std::string> all;
            const auto walked = try_meta_each([&](std::string_view key, std::string_view value) { all.emplace(key, value); });
            if (!walked)
                return walked.why();
            return all;
        });
    }

    // ---- Operations

    result<void> try_rotate() noexcept { return detail::done(walrus_rotate(handle_)); }
    // Calls visit(const walrus_segment_info_t &), oldest first.
    template <class F> result<std::int32_t> try_each_segment(F &&visit) const {
        return detail::walk_with(visit, [&](void *ctx) {
            return walrus_segments(
                handle_,
                [](void *c, const walrus_segment_info_t *info) {
                    return static_cast<detail::walk<std::remove_reference_t<F>> *>(c)->step(*info);
                },
                ctx);
        });
    }
    result<std::vector<segment>> try_segments() const noexcept {
        return detail::guarded([&]() -> result<std::vector<segment>> {
            std::vector<segment> all;
            const auto walked = try_each_segment([&](const walrus_segment_info_t &info) { all.emplace_back(info); });
            if (!walked)
                return walked.why();
            return all;
        });
    }
    result<walrus_stats_t> try_stats() const noexcept {
        walrus_stats_t stats{};
        stats.struct_size = sizeof stats;
        const std::int32_t code = walrus_stats(handle_, &stats);
        return detail::given(code, stats);
    }
    result<std::string> try_stats_text() const noexcept {
        return detail::guarded([&]() -> result<std::string> {
            std::string all(8192, '\0');
            std::size_t size = 0;
            std::int32_t code;
            while ((code = walrus_stats_text(handle_, all.data(), all.size(), &size)) == WALRUS_E_TOO_SMALL)
                all.resize(size + 256); // numbers grow meanwhile
            if (code < 0)
                return failure::last(code);
            all.resize(size - 1);
            return all;
        });
    }

#if WALRUS_HAS_EXCEPTIONS
    // ---- The same, throwing walrus::error

    explicit log(text dir, const options &settings = options()) : log(try_open(dir, settings).value()) {}
    static void destroy(text dir) { try_destroy(dir).value(); }

    // The first exception that a completion or the logger has thrown since the last call, or null.
    std::exception_ptr callback_exception() noexcept {
        if (!state_)
            return nullptr;
        std::lock_guard<std::mutex> hold(state_->mutex);
        return std::exchange(state_->thrown, nullptr);
    }
    void close() {
        try_close().value();
        if (std::exception_ptr thrown = callback_exception())
            std::rethrow_exception(thrown);
    }
    void shutdown() { try_shutdown().value(); }
    walrus_recovery_report_t recovery_report() const { return try_recovery_report().value(); }

    std::uint64_t append(bytes data) { return try_append(data).value(); }
    std::uint64_t append_record(const record &what, durability flags = durability::as_opened) {
        return try_append_record(what, flags).value();
    }
    indexes append_batch(records batch, durability flags = durability::as_opened) { return try_append_batch(batch, flags).value(); }
    indexes append_packed(bytes data, const std::uint32_t *sizes, std::size_t count, std::uint64_t term = 0,
                          durability flags = durability::as_opened) {
        return try_append_packed(data, sizes, count, term, flags).value();
    }
    template <class F> std::uint64_t append_async(const record &what, F done) {
        return try_append_async(what, std::move(done)).value();
    }
    // The entry's index, once it is durable.
    std::future<std::uint64_t> append_future(const record &what) {
        std::promise<std::uint64_t> promise;
        std::future<std::uint64_t> future = promise.get_future();
        append_async(what, [promise = std::move(promise)](std::uint64_t index, const failure &why) mutable {
            if (why)
                promise.set_exception(std::make_exception_ptr(error(why)));
            else
                promise.set_value(index);
        });
        return future;
    }

    void sync() { try_sync().value(); }
    bool wait_durable(std::uint64_t index, timeout time = forever) { return try_wait_durable(index, time).value(); }
    int notify_fd() { return try_notify_fd().value(); }
    void interrupt() { try_interrupt().value(); }

    entry get(std::uint64_t index) const { return try_get(index).value(); }
    std::size_t read(std::uint64_t index, void *buffer, std::size_t capacity) const { return try_read(index, buffer, capacity).value(); }
    template <class F> std::int32_t scan(std::uint64_t first, std::uint64_t last, F &&visit) const {
        return try_scan(first, last, visit).value();
    }
    std::vector<entry> get_range(std::uint64_t first, std::uint64_t last, std::size_t max_bytes, std::size_t max_count) const {
        return try_get_range(first, last, max_bytes, max_count).value();
    }
    packed read_packed(std::uint64_t first, std::size_t max_count, std::size_t capacity) const {
        return try_read_packed(first, max_count, capacity).value();
    }
    std::uint64_t term(std::uint64_t index) const { return try_term(index).value(); }
    std::optional<std::uint64_t> last_index_of_term(std::uint64_t term) const { return try_last_index_of_term(term).value(); }
    std::optional<std::uint64_t> seek_time(std::int64_t timestamp_ns) const { return try_seek_time(timestamp_ns).value(); }
    walrus::cursor cursor(std::uint64_t index = 0, bool durable_only = false) const { return try_cursor(index, durable_only).value(); }

    struct reading {
        const log *from;
        std::uint64_t next, end;

        std::optional<entry> read() {
            if (next >= end)
                return std::nullopt;
            return from->get(next++);
        }
    };
    using entries = detail::entry_range<reading>;
    // A range to loop over; its end is the last index as it is now. The log must outlive it, and not be moved.
    entries range(std::uint64_t first, std::uint64_t last = to_end) const {
        const std::uint64_t next_index = this->next_index();
        if (next_index == 0)
            return entries({this, 0, 1}); // not open: the read of entry 0 tells why
        return entries({this, first, last < next_index ? last + 1 : next_index});
    }
    // All entries.
    entries range() const {
        const std::uint64_t first = first_index();
        return range(first != 0 ? first : next_index());
    }

    void truncate(std::uint64_t index) { try_truncate(index).value(); }
    void truncate_front(std::uint64_t index) { try_truncate_front(index).value(); }
    void reset(std::uint64_t next_index) { try_reset(next_index).value(); }
    indexes replace_suffix(std::uint64_t from, records suffix) { return try_replace_suffix(from, suffix).value(); }

    transaction begin_txn() { return try_begin().value(); }
    transaction begin_txn(timeout time) { return try_begin(time).value(); }
    std::uint64_t txn_expire() { return try_txn_expire().value(); }

    void meta_set(text key, bytes value) { try_meta_set(key, value).value(); }
    void meta_stage(text key, bytes value) { try_meta_stage(key, value).value(); }
    std::optional<std::string> meta_get(text key) const { return try_meta_get(key).value(); }
    bool meta_delete(text key) { return try_meta_delete(key).value(); }
    template <class F> std::int32_t meta_each(F &&visit) const { return try_meta_each(visit).value(); }
    std::map<std::string, std::string> meta() const { return try_meta().value(); }

    void rotate() { try_rotate().value(); }
    template <class F> std::int32_t each_segment(F &&visit) const { return try_each_segment(visit).value(); }
    std::vector<segment> segments() const { return try_segments().value(); }
    walrus_stats_t stats() const { return try_stats().value(); }
    std::string stats_text() const { return try_stats_text().value(); }
#endif

private:
    result<transaction> begin_for(std::int64_t timeout_ms) noexcept {
        walrus_txn_t *begun = nullptr;
        const std::int32_t code = walrus_txn_begin(handle_, timeout_ms, &begun);
        return detail::given(code, transaction(begun));
    }

    void end() noexcept {
        if (walrus_close(handle_) == WALRUS_E_BUSY)
            (void)state_.release(); // the log stays open, and its callbacks with it
        handle_ = nullptr;
        state_.reset();
    }

    walrus_t *handle_ = nullptr;
    std::unique_ptr<detail::log_state> state_;
};

// ---- Formats

// Copies the log in source into one in target, in the format and with the compression that the settings say. Calls progress(done, total); what it
// stops with, by returning a value above 0, is the value, and the copy goes on there when it is called again. What it throws goes on from here.
template <class F>
result<std::int32_t> try_convert(text source, text target, const options &settings, F &&progress) {
    if (settings.why())
        return settings.why();
    return detail::walk_with(progress, [&](void *ctx) {
        return walrus_convert(
            source.c_str(), target.c_str(), settings.c_options(),
            [](void *c, std::uint64_t done, std::uint64_t total) {
                return static_cast<detail::walk<std::remove_reference_t<F>> *>(c)->step(done, total);
            },
            ctx);
    });
}
inline result<void> try_convert(text source, text target, const options &settings = options()) noexcept {
    if (settings.why())
        return settings.why();
    return detail::done(walrus_convert(source.c_str(), target.c_str(), settings.c_options(), nullptr, nullptr));
}

#if WALRUS_HAS_EXCEPTIONS
template <class F> std::int32_t convert(text source, text target, const options &settings, F &&progress) {
    return try_convert(source, target, settings, progress).value();
}
inline void convert(text source, text target, const options &settings = options()) { try_convert(source, target, settings).value(); }
#endif

} // namespace walrus

#endif // WALRUS_HPP
