#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/json.h"
#include "base/memory.h"
#include "base/process.h"
#include "base/text.h"
#include "cli/command.h"
#include "cli/show.h"
#include "layers/diff.h"

struct tally {
    size_t count;
    uint64_t bytes;
};
/* What --summary says of a directory: of all that is below it. */
struct group {
    char *name;
    struct tally tallies[3];
    uint64_t before;
};
struct printer {
    bool json, summary;
    const char *const *paths; /* what is looked at; NULL ends them; none: all */
    struct group *groups;     /* as they come: paths are in order */
    size_t group_count, group_cap;
    struct tally tallies[3]; /* by sb_change_kind */
    uint64_t before;         /* bytes of the changed files as they were */
    struct sb_buf text;
};

static const char letters[] = {
    [SB_CHANGE_ADDED] = 'A', [SB_CHANGE_REMOVED] = 'D', [SB_CHANGE_CHANGED] = 'M'};
static const char *const kind_names[] = {
    [SB_CHANGE_ADDED] = "added", [SB_CHANGE_REMOVED] = "removed", [SB_CHANGE_CHANGED] = "changed"};

static const struct {
    unsigned bit;
    const char *name;
} whats[] = {
#define X(value, id, text) {value, text},
    SB_CHANGE_WHATS(X)
#undef X
};
enum { WHAT_COUNT = sizeof whats / sizeof *whats };

/* ---- a line ---- */

static void describe(struct sb_buf *out, unsigned bit, const char *name,
                     const struct sb_entry *before, const struct sb_entry *after) {
    sb_buf_adds(out, out->len ? ", " : "");
    switch (bit) {
    case SB_CHANGE_MODE:
        sb_buf_addf(out, "mode %04o to %04o", (unsigned)before->mode & 07777,
                    (unsigned)after->mode & 07777);
        break;
    case SB_CHANGE_OWNER:
        sb_buf_addf(out, "owner %u:%u to %u:%u", before->uid, before->gid, after->uid, after->gid);
        break;
    case SB_CHANGE_SIZE:
        sb_buf_addf(out, "%s to %s", sb_text_size(before->size).text,
                    sb_text_size(after->size).text);
        break;
    case SB_CHANGE_LINK: {
        sb_autofree char *from = sb_show_path(before->link), *to = sb_show_path(after->link);
        sb_buf_addf(out, "link %s to %s", from, to);
        break;
    }
    case SB_CHANGE_TYPE:
        sb_buf_addf(out, "%s to %s", sb_show_type(before), sb_show_type(after));
        break;
    default:
        sb_buf_adds(out, name);
    }
}

static const char *size_of(const struct sb_entry *entry, struct sb_text_size *room) {
    if (!S_ISREG(entry->mode))
        return "-";
    *room = sb_text_size(entry->size);
    return room->text;
}

static void print_line(struct printer *p, const struct sb_change *change) {
    const struct sb_entry *entry =
        change->kind == SB_CHANGE_REMOVED ? &change->before : &change->after;
    sb_autofree char *path = sb_show_path(change->path);
    struct sb_text_size room;
    sb_buf_reset(&p->text);
    for (size_t i = 0; i < WHAT_COUNT && change->kind == SB_CHANGE_CHANGED; i++)
        if (change->what & whats[i].bit &&
            !(whats[i].bit == SB_CHANGE_CONTENT && change->what & SB_CHANGE_SIZE))
            describe(&p->text, whats[i].bit, whats[i].name, &change->before, &change->after);
    sb_cli_print("%c  %7s  %s%s%s%s%s\n", letters[change->kind], size_of(entry, &room), path,
                 S_ISDIR(entry->mode) ? "/" : "", p->text.len ? "  (" : "", sb_buf_text(&p->text),
                 p->text.len ? ")" : "");
}

static json_t *entry_json(const struct sb_entry *e) {
    char mode[16];
    snprintf(mode, sizeof mode, "%04o", (unsigned)e->mode & 07777);
    json_t *out =
        json_pack("{s:s, s:s, s:I, s:I, s:I}", "type", sb_show_type(e), "mode", mode, "uid",
                  (json_int_t)e->uid, "gid", (json_int_t)e->gid, "size", (json_int_t)e->size);
    if (e->link)
        json_object_set_new(out, "target", sb_json_from_bytes(e->link));
    return out;
}

static void print_json(struct printer *p, const struct sb_change *change, bool first) {
    sb_autojson json_t *out = json_pack("{s:o, s:s}", "path", sb_json_from_bytes(change->path),
                                        "change", kind_names[change->kind]);
    if (change->kind == SB_CHANGE_CHANGED) {
        json_t *list = json_array();
        for (size_t i = 0; i < WHAT_COUNT; i++)
            if (change->what & whats[i].bit)
                json_array_append_new(list, json_string(whats[i].name));
        json_object_set_new(out, "what", list);
    }
    if (change->kind != SB_CHANGE_ADDED)
        json_object_set_new(out, "before", entry_json(&change->before));
    if (change->kind != SB_CHANGE_REMOVED)
        json_object_set_new(out, "after", entry_json(&change->after));
    sb_buf_reset(&p->text);
    sb_cli_add_json(out, &p->text);
    sb_cli_print("%s\n%s", first ? "" : ",", p->text.data);
}

/* ---- groups ---- */

/* "usr/lib" of "usr/lib/x/y"; of what lies higher, the directory that it is in. */
static size_t group_length(const char *path) {
    const char *slash = strchr(path, '/');
    const char *second = slash ? strchr(slash + 1, '/') : NULL;
    return second ? (size_t)(second - path) : slash ? (size_t)(slash - path) : 0;
}

static struct group *find_group(struct printer *p, const char *path) {
    size_t n = group_length(path);
    for (size_t i = p->group_count; i-- > 0;)
        if (strlen(p->groups[i].name) == n && !strncmp(p->groups[i].name, path, n))
            return &p->groups[i];
    SB_GROW(p->groups, p->group_count, p->group_cap);
    struct group *group = &p->groups[p->group_count++];
    *group = (struct group){.name = sb_strndup(path, n)};
    return group;
}

/* How much more a directory's files are after than before. */
static int64_t growth(const struct group *g) {
    return (int64_t)g->tallies[SB_CHANGE_ADDED].bytes +
           (int64_t)g->tallies[SB_CHANGE_CHANGED].bytes - (int64_t)g->before -
           (int64_t)g->tallies[SB_CHANGE_REMOVED].bytes;
}

static uint64_t moved(const struct group *g) {
    int64_t grown = growth(g);
    return (uint64_t)(grown < 0 ? -grown : grown);
}

static int compare_groups(const void *a, const void *b) {
    const struct group *x = a, *y = b;
    uint64_t m = moved(x), n = moved(y);
    return m != n ? (m < n ? 1 : -1) : strcmp(x->name, y->name);
}

static json_t *group_json(const struct group *g) {
    json_t *out = json_pack("{s:o, s:I}", "directory", sb_json_from_bytes(g->name), "growth",
                            (json_int_t)growth(g));
    for (size_t i = 0; i < 3; i++)
        json_object_set_new(out, kind_names[i], json_integer((json_int_t)g->tallies[i].count));
    return out;
}

static void print_groups(struct printer *p) {
    if (p->group_count > 1)
        qsort(p->groups, p->group_count, sizeof *p->groups, compare_groups);
    for (size_t i = 0; i < p->group_count; i++) {
        const struct group *g = &p->groups[i];
        if (p->json) {
            sb_autojson json_t *out = group_json(g);
            sb_buf_reset(&p->text);
            sb_cli_add_json(out, &p->text);
            sb_cli_print("%s\n%s", i ? "," : "", p->text.data);
            continue;
        }
        sb_autofree char *path = sb_show_path(g->name);
        sb_cli_print("%c%8s  %s/  (%zu added, %zu changed, %zu removed)\n",
                     growth(g) < 0 ? '-' : '+', sb_text_size(moved(g)).text, path,
                     g->tallies[SB_CHANGE_ADDED].count, g->tallies[SB_CHANGE_CHANGED].count,
                     g->tallies[SB_CHANGE_REMOVED].count);
    }
}

static void free_groups(struct printer *p) {
    for (size_t i = 0; i < p->group_count; i++)
        free(p->groups[i].name);
    free(p->groups);
}

/* ---- all ---- */

/* Whether it is one of the paths, or below one. */
static bool is_wanted(const struct printer *p, const char *path) {
    for (const char *const *wanted = p->paths; *wanted; wanted++) {
        size_t n = strlen(*wanted);
        if (n == 0 || (!strncmp(path, *wanted, n) && (path[n] == '/' || !path[n])))
            return true;
    }
    return !*p->paths;
}

static void count(struct printer *p, const struct sb_change *change) {
    const struct sb_entry *entry =
        change->kind == SB_CHANGE_REMOVED ? &change->before : &change->after;
    uint64_t before = change->kind == SB_CHANGE_CHANGED ? change->before.size : 0;
    p->tallies[change->kind].count++;
    p->tallies[change->kind].bytes += entry->size;
    p->before += before;
    if (!p->summary)
        return;
    struct group *group = find_group(p, change->path);
    group->tallies[change->kind].count++;
    group->tallies[change->kind].bytes += entry->size;
    group->before += before;
}

static int print_change(void *self, const struct sb_change *change, struct sb_error *err) {
    struct printer *p = self;
    bool first = p->tallies[0].count + p->tallies[1].count + p->tallies[2].count == 0;
    if (!is_wanted(p, change->path))
        return sb_interrupt_check(err);
    count(p, change);
    if (p->summary)
        return sb_interrupt_check(err);
    if (p->json)
        print_json(p, change, first);
    else
        print_line(p, change);
    if (sb_interrupt_check(err) < 0)
        return -1;
    if (sb_cli_print_ended()) /* nobody reads on: the rest need not be compared */
        return sb_fail(err, SB_E_IO, "writing to standard output");
    return 0;
}

static void print_summary(const struct printer *p) {
    const struct tally *added = &p->tallies[SB_CHANGE_ADDED],
                       *removed = &p->tallies[SB_CHANGE_REMOVED],
                       *changed = &p->tallies[SB_CHANGE_CHANGED];
    if (added->count + removed->count + changed->count == 0) {
        sb_cli_say("no file differs\n");
        return;
    }
    sb_cli_say("%zu added (%s), %zu changed (%s, were %s), %zu removed (%s)\n", added->count,
               sb_text_size(added->bytes).text, changed->count, sb_text_size(changed->bytes).text,
               sb_text_size(p->before).text, removed->count, sb_text_size(removed->bytes).text);
}

/* "/usr//lib/" as paths of images have it; the caller's. */
static char *clean_path(const char *text) {
    sb_autofree char *clean = sb_path_clean(text);
    const char *relative = clean + strspn(clean, "/");
    return sb_strdup(strcmp(relative, ".") != 0 ? relative : "");
}

static int diff(const struct sb_common *common, const char *platform, const char *const *names,
                bool summary, const struct sb_strings *paths, struct sb_error *err) {
    sb_autoimages struct sb_cli_images images = {.platform = platform};
    if (sb_cli_images_open(&images, common, names, 2, err) < 0 ||
        sb_cli_images_fetch(&images, &images.image[0], true, err) < 0 ||
        sb_cli_images_fetch(&images, &images.image[1], true, err) < 0)
        return -1;
    const char *const none[] = {NULL};
    struct printer printer = {.json = common->json,
                              .summary = summary,
                              .paths = paths->n ? (const char *const *)paths->v : none};
    if (common->json)
        sb_cli_print("[");
    int failed = sb_image_diff(images.store, &images.image[0], &images.image[1], print_change,
                               &printer, err);
    if (!failed && summary)
        print_groups(&printer);
    sb_buf_free(&printer.text);
    free_groups(&printer);
    if (failed && !sb_cli_print_ended())
        return -1;
    if (common->json)
        sb_cli_print("\n]\n");
    if (sb_cli_flush(err) < 0)
        return -1;
    if (!common->json && !failed)
        print_summary(&printer);
    return 0;
}

static int run(int argc, char **argv, struct sb_error *err) {
    struct sb_common common = {0};
    bool summary = false;
    const char *platform = NULL;
    const struct sb_option options[] = {{.name = "summary", .letter = 's', .flag = &summary},
                                        {.name = "platform", .text = &platform},
                                        {0}};
    sb_autofree const char **arguments = sb_alloc((size_t)argc * sizeof *arguments);
    size_t count;
    int parsed =
        sb_options_parse(&sb_command_diff, argc, argv, options, &common, arguments, &count, err);
    if (parsed != 0)
        return parsed < 0 ? -1 : sb_cli_flush(err);
    if (sb_options_count(&sb_command_diff, count, 2, SIZE_MAX, err) < 0)
        return -1;
    sb_autostrings struct sb_strings paths = {0};
    for (size_t i = 2; i < count; i++)
        sb_strings_take(&paths, clean_path(arguments[i]));
    return diff(&common, platform, arguments, summary, &paths, err);
}

const struct sb_command sb_command_diff = {
    .name = "diff",
    .arguments = "BEFORE AFTER [PATH…] [OPTION…]",
    .summary = "compare the files of two images",
    .help = "One line for each file that differs: A (added), M (changed) or D (removed), its\n"
            "size, its path, and what changed. Times are not compared. The exit status is 0\n"
            "whether there are differences or not. PATHs: only what is there and below.\n\n"
            "options:\n"
            "  -s, --summary  a line for each directory like usr/lib instead: by how much it\n"
            "               grew or shrank, the largest first, and how many files differ\n"
            "  --platform P  of indexes, the images for OS/ARCHITECTURE[/VARIANT], instead of\n"
            "               this machine's\n"
            "  --json       one JSON array, an object for each line, sizes in bytes\n"
            "  --store DIR  the store to look into\n\n"
            "BEFORE and AFTER are NAME:TAG, NAME, a digest or its first digits,\n"
            "oci:PATH[:TAG], oci-archive:FILE[:TAG] or docker-archive:FILE.\n\n"
            "examples:\n"
            "  sbuild diff backend:v1.4.1 backend:v1.4.2\n"
            "  sbuild diff ml-deps backend | grep '^A'\n"
            "  sbuild diff ml-deps:v1 ml-deps:v2 --summary    # what made it grow\n"
            "  sbuild diff backend:v1.4.1 backend:v1.4.2 /app /etc\n"
            "  sbuild diff oci:/srv/other-store:backend:latest backend\n",
    .run = run,
};
