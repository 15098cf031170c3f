#include "deploy/host/driver.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <glob.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/process.h"
#include "deploy/host/elf.h"

#if defined(__aarch64__)
#define MULTIARCH "aarch64-linux-gnu"
#define CPU       "aarch64"
#else
#define MULTIARCH "x86_64-linux-gnu"
#define CPU       "x86_64"
#endif

#define CACHE_TEXT (8u << 20) /* bytes of `ldconfig -p` */
#define ITEMS      4096

const char sb_driver_multiarch[] = MULTIARCH;

struct finding {
    const char *host;
    struct sb_strings directories; /* of libraries, each once */
    struct sb_driver *out;
};

/* ---- versions ---- */

/* "535.104.05": numbers with a dot at least. */
static bool is_version(const char *text, size_t n) {
    bool dot = false;
    for (size_t i = 0; i < n; i++) {
        if (text[i] == '.' && i > 0 && i + 1 < n && isdigit((unsigned char)text[i - 1]))
            dot = true;
        else if (!isdigit((unsigned char)text[i]))
            return false;
    }
    return dot;
}

/* Of "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15  Tue …"; the caller's, or NULL. */
static char *module_version(const char *host) {
    sb_autofree char *path = sb_format("%s/proc/driver/nvidia/version", host);
    sb_autobuf struct sb_buf text = {0};
    if (sb_file_read(AT_FDCWD, path, 65536, &text, NULL) < 0)
        return NULL;
    for (const char *word = sb_buf_text(&text); *word && *word != '\n';) {
        size_t n = strcspn(word, " \t\n");
        if (is_version(word, n))
            return sb_strndup(word, n);
        word += n + strspn(word + n, " \t");
    }
    return NULL;
}

/* Of the library that a path leads to, if its name ends in one; the caller's, or NULL. */
static char *version_of(const char *path) {
    char soname[256];
    sb_autofree char *real = realpath(path, NULL);
    const char *so = real ? strstr(strrchr(real, '/'), ".so.") : NULL;
    sb_autoclose int fd = so ? open(real, SB_FILE_FLAGS) : -1;
    return fd >= 0 && is_version(so + 4, strlen(so + 4)) && sb_elf_library(fd, soname)
               ? sb_strdup(so + 4)
               : NULL;
}

/* ---- where libraries are ---- */

static void add_directory(struct finding *f, const char *path) {
    struct stat st, other;
    if (stat(path, &st) < 0 || !S_ISDIR(st.st_mode))
        return;
    for (size_t i = 0; i < f->directories.n; i++)
        if (stat(f->directories.v[i], &other) == 0 && other.st_dev == st.st_dev &&
            other.st_ino == st.st_ino)
            return;
    sb_strings_add(&f->directories, path);
}

/* Wherever the host's own loader finds them. */
static void ask_loader(struct finding *f) {
    static const char *const argv[] = {"ldconfig", "-p", NULL};
    sb_autobuf struct sb_buf text = {0};
    sb_autofree char *program = sb_process_find("ldconfig");
    if (!program || sb_process_capture(argv, NULL, CACHE_TEXT, &text, NULL, NULL) != 0)
        return;
    for (const char *line = sb_buf_text(&text); *line;) {
        size_t n = strcspn(line, "\n");
        sb_autofree char *one = sb_strndup(line, n);
        const char *arrow = strstr(one, " => /");
        if (arrow && (strstr(one, "libcuda.so") || strstr(one, "libnvidia-ml.so"))) {
            sb_autofree char *directory = sb_path_dirname(arrow + 4);
            add_directory(f, directory);
        }
        line += n + (line[n] == '\n');
    }
}

static void find_directories(struct finding *f) {
    static const char *const usual[] = {
        "/usr/lib/" MULTIARCH,
        "/usr/lib/" MULTIARCH "/nvidia/current", /* Debian */
        "/usr/lib/" MULTIARCH "/nvidia",
        "/usr/lib64",
        "/usr/lib64/nvidia",
        "/lib/" MULTIARCH,
        "/lib64",
        "/usr/lib",
        "/usr/lib/nvidia",
        "/usr/lib/nvidia-[0-9]*",
        "/usr/local/nvidia/lib64",
        "/opt/nvidia/lib64",
        "/run/opengl-driver/lib",                /* NixOS */
        "/run/nvidia/driver/usr/lib/" MULTIARCH, /* a driver in a container of its own */
        "/run/nvidia/driver/usr/lib64",
    };
    if (!*f->host)
        ask_loader(f);
    for (size_t i = 0; i < sizeof usual / sizeof *usual; i++) {
        sb_autofree char *pattern = sb_format("%s%s", f->host, usual[i]);
        glob_t found;
        if (glob(pattern, GLOB_ONLYDIR, NULL, &found) != 0)
            continue;
        for (size_t j = 0; j < found.gl_pathc; j++)
            add_directory(f, found.gl_pathv[j]);
        globfree(&found);
    }
}

/* All versions of a library that there are, the one that is loaded by default first. */
static void find_versions(const struct finding *f, const char *library, struct sb_strings *out) {
    for (size_t i = 0; i < f->directories.n; i++) {
        sb_autofree char *link = sb_format("%s/%s.1", f->directories.v[i], library);
        sb_autofree char *pattern = sb_format("%s/%s.*.*", f->directories.v[i], library);
        char *version = version_of(link);
        glob_t found;
        if (version)
            sb_strings_take(out, version);
        if (glob(pattern, 0, NULL, &found) != 0)
            continue;
        for (size_t j = found.gl_pathc; j-- > 0;) /* the newest first, as a rule */
            if ((version = version_of(found.gl_pathv[j])))
                sb_strings_take(out, version);
        globfree(&found);
    }
}

static char *choose_version(const struct finding *f) {
    static const char *const libraries[] = {"libcuda.so", "libnvidia-ml.so"};
    sb_autostrings struct sb_strings versions = {0};
    for (size_t i = 0; i < sizeof libraries / sizeof *libraries && versions.n == 0; i++)
        find_versions(f, libraries[i], &versions);
    if (f->out->module && sb_strings_has(&versions, f->out->module))
        return sb_strdup(f->out->module);
    return versions.n ? sb_strdup(versions.v[0]) : NULL;
}

/* ---- what there is of it ---- */

static bool has(const struct sb_driver *driver, const char *inside) {
    for (size_t i = 0; i < driver->n; i++)
        if (!strcmp(driver->v[i].inside, inside))
            return true;
    return driver->n >= ITEMS;
}

static void add_item(struct sb_driver *driver, const char *inside, char *host, const char *target) {
    if (has(driver, inside)) {
        free(host);
        return;
    }
    SB_GROW(driver->v, driver->n, driver->cap);
    driver->v[driver->n++] =
        (struct sb_driver_item){sb_strdup(inside), host, target ? sb_strdup(target) : NULL};
}

static bool is_there(const char *directory, const char *name) {
    sb_autofree char *path = sb_path_join(directory, name);
    return sb_path_exists(AT_FDCWD, path);
}

static bool starts(const char *text, const char *with) {
    return strncmp(text, with, strlen(with)) == 0;
}

/* The names that it is loaded by: its soname, and the bare one where the host has that too. Some
 * programs take libcuda.so to be there. */
static void add_names(struct sb_driver *driver, const char *directory, const char *below,
                      const char *name, const char *soname) {
    sb_autofree char *first = sb_format("%s%s", below, soname);
    const char *so = strstr(soname, ".so.");
    if (strcmp(soname, name) != 0)
        add_item(driver, first, NULL, name);
    if (starts(name, "libGLX_nvidia.so."))
        add_item(driver, "libGLX_indirect.so.0", NULL, name);
    if (starts(name, "libnvidia-allocator.so."))
        add_item(driver, "gbm/nvidia-drm_gbm.so", NULL, "../libnvidia-allocator.so.1");
    if (!so)
        return;
    sb_autofree char *bare = sb_strndup(soname, (size_t)(so + 3 - soname));
    sb_autofree char *path = sb_format("%s%s", below, bare);
    if (!strcmp(bare, "libcuda.so") || !strcmp(bare, "libnvidia-opticalflow.so") ||
        is_there(directory, bare))
        add_item(driver, path, NULL, soname);
}

static void add_library(struct sb_driver *driver, const char *directory, const char *below,
                        const char *name) {
    char soname[256];
    sb_autofree char *path = sb_path_join(directory, name);
    sb_autofree char *inside = sb_format("%s%s", below, name);
    char *real = realpath(path, NULL);
    sb_autoclose int fd = real ? open(real, SB_FILE_FLAGS) : -1;
    struct stat st;
    if (fd < 0 || has(driver, inside) || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) ||
        !sb_elf_library(fd, soname)) {
        free(real);
        return;
    }
    add_item(driver, inside, real, NULL);
    add_names(driver, directory, below, name, *soname ? soname : name);
}

/* Those with versions of their own come by pattern. */
static bool is_library(const char *name, const char *version) {
    static const char *const others[] = {"libnvidia-nvvm70.so.",      "libnvidia-egl-gbm.so.",
                                         "libnvidia-egl-wayland.so.", "libnvidia-egl-wayland2.so.",
                                         "libnvidia-egl-xcb.so.",     "libnvidia-egl-xlib.so."};
    const char *so = strstr(name, ".so.");
    if (!so)
        return false;
    if (!strcmp(so + 4, version))
        return true;
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (starts(name, others[i]) && (i == 0 || is_version(so + 4, strlen(so + 4))))
            return true;
    return false;
}

static void add_libraries(struct sb_driver *driver, const char *directory, const char *below) {
    sb_autostrings struct sb_strings names = {0};
    sb_autoclosedir DIR *dir = opendir(directory);
    for (struct dirent *e; dir && (e = readdir(dir));)
        if (is_library(e->d_name, driver->version))
            sb_strings_add(&names, e->d_name);
    sb_strings_sort(&names);
    for (size_t i = 0; i < names.n; i++)
        add_library(driver, directory, below, names.v[i]);
}

/* The first of these paths of the host that is a file. */
static void add_file(struct finding *f, const char *inside, const char *const *places,
                     const char *name) {
    for (; *places; places++) {
        sb_autofree char *path = sb_format("%s%s/%s", f->host, *places, name);
        char *real = realpath(path, NULL);
        struct stat st;
        if (real && stat(real, &st) == 0 && S_ISREG(st.st_mode)) {
            add_item(f->out, inside, real, NULL);
            return;
        }
        free(real);
    }
}

static void add_programs(struct finding *f) {
    static const char *const names[] = {"nvidia-smi",
                                        "nvidia-debugdump",
                                        "nvidia-persistenced",
                                        "nvidia-cuda-mps-control",
                                        "nvidia-cuda-mps-server",
                                        "nvidia-imex",
                                        "nvidia-imex-ctl"};
    static const char *const places[] = {"/usr/bin",
                                         "/usr/local/bin",
                                         "/usr/sbin",
                                         "/bin",
                                         "/usr/local/nvidia/bin",
                                         "/opt/nvidia/bin",
                                         "/run/nvidia/driver/usr/bin",
                                         "/run/current-system/sw/bin",
                                         NULL};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        sb_autofree char *inside = sb_format("/usr/bin/%s", names[i]);
        add_file(f, inside, places, names[i]);
    }
}

/* What tells loaders of Vulkan, OpenCL and EGL that there is this driver; and data of OptiX. */
static void add_configuration(struct finding *f) {
    static const char *const names[][2] = {
        {"/etc", "OpenCL/vendors/nvidia.icd"},
        {"/etc", "vulkan/icd.d/nvidia_icd.json"},
        {"/etc", "vulkan/icd.d/nvidia_icd." CPU ".json"},
        {"/etc", "vulkan/icd.d/nvidia_layers.json"},
        {"/etc", "vulkan/implicit_layer.d/nvidia_layers.json"},
        {"/usr/share", "glvnd/egl_vendor.d/10_nvidia.json"},
        {"/usr/share", "egl/egl_external_platform.d/15_nvidia_gbm.json"},
        {"/usr/share", "egl/egl_external_platform.d/10_nvidia_wayland.json"},
        {"/usr/share", "egl/egl_external_platform.d/09_nvidia_wayland2.json"},
        {"/usr/share", "egl/egl_external_platform.d/20_nvidia_xcb.json"},
        {"/usr/share", "egl/egl_external_platform.d/20_nvidia_xlib.json"},
        {"/usr/share", "nvidia/nvoptix.bin"}};
    static const char *const places[] = {"/etc",
                                         "/usr/local/share",
                                         "/usr/share",
                                         "/run/nvidia/driver/etc",
                                         "/run/nvidia/driver/usr/share",
                                         NULL};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        sb_autofree char *inside = sb_path_join(names[i][0], names[i][1]);
        add_file(f, inside, places, names[i][1]);
    }
}

static void add_firmware(struct finding *f) {
    static const char *const places[] = {"/lib/firmware/updates", "/lib/firmware",
                                         "/run/nvidia/driver/lib/firmware"};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        sb_autofree char *pattern =
            sb_format("%s%s/nvidia/%s/gsp*.bin", f->host, places[i], f->out->version);
        glob_t found;
        if (glob(pattern, 0, NULL, &found) != 0)
            continue;
        for (size_t j = 0; j < found.gl_pathc; j++) {
            char *real = realpath(found.gl_pathv[j], NULL);
            sb_autofree char *inside = sb_format("/lib/firmware/nvidia/%s/%s", f->out->version,
                                                 strrchr(found.gl_pathv[j], '/') + 1);
            if (real)
                add_item(f->out, inside, real, NULL);
        }
        globfree(&found);
    }
}

void sb_driver_find(const char *host, struct sb_driver *out) {
    struct finding f = {.host = host, .out = out};
    *out = (struct sb_driver){.module = module_version(host)};
    find_directories(&f);
    out->version = choose_version(&f);
    for (size_t i = 0; i < f.directories.n && out->version; i++) {
        sb_autofree char *vdpau = sb_path_join(f.directories.v[i], "vdpau");
        add_libraries(out, f.directories.v[i], "");
        add_libraries(out, vdpau, "vdpau/");
    }
    if (out->version) {
        add_programs(&f);
        add_firmware(&f);
        add_configuration(&f);
    }
    sb_strings_free(&f.directories);
}

void sb_driver_free(struct sb_driver *driver) {
    for (size_t i = 0; i < driver->n; i++) {
        free(driver->v[i].inside);
        free(driver->v[i].host);
        free(driver->v[i].target);
    }
    free(driver->v);
    free(driver->version);
    free(driver->module);
    *driver = (struct sb_driver){0};
}

void sb_driver_identify(const struct sb_driver *driver, struct sb_buf *out) {
    for (size_t i = 0; i < driver->n; i++) {
        const struct sb_driver_item *item = &driver->v[i];
        struct stat st = {0};
        if (item->host && stat(item->host, &st) < 0)
            continue; /* gone meanwhile */
        sb_buf_addf(out, "%s\t%s\t%jd %jd.%ld\n", item->inside,
                    item->host ? item->host : item->target, (intmax_t)st.st_size,
                    (intmax_t)st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
    }
}
