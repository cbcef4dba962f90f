// SPDX-License-Identifier: Apache-2.0
// A board in Verilator behind a pseudo-terminal: bits on the pins rx and tx, bytes on the terminal.
//
// usage: simulation TERMINAL_FD CLOCK_HZ IDLE_CLOCKS SHARED_FD
//
// The speed of the line is the one that the host has set on the terminal, as with a real adapter.
// Time stands still IDLE_CLOCKS after the last byte, and as long as nothing comes: a simulation that
// waits costs nothing. SHARED_FD is memory of two 64-bit words: clocks since the reset, and the LEDs.
// The program ends when its standard input is closed, so never outlives who started it.

#include <asm/termbits.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>

#include "Vtop.h"
#include "verilated.h"

namespace {

constexpr uint64_t kPollClocks = 128;
constexpr uint64_t kFlushClocks = 200;
constexpr int kFrameBits = 10;  // start, eight data bits, stop

class Cable {
public:
    Cable(int terminal, double clock_hz)
        : terminal_(terminal), clock_hz_(clock_hz) {}

    // Level of the board's rx pin in this clock.
    int to_board(uint64_t now) {
        while (static_cast<double>(now) >= next_edge_) {
            if (bit_ < kFrameBits) {
                level_ = frame_ >> bit_++ & 1;
                next_edge_ += bit_clocks_;
            } else if (taken_ < filled_) {
                frame_ = 1 << (kFrameBits - 1) | in_[taken_++] << 1;
                bit_ = 0;
                if (next_edge_ < static_cast<double>(now)) next_edge_ = static_cast<double>(now);
                last_ = now;
            } else {
                next_edge_ = static_cast<double>(now) + 1;
            }
        }
        return level_;
    }

    // The board's tx pin in this clock.
    void from_board(uint64_t now, int level) {
        if (place_ < 0) {
            if (!level && was_high_) {
                place_ = 0;
                byte_ = 0;
                sample_ = static_cast<double>(now) + 1.5 * bit_clocks_ - 0.5;
            }
            was_high_ = level;
        } else if (static_cast<double>(now) >= sample_) {
            sample_ += bit_clocks_;
            last_ = now;
            if (place_ < 8) {
                byte_ |= level << place_++;
            } else {
                if (level && count_ < sizeof out_) out_[count_++] = byte_;
                place_ = -1;
                was_high_ = level;
            }
        }
        if (count_ && (count_ == sizeof out_ || now - last_ > kFlushClocks)) {
            // A host that does not read loses bytes, as on a real line.
            (void)!write(terminal_, out_, count_);
            count_ = 0;
        }
    }

    // Take what the host has written; whether all is quiet.
    bool refill() {
        if (taken_ < filled_) return false;
        const ssize_t got = read(terminal_, in_, sizeof in_);
        // The speed only after the bytes: a host may change it and write between the two calls.
        struct termios2 settings;
        if (got > 0 && ioctl(terminal_, TCGETS2, &settings) == 0 && settings.c_ospeed > 0) {
            bit_clocks_ = clock_hz_ / settings.c_ospeed;
        }
        taken_ = 0;
        filled_ = got > 0 ? got : 0;
        return filled_ == 0 && bit_ == kFrameBits && place_ < 0 && count_ == 0;
    }

    uint64_t last_byte() const { return last_; }

private:
    int terminal_;
    double clock_hz_;
    double bit_clocks_ = 1e4;
    uint8_t in_[1024], out_[256];
    size_t taken_ = 0, filled_ = 0, count_ = 0;
    int frame_ = 0, bit_ = kFrameBits, level_ = 1;
    double next_edge_ = 0;
    int place_ = -1, byte_ = 0, was_high_ = 1;
    double sample_ = 0;
    uint64_t last_ = 0;
};

// Wait for the host; false when who started this program has gone.
bool wait_for(int terminal, int milliseconds) {
    struct pollfd ends[2] = {{terminal, POLLIN, 0}, {STDIN_FILENO, POLLIN, 0}};
    poll(ends, 2, milliseconds);
    return !(ends[1].revents & (POLLHUP | POLLIN | POLLERR));
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 5) {
        std::fprintf(stderr, "usage: %s TERMINAL_FD CLOCK_HZ IDLE_CLOCKS SHARED_FD\n", argv[0]);
        return 2;
    }
    const int terminal = std::atoi(argv[1]);
    const uint64_t idle_clocks = std::strtoull(argv[3], nullptr, 10);
    fcntl(terminal, F_SETFL, fcntl(terminal, F_GETFL) | O_NONBLOCK);
    void* memory = mmap(nullptr, 2 * sizeof(uint64_t), PROT_READ | PROT_WRITE, MAP_SHARED,
                        std::atoi(argv[4]), 0);
    if (memory == MAP_FAILED) {
        std::perror("the shared memory");
        return 1;
    }
    auto* shared = static_cast<volatile uint64_t*>(memory);

    const auto context = std::make_unique<VerilatedContext>();
    const auto top = std::make_unique<Vtop>(context.get());
    Cable cable(terminal, std::atof(argv[2]));
    top->rst = 1;
    top->rx = 1;
    top->clk = 0;
    top->eval();
    for (uint64_t now = 0;; ++now) {
        if (now == 4) top->rst = 0;
        top->rx = cable.to_board(now);
        top->clk = 1;
        top->eval();
        top->clk = 0;
        top->eval();
        cable.from_board(now, top->tx);
        if (now % kPollClocks == 0) {
            shared[0] = now;
            shared[1] = top->leds;
            const bool quiet = cable.refill();
            const bool still = quiet && now - cable.last_byte() > idle_clocks;
            if ((still || now % (kPollClocks * 64) == 0) && !wait_for(terminal, still ? 1000 : 0))
                break;
        }
    }
    top->final();
    return 0;
}
