/* Steps in containers: what they see, how they end, and that nothing stays. */
#include <pthread.h>

#include "builder/layer_build.h"
#include "layers/clamp.h"
#include "sandbox/program.h"
#include "tests/unit/rootfs.h"
#include "tests/unit/test.h"

/* CHECK that a script works and says exactly that. */
static void says(struct test_site *site, struct sb_step *step, const char *script,
                 const char *expected) {
    int result = step ? test_run_step(site, step, script) : test_run(site, script);
    if (!CHECK_INT(result, 0))
        printf("    %s\n    %s (%s)\n    %s\n", script, site->err.message, site->err.hint,
               sb_buf_text(&site->output));
    if (!CHECK_STR(sb_buf_text(&site->output), expected))
        printf("    %s\n", script);
}

static void test_surroundings(struct test_site *site) {
    setenv("LEAKED", "from the host", 1);
    umask(077);
    says(site, NULL, "id -u; id -g; pwd; umask", "0\n0\n/\n0022\n");
    says(site, NULL, "cat /proc/sys/kernel/hostname", "sbuild\n");
    says(site, NULL, "echo $HOME $LANG $TZ $PATH $SOURCE_DATE_EPOCH ${LEAKED-clean}",
         "/root C.UTF-8 UTC /usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "
         "1700000000 clean\n");
    says(site, NULL, "ulimit -n; ulimit -c", "1024\n0\n");
    says(site, NULL, "ls /dev | grep -cE '^(null|zero|full|random|urandom|tty|shm|pts|stdin)$'",
         "9\n");
    says(site, NULL, "echo x > /dev/null; head -c 2 /dev/zero | wc -c", "2\n");
    says(site, NULL,
         "cat /proc/self/status | grep -E '^(CapBnd|CapEff|CapInh|NoNewPrivs|Seccomp):'",
         "CapInh:\t0000000000000000\nCapEff:\t00000000a00425fb\nCapBnd:\t00000000a00425fb\n"
         "NoNewPrivs:\t0\nSeccomp:\t2\n");
    says(site, NULL, "mknod /tmp/sda b 8 0 2>/dev/null && echo made || echo refused", "refused\n");
    says(site, NULL, "mount -t tmpfs none /tmp 2>/dev/null && echo made || echo refused",
         "refused\n");
    says(site, NULL, "echo 1 > /proc/sys/kernel/domainname || echo refused",
         "sh: can't create /proc/sys/kernel/domainname: Read-only file system\nrefused\n");
    says(site, NULL, "cat /proc/keys | wc -c; ls /sys/firmware | wc -l", "0\n0\n");
    says(site, NULL, "cat /etc/hosts | head -n 1; ls /proc/self/fd | wc -l",
         "127.0.0.1 localhost\n4\n");
    umask(022);
}

static void test_environment(struct test_site *site) {
    sb_pairs_set(&site->env, "FROM_IMAGE", "image");
    sb_pairs_set(&site->env, "BOTH", "image");
    sb_pairs_set(&site->env, "LANG", "de_DE");
    sb_pairs_set(&site->recipe.args, "BOTH", "arg");
    sb_pairs_set(&site->recipe.args, "ODD", "a \"b\" $c\n\\d ü");
    sb_pairs_set(&site->recipe.args, "HIDDEN", "one that the step does not name");
    struct sb_step step = {0};
    sb_strings_add(&step.args, "BOTH");
    sb_strings_add(&step.args, "ODD");
    says(site, &step, "echo ${HIDDEN-} $FROM_IMAGE $BOTH $LANG; echo \"$ODD\"",
         "image arg de_DE\na \"b\" $c\n\\d ü\n");
    sb_strings_free(&step.args);
    sb_pairs_free(&site->env);
    site->env = (struct sb_pairs){0};
    sb_pairs_free(&site->recipe.args);
    site->recipe.args = (struct sb_pairs){0};
}

static void test_users(struct test_site *site) {
    struct sb_step step = {.own = &(struct sb_run){.user = "app"}};
    says(site, &step, "id -u; id -g; id -G; echo $HOME; echo x > /dev/stdout",
         "1000\n1001\n1001 44\n/home/app\nx\n");
    step = (struct sb_step){.own = &(struct sb_run){.user = "app:video"}};
    says(site, &step, "id -u; id -G", "1000\n44\n");
    step = (struct sb_step){.own = &(struct sb_run){.user = "1234:5"}};
    says(site, &step, "id -u; id -G", "1234\n5\n");
    step = (struct sb_step){.own = &(struct sb_run){.user = "nobody"}};
    CHECK_INT(test_run_step(site, &step, "id"), -1);
    CHECK_INT(site->err.code, SB_E_STEP);
    CHECK(strstr(site->err.message, "no user nobody"));
}

static void test_endings(struct test_site *site) {
    CHECK_INT(test_run(site, "\n  echo one; exit 3\n echo two"), -1);
    CHECK_INT(site->err.code, SB_E_STEP);
    CHECK_STR(site->err.message, "`echo one; exit 3` ended with status 3");
    CHECK_STR(sb_buf_text(&site->output), "one\n");
    CHECK_INT(test_run(site, "sh -c 'kill -9 $$; :'\n:"), -1);
    CHECK_INT(site->err.code, SB_E_STEP);
    CHECK(strstr(site->err.message, "status 137 (SIGKILL)"));
    static const char *const itself[][2] = {{"kill -9 $$\n:", "status 137 (SIGKILL)"},
                                            {"kill -9 $$", "status 137 (SIGKILL)"},
                                            {"kill -TERM $$; :", "status 143 (SIGTERM)"},
                                            {"kill -9 0; :", "status 137 (SIGKILL)"}};
    for (size_t i = 0; i < sizeof itself / sizeof *itself; i++) {
        CHECK_INT(test_run(site, itself[i][0]), -1);
        CHECK_INT(site->err.code, SB_E_STEP);
        CHECK(strstr(site->err.message, itself[i][1]));
    }
    says(site, NULL, "sleep 1000 & ( sleep 1000 & ) ; echo left", "left\n");
    says(site, NULL, "echo $$", "32\n"); /* whatever runs it, and wherever */
    says(site, NULL, "readlink /proc/1/exe; kill -9 1; echo on", "/dev/.sbuild-first\non\n");
    CHECK_INT(test_run(site, "echo $UNSET_NAME"), -1); /* -u */
    CHECK_INT(site->err.code, SB_E_STEP);
    CHECK_INT(test_run(site, "false_program; echo on"), -1); /* -e */
    CHECK_STR(site->err.message, "`false_program; echo on` ended with status 127");
    struct sb_step step = {.own = &(struct sb_run){.workdir = "/etc/passwd"}};
    CHECK_INT(test_run_step(site, &step, "pwd"), -1);
    CHECK_INT(site->err.code, SB_E_STEP);
    CHECK_STR(site->err.message, "the workdir /etc/passwd is not a directory in the root");
    step = (struct sb_step){.own = &(struct sb_run){.workdir = "/new/place"}};
    says(site, &step, "pwd; stat -c %u:%a /new /new/place", "/new/place\n0:755\n0:755\n");
    says(site, NULL, "rm -r /new", "");
    step = (struct sb_step){.own = &(struct sb_run){.workdir = "/etc"}};
    says(site, &step, "pwd", "/etc\n");
    step = (struct sb_step){.own = &(struct sb_run){0}};
    sb_strings_add(&((struct sb_run *)step.own)->shell, "bash");
    CHECK_INT(test_run_step(site, &step, "true"), -1);
    CHECK_STR(site->err.message, "the root has no program bash");
    /* What is left in the background doesn't hold the step up. */
    says(site, NULL, "sleep 1000 & echo started", "started\n");
}

static void test_long_script(struct test_site *site) {
    struct sb_buf script = {0};
    sb_buf_adds(&script, "echo begin\n");
    while (script.len < 300000)
        sb_buf_adds(&script, "# a comment that makes this script long\n");
    sb_buf_adds(&script, "echo end; ls -d /run 2>/dev/null | wc -l\n");
    struct sb_step step = {.own = &(struct sb_run){.user = "app"}};
    says(site, &step, script.data, "begin\nend\n0\n");
    says(site, NULL, "echo one\n[ ! -e /run ] && ls -l /dev/sbuild-script | cut -c 1-10\n",
         "one\npr--r--r--\n");
    /* Who is not known to read line by line gets a file. */
    sb_strings_add(&((struct sb_run *)step.own)->shell, "env");
    sb_strings_add(&((struct sb_run *)step.own)->shell, "sh");
    says(site, &step, script.data, "begin\nend\n1\n");
    sb_strings_free(&((struct sb_run *)step.own)->shell);
    sb_buf_free(&script);
    says(site, NULL, "cat /run/sbuild-script", ""); /* its place, until the layer is done */
}

static void test_network(struct test_site *site) {
    says(site, NULL, "ip -o addr | grep -c inet; ip -o link | grep -vc ' lo:' || true", "2\n0\n");
    says(site, NULL, "ls -l /etc/resolv.conf 2>&1 | wc -l; ls /sys/class/net", "1\nlo\n");
    struct sb_step step = {.network_given = true, .network = true};
    sb_autobuf struct sb_buf expected = {0};
    sb_buf_adds(&expected, "# of the machine that builds: no part of the image\n");
    sb_file_read(AT_FDCWD, "/etc/resolv.conf", 65536, &expected, NULL);
    says(site, &step, "cat /etc/resolv.conf", sb_buf_text(&expected));
    step = (struct sb_step){.network_given = true, .network = true};
    says(site, &step, "echo x >> /etc/resolv.conf && tail -n 1 /etc/resolv.conf", "x\n");
    says(site, NULL, "[ ! -e /etc/resolv.conf ] && echo none", "none\n");
}

/* True when some process has it among its arguments. */
static bool in_arguments(const char *text) {
    sb_autobuf struct sb_buf out = {0};
    const char *const argv[] = {"sh", "-c",
                                "cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ "
                                "2>/dev/null | tr '\\0' ' '",
                                NULL};
    sb_process_capture(argv, NULL, 64u << 20, &out, NULL, NULL);
    return out.data && strstr(out.data, text);
}

static bool in_files(const char *directory, const char *text) {
    sb_autobuf struct sb_buf out = {0};
    const char *const argv[] = {"grep", "-rl", "--", text, directory, NULL};
    return sb_process_capture(argv, NULL, 1u << 20, &out, NULL, NULL) == 0;
}

static void look_for_secret(void *data, const char *text, size_t len) {
    struct test_site *site = data;
    sb_buf_add(&site->output, text, len);
    sb_autofree char *config = sb_format("%s/store", site->directory);
    /* the tmpfs is within; what is on the disk is what -xdev leaves */
    const char *const argv[] = {
        "sh", "-c", "find \"$0\" -xdev -type f -exec grep -l hunter[2] {} +", config, NULL};
    sb_autobuf struct sb_buf out = {0};
    sb_process_capture(argv, NULL, 1u << 20, &out, NULL, NULL);
    CHECK_STR(sb_buf_text(&out), "");
    CHECK(!in_arguments("hunter2"));
}

static void test_secrets(struct test_site *site) {
    struct sb_secret secret = {"token", "hunter2-value", 13};
    site->secrets = (struct sb_secrets){.v = &secret, .n = 1, .cap = 1};
    site->log.line = look_for_secret;
    site->log.data = site;
    struct sb_step step = {.own = &(struct sb_run){.user = "app"}};
    sb_strings_add(&step.secrets, "token");
    says(site, &step, "stat -c '%a %u %g' /run/secrets/token; wc -c < /run/secrets/token",
         "400 1000 1001\n13\n");
    step = (struct sb_step){0};
    sb_strings_add(&step.secrets, "token");
    says(site, &step, "echo x > /run/secrets/more || echo refused",
         "sh: can't create /run/secrets/more: Read-only file system\nrefused\n");
    site->log.line = test_output;
    site->log.data = &site->output;
    /* The next step doesn't see it. */
    says(site, NULL, "ls -A /run/secrets | wc -l", "0\n");
    CHECK(!in_files(site->directory, "hunter[2]")); /* an argument that isn't taken for it */
    step = (struct sb_step){0};
    sb_strings_add(&step.secrets, "other");
    CHECK_INT(test_run_step(site, &step, "true"), -1);
    site->secrets = (struct sb_secrets){0};
}

static void test_caches(struct test_site *site) {
    struct sb_step step = {0};
    sb_strings_add(&step.caches, "/var/cache/thing");
    says(site, &step, "ls /var/cache/thing; echo kept > /var/cache/thing/file", "");
    step = (struct sb_step){0};
    sb_strings_add(&step.caches, "/var/cache/thing");
    says(site, &step, "cat /var/cache/thing/file", "kept\n");
    says(site, NULL, "ls -A /var/cache/thing | wc -l", "0\n");
    step = (struct sb_step){.own = &(struct sb_run){.user = "app"}};
    sb_strings_add(&step.caches, "/home/app/.cache/pip");
    says(site, &step, "cd ~/.cache/pip; touch a; stat -c %u a .", "1000\n1000\n");
    step = (struct sb_step){0};
    sb_strings_add(&step.caches, "/proc/x");
    CHECK_INT(test_run_step(site, &step, "true"), -1);
}

static int count_entries(const char *directory) {
    sb_autobuf struct sb_buf out = {0};
    const char *const argv[] = {"find", directory, "-mindepth", "1", NULL};
    sb_process_capture(argv, NULL, 1u << 20, &out, NULL, NULL);
    int lines = 0;
    for (size_t i = 0; i < out.len; i++)
        lines += out.data[i] == '\n';
    return lines;
}

/* Several steps at once, each in a root of its own: the network of one is not the other's, and one
 * cache is used by one at a time. */
struct parallel {
    struct test_site site;
    bool good;
};

static void *run_parallel(void *data) {
    struct parallel *one = data;
    for (int i = 0; i < 4; i++) {
        struct sb_step step = {0};
        sb_strings_add(&step.caches, "/cache");
        one->good = test_run_step(&one->site, &step,
                                  "test ! -e /cache/busy; touch /cache/busy; sleep 0.05\n"
                                  "rm /cache/busy; echo done") == 0 &&
                    !strcmp(sb_buf_text(&one->site.output), "done\n");
        if (!one->good) {
            printf("%s\n%s", one->site.err.message, sb_buf_text(&one->site.output));
            break;
        }
    }
    return NULL;
}

static void test_parallel(struct test_site *site) {
    struct parallel all[3];
    pthread_t threads[3];
    for (int i = 0; i < 3; i++) {
        all[i].site = *site;
        all[i].site.output = (struct sb_buf){0};
        all[i].site.log = (struct sb_step_log){
            .fd = -1, .path = "log", .line = test_output, .data = &all[i].site.output};
        CHECK(test_site_mount(&all[i].site));
        CHECK_INT(pthread_create(&threads[i], NULL, run_parallel, &all[i]), 0);
    }
    for (int i = 0; i < 3; i++) {
        pthread_join(threads[i], NULL);
        CHECK(all[i].good);
        sb_root_free(all[i].site.root);
        sb_buf_free(&all[i].site.output);
        sb_buf_free(&all[i].site.log.tail);
    }
}

/* Root and user alike: all of the above wrote nothing but what a step wrote itself. */
static void test_no_trace(struct test_site *site) {
    says(site, NULL, "rm -f /tmp/*; rmdir /none 2>/dev/null || true", "");
    CHECK_INT(sb_root_unmount(site->root, &site->err), 0);
    CHECK_INT(count_entries(sb_root_upper(site->root)), 0);
    sb_root_free(site->root);
    site->root = NULL;
    CHECK(test_site_mount(site));
    struct sb_step step = {0};
    sb_strings_add(&step.caches, "/opt/cache");
    says(site, &step, "echo data > /opt/cache/x; mkdir /made; echo 1 > /made/file", "");
    CHECK_INT(sb_root_unmount(site->root, &site->err), 0);
    CHECK_INT(count_entries(sb_root_upper(site->root)), 2);
}

static void test_runtimes(struct test_site *site) {
    static const char *const names[] = {"crun", "runc"};
    for (int i = 0; i < 2; i++) {
        sb_autofree char *path = sb_process_find(names[i]);
        if (!path)
            continue;
        site->settings.runtime = path;
        says(site, NULL, "echo hello; id -u", "hello\n0\n");
        site->settings.runtime = NULL;
    }
    site->settings.runtime = "/nonexistent/runtime";
    CHECK_INT(test_run(site, "true"), -1);
    CHECK_INT(site->err.code, SB_E_NOT_FOUND);
    /* One that fails by itself is no failure of the step. */
    sb_autofree char *broken = sb_format("%s/crun", site->directory);
    test_write(site->directory, "crun",
               "#!/bin/sh\nfor a; do case $a in --log=file:*) "
               "echo '{\"level\":\"error\",\"msg\":\"no luck\"}' > ${a#--log=file:};; esac; "
               "done\nexit 1\n",
               0755);
    site->settings.runtime = broken;
    CHECK_INT(test_run(site, "true"), -1);
    CHECK_INT(site->err.code, SB_E_FAILED);
    CHECK(strstr(site->err.message, "no luck"));
    site->settings.runtime = NULL;
    /* Found by trying: the broken one comes first in PATH, and the other one steps in. */
    sb_autofree char *runc = sb_process_find("runc");
    if (runc) {
        sb_autofree char *memory = sb_format("%s/store/sbuild/runtime.json", site->directory);
        unlink(memory);
        sb_autofree char *old = sb_strdup(getenv("PATH"));
        sb_autofree char *path = sb_format("%s:%s", site->directory, old);
        setenv("PATH", path, 1);
        says(site, NULL, "echo worked", "worked\n");
        sb_autobuf struct sb_buf text = {0};
        CHECK_INT(sb_file_read(AT_FDCWD, memory, 4096, &text, NULL), 0);
        CHECK(strstr(sb_buf_text(&text), "/runc"));
        setenv("PATH", old, 1);
    }
}

static void test_host_program(struct test_site *site) {
    const char *const argv[] = {"sh", "-c", "[ $$ -lt 9 ] && echo few; echo err >&2; exit 4", NULL};
    struct sb_host_program program = {.argv = argv};
    sb_buf_reset(&site->output);
    CHECK_INT(sb_host_program(&program, &site->log, &site->err), -1);
    CHECK_INT(site->err.code, SB_E_STEP);
    CHECK(strstr(site->err.message, "ended with status 4"));
    CHECK_STR(sb_buf_text(&site->output), "few\nerr\n"); /* a PID namespace of its own */
    const char *const missing[] = {"no-such-program", NULL};
    program.argv = missing;
    CHECK_INT(sb_host_program(&program, &site->log, &site->err), -1);
    CHECK_INT(site->err.code, SB_E_NOT_FOUND);
}

/* `container --layer` prints what a script makes of a layer: the same for everyone. */
static int print_layer(struct test_site *site) {
    static const char script[] =
        "umask 022; mkdir -p /data/deep; echo one > /data/one; chown 1000:1001 /data/one\n"
        "chmod 4755 /data/one; mknod /data/pipe p; rm /etc/group; echo more >> /etc/passwd\n"
        "rm -rf /gone; mkdir /gone; echo new > /gone/new; mv /moved /data/; mkdir -p /run; touch "
        "/run/x\n"
        "rm -rf /etc/hosts /proc 2>/dev/null || true; chmod 700 /data/deep; rm -rf /opt\n";
    test_mkdir(site->tree, "gone/old");
    test_mkdir(site->tree, "moved/below");
    test_mkdir(site->tree, "opt");
    struct sb_pack_options options = {0};
    struct sb_parts parts = {0};
    if (!test_site_mount(site) || test_run(site, script) < 0 ||
        sb_root_unmount(site->root, &site->err) < 0 ||
        sb_tree_clamp(sb_root_upper(site->root), 1700000000, &site->err) < 0 ||
        sb_layer_pack_root(site->store, site->root, 1700000000, &options, &parts, &site->err) < 0) {
        printf("%s %s\n%s", site->err.message, site->err.hint, sb_buf_text(&site->output));
        return 1;
    }
    printf("%s\n", sb_digest_text(&parts.v[0].diff_id).text);
    sb_parts_free(&parts);
    return 0;
}

int main(int argc, char **argv) {
    TEST_ROOTFS_MAIN(argc, argv)
    struct test_site site;
    struct sb_error err = {0};
    sb_autofree char *runc = sb_process_find("runc");
    sb_autofree char *crun = sb_process_find("crun");
    if (!runc && !crun)
        return TEST_SKIP("no OCI runtime"), test_done();
    sb_interrupt_install();
    if (sb_userns_enter(&err) < 0)
        return TEST_SKIP(err.message), test_done();
    if (argc > 1 && !strcmp(argv[1], "--layer")) {
        int status = test_site_open(&site) ? print_layer(&site) : 1;
        test_site_close(&site);
        return status;
    }
    if (!test_site_open(&site) || !test_site_mount(&site)) {
        test_site_close(&site);
        return TEST_SKIP("no busybox, or no overlay"), test_done();
    }
    test_surroundings(&site);
    test_environment(&site);
    test_users(&site);
    test_endings(&site);
    test_long_script(&site);
    test_network(&site);
    test_secrets(&site);
    test_caches(&site);
    test_host_program(&site);
    test_runtimes(&site);
    test_parallel(&site);
    test_no_trace(&site);
    test_site_close(&site);
    return test_done();
}
