/*
 * Any answers of a registry, as sbuild-http hands them on: manifests, blobs and their ranges, lists
 * of tags and referrers, uploads and their sessions, images that are pulled, refusals. What comes
 * is refused or is what was asked for. sbuild-http is this file: what it will say lies in the
 * channel before the request is made.
 *
 * The first byte chooses what is asked; then each part is an answer: its headers, status first, an
 * empty line, its body. Such a part as "!…" is a message of that type instead, as it is.
 */
#include <sys/socket.h>

#include "base/channel.h"
#include "layers/image.h"
#include "registry/attach.h"
#include "registry/http_program.h"
#include "registry/remote_private.h"
#include "tests/fuzz/fuzz.h"

static struct fuzz_parts answers;
static struct sb_http_channel channel = {.fd = -1};
static int their_end = -1;

/* ---- sbuild-http ---- */

struct sb_http_program *sb_http_program_start(const struct sb_http_options *options,
                                              struct sb_error *err) {
    (void)options;
    (void)err;
    return (struct sb_http_program *)&channel;
}
void sb_http_program_hold(struct sb_http_program *program) {
    (void)program;
}
void sb_http_program_drop(struct sb_http_program *program) {
    (void)program;
}
bool sb_http_program_is_lost(struct sb_http_program *program) {
    (void)program;
    return false;
}
int sb_http_program_lost(struct sb_http_program *program, struct sb_error *err) {
    (void)program;
    return sb_fail(err, SB_E_NETWORK, "sbuild-http ended in the middle of a request");
}

static void hang_up(void) {
    sb_autoclose int ours = sb_steal_fd(&channel.fd), theirs = sb_steal_fd(&their_end);
}

static void say(char type, const char *text, size_t len) {
    if (len <= SB_CHANNEL_LIMIT)
        sb_channel_send(their_end, type, text, len, -1, NULL);
}

/* Nobody waits for a minute here: the value is read, and the header is no such any more. */
static void take_retry_after(char *text) {
    static const char name[] = "\nretry-after:";
    for (char *at = text; (at = strstr(at, name)); at[1] = 'x') {
        sb_autofree char *value =
            sb_strndup(at + sizeof name - 1, strcspn(at + sizeof name - 1, "\n"));
        FUZZ_CHECK(sb_retry_after_ms(value, 1577836800) <= 60000);
    }
}

/* Messages up to the end of an answer; without it when there are no more, and the channel is closed
 * then. */
static void put_answer(void) {
    size_t len;
    while (answers.more) {
        sb_autofree char *text = fuzz_next(&answers, &len);
        if (text[0] == '!' && text[1]) {
            say(text[1], text + 2, len - 2);
            continue;
        }
        take_retry_after(text);
        const char *empty = strstr(text, "\n\n");
        size_t head = empty ? (size_t)(empty - text) + 1 : len;
        say('H', text, head);
        if (empty && text[head + 1])
            say('D', text + head + 1, len - head - 1);
        static const char end[] = "{\"sent\":0,\"received\":0}";
        say('E', end, sizeof end - 1);
        return;
    }
}

struct sb_http_channel *sb_http_channel_take(struct sb_http_program *program,
                                             struct sb_error *err) {
    (void)program;
    int ends[2];
    if (channel.fd < 0) {
        FUZZ_CHECK(sb_channel_pair(ends, err) == 0);
        channel.fd = ends[0];
        their_end = ends[1];
    }
    put_answer();
    shutdown(their_end, SHUT_WR);
    return &channel;
}

void sb_http_channel_give_back(struct sb_http_program *program, struct sb_http_channel *used,
                               bool kept) {
    (void)program;
    (void)used;
    (void)kept;
    hang_up();
}

/* ---- what is asked ---- */

static int take_nothing(void *data, const void *bytes, size_t len, struct sb_error *err) {
    size_t *got = data;
    (void)bytes;
    (void)err;
    *got += len;
    return 0;
}

static struct sb_digest digest_of(const char *text) {
    return sb_digest_of(text, strlen(text));
}

static int get_manifest(struct sb_remote *remote, struct sb_error *err) {
    struct sb_manifest manifest;
    if (sb_remote_manifest_get(remote, "v1", &manifest, err) < 0)
        return -1;
    FUZZ_CHECK(manifest.bytes.len == manifest.descriptor.size);
    sb_manifest_free(&manifest);
    return 0;
}

static int list_tags(struct sb_remote *remote, struct sb_error *err) {
    sb_autostrings struct sb_strings tags = {0};
    return sb_remote_tags(remote, 1000, &tags, err);
}

static int list_referrers(struct sb_remote *remote, struct sb_error *err) {
    struct sb_digest subject = digest_of("subject");
    json_t *list = NULL;
    if (sb_attached_list(remote, &subject, "application/x+y", &list, err) < 0)
        return -1;
    FUZZ_CHECK(json_is_array(list));
    json_decref(list);
    return 0;
}

static int get_blob(struct sb_remote *remote, struct sb_error *err) {
    const struct sb_descriptor blob = {.digest = digest_of("0123456789"), .size = 10};
    size_t got = 0;
    if (sb_remote_blob_get(remote, &blob, take_nothing, &got, err) < 0)
        return -1;
    FUZZ_CHECK(got == 10);
    return 0;
}

static int put_blob(struct sb_remote *remote, struct sb_error *err) {
    static const char text[] = "0123456789";
    const struct sb_remote_upload upload = {.blob = {.digest = digest_of(text), .size = 10},
                                            .fd = fuzz_file(text, 10)};
    return sb_remote_blob_put(remote, &upload, err);
}

static int mount_blob(struct sb_remote *remote, struct sb_error *err) {
    struct sb_digest digest = digest_of("0123456789");
    sb_autofree char *session = NULL;
    return sb_remote_blob_mount(remote, &digest, "team/base", &session, err);
}

static int head_both(struct sb_remote *remote, struct sb_error *err) {
    struct sb_descriptor blob = {.digest = digest_of("0123456789"), .size = 10}, found;
    return sb_remote_manifest_head(remote, "v1", &found, err) < 0 ||
                   sb_remote_blob_head(remote, &blob, err) < 0
               ? -1
               : 0;
}

static int put_manifest(struct sb_remote *remote, struct sb_error *err) {
    static const char text[] =
        "{\"subject\":{\"mediaType\":\"" SB_MEDIA_MANIFEST "\",\"size\":1,\"digest\":\"sha256:"
        "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\"}}";
    return sb_remote_manifest_put(remote, "v1", SB_MEDIA_MANIFEST, text, strlen(text), err) < 0 ||
                   sb_attached_put_bytes(remote, SB_MEDIA_MANIFEST, text, strlen(text), err) < 0
               ? -1
               : 0;
}

static int delete_manifest(struct sb_remote *remote, struct sb_error *err) {
    return sb_remote_manifest_delete(remote, "v1", err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static int (*const asked[])(struct sb_remote *, struct sb_error *) = {
        get_manifest, list_tags, list_referrers, get_blob,       put_blob,
        mount_blob,   head_both, put_manifest,   delete_manifest};
    answers = fuzz_parts(data, size);
    unsigned what = fuzz_choose(&answers, sizeof asked / sizeof *asked);
    const struct sb_registry_options options = {0};
    struct sb_registry *registry = sb_registry_new(&options);
    registry->retry = (struct sb_retry_policy){.attempts = 3};
    registry->chunk = what == 4 && size % 2 ? 4 : SB_UPLOAD_CHUNK;
    struct sb_remote *remote = sb_remote_open(registry, "r.example.com", "team/app");
    struct sb_error err = {0};
    if (asked[what](remote, &err) < 0)
        fuzz_check_error(&err);
    sb_remote_free(remote);
    sb_registry_free(registry);
    hang_up();
    return 0;
}
