#include "registry/http_options.h"

#include <string.h>

const struct sb_registry_host *sb_registry_hosts_find(const struct sb_registry_hosts *hosts,
                                                      const char *host) {
    const struct sb_registry_host *others = NULL;
    for (size_t i = 0; hosts && i < hosts->n; i++) {
        if (!strcmp(hosts->v[i].host, host))
            return &hosts->v[i];
        if (!strcmp(hosts->v[i].host, "*"))
            others = &hosts->v[i];
    }
    return others;
}
