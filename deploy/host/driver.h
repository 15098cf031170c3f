/*
 * deploy/host/driver: what the driver of this host's GPUs brings to programs.
 *
 * The driver's libraries belong to the kernel's module: no image can bring them. Their list is what
 * the driver installed, found as NVIDIA's own container toolkit finds it: every library whose name
 * ends in the driver's version ("libcuda.so.550.54.15"), in whichever directories of the host there
 * are some; with the names that programs load them by; its programs, firmware, and the files that
 * tell Vulkan, OpenCL and EGL of it.
 *
 * The version is the kernel module's, as far as libraries of it are here; else the one that
 * libcuda.so.1 leads to, else the newest. While a driver is replaced there may be two.
 */
#ifndef SB_DEPLOY_HOST_DRIVER_H
#define SB_DEPLOY_HOST_DRIVER_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buffer.h"

struct sb_driver_item {
    char *inside; /* an absolute path, or for libraries one below the image's directory of these */
    char *host;   /* absolute: the file itself, no link; NULL for a link, then */
    char *target; /* what that says */
};
struct sb_driver {
    char *version; /* "550.54.15"; NULL: there is no driver */
    char *module;  /* the kernel module's; NULL: none is loaded, or it doesn't say */
    struct sb_driver_item *v;
    size_t n, cap;
};

/* host is the root directory of this host: "" (or another one, for tests). Finding nothing is no
 * error. Free with sb_driver_free. */
void sb_driver_find(const char *host, struct sb_driver *out);
void sb_driver_free(struct sb_driver *driver);

/* Appends a text that is another when any of its files is. */
void sb_driver_identify(const struct sb_driver *driver, struct sb_buf *out);

/* "x86_64-linux-gnu": in Debian's names of directories. */
extern const char sb_driver_multiarch[];

#endif
