/* download: a file from the web, known by its digest. */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/process.h"
#include "context/copy.h"
#include "document/schema.h"
#include "layers/unpack.h"
#include "steps/archive_kind.h"
#include "steps/execution.h"
#include "steps/fetch.h"
#include "steps/kinds.h"

struct download {
    struct sb_placing placing;
    char *url;
    char *sha256;
    bool extract;  /* a zip or a tar of any compression, unpacked into to */
    int64_t strip; /* leading path components to drop when extracting */
};

static const struct download *own(const struct sb_step *step) {
    return step->own;
}

#define AT(member) offsetof(struct download, member)

static const struct sb_key keys[] = {
    {"url", SB_KEY_STRING, AT(url), .required = true, .rule = &sb_rule_url,
     .description = "Where to fetch it from: http or https."},
    {"sha256", SB_KEY_STRING, AT(sha256), .required = true, .rule = &sb_rule_sha256,
     .description = "The SHA-256 of the file, 64 hexadecimal digits."},
    {"to", SB_KEY_STRING, AT(placing.to), .required = true, .rule = &sb_rule_absolute,
     .description = "The file to write; a directory when it ends in / or extract is set."},
    {"mode", SB_KEY_MODE, AT(placing.file_mode), .fallback = "\"0644\"",
     .description = "Permissions of the file, octal."},
    {"owner", SB_KEY_OWNER, AT(placing.uid), .fallback = "\"0:0\"",
     .description = "Owner of the file, UID:GID."},
    {"extract", SB_KEY_BOOL, AT(extract), .fallback = "false",
     .description =
         "Unpack it: a zip, or a tar, plain or compressed with gzip, zstd, xz or bzip2."},
    {"strip", SB_KEY_INTEGER, AT(strip), .least = 0, .most = 100, .fallback = "0",
     .description = "Leading directories to drop from the names when unpacking."},
    {0},
};

/* Adds the name in the URL to a directory; false when the URL ends in none. */
static bool name_from_url(struct download *download) {
    const char *path = strstr(download->url, "://");
    path = path ? strchr(path + 3, '/') : NULL;
    if (!path)
        return false;
    size_t end = strcspn(path, "?#"), start = end;
    while (path[start - 1] != '/')
        start--;
    if (start == end || path[start] == '.')
        return false;
    char *whole = sb_format("%s%.*s", download->placing.to, (int)(end - start), path + start);
    free(download->placing.to);
    download->placing.to = whole;
    return true;
}

static void check(struct sb_step *step, struct sb_reader *reader, const struct sb_yaml *node) {
    struct download *download = step->own;
    sb_step_check_path(reader, node, "to", download->placing.to);
    if (!sb_yaml_get(node, "mode"))
        download->placing.file_mode = 0644;
    for (char *p = download->sha256; p && *p; p++)
        *p = (char)tolower((unsigned char)*p);
    download->placing.url = download->url;
    download->placing.sha256 = download->sha256;
    if (download->strip && !download->extract)
        sb_reader_problem(reader, sb_yaml_get(node, "strip"),
                          "key \"strip\": has a meaning only with extract: true");
    if (download->url && download->placing.to && !download->extract &&
        download->placing.to[strlen(download->placing.to) - 1] == '/' && !name_from_url(download))
        sb_reader_problem(reader, sb_yaml_get(node, "to"),
                          "key \"to\": the URL ends in no file name (expected the whole path of "
                          "the file)");
}

static const struct sb_placing *placing(const struct sb_step *step) {
    return own(step)->extract ? NULL : &own(step)->placing;
}

/* What the digest names is the same wherever it came from: the URL is no part of this. */
static void describe(const struct sb_step *step, json_t *out) {
    const struct download *download = own(step);
    json_object_set_new(out, "sha256", json_string(download->sha256));
    json_object_set_new(out, "to", json_string(download->placing.to));
    json_object_set_new(out, "mode", sb_step_mode(download->placing.file_mode));
    json_object_set_new(out, "uid", json_integer(download->placing.uid));
    json_object_set_new(out, "gid", json_integer(download->placing.gid));
    if (download->extract)
        json_object_set_new(out, "strip", json_integer(download->strip));
}

static char *summary(const struct sb_step *step) {
    sb_autofree char *url = sb_fetch_public_url(own(step)->url);
    return sb_format("download: %s to %s", url, own(step)->placing.to);
}

/* ---- running ---- */

/* What layers of images are never compressed with: their own programs unpack it, as tar has them
 * do. */
struct decompressor {
    const char *program, *package, *magic;
};

static const struct decompressor *decompressor_of(int fd) {
    static const struct decompressor all[] = {{"xz", "xz-utils",
                                               "\xFD"
                                               "7zXZ"},
                                              {"bzip2", "bzip2", "BZh"}};
    char start[8] = "";
    if (pread(fd, start, sizeof start - 1, 0) < 0)
        return NULL;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (!strncmp(start, all[i].magic, strlen(all[i].magic)))
            return &all[i];
    return NULL;
}

static int unpack_through(const struct decompressor *through, int fd, int directory,
                          const struct sb_unpack_options *options, struct sb_error *err) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0)
        return sb_fail_errno(err, SB_E_IO, "making a pipe");
    sb_autoclose int from = ends[0], to = ends[1];
    const char *const argv[] = {through->program, "-dc", NULL}, *const env[] = {NULL};
    const struct sb_process_options program = {
        .argv = argv, .env = env, .in = fd, .out = to, .err = -1};
    pid_t pid = sb_process_start(&program, err);
    sb_close_descriptor(&to);
    if (pid < 0) {
        if (err->code == SB_E_NOT_FOUND)
            sb_error_hint(err, "apt-get install %s", through->package);
        return -1;
    }
    int unpacked = sb_unpack_fd(from, directory, options, err);
    sb_close_descriptor(&from); /* ends it, should it still write */
    struct sb_error why = {0};
    int status = sb_process_wait(pid, unpacked < 0 ? &why : err);
    if (status > 0 && status != 128 + SIGPIPE && (unpacked == 0 || err->code == SB_E_INTEGRITY))
        return sb_fail(err, SB_E_INTEGRITY, "it is damaged: %s -dc ended with status %d",
                       through->program, status);
    return unpacked < 0 || status < 0 ? -1 : 0;
}

/* The directory that it is unpacked into, made where it isn't there: its path without links. */
static int make_destination(const struct sb_step *step, int root, int64_t epoch, char **out,
                            struct sb_error *err) {
    const struct sb_copy_ground ground = {.root = root};
    struct sb_copy_list list = {0};
    int failed = sb_copy_place_directory(&own(step)->placing, &ground, &list, err);
    if (!failed)
        failed = sb_copy_lay_out(&list, NULL, NULL, root, epoch, err);
    *out = sb_strdup(list.n ? list.v[list.n - 1].path : "");
    sb_copy_list_free(&list);
    return failed;
}

static int extract(const struct sb_step *step, int fd, int root, int64_t epoch,
                   struct sb_error *err) {
    const struct download *download = own(step);
    struct sb_unpack_owner owner = {download->placing.uid, download->placing.gid};
    sb_autofree char *below = NULL;
    if (make_destination(step, root, epoch, &below, err) < 0)
        return -1;
    struct sb_unpack_options options = {.form = SB_UNPACK_ONTO,
                                        .below = below,
                                        .strip = (uint32_t)download->strip,
                                        .owner = &owner};
    const struct decompressor *through = decompressor_of(fd);
    bool zip = sb_archive_is_zip(fd);
    options.mtime = zip ? &epoch : NULL;
    if ((zip       ? sb_unpack_zip(fd, root, &options, err)
         : through ? unpack_through(through, fd, root, &options, err)
                   : sb_unpack_fd(fd, root, &options, err)) == 0)
        return 0;
    sb_archive_refuse(fd, err);
    sb_autofree char *url = sb_fetch_public_url(download->url);
    return sb_error_context(err, "unpacking %s", url);
}

static int open_fetched(void *data, const struct sb_step *step, struct sb_error *err) {
    struct sb_step_run_context *context = data;
    const struct download *download = own(step);
    struct sb_digest digest;
    if (!sb_digest_parse_hex(download->sha256, &digest))
        return sb_fail(err, SB_E_FAILED, "%s is no SHA-256", download->sha256);
    return sb_fetch(context->store, context->registry, download->url, &digest,
                    sb_settings_download_seconds(context->settings), context->log, err);
}

static int place_file(const struct sb_step *step, struct sb_step_run_context *context, int root,
                      struct sb_error *err) {
    const struct sb_copy_ground ground = {.root = root};
    const struct sb_copy_fetch fetch = {open_fetched, context};
    struct sb_copy_list list = {0};
    int failed = sb_copy_resolve(step, 1, NULL, &ground, &list, err);
    if (!failed && sb_copy_lay_out(&list, NULL, &fetch, root, context->epoch, err) < 0)
        failed = sb_step_at(step, err);
    sb_copy_list_free(&list);
    return failed;
}

static int run(const struct sb_step *step, struct sb_step_run_context *context,
               struct sb_error *err) {
    sb_autoclose int root = sb_directory_open(AT_FDCWD, sb_root_path(context->root), err);
    if (root < 0)
        return -1;
    if (!own(step)->extract)
        return place_file(step, context, root, err);
    sb_autoclose int fd = open_fetched(context, step, err);
    return fd < 0 ? -1 : extract(step, fd, root, context->epoch, err);
}

const struct sb_step_kind sb_step_kind_download = {
    .name = "download",
    .size = sizeof(struct download),
    .description = "Fetch a file that is known by its digest.",
    .keys = keys,
    .keeps_times = true,
    .placing = placing,
    .network = true,
    .check = check,
    .describe = describe,
    .summary = summary,
    .run = run,
};
