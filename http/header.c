#include "http/header.h"

#include <string.h>

const char *sb_header_find(const struct sb_strings *headers, const char *name) {
    size_t len = strlen(name);
    for (size_t i = 0; i < headers->n; i++)
        if (!strncmp(headers->v[i], name, len) && headers->v[i][len] == ':')
            return headers->v[i] + len + 1 + strspn(headers->v[i] + len + 1, " ");
    return NULL;
}
