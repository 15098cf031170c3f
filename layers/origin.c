#include "layers/origin.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/lock.h"
#include "base/memory.h"
#include "layers/store_private.h"

#define NAME_LENGTH_MAX 512 /* host and repository together */
#define ORIGIN_LIMIT    (SB_ORIGINS_LIMIT * (NAME_LENGTH_MAX + 1))

/* ---- the file ---- */

struct sb_origin_name sb_origin_name(const struct sb_digest *digest) {
    struct sb_origin_name name;
    snprintf(name.text, sizeof name.text, SB_ORIGINS_DIRECTORY "/%s", sb_digest_hex(digest).text);
    return name;
}

/* What is no name can only be the rest of a file that a power cut took. */
static bool is_name(const char *text) {
    size_t len = strlen(text);
    if (len == 0 || len > NAME_LENGTH_MAX || !strchr(text, '/'))
        return false;
    for (; *text; text++)
        if (*text <= ' ' || *text > '~')
            return false;
    return true;
}

char *sb_origin_url(const char *repository, const char *url) {
    if ((strncmp(url, "https://", 8) != 0 && strncmp(url, "http://", 7) != 0) || strchr(url, '|'))
        return NULL;
    char *name = sb_format("%s|%s", url, repository);
    if (!is_name(name))
        sb_free_pointer(&name);
    return name;
}

/* Nothing known, a file that is gone or damaged: no names. */
static void read_names(struct sb_store *store, const struct sb_digest *digest,
                       struct sb_strings *out) {
    struct sb_origin_name name = sb_origin_name(digest);
    sb_autobuf struct sb_buf text = {0};
    if (sb_file_read(store->fd, name.text, ORIGIN_LIMIT, &text, NULL) < 0)
        return;
    char *rest = text.data;
    for (char *line; rest && *rest && (line = strsep(&rest, "\n"));)
        if (rest && is_name(line) && out->n < SB_ORIGINS_LIMIT)
            sb_strings_add(out, line);
}

int sb_blob_add_origin(struct sb_store *store, const struct sb_digest *digest, const char *name,
                       struct sb_error *err) {
    if (!is_name(name))
        return sb_fail(err, SB_E_FAILED, "a blob can't come from \"%.100s\"", name);
    sb_autostrings struct sb_strings known = {0};
    if (sb_blob_origins(store, digest, &known, err) < 0)
        return -1;
    if (known.n > 0 && !strcmp(known.v[0], name))
        return 0;
    sb_autobuf struct sb_buf text = {0};
    sb_buf_addf(&text, "%s\n", name);
    for (size_t i = 0, n = 1; i < known.n && n < SB_ORIGINS_LIMIT; i++)
        if (strcmp(known.v[i], name) != 0) {
            sb_buf_addf(&text, "%s\n", known.v[i]);
            n++;
        }
    /* What is lost with the power is learnt again with the image. */
    return sb_store_publish(store, sb_origin_name(digest).text, text.data, text.len, err);
}

int sb_blob_origins(struct sb_store *store, const struct sb_digest *digest, struct sb_strings *out,
                    struct sb_error *err) {
    struct sb_origin_name name = sb_origin_name(digest);
    if (sb_store_hold(store, err) < 0)
        return -1;
    if (utimensat(store->fd, name.text, NULL, AT_SYMLINK_NOFOLLOW) == 0)
        read_names(store, digest, out);
    sb_store_release(store);
    return 0;
}

bool sb_blob_known(struct sb_store *store, const struct sb_digest *digest, uint64_t size) {
    sb_autostrings struct sb_strings names = {0};
    /* Both are marked: whoever has the blob may want to mount it from where it came. */
    bool origin = sb_blob_origins(store, digest, &names, NULL) == 0 && names.n > 0;
    return sb_blob_has(store, digest, size) || origin;
}

/* ---- fetching ---- */

static int missing(struct sb_store *store, const struct sb_descriptor *blob, bool known,
                   struct sb_error *err) {
    sb_fail(err, SB_E_NOT_FOUND, "the blob %s is not in the store %s",
            sb_digest_text(&blob->digest).text, store->path);
    return known ? sb_error_hint(err, "it was left in a registry, and this command asks none: "
                                      "pull the image first")
                 : -1;
}

static int fetch(struct sb_store *store, const struct sb_descriptor *blob,
                 const struct sb_blob_source *source, bool *out_fetched, struct sb_error *err) {
    sb_autostrings struct sb_strings names = {0};
    if (sb_blob_origins(store, &blob->digest, &names, err) < 0)
        return -1;
    if (!source->fetch || names.n == 0)
        return missing(store, blob, names.n > 0, err);
    sb_autofree char *path = sb_format("keys/blob-%s", sb_digest_hex(&blob->digest).text);
    sb_autoclose int lock = sb_lock_take(store->private_fd, path, SB_LOCK_EXCLUSIVE, err);
    if (lock < 0)
        return -1;
    if (sb_blob_has(store, &blob->digest, blob->size))
        return 0; /* whoever had the lock has fetched it */
    *out_fetched = true;
    if (source->fetch(source->data, store, blob, &names, err) < 0)
        return -1;
    if (!sb_blob_has(store, &blob->digest, blob->size))
        return missing(store, blob, false, err);
    return 0;
}

int sb_blob_need_from(struct sb_store *store, const struct sb_descriptor *blob,
                      const struct sb_blob_source *source, bool *out_fetched,
                      struct sb_error *err) {
    bool fetched = false;
    int rc = sb_blob_has(store, &blob->digest, blob->size)
                 ? 0
                 : fetch(store, blob, source, &fetched, err);
    if (out_fetched)
        *out_fetched = fetched;
    return rc;
}

int sb_blob_need(struct sb_store *store, const struct sb_descriptor *blob, struct sb_error *err) {
    return sb_blob_need_from(store, blob, &store->source, NULL, err);
}
