#include "registry/http_program.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/channel.h"
#include "base/file.h"
#include "base/json.h"
#include "base/memory.h"
#include "base/process.h"

struct sb_http_program {
    pid_t pid;
    int control;
    atomic_int holders;
    atomic_bool lost;
    pthread_mutex_t mutex; /* guards free_channels */
    struct sb_http_channel *free_channels;
};

/* Beside this program, as in a build directory, or where it is installed. */
static char *find_program(void) {
    const char *given = getenv("SBUILD_HTTP"); /* for tests */
    if (given && *given)
        return sb_strdup(given);
    struct sb_error ignored = {0};
    sb_autofree char *self = sb_process_program(&ignored);
    char *beside = sb_path_beside(self ? self : "", "sbuild-http");
    if (access(beside, X_OK) == 0)
        return beside;
    free(beside);
    return sb_path_beside(self ? self : "", "../libexec/sbuild/sbuild-http");
}

static void set_path(json_t *object, const char *key, const char *path) {
    char *whole = path ? realpath(path, NULL) : NULL;
    if (path)
        json_object_set_new(object, key, json_string(whole ? whole : path));
    free(whole);
}

static void settings_text(const struct sb_http_options *options, struct sb_buf *out) {
    sb_autojson json_t *value = json_pack("{s:s, s:i, s:[]}", "version", SB_VERSION, "stall",
                                          options->stall_seconds, "hosts");
    json_t *hosts = json_object_get(value, "hosts");
    for (size_t i = 0; options->hosts && i < options->hosts->n; i++) {
        const struct sb_registry_host *host = &options->hosts->v[i];
        /* One that says nothing of TLS must not keep a loopback host from being tried without it.
         */
        if (!host->plain_http && !host->skip_verify && !host->ca && !host->client_cert)
            continue;
        json_t *entry = json_pack("{s:s, s:b, s:b}", "host", host->host, "plain_http",
                                  host->plain_http, "skip_verify", host->skip_verify);
        set_path(entry, "ca", host->ca);
        set_path(entry, "client_cert", host->client_cert);
        set_path(entry, "client_key", host->client_key);
        json_array_append_new(hosts, entry);
    }
    sb_json_write(value, out);
}

static int configure(int control, const struct sb_http_options *options, struct sb_error *err) {
    sb_autobuf struct sb_buf text = {0};
    settings_text(options, &text);
    return sb_channel_send(control, 'C', text.data, text.len, -1, err);
}

void sb_http_program_command(const struct sb_http_options *options, const char *mode,
                             const char *host, struct sb_strings *out_argv) {
    sb_autobuf struct sb_buf settings = {0};
    settings_text(options, &settings);
    sb_strings_take(out_argv, find_program());
    sb_strings_add(out_argv, mode);
    sb_strings_add(out_argv, host);
    sb_strings_add(out_argv, "--settings");
    sb_strings_add(out_argv, settings.data);
}

struct sb_http_program *sb_http_program_start(const struct sb_http_options *options,
                                              struct sb_error *err) {
    sb_autofree char *path = find_program();
    int ends[2];
    if (sb_channel_pair(ends, err) < 0)
        return NULL;
    sb_autoclose int theirs = ends[1];
    sb_autoclose int control = ends[0];
    const char *const argv[] = {path, NULL};
    struct sb_process_options process = {
        .argv = argv, .in = theirs, .out = -1, .err = STDERR_FILENO, .survives = true};
    pid_t pid = sb_process_start(&process, err);
    if (pid < 0) {
        sb_error_hint(err, "sbuild-http belongs to sbuild, and lies beside it or in "
                           "../libexec/sbuild; install both");
        return NULL;
    }
    struct sb_http_program *program = sb_alloc(sizeof *program);
    program->pid = pid;
    program->control = sb_steal_fd(&control);
    program->holders = 1;
    pthread_mutex_init(&program->mutex, NULL);
    if (configure(program->control, options, err) < 0) {
        sb_http_program_drop(program);
        return NULL;
    }
    return program;
}

void sb_http_program_hold(struct sb_http_program *program) {
    atomic_fetch_add(&program->holders, 1);
}

static void free_channel(struct sb_http_channel *channel) {
    close(channel->fd);
    sb_buf_free(&channel->message);
    free(channel);
}

void sb_http_program_drop(struct sb_http_program *program) {
    if (!program || atomic_fetch_sub(&program->holders, 1) > 1)
        return;
    while (program->free_channels) {
        struct sb_http_channel *channel = program->free_channels;
        program->free_channels = channel->next;
        free_channel(channel);
    }
    close(program->control); /* it ends then */
    sb_process_wait(program->pid, NULL);
    pthread_mutex_destroy(&program->mutex);
    free(program);
}

bool sb_http_program_is_lost(struct sb_http_program *program) {
    struct pollfd control = {.fd = program->control};
    return atomic_load(&program->lost) || poll(&control, 1, 0) > 0;
}

int sb_http_program_lost(struct sb_http_program *program, struct sb_error *err) {
    atomic_store(&program->lost, true);
    if (sb_interrupt_check(err) < 0)
        return -1;
    sb_fail(err, SB_E_NETWORK, "sbuild-http ended in the middle of a request");
    return sb_error_reason(err, SB_REASON_PASSING);
}

struct sb_http_channel *sb_http_channel_take(struct sb_http_program *program,
                                             struct sb_error *err) {
    pthread_mutex_lock(&program->mutex);
    struct sb_http_channel *channel = program->free_channels;
    if (channel)
        program->free_channels = channel->next;
    pthread_mutex_unlock(&program->mutex);
    if (channel)
        return channel;
    int ends[2];
    if (sb_channel_pair(ends, err) < 0)
        return NULL;
    if (sb_channel_send(program->control, 'N', NULL, 0, ends[1], err) < 0) {
        close(ends[0]);
        close(ends[1]);
        sb_http_program_lost(program, err);
        return NULL;
    }
    close(ends[1]);
    channel = sb_alloc(sizeof *channel);
    channel->fd = ends[0];
    return channel;
}

void sb_http_channel_give_back(struct sb_http_program *program, struct sb_http_channel *channel,
                               bool kept) {
    if (!kept) {
        free_channel(channel);
        return;
    }
    pthread_mutex_lock(&program->mutex);
    channel->next = program->free_channels;
    program->free_channels = channel;
    pthread_mutex_unlock(&program->mutex);
}
