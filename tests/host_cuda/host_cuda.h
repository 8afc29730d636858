/* A CUDA driver whose device is host memory, for tests of host code.
 *
 * It knows no kernels. It knows what asynchrony allows: nothing that is put on a
 * stream runs before the host waits for it, and then in the order that suits the
 * caller least. Whatever real hardware would let pass by luck ends the process
 * with a line that begins with "host_cuda:".
 */
#ifndef HOST_CUDA_H
#define HOST_CUDA_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

#define EXPORT __attribute__((visibility("default")))

typedef int CUresult;
typedef int CUdevice;
typedef unsigned long long CUdeviceptr;

enum {
    CUDA_SUCCESS = 0,
    CUDA_ERROR_INVALID_VALUE = 1,
    CUDA_ERROR_OUT_OF_MEMORY = 2,
    CUDA_ERROR_NOT_INITIALIZED = 3,
    CUDA_ERROR_NO_DEVICE = 100,
    CUDA_ERROR_INVALID_DEVICE = 101,
    CUDA_ERROR_INVALID_CONTEXT = 201,
    CUDA_ERROR_INVALID_HANDLE = 400,
    CUDA_ERROR_NOT_FOUND = 500,
    CUDA_ERROR_ILLEGAL_ADDRESS = 700,
    CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED = 900,
    CUDA_ERROR_STREAM_CAPTURE_INVALIDATED = 901,
};

enum { HOST = 0, ACTORS = 512, RANGES = 8, DEVICES = 8 };

/* For each actor (the host, every stream), how many of its operations are known to be done. */
typedef struct { uint64_t at[ACTORS]; } Clock;

typedef struct Access {
    const char *what;
    int actor;
    uint64_t tick;
    size_t begin, end;
    int write;
    struct Access *next;
} Access;

/* An allocation. Freed ones stay in the list, so that their late use can be named. */
typedef struct Block {
    CUdeviceptr address; /* what the caller holds: never readable for device memory */
    size_t size;
    unsigned char *store; /* where the bytes are */
    size_t mapped;
    int pinned, freed, device;
    Access *accesses;
    struct Block *next;
} Block;

typedef struct { Block *block; size_t offset, size; int write; } Range;

typedef struct Stream Stream;

/* One recording of an event. */
typedef struct { int done; Clock clock; Stream *stream; } Mark;

typedef struct { Mark *mark; int destroyed, device; } Event;

typedef void (*Kernel)(void *data, void **pointers);

typedef enum { COPY, LAUNCH, RECORD, WAIT } Kind;

typedef struct Op {
    Kind kind;
    const char *what;
    Range ranges[RANGES];
    int count;
    Kernel kernel;
    void *data;
    Mark *mark;
    struct Op *next;
} Op;

typedef struct Graph { Op *first, *last; int destroyed, device; struct Graph *next; } Graph;

struct Stream {
    int id;
    Clock clock;
    Op *first, *last;
    Graph *capture;
    int invalidated, destroyed, device;
    struct Stream *next;
};

/* A kernel launch says which bytes it reads and writes; a range of device memory. */
typedef struct { CUdeviceptr address; size_t size; int write; } LaunchRange;

void host_fail(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));
extern pthread_mutex_t host_mutex;
void host_lock(void);
void host_unlock(void);
int host_initialised(void);
int device_exists(CUdevice device);
int host_device(void); /* of the context that is current, or -1 */
CUresult host_broken(int device); /* what every call in its context fails with by now */
CUresult host_state(void); /* why no call can be made now */
CUresult host_fault(const char *name);

/* At the head of every function that a test may let fail, once. */
#define MAY_FAIL \
    do { \
        CUresult fault = host_fault(__func__); \
        if (fault) \
            return fault; \
    } while (0)

Range memory_range(CUdeviceptr address, size_t size, int write, int pinned, const char *what);
void memory_access(Stream *stream, const Op *op);
void memory_host_waited(const Clock *done);
int memory_leaks(int device);
void memory_lost(int device); /* its context ended, and everything in it */
extern Clock host_clock;
int clock_knows(const Clock *clock, const Access *access);
void clock_join(Clock *clock, const Clock *other);

extern Stream *streams;
CUresult stream_usable(const Stream *stream);
void stream_enqueue(Stream *stream, const Op *op);
void ops_append(Op **first, Op **last, const Op *op);
void streams_run(Stream *stream, const Mark *mark); /* until the mark, or until it is empty */
int streams_capturing(void);
int streams_leaks(int device);
void streams_lost(int device);
int graphs_use(const Block *block);
int graphs_leaks(int device);
void graphs_lost(int device);

#endif
