// SPDX-License-Identifier: Apache-2.0
// The serial bridge in Verilator between a cable that can be spoilt and a few registers that log
// what reaches them. `cocotb_tests.serial.link_faults` drives it: one record on standard input says how far
// to run, one on standard output what came of it. All time is the board's; nothing depends on how
// fast this program runs.
//
// usage: simulation SEED

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <random>
#include <vector>

#include "Vtop.h"
#include "verilated.h"

namespace {

constexpr int kFrameBits = 10;  // start, eight data bits, stop
constexpr uint32_t kPlain = 0x1000, kSource = 0x1000, kSink = 0x1004;
constexpr uint64_t kSourceRuns = 61;  // words between two refusals
constexpr size_t kBatch = 64;         // bytes that an adapter hands over at once, at most

struct Command {
    uint64_t until;               // clock to run to
    double bit_clocks;            // of the host's side of the line
    uint64_t pull_at, pull_end;   // clocks in which the cable is out
    uint64_t reset_at, reset_end;
    uint32_t flips;               // of 2^32 bit times, how many are flipped
    uint32_t pulled;              // the board's side then: 0 low, 1 high, 2 noise
    uint32_t until_bytes;         // return as well once bytes have come and the line is quiet
    uint32_t count;               // bytes to send, which follow
};

struct Reply {
    uint64_t now;
    uint64_t flipped[2];          // to the board, from the board; since the start
    uint64_t waiting;             // bytes not sent yet
    uint32_t bytes, accesses;     // which follow
};

struct Access {
    uint32_t address, kind, data;  // kind 0: read, 1: written, 2: refused by the source
};

// Levels of one direction, a bit time of which is now and then the opposite.
class Noise {
public:
    int operator()(int level, uint64_t now, double bit_clocks, uint32_t flips, std::mt19937& rng) {
        if (static_cast<double>(now) >= next_) {
            next_ = static_cast<double>(now) + bit_clocks;
            flip_ = flips && rng() < flips;
            count += flip_;
        }
        return level ^ static_cast<int>(flip_);
    }

    uint64_t count = 0;

private:
    double next_ = 0;
    bool flip_ = false;
};

// The host's serial adapter.
class Adapter {
public:
    std::vector<uint8_t> out, in;
    size_t sent = 0;

    int send(uint64_t now, double bit_clocks) {
        while (static_cast<double>(now) >= edge_) {
            if (bit_ < kFrameBits) {
                level_ = frame_ >> bit_++ & 1;
            } else if (sent < out.size()) {
                frame_ = 1 << (kFrameBits - 1) | out[sent++] << 1;
                bit_ = 1;
                level_ = 0;
                if (edge_ < static_cast<double>(now) - 1) edge_ = static_cast<double>(now);
            } else {
                edge_ = static_cast<double>(now);
                return level_;
            }
            edge_ += bit_clocks;
        }
        return level_;
    }

    void receive(uint64_t now, int level, double bit_clocks) {
        if (place_ < 0) {
            if (!level && high_) {
                place_ = 0;
                byte_ = 0;
                sample_ = static_cast<double>(now) + 1.5 * bit_clocks - 0.5;
                last = now;
            }
            high_ = level;
        } else if (static_cast<double>(now) >= sample_) {
            sample_ += bit_clocks;
            last = now;
            if (place_ < 8) {
                byte_ |= level << place_++;
            } else {
                if (level) in.push_back(byte_);
                place_ = -1;
                high_ = level;
            }
        }
    }

    uint64_t last = 0;  // clock in which something was received

private:
    int frame_ = 0, bit_ = kFrameBits, level_ = 1;
    double edge_ = 0;
    int place_ = -1, byte_ = 0, high_ = 1;
    double sample_ = 0;
};

// Plain words, a source that every read takes a word from, a sink that is often busy.
class Registers {
public:
    explicit Registers(std::mt19937& rng) : rng_(rng), plain_(kPlain / 4) {}

    std::vector<Access> log;

    // Before the rising edge: the inputs of the bridge, from what it shows.
    void drive(Vtop& top) {
        if (top.rst) state_ = kIdle;
        if (state_ == kIdle && top.bus___05Frequest___05Fvalid) {
            state_ = kRequest;
            wait_ = rng_() & 3;
        }
        const bool ready = state_ == kRequest && wait_ == 0;
        const bool answer = state_ == kAnswer && wait_ == 0;
        if (wait_) --wait_;
        top.bus___05Frequest___05Fready = ready;
        top.bus___05Fresponse___05Fvalid = answer;
        top.bus___05Fresponse___05Fpayload = answer ? value_ : rng_();
        top.eval();
        if (top.rst) return;
        if (ready && top.bus___05Frequest___05Fvalid) {
            const uint64_t request = top.bus___05Frequest___05Fpayload;
            value_ = access(request & 0xFFFF, request >> 16 & 1, static_cast<uint32_t>(request >> 17));
            state_ = kAnswer;
            wait_ = rng_() & 7;
        } else if (answer && top.bus___05Fresponse___05Fready) {
            state_ = kIdle;
        }
    }

private:
    enum State { kIdle, kRequest, kAnswer };

    // Data, with bit 32 if it is refused.
    uint64_t access(uint32_t address, uint32_t write, uint32_t data) {
        constexpr uint64_t refused = 1ULL << 32;
        if (address < kPlain && address % 4 == 0) {
            if (write) plain_[address / 4] = data;
            log.push_back({address, write, plain_[address / 4]});
            return write ? 0 : plain_[address / 4];
        }
        if (address == kSource && !write) {
            const uint64_t index = taken_++;
            if (index % kSourceRuns == kSourceRuns - 1) {
                log.push_back({address, 2, 0});
                return refused;
            }
            const auto word = static_cast<uint32_t>(index * 2654435761ULL);
            log.push_back({address, 0, word});
            return word;
        }
        if (address == kSink && write && rng_() & 1) {
            log.push_back({address, 1, data});
            return 0;
        }
        return refused;
    }

    std::mt19937& rng_;
    std::vector<uint32_t> plain_;
    uint64_t taken_ = 0;
    State state_ = kIdle;
    uint32_t wait_ = 0;
    uint64_t value_ = 0;
};

template <typename T>
bool get(T* values, size_t count) {
    return std::fread(values, sizeof(T), count, stdin) == count;
}

template <typename T>
void put(const T* values, size_t count) {
    std::fwrite(values, sizeof(T), count, stdout);
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 2) {
        std::fprintf(stderr, "usage: %s SEED\n", argv[0]);
        return 2;
    }
    std::mt19937 rng(static_cast<uint32_t>(std::strtoul(argv[1], nullptr, 10)));
    const auto context = std::make_unique<VerilatedContext>();
    const auto top = std::make_unique<Vtop>(context.get());
    Registers registers(rng);
    Adapter adapter;
    Noise to_board, from_board;
    uint64_t now = 0;
    top->clk = 0;
    top->rst = 1;
    top->rx = 1;
    top->eval();
    Command command;
    while (get(&command, 1)) {
        adapter.out.erase(adapter.out.begin(), adapter.out.begin() + adapter.sent);
        adapter.sent = 0;
        const size_t before = adapter.out.size();
        adapter.out.resize(before + command.count);
        if (!get(adapter.out.data() + before, command.count)) return 1;
        const double bit = command.bit_clocks;
        for (; now < command.until; ++now) {
            if (command.until_bytes && !adapter.in.empty() &&
                (adapter.in.size() >= kBatch || static_cast<double>(now - adapter.last) > 16 * bit))
                break;
            const bool pulled = command.pull_at <= now && now < command.pull_end;
            top->rst = now < 4 || (command.reset_at <= now && now < command.reset_end);
            int rx = to_board(adapter.send(now, bit), now, bit, command.flips, rng);
            if (pulled) rx = command.pulled == 2 ? rng() >> 4 & 1 : command.pulled;
            top->rx = rx;
            registers.drive(*top);
            top->clk = 1;
            top->eval();
            top->clk = 0;
            top->eval();
            const int tx = from_board(top->tx, now, bit, command.flips, rng);
            adapter.receive(now, pulled ? 1 : tx, bit);
        }
        const Reply reply{now,
                          {to_board.count, from_board.count},
                          adapter.out.size() - adapter.sent,
                          static_cast<uint32_t>(adapter.in.size()),
                          static_cast<uint32_t>(registers.log.size())};
        put(&reply, 1);
        put(adapter.in.data(), adapter.in.size());
        put(registers.log.data(), registers.log.size());
        std::fflush(stdout);
        adapter.in.clear();
        registers.log.clear();
    }
    top->final();
    return 0;
}
