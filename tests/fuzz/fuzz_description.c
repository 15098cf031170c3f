/* Any bytes as the description of a service: what is accepted must be written back as the same, and
 * make units in which no value has left its line. */

#include "base/text.h"
#include "deploy/description.h"
#include "deploy/units.h"
#include "document/rules.h"
#include "tests/fuzz/fuzz.h"

static bool starts_with_one_of(const char *line, const char *const *starts) {
    for (; *starts; starts++)
        if (!strncmp(line, *starts, strlen(*starts)))
            return true;
    return false;
}

/* Sections that units have; keys that run or open something, which must come from where they do. */
static void check_line(const char *line, size_t len) {
    static const char *const sections[] = {"[Unit]\n",    "[Service]\n",  "[Timer]\n", "[Mount]\n",
                                           "[Install]\n", "[X-Sbuild]\n", NULL};
    static const char *const never[] = {
        "ExecStartPre", "ExecStartPost", "ExecStop",  "ExecReload", "RootImage", "Sockets", "Alias",
        "Also",         "OnFailure",     "OnSuccess", "Slice",      ".include",  NULL};
    if (len == 0 || line[0] == '#')
        return;
    if (line[0] == '[') {
        if (!starts_with_one_of(line, sections))
            abort();
        return;
    }
    if (line[len - 1] == '\\' || starts_with_one_of(line, never))
        abort();
    bool key = line[0] >= 'A' && line[0] <= 'Z' && memchr(line, '=', len);
    if (!key && strncmp(line, "g sbuild-", 9) != 0 && strncmp(line, "u sbuild-", 9) != 0)
        abort();
}

static void check_unit(const struct sb_unit *unit) {
    size_t commands = 0;
    if (strchr(unit->name, '/') || strlen(unit->name) > 255 || !sb_text_is_utf8(unit->text))
        abort();
    for (const char *line = unit->text; *line;) {
        size_t len = strcspn(line, "\n");
        for (size_t i = 0; i < len; i++)
            if ((unsigned char)line[i] < ' ')
                abort();
        check_line(line, len);
        commands += !strncmp(line, "ExecStart=", 10);
        line += len + 1;
    }
    if (commands != (unit->kind == SB_UNIT_SERVICE))
        abort();
}

static void check_units(const struct sb_description *d) {
    static const char *const lower[] = {"/s/l/0", "/s/l/1"};
    const struct sb_placement places[] = {
        {0},
        {.generation = 7,
         .lower = lower,
         .lower_count = 2,
         .label = "u:r:t:s0",
         .systemd_version = 247,
         .program = "/usr/bin/a b",
         .has_ids = true,
         .uid = 1,
         .gid = 2,
         .port = 9},
    };
    for (size_t i = 0; i < 2; i++) {
        struct sb_units units;
        struct sb_unit_mark mark;
        sb_autostrings struct sb_strings points = {0};
        if (sb_units_generate(d, &places[i], &units, NULL) < 0)
            abort();
        for (size_t j = 0; j < units.n; j++)
            check_unit(&units.v[j]);
        if (!sb_unit_mark_parse(units.v[0].text, &mark) || strcmp(mark.name, d->name) != 0 ||
            mark.generation != places[i].generation)
            abort();
        sb_units_free(&units);
        sb_units_mount_points(d, &points);
        for (size_t j = 0; j < points.n; j++)
            if (points.v[j][0] == '/' || strstr(points.v[j], "//") ||
                !strncmp(points.v[j], "../", 3) || strstr(points.v[j], "/../"))
                abort();
    }
}

/* Nothing is mounted in a directory of the node, and none is where the system's are. */
static void check_host(const struct sb_description *d) {
    static const char *const never[] = {"/etc", "/proc", "/root", "/run", "/dev", "/sys"};
    for (size_t i = 0; i < d->host.n; i++) {
        const char *inside = d->host.v[i].value;
        for (size_t j = 0; j < sizeof never / sizeof *never; j++)
            if (sb_mounts_meet(d->host.v[i].name, never[j]))
                abort();
        for (size_t j = 0; j < SB_DIRECTORY_COUNT; j++)
            if (d->directories[j] && sb_mounts_meet(inside, d->directories[j]))
                abort();
        for (size_t j = 0; j < d->volumes.n; j++)
            if (sb_mounts_meet(inside, d->volumes.v[j]))
                abort();
        if (sb_mounts_meet(inside, "/run") || sb_mounts_meet(inside, "/etc/hosts"))
            abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct sb_description d, again;
    struct sb_error err = {0};
    if (sb_description_parse((const char *)data, size, &d, &err) < 0) {
        if (err.code != SB_E_INTEGRITY || !*err.message)
            abort();
        return 0;
    }
    check_host(&d);
    sb_autobuf struct sb_buf first = {0}, second = {0};
    sb_description_write(&d, &first);
    if (sb_description_parse(first.data, first.len, &again, &err) < 0)
        abort();
    sb_description_write(&again, &second);
    if (first.len != second.len || memcmp(first.data, second.data, first.len) != 0)
        abort();
    check_units(&d);
    sb_description_free(&d);
    sb_description_free(&again);
    return 0;
}
