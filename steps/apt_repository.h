/*
 * steps/apt_repository: archives of packages beside the distribution's own, as the recipe's
 * sources: has them, each with the key that alone may sign it.
 *
 * For apt an archive is a file of deb822, NAME.sources, whose Signed-By: names the key. The key
 * signs for that archive and for no other: it never is in a directory whose keys apt believes for
 * all. Both files are in the root while the step runs, and in the image only if it says keep:.
 */
#ifndef SB_STEPS_APT_REPOSITORY_H
#define SB_STEPS_APT_REPOSITORY_H

#include "base/buffer.h"
#include "base/error.h"
#include "context/context.h"
#include "document/schema.h"

struct sb_apt_repository {
    char *url, *suite; /* a suite that ends in "/" is a path: the archive has no components */
    struct sb_strings components; /* main, unless it says others */
    char *key;                    /* a file of the context; absolute: of the image */
    bool keep;
};
struct sb_apt_repositories {
    struct sb_apt_repository *v;
    size_t n, cap;
};

/* For the table of keys: target is the struct sb_apt_repositories at the key's offset. */
void sb_apt_repositories_read(struct sb_reader *reader, const struct sb_key *key,
                              const struct sb_yaml *node, void *target);
json_t *sb_apt_repositories_schema(const struct sb_key *key);
void sb_apt_repositories_free(struct sb_apt_repositories *repositories);

/* For cache keys: what of them decides what is installed. A new reference. */
json_t *sb_apt_repositories_describe(const struct sb_apt_repositories *repositories);
/* Their keys in the context are inputs. */
int sb_apt_repositories_inputs(const struct sb_apt_repositories *repositories,
                               struct sb_context *context, struct sb_input_list *out,
                               struct sb_error *err);
/* Whether these are there, and such that apt reads them. */
int sb_apt_repositories_look(const struct sb_apt_repositories *repositories,
                             struct sb_context *context, bool deep, struct sb_error *err);

/* Where they lie in the root, and what they say; strings are the caller's. */
struct sb_apt_repository_files {
    char *sources, *text; /* the path of NAME.sources, and what is in it */
    char *keyring;        /* the path of the key; NULL: it is the image's own */
    struct sb_buf key;    /* what is in that */
};
int sb_apt_repository_files(const struct sb_apt_repository *repository, struct sb_context *context,
                            struct sb_apt_repository_files *out, struct sb_error *err);
void sb_apt_repository_files_free(struct sb_apt_repository_files *files);

/* What apt-get update said when it did not believe one of them: a hint at what to do. */
int sb_apt_repositories_hint(const struct sb_apt_repositories *repositories, const char *said,
                             struct sb_error *err);

#endif
