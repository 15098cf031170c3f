#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

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
struct printer {
    bool json;
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

/* ---- all ---- */

static int print_change(void *self, const struct sb_change *change, struct sb_error *err) {
    struct printer *p = self;
    bool first = p->tallies[0].count + p->tallies[1].count + p->tallies[2].count == 0;
    const struct sb_entry *entry =
        change->kind == SB_CHANGE_REMOVED ? &change->before : &change->after;
    p->tallies[change->kind].count++;
    p->tallies[change->kind].bytes += entry->size;
    if (change->kind == SB_CHANGE_CHANGED)
        p->before += change->before.size;
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

static int diff(const struct sb_common *common, const char *const *names, struct sb_error *err) {
    sb_autoimages struct sb_cli_images images = {0};
    if (sb_cli_images_open(&images, common, names, 2, err) < 0 ||
        sb_cli_images_fetch(&images, &images.image[0], true, err) < 0 ||
        sb_cli_images_fetch(&images, &images.image[1], true, err) < 0)
        return -1;
    struct printer printer = {.json = common->json};
    if (common->json)
        sb_cli_print("[");
    int failed = sb_image_diff(images.store, &images.image[0], &images.image[1], print_change,
                               &printer, err);
    sb_buf_free(&printer.text);
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
    const struct sb_option options[] = {{0}};
    sb_autofree const char **arguments = sb_alloc((size_t)argc * sizeof *arguments);
    size_t count;
    int parsed =
        sb_options_parse(&sb_command_diff, argc, argv, options, &common, arguments, &count, err);
    if (parsed != 0)
        return parsed < 0 ? -1 : sb_cli_flush(err);
    if (sb_options_count(&sb_command_diff, count, 2, 2, err) < 0)
        return -1;
    return diff(&common, arguments, err);
}

const struct sb_command sb_command_diff = {
    .name = "diff",
    .arguments = "BEFORE AFTER [OPTION…]",
    .summary = "compare the files of two images",
    .help = "One line for each file that differs: A (added), M (changed) or D (removed), its\n"
            "size, its path, and what changed. Times are not compared. The exit status is 0\n"
            "whether there are differences or not.\n\n"
            "options:\n"
            "  --json       one JSON array, an object for each file, sizes in bytes\n"
            "  --store DIR  the store to look into\n\n"
            "BEFORE and AFTER are NAME:TAG, NAME, a digest or its first digits,\n"
            "oci:PATH[:TAG], oci-archive:FILE[:TAG] or docker-archive:FILE.\n\n"
            "examples:\n"
            "  sbuild diff backend:v1.4.1 backend:v1.4.2\n"
            "  sbuild diff ml-deps backend | grep '^A'\n"
            "  sbuild diff oci:/srv/other-store:backend:latest backend\n",
    .run = run,
};
