/* Streams and events: what is put on them, and who waits for whom.
 *
 * Whether two operations are ordered is decided here, when they are enqueued, by clocks.
 */
#define _GNU_SOURCE
#include "host_cuda.h"

#include <stdio.h>
#include <stdlib.h>

Stream *streams;
static int actors = HOST;
static int events_alive[DEVICES];

CUresult stream_usable(const Stream *stream)
{
    CUresult error = host_state();
    if (error)
        return error;
    if (!stream)
        host_fail("the default stream is used, which waits for every other");
    for (Stream *known = streams; known; known = known->next)
        if (known == stream && !known->destroyed) {
            if (known->device != host_device())
                host_fail("stream %d is one of device %d", known->id, known->device);
            return CUDA_SUCCESS;
        }
    host_fail("a stream is used that does not exist");
}

static void check_event(const Event *event)
{
    if (!event || event->destroyed)
        host_fail("an event is used that does not exist");
}

int streams_capturing(void)
{
    int found = 0;
    for (Stream *stream = streams; stream; stream = stream->next)
        if (stream->capture) {
            stream->invalidated = 1; /* whoever asks is about to do what a capture forbids */
            found = 1;
        }
    return found;
}

/* Enqueueing */

void ops_append(Op **first, Op **last, const Op *op)
{
    Op *copy = malloc(sizeof *copy);
    *copy = *op;
    copy->next = NULL;
    if (*last)
        (*last)->next = copy;
    else
        *first = copy;
    *last = copy;
}

void stream_enqueue(Stream *stream, const Op *op)
{
    if (stream->capture) {
        ops_append(&stream->capture->first, &stream->capture->last, op);
        return;
    }
    clock_join(&stream->clock, &host_clock);
    stream->clock.at[stream->id]++;
    if (op->kind == WAIT)
        clock_join(&stream->clock, &op->mark->clock);
    else if (op->kind == RECORD)
        op->mark->clock = stream->clock;
    else
        memory_access(stream, op);
    ops_append(&stream->first, &stream->last, op);
}

static CUresult copy(CUdeviceptr to, CUdeviceptr from, size_t size, Stream *stream, int upload)
{
    const char *what = upload ? "copy to the device" : "copy to the host";
    host_lock();
    CUresult error = stream_usable(stream);
    if (!error) {
        Op op = {.kind = COPY, .what = what, .count = 2};
        op.ranges[0] = memory_range(to, size, 1, !upload, what);
        op.ranges[1] = memory_range(from, size, 0, upload, what);
        stream_enqueue(stream, &op);
    }
    host_unlock();
    return error;
}

EXPORT CUresult cuMemcpyHtoDAsync_v2(CUdeviceptr to, const void *from, size_t size, Stream *stream)
{
    return copy(to, (CUdeviceptr)from, size, stream, 1);
}

EXPORT CUresult cuMemcpyDtoHAsync_v2(void *to, CUdeviceptr from, size_t size, Stream *stream)
{
    return copy((CUdeviceptr)to, from, size, stream, 0);
}

/* No part of CUDA: what a compiled kernel's launch is to a driver. */
EXPORT CUresult hostCudaLaunch(Stream *stream, Kernel kernel, void *data,
                               const LaunchRange *ranges, int count)
{
    const char *what = "kernel";
    host_lock();
    CUresult error = count > RANGES ? CUDA_ERROR_INVALID_VALUE : stream_usable(stream);
    if (!error) {
        Op op = {.kind = LAUNCH, .what = what, .count = count, .kernel = kernel, .data = data};
        for (int i = 0; i < count; i++)
            op.ranges[i] = memory_range(ranges[i].address, ranges[i].size, ranges[i].write, 0, what);
        stream_enqueue(stream, &op);
    }
    host_unlock();
    return error;
}

/* Streams */

EXPORT CUresult cuStreamCreate(Stream **created, unsigned flags)
{
    host_lock();
    CUresult error = host_state();
    if (!error) {
        (void)flags;
        if (++actors == ACTORS)
            host_fail("more than %d streams", ACTORS - 1);
        Stream *stream = calloc(1, sizeof *stream);
        stream->id = actors;
        stream->device = host_device();
        stream->next = streams;
        *created = streams = stream;
    }
    host_unlock();
    return error;
}

EXPORT CUresult cuStreamDestroy_v2(Stream *stream)
{
    MAY_FAIL;
    host_lock();
    CUresult error = stream_usable(stream);
    if (!error && stream->first)
        host_fail("stream %d is destroyed with work that nobody waited for", stream->id);
    if (!error)
        stream->destroyed = 1;
    host_unlock();
    return error;
}

EXPORT CUresult cuStreamSynchronize(Stream *stream)
{
    MAY_FAIL;
    host_lock();
    CUresult error = stream_usable(stream);
    if (!error && streams_capturing())
        error = CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    if (!error) {
        Clock done = stream->clock;
        streams_run(stream, NULL);
        memory_host_waited(&done);
    }
    host_unlock();
    return error;
}

/* Captures know nothing of events here. */
static CUresult stream_takes_event(Stream *stream, Event *event)
{
    CUresult error = stream_usable(stream);
    if (error)
        return error;
    check_event(event);
    if (!stream->capture)
        return CUDA_SUCCESS;
    stream->invalidated = 1;
    return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
}

EXPORT CUresult cuStreamWaitEvent(Stream *stream, Event *event, unsigned flags)
{
    (void)flags;
    host_lock();
    CUresult error = stream_takes_event(stream, event);
    if (!error && event->mark) { /* an event never recorded holds nobody up */
        Op op = {.kind = WAIT, .what = "wait", .mark = event->mark};
        stream_enqueue(stream, &op);
    }
    host_unlock();
    return error;
}

/* Events */

EXPORT CUresult cuEventCreate(Event **event, unsigned flags)
{
    (void)flags;
    host_lock();
    CUresult error = host_state();
    if (!error) {
        *event = calloc(1, sizeof **event);
        (*event)->device = host_device();
        events_alive[host_device()]++;
    }
    host_unlock();
    return error;
}

EXPORT CUresult cuEventDestroy_v2(Event *event)
{
    MAY_FAIL;
    host_lock();
    check_event(event);
    CUresult error = host_broken(event->device);
    if (!error) {
        event->destroyed = 1;
        events_alive[event->device]--;
    }
    host_unlock();
    return error;
}

EXPORT CUresult cuEventRecord(Event *event, Stream *stream)
{
    host_lock();
    CUresult error = stream_takes_event(stream, event);
    if (!error) {
        event->mark = calloc(1, sizeof *event->mark);
        event->mark->stream = stream;
        Op op = {.kind = RECORD, .what = "record", .mark = event->mark};
        stream_enqueue(stream, &op);
    }
    host_unlock();
    return error;
}

EXPORT CUresult cuEventSynchronize(Event *event)
{
    MAY_FAIL;
    host_lock();
    CUresult error = host_state();
    if (!error) {
        check_event(event);
        if (streams_capturing()) {
            error = CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
        } else if (event->mark) {
            streams_run(event->mark->stream, event->mark);
            memory_host_waited(&event->mark->clock);
        }
    }
    host_unlock();
    return error;
}

void streams_lost(int device)
{
    for (Stream *stream = streams; stream; stream = stream->next)
        if (stream->device == device) {
            stream->destroyed = 1;
            stream->first = stream->last = NULL;
            stream->capture = NULL;
        }
    events_alive[device] = 0;
}

int streams_leaks(int device)
{
    int alive = 0;
    for (Stream *stream = streams; stream; stream = stream->next)
        alive += stream->device == device && !stream->destroyed;
    if (alive)
        fprintf(stderr, "host_cuda: leak: %d streams\n", alive);
    if (events_alive[device])
        fprintf(stderr, "host_cuda: leak: %d events\n", events_alive[device]);
    return alive + events_alive[device];
}
