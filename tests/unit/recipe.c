/* Recipes: what is read from good ones, and what is said of bad ones. */
#include "document/recipe.h"
#include "document/recipe_files.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "document/schema.h"
#include "steps/kinds.h"
#include "steps/requirements.h"
#include "tests/unit/test.h"

/* What a step's key depends on: a string, or the index-th of a list; valid until the next call. */
static const char *told(const struct sb_step *step, const char *key, size_t index) {
    static json_t *does;
    json_decref(does);
    does = json_object();
    step->kind->describe(step, does);
    const json_t *value = json_object_get(does, key);
    return json_string_value(json_is_array(value) ? json_array_get(value, index) : value);
}

static void put(const char *name, const char *text) {
    struct sb_error err = {0};
    CHECK_INT(sb_file_write(AT_FDCWD, name, text, strlen(text), 0644, &err), 0);
}

static struct sb_error last;

static struct sb_recipe *load(const char *path, const struct sb_pairs *set) {
    struct sb_recipe_options options = {.set = set};
    struct sb_recipe *recipe = NULL;
    sb_error_clear(&last);
    return sb_recipe_load(path, &options, &recipe, &last) < 0 ? NULL : recipe;
}

/* What is said of a recipe with this text. */
static const char *refusal(const char *text) {
    put("r.yaml", text);
    struct sb_recipe *recipe = load("r.yaml", NULL);
    if (recipe) {
        sb_recipe_free(recipe);
        return "(accepted)";
    }
    CHECK_INT(last.code, SB_E_RECIPE);
    return last.message;
}

/* … when a good one gets these further lines. */
static const char *refusal_with(const char *more) {
    sb_autofree char *text = sb_format("name: x\nfrom: scratch\n%s", more);
    return refusal(text);
}

static const char design[] =
    "name: backend\n"
    "version: 1.4.2\n"
    "from: ml-deps.yaml\n"
    "context: ..\n"
    "args: {PORT: \"8003\"}\n"
    "layers:\n"
    "  - name: deps\n"
    "    steps:\n"
    "      - apt: [python3, python3-torch]\n"
    "      - pip: {requirements: requirements.txt}\n"
    "      - prune: [docs, pyc, tests]\n"
    "  - name: app\n"
    "    copy: {from: src/backend, to: /app, exclude: [\"**/__pycache__\"], owner: \"1000:1000\"}\n"
    "  - name: warm\n"
    "    run: python3 -m compileall -q /app\n"
    "    network: none\n"
    "    secrets: [hf_token]\n"
    "    cache: [/root/.cache/pip]\n"
    "image:\n"
    "  repository: 123456789012.dkr.ecr.us-west-2.amazonaws.com/team/backend\n"
    "  user: \"1000:1000\"\n"
    "  workdir: /app\n"
    "  env: {PYTHONPATH: /app}\n"
    "  entrypoint: [python3, -m, uvicorn]\n"
    "  cmd: [app.main:app, --host, 0.0.0.0, --port, \"${PORT}\"]\n"
    "  ports: [8003]\n"
    "  labels: {team: ai-core}\n"
    "tags: [semver, git, date]\n"
    "service:\n"
    "  port: 8003\n"
    "  health: {http: /health, timeout: 60s}\n"
    "  gpu: 1\n"
    "  restart: always\n"
    "  env: {ENVIRONMENT: prod}\n"
    "  secrets: [openai_api_key]\n"
    "  limits: {memory: 8G}\n";

static void check_design_steps(const struct sb_recipe *r) {
    if (!CHECK_INT(r->layer_count, 3) || !CHECK_INT(r->layers[0].step_count, 3))
        return;
    const struct sb_step *steps = r->layers[0].steps;
    CHECK_STR(steps[0].kind->name, "apt");
    CHECK_STR(told(&steps[0], "packages", 1), "python3-torch");
    CHECK(steps[0].network);
    CHECK_STR(((const struct sb_pip *)steps[1].own)->requirements.v[0], "requirements.txt");
    CHECK_STR(((const struct sb_pip *)steps[1].own)->python, "python3");
    CHECK_STR(told(&steps[2], "what", 2), "tests");
    CHECK_INT(steps[2].place.line, 11);
    CHECK_INT(steps[2].place.column, 9);
    const struct sb_step *copy = r->layers[1].steps;
    const struct sb_placing *placing = sb_step_placing(copy);
    CHECK_STR(placing->from.v[0], "src/backend");
    CHECK_STR(placing->to, "/app");
    CHECK_STR(placing->exclude.v[0], "**/__pycache__");
    CHECK_INT(placing->uid, 1000);
    CHECK_INT(placing->gid, 1000);
    CHECK_INT(placing->file_mode, -1);
    CHECK_INT(placing->directory_mode, -1);
    const struct sb_step *run = r->layers[2].steps;
    CHECK_STR(told(run, "script", 0), "python3 -m compileall -q /app");
    CHECK_STR(told(run, "shell", 0), "sh");
    CHECK_STR(told(run, "shell", 1), "-eu");
    CHECK(!run->network && run->network_given);
    CHECK_STR(run->secrets.v[0], "hf_token");
    CHECK_STR(run->caches.v[0], "/root/.cache/pip");
    CHECK_STR(run->args_used.v[0], "PORT");
    CHECK_INT(copy->args_used.n, 0);
}

static void test_design(void) {
    put("sub/backend.yaml", design);
    put("sub/ml-deps.yaml", "name: ml\nfrom: {debian: bookworm, components: [main, contrib]}\n");
    struct sb_recipe *r = load("sub/backend.yaml", NULL);
    if (!CHECK(r)) {
        printf("%s\n", last.message);
        return;
    }
    CHECK_STR(r->name, "backend");
    CHECK_STR(r->version, "1.4.2");
    CHECK_STR(r->context, "sub/..");
    CHECK_INT(r->from.kind, SB_FROM_RECIPE);
    CHECK_STR(r->from.recipe, "sub/ml-deps.yaml");
    CHECK_STR(r->base->from.bootstrap.distribution, "debian");
    CHECK_STR(r->base->from.bootstrap.suite, "bookworm");
    CHECK_INT(r->base->from.bootstrap.components.n, 2);
    CHECK_STR(r->base->context, "sub");
    check_design_steps(r);
    CHECK_STR(r->image.user, "1000:1000");
    CHECK_STR(sb_pairs_get(&r->image.env, "PYTHONPATH"), "/app");
    CHECK(r->image.has_entrypoint && r->image.has_cmd);
    CHECK_STR(r->image.cmd.v[4], "8003");
    CHECK_STR(r->image.ports.v[0], "8003/tcp");
    CHECK_INT(r->tags, SB_TAG_SEMVER | SB_TAG_GIT | SB_TAG_DATE);
    CHECK_INT(r->compression, SB_RECIPE_ZSTD);
    CHECK(r->service.present);
    CHECK_INT(r->service.port, 8003);
    CHECK_STR(r->service.health_http, "/health");
    CHECK_INT(r->service.health_timeout, 60);
    CHECK_INT(r->service.gpu, 1);
    CHECK_STR(r->service.restart, "always");
    CHECK_INT(r->service.memory_limit, 8000000000);
    sb_recipe_free(r);
}

/* The forms that values may take. */
static void test_forms(void) {
    CHECK_STR(refusal_with("layers:\n"
                           "- name: a\n"
                           "  apt: {packages: [curl=7.88-1, libc6:i386], recommends: true}\n"
                           "- name: b\n"
                           "  pip: [fastapi==0.1, \"x @ https://e.org/x.whl\"]\n"
                           "- name: c\n"
                           "  copy: {from: [a, b/*], to: /x/, mode: 0640}\n"
                           "- name: d\n"
                           "  download: {url: \"https://e.org/f.tgz\", to: /opt/, sha256: "
                           "0123456789abcdef0123456789abcdef0123456789abcdef0123456789ABCDEF}\n"
                           "- name: e\n"
                           "  run: {script: \"echo ${X} $$\", shell: [bash, -c], user: app}\n"
                           "- name: f\n"
                           "  prune: [man, /opt/**/*.a]\n"),
              "(accepted)");
    struct sb_recipe *r = load("r.yaml", NULL);
    if (!CHECK(r))
        return;
    CHECK_INT(sb_step_placing(r->layers[2].steps)->file_mode, 0640);
    CHECK_INT(sb_step_placing(r->layers[2].steps)->directory_mode, 0750);
    CHECK_STR(sb_step_placing(r->layers[3].steps)->to, "/opt/f.tgz");
    CHECK_INT(sb_step_placing(r->layers[3].steps)->file_mode, 0644);
    CHECK_STR(sb_step_placing(r->layers[3].steps)->sha256,
              "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef");
    CHECK_STR(told(r->layers[4].steps, "script", 0), "echo ${X} $$"); /* a script stays as it is */
    CHECK_STR(told(r->layers[4].steps, "shell", 0), "bash");
    for (size_t i = 0; i < r->layer_count; i++) {
        const struct sb_step *step = r->layers[i].steps;
        sb_autofree char *summary = step->kind->summary(step);
        json_t *said = json_object();
        step->kind->describe(step, said);
        CHECK(!strncmp(summary, step->kind->name, strlen(step->kind->name)));
        CHECK(json_object_size(said) > 0);
        json_decref(said);
    }
    sb_recipe_free(r);
}

/* Words that other readers of YAML turn into something else. */
static void test_text_stays(void) {
    put("r.yaml", "name: 10\nfrom: scratch\nargs: {V: 1.10, N: no, O: on, T: 0x10}\n"
                  "image: {env: {A: \"${V}\", B: no, C: 1_000, D: \"$$HOME\", E: "
                  "\"$PATH:$1$$$A$$$\", F: 010}, "
                  "labels: {x: yes}}\nservice: {restart: no, port: \"80\"}\n");
    struct sb_recipe *r = load("r.yaml", NULL);
    if (!CHECK(r)) {
        printf("%s\n", last.message);
        return;
    }
    CHECK_STR(r->name, "10");
    CHECK_STR(sb_pairs_get(&r->args, "N"), "no");
    CHECK_STR(sb_pairs_get(&r->args, "T"), "0x10");
    CHECK_STR(sb_pairs_get(&r->image.env, "A"), "1.10");
    CHECK_STR(sb_pairs_get(&r->image.env, "B"), "no");
    CHECK_STR(sb_pairs_get(&r->image.env, "C"), "1_000");
    /* templates: document/environment.h */
    CHECK_STR(sb_pairs_get(&r->image.env, "D"), "$$HOME");
    CHECK_STR(sb_pairs_get(&r->image.env, "E"), "${PATH}:$$1$$${A}$$$$");
    CHECK_STR(sb_pairs_get(&r->image.env, "F"), "010");
    CHECK_STR(sb_pairs_get(&r->image.labels, "x"), "yes");
    CHECK_STR(r->service.restart, "no");
    CHECK_INT(r->service.port, 80);
    sb_recipe_free(r);
}

static void test_args(void) {
    put("base.yaml", "name: b\nfrom: scratch\nargs: {PORT: 1, ONLY_BASE: x}\n"
                     "image: {ports: [\"${PORT}\"]}\n");
    put("r.yaml", "name: r\nfrom: base.yaml\nargs: {PORT: 2, URL: \"http://h:${PORT}/\"}\n"
                  "layers:\n- {name: a, copy: {from: a, to: \"/${PORT}\"}}\n"
                  "- {name: b, run: x}\n- {name: c, apt: [a]}\nimage: {env: {U: \"${URL}\"}}\n");
    struct sb_pairs set = {0};
    sb_pairs_set(&set, "PORT", "9000");
    sb_pairs_set(&set, "ONLY_BASE", "y");
    struct sb_recipe *r = load("r.yaml", &set);
    if (CHECK(r)) {
        CHECK_STR(sb_pairs_get(&r->image.env, "U"), "http://h:9000/");
        CHECK_STR(r->base->image.ports.v[0], "9000/tcp");
        CHECK_STR(sb_pairs_get(&r->base->args, "ONLY_BASE"), "y");
        CHECK(!sb_pairs_get(&r->args, "ONLY_BASE"));
        CHECK_STR(sb_step_placing(r->layers[0].steps)->to, "/9000");
        CHECK_STR(r->layers[0].steps->args_used.v[0], "PORT");
        CHECK_INT(r->layers[0].steps->args_used.n, 1);
        CHECK_INT(r->layers[1].steps->args_used.n, 2);
        CHECK_INT(r->layers[2].steps->args_used.n, 0);
        sb_recipe_free(r);
    }
    sb_pairs_set(&set, "PROT", "1");
    CHECK(!load("r.yaml", &set));
    CHECK_INT(last.code, SB_E_RECIPE);
    CHECK_STR(last.message, "--set PROT: no args of r.yaml, or of a recipe below it, have that "
                            "name (did you mean PORT?)");
    sb_pairs_free(&set);
}

static void test_from(void) {
    static const struct {
        const char *from;
        enum sb_from_kind kind;
        const char *image;
    } table[] = {
        {"scratch", SB_FROM_SCRATCH, NULL},
        {"oci:lay:v1", SB_FROM_IMAGE, "oci:sub/lay:v1"},
        {"oci:/abs/lay", SB_FROM_IMAGE, "oci:/abs/lay"},
        {"oci-archive:a.tar", SB_FROM_IMAGE, "oci-archive:sub/a.tar"},
        {"docker-archive:a.tar", SB_FROM_IMAGE, "docker-archive:sub/a.tar"},
        {"{image: docker.io/nvidia/cuda:12}", SB_FROM_IMAGE, "docker.io/nvidia/cuda:12"},
        {"{image: oci:lay}", SB_FROM_IMAGE, "oci:sub/lay"},
        {"{ubuntu: jammy, packages: [curl], mirror: \"http://m/\"}", SB_FROM_BOOTSTRAP, NULL},
        {"{recipe: ml-deps.yaml}", SB_FROM_RECIPE, NULL},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        sb_autofree char *text = sb_format("name: x\nfrom: %s\n", table[i].from);
        put("sub/f.yaml", text);
        struct sb_recipe *r = load("sub/f.yaml", NULL);
        if (!CHECK(r)) {
            printf("    %s\n", last.message);
            continue;
        }
        CHECK_INT(r->from.kind, table[i].kind);
        CHECK_STR(r->from.image, table[i].image);
        sb_recipe_free(r);
    }
}

/* All kinds of steps, each with a comma behind it. */
#define KIND(name) #name ", "
#define KINDS      SB_STEP_KINDS(KIND)

static const struct {
    const char *more, *message;
} messages[] = {
    {"service: {prot: 1}\n",
     "r.yaml:3:11: key \"prot\": unknown key in service (did you mean \"port\"?)"},
    {"zzz: 1\n",
     "r.yaml:3:1: key \"zzz\": unknown key in recipe (expected one of name, version, "
     "from, platforms, context, args, build, stages, layers, image, tags, compression, test, "
     "service)"},
    {"version: v1.2\n", "r.yaml:3:10: key \"version\": expected a semantic version such as "
                        "1.4.2, found \"v1.2\" (did you mean \"1.2.0\"?)"},
    {"tags: [semvar]\n", "r.yaml:3:8: key \"tags\": expected one of semver, git, date, found "
                         "\"semvar\" (did you mean \"semver\"?)"},
    {"service: {port: 70000}\n", "r.yaml:3:17: key \"port\": expected a number from 1 to "
                                 "65535, found \"70000\""},
    {"image: {cmd: python3 -m app}\n",
     "r.yaml:3:14: key \"cmd\": expected a list, found \"python3 -m app\" (write it as […], "
     "one item for each word)"},
    {"image: {workdir: app}\n",
     "r.yaml:3:18: key \"workdir\": expected an absolute path such as /app, without .., found "
     "\"app\" (did you mean \"/app\"?)"},
    {"image: {env: {A: }}\n",
     "r.yaml:3:18: key \"A\": expected a text, found nothing (quote it if it is meant)"},
    {"image: {env: {A: [1]}}\n", "r.yaml:3:18: key \"A\": expected a text, found a list"},
    {"image: {repository: \"https://Reg.io/Team/App:1\"}\n",
     "r.yaml:3:21: key \"repository\": expected a repository such as "
     "registry.example.com/team/app, in lower case and without tag, found "
     "\"https://Reg.io/Team/App:1\" (did you mean \"reg.io/team/app\"?)"},
    {"image: {env: {U: \"${PROT}\"}}\nargs: {PORT: 1}\n",
     "r.yaml:3:18: key \"U\": ${PROT} is neither in args, nor a variable of the base or above "
     "(did you mean ${PORT}?)"},
    {"image: {env: {PATH: \"/a:$PATHS\"}}\n",
     "r.yaml:3:21: key \"PATH\": ${PATHS} is neither in args, nor a variable of the base or above "
     "(leave it out, or write $$ for a dollar sign)"},
    {"image: {path: [a]}\n", "r.yaml:3:16: key \"path\": expected an absolute path such as "
                             "/opt/bin, without : and .., found "
                             "\"a\" (did you mean \"/a\"?)"},
    {"layers: [{name: a, run: x, secrets: [{name: a, env: X}, {name: b, env: X}]}]\n",
     "r.yaml:3:57: key \"env\": X is the secret a already"},
    {"layers: [{name: a, run: x, secrets: {name: a, to: /etc/}}]\n",
     "r.yaml:3:37: key \"to\": expected the whole path of a file, found \"/etc/\""},
    {"image: {env: {U: \"${A:-b}\"}}\n",
     "r.yaml:3:18: key \"U\": malformed ${…} (expected ${NAME} with a name of args; write $$ "
     "for a dollar sign)"},
    {"layers:\n- {name: a, run: x, apt: [b]}\n",
     "r.yaml:4:21: key \"apt\": a second step (expected one; put several into steps: [{run: "
     "…}, {apt: …}])"},
    {"layers:\n- {run: x}\n", "r.yaml:4:3: key \"name\": missing in layer"},
    {"layers:\n- {name: a, run: x}\n- {name: a, run: y}\n",
     "r.yaml:5:10: key \"name\": a second layer \"a\" (the first is in line 4)"},
    {"layers:\n- {name: a, rnu: x}\n",
     "r.yaml:4:13: key \"rnu\": unknown key in layer (did you mean \"run\"?)"},
    {"layers:\n- {name: a, steps: [{run: x, name: y}]}\n",
     "r.yaml:4:30: key \"name\": unknown key in step (expected one of " KINDS
     "network, secrets, cache, inputs, env, args, when)"},
    {"layers:\n- {name: a, copy: {from: /a, to: /b}}\n",
     "r.yaml:4:26: key \"from\": expected a path below the context such as src/app (context: "
     "says where that is), found \"/a\" (did you mean \"a\"?)"},
    {"layers:\n- {name: a, copy: {from: ../a, to: /b}}\n",
     "r.yaml:4:26: key \"from\": expected a path below the context such as src/app (context: "
     "says where that is), found \"../a\""},
    {"layers:\n- {name: a, copy: {from: a, to: /b, owner: 1000}}\n",
     "r.yaml:4:44: key \"owner\": expected UID:GID in numbers such as \"1000:1000\", found "
     "\"1000\" (did you mean \"1000:1000\"?)"},
    {"layers:\n- {name: a, copy: {from: a, to: /b, mode: 0888}}\n",
     "r.yaml:4:43: key \"mode\": expected permissions in octal such as \"0644\", found "
     "\"0888\""},
    {"layers:\n- {name: a, copy: {from: a, to: /b}, secrets: [x]}\n",
     "r.yaml:4:47: key \"secrets\": has no meaning for copy, which runs nothing"},
    {"layers:\n- {name: a, download: {url: \"https://x/\", to: /d/, sha256: abc}}\n",
     "r.yaml:4:60: key \"sha256\": expected a SHA-256 of 64 hexadecimal digits, found \"abc\""},
    {"layers:\n- {name: a, apt: [-y]}\n",
     "r.yaml:4:19: key \"apt\": expected a package such as python3 or python3=3.11.2-1, found "
     "\"-y\""},
    {"layers:\n- {name: a, prune: [dosc]}\n",
     "r.yaml:4:21: key \"prune\": expected one of docs, man, locales, pyc, tests, static, "
     "headers, or a pattern such as /opt/**/*.a, found \"dosc\" (did you mean \"docs\"?)"},
    {"layers: []\ncontext: nowhere\n",
     "r.yaml:4:10: key \"context\": there is no directory \"nowhere\" (it is relative to the "
     "recipe's)"},
    {"service: {port: 1, health: {http: /a, tcp: 1}}\n",
     "r.yaml:3:28: key \"health\": expected one of http, tcp and command, found several"},
    {"service: {health: {http: /a}}\n",
     "r.yaml:3:26: key \"http\": needs the service's port (add port: beside health:)"},
    {"image: {stop_signal: TERM}\n", "r.yaml:3:22: key \"stop_signal\": expected a signal such "
                                     "as SIGTERM, found \"TERM\" (did you mean \"SIGTERM\"?)"},
    {"image: {labels: {\"a\\e[31m\": x}}\n",
     "r.yaml:3:18: key \"labels\": expected a label's name of letters, digits and _ . / : @ + "
     "-, found \"a\\x1b[31m\""},
};

static void test_messages(void) {
    sb_autofree char *no_step =
        sb_format("r.yaml:4:3: a layer without a step (expected steps or one of %.*s)",
                  (int)(sizeof KINDS - sizeof ", "), KINDS);
    CHECK_STR(refusal_with("layers:\n- {name: a}\n"), no_step);
    for (size_t i = 0; i < sizeof messages / sizeof *messages; i++)
        CHECK_STR(refusal_with(messages[i].more), messages[i].message);
    CHECK_STR(refusal("name: x\nfrom: debian:bookworm\n"),
              "r.yaml:2:7: key \"from\": expected scratch, a recipe such as base.yaml, {image: …}, "
              "{stage: …}, "
              "{debian: …} or {ubuntu: …}, found \"debian:bookworm\" (did you mean {image: "
              "debian:bookworm}?)");
    CHECK_STR(
        refusal("name: x\nfrom: {debian: bookworm, ubuntu: jammy}\n"),
        "r.yaml:2:7: key \"from\": expected one of image, recipe, stage, debian and ubuntu, found "
        "several");
    CHECK_STR(refusal("name: x\nfrom: {image: a, mirror: \"http://m\"}\n"),
              "r.yaml:2:26: key \"mirror\": has a meaning only with debian or ubuntu");
    CHECK_STR(refusal("just a text\n"),
              "r.yaml:1:1: expected keys such as name: and from:, found a value");
    CHECK(!strstr(refusal_with("image: {repository: \"https://me:secret@r.io/x\"}\n"), "secret"));
}

/* All at once, in the order of the file, and not without end. */
static void test_many_errors(void) {
    CHECK_STR(
        refusal("nam: x\nfrom: nothing\ntags: [a]\nimage: {user: \"a b\", ports: [0, 1, x]}\n"),
        "r.yaml:1:1: key \"nam\": unknown key in recipe (did you mean \"name\"?)\n"
        "r.yaml:1:1: key \"name\": missing in recipe\n"
        "r.yaml:2:7: key \"from\": expected scratch, a recipe such as base.yaml, {image: …}, "
        "{stage: …}, "
        "{debian: …} or {ubuntu: …}, found \"nothing\"\n"
        "r.yaml:3:8: key \"tags\": expected one of semver, git, date, found \"a\"\n"
        "r.yaml:4:15: key \"user\": expected a user such as \"1000:1000\" or app, found \"a "
        "b\"\n"
        "r.yaml:4:30: key \"ports\": expected a port from 1 to 65535, with /tcp or /udp if "
        "needed, found \"0\"\n"
        "r.yaml:4:36: key \"ports\": expected a port from 1 to 65535, with /tcp or /udp if "
        "needed, found \"x\"");
    struct sb_buf text = {0};
    sb_buf_adds(&text, "name: x\nfrom: scratch\n");
    for (int i = 0; i < 30000; i++)
        sb_buf_addf(&text, "bad_%d: 1\n", i);
    clock_t start = clock();
    const char *message = refusal(text.data);
    CHECK((double)(clock() - start) / CLOCKS_PER_SEC < 2);
    int lines = 1;
    for (const char *p = message; *p; p++)
        lines += *p == '\n';
    CHECK_INT(lines, 51);
    CHECK(strstr(message, "\nr.yaml: and 29950 more"));
    sb_buf_free(&text);
}

static void test_chains(void) {
    put("a.yaml", "name: a\nfrom: b.yaml\n");
    put("b.yaml", "name: b\nfrom: sub/c.yaml\n");
    put("sub/c.yaml", "name: c\n\nfrom: ../a.yaml\n");
    CHECK(!load("a.yaml", NULL));
    CHECK_STR(last.message, "sub/c.yaml:3:7: key \"from\": recipes that are built on each other: "
                            "a.yaml → b.yaml → sub/c.yaml → a.yaml");
    put("b.yaml", "name: b\nfrom: gone.yaml\n");
    CHECK(!load("a.yaml", NULL));
    CHECK_INT(last.code, SB_E_RECIPE);
    CHECK_STR(last.message, "b.yaml:2:7: key \"from\": gone.yaml: there is no such recipe");
    put("b.yaml", "name: b\nfrom: basee.yaml\n");
    CHECK(!load("a.yaml", NULL));
    CHECK_STR(last.message, "b.yaml:2:7: key \"from\": basee.yaml: there is no such recipe (did "
                            "you mean base.yaml?)");
    CHECK(!load("aa.yaml", NULL));
    CHECK_INT(last.code, SB_E_NOT_FOUND);
    CHECK(!load("-", NULL));
    CHECK_INT(last.code, SB_E_USAGE);
    CHECK(!load("sub", NULL));
    CHECK_STR(last.message, "sub: not a file (expected a recipe)");

    for (int i = 0; i < 40; i++) {
        sb_autofree char *name = sb_format("deep%d.yaml", i);
        sb_autofree char *text = sb_format("name: d\nfrom: deep%d.yaml\n", i + 1);
        put(name, text);
    }
    CHECK(!load("deep0.yaml", NULL));
    CHECK_STR(last.message,
              "deep31.yaml:2:7: key \"from\": too many recipes on top of one another");

    CHECK_INT(symlink("sub/ml-deps.yaml", "link.yaml"), 0);
    struct sb_recipe *r = load("link.yaml", NULL);
    CHECK(r);
    sb_recipe_free(r);
}

static void test_limits(void) {
    struct sb_buf text = {0};
    sb_buf_adds(&text, "layers:\n");
    for (int i = 0; i < 10000; i++)
        sb_buf_addf(&text, "- {name: l%d, run: x}\n", i);
    CHECK_STR(
        refusal_with(text.data),
        "r.yaml:4:1: key \"layers\": expected at most 127 layers, found 10000 (an image can't "
        "have more; put several steps into one layer)");
    for (int base = 0; base < 2; base++) {
        sb_buf_reset(&text);
        sb_buf_addf(&text, "name: x\nfrom: %s\nlayers:\n", base ? "scratch" : "half.yaml");
        for (int i = 0; i < 100; i++)
            sb_buf_addf(&text, "- {name: l%d, run: x}\n", i);
        put(base ? "half.yaml" : "whole.yaml", text.data);
    }
    CHECK(!load("whole.yaml", NULL));
    CHECK(strstr(last.message, "whole.yaml:2:7: key \"from\": 200 layers together"));

    int fd = open("huge.yaml", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    CHECK_INT(ftruncate(fd, 100 << 20), 0);
    close(fd);
    CHECK(!load("huge.yaml", NULL));
    CHECK_STR(last.message, "huge.yaml:1:1: 105 MB long (expected a recipe of at most 1.05 MB)");

    sb_buf_reset(&text);
    sb_buf_adds(&text, "args:\n  A0: xxxxxxxxxxxxxxxx\n");
    for (int i = 1; i < 40; i++)
        sb_buf_addf(&text, "  A%d: \"${A%d}${A%d}\"\n", i, i - 1, i - 1);
    CHECK(strstr(refusal_with(text.data), "make more than 4194304 bytes"));
    sb_buf_free(&text);
}

/* Secrets and caches of a layer are for the steps that can use them. */
static void test_layer_defaults(void) {
    put("r.yaml", "name: r\nfrom: scratch\nlayers:\n- name: a\n  network: host\n  secrets: [s]\n"
                  "  cache: /c\n  steps:\n  - run: x\n    network: none\n  - copy: {from: a, to: "
                  "/}\n  - run: y\n    secrets: [t, s]\n");
    struct sb_recipe *r = load("r.yaml", NULL);
    if (!CHECK(r)) {
        printf("%s\n", last.message);
        return;
    }
    const struct sb_step *steps = r->layers[0].steps;
    CHECK(!steps[0].network && steps[2].network && !steps[1].network);
    CHECK_INT(steps[0].secrets.n, 1);
    CHECK_INT(steps[1].secrets.n, 0);
    CHECK_INT(steps[2].secrets.n, 2);
    CHECK_STR(steps[2].caches.v[0], "/c");
    sb_recipe_free(r);
}

static struct sb_recipe *load_for(const char *path, const char *platform) {
    struct sb_platform parsed;
    CHECK_INT(sb_platform_parse(platform, &parsed, &last), 0);
    struct sb_recipe *r = NULL;
    struct sb_recipe_options options = {.platform = &parsed};
    CHECK_INT(sb_recipe_load(path, &options, &r, &last), 0);
    sb_platform_free(&parsed);
    return r;
}

/* What is left out, and what steps have of build:, of the layer and of the platform. */
static void test_platform(void) {
    put("r.yaml", "name: r\nfrom: scratch\nargs: {A: a, B: \"${PLATFORM}\"}\n"
                  "build: {shell: [bash, -e], env: {X: \"$A\", Y: \"${X}\"}}\nlayers:\n"
                  "- {name: arm, copy: {from: a, to: /}, when: {PLATFORM_ARCH: arm64}}\n"
                  "- name: both\n  env: {L: \"${A}\"}\n  args: []\n  steps:\n"
                  "  - {run: x, when: {PLATFORM: linux/amd64}}\n"
                  "  - run: {script: 'echo $PLATFORM_ARCHES', shell: [sh]}\n    env: {O: \"$L\"}\n"
                  "- {name: named, run: \"${PLATFORM_ARCH}\"}\n- {name: all, run: x}\n");
    struct sb_recipe *r = load_for("r.yaml", "linux/amd64");
    CHECK_INT(r->layer_count, 3);
    CHECK_INT(r->left_out_count, 1);
    CHECK_STR(r->left_out[0].layer.name, "arm");
    CHECK_STR(r->left_out[0].why, "PLATFORM_ARCH is \"amd64\", not \"arm64\"");
    CHECK_STR(sb_pairs_get(&r->args, "B"), "linux/amd64");
    CHECK_INT(r->layers[0].step_count, 2);
    sb_recipe_free(r);
    r = load_for("r.yaml", "linux/arm64/v8");
    CHECK_INT(r->layer_count, 4);
    CHECK_INT(r->left_out_count, 1);
    CHECK_INT(r->left_out[0].step, 1);
    CHECK_INT(r->left_out[0].before, 1);
    CHECK_INT(r->layers[1].step_count, 1);
    const struct sb_step *step = r->layers[1].steps;
    CHECK_INT(step->args.n, 0);
    CHECK_INT(step->env.n, 2); /* the layer's first */
    CHECK_STR(step->env.v[0].name, "L");
    CHECK_INT(step->args_used.n, 1); /* by the layer's variable */
    const struct sb_step *named = r->layers[2].steps, *all = r->layers[3].steps;
    CHECK(sb_strings_has(&named->args, "PLATFORM_ARCH"));
    CHECK(!sb_strings_has(&named->args, "PLATFORM"));
    CHECK_INT(all->args.n, 2);                 /* A and B */
    CHECK_INT(r->build.env.v[1].made_of.n, 1); /* A, by X */
    sb_recipe_free(r);
}

static void test_speed(void) {
    put("sub/middle.yaml", design);
    put("sub/top.yaml", design);
    struct sb_buf text = {0};
    sb_buf_adds(&text, design);
    char *from = strstr(text.data, "ml-deps.yaml");
    memcpy(from, "middle2.yml ", 12);
    put("sub/top.yaml", text.data);
    put("sub/middle2.yml", design);
    sb_buf_free(&text);
    double best = 1;
    for (int i = 0; i < 50; i++) {
        struct timespec a, b;
        clock_gettime(CLOCK_MONOTONIC, &a);
        struct sb_recipe *r = load("sub/top.yaml", NULL);
        clock_gettime(CLOCK_MONOTONIC, &b);
        if (!r) {
            CHECK(r);
            return;
        }
        sb_recipe_free(r);
        double s = (double)(b.tv_sec - a.tv_sec) + (double)(b.tv_nsec - a.tv_nsec) / 1e9;
        best = s < best ? s : best;
    }
    printf("three recipes: %.0f us\n", best * 1e6);
    CHECK(best < 0.01); /* far above what it takes, for slow machines and sanitizers */
}

static bool differs(const struct sb_recipe *r, const char *stage) {
    for (size_t i = 0; i < r->stage_count; i++)
        if (!strcmp(r->stages[i]->name, stage))
            return r->stages[i]->differs;
    return CHECK(false);
}

static bool copies(const struct sb_recipe *r, const char *stage) {
    for (size_t i = 0; i < r->stage_count; i++)
        if (!strcmp(r->stages[i]->name, stage))
            return r->stages[i]->copies;
    return CHECK(false);
}

/* What it is built for, known before it is loaded for each; and which stages are the same for all.
 */
static void test_platforms(void) {
    put("r.yaml", "name: r\nplatforms: [linux/amd64, linux/arm64, nonsense]\nfrom: scratch\n"
                  "layers: [{name: a, run: x}]\n");
    struct sb_recipe_files *files = sb_recipe_files_new();
    struct sb_strings names = {0};
    struct sb_recipe_options options = {.files = files};
    CHECK_INT(sb_recipe_platforms("r.yaml", &options, &names, &last), 0);
    CHECK_INT(names.n, 2);
    struct sb_recipe *none = NULL;
    CHECK_INT(sb_recipe_load("r.yaml", &options, &none, &last), -1); /* which says what is wrong */
    CHECK(strstr(last.message, "nonsense"));
    sb_strings_free(&names);
    sb_recipe_files_free(files);

    put("r.yaml", "name: r\nfrom: scratch\nlayers: [{name: a, run: x}]\n");
    options.files = files = sb_recipe_files_new();
    struct sb_recipe *r = NULL, *again = NULL;
    CHECK_INT(sb_recipe_load("r.yaml", &options, &r, &last), 0);
    put("r.yaml", "name: changed\nfrom: scratch\nlayers: [{name: a, run: x}]\n");
    CHECK_INT(sb_recipe_load("r.yaml", &options, &again, &last), 0);
    CHECK_STR(again->name, "r"); /* all platforms see the same file */
    CHECK(sb_recipe_counterpart(r, again) == again);
    sb_recipe_free(r);
    sb_recipe_free(again);
    sb_recipe_files_free(files);
}

static void test_stages_of_platforms(void) {
    put("r.yaml", "name: r\nfrom: scratch\nstages:\n"
                  "- {name: same, from: scratch, layers: [{name: a, copy: {from: a, to: /}}]}\n"
                  "- {name: on, from: {stage: same}, layers: [{name: a, copy: {stage: same, from: "
                  "a, to: /}}]}\n"
                  "- {name: runs, from: {stage: same}, layers: [{name: a, run: x}]}\n"
                  "- {name: named, from: scratch, layers: [{name: a, run: echo $PLATFORM}]}\n"
                  "- {name: takes, from: scratch, layers: [{name: a, copy: {stage: named, from: a, "
                  "to: /}}]}\n"
                  "- {name: own, platform: build, from: scratch, layers: [{name: a, copy: {from: "
                  "a, to: /}}]}\n"
                  "layers: [{name: a, copy: {stage: own, from: a, to: /}}]\n");
    struct sb_recipe *r = load_for("r.yaml", "linux/arm64");
    if (!CHECK(r))
        return;
    CHECK(copies(r, "same") && copies(r, "on") && !copies(r, "runs") && !copies(r, "named"));
    CHECK(!copies(r, "takes") && !copies(r, "own"));
    CHECK(!differs(r, "same") && !differs(r, "runs") && !differs(r, "own"));
    CHECK(differs(r, "named") && differs(r, "takes"));
    struct sb_recipe *other = load_for("r.yaml", "linux/amd64");
    CHECK(sb_recipe_counterpart(r->stages[0], other) == other->stages[0]);
    sb_recipe_free(other);
    sb_recipe_free(r);
    put("r.yaml", "name: r\nfrom: scratch\nargs: {A: \"${PLATFORM_ARCH}\"}\nstages:\n"
                  "- {name: same, from: scratch, layers: [{name: a, copy: {from: a, to: /}}]}\n"
                  "layers: [{name: a, copy: {stage: same, from: a, to: /}}]\n");
    r = load_for("r.yaml", "linux/arm64");
    CHECK(r && differs(r, "same")); /* it might name the argument */
    sb_recipe_free(r);
}

int main(void) {
    char dir[] = "/tmp/sbuild-recipe-XXXXXX";
    if (!CHECK(mkdtemp(dir)) || !CHECK_INT(chdir(dir), 0) || !CHECK_INT(mkdir("sub", 0755), 0) ||
        !CHECK_INT(mkdir(".git", 0755), 0)) /* all here is one project */
        return test_done();
    test_design();
    test_forms();
    test_text_stays();
    test_args();
    test_from();
    test_messages();
    test_many_errors();
    test_chains();
    test_limits();
    test_layer_defaults();
    test_platform();
    test_platforms();
    test_stages_of_platforms();
    test_speed();
    struct sb_error err = {0};
    CHECK_INT(chdir("/"), 0);
    CHECK_INT(sb_tree_remove(AT_FDCWD, dir, &err), 0);
    return test_done();
}
