#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "base/memory.h"
#include "base/visible.h"
#include "cli/command.h"
#include "context/outputs.h"
#include "layers/room.h"

/* The one that was opened, for what there is to say of its disk. */
static char *store_path;

int sb_cli_open(const struct sb_common *common, const char *recipe, struct sb_settings *settings,
                struct sb_store **store, struct sb_error *err) {
    if (sb_settings_load(recipe, settings, err) < 0)
        return -1;
    sb_autofree char *path = sb_settings_store(settings, common->store);
    free(store_path);
    store_path = sb_strdup(path);
    if (sb_store_open(path, store, err) == 0)
        return 0;
    sb_settings_free(settings);
    return -1;
}

int sb_cli_open_known(const struct sb_common *common, struct sb_settings *settings,
                      struct sb_store **store, struct sb_error *err) {
    if (common->store && !sb_path_exists(AT_FDCWD, common->store)) {
        sb_fail(err, SB_E_NOT_FOUND, "there is no store %s", common->store);
        return sb_error_hint(err, "what is built with --store makes it");
    }
    return sb_cli_open(common, NULL, settings, store, err);
}

/* Why writing to stdout failed first, or 0: stdio forgets. */
static int write_errno;

__attribute__((format(printf, 2, 0))) static int print_visible(FILE *to, const char *fmt,
                                                               va_list ap) {
    char *text = NULL;
    int n = vasprintf(&text, fmt, ap);
    if (n < 0)
        return -1;
    sb_autofree char *owned = text;
    sb_autobuf struct sb_buf visible = {0};
    sb_visible_add(&visible, text, (size_t)n, SB_VISIBLE_LINES);
    return fwrite(sb_buf_text(&visible), 1, visible.len, to) < visible.len ? -1 : 0;
}

void sb_cli_print(const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    if (print_visible(stdout, fmt, ap) < 0 && !write_errno)
        write_errno = errno;
    va_end(ap);
}

void sb_cli_say(const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    (void)print_visible(stderr, fmt, ap);
    va_end(ap);
}

void sb_cli_add_json(const json_t *value, struct sb_buf *out) {
    sb_autobuf struct sb_buf text = {0};
    sb_json_write(value, &text);
    sb_visible_add_json(out, sb_buf_text(&text), text.len);
}

bool sb_cli_print_ended(void) {
    return write_errno != 0;
}

int sb_cli_print_json(const json_t *value, struct sb_error *err) {
    sb_autobuf struct sb_buf text = {0};
    if (isatty(STDOUT_FILENO)) {
        sb_autobuf struct sb_buf pretty = {0};
        sb_json_write_pretty(value, &pretty);
        sb_visible_add_json(&text, pretty.data, pretty.len);
    } else {
        sb_cli_add_json(value, &text);
        sb_buf_addc(&text, '\n');
    }
    if (fwrite(text.data, 1, text.len, stdout) < text.len && !write_errno)
        write_errno = errno;
    return sb_cli_flush(err);
}

int sb_cli_flush(struct sb_error *err) {
    if (fflush(stdout) != 0 && !write_errno)
        write_errno = errno;
    if (!write_errno || write_errno == EPIPE)
        return 0;
    errno = write_errno;
    return sb_fail_errno(err, SB_E_IO, "writing to standard output");
}

/* "recipe.yaml:3:1: …" : a line that names a place in a file. */
static bool is_placed(const char *line) {
    const char *colon = strchr(line, ':');
    size_t digits = colon ? strspn(colon + 1, "0123456789") : 0;
    return digits > 0 && colon[1 + digits] == ':';
}

/* What a program or a server said may be in an error: its lines don't begin as sbuild's own do. */
static void print_message(const char *message) {
    sb_autobuf struct sb_buf text = {0};
    for (const char *line = message; *line; line += *line == '\n') {
        size_t n = strcspn(line, "\n");
        sb_buf_addf(&text, "%s%.*s", line == message ? "" : "\n    ", (int)n, line);
        line += n;
    }
    sb_cli_say("%s\n", sb_buf_text(&text));
}

void sb_cli_explain(struct sb_error *err) {
    sb_autoclose int fd = store_path && err->code == SB_E_NO_SPACE
                              ? open(store_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
                              : -1;
    if (fd >= 0)
        sb_room_explain(fd, err);
}

void sb_cli_print_error(const struct sb_error *err) {
    fflush(stdout);
    /* What is wrong with files stands as compilers print it, for editors to find. */
    if (err->code == SB_E_RECIPE && is_placed(err->message)) {
        sb_cli_say("%s\nsbuild: error: nothing was done: see above\n", err->message);
    } else {
        sb_cli_say("sbuild: error: ");
        print_message(err->message);
    }
    if (err->hint[0]) {
        sb_cli_say("  hint: ");
        print_message(err->hint);
    }
}

void sb_cli_print_warning(const char *message) {
    fflush(stdout);
    sb_cli_say("sbuild: warning: ");
    print_message(message);
}

json_t *sb_cli_error_json(const struct sb_error *err) {
    return json_pack("{s:s, s:i, s:o, s:o}", "code", sb_error_name(err->code), "status",
                     sb_error_exit_status(err->code), "message", sb_json_from_text(err->message),
                     "hint", sb_json_from_text(err->hint));
}

int sb_cli_write_metadata(struct sb_store *store, const char *path, const json_t *facts,
                          struct sb_error *err) {
    sb_autobuf struct sb_buf text = {0};
    struct stat st;
    int rc;
    sb_json_write_pretty(facts, &text);
    if (lstat(path, &st) == 0 && !S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode)) {
        fflush(stdout);
        sb_autoclose int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
        rc = fd < 0 ? sb_fail_errno(err, SB_E_IO, "opening it")
                    : sb_fd_write(fd, text.data, text.len, "it", err);
    } else {
        rc = sb_file_write(AT_FDCWD, path, text.data, text.len, 0644, err);
        if (rc == 0)
            sb_outputs_note(store, AT_FDCWD, path);
    }
    return rc < 0 ? sb_error_context(err, "--metadata-file %s", path) : 0;
}

/* Columns of a terminal that UTF-8 text takes, near enough: one for each character. */
static size_t width_of(const char *text) {
    size_t n = 0;
    for (; *text; text++)
        n += ((unsigned char)*text & 0xC0) != 0x80;
    return n;
}

void sb_table_print(const struct sb_table *table) {
    sb_autofree size_t *widths = sb_alloc((table->columns + 1) * sizeof *widths);
    sb_autostrings struct sb_strings cells = {0};
    for (size_t i = 0; i < table->cells.n; i++) {
        sb_strings_take(&cells, sb_visible(table->cells.v[i], SB_VISIBLE_ONE_LINE));
        size_t n = width_of(cells.v[i]), *most = &widths[i % table->columns];
        *most = n > *most ? n : *most;
    }
    for (size_t i = 0; i < cells.n; i++) {
        size_t column = i % table->columns;
        bool last = column + 1 == table->columns, right = table->right >> column & 1;
        int pad = (int)(widths[column] - width_of(cells.v[i]));
        sb_cli_print("%*s%s%*s%s", right ? pad : 0, "", cells.v[i], right || last ? 0 : pad, "",
                     last ? "\n" : "  ");
    }
}
