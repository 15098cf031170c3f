/*
 * Which trees share files with which, and what they take together.
 *
 *     trees/HEX/family     names of trees, one a line; two trees may share files only when their
 *                          families have a name in common. Without the file a tree's family is its
 *                          own name. The trees named need not be there any more.
 *     trees/HEX/size       bytes, of the tree alone
 *     trees/HEX/together   a digest that says which trees, this one the first of them, and the
 *                          bytes of all. Trees never change, and so neither does that.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/memory.h"
#include "layers/inventory.h"
#include "layers/trees.h"

#define FAMILY_LIMIT (1u << 20)

/* "trees/HEX/NAME", relative to STORE/sbuild. */
static char *path_in(const char *hex, const char *name) {
    return sb_format("trees/%s/%s", hex, name);
}

static void read_family(struct sb_store *store, const char *hex, struct sb_strings *out) {
    sb_autofree char *path = path_in(hex, "family");
    sb_autobuf struct sb_buf text = {0};
    struct sb_digest digest;
    char *rest = NULL;
    size_t before = out->n;
    if (sb_file_read(sb_store_private_fd(store), path, FAMILY_LIMIT, &text, NULL) == 0)
        for (char *line = text.len ? strtok_r(text.data, "\n", &rest) : NULL; line;
             line = strtok_r(NULL, "\n", &rest))
            if (sb_digest_parse_hex(line, &digest) && !sb_strings_has(out, line))
                sb_strings_add(out, line);
    if (out->n == before && !sb_strings_has(out, hex))
        sb_strings_add(out, hex);
}

int sb_tree_note_family(struct sb_store *store, int dirfd, const struct sb_digest *shared,
                        size_t count, struct sb_error *err) {
    sb_autostrings struct sb_strings family = {0};
    sb_autobuf struct sb_buf text = {0};
    for (size_t i = 0; i < count; i++)
        read_family(store, sb_digest_hex(&shared[i]).text, &family);
    for (size_t i = 0; i < family.n; i++)
        sb_buf_addf(&text, "%s\n", family.v[i]);
    sb_autoclose int fd = openat(dirfd, "family", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0)
        return sb_fail_errno(err, SB_E_IO, "creating family");
    return sb_fd_write(fd, text.data, text.len, "family", err);
}

/* ---- sizes ---- */

static void remember(struct sb_store *store, const char *path, const char *key, uint64_t bytes) {
    sb_autobuf struct sb_buf text = {0};
    sb_buf_addf(&text, "%s%" PRIu64 "\n", key, bytes);
    sb_store_publish(store, path, text.data, text.len, NULL); /* or it is measured again */
}

/* What was remembered under that key, which is in front of it. */
static bool recall(struct sb_store *store, const char *path, const char *key, uint64_t *out) {
    sb_autobuf struct sb_buf text = {0};
    if (sb_file_read(sb_store_fd(store), path, 128, &text, NULL) < 0 ||
        strncmp(sb_buf_text(&text), key, strlen(key)) != 0)
        return false;
    return sscanf(sb_buf_text(&text) + strlen(key), "%" SCNu64, out) == 1;
}

/* 0 when there is no such tree. One that is made anew is another file. */
static ino_t inode_of(struct sb_store *store, const char *hex) {
    sb_autofree char *fs = path_in(hex, "fs");
    struct stat st;
    return fstatat(sb_store_private_fd(store), fs, &st, AT_SYMLINK_NOFOLLOW) < 0 ? 0 : st.st_ino;
}

/* "DIGEST " of which trees these are; nothing for one alone, whose size lies in itself. */
static char *key_of(struct sb_store *store, const struct sb_strings *names) {
    sb_autobuf struct sb_buf all = {0};
    for (size_t i = 0; i < names->n; i++)
        sb_buf_addf(&all, "%s %llu\n", names->v[i],
                    (unsigned long long)inode_of(store, names->v[i]));
    struct sb_digest digest = sb_digest_of(all.data, all.len);
    return names->n > 1 ? sb_format("%s ", sb_digest_hex(&digest).text) : sb_strdup("");
}

/* names are sorted. */
static uint64_t size_together(struct sb_store *store, const struct sb_strings *names) {
    sb_autofree char *key = key_of(store, names);
    sb_autofree char *path =
        sb_format("sbuild/trees/%s/%s", names->v[0], names->n > 1 ? "together" : "size");
    uint64_t bytes;
    if (recall(store, path, key, &bytes))
        return bytes;
    sb_autoclose int trees =
        openat(sb_store_private_fd(store), "trees", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (trees < 0)
        return 0;
    bytes = sb_disk_usage_together(trees, names);
    remember(store, path, key, bytes);
    return bytes;
}

struct member {
    char *hex;
    struct sb_strings family;
    bool counted;
};

static bool related(const struct sb_strings *family, const struct member *m) {
    for (size_t i = 0; i < m->family.n; i++)
        if (sb_strings_has(family, m->family.v[i]))
            return true;
    return false;
}

/* Takes into names all that are related to what is in it, over any number of others. */
static void gather(struct member *members, size_t count, struct sb_strings *family,
                   struct sb_strings *names) {
    for (bool more = true; more;) {
        more = false;
        for (size_t i = 0; i < count; i++) {
            struct member *m = &members[i];
            if (m->counted || !related(family, m))
                continue;
            m->counted = more = true;
            if (!sb_strings_has(names, m->hex))
                sb_strings_add(names, m->hex);
            sb_strings_copy(family, &m->family);
        }
    }
    sb_strings_sort(names);
}

uint64_t sb_trees_size(struct sb_store *store, const struct sb_digest *diff_ids, size_t count) {
    sb_autofree struct member *members = sb_alloc((count + 1) * sizeof *members);
    size_t n = 0;
    uint64_t bytes = 0;
    for (size_t i = 0; i < count; i++) {
        struct sb_digest_hex hex = sb_digest_hex(&diff_ids[i]);
        if (inode_of(store, hex.text) == 0)
            continue;
        members[n].hex = sb_strdup(hex.text);
        read_family(store, hex.text, &members[n++].family);
    }
    for (size_t i = 0; i < n; i++) {
        sb_autostrings struct sb_strings names = {0}, family = {0};
        if (members[i].counted)
            continue;
        sb_strings_copy(&family, &members[i].family);
        gather(members, n, &family, &names);
        bytes += size_together(store, &names);
    }
    for (size_t i = 0; i < n; i++) {
        free(members[i].hex);
        sb_strings_free(&members[i].family);
    }
    return bytes;
}
