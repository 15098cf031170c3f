/*
 * deploy/elf: what a shared library of this host is called by those that load it.
 */
#ifndef SB_DEPLOY_ELF_H
#define SB_DEPLOY_ELF_H

#include <stdbool.h>

/* True for a shared library that programs of this machine's own architecture can load. soname is
 * its DT_SONAME: a plain name of a file, or "" when it has none. */
bool sb_elf_library(int fd, char soname[static 256]);

#endif
