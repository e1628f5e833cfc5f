// store.cpp - a small key-value store whose recovery is replay
//
//     store DIRECTORY [FILE]        reads commands from FILE or the standard input, one a line:
//
//     set KEY VALUE     stores, and says "ok KEY VALUE" when it is durable
//     get KEY           says the value
//     del KEY           removes
//     list              says "KEY VALUE" for each key, in order
//     compact           rewrites the log as what is in it now
//
// The map in memory is what the log says: each change is an entry, appended before the map is changed, and opening the store replays them.
// Kill it at any moment: what it had said "ok" for is there.
//
// Compaction is an append, too: one batch that begins with a mark "forget what came before" and holds every pair. A batch is there whole or not
// at all, so the entries before it may then be dropped, and a crash between the two steps costs nothing but a longer replay.
//
// An entry is one byte that says what it is, and for a pair the key's length, the key, the value.
#include <cstdint>
#include <cstring>
#include <fstream>
#include <iostream>
#include <map>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>
#include <walrus.hpp>

namespace {

class store {
public:
    explicit store(const std::string &directory) : log_(directory, walrus::options().sync(walrus::sync::always).segment_size(1 << 20)) {
        if (log_.last_index() != 0)
            log_.scan(log_.first_index(), walrus::to_end, [this](walrus::entry_view entry) { replay(entry); });
    }

    void set(const std::string &key, const std::string &value) {
        log_.append(encoded(key, value)); // if it throws, the map is as it was, and the next open tells what became of the entry
        pairs_[key] = value;
        compact_if_worth_it();
    }

    bool remove(const std::string &key) {
        if (pairs_.count(key) == 0)
            return false;
        log_.append(std::string(1, deletion) + key);
        pairs_.erase(key);
        compact_if_worth_it();
        return true;
    }

    const std::string *get(const std::string &key) const {
        const auto found = pairs_.find(key);
        return found != pairs_.end() ? &found->second : nullptr;
    }

    const std::map<std::string, std::string> &pairs() const { return pairs_; }

    void compact() {
        std::vector<std::string> payloads{std::string(1, clearing)};
        for (const auto &[key, value] : pairs_)
            payloads.push_back(encoded(key, value));
        const std::vector<walrus::record> records(payloads.begin(), payloads.end());
        const walrus::indexes rewritten = log_.append_batch(records, walrus::durability::durable);
        log_.truncate_front(rewritten.first);
    }

    void close() { log_.close(); }

private:
    enum : char { pair = 'p', deletion = 'd', clearing = 'c' };

    static std::string encoded(const std::string &key, const std::string &value) {
        const std::uint32_t length = static_cast<std::uint32_t>(key.size());
        std::string payload(1, pair);
        for (int shift = 0; shift < 32; shift += 8)
            payload += static_cast<char>(length >> shift & 0xff);
        return payload + key + value;
    }

    void replay(walrus::entry_view entry) {
        const std::string_view payload = entry.view();
        const char what = payload.empty() ? '\0' : payload[0];
        if (what == clearing)
            return pairs_.clear();
        if (what == deletion)
            return void(pairs_.erase(std::string(payload.substr(1))));
        std::size_t length = 0;
        for (std::size_t i = 0; i < 4 && what == pair && payload.size() >= 5; i++)
            length |= static_cast<std::size_t>(static_cast<unsigned char>(payload[1 + i])) << 8 * i;
        if (what != pair || payload.size() < 5 || length > payload.size() - 5)
            throw std::runtime_error("entry " + std::to_string(entry.index()) + " was not written by this program");
        pairs_[std::string(payload.substr(5, length))] = payload.substr(5 + length);
    }

    // Replay should not take much longer than reading what there is.
    void compact_if_worth_it() {
        if (log_.next_index() - log_.first_index() > 1000 + 4 * pairs_.size())
            compact();
    }

    walrus::log log_;
    std::map<std::string, std::string> pairs_;
};

void run(store &store, const std::string &line) {
    std::istringstream words(line);
    std::string command, key, value;
    words >> command >> key;
    std::getline(words >> std::ws, value);
    if (command == "set" && !key.empty()) {
        store.set(key, value);
        std::cout << "ok " << key << " " << value << std::endl;
    } else if (command == "get" && !key.empty()) {
        const std::string *found = store.get(key);
        std::cout << (found ? *found : "there is no " + key) << std::endl;
    } else if (command == "del" && !key.empty()) {
        std::cout << (store.remove(key) ? "ok " : "there is no ") << key << std::endl;
    } else if (command == "list") {
        for (const auto &[each, its] : store.pairs())
            std::cout << each << " " << its << "\n";
        std::cout.flush();
    } else if (command == "compact") {
        store.compact();
        std::cout << "ok" << std::endl;
    } else if (!command.empty()) {
        std::cerr << "store: say set KEY VALUE, get KEY, del KEY, list or compact\n";
    }
}

} // namespace

int main(int argc, char **argv) {
    if (argc < 2 || argc > 3) {
        std::cerr << "usage: store DIRECTORY [FILE]\n";
        return 2;
    }
    try {
        std::ifstream file;
        if (argc == 3)
            file.open(argv[2]);
        if (!file)
            throw std::runtime_error(std::string(argv[2]) + ": " + std::strerror(errno));
        std::istream &input = argc == 3 ? file : std::cin;
        store store(argv[1]);
        for (std::string line; std::getline(input, line);)
            run(store, line);
        store.close();
    } catch (const walrus::error &error) {
        std::cerr << "store: " << error.what() << "\n";
        return 1;
    } catch (const std::exception &error) {
        std::cerr << "store: " << error.what() << "\n";
        return 1;
    }
}
