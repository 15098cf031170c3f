/*
 * base/initbytes: the first process of containers and of services (init/main.c), which this program
 * carries along.
 */
#ifndef SB_BASE_INITBYTES_H
#define SB_BASE_INITBYTES_H

#include <stddef.h>

/* The program, linked statically. */
const void *sb_init_bytes(size_t *out_len);

#endif
