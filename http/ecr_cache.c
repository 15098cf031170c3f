#include "http/ecr_cache.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "base/lock.h"
#include "base/memory.h"
#include "http/secret.h"

#define FILE_NAME "ecr-tokens.json"
#define LOCK_NAME "ecr-tokens.lock"

enum { FILE_LIMIT = 1 << 20 };

/* The directory, open; -1, also for one that another user may write (as root with another's HOME).
 */
static int open_directory(bool make) {
    const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    if ((!cache || *cache != '/') && (!home || *home != '/'))
        return -1;
    sb_autofree char *path = cache && *cache == '/' ? sb_format("%s/sbuild", cache)
                                                    : sb_format("%s/.cache/sbuild", home);
    struct sb_error ignored = {0};
    if (make && sb_directory_make(AT_FDCWD, path, 0700, &ignored) < 0)
        return -1;
    sb_autoclose int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct stat st;
    if (dir < 0 || fstat(dir, &st) < 0 || st.st_uid != geteuid() || (st.st_mode & 022))
        return -1;
    return sb_steal_fd(&dir);
}

/* A new reference to the tokens; an empty object when there are none. */
static json_t *load(int dir) {
    sb_autosecret struct sb_buf text = {0};
    sb_autoclose int fd = openat(dir, FILE_NAME, SB_FILE_FLAGS | O_NOFOLLOW);
    struct stat st;
    struct sb_error ignored = {0};
    if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_uid != geteuid() ||
        (st.st_mode & 077) || sb_fd_read(fd, FILE_LIMIT, &text, &ignored) < 0)
        return json_object();
    sb_autojson json_t *file = sb_json_parse(sb_buf_text(&text), text.len, &ignored);
    json_t *tokens = json_object_get(file, "tokens");
    if (sb_json_integer(file, "version", 0) != 1 || !json_is_object(tokens))
        return json_object();
    return json_incref(tokens);
}

bool sb_ecr_cache_get(const struct sb_digest *key, int64_t good_until, struct sb_buf *out_token,
                      int64_t *out_expires) {
    sb_autoclose int dir = open_directory(false);
    if (dir < 0)
        return false;
    sb_autojson json_t *tokens = load(dir);
    const json_t *entry = json_object_get(tokens, sb_digest_hex(key).text);
    const char *token = sb_json_string(entry, "token", NULL);
    *out_expires = sb_json_integer(entry, "expires", 0);
    if (!token || *out_expires <= good_until)
        return false;
    sb_secret_adds(out_token, token);
    return true;
}

/* Leaves out what has expired. */
static void save(int dir, json_t *tokens) {
    const char *name;
    json_t *entry;
    void *next;
    json_object_foreach_safe(tokens, next, name, entry) {
        if (sb_json_integer(entry, "expires", 0) <= time(NULL))
            json_object_del(tokens, name);
    }
    sb_autojson json_t *file = json_pack("{s:i, s:O}", "version", 1, "tokens", tokens);
    sb_autosecret struct sb_buf text = {0};
    struct sb_error ignored = {0};
    sb_json_write(file, &text);
    sb_file_write(dir, FILE_NAME, text.data, text.len, 0600, &ignored);
}

/* entry NULL: removes it. */
static void change(const struct sb_digest *key, json_t *entry) {
    sb_autoclose int dir = open_directory(entry != NULL);
    struct sb_error ignored = {0};
    sb_autoclose int lock =
        dir < 0 ? -1 : sb_lock_take(dir, LOCK_NAME, SB_LOCK_EXCLUSIVE, &ignored);
    if (lock < 0) {
        json_decref(entry);
        return;
    }
    sb_autojson json_t *tokens = load(dir);
    if (entry)
        json_object_set_new(tokens, sb_digest_hex(key).text, entry);
    else
        json_object_del(tokens, sb_digest_hex(key).text);
    save(dir, tokens);
}

void sb_ecr_cache_put(const struct sb_digest *key, const char *token, int64_t expires) {
    change(key, json_pack("{s:s, s:I}", "token", token, "expires", (json_int_t)expires));
}

void sb_ecr_cache_remove(const struct sb_digest *key) {
    change(key, NULL);
}
