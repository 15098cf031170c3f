#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/file.h"
#include "base/memory.h"
#include "layers/reader.h"
#include "layers/tar.h"
#include "layers/walk.h"
#include "tests/unit/test.h"

/* The records of the pax header that encoding entry makes, "" for none, "error" for a refusal. */
static char *records_of(const struct sb_entry *entry) {
    struct sb_error err = {0};
    sb_autobuf struct sb_buf out = {0};
    if (sb_tar_header(entry, &out, &err) < 0) {
        CHECK_INT(out.len, 0);
        return sb_strdup("error");
    }
    CHECK_INT(out.len % SB_TAR_BLOCK, 0);
    if (out.data[156] != 'x')
        return sb_strdup("");
    char *end;
    size_t size = strtoul(out.data + 124, &end, 8);
    CHECK_STR(out.data, "././@PaxHeader");
    CHECK_INT(out.len, SB_TAR_BLOCK + size + sb_tar_padding(size) + SB_TAR_BLOCK);
    return sb_strndup(out.data + SB_TAR_BLOCK, size);
}

static void check_records(struct sb_entry entry, const char *expected) {
    sb_autofree char *records = records_of(&entry);
    CHECK_STR(records, expected);
}

/* The last block: the ustar header. */
static void header_of(const struct sb_entry *entry, char *block) {
    struct sb_error err = {0};
    sb_autobuf struct sb_buf out = {0};
    memset(block, 0, SB_TAR_BLOCK);
    if (CHECK(sb_tar_header(entry, &out, &err) == 0))
        memcpy(block, out.data + out.len - SB_TAR_BLOCK, SB_TAR_BLOCK);
}

static int compare_links(void *expected, const struct sb_entry *entry, struct sb_entry_data *data,
                         struct sb_error *err) {
    const struct sb_entry *e = expected;
    (void)data;
    (void)err;
    CHECK_STR(entry->path, e->path);
    CHECK_STR(entry->link, e->link);
    CHECK_INT(entry->hard_link, e->hard_link);
    return 0;
}

/* What our own reader makes of it. */
static void check_read_back(struct sb_entry entry) {
    static const char end[2 * SB_TAR_BLOCK];
    struct sb_error err = {0};
    sb_autobuf struct sb_buf out = {0};
    struct sb_layer_reader *reader;
    sb_autoclose int fd = memfd_create("tar", MFD_CLOEXEC);
    if (!CHECK(sb_tar_header(&entry, &out, &err) == 0))
        return;
    sb_buf_add(&out, end, sizeof end);
    CHECK(sb_fd_write(fd, out.data, out.len, "a tar", &err) == 0 && lseek(fd, 0, SEEK_SET) == 0);
    if (!CHECK(sb_layer_reader_fd(fd, &reader, &err) == 0))
        return;
    CHECK_INT(sb_layer_reader_walk(reader, compare_links, &entry, &err), 0);
    CHECK_STR(err.message, "");
    sb_layer_reader_abort(reader);
}

static char *repeat(const char *text, size_t count) {
    sb_autobuf struct sb_buf out = {0};
    for (size_t i = 0; i < count; i++)
        sb_buf_adds(&out, text);
    return sb_buf_steal(&out);
}

static void test_plain_header(void) {
    struct sb_entry e = {.path = "usr/bin/env",
                         .mode = S_IFREG | 04755,
                         .uid = 1000,
                         .gid = 8,
                         .size = 12345,
                         .mtime = 1700000000};
    char h[SB_TAR_BLOCK];
    header_of(&e, h);
    CHECK_STR(h, "usr/bin/env");
    CHECK_STR(h + 100, "0004755");
    CHECK_STR(h + 108, "0001750");
    CHECK_STR(h + 116, "0000010");
    CHECK_STR(h + 124, "00000030071");
    CHECK_STR(h + 136, "14524770400");
    CHECK_INT(h[156], '0');
    CHECK(!memcmp(h + 257, "ustar\00000", 8));
    CHECK_STR(h + 265, "");
    CHECK_STR(h + 329, "0000000");
    unsigned sum = 0;
    for (int i = 0; i < SB_TAR_BLOCK; i++)
        sum += i >= 148 && i < 156 ? ' ' : (unsigned char)h[i];
    CHECK_INT(strtoul(h + 148, NULL, 8), sum);
    CHECK_INT(h[154], '\0');
    CHECK_INT(h[155], ' ');
    check_records(e, "");
}

static void test_types(void) {
    static const struct {
        mode_t mode;
        char type;
    } types[] = {{S_IFREG, '0'}, {S_IFLNK, '2'}, {S_IFCHR, '3'},
                 {S_IFBLK, '4'}, {S_IFDIR, '5'}, {S_IFIFO, '6'}};
    char h[SB_TAR_BLOCK];
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        struct sb_entry e = {.path = "x",
                             .link = "target",
                             .mode = types[i].mode | 0644,
                             .size = 5,
                             .device_major = 8,
                             .device_minor = 17};
        bool device = S_ISCHR(e.mode) || S_ISBLK(e.mode);
        header_of(&e, h);
        CHECK_INT(h[156], types[i].type);
        CHECK_STR(h, S_ISDIR(e.mode) ? "x/" : "x");
        CHECK_STR(h + 157, S_ISLNK(e.mode) ? "target" : "");
        CHECK_STR(h + 124, S_ISREG(e.mode) ? "00000000005" : "00000000000");
        CHECK_STR(h + 329, device ? "0000010" : "0000000");
        CHECK_STR(h + 337, device ? "0000021" : "0000000");
    }
    struct sb_entry hard = {
        .path = "x", .link = "a/b", .mode = S_IFREG | 0644, .hard_link = true, .size = 5};
    header_of(&hard, h);
    CHECK_INT(h[156], '1');
    CHECK_STR(h + 124, "00000000000");
    CHECK_STR(h + 157, "a/b");
}

static void test_paths(void) {
    sb_autofree char *a50 = repeat("a", 50), *b100 = repeat("b", 100), *c155 = repeat("c", 155);
    sb_autofree char *b101 = repeat("b", 101), *c156 = repeat("c", 156);
    sb_autofree char *widest = sb_format("%s/%s", c155, b100);
    sb_autofree char *wider = sb_format("%s/%s", c156, b100);
    sb_autofree char *split = sb_format("%s/%s/%s", a50, a50, a50);
    char h[SB_TAR_BLOCK];

    check_records((struct sb_entry){.path = b100, .mode = S_IFREG}, "");
    header_of(&(struct sb_entry){.path = b100, .mode = S_IFREG}, h);
    CHECK(!memcmp(h, b100, 100) && h[100] == '0' && h[345] == '\0');

    header_of(&(struct sb_entry){.path = widest, .mode = S_IFREG}, h);
    CHECK(!memcmp(h, b100, 100) && !memcmp(h + 345, c155, 155));
    check_records((struct sb_entry){.path = widest, .mode = S_IFREG}, "");

    header_of(&(struct sb_entry){.path = split, .mode = S_IFREG}, h);
    CHECK_STR(h, a50); /* the last slash that fits */
    CHECK_INT(strlen(h + 345), 101);

    sb_autofree char *long_name = sb_format("111 path=%s\n", b101);
    check_records((struct sb_entry){.path = b101, .mode = S_IFREG}, long_name);
    sb_autofree char *long_dir = sb_format("111 path=%s/\n", b100);
    check_records((struct sb_entry){.path = b100, .mode = S_IFDIR}, long_dir);
    sb_autofree char *too_wide = sb_format("267 path=%s\n", wider);
    check_records((struct sb_entry){.path = wider, .mode = S_IFREG}, too_wide);
    /* A name of 100 bytes and the slash of a directory fit no name field, so nothing is split. */
    sb_autofree char *deep_dir = sb_format("%s/%s", a50, b100);
    sb_autofree char *deep_record = sb_format("162 path=%s/\n", deep_dir);
    check_records((struct sb_entry){.path = deep_dir, .mode = S_IFDIR}, deep_record);

    header_of(&(struct sb_entry){.path = "caf\xe9/\xff", .mode = S_IFREG}, h);
    CHECK_STR(h, "caf\xe9/\xff"); /* bytes are bytes */
    check_records((struct sb_entry){.path = "caf\xe9/\xff", .mode = S_IFREG}, "");
}

static void test_links(void) {
    sb_autofree char *l100 = repeat("l", 100), *l101 = repeat("l", 101);
    sb_autofree char *record = sb_format("115 linkpath=%s\n", l101);
    char h[SB_TAR_BLOCK];
    check_records((struct sb_entry){.path = "x", .mode = S_IFLNK, .link = l100}, "");
    check_records((struct sb_entry){.path = "x", .mode = S_IFLNK, .link = l101}, record);
    check_records((struct sb_entry){.path = "x", .mode = S_IFREG, .link = l101, .hard_link = true},
                  record);
    header_of(&(struct sb_entry){.path = "x", .mode = S_IFLNK, .link = l100}, h);
    CHECK(!memcmp(h + 157, l100, 100) && h[257] == 'u');
    for (int hard = 0; hard < 2; hard++) {
        mode_t mode = hard ? S_IFREG : S_IFLNK;
        check_read_back(
            (struct sb_entry){.path = "x", .mode = mode, .link = l100, .hard_link = hard});
        check_read_back(
            (struct sb_entry){.path = "x", .mode = mode, .link = l101, .hard_link = hard});
    }
}

static void test_numbers(void) {
    struct sb_entry e = {.path = "x",
                         .mode = S_IFREG,
                         .uid = 2097151,
                         .gid = 2097151,
                         .size = 8589934591,
                         .mtime = 8589934591};
    check_records(e, "");
    e.uid = 2097152;
    check_records(e, "15 uid=2097152\n");
    e.gid = 4294967294;
    check_records(e, "18 gid=4294967294\n15 uid=2097152\n");
    e.size = 8589934592;
    check_records(e, "18 gid=4294967294\n19 size=8589934592\n15 uid=2097152\n");
    e.mtime = 8589934592;
    check_records(e, "18 gid=4294967294\n20 mtime=8589934592\n19 size=8589934592\n"
                     "15 uid=2097152\n");
    char h[SB_TAR_BLOCK];
    header_of(&e, h);
    CHECK_STR(h + 108, "0000000");
    CHECK_STR(h + 124, "00000000000");
    CHECK_STR(h + 136, "00000000000");
}

static void test_times(void) {
    static const struct {
        int64_t seconds;
        uint32_t nanoseconds;
        const char *records;
    } times[] = {
        {0, 0, ""},
        {315532799, 0, ""}, /* before 1980 */
        {4102444800, 0, ""},
        {1, 500000000, "13 mtime=1.5\n"},
        {1, 1, "21 mtime=1.000000001\n"},
        {0, 120000000, "14 mtime=0.12\n"},
        {-1, 0, "12 mtime=-1\n"},
        {-1, 500000000, "14 mtime=-0.5\n"},
        {-2, 999999999, "22 mtime=-1.000000001\n"},
        {-315619200, 0, "20 mtime=-315619200\n"},
        {INT64_MIN, 0, "30 mtime=-9223372036854775808\n"},
        {INT64_MAX, 0, "29 mtime=9223372036854775807\n"},
    };
    for (size_t i = 0; i < sizeof times / sizeof *times; i++)
        check_records((struct sb_entry){.path = "x",
                                        .mode = S_IFREG,
                                        .mtime = times[i].seconds,
                                        .mtime_nsec = times[i].nanoseconds},
                      times[i].records);
}

static void test_xattrs(void) {
    struct sb_xattr x[] = {{"security.capability", "\1\0\0\2\n=", 6}, {"user.a", "", 0}};
    struct sb_entry e = {
        .path = "x", .mode = S_IFREG, .uid = 9999999, .xattrs = x, .xattr_count = 2};
    struct sb_error err = {0};
    sb_autobuf struct sb_buf out = {0};
    static const char expected[] = "43 SCHILY.xattr.security.capability=\1\0\0\2\n=\n"
                                   "24 SCHILY.xattr.user.a=\n"
                                   "15 uid=9999999\n";
    CHECK_INT(sb_tar_header(&e, &out, &err), 0);
    CHECK(!memcmp(out.data + SB_TAR_BLOCK, expected, sizeof expected - 1));

    /* The length of a record counts its own digits. */
    for (size_t len = 60; len < 120; len++) {
        sb_autofree char *value = repeat("v", len);
        struct sb_xattr one = {"user.n", value, len};
        e = (struct sb_entry){.path = "x", .mode = S_IFREG, .xattrs = &one, .xattr_count = 1};
        sb_autofree char *records = records_of(&e);
        CHECK_INT(strtoul(records, NULL, 10), strlen(records));
    }
}

static void test_refused(void) {
    sb_autofree char *longest = repeat("ab/", 1365), *longer = repeat("abc/", 1025);
    longest[4094] = 'x'; /* 4,095 bytes, and not a slash at the end */
    longer[4099] = 'x';
    sb_autofree char *accepted = records_of(&(struct sb_entry){.path = longest, .mode = S_IFREG});
    CHECK(strstr(accepted, " path=ab/ab/"));
    check_records((struct sb_entry){.path = longer, .mode = S_IFREG}, "error");
    check_records((struct sb_entry){.path = "", .mode = S_IFREG}, "error");
    check_records((struct sb_entry){.path = "/x", .mode = S_IFREG}, "error");
    check_records((struct sb_entry){.path = "x/", .mode = S_IFDIR}, "error");
    check_records((struct sb_entry){.path = "x", .mode = S_IFSOCK}, "error");
    check_records((struct sb_entry){.path = "x", .mode = S_IFLNK}, "error");
    check_records((struct sb_entry){.path = "x", .mode = S_IFREG, .hard_link = true}, "error");
    check_records((struct sb_entry){.path = "x", .mode = S_IFLNK, .link = longer}, "error");
    check_records((struct sb_entry){.path = "x", .mode = S_IFREG, .mtime_nsec = 1000000000},
                  "error");
    check_records((struct sb_entry){.path = "x", .mode = S_IFCHR, .device_major = 1u << 21},
                  "error");
    struct sb_xattr x = {"user.a=b", "v", 1};
    check_records((struct sb_entry){.path = "x", .mode = S_IFREG, .xattrs = &x, .xattr_count = 1},
                  "error");
    sb_autofree char *value = repeat("0123456789abcdef", 4096);
    struct sb_xattr many[16];
    for (size_t i = 0; i < 16; i++)
        many[i] = (struct sb_xattr){"user.x", value, 65536};
    struct sb_entry e = {.path = "x", .mode = S_IFREG, .xattrs = many, .xattr_count = 15};
    sb_autofree char *fits = records_of(&e);
    CHECK(strcmp(fits, "error") != 0);
    e.xattr_count = 16;
    check_records(e, "error");
}

int main(void) {
    test_plain_header();
    test_types();
    test_paths();
    test_links();
    test_numbers();
    test_times();
    test_xattrs();
    test_refused();
    return test_done();
}
