/* What a description may hold: the rules of recipes, and none that a unit file could be broken by.
 */
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/text.h"
#include "base/visible.h"
#include "deploy/description_private.h"

#define TEXT_LIMIT (128u << 10) /* bytes of one word or value; Linux' own limit */
#define ALL_LIMIT                                                                                  \
    (512u << 10) /* bytes of all words, and of all values: lines of systemd end at 1M */

struct check {
    struct sb_error *err;
    bool failed;
};

static void fail(struct check *c, const char *key, const char *value, const char *what) {
    if (!c->failed)
        sb_fail(c->err, SB_E_INTEGRITY, "%s: %s%sis not %s", key,
                value ? sb_text_shown(value).text : "", value ? " " : "", what);
    c->failed = true;
}

/* The value is fine by the rule, or NULL and may be. */
static void check_rule(struct check *c, const char *key, const char *value,
                       const struct sb_rule *rule, bool may_be_null) {
    if (!value && may_be_null)
        return;
    if (!value || (rule->longest && strlen(value) > (size_t)rule->longest) || !rule->check(value) ||
        !sb_text_is_for_units(value))
        fail(c, key, value ? value : "", rule->expected);
}

/* UTF-8, and no control characters but, with lines, tab and newline. */
static bool is_text(const char *text, bool lines) {
    if (strlen(text) > TEXT_LIMIT || !sb_text_is_for_units(text))
        return false;
    for (const unsigned char *p = (const unsigned char *)text; *p; p++)
        if ((*p < ' ' && !(lines && (*p == '\t' || *p == '\n'))) || *p == 0x7f)
            return false;
    return true;
}

static bool has_long_name(const char *path) {
    for (size_t n; *path; path += n) {
        path += strspn(path, "/");
        n = strcspn(path, "/");
        if (n > NAME_MAX)
            return true;
    }
    return false;
}

/* For what systemd prints to terminals and logs: nothing that these would obey. */
static bool is_seen(const char *text) {
    sb_autofree char *visible = sb_visible(text, SB_VISIBLE_ONE_LINE);
    return is_text(text, false) && !strcmp(text, visible);
}

/* For settings that systemd doesn't unquote: nothing that it takes for more than itself. */
static bool is_plain_path(const char *path) {
    return *path == '/' && is_seen(path) && !strpbrk(path, "\\\"'") &&
           path[strlen(path) - 1] != ' ' && strlen(path) < 4000 && sb_rule_absolute.check(path);
}

bool sb_service_name_valid(const char *name) {
    return strlen(name) <= SB_SERVICE_NAME_LIMIT && sb_rule_name.check(name);
}

/* ---- what holds for one value, by the list of fields ---- */

static void check_size(struct check *c, const char *key, const char *size) {
    size_t digits = size ? strspn(size, "0123456789") : 0;
    if (size && strcmp(size, "unlimited") != 0 && (digits == 0 || size[digits] || digits > 18))
        fail(c, key, size, "a number of bytes, or unlimited");
}

static void check_value(struct check *c, const struct sb_field *field, const char *key,
                        const void *at) {
    const struct sb_rule *rule = sb_field_rule(field);
    const struct sb_strings *list = at;
    const struct sb_pairs *pairs = at;
    switch (field->type) {
    case SB_FIELD_TEXT:
        if (rule)
            check_rule(c, key, *(const char *const *)at, rule, field->null || field->later);
        break;
    case SB_FIELD_SIZE:
        check_size(c, key, *(const char *const *)at);
        break;
    case SB_FIELD_NUMBER:
        if (sb_field_number(field, at) > sb_field_most(field))
            fail(c, key, NULL, "in its range");
        break;
    case SB_FIELD_STRINGS:
    case SB_FIELD_UNITS:
        for (size_t i = 0; rule && i < list->n; i++)
            check_rule(c, key, list->v[i], rule, false);
        break;
    case SB_FIELD_PAIRS:
        for (size_t i = 0; i < pairs->n; i++) {
            check_rule(c, key, pairs->v[i].name, rule, false);
            if (i && strcmp(pairs->v[i - 1].name, pairs->v[i].name) >= 0)
                fail(c, key, pairs->v[i].name, "in order, once");
        }
        break;
    default:
        break;
    }
}

/* where: the object that they are in, and a dot; or "". */
static void check_fields(struct check *c, const struct sb_field *fields, const char *where,
                         const struct sb_description *d) {
    for (const struct sb_field *field = fields; field->key; field++) {
        sb_autofree char *key = sb_format("%s%s", where, field->key);
        sb_autofree char *inside = sb_format("%s.", key);
        if (field->type == SB_FIELD_OBJECT)
            check_fields(c, field->fields, inside, d);
        else if (field->type != SB_FIELD_LAYERS)
            check_value(c, field, key, (const char *)d + field->offset);
    }
}

/* ---- what no rule says ---- */

static void check_names(struct check *c, const struct sb_description *d) {
    if (!d->name || !sb_service_name_valid(d->name))
        fail(c, "name", d->name ? d->name : "", sb_rule_name.expected);
    if (d->version && (!is_seen(d->version) || !*d->version || strchr(d->version, '\\') ||
                       strlen(d->version) > 256))
        fail(c, "version", d->version, "a short text without \\");
    if (!d->user)
        fail(c, "user", "", sb_rule_user.expected);
    else if (*d->user)
        check_rule(c, "user", d->user, &sb_rule_user, false);
    if (!d->workdir || !is_plain_path(d->workdir))
        fail(c, "workdir", d->workdir ? d->workdir : "", "an absolute path without \\ and quotes");
    else if (has_long_name(d->workdir))
        fail(c, "workdir", d->workdir, "made of names of 255 bytes at most");
}

/* Nothing that systemd mounts there itself, and reads while it starts the service; no directory
 * where a file is to be mounted, and not where the first process of all services lies. */
static void check_mount(struct check *c, const char *key, const char *path) {
    static const char *const taken[] = {
        "/dev", "/proc", "/sys", "/etc/hosts", "/etc/resolv.conf", ("/" SB_INIT_DIRECTORY)};
    check_rule(c, key, path, &sb_rule_mount, false);
    for (size_t i = 0; path && i < sizeof taken / sizeof *taken; i++)
        if (sb_path_is_below(path, taken[i]))
            fail(c, key, path, "a directory of its own");
    if (path && has_long_name(path))
        fail(c, key, path, "made of names of 255 bytes at most");
}

/* In order, once. On the host its whole path is one name (deploy/node/volumes.h). */
static void check_volumes(struct check *c, const struct sb_description *d) {
    for (size_t i = 0; i < d->volumes.n; i++) {
        const char *path = d->volumes.v[i];
        check_mount(c, "volumes", path);
        if (strlen(path) > NAME_MAX)
            fail(c, "volumes", path, "a path of 255 bytes at most");
        if (i && strcmp(d->volumes.v[i - 1], path) >= 0)
            fail(c, "volumes", path, "in order, once");
    }
}

/* systemd makes the place for what it mounts where that is missing: in a directory of the host,
 * too, where it is mounted below one. */
static bool meets_others(const struct sb_description *d, size_t which) {
    const char *inside = d->host.v[which].value;
    for (size_t i = 0; i < SB_DIRECTORY_COUNT; i++) {
        sb_autofree char *own = sb_service_directory_path(d->name, (enum sb_service_directory)i);
        if (d->directories[i] &&
            (sb_mounts_meet(inside, d->directories[i]) || sb_mounts_meet(inside, own)))
            return true;
    }
    for (size_t i = 0; i < d->volumes.n; i++)
        if (sb_mounts_meet(inside, d->volumes.v[i]))
            return true;
    for (size_t i = 0; i < which; i++)
        if (sb_mounts_meet(inside, d->host.v[i].value))
            return true;
    return !sb_mount_is_for_host(inside);
}

static void check_host(struct check *c, const struct sb_description *d) {
    if (d->host.n > 100 || (d->host.n && d->root == SB_ROOT_HOST))
        fail(c, "directories.host", NULL, "for this service");
    for (size_t i = 0; i < d->host.n && !c->failed; i++) {
        const struct sb_pair *one = &d->host.v[i];
        check_mount(c, "directories.host", one->value);
        if (!c->failed && meets_others(d, i))
            fail(c, "directories.host", one->value, "a place of its own");
    }
}

/* In a recipe "backend" is "backend.service"; here all is said. */
static bool is_whole(const char *unit) {
    static const char *const types[] = {".service", ".socket", ".target", ".mount",
                                        ".path",    ".timer",  ".device"};
    const char *dot = strrchr(unit, '.');
    for (size_t i = 0; dot && i < sizeof types / sizeof *types; i++)
        if (!strcmp(dot, types[i]))
            return true;
    return false;
}

static void check_lists(struct check *c, const struct sb_description *d) {
    for (size_t i = 0; i < d->requires.n; i++)
        if (!sb_unit_is_requirable(d->requires.v[i]) || !is_whole(d->requires.v[i]))
            fail(c, "requires", d->requires.v[i], "a unit that a service may start");
    for (size_t i = 0; i < SB_DIRECTORY_COUNT; i++)
        if (d->directories[i])
            check_mount(c, "directories", d->directories[i]);
}

static void check_argv(struct check *c, const struct sb_description *d) {
    size_t total = 0;
    for (size_t i = 0; i < d->argv.n; i++) {
        total += strlen(d->argv.v[i]) + 1;
        if (!is_text(d->argv.v[i], true))
            fail(c, "argv", d->argv.v[i], "a text without control characters");
    }
    if (total > ALL_LIMIT)
        fail(c, "argv", NULL, "short enough");
    const char *program = d->argv.n ? d->argv.v[0] : "";
    if (!*program || !is_seen(program) || strpbrk(program, "\\\"'$") ||
        (*program == '/' ? !is_plain_path(program) : strchr("@-:+!|;", *program) != NULL))
        fail(c, "argv", program, "a program: an absolute path, or a plain name to be looked up");
}

static void check_env(struct check *c, const struct sb_description *d) {
    size_t total = 0;
    for (size_t i = 0; i < d->env.n; i++) {
        total += strlen(d->env.v[i].name) + strlen(d->env.v[i].value) + 2;
        if (!is_text(d->env.v[i].value, true))
            fail(c, "env", d->env.v[i].name, "set to a text without control characters");
    }
    if (total > ALL_LIMIT || d->env.n > 4000)
        fail(c, "env", NULL, "short enough");
}

static void check_health(struct check *c, const struct sb_description *d) {
    if (d->health_command && (!*d->health_command || !is_text(d->health_command, true)))
        fail(c, "health.command", d->health_command, "a command");
    int ways = (d->health_http != NULL) + (d->health_tcp != 0) + (d->health_command != NULL);
    if (ways > 1 || (d->health_http && !d->port) || (ways && d->type == SB_SERVICE_JOB))
        fail(c, "health", NULL, "one way that the service can be asked in");
    if (!d->health_timeout || !d->health_interval || !d->stop_timeout ||
        (!d->start_timeout && d->type != SB_SERVICE_JOB))
        fail(c, "health", NULL, "without a time that is 0");
}

static void check_rest(struct check *c, const struct sb_description *d) {
    bool job = d->type == SB_SERVICE_JOB, blue_green = d->strategy == SB_STRATEGY_BLUE_GREEN;
    if (d->schedule && !job)
        fail(c, "schedule", d->schedule, "for a service that runs on");
    if (job && d->restart == SB_RESTART_ALWAYS)
        fail(c, "restart", "always", "for a job");
    if ((d->gpu_shared && (!d->gpu || d->gpu_devices)) ||
        (d->gpu_devices && (unsigned)__builtin_popcountll(d->gpu_devices) != d->gpu))
        fail(c, "gpu", NULL, "a number of devices");
    if (blue_green && (job || d->gpu || !d->port || !d->spare_port || d->port == d->spare_port ||
                       !d->upstream || (d->health_tcp && d->health_tcp != d->port)))
        fail(c, "strategy", "blue-green", "for this service");
    if (d->upstream && !strcmp(d->upstream, SB_UPSTREAM_RELOAD))
        fail(c, "upstream", d->upstream, "a name that is free");
    if (!blue_green && (d->spare_port || d->upstream))
        fail(c, "strategy", "recreate", "for a service with a spare port");
    if (d->harden_off >> SB_HARDEN_COUNT)
        fail(c, "harden", NULL, "known");
    if (d->layer_count == 0 || d->layer_count > SB_LAYER_LIMIT)
        fail(c, "layers", NULL, "a list of 1 to 127");
    size_t application = 0;
    for (size_t i = 0; i < d->layer_count; i++) {
        application += d->layers[i].application;
        if (i && d->layers[i - 1].application && !d->layers[i].application)
            fail(c, "layers", NULL, "sorted: the application's are the last");
    }
    if (d->root == SB_ROOT_HOST && application == 0)
        fail(c, "root", "host", "possible without layers of the application");
}

int sb_description_check(const struct sb_description *d, struct sb_error *err) {
    struct check c = {err, false};
    check_names(&c, d);
    check_fields(&c, sb_description_fields, "", d);
    check_lists(&c, d);
    check_volumes(&c, d);
    check_host(&c, d);
    check_argv(&c, d);
    check_env(&c, d);
    check_health(&c, d);
    check_rest(&c, d);
    return c.failed ? -1 : 0;
}
