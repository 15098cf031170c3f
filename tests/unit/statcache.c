/* context/statcache and context/context: digests that are remembered, and when they must not be. */
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>

#include "context/context.h"
#include "context/statcache.h"
#include "tests/unit/layer_test.h"

static struct layer_test t;

static void write_text(const char *name, const char *text) {
    sb_autofree char *path = sb_format("%s/%s", t.dir, name);
    FILE *f = fopen(path, "w");
    fputs(text, f);
    fclose(f);
}

/* The digest that scanning src/a finds; opens the context anew, as another process would. */
static struct sb_digest scan_one(const char *name) {
    struct sb_error err = {0};
    struct sb_context *context = NULL;
    struct sb_input_list list = {0};
    CHECK(sb_context_open(t.dir, t.store, &context, &err) == 0);
    CHECK(sb_context_scan(context, name, NULL, &list, &err) == 0);
    struct sb_digest d = list.n ? list.v[0].digest : (struct sb_digest){{0}};
    sb_input_list_free(&list);
    sb_context_close(context);
    return d;
}

static bool finds(const char *name, const char *text) {
    struct sb_digest found = scan_one(name), right = sb_digest_of(text, strlen(text));
    return sb_digest_equal(&found, &right);
}

/* Edits of the same size within one tick of the clock, many times over. */
static void test_same_tick(void) {
    bool right = true;
    for (int i = 0; i < 200; i++) {
        char text[16];
        snprintf(text, sizeof text, "%04d", i);
        write_text("a", text);
        right = right && finds("a", text);
    }
    CHECK(right);
}

static void test_old_times(void) {
    write_text("b", "one");
    sb_autofree char *path = sb_format("%s/b", t.dir);
    struct timespec old[2] = {{.tv_sec = 1000000000}, {.tv_sec = 1000000000}};
    utimensat(AT_FDCWD, path, old, 0);
    nanosleep(&(struct timespec){.tv_nsec = 80000000}, NULL);
    CHECK(finds("b", "one")); /* remembered now: its ctime is no longer fresh */
    CHECK(finds("b", "one"));
    write_text("b", "two");
    utimensat(AT_FDCWD, path, old, 0); /* same size, same mtime: only the ctime tells */
    CHECK(finds("b", "two"));
}

/* Proves that the cache is used at all: a record for a file is believed. */
static void test_is_believed(void) {
    write_text("c", "truth");
    nanosleep(&(struct timespec){.tv_nsec = 80000000}, NULL);
    sb_autofree char *path = sb_format("%s/c", t.dir);
    struct stat st;
    CHECK(stat(path, &st) == 0);
    struct sb_digest lie = sb_digest_of("lie", 3), found;
    struct sb_statcache *cache = sb_statcache_open(sb_store_private_fd(t.store), "test-stat");
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    int64_t now_ns = (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
    sb_statcache_add(cache, "c", &st, now_ns, &lie);
    sb_statcache_add(cache, "racy", &st, now_ns - 90000000, &lie);
    sb_statcache_close(cache);
    size_t cursor = 0;
    cache = sb_statcache_open(sb_store_private_fd(t.store), "test-stat");
    CHECK(sb_statcache_find(cache, "c", &st, &cursor, &found) && sb_digest_equal(&found, &lie));
    CHECK(!sb_statcache_find(cache, "racy", &st, &cursor, &found));
    st.st_size++;
    CHECK(!sb_statcache_find(cache, "c", &st, &cursor, &found));
    sb_statcache_close(cache);
}

/* A file that a power loss cut, or a bit flip changed, is an empty cache. */
static void test_damaged(void) {
    struct stat st = {.st_mode = S_IFREG | 0644, .st_size = 3};
    struct sb_digest d = sb_digest_of("x", 1), found;
    int dir = sb_store_private_fd(t.store);
    struct sb_statcache *cache = sb_statcache_open(dir, "damaged");
    for (int i = 0; i < 100; i++) {
        sb_autofree char *name = sb_format("file%03d", i);
        sb_statcache_add(cache, name, &st, INT64_C(4000000000), &d);
    }
    sb_statcache_close(cache);
    sb_autobuf struct sb_buf whole = {0};
    CHECK(sb_file_read(dir, "damaged", 1 << 20, &whole, NULL) == 0 && whole.len > 1000);
    size_t cursor = 0;
    for (size_t cut = 0; cut < whole.len; cut += 97) {
        sb_file_write(dir, "damaged", whole.data, cut, 0644, NULL);
        cache = sb_statcache_open(dir, "damaged");
        CHECK(!sb_statcache_find(cache, "file050", &st, &cursor, &found));
        sb_statcache_close(cache);
    }
    for (size_t at = 0; at < whole.len; at += 89) {
        whole.data[at] ^= 0x10;
        sb_file_write(dir, "damaged", whole.data, whole.len, 0644, NULL);
        whole.data[at] ^= 0x10;
        cache = sb_statcache_open(dir, "damaged");
        CHECK(!sb_statcache_find(cache, "file050", &st, &cursor, &found));
        sb_statcache_close(cache);
    }
}

static void test_order(void) {
    static const char *const sorted[] = {"",      "a",   "a/b", "a/b/c", "a/b.c", "a/c",
                                         "a\x01", "a!b", "a.b", "ab",    "b",     "b/\xff"};
    for (size_t i = 0; i < sizeof sorted / sizeof *sorted; i++)
        for (size_t j = 0; j < sizeof sorted / sizeof *sorted; j++)
            CHECK_INT(sb_path_order(sorted[i], sorted[j]), (i > j) - (i < j));
}

/* ---- the walk ---- */

static void make_tree(void) {
    sb_autofree char *command = sb_format("mkdir -p '%s/tree' && cd '%s/tree' && "
                                          "mkdir -p d1/d2 empty && ln -s /etc/passwd link && "
                                          "ln -s /etc outside && echo x >d1/d2/deep && echo y >top",
                                          t.dir, t.dir);
    CHECK(system(command) == 0);
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    snprintf(name.sun_path, sizeof name.sun_path, "%s/tree/socket", t.dir);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    CHECK(bind(fd, (struct sockaddr *)&name, sizeof name) == 0);
    close(fd);
}

static char *listing(struct sb_context *context, const char *source, struct sb_error *err) {
    struct sb_input_list list = {0};
    struct sb_buf out = {0};
    if (sb_context_scan(context, source, NULL, &list, err) == 0)
        for (size_t i = 0; i < list.n; i++)
            sb_buf_addf(&out, "%s%s ", list.v[i].relative, S_ISLNK(list.v[i].mode) ? "@" : "");
    sb_input_list_free(&list);
    return sb_buf_steal(&out);
}

static void check_refused(struct sb_context *context, const char *source) {
    struct sb_error err = {0};
    sb_autofree char *text = listing(context, source, &err);
    CHECK(err.code != SB_E_NONE && err.message[0]);
}

static void test_walk(void) {
    make_tree();
    struct sb_error err = {0};
    struct sb_context *context = NULL;
    CHECK(sb_context_open(t.dir, t.store, &context, &err) == 0);
    sb_autofree char *all = listing(context, "tree", &err);
    CHECK_STR(all, " d1 d1/d2 d1/d2/deep empty link@ outside@ top ");
    sb_autofree char *link = listing(context, "tree/link", &err);
    CHECK_STR(link, "@ ");
    check_refused(context, "../x");
    check_refused(context, "/etc/passwd");
    check_refused(context, "tree/outside/passwd");
    check_refused(context, "tree/missing");
    sb_autostrings struct sb_strings from = {0};
    sb_strings_add(&from, "tree/*/d?");
    const struct sb_selection selection = {.from = &from};
    struct sb_input_lists found = {0};
    CHECK(sb_context_select(context, &selection, &found, &err) == 0);
    CHECK(found.n == 1 && !strcmp(found.v[0].v[0].path, "tree/d1/d2"));
    sb_input_lists_free(&found);
    sb_context_close(context);
}

/* Enough directories that threads start: the order must not depend on them. */
static void test_threads(void) {
    sb_autofree char *command =
        sb_format("cd '%s' && mkdir many && cd many && for i in $(seq 100 199); do mkdir $i && "
                  "for j in 1 2 3; do echo $i$j >$i/$j; done; done",
                  t.dir);
    CHECK(system(command) == 0);
    struct sb_error err = {0};
    struct sb_context *context = NULL;
    CHECK(sb_context_open(t.dir, t.store, &context, &err) == 0);
    struct sb_input_list list = {0};
    CHECK(sb_context_scan(context, "many", NULL, &list, &err) == 0);
    CHECK_INT(list.n, 401);
    for (size_t i = 1; i < list.n; i++)
        CHECK(sb_path_order(list.v[i - 1].path, list.v[i].path) < 0);
    sb_input_list_free(&list);
    sb_context_close(context);
}

int main(void) {
    t = layer_test_start();
    test_order();
    test_same_tick();
    test_old_times();
    test_is_believed();
    test_damaged();
    test_walk();
    test_threads();
    layer_test_end(&t);
    return test_done();
}
