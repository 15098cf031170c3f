#include "deploy/belongings.h"

#include <string.h>

#include "base/digest.h"
#include "base/memory.h"

char *sb_service_directory_path(const char *service, enum sb_service_directory which) {
    static const char *const places[] = {[SB_DIRECTORY_STATE] = "/var/lib",
                                         [SB_DIRECTORY_CACHE] = "/var/cache",
                                         [SB_DIRECTORY_LOGS] = "/var/log"};
    return sb_format("%s/%s", places[which], service);
}

/* No path of a description has a "~". */
char *sb_volume_name(const char *path) {
    char *name = sb_strdup(path + 1);
    for (char *p = name; *p; p++)
        if (*p == '/')
            *p = '~';
    return name;
}

char *sb_volume_path(const char *service, const char *path) {
    sb_autofree char *name = sb_volume_name(path);
    return sb_format(SB_VOLUMES "/%s/%s", service, name);
}

uint32_t sb_ids_preferred(const char *service) {
    struct sb_sha256 sha;
    sb_sha256_start(&sha);
    sb_sha256_add(&sha, service, strlen(service));
    const struct sb_digest digest = sb_sha256_finish(&sha);
    uint32_t value = 0;
    for (int i = 0; i < 4; i++)
        value = value << 8 | digest.bytes[i];
    return SB_IDS_FIRST + value % (SB_IDS_LAST - SB_IDS_FIRST + 1);
}
