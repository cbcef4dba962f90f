/* SPDX-License-Identifier: Apache-2.0 */
#include "simulated_bus.h"

#include <stdio.h>
#include <stdlib.h>

static bool irq;

static uint32_t access(uint32_t write, uint32_t offset, uint32_t word)
{
    const uint32_t request[3] = {write, offset, word};
    uint32_t answer[3]; /* response, data, irq */
    if (fwrite(request, sizeof request, 1u, stdout) != 1u || fflush(stdout) != 0 ||
        fread(answer, sizeof answer, 1u, stdin) != 1u) {
        fprintf(stderr, "the simulation has gone\n");
        exit(3);
    }
    if (answer[0] != 0u) {
        fprintf(stderr, "bus error: %s of 0x%lx\n", write != 0u ? "write" : "read",
                (unsigned long)offset);
        exit(4);
    }
    irq = answer[2] != 0u;
    return answer[1];
}

static uint32_t bus_read(void *context, uint32_t offset)
{
    (void)context;
    return access(0u, offset, 0u);
}

static void bus_write(void *context, uint32_t offset, uint32_t word)
{
    (void)context;
    (void)access(1u, offset, word);
}

plosive_bus simulated_bus(void)
{
    const plosive_bus bus = {bus_read, bus_write, NULL};
    return bus;
}

bool simulated_irq(void)
{
    return irq;
}
