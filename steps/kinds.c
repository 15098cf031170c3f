#include "steps/kinds.h"

#include <stddef.h>

#define ROW(name) &sb_step_kind_##name,
const struct sb_step_kind *const sb_step_kinds[] = {SB_STEP_KINDS(ROW) NULL};
