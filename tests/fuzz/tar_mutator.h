/*
 * tests/fuzz/tar_mutator: mutations of tars that stay tars: headers are found, changed field by
 * field, moved and copied whole, and their checksums made right afterwards; a random change would
 * almost never get past the first checksum. For libFuzzer alone: a replay never calls it.
 */
#ifndef SB_TESTS_TAR_MUTATOR_H
#define SB_TESTS_TAR_MUTATOR_H

#include <stdint.h>
#include <stdio.h>
#include <string.h>

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size) __attribute__((weak));
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);

enum { TAR_BLOCK = 512, TAR_HEADERS = 256 };

/* As rand_r, but of good low bits. */
static uint32_t tar_random(uint32_t *state, uint32_t n) {
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    return n ? *state % n : 0;
}

static uint64_t tar_size_of(const uint8_t *header) {
    uint64_t size = 0;
    if (header[124] & 0x80) {
        for (int i = 128; i < 136; i++)
            size = size << 8 | header[i];
        return size;
    }
    for (int i = 124; i < 136 && header[i] >= '0' && header[i] <= '7'; i++)
        size = size * 8 + (uint64_t)(header[i] - '0');
    return size;
}

static bool tar_is_header(const uint8_t *block) {
    return block[0] || block[257] || block[156];
}

static void tar_fix_checksum(uint8_t *header) {
    unsigned sum = 0;
    memset(header + 148, ' ', 8);
    for (int i = 0; i < TAR_BLOCK; i++)
        sum += header[i];
    snprintf((char *)header + 148, 7, "%06o", sum);
    header[155] = ' ';
}

/* The headers' offsets; returns how many. */
static size_t tar_headers(const uint8_t *data, size_t size, size_t *out) {
    size_t n = 0;
    for (size_t at = 0; at + TAR_BLOCK <= size && n < TAR_HEADERS; at += TAR_BLOCK) {
        if (!tar_is_header(data + at))
            continue;
        out[n++] = at;
        uint64_t content =
            data[at + 156] == '5' || data[at + 156] == '2' ? 0 : tar_size_of(data + at);
        if (content <= size - at)
            at += (size_t)((content + TAR_BLOCK - 1) / TAR_BLOCK) * TAR_BLOCK;
    }
    return n;
}

static void tar_set(uint8_t *field, size_t room, const char *text) {
    size_t n = strlen(text);
    memset(field, 0, room);
    memcpy(field, text, n < room ? n : room);
}

static void tar_change_field(uint8_t *h, uint32_t *state) {
    static const char *const names[] = {"a",
                                        "a/",
                                        "a/b",
                                        "a/b/c",
                                        "a/.wh.b",
                                        ".wh.a",
                                        "b",
                                        "a/.wh..wh..opq",
                                        "../x",
                                        "/etc/x",
                                        "a/../../x",
                                        "./",
                                        ".",
                                        "",
                                        "b/c/",
                                        "a//b",
                                        ".wh.",
                                        ".wh..wh.plnk",
                                        ".wh..",
                                        "a/.",
                                        "..",
                                        "/",
                                        "PaxHeaders/a",
                                        "././@LongLink",
                                        "c"};
    static const char *const numbers[] = {
        "0000000",     "0000644", "0004755", "0007777", "00000000001",  "00000001000",
        "77777777777", "-1",      "",        "9",       "00000000777 ", "\200\0\0\0\0\0\0\0\0\0\1",
        "00000004000"};
    static const char types[] = "0123456 7xgLKSDMVNA";
    static const struct {
        uint16_t at, room;
    } fields[] = {{100, 8}, {108, 8},  {116, 8},  {124, 12}, {136, 12}, {329, 8},
                  {337, 8}, {386, 12}, {398, 12}, {482, 1},  {483, 12}};
    const char *name = names[tar_random(state, sizeof names / sizeof *names)];
    const char *number = numbers[tar_random(state, sizeof numbers / sizeof *numbers)];
    switch (tar_random(state, 8)) {
    case 0:
    case 1:
        tar_set(h, 100, name);
        return;
    case 2:
        tar_set(h + 157, 100, name);
        return;
    case 3:
    case 4:
        h[156] = (uint8_t)types[tar_random(state, sizeof types)];
        return;
    case 5:
        tar_set(h + 345, 155, name);
        return;
    case 6:
        memcpy(h + 257, tar_random(state, 2) ? "ustar\00000" : "ustar  ", 8);
        return;
    default: {
        size_t i = tar_random(state, sizeof fields / sizeof *fields);
        tar_set(h + fields[i].at, fields[i].room, number);
    }
    }
}

/* A header with its content, at that place. */
static size_t tar_insert(uint8_t *data, size_t size, size_t max_size, size_t at,
                         const uint8_t *bytes, size_t n) {
    if (n > max_size || size > max_size - n)
        return size;
    memmove(data + at + n, data + at, size - at);
    memcpy(data + at, bytes, n);
    return size + n;
}

static size_t tar_insert_extension(uint8_t *data, size_t size, size_t max_size, size_t at,
                                   uint32_t *state) {
    static const char *const records[] = {"path=a/b",
                                          "linkpath=a",
                                          "size=1",
                                          "size=0",
                                          "uid=4294967294",
                                          "gid=-1",
                                          "mtime=1.5",
                                          "mtime=-1.25",
                                          "SCHILY.xattr.user.a=b",
                                          "SCHILY.xattr.trusted.overlay.opaque=y",
                                          "LIBARCHIVE.xattr.user.a=Yg",
                                          "SCHILY.xattr.security.capability=x",
                                          "GNU.sparse.major=1",
                                          "GNU.sparse.minor=0",
                                          "GNU.sparse.realsize=1024",
                                          "GNU.sparse.name=a",
                                          "GNU.sparse.map=0,1",
                                          "SCHILY.acl.access=user::rwx",
                                          "hdrcharset=BINARY",
                                          "SCHILY.devmajor=1",
                                          "path=../x",
                                          "GNU.sparse.size=9",
                                          "GNU.sparse.offset=0",
                                          "GNU.sparse.numbytes=1",
                                          "path=",
                                          "SUN.holesdata= 0 1"};
    uint8_t block[2 * TAR_BLOCK] = {0};
    char text[128];
    const char *record = records[tar_random(state, sizeof records / sizeof *records)];
    int n = snprintf(text, sizeof text, "%zu %s\n", strlen(record) + 4, record);
    bool long_name = tar_random(state, 4) == 0;
    if (long_name)
        n = snprintf(text, sizeof text, "%s", strchr(record, '=') + 1) + 1;
    tar_set(block, 100, long_name ? "././@LongLink" : "PaxHeaders/a");
    tar_set(block + 100, 8, "0000644");
    snprintf((char *)block + 124, 12, "%011o", (unsigned)n);
    block[156] =
        long_name ? (tar_random(state, 2) ? 'L' : 'K') : (tar_random(state, 8) ? 'x' : 'g');
    memcpy(block + 257, "ustar\00000", 8);
    memcpy(block + TAR_BLOCK, text, (size_t)n);
    return tar_insert(data, size, max_size, at, block, sizeof block);
}

static size_t tar_mutate(uint8_t *data, size_t size, size_t max_size, uint32_t *state) {
    size_t headers[TAR_HEADERS], n = tar_headers(data, size, headers);
    uint8_t copy[8 * TAR_BLOCK];
    if (n == 0)
        return LLVMFuzzerMutate(data, size, max_size);
    size_t i = tar_random(state, (uint32_t)n), at = headers[i];
    size_t end = i + 1 < n ? headers[i + 1] : size, len = end - at;
    switch (tar_random(state, 8)) {
    case 0:
        return LLVMFuzzerMutate(data, size, max_size);
    case 1: /* another one away */
        memmove(data + at, data + end, size - end);
        return size - len;
    case 2: /* one again, elsewhere */
        if (len > sizeof copy)
            len = TAR_BLOCK;
        memcpy(copy, data + at, len);
        return tar_insert(data, size, max_size, headers[tar_random(state, (uint32_t)n)], copy, len);
    case 3:
        return tar_insert_extension(data, size, max_size, at, state);
    case 4: /* its bytes by chance */
        if (len > sizeof copy)
            len = sizeof copy;
        LLVMFuzzerMutate(data + at, len, len);
        return size;
    case 5: /* a new one */
        memset(copy, 0, TAR_BLOCK);
        memcpy(copy, data + at, TAR_BLOCK);
        tar_change_field(copy, state);
        return tar_insert(data, size, max_size, at, copy, TAR_BLOCK);
    default:
        tar_change_field(data + at, state);
        return size;
    }
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed) {
    uint32_t state = seed | 1;
    size_t headers[TAR_HEADERS];
    for (uint32_t i = 1 + tar_random(&state, 4); i > 0; i--)
        size = tar_mutate(data, size, max_size, &state);
    if (tar_random(&state, 16) == 0)
        return size;
    for (size_t i = 0, n = tar_headers(data, size, headers); i < n; i++)
        tar_fix_checksum(data + headers[i]);
    return size;
}

#endif
