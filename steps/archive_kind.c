#include "steps/archive_kind.h"

#include <string.h>
#include <unistd.h>

static const struct kind {
    const char *magic;
    size_t len;
    const char *name;
} kinds[] = {
#define M(text) text, sizeof text - 1
    {M("7z\xBC\xAF\x27\x1C"), "a 7z archive"},
    {M("Rar!\x1A\x07"), "a rar archive"},
    {M("!<arch>\n"), "a Debian package or another ar archive"},
    {M("\xED\xAB\xEE\xDB"), "an rpm package"},
    {M("MSCF"), "a cabinet"},
    {M("hsqs"), "a squashfs image"},
    {M("\x7F"
       "ELF"),
     "a program or a library (ELF)"},
    {M("#!"), "a script"},
    {M("<!"), "a web page"},
    {M("<html"), "a web page"},
    {M("<?xml"), "an XML document"},
    {M("{"), "a JSON document"},
    {M("%PDF"), "a PDF document"},
    {M("\x89"
       "HDF"),
     "an HDF5 file"},
    {M("GGUF"), "a GGUF model"},
    {M("\x1F\x8B"), "a file compressed with gzip that holds no tar"},
    {M("\x28\xB5\x2F\xFD"), "a file compressed with zstd that holds no tar"},
    {M("\xFD"
       "7zXZ"),
     "a file compressed with xz that holds no tar"},
    {M("BZh"), "a file compressed with bzip2 that holds no tar"},
    {M("\x04\x22\x4D\x18"), "a file compressed with lz4"},
    {M("LZIP"), "a file compressed with lzip"},
    {M("\x1F\x9D"), "a file compressed with compress"},
#undef M
};

static size_t first_bytes(int fd, char out[16]) {
    ssize_t n = pread(fd, out, 16, 0);
    return n > 0 ? (size_t)n : 0;
}

static bool begins(const char *start, size_t n, const char *magic, size_t len) {
    return n >= len && !memcmp(start, magic, len);
}

bool sb_archive_is_zip(int fd) {
    char start[16];
    size_t n = first_bytes(fd, start);
    return begins(start, n, "PK\3\4", 4) || begins(start, n, "PK\5\6", 4) ||
           begins(start, n, "PK\7\x8", 4);
}

int sb_archive_refuse(int fd, struct sb_error *err) {
    char start[16];
    size_t n = first_bytes(fd, start);
    const char *what = "no archive of a kind that is known";
    if (!err || !strstr(err->message, "Unrecognized archive format"))
        return -1;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (begins(start, n, kinds[i].magic, kinds[i].len)) {
            what = kinds[i].name;
            break;
        }
    sb_fail(err, SB_E_INTEGRITY, "it is %s", what);
    return sb_error_hint(err,
                         "extract: takes zip, and tar, plain or compressed with gzip, zstd, xz "
                         "or bzip2; all else can be downloaded without it, and unpacked by a "
                         "run step");
}
