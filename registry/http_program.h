/*
 * registry/http_program: the running `sbuild-http`, and the channels to its threads.
 */
#ifndef SB_REGISTRY_HTTP_PROGRAM_H
#define SB_REGISTRY_HTTP_PROGRAM_H

#include <stdbool.h>

#include "base/buffer.h"
#include "base/error.h"
#include "registry/http_options.h"

/* The command line of a mode of the program that is run by itself ("login"), up to the host and
 * what is set for it; for execv. */
void sb_http_program_command(const struct sb_http_options *options, const char *mode,
                             const char *host, struct sb_strings *out_argv);

/* Counted: the last one to drop it ends the program. */
struct sb_http_program;
struct sb_http_program *sb_http_program_start(const struct sb_http_options *options,
                                              struct sb_error *err);
void sb_http_program_hold(struct sb_http_program *program);
void sb_http_program_drop(struct sb_http_program *program); /* NULL is allowed */
/* True once it ended by itself, which it never should. */
bool sb_http_program_is_lost(struct sb_http_program *program);
/* One of its channels was closed. Sets the error for that: as of a broken connection, for the next
 * request starts another program. */
int sb_http_program_lost(struct sb_http_program *program, struct sb_error *err);

struct sb_http_channel {
    int fd;
    struct sb_buf message; /* received last */
    struct sb_http_channel *next;
};
/* A free channel, or a new one. */
struct sb_http_channel *sb_http_channel_take(struct sb_http_program *program, struct sb_error *err);
/* kept: the channel is between requests; otherwise it is closed, which ends what its thread does.
 */
void sb_http_channel_give_back(struct sb_http_program *program, struct sb_http_channel *channel,
                               bool kept);

#endif
