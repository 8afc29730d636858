/* The devices that there are, and those that this process sees.
 *
 * HOST_CUDA_CAPABILITY: a device for each, like "7.2,8.6"; CUDA_VISIBLE_DEVICES is obeyed.
 */
#define _GNU_SOURCE
#include "host_cuda.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CAPABILITY_MAJOR = 75, CAPABILITY_MINOR = 76 };

/* Capabilities of the devices that this process sees; how many they are. */
static int visible(char found[DEVICES][8])
{
    const char *all = getenv("HOST_CUDA_CAPABILITY"), *chosen = getenv("CUDA_VISIBLE_DEVICES");
    char there[DEVICES][8], text[256];
    int count = 0, seen = 0;
    snprintf(text, sizeof text, "%s", all ? all : "8.6");
    for (char *rest, *each = strtok_r(text, ",", &rest); each && count < DEVICES;
         each = strtok_r(NULL, ",", &rest))
        snprintf(there[count++], sizeof *there, "%s", each);
    if (!chosen) {
        memcpy(found, there, sizeof there);
        return count;
    }
    snprintf(text, sizeof text, "%s", chosen);
    for (char *rest, *each = strtok_r(text, ",", &rest); each; each = strtok_r(NULL, ",", &rest)) {
        if (atoi(each) < 0 || atoi(each) >= count)
            break;
        memcpy(found[seen++], there[atoi(each)], sizeof *there);
    }
    return seen;
}

int device_exists(CUdevice device)
{
    char capabilities[DEVICES][8];
    return device >= 0 && device < visible(capabilities);
}

EXPORT CUresult cuDeviceGetCount(int *count)
{
    char capabilities[DEVICES][8];
    *count = visible(capabilities);
    return host_initialised() ? CUDA_SUCCESS : CUDA_ERROR_NOT_INITIALIZED;
}

EXPORT CUresult cuDeviceGet(CUdevice *device, int ordinal)
{
    if (!host_initialised())
        return CUDA_ERROR_NOT_INITIALIZED;
    *device = ordinal;
    return device_exists(ordinal) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_DEVICE;
}

EXPORT CUresult cuDeviceGetAttribute(int *value, int attribute, CUdevice device)
{
    char capabilities[DEVICES][8];
    int major, minor;
    if (device < 0 || device >= visible(capabilities))
        return CUDA_ERROR_INVALID_DEVICE;
    sscanf(capabilities[device], "%d.%d", &major, &minor);
    *value = attribute == CAPABILITY_MAJOR ? major : attribute == CAPABILITY_MINOR ? minor : 0;
    return CUDA_SUCCESS;
}

EXPORT CUresult cuDeviceComputeCapability(int *major, int *minor, CUdevice device)
{
    cuDeviceGetAttribute(major, CAPABILITY_MAJOR, device);
    return cuDeviceGetAttribute(minor, CAPABILITY_MINOR, device);
}

EXPORT CUresult cuDeviceGetName(char *name, int size, CUdevice device)
{
    snprintf(name, (size_t)size, "host memory");
    return device_exists(device) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_DEVICE;
}
