/* Graphs: captured from one stream, so that each is a chain. */
#define _GNU_SOURCE
#include "host_cuda.h"

#include <stdio.h>
#include <stdlib.h>

static int graphs_alive[DEVICES], executables_alive[DEVICES];
static Graph *executables;

EXPORT CUresult cuStreamBeginCapture_v2(Stream *stream, int mode)
{
    (void)mode;
    host_lock();
    CUresult error = stream_usable(stream);
    if (!error && stream->capture)
        error = CUDA_ERROR_INVALID_VALUE;
    if (!error) {
        stream->capture = calloc(1, sizeof *stream->capture);
        stream->capture->device = stream->device;
        stream->invalidated = 0;
        graphs_alive[stream->device]++;
    }
    host_unlock();
    return error;
}

EXPORT CUresult cuStreamEndCapture(Stream *stream, Graph **graph)
{
    MAY_FAIL;
    host_lock();
    CUresult error = stream_usable(stream);
    if (!error && !stream->capture)
        error = CUDA_ERROR_INVALID_VALUE;
    if (!error) {
        *graph = stream->invalidated ? NULL : stream->capture;
        graphs_alive[stream->device] -= stream->invalidated;
        error = stream->invalidated ? CUDA_ERROR_STREAM_CAPTURE_INVALIDATED : CUDA_SUCCESS;
        stream->capture = NULL;
        stream->invalidated = 0;
    }
    host_unlock();
    return error;
}

EXPORT CUresult cuGraphInstantiateWithFlags(Graph **executable, Graph *graph,
                                            unsigned long long flags)
{
    (void)flags;
    MAY_FAIL;
    host_lock();
    CUresult error = host_state();
    if (!error) {
        *executable = calloc(1, sizeof **executable);
        for (Op *op = graph->first; op; op = op->next)
            ops_append(&(*executable)->first, &(*executable)->last, op);
        (*executable)->device = graph->device;
        (*executable)->next = executables;
        executables = *executable;
        executables_alive[graph->device]++;
    }
    host_unlock();
    return error;
}

EXPORT CUresult cuGraphLaunch(Graph *executable, Stream *stream)
{
    host_lock();
    CUresult error = stream_usable(stream);
    if (!error && executable->destroyed)
        host_fail("a graph is launched that was destroyed");
    for (Op *op = error ? NULL : executable->first; op; op = op->next)
        stream_enqueue(stream, op);
    host_unlock();
    return error;
}

static CUresult destroy(Graph *graph, int *alive)
{
    host_lock();
    if (graph->destroyed)
        host_fail("a graph is destroyed twice");
    CUresult error = host_broken(graph->device);
    if (!error) {
        graph->destroyed = 1;
        alive[graph->device]--;
    }
    host_unlock();
    return error;
}

EXPORT CUresult cuGraphDestroy(Graph *graph)
{
    MAY_FAIL;
    return destroy(graph, graphs_alive);
}

EXPORT CUresult cuGraphExecDestroy(Graph *executable)
{
    MAY_FAIL;
    return destroy(executable, executables_alive);
}

/* Whether a graph that may be launched again uses an allocation. */
int graphs_use(const Block *block)
{
    for (Graph *each = executables; each; each = each->next)
        for (Op *op = each->destroyed ? NULL : each->first; op; op = op->next)
            for (int i = 0; i < op->count; i++)
                if (op->ranges[i].block == block)
                    return 1;
    return 0;
}

void graphs_lost(int device)
{
    graphs_alive[device] = executables_alive[device] = 0;
    for (Graph *each = executables; each; each = each->next)
        each->destroyed |= each->device == device;
}

int graphs_leaks(int device)
{
    if (graphs_alive[device])
        fprintf(stderr, "host_cuda: leak: %d graphs\n", graphs_alive[device]);
    if (executables_alive[device])
        fprintf(stderr, "host_cuda: leak: %d executable graphs\n", executables_alive[device]);
    return graphs_alive[device] + executables_alive[device];
}
