/* deploy/host/driver, deploy/host/elf: what is found of a driver, in roots of hosts as
 * distributions lay them out. */
#include "deploy/host/driver.h"

#include <elf.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/tree.h"
#include "deploy/host/elf.h"
#include "tests/unit/test.h"

static char root[] = "/tmp/sb-driver-XXXXXX";
static struct sb_error err;

/* ---- a library, as small as one can be ---- */

struct library {
    Elf64_Ehdr head;
    Elf64_Phdr program[2];
    Elf64_Dyn dynamic[3];
    char strings[64];
};

static struct library make(const char *soname) {
    struct library l = {
        .head = {.e_type = ET_DYN,
                 .e_phoff = offsetof(struct library, program),
                 .e_phentsize = sizeof(Elf64_Phdr),
                 .e_phnum = 2},
        .program = {{.p_type = PT_LOAD, .p_vaddr = 0x1000, .p_filesz = sizeof l},
                    {.p_type = PT_DYNAMIC,
                     .p_offset = offsetof(struct library, dynamic),
                     .p_filesz = sizeof l.dynamic}},
        .dynamic = {{DT_STRTAB, {0x1000 + offsetof(struct library, strings)}}, {DT_SONAME, {1}}},
    };
#if defined(__aarch64__)
    l.head.e_machine = EM_AARCH64;
#else
    l.head.e_machine = EM_X86_64;
#endif
    memcpy(l.head.e_ident, ELFMAG, SELFMAG);
    l.head.e_ident[EI_CLASS] = ELFCLASS64;
    l.head.e_ident[EI_DATA] = ELFDATA2LSB;
    snprintf(l.strings + 1, sizeof l.strings - 1, "%s", soname);
    if (!*soname)
        l.dynamic[1].d_tag = DT_NULL;
    return l;
}

static void write_file(const char *path, const void *data, size_t n) {
    sb_autofree char *whole = sb_format("%s%s", root, path);
    sb_autofree char *parent = sb_path_dirname(whole);
    CHECK_INT(sb_directory_make(AT_FDCWD, parent, 0755, &err), 0);
    CHECK_INT(sb_file_write(AT_FDCWD, whole, data, n, 0644, &err), 0);
}

static void add(const char *path, const char *soname) {
    struct library l = make(soname);
    write_file(path, &l, sizeof l);
}

static void link_to(const char *target, const char *path) {
    sb_autofree char *whole = sb_format("%s%s", root, path);
    sb_autofree char *parent = sb_path_dirname(whole);
    CHECK_INT(sb_directory_make(AT_FDCWD, parent, 0755, &err), 0);
    CHECK_INT(symlink(target, whole), 0);
}

static void anew(void) {
    CHECK_INT(sb_tree_remove(AT_FDCWD, root, &err), 0);
    CHECK_INT(mkdir(root, 0755), 0);
}

/* "" when it is not there; else where it is from, or what the link says. */
static const char *of(const struct sb_driver *driver, const char *inside) {
    for (size_t i = 0; i < driver->n; i++)
        if (!strcmp(driver->v[i].inside, inside))
            return driver->v[i].host ? driver->v[i].host + strlen(root) : driver->v[i].target;
    return "";
}

#define LIB "/usr/lib/"

static void test_debian(void) {
    struct sb_driver d;
    sb_autofree char *base = sb_format(LIB "%s", sb_driver_multiarch);
    anew();
    const char *const names[][2] = {
        {"libcuda.so.535.1", "libcuda.so.1"},
        {"libnvidia-ml.so.535.1", "libnvidia-ml.so.1"},
        {"libnvidia-rtcore.so.535.1", "libnvidia-rtcore.so.535.1"},
        {"libnvidia-opticalflow.so.535.1", "libnvidia-opticalflow.so.1"},
        {"libGLX_nvidia.so.535.1", "libGLX_nvidia.so.0"},
        {"vdpau/libvdpau_nvidia.so.535.1", "libvdpau_nvidia.so.1"},
        {"libnvidia-allocator.so.535.1", "libnvidia-allocator.so.1"},
        {"libnvidia-egl-gbm.so.1.1.0", "libnvidia-egl-gbm.so.1"},
        {"libnvidia-nvvm70.so.4", "libnvidia-nvvm70.so.4"},
        {"libother.so.5.1", "libother.so.5"},
        {"libc.so.6", "libc.so.6"}};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        sb_autofree char *path = sb_format("%s/nvidia/current/%s", base, names[i][0]);
        add(path, names[i][1]);
    }
    sb_autofree char *link = sb_format("%s/libcuda.so.1", base);
    link_to("nvidia/current/libcuda.so.535.1", link);
    write_file(LIB "nvidia/current/nvidia-smi", "x", 1);
    link_to("../lib/nvidia/current/nvidia-smi", "/usr/bin/nvidia-smi");
    write_file("/lib/firmware/nvidia/535.1/gsp_ga10x.bin", "x", 1);
    write_file("/lib/firmware/nvidia/550.1/gsp_ga10x.bin", "x", 1);
    write_file("/etc/vulkan/icd.d/nvidia_icd.json", "x", 1);
    sb_driver_find(root, &d);
    CHECK_STR(d.version, "535.1");
    CHECK(!d.module);
    sb_autofree char *cuda = sb_format("%s/nvidia/current/libcuda.so.535.1", base);
    CHECK_STR(of(&d, "libcuda.so.535.1"), cuda);
    const char *const links[][2] = {{"libcuda.so.1", "libcuda.so.535.1"},
                                    {"libcuda.so", "libcuda.so.1"},
                                    {"libnvidia-ml.so.1", "libnvidia-ml.so.535.1"},
                                    {"libnvidia-ml.so", ""}, /* the host has it not */
                                    {"libnvidia-opticalflow.so", "libnvidia-opticalflow.so.1"},
                                    {"libGLX_indirect.so.0", "libGLX_nvidia.so.535.1"},
                                    {"vdpau/libvdpau_nvidia.so.1", "libvdpau_nvidia.so.535.1"},
                                    {"gbm/nvidia-drm_gbm.so", "../libnvidia-allocator.so.1"},
                                    {"libnvidia-egl-gbm.so.1", "libnvidia-egl-gbm.so.1.1.0"},
                                    {"libother.so.5", ""},
                                    {"libc.so.6", ""}};
    for (size_t i = 0; i < sizeof links / sizeof *links; i++)
        if (!CHECK_STR(of(&d, links[i][0]), links[i][1]))
            printf("    %s\n", links[i][0]);
    CHECK(*of(&d, "libnvidia-rtcore.so.535.1") == '/');
    CHECK(*of(&d, "libnvidia-nvvm70.so.4") == '/');
    CHECK_STR(of(&d, "/usr/bin/nvidia-smi"), LIB "nvidia/current/nvidia-smi");
    CHECK_STR(of(&d, "/lib/firmware/nvidia/535.1/gsp_ga10x.bin"),
              "/lib/firmware/nvidia/535.1/gsp_ga10x.bin");
    CHECK_STR(of(&d, "/lib/firmware/nvidia/550.1/gsp_ga10x.bin"), "");
    CHECK_STR(of(&d, "/etc/vulkan/icd.d/nvidia_icd.json"), "/etc/vulkan/icd.d/nvidia_icd.json");
    sb_driver_free(&d);
}

static char *version_with(const char *module) {
    struct sb_driver d;
    sb_autofree char *line = sb_format(
        "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  %s  Release Build\nGCC 12.2.0\n",
        module);
    if (*module)
        write_file("/proc/driver/nvidia/version", line, strlen(line));
    sb_driver_find(root, &d);
    char *version = d.version ? sb_strdup(d.version) : sb_strdup("");
    sb_driver_free(&d);
    return version;
}

static void check_version(const char *module, const char *expected) {
    sb_autofree char *version = version_with(module);
    CHECK_STR(version, expected);
}

/* Two, in one directory or in two. */
static void test_versions(void) {
    anew();
    check_version("", "");
    add("/usr/lib64/libcuda.so.535.104.05", "libcuda.so.1");
    check_version("", "535.104.05");
    add("/usr/lib64/libcuda.so.550.54.15", "libcuda.so.1");
    check_version("", "550.54.15");
    link_to("libcuda.so.535.104.05", "/usr/lib64/libcuda.so.1");
    check_version("", "535.104.05");
    check_version("550.54.15", "550.54.15");
    check_version("570.1", "535.104.05"); /* no libraries of it */
    add("/run/nvidia/driver/usr/lib64/libcuda.so.570.1", "libcuda.so.1");
    check_version("570.1", "570.1");
    anew();
    add("/usr/lib64/libnvidia-ml.so.535.1", "libnvidia-ml.so.1"); /* without CUDA */
    check_version("", "535.1");
    anew();
    write_file("/usr/lib64/libcuda.so.535.1", "text", 4); /* no library */
    check_version("", "");
}

/* 32 bits, another machine, nonsense. */
static void test_elf(void) {
    char soname[256];
    sb_autofree char *path = sb_format("%s/lib", root);
    struct library l;
    anew();
#define LOOKS(expected, name)                                                                      \
    do {                                                                                           \
        write_file("/lib", &l, sizeof l);                                                          \
        sb_autoclose int fd = open(path, O_RDONLY | O_CLOEXEC);                                    \
        CHECK_INT(sb_elf_library(fd, soname), expected);                                           \
        CHECK_STR(soname, name);                                                                   \
    } while (0)
    l = make("libx.so.1");
    LOOKS(true, "libx.so.1");
    l = make("");
    LOOKS(true, "");
    l = make("../../etc/passwd");
    LOOKS(true, "");
    l = make("..");
    LOOKS(true, "");
    l = make("libx.so.1");
    l.head.e_ident[EI_CLASS] = ELFCLASS32;
    LOOKS(false, "");
    l = make("libx.so.1");
    l.head.e_machine = EM_386;
    LOOKS(false, "");
    l = make("libx.so.1");
    l.head.e_type = ET_EXEC;
    LOOKS(false, "");
    l = make("libx.so.1");
    l.head.e_phoff = UINT64_MAX - 3;
    LOOKS(false, "");
    l = make("libx.so.1");
    l.head.e_phnum = 65535;
    LOOKS(false, "");
    const uint64_t odd[] = {UINT64_MAX, INT64_MAX, 0, 1u << 20};
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
        l = make("libx.so.1");
        l.dynamic[0].d_un.d_ptr = odd[i];
        LOOKS(true, "");
        l = make("libx.so.1");
        l.dynamic[1].d_un.d_val = odd[i];
        LOOKS(true, "");
        l = make("libx.so.1");
        l.program[1].p_offset = odd[i] ? odd[i] : UINT64_MAX;
        LOOKS(true, "");
        l = make("libx.so.1");
        l.program[0].p_offset = odd[i] ? odd[i] : UINT64_MAX - 0x100;
        LOOKS(true, "");
    }
    l = make("libx.so.1");
    l.program[1].p_filesz = UINT64_MAX;
    LOOKS(true, "");
#undef LOOKS
}

static char *identity(void) {
    struct sb_driver d;
    struct sb_buf text = {0};
    sb_driver_find(root, &d);
    sb_driver_identify(&d, &text);
    sb_driver_free(&d);
    return sb_buf_steal(&text);
}

static void test_identity(void) {
    anew();
    add("/usr/lib64/libcuda.so.535.1", "libcuda.so.1");
    sb_autofree char *first = identity(), *again = identity();
    CHECK_STR(first, again);
    const struct timespec other[2] = {{.tv_sec = 1}, {.tv_sec = 1}};
    sb_autofree char *path = sb_format("%s/usr/lib64/libcuda.so.535.1", root);
    CHECK_INT(utimensat(AT_FDCWD, path, other, 0), 0);
    sb_autofree char *touched = identity();
    CHECK(strcmp(first, touched) != 0);
    add("/usr/lib64/libnvoptix.so.535.1", "libnvoptix.so.1");
    sb_autofree char *more = identity();
    CHECK(strcmp(touched, more) != 0);
}

int main(void) {
    if (!mkdtemp(root))
        return 1;
    test_debian();
    test_versions();
    test_elf();
    test_identity();
    sb_tree_remove(AT_FDCWD, root, NULL);
    return test_done();
}
