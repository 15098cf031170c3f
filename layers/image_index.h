/*
 * layers/image_index: one name for the images of several platforms (image-spec 1.1,
 * image-index.md; Docker's manifest lists are read as well).
 *
 *     struct sb_image_index index = {0};
 *     sb_image_index_put(&index, &amd64, &err)      images of the store, in any order
 *     sb_image_index_put(&index, &arm64, &err)
 *     sb_image_index_save(store, &index, &err)      index.descriptor can be tagged
 *     sb_image_index_free(&index);
 *
 * There is one image for each platform. Whatever else is in an index that was loaded (attestations,
 * artifacts, images for Windows' versions, indexes, what a later specification may bring) is kept
 * as it is. What it names need not be in the store.
 *
 * The bytes depend on what is in it, not on the order in which it came: images stand by platform,
 * and behind them all else in the order it had. One that was read and not changed keeps the bytes
 * that it had, whoever wrote them.
 */
#ifndef SB_LAYERS_IMAGE_INDEX_H
#define SB_LAYERS_IMAGE_INDEX_H

#include <jansson.h>
#include <stdbool.h>

#include "base/buffer.h"
#include "base/error.h"
#include "layers/image.h"
#include "layers/platform.h"
#include "layers/store.h"

#define SB_INDEX_ENTRY_LIMIT 1000

struct sb_index_entry {
    struct sb_descriptor descriptor; /* media_type is a static string; NULL: one not known */
    struct sb_platform platform;     /* os is NULL: what is no image of a platform */
    json_t *json;                    /* the entry as it stands in the index */
};

/* Of Linux, and no index of further ones: what sbuild can load. */
bool sb_index_entry_is_image(const struct sb_index_entry *entry);

struct sb_image_index {
    struct sb_index_entry *v;
    size_t n, cap;
    json_t *others; /* keys of the document but "manifests": annotations, subject, …; or NULL */
    struct sb_descriptor descriptor; /* once loaded or saved; does not follow changes */
    char *text;                      /* the bytes that were read, as long as nothing is changed */
};

/* Reads one of the store, or the bytes of a registry's answer; the descriptor's media type says
 * that it is an index. Bounds and types are checked: SB_E_INTEGRITY. On failure out is empty. Free
 * with sb_image_index_free. */
int sb_image_index_load(struct sb_store *store, const struct sb_descriptor *descriptor,
                        struct sb_image_index *out, struct sb_error *err);
/* The same to look at one in a list: it doesn't count as used. */
int sb_image_index_peek(struct sb_store *store, const struct sb_descriptor *descriptor,
                        struct sb_image_index *out, struct sb_error *err);
int sb_image_index_parse(const char *text, size_t len, const struct sb_descriptor *descriptor,
                         struct sb_image_index *out, struct sb_error *err);

/* The images for Linux in it, by platform. */
struct sb_index_images {
    struct sb_image *v;
    size_t n;
};
/* All of them must be in the store, but for their layers: else SB_E_NOT_FOUND. Free with
 * sb_index_images_free. */
int sb_index_images_load(struct sb_store *store, const struct sb_image_index *index,
                         struct sb_index_images *out, struct sb_error *err);
/* Those that are in the store, to look at them: nothing counts as used. */
void sb_index_images_peek(struct sb_store *store, const struct sb_image_index *index,
                          struct sb_index_images *out);
void sb_index_images_free(struct sb_index_images *images);
#define sb_autoindeximages __attribute__((cleanup(sb_index_images_free), unused))

void sb_image_index_copy(struct sb_image_index *to, const struct sb_image_index *from);
void sb_image_index_free(struct sb_image_index *index);
#define sb_autoimageindex __attribute__((cleanup(sb_image_index_free), unused))

/* Puts an image, saved or loaded, in place of the one for the platform that its config names; what
 * was attested of that one goes with it. 1: that changes something; 0: it is there already; -1: its
 * config names no platform. */
int sb_image_index_put(struct sb_image_index *index, const struct sb_image *image,
                       struct sb_error *err);
/* The same for one of which descriptor and platform are known: true when that changes something.
 * artifact_type may be NULL. */
bool sb_image_index_put_descriptor(struct sb_image_index *index, const struct sb_descriptor *image,
                                   const struct sb_platform *platform, const char *artifact_type);
/* The same with an entry of another index, annotations and all; what is no image comes beside what
 * is there. */
bool sb_image_index_put_entry(struct sb_image_index *index, const struct sb_index_entry *entry);
/* With what was attested of it. False when there is none. */
bool sb_image_index_remove(struct sb_image_index *index, const struct sb_platform *platform);
/* An entry by its place. */
void sb_image_index_remove_at(struct sb_image_index *index, size_t i);
/* The image of exactly that platform, or NULL. For the one that would run there best see
 * sb_platform_choose. */
const struct sb_index_entry *sb_image_index_find(const struct sb_image_index *index,
                                                 const struct sb_platform *platform);
/* "linux/amd64, linux/arm64": of its images, for people; the caller's. */
char *sb_image_index_platforms(const struct sb_image_index *index);

/* The bytes, and in index->descriptor what they are: an OCI index, or Docker's manifest list where
 * all that is in it is Docker's. */
int sb_image_index_write(struct sb_image_index *index, struct sb_buf *out, struct sb_error *err);
/* The same into the store. Tags are the caller's to set. */
int sb_image_index_save(struct sb_store *store, struct sb_image_index *index, struct sb_error *err);

#endif
