#include "layers/pin.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"

#define PIN_LIMIT (1u << 20)

static int write_pin(struct sb_store *store, const char *name, const struct sb_strings *items,
                     struct sb_error *err) {
    sb_autobuf struct sb_buf text = {0};
    for (size_t i = 0; i < items->n; i++)
        sb_buf_addf(&text, "%s\n", items->v[i]);
    sb_autofree char *path = sb_format("pins/%s", name);
    if (sb_directory_make(sb_store_private_fd(store), "pins", 0700, err) < 0)
        return -1;
    return sb_file_write(sb_store_private_fd(store), path, sb_buf_text(&text), text.len, 0600, err);
}

int sb_pin_set(struct sb_store *store, const char *name, const struct sb_strings *items,
               struct sb_error *err) {
    if (sb_store_hold(store, err) < 0)
        return -1;
    int rc = 0;
    for (size_t i = 0; i < items->n && rc == 0; i++)
        rc = sb_store_use(store, items->v[i], err);
    if (rc == 0)
        rc = write_pin(store, name, items, err);
    sb_store_release(store);
    return rc < 0 ? sb_error_context(err, "pinning for %s", name) : 0;
}

int sb_pin_remove(struct sb_store *store, const char *name, struct sb_error *err) {
    sb_autofree char *path = sb_format("pins/%s", name);
    if (unlinkat(sb_store_private_fd(store), path, 0) < 0 && errno != ENOENT)
        return sb_fail_errno(err, SB_E_IO, "removing %s/sbuild/%s", sb_store_path(store), path);
    return 0;
}

static int read_pin(struct sb_store *store, const char *name, struct sb_strings *out,
                    struct sb_error *err) {
    sb_autofree char *path = sb_format("pins/%s", name);
    sb_autobuf struct sb_buf text = {0};
    if (sb_file_read(sb_store_private_fd(store), path, PIN_LIMIT, &text, err) < 0)
        return -1;
    char *rest = NULL;
    for (char *line = text.len ? strtok_r(text.data, "\n", &rest) : NULL; line;
         line = strtok_r(NULL, "\n", &rest))
        sb_strings_add(out, line);
    return 0;
}

int sb_pin_items(struct sb_store *store, const char *name, struct sb_strings *out,
                 struct sb_error *err) {
    if (name)
        return read_pin(store, name, out, err);
    int fd = openat(sb_store_private_fd(store), "pins", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    sb_autoclosedir DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (!dir) {
        sb_close_descriptor(&fd);
        return errno == ENOENT ? 0 : sb_fail_errno(err, SB_E_IO, "reading the pins");
    }
    for (struct dirent *e; (e = readdir(dir));)
        if (e->d_name[0] != '.' && read_pin(store, e->d_name, out, err) < 0)
            return -1;
    return 0;
}
