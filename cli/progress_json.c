#include "cli/progress_json.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/json.h"
#include "base/memory.h"
#include "cli/command.h"

static void print(const json_t *o) {
    sb_autobuf struct sb_buf text = {0};
    sb_cli_add_json(o, &text);
    fprintf(stderr, "%s\n", text.data);
}

void sb_progress_json_event(const struct sb_event *e) {
    static const char *const names[] = {
        [SB_EVENT_LAYER_START] = "start", [SB_EVENT_LAYER_OUTPUT] = "output",
        [SB_EVENT_LAYER_PACK] = "pack",   [SB_EVENT_LAYER_DONE] = "done",
        [SB_EVENT_TEST] = "test",         [SB_EVENT_WAIT] = "wait",
        [SB_EVENT_FETCH] = "fetch",       [SB_EVENT_READ] = "read",
        [SB_EVENT_ALONE] = NULL,          [SB_EVENT_LAYER_GROW] = NULL,
        [SB_EVENT_RESTART] = NULL};
    const struct sb_layer_result *r = e->layer;
    sb_autojson json_t *o =
        json_pack("{s:s, s:I, s:o, s:o}", "event", names[e->type], "id", (json_int_t)e->id,
                  "recipe", sb_json_from_bytes(r->recipe), "layer", sb_json_from_bytes(r->name));
    if (r->platform)
        json_object_set_new(o, "platform", json_string(r->platform));
    if (e->text) {
        sb_autofree char *text = sb_strndup(e->text, e->text_len);
        json_object_set_new(o, "text", sb_json_from_text(text));
    }
    if (e->type == SB_EVENT_LAYER_START && r->cause)
        json_object_set_new(o, "cause", sb_json_from_text(r->cause));
    if (e->type == SB_EVENT_LAYER_DONE && r->state != SB_LAYER_UNKNOWN) {
        json_object_set_new(o, "cached", json_boolean(r->state != SB_LAYER_BUILT));
        if (r->repository)
            json_object_set_new(o, "repository", sb_json_from_bytes(r->repository));
        json_object_set_new(o, "size", json_integer((json_int_t)sb_parts_size(&r->parts)));
        json_object_set_new(o, "seconds", json_real(r->seconds));
        json_object_set_new(o, "diff_id", json_string(sb_digest_text(&r->parts.v[0].diff_id).text));
    }
    print(o);
}

static const char *transfer_name(enum sb_transfer_state state) {
    static const char *const names[] = {
#define X(state, name) [state] = name,
        SB_TRANSFER_STATES(X)
#undef X
    };
    return names[state];
}

void sb_progress_json_transfer(const struct sb_transfer_event *e) {
    sb_autojson json_t *o =
        json_pack("{s:s, s:s, s:s, s:s, s:I, s:I, s:s*}", "event", "transfer", "state",
                  transfer_name(e->state), "direction", e->sending ? "send" : "fetch", "digest",
                  sb_digest_text(&e->blob->digest).text, "size", (json_int_t)e->blob->size, "bytes",
                  (json_int_t)e->bytes, "repository", e->where);
    print(o);
}

void sb_progress_json_message(const char *event, const char *text) {
    sb_autojson json_t *o =
        json_pack("{s:s, s:o}", "event", event, "message", sb_json_from_text(text));
    print(o);
}

void sb_progress_json_error(const struct sb_error *err) {
    sb_autojson json_t *o =
        json_pack("{s:s, s:s, s:i, s:o, s:o}", "event", "error", "code", sb_error_name(err->code),
                  "status", sb_error_exit_status(err->code), "message",
                  sb_json_from_text(err->message), "hint", sb_json_from_text(err->hint));
    print(o);
}
