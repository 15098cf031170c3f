#include "deploy/node/requirements.h"

#include <fcntl.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "deploy/host/systemd.h"
#include "deploy/node/claim.h"
#include "deploy/units.h"

static bool ends_with(const char *text, const char *end) {
    size_t n = strlen(text), tail = strlen(end);
    return n >= tail && !strcmp(text + n - tail, end);
}

static bool is_one_of(const char *text, const char *const *list) {
    for (; *list; list++)
        if (!strcmp(text, *list))
            return true;
    return false;
}

/* Whether any of the units in these properties is not a bundle's. */
static bool has_other(const struct sb_node_service *service, const struct sb_pairs *properties,
                      const char *const *names) {
    for (; *names; names++) {
        const char *value = sb_pairs_get(properties, *names);
        for (const char *word = value ? value : ""; *word;) {
            size_t n = strcspn(word, " ");
            sb_autofree char *unit = sb_strndup(word, n);
            if (n > 0 && !sb_claim_is_unit_of_sbuild(service->node, unit))
                return true;
            word += n + (word[n] == ' ');
        }
    }
    return false;
}

/* It runs, and would run without the service. */
static bool is_there(const struct sb_node_service *service, const char *unit,
                     const struct sb_pairs *properties) {
    static const char *const running[] = {"active", "reloading", "refreshing", NULL};
    static const char *const by_itself[] = {"enabled", "enabled-runtime", "generated", NULL};
    static const char *const by_others[] = {"static", "indirect", "alias", "", NULL};
    static const char *const wanting[] = {"WantedBy", "RequiredBy",  "RequisiteOf", "BoundBy",
                                          "UpheldBy", "TriggeredBy", NULL};
    const char *active = sb_pairs_get(properties, "ActiveState");
    const char *state = sb_pairs_get(properties, "UnitFileState");
    if (!active || !is_one_of(active, running) || !state)
        return false;
    if (is_one_of(state, by_itself))
        return true;
    if (!*state && (ends_with(unit, ".mount") || ends_with(unit, ".device")))
        return true; /* the kernel's: nothing could be started */
    return is_one_of(state, by_others) && has_other(service, properties, wanting);
}

static int check_unit(const struct sb_node_service *service, const char *unit,
                      struct sb_error *err) {
    struct sb_pairs properties;
    if (sb_systemd_properties(unit,
                              "LoadState,ActiveState,UnitFileState,WantedBy,RequiredBy,RequisiteOf,"
                              "BoundBy,UpheldBy,TriggeredBy",
                              &properties, err) < 0)
        return -1;
    const char *load = sb_pairs_get(&properties, "LoadState");
    const char *active = sb_pairs_get(&properties, "ActiveState");
    const char *state = sb_pairs_get(&properties, "UnitFileState");
    int rc = 0;
    /* What isn't there is told of by who looks whether it is. */
    if ((!load || strcmp(load, "not-found") != 0) && !is_there(service, unit, &properties)) {
        sb_fail(err, SB_E_FAILED,
                "%s requires %s, which would start it: this node does not by itself (it is %s%s%s)",
                service->name, unit, active && *active ? active : "unknown",
                state && *state ? ", " : "", state ? state : "");
        rc = sb_error_hint(
            err,
            "have it started without the service (systemctl enable --now %s), or, if "
            "the service may start it, write the line %s into " SB_REQUIREMENTS_ALLOWED "/%s",
            unit, unit, service->name);
    }
    sb_pairs_free(&properties);
    return rc;
}

/* What the generation that runs requires was allowed already, and must not hinder the next one
 * while it is down. */
static void add_current(const struct sb_node_service *service, struct sb_strings *out) {
    struct sb_description d;
    uint64_t current;
    if (sb_node_current(service, &current, NULL) < 0 || current == 0 ||
        sb_generation_description(service, current, &d, NULL) < 0)
        return;
    sb_strings_copy(out, &d.requires);
    sb_description_free(&d);
}

static int check_required(const struct sb_node_service *service, const struct sb_description *d,
                          struct sb_error *err) {
    sb_autostrings struct sb_strings allowed = {0};
    sb_autofree char *path = sb_format(SB_REQUIREMENTS_ALLOWED "/%s", service->name);
    if (d->requires.n == 0)
        return 0;
    if (sb_claim_read_lines(path, &allowed, err) < 0)
        return -1;
    add_current(service, &allowed);
    for (size_t i = 0; i < d->requires.n; i++) {
        const char *unit = d->requires.v[i];
        if (sb_strings_has(&allowed, unit) || ends_with(unit, ".target") ||
            sb_claim_is_unit_of_sbuild(service->node, unit))
            continue; /* of targets a description has passive ones only */
        if (check_unit(service, unit, err) < 0)
            return -1;
    }
    return 0;
}

/* ---- order ---- */

/* What starts a machine comes before all that this is about. */
static bool is_early(const char *unit) {
    static const char *const early[] = {"sysinit.target", "basic.target",    "local-fs.target",
                                        "sockets.target", "shutdown.target", NULL};
    return is_one_of(unit, early) || ends_with(unit, ".slice") || ends_with(unit, ".device");
}

/* Units that come before the one at `from`, directly: new ones are appended. A target that starts
 * another unit does not come after it where that asks for the reverse: such are kept apart. */
static int add_before(struct sb_strings *units, size_t from, const struct sb_strings *end,
                      const char **out_met, struct sb_error *err) {
    struct sb_pairs properties;
    if (sb_systemd_properties(units->v[from], "After", &properties, err) < 0)
        return -1;
    const char *after = sb_pairs_get(&properties, "After");
    bool is_target = from == 0 && ends_with(units->v[from], ".target");
    for (const char *word = after ? after : ""; *word && !*out_met;) {
        size_t n = strcspn(word, " ");
        sb_autofree char *unit = sb_strndup(word, n);
        word += n + (word[n] == ' ');
        for (size_t i = 0; i < end->n && !(is_target && i == 0); i++)
            if (!strcmp(unit, end->v[i]))
                *out_met = end->v[i];
        if (n > 0 && !is_early(unit) && !sb_strings_has(units, unit))
            sb_strings_add(units, unit);
    }
    sb_pairs_free(&properties);
    return 0;
}

/* Whether the unit comes after any of those at the end, be it by others. */
static int comes_after(const char *unit, const struct sb_strings *end, const char **out_met,
                       struct sb_error *err) {
    enum { MOST = 1000 };
    sb_autostrings struct sb_strings units = {0};
    *out_met = NULL;
    sb_strings_add(&units, unit);
    for (size_t i = 0; i < units.n && i < MOST && !*out_met; i++)
        if (add_before(&units, i, end, out_met, err) < 0)
            return -1;
    return 0;
}

/* A target comes after what it wants, and so does all that comes after the target. */
static int check_order(const struct sb_node_service *service, const struct sb_description *d,
                       struct sb_error *err) {
    static const char wanting[] = "multi-user.target";
    const struct sb_strings *const lists[] = {&d->after, &d->requires};
    sb_autostrings struct sb_strings end = {0};
    sb_strings_add(&end, service->unit);
    if (!d->schedule)
        sb_strings_add(&end, wanting);
    for (size_t i = 0; i < 2; i++)
        for (size_t j = 0; j < lists[i]->n; j++) {
            const char *unit = lists[i]->v[j], *met;
            if (is_early(unit))
                continue;
            if (comes_after(unit, &end, &met, err) < 0)
                return -1;
            if (!met)
                continue;
            sb_fail(err, SB_E_FAILED,
                    "%s is to be started after %s, and that after %s: systemd would leave one of "
                    "them out",
                    service->name, unit, met);
            return strcmp(met, wanting) != 0
                       ? sb_error_hint(err, "install under another name with --name")
                       : sb_error_hint(err,
                                       "services are a part of %s: bundle it without after: "
                                       "%s",
                                       wanting, unit);
        }
    return 0;
}

int sb_requirements_check(const struct sb_node_service *service, const struct sb_description *d,
                          struct sb_error *err) {
    return check_required(service, d, err) < 0 ? -1 : check_order(service, d, err);
}
