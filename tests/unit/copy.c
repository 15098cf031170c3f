/* context/copy: where copied files land, with which owner and mode, and that nothing leaves the
 * root. */
#include "context/copy.h"
#include "steps/kinds.h"
#include "tests/unit/layer_test.h"
#include <sys/stat.h>

static struct layer_test t;
static struct sb_stack stack;
static struct sb_copy_ground ground = {.stack = &stack};

static void shell(const char *script) {
    sb_autofree char *command = sb_format("cd '%s' && %s", t.dir, script);
    CHECK(system(command) == 0);
}

/* A layer below, known by its table of contents alone. */
static void make_stack(void) {
    static const struct sb_entry entries[] = {
        {.path = "usr", .mode = S_IFDIR | 0755},
        {.path = "usr/lib", .mode = S_IFDIR | 0711, .uid = 3, .gid = 4},
        {.path = "lib", .link = "usr/lib", .mode = S_IFLNK | 0777},
        {.path = "abs", .link = "/usr/lib", .mode = S_IFLNK | 0777},
        {.path = "up", .link = "../../usr", .mode = S_IFLNK | 0777},
        {.path = "file", .mode = S_IFREG | 0644},
        {.path = "home", .mode = S_IFDIR | 0700, .uid = 1000, .gid = 1000},
        {.path = "tofile", .link = "file", .mode = S_IFLNK | 0777},
        {.path = "gone", .link = "no/where", .mode = S_IFLNK | 0777},
        {.path = "round", .link = "round", .mode = S_IFLNK | 0777},
        {.path = "usr/bin", .mode = S_IFDIR | 0755},
        {.path = "usr/bin/sh", .mode = S_IFREG | 0755},
        {.path = "bin", .link = "usr/bin", .mode = S_IFLNK | 0777},
        {.path = "top", .link = "/", .mode = S_IFLNK | 0777},
    };
    struct sb_error err = {0};
    struct sb_digest id = sb_digest_of("base", 4);
    struct sb_contents_writer *writer = sb_contents_start();
    for (size_t i = 0; i < sizeof entries / sizeof *entries; i++)
        sb_contents_add(writer, &entries[i]);
    CHECK(sb_contents_finish(writer, t.store, &id, &err) == 0);
    static struct sb_contents *layers[1];
    CHECK(sb_contents_open(t.store, &id, &layers[0], &err) == 0);
    stack = (struct sb_stack){layers, 1};
}

static struct sb_step step_of(const char *from, const char *to) {
    struct sb_placing *placing = sb_alloc(sizeof *placing);
    struct sb_step step = {.kind = &sb_step_kind_copy, .own = placing};
    placing->file_mode = placing->directory_mode = -1;
    sb_autofree char *copy = sb_strdup(from);
    char *rest = copy;
    for (char *one; (one = strsep(&rest, " "));)
        sb_strings_add(&placing->from, one);
    placing->to = sb_strdup(to);
    return step;
}

static void free_step(struct sb_step *step) {
    struct sb_placing *placing = step->own;
    sb_strings_free(&placing->from);
    free(placing->to);
    free(placing);
}

/* "path type+mode uid:gid" of every entry, or the error. */
static void check(const char *from, const char *to, const char *expected) {
    struct sb_error err = {0};
    struct sb_context *context = NULL;
    struct sb_copy_list list = {0};
    struct sb_step step = step_of(from, to);
    sb_autobuf struct sb_buf out = {0};
    CHECK(sb_context_open(t.dir, t.store, &context, &err) == 0);
    if (sb_copy_resolve(&step, 1, &(struct sb_copy_from){.context = context}, &ground, &list,
                        &err) < 0)
        sb_buf_adds(&out, "error");
    for (size_t i = 0; !err.code && i < list.n; i++) {
        const struct sb_copy_entry *e = &list.v[i];
        sb_buf_addf(&out, "%s%s %o %u:%u", i ? ", " : "", e->path, e->mode & 07777u, e->uid,
                    e->gid);
    }
    CHECK_STR(sb_buf_text(&out), expected);
    sb_copy_list_free(&list);
    sb_context_close(context);
    free_step(&step);
}

static void test_places(void) {
    check("src/a", "/new", "new 644 0:0");
    check("src/a", "/dir/", "dir 755 0:0, dir/a 644 0:0");
    check("src/a", "/usr/lib", "usr 755 0:0, usr/lib 711 3:4, usr/lib/a 644 0:0");
    check("src/a", "/lib/x", "usr 755 0:0, usr/lib 711 3:4, usr/lib/x 644 0:0");
    check("src/a", "/abs/x", "usr 755 0:0, usr/lib 711 3:4, usr/lib/x 644 0:0");
    check("src/a", "/up/x", "usr 755 0:0, usr/x 644 0:0");
    check("src/a", "/file", "file 644 0:0");
    check("src/a", "/file/x", "error");
    check("src/a src/run", "/many", "many 755 0:0, many/a 644 0:0, many/run 755 0:0");
    check("src/sub", "/home", "home 700 1000:1000, home/s 644 0:0");
    check("src/sub", "/", "s 644 0:0");
    check("src/a", "/", "a 644 0:0");
    check("src/*", "/g", "g 755 0:0, g/a 644 0:0, g/l 777 0:0, g/run 755 0:0, g/s 644 0:0");
}

/* What is there decides, by its kind and by the kind of what is copied: docs/recipe.md, "copy". */
static void test_kinds(void) {
    /* a directory */
    check("over/dir", "/", "usr 755 0:0, usr/bin 755 0:0, usr/bin/x 644 0:0");
    check("over/dirfile", "/", "error");
    check("over/dirtofile", "/", "error");
    check("over/dirgone", "/", "error");
    check("over/dirround", "/", "error");
    check("over/dirtop", "/", "usr 755 0:0, usr/bin 755 0:0, usr/bin/y 644 0:0");
    check("src/sub", "/gone", "no 755 0:0, no/where 755 0:0, no/where/s 644 0:0");
    check("src/sub", "/tofile", "error");
    check("src/sub", "/round", "error");
    /* a file */
    check("over/file", "/", "error");
    check("over/filebin", "/", "error");
    check("src/a", "/tofile", "tofile 644 0:0");
    check("src/a", "/gone", "gone 644 0:0");
    check("src/a", "/round", "round 644 0:0");
    check("src/a", "/gone/", "no 755 0:0, no/where 755 0:0, no/where/a 644 0:0");
    check("src/a", "/tofile/", "error");
    check("src/a", "/bin", "usr 755 0:0, usr/bin 755 0:0, usr/bin/a 644 0:0");
    check("src/a", "/bin/sh", "usr 755 0:0, usr/bin 755 0:0, usr/bin/sh 644 0:0");
    check("src/a", "/top", "a 644 0:0");
    check("src/a src/run", "/file", "error");
    /* a link */
    check("src/l", "/bin", "bin 777 0:0");
    check("src/l", "/gone", "gone 777 0:0");
    check("src/l", "/file", "file 777 0:0");
    check("src/l", "/usr", "usr 755 0:0, usr/l 777 0:0");
    check("over/link", "/", "error");
    /* names that remove files */
    check("over/wh", "/", "error");
    check("over/wh/.wh.x", "/y", "y 644 0:0");
    check("over/wh/.wh.x", "/y/", "error");
    /* two directories of one source that become one */
    check("over/twice", "/", "usr 755 0:0, usr/bin 755 0:0, usr/bin/t 644 0:0, usr/bin/u 644 0:0");
    check("over/both", "/", "error");
}

/* The tables of contents of the layers below, and the same files in a root: one answer. */
static void test_root(void) {
    shell("mkdir -p same/usr/lib same/usr/bin same/home && cd same && chmod 711 usr/lib && "
          "chown 3:4 usr/lib && chmod 700 home && chown 1000:1000 home && ln -s usr/lib lib && "
          "ln -s /usr/lib abs && ln -s ../../usr up && echo >file && ln -s file tofile && "
          "ln -s no/where gone && ln -s round round && echo >usr/bin/sh && ln -s usr/bin bin && "
          "ln -s / top && chmod 755 usr usr/bin");
    sb_autofree char *path = sb_format("%s/same", t.dir);
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    ground = (struct sb_copy_ground){.root = fd};
    test_places();
    test_kinds();
    ground = (struct sb_copy_ground){.stack = &stack};
    close(fd);
}

static void test_later_wins(void) {
    struct sb_error err = {0};
    struct sb_context *context = NULL;
    struct sb_copy_list list = {0};
    struct sb_step steps[] = {step_of("src/a", "/x"), step_of("src/run", "/x")};
    CHECK(sb_context_open(t.dir, t.store, &context, &err) == 0);
    CHECK(sb_copy_resolve(steps, 2, &(struct sb_copy_from){.context = context}, &ground, &list,
                          &err) == 0);
    CHECK(list.n == 1 && (list.v[0].mode & 07777) == 0755);
    sb_copy_list_free(&list);
    sb_context_close(context);
    for (int i = 0; i < 2; i++) {
        free_step(&steps[i]);
    }
}

/* A file that changes between hashing and packing must not get into a layer under the old key. */
static void test_changed_meanwhile(void) {
    static const char *const changes[] = {"echo other >src/a", "echo A >src/a",
                                          "rm src/a; mkdir src/a"};
    for (int i = 0; i < 3; i++) {
        shell("rm -rf src/a; echo a >src/a");
        struct sb_error err = {0};
        struct sb_context *context = NULL;
        struct sb_copy_list list = {0};
        struct sb_step step = step_of("src/a", "/x");
        struct sb_packer *packer = NULL;
        CHECK(sb_context_open(t.dir, t.store, &context, &err) == 0);
        CHECK(sb_copy_resolve(&step, 1, &(struct sb_copy_from){.context = context}, &ground, &list,
                              &err) == 0);
        shell(changes[i]);
        CHECK(sb_packer_start(t.store, &(struct sb_pack_options){0}, &packer, &err) == 0);
        CHECK(sb_copy_pack(&list, &(struct sb_copy_from){.context = context}, NULL, packer, 0,
                           &err) < 0);
        CHECK_INT(err.reason, SB_REASON_CHANGED);
        sb_packer_abort(packer);
        sb_copy_list_free(&list);
        sb_context_close(context);
        free_step(&step);
    }
    shell("rm -rf src/a; echo a >src/a");
}

/* Links in the root lead to where a chroot would go, never outside. */
static void test_lay_out(void) {
    shell("mkdir -p root/inside outside && ln -s /../../inside root/link && "
          "ln -s ../../../outside root/escape && mkdir root/outside");
    struct sb_error err = {0};
    struct sb_context *context = NULL;
    struct sb_copy_list list = {0};
    struct sb_step steps[] = {step_of("src/run", "/link/x"), step_of("src/a", "/escape/y"),
                              step_of("src/sub", "/inside")};
    sb_autofree char *path = sb_format("%s/root", t.dir);
    sb_autoclose int root = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    CHECK(sb_context_open(t.dir, t.store, &context, &err) == 0);
    const struct sb_copy_ground mounted = {.root = root};
    for (int i = 0; i < 3; i++) {
        CHECK(sb_copy_resolve(&steps[i], 1, &(struct sb_copy_from){.context = context}, &mounted,
                              &list, &err) == 0);
        CHECK(sb_copy_lay_out(&list, &(struct sb_copy_from){.context = context}, NULL, root, 1000,
                              &err) == 0);
        sb_copy_list_free(&list);
        free_step(&steps[i]);
    }
    sb_context_close(context);
    struct stat st;
    CHECK(fstatat(root, "inside/x", &st, 0) == 0 && (st.st_mode & 07777) == 0755 &&
          st.st_mtim.tv_sec == 1000);
    CHECK(fstatat(root, "outside/y", &st, 0) == 0);
    CHECK(fstatat(root, "inside/s", &st, 0) == 0);
    shell("test -z \"$(ls outside)\"");
}

int main(void) {
    t = layer_test_start();
    shell("mkdir -p src/sub && echo a >src/a && echo r >src/run && chmod 755 src/run && "
          "echo s >src/sub/s && ln -s a src/l");
    shell("mkdir -p over/dir/bin over/dirfile/file over/dirtofile/tofile over/dirgone/gone "
          "over/dirround/round over/dirtop/top/usr/bin over/file over/filebin over/link over/wh "
          "over/twice/bin over/twice/usr/bin over/both/bin/n over/both/usr/bin && "
          "echo x >over/dir/bin/x && echo y >over/dirtop/top/usr/bin/y && echo f >over/file/usr && "
          "echo f >over/filebin/bin && ln -s x over/link/usr && echo w >over/wh/.wh.x && "
          "echo t >over/twice/bin/t && echo u >over/twice/usr/bin/u && "
          "echo n >over/both/usr/bin/n");
    make_stack();
    test_places();
    test_kinds();
    test_later_wins();
    test_changed_meanwhile();
    if (geteuid() == 0) {
        test_root();
        test_lay_out();
    } else {
        TEST_SKIP("laying out sets owners, which needs root");
    }
    sb_contents_close(stack.v[0]);
    layer_test_end(&t);
    return test_done();
}
