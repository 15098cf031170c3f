/*
 * cli/progress: what a build, a push or a pull shows while it runs.
 *
 *     tty      a line for each running layer or moving blob, redrawn in place; finished layers
 *              scroll up above them
 *     plain    lines that read well in a CI log: output of steps prefixed with the layer's name
 *     json     one JSON object a line, on stderr, for programs
 */
#ifndef SB_CLI_PROGRESS_H
#define SB_CLI_PROGRESS_H

#include "base/error.h"
#include "builder/build.h"
#include "registry/transfer.h"

struct sb_progress;

/* how: "auto" (tty when stderr is one, else plain), "tty", "plain" or "json"; SB_E_USAGE otherwise.
 * explain: say why a layer is built. */
int sb_progress_new(const char *how, bool explain, struct sb_progress **out, struct sb_error *err);
/* For sb_build_request.notify, with the progress as data. */
void sb_progress_notify(void *progress, const struct sb_event *event);
/* For pushes and pulls; also beside a build. */
void sb_progress_transfer(void *progress, const struct sb_transfer_event *event);
/* Tells what the registry is waited for, as long as the progress is there. */
void sb_progress_watch(struct sb_progress *progress, struct sb_registry *registry);
/* In JSON, the error that ended the build, by the name of its code; people are told by main. */
void sb_progress_error(struct sb_progress *progress, const struct sb_error *err);
/* Takes out of an error what lines of the log have said already, whole. After sb_progress_error. */
void sb_progress_said(const struct sb_progress *progress, struct sb_error *err);
/* Clears what is drawn in place, or ends a line that is not whole; after that other text may be
 * printed. */
void sb_progress_free(struct sb_progress *progress);

#endif
