/*
 * cli/login: what login and logout share. The work is done by sbuild-http, so that no password is
 * ever in this program.
 */
#ifndef SB_CLI_LOGIN_H
#define SB_CLI_LOGIN_H

#include "base/buffer.h"
#include "base/error.h"
#include "cli/registry.h"

/* Becomes `sbuild-http MODE HOST …`; returns only when that fails, -1. */
int sb_cli_exec_http(const char *mode, const char *host, const struct sb_cli_registry *registry,
                     const struct sb_strings *more, struct sb_error *err);

#endif
