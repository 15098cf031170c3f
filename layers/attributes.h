/*
 * layers/attributes: putting owner, mode, extended attributes and time on files that were just
 * laid out. The inside of layers/unpack.
 *
 * Those of directories wait until everything is in place: what is put into a directory changes its
 * time and may inherit its default ACL or group, and an unwritable one would not take it.
 */
#ifndef SB_LAYERS_ATTRIBUTES_H
#define SB_LAYERS_ATTRIBUTES_H

#include <stdbool.h>

#include "base/error.h"
#include "layers/entry.h"
#include "layers/place.h"
#include "layers/unpack_options.h"

/* Extended attributes that no layer gets to set: overlayfs' own could redirect one directory to
 * another, and labels of security modules are the host's. layers/xattrs leaves out the same. */
bool sb_xattr_is_hosts(const char *name);

/* Of a regular file or directory; nofollow is not needed, fd is the file. */
int sb_attributes_set(int fd, const struct sb_entry *entry, const struct sb_unpack_options *options,
                      struct sb_error *err);
/* Of a symlink, FIFO or device, by name in an open directory; the link itself, not its target. */
int sb_attributes_set_at(int dir, const char *name, const struct sb_entry *entry,
                         const struct sb_unpack_options *options, struct sb_error *err);

/* path and xattrs become copies of to's own, for sb_entry_free. What link points to is not copied.
 */
void sb_entry_copy(struct sb_entry *to, const struct sb_entry *from);
void sb_entry_free(struct sb_entry *entry);

/* Directories whose attributes are to be set. Start from {0}. */
struct sb_directory_list {
    struct sb_directory *v;
    size_t n, cap;
};
/* Copies what it needs. Of an entry whose mode has no type just the time is set. */
void sb_directory_list_add(struct sb_directory_list *list, const struct sb_entry *entry);
/* Sets them all, the last added last; one that is gone, or no directory any more, is passed over.
 */
int sb_directory_list_apply(const struct sb_directory_list *list, const struct sb_placer *place,
                            const struct sb_unpack_options *options, struct sb_error *err);
void sb_directory_list_free(struct sb_directory_list *list);

#endif
