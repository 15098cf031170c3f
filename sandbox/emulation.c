#include "sandbox/emulation.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/process.h"

/* ---- a program that does nothing ---- */

#ifndef EM_RISCV
#define EM_RISCV 243
#endif

#define CODE(bytes) (bytes), sizeof(bytes) - 1

/* exit(0), as each processor says it. */
static const struct processor {
    const char *name;
    int machine;
    bool wide, big; /* 64 bits; the highest byte first */
    uint32_t flags;
    const char *code;
    size_t code_len;
} processors[] = {
    {"amd64", EM_X86_64, true, false, 0, CODE("\xb8\x3c\0\0\0\x31\xff\x0f\x05")},
    {"386", EM_386, false, false, 0, CODE("\xb8\x01\0\0\0\x31\xdb\xcd\x80")},
    {"arm64", EM_AARCH64, true, false, 0, CODE("\xa8\x0b\x80\xd2\0\0\x80\xd2\x01\0\0\xd4")},
    {"arm", EM_ARM, false, false, 0x05000000, CODE("\x01\x70\xa0\xe3\0\0\xa0\xe3\0\0\0\xef")},
    {"riscv64", EM_RISCV, true, false, 0, CODE("\x93\x08\xd0\x05\x13\x05\0\0\x73\0\0\0")},
    {"ppc64le", EM_PPC64, true, false, 2, CODE("\x01\0\0\x38\0\0\x60\x38\x02\0\0\x44")},
    {"s390x", EM_S390, true, true, 0, CODE("\xa7\x29\0\0\x0a\x01\0\0")},
};

enum { BASE = 0x400000, PAGE = 0x10000 }; /* as far apart as any processor's pages are */

struct image {
    unsigned char bytes[256];
    size_t len;
    bool big;
};

static void put(struct image *to, uint64_t value, int size) {
    for (int i = 0; i < size; i++)
        to->bytes[to->len++] = (unsigned char)(value >> 8 * (to->big ? size - 1 - i : i));
}

/* ELF: a header, one segment, the code. */
static void make_program(const struct processor *p, struct image *out) {
    int word = p->wide ? 8 : 4;
    uint64_t header = p->wide ? 64 : 52, segment = p->wide ? 56 : 32, start = header + segment;
    uint64_t size = start + p->code_len;
    *out = (struct image){.big = p->big};
    const unsigned char ident[EI_NIDENT] = {0x7f,
                                            'E',
                                            'L',
                                            'F',
                                            p->wide ? ELFCLASS64 : ELFCLASS32,
                                            p->big ? ELFDATA2MSB : ELFDATA2LSB,
                                            EV_CURRENT};
    memcpy(out->bytes, ident, out->len = sizeof ident);
    put(out, ET_EXEC, 2);
    put(out, (uint64_t)p->machine, 2);
    put(out, EV_CURRENT, 4);
    put(out, BASE + start, word); /* where it begins */
    put(out, header, word);       /* of the segment's description */
    put(out, 0, word);
    put(out, p->flags, 4);
    put(out, header, 2);
    put(out, segment, 2);
    put(out, 1, 2);
    put(out, 0, 2);
    put(out, 0, 2);
    put(out, 0, 2);
    put(out, PT_LOAD, 4);
    if (p->wide)
        put(out, PF_R | PF_X, 4);
    put(out, 0, word); /* in the file */
    put(out, BASE, word);
    put(out, BASE, word);
    put(out, size, word);
    put(out, size, word);
    if (!p->wide)
        put(out, PF_R | PF_X, 4);
    put(out, PAGE, word);
    memcpy(out->bytes + out->len, p->code, p->code_len);
    out->len += p->code_len;
}

/* ---- trying it ---- */

enum {
    SECONDS = 20, /* of an emulator that hangs */
    NO_ROOT = 126,
    NOT_RUN = 127,
};

/* Between fork and exec: async-signal-safe calls only. In a root of its own where that can be had;
 * as a user in a namespace. */
static void become(const char *directory, bool inside) {
    char *const argv[] = {(char *)"probe", NULL}, *const env[] = {NULL};
    int null = open("/dev/null", O_RDWR);
    for (int i = 0; i < 3; i++)
        dup2(null, i);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    alarm(SECONDS);
    if (chdir(directory) < 0)
        _exit(NO_ROOT);
    if (inside && chroot(".") < 0 && (unshare(CLONE_NEWUSER) < 0 || chroot(".") < 0))
        _exit(NO_ROOT);
    execve(inside ? "/probe" : "./probe", argv, env);
    _exit(NOT_RUN);
}

static int run(const char *directory, bool inside) {
    pid_t pid = fork();
    if (pid == 0)
        become(directory, inside);
    return pid > 0 ? sb_process_wait(pid, NULL) : -1;
}

enum sb_emulation sb_emulation_try(const char *architecture, const char *directory) {
    const struct processor *p = NULL;
    for (size_t i = 0; i < sizeof processors / sizeof *processors; i++)
        if (!strcmp(processors[i].name, architecture))
            p = &processors[i];
    if (!p)
        return SB_EMULATION_WORKS;
    struct image program;
    make_program(p, &program);
    sb_autofree char *path = sb_path_join(directory, "probe");
    if (sb_file_write(AT_FDCWD, path, program.bytes, program.len, 0755, NULL) < 0 ||
        chmod(path, 0755) < 0)
        return SB_EMULATION_WORKS;
    int inside = run(directory, true);
    int outside = inside == 0 ? 0 : run(directory, false);
    enum sb_emulation result = inside == 0                         ? SB_EMULATION_WORKS
                               : outside == 0 && inside == NO_ROOT ? SB_EMULATION_WORKS
                               : outside == 0                      ? SB_EMULATION_OUTSIDE
                                                                   : SB_EMULATION_NONE;
    unlink(path);
    return result;
}

int sb_emulation_hint(enum sb_emulation emulation, const char *platform, struct sb_error *err) {
    if (emulation == SB_EMULATION_OUTSIDE)
        return sb_error_hint(
            err,
            "the kernel's handler for them (binfmt_misc) looks for the emulator in the root, where "
            "it is not: register it with the flag F, as Debian's and Ubuntu's qemu-user-static do; "
            "or use a machine of that architecture, with --platform %s",
            platform);
    return sb_error_hint(err,
                         "install an emulator on this machine (apt-get install qemu-user-static), "
                         "or use a machine of that architecture, with --platform %s",
                         platform);
}
