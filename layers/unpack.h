/*
 * layers/unpack: reading layer blobs: verified, decompressed, and laid out as files.
 *
 * Layers come from anywhere and are hostile until checked: no entry leaves the directory it is
 * unpacked into (names are opened with openat2 RESOLVE_IN_ROOT semantics: "..", absolute names and
 * links stay inside), sizes are bounded, and the blob's digest and size and the diff ID are
 * compared before anything is published.
 */
#ifndef SB_LAYERS_UNPACK_H
#define SB_LAYERS_UNPACK_H

#include <stdint.h>

#include "base/error.h"
#include "layers/contents.h"
#include "layers/pack.h"
#include "layers/store.h"

/* ---- a decompressed stream of a blob ---- */

/* How much tar a blob may unpack to: this, or SB_TAR_RATIO times its own size if that is more. A
 * layer of sparse files compresses by thousands, so the ratio alone would refuse honest layers. */
#define SB_TAR_LIMIT (64ull << 30)
#define SB_TAR_RATIO 64ull

struct sb_layer_reader;
/* Reads the descriptor's blob; tar, gzip (any number of members) and zstd (any frames, skippable
 * ones too) are told apart by their first bytes, not by the media type. */
int sb_layer_reader_open(struct sb_store *store, const struct sb_descriptor *descriptor,
                         struct sb_layer_reader **out, struct sb_error *err);
/* The same for a caller that compares the diff ID: of a blob that this process wrote into the store
 * itself, the digest is not taken a second time. */
int sb_layer_reader_open_known(struct sb_store *store, const struct sb_descriptor *descriptor,
                               struct sb_layer_reader **out, struct sb_error *err);
/* The same over any file, e.g. an archive given by the user, from its current offset; nothing is
 * verified. fd stays the caller's, but its offset moves. */
int sb_layer_reader_fd(int fd, struct sb_layer_reader **out, struct sb_error *err);
/* Before the first sb_layer_reader_next: more tar than this is SB_E_INTEGRITY, as soon as it shows.
 * For layers whose size is known. */
void sb_layer_reader_limit(struct sb_layer_reader *reader, uint64_t tar_size);
/* The next bytes of tar: *out_data is valid until the next call, *out_len is 0 at the end. */
int sb_layer_reader_next(struct sb_layer_reader *reader, const void **out_data, size_t *out_len,
                         struct sb_error *err);
/* Reads to the end of the blob and compares blob digest and size (SB_E_INTEGRITY). out_diff_id gets
 * the digest of the tar, padding after its end included. Frees the reader in every case. */
int sb_layer_reader_finish(struct sb_layer_reader *reader, struct sb_digest *out_diff_id,
                           uint64_t *out_tar_size, struct sb_error *err);
void sb_layer_reader_abort(struct sb_layer_reader *reader);

/* ---- walking the entries ---- */

/* More than this in one layer is SB_E_INTEGRITY: bytes of files, holes included; bytes of names, as
 * layers/entry.h counts them; bytes of what the tar says of one entry, before its content. */
#define SB_CONTENT_LIMIT (1ull << 40)
#define SB_HEADER_LIMIT  (16ull << 20)

/* Called for each entry in the order of the tar; paths are cleaned ("./a//b/" and "/a/b" become
 * "a/b"), the root itself is passed over, and ".." in a name or in the target of a hard link is
 * SB_E_INTEGRITY; extended attributes of overlayfs and of security modules (but file capabilities)
 * are left out. The entry and its strings live until the call returns. A regular file's
 * content is read by calling data (repeatedly; *len 0 at its end; *offset tells of holes in sparse
 * entries) any time before returning. Return -1 (with err) to stop. */
struct sb_entry_data;
int sb_entry_data_next(struct sb_entry_data *data, const void **out, size_t *out_len,
                       uint64_t *out_offset, struct sb_error *err);
typedef int sb_entry_visit(void *self, const struct sb_entry *entry, struct sb_entry_data *data,
                           struct sb_error *err);
/* Verifies like sb_layer_reader_finish, and the diff ID too; and reading stops as soon as there is
 * more than the layer's size, if that is not 0. */
int sb_layer_walk(struct sb_store *store, const struct sb_layer *layer, sb_entry_visit *visit,
                  void *self, struct sb_error *err);
/* The entries of what an open reader gives, from its beginning. The reader stays the caller's, to
 * be finished or aborted. */
int sb_layer_reader_walk(struct sb_layer_reader *reader, sb_entry_visit *visit, void *self,
                         struct sb_error *err);

/* The entries of a zip archive, a regular file, with permissions as unzip would give; its offset
 * moves. What it unpacks to is limited as a tar is, and memory too. */
int sb_zip_walk(int fd, sb_entry_visit *visit, void *self, struct sb_error *err);
/* How much so many bytes may unpack to. */
uint64_t sb_unpack_limit(uint64_t size);

/* The table of contents of a layer: from the store; or, when the blob isn't there, from the source
 * of tables (sb_store_set_contents_source), for this once; or else made from the blob. */
int sb_layer_contents(struct sb_store *store, const struct sb_layer *layer,
                      struct sb_contents **out, struct sb_error *err);

/* ---- laying out files ---- */
enum sb_unpack_form {
    SB_UNPACK_OVERLAY, /* one layer, whiteouts in overlayfs form */
    SB_UNPACK_APPLY,   /* onto what earlier layers left: whiteouts remove */
    SB_UNPACK_ONTO,    /* an archive that is no layer, over what is there (layers/onto.h) */
};
struct sb_unpack_owner {
    uint32_t uid, gid;
};
struct sb_reuse;
struct sb_unpack_options {
    enum sb_unpack_form form;
    bool user_xattrs;      /* overlay marks as user.overlay.*: in a user namespace */
    bool ignore_ownership; /* keep the caller's own ids, leave out devices and xattrs that only root
                              may set: for looking, not for running */
    struct sb_contents_writer *contents; /* is given every entry; may be NULL */
    bool powerless;    /* leaves out devices, setuid and setgid bits and extended attributes (file
                          capabilities): for a place that any user of the machine can run files in */
    const char *below; /* a directory of the root, its path without links, to unpack into; NULL: the
                          root. For SB_UNPACK_ONTO, as: */
    uint32_t strip; /* leading components of names to drop; shorter names are left out, and it is an
                       error when a hard link needs one of them, or nothing is left */
    struct sb_reuse
        *reuse; /* older trees whose files may be shared (layers/reuse.h); may be NULL */
    const struct sb_unpack_owner *owner; /* gives everything to it, whatever the archive says, and
                                            leaves out devices; may be NULL */
    const int64_t *mtime;                /* of everything, whatever the archive says; may be NULL */
};
/* Unpacks a tar of any of the compressions that stands in a file descriptor (a bootstrap's output,
 * an archive) into an open directory. */
int sb_unpack_fd(int fd, int dirfd, const struct sb_unpack_options *options, struct sb_error *err);
/* The same of a zip archive. A time in it is that of some time zone: give options.mtime. */
int sb_unpack_zip(int fd, int dirfd, const struct sb_unpack_options *options, struct sb_error *err);
/* Unpacks a layer of the store, verifying as sb_layer_walk does. */
int sb_unpack_layer(struct sb_store *store, const struct sb_layer *layer, int dirfd,
                    const struct sb_unpack_options *options, struct sb_error *err);

#endif
