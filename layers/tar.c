#include "layers/tar.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* IEEE Std 1003.1-2017, pax, "ustar Interchange Format". */
struct ustar {
    char name[100];
    char mode[8];
    char uid[8];
    char gid[8];
    char size[12];
    char mtime[12];
    char checksum[8];
    char type;
    char link[100];
    char magic[6];
    char version[2];
    char user_name[32];
    char group_name[32];
    char device_major[8];
    char device_minor[8];
    char prefix[155];
    char unused[12];
};
_Static_assert(sizeof(struct ustar) == SB_TAR_BLOCK, "a ustar header is one block");

/* The largest numbers of 7 and 11 octal digits. */
#define OCTAL_7  07777777u
#define OCTAL_11 077777777777u

/* Go's archive/tar, and with it containerd, refuses longer extended headers. */
#define PAX_LIMIT (1u << 20)

static void put_octal(char *field, size_t width, uint64_t value) {
    for (size_t i = width - 1; i-- > 0; value >>= 3)
        field[i] = (char)('0' + (value & 7));
    field[width - 1] = '\0';
}

static void put_magic_and_checksum(struct ustar *h) {
    memcpy(h->magic, "ustar", 6);
    memcpy(h->version, "00", 2);
    memset(h->checksum, ' ', sizeof h->checksum);
    unsigned sum = 0;
    const unsigned char *bytes = (const unsigned char *)h;
    for (size_t i = 0; i < sizeof *h; i++)
        sum += bytes[i];
    put_octal(h->checksum, 7, sum); /* six digits, NUL, and the space that is there */
}

/* "LENGTH key=value\n", where LENGTH counts itself. */
static void add_record(struct sb_buf *pax, const char *prefix, const char *key, const void *value,
                       size_t value_len) {
    size_t rest = strlen(prefix) + strlen(key) + value_len + 3; /* " ", "=", "\n" */
    size_t digits = 1;
    for (size_t limit = 10; rest + digits >= limit; limit *= 10)
        digits++;
    sb_buf_addf(pax, "%zu %s%s=", rest + digits, prefix, key);
    sb_buf_add(pax, value, value_len);
    sb_buf_addc(pax, '\n');
}

static void add_text_record(struct sb_buf *pax, const char *key, const char *value) {
    add_record(pax, "", key, value, strlen(value));
}

static void add_number_record(struct sb_buf *pax, const char *key, uint64_t value) {
    char text[24];
    snprintf(text, sizeof text, "%llu", (unsigned long long)value);
    add_text_record(pax, key, text);
}

/* Decimal seconds without trailing zeros. -0.5 is second -1 and 500,000,000 ns. */
static void add_mtime_record(struct sb_buf *pax, int64_t seconds, uint32_t nanoseconds) {
    uint64_t whole = (uint64_t)seconds;
    uint32_t fraction = nanoseconds;
    if (seconds < 0 && nanoseconds > 0) {
        whole = -(whole + 1);
        fraction = 1000000000 - nanoseconds;
    } else if (seconds < 0) {
        whole = -whole;
    }
    char text[48];
    int n = snprintf(text, sizeof text, "%s%llu.%09u", seconds < 0 ? "-" : "",
                     (unsigned long long)whole, fraction);
    while (text[n - 1] == '0')
        n--;
    if (text[n - 1] == '.')
        n--;
    text[n] = '\0';
    add_text_record(pax, "mtime", text);
}

/* Puts a path into name, or prefix and name parted at the last "/" that leaves prefix short enough;
 * false when neither holds it. */
static bool put_path(struct ustar *h, const char *path, size_t len) {
    if (len <= sizeof h->name) {
        memcpy(h->name, path, len);
        return true;
    }
    size_t cut = len - 2 < sizeof h->prefix ? len - 2 : sizeof h->prefix;
    while (cut > 0 && path[cut] != '/')
        cut--;
    if (cut == 0 || len - cut - 1 > sizeof h->name)
        return false;
    memcpy(h->prefix, path, cut);
    memcpy(h->name, path + cut + 1, len - cut - 1);
    return true;
}

static int check_path(const struct sb_entry *e, struct sb_error *err) {
    size_t len = strlen(e->path);
    if (len == 0 || e->path[0] == '/' || e->path[len - 1] == '/')
        return sb_fail(err, SB_E_FAILED, "\"%s\" is not a relative path of a layer", e->path);
    if (len > SB_PATH_LIMIT)
        return sb_fail(err, SB_E_FAILED,
                       "%.100s…: the path has %zu bytes, and at most %d can be"
                       " in a layer",
                       e->path, len, SB_PATH_LIMIT);
    if ((e->hard_link || S_ISLNK(e->mode)) && (!e->link || !e->link[0]))
        return sb_fail(err, SB_E_FAILED, "%s: a link without a target", e->path);
    if (e->link && strlen(e->link) > SB_PATH_LIMIT)
        return sb_fail(err, SB_E_FAILED,
                       "%s: the link's target has %zu bytes, and at most %d can"
                       " be in a layer",
                       e->path, strlen(e->link), SB_PATH_LIMIT);
    return 0;
}

static int add_xattr_records(const struct sb_entry *e, struct sb_buf *pax, struct sb_error *err) {
    for (size_t i = 0; i < e->xattr_count; i++) {
        const struct sb_xattr *x = &e->xattrs[i];
        if (strchr(x->name, '='))
            return sb_fail(err, SB_E_FAILED,
                           "%s: the extended attribute %s has \"=\" in its name,"
                           " which a layer can't hold",
                           e->path, x->name);
        if (x->value_len > SB_XATTR_LIMIT || pax->len + x->value_len > PAX_LIMIT - 16384)
            return sb_fail(err, SB_E_FAILED, "%s: more extended attributes than a layer can hold",
                           e->path);
        add_record(pax, "SCHILY.xattr.", x->name, x->value, x->value_len);
    }
    return 0;
}

static char type_of(const struct sb_entry *e) {
    if (e->hard_link)
        return '1';
    switch (e->mode & S_IFMT) {
    case S_IFREG:
        return '0';
    case S_IFLNK:
        return '2';
    case S_IFCHR:
        return '3';
    case S_IFBLK:
        return '4';
    case S_IFDIR:
        return '5';
    case S_IFIFO:
        return '6';
    default:
        return '\0';
    }
}

/* Fills h with what fits, and pax, in byte order of its keys, with what does not. */
static int put_values(const struct sb_entry *e, struct ustar *h, struct sb_buf *pax,
                      struct sb_error *err) {
    if (add_xattr_records(e, pax, err) < 0)
        return -1;
    put_octal(h->mode, sizeof h->mode, e->mode & 07777);
    put_octal(h->gid, sizeof h->gid, e->gid <= OCTAL_7 ? e->gid : 0);
    if (e->gid > OCTAL_7)
        add_number_record(pax, "gid", e->gid);

    const char *link = e->link && (h->type == '1' || h->type == '2') ? e->link : "";
    size_t link_len = strlen(link);
    if (link_len > sizeof h->link)
        add_text_record(pax, "linkpath", link);
    /* Its beginning at least: libarchive takes a link without any for none, whatever pax says. */
    memcpy(h->link, link, link_len < sizeof h->link ? link_len : sizeof h->link);

    bool mtime_fits = e->mtime >= 0 && (uint64_t)e->mtime <= OCTAL_11;
    put_octal(h->mtime, sizeof h->mtime, mtime_fits ? (uint64_t)e->mtime : 0);
    if (!mtime_fits || e->mtime_nsec)
        add_mtime_record(pax, e->mtime, e->mtime_nsec);

    char path[SB_PATH_LIMIT + 2];
    size_t len = (size_t)snprintf(path, sizeof path, "%s%s", e->path, h->type == '5' ? "/" : "");
    if (!put_path(h, path, len))
        add_text_record(pax, "path", path);

    uint64_t size = h->type == '0' ? e->size : 0;
    put_octal(h->size, sizeof h->size, size <= OCTAL_11 ? size : 0);
    if (size > OCTAL_11)
        add_number_record(pax, "size", size);

    put_octal(h->uid, sizeof h->uid, e->uid <= OCTAL_7 ? e->uid : 0);
    if (e->uid > OCTAL_7)
        add_number_record(pax, "uid", e->uid);

    bool device = h->type == '3' || h->type == '4';
    put_octal(h->device_major, sizeof h->device_major, device ? e->device_major : 0);
    put_octal(h->device_minor, sizeof h->device_minor, device ? e->device_minor : 0);
    return 0;
}

static void add_pax_header(const struct sb_buf *pax, struct sb_buf *out) {
    static const char zeros[SB_TAR_BLOCK];
    struct ustar h = {.name = "././@PaxHeader", .type = 'x'};
    put_octal(h.mode, sizeof h.mode, 0644);
    put_octal(h.uid, sizeof h.uid, 0);
    put_octal(h.gid, sizeof h.gid, 0);
    put_octal(h.size, sizeof h.size, pax->len);
    put_octal(h.mtime, sizeof h.mtime, 0);
    put_octal(h.device_major, sizeof h.device_major, 0);
    put_octal(h.device_minor, sizeof h.device_minor, 0);
    put_magic_and_checksum(&h);
    sb_buf_add(out, &h, sizeof h);
    sb_buf_add(out, pax->data, pax->len);
    sb_buf_add(out, zeros, sb_tar_padding(pax->len));
}

int sb_tar_header(const struct sb_entry *entry, struct sb_buf *out, struct sb_error *err) {
    struct ustar h = {.type = type_of(entry)};
    if (check_path(entry, err) < 0)
        return -1;
    if (h.type == '\0')
        return sb_fail(err, SB_E_FAILED, "%s: a file of a type that a layer can't hold (mode %o)",
                       entry->path, (unsigned)entry->mode);
    if (entry->mtime_nsec >= 1000000000)
        return sb_fail(err, SB_E_FAILED, "%s: %u nanoseconds in its modification time", entry->path,
                       entry->mtime_nsec);
    if ((S_ISCHR(entry->mode) || S_ISBLK(entry->mode)) &&
        (entry->device_major > OCTAL_7 || entry->device_minor > OCTAL_7))
        return sb_fail(err, SB_E_FAILED, "%s: device number %u:%u is too large for a layer",
                       entry->path, entry->device_major, entry->device_minor);
    sb_autobuf struct sb_buf pax = {0};
    if (put_values(entry, &h, &pax, err) < 0)
        return -1;
    if (pax.len > 0)
        add_pax_header(&pax, out);
    put_magic_and_checksum(&h);
    sb_buf_add(out, &h, sizeof h);
    return 0;
}
