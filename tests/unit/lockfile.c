/* builder/lockfile: what is written is read again, and nothing else is believed. */
#include "builder/lockfile.h"

#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/layer_test.h"

static struct layer_test t;
static char *recipe;
static struct sb_project project;

static void write_lock(const char *text) {
    struct sb_error err = {0};
    sb_autofree char *path = sb_lockfile_path(recipe);
    if (sb_file_write(AT_FDCWD, path, text, strlen(text), 0644, &err) < 0)
        layer_test_die("writing", &err);
}

static void test_path(void) {
    static const char *const cases[][2] = {
        {"a.yaml", "a.lock"},
        {"d.x/a.yml", "d.x/a.lock"},
        {"/r/a.b.yaml", "/r/a.b.lock"},
        {"d.x/a", "d.x/a.lock"},
        {"a", "a.lock"},
        {"d/.yaml", "d/.yaml.lock"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        sb_autofree char *path = sb_lockfile_path(cases[i][0]);
        CHECK_STR(path, cases[i][1]);
    }
}

#define A   "a94a8fe5ccb19ba61c4c0873d391e987982fbbd3a94a8fe5ccb19ba61c4c0873"
#define B   "b94a8fe5ccb19ba61c4c0873d391e987982fbbd3a94a8fe5ccb19ba61c4c0873"
#define ON  "docker.io/library/alpine:3"
#define C   "b94a8fe5ccb19ba61c4c0873d391e987982fbbd3"
#define GIT "https://h.example/a\\\"b.git refs/heads/main"
#define V   "version: 1\n"

static void test_round_trip(void) {
    struct sb_error err = {0};
    struct sb_lockfile lock;
    enum sb_locked_kind image = SB_LOCKED_IMAGE, commit = SB_LOCKED_COMMIT;
    static const char *const a = "sha256:" A, *const b = "sha256:" B;
    CHECK_INT(sb_lockfile_read(&project, recipe, &lock, &err), 0);
    CHECK(!lock.exists && lock.n == 0 && !sb_lockfile_find(&lock, image, ON));
    sb_lockfile_set(&lock, commit, GIT, C);
    sb_lockfile_set(&lock, image, "[::1]:5000/a/b:v1", b);
    sb_lockfile_set(&lock, image, ON, b);
    sb_lockfile_set(&lock, image, "host:5000/x:1", a);
    sb_lockfile_set(&lock, image, ON, a);
    CHECK_INT(lock.n, 4);
    CHECK_INT(sb_lockfile_write(&lock, &err), 0);
    sb_lockfile_free(&lock);
    CHECK_INT(sb_lockfile_read(&project, recipe, &lock, &err), 0);
    CHECK(lock.exists);
    if (CHECK_INT(lock.n, 4)) {
        CHECK_STR(lock.v[0].name, "[::1]:5000/a/b:v1");
        CHECK_STR(lock.v[1].name, ON);
        CHECK_STR(lock.v[1].value, a);
        CHECK_STR(lock.v[0].value, b);
        CHECK_STR(lock.v[3].name, GIT);
        CHECK_STR(sb_lockfile_find(&lock, commit, GIT), C);
    }
    CHECK(!sb_lockfile_find(&lock, image, "host:5000/x") &&
          sb_lockfile_find(&lock, image, "host:5000/x:1"));
    CHECK(!sb_lockfile_find(&lock, image, GIT) && !sb_lockfile_find(&lock, commit, ON));
    struct sb_strings used = {0}, dropped = {0};
    sb_strings_add(&used, ON);
    sb_lockfile_keep(&lock, &used, &dropped);
    CHECK(lock.n == 1 && sb_lockfile_find(&lock, image, ON));
    CHECK_INT(dropped.n, 3);
    sb_strings_free(&used);
    sb_lockfile_keep(&lock, &used, &dropped);
    CHECK_INT(dropped.n, 4);
    sb_strings_free(&dropped);
    CHECK_INT(sb_lockfile_write(&lock, &err), 0);
    CHECK(access(lock.path, F_OK) < 0); /* nothing in it: gone */
    CHECK_INT(sb_lockfile_write(&lock, &err), 0);
    sb_lockfile_free(&lock);
}

static void test_refused(void) {
    static const struct {
        const char *text, *says; /* after the file's path */
    } cases[] = {
        {"", ":1:1: expected version: 1"},
        {"- a\n", ":1:1: expected a mapping"},
        {"images: {}\n", "expected version: 1"},
        {"version: 2\nimages: {}\n", ":1:10: expected version 1, found \"2\""},
        {"version: [1]\nimages: {}\n", ":1:10: expected version 1, found a list"},
        {V, "expected the key images or git"},
        {V "images: []\n", ":2:9: expected a mapping of references to digests, found a list"},
        {V "images: {}\nmore: 1\n",
         ":3:1: expected the keys version, images and git, found \"more\""},
        {V "images:\n  alpine: sha256:" A "\n", ":3:3: expected HOST/REPOSITORY:TAG, found"},
        {V "images:\n  docker.io/library/alpine: sha256:" A "\n", ":3:3: expected HOST"},
        {V "images:\n  \"" ON "@sha256:" A "\": sha256:" A "\n", ":3:3: expected HOST"},
        {V "images:\n  \"" ON "\": " A "\n", "expected a digest"},
        {V "images:\n  \"" ON "\": sha256:" A "0\n", "expected a digest"},
        {V "images:\n  \"" ON "\": sha512:" A "\n", "expected a digest"},
        {V "images:\n  \"" ON "\": {a: b}\n",
         "expected a digest, sha256: and 64 hexadecimal digits, "
         "found a mapping"},
        {V "images:\n  \"" ON "\": sha256:" A "\n  \"" ON "\": sha256:" B "\n", ":4:3: "},
        {V "images:\n  \"" ON "\n", ":"},
        {V "images: {}\n---\n" V, ":"},
        {V "git: []\n", ":2:6: expected a mapping of names to commits, found a list"},
        {V "git:\n  \"https://h/a main\": " C "\n", ":3:3: expected URL refs/tags/TAG or"},
        {V "git:\n  \"ext::sh refs/heads/x\": " C "\n", ":3:3: expected URL refs/tags/TAG or"},
        {V "git:\n  \"https://h/a refs/heads/-x\": " C "\n", ":3:3: expected URL"},
        {V "git:\n  \"https://h/a refs/heads/x\": b94a8fe\n", ":3:31: expected a commit"},
        {V "git:\n  \"https://h/a refs/heads/x\": [" C "]\n", ":3:31: expected a commit"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct sb_error err = {0};
        struct sb_lockfile lock;
        sb_autofree char *path = sb_lockfile_path(recipe);
        write_lock(cases[i].text);
        if (!CHECK_INT(sb_lockfile_read(&project, recipe, &lock, &err), -1)) {
            printf("    case %zu\n", i);
            sb_lockfile_free(&lock);
            continue;
        }
        CHECK_INT(err.code, SB_E_RECIPE);
        if (!CHECK(!strncmp(err.message, path, strlen(path)) && strstr(err.message, cases[i].says)))
            printf("    case %zu: %s\n", i, err.message);
        CHECK(lock.n == 0 && !lock.path && !lock.v);
    }
}

static void test_too_large(void) {
    struct sb_error err = {0};
    struct sb_lockfile lock;
    sb_autobuf struct sb_buf text = {0};
    sb_buf_adds(&text, V "images: {}\n");
    while (text.len <= SB_LOCKFILE_LIMIT)
        sb_buf_adds(&text, "# much\n");
    write_lock(text.data);
    CHECK_INT(sb_lockfile_read(&project, recipe, &lock, &err), -1);
}

/* What the author of a checkout puts in its place isn't shown, nor waited for. */
static void test_foreign(void) {
    sb_autofree char *path = sb_lockfile_path(recipe);
    struct sb_lockfile lock;
    struct sb_error err = {0};
    unlink(path);
    CHECK(symlink("/etc/passwd", path) == 0);
    CHECK_INT(sb_lockfile_read(&project, recipe, &lock, &err), -1);
    CHECK(strstr(err.message, "lies outside the project") && !strstr(err.message, "root:"));
    CHECK(unlink(path) == 0 && mkfifo(path, 0644) == 0);
    CHECK_INT(sb_lockfile_read(&project, recipe, &lock, &err), -1);
    CHECK(strstr(err.message, "is a FIFO"));
    unlink(path);
}

int main(void) {
    t = layer_test_start();
    recipe = sb_format("%s/r.yaml", t.dir);
    CHECK_INT(sb_project_find(t.dir, NULL, &project, NULL), 0);
    test_path();
    test_round_trip();
    test_refused();
    test_too_large();
    test_foreign();
    free(recipe);
    sb_project_free(&project);
    layer_test_end(&t);
    return test_done();
}
