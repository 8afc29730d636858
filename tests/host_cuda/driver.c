/* The device, its context, the way symbols are found, and the end. */
#define _GNU_SOURCE
#include "host_cuda.h"

#include <dlfcn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { DEPTH = 32, CONTEXT_HANDLE = 0xC0, FAILED = 86, LEAKED = 87 };
enum { CAPABILITY_MAJOR = 75, CAPABILITY_MINOR = 76 };

pthread_mutex_t host_mutex = PTHREAD_MUTEX_INITIALIZER;
static int initialised, retained;
static __thread int depth;
static __thread void *stack[DEPTH];

void host_lock(void) { pthread_mutex_lock(&host_mutex); }
void host_unlock(void) { pthread_mutex_unlock(&host_mutex); }
int host_initialised(void) { return initialised; }

int host_context_is_current(void) { return depth > 0 && stack[depth - 1] && retained > 0; }

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

static void check_leaks(const char *when)
{
    int leaks = memory_leaks() + streams_leaks() + graphs_leaks();
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
    check_leaks("at exit");
    if (retained) {
        fprintf(stderr, "host_cuda: leak: the context was retained %d times more than released\n",
                retained);
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

EXPORT CUresult cuDeviceGetCount(int *count)
{
    *count = 1;
    return initialised ? CUDA_SUCCESS : CUDA_ERROR_NOT_INITIALIZED;
}

EXPORT CUresult cuDeviceGet(CUdevice *device, int ordinal)
{
    if (!initialised)
        return CUDA_ERROR_NOT_INITIALIZED;
    *device = 0;
    return ordinal == 0 ? CUDA_SUCCESS : CUDA_ERROR_INVALID_DEVICE;
}

EXPORT CUresult cuDeviceGetAttribute(int *value, int attribute, CUdevice device)
{
    const char *capability = getenv("HOST_CUDA_CAPABILITY");
    int major = 8, minor = 6;
    if (capability)
        sscanf(capability, "%d.%d", &major, &minor);
    *value = attribute == CAPABILITY_MAJOR ? major : attribute == CAPABILITY_MINOR ? minor : 0;
    return device == 0 ? CUDA_SUCCESS : CUDA_ERROR_INVALID_DEVICE;
}

EXPORT CUresult cuDeviceComputeCapability(int *major, int *minor, CUdevice device)
{
    cuDeviceGetAttribute(major, CAPABILITY_MAJOR, device);
    return cuDeviceGetAttribute(minor, CAPABILITY_MINOR, device);
}

EXPORT CUresult cuDeviceGetName(char *name, int size, CUdevice device)
{
    snprintf(name, (size_t)size, "host memory");
    return device == 0 ? CUDA_SUCCESS : CUDA_ERROR_INVALID_DEVICE;
}

/* The primary context is the only one: TensorRT uses it, so its caller must. */

EXPORT CUresult cuDevicePrimaryCtxRetain(void **context, CUdevice device)
{
    if (device != 0 || !initialised)
        return CUDA_ERROR_INVALID_DEVICE;
    host_lock();
    retained++;
    host_unlock();
    *context = (void *)(uintptr_t)CONTEXT_HANDLE;
    return CUDA_SUCCESS;
}

EXPORT CUresult cuDevicePrimaryCtxRelease_v2(CUdevice device)
{
    (void)device;
    host_lock();
    if (retained == 0)
        host_fail("the context is released more often than retained");
    if (--retained == 0) {
        if (depth)
            host_fail("the context is released while it is current");
        check_leaks("when the context was released");
    }
    host_unlock();
    return CUDA_SUCCESS;
}

EXPORT CUresult cuCtxPushCurrent_v2(void *context)
{
    if (depth == DEPTH)
        host_fail("contexts are pushed and never popped");
    stack[depth++] = context;
    return CUDA_SUCCESS;
}

EXPORT CUresult cuCtxPopCurrent_v2(void **context)
{
    if (depth == 0)
        return CUDA_ERROR_INVALID_CONTEXT;
    depth--;
    if (context)
        *context = stack[depth];
    return CUDA_SUCCESS;
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
    *device = 0;
    return host_context_is_current() ? CUDA_SUCCESS : CUDA_ERROR_INVALID_CONTEXT;
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
