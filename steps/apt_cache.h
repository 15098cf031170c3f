/*
 * steps/apt_cache: package lists and packages that are kept between builds.
 *
 *     STORE/sbuild/caches/packages/lists/HEX, archives/HEX        by SHA-256; for apt steps
 *     STORE/sbuild/caches/bootstrap-NAME/lists/HEX, archives/HEX  for bootstraps of a distribution
 *     STORE/sbuild/caches/bootstrap-NAME/lists/…Release           which say how lists are called
 *
 * An apt step is run by programs of the image, so nothing that it leaves is believed: files are
 * copied, under the digest that the copy has. A step is shown a kept file only under the name for
 * which its own index, which its own apt has fetched and verified just before, gives that digest;
 * so what another build left can change nothing. It sees them through an overlay, and can write to
 * none.
 *
 * Bootstraps are run by this machine's apt, which verifies all that it takes; but scripts of
 * packages are root beside it. They share nothing with steps, and work on copies. Lists are given
 * to them as earlier Release files name them; apt asks for these anew, and takes no list that they
 * don't name.
 */
#ifndef SB_STEPS_APT_CACHE_H
#define SB_STEPS_APT_CACHE_H

#include "base/error.h"
#include "layers/store.h"

struct sb_apt_cache;

/* For an apt step: empty lists, into which apt is to fetch Release files first. Free with
 * sb_apt_cache_free. */
int sb_apt_cache_open(struct sb_store *store, struct sb_apt_cache **out, struct sb_error *err);
/* Removes lists that are empty, and shows those that the Release files name, as far as they are
 * kept. Returns 1 when all are there whose names stand in `targets` (of the state directory, a path
 * a line), 0 when some have to be fetched still, -1 and err. */
int sb_apt_cache_offer_lists(struct sb_apt_cache *cache, const char *targets, struct sb_error *err);
/* Shows the packages that the lists name, as far as they are kept. */
int sb_apt_cache_offer_archives(struct sb_apt_cache *cache, struct sb_error *err);

/* For a bootstrap of a distribution ("debian", "ubuntu"): lists and packages of earlier ones are
 * there. */
int sb_apt_cache_open_bootstrap(struct sb_store *store, const char *distribution,
                                struct sb_apt_cache **out, struct sb_error *err);

const char *sb_apt_cache_lists(const struct sb_apt_cache *cache);     /* for /var/lib/apt/lists */
const char *sb_apt_cache_state(const struct sb_apt_cache *cache);     /* for /var/cache/apt */
const char *sb_apt_cache_archives(const struct sb_apt_cache *cache);  /* for its archives/ */
const char *sb_apt_cache_directory(const struct sb_apt_cache *cache); /* for other passing files */

/* Keeps what is new, once nothing runs any more that could write to it. What can't be kept is just
 * fetched again next time. */
void sb_apt_cache_keep(struct sb_apt_cache *cache);
void sb_apt_cache_free(struct sb_apt_cache *cache); /* NULL is allowed */

#endif
