/*
 * deploy/host/accounts: passwd and group of an image, for a service with another number.
 */
#ifndef SB_DEPLOY_HOST_ACCOUNTS_H
#define SB_DEPLOY_HOST_ACCOUNTS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"

#define SB_ACCOUNTS_LIMIT (1u << 20)

/* Appends the table, in which each line of the number old comes twice: with the new number first,
 * which a look-up by name finds, and as it was, for files of the old one. False, and nothing, when
 * there is no such line. */
bool sb_accounts_renumber(const char *table, uint32_t old, uint32_t new, bool groups,
                          struct sb_buf *out);

#endif
