#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/memory.h"
#include "registry/reference.h"
#include "registry/remote_private.h"

enum {
    PAGE = 1000,          /* tags to ask for at once; the registry may give fewer */
    PAGE_LIMIT = 4 << 20, /* bytes */
    EMPTY_PAGES = 10,     /* in a row: a list of nothing must end, too */
    PAGES = 1000,         /* in all */
};

/* Adds the tags of one page; returns how many, or -1. Names that no request could ask for are left
 * out. */
static long add_page(const struct sb_http_response *response, size_t limit, struct sb_strings *out,
                     struct sb_error *err) {
    sb_autojson json_t *page = sb_remote_json(response, err);
    if (!page)
        return -1;
    const json_t *tags = json_object_get(page, "tags");
    if (!json_is_array(tags) && !json_is_null(tags))
        return sb_fail(err, SB_E_NETWORK, "the list of tags has no \"tags\"");
    if (out->n + json_array_size(tags) > limit)
        return sb_fail(err, SB_E_NETWORK, "there are more than %zu tags", limit);
    for (size_t i = 0; i < json_array_size(tags); i++) {
        const char *tag = json_string_value(json_array_get(tags, i));
        if (tag && sb_tag_valid(tag))
            sb_strings_add(out, tag);
    }
    return (long)json_array_size(tags);
}

int sb_remote_tags(struct sb_remote *remote, size_t limit, struct sb_strings *out,
                   struct sb_error *err) {
    static const char what[] = "GET tags";
    sb_autofree char *target = sb_format("/v2/%s/tags/list?n=%d", remote->repository, PAGE);
    for (int empty = 0, pages = 0; target;) {
        struct sb_http_request request = sb_remote_request(remote, "GET", target);
        request.limit = PAGE_LIMIT;
        sb_autoresponse struct sb_http_response response = {0};
        if (sb_remote_perform(remote, &request, what, &response, err) < 0)
            return -1;
        if (response.status != 200)
            return sb_remote_refused(remote, &response, what, err);
        long added = add_page(&response, limit, out, err);
        sb_autofree char *next = NULL;
        if (added < 0 || sb_remote_next_page(remote, target, &response, &next, err) < 0)
            return sb_remote_context(remote, what, err);
        empty = added == 0 ? empty + 1 : 0;
        if (next && (empty >= EMPTY_PAGES || ++pages == PAGES || !strcmp(next, target))) {
            sb_fail(err, SB_E_NETWORK, "the list of tags does not end");
            return sb_remote_context(remote, what, err);
        }
        free(target);
        target = sb_steal(next);
    }
    return 0;
}
