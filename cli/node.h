/*
 * cli/node: what the commands of a node share.
 */
#ifndef SB_CLI_NODE_H
#define SB_CLI_NODE_H

#include "cli/command.h"
#include "deploy/node/install.h"
#include "deploy/node/node.h"

/* A node on that store, which says what goes on on stderr. */
struct sb_node sb_cli_node(struct sb_store *store);

/* "" (the bundle's own time), or as in 90s, 10m. */
int sb_cli_wait(const char *command, const char *text, uint32_t *out, struct sb_error *err);

/* `--wait` alone is `--wait=`: its value may be left out. Changes argv. */
void sb_cli_wait_alone(int argc, char **argv);

#define SB_CLI_WAIT_HELP                                                                           \
    "  --wait[=TIME]        how long it may take to become healthy (default: what the\n"           \
    "                       bundle says): 90s, 10m\n"

/* "backend: generation 4 runs (sha256:…)", or JSON. */
int sb_cli_print_installed(const struct sb_installed *installed, bool json, struct sb_error *err);

#endif
