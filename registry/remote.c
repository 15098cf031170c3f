#include "registry/remote.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/text.h"
#include "registry/remote_private.h"

enum {
    LONGEST_PAUSE_MS = 8000,
    LONGEST_PATIENCE = 7 * 86400,
    FEW_ATTEMPTS = 6, /* at what can be done without */
};

struct sb_known {
    char *name;
    unsigned traits;
};

/* Tests make pauses and chunks smaller by the environment; nobody else needs to. */
static uint64_t number_from_environment(const char *name, uint64_t fallback) {
    const char *value = getenv(name);
    char *end;
    unsigned long long number = value && *value ? strtoull(value, &end, 10) : 0;
    return value && *value && !*end && number <= 1u << 30 ? number : fallback;
}

static uint64_t patience_of(const struct sb_registry_options *options) {
    const char *value = getenv("SBUILD_PATIENCE");
    uint64_t seconds;
    if (!value || !sb_text_parse_duration(value, &seconds))
        seconds = options->patience > 0   ? (uint64_t)options->patience
                  : options->patience < 0 ? 0
                                          : SB_REGISTRY_PATIENCE;
    return seconds < LONGEST_PATIENCE ? seconds : LONGEST_PATIENCE;
}

static struct sb_retry_policy policy_of(const struct sb_registry_options *options) {
    return (struct sb_retry_policy){
        .patience = patience_of(options) * 1000,
        .base = number_from_environment("SBUILD_RETRY_BASE_MS", 100),
        .limit = LONGEST_PAUSE_MS,
    };
}

struct sb_registry *sb_registry_new(const struct sb_registry_options *options) {
    struct sb_registry *registry = sb_alloc(sizeof *registry);
    registry->options = *options;
    if (registry->options.http.stall_seconds == 0)
        registry->options.http.stall_seconds =
            (int)number_from_environment("SBUILD_STALL_SECONDS", 0);
    registry->retry = policy_of(options);
    registry->chunk = number_from_environment("SBUILD_UPLOAD_CHUNK", SB_UPLOAD_CHUNK);
    registry->http = sb_http_new(&registry->options.http);
    sb_retry_watch_init(&registry->watch);
    pthread_mutex_init(&registry->lock, NULL);
    pthread_cond_init(&registry->unclaimed, NULL);
    return registry;
}

void sb_registry_prepare(struct sb_registry *registry) {
    sb_http_prepare(registry->http);
}

void sb_registry_free(struct sb_registry *registry) {
    if (!registry)
        return;
    sb_http_free(registry->http);
    for (size_t i = 0; i < registry->known_count; i++)
        free(registry->known[i].name);
    free(registry->known);
    sb_strings_free(&registry->claims);
    sb_retry_watch_free(&registry->watch);
    pthread_cond_destroy(&registry->unclaimed);
    pthread_mutex_destroy(&registry->lock);
    free(registry);
}

struct sb_http *sb_registry_http(struct sb_registry *registry) {
    return registry->http;
}

void sb_registry_traffic(struct sb_registry *registry, uint64_t *out_sent, uint64_t *out_received) {
    pthread_mutex_lock(&registry->lock);
    *out_sent = registry->sent;
    *out_received = registry->received;
    pthread_mutex_unlock(&registry->lock);
}

void sb_registry_tell(struct sb_registry *registry, sb_registry_notify *notify, void *data) {
    sb_retry_watch_set(&registry->watch, notify, data);
}

static struct sb_known *find_known(struct sb_registry *registry, const char *name) {
    for (size_t i = 0; i < registry->known_count; i++)
        if (!strcmp(registry->known[i].name, name))
            return &registry->known[i];
    return NULL;
}

bool sb_registry_has_trait(struct sb_registry *registry, const char *name, enum sb_trait trait) {
    pthread_mutex_lock(&registry->lock);
    const struct sb_known *known = find_known(registry, name);
    bool has = known && (known->traits & trait);
    pthread_mutex_unlock(&registry->lock);
    return has;
}

void sb_registry_add_trait(struct sb_registry *registry, const char *name, enum sb_trait trait) {
    pthread_mutex_lock(&registry->lock);
    struct sb_known *known = find_known(registry, name);
    if (!known) {
        SB_GROW(registry->known, registry->known_count, registry->known_cap);
        known = &registry->known[registry->known_count++];
        *known = (struct sb_known){.name = sb_strdup(name)};
    }
    known->traits |= trait;
    pthread_mutex_unlock(&registry->lock);
}

/* ---- a repository ---- */

struct sb_remote *sb_remote_open(struct sb_registry *registry, const char *host,
                                 const char *repository) {
    struct sb_remote *remote = sb_alloc(sizeof *remote);
    remote->registry = registry;
    remote->host = sb_strdup(host);
    remote->repository = sb_strdup(repository);
    remote->scope_pull = sb_format("repository:%s:pull", repository);
    remote->scope_push = sb_format("repository:%s:pull,push", repository);
    remote->scope_delete = sb_format("repository:%s:delete", repository);
    return remote;
}

void sb_remote_free(struct sb_remote *remote) {
    if (!remote)
        return;
    free(remote->host);
    free(remote->repository);
    free(remote->scope_pull);
    free(remote->scope_push);
    free(remote->scope_delete);
    free(remote);
}

const char *sb_remote_host(const struct sb_remote *remote) {
    return remote->host;
}
const char *sb_remote_repository(const struct sb_remote *remote) {
    return remote->repository;
}
struct sb_registry *sb_remote_registry(const struct sb_remote *remote) {
    return remote->registry;
}

void sb_remote_will_push(struct sb_remote *remote) {
    atomic_store(&remote->push, true);
}

void sb_remote_set_cancel(struct sb_remote *remote, const struct sb_cancel *cancel) {
    remote->cancel = cancel;
}

void sb_remote_set_attempts(struct sb_remote *remote, int attempts) {
    remote->attempts = attempts;
}

/* ---- requests ---- */

struct sb_http_request sb_remote_request(struct sb_remote *remote, const char *method,
                                         const char *target) {
    bool push = atomic_load(&remote->push);
    return (struct sb_http_request){
        .method = method,
        .host = remote->host,
        .target = target,
        .scope = push ? remote->scope_push : remote->scope_pull,
        .body_fd = -1,
        .cancel = remote->cancel,
    };
}

struct sb_retry sb_registry_retry(struct sb_registry *registry, const char *host) {
    static const struct sb_registry_options none;
    return (struct sb_retry){.policy = registry ? registry->retry : policy_of(&none),
                             .watch = registry ? &registry->watch : NULL,
                             .host = host};
}

struct sb_retry sb_remote_retry(const struct sb_remote *remote) {
    struct sb_retry retry = sb_registry_retry(remote->registry, remote->host);
    retry.cancel = remote->cancel;
    if (remote->attempts)
        retry.policy.attempts = atomic_load(&remote->answered) ? FEW_ATTEMPTS : remote->attempts;
    return retry;
}

int sb_remote_once(struct sb_remote *remote, const struct sb_http_request *request,
                   struct sb_http_response *response, struct sb_error *err) {
    *response = (struct sb_http_response){0};
    int result = sb_http_perform(remote->registry->http, request, response, err);
    if (result == 0)
        atomic_store(&remote->answered, true);
    if (result == 0 && !sb_retry_worth(0, response, NULL))
        sb_retry_answered(
            &(struct sb_retry){.watch = &remote->registry->watch, .host = remote->host});
    pthread_mutex_lock(&remote->registry->lock);
    remote->registry->sent += response->sent;
    remote->registry->received += response->received;
    pthread_mutex_unlock(&remote->registry->lock);
    return result;
}

int sb_remote_pause(const struct sb_remote *remote, uint64_t ms, struct sb_error *err) {
    return sb_retry_pause(remote->cancel, ms, err);
}

int sb_remote_context(const struct sb_remote *remote, const char *what, struct sb_error *err) {
    return sb_error_context(err, "registry %s: repository %s: %s", remote->host, remote->repository,
                            what);
}

int sb_remote_perform(struct sb_remote *remote, const struct sb_http_request *request,
                      const char *what, struct sb_http_response *response, struct sb_error *err) {
    struct sb_retry retry = sb_remote_retry(remote);
    for (;;) {
        struct sb_error failure = {0};
        int result = sb_remote_once(remote, request, response, &failure);
        int again = sb_retry_again(&retry, result, response, &failure);
        if (again == 0 && result == 0)
            return 0;
        if (again <= 0) {
            if (err)
                *err = failure;
            if (again == 0)
                sb_retry_context(&retry, err);
            return sb_remote_context(remote, what, err);
        }
        sb_http_response_free(response);
    }
}

/* ---- where to read from ---- */

/* "https://mirror.example.com/prefix" is asked for "/v2/prefix/team/app/…": mirrors with a path are
 * repositories that hold others (Harbor's proxy projects, ECR's pull-through rules). */
static bool add_mirror(const struct sb_remote *remote, const char *mirror,
                       struct sb_remote_sources *out) {
    const char *scheme = strstr(mirror, "://");
    if (!scheme)
        return false;
    const char *host = scheme + 3;
    size_t host_len = strcspn(host, "/"), prefix_len = strlen(host + host_len);
    const char *prefix = host + host_len;
    while (prefix_len && prefix[prefix_len - 1] == '/')
        prefix_len--;
    SB_GROW(out->v, out->n, out->cap);
    struct sb_remote_source *source = &out->v[out->n++];
    *source = (struct sb_remote_source){.mirror = mirror, .host = sb_strndup(host, host_len)};
    sb_autofree char *repository =
        prefix_len ? sb_format("%.*s/%s", (int)prefix_len - 1, prefix + 1, remote->repository)
                   : sb_strdup(remote->repository);
    source->base =
        sb_format("%.*s/v2/%s", (int)(host - mirror + (long)host_len), mirror, repository);
    source->scope = sb_format("repository:%s:pull", repository);
    return true;
}

void sb_remote_sources(struct sb_remote *remote, bool mirrors, struct sb_remote_sources *out) {
    const struct sb_registry_hosts *hosts = remote->registry->options.http.hosts;
    const struct sb_registry_host *host =
        hosts ? sb_registry_hosts_find(hosts, remote->host) : NULL;
    bool may = mirrors && host && !atomic_load(&remote->push);
    for (size_t i = 0; may && i < host->mirrors.n; i++)
        if (!sb_registry_has_trait(remote->registry, host->mirrors.v[i], SB_TRAIT_LIED))
            add_mirror(remote, host->mirrors.v[i], out);
    SB_GROW(out->v, out->n, out->cap);
    out->v[out->n++] = (struct sb_remote_source){
        .base = sb_format("/v2/%s", remote->repository),
        .host = sb_strdup(remote->host),
    };
}

void sb_remote_sources_free(struct sb_remote_sources *sources) {
    for (size_t i = 0; i < sources->n; i++) {
        free(sources->v[i].base);
        free(sources->v[i].host);
        free(sources->v[i].scope);
    }
    free(sources->v);
    *sources = (struct sb_remote_sources){0};
}

struct sb_http_request sb_remote_source_request(struct sb_remote *remote,
                                                const struct sb_remote_source *source,
                                                const char *target) {
    struct sb_http_request request = sb_remote_request(remote, "GET", target);
    request.host = source->host;
    if (source->scope)
        request.scope = source->scope;
    return request;
}

/* How the attempts of a round ended, for the error and the pause. */
struct outcome {
    const struct sb_remote_source *source; /* NULL: there was none */
    int result;
    struct sb_http_response response;
    struct sb_error err;
};

static void outcome_free(struct outcome *outcome) {
    sb_http_response_free(&outcome->response);
    outcome->source = NULL;
}
#define sb_autooutcome __attribute__((cleanup(outcome_free), unused))

static void keep(struct outcome *to, struct outcome *from) {
    outcome_free(to);
    *to = *from;
    *from = (struct outcome){0};
}

static int fail_sources(const struct sb_remote *remote, const struct outcome *last,
                        const struct sb_retry *retry, const char *kind, const char *name,
                        struct sb_error *err) {
    const char *mirror = last->source && last->source->mirror ? last->source->host : NULL;
    sb_autofree char *what =
        sb_format("GET %s %s%s%s", kind, name, mirror ? " from mirror " : "", mirror ? mirror : "");
    if (last->result > 0)
        return sb_remote_refused(remote, &last->response, what, err);
    if (err)
        *err = last->err;
    if (last->err.code == SB_E_NETWORK)
        sb_retry_context(retry, err);
    return sb_remote_context(remote, what, err);
}

/* One round. 0: done; 1: another may help, as *hopeful had it; -1: none would. *last is what there
 * is to say, the registry's own word if it was asked. */
static int try_round(struct sb_remote_sources *sources, sb_remote_source_attempt *attempt,
                     void *data, struct sb_retry *retry, struct outcome *hopeful,
                     struct outcome *last) {
    outcome_free(hopeful);
    for (size_t i = 0; i < sources->n; i++) {
        struct sb_remote_source *source = &sources->v[i];
        sb_autooutcome struct outcome its = {.source = source};
        if (source->hopeless)
            continue;
        its.result = attempt(data, source, retry, &its.response, &its.err);
        if (its.result == 0)
            return 0;
        bool hope =
            its.result > -2 && sb_retry_worth(its.result > 0 ? 0 : -1, &its.response, &its.err);
        bool final = its.result == -2 || its.err.code == SB_E_INTERRUPTED ||
                     (!hope && !source->mirror && its.result > 0);
        source->hopeless = !hope;
        keep(hope ? hopeful : last, &its);
        if (final) {
            outcome_free(hopeful);
            return -1;
        }
    }
    return hopeful->source ? 1 : -1;
}

int sb_remote_sources_try(struct sb_remote *remote, struct sb_remote_sources *sources,
                          const char *kind, const char *name, sb_remote_source_attempt *attempt,
                          void *data, struct sb_error *err) {
    struct sb_retry retry = sb_remote_retry(remote);
    sb_autooutcome struct outcome hopeful = {0}, last = {0};
    for (;;) {
        int rc = try_round(sources, attempt, data, &retry, &hopeful, &last);
        if (rc == 0)
            return 0;
        struct outcome *end = rc > 0 ? &hopeful : &last;
        int again =
            rc > 0 ? sb_retry_again(&retry, end->result > 0 ? 0 : -1, &end->response, &end->err)
                   : 0;
        if (again > 0)
            continue;
        if (again < 0)
            end->result = -1;
        return fail_sources(remote, end, &retry, kind, name, err);
    }
}
