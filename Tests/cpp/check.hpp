// check.hpp - cases for the tests of walrus.hpp
//
//     CASE(an_entry_outlives_its_log) { ... CHECK(entry.view() == "a"); ... }
//
// Each case has a fresh directory, place(), which is removed at its end. The first check that fails ends its case. Without exceptions it ends
// the program. An argument of a test program is the part of a name; only cases that contain it are run.
#ifndef CHECK_HPP
#define CHECK_HPP

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

namespace check {

struct one {
    const char *name;
    void (*run)();
};
inline std::vector<one> cases;
inline std::string directory;

struct failed {};

inline void fail(const char *file, int line, const std::string &what) {
    std::fprintf(stderr, "%s:%d: %s\n", file, line, what.c_str());
#if defined(__cpp_exceptions)
    throw failed();
#else
    std::exit(1);
#endif
}

inline bool make_place() {
    std::string pattern = (std::filesystem::temp_directory_path() / "walrus-cpp-XXXXXX").string();
    if (mkdtemp(pattern.data()) == nullptr)
        return false;
    directory = pattern;
    return true;
}

inline bool run(const one &which) {
    if (!make_place())
        return false;
    bool good = true;
#if defined(__cpp_exceptions)
    try {
        which.run();
    } catch (const failed &) {
        good = false;
    } catch (const std::exception &error) {
        std::fprintf(stderr, "%s: threw: %s\n", which.name, error.what());
        good = false;
    }
#else
    which.run();
#endif
    std::error_code ignored;
    std::filesystem::remove_all(directory, ignored);
    return good;
}

inline int main(const char *program, int argc, char **argv) {
    int passed = 0, failures = 0;
    const char *slash = std::strrchr(program, '/');
    const std::string name = slash ? slash + 1 : program;
    for (const one &which : cases) {
        if (argc > 1 && std::strstr(which.name, argv[1]) == nullptr)
            continue;
        if (run(which)) {
            ++passed;
        } else {
            ++failures;
            std::fprintf(stderr, "%s: FAILED: %s\n", name.c_str(), which.name);
        }
    }
    std::printf("%s: %d passed, %d failed\n", name.c_str(), passed, failures);
    return failures == 0 && passed > 0 ? 0 : 1;
}

} // namespace check

inline std::string place(const char *name = "log") { return check::directory + "/" + name; }

#define CASE(name)                                                                                                       \
    static void name();                                                                                                  \
    static const bool registered_##name = (check::cases.push_back({#name, name}), true);                                 \
    static void name()

#define CHECK(condition)                                                                                                 \
    do {                                                                                                                 \
        if (!(condition))                                                                                                \
            check::fail(__FILE__, __LINE__, "not so: " #condition);                                                      \
    } while (false)

#endif // CHECK_HPP
