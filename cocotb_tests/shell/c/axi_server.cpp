// SPDX-License-Identifier: Apache-2.0
// The simulated AXI top behind two pipes: an AXI4-Lite manager with random pauses on every channel.
//
// usage: simulation SEED
//
// A request on standard input is three words: 0 for a read or 1 for a write, address, data. The
// answer on standard output is three words: the response, the data of a read, the level of irq.
// The program ends with its input; a broken rule of axi_rules.sv ends it with an error.

#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <random>

#include "Vtop.h"
#include "verilated.h"

namespace {

constexpr int kMostPauses = 5;
constexpr int kPatience = 1000;

class Manager {
public:
    Manager(VerilatedContext* context, unsigned seed) : top_(new Vtop(context)), random_(seed) {
        top_->clk = 0;
        top_->rst = 1;
        top_->s_axi_ctrl_awvalid = top_->s_axi_ctrl_wvalid = top_->s_axi_ctrl_arvalid = 0;
        top_->s_axi_ctrl_bready = top_->s_axi_ctrl_rready = 0;
        top_->s_axis_features_tvalid = 0;
        top_->m_axis_logits_tready = 1;
        for (int i = 0; i < 4; ++i) edge();
        top_->rst = 0;
        edge();
    }
    ~Manager() { top_->final(); }

    uint32_t read(uint32_t address, uint32_t* data) {
        top_->s_axi_ctrl_araddr = address;
        int until_valid = pause(), until_ready = pause();
        bool asked = false;
        for (int clock = 0; clock < kPatience; ++clock) {
            top_->s_axi_ctrl_arvalid = !asked && clock >= until_valid;
            top_->s_axi_ctrl_rready = clock >= until_ready;
            top_->eval();
            const bool takes = top_->s_axi_ctrl_arvalid && top_->s_axi_ctrl_arready;
            const bool answers = top_->s_axi_ctrl_rvalid && top_->s_axi_ctrl_rready;
            const uint32_t response = top_->s_axi_ctrl_rresp;
            *data = top_->s_axi_ctrl_rdata;
            edge();
            asked |= takes;
            if (answers) return finish(response);
        }
        hang("read", address);
    }

    uint32_t write(uint32_t address, uint32_t data) {
        top_->s_axi_ctrl_awaddr = address;
        top_->s_axi_ctrl_wdata = data;
        top_->s_axi_ctrl_wstrb = 15;
        int until_address = pause(), until_data = pause(), until_ready = pause();
        bool address_taken = false, data_taken = false;
        for (int clock = 0; clock < kPatience; ++clock) {
            top_->s_axi_ctrl_awvalid = !address_taken && clock >= until_address;
            top_->s_axi_ctrl_wvalid = !data_taken && clock >= until_data;
            top_->s_axi_ctrl_bready = clock >= until_ready;
            top_->eval();
            const bool takes_address = top_->s_axi_ctrl_awvalid && top_->s_axi_ctrl_awready;
            const bool takes_data = top_->s_axi_ctrl_wvalid && top_->s_axi_ctrl_wready;
            const bool answers = top_->s_axi_ctrl_bvalid && top_->s_axi_ctrl_bready;
            const uint32_t response = top_->s_axi_ctrl_bresp;
            edge();
            address_taken |= takes_address;
            data_taken |= takes_data;
            if (answers) return finish(response);
        }
        hang("write", address);
    }

    uint32_t irq() const { return top_->irq; }

private:
    int pause() { return static_cast<int>(random_() % (kMostPauses + 1)); }

    void edge() {
        top_->clk = 1;
        top_->eval();
        top_->clk = 0;
        top_->eval();
    }

    // What the CPU does until its next access.
    uint32_t finish(uint32_t response) {
        top_->s_axi_ctrl_bready = top_->s_axi_ctrl_rready = 0;
        for (int clocks = pause(); clocks > 0; --clocks) edge();
        return response;
    }

    [[noreturn]] void hang(const char* what, uint32_t address) {
        std::fprintf(stderr, "no answer to a %s of %#x\n", what, address);
        std::exit(1);
    }

    std::unique_ptr<Vtop> top_;
    std::mt19937 random_;
};

// Whether all of it came, or was taken.
template <typename Transfer, typename Byte>
bool whole(Transfer transfer, int pipe, Byte* bytes, size_t count) {
    while (count) {
        const ssize_t done = transfer(pipe, bytes, count);
        if (done <= 0) return false;
        bytes += done;
        count -= done;
    }
    return true;
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 2) {
        std::fprintf(stderr, "usage: %s SEED\n", argv[0]);
        return 2;
    }
    const auto context = std::make_unique<VerilatedContext>();
    Manager manager(context.get(), static_cast<unsigned>(std::strtoul(argv[1], nullptr, 10)));
    uint32_t request[3];
    while (whole(::read, STDIN_FILENO, reinterpret_cast<char*>(request), sizeof request)) {
        uint32_t answer[3] = {};
        answer[0] = request[0] ? manager.write(request[1], request[2])
                               : manager.read(request[1], &answer[1]);
        answer[2] = manager.irq();
        if (!whole(::write, STDOUT_FILENO, reinterpret_cast<const char*>(answer), sizeof answer))
            break;
    }
    return 0;
}
