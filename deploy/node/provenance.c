#include "deploy/node/provenance.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "deploy/node/claim.h"
#include "layers/import.h"
#include "registry/reference.h"

#define BY_HAND "file"

void sb_provenance_free(struct sb_provenance *provenance) {
    free(provenance->now);
    free(provenance->before);
    *provenance = (struct sb_provenance){0};
}

/* ---- names of owners ---- */

/* One registry under several names: Docker's hub, and the port that is meant anyway. */
static char *of_repository(const char *host, const char *repository) {
    static const char port[] = ":443";
    size_t n = strlen(host);
    if (n > strlen(port) && !strcmp(host + n - strlen(port), port))
        n -= strlen(port);
    sb_autofree char *bare = sb_strndup(host, n);
    bool hub = !strcmp(bare, "registry-1.docker.io") || !strcmp(bare, "index.docker.io");
    const char *shown = hub ? "docker.io" : bare;
    bool official = !strcmp(shown, "docker.io") && !strchr(repository, '/');
    return sb_format("%s/%s%s", shown, official ? "library/" : "", repository);
}

static char *by_hand(const struct sb_description *d) {
    return d && d->repository ? sb_format(BY_HAND " %s", d->repository) : sb_strdup(BY_HAND);
}

/* Of a word that an operator wrote, as deploy/node/source.h reads it; NULL when it leads to no
 * registry.
 */
static char *of_reference(const char *text) {
    struct sb_reference reference;
    if (!text || *text == '/' || !strncmp(text, "./", 2) || !strncmp(text, "../", 3) ||
        sb_import_is_source(text) || !sb_reference_has_host(text) ||
        sb_reference_parse(text, &reference, NULL) < 0)
        return NULL;
    char *owner = of_repository(reference.host, reference.repository);
    sb_reference_free(&reference);
    return owner;
}

static bool is_by_hand(const char *owner) {
    return !strcmp(owner, BY_HAND) || !strncmp(owner, BY_HAND " ", strlen(BY_HAND " "));
}

/* What was brought by hand twice is the same, unless both say of themselves that it isn't. */
static bool is_same(const char *a, const char *b) {
    if (!strcmp(a, b))
        return true;
    return is_by_hand(a) && is_by_hand(b) && (!strchr(a, ' ') || !strchr(b, ' '));
}

bool sb_provenance_has(const char *owner, const char *reference) {
    sb_autofree char *theirs = of_reference(reference);
    return theirs && !strcmp(owner, theirs);
}

/* All of them are names that were parsed, or checked, before. */
static char *shown(const char *owner) {
    if (!is_by_hand(owner))
        return sb_strdup(owner);
    const char *space = strchr(owner, ' ');
    return space ? sb_format("a file (of %s)", space + 1) : sb_strdup("a file");
}

/* ---- whose it is ---- */

/* A generation of an sbuild that didn't record it says where it came from. */
static char *of_generation(const struct sb_node_service *service,
                           const struct sb_generation *generation) {
    char *owner = generation->provenance ? sb_strdup(generation->provenance)
                                         : of_reference(generation->reference);
    struct sb_description d;
    if (owner)
        return owner;
    if (sb_generation_description(service, generation->number, &d, NULL) < 0)
        return by_hand(NULL);
    owner = by_hand(&d);
    sb_description_free(&d);
    return owner;
}

/* Of the current generation; NULL without one, and when its record is lost. */
static int find_current(const struct sb_node_service *service, char **out, struct sb_error *err) {
    uint64_t current;
    struct sb_generation generation;
    *out = NULL;
    if (sb_node_current(service, &current, err) < 0)
        return -1;
    if (current == 0 || sb_generation_load(service, current, &generation, NULL) < 0)
        return 0;
    *out = of_generation(service, &generation);
    sb_generation_free(&generation);
    return 0;
}

static int read_noted(const struct sb_node_service *service, char **out, struct sb_error *err) {
    sb_autofree char *path = sb_format(SB_PROVENANCES "/%s", service->name);
    sb_autostrings struct sb_strings lines = {0};
    *out = NULL;
    if (sb_claim_read_lines(path, &lines, err) < 0)
        return -1;
    if (lines.n == 0)
        return 0;
    sb_autofree char *owner =
        is_by_hand(lines.v[0]) ? sb_strdup(lines.v[0]) : of_reference(lines.v[0]);
    if (lines.n > 1 || !owner) {
        sb_fail(err, SB_E_FAILED, "%s does not say whose the name %s is", path, service->name);
        return sb_error_hint(err, "it has one line: HOST/REPOSITORY, or \"file\"");
    }
    *out = sb_steal(owner);
    return 0;
}

/* Without a current one, and without a note: those that failed, of an sbuild that made no notes. */
static int find_owner(const struct sb_node_service *service, char **out, struct sb_error *err) {
    struct sb_generation_list list;
    if (find_current(service, out, err) < 0)
        return -1;
    if (!*out && read_noted(service, out, err) < 0)
        return -1;
    if (*out)
        return 0;
    if (sb_generations(service, &list, err) < 0)
        return -1;
    if (list.n > 0)
        *out = of_generation(service, &list.v[list.n - 1]);
    sb_generation_list_free(&list);
    return 0;
}

/* ---- may it? ---- */

static bool is_here(const struct sb_node_service *service, const struct sb_digest *bundle,
                    const char *owner) {
    struct sb_generation_list list;
    bool here = false;
    if (sb_generations(service, &list, NULL) < 0)
        return false;
    for (size_t i = 0; i < list.n && !here; i++) {
        sb_autofree char *whose = of_generation(service, &list.v[i]);
        here = sb_digest_equal(&list.v[i].bundle, bundle) && !strcmp(whose, owner);
    }
    sb_generation_list_free(&list);
    return here;
}

static int refuse(const struct sb_node_service *service, const char *owner, const char *comes,
                  struct sb_error *err) {
    sb_autofree char *a = shown(owner), *b = shown(comes);
    sb_fail(err, SB_E_FAILED, "the name %s belongs to what came from %s, and this comes from %s",
            service->name, a, b);
    return sb_error_hint(
        err,
        "install under another name with --name; or with --replace, if it is to have "
        "%s's secrets, data and place",
        service->name);
}

int sb_provenance_check(const struct sb_node_service *service,
                        const struct sb_bundle_source *source, const struct sb_description *d,
                        bool replace, bool follow, struct sb_provenance *out,
                        struct sb_error *err) {
    *out = (struct sb_provenance){0};
    sb_autofree char *comes =
        source->host ? of_repository(source->host, source->repository) : by_hand(d);
    sb_autofree char *owner = NULL;
    if (find_owner(service, &owner, err) < 0)
        return -1;
    if (!owner || is_same(owner, comes)) {
        /* A file that says nothing of itself is no way from one that does to a third. */
        out->now =
            owner && is_by_hand(owner) && !strchr(comes, ' ') ? sb_steal(owner) : sb_steal(comes);
        return 0;
    }
    if (!replace && !follow && is_here(service, &source->manifest.digest, owner)) {
        out->now = sb_steal(owner);
        return 0;
    }
    if (!replace)
        return refuse(service, owner, comes, err);
    out->now = sb_steal(comes);
    out->before = sb_steal(owner);
    return 0;
}

/* ---- the note ---- */

int sb_provenance_note(const struct sb_node_service *service, const char *owner,
                       struct sb_error *err) {
    sb_autofree char *path = sb_format(SB_PROVENANCES "/%s", service->name);
    sb_autofree char *text = sb_format("%s\n", owner);
    sb_autobuf struct sb_buf now = {0};
    if (sb_file_read(AT_FDCWD, path, 1u << 16, &now, NULL) == 0 && !strcmp(sb_buf_text(&now), text))
        return 0;
    if (sb_directory_make(AT_FDCWD, SB_PROVENANCES, 0755, err) < 0)
        return -1;
    return sb_file_write(AT_FDCWD, path, text, strlen(text), 0644, err);
}

void sb_provenance_keep(const struct sb_node_service *service) {
    sb_autofree char *owner = NULL;
    if (find_current(service, &owner, NULL) == 0 && owner)
        sb_provenance_note(service, owner, NULL);
}
