/*
 * tests/unit/sametree: two directory trees, compared in everything that a layer keeps.
 */
#ifndef SB_TESTS_UNIT_SAMETREE_H
#define SB_TESTS_UNIT_SAMETREE_H

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/digest.h"
#include "base/memory.h"

/* Writes down a file at path: type, mode, owner, size, time, device, links, xattrs, content. */
static inline void sametree_describe(int dirfd, const char *name, struct sb_buf *out) {
    struct stat st;
    if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
        sb_buf_adds(out, "missing");
        return;
    }
    sb_buf_addf(out, "%o %u:%u %lld %lld.%09ld dev %llx links %u", st.st_mode, st.st_uid, st.st_gid,
                S_ISDIR(st.st_mode) ? 0LL : (long long)st.st_size, (long long)st.st_mtim.tv_sec,
                st.st_mtim.tv_nsec,
                S_ISCHR(st.st_mode) || S_ISBLK(st.st_mode) ? (unsigned long long)st.st_rdev : 0,
                S_ISDIR(st.st_mode) ? 0 : (unsigned)st.st_nlink);
    char text[65536];
    if (S_ISLNK(st.st_mode)) {
        ssize_t n = readlinkat(dirfd, name, text, sizeof text);
        sb_buf_addf(out, " -> %.*s", (int)n, text);
    }
    if (S_ISREG(st.st_mode) && st.st_size < 1 << 30) {
        sb_autoclose int fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC);
        struct sb_digest digest = {{0}};
        sb_digest_of_fd(fd, &digest, NULL, NULL);
        sb_buf_addf(out, " %s", sb_digest_hex(&digest).text);
    }
    sb_autofree char *path = sb_format("/proc/self/fd/%d/%s", dirfd, name);
    sb_autostrings struct sb_strings names = {0};
    ssize_t n = llistxattr(path, text, sizeof text);
    for (ssize_t at = 0; at < n; at += (ssize_t)strlen(text + at) + 1)
        sb_strings_add(&names, text + at);
    sb_strings_sort(&names);
    for (size_t i = 0; i < names.n; i++) {
        ssize_t len = lgetxattr(path, names.v[i], text, sizeof text);
        struct sb_digest digest = sb_digest_of(text, len > 0 ? (size_t)len : 0);
        sb_buf_addf(out, " %s=%zd:%.12s", names.v[i], len, sb_digest_hex(&digest).text);
    }
}

static inline void sametree_names(int dirfd, struct sb_strings *out) {
    int copy = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    sb_autoclosedir DIR *dir = fdopendir(copy);
    for (struct dirent *e; dir && (e = readdir(dir));)
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0 &&
            !sb_strings_has(out, e->d_name))
            sb_strings_add(out, e->d_name);
}

/* Returns the number of differences, and prints them. */
static inline int sametree_compare(int a, int b, const char *where) {
    int differences = 0;
    sb_autostrings struct sb_strings names = {0};
    sametree_names(a, &names);
    sametree_names(b, &names);
    sb_strings_sort(&names);
    for (size_t i = 0; i < names.n; i++) {
        const char *name = names.v[i];
        sb_autobuf struct sb_buf one = {0}, two = {0};
        sametree_describe(a, name, &one);
        sametree_describe(b, name, &two);
        if (strcmp(one.data, two.data) != 0) {
            printf("%s/%.60s:\n    %s\n    %s\n", where, name, one.data, two.data);
            differences++;
        }
        sb_autoclose int sub_a = openat(a, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        sb_autoclose int sub_b = openat(b, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (sub_a >= 0 && sub_b >= 0)
            differences += sametree_compare(sub_a, sub_b, name);
    }
    return differences;
}

#endif
