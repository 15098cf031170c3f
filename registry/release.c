#include "registry/release.h"

#include <stdio.h>
#include <string.h>

#include "base/memory.h"

static const enum sb_float kinds[] = {SB_FLOAT_MINOR, SB_FLOAT_MAJOR, SB_FLOAT_LATEST};
enum { KINDS = sizeof kinds / sizeof *kinds };

bool sb_release_has_tags(const struct sb_release *release) {
    return release->standing == SB_STANDING_GIVEN || release->standing == SB_STANDING_TAGGED;
}

/* ---- versions of git ---- */

/* Higher than the tag's, and lower than the next that there can be. */
static void set_development(struct sb_semver *v, unsigned distance) {
    char text[sizeof v->prerelease];
    int n = *v->prerelease ? snprintf(text, sizeof text, "%s.dev.%u", v->prerelease, distance) : -1;
    if (n < 0 || (size_t)n >= sizeof text) {
        v->patch++;
        snprintf(text, sizeof text, "dev.%u", distance);
    }
    memcpy(v->prerelease, text, sizeof text);
}

struct sb_release sb_release_of_git(const struct sb_semver *tagged, unsigned distance, bool dirty,
                                    const char *abbreviated) {
    struct sb_release r = {.version = *tagged, .floats = SB_FLOATS};
    r.standing = distance > 0 ? SB_STANDING_AFTER
                 : dirty      ? SB_STANDING_CHANGED
                              : SB_STANDING_TAGGED;
    if (r.standing == SB_STANDING_TAGGED)
        return r;
    set_development(&r.version, distance);
    snprintf(r.version.build, sizeof r.version.build, "g%.64s%s", abbreviated,
             dirty ? ".dirty" : "");
    return r;
}

/* ---- names ---- */

static const char *prefix_of(const struct sb_release *r) {
    return r->prefix ? r->prefix : "";
}

char *sb_release_tag(const struct sb_release *r) {
    sb_autofree char *version = sb_semver_text(&r->version);
    char *plus = strchr(version, '+');
    if (plus)
        *plus = '_';
    char *tag = sb_format("%sv%s", prefix_of(r), version);
    if (strlen(tag) > SB_SEMVER_LIMIT)
        tag[SB_SEMVER_LIMIT] = '\0';
    return tag;
}

static char *float_tag(const struct sb_release *r, enum sb_float kind) {
    unsigned long long major = r->version.major, minor = r->version.minor;
    if (kind == SB_FLOAT_MINOR)
        return sb_format("%sv%llu.%llu", prefix_of(r), major, minor);
    if (kind == SB_FLOAT_MAJOR)
        return sb_format("%sv%llu", prefix_of(r), major);
    return sb_format("%slatest", prefix_of(r));
}

/* A version as its tag is written: with "v", and "_" where the version has "+". */
static bool parse_tag(const char *tag, struct sb_semver *out) {
    char text[SB_SEMVER_LIMIT + 1];
    size_t n = strlen(tag);
    if (tag[0] != 'v' || n > SB_SEMVER_LIMIT)
        return false;
    memcpy(text, tag, n + 1);
    char *build = strchr(text, '_');
    if (build)
        *build = '+';
    return sb_semver_parse(text, out);
}

/* The release that a tag names, with the prefix or, unless that is asked for, without. */
static bool parse_release(const struct sb_release *r, const char *tag, bool prefixed,
                          struct sb_semver *out) {
    const char *prefix = prefix_of(r);
    size_t n = strlen(prefix);
    if (!strncmp(tag, prefix, n))
        tag += n;
    else if (prefixed)
        return false;
    return parse_tag(tag, out) && !*out->prerelease;
}

/* ---- what may move ---- */

static bool in_range(const struct sb_release *r, enum sb_float kind, const struct sb_semver *v) {
    return kind == SB_FLOAT_LATEST || (v->major == r->version.major &&
                                       (kind == SB_FLOAT_MAJOR || v->minor == r->version.minor));
}

/* The tag of the highest release in the range that is higher than least, which may be NULL. */
static const char *find_highest(const struct sb_release *r, enum sb_float kind,
                                const struct sb_strings *there, bool prefixed,
                                const struct sb_semver *least) {
    const char *found = NULL;
    struct sb_semver highest, other;
    for (size_t i = 0; i < there->n; i++) {
        if (!parse_release(r, there->v[i], prefixed, &other) || !in_range(r, kind, &other) ||
            (least && sb_semver_compare(&other, least) <= 0) ||
            (found && sb_semver_order(&other, &highest) <= 0))
            continue;
        found = there->v[i];
        highest = other;
    }
    return found;
}

void sb_release_decide(const struct sb_release *r, const struct sb_strings *there,
                       struct sb_release_tags *out) {
    *out = (struct sb_release_tags){0};
    if (!sb_release_has_tags(r))
        return;
    sb_strings_take(&out->set, sb_release_tag(r));
    for (size_t i = 0; i < KINDS && !*r->version.prerelease; i++) {
        if (!(r->floats & kinds[i]))
            continue;
        const char *by = there ? find_highest(r, kinds[i], there, false, &r->version) : "";
        sb_strings_take(by ? &out->kept : &out->set, float_tag(r, kinds[i]));
        if (by)
            sb_strings_add(&out->kept_by, by);
    }
}

void sb_release_tags_free(struct sb_release_tags *tags) {
    sb_strings_free(&tags->set);
    sb_strings_free(&tags->kept);
    sb_strings_free(&tags->kept_by);
}

const char *sb_release_holder(const struct sb_release *r, const char *floating,
                              const struct sb_strings *there) {
    for (size_t i = 0; i < KINDS; i++) {
        sb_autofree char *tag = float_tag(r, kinds[i]);
        if (!strcmp(tag, floating))
            return find_highest(r, kinds[i], there, true, NULL);
    }
    return NULL;
}

void sb_release_split(const struct sb_strings *tags, struct sb_release *out,
                      struct sb_strings *out_rest) {
    struct sb_semver version;
    *out = (struct sb_release){0};
    for (size_t i = 0; i < tags->n; i++) {
        if (!parse_tag(tags->v[i], &version) ||
            (out->standing && sb_semver_order(&version, &out->version) <= 0))
            continue;
        out->standing = SB_STANDING_GIVEN;
        out->version = version;
    }
    sb_autofree char *own = out->standing ? sb_release_tag(out) : NULL;
    for (size_t i = 0; i < tags->n; i++) {
        bool taken = own && !strcmp(tags->v[i], own);
        for (size_t k = 0; k < KINDS && own && !*out->version.prerelease; k++) {
            sb_autofree char *floating = float_tag(out, kinds[k]);
            if (strcmp(tags->v[i], floating) != 0)
                continue;
            out->floats |= kinds[k];
            taken = true;
        }
        if (!taken)
            sb_strings_add(out_rest, tags->v[i]);
    }
}
