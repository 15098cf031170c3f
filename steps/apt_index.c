#include "steps/apt_index.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/file.h"
#include "base/memory.h"

enum {
    RELEASE_LIMIT = 16 << 20, /* bytes; Debian's has 150,000 */
    CHUNK = 1 << 20,
    STANZA_LIMIT = 1 << 20, /* bytes of what is said of one package */
    NAME_LIMIT = 255,       /* bytes of a file's name */
};
#define PACKAGES_LIMIT (1ull << 30) /* bytes of one list; Debian's has 50 million */

static bool ends_in(const char *name, const char *suffix) {
    size_t n = strlen(name), m = strlen(suffix);
    return n > m && !strcmp(name + n - m, suffix);
}

bool sb_apt_is_release(const char *name) {
    return ends_in(name, "_InRelease") || ends_in(name, "_Release");
}

bool sb_apt_is_packages(const char *name) {
    return ends_in(name, "_Packages");
}

/* A step's programs may have put anything there; -1 and errno. */
static int open_regular(int dir, const char *name, off_t *out_size) {
    struct stat st;
    int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) {
        *out_size = st.st_size;
        return fd;
    }
    sb_close_descriptor(&fd);
    return -1;
}

/* ---- Release ---- */

/* " HEX SIZE PATH", in the section SHA256. The file of PATH is called PREFIX and PATH, with _ for
 * /. */
static int take_line(char *line, const char *prefix, size_t prefix_len,
                     const struct sb_apt_index *index, struct sb_error *err) {
    struct sb_digest digest;
    const char *hex = strsep(&line, " ");
    while (line && *line == ' ')
        line++;
    strsep(&line, " "); /* the size: apt and the digest see to it */
    if (!line || strlen(hex) != 64 || !sb_digest_parse_hex(hex, &digest) ||
        !index->wanted(index->data, &digest))
        return 0;
    if (!*line || strpbrk(line, " _~%") || prefix_len + strlen(line) > NAME_LIMIT)
        return 0; /* apt would quote it: no list of packages is called so */
    sb_autofree char *name = sb_format("%.*s%s", (int)prefix_len, prefix, line);
    for (char *p = name; (p = strchr(p, '/'));)
        *p = '_';
    return sb_apt_is_packages(name) && *name != '.' ? index->entry(index->data, &digest, name, err)
                                                    : 0;
}

int sb_apt_index_release(int dir, const char *name, const struct sb_apt_index *index,
                         struct sb_error *err) {
    off_t size;
    sb_autobuf struct sb_buf text = {0};
    sb_autoclose int fd = open_regular(dir, name, &size);
    struct sb_error ignored = {0};
    if (fd < 0 || sb_fd_read(fd, RELEASE_LIMIT, &text, &ignored) < 0 || !text.data)
        return 0;
    size_t prefix = (size_t)(strrchr(name, '_') - name) + 1;
    bool inside = false;
    char *rest = text.data;
    for (char *line; (line = strsep(&rest, "\n"));) {
        if (*line != ' ')
            inside = !strcmp(line, "SHA256:");
        else if (inside && take_line(line + 1, name, prefix, index, err) < 0)
            return -1;
    }
    return 0;
}

/* ---- Packages ---- */

/* The value of a field of a stanza, "" when there is none; it ends at the end of its line. */
static const char *field(const char *stanza, const char *name, size_t *out_len) {
    size_t n = strlen(name);
    for (const char *line = stanza; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, name, n) != 0 || line[n] != ':')
            continue;
        const char *value = line + n + 1 + strspn(line + n + 1, " \t");
        *out_len = strcspn(value, "\n");
        while (*out_len && strchr(" \t\r", value[*out_len - 1]))
            --*out_len;
        return value;
    }
    *out_len = 0;
    return "";
}

/* As apt quotes a part of a file's name: what is not printable, and "_:%". */
static bool add_quoted(const char *text, size_t len, struct sb_buf *out) {
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c <= 0x20 || c >= 0x7f || c == '/')
            return false;
        if (strchr("_:%", c))
            sb_buf_addf(out, "%%%02x", c);
        else
            sb_buf_addc(out, (char)c);
    }
    return len > 0;
}

static bool archive_name(const char *stanza, struct sb_buf *out) {
    static const char *const parts[] = {"Package", "Version", "Architecture"};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        size_t len;
        const char *value = field(stanza, parts[i], &len);
        if (i)
            sb_buf_addc(out, '_');
        if (len > NAME_LIMIT || !add_quoted(value, len, out))
            return false;
    }
    sb_buf_adds(out, ".deb");
    return out->data[0] != '.' && out->len <= NAME_LIMIT;
}

static int take_stanza(const char *stanza, const struct sb_apt_index *index, struct sb_error *err) {
    struct sb_digest digest;
    char hex[65] = "";
    const char *sum = strstr(stanza, "\nSHA256: ");
    if (!sum || strcspn(sum + 9, " \t\r\n") != 64)
        return 0;
    memcpy(hex, sum + 9, 64);
    sb_autobuf struct sb_buf name = {0};
    if (!sb_digest_parse_hex(hex, &digest) || !index->wanted(index->data, &digest) ||
        !archive_name(stanza, &name))
        return 0;
    return index->entry(index->data, &digest, name.data, err);
}

/* Takes all whole stanzas of buf, and leaves the rest. */
static int take_stanzas(struct sb_buf *buf, const struct sb_apt_index *index,
                        struct sb_error *err) {
    char *stanza = buf->data;
    for (char *end; (end = strstr(stanza, "\n\n")); stanza = end + 2) {
        *end = '\0';
        if (take_stanza(stanza, index, err) < 0)
            return -1;
    }
    buf->len -= (size_t)(stanza - buf->data);
    memmove(buf->data, stanza, buf->len + 1);
    return 0;
}

int sb_apt_index_packages(int dir, const char *name, const struct sb_apt_index *index,
                          struct sb_error *err) {
    off_t size;
    sb_autobuf struct sb_buf buf = {0};
    sb_autoclose int fd = open_regular(dir, name, &size);
    if (fd < 0)
        return 0;
    for (uint64_t total = 0; total < PACKAGES_LIMIT; total += CHUNK) {
        sb_buf_reserve(&buf, CHUNK + 2);
        ssize_t n = read(fd, buf.data + buf.len, CHUNK);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) /* the last one may have no empty line after it */
            break;
        if (memchr(buf.data + buf.len, '\0', (size_t)n))
            return 0;
        buf.len += (size_t)n;
        buf.data[buf.len] = '\0';
        if (take_stanzas(&buf, index, err) < 0)
            return -1;
        if (buf.len > STANZA_LIMIT)
            return 0;
    }
    return buf.len ? take_stanza(buf.data, index, err) : 0;
}
