#include "builder/test_service.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "base/loopback.h"
#include "base/memory.h"
#include "base/text.h"
#include "base/thread.h"
#include "builder/cache.h"
#include "document/environment.h"
#include "document/image_config.h"
#include "steps/failure.h"
#include "steps/program.h"

/* As on a node, where nothing else is said (docs/recipe.md); but that a test doesn't wait longer
 * for its end, of which nothing depends. */
enum { TIMEOUT = 60, ANSWER = 30, STOP = 5, STEADY = 10, NAP = 100 /* milliseconds */ };

static bool is_job(const struct sb_service *s) {
    return s->type && (!strcmp(s->type, "job") || !strcmp(s->type, "oneshot"));
}

/* ---- what it depends on ---- */

static const struct sb_secret *find_secret(const struct sb_secrets *secrets, const char *name) {
    for (size_t i = 0; secrets && i < secrets->n; i++)
        if (!strcmp(secrets->v[i].name, name))
            return &secrets->v[i];
    return NULL;
}

static int fail_secret(const struct sb_recipe *recipe, const char *name, struct sb_error *err) {
    sb_fail(err, SB_E_USAGE, "%s: the secret %s was not given, which the service to test needs",
            recipe->path, name);
    return sb_error_hint(err, "add --secret id=%s,src=FILE or --secret id=%s,env=VARIABLE", name,
                         name);
}

static void set_text(json_t *object, const char *key, const char *value) {
    if (value)
        json_object_set_new(object, key, sb_json_from_bytes(value));
}

static int environment(const struct sb_recipe *recipe, const struct sb_image *image,
                       struct sb_pairs *out, struct sb_error *err) {
    if (sb_image_environment(image, recipe, NULL, out, err) < 0)
        return -1;
    return sb_environment_add(out, &recipe->service.env, &recipe->args, NULL, recipe->path, err);
}

int sb_test_service_json(const struct sb_layer_site *site, json_t **out, struct sb_error *err) {
    const struct sb_service *s = &site->recipe->service;
    struct sb_pairs env = {0};
    json_t *json = *out =
        json_pack("{s:s, s:I, s:I, s:I, s:I}", "kind", "service", "port", (json_int_t)s->port,
                  "tcp", (json_int_t)s->health_tcp, "timeout", (json_int_t)s->health_timeout,
                  "answer", (json_int_t)s->health_answer);
    json_t *variables = json_object(), *secrets = json_object();
    set_text(json, "type", s->type);
    set_text(json, "http", s->health_http);
    set_text(json, "host", s->health_host);
    set_text(json, "command", s->health_command);
    set_text(json, "state", s->state);
    set_text(json, "cache", s->cache);
    set_text(json, "logs", s->logs);
    json_object_set_new(json, "env", variables);
    json_object_set_new(json, "secrets", secrets);
    int failed = environment(site->recipe, site->below, &env, err);
    for (size_t i = 0; i < env.n && !failed; i++)
        set_text(variables, env.v[i].name, env.v[i].value);
    sb_pairs_free(&env);
    for (size_t i = 0; i < s->secrets.n && !failed; i++) {
        const struct sb_secret *secret = find_secret(site->secrets, s->secrets.v[i]);
        struct sb_digest digest;
        failed =
            !secret ? fail_secret(site->recipe, s->secrets.v[i], err)
                    : sb_cache_secret_digest(site->store, secret->value, secret->len, &digest, err);
        if (!failed)
            set_text(secrets, s->secrets.v[i], sb_digest_text(&digest).text);
    }
    return failed;
}

/* ---- asking ---- */

struct asking {
    const struct sb_service *service;
    bool by_root;  /* is who runs it */
    char *network; /* the file that is its network namespace */
    int stop;      /* an eventfd: it has been seen enough */
    int ready;     /* likewise: the namespace is there, or can't be */
    atomic_bool ended, healthy, late;
    struct sb_error none; /* why there is no namespace; set before ready */
    struct sb_error err;  /* what was wrong at last; the thread's while it runs */
    pthread_t thread;
};

/* Where root is in a user namespace of its own, that network is none of this namespace's: there
 * its capability is worth nothing. Others have to keep away from low ports, as on a node. Where
 * this can't be said, it finds out itself. */
static void open_low_ports(void) {
    sb_autoclose int fd =
        open("/proc/sys/net/ipv4/ip_unprivileged_port_start", O_WRONLY | O_CLOEXEC);
    ssize_t ignored = fd < 0 ? 0 : write(fd, "0", 1);
    (void)ignored;
}

static int make_network(struct asking *a, struct sb_error *err) {
    struct ifreq lo = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
    sb_autoclose int file = open(a->network, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (file < 0 || unshare(CLONE_NEWNET) < 0)
        return sb_fail_errno(err, SB_E_FAILED, "making a network namespace");
    sb_autoclose int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &lo) < 0 ||
        mount("/proc/thread-self/ns/net", a->network, NULL, MS_BIND, NULL) < 0)
        return sb_fail_errno(err, SB_E_FAILED, "making a network namespace");
    if (a->by_root)
        open_low_ports();
    return 0;
}

static int ask(const struct asking *a, double left, struct sb_error *err) {
    const struct sb_service *s = a->service;
    double most = s->health_answer ? (double)s->health_answer : ANSWER;
    int status;
    if (s->health_tcp)
        return sb_loopback_accepts((uint16_t)s->health_tcp, left < most ? left : most)
                   ? 0
                   : sb_fail(err, SB_E_STEP, "nothing listens on port %d", (int)s->health_tcp);
    const struct sb_loopback_get get = {.port = (uint16_t)s->port,
                                        .path = s->health_http,
                                        .host = s->health_host,
                                        .seconds = left < most ? left : most};
    if (sb_loopback_get(&get, &status, err) < 0)
        return sb_error_context(err, "http://127.0.0.1:%d%.500s", (int)s->port, s->health_http);
    return status >= 200 && status < 400
               ? 0
               : sb_fail(err, SB_E_STEP, "http://127.0.0.1:%d%.500s answers %d", (int)s->port,
                         s->health_http, status);
}

static void signal_event(int fd) {
    const uint64_t one = 1;
    ssize_t ignored = write(fd, &one, sizeof one);
    (void)ignored;
}

static double time_allowed(const struct sb_service *s) {
    bool watched = s->health_http || s->health_tcp || s->health_command || is_job(s);
    if (!watched)
        return s->has_steady ? (double)s->health_steady : STEADY;
    if (is_job(s) && s->start_timeout)
        return (double)s->start_timeout;
    return s->health_timeout ? (double)s->health_timeout : TIMEOUT;
}

/* What runs to its end, or asks itself, is only given its time. */
static void *ask_thread(void *data) {
    struct asking *a = data;
    const struct sb_service *s = a->service;
    bool asks = s->health_http || s->health_tcp, waits = s->health_command || is_job(s);
    int failed = make_network(a, &a->none);
    signal_event(a->ready);
    double until = sb_clock_seconds() + time_allowed(s);
    while (!failed && !atomic_load(&a->ended)) {
        double left = until - sb_clock_seconds();
        struct sb_error err = {0};
        if (left <= 0) {
            bool stays = !asks && !waits;
            atomic_store(stays ? &a->healthy : &a->late, true);
            break;
        }
        if (asks && ask(a, left, &err) == 0) {
            atomic_store(&a->healthy, true);
            break;
        }
        if (asks)
            a->err = err;
        poll(NULL, 0, NAP);
    }
    signal_event(a->stop);
    return NULL;
}

static void free_asking(struct asking *a) {
    umount2(a->network, MNT_DETACH | UMOUNT_NOFOLLOW);
    unlink(a->network);
    free(a->network);
    sb_close_descriptor(&a->stop);
    sb_close_descriptor(&a->ready);
}

static int start_asking(struct asking *a, const struct sb_recipe *recipe, bool by_root,
                        struct sb_store *store, struct sb_error *err) {
    static atomic_uint count;
    *a = (struct asking){.service = &recipe->service,
                         .by_root = by_root,
                         .network = sb_format("%s/network-%u", sb_store_tmp_path(store),
                                              atomic_fetch_add(&count, 1)),
                         .stop = eventfd(0, EFD_CLOEXEC),
                         .ready = eventfd(0, EFD_CLOEXEC)};
    uint64_t value;
    if (a->stop < 0 || a->ready < 0 || sb_thread_start(&a->thread, ask_thread, a) != 0) {
        free_asking(a);
        return sb_fail(err, SB_E_FAILED, "no thread could be started");
    }
    if (read(a->ready, &value, sizeof value) < 0 || a->none.code) {
        pthread_join(a->thread, NULL);
        *err = a->none;
        free_asking(a);
        return -1;
    }
    return 0;
}

/* ---- the service ---- */

static const struct sb_step_kind kind = {.name = "service", .runs_programs = true};

/* A health command is run where the service is, by its own shell beside it. */
static const char beside[] =
    "command=$1\nshift\n\"$@\" &\nservice=$!\ntrap 'kill -TERM $service' TERM\n"
    "until /bin/sh -c \"$command\"; do sleep 1; done\nkill -TERM $service\nexit 0\n";

static int choose_program(const struct sb_target *target, struct sb_strings *out,
                          struct sb_error *err) {
    const json_t *config = json_object_get(target->image.config, "config");
    const char *command = target->recipe->service.health_command;
    const char *const words[] = {"/bin/sh", "-c", beside, "sh", command};
    for (size_t i = 0; command && i < sizeof words / sizeof *words; i++)
        sb_strings_add(out, words[i]);
    size_t before = out->n;
    sb_json_strings(json_object_get(config, "Entrypoint"), out);
    sb_json_strings(json_object_get(config, "Cmd"), out);
    return out->n > before
               ? 0
               : sb_fail(err, SB_E_STEP, "the image has neither entrypoint nor cmd to start");
}

/* Its directories, new and empty, whoever it is. */
static int make_directories(const struct sb_service *s, const char *parent,
                            struct sb_strings *sources, struct sb_mount mounts[3], size_t *out,
                            struct sb_error *err) {
    const char *const places[] = {s->state, s->cache, s->logs};
    *out = 0;
    for (size_t i = 0; i < 3; i++) {
        if (!places[i])
            continue;
        sb_strings_addf(sources, "%s/%zu", parent, i);
        const char *path = sources->v[sources->n - 1];
        if (mkdir(path, 0700) < 0 || chmod(path, 01777) < 0)
            return sb_fail_errno(err, SB_E_IO, "creating %s", path);
    }
    for (size_t i = 0; i < 3; i++)
        if (places[i]) {
            mounts[*out] = (struct sb_mount){sources->v[*out], places[i], false};
            ++*out;
        }
    return 0;
}

static int stop_signal(const struct sb_target *target) {
    const char *text =
        sb_json_string(json_object_get(target->image.config, "config"), "StopSignal", "SIGTERM");
    static const struct {
        const char *name;
        int number;
    } all[] = {{"INT", SIGINT},   {"QUIT", SIGQUIT}, {"HUP", SIGHUP},    {"USR1", SIGUSR1},
               {"USR2", SIGUSR2}, {"KILL", SIGKILL}, {"WINCH", SIGWINCH}};
    text += strncmp(text, "SIG", 3) ? 0 : 3;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (!strcmp(text, all[i].name))
            return all[i].number;
    int number = atoi(text);
    return number > 0 && number < NSIG ? number : SIGTERM;
}

static void set_secrets(const struct sb_service *s, struct sb_step *step, struct sb_pairs *env) {
    for (size_t i = 0; i < s->secrets.n; i++) {
        sb_strings_add(&step->secrets, s->secrets.v[i]);
        sb_strings_add(&step->secret_places, "");
        sb_strings_add(&step->secret_variables, "");
    }
    if (s->secrets.n)
        sb_pairs_set(env, "CREDENTIALS_DIRECTORY", "/run/secrets");
}

/* 0: it was well. */
static int judge(const struct asking *a, int status, struct sb_error *err) {
    const struct sb_service *s = a->service;
    if (atomic_load(&a->healthy) ||
        (!atomic_load(&a->late) && status == 0 && (is_job(s) || s->health_command)))
        return 0;
    if (!atomic_load(&a->late))
        return sb_fail(err, SB_E_STEP, "the service ended with status %d%s", status,
                       is_job(s) ? "" : " before it was healthy");
    const char *last = a->err.message[0]   ? a->err.message
                       : s->health_command ? "its health command fails"
                                           : "it has not ended";
    return sb_fail(err, SB_E_STEP, "the service was not healthy within %s: %.2000s",
                   sb_text_seconds(time_allowed(s)).text, last);
}

static int run(struct sb_target *target, struct sb_step_run_context *context, struct sb_step *step,
               struct sb_pairs *env, struct asking *asking, struct sb_error *err) {
    const struct sb_service *s = &target->recipe->service;
    const struct sb_contain_stop stop = {
        asking->stop, stop_signal(target),
        s->stop_timeout && s->stop_timeout < STOP ? (unsigned)s->stop_timeout : STOP};
    sb_autostrings struct sb_strings argv = {0}, sources = {0};
    struct sb_mount mounts[3];
    size_t mount_count;
    int status = 0;
    sb_autofree char *directory = sb_format("%s.d", asking->network);
    if (choose_program(target, &argv, err) < 0 || mkdir(directory, 0700) < 0 ||
        make_directories(s, directory, &sources, mounts, &mount_count, err) < 0)
        return err->code ? -1 : sb_fail_errno(err, SB_E_IO, "creating %s", directory);
    set_secrets(s, step, env);
    const struct sb_program program = {.argv = (const char *const *)argv.v,
                                       .name = "service",
                                       .env = env,
                                       .mounts = mounts,
                                       .mount_count = mount_count,
                                       .stop = &stop,
                                       .own_network = asking->network,
                                       .out_status = &status};
    int failed = sb_step_program(step, context, &program, err);
    atomic_store(&asking->ended, true);
    pthread_join(asking->thread, NULL);
    if (!failed && (failed = judge(asking, status, err)) < 0)
        sb_step_failure_note(step, context, &program, env, context->workdir,
                             &(struct sb_step_mounts){0});
    sb_tree_remove(AT_FDCWD, directory, NULL);
    return failed;
}

int sb_test_service_run(struct sb_target *target, struct sb_step_run_context *context,
                        struct sb_error *err) {
    struct sb_step step = {.kind = &kind};
    struct sb_pairs env = {0};
    struct asking asking;
    bool by_root = !context->user || !strcmp(context->user, "root") ||
                   strspn(context->user, "0") == strcspn(context->user, ":");
    sb_pairs_add(&env, &target->env);
    if (sb_environment_add(&env, &target->recipe->service.env, &target->recipe->args, NULL,
                           target->recipe->path, err) < 0 ||
        start_asking(&asking, target->recipe, by_root, context->store, err) < 0) {
        sb_pairs_free(&env);
        return -1;
    }
    int failed = run(target, context, &step, &env, &asking, err);
    if (!atomic_exchange(&asking.ended, true))
        pthread_join(asking.thread, NULL); /* it was never started */
    free_asking(&asking);
    sb_strings_free(&step.secrets);
    sb_strings_free(&step.secret_places);
    sb_strings_free(&step.secret_variables);
    sb_pairs_free(&env);
    return failed;
}
