/*
 * How a recipe's way to an image begins: its base image, and what there is to decide.
 */
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "builder/base_paths.h"
#include "builder/image_config.h"
#include "builder/node.h"
#include "builder/source.h"

struct sb_node *sb_node_root(struct sb_node *node) {
    while (node->base)
        node = node->base;
    return node;
}

static int load_base(struct sb_node *node, struct sb_error *err) {
    const struct sb_from *from = &node->recipe->from;
    const struct sb_source_site site = {node->build->store, node->build->request->registry};
    struct sb_source source;
    if (sb_source_load(&site, node->recipe, &source, err) < 0)
        return -1;
    node->image = source.image;
    node->pinned = sb_steal(source.pinned);
    node->said_paths = json_incref(sb_base_paths_said(&node->image));
    source.image = (struct sb_image){0};
    if (source.reference)
        sb_build_warn(node->build, "%s:%d: %s is not in the lock file; it is %s now",
                      from->place.file, from->place.line, source.reference,
                      strrchr(node->pinned, '@') + 1);
    sb_source_free(&source);
    return 0;
}

static int start_image(struct sb_node *node, struct sb_error *err) {
    const struct sb_from *from = &node->recipe->from;
    if (node->base) {
        sb_image_copy(&node->image, &node->base->image);
        return 0;
    }
    if (from->kind == SB_FROM_IMAGE)
        return load_base(node, err);
    sb_image_init(&node->image, sb_platform_architecture(), sb_platform_variant());
    if (from->kind == SB_FROM_BOOTSTRAP)
        sb_image_add_path(&node->image);
    return 0;
}

static void prepare_results(struct sb_node *node) {
    bool bootstrap = node->recipe->from.kind == SB_FROM_BOOTSTRAP;
    node->base_count = node->base ? 0 : node->image.layer_count;
    node->result_count = node->base_count + bootstrap + node->recipe->layer_count;
    node->results = sb_alloc((node->result_count + 1) * sizeof *node->results);
    for (size_t i = 0; i < node->base_count; i++) {
        const struct sb_image_layer *l = &node->image.layers[i];
        struct sb_layer_result *r = &node->results[i];
        *r = (struct sb_layer_result){.state = SB_LAYER_BASE, .layer = l->layer};
        r->name = l->name ? sb_strdup(l->name) : sb_format("base-%zu", i + 1);
        r->summary = sb_strdup(l->created_by ? l->created_by : "");
    }
    struct sb_layer_result *r = &node->results[node->base_count];
    if (bootstrap) {
        const struct sb_bootstrap *b = &node->recipe->from.bootstrap;
        r->name = sb_strdup(b->suite);
        r->summary = sb_format("bootstrap %s %s", b->distribution, b->suite);
        r++;
    }
    for (size_t i = 0; i < node->recipe->layer_count; i++, r++) {
        r->name = sb_strdup(node->recipe->layers[i].name);
        r->summary = sb_layer_summary(&node->recipe->layers[i]);
    }
    for (size_t i = 0; i < node->result_count; i++)
        node->results[i].recipe = node->recipe->name;
    for (size_t i = 0; i < node->result_count; i++)
        node->results[i].source = node->recipe;
    node->next = node->base_count;
}

int sb_node_start(struct sb_node *node, struct sb_error *err) {
    if (node->started)
        return 0;
    if (start_image(node, err) < 0)
        return -1;
    sb_image_environment(&node->image, &node->recipe->image, &node->env);
    node->workdir = sb_image_workdir(&node->image, &node->recipe->image);
    prepare_results(node);
    node->started = true;
    return 0;
}
