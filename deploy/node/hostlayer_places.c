/* Where a service's mounts lie to one another, where there are directories of the host among them.
 *
 * systemd makes the place for a mount that has none, follows links on the way, and does so beneath
 * what is mounted already: in a directory of the host it would make things of root's, as the image
 * (by its links) or the service (by links in its own data) wants. */
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "deploy/description.h"
#include "deploy/node/hostlayer_private.h"
#include "document/rules.h"
#include "sandbox/inroot.h"

struct place {
    char *path, *real; /* as a unit names it, and without the image's links */
    bool kept;         /* the service may write there, and finds it again */
};

struct places {
    struct place *v;
    size_t n, cap;
};

static void free_places(struct places *places) {
    for (size_t i = 0; i < places->n; i++) {
        free(places->v[i].path);
        free(places->v[i].real);
    }
    free(places->v);
}

/* One that can't be resolved is told of by who mounts there. */
static void add(const struct sb_hostlayer_work *w, const char *path, bool kept,
                struct places *out) {
    bool there;
    struct sb_error ignored = {0};
    char *real = sb_inroot_resolve(w->view, path, &there, &ignored);
    if (!real)
        return;
    SB_GROW(out->v, out->n, out->cap);
    out->v[out->n++] = (struct place){sb_strdup(path), real, kept};
}

static void add_all(const struct sb_hostlayer_work *w, struct places *out) {
    static const char *const always[] = {
        "/dev", "/dev/shm",   "/proc",    "/sys", "/run", "/run/systemd", "/etc/resolv.conf",
        "/tmp", "/etc/hosts", "/var/tmp", NULL};
    const struct sb_description *d = w->layer->description;
    bool shared_tmp = d->harden_off >> SB_HARDEN_PRIVATE_TMP & 1;
    for (size_t i = 0; always[i]; i++)
        add(w, always[i], shared_tmp && strstr(always[i], "/tmp"), out);
    for (size_t i = 0; i < SB_DIRECTORY_COUNT; i++) {
        sb_autofree char *own = sb_service_directory_path(d->name, (enum sb_service_directory)i);
        if (!d->directories[i])
            continue;
        add(w, own, true, out);
        if (strcmp(own, d->directories[i]) != 0)
            add(w, d->directories[i], true, out);
    }
    for (size_t i = 0; i < d->volumes.n; i++)
        add(w, d->volumes.v[i], true, out);
}

static int refuse(const struct sb_hostlayer_work *w, const struct place *place, const char *other,
                  struct sb_error *err) {
    bool leads = strcmp(place->path, place->real) != 0;
    sb_fail(
        err, SB_E_FAILED,
        "%s of %s%s%s%s lies in %s: beside directories of this host no place may lie in another",
        place->path, w->layer->service->name, leads ? " leads to " : "", leads ? place->real : "",
        leads ? " and" : "", other);
    return sb_error_hint(err, "bundle it with other places, that no link of its image leads to");
}

static bool is_in(const char *path, const char *directory) {
    return strcmp(path, directory) != 0 && sb_path_is_below(path, directory);
}

/* In what a bundle shows of the host; in what the service can change. */
static int check(const struct sb_hostlayer_work *w, const struct places *places,
                 const struct place *place, struct sb_error *err) {
    const struct sb_pairs *host = &w->layer->description->host;
    for (size_t i = 0; i < host->n; i++)
        if (sb_mounts_meet(place->real, host->v[i].value))
            return refuse(w, place, host->v[i].value, err);
    for (size_t i = 0; i < places->n; i++)
        if (places->v[i].kept && is_in(place->real, places->v[i].real))
            return refuse(w, place, places->v[i].path, err);
    return 0;
}

/* An operator's mounts may lie where they like; but no link of the image leads there. */
static int check_links(const struct sb_hostlayer_work *w, const struct place *place,
                       struct sb_error *err) {
    for (size_t i = 0; i < w->points.n; i++) {
        const char *point = w->points.v[i];
        size_t n = strlen(point);
        bool there;
        struct sb_error ignored = {0};
        sb_autofree char *path = sb_strndup(point, n - 1);
        sb_autofree char *real =
            point[n - 1] == '/' ? sb_inroot_resolve(w->view, path, &there, &ignored) : NULL;
        if (real && strcmp(place->path, place->real) != 0 && is_in(place->real, real))
            return refuse(w, place, path, err);
    }
    return 0;
}

int sb_hostlayer_check_places(const struct sb_hostlayer_work *w, struct sb_error *err) {
    struct places places = {0};
    int rc = 0;
    add_all(w, &places);
    for (size_t i = 0; i < places.n && rc == 0; i++) {
        if (w->layer->description->host.n)
            rc = check(w, &places, &places.v[i], err);
        if (rc == 0)
            rc = check_links(w, &places.v[i], err);
    }
    free_places(&places);
    return rc;
}
