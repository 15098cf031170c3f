/* service: what bundles and Kubernetes manifests are made from. */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/memory.h"
#include "base/text.h"
#include "document/recipe_private.h"

#define AT(member) offsetof(struct sb_recipe, service.member)
#define DAY        86400 /* seconds */

static const char *const types[] = {"service", "notify", "simple", "job", "oneshot", NULL};
static const char *const restarts[] = {"always", "on-failure", "no", NULL};
static const char *const roots[] = {"layers", "host", NULL};
static const char *const strategies[] = {"recreate", "blue-green", NULL};

/* What runs to its end. */
static bool is_job(const struct sb_service *service) {
    return service->type && (!strcmp(service->type, "job") || !strcmp(service->type, "oneshot"));
}

/* ---- gpu: a number, which, or how many and how ---- */

static const struct sb_key gpu_keys[] = {
    {"count", SB_KEY_INTEGER, AT(gpu), .least = 1, .most = SB_GPU_LIMIT, .required = true,
     .description = "Number of GPUs that it needs."},
    {"shared", SB_KEY_BOOL, AT(gpu_shared), .fallback = "false",
     .description = "Whether other services that share theirs may have the same ones."},
    {0},
};

static void read_gpu_devices(struct sb_reader *reader, const struct sb_key *key,
                             const struct sb_yaml *node, struct sb_service *service) {
    const struct sb_key item = {
        .name = key->name, .type = SB_KEY_INTEGER, .least = 0, .most = SB_GPU_LIMIT - 1};
    if (node->count == 0)
        sb_reader_problem(reader, node, "key \"gpu\": expected at least one device, found none");
    for (size_t i = 0; i < node->count; i++) {
        int64_t device = -1;
        sb_schema_read_key(reader, &item, node->items[i], &device);
        if (device < 0)
            continue;
        if (service->gpu_devices >> device & 1)
            sb_reader_problem(reader, node->items[i], "key \"gpu\": device %d is named twice",
                              (int)device);
        service->gpu_devices |= UINT64_C(1) << device;
    }
    service->gpu = __builtin_popcountll(service->gpu_devices);
}

static void read_gpu(struct sb_reader *reader, const struct sb_key *key, const struct sb_yaml *node,
                     void *target) {
    struct sb_service *service = &((struct sb_recipe *)target)->service;
    const struct sb_key number = {
        .name = key->name, .type = SB_KEY_INTEGER, .least = 0, .most = SB_GPU_LIMIT};
    if (node->type == SB_YAML_SEQUENCE)
        read_gpu_devices(reader, key, node, service);
    else if (node->type == SB_YAML_MAPPING)
        sb_schema_read(reader, gpu_keys, key->name, node, target);
    else
        sb_schema_read_key(reader, &number, node, &service->gpu);
}

static json_t *gpu_schema(const struct sb_key *key) {
    (void)key;
    const struct sb_key number = {.type = SB_KEY_INTEGER, .least = 0, .most = SB_GPU_LIMIT};
    const struct sb_key device = {.type = SB_KEY_INTEGER, .least = 0, .most = SB_GPU_LIMIT - 1};
    return json_pack("{s:[o, {s:s, s:o, s:i}, o]}", "anyOf", sb_schema_of_key(&number), "type",
                     "array", "items", sb_schema_of_key(&device), "minItems", 1,
                     sb_schema_of_keys(gpu_keys));
}

/* ---- harden: switches that are on; offset is the bit ---- */

static void read_switch(struct sb_reader *reader, const struct sb_key *key,
                        const struct sb_yaml *node, void *target) {
    struct sb_service *service = &((struct sb_recipe *)target)->service;
    const struct sb_key value = {.name = key->name, .type = SB_KEY_BOOL};
    bool on = true;
    sb_schema_read_key(reader, &value, node, &on);
    if (!on)
        service->harden_off |= 1u << key->offset;
}

static json_t *switch_schema(const struct sb_key *key) {
    (void)key;
    return sb_schema_of_key(&(struct sb_key){.type = SB_KEY_BOOL});
}

static const struct sb_key harden_keys[] = {
#define X(bit, key, meaning)                                                                       \
    {key,                                                                                          \
     SB_KEY_CUSTOM,                                                                                \
     bit,                                                                                          \
     .read = read_switch,                                                                          \
     .schema = switch_schema,                                                                      \
     .fallback = "true",                                                                           \
     .description = meaning},
    SB_HARDEN_SWITCHES(X)
#undef X
        {0},
};

/* ---- the tables ---- */

static const struct sb_key health_keys[] = {
    {"http", SB_KEY_STRING, AT(health_http), .rule = &sb_rule_http_path,
     .description = "Path to GET on the service's port; healthy when it answers 200 to 399."},
    {"tcp", SB_KEY_INTEGER, AT(health_tcp), .least = 1, .most = 65535,
     .description = "Port to connect to; healthy when it accepts."},
    {"command", SB_KEY_STRING, AT(health_command), .not_empty = true, .literal = true,
     .description = "Command to run in the service's root; healthy when it exits with 0."},
    {"timeout", SB_KEY_DURATION, AT(health_timeout), .most = UINT32_MAX, .fallback = "60s",
     .description = "How long the service may take to become healthy."},
    {"interval", SB_KEY_DURATION, AT(health_interval), .most = UINT32_MAX, .fallback = "10s",
     .description = "How often it is asked."},
    {"answer", SB_KEY_DURATION, AT(health_answer), .most = DAY, .fallback = "30s",
     .description = "How long one answer may take, of HTTP or of the command."},
    {"steady", SB_KEY_DURATION, AT(health_steady), .given = AT(has_steady), .most = DAY,
     .fallback = "10s",
     .description = "How long it has to stay healthy before a release has succeeded."},
    {"host", SB_KEY_STRING, AT(health_host), .rule = &sb_rule_http_host, .fallback = "localhost",
     .description = "The Host that is asked for, with http."},
    {0},
};

static const struct sb_key limit_keys[] = {
    {"memory", SB_KEY_SIZE, AT(memory_limit), .description = "Memory: 8G, 512Mi."},
    {"cpu", SB_KEY_STRING, AT(cpu_limit), .rule = &sb_rule_cpu,
     .description = "Processors: 2, 1.5."},
    {"tasks", SB_KEY_INTEGER, AT(tasks_limit), .least = 1, .most = 4194304,
     .description = "Processes and threads."},
    {"files", SB_KEY_INTEGER, AT(files_limit), .least = 1, .most = 1073741816,
     .description = "Open files."},
    {"swap", SB_KEY_STRING, AT(swap_limit), .rule = &sb_rule_limit,
     .fallback = "none with memory, else any",
     .description = "Swap space, beside memory: 8G, unlimited."},
    {"memlock", SB_KEY_STRING, AT(memlock_limit), .rule = &sb_rule_limit,
     .fallback = "unlimited with a GPU, else the host's",
     .description = "Memory that is locked, as RDMA and pinned buffers want it: 64Mi, unlimited."},
    {"core", SB_KEY_STRING, AT(core_limit), .rule = &sb_rule_limit, .fallback = "the host's",
     .description = "The size of a core dump: 0, 1G, unlimited."},
    {"stack", SB_KEY_STRING, AT(stack_limit), .rule = &sb_rule_limit, .fallback = "the host's",
     .description = "The stack of a process: 64Mi, unlimited."},
    {0},
};

static const struct sb_key directory_keys[] = {
    {"state", SB_KEY_STRING, AT(state), .rule = &sb_rule_mount,
     .description = "Where it sees its data; /var/lib/NAME on the host."},
    {"cache", SB_KEY_STRING, AT(cache), .rule = &sb_rule_mount,
     .description = "Where it sees what it can do without; /var/cache/NAME on the host."},
    {"logs", SB_KEY_STRING, AT(logs), .rule = &sb_rule_mount,
     .description = "Where it sees its log files; /var/log/NAME on the host."},
    {"host", SB_KEY_PAIRS, AT(host), .rule = &sb_rule_host, .most = 100,
     .description = "Directories of the node that it may read, and where it sees them: "
                    "{/srv/models: /models}. The node's operator allows them."},
    {0},
};

const struct sb_key sb_service_keys[] = {
    {"type", SB_KEY_STRING, AT(type), .values = types, .fallback = "service",
     .description = "service and simple run on, notify too and says when it is ready; job and "
                    "oneshot run to their end."},
    {"schedule", SB_KEY_STRING, AT(schedule), .rule = &sb_rule_schedule,
     .description = "When a job runs, as systemd writes it: daily, \"*-*-* 03:00\"."},
    {"port", SB_KEY_INTEGER, AT(port), .least = 1, .most = 65535,
     .description = "Port that the service listens on."},
    {"health", SB_KEY_MAPPING, 0, .keys = health_keys,
     .description = "How to tell that the service works: one of http, tcp and command."},
    {"gpu", SB_KEY_CUSTOM, 0, .read = read_gpu, .schema = gpu_schema, .fallback = "0",
     .description = "Number of GPUs that it needs, all its own; a list of which: [0, 1]; or "
                    "{count: 1, shared: true}."},
    {"restart", SB_KEY_STRING, AT(restart), .values = restarts, .fallback = "always; no for a job",
     .description = "When the service is started again after it ended."},
    {"start_timeout", SB_KEY_DURATION, AT(start_timeout), .most = UINT32_MAX,
     .fallback = "15m; none for a job",
     .description = "How long it may take to start; a job: to run."},
    {"stop_timeout", SB_KEY_DURATION, AT(stop_timeout), .most = UINT32_MAX, .fallback = "30s",
     .description = "How long it may take to stop before it is killed."},
    {"after", SB_KEY_STRINGS, AT(after), .one_or_many = true, .rule = &sb_rule_unit, .most = 100,
     .description = "Services or units that are started before it, if they are to be."},
    {"requires", SB_KEY_STRINGS, AT(requires), .one_or_many = true, .rule = &sb_rule_unit,
     .most = 100, .description = "Services or units that it can't do without."},
    {"env", SB_KEY_PAIRS, AT(env), .rule = &sb_rule_env, .most = 1000, .variables = true,
     .description = "Environment variables, added to the image's."},
    {"secrets", SB_KEY_STRINGS, AT(secrets), .rule = &sb_rule_secret, .most = 100,
     .description = "Names of secrets that the service needs."},
    {"directories", SB_KEY_MAPPING, 0, .keys = directory_keys,
     .description = "Directories that it may write to, kept over restarts and upgrades; and those "
                    "of the node that it may read."},
    {"devices", SB_KEY_STRINGS, AT(devices), .one_or_many = true, .rule = &sb_rule_device,
     .most = 1, .description = "Devices that it needs beside its GPUs: infiniband."},
    {"root", SB_KEY_STRING, AT(root), .values = roots, .fallback = "layers",
     .description = "layers: the image is its root file system. host: the recipe's own layers, run "
                    "by the host's programs."},
    {"strategy", SB_KEY_STRING, AT(strategy), .values = strategies, .fallback = "recreate",
     .description = "recreate: stop the old, start the new. blue-green: the new beside the old."},
    {"spare_port", SB_KEY_INTEGER, AT(spare_port), .least = 1, .most = 65535,
     .description = "blue-green: the second port, where the new one listens beside the old."},
    {"upstream", SB_KEY_STRING, AT(upstream), .rule = &sb_rule_file, .fallback = "NAME.conf",
     .description = "blue-green: the file in /etc/sbuild/upstreams that names the serving port."},
    {"drain", SB_KEY_DURATION, AT(drain), .given = AT(has_drain), .most = DAY, .fallback = "30s",
     .description = "blue-green: how long the old one may take to end its connections before it is "
                    "stopped; 0: it is stopped at once."},
    {"harden", SB_KEY_MAPPING, 0, .keys = harden_keys,
     .description = "What the service is kept from: all of it, but what is false here."},
    {"limits", SB_KEY_MAPPING, 0, .keys = limit_keys,
     .description = "What the service may use at most."},
    {0},
};

static const struct sb_key *find(const struct sb_key *keys, size_t offset) {
    const struct sb_key *found = NULL;
    for (; keys->name && !found; keys++) {
        if (keys->type == SB_KEY_MAPPING)
            found = find(keys->keys, offset);
        else if (keys->type != SB_KEY_CUSTOM && keys->offset == offset)
            found = keys;
    }
    return found;
}

const struct sb_key *sb_service_key(size_t offset) {
    size_t at = offsetof(struct sb_recipe, service) + offset;
    const struct sb_key *key = find(sb_service_keys, at);
    return key ? key : find(gpu_keys, at);
}

bool sb_service_says(const struct sb_service *service, size_t offset) {
    const struct sb_key *key = sb_service_key(offset);
    const char *bytes = (const char *)service;
    if (key && key->given)
        return *(const bool *)(bytes + key->given - offsetof(struct sb_recipe, service));
    return *(const uint64_t *)(bytes + offset) != 0;
}

/* ---- what no table says ---- */

/* Notes a mistake at a key, when it is there. */
static void refuse(struct sb_reader *reader, const struct sb_yaml *node, const char *key,
                   const char *why) {
    const struct sb_yaml *value = sb_yaml_get(node, key);
    if (value)
        sb_reader_problem(reader, value, "key \"%s\": %s", key, why);
}

static void check_health(struct sb_reader *reader, const struct sb_yaml *node,
                         const struct sb_service *service) {
    static const char *const ways[] = {"http", "tcp", "command"};
    const struct sb_yaml *health = sb_yaml_get(node, "health");
    if (!health || health->type != SB_YAML_MAPPING)
        return;
    int count = 0;
    for (int i = 0; i < 3; i++)
        count += sb_yaml_get(health, ways[i]) != NULL;
    bool notify = service->type && !strcmp(service->type, "notify");
    if (count > 1 || (count == 0 && !notify && !service->has_steady))
        sb_reader_problem(reader, health,
                          "key \"health\": expected one of http, tcp and command, found %s",
                          count ? "several" : "none");
    if (service->health_http && !sb_yaml_get(node, "port"))
        sb_reader_problem(reader, sb_yaml_get(health, "http"),
                          "key \"http\": needs the service's port (add port: beside health:)");
    if (!service->health_http)
        refuse(reader, health, "host", "is of no use without http");
}

static void check_job(struct sb_reader *reader, const struct sb_yaml *node,
                      const struct sb_service *service) {
    if (!is_job(service)) {
        refuse(reader, node, "schedule", "needs a service that runs to its end (add type: job)");
        return;
    }
    if (service->restart && !strcmp(service->restart, "always"))
        refuse(reader, node, "restart",
               "a job that is done would start again at once (expected "
               "on-failure or no)");
    refuse(reader, node, "health", "a job is healthy when it ends well, and can't be asked");
}

static void check_strategy(struct sb_reader *reader, const struct sb_yaml *node,
                           const struct sb_service *service) {
    if (!service->strategy || strcmp(service->strategy, "blue-green") != 0) {
        refuse(reader, node, "spare_port", "is of no use without strategy: blue-green");
        refuse(reader, node, "upstream", "is of no use without strategy: blue-green");
        refuse(reader, node, "drain", "is of no use without strategy: blue-green");
        return;
    }
    if (is_job(service))
        refuse(reader, node, "strategy", "a job has nothing to go over to");
    else if (service->gpu > 0)
        refuse(reader, node, "strategy", "with a GPU the old one must stop first: recreate only");
    else if (!sb_yaml_get(node, "port"))
        refuse(reader, node, "strategy", "needs the service's port (add port:)");
    else if (!sb_yaml_get(node, "spare_port"))
        refuse(reader, node, "strategy", "needs a second port (add spare_port:)");
    if (service->upstream && !strcmp(service->upstream, "reload"))
        refuse(reader, node, "upstream", "is the program that tells the proxy");
    if (service->port && service->spare_port == service->port)
        refuse(reader, node, "spare_port", "is the service's port");
    if (service->spare_port && service->health_tcp && service->health_tcp != service->port)
        sb_reader_problem(reader, sb_yaml_get(sb_yaml_get(node, "health"), "tcp"),
                          "key \"tcp\": with blue-green it must be the service's port");
}

static void check_directories(struct sb_reader *reader, const struct sb_yaml *node,
                              const struct sb_service *service) {
    static const char *const names[] = {"state", "cache", "logs"};
    const struct sb_yaml *directories = sb_yaml_get(node, "directories");
    const char *paths[] = {service->state, service->cache, service->logs};
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 3; j++) {
            size_t n = paths[j] ? strlen(paths[j]) : 0;
            if (i != j && paths[i] && paths[j] && !strncmp(paths[i], paths[j], n) &&
                (paths[i][n] == '/' || (!paths[i][n] && i > j)))
                sb_reader_problem(reader, sb_yaml_get(directories, names[i]),
                                  "key \"%s\": lies in the directory of %s", names[i], names[j]);
        }
}

/* Beside everything else that is mounted, as that might be mounted in a directory of the node. */
static void check_host(struct sb_reader *reader, const struct sb_yaml *node,
                       const struct sb_service *service) {
    const struct sb_yaml *directories = sb_yaml_get(node, "directories");
    const struct sb_yaml *host = directories ? sb_yaml_get(directories, "host") : NULL;
    const char *const own[] = {service->state, service->cache, service->logs};
    if (service->host.n && service->root && !strcmp(service->root, "host"))
        sb_reader_problem(reader, host, "key \"host\": with root: host it sees the node's files");
    for (size_t i = 0; host && i < service->host.n; i++) {
        const char *inside = service->host.v[i].value;
        const struct sb_yaml *place = sb_yaml_get(host, service->host.v[i].name);
        if (!sb_schema_check(reader, "host", &sb_rule_mount, inside, place))
            continue;
        bool meets = !sb_mount_is_for_host(inside);
        for (size_t j = 0; j < sizeof own / sizeof *own; j++)
            meets = meets || (own[j] && sb_mounts_meet(inside, own[j]));
        for (size_t j = 0; j < i; j++)
            meets = meets || sb_mounts_meet(inside, service->host.v[j].value);
        if (meets)
            sb_reader_problem(
                reader, place,
                "key \"host\": at %s, or in it, something else is mounted: expected a "
                "place of its own, such as /models",
                inside);
    }
}

static void check_dependencies(struct sb_reader *reader, const struct sb_yaml *node,
                               const char *key, const struct sb_recipe *recipe) {
    const struct sb_yaml *list = sb_yaml_get(node, key);
    sb_autofree char *unit = sb_format("%s.service", recipe->name ? recipe->name : "");
    for (size_t i = 0; list && list->type == SB_YAML_SEQUENCE && i < list->count; i++) {
        const char *text = list->items[i]->type == SB_YAML_SCALAR ? list->items[i]->text : "";
        if (recipe->name && (!strcmp(text, recipe->name) || !strcmp(text, unit)))
            sb_reader_problem(reader, list->items[i], "key \"%s\": names the service itself", key);
    }
}

/* Of what the rule lets through; a node says whether it may be this very unit. */
static void check_required(struct sb_reader *reader, const struct sb_yaml *node) {
    const struct sb_yaml *list = sb_yaml_get(node, "requires");
    bool one = list && list->type == SB_YAML_SCALAR;
    for (size_t i = 0; list && i < (one ? 1 : list->count); i++) {
        const struct sb_yaml *item = one ? list : list->items[i];
        if (item->type == SB_YAML_SCALAR && !sb_unit_is_requirable(item->text))
            sb_reader_problem(reader, item,
                              "key \"requires\": %s is not a unit that a service may start: name "
                              "services, sockets or mounts, or order by it with after",
                              sb_text_shown(item->text).text);
    }
}

void sb_service_check(struct sb_reader *reader, const struct sb_yaml *node,
                      const struct sb_recipe *recipe) {
    const struct sb_service *service = &recipe->service;
    check_health(reader, node, service);
    check_job(reader, node, service);
    check_strategy(reader, node, service);
    check_directories(reader, node, service);
    check_host(reader, node, service);
    check_dependencies(reader, node, "after", recipe);
    check_dependencies(reader, node, "requires", recipe);
    check_required(reader, node);
}
