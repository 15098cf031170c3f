/*
 * layers/frames: the stream of a layer's tar, cut into frames, hashed, compressed and written to
 * the blob store by several threads at once.
 *
 *     caller fills a frame ──▶ hash of the tar, in order
 *                          └─▶ compress, in any order ──▶ hash of the blob and write, in order
 *
 * The frames stand in a ring of fixed size; whoever is idle takes the next job that can be done, so
 * every core works as long as there is work. The caller waits only for a free frame. Threads start
 * with the first full frame: a layer smaller than that is done by the caller alone.
 *
 * An error of any thread ends all of them and is what the caller's next call returns.
 */
#ifndef SB_LAYERS_FRAMES_H
#define SB_LAYERS_FRAMES_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "layers/layer.h"
#include "layers/store.h"

struct sb_frames;

int sb_frames_start(struct sb_store *store, const struct sb_pack_options *options,
                    struct sb_frames **out, struct sb_error *err);

/* Where the stream goes on: at least one byte of room, which the caller fills and then hands over
 * with sb_frames_advance. One byte more than *out_room may be written, and is forgotten: enough to
 * see with one read whether a file ends where it should. NULL and err on failure. */
unsigned char *sb_frames_room(struct sb_frames *frames, size_t *out_room, struct sb_error *err);
void sb_frames_advance(struct sb_frames *frames, size_t len);

int sb_frames_put(struct sb_frames *frames, const void *data, size_t len, struct sb_error *err);
int sb_frames_put_zeros(struct sb_frames *frames, uint64_t len, struct sb_error *err);

/* Publishes the blob, and frees frames in every case. */
int sb_frames_finish(struct sb_frames *frames, struct sb_layer *out, struct sb_error *err);
void sb_frames_abort(struct sb_frames *frames); /* NULL is allowed */

#endif
