/* What a description holds, and where. */
#include <stdlib.h>

#include "base/memory.h"
#include "deploy/description_private.h"

#define OF(type, member) .offset = offsetof(type, member), .width = sizeof(((type *)0)->member)
#define AT(member)       OF(struct sb_description, member)
#define LAYER(member)    OF(struct sb_described_layer, member)
#define SAID(member)     .said = offsetof(struct sb_service, member)

static const char *const types[] = {
#define X(value, name, systemd) [value] = (name),
    SB_SERVICE_TYPES(X)
#undef X
        NULL};
static const char *const devices[] = {"infiniband", NULL};

static const struct sb_field image[] = {
    {"mediaType", SB_FIELD_MEDIA, AT(image.media_type), .kind = SB_MEDIA_KIND_MANIFEST},
    {"digest", SB_FIELD_DIGEST, AT(image.digest)},
    {"size", SB_FIELD_NUMBER, AT(image.size)},
    {"repository", SB_FIELD_TEXT, AT(repository), .null = true, .rule = &sb_rule_repository},
    {0},
};

static const struct sb_field layer[] = {
    {"mediaType", SB_FIELD_MEDIA, LAYER(layer.descriptor.media_type), .kind = SB_MEDIA_KIND_LAYER},
    {"digest", SB_FIELD_DIGEST, LAYER(layer.descriptor.digest)},
    {"size", SB_FIELD_NUMBER, LAYER(layer.descriptor.size)},
    {"diffId", SB_FIELD_DIGEST, LAYER(layer.diff_id)},
    {"tarSize", SB_FIELD_NUMBER, LAYER(layer.tar_size)},
    {"application", SB_FIELD_BOOL, LAYER(application)},
    {0},
};

static const struct sb_field health[] = {
    {"http", SB_FIELD_TEXT, AT(health_http), SAID(health_http), .null = true},
    {"tcp", SB_FIELD_NUMBER, AT(health_tcp), SAID(health_tcp)},
    {"command", SB_FIELD_TEXT, AT(health_command), SAID(health_command), .null = true},
    {"timeout", SB_FIELD_NUMBER, AT(health_timeout), SAID(health_timeout),
     .usual = SB_SERVICE_HEALTH_TIMEOUT},
    {"interval", SB_FIELD_NUMBER, AT(health_interval), SAID(health_interval),
     .usual = SB_SERVICE_HEALTH_EVERY},
    {"answer", SB_FIELD_NUMBER, AT(health_answer), SAID(health_answer), .later = true,
     .usual = SB_SERVICE_HEALTH_ANSWER},
    {"steady", SB_FIELD_NUMBER, AT(health_steady), SAID(health_steady), .later = true,
     .usual = SB_SERVICE_HEALTH_STEADY},
    {"host", SB_FIELD_TEXT, AT(health_host), SAID(health_host), .later = true},
    {0},
};

static const struct sb_field gpu[] = {
    {"count", SB_FIELD_NUMBER, AT(gpu), SAID(gpu)},
    {"devices", SB_FIELD_DEVICES, AT(gpu_devices), SAID(gpu_devices)},
    {"shared", SB_FIELD_BOOL, AT(gpu_shared), SAID(gpu_shared)},
    {0},
};

static const struct sb_field directories[] = {
    {"state", SB_FIELD_TEXT, AT(directories[SB_DIRECTORY_STATE]), SAID(state), .null = true},
    {"cache", SB_FIELD_TEXT, AT(directories[SB_DIRECTORY_CACHE]), SAID(cache), .null = true},
    {"logs", SB_FIELD_TEXT, AT(directories[SB_DIRECTORY_LOGS]), SAID(logs), .null = true},
    {"host", SB_FIELD_PAIRS, AT(host), SAID(host), .later = true},
    {0},
};

static const struct sb_field limits[] = {
    {"memory", SB_FIELD_NUMBER, AT(memory), SAID(memory_limit)},
    {"cpu", SB_FIELD_TEXT, AT(cpu), SAID(cpu_limit), .null = true},
    {"tasks", SB_FIELD_NUMBER, AT(tasks), SAID(tasks_limit)},
    {"files", SB_FIELD_NUMBER, AT(files), SAID(files_limit)},
    {"swap", SB_FIELD_SIZE, AT(swap), SAID(swap_limit), .later = true},
    {"memlock", SB_FIELD_SIZE, AT(memlock), SAID(memlock_limit), .later = true},
    {"core", SB_FIELD_SIZE, AT(core), SAID(core_limit), .later = true},
    {"stack", SB_FIELD_SIZE, AT(stack), SAID(stack_limit), .later = true},
    {0},
};

static const struct sb_field harden[] = {
#define X(number, name, meaning)                                                                   \
    {name, SB_FIELD_SWITCH, AT(harden_off), .bit = number, .later = (number) == SB_HARDEN_OWN_IDS},
    SB_HARDEN_SWITCHES(X)
#undef X
        {0},
};

const struct sb_field sb_description_fields[] = {
    {"name", SB_FIELD_TEXT, AT(name)},
    {"version", SB_FIELD_TEXT, AT(version), .null = true},
    {"image", SB_FIELD_OBJECT, .fields = image},
    {"layers", SB_FIELD_LAYERS, .fields = layer, .most = SB_LAYER_LIMIT},
    {"type", SB_FIELD_CHOICE, AT(type), SAID(type), .values = types},
    {"schedule", SB_FIELD_TEXT, AT(schedule), SAID(schedule), .null = true},
    {"argv", SB_FIELD_STRINGS, AT(argv), .most = 10000},
    {"user", SB_FIELD_TEXT, AT(user)},
    {"workdir", SB_FIELD_TEXT, AT(workdir)},
    {"env", SB_FIELD_PAIRS, AT(env), .rule = &sb_rule_env},
    {"stopSignal", SB_FIELD_TEXT, AT(stop_signal), .null = true, .rule = &sb_rule_signal},
    {"port", SB_FIELD_NUMBER, AT(port), SAID(port)},
    {"sparePort", SB_FIELD_NUMBER, AT(spare_port), SAID(spare_port)},
    {"upstream", SB_FIELD_TEXT, AT(upstream), SAID(upstream), .null = true},
    {"drain", SB_FIELD_NUMBER, AT(drain), SAID(drain), .usual = SB_SERVICE_DRAIN},
    {"health", SB_FIELD_OBJECT, .fields = health},
    {"startTimeout", SB_FIELD_NUMBER, AT(start_timeout), SAID(start_timeout),
     .usual = SB_SERVICE_START_TIMEOUT},
    {"stopTimeout", SB_FIELD_NUMBER, AT(stop_timeout), SAID(stop_timeout),
     .usual = SB_SERVICE_STOP_TIMEOUT},
    {"gpu", SB_FIELD_OBJECT, .fields = gpu},
    {"devices", SB_FIELD_DEVICE, AT(infiniband), SAID(devices), .values = devices, .later = true},
    {"restart", SB_FIELD_CHOICE, AT(restart), SAID(restart)},
    {"root", SB_FIELD_CHOICE, AT(root), SAID(root)},
    {"strategy", SB_FIELD_CHOICE, AT(strategy), SAID(strategy)},
    {"directories", SB_FIELD_OBJECT, .fields = directories},
    {"volumes", SB_FIELD_STRINGS, AT(volumes), .most = 100},
    {"secrets", SB_FIELD_STRINGS, AT(secrets), SAID(secrets)},
    {"after", SB_FIELD_UNITS, AT(after), SAID(after)},
    {"requires", SB_FIELD_UNITS, AT(requires), SAID(requires)},
    {"limits", SB_FIELD_OBJECT, .fields = limits},
    {"harden", SB_FIELD_OBJECT, .fields = harden},
    {0},
};

/* ---- what values may be ---- */

static const struct sb_key *key_of(const struct sb_field *field) {
    return field->said ? sb_service_key(field->said) : NULL;
}

const struct sb_rule *sb_field_rule(const struct sb_field *field) {
    const struct sb_key *key = key_of(field);
    return key ? key->rule : field->rule;
}

const char *const *sb_field_values(const struct sb_field *field) {
    const struct sb_key *key = key_of(field);
    return field->values || !key ? field->values : key->values;
}

uint64_t sb_field_most(const struct sb_field *field) {
    const struct sb_key *key = key_of(field);
    uint64_t most = key ? (uint64_t)key->most : field->most;
    if (most)
        return most;
    return field->width == 2 ? UINT16_MAX : field->width == 4 ? UINT32_MAX : INT64_MAX;
}

const char *sb_service_restart_name(enum sb_service_restart how) {
    return sb_service_key(offsetof(struct sb_service, restart))->values[how];
}

/* ---- numbers ---- */

uint64_t sb_field_number(const struct sb_field *field, const void *at) {
    return field->width == sizeof(uint16_t)   ? *(const uint16_t *)at
           : field->width == sizeof(uint32_t) ? *(const uint32_t *)at
                                              : *(const uint64_t *)at;
}

void sb_field_set_number(const struct sb_field *field, void *at, uint64_t number) {
    if (field->width == sizeof(uint16_t))
        *(uint16_t *)at = (uint16_t)number;
    else if (field->width == sizeof(uint32_t))
        *(uint32_t *)at = (uint32_t)number;
    else
        *(uint64_t *)at = number;
}

/* ---- the end ---- */

static void free_fields(const struct sb_field *field, void *target) {
    for (; field->key; field++) {
        void *at = (char *)target + field->offset;
        switch (field->type) {
        case SB_FIELD_TEXT:
        case SB_FIELD_SIZE:
            free(*(char **)at);
            break;
        case SB_FIELD_STRINGS:
        case SB_FIELD_UNITS:
            sb_strings_free(at);
            break;
        case SB_FIELD_PAIRS:
            sb_pairs_free(at);
            break;
        case SB_FIELD_OBJECT:
            free_fields(field->fields, target);
            break;
        default:
            break;
        }
    }
}

void sb_description_free(struct sb_description *d) {
    free_fields(sb_description_fields, d);
    free(d->layers);
    *d = (struct sb_description){0};
}
