/*
 * deploy/host/systemd: this machine's systemd, by its own programs systemctl and journalctl.
 *
 * Nothing here waits for a unit to become what it should be: that is deploy/node/health's.
 */
#ifndef SB_DEPLOY_HOST_SYSTEMD_H
#define SB_DEPLOY_HOST_SYSTEMD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buffer.h"
#include "base/error.h"
#include "document/pairs.h"

#define SB_SYSTEMD_OLDEST 247 /* the first with LoadCredential= */
#define SB_SYSTEMD_UNITS  "/etc/systemd/system"

/* Whether systemd runs here, and is new enough; the message says what is missing. */
int sb_systemd_check(int *out_version, struct sb_error *err);
/* The version in the first line of `systemctl --version`; 0 when it has none. */
int sb_systemd_parse_version(const char *text);
/* Seconds of "1min 30s"; 0: "infinity", or none. */
double sb_systemd_parse_span(const char *text);

int sb_systemd_reload(struct sb_error *err);
/* systemctl VERB UNIT: start, stop, … Returns when systemd is done with it. */
int sb_systemd_do(const char *verb, const char *unit, struct sb_error *err);
/* systemctl stop of a service; what puts off its end beyond its TimeoutStopSec= is killed. */
int sb_systemd_stop(const char *unit, struct sb_error *err);
/* The same without stopping what requires it. */
int sb_systemd_stop_alone(const char *unit, struct sb_error *err);
/* Kills all its processes. */
int sb_systemd_kill(const char *unit, struct sb_error *err);
/* systemctl VERB UNIT, without waiting for the end of the job. */
int sb_systemd_begin(const char *verb, const char *unit, struct sb_error *err);

struct sb_unit_status {
    char load[24], active[24], sub[24], result[24]; /* "loaded", "active", "running", "success" */
    pid_t main_pid;                                 /* 0: none */
    unsigned restarts;                              /* by itself, since it was started */
    int64_t since;                                  /* seconds: when it became active; 0 */
    bool reload_needed;
    bool has_job;        /* systemd is to start or stop it, and has not come to it, or is at it */
    int64_t began;       /* seconds: when its main process was started last; 0 */
    char fragment[4096]; /* path of its file; "" when there is none */
};
int sb_systemd_status(const char *unit, struct sb_unit_status *out, struct sb_error *err);
/* Lines "NAME=VALUE" of these properties ("A,B"), those that this systemd knows. */
int sb_systemd_show(const char *unit, const char *properties, struct sb_buf *out,
                    struct sb_error *err);

/* Some of a unit's properties ("Id,WantedBy"), as systemd writes them: NAME=VALUE. Of a unit that
 * there is no file of, too: others may speak of it. Those that this systemd doesn't know are
 * missing. */
int sb_systemd_properties(const char *unit, const char *names, struct sb_pairs *out,
                          struct sb_error *err);
/* How long a unit may take to stop until systemd kills it, and a little more; 0: that is endless,
 * or unknown. */
double sb_systemd_stop_limit(const char *unit);

/* Leaves a line in a unit's journal, where there is one. */
void sb_systemd_note(const char *unit, const char *line);

/* The unit's last lines since then (seconds), at most so many, as journalctl writes them. An empty
 * excerpt when there is no journal. */
void sb_systemd_journal(const char *unit, int64_t since, int lines, struct sb_buf *out);

#endif
