/* SPDX-License-Identifier: Apache-2.0 */
/* Driver of a Plosive accelerator for a CPU on its registers: C99, no allocation, no library but
 * the compiler's own headers. How it is used: docs/host-interface.md.
 *
 * It never makes an access that the hardware would refuse, so a CPU sees no bus error: it reads
 * STATUS first. It never waits without end either: see `patience`. */
#ifndef PLOSIVE_H
#define PLOSIVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "plosive_registers.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What became of a call; plosive_text() has a line on each. */
typedef enum {
    PLOSIVE_OK,
    PLOSIVE_NOT_FOUND,
    PLOSIVE_WRONG_VERSION,
    PLOSIVE_BAD_IMAGE,
    PLOSIVE_CORRUPT_IMAGE,
    PLOSIVE_OTHER_HARDWARE,
    PLOSIVE_CONSTANT_WEIGHTS,
    PLOSIVE_READ_BACK,
    PLOSIVE_BUSY,
    PLOSIVE_NO_BEST,
    PLOSIVE_NO_STREAMS,
    PLOSIVE_BLOCKED,
    PLOSIVE_NOTHING_DUE,
    PLOSIVE_OUT_OF_STEP,
    PLOSIVE_TIMEOUT,
    PLOSIVE_STATUSES /* how many there are */
} plosive_status;

/* How a register is read and written; `offset` is one of plosive_registers.h. */
typedef struct {
    uint32_t (*read)(void *context, uint32_t offset);
    void (*write)(void *context, uint32_t offset, uint32_t word);
    void *context;
} plosive_bus;

/* An accelerator. Set up by plosive_open(); all but `patience` is only read outside. */
typedef struct {
    plosive_bus bus;
    uint32_t patience; /* reads of STATUS without progress before PLOSIVE_TIMEOUT */

    /* What the hardware is: docs/register-map.md has the meanings. */
    uint32_t config_hash[2];
    uint32_t network_hash[2];
    uint32_t build_hash;
    uint32_t n_input;
    uint32_t n_output;
    uint32_t readout_every;
    uint32_t best;
    uint32_t element_bits;
    bool baked;
    bool streams;

    /* After PLOSIVE_READ_BACK: the word that differs, counted in its region, and both values. */
    uint32_t failed_region;
    uint32_t failed_word;
    uint32_t wrote;
    uint32_t found;

    /* Where the utterance is. */
    uint32_t irq_enable;
    uint32_t elements;     /* of a result */
    uint32_t frame;        /* of the utterance, modulo readout_every behind the first */
    bool begins;           /* the next frame is an utterance's first */
    uint32_t words_put;    /* of the frame under way */
    uint32_t words_taken;  /* of the result under way */
    uint32_t due;          /* results of frames that were put, not taken yet */
} plosive;

/* Registers in the CPU's memory at `base`, little-endian, reached by aligned 32-bit accesses. */
plosive_bus plosive_memory_mapped(uintptr_t base);

/* Identify the hardware. PLOSIVE_NOT_FOUND, PLOSIVE_WRONG_VERSION. */
plosive_status plosive_open(plosive *device, plosive_bus bus);

/* Write a network, of `plosive export -o FILE.h` or `FILE.bin`, and read all of it back. The image
 * is checked before anything is written. PLOSIVE_CONSTANT_WEIGHTS, PLOSIVE_BAD_IMAGE,
 * PLOSIVE_CORRUPT_IMAGE, PLOSIVE_OTHER_HARDWARE, PLOSIVE_READ_BACK, PLOSIVE_BUSY. */
plosive_status plosive_load(plosive *device, const uint32_t *image, size_t words);

/* Drop what is under way and wait for an utterance's frames in the registers; `readout` is
 * PLOSIVE_MODE_READOUT_LOGITS or PLOSIVE_MODE_READOUT_BEST. PLOSIVE_NO_BEST, PLOSIVE_BUSY. */
plosive_status plosive_begin(plosive *device, uint32_t readout);

/* The same for features and results on the AXI streams. Also PLOSIVE_NO_STREAMS. */
plosive_status plosive_begin_streams(plosive *device, uint32_t readout);

/* Give a frame of n_input features; `last` ends the utterance, and the next frame begins one.
 *
 * PLOSIVE_BLOCKED: the machine waits until results are taken; take one, then give the same frame
 * again, which goes on where it stopped. This cannot happen if every result that is due is taken
 * before the next frame is given. PLOSIVE_TIMEOUT: the machine takes none; giving it again goes on
 * too. */
plosive_status plosive_put(plosive *device, const int8_t *features, bool last);

/* Results of frames that were given, not taken yet: with readout_every = m, frames 0, m, 2m, ... of
 * an utterance have one. */
uint32_t plosive_due(const plosive *device);

/* Take a result, in the order of the frames: n_output logits, or `best` times class and score, best
 * first. Waits for it. PLOSIVE_NOTHING_DUE; PLOSIVE_TIMEOUT: taking it again goes on where it
 * stopped; PLOSIVE_OUT_OF_STEP: the hardware's frame has another length. */
plosive_status plosive_take(plosive *device, int32_t *elements);

/* Elements of a result, for the array of plosive_take(). */
uint32_t plosive_elements(const plosive *device);

/* Everything as after the reset line; the weights and the interrupts' enables stay. */
void plosive_reset(plosive *device);

/* Whether a frame is buffered or runs, or its result is on the way. */
bool plosive_busy(plosive *device);

/* The performance counters, in the order of the registers; exact while the machine is not busy. */
void plosive_counters(plosive *device, uint32_t counters[PLOSIVE_COUNTERS]);
void plosive_clear_counters(plosive *device);

/* The bits of ERRORS that are set (PLOSIVE_ERRORS_..._MASK), which are cleared. */
uint32_t plosive_take_errors(plosive *device);

/* States that raise the interrupt (PLOSIVE_IRQ_ENABLE_..._MASK), and those of them that hold. An
 * interrupt stays until its state has ended or is no longer enabled. */
void plosive_enable_interrupts(plosive *device, uint32_t states);
uint32_t plosive_interrupts(plosive *device);

/* One line on a status. */
const char *plosive_text(plosive_status status);

#ifdef __cplusplus
}
#endif

#endif
