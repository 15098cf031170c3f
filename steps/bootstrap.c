/*
 * mmdebstrap runs packages' scripts in a chroot, which holds nobody who has root's capabilities. So
 * it is set apart (sandbox/contain.h), as uid 0 of a user namespace, in its mode "root": it mounts
 * what it can't create. What it leaves that comes from this machine is removed afterwards. It
 * writes straight into the upper directory: in the merged root, the stubs below would keep /proc,
 * /sys and their like out of the layer.
 */
#include "steps/bootstrap.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/process.h"
#include "sandbox/inroot.h"
#include "sandbox/inroot_files.h"
#include "sandbox/program.h"
#include "steps/apt_cache.h"
#include "steps/apt_sources.h"
#include "steps/away.h"

/* Where the distributions' packages put the keys of their archives, here as in the image. */
static const char *const debian_keyrings[] = {"/usr/share/keyrings/debian-archive-keyring.gpg",
                                              "/usr/share/keyrings/debian-archive-keyring.pgp",
                                              NULL};
static const char *const ubuntu_keyrings[] = {"/usr/share/keyrings/ubuntu-archive-keyring.gpg",
                                              NULL};

static const char *const *keyrings_of(const struct sb_bootstrap *bootstrap) {
    return strcmp(bootstrap->distribution, "ubuntu") == 0 ? ubuntu_keyrings : debian_keyrings;
}

static const char *find_keyring(const struct sb_bootstrap *bootstrap, struct sb_error *err) {
    const char *const *keyrings = keyrings_of(bootstrap);
    for (size_t i = 0; keyrings[i]; i++)
        if (access(keyrings[i], R_OK) == 0)
            return keyrings[i];
    const char *package = keyrings == ubuntu_keyrings ? "ubuntu-keyring" : "debian-archive-keyring";
    sb_fail(err, SB_E_NOT_FOUND, "the keys of %s's archive are not installed (%s)",
            keyrings == ubuntu_keyrings ? "Ubuntu" : "Debian", keyrings[0]);
    sb_error_hint(err, "install them on this machine: apt-get install %s", package);
    return NULL;
}

/* The proxy that this machine's own apt is told to use, "" when none. */
static void find_proxy(struct sb_buf *out) {
    static const char *const argv[] = {"apt-config",           "dump", "--format", "%v",
                                       "Acquire::http::Proxy", NULL};
    if (sb_process_capture(argv, NULL, 4096, out, NULL, NULL) != 0)
        sb_buf_reset(out);
    if (out->data)
        out->data[strcspn(out->data, "\n")] = '\0';
}

/* ---- running it ---- */

#define PLACE "/tmp/" /* where it finds its directories */

/* The private directories of the cache stand in for the new root's; they are mounted in the
 * namespace of the program, and gone with it. */
static const char mount_cache[] =
    "--setup-hook=mkdir -p \"$1/var/lib/apt/lists\" \"$1/var/cache/apt\" && "
    "mount --bind " PLACE "lists \"$1/var/lib/apt/lists\" && "
    "mount --bind " PLACE "apt \"$1/var/cache/apt\"";
/* Scripts of packages ask it what domain this is. (apt asks outside.) */
static const char hide_domain[] =
    "--setup-hook=[ ! -f \"$1/etc/resolv.conf\" ] || "
    "sed -i '/^[[:space:]]*\\(search\\|domain\\)\\b/d' \"$1/etc/resolv.conf\"";
static const char unmount_cache[] =
    "--customize-hook=umount \"$1/var/lib/apt/lists\" \"$1/var/cache/apt\"";

/* What Debian calls an architecture. */
static const char *debian_architecture(const struct sb_platform *platform) {
    static const char *const names[][2] = {{"386", "i386"}, {"ppc64le", "ppc64el"}};
    const char *name = platform->architecture;
    if (!strcmp(name, "arm"))
        return platform->variant && strcmp(platform->variant, "v7") < 0 ? "armel" : "armhf";
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!strcmp(names[i][0], name))
            return names[i][1];
    return name;
}

static void add_arguments(const struct sb_bootstrap *bootstrap,
                          const struct sb_step_run_context *context,
                          const struct sb_strings *sources, struct sb_strings *argv) {
    const struct sb_platform *platform = context->platform;
    static const char *const fixed[] = {"mmdebstrap",
                                        "--mode=root",
                                        "--variant=apt",
                                        "--format=directory",
                                        "--skip=check/signed-by",
                                        "--skip=check/qemu",
                                        "--skip=essential/unlink",
                                        "--skip=cleanup/apt",
                                        "--dpkgopt=force-unsafe-io",
                                        mount_cache,
                                        hide_domain,
                                        unmount_cache};
    for (size_t i = 0; i < sizeof fixed / sizeof *fixed; i++)
        sb_strings_add(argv, fixed[i]);
    if (platform && sb_platform_compare(platform, sb_platform_own()) != 0)
        sb_strings_addf(argv, "--architectures=%s", debian_architecture(platform));
    sb_strings_addf(argv, "--aptopt=Acquire::Retries \"%u\"",
                    sb_away_apt_retries(context->registry));
    sb_autobuf struct sb_buf packages = {0};
    for (size_t i = 0; i < bootstrap->packages.n; i++)
        sb_buf_addf(&packages, "%s%s", i ? "," : "", bootstrap->packages.v[i]);
    if (packages.len)
        sb_strings_addf(argv, "--include=%s", packages.data);
    sb_strings_add(argv, bootstrap->suite);
    sb_strings_add(argv, PLACE "root");
    sb_strings_copy(argv, sources);
}

static int run_mmdebstrap(const struct sb_bootstrap *bootstrap, struct sb_step_run_context *context,
                          const char *target, const struct sb_apt_cache *cache,
                          struct sb_error *err) {
    const char *keyring = find_keyring(bootstrap, err);
    if (!keyring)
        return -1;
    sb_autostrings struct sb_strings argv = {0}, sources = {0};
    sb_apt_sources_lines(bootstrap, context->platform,
                         sb_apt_mirror(context->settings, bootstrap->distribution), keyring,
                         &sources);
    add_arguments(bootstrap, context, &sources, &argv);
    sb_autobuf struct sb_buf proxy = {0};
    find_proxy(&proxy);
    sb_autofree char *epoch = sb_format("%lld", (long long)context->epoch);
    struct sb_pairs env = {0};
    if (*sb_buf_text(&proxy) && !getenv("http_proxy"))
        sb_pairs_set(&env, "http_proxy", proxy.data);
    sb_pairs_set(&env, "SOURCE_DATE_EPOCH", epoch);
    sb_pairs_set(&env, "TMPDIR", "/tmp");
    const struct sb_contain_place places[] = {
        {target, "root"}, {sb_apt_cache_lists(cache), "lists"}, {sb_apt_cache_state(cache), "apt"}};
    struct sb_limits limits = sb_settings_limits(context->settings);
    struct sb_host_program program = {.argv = (const char *const *)argv.v,
                                      .env = &env,
                                      .limits = &limits,
                                      .places = places,
                                      .place_count = sizeof places / sizeof *places};
    int result = sb_host_program(&program, context->log, err);
    sb_pairs_free(&env);
    if (result < 0 && err->code == SB_E_NOT_FOUND)
        sb_error_hint(err, "install it on this machine: apt-get install mmdebstrap");
    return result;
}

/* ---- what it leaves ---- */

static int empty_directory(int root, const char *path, struct sb_error *err) {
    int fd = sb_inroot_open(root, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    if (fd < 0)
        return errno == ENOENT ? 0 : sb_fail_errno(err, SB_E_IO, "%s", path);
    sb_autoclosedir DIR *dir = fdopendir(fd);
    if (!dir) {
        close(fd);
        return sb_fail_errno(err, SB_E_IO, "%s", path);
    }
    struct dirent *e;
    while ((e = readdir(dir)))
        if (strcmp(e->d_name, ".") && strcmp(e->d_name, "..") &&
            sb_tree_remove(fd, e->d_name, err) < 0)
            return -1;
    return 0;
}

/* Devices that only real root could make, and files that mmdebstrap copied from this machine or
 * made of our options. */
static int remove_traces(int root, struct sb_error *err) {
    static const struct {
        const char *directory, *name;
    } files[] = {{"etc", "resolv.conf"},
                 {"etc", "hostname"},
                 {"etc/apt/apt.conf.d", "99mmdebstrap"},
                 {"etc/dpkg/dpkg.cfg.d", "99mmdebstrap"}};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        /* Scripts of packages have been here as root: /etc may be a symlink by now. */
        sb_autoclose int fd = sb_inroot_open(root, files[i].directory, O_RDONLY | O_DIRECTORY);
        if ((fd < 0 || unlinkat(fd, files[i].name, 0) < 0) && errno != ENOENT)
            return sb_fail_errno(err, SB_E_IO, "removing %s/%s", files[i].directory, files[i].name);
    }
    return empty_directory(root, "dev", err);
}

static int write_sources(int root, const struct sb_bootstrap *bootstrap,
                         const struct sb_platform *platform, struct sb_error *err) {
    const char *keyring = NULL;
    const char *const *keyrings = keyrings_of(bootstrap);
    for (size_t i = 0; keyrings[i] && !keyring; i++)
        if (sb_inroot_exists(root, keyrings[i]))
            keyring = keyrings[i];
    sb_autostrings struct sb_strings lines = {0};
    sb_apt_sources_lines(bootstrap, platform, NULL, keyring, &lines);
    sb_autobuf struct sb_buf text = {0};
    for (size_t i = 0; i < lines.n; i++)
        sb_buf_addf(&text, "%s\n", lines.v[i]);
    sb_autoclose int apt = sb_inroot_directory(root, "etc/apt", 0, err);
    if (apt < 0)
        return -1;
    return sb_file_write(apt, "sources.list", text.data, text.len, 0644, err);
}

int sb_bootstrap_run(const struct sb_bootstrap *bootstrap, struct sb_step_run_context *context,
                     struct sb_error *err) {
    struct sb_apt_cache *cache;
    if (sb_root_unmount(context->root, err) < 0 ||
        sb_apt_cache_open_bootstrap(context->store, bootstrap->distribution, &cache, err) < 0)
        return -1;
    const char *upper = sb_root_upper(context->root);
    int result = run_mmdebstrap(bootstrap, context, upper, cache, err);
    if (result == 0)
        sb_apt_cache_keep(cache);
    sb_apt_cache_free(cache);
    if (result < 0)
        return -1;
    sb_autoclose int root = sb_directory_open(AT_FDCWD, upper, err);
    if (root < 0 || remove_traces(root, err) < 0)
        return -1;
    return write_sources(root, bootstrap, context->platform, err);
}

int sb_bootstrap_check(const struct sb_bootstrap *bootstrap, struct sb_error *err) {
    sb_autofree char *program = sb_process_find("mmdebstrap");
    if (program)
        return find_keyring(bootstrap, err) ? 0 : -1;
    sb_fail(err, SB_E_NOT_FOUND, "the program mmdebstrap is not installed");
    return sb_error_hint(err, "install it on this machine: apt-get install mmdebstrap");
}
