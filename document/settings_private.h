/*
 * What document/settings is made of: the table of `registries:`. Private to document/settings.
 */
#ifndef SB_DOCUMENT_SETTINGS_PRIVATE_H
#define SB_DOCUMENT_SETTINGS_PRIVATE_H

#include "document/schema.h"
#include "registry/http.h"

/* Reads and checks a mapping of hosts into the struct sb_registry_hosts at key's offset. */
void sb_registries_read(struct sb_reader *reader, const struct sb_key *key,
                        const struct sb_yaml *node, void *target);
/* Moves the hosts that are not in to yet. */
void sb_registries_add(struct sb_registry_hosts *to, struct sb_registry_hosts *from);
void sb_registries_free(struct sb_registry_hosts *hosts);

/* A path in a settings file is relative to the file. NULL is left alone. */
void sb_settings_resolve(char **path, const char *file);

#endif
