/*
 * What this machine can't run of a build, said before the first step runs.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/memory.h"
#include "base/text.h"
#include "builder/build_private.h"
#include "builder/cache.h"
#include "builder/target_private.h"
#include "sandbox/emulation.h"

enum { SHOWN = 20 };

/* What has to run on one platform. */
struct foreign {
    const struct sb_platform *platform;
    struct sb_buf list; /* a line each */
    size_t count;
};

/* NULL: the bootstrap, whose packages have scripts. */
static bool runs_programs(const struct sb_recipe_layer *layer) {
    for (size_t i = 0; layer && i < layer->step_count; i++)
        if (layer->steps[i].kind->runs_programs && !layer->steps[i].kind->runs_outside)
            return true;
    return !layer;
}

static void add(struct foreign *foreign, const struct sb_place *place, const char *what,
                const char *name) {
    if (foreign->count++ < SHOWN)
        sb_buf_addf(&foreign->list, "\n%s:%d:%d: %s %s", place->file, place->line, place->column,
                    what, name);
}

/* How many layers of its own a target has or will have, from results[base_count] on. */
static size_t own_count(const struct sb_target *target) {
    const struct sb_recipe *recipe = target->recipe;
    if (target->started)
        return target->result_count - target->base_count;
    return recipe->layer_count + (recipe->from.kind == SB_FROM_BOOTSTRAP);
}

/* Whether a layer will have to be built, as far as it can be known: one that is planned to be; the
 * next one of a target that stopped there; what was never built here, nor can have been elsewhere.
 */
static bool is_due(const struct sb_target *target, size_t i, const char *name, bool planned) {
    const struct sb_workshop *shop = target->shop;
    const struct sb_cache_owner owner = {target->path, name};
    enum sb_layer_state state = target->started ? target->results[i].state : SB_LAYER_UNKNOWN;
    if (state != SB_LAYER_UNKNOWN || (!planned && target->state == SB_TARGET_DONE))
        return planned && state == SB_LAYER_BUILT;
    if (!planned && target->started && target->open == 0 && i == target->next)
        return true;
    return shop->request->cache_from.n == 0 && !sb_cache_has_last(shop->store, &owner);
}

static void add_layers(const struct sb_target *target, bool planned, struct foreign *foreign) {
    size_t end = target->base_count + own_count(target);
    for (size_t i = target->base_count; i < end; i++) {
        const struct sb_recipe_layer *layer = sb_target_layer(target, i);
        const struct sb_place *place = layer ? &layer->place : &target->recipe->from.place;
        const char *name = layer ? layer->name : target->recipe->from.bootstrap.suite;
        if (runs_programs(layer) && is_due(target, i, name, planned))
            add(foreign, place, "the layer", name);
    }
}

/* A test that may be needless is no reason to build nothing. */
static void add_tests(const struct sb_build_wanted *wanted, struct foreign *foreign) {
    const struct sb_build_image *image = wanted->result;
    for (size_t i = 0; i < image->test_count; i++)
        if (image->tests[i].state == SB_TEST_RUN)
            add(foreign, &wanted->target->recipe->tests[i].place, "the test",
                image->tests[i].summary);
}

static enum sb_emulation try(struct sb_build *build, const struct sb_platform *platform) {
    sb_autofree char *directory = sb_store_tmp_new(build->shop.store, "probe", NULL);
    if (!directory || mkdir(directory, 0755) < 0)
        return SB_EMULATION_WORKS;
    return sb_emulation_try(platform->architecture, directory);
}

static int check(struct sb_build *build, struct foreign *foreign, struct sb_error *err) {
    if (foreign->count == 0)
        return 0;
    enum sb_emulation emulation = try(build, foreign->platform);
    if (emulation == SB_EMULATION_WORKS)
        return 0;
    sb_autofree char *text = sb_platform_text(foreign->platform);
    sb_autofree char *own = sb_platform_text(sb_platform_own());
    if (foreign->count > SHOWN)
        sb_buf_addf(&foreign->list, "\nand %zu more", foreign->count - SHOWN);
    sb_fail(err, SB_E_FAILED,
            "this machine, %s, runs no programs of %s, and nothing was run that needs them:%s", own,
            text, sb_buf_text(&foreign->list));
    return sb_emulation_hint(emulation, text, err);
}

int sb_build_check_platforms(struct sb_build *build, bool planned, struct sb_error *err) {
    const char *own = sb_platform_own()->architecture;
    for (size_t p = 0; p < build->loads.platform_count; p++) {
        struct foreign foreign = {.platform = build->loads.platforms[p]};
        if (!strcmp(foreign.platform->architecture, own))
            continue;
        for (size_t i = 0; i < build->target_count; i++)
            if (build->targets[i]->platform == foreign.platform)
                add_layers(build->targets[i], planned, &foreign);
        for (size_t i = 0; i < build->wanted_count; i++)
            if (build->wanted[i].target->platform == foreign.platform)
                add_tests(&build->wanted[i], &foreign);
        int failed = check(build, &foreign, err);
        sb_buf_free(&foreign.list);
        if (failed)
            return -1;
    }
    return 0;
}
