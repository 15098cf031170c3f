/*
 * deploy/units: systemd units made from a description, for one place on one node.
 *
 * A pure function: description and placement decide every byte. The texts in a bundle are made with
 * the placement {0} and are there to be read; a node makes its own from the description that it has
 * checked, and never uses texts that came from elsewhere.
 *
 *     NAME.service                  the service itself; with a colour, NAME-COLOUR.service
 *     NAME.timer                    of a job with a schedule
 *     run-sbuild-NAME-N.mount       its root: an overlay of unpacked layers, read-only
 *     sbuild-driver@ROOT.service    is started before one that has GPUs: it brings the driver that
 *                                   the host has then (deploy/node/hostlayer.h; written by
 * deploy/node/watch.h) sbuild-UID-GID.conf           for sysusers.d, where the host may not know
 * the user
 *
 * Written for systemd 247 to 257: what a version does not know it only warns about, and what is
 * newer is left out when the placement names an older one.
 *
 * What the host has to bring, and no bundle does:
 *     /etc/sbuild/secrets/NAME/SECRET     each secret (LoadCredential=)
 *     /etc/sbuild/environment/NAME.env    variables of this host; may be missing
 */
#ifndef SB_DEPLOY_UNITS_H
#define SB_DEPLOY_UNITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/error.h"
#include "deploy/description.h"

#define SB_UNIT_SECTION   "[X-Sbuild]" /* systemd passes over it; who has none is not ours */
#define SB_UNIT_SECRETS   "/etc/sbuild/secrets"
#define SB_UNIT_ENV_FILES "/etc/sbuild/environment"
#define SB_UNIT_UPSTREAMS "/etc/sbuild/upstreams"
#define SB_UNIT_ROOTS     "/run/sbuild" /* mount points: /run/sbuild/NAME/N */
#define SB_UNIT_HOST_ROOT "/opt"        /* SB_ROOT_HOST: /opt/NAME/N */

/* More bytes than any unit file of a description has: its words and values, each byte quoted. */
#define SB_UNIT_TEXT_LIMIT (4u << 20)

/* Bytes that the names of an overlay's lower directories may take: mount(2) takes a page for all
 * options, the NUL at their end and an SELinux context included. */
#define SB_UNIT_LOWER_LIMIT (4096 - 64 - (int)sizeof "lowerdir=")

/* Where and when; zero values are what a bundle for review gets. Everything is borrowed. */
struct sb_placement {
    uint64_t generation; /* from 1; 0: none yet */
    const char
        *colour;   /* "blue", "green": of the unit that it runs in (deploy/node/green.h); or NULL */
    uint16_t port; /* instead of the description's port, if not 0: the spare one */
    const char *root; /* NULL: /run/sbuild/NAME/N, or /opt/NAME/N for SB_ROOT_HOST */
    /* Directories of the overlay, topmost first, absolute, without any of : , \ " ' % and blanks;
     * at least two (sb_units_mount_points makes the lowest). None: a placeholder for review. */
    const char *const *lower;
    size_t lower_count;
    const char
        *label; /* SELinux context that all files of the root get; NULL: where there is none */
    const char *requires_path; /* what must be mounted before the root is: the store; may be NULL */
    int systemd_version;       /* 247 …; 0: the newest that is known */
    const char *program;       /* argv[0] found in the root, absolute; NULL: as described */
    bool has_ids; /* user and group of this host (deploy/host/ids.h); else as described,
                     or what a service of that name is likely to get */
    uint32_t uid, gid;
    bool renumbered;         /* the topmost directory has files without contents: metacopy */
    bool no_user_namespaces; /* this host has none */
    const struct sb_strings *devices; /* device nodes for the GPUs, as this node has them;
                                         NULL: for review. Only with gpu, as the next */
    uint64_t gpus;                    /* bit N: /dev/nvidiaN is for it */
    const struct sb_pairs *env;       /* variables of this node, which win; may be NULL */
    const struct sb_digest *bundle;   /* the bundle's manifest, for [X-Sbuild]; may be NULL */
};

enum sb_unit_kind {
    SB_UNIT_SERVICE,
    SB_UNIT_TIMER,
    SB_UNIT_MOUNT,
    SB_UNIT_SYSUSERS, /* for /etc/sysusers.d; needed only where the host doesn't know the ids:
                         systemd refuses a User= that no database of the host has */
};
struct sb_unit {
    enum sb_unit_kind kind;
    char *name; /* of the file */
    char *text;
};
struct sb_units { /* the service first */
    struct sb_unit *v;
    size_t n, cap;
};

/* Whether all of a placement can be written in a unit file (units_check.c). */
int sb_units_check(const struct sb_placement *placement, struct sb_error *err);
/* The description must have been checked (parsed, or made here). A placement with characters that
 * can't be written, a program that isn't absolute, or too many lower directories are SB_E_FAILED.
 * On failure out is empty. Free with sb_units_free. */
int sb_units_generate(const struct sb_description *description,
                      const struct sb_placement *placement, struct sb_units *out,
                      struct sb_error *err);
void sb_units_free(struct sb_units *units);
/* The text of a kind; NULL when there is none. */
const struct sb_unit *sb_units_find(const struct sb_units *units, enum sb_unit_kind kind);

/* The root file system is read-only, and mount points must be there: appends the directories
 * ("var/lib/backend/", with a slash at the end) and empty files ("etc/resolv.conf") that must exist
 * in it, relative to the root, parents first. A node makes them as a tree of its own, and gives it
 * as the lowest directory of the overlay. Those of the node's directories are in the uppermost
 * (deploy/node/hostlayer.h). */
void sb_units_mount_points(const struct sb_description *description, struct sb_strings *out);

/* ---- names and words ---- */

/* As systemd-escape --path does: "/run/sbuild/a-b/1" gives "run-sbuild-a\x2db-1". The caller's. */
char *sb_unit_escape_path(const char *path);
/* Appends a word as it stands in Environment=, and, with exec, in ExecStart=: in quotes, with all
 * that systemd would replace or take apart escaped. The word is UTF-8 and has no control characters
 * but tab and newline. */
void sb_unit_quote(const char *word, bool exec, struct sb_buf *out);
/* "NAME.service", "NAME-COLOUR.service"; "run-sbuild-NAME-N.mount"; "/run/sbuild/NAME/N": the
 * caller's. */
char *sb_unit_service_name(const char *service, const char *colour);
char *sb_unit_mount_name(const char *service, uint64_t generation);
char *sb_unit_root_path(const char *service, uint64_t generation);
/* "sbuild-driver@run-sbuild-NAME-N.service" for a root; the caller's. */
char *sb_unit_driver_name(const char *root);

/* ---- reading them back ---- */

/* What [X-Sbuild] of a unit file says. */
struct sb_unit_mark {
    char name[SB_SERVICE_NAME_LIMIT + 1];
    uint64_t generation;
    uint16_t port;                  /* that it listens on; 0 when not given */
    struct sb_digest image, bundle; /* all zero when not given */
};
/* True when the text has the section, whole and well-formed: the unit is sbuild's. */
bool sb_unit_mark_parse(const char *text, struct sb_unit_mark *out);
/* The numbers that a service runs with by its text; 0: root, or a name. */
void sb_unit_ids_parse(const char *text, uint32_t *out_uid, uint32_t *out_gid);

#endif
