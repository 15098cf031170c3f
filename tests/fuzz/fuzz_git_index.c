/* The index of a git checkout: whoever made the checkout wrote it. */

#include "context/git_index.h"
#include "tests/fuzz/fuzz.h"

static bool visit(void *data, const struct sb_git_index_entry *entry) {
    size_t *left = data;
    if (strlen(entry->path) == 0 || strlen(entry->path) > 4096)
        abort();
    return (*left)-- > 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    size_t left = 100000;
    sb_git_index_read(data, size, visit, &left);
    return 0;
}
