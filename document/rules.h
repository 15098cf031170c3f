/*
 * document/rules: what strings in recipes and settings may look like.
 */
#ifndef SB_DOCUMENT_RULES_H
#define SB_DOCUMENT_RULES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"

struct sb_rule {
    const char *expected; /* "an absolute path such as /app" */
    const char *pattern;  /* the same for JSON Schema, or NULL; also a POSIX extended expression */
    bool (*check)(const char *text);
    /* Appends a guess at what was meant; it is shown only when it passes check. May be NULL. */
    void (*suggest)(const char *text, struct sb_buf *out);
    const char *const *nearest; /* or: what it might be a misspelling of; ends in NULL */
    bool number;                /* an unquoted number may be right too */
    int64_t most;               /* … from 1 to this one; 0: any */
    int longest;                /* bytes; 0: any */
};

extern const struct sb_rule sb_rule_name;       /* of a recipe or layer */
extern const struct sb_rule sb_rule_version;    /* semver 2.0.0 */
extern const struct sb_rule sb_rule_repository; /* of an image, without tag */
extern const struct sb_rule sb_rule_absolute;   /* an absolute path without .. */
extern const struct sb_rule sb_rule_search;     /* an absolute path that PATH can hold */
extern const struct sb_rule sb_rule_inside;     /* a path below the context, or a pattern */
extern const struct sb_rule sb_rule_in_image;   /* a path or a pattern in an image */
/* One of the two: whoever knows which it is looks at it again. */
extern const struct sb_rule sb_rule_source;
extern const struct sb_rule sb_rule_either;  /* a path below the context, or an absolute one */
extern const struct sb_rule sb_rule_pattern; /* of .dockerignore */
extern const struct sb_rule sb_rule_user;    /* of the image: name or uid[:gid] */
extern const struct sb_rule sb_rule_env;     /* a name of an environment variable */
extern const struct sb_rule sb_rule_label;
extern const struct sb_rule sb_rule_secret;
extern const struct sb_rule sb_rule_port; /* 8003, 8003/udp */
extern const struct sb_rule sb_rule_signal;
extern const struct sb_rule sb_rule_package; /* of Debian: python3, python3=3.11-1, libc6:i386 */
extern const struct sb_rule sb_rule_requirement; /* of pip */
extern const struct sb_rule sb_rule_component;   /* of an archive: non-free */
extern const struct sb_rule sb_rule_suite;
extern const struct sb_rule sb_rule_platform;       /* linux/arm64 */
extern const struct sb_rule sb_rule_stage_platform; /* that, or build */
extern const struct sb_rule sb_rule_suite_path; /* of a further archive: stable, or a path: ./ */
extern const struct sb_rule sb_rule_url;        /* http or https */
extern const struct sb_rule sb_rule_git_url;    /* http, https or git */
extern const struct sb_rule sb_rule_git_ref;    /* a name of a tag or a branch */
extern const struct sb_rule sb_rule_commit;     /* of git, whole */
extern const struct sb_rule sb_rule_sha256;
extern const struct sb_rule sb_rule_prune; /* a category of prune, or a pattern */
extern const struct sb_rule sb_rule_cpu;   /* 2, 1.5 */
extern const struct sb_rule sb_rule_limit; /* unlimited, or a size: 64Mi */
extern const struct sb_rule
    sb_rule_http_host; /* of HTTP: a name or an address, with a port or not */
extern const struct sb_rule sb_rule_http_path;
extern const struct sb_rule sb_rule_schedule; /* systemd.time(7), "OnCalendar" */
extern const struct sb_rule sb_rule_unit;     /* a service, or another unit of systemd */
extern const struct sb_rule sb_rule_mount;    /* an absolute path that a unit file can hold */
extern const struct sb_rule sb_rule_host;     /* a directory of a node that a service may see */
extern const struct sb_rule sb_rule_device;   /* a kind of devices beside GPUs */
extern const struct sb_rule sb_rule_file;     /* a plain name of a file */

/* What prune knows by name; ends in NULL. */
extern const char *const sb_prune_categories[];

/* Of what passes sb_rule_unit: a kind of unit that a service may name in requires:, where to
 * require is to start. Whether this very unit may be is for the node to say
 * (deploy/node/requirements.h). */
bool sb_unit_is_requirable(const char *unit);

/* Whether a directory of the node may be shown to a service at a path that passes sb_rule_mount:
 * where nothing else is mounted, above it or below it. */
bool sb_mount_is_for_host(const char *inside);
/* One of two paths that pass sb_rule_mount is, or is below, the other. */
bool sb_mounts_meet(const char *a, const char *b);

#endif
