/*
 * What can be known of all steps before the first one runs: what they read is there, and was given.
 *
 * An hour of other layers is a bad time to be told of a misspelt name. Nothing is looked at while
 * all layers have a record: then their sources have been read already.
 */
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/process.h"
#include "builder/build_private.h"
#include "builder/moving.h"
#include "document/schema.h"
#include "layers/room.h"
#include "sandbox/runtime.h"
#include "steps/authorities.h"
#include "steps/bootstrap.h"

/* ---- all problems at once ---- */

struct problems {
    struct sb_buf text;
    struct sb_error first;
    size_t count, shown;
    enum sb_error_code code; /* of the whole */
};

/* What is wrong with a file is said before what is wrong with the machine. */
static int weight(enum sb_error_code code) {
    return code == SB_E_RECIPE ? 2 : code == SB_E_USAGE ? 1 : 0;
}

static void add_problem(struct problems *p, const struct sb_error *err) {
    if (p->count == 0) {
        p->first = *err;
        p->code = err->code;
    }
    if (weight(err->code) > weight(p->code))
        p->code = err->code;
    p->count++;
    if (p->shown == SB_PROBLEM_LIMIT || p->text.len > sizeof err->message / 2)
        return;
    p->shown++;
    sb_buf_addf(&p->text, "%s%.2000s", p->count > 1 ? "\n" : "", err->message);
    if (err->hint[0])
        sb_buf_addf(&p->text, " (%s)", err->hint);
}

/* -1 when there are any; err may be NULL. Frees. */
static int finish(struct problems *p, struct sb_error *err) {
    if (p->count > p->shown)
        sb_buf_addf(&p->text, "\nand %zu more", p->count - p->shown);
    if (p->count == 1 && err)
        *err = p->first;
    else if (p->count > 1)
        sb_fail(err, p->code, "%zu things are wrong, and no step was run:\n%s", p->count,
                sb_buf_text(&p->text));
    sb_buf_free(&p->text);
    return p->count > 0 ? -1 : 0;
}

/* ---- secrets ---- */

static bool is_given(const struct sb_secrets *secrets, const char *name) {
    for (size_t i = 0; i < secrets->n; i++)
        if (!strcmp(secrets->v[i].name, name))
            return true;
    return false;
}

static void check_secrets(const struct sb_build *build, const struct sb_strings *secrets,
                          const struct sb_place *place, struct problems *problems) {
    for (size_t i = 0; i < secrets->n; i++) {
        const char *name = secrets->v[i];
        struct sb_error err = {0};
        if (is_given(&build->shop.request->secrets, name))
            continue;
        sb_fail(&err, SB_E_USAGE, "%s:%d: the secret %s was not given", place->file, place->line,
                name);
        sb_error_hint(&err, "add --secret id=%s,src=FILE or --secret id=%s,env=VARIABLE", name,
                      name);
        add_problem(problems, &err);
    }
}

static void check_step_secrets(const struct sb_build *build, const struct sb_step *step,
                               struct problems *problems) {
    check_secrets(build, &step->secrets, &step->place, problems);
}

static bool runs_tests(const struct sb_build_request *request) {
    return !request->skip_tests && !request->until && !request->untagged;
}

/* Of the recipes that were asked for; a service that is started has its own. */
static void check_test_secrets(const struct sb_build *build, struct problems *problems) {
    const struct sb_build_request *request = build->shop.request;
    for (size_t i = 0; i < build->wanted_count && runs_tests(request); i++) {
        const struct sb_recipe *recipe = build->wanted[i].target->recipe;
        for (size_t t = 0; t < recipe->test_count; t++) {
            const struct sb_recipe_test *test = &recipe->tests[t];
            if (test->step.left_out)
                continue;
            check_secrets(build, test->service ? &recipe->service.secrets : &test->step.secrets,
                          &test->place, problems);
        }
    }
}

/* ---- what steps read of their context ---- */

static int check_copy(struct sb_context *context, const struct sb_step *step, bool deep,
                      struct sb_error *err) {
    const struct sb_placing *placing = sb_step_placing(step);
    sb_autofree char *place = sb_format("%s:%d", step->place.file, step->place.line);
    const struct sb_selection selection = {&placing->from, &placing->include, &placing->exclude,
                                           place};
    return sb_context_check(context, &selection, deep, err);
}

/* -1: interrupted. */
static int check_step(struct sb_target *target, const struct sb_recipe_layer *layer,
                      const struct sb_step *step, bool deep, struct problems *problems) {
    struct sb_error err = {0};
    bool copies = sb_step_copies(step);
    for (size_t i = 0; i < step->input_count; i++)
        if (check_step(target, layer, &step->inputs[i], deep, problems) < 0)
            return -1;
    if (copies && !sb_origin_is_context(&sb_step_placing(step)->origin))
        return 0; /* of another target, which may not be there yet */
    bool settled = sb_moving_settle(target->shop, target->recipe, step, &err) == 0;
    if (settled && !copies && !step->kind->look)
        return 0;
    if (settled && (copies ? check_copy(target->context, step, deep, &err)
                           : step->kind->look(step, target->context, deep, &err)) == 0)
        return 0;
    if (err.code == SB_E_INTERRUPTED)
        return -1;
    if (settled)
        sb_step_at(step, &err);
    sb_error_context(&err, "layer %s", layer->name);
    add_problem(problems, &err);
    return 0;
}

/* The recipe's layer that a result is, or 0 of one that is below these. */
static size_t layer_of(const struct sb_target *target, size_t result) {
    size_t own = target->base_count + (target->recipe->from.kind == SB_FROM_BOOTSTRAP);
    return result > own ? result - own : 0;
}

/* The first of the recipe's layers that isn't there. */
static size_t pending_layer(const struct sb_target *target) {
    return target->started ? layer_of(target, target->next) : 0;
}

/* The first that nobody looked at. What a started target is at has been, unless that failed. */
static size_t first_layer(const struct sb_target *target) {
    return target->started ? layer_of(target, target->next + !target->keyless) : 0;
}

/* How many layers of the recipe are built. */
static size_t layers_of(const struct sb_target *target) {
    const struct sb_recipe *recipe = target->recipe;
    for (size_t i = 0; i < recipe->layer_count && target->until; i++)
        if (!strcmp(recipe->layers[i].name, target->until))
            return i + 1;
    return target->until ? 0 : recipe->layer_count; /* it is the bootstrap */
}

static int check_target(struct sb_target *target, bool deep, struct problems *problems) {
    const struct sb_recipe *recipe = target->recipe;
    struct sb_error err = {0};
    size_t first = first_layer(target), count = layers_of(target);
    if (first >= count)
        return 0;
    if (sb_target_open_context(target, &err) < 0) {
        add_problem(problems, &err);
        return 0;
    }
    for (size_t l = first; l < count; l++)
        for (size_t s = 0; s < recipe->layers[l].step_count; s++)
            if (check_step(target, &recipe->layers[l], &recipe->layers[l].steps[s], deep,
                           problems) < 0)
                return -1;
    return 0;
}

static int check_targets(struct sb_build *build, bool deep, struct problems *problems,
                         struct sb_error *err) {
    for (size_t i = 0; i < build->target_count; i++)
        if (check_target(build->targets[i], deep, problems) < 0)
            return sb_interrupt_check(err);
    return 0;
}

int sb_build_check_given(struct sb_build *build, struct sb_error *err) {
    struct problems problems = {0};
    int failed = 0;
    for (size_t n = 0; n < build->target_count; n++) {
        const struct sb_recipe *recipe = build->targets[n]->recipe;
        for (size_t l = 0; l < layers_of(build->targets[n]); l++)
            for (size_t s = 0; s < recipe->layers[l].step_count; s++)
                check_step_secrets(build, &recipe->layers[l].steps[s], &problems);
    }
    check_test_secrets(build, &problems);
    if (problems.count > 0)
        failed = check_targets(build, false, &problems, err);
    return finish(&problems, failed ? NULL : err) < 0 || failed ? -1 : 0;
}

static bool has_network(const struct sb_target *target) {
    const struct sb_recipe *recipe = target->recipe;
    for (size_t l = pending_layer(target); l < layers_of(target); l++)
        for (size_t s = 0; s < recipe->layers[l].step_count; s++)
            if (recipe->layers[l].steps[s].kind->runs_programs &&
                recipe->layers[l].steps[s].network)
                return true;
    return false;
}

static bool tests_have_network(const struct sb_build *build) {
    for (size_t i = 0; i < build->wanted_count && runs_tests(build->shop.request); i++) {
        const struct sb_recipe *recipe = build->wanted[i].target->recipe;
        for (size_t t = 0; t < recipe->test_count; t++)
            if (recipe->tests[t].step.network && !recipe->tests[t].step.left_out)
                return true;
    }
    return false;
}

/* Whom steps believe that have the network. */
static void check_authorities(const struct sb_build *build, struct problems *problems) {
    struct sb_error err = {0};
    bool wanted = tests_have_network(build);
    for (size_t i = 0; i < build->target_count && !wanted; i++)
        wanted = has_network(build->targets[i]);
    if (wanted && sb_step_authorities_check(build->shop.settings, &err) < 0)
        add_problem(problems, &err);
}

/* ---- what this machine lacks ---- */

/* Whether a step of its own that may have to run has programs of the root. */
static bool runs_in_root(const struct sb_target *target) {
    const struct sb_recipe *recipe = target->recipe;
    for (size_t l = pending_layer(target); l < layers_of(target); l++)
        for (size_t s = 0; s < recipe->layers[l].step_count; s++) {
            const struct sb_step_kind *kind = recipe->layers[l].steps[s].kind;
            if (kind->runs_programs && !kind->runs_outside)
                return true;
        }
    return false;
}

static bool runs_tests_in_root(const struct sb_build *build) {
    for (size_t i = 0; i < build->wanted_count && runs_tests(build->shop.request); i++)
        if (build->wanted[i].target->recipe->test_count > 0)
            return true;
    return false;
}

static void check_runtime(const struct sb_build *build, struct problems *problems) {
    struct sb_error err = {0};
    struct sb_runtimes runtimes = {0};
    bool wanted = runs_tests_in_root(build);
    for (size_t i = 0; i < build->target_count && !wanted; i++)
        wanted = runs_in_root(build->targets[i]);
    if (wanted && sb_runtimes_find(build->shop.store, build->shop.settings, &runtimes, &err) < 0)
        add_problem(problems, &err);
    sb_runtimes_free(&runtimes);
}

static void check_bootstraps(const struct sb_build *build, struct problems *problems) {
    for (size_t i = 0; i < build->target_count; i++) {
        const struct sb_target *target = build->targets[i];
        const struct sb_from *from = &target->recipe->from;
        struct sb_error err = {0};
        bool wanted = from->kind == SB_FROM_BOOTSTRAP &&
                      (!target->started || target->next == target->base_count);
        if (!wanted || sb_bootstrap_check(&from->bootstrap, &err) == 0)
            continue;
        sb_error_context(&err, "%s:%d:%d", from->place.file, from->place.line, from->place.column);
        add_problem(problems, &err);
        return;
    }
}

/* How much it will be nobody knows; where there is next to nothing it will fail. */
static void check_room(const struct sb_build *build, struct problems *problems) {
    enum { NEXT_TO_NOTHING = 1 << 20 };
    struct sb_error err = {0};
    if (sb_store_room(build->shop.store, NEXT_TO_NOTHING, &err) < 0) {
        sb_error_context(&err, "the store %s", sb_store_path(build->shop.store));
        add_problem(problems, &err);
    }
}

int sb_build_check_inputs(struct sb_build *build, bool deep, struct sb_error *err) {
    if (build->checked > deep)
        return 0;
    build->checked = deep ? 2 : 1;
    struct problems problems = {0};
    check_authorities(build, &problems);
    check_runtime(build, &problems);
    check_bootstraps(build, &problems);
    check_room(build, &problems);
    int failed = check_targets(build, deep, &problems, err);
    return finish(&problems, failed ? NULL : err) < 0 || failed ? -1 : 0;
}
