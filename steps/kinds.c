#include "steps/kinds.h"

#include <stddef.h>

const struct sb_step_kind *const sb_step_kinds[] = {
    &sb_step_kind_apt,
    &sb_step_kind_pip,
    &sb_step_kind_run,
    &sb_step_kind_copy,
    &sb_step_kind_download,
    &sb_step_kind_prune,
    NULL,
};
