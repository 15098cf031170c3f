#include <string.h>
#include <sys/resource.h>

#include "base/json.h"
#include "base/memory.h"
#include "sandbox/container_private.h"
#include "sandbox/seccomp.h"
#include "sandbox/userns.h"

/* Docker's default ones, but MKNOD (and those below, on the host's network): no cgroup keeps device
 * nodes harmless here, and as a user nobody has it, so that root and rootless builds stay the same.
 */
static const char *const capabilities[] = {
    "CAP_AUDIT_WRITE", "CAP_CHOWN",  "CAP_DAC_OVERRIDE", "CAP_FOWNER",
    "CAP_FSETID",      "CAP_KILL",   "CAP_SETGID",       "CAP_SETFCAP",
    "CAP_SETPCAP",     "CAP_SETUID", "CAP_SYS_CHROOT",   NULL,
};

/* On a network of its own only: on the host's root could read all packets, and take its ports,
 * while a user can do neither. */
static const char *const network_capabilities[] = {"CAP_NET_BIND_SERVICE", "CAP_NET_RAW", NULL};

static const char *const masked_paths[] = {
    "/proc/asound",        "/proc/acpi",
    "/proc/kcore",         "/proc/keys",
    "/proc/latency_stats", "/proc/timer_list",
    "/proc/timer_stats",   "/proc/sched_debug",
    "/proc/scsi",          "/proc/interrupts",
    "/sys/firmware",       "/sys/devices/virtual/powercap",
    "/sys/fs/cgroup",      NULL,
};

static const char *const read_only_paths[] = {
    "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger", NULL,
};

static json_t *strings(const char *const *list) {
    json_t *out = json_array();
    for (; *list; list++)
        json_array_append_new(out, json_string(*list));
    return out;
}

static json_t *capability_names(bool own_network) {
    json_t *out = strings(capabilities);
    json_t *more = strings(network_capabilities);
    if (own_network)
        json_array_extend(out, more);
    json_decref(more);
    return out;
}

/* Scripts and environment may hold any bytes; JSON may not. */
static json_t *text(const char *bytes) {
    json_t *out = json_string(bytes);
    return out ? out : sb_json_from_bytes(bytes);
}

static json_t *limit(const char *type, rlim_t soft, rlim_t hard) {
    return json_pack("{s:s, s:I, s:I}", "type", type, "soft", (json_int_t)soft, "hard",
                     (json_int_t)hard);
}

/* Those of whoever runs sbuild must not show; a hard limit can't be raised by a user, though. */
static json_t *limits(const struct sb_container *container) {
    struct rlimit files;
    rlim_t most = 1048576;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_max < most) {
        files.rlim_max = most;
        setrlimit(RLIMIT_NOFILE, &files); /* root may */
    }
    if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_max < most)
        most = files.rlim_max;
    json_t *out = json_array();
    json_array_append_new(out, limit("RLIMIT_NOFILE", most < 1024 ? most : 1024, most));
    json_array_append_new(out, limit("RLIMIT_CORE", 0, 0));
    /* Where no control group can be made: counted for each user of a user namespace. */
    struct rlimit tasks;
    if (container->limits && container->limits->tasks && sb_userns_inside() &&
        getrlimit(RLIMIT_NPROC, &tasks) == 0) {
        rlim_t wanted = (rlim_t)container->limits->tasks;
        rlim_t allowed = tasks.rlim_max < wanted ? tasks.rlim_max : wanted;
        json_array_append_new(out, limit("RLIMIT_NPROC", allowed, allowed));
    }
    return out;
}

static json_t *user(const struct sb_container *container) {
    json_t *groups = json_array();
    for (size_t i = 0; i < container->group_count; i++)
        json_array_append_new(groups, json_integer(container->groups[i]));
    return json_pack("{s:I, s:I, s:o, s:i}", "uid", (json_int_t)container->uid, "gid",
                     (json_int_t)container->gid, "additionalGids", groups, "umask", 022);
}

/* In /dev, which is the container's own: nothing has to be there. Without patience (init/main.c):
 * what is left goes with the namespace. */
#define FIRST_PLACE "/dev/.sbuild-first"

static json_t *arguments(const struct sb_container *container, bool first) {
    static const char *const above[] = {FIRST_PLACE, "0", "9", NULL};
    json_t *args = first ? strings(above) : json_array();
    for (size_t i = 0; container->argv[i]; i++)
        json_array_append_new(args, text(container->argv[i]));
    return args;
}

static json_t *process(const struct sb_container *container, bool first) {
    json_t *env = json_array();
    json_t *caps = json_object();
    for (size_t i = 0; i < container->env->n; i++) {
        const struct sb_pair *pair = &container->env->v[i];
        sb_autofree char *both = sb_format("%s=%s", pair->name, pair->value);
        json_array_append_new(env, text(both));
    }
    json_object_set_new(caps, "bounding", capability_names(!container->network));
    json_object_set_new(caps, "permitted", capability_names(!container->network));
    json_object_set_new(caps, "effective", capability_names(!container->network));
    json_t *out = json_object();
    bool terminal = container->streams && sb_streams_has_terminal(container->streams);
    json_object_set_new(out, "terminal", json_boolean(terminal));
    if (terminal) {
        struct winsize size = sb_streams_size(container->streams);
        json_object_set_new(
            out, "consoleSize",
            json_pack("{s:i, s:i}", "height", (int)size.ws_row, "width", (int)size.ws_col));
    }
    json_object_set_new(out, "user", user(container));
    json_object_set_new(out, "args", arguments(container, first));
    json_object_set_new(out, "env", env);
    json_object_set_new(out, "cwd", text(container->workdir));
    json_object_set_new(out, "capabilities", caps);
    json_object_set_new(out, "rlimits", limits(container));
    json_object_set_new(out, "noNewPrivileges", json_false());
    return out;
}

/* options are apart by blanks. */
static void add_mount(json_t *mounts, const char *destination, const char *type, const char *source,
                      const char *options) {
    sb_autofree char *copy = sb_strdup(options);
    json_t *list = json_array();
    char *rest = copy;
    for (char *option; (option = strsep(&rest, " "));)
        json_array_append_new(list, json_string(option));
    json_array_append_new(mounts,
                          json_pack("{s:o, s:s, s:o, s:o}", "destination", text(destination),
                                    "type", type, "source", text(source), "options", list));
}

bool sb_container_shares_network(const struct sb_container *container) {
    return container->network || container->own_network;
}

static json_t *mounts(const struct sb_container *container, const char *first, bool own_users) {
    json_t *out = json_array();
    add_mount(out, "/proc", "proc", "proc", "nosuid noexec nodev");
    add_mount(out, "/dev", "tmpfs", "tmpfs", "nosuid strictatime mode=755 size=65536k");
    add_mount(out, "/dev/pts", "devpts", "devpts",
              "nosuid noexec newinstance ptmxmode=0666 mode=0620 gid=5");
    add_mount(out, "/dev/shm", "tmpfs", "shm", "nosuid noexec nodev mode=1777");
    /* A user namespace can't mount a sysfs that shows a network which isn't its own. */
    if (sb_container_shares_network(container) && own_users)
        add_mount(out, "/sys", "none", "/sys", "rbind nosuid noexec nodev ro");
    else
        add_mount(out, "/sys", "sysfs", "sysfs", "nosuid noexec nodev ro");
    for (size_t i = 0; i < container->mount_count; i++) {
        const struct sb_mount *mount = &container->mounts[i];
        add_mount(out, mount->destination, "bind", mount->source,
                  mount->read_only ? "bind nosuid nodev rprivate ro"
                                   : "bind nosuid nodev rprivate rw");
    }
    if (first)
        add_mount(out, FIRST_PLACE, "bind", first, "bind nosuid nodev rprivate ro");
    return out;
}

static json_t *namespaces(const struct sb_container *container, bool own_users) {
    static const char *const types[] = {"pid", "mount", "ipc", "uts", NULL};
    json_t *out = json_array();
    for (size_t i = 0; types[i]; i++)
        json_array_append_new(out, json_pack("{s:s}", "type", types[i]));
    if (!container->network)
        json_array_append_new(
            out, json_pack("{s:s, s:s*}", "type", "network", "path", container->own_network));
    if (own_users)
        json_array_append_new(out, json_pack("{s:s}", "type", "user"));
    return out;
}

/* Every number is itself. */
static json_t *all_ids(void) {
    return json_pack("[{s:i, s:i, s:I}]", "containerID", 0, "hostID", 0, "size",
                     (json_int_t)4294967295);
}

json_t *sb_container_config(const struct sb_root *root, const struct sb_container *container,
                            const char *first, bool own_users) {
    json_t *spec_linux = json_object();
    json_object_set_new(spec_linux, "namespaces", namespaces(container, own_users));
    if (own_users) {
        json_object_set_new(spec_linux, "uidMappings", all_ids());
        json_object_set_new(spec_linux, "gidMappings", all_ids());
    }
    json_object_set_new(spec_linux, "maskedPaths", strings(masked_paths));
    json_object_set_new(spec_linux, "readonlyPaths", strings(read_only_paths));
    json_object_set_new(spec_linux, "seccomp", sb_seccomp_profile());
    json_t *out = json_object();
    json_object_set_new(out, "ociVersion", json_string("1.0.2"));
    json_object_set_new(out, "root",
                        json_pack("{s:o, s:b}", "path", text(sb_root_path(root)), "readonly", 0));
    json_object_set_new(out, "hostname", json_string("sbuild"));
    json_object_set_new(out, "process", process(container, first));
    json_object_set_new(out, "mounts", mounts(container, first, own_users || sb_userns_inside()));
    json_object_set_new(out, "linux", spec_linux);
    return out;
}
