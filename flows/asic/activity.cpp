// SPDX-License-Identifier: Apache-2.0
// Runs a flat netlist clock by clock and counts what switches; see flows/asic/activity.py.
//
// Reads one file of 64-bit words, arrays with their lengths in front, in the order of `Input`, and
// writes another in the order at the end of `main`; `Activity` names both. A gate is evaluated only when an input of it
// has changed; gates are in topological order, so one pass a clock is enough. All inputs change
// just after the rising edge, as if they came from registers.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

using Words = std::vector<int64_t>;

static void fail(const char* what) {
    fprintf(stderr, "%s\n", what);
    exit(1);
}

static Words read(FILE* file) {
    int64_t length;
    if (fread(&length, sizeof length, 1, file) != 1) fail("the input file is cut off");
    Words words(length);
    if (fread(words.data(), sizeof length, length, file) != size_t(length)) {
        fail("the input file is cut off");
    }
    return words;
}

static void write(FILE* file, const Words& words) {
    const int64_t length = words.size();
    fwrite(&length, sizeof length, 1, file);
    fwrite(words.data(), sizeof length, words.size(), file);
}

struct Gate {
    int32_t inputs[6];
    int32_t output;
    uint64_t table;
};

struct Macro {
    int32_t enable, write, read;
    std::vector<int32_t> address, mask, data, output;
    std::vector<std::vector<uint8_t>> rows;
    std::vector<int32_t> watched;  // all inputs: enable, write, read, address, mask, data
    std::vector<uint8_t> before;   // their values at the edge before
    std::vector<uint8_t> fetched;  // what the output shows
};

// Indices of `Macro::watched` become kinds in the counts of pin edges.
enum Kind { ENABLE, WRITE, READ, ADDRESS, MASK, DATA, KINDS };

class Netlist {
   public:
    explicit Netlist(FILE* file) {
        const Words sizes = read(file);  // nets, seed
        value_.resize(sizes[0]);
        toggles.resize(sizes[0]);
        high.resize(sizes[0]);
        since_.resize(sizes[0]);
        state_ = sizes[1] * 2 + 1;
        const Words inputs = read(file), outputs = read(file), tables = read(file);
        gates_.resize(outputs.size());
        dirty_.assign(outputs.size(), 1);
        std::vector<std::vector<int32_t>> fanout(sizes[0]);
        for (size_t g = 0; g < gates_.size(); ++g) {
            for (int k = 0; k < 6; ++k) {
                gates_[g].inputs[k] = inputs[6 * g + k];
                fanout[inputs[6 * g + k]].push_back(g);
            }
            gates_[g].output = outputs[g];
            gates_[g].table = tables[g];
        }
        first_.push_back(0);
        for (const auto& gates : fanout) {
            fanout_.insert(fanout_.end(), gates.begin(), gates.end());
            first_.push_back(fanout_.size());
        }
        data_ = read(file), clock_ = read(file);        // of flip-flops
        output_ = read(file), inverted_ = read(file);   // -1: not there
        enable_ = read(file), test_ = read(file);       // of clock gates
        gated_ = read(file);
        open_.resize(gated_.size());
        next_.resize(data_.size());
        const Words shapes = read(file), pins = read(file);
        size_t at = 0;
        auto take = [&](size_t count) {
            std::vector<int32_t> nets(pins.begin() + at, pins.begin() + at + count);
            at += count;
            return nets;
        };
        for (size_t m = 0; m < shapes.size(); m += 3) {  // words, bits, address bits
            Macro macro;
            macro.watched = take(3 + shapes[m + 2] + 2 * shapes[m + 1]);
            const auto* from = macro.watched.data();
            macro.enable = from[0], macro.write = from[1], macro.read = from[2];
            macro.address.assign(from + 3, from + 3 + shapes[m + 2]);
            from += 3 + shapes[m + 2];
            macro.mask.assign(from, from + shapes[m + 1]);
            macro.data.assign(from + shapes[m + 1], from + 2 * shapes[m + 1]);
            macro.output = take(shapes[m + 1]);
            macro.before.resize(macro.watched.size());
            macro.rows.resize(shapes[m], std::vector<uint8_t>(shapes[m + 1]));
            for (auto& row : macro.rows) {
                for (auto& bit : row) bit = random();
            }
            macros_.push_back(macro);
        }
        accesses.resize(2 * macros_.size());
        edges.resize(macros_.size() * KINDS * 4);
        for (size_t f = 0; f < data_.size(); ++f) next_[f] = random();
        for (auto& macro : macros_) {
            for (size_t bit = 0; bit < macro.output.size(); ++bit) {
                macro.fetched.push_back(random());
            }
        }
        update(true);
    }

    void set(int32_t net, uint8_t value) {
        if (value_[net] == value) return;
        value_[net] = value;
        ++toggles[net];
        if (!value) high[net] += clocks - since_[net];
        since_[net] = clocks;
        for (int32_t g = first_[net]; g < first_[net + 1]; ++g) dirty_[fanout_[g]] = 1;
    }
    bool get(int64_t net) const { return value_[net]; }

    void settle() {
        uint8_t* const begin = dirty_.data();
        uint8_t* const end = begin + dirty_.size();
        uint8_t* at = begin;
        while (at < end && (at = static_cast<uint8_t*>(memchr(at, 1, end - at)))) {
            *at = 0;
            const Gate& gate = gates_[at - begin];
            unsigned index = 0;
            for (int k = 0; k < 6; ++k) index |= unsigned(value_[gate.inputs[k]]) << k;
            set(gate.output, gate.table >> index & 1);
        }
    }

    // The rising edge: everything is sampled before anything changes.
    void edge() {
        for (size_t g = 0; g < gated_.size(); ++g) {
            open_[g] = value_[enable_[g]] || (test_[g] >= 0 && value_[test_[g]]);
            if (open_[g]) toggles[gated_[g]] += 2;
        }
        for (size_t f = 0; f < data_.size(); ++f) next_[f] = value_[data_[f]];
        ++clocks;
        for (size_t m = 0; m < macros_.size(); ++m) access(m);
        update(false);
    }

    // From here on everything is counted anew.
    void restart() {
        clocks = 0;
        for (auto* counts : {&toggles, &high, &since_, &accesses, &edges}) {
            counts->assign(counts->size(), 0);
        }
    }

    void finish() {
        for (size_t net = 0; net < value_.size(); ++net) {
            if (value_[net]) high[net] += clocks - since_[net];
        }
    }

    int64_t clocks = 0;
    Words toggles, high;
    Words accesses;  // of each macro: reads, writes
    Words edges;     // of each macro, kind of pin, A_MEN: rising, falling

   private:
    uint8_t random() {  // xorshift64*
        state_ ^= state_ >> 12, state_ ^= state_ << 25, state_ ^= state_ >> 27;
        return state_ * 0x2545F4914F6CDD1DULL >> 63;
    }

    void update(bool power_up) {
        for (size_t f = 0; f < data_.size(); ++f) {
            if (!power_up && clock_[f] >= 0 && !open_[clock_[f]]) continue;
            if (output_[f] >= 0) set(output_[f], next_[f]);
            if (inverted_[f] >= 0) set(inverted_[f], !next_[f]);
        }
        for (auto& macro : macros_) {
            for (size_t bit = 0; bit < macro.fetched.size(); ++bit) {
                set(macro.output[bit], macro.fetched[bit]);
            }
        }
    }

    void access(size_t m) {
        Macro& macro = macros_[m];
        const bool enabled = value_[macro.enable];
        const size_t address_end = ADDRESS + macro.address.size();
        const size_t mask_end = address_end + macro.mask.size();
        for (size_t p = 0; p < macro.watched.size(); ++p) {
            const uint8_t now = value_[macro.watched[p]];
            if (now == macro.before[p]) continue;
            macro.before[p] = now;
            const int kind = p < ADDRESS ? int(p) : p < address_end ? ADDRESS
                             : p < mask_end ? MASK : DATA;
            ++edges[(m * KINDS + kind) * 4 + enabled * 2 + !now];
        }
        if (!enabled) return;
        size_t address = 0;
        for (size_t k = 0; k < macro.address.size(); ++k) {
            address |= size_t(value_[macro.address[k]]) << k;
        }
        auto& row = macro.rows[address];
        if (value_[macro.write]) {
            ++accesses[2 * m + 1];
            for (size_t bit = 0; bit < row.size(); ++bit) {
                if (value_[macro.mask[bit]]) row[bit] = value_[macro.data[bit]];
            }
        }
        if (value_[macro.read]) {
            ++accesses[2 * m];
            macro.fetched = row;
        }
    }

    std::vector<uint8_t> value_, dirty_, open_, next_;
    std::vector<Gate> gates_;
    std::vector<int32_t> first_, fanout_;
    Words since_, data_, clock_, output_, inverted_, enable_, test_, gated_;
    std::vector<Macro> macros_;
    uint64_t state_;
};

// The core's ports: nets, lowest bit first.
struct Ports {
    explicit Ports(FILE* file)
        : rst(read(file)), clear(read(file)), feature(read(file)), feature_valid(read(file)),
          feature_ready(read(file)), logits(read(file)), logits_valid(read(file)),
          logits_ready(read(file)), word(read(file)), word_valid(read(file)),
          word_ready(read(file)), read_ready(read(file)), busy(read(file)), counters(read(file)) {}
    Words rst, clear, feature, feature_valid, feature_ready, logits, logits_valid, logits_ready;
    Words word, word_valid, word_ready, read_ready, busy, counters;
};

static void drive(Netlist& netlist, const Words& port, uint64_t value) {
    for (size_t bit = 0; bit < port.size(); ++bit) netlist.set(port[bit], value >> bit & 1);
}

int main(int, char** arguments) {
    FILE* file = fopen(arguments[1], "rb");
    if (!file) fail("there is no input file");
    Netlist netlist(file);
    const Ports ports(file);
    const Words words = read(file), features = read(file), beats = read(file);
    const Words settings = read(file);  // features a frame, frames to warm up, idle clocks, limit
    fclose(file);

    Words logits;
    auto clock = [&] {
        netlist.settle();
        if (netlist.get(ports.logits_valid[0])) {
            for (int64_t net : ports.logits) logits.push_back(netlist.get(net));
        }
        netlist.edge();
    };
    for (const auto* port : {&ports.clear, &ports.feature, &ports.feature_valid, &ports.word,
                             &ports.word_valid, &ports.read_ready}) {
        drive(netlist, *port, 0);
    }
    drive(netlist, ports.logits_ready, 1);
    drive(netlist, ports.rst, 1);
    for (int k = 0; k < 2; ++k) netlist.edge(), netlist.settle();
    drive(netlist, ports.rst, 0);

    drive(netlist, ports.word_valid, !words.empty());
    for (int64_t word : words) {
        drive(netlist, ports.word, word);
        for (bool taken = false; !taken;) {
            netlist.settle();
            taken = netlist.get(ports.word_ready[0]);
            if (netlist.clocks > settings[3]) fail("the weights are not taken");
            clock();
        }
    }
    drive(netlist, ports.word_valid, 0);

    // A frame comes when the one before is done, as in real time.
    logits.clear();
    size_t expected = 0;
    for (size_t frame = 0; frame < beats.size(); ++frame) {
        if (int64_t(frame) == settings[1]) netlist.restart();
        drive(netlist, ports.feature_valid, 1);
        for (int64_t k = 0; k < settings[0]; ++k) {
            drive(netlist, ports.feature, features[frame * settings[0] + k]);
            for (bool taken = false; !taken;) {
                netlist.settle();
                taken = netlist.get(ports.feature_ready[0]);
                if (netlist.clocks > settings[3]) fail("the features are not taken");
                clock();
            }
        }
        drive(netlist, ports.feature_valid, 0);
        expected += beats[frame] * ports.logits.size();
        for (int quiet = 0; quiet < 3;) {
            clock();
            quiet = netlist.get(ports.busy[0]) || logits.size() < expected ? 0 : quiet + 1;
            if (netlist.clocks > settings[3]) fail("the frame does not end");
        }
    }
    netlist.finish();
    FILE* result = fopen(arguments[2], "wb");
    if (!result) fail("the result cannot be written");
    write(result, {netlist.clocks});
    for (const auto* counts :
         {&netlist.toggles, &netlist.high, &netlist.accesses, &netlist.edges}) {
        write(result, *counts);
    }
    netlist.restart();
    for (int64_t k = 0; k < settings[2]; ++k) clock();
    write(result, netlist.toggles);
    write(result, logits);
    Words counters;
    for (int64_t net : ports.counters) counters.push_back(netlist.get(net));
    write(result, counters);
    return fclose(result);
}
