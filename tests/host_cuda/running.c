/* When what was enqueued runs: when the host waits, and in an order that it must not rely on.
 *
 * HOST_CUDA_ORDER chooses it:
 *   late   only what the wait needs (the default)
 *   eager  everything else that may run, first
 *   N      any of the streams that may run, by a seed
 */
#define _GNU_SOURCE
#include "host_cuda.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static pthread_cond_t idle = PTHREAD_COND_INITIALIZER;
static int running;

static void run_first(Stream *stream)
{
    Op *op = stream->first;
    stream->first = op->next;
    if (!stream->first)
        stream->last = NULL;
    void *pointers[RANGES];
    for (int i = 0; i < op->count; i++)
        pointers[i] = op->ranges[i].block->store + op->ranges[i].offset;
    if (op->kind == COPY) {
        memcpy(pointers[0], pointers[1], op->ranges[0].size);
    } else if (op->kind == LAUNCH) {
        /* The kernel may need a lock of its caller's, so it runs without ours. */
        host_unlock();
        op->kernel(op->data, pointers);
        host_lock();
    } else if (op->kind == RECORD) {
        op->mark->done = 1;
    }
    free(op);
}

static int runnable(const Stream *stream)
{
    const Op *op = stream->first;
    return op && (op->kind != WAIT || op->mark->done);
}

static int reached(const Stream *stream, const Mark *mark)
{
    return mark ? mark->done : !stream->first;
}

static void run_late(Stream *stream, const Mark *mark)
{
    while (!reached(stream, mark)) {
        Op *op = stream->first;
        if (op->kind == WAIT && !op->mark->done)
            run_late(op->mark->stream, op->mark);
        run_first(stream);
    }
}

static void run_eager(Stream *stream, const Mark *mark)
{
    while (!reached(stream, mark)) {
        int others = 0;
        for (Stream *other = streams; other; other = other->next)
            while (other != stream && runnable(other)) {
                run_first(other);
                others = 1;
            }
        if (runnable(stream))
            run_first(stream);
        else if (!others)
            host_fail("nothing can run: streams wait for each other");
    }
}

static void run_seeded(Stream *stream, const Mark *mark, unsigned *seed)
{
    while (!reached(stream, mark)) {
        int count = 0;
        for (Stream *each = streams; each; each = each->next)
            count += runnable(each);
        if (!count)
            host_fail("nothing can run: streams wait for each other");
        int chosen = rand_r(seed) % count;
        for (Stream *each = streams; each; each = each->next)
            if (runnable(each) && chosen-- == 0) {
                run_first(each);
                break;
            }
    }
}

void streams_run(Stream *stream, const Mark *mark)
{
    static int seeded = -1;
    static unsigned seed;
    const char *order = getenv("HOST_CUDA_ORDER");
    while (running)
        pthread_cond_wait(&idle, &host_mutex);
    running = 1;
    if (!order || !strcmp(order, "late"))
        run_late(stream, mark);
    else if (!strcmp(order, "eager"))
        run_eager(stream, mark);
    else {
        if (atoi(order) != seeded)
            seed = (unsigned)(seeded = atoi(order));
        run_seeded(stream, mark, &seed);
    }
    running = 0;
    pthread_cond_broadcast(&idle);
}
