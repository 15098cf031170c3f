/*
 * layers/unpack_options: how files are laid out (layers/unpack), for all that have a part in it:
 * their content (layers/content), their attributes (layers/attributes).
 */
#ifndef SB_LAYERS_UNPACK_OPTIONS_H
#define SB_LAYERS_UNPACK_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

enum sb_unpack_form {
    SB_UNPACK_OVERLAY, /* one layer, whiteouts in overlayfs form */
    SB_UNPACK_APPLY,   /* onto what earlier layers left: whiteouts remove */
    SB_UNPACK_ONTO,    /* an archive that is no layer, over what is there (layers/onto.h) */
};
struct sb_unpack_owner {
    uint32_t uid, gid;
};
struct sb_contents_writer;
struct sb_entry;
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
    /* Whether an entry is laid out, whiteouts asked for like others; NULL: all are. */
    bool (*keep)(void *data, const struct sb_entry *entry);
    void *keep_data;
    const int64_t *mtime; /* of everything, whatever the archive says; may be NULL */
};

#endif
