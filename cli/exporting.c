#include "cli/exporting.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/text.h"
#include "context/outputs.h"

static int write_to(const struct sb_cli_export *job, int fd, const char *what,
                    struct sb_error *err) {
    if (job->index)
        return sb_index_export(job->store, job->index, job->images, job->names, fd, what, err);
    return sb_image_export(job->store, job->image, job->form, job->names, fd, what, err);
}

static int write_stdout(const struct sb_cli_export *job, struct sb_error *err) {
    if (isatty(STDOUT_FILENO)) {
        sb_fail(err, SB_E_USAGE, "%s: standard output is a terminal, and a tar is no text",
                job->command);
        return sb_error_hint(err, "write a file with -o FILE, or pipe it somewhere");
    }
    return write_to(job, STDOUT_FILENO, "standard output", err);
}

/* What is no plain file (a pipe, a device, a link such as /dev/stdout) is written as it stands. */
static int write_special(const struct sb_cli_export *job, const char *path, struct sb_error *err) {
    sb_autoclose int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0)
        return sb_fail_errno(err, SB_E_IO, "%s", path);
    return write_to(job, fd, path, err);
}

static int publish(int dir, const char *temporary, const char *name, int fd, const char *path,
                   struct sb_error *err) {
    if (fchmod(fd, 0644) < 0 || fsync(fd) < 0 || renameat(dir, temporary, dir, name) < 0)
        return sb_fail_errno(err, SB_E_IO, "%s", path);
    return sb_directory_sync(dir, err);
}

static int write_file(const struct sb_cli_export *job, const char *path, struct sb_error *err) {
    struct stat st;
    if (stat(path, &st) == 0 && S_ISDIR(st.st_mode)) {
        sb_fail(err, SB_E_USAGE, "%s: %s is a directory", job->command, path);
        return sb_error_hint(err, "name the file to write, as in -o %s/image.tar", path);
    }
    if (lstat(path, &st) == 0 && !S_ISREG(st.st_mode))
        return write_special(job, path, err);
    sb_autofree char *parent = sb_path_dirname(path);
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    sb_autoclose int dir = sb_directory_open(AT_FDCWD, parent, err);
    if (dir < 0) {
        sb_error_context(err, "%s: %s", job->command, path);
        return sb_error_hint(err, "the directory must be there: mkdir -p %s", parent);
    }
    char temporary[64];
    sb_autoclose int fd = sb_file_temporary(dir, temporary, err);
    if (fd < 0)
        return sb_error_context(err, "%s: %s", job->command, path);
    int failed = write_to(job, fd, path, err);
    if (!failed)
        failed = publish(dir, temporary, name, fd, path, err);
    if (failed)
        unlinkat(dir, temporary, 0);
    else
        sb_outputs_note(job->store, dir, name);
    if (!failed && fstat(fd, &st) == 0)
        sb_cli_say("%s: %s\n", path, sb_text_size((uint64_t)st.st_size).text);
    return failed;
}

int sb_cli_export(const struct sb_cli_export *job, const char *path, struct sb_error *err) {
    if (!path || !strcmp(path, "-"))
        return write_stdout(job, err);
    return write_file(job, path, err);
}
