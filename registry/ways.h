/*
 * registry/ways: where a registry departs from the distribution specification, or limits what it
 * takes; told by the host's name.
 *
 * Most registries have no ways: all is zero. ECR (https://docs.aws.amazon.com/AmazonECR/latest/
 * userguide/service-quotas.html; aws/containers-roadmap issue 2831): chunks of 5 MiB at least;
 * 201 instead of 202 for a chunk; a Range that stays at the first chunk, so that nobody can tell
 * from it where an upload stands; one upload by PUT or PATCH of any size is fine.
 */
#ifndef SB_REGISTRY_WAYS_H
#define SB_REGISTRY_WAYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct sb_registry_ways {
    bool ecr;
    uint64_t min_chunk; /* bytes of each chunk of an upload but the last; 0: what the server says */
    bool patch_created; /* 201 is a chunk accepted */
    bool range_stale;   /* Range of an upload tells nothing: after a failure, upload anew */
    uint64_t max_blob;  /* bytes of one blob; 0: not known */
    size_t max_tags;    /* of one image; 0: not known */
};

/* By value. host as in references. */
struct sb_registry_ways sb_registry_ways(const char *host);

/* True when an answer to the PUT of a manifest (status and body) says that the tag exists and may
 * not be moved: the repository's tags are immutable. */
bool sb_registry_tag_immutable(int status, const char *body, size_t len);

/* The registry said that there is no such repository (NAME_UNKNOWN): for ECR an error that says
 * where, and a hint; *done is true then. Otherwise err is left alone. Returns -1. */
int sb_registry_missing(const char *host, const char *repository, bool *done, struct sb_error *err);

#endif
