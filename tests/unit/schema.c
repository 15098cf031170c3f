/* recipes/schema.json: it is what the tables of keys say, and it accepts what the parser accepts.
 *
 *     build/release/tests/unit/schema --write     writes recipes/schema.json anew
 */
#include "document/schema.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "base/memory.h"
#include "document/recipe.h"
#include "document/rules.h"
#include "tests/unit/schema_validator.h"
#include "tests/unit/test.h"

#define SCHEMA "recipes/schema.json"

static int write_schema(void) {
    sb_autojson json_t *schema = sb_schema_json();
    sb_autobuf struct sb_buf text = {0};
    struct sb_error err = {0};
    sb_json_write_pretty(schema, &text);
    if (sb_file_write(AT_FDCWD, SCHEMA, text.data, text.len, 0644, &err) < 0) {
        printf("%s\n", err.message);
        return 1;
    }
    return 0;
}

static void test_published(const json_t *schema) {
    sb_autobuf struct sb_buf made = {0}, kept = {0};
    struct sb_error err = {0};
    sb_json_write_pretty(schema, &made);
    CHECK_INT(sb_file_read(AT_FDCWD, SCHEMA, 1 << 20, &kept, &err), 0);
    if (!CHECK(made.len == kept.len && !memcmp(made.data, kept.data, made.len)))
        printf("    run build/release/tests/unit/schema --write\n");
}

/* docs/recipe.md must speak of every key of the schema. */
static void check_documented(const char *docs, const json_t *schema) {
    const char *name;
    json_t *value;
    size_t i;
    json_t *properties = json_object_get(schema, "properties");
    json_object_foreach (properties, name, value) {
        sb_autofree char *quoted = sb_format("`%s`", name);
        if (!CHECK(strstr(docs, quoted)))
            printf("    docs/recipe.md says nothing of %s\n", quoted);
    }
    if (json_is_object(schema)) {
        json_object_foreach ((json_t *)schema, name, value) {
            check_documented(docs, value);
        }
    }
    json_array_foreach (schema, i, value) {
        check_documented(docs, value);
    }
}

static void test_docs(const json_t *schema) {
    sb_autobuf struct sb_buf docs = {0};
    struct sb_error err = {0};
    CHECK_INT(sb_file_read(AT_FDCWD, "docs/recipe.md", 1 << 20, &docs, &err), 0);
    check_documented(sb_buf_text(&docs), schema);
}

/* ---- patterns and checks ---- */

static const struct sb_rule *const rules[] = {
    &sb_rule_name,   &sb_rule_version, &sb_rule_repository,  &sb_rule_absolute,  &sb_rule_inside,
    &sb_rule_user,   &sb_rule_env,     &sb_rule_label,       &sb_rule_secret,    &sb_rule_port,
    &sb_rule_signal, &sb_rule_package, &sb_rule_requirement, &sb_rule_component, &sb_rule_suite,
    &sb_rule_url,    &sb_rule_sha256,  &sb_rule_prune,       &sb_rule_cpu,       &sb_rule_http_path,
};

static const char *const samples[] = {
    "",
    "a",
    "A",
    "0",
    "1",
    "-",
    "_",
    ".",
    "..",
    "...",
    "/",
    "//",
    "a.b",
    "a..b",
    "a-b",
    "a--b",
    "a_b",
    "a__b",
    "a___b",
    "a.-b",
    ".a",
    "a.",
    "-a",
    "a-",
    "ab1",
    "1ab",
    "Ab",
    "a b",
    " a",
    "a\tb",
    "a\nb",
    "\xC3\xA9",
    "a/b",
    "a/",
    "/a",
    "/a/",
    "//a",
    "/a//b",
    "./a",
    "../a",
    "a/..",
    "a/../b",
    "/..",
    "/../a",
    "/a/..b",
    "/a/...",
    "/.a",
    "/.",
    "a/./b",
    "1.2.3",
    "01.2.3",
    "1.2",
    "1.2.3.4",
    "v1.2.3",
    "1.2.3-rc.1",
    "1.2.3-rc..1",
    "1.2.3-01",
    "1.2.3-0a",
    "1.2.3-0",
    "1.2.3+b.01",
    "1.2.3-a+b",
    "1.2.3+",
    "1.2.3-",
    "1.10",
    "localhost/a",
    "localhost:5000/a",
    "reg.io/team/app",
    "Reg.io/a",
    "reg.io/A",
    "reg.io:x/a",
    "reg.io:/a",
    "a:1/b",
    "a/b:1",
    "a/b@sha256:x",
    "-reg.io/a",
    "reg-.io/a",
    "reg..io/a",
    "team/app_x",
    "team//app",
    "1000",
    "1000:1000",
    "1000:",
    ":1000",
    "app:app",
    "app:1000",
    "app-1",
    "a:b:c",
    "65535",
    "65536",
    "0080",
    "80/tcp",
    "80/udp",
    "80/sctp",
    "80/",
    "6553",
    "70000",
    "99999",
    "SIGTERM",
    "SIGKILL",
    "TERM",
    "sigterm",
    "64",
    "65",
    "curl",
    "libstdc++6",
    "curl=7.1-1~x",
    "curl:i386",
    "curl:i386=1",
    "curl=1:i386",
    "curl/stable",
    "curl=",
    "Curl",
    "-y",
    "+x",
    "torch==2.1; python_version<\"3.9\"",
    "x @ https://e.org/x.whl",
    "--hash",
    "non-free",
    "bookworm",
    "stable-updates",
    "https://e.org",
    "http://e.org:80/x?y#z",
    "https://",
    "ftp://e.org",
    "https://u:p@e.org/",
    "https://e.org/a b",
    "https://e.org:/",
    "e.org/x",
    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
    "0123456789ABCDEF0123456789abcdef0123456789abcdef0123456789abcdef",
    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcde",
    "g123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
    "docs",
    "doc",
    "/opt/**/*.a",
    "*.a",
    "!a/b",
    "1.5",
    "0.5",
    "0.0",
    "00",
    "1.",
    ".5",
    "1e5",
    "99999.5",
    "123456",
    "/health?x=1",
    "/a b",
    "/\xC3\xA9",
    "*",
    "**/__pycache__",
    "a:b",
    "a@b",
    "a+b",
    "a=b",
    "app$",
    "10",
    "010",
};

static void test_rules(void) {
    for (size_t r = 0; r < sizeof rules / sizeof *rules; r++) {
        for (size_t i = 0; i < sizeof samples / sizeof *samples; i++) {
            bool checked = rules[r]->check(samples[i]);
            if (!CHECK_INT(text_matches(rules[r]->pattern, samples[i]), checked))
                printf("    %s: %s, %s\n", rules[r]->expected, samples[i],
                       checked ? "only the check accepts it" : "only the pattern accepts it");
        }
    }
}

/* ---- recipes ---- */

static struct sb_error last;

static bool parser_accepts(const char *text) {
    sb_error_clear(&last);
    CHECK_INT(sb_file_write(AT_FDCWD, "r.yaml", text, strlen(text), 0644, &last), 0);
    struct sb_recipe *recipe = NULL;
    bool fine = sb_recipe_load("r.yaml", NULL, &recipe, &last) == 0;
    sb_recipe_free(fine ? recipe : NULL);
    return fine;
}

static bool schema_accepts(const json_t *schema, const char *text) {
    struct sb_yaml_document *document = NULL;
    struct sb_error err = {0};
    if (!CHECK_INT(sb_yaml_parse(text, strlen(text), "r.yaml", &document, &err), 0))
        return false;
    json_t *value = yaml_to_json(sb_yaml_root(document));
    bool fine = validates(schema, schema, value);
    json_decref(value);
    sb_yaml_free(document);
    return fine;
}

static const char good[] = "name: x\nfrom: scratch\n";

static const char *const accepted[] = {
    "version: 1.2.3",
    "context: sub",
    "args: {A: 1, B: true, C: x, D: 1.5}",
    "layers: []",
    "layers: [{name: a, run: x}]",
    "layers: [{name: a, run: {script: x, shell: [a], workdir: /a, user: u}}]",
    "layers: [{name: a, steps: [{run: x}, {apt: [b], network: none, secrets: [s], cache: [/c]}]}]",
    "layers: [{name: a, steps: [{run: x}], network: host, secrets: s, cache: /c}]",
    "layers: [{name: 1, apt: {packages: [b], recommends: true, components: [non-free]}}]",
    "layers: [{name: a, apt: {packages: [b], recommends: \"false\"}}]",
    "layers: [{name: a, pip: [b]}]",
    "layers: [{name: a, run: x, secrets: [s, {name: t, to: /t}, {name: u, env: U}]}]",
    "layers: [{name: a, run: x, secrets: {name: t, to: /t, env: T}}]",
    "layers: [{name: a, pip: {requirements: [r, s], constraints: c, project: [., \"a[x]\"], "
    "extra_index_urls: [\"https://x\"]}}]",
    "image: {path: [/a/b, /c], env: {PATH: \"$PATH:/x\"}}",
    "layers: [{name: a, pip: {requirements: r.txt, index_url: \"https://x\", find_links: w}}]",
    "layers: [{name: a, copy: {from: [a, b], to: /x/, include: a, exclude: [b], owner: \"1:2\"}}]",
    "layers: [{name: a, copy: {from: a, to: /x, mode: \"0644\"}}]",
    "layers: [{name: a, copy: {from: a, to: /x, mode: 0644}}]",
    "layers: [{name: a, copy: {from: a, to: /x, mode: {files: 0600, directories: \"0700\"}}}]",
    "layers: [{name: a, download: {url: \"https://x/y\", to: /a/, sha256: "
    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef, extract: true, strip: 1}}]",
    "layers: [{name: a, prune: [docs, /x/*]}]",
    "args: {A: x}\nlayers: [{name: a, apt: [\"${A}\"], cache: \"/${A}\"}]\n"
    "image: {workdir: \"/${A}\", user: \"${A}\"}",
    "args: {P: 80}\nservice: {port: \"${P}\", health: {tcp: \"${P}\"}}\nimage: {ports: [\"${P}\"]}",
    "image: {}",
    "image: {repository: a/b, user: 1000, workdir: /a, entrypoint: [], cmd: [1, true, x]}",
    "image: {repository: {name: a/b}}",
    "image: {repository: {name: r.io/b, create: true, scan_on_push: true, immutable_tags: false, "
    "lifecycle_keep: 30}}",
    "args: {N: 3}\nimage: {repository: {name: \"${N}/b\", create: true, lifecycle_keep: \"${N}\"}}",
    "image: {ports: [80, \"81/udp\"], volumes: [/d], labels: {a.b/c: 1}, stop_signal: SIGINT}",
    "image: {stop_signal: 15, env: {A: 1.10, B: no}}",
    "tags: [semver, date]",
    "compression: gzip",
    "service: {}",
    "service: {type: job, port: \"80\", gpu: 0, restart: on-failure, env: {A: 1}, secrets: [a]}",
    "service: {port: 1, health: {http: /h, timeout: 1m30s, interval: 5}}",
    "service: {health: {tcp: 80}}",
    "service: {health: {command: curl -f localhost}}",
    "service: {limits: {memory: 1.5Gi, cpu: 1.5, tasks: 100, files: 1024}}",
    "service: {limits: {memory: 1000, cpu: 2}}",
    "service: {type: oneshot, schedule: \"Mon..Fri *-*-* 03:00\", start_timeout: 2h, stop_timeout: "
    "5}",
    "service: {gpu: {count: 2, shared: true}}",
    "args: {N: 2}\nservice: {gpu: {count: \"${N}\"}}",
    "service: {type: notify, gpu: [0, 63], after: a, requires: [b.service, c], root: host}",
    "args: {N: 2}\nservice: {gpu: \"${N}\", directories: {state: /data, cache: /a/..b, logs: /l}}",
    "service: {port: 1, spare_port: 2, strategy: blue-green, upstream: x.conf, drain: 1m30s}",
    "service: {port: 1, spare_port: 2, strategy: blue-green, drain: 0}",
    "service: {harden: {system_calls: false, realtime: \"true\"}}",
};

static const char *const refused[] = {
    "nam: y",
    "version: 1.10",
    "version: [1]",
    "version:",
    "args: [a]",
    "args: {1A: x}",
    "args: {A: [x]}",
    "args: {A: }",
    "layers: {}",
    "layers: [x]",
    "layers: [{run: x}]",
    "layers: [{name: a}]",
    "layers: [{name: A, run: x}]",
    "layers: [{name: a, run: x, apt: [y]}]",
    "layers: [{name: a, run: x, steps: [{run: y}]}]",
    "layers: [{name: a, steps: []}]",
    "layers: [{name: a, steps: [{name: b, run: x}]}]",
    "layers: [{name: a, steps: [{run: x, apt: [y]}]}]",
    "layers: [{name: a, run: [x]}]",
    "layers: [{name: a, run: }]",
    "layers: [{name: a, run: {shell: [a]}}]",
    "layers: [{name: a, run: {script: x, shell: []}}]",
    "layers: [{name: a, run: {script: x, workdir: a}}]",
    "image: {path: [\"/a:/b\"]}",
    "image: {path: [a]}",
    "layers: [{name: a, run: x, secrets: [{to: /t}]}]",
    "layers: [{name: a, run: x, secrets: [{name: t, env: 1T}]}]",
    "layers: [{name: a, run: x, network: maybe}]",
    "layers: [{name: a, run: x, secrets: [a/b]}]",
    "layers: [{name: a, run: x, cache: [c]}]",
    "layers: [{name: a, apt: x}]",
    "layers: [{name: a, apt: []}]",
    "layers: [{name: a, apt: {packages: [b], recommends: maybe}}]",
    "layers: [{name: a, copy: a}]",
    "layers: [{name: a, copy: {from: a}}]",
    "layers: [{name: a, copy: {to: /a}}]",
    "layers: [{name: a, copy: {from: [], to: /a}}]",
    "layers: [{name: a, copy: {from: a, to: a}}]",
    "layers: [{name: a, copy: {from: a, to: /a, owner: app}}]",
    "layers: [{name: a, copy: {from: a, to: /a, mode: rwx}}]",
    "layers: [{name: a, copy: {from: a, to: /a, mode: {file: 1}}}]",
    "layers: [{name: a, download: {url: \"https://x/y\", to: /a}}]",
    "layers: [{name: a, prune: [dosc]}]",
    "image: x",
    "image:",
    "image: {cmd: x}",
    "image: {entrypoint: x}",
    "image: {ports: [0]}",
    "image: {ports: [70000]}",
    "image: {ports: 80}",
    "image: {ports: [\"80/sctp\"]}",
    "image: {env: [A=b]}",
    "image: {env: {a-b: c}}",
    "image: {labels: {\"a b\": c}}",
    "image: {user: a b}",
    "image: {repository: A/B}",
    "image: {repository: [a/b]}",
    "image: {repository: {}}",
    "image: {repository: {create: true}}",
    "image: {repository: {name: A/B}}",
    "image: {repository: {name: a/b, create: maybe}}",
    "image: {repository: {name: a/b, create: true, lifecycle_keep: 0}}",
    "image: {repository: {name: a/b, crate: true}}",
    "image: {stop_signal: TERM}",
    "tags: semver",
    "tags: [latest]",
    "compression: xz",
    "service: {prot: 1}",
    "service: {port: x}",
    "service: {port: 0}",
    "service: {gpu: -1}",
    "service: {restart: maybe}",
    "service: {restart: true}",
    "service: {health: x}",
    "service: {health: {http: h}, port: 1}",
    "service: {health: {tcp: 1, timeout: soon}}",
    "service: {limits: {memory: much}}",
    "service: {gpu: [64]}",
    "service: {gpu: []}",
    "service: {gpu: {count: 0}}",
    "service: {gpu: {shared: true}}",
    "service: {gpu: {count: 1, shared: maybe}}",
    "service: {gpu: {count: 1, share: true}}",
    "service: {type: job, schedule: \"\"}",
    "service: {type: job, schedule: \"$x\"}",
    "service: {after: a b}",
    "service: {directories: {state: data}}",
    "service: {directories: {state: /a/../b}}",
    "service: {directories: {state: /a/}}",
    "service: {directories: [/data]}",
    "service: {root: chroot}",
    "service: {strategy: rolling}",
    "service: {harden: {system_calls: maybe}}",
    "service: {harden: false}",
    "service: {upstream: a/b}",
};

static const char *const froms_accepted[] = {
    "scratch",
    "base.yaml",
    "oci:x",
    "{image: a}",
    "{recipe: base.yaml}",
    "{debian: bookworm}",
    "{debian: bookworm, components: [main], packages: [a], mirror: \"http://m\"}",
    "{ubuntu: jammy}",
};

static const char *const froms_refused[] = {
    "debian",
    "[a]",
    "{}",
    "{image: a, recipe: base.yaml}",
    "{image: a, packages: [a]}",
    "{debian: Bookworm}",
    "{debian: bookworm, components: []}",
    "{suse: x}",
};

/* What no schema can say; the schema must not refuse more than the parser does. */
static const char *const only_parser[] = {
    "context: missing",
    "layers: [{name: a, run: x}, {name: a, run: y}]",
    "layers: [{name: a, copy: {from: a, to: /b}, secrets: [x]}]",
    "layers: [{name: a, pip: {python: python3}}]",
    "layers: [{name: a, apt: {recommends: true}}]",
    "layers: [{name: a, git: {url: \"https://h/x\", to: /x}}]",
    "image: {env: {A: \"${B}\"}}",
    "image: {repository: {name: a/b, scan_on_push: true}}",
    "image: {repository: {name: a/b, create: false, lifecycle_keep: 3}}",
    "service: {health: {http: /h}}",
    "service: {port: 1, health: {}}",
    "service: {port: \"70000\"}",
    "service: {limits: {memory: 0x10}}", /* a number to others */
    "service: {limits: {cpu: 0}}",
};

static void check_recipe(const json_t *schema, const char *text, bool parser, bool by_schema) {
    if (!CHECK_INT(parser_accepts(text), parser))
        printf("%s\n    parser: %s\n", text, last.message);
    if (!CHECK_INT(schema_accepts(schema, text), by_schema))
        printf("%s\n", text);
}

#define COUNT(table) (sizeof(table) / sizeof *(table))

static void test_recipes(const json_t *schema) {
    check_recipe(schema, good, true, true);
    check_recipe(schema, "name: x\n", false, false);
    check_recipe(schema, "from: scratch\n", false, false);
    check_recipe(schema, "- name: x\n", false, false);
    for (size_t i = 0; i < COUNT(accepted) + COUNT(refused) + COUNT(only_parser); i++) {
        bool fine = i < COUNT(accepted), semantic = i >= COUNT(accepted) + COUNT(refused);
        const char *more = fine       ? accepted[i]
                           : semantic ? only_parser[i - COUNT(accepted) - COUNT(refused)]
                                      : refused[i - COUNT(accepted)];
        sb_autofree char *text = sb_format("%s%s\n", good, more);
        check_recipe(schema, text, fine, fine || semantic);
    }
    for (size_t i = 0; i < COUNT(froms_accepted) + COUNT(froms_refused); i++) {
        bool fine = i < COUNT(froms_accepted);
        const char *from = fine ? froms_accepted[i] : froms_refused[i - COUNT(froms_accepted)];
        sb_autofree char *text = sb_format("name: x\nfrom: %s\n", from);
        check_recipe(schema, text, fine, fine);
    }
}

int main(int argc, char **argv) {
    if (argc > 1 && !strcmp(argv[1], "--write"))
        return write_schema();
    sb_autojson json_t *schema = sb_schema_json();
    test_published(schema);
    test_docs(schema);
    test_rules();
    char dir[] = "/tmp/sbuild-schema-XXXXXX";
    struct sb_error err = {0};
    if (CHECK(mkdtemp(dir)) && CHECK_INT(chdir(dir), 0) && CHECK_INT(mkdir("sub", 0755), 0)) {
        CHECK_INT(sb_file_write(AT_FDCWD, "base.yaml", good, strlen(good), 0644, &err), 0);
        test_recipes(schema);
        CHECK_INT(chdir("/"), 0);
        CHECK_INT(sb_tree_remove(AT_FDCWD, dir, &err), 0);
    }
    return test_done();
}
