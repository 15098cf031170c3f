#include "context/input.h"

#include <stdlib.h>

void sb_input_list_free(struct sb_input_list *list) {
    free(list->v);
    sb_arena_free(&list->arena);
    *list = (struct sb_input_list){0};
}
