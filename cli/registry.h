/*
 * cli/registry: what commands that ask registries share: options, and how names are read.
 */
#ifndef SB_CLI_REGISTRY_H
#define SB_CLI_REGISTRY_H

#include <stdbool.h>

#include "cli/command.h"
#include "document/settings.h"
#include "registry/reference.h"
#include "registry/remote.h"

struct sb_cli_registry {
    const char *ca;  /* --ca FILE */
    bool plain_http; /* --plain-http */
};
#define SB_CLI_REGISTRY_OPTIONS(r)                                                                 \
    {.name = "ca", .text = &(r).ca}, {                                                             \
        .name = "plain-http", .flag = &(r).plain_http                                              \
    }

#define SB_CLI_REGISTRY_HELP                                                                       \
    "  --ca FILE            trust the authorities in this PEM file as well\n"                      \
    "  --plain-http         speak HTTP without TLS\n"

/* The options win over the settings, for all hosts. */
int sb_cli_registry_apply(const struct sb_cli_registry *options, struct sb_settings *settings,
                          struct sb_error *err);

/* The same, and what asks registries; nobody is asked yet. settings must outlive it. */
int sb_cli_registry_open(const struct sb_cli_registry *options, struct sb_settings *settings,
                         struct sb_registry **out, struct sb_error *err);

/* Says on stderr what a registry is waited for; for sb_registry_tell, where nothing is drawn. */
void sb_cli_registry_say(void *data, const char *text);

/* A reference that begins with a host: what is pushed goes nowhere by a slip of the pen. without a
 * digest. option is named in messages ("push"). */
int sb_cli_registry_target(const char *text, const char *option, struct sb_reference *out,
                           struct sb_error *err);

#endif
