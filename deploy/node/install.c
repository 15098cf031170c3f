#include "deploy/node/install.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/memory.h"
#include "base/text.h"
#include "deploy/bundle.h"
#include "deploy/host/native.h"
#include "deploy/node/claim.h"
#include "deploy/node/follow.h"
#include "deploy/node/gpus.h"
#include "deploy/node/health.h"
#include "deploy/node/hostlayer.h"
#include "deploy/node/owners.h"
#include "deploy/node/prepare.h"
#include "deploy/node/provenance.h"
#include "deploy/node/requirements.h"
#include "deploy/node/source.h"
#include "deploy/node/switch.h"
#include "deploy/node/trees.h"
#include "deploy/node/unitfiles.h"
#include "deploy/node/watch.h"
#include "layers/origin.h"
#include "registry/fetch.h"
#include "sandbox/emulation.h"

void sb_installed_free(struct sb_installed *installed) {
    free(installed->name);
    *installed = (struct sb_installed){0};
}

struct install {
    const struct sb_node *node;
    struct sb_registry *registry;
    const struct sb_install_options *options;
    struct sb_bundle_source source;
    struct sb_platform platform; /* of the options */
    struct sb_description description;
    struct sb_node_service *service;
    struct sb_provenance provenance;
    struct sb_installed *out;
    int systemd_version;
};

/* ---- has it been done already? ---- */

static int probe_current(const struct install *in, const struct sb_node_slot *current) {
    struct sb_description d;
    struct sb_error ignored = {0};
    if (sb_generation_description(in->service, current->generation, &d, &ignored) < 0)
        return -1;
    sb_autofree char *unit = sb_unitfiles_main(in->service, current->generation);
    const struct sb_health health = {
        .node = in->node, .description = &d, .unit = current->unit, .port = current->port};
    int rc = strcmp(unit, in->service->unit) != 0 ? 0 : sb_health_probe(&health, &ignored);
    sb_description_free(&d);
    return rc;
}

/* The host may have got GPUs, another driver, or drop-ins since. That is an operator's reason to
 * start a service anew, not a timer's. */
static bool has_what_is_there(const struct install *in, const struct sb_generation *generation) {
    return in->options->passed_over || (sb_gpus_fit(in->service, &in->description, generation) &&
                                        sb_hostlayer_fits(in->service, generation->number));
}

static bool runs_already(const struct install *in, const struct sb_node_slot *current) {
    struct sb_generation generation;
    if (current->generation == 0 ||
        sb_generation_load(in->service, current->generation, &generation, NULL) < 0)
        return false;
    bool same = sb_digest_equal(&generation.bundle, &in->source.manifest.digest) &&
                generation.state == SB_GENERATION_HEALTHY && has_what_is_there(in, &generation);
    sb_generation_free(&generation);
    return same && sb_unitfiles_fit(in->service, current->generation) &&
           sb_owners_fit(in->service, current->generation, &in->description) &&
           probe_current(in, current) == 0;
}

static int next_number(const struct sb_node_service *service, uint64_t current, uint64_t *out,
                       struct sb_error *err) {
    struct sb_generation_list list;
    if (sb_generations(service, &list, err) < 0)
        return -1;
    *out =
        (list.n > 0 && list.v[list.n - 1].number > current ? list.v[list.n - 1].number : current) +
        1;
    sb_generation_list_free(&list);
    return 0;
}

/* ---- the new generation ---- */

/* Others see what it has as soon as the generation is there; so ports are looked at once more. */
static int prepare_generation(struct install *in, uint64_t current,
                              struct sb_generation *generation, struct sb_error *err) {
    struct sb_generation before = {0};
    sb_autoclose int lock = sb_node_lock(in->node, err);
    if (lock < 0 || sb_prepare_check_others(in->service, &in->description, err) < 0)
        return -1;
    if (current && sb_generation_load(in->service, current, &before, NULL) < 0)
        before.gpus = 0; /* it has none that are known */
    int rc = sb_gpus_choose(in->service, &in->description, before.gpus, &generation->gpus, err);
    sb_generation_free(&before);
    if (rc == 0)
        rc = sb_prepare_generation(in->service, &in->description, generation, err);
    if (rc == 0)
        sb_gpus_tell(in->service, &in->description, generation->gpus);
    return rc;
}

static int make_generation(struct install *in, uint64_t current, uint64_t number,
                           struct sb_error *err) {
    const struct sb_operation operation = {
        .kind = SB_OPERATION_INSTALL, .from = current, .to = number};
    struct sb_generation generation = {.number = number,
                                       .bundle = in->source.manifest.digest,
                                       .reference = sb_strdup(in->source.reference),
                                       .provenance = sb_strdup(in->provenance.now)};
    if (in->options->platform)
        generation.platform = sb_platform_text(&in->platform);
    int rc = sb_watch_units(in->node, err);
    if (rc == 0)
        rc = sb_watch_operation(in->service, &operation, err);
    if (rc == 0)
        rc = prepare_generation(in, current, &generation, err);
    if (rc == 0)
        rc = sb_prepare_units(in->service, &in->description, &generation, in->systemd_version, err);
    sb_generation_free(&generation);
    if (rc == 0)
        return 0;
    struct sb_error ignored = {0};
    enum sb_operation_kind kind;
    sb_switch_recover(in->service, &kind, &ignored); /* nothing was switched: it is undone */
    return -1;
}

static int switch_over(struct install *in, uint64_t current, uint64_t number,
                       struct sb_error *err) {
    if (make_generation(in, current, number, err) < 0)
        return -1;
    sb_node_say(in->node, "%s: switching to generation %" PRIu64, in->service->name, number);
    const struct sb_switch plan = {.kind = SB_OPERATION_INSTALL,
                                   .from = current,
                                   .to = number,
                                   .wait = in->options->wait,
                                   .watched = true};
    in->out->generation = number;
    int rc = sb_switch_run(in->service, &plan, err);
    if (rc < 0 && err->code == SB_E_UNHEALTHY)
        sb_follow_refuse(in->service, &in->source.manifest.digest);
    return rc;
}

static int get_and_switch(struct install *in, uint64_t current, uint64_t number,
                          struct sb_error *err) {
    sb_autostrings struct sb_strings lacking = {0};
    sb_prepare_lacking(in->service, &in->description, &lacking);
    int rc = sb_node_trees_get(in->service, &in->description, current, &in->out->reused, err);
    if (rc == 0)
        rc = sb_claim_note(in->service, &in->description, err);
    if (rc == 0 && current == 0)
        rc = sb_provenance_note(in->service, in->provenance.now, err);
    if (rc == 0)
        rc = switch_over(in, current, number, err);
    else if (err->code == SB_E_NO_SPACE)
        sb_error_context(err, "%s", sb_store_path(in->node->store));
    sb_watch_end(in->node, in->service->name);
    if (rc < 0 && err->code == SB_E_NO_SPACE) {
        sb_prepare_give_back(in->service, &in->description, &lacking, err);
    } else if (rc == 0 || err->code == SB_E_UNHEALTHY) {
        sb_node_blobs_drop(in->node, &in->description);
    }
    return rc;
}

/* What it says of the one that runs already. */
static int change_provenance(const struct install *in, uint64_t current, struct sb_error *err) {
    struct sb_generation generation;
    if (!in->provenance.before)
        return 0;
    if (sb_generation_load(in->service, current, &generation, err) < 0)
        return -1;
    free(generation.provenance);
    generation.provenance = sb_strdup(in->provenance.now);
    int rc = sb_generation_save(in->service, &generation, err);
    sb_generation_free(&generation);
    return rc;
}

/* No error of the installation: what was installed runs, and says itself whose it is. */
static void change_hands(const struct install *in) {
    const struct sb_provenance *p = &in->provenance;
    struct sb_follow follow;
    struct sb_error ignored = {0};
    if (sb_provenance_note(in->service, p->now, &ignored) < 0)
        sb_node_say(in->node, "%s: whose it is could not be noted: %s", in->service->name,
                    ignored.message);
    if (!p->before)
        return;
    sb_node_say(in->node, "%s belongs to what came from %s now, and no more to %s",
                in->service->name, p->now, p->before);
    if (sb_follow_load(in->service, &follow, &ignored) < 0)
        return;
    if (follow.reference && !sb_provenance_has(p->now, follow.reference)) {
        sb_node_say(in->node, "%s no longer follows %s", in->service->name, follow.reference);
        sb_follow_stop(in->service, &ignored);
    }
    sb_follow_free(&follow);
}

static int check(struct install *in, uint64_t number, struct sb_error *err) {
    const struct sb_description *d = &in->description;
    if (sb_prepare_check(in->service, d, number, &in->systemd_version, err) < 0 ||
        sb_requirements_check(in->service, d, err) < 0 ||
        sb_claim_check_upstream(in->service, d, err) < 0)
        return -1;
    if (!in->options->name && sb_claim_check_mentions(in->service, err) < 0)
        return -1;
    return sb_prepare_space(in->service, d, err);
}

static int install_locked(struct install *in, struct sb_error *err) {
    enum sb_operation_kind before;
    struct sb_node_slot current;
    uint64_t number;
    if (sb_switch_recover(in->service, &before, err) < 0 ||
        (before == SB_OPERATION_UNINSTALL && sb_node_service_anew(in->service, err) < 0) ||
        sb_node_slot(in->service, &current, err) < 0)
        return -1;
    in->out->foreign = true;
    if (sb_provenance_check(in->service, &in->source, &in->description, in->options->replace,
                            in->options->follow || in->options->passed_over, &in->provenance,
                            err) < 0)
        return -1;
    in->out->foreign = false;
    in->out->previous = current.generation;
    in->out->generation = current.generation;
    in->out->unchanged = runs_already(in, &current);
    if (in->out->unchanged) {
        if (change_provenance(in, current.generation, err) < 0)
            return -1;
        change_hands(in);
        return 0;
    }
    if (in->options->passed_over && sb_follow_refused(in->service, &in->source.manifest.digest)) {
        in->out->unchanged = true;
        sb_node_say(in->node, "%s: %s failed here before, and is passed over", in->service->name,
                    sb_digest_text(&in->source.manifest.digest).text);
        return 0;
    }
    if (next_number(in->service, current.generation, &number, err) < 0 ||
        check(in, number, err) < 0 || get_and_switch(in, current.generation, number, err) < 0)
        return -1;
    change_hands(in);
    return 0;
}

/* ---- the whole ---- */

/* What was asked for, be it that it is emulated, has to run at all: tried before anything is
 * touched.
 */
static int check_emulator(const struct install *in, const json_t *config, struct sb_error *err) {
    sb_autoplatform struct sb_platform its;
    if (!sb_platform_read(config, &its) || sb_native_runs(its.architecture))
        return 0;
    sb_autofree char *directory = sb_store_tmp_new(in->node->store, "probe", err);
    if (!directory)
        return -1;
    if (mkdir(directory, 0755) < 0)
        return sb_fail_errno(err, SB_E_IO, "%s", directory);
    enum sb_emulation emulation = sb_emulation_try(its.architecture, directory);
    sb_autofree char *text = sb_platform_text(&its);
    if (emulation == SB_EMULATION_WORKS) {
        sb_node_say(in->node, "%s is made for %s, and runs in an emulator here",
                    in->description.name, text);
        return 0;
    }
    sb_fail(err, SB_E_FAILED, "it is made for %s, and this host, linux/%s, runs no such programs",
            text, sb_platform_architecture());
    return sb_emulation_hint(emulation, text, err);
}

static int check_native(const struct install *in, const json_t *config, struct sb_error *err) {
    const struct sb_platform *accepted = in->options->platform ? &in->platform : NULL;
    return sb_native_check_config(config, accepted, err) < 0 || check_emulator(in, config, err) < 0
               ? sb_error_context(err, "%s", sb_text_shown(in->options->source).text)
               : 0;
}

static int read_bundle(struct install *in, struct sb_error *err) {
    struct sb_store *store = in->node->store;
    const struct sb_platform *platform = in->options->platform ? &in->platform : NULL;
    struct sb_image image = {0};
    if (platform && sb_platform_parse(in->options->platform, &in->platform, err) < 0)
        return sb_error_context(err, "--platform");
    if (sb_bundle_find(store, in->registry, in->options->source, platform, &in->source, err) < 0 ||
        sb_bundle_fetch(store, in->registry, &in->source, err) < 0 ||
        sb_bundle_load(store, &in->source.manifest, &image, &in->description, err) < 0)
        return sb_error_context(err, "%s", sb_text_shown(in->options->source).text);
    int native = check_native(in, image.config, err);
    sb_image_free(&image);
    if (native < 0)
        return -1;
    if (in->options->name && !sb_service_name_valid(in->options->name))
        return sb_fail(err, SB_E_USAGE, "--name %s is no name of a service",
                       sb_text_shown(in->options->name).text);
    if (in->options->name) {
        free(in->description.name);
        in->description.name = sb_strdup(in->options->name);
    }
    in->out->name = sb_strdup(in->description.name);
    in->out->bundle = in->source.manifest.digest;
    in->out->image = in->description.image.digest;
    return 0;
}

/* What a timer began may come to its turn when the service follows nothing any more, or is gone:
 * then it must not bring it back. */
static int open_service(struct install *in, struct sb_error *err) {
    const char *name = in->description.name;
    struct sb_error own = {0};
    struct sb_follow follow = {0};
    if (!in->options->passed_over)
        return sb_node_service_open(in->node, name, &in->service, err);
    int rc = sb_node_service_find(in->node, name, &in->service, &own);
    if (rc == 0)
        rc = sb_follow_load(in->service, &follow, &own);
    if (rc < 0 && own.code != SB_E_NOT_FOUND) {
        *err = own;
        return -1;
    }
    in->out->unfollowed = !follow.reference;
    sb_follow_free(&follow);
    if (in->out->unfollowed)
        sb_node_say(in->node, "%s follows no tag any more: nothing is done", name);
    return 0;
}

int sb_install(const struct sb_node *node, struct sb_registry *registry,
               const struct sb_install_options *options, struct sb_installed *out,
               struct sb_error *err) {
    *out = (struct sb_installed){0};
    if (sb_node_need_root(err) < 0)
        return -1;
    struct install in = {.node = node, .registry = registry, .options = options, .out = out};
    struct sb_fetch_source fetch = {.registry = registry,
                                    .watch = {.notify = options->notify, .data = options->data}};
    const struct sb_blob_source source = {sb_fetch_from_origins, &fetch};
    sb_store_set_source(node->store, &source);
    int rc = read_bundle(&in, err);
    if (rc == 0)
        rc = open_service(&in, err);
    if (rc == 0 && !out->unfollowed)
        rc = install_locked(&in, err);
    sb_node_service_close(in.service);
    sb_store_set_source(node->store, NULL);
    sb_description_free(&in.description);
    sb_platform_free(&in.platform);
    sb_bundle_source_free(&in.source);
    sb_provenance_free(&in.provenance);
    return rc;
}

/* ---- away ---- */

/* The units of the watch go in any case: one that was killed may have left nothing but them. It is
 * watched until they are gone. */
int sb_uninstall(const struct sb_node *node, const char *name, struct sb_error *err) {
    struct sb_node_service *service;
    struct sb_error ignored = {0};
    if (sb_node_need_root(err) < 0)
        return -1;
    int rc = sb_node_service_find(node, name, &service, err);
    if (rc == 0) {
        sb_provenance_keep(service);
        rc = sb_switch_uninstall(service, err);
    }
    sb_node_service_close(service);
    sb_hostlayer_sweep(node);
    if (sb_watch_no_units(node, rc < 0 ? &ignored : err) < 0)
        rc = -1;
    sb_watch_end(node, name);
    return rc;
}
