// quickstart.cpp - append an entry, read it back: c++ -std=c++17 quickstart.cpp -lwalrus && ./a.out
#include <iostream>
#include <walrus.hpp>

int main() {
    try {
        walrus::log log("orders");
        const std::uint64_t index = log.append("hello"); // durable on return
        std::cout << "entry " << index << ": " << log.get(index).str() << "\n";
        log.close();
    } catch (const walrus::error &error) {
        std::cerr << "orders: " << error.what() << "\n";
        return 1;
    }
}
