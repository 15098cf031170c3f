/*
 * document/environment: environment variables whose values name others, and the PATH.
 *
 * What env: of a recipe says is kept as a template, since the base's variables are known only when
 * the base is: text in which "${NAME}" is another variable's value and "$$" a dollar sign
 * (document/schema.h, .variables; args are in place already). No other "$" is in it.
 */
#ifndef SB_DOCUMENT_ENVIRONMENT_H
#define SB_DOCUMENT_ENVIRONMENT_H

#include "base/buffer.h"
#include "base/error.h"
#include "document/pairs.h"

/* What programs are looked up in where nothing says otherwise: in steps, in images of new
 * distributions, in services. */
#define SB_DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/* The last of a recipe's templates is made of all that those are made of which it names, too. */
void sb_environment_inherit(struct sb_pairs *templates);
/* So are all templates, of those in above that they name. */
void sb_environment_inherit_all(struct sb_pairs *templates, const struct sb_pairs *above);
/* The first argument that the variable is made of and that isn't among seen (NULL: all are); NULL:
 * none. Those of the platform are seen always. */
const char *sb_environment_hidden(const struct sb_pair *pair, const struct sb_strings *seen);

/* Sets each variable that env: declares, in its order, so that a value sees the base's variables
 * and those above it, its own earlier value too. PATH without a value is SB_DEFAULT_PATH. A name
 * that has no value is SB_E_RECIPE with the place in file, and the nearest of those that have one
 * or are args (may be NULL). What is made of an argument that isn't among seen (NULL: all are) is
 * left out. */
int sb_environment_add(struct sb_pairs *env, const struct sb_pairs *templates,
                       const struct sb_pairs *args, const struct sb_strings *seen, const char *file,
                       struct sb_error *err);

/* Puts directories in front of PATH; one that is in it already moves there. */
void sb_environment_add_path(struct sb_pairs *env, const struct sb_strings *directories);

#endif
