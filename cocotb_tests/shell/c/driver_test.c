/* SPDX-License-Identifier: Apache-2.0 */
/* The C driver on the simulated AXI top; what it found goes to a file, one line a finding.
 *
 * usage: driver_test OUTPUT SCENARIO IMAGE FEATURES FRAMES */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plosive.h"
#include "simulated_bus.h"

static FILE *output;

static void *file_contents(const char *path, size_t *size)
{
    FILE *file = fopen(path, "rb");
    void *bytes = malloc(1u << 22);
    if (file == NULL || bytes == NULL) {
        exit(5);
    }
    *size = fread(bytes, 1u, 1u << 22, file);
    fclose(file);
    return bytes;
}

static bool show(const char *what, plosive_status status)
{
    fprintf(output, "%s: %s\n", what, plosive_text(status));
    return status == PLOSIVE_OK;
}

static void show_words(const char *what, const uint32_t *words, uint32_t count)
{
    fprintf(output, "%s:", what);
    for (uint32_t i = 0u; i < count; i++) {
        fprintf(output, " %lu", (unsigned long)words[i]);
    }
    fprintf(output, "\n");
}

static void take(plosive *device, const char *what, int32_t *elements)
{
    const plosive_status status = plosive_take(device, elements);
    if (status != PLOSIVE_OK) {
        show(what, status);
        exit(6);
    }
    fprintf(output, "%s:", what);
    for (uint32_t i = 0u; i < plosive_elements(device); i++) {
        fprintf(output, " %ld", (long)elements[i]);
    }
    fprintf(output, "\n");
}

/* An utterance: each result is taken as soon as its frame was given, or only when the machine can
 * go no further (eager). */
static void utterance(plosive *device, const char *what, const int8_t *features, uint32_t frames,
                      bool eager)
{
    int32_t *elements = malloc(plosive_elements(device) * sizeof *elements);
    for (uint32_t frame = 0u; frame < frames;) {
        const plosive_status status =
            plosive_put(device, features + frame * device->n_input, frame + 1u == frames);
        if (status == PLOSIVE_BLOCKED) {
            fprintf(output, "blocked: %lu\n", (unsigned long)frame);
            take(device, what, elements);
            continue;
        }
        if (status != PLOSIVE_OK) {
            show(what, status);
            exit(6);
        }
        frame++;
        while (!eager && plosive_due(device) > 0u) {
            take(device, what, elements);
        }
    }
    while (plosive_due(device) > 0u) {
        take(device, what, elements);
    }
    free(elements);
}

static void run(plosive *device, const uint32_t *image, size_t words, const int8_t *features,
                uint32_t frames)
{
    uint32_t counters[PLOSIVE_COUNTERS];
    if (!show("load", plosive_load(device, image, words)) ||
        !show("begin", plosive_begin(device, PLOSIVE_MODE_READOUT_LOGITS))) {
        return;
    }
    plosive_enable_interrupts(device, PLOSIVE_IRQ_ENABLE_RESULTS_MASK);
    fprintf(output, "irq before: %lu %d\n", (unsigned long)plosive_interrupts(device),
            simulated_irq());
    /* Two utterances: what the first has left must not be in the second. */
    utterance(device, "logits", features, frames, false);
    utterance(device, "logits", features, frames, false);
    while (plosive_busy(device)) {
    }
    plosive_counters(device, counters);
    show_words("counters", counters, PLOSIVE_COUNTERS);
    plosive_clear_counters(device);
    plosive_counters(device, counters);
    show_words("cleared", counters, PLOSIVE_COUNTERS);
    utterance(device, "eager", features, frames, true);
    if (device->best > 0u && show("begin", plosive_begin(device, PLOSIVE_MODE_READOUT_BEST))) {
        utterance(device, "best", features, frames, false);
    }
    /* A frame is given, its result waits, the interrupt is up; a reset drops it, enables stay. */
    if (show("begin", plosive_begin(device, PLOSIVE_MODE_READOUT_LOGITS)) &&
        show("put", plosive_put(device, features, true))) {
        while (plosive_interrupts(device) == 0u) {
        }
        fprintf(output, "irq: %lu %d\n", (unsigned long)plosive_interrupts(device),
                simulated_irq());
        plosive_reset(device);
        (void)plosive_interrupts(device);
        fprintf(output, "irq after: %lu %d\n", (unsigned long)plosive_interrupts(device),
                simulated_irq());
        fprintf(output, "due: %lu\n", (unsigned long)plosive_due(device));
    }
    if (device->streams) {
        device->patience = 50u;
        show("streams", plosive_begin_streams(device, PLOSIVE_MODE_READOUT_LOGITS));
        show("put", plosive_put(device, features, false));
    }
    fprintf(output, "errors: %lu\n", (unsigned long)plosive_take_errors(device));
}

/* ---- what is refused, and what is found ---------------------------------------------------- */

static plosive_bus real;
static uint32_t changed_offset;
static uint32_t changed_bits;
static uint32_t unchanged; /* accesses before the change */
static uint32_t writes;    /* of any register */

static uint32_t read_changed(void *context, uint32_t offset)
{
    const uint32_t word = real.read(context, offset);
    return offset == changed_offset ? word ^ changed_bits : word;
}

static void write_changed(void *context, uint32_t offset, uint32_t word)
{
    writes++;
    const bool now = offset == changed_offset && unchanged-- == 0u;
    real.write(context, offset, now ? word ^ changed_bits : word);
}

static plosive_bus changed(uint32_t offset, uint32_t bits, bool reads)
{
    plosive_bus bus = simulated_bus();
    real = bus;
    changed_offset = offset;
    changed_bits = bits;
    unchanged = 0u;
    bus.write = write_changed;
    if (reads) {
        bus.read = read_changed;
    }
    return bus;
}

static void refusals(plosive *device, uint32_t *image, size_t words)
{
    plosive other;
    show("another ID", plosive_open(&other, changed(PLOSIVE_ID, 1u << 7, true)));
    show("another major version", plosive_open(&other, changed(PLOSIVE_VERSION, 2u << 16, true)));
    show("a later minor version", plosive_open(&other, changed(PLOSIVE_VERSION, 1u << 8, true)));
    show("other hardware", plosive_open(&other, changed(PLOSIVE_CONFIG_HASH_1, 1u << 31, true)));
    show("other hardware", plosive_load(&other, image, words));
    show("constant weights", plosive_open(&other, changed(PLOSIVE_BUILD, 1u, true)));
    show("constant weights", plosive_load(&other, image, words));
    show("no streams", plosive_open(&other, changed(PLOSIVE_BUILD, 2u, true)));
    show("no streams", plosive_begin_streams(&other, PLOSIVE_MODE_READOUT_LOGITS));
    (void)plosive_open(device, changed(PLOSIVE_MAP_SIZE, 0u, false));
    writes = 0u;
    show("nothing", plosive_load(device, image, 0u));
    show("a part", plosive_load(device, image, words - 1u));
    for (size_t at = 0u; at < words; at += at < 8u ? 1u : words / 7u) {
        image[at] ^= 0x10u;
        show("damage", plosive_load(device, image, words));
        image[at] ^= 0x10u;
    }
    fprintf(output, "writes: %lu\n", (unsigned long)writes);
    show("begin", plosive_begin(device, PLOSIVE_MODE_READOUT_LOGITS));
    int32_t element;
    show("nothing due", plosive_take(device, &element));
    device->best = 0u;
    show("no best", plosive_begin(device, PLOSIVE_MODE_READOUT_BEST));
}

/* One bit of one word of the network arrives wrong. */
static void fault(uint32_t *image, size_t words, uint32_t word, uint32_t bit)
{
    plosive device;
    show("open", plosive_open(&device, changed(PLOSIVE_WEIGHT_DATA, 1u << bit, false)));
    unchanged = word;
    show("load", plosive_load(&device, image, words));
    fprintf(output, "place: %lu %lu %lu %lu\n", (unsigned long)device.failed_region,
            (unsigned long)device.failed_word, (unsigned long)device.wrote,
            (unsigned long)device.found);
}

/* The hardware's results are shorter than the driver has been told. */
static void out_of_step(const uint32_t *image, size_t words, const int8_t *features)
{
    plosive device;
    int32_t elements[256];
    show("open", plosive_open(&device, changed(PLOSIVE_OUTPUTS, 64u, true)));
    show("load", plosive_load(&device, image, words));
    show("begin", plosive_begin(&device, PLOSIVE_MODE_READOUT_LOGITS));
    show("put", plosive_put(&device, features, true));
    show("take", plosive_take(&device, elements));
}

/* Every second look finds no word of a result, as if the machine were slower than the host. */
static uint32_t read_slow(void *context, uint32_t offset)
{
    static uint32_t looks;
    const uint32_t word = real.read(context, offset);
    const bool hide = offset == PLOSIVE_STATUS && looks++ % 2u == 0u;
    return hide ? word & ~PLOSIVE_STATUS_RESULTS_READY_MASK : word;
}

/* A result that takes longer than the host's patience is taken in parts. */
static void impatience(plosive *device, const uint32_t *image, size_t words, const int8_t *features)
{
    int32_t elements[256];
    real = device->bus;
    device->bus.read = read_slow;
    show("load", plosive_load(device, image, words));
    show("begin", plosive_begin(device, PLOSIVE_MODE_READOUT_LOGITS));
    show("put", plosive_put(device, features, true));
    device->patience = 1u;
    plosive_status status;
    uint32_t timeouts = 0u;
    while ((status = plosive_take(device, elements)) == PLOSIVE_TIMEOUT) {
        timeouts++;
    }
    show("take", status);
    fprintf(output, "timeouts: %lu\n", (unsigned long)timeouts);
    fprintf(output, "logits:");
    for (uint32_t i = 0u; i < device->n_output; i++) {
        fprintf(output, " %ld", (long)elements[i]);
    }
    fprintf(output, "\n");
}

int main(int argc, char **argv)
{
    if (argc < 6) {
        return 2;
    }
    size_t bytes, feature_bytes;
    output = fopen(argv[1], "w");
    uint32_t *image = file_contents(argv[3], &bytes);
    int8_t *features = file_contents(argv[4], &feature_bytes);
    const size_t words = bytes / sizeof *image;
    const uint32_t frames = (uint32_t)strtoul(argv[5], NULL, 10);
    plosive device;
    if (output == NULL) {
        return 2;
    }
    if (show("open", plosive_open(&device, simulated_bus()))) {
        const uint32_t about[] = {
            device.config_hash[0], device.config_hash[1], device.network_hash[0],
            device.network_hash[1], device.build_hash, device.n_input, device.n_output,
            device.readout_every, device.best, device.element_bits, device.baked, device.streams,
        };
        show_words("identity", about, sizeof about / sizeof *about);
        if (strcmp(argv[2], "run") == 0) {
            run(&device, image, words, features, frames);
        } else if (strcmp(argv[2], "refusals") == 0) {
            refusals(&device, image, words);
        } else if (strcmp(argv[2], "fault") == 0 && argc == 8) {
            fault(image, words, (uint32_t)strtoul(argv[6], NULL, 10),
                  (uint32_t)strtoul(argv[7], NULL, 10));
        } else if (strcmp(argv[2], "out of step") == 0) {
            out_of_step(image, words, features);
        } else if (strcmp(argv[2], "impatience") == 0) {
            impatience(&device, image, words, features);
        } else {
            return 2;
        }
    }
    fprintf(output, "text of no status: %s\n", plosive_text(PLOSIVE_STATUSES));
    free(image);
    free(features);
    return fclose(output) == 0 ? 0 : 1;
}
