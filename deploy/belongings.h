/*
 * deploy/belongings: what of a host is a service's by its name alone. Units, bundles and nodes
 * agree on it without asking one another, and so do generations that nothing else has in common.
 */
#ifndef SB_DEPLOY_BELONGINGS_H
#define SB_DEPLOY_BELONGINGS_H

#include <stdint.h>

/* ---- directories that it may write to, kept by the host ---- */

enum sb_service_directory {
    SB_DIRECTORY_STATE, /* /var/lib/NAME on the host */
    SB_DIRECTORY_CACHE, /* /var/cache/NAME */
    SB_DIRECTORY_LOGS,  /* /var/log/NAME */
    SB_DIRECTORY_COUNT,
};
/* "/var/lib/NAME", "/var/cache/NAME", "/var/log/NAME"; the caller's. */
char *sb_service_directory_path(const char *service, enum sb_service_directory which);

#define SB_VOLUMES "/var/lib/sbuild-volumes"
/* "/var/lib/sbuild-volumes/NAME/var~lib~data", of what its image wants to write; the caller's. */
char *sb_volume_path(const char *service, const char *path);
char *sb_volume_name(const char *path); /* "var~lib~data" */

/* ---- its first process (init/main.c) ---- */

#define SB_INIT_DIRECTORY ".sbuild" /* in the root, or of SB_ROOT_HOST in /opt/NAME/N */
#define SB_INIT_PATH      SB_INIT_DIRECTORY "/init"

/* ---- its user ---- */

#define SB_IDS_FIRST 1879048192u
#define SB_IDS_LAST  2147352575u
/* The number that it gets on a host where nobody has it. */
uint32_t sb_ids_preferred(const char *service);

#endif
