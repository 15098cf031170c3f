/*
 * Any text as a requirements file: what it names lies in the context, by clean paths, and a text
 * without editable projects is as long as it was.
 */
#include <sys/stat.h>

#include "steps/requirements.h"
#include "tests/fuzz/fuzz.h"

static int top = -1;

/* The context is a directory in memory. */
int sb_context_fd(const struct sb_context *context) {
    (void)context;
    return top;
}

const char *sb_context_path(const struct sb_context *context) {
    (void)context;
    return "/context";
}

int sb_context_check_path(struct sb_context *context, const char *path,
                          const struct sb_ignore *exclude, bool deep, struct sb_error *err) {
    (void)context;
    (void)path;
    (void)exclude;
    (void)deep;
    (void)err;
    return 0;
}

int sb_context_scan(struct sb_context *context, const char *source, const struct sb_ignore *exclude,
                    struct sb_input_list *out, struct sb_error *err) {
    (void)context;
    (void)source;
    (void)exclude;
    (void)out;
    (void)err;
    return 0;
}

static void start(void) {
    top = open(fuzz_directory(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    FUZZ_CHECK(top >= 0 && mkdirat(top, "pkg", 0755) == 0 && mkdirat(top, "r", 0755) == 0 &&
               sb_file_write(top, "r/b.txt", "-r a.txt\n", 9, 0644, NULL) == 0 &&
               sb_file_write(top, "c.txt", "-c r/c.txt\n", 11, 0644, NULL) == 0);
}

static void check_paths(const struct sb_strings *list) {
    for (size_t i = 0; i < list->n; i++) {
        sb_autofree char *clean = sb_path_clean(list->v[i]);
        FUZZ_CHECK(!strcmp(clean, list->v[i]) && *clean != '/' && strcmp(clean, "..") != 0 &&
                   strncmp(clean, "../", 3) != 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (top < 0)
        start();
    struct sb_error err = {0};
    struct sb_requirements names = {0};
    struct sb_pip pip = {0};
    FUZZ_CHECK(sb_file_write(top, "r/a.txt", data, size, 0644, NULL) == 0);
    sb_strings_add(&pip.requirements, "r/a.txt");
    if (sb_requirements_read(&pip, NULL, &names, &err) < 0)
        fuzz_check_error(&err);
    check_paths(&names.files);
    check_paths(&names.projects);
    check_paths(&names.archives);
    check_paths(&names.links);
    sb_requirements_free(&names);
    sb_strings_free(&pip.requirements);
    char *text = sb_strndup((const char *)data, size);
    size_t len = strlen(text);
    sb_requirements_unlink(text);
    FUZZ_CHECK(strlen(text) == len);
    free(text);
    return 0;
}
