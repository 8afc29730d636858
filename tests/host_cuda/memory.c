/* Allocations, who may touch them when, and what the host sees of them.
 *
 * A device address lies in a region that nothing may touch. Pinned memory is mapped
 * twice: the caller's view is closed while an operation may still write it, and
 * read-only while one may still read it.
 */
#define _GNU_SOURCE
#include "host_cuda.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

enum { PAGE = 4096, POISON = 0xDB };
static const size_t REGION = (size_t)1 << 40;

Clock host_clock;
static Block *blocks;
static unsigned char *region;
static size_t region_used;
static size_t device_used;

int clock_knows(const Clock *clock, const Access *access)
{
    return clock->at[access->actor] >= access->tick;
}

void clock_join(Clock *clock, const Clock *other)
{
    for (int i = 0; i < ACTORS; i++)
        if (clock->at[i] < other->at[i])
            clock->at[i] = other->at[i];
}

static size_t pages(size_t size) { return (size + PAGE - 1) / PAGE * PAGE; }

static Block *block_at(CUdeviceptr address)
{
    for (Block *block = blocks; block; block = block->next)
        if (address >= block->address && address < block->address + block->mapped)
            return block;
    return NULL;
}

static const Access *pending(const Block *block)
{
    for (const Access *a = block->accesses; a; a = a->next)
        if (!clock_knows(&host_clock, a))
            return a;
    return NULL;
}

static void on_fault(int signal_number, siginfo_t *info, void *context)
{
    (void)context;
    CUdeviceptr address = (CUdeviceptr)(uintptr_t)info->si_addr;
    Block *block = block_at(address);
    if (block && block->pinned && block->freed)
        host_fail("the host touches pinned memory after it was freed");
    if (block && block->pinned && pending(block))
        host_fail("the host touches pinned memory while %s on stream %d may still use it: "
                  "a wait is missing", pending(block)->what, pending(block)->actor);
    if (region && address >= (CUdeviceptr)region && address < (CUdeviceptr)region + REGION)
        host_fail("the host touches device address %#llx", address);
    signal(signal_number, SIG_DFL);
}

static void prepare(void)
{
    if (region)
        return;
    region = mmap(NULL, REGION, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (region == MAP_FAILED)
        host_fail("no address space for the device");
    struct sigaction action = {.sa_flags = SA_SIGINFO};
    action.sa_sigaction = on_fault;
    sigaction(SIGSEGV, &action, NULL);
}

static CUresult refused(void)
{
    CUresult error = host_state();
    if (error)
        return error;
    return streams_capturing() ? CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED : CUDA_SUCCESS;
}

static Block *add(CUdeviceptr address, size_t size, unsigned char *store, int pinned)
{
    Block *block = calloc(1, sizeof *block);
    *block = (Block){.address = address, .size = size, .store = store,
                     .mapped = pages(size), .pinned = pinned,
                     .device = host_device(), .next = blocks};
    memset(store, POISON, size);
    return blocks = block;
}

static size_t device_limit(void)
{
    const char *text = getenv("HOST_CUDA_MEMORY");
    return text ? strtoull(text, NULL, 10) : (size_t)4 << 30;
}

EXPORT CUresult cuMemAlloc_v2(CUdeviceptr *address, size_t size)
{
    MAY_FAIL;
    host_lock();
    CUresult error = refused();
    if (!error && (size == 0 || region_used + pages(size) + PAGE > REGION))
        error = CUDA_ERROR_INVALID_VALUE;
    if (!error && device_used + size > device_limit())
        error = CUDA_ERROR_OUT_OF_MEMORY;
    if (!error) {
        prepare();
        /* Addresses are never given twice, and a page lies between two of them. */
        *address = (CUdeviceptr)(region + region_used);
        region_used += pages(size) + PAGE;
        device_used += size;
        add(*address, size, malloc(size), 0);
    }
    host_unlock();
    return error;
}

static CUresult pinned_memory(void **pointer, size_t size)
{
    host_lock();
    CUresult error = refused();
    if (!error && size == 0)
        error = CUDA_ERROR_INVALID_VALUE;
    if (!error) {
        prepare();
        int file = memfd_create("host_cuda", 0);
        if (file < 0 || ftruncate(file, (off_t)pages(size)))
            host_fail("no memory for %zu pinned bytes", size);
        int access = PROT_READ | PROT_WRITE;
        unsigned char *view = mmap(NULL, pages(size), access, MAP_SHARED, file, 0);
        unsigned char *store = mmap(NULL, pages(size), access, MAP_SHARED, file, 0);
        close(file);
        if (view == MAP_FAILED || store == MAP_FAILED)
            host_fail("no memory for %zu pinned bytes", size);
        add((CUdeviceptr)view, size, store, 1);
        *pointer = view;
    }
    host_unlock();
    return error;
}

EXPORT CUresult cuMemHostAlloc(void **pointer, size_t size, unsigned flags)
{
    (void)flags;
    return pinned_memory(pointer, size);
}

EXPORT CUresult cuMemAllocHost_v2(void **pointer, size_t size)
{
    return pinned_memory(pointer, size);
}

static void end(Block *block)
{
    block->freed = 1;
    if (block->pinned) {
        munmap(block->store, block->mapped);
        mprotect((void *)(uintptr_t)block->address, block->mapped, PROT_NONE);
    } else {
        device_used -= block->size;
        free(block->store);
    }
    block->store = NULL;
}

void memory_lost(int device)
{
    for (Block *block = blocks; block; block = block->next)
        if (block->device == device && !block->freed)
            end(block);
}

static CUresult release(CUdeviceptr address, int pinned)
{
    host_lock();
    CUresult error = refused();
    Block *block = error ? NULL : block_at(address);
    if (!error && (!block || block->address != address || block->pinned != pinned))
        host_fail("%#llx is freed, which is no allocation", address);
    if (!error && block->freed)
        host_fail("%#llx is freed twice", address);
    if (!error && pending(block))
        host_fail("%zu %s bytes are freed while %s on stream %d may still use them", block->size,
                  pinned ? "pinned" : "device", pending(block)->what, pending(block)->actor);
    if (!error && graphs_use(block))
        host_fail("%zu bytes are freed that a graph still uses", block->size);
    if (!error)
        end(block);
    host_unlock();
    return error;
}

EXPORT CUresult cuMemFree_v2(CUdeviceptr address)
{
    MAY_FAIL;
    return release(address, 0);
}

EXPORT CUresult cuMemFreeHost(void *pointer)
{
    MAY_FAIL;
    return release((CUdeviceptr)pointer, 1);
}

/* The allocation behind an address, checked for what an operation wants of it. */
Range memory_range(CUdeviceptr address, size_t size, int write, int pinned, const char *what)
{
    Block *block = block_at(address);
    if (!block || block->pinned != pinned)
        host_fail("%s: %#llx is not %s memory", what, address, pinned ? "pinned" : "device");
    if (block->freed)
        host_fail("%s: %#llx was freed", what, address);
    if (block->device != host_device())
        host_fail("%s: %#llx is memory of device %d", what, address, block->device);
    size_t offset = address - block->address;
    if (size > block->size - (offset < block->size ? offset : block->size))
        host_fail("%s: %zu bytes at offset %zu exceed an allocation of %zu bytes",
                  what, size, offset, block->size);
    return (Range){block, offset, size, write};
}

static void protect(Block *block)
{
    int access = PROT_READ | PROT_WRITE;
    if (!block->pinned || block->freed)
        return;
    for (Access *a = block->accesses; a; a = a->next)
        if (!clock_knows(&host_clock, a))
            access &= a->write ? PROT_NONE : PROT_READ;
    mprotect((void *)(uintptr_t)block->address, block->mapped, access);
}

/* Note what an operation touches; two that may overlap in time must not conflict. */
void memory_access(Stream *stream, const Op *op)
{
    uint64_t tick = stream->clock.at[stream->id];
    for (const Range *range = op->ranges; range < op->ranges + op->count; range++) {
        Block *block = range->block;
        size_t end = range->offset + range->size;
        if (block->freed)
            host_fail("%s: %#llx was freed", op->what, block->address);
        for (Access *a = block->accesses; a; a = a->next)
            if (a->begin < end && range->offset < a->end && (a->write || range->write) &&
                a->actor != stream->id && !clock_knows(&stream->clock, a))
                host_fail("race: %s on stream %d %s %s memory that %s on stream %d %s; "
                          "a wait is missing", op->what, stream->id,
                          range->write ? "writes" : "reads", block->pinned ? "pinned" : "device",
                          a->what, a->actor, a->write ? "writes" : "reads");
        Access *access = malloc(sizeof *access);
        *access = (Access){op->what, stream->id, tick, range->offset, end, range->write,
                           block->accesses};
        block->accesses = access;
        protect(block);
    }
}

/* The host has waited: what it knows to be done can conflict with nothing any more. */
void memory_host_waited(const Clock *done)
{
    clock_join(&host_clock, done);
    for (Block *block = blocks; block; block = block->next) {
        if (!block->accesses)
            continue;
        for (Access **link = &block->accesses; *link;) {
            Access *access = *link;
            if (clock_knows(&host_clock, access)) {
                *link = access->next;
                free(access);
            } else {
                link = &access->next;
            }
        }
        protect(block);
    }
}

int memory_leaks(int device)
{
    int count = 0;
    for (Block *block = blocks; block; block = block->next)
        if (block->device == device && !block->freed) {
            fprintf(stderr, "host_cuda: leak: %zu %s bytes\n", block->size,
                    block->pinned ? "pinned" : "device");
            count++;
        }
    return count;
}
