#include "steps/apt_repository.h"

#include <stdlib.h>
#include <string.h>

#include "base/beneath.h"
#include "base/memory.h"
#include "base/text.h"

enum {
    REPOSITORY_LIMIT = 50, /* of one step */
    KEY_LIMIT = 1 << 20,   /* bytes; Debian's own keyring has 60,000 */
    NAME_LIMIT = 100,      /* bytes of a file's name, without what makes it unique */
};

/* ---- reading ---- */

#define AT(member) offsetof(struct sb_apt_repository, member)

static const struct sb_key keys[] = {
    {"url", SB_KEY_STRING, AT(url), .required = true, .rule = &sb_rule_url,
     .description = "Where the archive is: http or https."},
    {"suite", SB_KEY_STRING, AT(suite), .required = true, .rule = &sb_rule_suite_path,
     .description = "Its suite, such as stable; a path that ends in / where it has none: \"./\"."},
    {"components", SB_KEY_STRINGS, AT(components), .rule = &sb_rule_component, .most = 50,
     .fallback = "[main]; none where suite is a path", .description = "Its components."},
    {"key", SB_KEY_STRING, AT(key), .required = true, .rule = &sb_rule_either,
     .description = "The public key that signs it, armored or not: a file in the context, or an "
                    "absolute path in the image."},
    {"keep", SB_KEY_BOOL, AT(keep), .fallback = "false",
     .description = "Leave the archive's entry, and its key, in the image."},
    {0},
};

static void free_one(struct sb_apt_repository *repository) {
    sb_schema_free(keys, repository);
}

void sb_apt_repositories_free(struct sb_apt_repositories *repositories) {
    for (size_t i = 0; i < repositories->n; i++)
        free_one(&repositories->v[i]);
    free(repositories->v);
    *repositories = (struct sb_apt_repositories){0};
}

static bool is_flat(const struct sb_apt_repository *repository) {
    return repository->suite[strlen(repository->suite) - 1] == '/';
}

static bool can_be_read(const char *path) {
    for (; *path; path++)
        if ((unsigned char)*path <= ' ' || *path == 0x7f || *path == ',')
            return false;
    return true;
}

static void check(struct sb_reader *reader, const struct sb_yaml *node,
                  const struct sb_apt_repositories *before, struct sb_apt_repository *repository) {
    if (is_flat(repository) && repository->components.n)
        sb_reader_problem(reader, sb_yaml_get(node, "components"),
                          "key \"components\": an archive whose suite is a path has none");
    if (!is_flat(repository) && !repository->components.n)
        sb_strings_add(&repository->components, "main");
    if (*repository->key == '/' && !can_be_read(repository->key))
        sb_reader_problem(
            reader, sb_yaml_get(node, "key"),
            "key \"key\": apt can't read a path with a blank, a comma or a control character");
    for (size_t i = 0; i < before->n; i++)
        if (!strcmp(before->v[i].url, repository->url) &&
            !strcmp(before->v[i].suite, repository->suite))
            sb_reader_problem(reader, node,
                              "key \"sources\": %s %s a second time (expected its components in "
                              "one list)",
                              repository->url, repository->suite);
}

static void read_one(struct sb_reader *reader, const struct sb_yaml *node, void *target) {
    struct sb_apt_repositories *out = target;
    struct sb_apt_repository repository = {0};
    size_t before = reader->problem_total;
    if (node->type != SB_YAML_MAPPING)
        sb_reader_problem(reader, node,
                          "key \"sources\": expected {url: …, suite: …, key: …}, found %s",
                          sb_yaml_type_name(node));
    else
        sb_schema_read(reader, keys, "sources", node, &repository);
    if (reader->problem_total == before && repository.url && repository.suite && repository.key)
        check(reader, node, out, &repository);
    if (reader->problem_total != before) {
        free_one(&repository);
        return;
    }
    SB_GROW(out->v, out->n, out->cap);
    out->v[out->n++] = repository;
}

void sb_apt_repositories_read(struct sb_reader *reader, const struct sb_key *key,
                              const struct sb_yaml *node, void *target) {
    struct sb_apt_repositories *out = (void *)((char *)target + key->offset);
    sb_schema_read_each(reader, key, node, REPOSITORY_LIMIT, read_one, out);
}

json_t *sb_apt_repositories_schema(const struct sb_key *key) {
    (void)key;
    return sb_schema_one_or_many(sb_schema_of_keys(keys), REPOSITORY_LIMIT);
}

json_t *sb_apt_repositories_describe(const struct sb_apt_repositories *repositories) {
    json_t *out = json_array();
    for (size_t i = 0; i < repositories->n; i++) {
        const struct sb_apt_repository *r = &repositories->v[i];
        json_t *components = json_array();
        for (size_t k = 0; k < r->components.n; k++)
            json_array_append_new(components, json_string(r->components.v[k]));
        json_array_append_new(out, json_pack("{s:s, s:s, s:o, s:s, s:b}", "url", r->url, "suite",
                                             r->suite, "components", components, "key", r->key,
                                             "keep", r->keep));
    }
    return out;
}

/* ---- keys ---- */

static bool of_context(const struct sb_apt_repository *repository) {
    return *repository->key != '/';
}

int sb_apt_repositories_inputs(const struct sb_apt_repositories *repositories,
                               struct sb_context *context, struct sb_input_list *out,
                               struct sb_error *err) {
    for (size_t i = 0; i < repositories->n; i++)
        if (of_context(&repositories->v[i]) &&
            sb_context_scan(context, repositories->v[i].key, NULL, out, err) < 0)
            return -1;
    return 0;
}

#define BEGIN_PUBLIC "-----BEGIN PGP PUBLIC KEY BLOCK-----"
#define BEGIN_SECRET "-----BEGIN PGP PRIVATE KEY BLOCK-----"

enum { SECRET_KEY = 5, PUBLIC_KEY = 6, SECRET_SUBKEY = 7, FOREVER = 0xff };

/* The kind of a packet of OpenPGP, and what is behind it; -1: none begins there. */
static int take_packet(const unsigned char **at, const unsigned char *end) {
    const unsigned char *p = *at;
    if (p == end || !(*p & 0x80))
        return -1;
    bool new = *p & 0x40;
    int kind = new ? *p & 0x3f : *p >> 2 & 0xf;
    unsigned bytes = 1 << (*p & 3);
    if (new)
        bytes = end - p < 2 ? FOREVER : p[1] < 192 ? 1 : p[1] < 224 ? 2 : p[1] == 255 ? 4 : FOREVER;
    else if (bytes == 8)
        bytes = FOREVER;
    p += new &&bytes == 4 ? 2 : 1;
    uint64_t len = bytes == FOREVER || (uint64_t)(end - p) < bytes ? UINT64_MAX : 0;
    for (unsigned i = 0; len != UINT64_MAX && i < bytes; i++)
        len = len << 8 | *p++;
    if (new &&bytes == 2)
        len = len - (192 << 8) + 192;
    *at = len < (uint64_t)(end - p) ? p + len : end;
    return kind;
}

static bool is_private(const struct sb_buf *text) {
    const unsigned char *at = (const unsigned char *)sb_buf_text(text), *end = at + text->len;
    if (memmem(at, text->len, BEGIN_SECRET, strlen(BEGIN_SECRET)))
        return true;
    for (int kind; (kind = take_packet(&at, end)) >= 0;)
        if (kind == SECRET_KEY || kind == SECRET_SUBKEY)
            return true;
    return false;
}

/* Whether apt reads it, which goes by the name's ending: true where it is armored. */
static int check_key(const char *name, const struct sb_buf *text, bool *out_armored,
                     struct sb_error *err) {
    const char *said = sb_buf_text(text);
    const unsigned char *first = (const unsigned char *)said;
    bool keybox = text->len > 12 && !memcmp(said + 8, "KBXf", 4);
    *out_armored = memmem(said, text->len, BEGIN_PUBLIC, strlen(BEGIN_PUBLIC)) != NULL;
    if (is_private(text)) {
        sb_fail(err, SB_E_RECIPE, "%s is a private key, which no image may have", name);
        return sb_error_hint(err, "gpg --export --armor KEY writes the public one");
    }
    if (*out_armored || (!keybox && take_packet(&first, first + text->len) == PUBLIC_KEY))
        return 0;
    sb_fail(err, SB_E_RECIPE, "%s is no public key of OpenPGP%s", name,
            keybox ? ", but a keybox, which apt does not read" : "");
    return sb_error_hint(err, keybox ? "gpg --no-default-keyring --keyring ./FILE --export writes "
                                       "its keys as apt reads them"
                                     : "it is what the archive's owner gives as .asc or .gpg");
}

static int read_key(const struct sb_apt_repository *repository, struct sb_context *context,
                    struct sb_buf *out, bool *out_armored, struct sb_error *err) {
    if (sb_beneath_read(sb_context_fd(context), repository->key, SB_BENEATH_NO_LINKS, KEY_LIMIT,
                        out, err) < 0)
        return sb_error_context(err, "%s", sb_context_path(context));
    return check_key(repository->key, out, out_armored, err);
}

int sb_apt_repositories_look(const struct sb_apt_repositories *repositories,
                             struct sb_context *context, bool deep, struct sb_error *err) {
    for (size_t i = 0; i < repositories->n; i++) {
        sb_autobuf struct sb_buf text = {0};
        bool armored;
        if (of_context(&repositories->v[i]) &&
            (sb_context_check_path(context, repositories->v[i].key, NULL, deep, err) < 0 ||
             read_key(&repositories->v[i], context, &text, &armored, err) < 0))
            return -1;
    }
    return 0;
}

/* ---- files ---- */

/* "download.example.com-linux-stable", for any URL and suite. The caller's to free. */
static char *name_of(const struct sb_apt_repository *repository) {
    sb_autofree char *whole = sb_format("%s/%s", repository->url, repository->suite);
    const char *p = strstr(whole, "://");
    sb_autobuf struct sb_buf name = {0};
    for (p = p ? p + 3 : whole; *p; p++) {
        bool plain = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') ||
                     (*p >= '0' && *p <= '9') || (*p == '.' && name.len);
        if (plain)
            sb_buf_addc(&name, *p);
        else if (name.len && name.data[name.len - 1] != '-')
            sb_buf_addc(&name, '-');
    }
    while (name.len && strchr("-.", name.data[name.len - 1]))
        name.len--;
    /* Two that differ in what was left out get two names. */
    struct sb_digest digest = sb_digest_of(whole, strlen(whole));
    size_t n = name.len < NAME_LIMIT ? name.len : NAME_LIMIT;
    return sb_format("%.*s-%.8s", (int)n, sb_buf_text(&name), sb_digest_hex(&digest).text);
}

static char *text_of(const struct sb_apt_repository *repository, const char *keyring) {
    struct sb_buf out = {0};
    sb_buf_addf(&out, "Types: deb\nURIs: %s\nSuites: %s\n", repository->url, repository->suite);
    for (size_t i = 0; i < repository->components.n; i++)
        sb_buf_addf(&out, "%s%s", i ? " " : "Components: ", repository->components.v[i]);
    sb_buf_addf(&out, "%sSigned-By: %s\n", repository->components.n ? "\n" : "", keyring);
    return sb_buf_steal(&out);
}

/* The content that the layer's key has. */
static int check_same(const struct sb_apt_repository *repository, struct sb_context *context,
                      const struct sb_buf *text, struct sb_error *err) {
    struct sb_input_list list = {0};
    struct sb_digest digest = sb_digest_of(sb_buf_text(text), text->len);
    int failed = sb_context_scan(context, repository->key, NULL, &list, err);
    if (!failed && (list.n != 1 || !sb_digest_equal(&list.v[0].digest, &digest)))
        failed = sb_fail(err, SB_E_FAILED, "%s changed while it was being read", repository->key);
    sb_input_list_free(&list);
    return failed;
}

int sb_apt_repository_files(const struct sb_apt_repository *repository, struct sb_context *context,
                            struct sb_apt_repository_files *out, struct sb_error *err) {
    *out = (struct sb_apt_repository_files){0};
    sb_autofree char *name = name_of(repository);
    bool armored = false;
    if (of_context(repository)) {
        if (read_key(repository, context, &out->key, &armored, err) < 0 ||
            check_same(repository, context, &out->key, err) < 0)
            return -1;
        out->keyring = sb_format("/etc/apt/keyrings/%s.%s", name, armored ? "asc" : "gpg");
    }
    out->sources = sb_format("/etc/apt/sources.list.d/%s.sources", name);
    out->text = text_of(repository, out->keyring ? out->keyring : repository->key);
    return 0;
}

void sb_apt_repository_files_free(struct sb_apt_repository_files *files) {
    free(files->sources);
    free(files->text);
    free(files->keyring);
    sb_buf_free(&files->key);
    *files = (struct sb_apt_repository_files){0};
}

/* ---- what went wrong ---- */

/* The one that a line of apt's is about. */
static const struct sb_apt_repository *find_said(const struct sb_apt_repositories *repositories,
                                                 const char *line) {
    for (size_t i = 0; i < repositories->n; i++)
        if (strstr(line, repositories->v[i].url))
            return &repositories->v[i];
    return NULL;
}

/* The caller's to free. */
static char *line_around(const char *text, const char *at) {
    const char *begin = at;
    while (begin > text && begin[-1] != '\n')
        begin--;
    return sb_strndup(begin, strcspn(begin, "\n"));
}

int sb_apt_repositories_hint(const struct sb_apt_repositories *repositories, const char *said,
                             struct sb_error *err) {
    static const struct {
        const char *said, *hint;
    } all[] = {
        {"Conflicting values set for option Signed-By",
         "the image has an entry of that archive already, with another key: leave it out of "
         "sources:, or name that key"},
        {"EXPKEYSIG", "the key has expired: get the present one from the archive's owner"},
        {"REVKEYSIG", "the key was revoked: get the present one from the archive's owner"},
        {"NO_PUBKEY", "it is signed with another key than the one that key: names: compare `gpg "
                      "--show-keys FILE` with what the archive's owner says"},
        {"BADSIG", "its signature is not of what it signs: the archive, or who is between, changed "
                   "it; try again, and tell its owner"},
        {"is not signed", "it has no signature that the key of key: made: compare `gpg --show-keys "
                          "FILE` with what the archive's owner says; one without any is refused"},
        {"does not have a Release file", "is there such a suite at that url:? One without suites "
                                         "is named by a path, such as suite: ./"},
        {"doesn't have the component", "the archive has other components: see its Release file"},
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        for (const char *at = said; (at = strstr(at, all[i].said)); at++) {
            sb_autofree char *line = line_around(said, at);
            const struct sb_apt_repository *found = find_said(repositories, line);
            if (found)
                return sb_error_hint(err, "%s %s: %s", found->url, found->suite, all[i].hint);
        }
    return -1;
}
