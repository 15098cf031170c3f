/* service: what bundles and Kubernetes manifests are made from. */
#include <stddef.h>

#include "builder/recipe_keys.h"

#define AT(member) offsetof(struct sb_recipe, service.member)

static const char *const types[] = {"service", "job", NULL};
static const char *const restarts[] = {"always", "on-failure", "no", NULL};

static const struct sb_key health_keys[] = {
    {"http", SB_KEY_STRING, AT(health_http), .rule = &sb_rule_http_path,
     .description = "Path to GET on the service's port; healthy when it answers 200 to 399."},
    {"tcp", SB_KEY_INTEGER, AT(health_tcp), .least = 1, .most = 65535,
     .description = "Port to connect to; healthy when it accepts."},
    {"command", SB_KEY_STRING, AT(health_command), .not_empty = true, .literal = true,
     .description = "Command to run in the service's root; healthy when it exits with 0."},
    {"timeout", SB_KEY_DURATION, AT(health_timeout), .fallback = "60s",
     .description = "How long the service may take to become healthy."},
    {"interval", SB_KEY_DURATION, AT(health_interval), .fallback = "10s",
     .description = "How often it is asked."},
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
    {0},
};

const struct sb_key sb_service_keys[] = {
    {"type", SB_KEY_STRING, AT(type), .values = types, .fallback = "service",
     .description = "service runs on; job runs to its end."},
    {"port", SB_KEY_INTEGER, AT(port), .least = 1, .most = 65535,
     .description = "Port that the service listens on."},
    {"health", SB_KEY_MAPPING, 0, .keys = health_keys,
     .description = "How to tell that the service works: one of http, tcp and command."},
    {"gpu", SB_KEY_INTEGER, AT(gpu), .least = 0, .most = 64, .fallback = "0",
     .description = "Number of GPUs that it needs."},
    {"restart", SB_KEY_STRING, AT(restart), .values = restarts,
     .fallback = "always; on-failure for a job",
     .description = "When the service is started again after it ended."},
    {"env", SB_KEY_PAIRS, AT(env), .rule = &sb_rule_env, .most = 1000,
     .description = "Environment variables, added to the image's."},
    {"secrets", SB_KEY_STRINGS, AT(secrets), .rule = &sb_rule_secret, .most = 100,
     .description = "Names of secrets that the service needs."},
    {"limits", SB_KEY_MAPPING, 0, .keys = limit_keys,
     .description = "What the service may use at most."},
    {0},
};

void sb_service_check(struct sb_reader *reader, const struct sb_yaml *node,
                      const struct sb_recipe *recipe) {
    static const char *const ways[] = {"http", "tcp", "command"};
    const struct sb_yaml *health = sb_yaml_get(node, "health");
    if (!health || health->type != SB_YAML_MAPPING)
        return;
    int count = 0;
    for (int i = 0; i < 3; i++)
        count += sb_yaml_get(health, ways[i]) != NULL;
    if (count != 1)
        sb_reader_problem(reader, health,
                          "key \"health\": expected one of http, tcp and command, found %s",
                          count ? "several" : "none");
    if (recipe->service.health_http && !sb_yaml_get(node, "port"))
        sb_reader_problem(reader, sb_yaml_get(health, "http"),
                          "key \"http\": needs the service's port (add port: beside health:)");
}
