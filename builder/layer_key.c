#include "builder/layer_key.h"

#include <string.h>
#include <sys/stat.h>

#include "base/json.h"
#include "base/memory.h"
#include "document/environment.h"
#include "document/image_config.h"
#include "steps/workdir.h"

bool sb_layer_is_copy(const struct sb_recipe_layer *layer) {
    return sb_layer_copies_first(layer) == layer->step_count;
}

bool sb_recipe_runs_steps(const struct sb_recipe *recipe) {
    if (recipe->from.kind == SB_FROM_BOOTSTRAP)
        return true;
    for (size_t i = 0; i < recipe->layer_count; i++)
        if (!sb_layer_is_copy(&recipe->layers[i]))
            return true;
    return false;
}

bool sb_recipe_needs_root(const struct sb_recipe *recipe) {
    size_t n;
    if (recipe->test_count > 0)
        return true;
    struct sb_recipe *const *all = sb_recipe_all(recipe, &n); /* each after what it needs */
    sb_autofree bool *needed = sb_alloc((n + 1) * sizeof *needed);
    for (size_t i = n; i-- > 0;) {
        needed[i] = needed[i] || all[i] == recipe;
        if (needed[i] && sb_recipe_runs_steps(all[i]))
            return true;
        for (size_t k = 0; k < i && needed[i]; k++)
            for (size_t e = 0; e < all[i]->need_count; e++)
                needed[k] = needed[k] || all[i]->needs[e] == all[k];
    }
    return false;
}

bool sb_layer_reads_context(const struct sb_recipe_layer *layer) {
    for (size_t i = 0; i < layer->step_count; i++) {
        const struct sb_step *step = &layer->steps[i];
        const struct sb_origin *origin;
        if (step->kind->inputs)
            return true;
        for (size_t n = 0; (origin = sb_step_origin(step, n)); n++)
            if (sb_origin_is_context(origin))
                return true;
    }
    return false;
}

bool sb_layer_takes(const struct sb_recipe_layer *layer) {
    for (size_t i = 0; i < layer->step_count; i++) {
        const struct sb_origin *origin;
        for (size_t n = 0; (origin = sb_step_origin(&layer->steps[i], n)); n++)
            if (!sb_origin_is_context(origin))
                return true;
    }
    return false;
}

bool sb_layer_fetches(const struct sb_recipe_layer *layer) {
    for (size_t i = 0; i < layer->step_count; i++)
        if (sb_step_downloads(&layer->steps[i]))
            return true;
    return false;
}

size_t sb_layer_copies_first(const struct sb_recipe_layer *layer) {
    size_t n = 0;
    while (n < layer->step_count && sb_step_placing(&layer->steps[n]))
        n++;
    return n;
}

bool sb_layer_keeps_products(const struct sb_recipe_layer *layer) {
    for (size_t i = 0; i < layer->step_count; i++)
        if (layer->steps[i].kind->goes_by_times && layer->steps[i].caches.n > 0)
            return true;
    return false;
}

static bool has_environment(const struct sb_recipe_layer *layer) {
    for (size_t i = 0; i < layer->step_count; i++)
        if (layer->steps[i].kind->sees_env || layer->steps[i].env.n)
            return true;
    return false;
}

/* Of a value that names what is there, but not for this step: better said so. */
static int explain_hidden(const struct sb_step *step, const struct sb_pairs *templates,
                          struct sb_error *err) {
    for (size_t i = 0; i < templates->n; i++) {
        const struct sb_pair *pair = &templates->v[i];
        const char *hidden = sb_environment_hidden(pair, &step->args);
        sb_autofree char *name = sb_format("${%s}", pair->name);
        for (size_t k = 0; k < step->env.n && hidden; k++)
            if (strstr(step->env.v[k].value, name))
                return sb_fail(err, SB_E_RECIPE,
                               "%s:%d:%d: key \"%s\": %s is made of the argument %s, which the "
                               "step does not see (args: [%s] shows it)",
                               step->place.file, step->env.v[k].line, step->env.v[k].column,
                               step->env.v[k].name, name, hidden, hidden);
    }
    return -1;
}

/* Of a copy of what it sees, as values may name that, and one another. */
static int own_environment(const struct sb_layer_site *site, const struct sb_step *step,
                           struct sb_step_environment *env, struct sb_error *err) {
    struct sb_pairs all = {0};
    sb_pairs_add(&all, &env->seen);
    int failed =
        sb_environment_add(&all, &step->env, &site->recipe->args, NULL, site->recipe->path, err);
    for (size_t i = 0; i < step->env.n && !failed; i++)
        sb_pairs_set(&env->own, step->env.v[i].name, sb_pairs_get(&all, step->env.v[i].name));
    sb_pairs_free(&all);
    if (failed && step->kind->sees_env) {
        explain_hidden(step, &site->recipe->image.env, err);
        explain_hidden(step, &site->recipe->build.env, err);
    }
    return failed;
}

int sb_layer_environment(const struct sb_layer_site *site, const struct sb_step *step,
                         struct sb_step_environment *out, struct sb_error *err) {
    const struct sb_recipe *recipe = site->recipe;
    if (step->kind->sees_env &&
        (sb_image_environment(site->below, recipe, &step->args, &out->seen, err) < 0 ||
         sb_environment_add(&out->seen, &recipe->build.env, &recipe->args, &step->args,
                            recipe->path, err) < 0))
        return -1;
    return step->env.n ? own_environment(site, step, out, err) : 0;
}

void sb_step_environment_free(struct sb_step_environment *env) {
    sb_pairs_free(&env->seen);
    sb_pairs_free(&env->own);
}

static void set_string(json_t *object, const char *key, const char *value) {
    json_object_set_new(object, key, sb_json_from_bytes(value));
}

static void set_digest(json_t *object, const char *key, const struct sb_digest *digest) {
    json_object_set_new(object, key, json_string(sb_digest_text(digest).text));
}

static json_t *words(const struct sb_strings *list) {
    json_t *array = json_array();
    for (size_t i = 0; i < list->n; i++)
        json_array_append_new(array, sb_json_from_bytes(list->v[i]));
    return array;
}

static json_t *pairs(const struct sb_pairs *list) {
    json_t *object = json_object();
    for (size_t i = 0; list && i < list->n; i++)
        set_string(object, list->v[i].name, list->v[i].value);
    return object;
}

static void add_common(const struct sb_layer_site *site, const char *kind, json_t *key) {
    json_object_set_new(key, "version", json_integer(SB_KEY_VERSION));
    json_object_set_new(key, "kind", json_string(kind));
    json_object_set_new(key, "epoch", json_integer(site->epoch));
    json_object_set_new(key, "compression",
                        json_string(site->recipe->compression == SB_RECIPE_GZIP ? "gzip" : "zstd"));
}

/* With the variant, though it mostly goes without saying. */
static void add_platform(const struct sb_layer_site *site, json_t *key) {
    const struct sb_platform *p = site->platform;
    sb_autofree char *platform = sb_format("%s/%s%s%s", p->os, p->architecture,
                                           p->variant ? "/" : "", p->variant ? p->variant : "");
    set_string(key, "platform", platform);
}

static const struct sb_secret *find_secret(const struct sb_secrets *secrets, const char *name) {
    for (size_t i = 0; secrets && i < secrets->n; i++)
        if (!strcmp(secrets->v[i].name, name))
            return &secrets->v[i];
    return NULL;
}

/* Where they are, if not in /run/secrets. */
static void add_secret_places(const struct sb_step *step, json_t *out) {
    json_t *places = json_array();
    for (size_t i = 0; i < step->secret_places.n; i++)
        if (*step->secret_places.v[i] || *step->secret_variables.v[i])
            json_array_append_new(places, json_pack("[s, o, s]", step->secrets.v[i],
                                                    sb_json_from_bytes(step->secret_places.v[i]),
                                                    step->secret_variables.v[i]));
    if (json_array_size(places))
        json_object_set(out, "secret_places", places);
    json_decref(places);
}

static int add_secrets(const struct sb_layer_site *site, const struct sb_step *step, json_t *out,
                       struct sb_error *err) {
    if (step->secrets.n == 0)
        return 0;
    json_t *object = json_object();
    json_object_set_new(out, "secrets", object);
    for (size_t i = 0; i < step->secrets.n; i++) {
        const char *name = step->secrets.v[i];
        const struct sb_secret *secret = find_secret(site->secrets, name);
        if (!secret) {
            sb_fail(err, SB_E_RECIPE, "%s:%d:%d: the secret %s was not given", step->place.file,
                    step->place.line, step->place.column, name);
            return sb_error_hint(err, "add --secret id=%s,src=FILE or --secret id=%s,env=VARIABLE",
                                 name, name);
        }
        struct sb_digest digest;
        if (sb_cache_secret_digest(site->store, secret->value, secret->len, &digest, err) < 0)
            return -1;
        set_digest(object, name, &digest);
    }
    add_secret_places(step, out);
    return 0;
}

static void add_args(const struct sb_layer_site *site, const struct sb_step *step, json_t *out) {
    if (step->args_used.n == 0)
        return;
    json_t *object = json_object();
    json_object_set_new(out, "args", object);
    for (size_t i = 0; i < step->args_used.n; i++) {
        const char *value = sb_pairs_get(&site->recipe->args, step->args_used.v[i]);
        set_string(object, step->args_used.v[i], value ? value : "");
    }
}

/* Of a program, that it is one counts, too. */
static void set_input(json_t *object, const struct sb_input *input) {
    sb_autofree char *link = S_ISLNK(input->mode) ? sb_format("link to %s", input->link) : NULL;
    if (link) {
        set_string(object, input->path, link);
    } else if (S_ISREG(input->mode)) {
        const char *program = input->mode & 0100 ? " program" : "";
        sb_autofree char *text = sb_format("%s%s", sb_digest_text(&input->digest).text, program);
        set_string(object, input->path, text);
    }
}

/* The files of the context that the step reads, other than what it copies. */
static int add_inputs(const struct sb_layer_site *site, const struct sb_step *step, json_t *out,
                      struct sb_error *err) {
    if (!step->kind->inputs)
        return 0;
    struct sb_input_list list = {0};
    json_t *object = json_object();
    json_object_set_new(out, "inputs", object);
    int failed = step->kind->inputs(step, site->context, &list, err);
    for (size_t i = 0; i < list.n && !failed; i++)
        set_input(object, &list.v[i]);
    sb_input_list_free(&list);
    if (failed > 0)
        json_object_del(out, "inputs");
    return failed < 0 ? sb_error_context(err, "%s:%d:%d", step->place.file, step->place.line,
                                         step->place.column)
                      : 0;
}

/* What they copy, by digest: from the ground where they land. */
static int add_copied(const struct sb_layer_site *site, const struct sb_step *steps, size_t count,
                      const struct sb_copy_ground *ground, struct sb_copies *copies, json_t *out,
                      struct sb_error *err) {
    struct sb_copied *copied = sb_copies_add(copies);
    if (sb_copy_resolve(steps, count, site->from, ground, &copied->list, err) < 0)
        return -1;
    if (site->brings_workdir && sb_workdir_add(&copied->list, ground, site->workdir, err) < 0)
        return -1;
    sb_copy_listing(&copied->list, &copied->listing);
    struct sb_digest digest = sb_digest_of(copied->listing.data, copied->listing.len);
    set_digest(out, "content", &digest);
    return 0;
}

static json_t *diff_ids(const struct sb_image *image) {
    json_t *out = json_array();
    for (size_t i = 0; i < image->layer_count; i++)
        json_array_append_new(out,
                              json_string(sb_digest_text(&image->layers[i].layer.diff_id).text));
    return out;
}

static void add_place(const struct sb_placing *placing, json_t *out) {
    set_string(out, "to", placing->to);
    json_object_set_new(out, "owner", json_pack("[i,i]", (int)placing->uid, (int)placing->gid));
    json_object_set_new(out, "mode",
                        json_pack("[i,i]", (int)placing->file_mode, (int)placing->directory_mode));
}

/* What is taken of an image, unseen: by its layers, and what is asked of them. */
static void add_unseen(const struct sb_layer_site *site, const struct sb_placing *placing,
                       json_t *out) {
    add_place(placing, out);
    json_object_set_new(out, "owner_given", json_boolean(placing->owner_given));
    json_object_set_new(out, "of", diff_ids(site->origins[placing->origin.need]));
    json_object_set_new(out, "from", words(&placing->from));
    json_object_set_new(out, "include", words(&placing->include));
    json_object_set_new(out, "exclude", words(&placing->exclude));
}

/* Among other steps: where it lands is decided when the steps before have been, and by nothing but
 * them, the layers below and what the step says. */
static int add_gathered(const struct sb_layer_site *site, const struct sb_step *step,
                        struct sb_copies *copies, json_t *out, struct sb_error *err) {
    const struct sb_placing *placing = sb_step_placing(step);
    if (site->by_origin && !sb_origin_is_context(&placing->origin)) {
        add_unseen(site, placing, out);
        return 0;
    }
    struct sb_copied *copied = sb_copies_add(copies);
    struct sb_copy_sources sources = {0};
    json_t *from = json_array();
    add_place(placing, out);
    json_object_set_new(out, "from", from);
    int failed = sb_copy_scan(step, 1, site->from, &sources, err) < 0 ||
                 sb_copy_gather(&sources, &copied->list, err) < 0;
    for (size_t i = 0; i < sources.n && !failed; i++)
        json_array_append_new(from, sb_json_from_bytes(sources.v[i].inputs[0].path));
    if (!failed) {
        sb_copy_listing(&copied->list, &copied->listing);
        sb_arena_take(&copied->list.arena, &sources.arena);
    }
    sb_copy_sources_free(&sources);
    if (failed)
        return -1;
    struct sb_digest digest = sb_digest_of(copied->listing.data, copied->listing.len);
    set_digest(out, "content", &digest);
    return 0;
}

/* What its programs see, by content. */
static int add_shown(const struct sb_layer_site *site, const struct sb_step *step, json_t *out,
                     struct sb_error *err) {
    struct sb_copies copies = {0};
    json_t *shown = json_array();
    int failed = 0;
    if (step->input_count > 0)
        json_object_set(out, "shown", shown);
    for (size_t i = 0; i < step->input_count && !failed; i++) {
        json_t *one = json_object();
        json_array_append_new(shown, one);
        failed = add_gathered(site, &step->inputs[i], &copies, one, err);
    }
    json_decref(shown);
    sb_copies_free(&copies);
    return failed;
}

int sb_layer_step_json(const struct sb_layer_site *site, const struct sb_step *step,
                       struct sb_copies *copies, json_t **out, struct sb_error *err) {
    json_t *json = *out = json_object();
    set_string(json, "kind", step->kind->name);
    json_object_set_new(json, "network",
                        json_boolean(step->network_given ? step->network : step->kind->network));
    if (step->caches.n > 0)
        json_object_set_new(json, "caches", words(&step->caches));
    add_args(site, step, json);
    if (sb_step_copies(step))
        return add_gathered(site, step, copies, json, err);
    json_t *does = json_object();
    json_object_set_new(json, "does", does);
    step->kind->describe(step, does);
    if (add_secrets(site, step, json, err) < 0 || add_shown(site, step, json, err) < 0)
        return -1;
    return add_inputs(site, step, json, err);
}

static int copy_key(const struct sb_layer_site *site, const struct sb_recipe_layer *layer,
                    struct sb_copies *copies, json_t *key, struct sb_error *err) {
    add_common(site, "copy", key);
    return add_copied(site, layer->steps, layer->step_count, site->ground, copies, key, err);
}

/* For the layer where its steps see the same, as they mostly do. */
static int add_environment(const struct sb_layer_site *site, const struct sb_recipe_layer *layer,
                           json_t *key, json_t *steps, struct sb_error *err) {
    if (!has_environment(layer))
        return 0;
    sb_autojson json_t *all = json_array();
    const json_t *first = NULL;
    bool same = true;
    for (size_t i = 0; i < layer->step_count; i++) {
        struct sb_step_environment env = {0};
        int failed = sb_layer_environment(site, &layer->steps[i], &env, err);
        json_array_append_new(all, pairs(&env.seen));
        if (env.own.n)
            json_object_set_new(json_array_get(steps, i), "own_env", pairs(&env.own));
        sb_step_environment_free(&env);
        if (failed)
            return -1;
        const json_t *one = json_array_get(all, i);
        if (layer->steps[i].kind->sees_env) {
            same = same && (!first || json_equal(first, one));
            first = first ? first : one;
        }
    }
    for (size_t i = 0; i < layer->step_count && !same; i++)
        if (layer->steps[i].kind->sees_env)
            json_object_set(json_array_get(steps, i), "env", json_array_get(all, i));
    if (!first)
        return 0;
    if (same)
        json_object_set(key, "env", (json_t *)first);
    json_object_set_new(key, "environment", json_integer(SB_KEY_ENVIRONMENT));
    set_string(key, "workdir", site->workdir);
    sb_autofree char *home = sb_workdir_home_of(site->workdir, site->recipe->image.user);
    if (home)
        json_object_set_new(key, "home", sb_json_from_bytes(home));
    return 0;
}

/* A copy layer by_origin: where it lands depends on what is below. */
static int steps_key(const struct sb_layer_site *site, const struct sb_recipe_layer *layer,
                     struct sb_copies *copies, json_t *key, struct sb_error *err) {
    bool copy = sb_layer_is_copy(layer);
    add_common(site, copy ? "copies" : "steps", key);
    if (copy)
        json_object_set_new(key, "brings",
                            sb_json_from_bytes(site->brings_workdir ? site->workdir : ""));
    else
        add_platform(site, key);
    if (site->by_origin)
        json_object_set_new(key, "by", json_string("origin, attributes"));
    json_object_set_new(key, "below", diff_ids(site->below));
    json_t *steps = json_array();
    json_object_set_new(key, "steps", steps);
    for (size_t i = 0; i < layer->step_count; i++) {
        json_t *step = NULL;
        int failed = sb_layer_step_json(site, &layer->steps[i], copies, &step, err);
        json_array_append_new(steps, step);
        if (failed)
            return -1;
    }
    return add_environment(site, layer, key, steps, err);
}

int sb_layer_key(const struct sb_layer_site *site, const struct sb_recipe_layer *layer,
                 struct sb_copies *copies, struct sb_cache_key *out, struct sb_error *err) {
    *out = (struct sb_cache_key){.json = json_object()};
    bool placed = sb_layer_is_copy(layer) && !site->by_origin;
    int failed = placed ? copy_key(site, layer, copies, out->json, err)
                        : steps_key(site, layer, copies, out->json, err);
    if (failed) {
        sb_cache_key_free(out);
        return sb_error_context(err, "layer %s", layer->name);
    }
    out->digest = sb_json_digest_canonical(out->json);
    return 0;
}

void sb_bootstrap_key(const struct sb_layer_site *site, const struct sb_bootstrap *bootstrap,
                      struct sb_cache_key *out) {
    *out = (struct sb_cache_key){.json = json_object()};
    add_common(site, "bootstrap", out->json);
    add_platform(site, out->json);
    json_t *b = json_object();
    json_object_set_new(out->json, "bootstrap", b);
    set_string(b, "distribution", bootstrap->distribution);
    set_string(b, "suite", bootstrap->suite);
    json_object_set_new(b, "components", words(&bootstrap->components));
    json_object_set_new(b, "packages", words(&bootstrap->packages));
    set_string(b, "mirror", bootstrap->mirror ? bootstrap->mirror : "");
    out->digest = sb_json_digest_canonical(out->json);
}

char *sb_layer_summary(const struct sb_recipe_layer *layer) {
    struct sb_buf out = {0};
    for (size_t i = 0; i < layer->step_count; i++) {
        sb_autofree char *one = layer->steps[i].kind->summary(&layer->steps[i]);
        sb_buf_addf(&out, "%s%s", i ? "; " : "", one);
    }
    return sb_buf_steal(&out);
}
