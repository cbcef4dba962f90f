/* SPDX-License-Identifier: Apache-2.0 */
#include "plosive.h"

/* The image of a network, in words: what flows/verilog/network_image.py writes. */
enum {
    IMAGE_MAGIC,
    IMAGE_VERSION,
    IMAGE_LENGTH,   /* words behind IMAGE_CHECKSUM */
    IMAGE_CHECKSUM, /* CRC-32 of them, lowest byte first */
    IMAGE_CONFIG_HASH,
    IMAGE_REGIONS = IMAGE_CONFIG_HASH + 2 /* each: its number, how many words, the words */
};
#define MAGIC 0x4e534c50u /* "PLSN", lowest byte first */
#define FORMAT_VERSION 1u
#define PATIENCE 1000000u
#define FEATURES_PER_WORD 4u

#define FIELD(word, name) (((word) & name##_MASK) >> name##_SHIFT)

/* ---- registers ------------------------------------------------------------------------------- */

static uint32_t mapped_read(void *context, uint32_t offset)
{
    return *(volatile uint32_t *)((uintptr_t)context + offset);
}

static void mapped_write(void *context, uint32_t offset, uint32_t word)
{
    *(volatile uint32_t *)((uintptr_t)context + offset) = word;
}

plosive_bus plosive_memory_mapped(uintptr_t base)
{
    const plosive_bus bus = {mapped_read, mapped_write, (void *)base};
    return bus;
}

static uint32_t get(const plosive *device, uint32_t offset)
{
    return device->bus.read(device->bus.context, offset);
}

static void set(const plosive *device, uint32_t offset, uint32_t word)
{
    device->bus.write(device->bus.context, offset, word);
}

/* ---- what the hardware is -------------------------------------------------------------------- */

plosive_status plosive_open(plosive *device, plosive_bus bus)
{
    const plosive fresh = {.bus = bus, .patience = PATIENCE, .begins = true};
    *device = fresh;
    if (get(device, PLOSIVE_ID) != PLOSIVE_MAGIC) {
        return PLOSIVE_NOT_FOUND;
    }
    /* A later minor version has more than this driver knows, an earlier one less. */
    const uint32_t version = get(device, PLOSIVE_VERSION);
    if (FIELD(version, PLOSIVE_VERSION_MAJOR) != PLOSIVE_MAP_MAJOR ||
        version < (PLOSIVE_MAP_MAJOR << PLOSIVE_VERSION_MAJOR_SHIFT |
                   PLOSIVE_MAP_MINOR << PLOSIVE_VERSION_MINOR_SHIFT)) {
        return PLOSIVE_WRONG_VERSION;
    }
    device->config_hash[0] = get(device, PLOSIVE_CONFIG_HASH_0);
    device->config_hash[1] = get(device, PLOSIVE_CONFIG_HASH_1);
    device->network_hash[0] = get(device, PLOSIVE_NETWORK_HASH_0);
    device->network_hash[1] = get(device, PLOSIVE_NETWORK_HASH_1);
    device->build_hash = get(device, PLOSIVE_BUILD_HASH);
    const uint32_t build = get(device, PLOSIVE_BUILD);
    device->baked = FIELD(build, PLOSIVE_BUILD_BAKED) != 0u;
    device->streams = FIELD(build, PLOSIVE_BUILD_STREAMS) != 0u;
    device->best = FIELD(build, PLOSIVE_BUILD_BEST);
    const uint32_t frame = get(device, PLOSIVE_FRAME);
    device->n_input = FIELD(frame, PLOSIVE_FRAME_N_INPUT);
    device->readout_every = FIELD(frame, PLOSIVE_FRAME_READOUT_EVERY);
    device->n_output = get(device, PLOSIVE_OUTPUTS);
    const uint32_t format = get(device, PLOSIVE_RESULT_FORMAT);
    device->element_bits = FIELD(format, PLOSIVE_RESULT_FORMAT_ELEMENT_BITS);
    device->elements = device->n_output;
    return PLOSIVE_OK;
}

/* ---- control --------------------------------------------------------------------------------- */

void plosive_reset(plosive *device)
{
    set(device, PLOSIVE_CONTROL, PLOSIVE_CONTROL_SOFT_RESET_MASK);
    if (device->irq_enable != 0u) {
        set(device, PLOSIVE_IRQ_ENABLE, device->irq_enable);
    }
    device->begins = true;
    device->frame = 0u;
    device->words_put = 0u;
    device->words_taken = 0u;
    device->due = 0u;
}

bool plosive_busy(plosive *device)
{
    return (get(device, PLOSIVE_STATUS) & PLOSIVE_STATUS_BUSY_MASK) != 0u;
}

/* Reset, then MODE, which an idle machine takes. */
static plosive_status restart(plosive *device, uint32_t readout, uint32_t source)
{
    plosive_reset(device);
    if (plosive_busy(device)) {
        return PLOSIVE_BUSY;
    }
    set(device, PLOSIVE_MODE,
        readout << PLOSIVE_MODE_READOUT_SHIFT | source << PLOSIVE_MODE_SOURCE_SHIFT);
    return PLOSIVE_OK;
}

static plosive_status begin(plosive *device, uint32_t readout, uint32_t source)
{
    const bool best = readout == PLOSIVE_MODE_READOUT_BEST;
    if (best && device->best == 0u) {
        return PLOSIVE_NO_BEST;
    }
    device->elements = best ? 2u * device->best : device->n_output;
    return restart(device, readout, source);
}

plosive_status plosive_begin(plosive *device, uint32_t readout)
{
    return begin(device, readout, PLOSIVE_MODE_SOURCE_REGISTERS);
}

plosive_status plosive_begin_streams(plosive *device, uint32_t readout)
{
    if (!device->streams) {
        return PLOSIVE_NO_STREAMS;
    }
    return begin(device, readout, PLOSIVE_MODE_SOURCE_STREAMS);
}

void plosive_counters(plosive *device, uint32_t counters[PLOSIVE_COUNTERS])
{
    for (uint32_t i = 0u; i < PLOSIVE_COUNTERS; i++) {
        counters[i] = get(device, PLOSIVE_COUNTER_CYCLES + 4u * i);
    }
}

void plosive_clear_counters(plosive *device)
{
    set(device, PLOSIVE_CONTROL, PLOSIVE_CONTROL_CLEAR_COUNTERS_MASK);
}

uint32_t plosive_take_errors(plosive *device)
{
    const uint32_t errors = get(device, PLOSIVE_ERRORS);
    if (errors != 0u) {
        set(device, PLOSIVE_ERRORS, errors);
    }
    return errors;
}

void plosive_enable_interrupts(plosive *device, uint32_t states)
{
    device->irq_enable = states;
    set(device, PLOSIVE_IRQ_ENABLE, states);
}

uint32_t plosive_interrupts(plosive *device)
{
    return get(device, PLOSIVE_IRQ_STATUS);
}

/* ---- the network ----------------------------------------------------------------------------- */

static uint32_t checksum(const uint32_t *words, size_t count)
{
    uint32_t crc = 0xffffffffu;
    for (size_t i = 0u; i < count; i++) {
        /* Word by word, lowest bit first, is byte by byte in the order of the file. */
        crc ^= words[i];
        for (unsigned bit = 0u; bit < 32u; bit++) {
            crc = (crc >> 1) ^ (0xedb88320u & (0u - (crc & 1u)));
        }
    }
    return ~crc;
}

static plosive_status check_image(const plosive *device, const uint32_t *image, size_t words)
{
    if (words < IMAGE_REGIONS || image[IMAGE_MAGIC] != MAGIC ||
        image[IMAGE_VERSION] != FORMAT_VERSION ||
        image[IMAGE_LENGTH] != words - IMAGE_CONFIG_HASH) {
        return PLOSIVE_BAD_IMAGE;
    }
    if (checksum(image + IMAGE_CONFIG_HASH, words - IMAGE_CONFIG_HASH) != image[IMAGE_CHECKSUM]) {
        return PLOSIVE_CORRUPT_IMAGE;
    }
    if (image[IMAGE_CONFIG_HASH] != device->config_hash[0] ||
        image[IMAGE_CONFIG_HASH + 1] != device->config_hash[1]) {
        return PLOSIVE_OTHER_HARDWARE;
    }
    for (size_t at = IMAGE_REGIONS; at < words; at += 2u + image[at + 1u]) {
        if (words - at < 2u || words - at - 2u < image[at + 1u]) {
            return PLOSIVE_BAD_IMAGE;
        }
    }
    return PLOSIVE_OK;
}

static void select_region(const plosive *device, uint32_t region)
{
    set(device, PLOSIVE_WEIGHT_ADDRESS, region << PLOSIVE_WEIGHT_ADDRESS_REGION_SHIFT);
    set(device, PLOSIVE_WEIGHT_ROW, 0u);
}

static plosive_status read_back(plosive *device, uint32_t region, const uint32_t *words,
                                uint32_t count)
{
    select_region(device, region);
    for (uint32_t i = 0u; i < count; i++) {
        const uint32_t found = get(device, PLOSIVE_WEIGHT_DATA);
        if (found != words[i]) {
            device->failed_region = region;
            device->failed_word = i;
            device->wrote = words[i];
            device->found = found;
            return PLOSIVE_READ_BACK;
        }
    }
    return PLOSIVE_OK;
}

plosive_status plosive_load(plosive *device, const uint32_t *image, size_t words)
{
    if (device->baked) {
        return PLOSIVE_CONSTANT_WEIGHTS;
    }
    plosive_status status = check_image(device, image, words);
    if (status == PLOSIVE_OK) {
        /* Not from the streams: a frame that came now would close the weight window. */
        status = restart(device, PLOSIVE_MODE_READOUT_LOGITS, PLOSIVE_MODE_SOURCE_REGISTERS);
        device->elements = device->n_output;
    }
    if (status != PLOSIVE_OK) {
        return status;
    }
    for (size_t at = IMAGE_REGIONS; at < words; at += 2u + image[at + 1u]) {
        select_region(device, image[at]);
        for (uint32_t i = 0u; i < image[at + 1u]; i++) {
            set(device, PLOSIVE_WEIGHT_DATA, image[at + 2u + i]);
        }
    }
    for (size_t at = IMAGE_REGIONS; at < words && status == PLOSIVE_OK; at += 2u + image[at + 1u]) {
        status = read_back(device, image[at], image + at + 2u, image[at + 1u]);
    }
    return status;
}

/* ---- frames ---------------------------------------------------------------------------------- */

static uint32_t pack(const int8_t *features, uint32_t count)
{
    uint32_t word = 0u;
    for (uint32_t i = 0u; i < count && i < FEATURES_PER_WORD; i++) {
        word |= (uint32_t)(uint8_t)features[i] << (8u * i);
    }
    return word;
}

plosive_status plosive_put(plosive *device, const int8_t *features, bool last)
{
    if (device->words_put == 0u && (device->begins || last)) {
        set(device, PLOSIVE_FRAME_FLAGS,
            (device->begins ? PLOSIVE_FRAME_FLAGS_START_MASK : 0u) |
                (last ? PLOSIVE_FRAME_FLAGS_END_MASK : 0u));
    }
    uint32_t polls = 0u;
    for (uint32_t at; (at = FEATURES_PER_WORD * device->words_put) < device->n_input;) {
        const uint32_t status = get(device, PLOSIVE_STATUS);
        if ((status & PLOSIVE_STATUS_FEATURES_READY_MASK) != 0u) {
            set(device, PLOSIVE_FEATURES, pack(features + at, device->n_input - at));
            device->words_put++;
            polls = 0u;
        } else if ((status & PLOSIVE_STATUS_BLOCKED_MASK) != 0u) {
            return PLOSIVE_BLOCKED;
        } else if (++polls >= device->patience) {
            return PLOSIVE_TIMEOUT;
        }
    }
    device->words_put = 0u;
    device->due += device->frame == 0u ? 1u : 0u;
    device->frame = last || device->frame + 1u == device->readout_every ? 0u : device->frame + 1u;
    device->begins = last;
    return PLOSIVE_OK;
}

uint32_t plosive_due(const plosive *device)
{
    return device->due;
}

uint32_t plosive_elements(const plosive *device)
{
    return device->elements;
}

static int32_t sign_extended(uint32_t value, uint32_t bits)
{
    const uint32_t sign = 1u << (bits - 1u);
    const uint32_t low = value & (sign - 1u);
    return (value & sign) != 0u ? -(int32_t)(~value & (sign - 1u)) - 1 : (int32_t)low;
}

plosive_status plosive_take(plosive *device, int32_t *elements)
{
    if (device->due == 0u) {
        return PLOSIVE_NOTHING_DUE;
    }
    const uint32_t per_word = 32u / device->element_bits;
    uint32_t polls = 0u;
    for (uint32_t at; (at = per_word * device->words_taken) < device->elements;) {
        const uint32_t status = get(device, PLOSIVE_STATUS);
        if ((status & PLOSIVE_STATUS_RESULTS_READY_MASK) == 0u) {
            if (++polls >= device->patience) {
                return PLOSIVE_TIMEOUT;
            }
            continue;
        }
        const bool last = at + per_word >= device->elements;
        if (((status & PLOSIVE_STATUS_RESULT_LAST_MASK) != 0u) != last) {
            return PLOSIVE_OUT_OF_STEP;
        }
        const uint32_t word = get(device, PLOSIVE_RESULTS);
        for (uint32_t i = 0u; i < per_word && at + i < device->elements; i++) {
            const uint32_t bits = device->element_bits;
            elements[at + i] = sign_extended(word >> (bits * i), bits);
        }
        device->words_taken++;
        polls = 0u;
    }
    device->words_taken = 0u;
    device->due--;
    return PLOSIVE_OK;
}

/* ---- words ----------------------------------------------------------------------------------- */

const char *plosive_text(plosive_status status)
{
    switch (status) {
    case PLOSIVE_OK: return "no error";
    case PLOSIVE_NOT_FOUND: return "no Plosive answers at this address";
    case PLOSIVE_WRONG_VERSION: return "the hardware's register map is not the driver's";
    case PLOSIVE_BAD_IMAGE: return "this is no image of a network, or not all of it";
    case PLOSIVE_CORRUPT_IMAGE: return "the image of the network is damaged: wrong checksum";
    case PLOSIVE_OTHER_HARDWARE: return "the image is for another configuration of the hardware";
    case PLOSIVE_CONSTANT_WEIGHTS: return "the hardware's weights are constants: none can be loaded";
    case PLOSIVE_READ_BACK: return "a word of the network reads back other than it was written";
    case PLOSIVE_BUSY: return "features come by the stream: stop their source first";
    case PLOSIVE_NO_BEST: return "the hardware has no best-N list";
    case PLOSIVE_NO_STREAMS: return "the hardware has no streams";
    case PLOSIVE_BLOCKED: return "the machine waits until a result is taken";
    case PLOSIVE_NOTHING_DUE: return "no frame that was given has a result left";
    case PLOSIVE_OUT_OF_STEP: return "a result is longer or shorter than the configuration says";
    case PLOSIVE_TIMEOUT: return "the machine does not answer in time";
    case PLOSIVE_STATUSES: break;
    }
    return "no status of this driver";
}
