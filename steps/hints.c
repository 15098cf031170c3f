#include "steps/hints.h"

#include <string.h>

#include "base/memory.h"
#include "layers/room.h"
#include "sandbox/userns.h"

static bool says(const char *text, const char *const *patterns) {
    for (; *patterns; patterns++)
        if (strcasestr(text, *patterns))
            return true;
    return false;
}

/* What resolvers and HTTP clients say that get no answer: curl, wget, busybox, git, apt, pip, npm,
 * cargo, go, Ruby, Java, .NET. */
static const char *const no_network[] = {"temporary failure resolving",
                                         "temporary failure in name resolution",
                                         "could not resolve",
                                         "couldn't resolve",
                                         "unable to resolve",
                                         "name or service not known",
                                         "nameresolutionerror",
                                         "nodename nor servname",
                                         "failed to lookup address",
                                         "eai_again",
                                         " enotfound", /* Python has a FileNotFoundError */
                                         "bad address '",
                                         "bad address: '",
                                         "no such host",
                                         "dial tcp",
                                         "unknownhostexception",
                                         "failed to open tcp connection",
                                         "network is unreachable",
                                         "enetunreach",
                                         "could not connect to",
                                         NULL};

static const char *const no_terminal[] = {"not a tty",
                                          "not a terminal",
                                          "inappropriate ioctl for device",
                                          "no tty present",
                                          "open /dev/tty",
                                          "opening /dev/tty",
                                          "/dev/tty: no such device",
                                          "can't open /dev/tty",
                                          "a terminal is required",
                                          NULL};

static const char *const no_answer[] = {"do you want to continue? [y/n]", "[y/n] abort",
                                        "eof when reading a line", "is this ok [y/n]", NULL};

static const char *const wrong_architecture[] = {"exec format error", "cannot execute binary file",
                                                 NULL};

/* Of scripts with Windows' line ends. */
static const char *const carriage_return[] = {"\r: not found",
                                              "$'\\r'",
                                              "\r: command not found",
                                              "\r': no such file",
                                              "illegal option -\r",
                                              "invalid option -\r",
                                              "sh\r: ",
                                              NULL};

/* Of chown, install, tar, dpkg, Python. */
static const char *const owners[] = {"chown",     "ownership", "change owner", "setting owner",
                                     "setgroups", "setuid",    "setgid",       NULL};

/* An id that the user namespace doesn't have. */
static bool lacks_ids(const char *text) {
    return sb_userns_inside() && says(text, owners) && strcasestr(text, "invalid argument");
}

static const char *const ignored_failures[] = {"some index files failed to download",
                                               "temporary failure resolving", NULL};

int sb_step_hint(const struct sb_step *step, const struct sb_step_run_context *context,
                 bool network, int status, struct sb_error *err) {
    const char *text = sb_step_log_said(context->log);
    sb_step_log_full(context->log, err);
    if (err->hint[0])
        return -1;
    if (strstr(text, "No space left on device"))
        return sb_error_hint(err, "the disk of the store has room: it may be a file system in "
                                  "memory (/dev/shm), or a larger file than there is room for");
    if (!network && says(text, no_network))
        return sb_error_hint(err, "this step has no network; one that needs it says so: network: "
                                  "host");
    if (lacks_ids(text))
        return sb_error_hint(err, SB_STEP_IDS_HINT);
    if (says(text, carriage_return))
        return sb_error_hint(err, "the script has Windows' line ends (CR LF): save it with LF");
    if (says(text, no_answer))
        return sb_error_hint(err, "a step has no input, and nobody answers: use the program's "
                                  "option for that (apt-get -y)");
    if (says(text, no_terminal))
        return sb_error_hint(err, "a step has no terminal: use the program's option for that");
    if (says(text, wrong_architecture))
        return sb_error_hint(err, "a program is for another processor than this machine's, or its "
                                  "script has no #! line");
    if (!step->kind->is_script)
        return -1;
    if (status == 127)
        return sb_error_hint(err, "a program that the script calls is not in the image, or not in "
                                  "its PATH");
    if (status == 126)
        return sb_error_hint(err, "a program that the script calls may not be executed: see its "
                                  "mode, and that of what its #! line names");
    return -1;
}

void sb_step_warn(const struct sb_step *step, const struct sb_step_run_context *context,
                  bool network) {
    if (!context->warn || !step->kind->is_script)
        return;
    if (!says(sb_step_log_said(context->log), ignored_failures))
        return;
    sb_autofree char *text = sb_format(
        "%s:%d: apt-get could not fetch its lists, and says that it succeeded%s", step->place.file,
        step->place.line, network ? "" : "; the step has no network: it needs network: host");
    context->warn(context->warn_data, text);
}
