#include "deploy/units.h"

#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/text.h"
#include "deploy/units_private.h"
#include "document/rules.h"

#define VERSION_STEPS 254        /* that lets pauses between restarts grow */
#define LINE_LIMIT    (1u << 20) /* systemd's own */

struct making {
    const struct sb_description *d;
    const struct sb_placement *p;
    char *root;
    bool has_ids, is_root;
    uint32_t uid, gid;
    struct sb_buf text;
};

/* ---- values of the place ---- */

/* "1000:1000" says all; a name, or a user without group, only what a node finds in the root. */
static void find_ids(struct making *m) {
    const char *user = m->d->user;
    char *end;
    if (!m->p->has_ids && sb_description_own_ids(m->d)) {
        m->has_ids = true;
        m->uid = m->gid = sb_ids_preferred(m->d->name);
        return;
    }
    m->is_root = !*user || !strcmp(user, "root") || !strncmp(user, "root:", 5);
    if (m->p->has_ids) {
        m->has_ids = true;
        m->uid = m->p->uid;
        m->gid = m->p->gid;
        m->is_root = m->uid == 0;
        return;
    }
    unsigned long uid = strtoul(user, &end, 10);
    if (end == user)
        return;
    m->is_root = uid == 0;
    if (*end != ':' || !strchr("0123456789", end[1]))
        return;
    unsigned long gid = strtoul(end + 1, &end, 10);
    m->has_ids = !*end;
    m->uid = (uint32_t)uid;
    m->gid = (uint32_t)gid;
}

/* Appends text with what stands for the port replaced by that of the placement. */
static void add_with_port(const struct making *m, const char *text, struct sb_buf *out) {
    char port[16];
    snprintf(port, sizeof port, "%u", m->d->port);
    size_t n = strlen(text), tail = strlen(port);
    bool replace = m->p->port && m->d->port && n >= tail && !strcmp(text + n - tail, port) &&
                   (n == tail || strchr(":=", text[n - tail - 1]));
    if (replace)
        sb_buf_addf(out, "%.*s%u", (int)(n - tail), text, m->p->port);
    else
        sb_buf_adds(out, text);
}

/* For SB_ROOT_HOST: paths at or below the image's working directory lie below the root. They begin
 * a text, or follow one of the separators. */
static void add_with_root(const struct making *m, const char *text, const char *separators,
                          struct sb_buf *out) {
    const char *workdir = m->d->workdir;
    size_t n = strlen(workdir);
    bool start = true;
    if (m->d->root != SB_ROOT_HOST || n < 2) {
        sb_buf_adds(out, text);
        return;
    }
    for (const char *p = text; *p; p++) {
        if (start && !strncmp(p, workdir, n) && (!p[n] || p[n] == '/' || strchr(separators, p[n])))
            sb_buf_adds(out, m->root);
        sb_buf_addc(out, *p);
        start = strchr(separators, *p) != NULL;
    }
}

static void add_word(struct making *m, const char *word, const char *separators, bool exec) {
    sb_autobuf struct sb_buf placed = {0}, final = {0};
    add_with_root(m, word, separators, &placed);
    add_with_port(m, sb_buf_text(&placed), &final);
    sb_unit_quote(sb_buf_text(&final), exec, &m->text);
}

/* A value that systemd takes as it is, but for specifiers. */
static void add_plain(struct making *m, const char *key, const char *value) {
    sb_buf_addf(&m->text, "%s=", key);
    for (; *value; value++)
        sb_buf_addf(&m->text, *value == '%' ? "%%%%" : "%c", *value);
    sb_buf_addc(&m->text, '\n');
}

/* ---- [Unit] ---- */

static void add_head(struct making *m) {
    const struct sb_description *d = m->d;
    sb_buf_addf(&m->text,
                "# Made by sbuild, which makes it anew with each generation. What is to stay\n"
                "# belongs into a drop-in: systemctl edit %s\n\n[Unit]\n",
                m->d->name);
    sb_autofree char *title =
        sb_format("%s%s%s", d->name, d->version ? " " : "", d->version ? d->version : "");
    add_plain(m, "Description", title);
}

static void add_list(struct making *m, const char *key, const char *first,
                     const struct sb_strings *list, const struct sb_strings *more) {
    if (!first && list->n == 0)
        return;
    sb_buf_addf(&m->text, "%s=%s", key, first ? first : "");
    bool any = first != NULL;
    for (size_t i = 0; i < list->n; i++, any = true)
        sb_buf_addf(&m->text, "%s%s", any ? " " : "", list->v[i]);
    for (size_t i = 0; more && i < more->n; i++)
        if (!sb_strings_has(list, more->v[i]))
            sb_buf_addf(&m->text, " %s", more->v[i]);
    sb_buf_addc(&m->text, '\n');
}

/* What has to come before it, where it is to come at all: the driver's own services, which make
 * devices; and what brings the driver into the root. */
static void add_gpu_order(struct making *m) {
    const struct sb_description *d = m->d;
    if (d->infiniband)
        sb_buf_adds(&m->text, "After=rdma-hw.target openibd.service\n");
    if (!d->gpu)
        return;
    sb_buf_adds(&m->text, "After=nvidia-persistenced.service nvidia-fabricmanager.service\n");
    if (d->root != SB_ROOT_LAYERS || m->p->generation == 0)
        return;
    sb_autofree char *driver = sb_unit_driver_name(m->root);
    sb_buf_addf(&m->text, "Wants=%s\nAfter=%s\n", driver, driver);
}

static void add_unit_section(struct making *m) {
    const struct sb_description *d = m->d;
    add_head(m);
    sb_buf_adds(&m->text, "Wants=network-online.target\n");
    add_list(m, "Requires", NULL, &d->requires, NULL);
    add_list(m, "After", "network-online.target", &d->after, &d->requires);
    add_plain(m, "RequiresMountsFor", m->root);
    if (d->volumes.n && d->root == SB_ROOT_LAYERS)
        sb_buf_addf(&m->text, "RequiresMountsFor=" SB_VOLUMES "/%s\n", d->name);
    for (size_t i = 0; i < d->host.n; i++)
        add_plain(m, "RequiresMountsFor", d->host.v[i].name);
    add_gpu_order(m);
    /* What it waits for may come back in an hour; and a job may be due every ten seconds. */
    sb_buf_adds(&m->text, "StartLimitIntervalSec=0\n");
}

/* ---- [Service] ---- */

/* Of what sb_rule_signal lets through. */
static int signal_number(const char *text) {
    if (!text)
        return SIGTERM;
    for (int i = 1; i < NSIG; i++)
        if (sigabbrev_np(i) && !strncmp(text, "SIG", 3) && !strcmp(text + 3, sigabbrev_np(i)))
            return i;
    return atoi(text);
}

static const char *program_of(const struct making *m) {
    return m->p->program ? m->p->program : m->d->argv.v[0];
}

/* Behind the first process of all services (init/main.c), under its own name in the journal. */
static void add_command(struct making *m) {
    const struct sb_description *d = m->d;
    const char *program = program_of(m), *slash = strrchr(program, '/');
    sb_autofree char *joined = sb_path_join(d->workdir, program);
    sb_autofree char *path = sb_path_clean(joined);
    sb_buf_addf(&m->text, "ExecStart=%s/" SB_INIT_PATH " %u %d ",
                d->root == SB_ROOT_HOST ? m->root : "", d->stop_timeout,
                signal_number(d->stop_signal));
    add_word(m, strchr(program, '/') ? path : program, "", true);
    for (size_t i = 1; i < d->argv.n; i++) {
        sb_buf_addc(&m->text, ' ');
        add_word(m, d->argv.v[i], "=", true);
    }
    sb_buf_addc(&m->text, '\n');
    add_plain(m, "SyslogIdentifier", slash && slash[1] ? slash + 1 : program);
}

static void add_user(struct making *m) {
    const char *user = m->d->user, *colon = strchr(user, ':');
    if (m->has_ids) {
        if (m->uid)
            sb_buf_addf(&m->text, "User=%u\n", m->uid);
        if (m->uid || m->gid)
            sb_buf_addf(&m->text, "Group=%u\n", m->gid);
        return;
    }
    if (!m->is_root)
        sb_buf_addf(&m->text, "User=%.*s\n", (int)strcspn(user, ":"), user);
    if (colon)
        sb_buf_addf(&m->text, "Group=%s\n", colon + 1);
}

static void add_variable(struct making *m, const char *name, const char *value) {
    sb_autofree char *text = sb_format("%s=%s", name, value);
    sb_buf_adds(&m->text, "Environment=");
    add_word(m, text, "=:", false);
    sb_buf_addc(&m->text, '\n');
}

/* For review; a node says it in the placement (deploy/node/gpus.h). */
static void add_gpu_variable(struct making *m) {
    const struct sb_description *d = m->d;
    bool closed = !(d->harden_off >> SB_HARDEN_PRIVATE_DEVICES & 1);
    sb_autobuf struct sb_buf list = {0};
    if (d->gpu == 0 || m->p->devices || sb_pairs_get(&d->env, "CUDA_VISIBLE_DEVICES"))
        return;
    for (unsigned i = 0; i < SB_GPU_LIMIT; i++)
        if (d->gpu_devices && !closed ? d->gpu_devices >> i & 1 : i < d->gpu)
            sb_buf_addf(&list, "%s%u", list.len ? "," : "", i);
    add_variable(m, "CUDA_VISIBLE_DEVICES", sb_buf_text(&list));
}

/* Systemd gives the host's to all services; what the image says comes behind. */
#define NO_LOCALE                                                                                  \
    "Environment=LANG= LANGUAGE= LC_CTYPE= LC_NUMERIC= LC_TIME= LC_COLLATE= LC_MONETARY= "         \
    "LC_MESSAGES= LC_PAPER= LC_NAME= LC_ADDRESS= LC_TELEPHONE= LC_MEASUREMENT= "                   \
    "LC_IDENTIFICATION=\n"

/* ---- caches ---- */

static bool has_own_tmp(const struct sb_description *d) {
    return !(d->harden_off >> SB_HARDEN_PRIVATE_TMP & 1);
}

static void add_variable_unless(struct making *m, const char *name, const char *value) {
    const struct sb_pairs *own = m->p->env;
    if (!sb_pairs_get(&m->d->env, name) && !(own && sb_pairs_get(own, name)))
        add_variable(m, name, value);
}

/* The root is read-only, home directories of the image with it: what programs keep there to be
 * faster has a place that can be written. Most follow XDG_CACHE_HOME; these do not. */
static void add_caches(struct making *m) {
    static const char *const others[][2] = {{"CUDA_CACHE_PATH", "nv"},
                                            {"MPLCONFIGDIR", "matplotlib"},
                                            {"NUMBA_CACHE_DIR", "numba"},
                                            {"TORCHINDUCTOR_CACHE_DIR", "torchinductor"},
                                            {"TRITON_CACHE_DIR", "triton"}};
    const struct sb_description *d = m->d;
    const char *said = sb_pairs_get(&d->env, "XDG_CACHE_HOME");
    const char *place = said                                 ? said
                        : d->directories[SB_DIRECTORY_CACHE] ? d->directories[SB_DIRECTORY_CACHE]
                        : has_own_tmp(d)                     ? "/tmp/.cache"
                                                             : NULL;
    if (!place)
        return;
    add_variable_unless(m, "XDG_CACHE_HOME", place);
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        sb_autofree char *path = sb_format("%s/%s", place, others[i][1]);
        add_variable_unless(m, others[i][0], path);
    }
}

static void add_environment(struct making *m) {
    const struct sb_description *d = m->d;
    const struct sb_pairs *own = m->p->env;
    if (d->root == SB_ROOT_LAYERS)
        sb_buf_adds(&m->text, NO_LOCALE);
    add_caches(m);
    for (size_t i = 0; i < d->env.n; i++)
        if (!own || !sb_pairs_get(own, d->env.v[i].name))
            add_variable(m, d->env.v[i].name, d->env.v[i].value);
    add_gpu_variable(m);
    for (size_t i = 0; own && i < own->n; i++)
        add_variable(m, own->v[i].name, own->v[i].value);
    sb_buf_addf(&m->text, "EnvironmentFile=-%s/%s.env\n", SB_UNIT_ENV_FILES, d->name);
    for (size_t i = 0; i < d->secrets.n; i++)
        sb_buf_addf(&m->text, "LoadCredential=%s:%s/%s/%s\n", d->secrets.v[i], SB_UNIT_SECRETS,
                    d->name, d->secrets.v[i]);
}

static void add_root(struct making *m) {
    const struct sb_description *d = m->d;
    if (d->root == SB_ROOT_HOST) {
        sb_autofree char *workdir = sb_format("%s%s", m->root, d->workdir[1] ? d->workdir : "");
        add_plain(m, "WorkingDirectory", workdir);
        sb_buf_addf(&m->text, "ReadOnlyPaths=%s\n", m->root);
        return;
    }
    add_plain(m, "WorkingDirectory", d->workdir);
    sb_buf_addf(&m->text, "RootDirectory=%s\nMountAPIVFS=yes\n", m->root);
    if (m->p->systemd_version && m->p->systemd_version < 248)
        sb_buf_adds(&m->text, "TemporaryFileSystem=/run:mode=0755\n");
    sb_buf_adds(&m->text,
                "BindReadOnlyPaths=-/etc/resolv.conf -/etc/hosts\n"
                "BindReadOnlyPaths=-/run/systemd/journal/dev-log -/run/systemd/journal/socket\n");
    if (d->type == SB_SERVICE_NOTIFY)
        sb_buf_adds(&m->text, "BindReadOnlyPaths=-/run/systemd/notify\n");
    if (!has_own_tmp(d))
        sb_buf_adds(&m->text, "BindPaths=/tmp /var/tmp\n");
}

/* Directories of the node; and those of the driver's services, where their sockets come and go. */
static void add_binds(struct making *m) {
    const struct sb_description *d = m->d;
    for (size_t i = 0; i < d->host.n; i++)
        sb_buf_addf(&m->text, "BindReadOnlyPaths=%s:%s\n", d->host.v[i].name, d->host.v[i].value);
    if (d->gpu && d->root == SB_ROOT_LAYERS)
        sb_buf_adds(&m->text,
                    "BindReadOnlyPaths=-/run/nvidia-persistenced -/run/nvidia-fabricmanager\n");
}

/* systemd makes them on the host, gives them to the user, and shows them in the root. */
static void add_directories(struct making *m) {
    static const char *const keys[] = {"State", "Cache", "Logs"};
    for (size_t i = 0; i < SB_DIRECTORY_COUNT; i++) {
        const char *path = m->d->directories[i];
        if (!path)
            continue;
        sb_autofree char *host =
            sb_service_directory_path(m->d->name, (enum sb_service_directory)i);
        sb_buf_addf(&m->text, "%sDirectory=%s\n%sDirectoryMode=0750\n", keys[i], m->d->name,
                    keys[i]);
        if (strcmp(host, path) != 0)
            sb_buf_addf(&m->text, "BindPaths=%s:%s\n", host, path);
    }
}

/* A node makes them (deploy/node/volumes.h). */
static void add_volumes(struct making *m) {
    const struct sb_description *d = m->d;
    for (size_t i = 0; i < d->volumes.n && d->root == SB_ROOT_LAYERS; i++) {
        sb_autofree char *host = sb_volume_path(d->name, d->volumes.v[i]);
        sb_buf_addf(&m->text, "BindPaths=%s:%s\n", host, d->volumes.v[i]);
    }
}

static unsigned percent(const char *cpu) {
    double value = strtod(cpu, NULL) * 100;
    return value < 1 ? 1 : (unsigned)(value + 0.5);
}

static void add_limit(struct making *m, const char *key, const char *value) {
    if (value)
        sb_buf_addf(&m->text, "%s=%s\n", key, strcmp(value, "unlimited") ? value : "infinity");
}

/* Memory that is swapped out is memory still. When it is not enough, all that is the service ends,
 * not the one of its processes that the others wait for, and it is started again. */
static void add_limits(struct making *m) {
    const struct sb_description *d = m->d;
    sb_buf_adds(&m->text, "OOMPolicy=stop\n");
    if (d->memory)
        sb_buf_addf(&m->text, "MemoryMax=%" PRIu64 "\n", d->memory);
    add_limit(m, "MemorySwapMax", d->swap ? d->swap : d->memory ? "0" : NULL);
    add_limit(m, "LimitMEMLOCK", d->memlock ? d->memlock : d->gpu ? "unlimited" : NULL);
    add_limit(m, "LimitCORE", d->core);
    add_limit(m, "LimitSTACK", d->stack);
    if (d->cpu)
        sb_buf_addf(&m->text, "CPUQuota=%u%%\n", percent(d->cpu));
    if (d->tasks)
        sb_buf_addf(&m->text, "TasksMax=%" PRId64 "\n", d->tasks);
    if (d->files)
        sb_buf_addf(&m->text, "LimitNOFILE=%" PRId64 "\n", d->files);
}

/* Pauses that grow, where systemd has that; for review all is written that every one knows. systemd
 * counts since the service was started by hand, or released: so they must not grow much. */
static void add_restart(struct making *m) {
    sb_buf_addf(&m->text, "Restart=%s\n", sb_service_restart_name(m->d->restart));
    if (m->d->restart != SB_RESTART_NO)
        sb_buf_adds(&m->text, m->p->systemd_version < VERSION_STEPS
                                  ? "RestartSec=5\n"
                                  : "RestartSec=2\nRestartSteps=6\nRestartMaxDelaySec=15\n");
}

static void add_running(struct making *m) {
    static const char *const types[] = {
#define X(value, name, systemd) [value] = (systemd),
        SB_SERVICE_TYPES(X)
#undef X
    };
    const struct sb_description *d = m->d;
    sb_buf_addf(&m->text, "\n[Service]\nType=%s\n", types[d->type]);
    add_command(m);
    if (d->type == SB_SERVICE_NOTIFY)
        sb_buf_adds(&m->text, "NotifyAccess=all\n"); /* a script around the program may say it */
    add_restart(m);
    if (d->start_timeout)
        sb_buf_addf(&m->text, "TimeoutStartSec=%u\n", d->start_timeout);
    else
        sb_buf_adds(&m->text, "TimeoutStartSec=infinity\n");
    sb_buf_addf(&m->text, "TimeoutStopSec=%u\nKillMode=mixed\n", d->stop_timeout);
    if (d->stop_signal)
        sb_buf_addf(&m->text, "KillSignal=%s\n", d->stop_signal);
    add_user(m);
}

static void add_mark(struct making *m) {
    sb_buf_addf(&m->text, "\n%s\nName=%s\nGeneration=%" PRIu64 "\n", SB_UNIT_SECTION, m->d->name,
                m->p->generation);
    sb_buf_addf(&m->text, "Image=%s\n", sb_digest_text(&m->d->image.digest).text);
    if (m->p->bundle)
        sb_buf_addf(&m->text, "Bundle=%s\n", sb_digest_text(m->p->bundle).text);
}

/* ---- the files ---- */

static void add_unit(struct sb_units *units, enum sb_unit_kind kind, char *name, struct making *m) {
    SB_GROW(units->v, units->n, units->cap);
    units->v[units->n++] = (struct sb_unit){kind, name, sb_buf_steal(&m->text)};
}

static void make_service(struct making *m, struct sb_units *out) {
    add_unit_section(m);
    add_running(m);
    sb_buf_adds(&m->text, "\n# Where it runs\n");
    add_root(m);
    add_binds(m);
    add_directories(m);
    add_volumes(m);
    sb_buf_adds(&m->text, "\n# What it is told; what this host says wins\n");
    add_environment(m);
    sb_buf_adds(&m->text, "\n# What it may do\n");
    sb_hardening_write(m->d, m->p, m->is_root, &m->text);
    add_limits(m);
    if (m->d->type != SB_SERVICE_JOB)
        sb_buf_adds(&m->text, "\n[Install]\nWantedBy=multi-user.target\n");
    if (m->p->colour) /* so that systemctl disable and enable know both names */
        sb_buf_addf(&m->text, "Alias=%s.service\n", m->d->name);
    add_mark(m);
    if (m->d->port)
        sb_buf_addf(&m->text, "Port=%u\n", m->p->port ? m->p->port : m->d->port);
    add_unit(out, SB_UNIT_SERVICE, sb_unit_service_name(m->d->name, m->p->colour), m);
}

static void make_timer(struct making *m, struct sb_units *out) {
    add_head(m);
    sb_buf_addf(&m->text,
                "\n[Timer]\nOnCalendar=%s\nAccuracySec=100ms\nPersistent=yes\n"
                "Unit=%s.service\n",
                m->d->schedule, m->d->name);
    sb_buf_adds(&m->text, "\n[Install]\nWantedBy=timers.target\n");
    add_mark(m);
    add_unit(out, SB_UNIT_TIMER, sb_format("%s.timer", m->d->name), m);
}

/* mount(8) of util-linux 2.39 and later would use fsconfig(2), which takes 255 bytes for lowerdir.
 */
#define FORCE_MOUNT2 "Environment=LIBMOUNT_FORCE_MOUNT2=always\n"

static void make_mount(struct making *m, struct sb_units *out) {
    const struct sb_placement *p = m->p;
    bool suid =
        m->d->harden_off >> SB_HARDEN_NO_NEW_PRIVILEGES & 1 && !sb_description_own_ids(m->d);
    sb_autofree char *name = sb_unit_escape_path(m->root);
    add_head(m);
    if (p->requires_path)
        add_plain(m, "RequiresMountsFor", p->requires_path);
    sb_buf_addf(&m->text,
                "\n[Mount]\nWhat=overlay\nWhere=%s\nType=overlay\nDirectoryMode=0700\n%s"
                "Options=ro,nodev%s%s,%s%s%slowerdir=",
                m->root, FORCE_MOUNT2, suid ? "" : ",nosuid", p->renumbered ? ",metacopy=on" : "",
                p->label ? "context=" : "", p->label ? p->label : "", p->label ? "," : "");
    for (size_t i = 0; i < p->lower_count; i++)
        sb_buf_addf(&m->text, "%s%s", i ? ":" : "", p->lower[i]);
    if (p->lower_count == 0) /* nothing is unpacked yet */
        sb_buf_adds(&m->text, "/var/empty:/var/empty");
    sb_buf_addc(&m->text, '\n');
    add_mark(m);
    add_unit(out, SB_UNIT_MOUNT, sb_format("%s.mount", name), m);
}

/* systemd runs nothing as a user that no database of the host knows. */
static void make_sysusers(struct making *m, struct sb_units *out) {
    sb_buf_addf(&m->text, "# Made by sbuild: who its services run as.\n");
    if (m->gid)
        sb_buf_addf(&m->text, "g sbuild-%u %u\n", m->gid, m->gid);
    if (m->uid)
        sb_buf_addf(&m->text, "u sbuild-%u %u:%u \"sbuild service\"\n", m->uid, m->uid, m->gid);
    add_unit(out, SB_UNIT_SYSUSERS, sb_format("sbuild-%u-%u.conf", m->uid, m->gid), m);
}

/* Of values that are long already, quoted and with the root in front of their paths. */
static int check_sizes(const struct sb_units *units, struct sb_error *err) {
    for (size_t i = 0; i < units->n; i++) {
        size_t longest = 0;
        for (const char *line = units->v[i].text; *line;) {
            size_t n = strcspn(line, "\n");
            longest = n > longest ? n : longest;
            line += n + (line[n] == '\n');
        }
        if (longest >= LINE_LIMIT || strlen(units->v[i].text) > SB_UNIT_TEXT_LIMIT)
            return sb_fail(err, SB_E_FAILED, "%s would be longer than systemd reads",
                           units->v[i].name);
    }
    return 0;
}

int sb_units_generate(const struct sb_description *d, const struct sb_placement *p,
                      struct sb_units *out, struct sb_error *err) {
    *out = (struct sb_units){0};
    if (sb_units_check(p, err) < 0)
        return -1;
    struct making m = {.d = d, .p = p};
    m.root = p->root ? sb_strdup(p->root)
             : d->root == SB_ROOT_LAYERS
                 ? sb_unit_root_path(d->name, p->generation)
                 : sb_format("%s/%s/%" PRIu64, SB_UNIT_HOST_ROOT, d->name, p->generation);
    find_ids(&m);
    make_service(&m, out);
    if (d->schedule)
        make_timer(&m, out);
    if (d->root == SB_ROOT_LAYERS)
        make_mount(&m, out);
    if (m.has_ids && (m.uid || m.gid))
        make_sysusers(&m, out);
    free(m.root);
    sb_buf_free(&m.text);
    if (check_sizes(out, err) == 0)
        return 0;
    sb_units_free(out);
    return -1;
}

void sb_units_free(struct sb_units *units) {
    for (size_t i = 0; i < units->n; i++) {
        free(units->v[i].name);
        free(units->v[i].text);
    }
    free(units->v);
    *units = (struct sb_units){0};
}

const struct sb_unit *sb_units_find(const struct sb_units *units, enum sb_unit_kind kind) {
    for (size_t i = 0; i < units->n; i++)
        if (units->v[i].kind == kind)
            return &units->v[i];
    return NULL;
}
