/* deploy/units: texts for descriptions and placements; names as systemd makes them. */
#include "deploy/units.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/process.h"
#include "deploy/host/ids.h"
#include "document/rules.h"
#include "tests/unit/test.h"

/* ---- names ---- */

static void test_escape(void) {
    static const struct {
        const char *path, *unit;
    } cases[] = {
        {"/run/sbuild/backend/1", "run-sbuild-backend-1"},
        {"/run/sbuild/back-end/12", "run-sbuild-back\\x2dend-12"},
        {"/run/sbuild/a.b_c/0", "run-sbuild-a.b_c-0"},
        {"/.hidden/x", "\\x2ehidden-x"},
        {"/", "-"},
        {"//a///b//", "a-b"},
        {"/a b/%c/\\d", "a\\x20b-\\x25c-\\x5cd"},
        {"/\xc3\xa9:@", "\\xc3\\xa9:\\x40"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        sb_autofree char *name = sb_unit_escape_path(cases[i].path);
        CHECK_STR(name, cases[i].unit);
    }
    sb_autofree char *mount = sb_unit_mount_name("back-end", 3);
    CHECK_STR(mount, "run-sbuild-back\\x2dend-3.mount");
}

static void test_against_systemd(void) {
    static const char *const paths[] = {
        "/run/sbuild/a-b.c_d/9", "/.a/.b", "/a//b/", "/x y/\xc3\xa9",
        "/a:b@c/+,%\\\"'",       "/-",     "/0",     "/"};
    sb_autofree char *program = sb_process_find("systemd-escape");
    if (!program) {
        TEST_SKIP("systemd-escape is not installed");
        return;
    }
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        const char *const argv[] = {program, "--path", "--suffix=mount", "--", paths[i], NULL};
        sb_autobuf struct sb_buf out = {0};
        sb_autofree char *own = sb_unit_escape_path(paths[i]);
        sb_autofree char *line = sb_format("%s.mount\n", own);
        CHECK_INT(sb_process_capture(argv, NULL, 4096, &out, NULL, NULL), 0);
        CHECK_STR(line, sb_buf_text(&out));
    }
}

static void test_quote(void) {
    static const struct {
        const char *word, *plain, *exec;
    } cases[] = {
        {"", "\"\"", "\"\""},
        {"a b", "\"a b\"", "\"a b\""},
        {"$HOME ${X}", "\"$HOME ${X}\"", "\"$$HOME $${X}\""},
        {"100%n", "\"100%%n\"", "\"100%%n\""},
        {"\"'\\", "\"\\\"'\\\\\"", "\"\\\"'\\\\\""},
        {"a\nb\tc", "\"a\\nb\\tc\"", "\"a\\nb\\tc\""},
        {";", "\";\"", "\";\""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        sb_autobuf struct sb_buf plain = {0}, exec = {0};
        sb_unit_quote(cases[i].word, false, &plain);
        sb_unit_quote(cases[i].word, true, &exec);
        CHECK_STR(sb_buf_text(&plain), cases[i].plain);
        CHECK_STR(sb_buf_text(&exec), cases[i].exec);
    }
}

static void test_schedules(void) {
    static const char *const good[] = {"daily",           "Weekly",
                                       "*-*-* 03:00",     "*-*-* 03:00:00",
                                       "Mon..Fri *:0/15", "Mon,Wed..Fri 2026-*-01 8..18:30",
                                       "*-*~03",          "Sat 04:00 Europe/Berlin",
                                       "hourly UTC",      "monday",
                                       "2026-01-01",      "*:*:00/30.5"};
    static const char *const bad[] = {"",         "0 3 * * *", "every day", "dayly", "daily ",
                                      "3am",      "*-*-*\n",   "--",        "Mon..", "daily daily",
                                      "; rm -rf", "*",         "%n",        "a:b"};
    sb_autofree char *program = sb_process_find("systemd-analyze");
    bool zones = sb_path_exists(AT_FDCWD, "/usr/share/zoneinfo/Europe/Berlin");
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        bool asked = program && (zones || !strstr(good[i], "Europe"));
        const char *const argv[] = {program, "calendar", "--", good[i], NULL};
        sb_autobuf struct sb_buf out = {0};
        if (!CHECK(sb_rule_schedule.check(good[i])) ||
            (asked && !CHECK(sb_process_capture(argv, NULL, 65536, &out, NULL, NULL) == 0)))
            printf("    %s\n", good[i]);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (!CHECK(!sb_rule_schedule.check(bad[i])))
            printf("    %s\n", bad[i]);
    if (!program)
        TEST_SKIP("systemd-analyze is not installed");
}

/* ---- texts ---- */

static char *text(const char *value) {
    return sb_strdup(value);
}

/* A service called backend of two layers. */
static void make(struct sb_description *d) {
    static const struct sb_described_layer layers[2] = {{.application = false},
                                                        {.application = true}};
    *d = (struct sb_description){.name = text("backend"),
                                 .user = text("1000:1001"),
                                 .workdir = text("/app"),
                                 .port = 8003,
                                 .health_timeout = 60,
                                 .health_interval = 10,
                                 .start_timeout = 900,
                                 .stop_timeout = 30};
    d->layers = sb_memdup(layers, sizeof layers);
    d->layer_count = 2;
    sb_strings_add(&d->argv, "python3");
    sb_strings_add(&d->argv, "/app/main.py");
    sb_strings_add(&d->argv, "--port=8003");
    sb_strings_add(&d->argv, "18003");
    sb_pairs_set(&d->env, "BIND", "0.0.0.0:8003");
    sb_pairs_set(&d->env, "PYTHONPATH", "/app:/application:/app/lib");
    CHECK(sb_description_check(d, NULL) == 0);
}

/* The service's text; the caller's to free. NULL when it could not be made. */
static char *service(const struct sb_description *d, const struct sb_placement *p,
                     struct sb_error *err) {
    struct sb_units units;
    if (sb_units_generate(d, p, &units, err) < 0) {
        CHECK(units.n == 0);
        return NULL;
    }
    char *copy = sb_strdup(sb_units_find(&units, SB_UNIT_SERVICE)->text);
    sb_units_free(&units);
    return copy;
}

static bool has(const char *unit, const char *line) {
    sb_autofree char *whole = sb_format("\n%s\n", line);
    if (unit && strstr(unit, whole))
        return true;
    printf("    no line %s in\n%s\n", line, unit ? unit : "(none)");
    return false;
}

static void test_placement(void) {
    static const char *const lower[] = {"/s/0", "/s/1"};
    struct sb_description d;
    struct sb_units units;
    struct sb_error err = {0};
    make(&d);
    struct sb_digest bundle = {{1, 2}};
    struct sb_strings devices = {0};
    struct sb_pairs env = {0};
    sb_strings_add(&devices, "/dev/nvidia5");
    sb_pairs_set(&env, "PYTHONPATH", "/other");
    d.gpu = 1;
    const struct sb_placement p = {.generation = 4,
                                   .lower = lower,
                                   .lower_count = 2,
                                   .label = "system_u:object_r:bin_t:s0",
                                   .requires_path = "/var/lib/sbuild",
                                   .systemd_version = 247,
                                   .program = "/usr/bin/python3",
                                   .has_ids = true,
                                   .uid = 7,
                                   .gid = 8,
                                   .devices = &devices,
                                   .gpus = 1u << 5,
                                   .env = &env,
                                   .bundle = &bundle};
    if (!CHECK(sb_units_generate(&d, &p, &units, &err) == 0))
        return;
    const char *unit = units.v[0].text;
    CHECK(has(unit, "ExecStart=/.sbuild/init 30 15 \"/usr/bin/python3\" \"/app/main.py\" "
                    "\"--port=8003\" \"18003\""));
    CHECK(has(unit, "User=7\nGroup=8"));
    CHECK(has(unit, "RootDirectory=/run/sbuild/backend/4\nMountAPIVFS=yes"));
    CHECK(has(unit, "TemporaryFileSystem=/run:mode=0755"));
    CHECK(has(unit, "DeviceAllow=/dev/nvidia5 rw"));
    CHECK(has(unit, "DeviceAllow=/dev/char/195:5 rw")); /* when its node comes later, too */
    CHECK(has(unit, "DeviceAllow=/dev/char/195:255 rw"));
    CHECK(has(unit, "DeviceAllow=char-nvidia-uvm rw"));
    CHECK(!strstr(unit, "195:0"));
    CHECK(has(unit, "DevicePolicy=closed"));
    CHECK(!strstr(unit, "PrivateDevices"));
    CHECK(has(unit, "Environment=\"PYTHONPATH=/other\""));
    CHECK(!strstr(unit, "/application"));
    CHECK(!strstr(unit, "CUDA_VISIBLE_DEVICES")); /* this placement doesn't say */
    CHECK(has(unit, "BindReadOnlyPaths=-/run/nvidia-persistenced -/run/nvidia-fabricmanager"));
    CHECK(has(unit, "Wants=sbuild-driver@run-sbuild-backend-4.service\n"
                    "After=sbuild-driver@run-sbuild-backend-4.service"));
    const struct sb_unit *mount = sb_units_find(&units, SB_UNIT_MOUNT);
    CHECK_STR(mount->name, "run-sbuild-backend-4.mount");
    CHECK(has(mount->text, "RequiresMountsFor=/var/lib/sbuild"));
    CHECK(has(mount->text, "Options=ro,nodev,nosuid,context=system_u:object_r:bin_t:s0,"
                           "lowerdir=/s/0:/s/1"));
    CHECK(has(mount->text, "Where=/run/sbuild/backend/4"));
    CHECK(strstr(sb_units_find(&units, SB_UNIT_SYSUSERS)->text, "u sbuild-7 7:8 "));
    struct sb_unit_mark mark;
    CHECK(sb_unit_mark_parse(unit, &mark));
    CHECK_STR(mark.name, "backend");
    CHECK_INT(mark.generation, 4);
    CHECK(sb_digest_equal(&mark.bundle, &bundle));
    sb_units_free(&units);
    sb_strings_free(&devices);
    sb_pairs_free(&env);
    sb_description_free(&d);
}

static void test_ports(void) {
    struct sb_description d;
    make(&d);
    const struct sb_placement p = {.colour = "green", .port = 9003};
    sb_autofree char *unit = service(&d, &p, NULL);
    CHECK(has(
        unit,
        "ExecStart=/.sbuild/init 30 15 \"python3\" \"/app/main.py\" \"--port=9003\" \"18003\""));
    CHECK(has(unit, "Environment=\"BIND=0.0.0.0:9003\""));
    CHECK(has(unit, "Alias=backend.service"));
    CHECK(has(unit, "Port=9003"));
    sb_description_free(&d);
}

/* Whatever the colour, it is the same service: the same data, secrets, user, hardening. */
static void test_colours(void) {
    struct sb_description d;
    make(&d);
    d.strategy = SB_STRATEGY_BLUE_GREEN;
    d.directories[SB_DIRECTORY_STATE] = text("/data");
    sb_strings_add(&d.secrets, "key");
    const struct sb_placement blue = {.generation = 3, .colour = "blue", .port = 8003};
    const struct sb_placement green = {.generation = 3, .colour = "green", .port = 8003};
    struct sb_units units;
    if (!CHECK(sb_units_generate(&d, &green, &units, NULL) == 0))
        return;
    CHECK_STR(units.v[0].name, "backend-green.service");
    sb_autofree char *other = service(&d, &blue, NULL);
    CHECK_STR(units.v[0].text, other);
    CHECK(has(other, "StateDirectory=backend"));
    CHECK(has(other, "LoadCredential=key:/etc/sbuild/secrets/backend/key"));
    CHECK(has(other, "EnvironmentFile=-/etc/sbuild/environment/backend.env"));
    CHECK(has(other, "RootDirectory=/run/sbuild/backend/3"));
    CHECK(has(other, "Name=backend"));
    CHECK(strstr(other, "systemctl edit backend\n") != NULL);
    sb_units_free(&units);
    sb_description_free(&d);
}

static void test_host_root(void) {
    struct sb_description d;
    make(&d);
    d.root = SB_ROOT_HOST;
    const struct sb_placement p = {.generation = 2};
    struct sb_units units;
    if (!CHECK(sb_units_generate(&d, &p, &units, NULL) == 0))
        return;
    const char *unit = units.v[0].text;
    CHECK(!sb_units_find(&units, SB_UNIT_MOUNT));
    CHECK(has(unit, "WorkingDirectory=/opt/backend/2/app"));
    CHECK(has(unit, "ExecStart=/opt/backend/2/.sbuild/init 30 15 \"python3\" "
                    "\"/opt/backend/2/app/main.py\" \"--port=8003\" \"18003\""));
    CHECK(has(unit, "Environment=\"PYTHONPATH=/opt/backend/2/app:/application:"
                    "/opt/backend/2/app/lib\""));
    CHECK(has(unit, "ProtectHome=yes"));
    CHECK(!strstr(unit, "RootDirectory"));
    sb_units_free(&units);
    sb_description_free(&d);
}

static void test_users(void) {
    static const struct {
        const char *user, *lines, *not_there;
    } cases[] = {
        {"", "KillMode=mixed", "User="},        {"root", "KillMode=mixed", "User="},
        {"0:0", "KillMode=mixed", "Group="},    {"0:5", "Group=5", "User="},
        {"app", "User=app", "Group="},          {"app:staff", "User=app\nGroup=staff", NULL},
        {"1000", "User=1000", "Group="},        {"1000:staff", "User=1000\nGroup=staff", NULL},
        {"1000:0", "User=1000\nGroup=0", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct sb_description d;
        const struct sb_placement p = {0};
        make(&d);
        free(d.user);
        d.user = text(cases[i].user);
        d.harden_off = 1u << SB_HARDEN_OWN_IDS;
        sb_autofree char *unit = service(&d, &p, NULL);
        CHECK(has(unit, cases[i].lines));
        CHECK(!cases[i].not_there || !strstr(unit, cases[i].not_there));
        bool root = !*cases[i].user || cases[i].user[0] == '0' || cases[i].user[0] == 'r';
        CHECK(!strstr(unit, "CapabilityBoundingSet=\n") == root);
        sb_description_free(&d);
    }
}

/* How it is started again, told to stop, and kept within bounds. */
static void test_running(void) {
    struct sb_description d;
    make(&d);
    d.stop_signal = text("SIGQUIT");
    d.memory = 1000;
    const struct sb_placement old = {.systemd_version = 252}, new = {.systemd_version = 254};
    sb_autofree char *before = service(&d, &old, NULL), *since = service(&d, &new, NULL);
    CHECK(has(before, "StartLimitIntervalSec=0"));
    CHECK(has(before, "Restart=always\nRestartSec=5"));
    CHECK(!strstr(before, "RestartSteps="));
    CHECK(has(since, "RestartSec=2\nRestartSteps=6\nRestartMaxDelaySec=15"));
    CHECK(has(before, "KillSignal=SIGQUIT"));
    CHECK(strstr(before, "\nExecStart=/.sbuild/init 30 3 \"python3\"") != NULL);
    CHECK(has(before, "SyslogIdentifier=python3"));
    CHECK(has(before, "MemoryMax=1000\nMemorySwapMax=0"));
    CHECK(has(before, "OOMPolicy=stop"));
    CHECK(!strstr(before, "LimitMEMLOCK") && !strstr(before, "LimitCORE"));
    d.gpu = 1;
    d.swap = text("unlimited");
    d.core = text("0");
    d.stack = text("67108864");
    sb_autofree char *gpu = service(&d, &old, NULL);
    CHECK(has(gpu, "MemorySwapMax=infinity\nLimitMEMLOCK=infinity\nLimitCORE=0\n"
                   "LimitSTACK=67108864"));
    d.memlock = text("65536");
    d.restart = SB_RESTART_NO;
    free(d.stop_signal);
    d.stop_signal = text("12");
    sb_autofree char *set = service(&d, &new, NULL);
    CHECK(has(set, "LimitMEMLOCK=65536"));
    CHECK(!strstr(set, "RestartS"));
    CHECK(strstr(set, "\nExecStart=/.sbuild/init 30 12 ") != NULL);
    sb_description_free(&d);
}

static void test_caches(void) {
    struct sb_description d;
    make(&d);
    const struct sb_placement p = {0};
    sb_autofree char *own = service(&d, &p, NULL);
    CHECK(has(own, "Environment=\"XDG_CACHE_HOME=/tmp/.cache\""));
    d.directories[SB_DIRECTORY_CACHE] = text("/cache");
    sb_pairs_set(&d.env, "NUMBA_CACHE_DIR", "/n");
    sb_autofree char *kept = service(&d, &p, NULL);
    CHECK(has(kept, "Environment=\"XDG_CACHE_HOME=/cache\""));
    CHECK(has(kept, "Environment=\"TRITON_CACHE_DIR=/cache/triton\""));
    CHECK(!strstr(kept, "/cache/numba"));
    sb_pairs_set(&d.env, "XDG_CACHE_HOME", "/said");
    sb_pairs_sort(&d.env);
    sb_autofree char *said = service(&d, &p, NULL);
    CHECK(has(said, "Environment=\"MPLCONFIGDIR=/said/matplotlib\""));
    CHECK(!strstr(said, "=/cache\""));
    sb_description_free(&d);
    make(&d);
    d.harden_off = 1u << SB_HARDEN_PRIVATE_TMP; /* in everybody's /tmp somebody else may have it */
    sb_autofree char *open = service(&d, &p, NULL);
    CHECK(!strstr(open, "CACHE"));
    sb_description_free(&d);
}

/* What others left there is theirs, where the user may be somebody else as well. */
static void test_leavings(void) {
    struct sb_description d;
    make(&d);
    const struct sb_placement p = {0};
    sb_autofree char *own = service(&d, &p, NULL);
    CHECK(has(own, "RemoveIPC=yes"));
    d.harden_off = 1u << SB_HARDEN_OWN_IDS;
    sb_autofree char *shared = service(&d, &p, NULL);
    CHECK(!strstr(shared, "RemoveIPC"));
    sb_description_free(&d);
}

/* Whatever the image's user is: one number, for both, that is the name's. */
static void test_own_ids(void) {
    static const char *const users[] = {"",          "root", "0:0",       "0:42",
                                        "1000:1000", "app",  "app:docker"};
    struct sb_description d;
    make(&d);
    uint32_t id = sb_ids_preferred("backend");
    CHECK(id >= SB_IDS_FIRST && id <= SB_IDS_LAST);
    CHECK(id != sb_ids_preferred("backend2"));
    sb_autofree char *lines = sb_format("User=%u\nGroup=%u", id, id);
    for (size_t i = 0; i < sizeof users / sizeof *users; i++) {
        const struct sb_placement p = {0};
        uint32_t uid, gid;
        free(d.user);
        d.user = text(users[i]);
        sb_autofree char *unit = service(&d, &p, NULL);
        CHECK(has(unit, lines));
        CHECK(has(unit, "CapabilityBoundingSet="));
        sb_unit_ids_parse(unit, &uid, &gid);
        CHECK(uid == id && gid == id);
    }
    struct sb_units units;
    const struct sb_placement p = {.has_ids = true, .uid = 7, .gid = 7, .renumbered = true};
    d.harden_off = 1u << SB_HARDEN_NO_NEW_PRIVILEGES;
    if (CHECK(sb_units_generate(&d, &p, &units, NULL) == 0)) {
        const char *mount = sb_units_find(&units, SB_UNIT_MOUNT)->text;
        CHECK(strstr(mount, "Options=ro,nodev,nosuid,metacopy=on,lowerdir="));
        CHECK(has(mount, "DirectoryMode=0700"));
        sb_units_free(&units);
    }
    /* A capability of the host's, and a host that has no such namespaces. */
    d.port = 80;
    sb_autofree char *low = service(&d, &p, NULL);
    CHECK(has(low, "AmbientCapabilities=CAP_NET_BIND_SERVICE"));
    CHECK(!strstr(low, "PrivateUsers="));
    d.port = 8080;
    const struct sb_placement none = {.no_user_namespaces = true, .systemd_version = 247};
    sb_autofree char *old = service(&d, &none, NULL);
    CHECK(!strstr(old, "PrivateUsers=") && !strstr(old, "PrivateIPC="));
    sb_description_free(&d);
}

static void test_switches(void) {
    static const char *const lines[SB_HARDEN_COUNT] = {
        [SB_HARDEN_NO_NEW_PRIVILEGES] = "NoNewPrivileges=yes",
        [SB_HARDEN_CAPABILITIES] = "CapabilityBoundingSet=",
        [SB_HARDEN_PROTECT_SYSTEM] = "ProtectSystem=strict",
        [SB_HARDEN_PROTECT_KERNEL] = "ProtectKernelModules=yes",
        [SB_HARDEN_PROTECT_PROCESSES] = "ProtectProc=invisible",
        [SB_HARDEN_PRIVATE_TMP] = "PrivateTmp=yes",
        [SB_HARDEN_PRIVATE_DEVICES] = "PrivateDevices=yes",
        [SB_HARDEN_NAMESPACES] = "RestrictNamespaces=yes",
        [SB_HARDEN_ADDRESS_FAMILIES] =
            "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK",
        [SB_HARDEN_SYSTEM_CALLS] = "SystemCallFilter=@system-service",
        [SB_HARDEN_REALTIME] = "RestrictRealtime=yes",
        [SB_HARDEN_OWN_IDS] = "PrivateUsers=yes",
    };
    for (unsigned off = 0; off <= SB_HARDEN_COUNT; off++) {
        struct sb_description d;
        const struct sb_placement p = {0};
        make(&d);
        d.harden_off = off < SB_HARDEN_COUNT ? 1u << off : 0;
        sb_autofree char *unit = service(&d, &p, NULL);
        for (unsigned i = 0; i < SB_HARDEN_COUNT; i++) {
            sb_autofree char *line = sb_format("\n%s\n", lines[i]);
            if (!CHECK((strstr(unit, line) != NULL) == (i != off)))
                printf("    %s, with %u off\n", lines[i], off);
        }
        sb_description_free(&d);
    }
}

static void test_refused(void) {
    static const char *const one[] = {"/s/0"}, *const colon[] = {"/s:0", "/s/1"},
                             *const comma[] = {"/s/0", "/s,1"};
    const char *many[200];
    for (size_t i = 0; i < 200; i++)
        many[i] = "/var/lib/sbuild/0123456789";
    struct sb_strings device = {0};
    sb_strings_add(&device, "/dev/x rwm\nExecStart=");
    const struct {
        struct sb_placement placement;
        const char *message;
    } cases[] = {
        {{.lower = one, .lower_count = 1}, "two directories"},
        {{.lower = colon, .lower_count = 2}, "the directory \"/s:0\""},
        {{.lower = comma, .lower_count = 2}, "the directory \"/s,1\""},
        {{.lower = many, .lower_count = 200}, "the names of 200 layers take"},
        {{.root = "run"}, "the path \"run\""},
        {{.root = "/a\nb"}, "the path"},
        {{.program = "python3"}, "the program"},
        {{.program = "/a\"b"}, "the program"},
        {{.colour = "../x"}, "the colour"},
        {{.colour = ""}, "the colour"},
        {{.devices = &device}, "the device"},
        {{.label = "a:b:c:s0:c1,exec"}, "the SELinux context"},
        {{.label = "a\nWhat=x"}, "the SELinux context"},
        {{.systemd_version = 246}, "systemd 246 is too old"},
    };
    struct sb_description d;
    make(&d);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct sb_error err = {0};
        sb_autofree char *unit = service(&d, &cases[i].placement, &err);
        if (!CHECK(!unit && strstr(err.message, cases[i].message)))
            printf("    %s: %s\n", cases[i].message, err.message);
    }
    sb_strings_free(&device);
    sb_description_free(&d);
}

/* Each ":" of a variable may be followed by a path that the root is put in front of. */
static void test_too_long(void) {
    struct sb_description d;
    make(&d);
    d.root = SB_ROOT_HOST;
    free(d.workdir);
    d.workdir = sb_strdup("/a");
    sb_autobuf struct sb_buf value = {0};
    for (int i = 0; i < 30000; i++)
        sb_buf_adds(&value, "/a:");
    sb_pairs_set(&d.env, "LONG", sb_buf_text(&value));
    const struct sb_placement p = {.root = "/opt/a-name-that-is-a-bit-longer-than-others/1"};
    struct sb_error err = {0};
    sb_autofree char *unit = service(&d, &p, &err);
    CHECK(!unit && strstr(err.message, "backend.service would be longer than systemd reads"));
    sb_description_free(&d);
}

static void test_marks(void) {
    struct sb_unit_mark mark;
    CHECK(sb_unit_mark_parse("[Unit]\nName=x\n\n[X-Sbuild]\nName=a\nGeneration=12\n", &mark));
    CHECK_STR(mark.name, "a");
    CHECK_INT(mark.generation, 12);
    CHECK_INT(mark.port, 0);
    CHECK(sb_unit_mark_parse("[X-Sbuild]\nName=a\nGeneration=12\nPort=65535\n", &mark));
    CHECK_INT(mark.port, 65535);
    static const char *const not_ours[] = {
        "",
        "[Unit]\nName=a\nGeneration=1\n",
        "[X-Sbuild]\nName=a\n",
        "[X-Sbuild]\nGeneration=1\n",
        "[X-Sbuild]\nName=../a\nGeneration=1\n",
        "[X-Sbuild]\nName=a\nGeneration=-1\n",
        "[X-Sbuild]\nName=a\nGeneration=1x\n",
        "[X-Sbuild]\nName=a\nGeneration=1\nPort=65536\n",
        "[X-Sbuild]\nName=a\nGeneration=1\nPort=-1\n",
        "[X-Sbuild]\nName=a\nGeneration=99999999999999999999\n",
        "[X-Sbuild]\nName=a\nGeneration=1\nImage=sha256:12\n",
        "[X-Sbuild]\n[Unit]\nName=a\nGeneration=1\n",
        "#[X-Sbuild]\nName=a\nGeneration=1\n",
    };
    for (size_t i = 0; i < sizeof not_ours / sizeof *not_ours; i++)
        if (!CHECK(!sb_unit_mark_parse(not_ours[i], &mark)))
            printf("    %s\n", not_ours[i]);
}

/* Directories of the node; devices beside GPUs. */
static void test_host(void) {
    struct sb_description d;
    struct sb_units units;
    struct sb_error err = {0};
    make(&d);
    sb_pairs_set(&d.host, "/srv/models", "/models");
    d.infiniband = true;
    d.harden_off = 1u << SB_HARDEN_NO_NEW_PRIVILEGES;
    const struct sb_placement p = {.generation = 1};
    if (!CHECK(sb_units_generate(&d, &p, &units, &err) == 0))
        return;
    const char *unit = units.v[0].text;
    CHECK(has(unit, "BindReadOnlyPaths=/srv/models:/models"));
    CHECK(has(unit, "RequiresMountsFor=/srv/models"));
    CHECK(has(unit, "NoNewPrivileges=yes")); /* it may have setuid programs */
    CHECK(has(unit, "DevicePolicy=closed"));
    CHECK(has(unit, "DeviceAllow=char-infiniband_verbs rw"));
    CHECK(!strstr(unit, "nvidia") && !strstr(unit, "PrivateDevices="));
    sb_units_free(&units);
    sb_description_free(&d);
}

static void test_points(void) {
    struct sb_description d;
    struct sb_strings points = {0};
    make(&d);
    d.directories[SB_DIRECTORY_STATE] = text("/srv/data");
    sb_units_mount_points(&d, &points);
    static const char *const expected[] = {"proc/", "etc/",      "etc/resolv.conf",
                                           "var/",  "var/lib/",  "var/lib/backend/",
                                           "srv/",  "srv/data/", "app/"};
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++)
        if (!CHECK(sb_strings_has(&points, expected[i])))
            printf("    %s\n", expected[i]);
    sb_strings_free(&points);
    sb_description_free(&d);
}

int main(void) {
    test_escape();
    test_against_systemd();
    test_quote();
    test_schedules();
    test_placement();
    test_host();
    test_ports();
    test_colours();
    test_host_root();
    test_users();
    test_running();
    test_caches();
    test_leavings();
    test_own_ids();
    test_switches();
    test_refused();
    test_too_long();
    test_marks();
    test_points();
    return test_done();
}
