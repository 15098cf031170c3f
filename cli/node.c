#include "cli/node.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/text.h"

static void say(void *data, const char *line) {
    (void)data;
    sb_cli_say("%s\n", line);
}

struct sb_node sb_cli_node(struct sb_store *store) {
    return (struct sb_node){.store = store, .say = say};
}

int sb_cli_wait(const char *command, const char *text, uint32_t *out, struct sb_error *err) {
    uint64_t seconds = 0;
    *out = 0;
    if (!text || !*text)
        return 0;
    if (!sb_text_parse_duration(text, &seconds) || seconds == 0 || seconds > 86400) {
        sb_fail(err, SB_E_USAGE, "%s: --wait %s is not a time", command, sb_text_shown(text).text);
        return sb_error_hint(err, "write it as in --wait=90s or --wait=10m; a day at most");
    }
    *out = (uint32_t)seconds;
    return 0;
}

void sb_cli_wait_alone(int argc, char **argv) {
    static char with_value[] = "--wait=";
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (!strcmp(argv[i], "--wait"))
            argv[i] = with_value;
}

int sb_cli_print_installed(const struct sb_installed *installed, bool json, struct sb_error *err) {
    if (!json) {
        sb_cli_print("%s: generation %" PRIu64 " %s (%s)\n", installed->name, installed->generation,
                     installed->unchanged ? "runs already" : "runs",
                     sb_digest_text(&installed->image).text);
        if (installed->reused.files > 0)
            sb_cli_print("%s: %" PRIu64 " file%s shared with generations before (%s)\n",
                         installed->name, installed->reused.files,
                         installed->reused.files == 1 ? "" : "s",
                         sb_text_size(installed->reused.bytes).text);
        return sb_cli_flush(err);
    }
    sb_autojson json_t *facts = json_pack(
        "{s:s, s:I, s:I, s:s, s:s, s:b, s:{s:I, s:I}}", "name", installed->name, "generation",
        (json_int_t)installed->generation, "previous", (json_int_t)installed->previous, "image",
        sb_digest_text(&installed->image).text, "bundle", sb_digest_text(&installed->bundle).text,
        "unchanged", (int)installed->unchanged, "reused", "files",
        (json_int_t)installed->reused.files, "bytes", (json_int_t)installed->reused.bytes);
    return sb_cli_print_json(facts, err) < 0 ? -1 : sb_cli_flush(err);
}
