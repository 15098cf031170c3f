#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/text.h"
#include "cli/node.h"
#include "cli/transfer.h"
#include "deploy/node/follow.h"

struct install_command {
    struct sb_cli_transfer transfer;
    struct sb_cli_registry registry_options;
    const char *name, *wait, *interval, *platform;
    bool automatic, stop_following, automatic_run, replace;
    uint64_t interval_seconds;
};

static int check(struct install_command *c, const char *source, struct sb_error *err) {
    c->interval_seconds = 300;
    if (c->interval && !c->automatic) {
        sb_fail(err, SB_E_USAGE, "install: --interval is how often --auto asks for the tag");
        return sb_error_hint(err, "add --auto");
    }
    if (c->automatic && c->stop_following)
        return sb_fail(err, SB_E_USAGE, "install: --auto and --no-auto are each other's contrary");
    if (c->interval && (!sb_text_parse_duration(c->interval, &c->interval_seconds) ||
                        c->interval_seconds == 0 || c->interval_seconds > 30u * 86400)) {
        sb_fail(err, SB_E_USAGE, "install: --interval %s is not a time",
                sb_text_shown(c->interval).text);
        return sb_error_hint(err, "write it as in 5m or 1h; thirty days at most");
    }
    if (c->automatic && (!sb_reference_has_host(source) || strchr(source, '@')))
        return sb_fail(err, SB_E_USAGE,
                       "install: --auto follows a tag in a registry, and %s is none",
                       sb_text_shown(source).text);
    return 0;
}

/* The options that the timer's command needs too. refused: what just failed, which was not followed
 * yet; may be NULL. */
static int follow(struct install_command *c, const struct sb_node *node, const char *name,
                  const char *source, const struct sb_digest *refused, struct sb_error *err) {
    sb_autostrings struct sb_strings options = {0};
    struct sb_node_service *service;
    sb_autofree char *ca = c->registry_options.ca ? realpath(c->registry_options.ca, NULL) : NULL;
    if (ca)
        sb_strings_addf(&options, "--ca=%s", ca);
    if (c->registry_options.plain_http)
        sb_strings_add(&options, "--plain-http");
    if (c->wait && *c->wait)
        sb_strings_addf(&options, "--wait=%s", c->wait);
    if (c->platform)
        sb_strings_addf(&options, "--platform=%s", c->platform);
    if (sb_node_service_find(node, name, &service, err) < 0)
        return -1;
    int rc = c->automatic ? sb_follow_start(service, source, c->interval_seconds, &options, err)
                          : sb_follow_stop(service, err);
    if (rc == 0 && refused)
        sb_follow_refuse(service, refused);
    sb_node_service_close(service);
    return rc;
}

static int install(struct install_command *c, const char *source, struct sb_error *err) {
    struct sb_cli_transfer *t = &c->transfer;
    const struct sb_node node = sb_cli_node(t->store);
    struct sb_install_options options = {.source = source,
                                         .name = c->name,
                                         .platform = c->platform,
                                         .replace = c->replace,
                                         .follow = c->automatic,
                                         .passed_over = c->automatic_run,
                                         .notify = sb_progress_transfer,
                                         .data = t->progress};
    struct sb_installed done;
    if (sb_cli_wait("install", c->wait, &options.wait, err) < 0)
        return -1;
    int rc = sb_install(&node, t->registry, &options, &done, err);
    sb_progress_free(sb_steal(t->progress));
    struct sb_error own = {0};
    const struct sb_digest *refused = rc < 0 && err->code == SB_E_UNHEALTHY ? &done.bundle : NULL;
    if (((c->automatic && !done.foreign) || (c->stop_following && rc == 0)) && done.name &&
        follow(c, &node, done.name, source, refused, &own) < 0 && rc == 0) {
        *err = own;
        rc = -1;
    }
    if (rc == 0 && !done.unfollowed)
        rc = sb_cli_print_installed(&done, t->common.json, err);
    sb_installed_free(&done);
    return rc;
}

static int install_all(struct install_command *c, const char *source, struct sb_error *err) {
    int rc = check(c, source, err);
    if (rc == 0)
        rc = sb_cli_transfer_open(&c->transfer, &c->registry_options, false, err);
    if (rc == 0)
        rc = install(c, source, err);
    sb_cli_transfer_close(&c->transfer);
    return rc;
}

static int run(int argc, char **argv, struct sb_error *err) {
    struct install_command c = {.transfer.progress_how = "auto"};
    const struct sb_option options[] = {
        {.name = "name", .text = &c.name},
        {.name = "platform", .text = &c.platform},
        {.name = "replace", .flag = &c.replace},
        {.name = "wait", .text = &c.wait},
        {.name = "auto", .flag = &c.automatic},
        {.name = "auto-run", .flag = &c.automatic_run},
        {.name = "no-auto", .flag = &c.stop_following},
        {.name = "interval", .text = &c.interval},
        {.name = "progress", .text = &c.transfer.progress_how},
        SB_CLI_REGISTRY_OPTIONS(c.registry_options),
        {0},
    };
    sb_autofree const char **names = sb_alloc(((size_t)argc + 1) * sizeof *names);
    size_t count;
    sb_cli_wait_alone(argc, argv);
    int parsed = sb_options_parse(&sb_command_install, argc, argv, options, &c.transfer.common,
                                  names, &count, err);
    if (parsed != 0)
        return parsed < 0 ? -1 : sb_cli_flush(err);
    if (sb_options_count(&sb_command_install, count, 1, 1, err) < 0)
        return -1;
    return install_all(&c, names[0], err);
}

const struct sb_command sb_command_install = {
    .name = "install",
    .arguments = "REF|FILE [OPTION…]",
    .summary = "run a release as a service of this node, under systemd",
    .help = "Fetches the layers that this node lacks, makes a new generation of the service\n"
            "from the bundle, switches to it and waits until it is healthy. If it does not\n"
            "become healthy, the generation before runs again, and sbuild exits with 7.\n"
            "Needs root.\n\n"
            "options:\n"
            "  --name NAME          of the service, instead of the bundle's own\n"
            "  --platform P         of an index, what is for OS/ARCHITECTURE[/VARIANT], be it\n"
            "                       that this host runs it in an emulator\n"
            "  --replace            give it the name, secrets and data of a service that came\n"
            "                       from another repository\n" SB_CLI_WAIT_HELP
            "  --auto               from now on follow the tag: a timer of this node asks for\n"
            "                       it, installs what is new, and passes over what failed\n"
            "  --interval TIME      how often it asks (default: 5m)\n"
            "  --no-auto            follow it no longer\n"
            "  --auto-run           what the timer runs: does not try again what failed here\n"
            "  --json               print facts as JSON\n"
            "  --progress HOW       auto, tty, plain or json\n" SB_CLI_REGISTRY_HELP
            "  --store DIR          the store to work in\n\n"
            "Of an index, the bundle for this host is installed; what is for another\n"
            "processor is refused before anything is touched.\n\n"
            "REF is an image that has a bundle, or the bundle itself, in a registry or in the\n"
            "store; FILE is what sbuild bundle --output wrote.\n\n"
            "examples:\n"
            "  sbuild install registry.example.com/team/backend:v1.4.2\n"
            "  sbuild install registry.example.com/team/backend:v1 --auto --interval 10m\n"
            "  sbuild install backend.tar --name backend-test --wait=15m\n",
    .run = run,
};
