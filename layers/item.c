#include "layers/item.h"

const char *sb_item_kind_name(enum sb_item_kind kind) {
    static const char *const names[] = {
#define X(item, name) [item] = name,
        SB_ITEM_KINDS(X)
#undef X
    };
    return names[kind];
}
