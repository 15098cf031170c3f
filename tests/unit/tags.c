/* index.json: tags, what other tools wrote in it, damage, several writers; and finding an image. */
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "base/memory.h"
#include "layers/store.h"
#include "tests/unit/test.h"

static char *directory;

static struct sb_store *open_store(const char *name) {
    sb_autofree char *path = sb_path_join(directory, name);
    struct sb_error err = {0};
    struct sb_store *store;
    if (!CHECK(sb_store_open(path, &store, &err) == 0)) {
        printf("%s\n", err.message);
        exit(1);
    }
    return store;
}

static struct sb_descriptor put_manifest(struct sb_store *store, int number) {
    struct sb_descriptor d = {.media_type = SB_MEDIA_MANIFEST};
    sb_autofree char *text =
        sb_format("{\"schemaVersion\":2,\"mediaType\":\"%s\",\"number\":%d}", d.media_type, number);
    d.size = strlen(text);
    struct sb_error err = {0};
    CHECK_INT(sb_blob_put(store, text, d.size, &d.digest, &err), 0);
    return d;
}

static int tag(struct sb_store *store, const char *name, const struct sb_descriptor *d,
               struct sb_error *err) {
    sb_autostrings struct sb_strings names = {0};
    sb_strings_add(&names, name);
    return sb_store_tag(store, &names, d, err);
}

static int untag(struct sb_store *store, const char *name, struct sb_error *err) {
    sb_autostrings struct sb_strings names = {0};
    sb_strings_add(&names, name);
    return sb_store_untag(store, &names, err);
}

static char *read_index(struct sb_store *store) {
    struct sb_buf text = {0};
    struct sb_error err = {0};
    CHECK_INT(sb_file_read(sb_store_fd(store), "index.json", 1 << 20, &text, &err), 0);
    return sb_buf_steal(&text);
}

static void write_index(struct sb_store *store, const char *text) {
    struct sb_error err = {0};
    CHECK_INT(sb_file_write(sb_store_fd(store), "index.json", text, strlen(text), 0644, &err), 0);
}

static void test_tag(void) {
    struct sb_store *store = open_store("tag");
    struct sb_error err = {0};
    struct sb_descriptor one = put_manifest(store, 1), two = put_manifest(store, 2);
    CHECK_INT(tag(store, "b:v1", &one, &err), 0);
    CHECK_INT(tag(store, "a:v1", &one, &err), 0);
    struct stat before, after;
    fstatat(sb_store_fd(store), "index.json", &before, 0);
    CHECK_INT(tag(store, "a:v1", &one, &err), 0); /* writes nothing */
    fstatat(sb_store_fd(store), "index.json", &after, 0);
    CHECK_INT(before.st_ino, after.st_ino);
    CHECK_INT(after.st_mode & 07777, 0644);
    CHECK_INT(tag(store, "a:v1", &two, &err), 0);

    struct sb_tagged_list tags;
    CHECK_INT(sb_store_tags(store, &tags, &err), 0);
    CHECK_INT(tags.n, 2);
    CHECK_STR(tags.v[0].name, "a:v1");
    CHECK(sb_digest_equal(&tags.v[0].descriptor.digest, &two.digest));
    CHECK_STR(tags.v[1].name, "b:v1");
    CHECK(sb_digest_equal(&tags.v[1].descriptor.digest, &one.digest));
    sb_tagged_list_free(&tags);

    struct sb_descriptor missing = {.media_type = SB_MEDIA_MANIFEST, .size = 3};
    CHECK_INT(tag(store, "a:v2", &missing, &err), -1);
    CHECK_INT(err.code, SB_E_NOT_FOUND);
    CHECK_INT(tag(store, "a: v2", &one, &err), -1);
    CHECK_INT(err.code, SB_E_USAGE);

    CHECK_INT(untag(store, "a:v2", &err), -1);
    CHECK_INT(err.code, SB_E_NOT_FOUND);
    CHECK(strstr(err.hint, "a:v1") != NULL);
    CHECK_INT(untag(store, "a:v1", &err), 0);
    CHECK_INT(sb_store_tags(store, &tags, &err), 0);
    CHECK_INT(tags.n, 1);
    sb_tagged_list_free(&tags);
    sb_store_close(store);
}

static void test_names(void) {
    static const char *const good[] = {
        "a",    "backend:v1.4.2",         "team/backend:main-abc123f-dirty",
        "a--b", "localhost:5000/a_b@c+d", NULL};
    static const char *const bad[] = {"",    ":a",  "a:",    "-a",   "a..b", "a/-b",
                                      "a b", "ä:a", "a---b", "a//b", "a\n",  NULL};
    for (size_t i = 0; good[i]; i++)
        if (!CHECK(sb_store_name_valid(good[i])))
            printf("    %s\n", good[i]);
    for (size_t i = 0; bad[i]; i++)
        if (!CHECK(!sb_store_name_valid(bad[i])))
            printf("    %s\n", bad[i]);
}

/* What other tools wrote stays as it is. */
static void test_foreign(void) {
    struct sb_store *store = open_store("foreign");
    struct sb_error err = {0};
    struct sb_descriptor one = put_manifest(store, 1);
    static const char artifact[] =
        "{\"mediaType\":\"application/x\",\"digest\":\"sha512:ab\",\"size\":-1,\"urls\":[\"u\"]}";
    static const char named[] = "{\"mediaType\":\"application/x\",\"annotations\":{\"z\":\"1\","
                                "\"org.opencontainers.image.ref.name\":\"a:zz\",\"b\":\"2\"}}";
    sb_autofree char *text =
        sb_format("{\"schemaVersion\":2,\"x\":[1],\"manifests\":[%s,%s],\"annotations\":{\"k\":"
                  "\"v\"}}",
                  named, artifact);
    write_index(store, text);
    CHECK_INT(tag(store, "a:b", &one, &err), 0);
    sb_autofree char *now = read_index(store);
    sb_autofree char *entry =
        sb_format("{\"mediaType\":\"%s\",\"digest\":\"%s\",\"size\":%d,\"annotations\":{\"org."
                  "opencontainers.image.ref.name\":\"a:b\"}}",
                  one.media_type, sb_digest_text(&one.digest).text, (int)one.size);
    sb_autofree char *expected =
        sb_format("{\"schemaVersion\":2,\"x\":[1],\"manifests\":[%s,%s,%s],\"annotations\":{\"k\":"
                  "\"v\"}}",
                  artifact, entry, named);
    CHECK_STR(now, expected);
    sb_store_close(store);
}

static void test_damaged(void) {
    struct sb_store *store = open_store("damaged");
    struct sb_error err = {0};
    struct sb_descriptor one = put_manifest(store, 1), found;
    static const char *const damaged[] = {
        "",
        "{",
        "[]",
        "{\"schemaVersion\":2}",
        "{\"schemaVersion\":2,\"manifests\":{}}",
        "{\"schemaVersion\":2,\"manifests\":[1]}",
        "{\"schemaVersion\":1,\"manifests\":[]}",
        "{\"schemaVersion\":2,\"manifests\":[],\"manifests\":[]}",
        NULL,
    };
    for (size_t i = 0; damaged[i]; i++) {
        write_index(store, damaged[i]);
        struct sb_tagged_list tags;
        CHECK_INT(sb_store_tags(store, &tags, &err), -1);
        CHECK_INT(err.code, SB_E_INTEGRITY);
        CHECK(strstr(err.message, "/damaged: index.json: ") != NULL);
        CHECK(err.hint[0] != '\0');
        sb_error_clear(&err);
        CHECK_INT(tag(store, "a:b", &one, &err), -1);
        CHECK_INT(sb_store_resolve(store, "a:b", &found, &err), -1);
        sb_autofree char *now = read_index(store);
        CHECK_STR(now, damaged[i]);
    }
    int fd = openat(sb_store_fd(store), "index.json", O_WRONLY);
    CHECK_INT(ftruncate(fd, 1 << 30), 0);
    close(fd);
    CHECK_INT(sb_store_resolve(store, "a:b", &found, &err), -1);
    CHECK(strstr(err.message, "at most") != NULL);
    /* Moved away, it is made anew. */
    CHECK_INT(unlinkat(sb_store_fd(store), "index.json", 0), 0);
    CHECK_INT(tag(store, "a:b", &one, &err), 0);
    CHECK_INT(sb_store_resolve(store, "a:b", &found, &err), 0);
    sb_store_close(store);
}

/* No tag of several writers at once is lost. */
static void test_concurrent(void) {
    enum { WRITERS = 8, TAGS = 12 };
    pid_t pids[WRITERS];
    for (int i = 0; i < WRITERS; i++) {
        pids[i] = fork();
        if (pids[i] == 0) {
            struct sb_error err = {0};
            struct sb_store *store = open_store("writers");
            struct sb_descriptor d = put_manifest(store, i);
            for (int j = 0; j < TAGS; j++) {
                sb_autofree char *name = sb_format("w%d:t%d", i, j);
                if (tag(store, name, &d, &err) < 0 || tag(store, "shared:latest", &d, &err) < 0) {
                    printf("%s\n", err.message);
                    _exit(1);
                }
            }
            sb_store_close(store);
            _exit(0);
        }
    }
    for (int i = 0; i < WRITERS; i++) {
        int status;
        waitpid(pids[i], &status, 0);
        CHECK_INT(status, 0);
    }
    struct sb_store *store = open_store("writers");
    struct sb_error err = {0};
    struct sb_tagged_list tags;
    CHECK_INT(sb_store_tags(store, &tags, &err), 0);
    CHECK_INT(tags.n, WRITERS * TAGS + 1);
    sb_tagged_list_free(&tags);
    sb_store_close(store);
}

/* Killed at any moment, a writer leaves an index that can be read. */
static void test_killed(void) {
    for (int round = 0; round < 20; round++) {
        pid_t pid = fork();
        if (pid == 0) {
            struct sb_error err = {0};
            struct sb_store *store = open_store("killed");
            for (int i = 0;; i++) {
                struct sb_descriptor d = put_manifest(store, i % 7);
                sb_autofree char *name = sb_format("k:t%d", i % 50);
                tag(store, name, &d, &err);
            }
        }
        usleep(3000u + 1000u * (unsigned)round);
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
        struct sb_store *store = open_store("killed");
        struct sb_error err = {0};
        struct sb_tagged_list tags;
        CHECK_INT(sb_store_tags(store, &tags, &err), 0);
        for (size_t i = 0; i < tags.n; i++)
            CHECK(sb_blob_has(store, &tags.v[i].descriptor.digest, tags.v[i].descriptor.size));
        sb_tagged_list_free(&tags);
        sb_store_close(store);
    }
}

static void check_resolves(struct sb_store *store, const char *reference,
                           const struct sb_descriptor *expected) {
    struct sb_error err = {0};
    struct sb_descriptor found;
    if (!CHECK(sb_store_resolve(store, reference, &found, &err) == 0))
        printf("    %s: %s\n", reference, err.message);
    else if (!CHECK(sb_digest_equal(&found.digest, &expected->digest) &&
                    found.size == expected->size && !strcmp(found.media_type, SB_MEDIA_MANIFEST)))
        printf("    %s\n", reference);
}

static void check_unresolved(struct sb_store *store, const char *reference, const char *hint) {
    struct sb_error err = {0};
    struct sb_descriptor found;
    CHECK_INT(sb_store_resolve(store, reference, &found, &err), -1);
    CHECK_INT(err.code, SB_E_NOT_FOUND);
    if (!CHECK(strstr(err.hint, hint) != NULL))
        printf("    %s: %s (%s)\n", reference, err.message, err.hint);
}

static void test_resolve(void) {
    struct sb_store *store = open_store("resolve");
    struct sb_error err = {0};
    struct sb_descriptor d[4];
    check_unresolved(store, "backend:v1", "no image has a name");
    for (int i = 0; i < 4; i++)
        d[i] = put_manifest(store, i);
    CHECK_INT(tag(store, "backend:v1", &d[0], &err), 0);
    CHECK_INT(tag(store, "backend:latest", &d[1], &err), 0);
    CHECK_INT(tag(store, "only:v3", &d[2], &err), 0);
    CHECK_INT(tag(store, "two:v1", &d[0], &err), 0);
    CHECK_INT(tag(store, "two:v2", &d[1], &err), 0);
    CHECK_INT(tag(store, "same:v1", &d[2], &err), 0);
    CHECK_INT(tag(store, "same:v1.0", &d[2], &err), 0);
    CHECK_INT(tag(store, "plain", &d[0], &err), 0);
    check_resolves(store, "backend:v1", &d[0]);
    check_resolves(store, "backend", &d[1]);
    check_resolves(store, "only", &d[2]);
    check_resolves(store, "same", &d[2]);
    check_resolves(store, "plain", &d[0]);
    check_resolves(store, sb_digest_text(&d[2].digest).text, &d[2]);
    check_resolves(store, sb_digest_hex(&d[2].digest).text, &d[2]);
    check_resolves(store, sb_digest_text(&d[3].digest).text, &d[3]); /* no name at all */
    sb_autofree char *prefix = sb_strndup(sb_digest_text(&d[0].digest).text, 7 + 8);
    check_resolves(store, prefix, &d[0]);
    check_resolves(store, prefix + 7, &d[0]);
    check_unresolved(store, "backend:v2", "backend:v1");
    check_unresolved(store, "bakcend", "backend");
    check_unresolved(store, "two", "two:v1, two:v2");
    check_unresolved(store, "sha256:12345", "6 to 64 digits");
    check_unresolved(store, "sha256:../../../../../etc/passwd", "6 to 64 digits");
    check_unresolved(store, "something-else-altogether", "sbuild images");
    sb_autofree char *path = sb_blob_path(&d[2].digest);
    CHECK_INT(unlinkat(sb_store_fd(store), path, 0), 0);
    check_unresolved(store, "only:v3", "build or pull");
    sb_store_close(store);
}

int main(void) {
    char template[] = "/var/tmp/sb-store-XXXXXX";
    directory = mkdtemp(template);
    if (!directory)
        return 1;
    test_tag();
    test_names();
    test_foreign();
    test_damaged();
    test_concurrent();
    test_killed();
    test_resolve();
    struct sb_error err = {0};
    CHECK_INT(sb_tree_remove(AT_FDCWD, directory, &err), 0);
    return test_done();
}
