/* Contexts, how they break, the way symbols are found, and the end. */
#define _GNU_SOURCE
#include "host_cuda.h"

#include <dlfcn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { DEPTH = 32, CONTEXT_HANDLE = 0xC0, FAILED = 86, LEAKED = 87 };

pthread_mutex_t host_mutex = PTHREAD_MUTEX_INITIALIZER;
static int initialised;
static __thread int depth;
static __thread void *stack[DEPTH];

/* Each time that a primary context begins it is another one: `lives` counts them. */
static struct { int retained, lives; CUresult broken; } devices[DEVICES];
static struct { char name[64]; CUresult status; } fault;
static CUresult lost; /* what no new context can be had for */
static int contexts_tell; /* whether pushing, popping and releasing report what broke, too */

void host_lock(void) { pthread_mutex_lock(&host_mutex); }
void host_unlock(void) { pthread_mutex_unlock(&host_mutex); }

int host_initialised(void) { return initialised; }

static void *context_of(CUdevice device)
{
    return (void *)(uintptr_t)(CONTEXT_HANDLE + device + 0x100 * devices[device].lives);
}

int host_device(void)
{
    for (int device = 0; depth > 0 && device < DEVICES; device++)
        if (devices[device].retained && stack[depth - 1] == context_of(device))
            return device;
    return -1;
}

CUresult host_broken(int device) { return device < 0 ? CUDA_SUCCESS : devices[device].broken; }

CUresult host_state(void)
{
    if (!initialised)
        return CUDA_ERROR_NOT_INITIALIZED;
    return host_device() < 0 ? CUDA_ERROR_INVALID_CONTEXT : host_broken(host_device());
}

CUresult host_fault(const char *name)
{
    if (strcmp(name, fault.name))
        return CUDA_SUCCESS;
    *fault.name = 0;
    return fault.status;
}

/* No part of CUDA: let the next call of one function do nothing but fail. */
EXPORT void hostCudaFail(const char *name, CUresult status)
{
    snprintf(fault.name, sizeof fault.name, "%s", name);
    fault.status = status;
}

/* No part of CUDA: what a kernel that crashes does to a primary context, for good.
 * `contexts`: pushing, popping and releasing one tell it, too, as their documentation allows. */
EXPORT void hostCudaBreak(CUdevice device, CUresult status, int contexts)
{
    host_lock();
    devices[device].broken = status;
    contexts_tell = contexts;
    host_unlock();
}

/* No part of CUDA: whether any device's context is so. */
EXPORT int hostCudaIsBroken(void)
{
    int broken = 0;
    for (int device = 0; device < DEVICES; device++)
        broken |= devices[device].broken != CUDA_SUCCESS;
    return broken;
}

/* No part of CUDA: from now on no context can be had; with CUDA_SUCCESS, one can again. */
EXPORT void hostCudaLost(CUresult status) { lost = status; }

static CUresult told(CUdevice device)
{
    return contexts_tell ? host_broken(device) : CUDA_SUCCESS;
}

void host_fail(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fflush(NULL);
    fprintf(stderr, "host_cuda: ");
    vfprintf(stderr, format, arguments);
    fprintf(stderr, "\n");
    va_end(arguments);
    _exit(FAILED);
}

static void check_leaks(int device, const char *when)
{
    int leaks = memory_leaks(device) + streams_leaks(device) + graphs_leaks(device);
    if (!leaks)
        return;
    fprintf(stderr, "host_cuda: %d leaks %s\n", leaks, when);
    _exit(LEAKED);
}

__attribute__((destructor)) static void at_exit(void)
{
    if (!initialised)
        return;
    fflush(NULL);
    for (int device = 0; device < DEVICES; device++) {
        check_leaks(device, "at exit");
        if (!devices[device].retained)
            continue;
        fprintf(stderr, "host_cuda: leak: the context was retained %d times more than released\n",
                devices[device].retained);
        _exit(LEAKED);
    }
}

EXPORT CUresult cuInit(unsigned flags)
{
    (void)flags;
    if (getenv("HOST_CUDA_NO_DEVICE"))
        return CUDA_ERROR_NO_DEVICE;
    initialised = 1;
    return CUDA_SUCCESS;
}

EXPORT CUresult cuDriverGetVersion(int *version)
{
    *version = 13040;
    return CUDA_SUCCESS;
}

/* A device's primary context is its only one: TensorRT uses it, so its caller must. */

EXPORT CUresult cuDevicePrimaryCtxRetain(void **context, CUdevice device)
{
    if (!initialised || !device_exists(device))
        return CUDA_ERROR_INVALID_DEVICE;
    if (lost)
        return lost;
    host_lock();
    devices[device].retained++;
    *context = context_of(device);
    host_unlock();
    return CUDA_SUCCESS;
}

EXPORT CUresult cuDevicePrimaryCtxRelease_v2(CUdevice device)
{
    CUresult status = told(device);
    host_lock();
    if (devices[device].retained == 0)
        host_fail("the context is released more often than retained");
    if (devices[device].retained == 1) {
        for (int i = 0; i < depth; i++)
            if (stack[i] == context_of(device))
                host_fail("the context is released while it is current");
        if (devices[device].broken) {
            memory_lost(device);
            streams_lost(device);
            graphs_lost(device);
            devices[device].broken = CUDA_SUCCESS;
        }
        check_leaks(device, "when the context was released");
        devices[device].lives++;
    }
    devices[device].retained--;
    host_unlock();
    return status;
}

EXPORT CUresult cuCtxPushCurrent_v2(void *context)
{
    MAY_FAIL;
    if (depth == DEPTH)
        host_fail("contexts are pushed and never popped");
    stack[depth++] = context;
    CUresult status = told(host_device());
    depth -= status != CUDA_SUCCESS;
    return status;
}

EXPORT CUresult cuCtxPopCurrent_v2(void **context)
{
    MAY_FAIL;
    if (depth == 0)
        return CUDA_ERROR_INVALID_CONTEXT;
    CUresult status = told(host_device());
    depth--;
    if (context)
        *context = stack[depth];
    return status;
}

EXPORT CUresult cuCtxSetCurrent(void *context)
{
    if (depth == 0)
        depth = 1;
    stack[depth - 1] = context;
    return CUDA_SUCCESS;
}

EXPORT CUresult cuCtxGetCurrent(void **context)
{
    *context = depth ? stack[depth - 1] : NULL;
    return CUDA_SUCCESS;
}

EXPORT CUresult cuCtxGetDevice(CUdevice *device)
{
    *device = host_device();
    return *device < 0 ? CUDA_ERROR_INVALID_CONTEXT : CUDA_SUCCESS;
}

/* pycuda, at exit, of a context that was never released: the leak is what is to be told. */
EXPORT CUresult cuCtxDetach(void *context)
{
    (void)context;
    return CUDA_ERROR_INVALID_CONTEXT;
}

EXPORT CUresult cuCtxSynchronize(void)
{
    host_fail("the whole device is waited for, where one stream or event would do");
}

static const struct { CUresult code; const char *name, *text; } errors[] = {
    {CUDA_SUCCESS, "CUDA_SUCCESS", "no error"},
    {CUDA_ERROR_INVALID_VALUE, "CUDA_ERROR_INVALID_VALUE", "invalid argument"},
    {CUDA_ERROR_OUT_OF_MEMORY, "CUDA_ERROR_OUT_OF_MEMORY", "out of memory"},
    {CUDA_ERROR_NOT_INITIALIZED, "CUDA_ERROR_NOT_INITIALIZED", "initialization error"},
    {CUDA_ERROR_NO_DEVICE, "CUDA_ERROR_NO_DEVICE", "no CUDA-capable device is detected"},
    {CUDA_ERROR_INVALID_DEVICE, "CUDA_ERROR_INVALID_DEVICE", "invalid device ordinal"},
    {CUDA_ERROR_INVALID_CONTEXT, "CUDA_ERROR_INVALID_CONTEXT", "invalid device context"},
    {CUDA_ERROR_NOT_FOUND, "CUDA_ERROR_NOT_FOUND", "named symbol not found"},
    {CUDA_ERROR_ILLEGAL_ADDRESS, "CUDA_ERROR_ILLEGAL_ADDRESS",
     "an illegal memory access was encountered"},
    {CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED",
     "operation not permitted when stream is capturing"},
    {CUDA_ERROR_STREAM_CAPTURE_INVALIDATED, "CUDA_ERROR_STREAM_CAPTURE_INVALIDATED",
     "operation failed due to a previous error during capture"},
};

static CUresult describe(CUresult code, const char **text, int name)
{
    *text = NULL;
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++)
        if (errors[i].code == code)
            *text = name ? errors[i].name : errors[i].text;
    return *text ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

EXPORT CUresult cuGetErrorName(CUresult code, const char **text)
{
    return describe(code, text, 1);
}

EXPORT CUresult cuGetErrorString(CUresult code, const char **text)
{
    return describe(code, text, 0);
}

/* A base name stands for the newest of its versions. */
EXPORT CUresult cuGetProcAddress_v2(const char *symbol, void **function, int version,
                                    uint64_t flags, int *status)
{
    static const char *const suffixes[] = {"_v2", ""};
    char name[128];
    (void)version;
    (void)flags;
    *function = NULL;
    for (int i = 0; i < 2 && !*function; i++) {
        snprintf(name, sizeof name, "%s%s", symbol, suffixes[i]);
        Dl_info self;
        dladdr((void *)cuInit, &self);
        void *library = dlopen(self.dli_fname, RTLD_LAZY | RTLD_NOLOAD);
        *function = library ? dlsym(library, name) : NULL;
        if (library)
            dlclose(library);
    }
    if (status)
        *status = *function ? 0 : 1;
    return *function ? CUDA_SUCCESS : CUDA_ERROR_NOT_FOUND;
}

EXPORT CUresult cuGetProcAddress(const char *symbol, void **function, int version, uint64_t flags)
{
    return cuGetProcAddress_v2(symbol, function, version, flags, NULL);
}

/* Everything else that a client library wants to find, and must not call. */
#define UNSUPPORTED(name) \
    EXPORT CUresult name(void) { host_fail(#name " is called, which this driver does not have"); }
#include "unsupported.h"
