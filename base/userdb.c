#include "base/userdb.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/process.h"

/* A group of a directory service may list many thousands of members. */
#define ENTRY_LIMIT (64u << 20)
#define NOT_FOUND   2 /* exit status of getent */

/* "NAME:PASSWORD:ID:…" of passwd and of group. */
static bool parse(const char *line, char **out_name, uint32_t *out_id) {
    size_t name = strcspn(line, ":\n");
    const char *id = line[name] == ':' ? strchr(line + name + 1, ':') : NULL;
    if (name == 0 || !id || !isdigit((unsigned char)id[1]))
        return false;
    char *end;
    unsigned long long number = strtoull(id + 1, &end, 10);
    if (number > UINT32_MAX || (*end != ':' && *end != '\n' && *end))
        return false;
    if (out_id)
        *out_id = (uint32_t)number;
    if (out_name)
        *out_name = sb_strndup(line, name);
    return true;
}

int sb_userdb_find(enum sb_userdb database, const char *key, char **out_name, uint32_t *out_id,
                   struct sb_error *err) {
    const char *table = database == SB_USERDB_USERS ? "passwd" : "group";
    const char *const argv[] = {"getent", table, key, NULL};
    sb_autobuf struct sb_buf text = {0};
    struct sb_error own = {0};
    int status = sb_process_capture(argv, NULL, ENTRY_LIMIT, &text, NULL, &own);
    if (status == NOT_FOUND)
        return 0;
    if (status == 0 && parse(sb_buf_text(&text), out_name, out_id))
        return 1;
    if (status >= 0)
        sb_fail(&own, SB_E_FAILED, "getent %s %s gave status %d, and no entry", table, key, status);
    sb_error_context(&own, "who %s is in this machine's %s", key,
                     database == SB_USERDB_USERS ? "users" : "groups");
    if (!own.hint[0])
        sb_error_hint(&own, "getent has to know (libc-bin); try: getent %s %s", table, key);
    if (err)
        *err = own;
    return -1;
}
