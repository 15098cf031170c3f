/*
 * deploy/host/elf: what a shared library of this host is called by those that load it, and which
 * processor a program is for.
 */
#ifndef SB_DEPLOY_HOST_ELF_H
#define SB_DEPLOY_HOST_ELF_H

#include <stdbool.h>

/* True for a shared library that programs of this machine's own architecture can load. soname is
 * its DT_SONAME: a plain name of a file, or "" when it has none. */
bool sb_elf_library(int fd, char soname[static 256]);

/* "amd64", "arm64", …: in Go's spelling; NULL for what is no ELF file, or of a processor that
 * images are not made for. */
const char *sb_elf_architecture(int fd);

#endif
