#include "builder/source.h"

#include <string.h>

#include "layers/import.h"

int sb_source_find(struct sb_store *store, const char *name, struct sb_descriptor *out,
                   struct sb_error *err) {
    if (!sb_import_is_source(name))
        return sb_store_resolve(store, name, out, err);
    if (sb_image_import(store, name, out, err) == 0)
        return 0;
    if (err->code == SB_E_NOT_FOUND && !err->hint[0])
        sb_error_hint(err, "write it as oci:DIRECTORY[:TAG], oci-archive:FILE[:TAG] or "
                           "docker-archive:FILE[:TAG]");
    return -1;
}

/* A misspelt name of the store keeps the nearest one as its hint. */
static int explain_missing(const char *name, struct sb_error *err) {
    if (err->code == SB_E_NOT_FOUND && !sb_import_is_source(name) &&
        strncmp(err->hint, "did you mean", strlen("did you mean")) != 0)
        sb_error_hint(err, "build its recipe first, or use oci:PATH[:TAG], "
                           "oci-archive:FILE[:TAG] or docker-archive:FILE; `sbuild images` lists "
                           "what is in the store");
    return -1;
}

int sb_source_load(struct sb_store *store, const struct sb_from *from, struct sb_image *out,
                   struct sb_error *err) {
    struct sb_descriptor descriptor;
    *out = (struct sb_image){0};
    if (sb_source_find(store, from->image, &descriptor, err) < 0)
        return explain_missing(from->image, err);
    if (sb_image_load(store, &descriptor, out, err) < 0)
        return sb_error_context(err, "the image %s", from->image);
    return 0;
}
