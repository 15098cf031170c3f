#include "deploy/host/confine.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <seccomp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "deploy/host/systemd.h"

#define FILTER_LIMIT (1u << 20)
#define FAMILIES     64 /* more than there are */
#define NOT_A_FAMILY (-1)

/* ---- properties ---- */

/* The value of a property; the caller's. NULL: this systemd has no such property. */
static char *value_of(const char *text, const char *key) {
    size_t n = strlen(key);
    for (const char *line = text; *line;) {
        size_t length = strcspn(line, "\n");
        if (length > n && line[n] == '=' && !strncmp(line, key, n))
            return sb_strndup(line + n + 1, length - n - 1);
        line += length + (line[length] == '\n');
    }
    return NULL;
}

static bool is_on(const char *text, const char *key) {
    sb_autofree char *value = value_of(text, key);
    return value && *value && strcmp(value, "no") != 0 && strcmp(value, "off") != 0;
}

/* A list of words, which are what is allowed, or, after "~", what is not. */
struct list {
    struct sb_strings words;
    bool denies; /* also where nothing was set */
};

static struct list list_of(const char *text, const char *key) {
    struct list list = {.denies = true};
    sb_autofree char *value = value_of(text, key);
    char *rest = NULL;
    if (!value || !*value)
        return list;
    list.denies = *value == '~';
    for (char *word = strtok_r(value + list.denies, " ", &rest); word;
         word = strtok_r(NULL, " ", &rest))
        sb_strings_add(&list.words, word);
    return list;
}

/* ---- capabilities ---- */

static const char *const capabilities[] = {"cap_chown",
                                           "cap_dac_override",
                                           "cap_dac_read_search",
                                           "cap_fowner",
                                           "cap_fsetid",
                                           "cap_kill",
                                           "cap_setgid",
                                           "cap_setuid",
                                           "cap_setpcap",
                                           "cap_linux_immutable",
                                           "cap_net_bind_service",
                                           "cap_net_broadcast",
                                           "cap_net_admin",
                                           "cap_net_raw",
                                           "cap_ipc_lock",
                                           "cap_ipc_owner",
                                           "cap_sys_module",
                                           "cap_sys_rawio",
                                           "cap_sys_chroot",
                                           "cap_sys_ptrace",
                                           "cap_sys_pacct",
                                           "cap_sys_admin",
                                           "cap_sys_boot",
                                           "cap_sys_nice",
                                           "cap_sys_resource",
                                           "cap_sys_time",
                                           "cap_sys_tty_config",
                                           "cap_mknod",
                                           "cap_lease",
                                           "cap_audit_write",
                                           "cap_audit_control",
                                           "cap_setfcap",
                                           "cap_mac_override",
                                           "cap_mac_admin",
                                           "cap_syslog",
                                           "cap_wake_alarm",
                                           "cap_block_suspend",
                                           "cap_audit_read",
                                           "cap_perfmon",
                                           "cap_bpf",
                                           "cap_checkpoint_restore"};

static uint64_t find_capabilities(const char *text) {
    struct list list = list_of(text, "CapabilityBoundingSet");
    uint64_t set = 0;
    for (size_t i = 0; i < sizeof capabilities / sizeof *capabilities; i++)
        if (sb_strings_has(&list.words, capabilities[i]))
            set |= UINT64_C(1) << i;
    sb_strings_free(&list.words);
    return set;
}

/* ---- the filter of system calls ---- */

struct rules {
    scmp_filter_ctx filter;
    bool failed;
};

/* Some calls are not there on each processor; a refusal that could not be made is no filter. */
static void note_refusal(struct rules *r, int rc) {
    if (rc < 0 && rc != -EEXIST && rc != -EDOM)
        r->failed = true;
}

static void refuse(struct rules *r, int code, const char *name) {
    int number = seccomp_syscall_resolve_name(name);
    if (number != __NR_SCMP_ERROR)
        note_refusal(r, seccomp_rule_add(r->filter, SCMP_ACT_ERRNO((uint32_t)code), number, 0));
}

static void allow(struct rules *r, const char *name) {
    int number = seccomp_syscall_resolve_name(name);
    if (number != __NR_SCMP_ERROR)
        seccomp_rule_add(r->filter, SCMP_ACT_ALLOW, number, 0);
}

/* "name:EPERM" of a list is not allowed either. Without a list no filter is made. */
static void list_filter(const char *text, struct rules *out) {
    struct list list = list_of(text, "SystemCallFilter");
    sb_autofree char *number = value_of(text, "SystemCallErrorNumber");
    int code = number && *number >= '1' && *number <= '9' ? atoi(number) & 0xfff : EPERM;
    *out = (struct rules){0};
    if (list.words.n > 0)
        out->filter = seccomp_init(list.denies ? SCMP_ACT_ALLOW : SCMP_ACT_ERRNO((uint32_t)code));
    out->failed = list.words.n > 0 && !out->filter;
    for (size_t i = 0; out->filter && i < list.words.n; i++) {
        char *colon = strchr(list.words.v[i], ':');
        if (colon && !list.denies)
            continue;
        if (colon)
            *colon = '\0';
        if (list.denies)
            refuse(out, code, list.words.v[i]);
        else
            allow(out, list.words.v[i]);
    }
    sb_strings_free(&list.words);
}

/* ---- the other filter: what is refused by its arguments ---- */

static void refuse_if(struct rules *r, int code, const char *name, struct scmp_arg_cmp when) {
    int number = seccomp_syscall_resolve_name(name);
    if (number != __NR_SCMP_ERROR)
        note_refusal(r,
                     seccomp_rule_add(r->filter, SCMP_ACT_ERRNO((uint32_t)code), number, 1, when));
}

static void refuse_bits(struct rules *r, const char *name, unsigned argument, uint64_t bits) {
    refuse_if(r, EPERM, name, SCMP_CMP(argument, SCMP_CMP_MASKED_EQ, bits, bits));
}

static void refuse_namespaces(struct rules *r, const char *text) {
    static const struct {
        const char *name;
        uint64_t flag;
    } kinds[] = {{"cgroup", CLONE_NEWCGROUP}, {"ipc", CLONE_NEWIPC}, {"net", CLONE_NEWNET},
                 {"mnt", CLONE_NEWNS},        {"pid", CLONE_NEWPID}, {"user", CLONE_NEWUSER},
                 {"uts", CLONE_NEWUTS}};
    struct list list = list_of(text, "RestrictNamespaces");
    bool none = list.words.n == 0 || sb_strings_has(&list.words, "no");
    for (size_t i = 0; !none && i < sizeof kinds / sizeof *kinds; i++) {
        if (sb_strings_has(&list.words, kinds[i].name) != list.denies)
            continue; /* "yes" is no kind: then all are refused */
        refuse_bits(r, "clone", 0, kinds[i].flag);
        refuse_bits(r, "unshare", 0, kinds[i].flag);
        refuse_bits(r, "setns", 1, kinds[i].flag);
    }
    if (!none) { /* of any kind; and what can't be looked into */
        refuse_if(r, EPERM, "setns", SCMP_A1(SCMP_CMP_EQ, 0, 0));
        refuse(r, ENOSYS, "clone3");
    }
    sb_strings_free(&list.words);
}

static int family_of(const char *name) {
    static const struct {
        const char *name;
        int number;
    } families[] = {{"AF_UNIX", AF_UNIX},
                    {"AF_INET", AF_INET},
                    {"AF_INET6", AF_INET6},
                    {"AF_NETLINK", AF_NETLINK},
                    {"AF_PACKET", AF_PACKET},
                    {"AF_VSOCK", AF_VSOCK},
                    {"AF_BLUETOOTH", AF_BLUETOOTH},
                    {"AF_CAN", AF_CAN},
                    {"AF_ALG", AF_ALG},
                    {"AF_TIPC", AF_TIPC},
                    {"AF_XDP", AF_XDP},
                    {"AF_RDS", AF_RDS},
                    {"AF_KEY", AF_KEY},
                    {"AF_IB", AF_IB}};
    for (size_t i = 0; i < sizeof families / sizeof *families; i++)
        if (!strcmp(families[i].name, name))
            return families[i].number;
    return NOT_A_FAMILY;
}

static void refuse_family(struct rules *r, enum scmp_compare compare, int family) {
    refuse_if(r, EAFNOSUPPORT, "socket", SCMP_A0(compare, (uint64_t)family, 0));
}

static void refuse_families(struct rules *r, const char *text) {
    struct list list = list_of(text, "RestrictAddressFamilies");
    bool named[FAMILIES] = {false};
    for (size_t i = 0; i < list.words.n; i++) {
        int family = family_of(list.words.v[i]);
        if (family != NOT_A_FAMILY)
            named[family] = true;
    }
    bool any = list.words.n > 0;
    for (int family = 0; any && family < FAMILIES; family++)
        if (named[family] == list.denies)
            refuse_family(r, SCMP_CMP_EQ, family);
    if (any && !list.denies)
        refuse_family(r, SCMP_CMP_GE, FAMILIES);
    sb_strings_free(&list.words);
}

static void refuse_setuid_files(struct rules *r) {
    static const struct {
        const char *name;
        unsigned mode;
    } plain[] = {{"chmod", 1}, {"fchmod", 1},  {"fchmodat", 2}, {"fchmodat2", 2}, {"creat", 1},
                 {"mkdir", 1}, {"mkdirat", 2}, {"mknod", 1},    {"mknodat", 2}};
    static const struct {
        const char *name;
        unsigned flags, mode;
    } opening[] = {{"open", 1, 2}, {"openat", 2, 3}};
    static const uint64_t bits[] = {S_ISUID, S_ISGID};
    for (size_t b = 0; b < sizeof bits / sizeof *bits; b++) {
        for (size_t i = 0; i < sizeof plain / sizeof *plain; i++)
            refuse_bits(r, plain[i].name, plain[i].mode, bits[b]);
        for (size_t i = 0; i < sizeof opening / sizeof *opening; i++)
            note_refusal(r, seccomp_rule_add(
                                r->filter, SCMP_ACT_ERRNO(EPERM),
                                seccomp_syscall_resolve_name(opening[i].name), 2,
                                SCMP_CMP(opening[i].flags, SCMP_CMP_MASKED_EQ, O_CREAT, O_CREAT),
                                SCMP_CMP(opening[i].mode, SCMP_CMP_MASKED_EQ, bits[b], bits[b])));
    }
    refuse(r, ENOSYS, "openat2"); /* its mode can't be looked into */
}

static void refuse_realtime(struct rules *r) {
    static const uint64_t ordinary[] = {SCHED_OTHER, SCHED_BATCH, SCHED_IDLE};
    for (uint64_t policy = 0; policy < 8; policy++) {
        bool fine = false;
        for (size_t i = 0; i < sizeof ordinary / sizeof *ordinary; i++)
            fine = fine || ordinary[i] == policy;
        if (!fine)
            refuse_if(r, EPERM, "sched_setscheduler", SCMP_A1(SCMP_CMP_EQ, policy, 0));
    }
    refuse_if(r, EPERM, "sched_setscheduler", SCMP_A1(SCMP_CMP_GE, 8, 0));
    refuse(r, EPERM, "sched_setattr");
}

static void refuse_personality(struct rules *r) {
    refuse_if(r, EPERM, "personality", SCMP_A0(SCMP_CMP_NE, 0, 0));
}

static void refuse_groups(struct rules *r, const char *text) {
    static const struct {
        const char *property, *calls[6];
    } groups[] = {
        {"ProtectKernelModules", {"init_module", "finit_module", "delete_module", NULL}},
        {"ProtectKernelLogs", {"syslog", NULL}},
        {"ProtectClock", {"clock_settime", "settimeofday", "adjtimex", "clock_adjtime", NULL}},
        {"ProtectHostname", {"sethostname", "setdomainname", NULL}},
        {"PrivateDevices", {"ioperm", "iopl", NULL}},
    };
    for (size_t i = 0; i < sizeof groups / sizeof *groups; i++)
        for (size_t j = 0; is_on(text, groups[i].property) && groups[i].calls[j]; j++)
            refuse(r, EPERM, groups[i].calls[j]);
}

/* 32-bit programs too, which a unit without SystemCallArchitectures= may run. */
static void argument_filter(const char *text, struct rules *r) {
    *r = (struct rules){.filter = seccomp_init(SCMP_ACT_ALLOW)};
    r->failed = !r->filter;
    if (r->failed)
        return;
#ifdef __x86_64__
    if (!is_on(text, "SystemCallArchitectures"))
        note_refusal(r, seccomp_arch_add(r->filter, SCMP_ARCH_X86));
#endif
    refuse_namespaces(r, text);
    refuse_families(r, text);
    refuse_groups(r, text);
    if (is_on(text, "RestrictSUIDSGID"))
        refuse_setuid_files(r);
    if (is_on(text, "RestrictRealtime"))
        refuse_realtime(r);
    if (is_on(text, "LockPersonality"))
        refuse_personality(r);
}

/* ---- all of it ---- */

/* libseccomp writes programs to a file. */
static int add_filter(struct sb_confine *confine, const struct rules *rules, struct sb_error *err) {
    sb_autobuf struct sb_buf code = {0};
    if (!rules->filter && !rules->failed)
        return 0;
    sb_autoclose int fd = memfd_create("filter", MFD_CLOEXEC);
    if (rules->failed || fd < 0 || seccomp_export_bpf(rules->filter, fd) < 0 ||
        lseek(fd, 0, SEEK_SET) < 0)
        return sb_fail(err, SB_E_FAILED, "making a filter of system calls");
    if (sb_fd_read(fd, FILTER_LIMIT, &code, err) < 0)
        return -1;
    size_t count = code.len / sizeof(struct sock_filter);
    if (count == 0 || count > (size_t)BPF_MAXINSNS)
        return sb_fail(err, SB_E_FAILED, "a filter of system calls has %zu instructions", count);
    confine->filters[confine->filter_count++] =
        (struct sock_fprog){(unsigned short)count, sb_memdup(code.data, code.len)};
    return 0;
}

int sb_confine_parse(const char *text, struct sb_confine *out, struct sb_error *err) {
    *out = (struct sb_confine){.capabilities = find_capabilities(text),
                               .private_users = is_on(text, "PrivateUsers"),
                               .cgroup = value_of(text, "ControlGroup")};
    sb_autofree char *user = value_of(text, "User");
    out->uid = user ? (uint32_t)strtoul(user, NULL, 10) : 0;
    struct rules arguments, list;
    argument_filter(text, &arguments);
    list_filter(text, &list);
    int rc = add_filter(out, &arguments, err);
    if (rc == 0)
        rc = add_filter(out, &list, err);
    if (arguments.filter)
        seccomp_release(arguments.filter);
    if (list.filter)
        seccomp_release(list.filter);
    if (rc < 0)
        sb_confine_free(out);
    return rc;
}

int sb_confine_read(const char *unit, struct sb_confine *out, struct sb_error *err) {
    static const char properties[] =
        "ControlGroup,User,CapabilityBoundingSet,PrivateUsers,SystemCallFilter,"
        "SystemCallErrorNumber,SystemCallArchitectures,RestrictNamespaces,RestrictAddressFamilies,"
        "RestrictSUIDSGID,RestrictRealtime,LockPersonality,ProtectKernelModules,ProtectKernelLogs,"
        "ProtectClock,ProtectHostname,PrivateDevices";
    sb_autobuf struct sb_buf text = {0};
    *out = (struct sb_confine){0};
    return sb_systemd_show(unit, properties, &text, err) < 0
               ? -1
               : sb_confine_parse(sb_buf_text(&text), out, err);
}

void sb_confine_free(struct sb_confine *confine) {
    free(confine->cgroup);
    for (size_t i = 0; i < confine->filter_count; i++)
        free(confine->filters[i].filter);
    *confine = (struct sb_confine){0};
}
