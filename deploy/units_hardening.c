/* What keeps a service from all that it doesn't need: systemd.exec(5), "Security" and "Sandboxing".
 * Not here, as services of Python with compiled parts would break: MemoryDenyWriteExecute= (they
 * compile), ProcSubset=pid (they read /proc/meminfo). */
#include "deploy/units_private.h"

#define VERSION_PRIVATE_IPC 248 /* of systemd */

static bool is_on(const struct sb_description *d, enum sb_harden which) {
    return !(d->harden_off >> which & 1);
}

static bool has_low_port(const struct sb_description *d, const struct sb_placement *p) {
    return (d->port && d->port < 1024) || (d->spare_port && d->spare_port < 1024) ||
           (p->port && p->port < 1024);
}

/* A port below 1024 needs a capability of the host's own user namespace. */
static void add_own_ids(const struct sb_description *d, const struct sb_placement *p,
                        struct sb_buf *out) {
    if (is_on(d, SB_HARDEN_OWN_IDS) && !has_low_port(d, p) && !p->no_user_namespaces)
        sb_buf_adds(out, "PrivateUsers=yes\n");
}

/* /dev/shm, which PrivateTmp= leaves as it is, is a place of the same kind. */
static void add_tmp(const struct sb_description *d, struct sb_buf *out) {
    if (!is_on(d, SB_HARDEN_PRIVATE_TMP))
        return;
    sb_buf_adds(out, "PrivateTmp=yes\n");
    if (d->root == SB_ROOT_LAYERS)
        sb_buf_adds(out, "TemporaryFileSystem=/dev/shm:mode=1777,nosuid,nodev\n");
}

static void add_processes(const struct sb_description *d, const struct sb_placement *p,
                          struct sb_buf *out) {
    if (!is_on(d, SB_HARDEN_PROTECT_PROCESSES))
        return;
    sb_buf_adds(out, "ProtectProc=invisible\n");
    if (!p->systemd_version || p->systemd_version >= VERSION_PRIVATE_IPC)
        sb_buf_adds(out, "PrivateIPC=yes\n");
}

static void add_capabilities(const struct sb_description *d, const struct sb_placement *p,
                             bool root, struct sb_buf *out) {
    if (is_on(d, SB_HARDEN_CAPABILITIES))
        sb_buf_addf(out, "CapabilityBoundingSet=%s\n",
                    root ? "CAP_CHOWN CAP_DAC_OVERRIDE CAP_FOWNER CAP_FSETID CAP_KILL "
                           "CAP_NET_BIND_SERVICE CAP_SETGID CAP_SETUID CAP_SETPCAP CAP_SYS_CHROOT"
                    : has_low_port(d, p) ? "CAP_NET_BIND_SERVICE"
                                         : "");
    if (!root && has_low_port(d, p))
        sb_buf_adds(out, "AmbientCapabilities=CAP_NET_BIND_SERVICE\n");
}

static void add_system(const struct sb_description *d, struct sb_buf *out) {
    if (!is_on(d, SB_HARDEN_PROTECT_SYSTEM))
        return;
    sb_buf_adds(out, "ProtectSystem=strict\n");
    if (d->root == SB_ROOT_HOST)
        sb_buf_adds(out, "ProtectHome=yes\n");
}

static void add_device(const char *path, struct sb_buf *out) {
    sb_buf_addf(out, "DeviceAllow=%s rw\n", path);
}

/* By number, which is the driver's for good: nodes that are made later count too. Those that this
 * node has may have others, and stand in for them. */
static void add_gpus(const struct sb_description *d, const struct sb_placement *p,
                     struct sb_buf *out) {
    sb_buf_adds(out, "DeviceAllow=/dev/char/195:255 rw\nDeviceAllow=/dev/char/195:254 rw\n");
    for (unsigned i = 0; i < SB_GPU_LIMIT; i++)
        if (p->devices ? p->gpus >> i & 1 : d->gpu_devices ? d->gpu_devices >> i & 1 : i < d->gpu)
            sb_buf_addf(out, "DeviceAllow=/dev/char/195:%u rw\n", i);
    for (size_t i = 0; p->devices && i < p->devices->n; i++)
        add_device(p->devices->v[i], out);
    add_device("char-nvidia-uvm", out);
    add_device("char-nvidia-caps", out);
}

/* Not PrivateDevices= where it has some, which would hide them, and those that come later. */
static void add_devices(const struct sb_description *d, const struct sb_placement *p,
                        struct sb_buf *out) {
    if (!is_on(d, SB_HARDEN_PRIVATE_DEVICES))
        return;
    if (!d->gpu && !d->infiniband) {
        sb_buf_adds(out, "PrivateDevices=yes\n");
        return;
    }
    sb_buf_adds(out, "DevicePolicy=closed\n");
    if (d->gpu)
        add_gpus(d, p, out);
    if (d->infiniband) {
        add_device("char-infiniband_verbs", out);
        add_device("/dev/infiniband/rdma_cm", out);
    }
}

void sb_hardening_write(const struct sb_description *d, const struct sb_placement *p, bool root,
                        struct sb_buf *out) {
    if (is_on(d, SB_HARDEN_NO_NEW_PRIVILEGES))
        sb_buf_adds(out, "NoNewPrivileges=yes\nRestrictSUIDSGID=yes\n");
    else if (is_on(d, SB_HARDEN_OWN_IDS) && (d->root == SB_ROOT_HOST || d->host.n))
        sb_buf_adds(out, "NoNewPrivileges=yes\n"); /* its root, or a directory of the node, is not
                                                     nosuid: it has the host's sudo */
    add_own_ids(d, p, out);
    add_capabilities(d, p, root, out);
    add_system(d, out);
    add_tmp(d, out);
    add_devices(d, p, out);
    if (is_on(d, SB_HARDEN_PROTECT_KERNEL))
        sb_buf_adds(out, "ProtectKernelTunables=yes\nProtectKernelModules=yes\n"
                         "ProtectKernelLogs=yes\nProtectControlGroups=yes\nProtectClock=yes\n"
                         "ProtectHostname=yes\nLockPersonality=yes\n");
    add_processes(d, p, out);
    if (is_on(d, SB_HARDEN_NAMESPACES))
        sb_buf_adds(out, "RestrictNamespaces=yes\n");
    if (is_on(d, SB_HARDEN_ADDRESS_FAMILIES))
        sb_buf_adds(out, "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK\n");
    if (is_on(d, SB_HARDEN_REALTIME))
        sb_buf_adds(out, "RestrictRealtime=yes\n");
    /* What a program asks of a ring no filter sees: sockets of any family, setuid files. */
    if (is_on(d, SB_HARDEN_SYSTEM_CALLS))
        sb_buf_adds(out, "SystemCallArchitectures=native\nSystemCallFilter=@system-service\n"
                         "SystemCallFilter=~io_uring_setup io_uring_enter io_uring_register\n"
                         "SystemCallErrorNumber=EPERM\n");
    /* It is the user's: of one who may be somebody else as well it takes what is theirs. */
    if (is_on(d, SB_HARDEN_OWN_IDS))
        sb_buf_adds(out, "RemoveIPC=yes\n");
}
