/* Names and words of unit files: systemd.unit(5), "String Escaping for Inclusion in Unit Names",
 * systemd.syntax(7), "Quoting"; systemd.service(5), "Command lines". */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "deploy/units.h"

static bool stays(unsigned char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == ':' ||
           c == '_' || c == '.';
}

char *sb_unit_escape_path(const char *path) {
    struct sb_buf out = {0};
    for (const char *p = path; *p; p++) {
        if (*p == '/') {
            bool last = !p[1 + strspn(p + 1, "/")];
            if (out.len > 0 && !last && p[-1] != '/')
                sb_buf_addc(&out, '-');
        } else if (stays((unsigned char)*p) && !(*p == '.' && out.len == 0)) {
            sb_buf_addc(&out, *p);
        } else {
            sb_buf_addf(&out, "\\x%02x", (unsigned char)*p);
        }
    }
    if (out.len == 0)
        sb_buf_addc(&out, '-');
    return sb_buf_steal(&out);
}

char *sb_unit_service_name(const char *service, const char *colour) {
    return sb_format("%s%s%s.service", service, colour ? "-" : "", colour ? colour : "");
}

char *sb_unit_root_path(const char *service, uint64_t generation) {
    return sb_format("%s/%s/%" PRIu64, SB_UNIT_ROOTS, service, generation);
}

char *sb_unit_driver_name(const char *root) {
    sb_autofree char *name = sb_unit_escape_path(root);
    return sb_format("sbuild-driver@%s.service", name);
}

char *sb_unit_mount_name(const char *service, uint64_t generation) {
    sb_autofree char *path = sb_unit_root_path(service, generation);
    sb_autofree char *name = sb_unit_escape_path(path);
    return sb_format("%s.mount", name);
}

void sb_unit_quote(const char *word, bool exec, struct sb_buf *out) {
    sb_buf_addc(out, '"');
    for (const char *p = word; *p; p++) {
        if (*p == '"' || *p == '\\')
            sb_buf_addf(out, "\\%c", *p);
        else if (*p == '%' || (*p == '$' && exec))
            sb_buf_addf(out, "%c%c", *p, *p);
        else if (*p == '\n')
            sb_buf_adds(out, "\\n");
        else if (*p == '\t')
            sb_buf_adds(out, "\\t");
        else
            sb_buf_addc(out, *p);
    }
    sb_buf_addc(out, '"');
}

/* ---- [X-Sbuild] ---- */

/* The value of "KEY=…" when the line is one. */
static bool value_of(const char *line, size_t len, const char *key, char *out, size_t size) {
    size_t n = strlen(key);
    if (len <= n || strncmp(line, key, n) != 0 || line[n] != '=' || len - n > size)
        return false;
    memcpy(out, line + n + 1, len - n - 1);
    out[len - n - 1] = '\0';
    return true;
}

static bool read_line(const char *line, size_t len, struct sb_unit_mark *out, bool *generation) {
    char value[128];
    if (value_of(line, len, "Name", value, sizeof value)) {
        if (!sb_service_name_valid(value))
            return false;
        strcpy(out->name, value);
    } else if (value_of(line, len, "Generation", value, sizeof value)) {
        char *end;
        out->generation = strtoull(value, &end, 10);
        *generation = *value >= '0' && *value <= '9' && !*end && end - value < 19;
        return *generation;
    } else if (value_of(line, len, "Port", value, sizeof value)) {
        char *end;
        unsigned long port = strtoul(value, &end, 10);
        out->port = (uint16_t)port;
        return *value >= '0' && *value <= '9' && !*end && port <= UINT16_MAX;
    } else if (value_of(line, len, "Image", value, sizeof value)) {
        return sb_digest_parse(value, &out->image, NULL) == 0;
    } else if (value_of(line, len, "Bundle", value, sizeof value)) {
        return sb_digest_parse(value, &out->bundle, NULL) == 0;
    }
    return true;
}

bool sb_unit_mark_parse(const char *text, struct sb_unit_mark *out) {
    *out = (struct sb_unit_mark){0};
    bool inside = false, generation = false;
    for (const char *line = text; *line;) {
        size_t len = strcspn(line, "\n");
        if (*line == '[')
            inside = len == strlen(SB_UNIT_SECTION) && !strncmp(line, SB_UNIT_SECTION, len);
        else if (inside && !read_line(line, len, out, &generation))
            return false;
        line += len + (line[len] == '\n');
    }
    return out->name[0] && generation;
}

static uint32_t number_after(const char *text, const char *key) {
    const char *line = strstr(text, key);
    return line ? (uint32_t)strtoul(line + strlen(key), NULL, 10) : 0;
}

void sb_unit_ids_parse(const char *text, uint32_t *out_uid, uint32_t *out_gid) {
    *out_uid = number_after(text, "\nUser=");
    *out_gid = number_after(text, "\nGroup=");
}
