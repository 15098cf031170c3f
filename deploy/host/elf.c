/* elf(5). A file of the host that somebody may be writing just now, or one of an image: nothing in
 * it is believed before it was looked at. */
#include "deploy/host/elf.h"

#include <elf.h>
#include <string.h>
#include <unistd.h>

#include "base/memory.h"

#define SEGMENTS 64
#define DYNAMIC  1024 /* entries */

#if defined(__x86_64__)
#define MACHINE EM_X86_64
#elif defined(__aarch64__)
#define MACHINE EM_AARCH64
#else
#define MACHINE EM_NONE
#endif

static bool read_at(int fd, void *out, size_t n, uint64_t offset) {
    return offset <= INT64_MAX && pread(fd, out, n, (off_t)offset) == (ssize_t)n;
}

struct segments {
    Elf64_Phdr v[SEGMENTS];
    size_t n;
};

/* Where an address lies in the file; 0: nowhere. */
static uint64_t offset_of(const struct segments *segments, uint64_t address) {
    for (size_t i = 0; i < segments->n; i++) {
        const Elf64_Phdr *p = &segments->v[i];
        if (p->p_type == PT_LOAD && address >= p->p_vaddr && address - p->p_vaddr < p->p_filesz)
            return p->p_offset + (address - p->p_vaddr);
    }
    return 0;
}

static void read_soname(int fd, const struct segments *segments, const Elf64_Phdr *dynamic,
                        char soname[static 256]) {
    size_t n = dynamic->p_filesz / sizeof(Elf64_Dyn);
    n = n < DYNAMIC ? n : DYNAMIC;
    sb_autofree Elf64_Dyn *entries = sb_alloc((n + 1) * sizeof *entries);
    uint64_t strings = 0, name = 0;
    char text[256];
    if (!read_at(fd, entries, n * sizeof *entries, dynamic->p_offset))
        return;
    for (size_t i = 0; i < n && entries[i].d_tag != DT_NULL; i++) {
        strings = entries[i].d_tag == DT_STRTAB ? entries[i].d_un.d_ptr : strings;
        name = entries[i].d_tag == DT_SONAME ? entries[i].d_un.d_val : name;
    }
    uint64_t offset = offset_of(segments, strings);
    if (!offset || !name || name > UINT32_MAX)
        return;
    ssize_t got = pread(fd, text, sizeof text, (off_t)(offset + name));
    if (got > 0 && memchr(text, '\0', (size_t)got) && *text && !strchr(text, '/') &&
        strcmp(text, ".") != 0 && strcmp(text, "..") != 0)
        strcpy(soname, text);
}

bool sb_elf_library(int fd, char soname[static 256]) {
    Elf64_Ehdr head;
    struct segments segments;
    *soname = '\0';
    if (!read_at(fd, &head, sizeof head, 0) || memcmp(head.e_ident, ELFMAG, SELFMAG) != 0 ||
        head.e_ident[EI_CLASS] != ELFCLASS64 || head.e_ident[EI_DATA] != ELFDATA2LSB ||
        head.e_machine != MACHINE || head.e_type != ET_DYN ||
        head.e_phentsize != sizeof(Elf64_Phdr))
        return false;
    segments.n = head.e_phnum < SEGMENTS ? head.e_phnum : SEGMENTS;
    if (!read_at(fd, segments.v, segments.n * sizeof *segments.v, head.e_phoff))
        return false;
    for (size_t i = 0; i < segments.n; i++)
        if (segments.v[i].p_type == PT_DYNAMIC)
            read_soname(fd, &segments, &segments.v[i], soname);
    return true;
}

/* ---- which processor ---- */

#ifndef EM_RISCV
#define EM_RISCV 243
#endif
#ifndef EM_LOONGARCH
#define EM_LOONGARCH 258
#endif

static const struct {
    uint16_t machine;
    unsigned char class, data; /* 0: any */
    const char *architecture;
} machines[] = {
    {EM_X86_64, 0, ELFDATA2LSB, "amd64"},
    {EM_386, ELFCLASS32, ELFDATA2LSB, "386"},
    {EM_AARCH64, ELFCLASS64, ELFDATA2LSB, "arm64"},
    {EM_ARM, ELFCLASS32, ELFDATA2LSB, "arm"},
    {EM_RISCV, ELFCLASS64, ELFDATA2LSB, "riscv64"},
    {EM_PPC64, ELFCLASS64, ELFDATA2LSB, "ppc64le"},
    {EM_S390, ELFCLASS64, ELFDATA2MSB, "s390x"},
    {EM_LOONGARCH, ELFCLASS64, ELFDATA2LSB, "loong64"},
};

const char *sb_elf_architecture(int fd) {
    unsigned char head[20]; /* up to e_machine, at 18 */
    if (!read_at(fd, head, sizeof head, 0) || memcmp(head, ELFMAG, SELFMAG) != 0)
        return NULL;
    bool big = head[EI_DATA] == ELFDATA2MSB;
    unsigned machine = big ? head[18] << 8 | head[19] : head[19] << 8 | head[18];
    for (size_t i = 0; i < sizeof machines / sizeof *machines; i++)
        if (machines[i].machine == machine &&
            (!machines[i].class || machines[i].class == head[EI_CLASS]) &&
            machines[i].data == head[EI_DATA])
            return machines[i].architecture;
    return NULL;
}
