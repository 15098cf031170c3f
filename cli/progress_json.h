/*
 * cli/progress_json: what --progress json prints: one object a line, on stderr.
 */
#ifndef SB_CLI_PROGRESS_JSON_H
#define SB_CLI_PROGRESS_JSON_H

#include "base/error.h"
#include "builder/build.h"
#include "registry/transfer.h"

void sb_progress_json_event(const struct sb_event *event); /* of a layer */
void sb_progress_json_transfer(const struct sb_transfer_event *event);
void sb_progress_json_message(const char *event, const char *text);
void sb_progress_json_error(const struct sb_error *err);

#endif
