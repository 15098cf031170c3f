/*
 * tests/unit/maketar: tar archives made by hand, such as no tool would make.
 */
#ifndef SB_TESTS_UNIT_MAKETAR_H
#define SB_TESTS_UNIT_MAKETAR_H

#include <stdio.h>
#include <string.h>

#include "base/buffer.h"

static inline void maketar_checksum(char *header) {
    unsigned sum = 0;
    memset(header + 148, ' ', 8);
    for (int i = 0; i < 512; i++)
        sum += (unsigned char)header[i];
    snprintf(header + 148, 8, "%06o", sum);
}

static inline void maketar_raw(struct sb_buf *tar, char type, const char *name, const char *link,
                               unsigned mode, const void *data, size_t len) {
    char h[512] = {0};
    memcpy(h, name, strlen(name) < 100 ? strlen(name) : 100);
    snprintf(h + 100, 8, "%07o", mode);
    snprintf(h + 108, 8, "%07o", 0);
    snprintf(h + 116, 8, "%07o", 0);
    snprintf(h + 124, 12, "%011o", (unsigned)len);
    snprintf(h + 136, 12, "%011o", 1700000000u);
    h[156] = type;
    if (link)
        memcpy(h + 157, link, strlen(link) < 100 ? strlen(link) : 100);
    memcpy(h + 257, "ustar\00000", 8);
    if (type == '3' || type == '4') { /* "link" is "MAJOR,MINOR" */
        unsigned device_major = 0, device_minor = 0;
        sscanf(link, "%u,%u", &device_major, &device_minor);
        memset(h + 157, 0, 100);
        snprintf(h + 329, 8, "%07o", device_major);
        snprintf(h + 337, 8, "%07o", device_minor);
    }
    maketar_checksum(h);
    sb_buf_add(tar, h, sizeof h);
    if (len > 0)
        sb_buf_add(tar, data, len);
    static const char zeros[512];
    sb_buf_add(tar, zeros, -len % 512);
}

static inline void maketar_file(struct sb_buf *tar, const char *name, const char *text) {
    maketar_raw(tar, '0', name, NULL, 0644, text, strlen(text));
}

static inline void maketar_dir(struct sb_buf *tar, const char *name, unsigned mode) {
    maketar_raw(tar, '5', name, NULL, mode, NULL, 0);
}

static inline void maketar_symlink(struct sb_buf *tar, const char *name, const char *target) {
    maketar_raw(tar, '2', name, target, 0777, NULL, 0);
}

static inline void maketar_link(struct sb_buf *tar, const char *name, const char *target) {
    maketar_raw(tar, '1', name, target, 0644, NULL, 0);
}

/* A pax record for the entry that follows. */
static inline void maketar_pax(struct sb_buf *tar, const char *key, const void *value, size_t len) {
    struct sb_buf record = {0};
    size_t rest = 1 + strlen(key) + 1 + len + 1, total = rest + 1;
    char digits[24];
    while ((size_t)snprintf(digits, sizeof digits, "%zu", total) + rest != total)
        total++;
    sb_buf_addf(&record, "%zu %s=", total, key);
    sb_buf_add(&record, value, len);
    sb_buf_addc(&record, '\n');
    maketar_raw(tar, 'x', "pax", NULL, 0644, record.data, record.len);
    sb_buf_free(&record);
}

static inline void maketar_end(struct sb_buf *tar) {
    static const char zeros[1024];
    sb_buf_add(tar, zeros, sizeof zeros);
}

#endif
