/* context/base_paths: what is kept of an image's paths, layer upon layer, and that copies find in
 * it what they would find in the image itself. */
#include "context/base_paths.h"

#include <stdlib.h>
#include <sys/stat.h>

#include "tests/unit/layer_test.h"

static struct layer_test t;

/* "usr" or "usr 700 1:2": a directory; "a>b": a symlink; "f!": a file; ".wh.x!": a whiteout. */
static void add_spec(struct sb_contents_writer *writer, const char *spec) {
    char path[256] = "", link[256] = "", mark = 0;
    unsigned mode = 0755, uid = 0, gid = 0;
    struct sb_entry e = {.path = path, .mode = S_IFDIR | 0755};
    if (sscanf(spec, "%255[^>! ]%c", path, &mark) == 2 && mark == '>') {
        snprintf(link, sizeof link, "%s", strchr(spec, '>') + 1);
        e.link = link;
        e.mode = S_IFLNK | 0777;
    } else if (mark == '!') {
        e.mode = S_IFREG | 0644;
    } else if (mark == ' ' && sscanf(strchr(spec, ' '), "%o %u:%u", &mode, &uid, &gid) == 3) {
        e.mode = S_IFDIR | mode;
        e.uid = uid;
        e.gid = gid;
    }
    sb_contents_add(writer, &e);
}

static struct sb_contents_writer *write_specs(const char *specs) {
    struct sb_contents_writer *writer = sb_contents_start();
    sb_autofree char *copy = sb_strdup(specs);
    char *rest = copy;
    for (char *spec; (spec = strsep(&rest, ","));)
        if (*spec)
            add_spec(writer, spec);
    return writer;
}

/* What is listed, without the sets of layers that follow. */
static void without_sets(char *text) {
    char *sets = strstr(text, "\n\t");
    if (sets)
        sets[1] = '\0';
}

/* Folds layers, and shows the text with "," for newlines and "|" for tabs. */
static char *fold(const char *const *layers) {
    struct sb_base_paths paths;
    sb_base_paths_scratch(&paths);
    for (; *layers; layers++) {
        struct sb_contents *layer = sb_contents_from_writer(write_specs(*layers));
        sb_base_paths_add(&paths, layer, NULL);
        sb_contents_close(layer);
    }
    char *text = sb_base_paths_text(&paths);
    without_sets(text);
    for (char *p = text; *p; p++)
        *p = *p == '\n' ? ',' : *p == '\t' ? '|' : *p;
    sb_base_paths_free(&paths);
    return text;
}

#define FOLD(expected, ...)                                                                        \
    do {                                                                                           \
        sb_autofree char *folded_ = fold((const char *const[]){__VA_ARGS__, NULL});                \
        CHECK_STR(folded_, expected);                                                              \
    } while (0)

static void test_what_is_kept(void) {
    FOLD("2,", "");
    FOLD("2,usr,usr/lib,", "usr,usr/lib,usr/lib/x,usr/lib/x/y!,file!");
    FOLD("2,a,a/b,a/b/c|700|0:0,a/b/d|755|0:7,t|1777|0:0,",
         "a/b/c 700 0:0,a/b/d 755 0:7,t 1777 0:0");
    /* a whiteout is no directory, whatever seems to be in it */
    FOLD("2,a,", "a,.wh.a/b!,.wh.b/c/d");
    /* links: to directories wherever they are, and those that lead to nothing known, or nowhere */
    FOLD("2,a|>b,b|>a,bin|>usr/bin,lib|>/usr/lib,loose|>gone/far/away,usr,usr/bin,usr/lib,",
         "bin>usr/bin,lib>/usr/lib,usr/bin/x!,usr/lib/y!,so>usr/lib/y,loose>gone/far/away,a>b,b>a,"
         "chain>so");
    FOLD("2,a,a/b,a/b/c/up|>../..,", "a/b/c/up>../..,a/b/c/f>../../../a/x,a/x!");
    /* names that don't fit in a line, or aren't UTF-8 */
    FOLD("2,ok,", "ok,\x01"
                  "bad,x\xff>ok");
}

static void test_layers(void) {
    /* a directory again has the new attributes; implicit ones keep them */
    FOLD("2,a|700|1:1,", "a 700 1:1", "a/f!");
    FOLD("2,a,", "a 700 1:1", "a,a/f!");
    FOLD("2,a,a/b,", "a/b/c 700 1:1", "a/b/c");
    /* a circle of links is broken by a layer above */
    FOLD("2,a|>b,b,", "a>b,b>a", "b");
    FOLD("2,a|>b,b|>c,c,", "a>b,b>a,c", "b>c");
    /* whiteouts, opaque directories, files in the way */
    FOLD("2,a,", "a/b,a/b/c 700 1:1,l>a", "a/.wh.b!,.wh.l!");
    FOLD("2,a-b,a.b,", "a/b,a/b/c 700 1:1,a-b,a.b", ".wh.a!");
    FOLD("2,a|711|1:1,a/n,", "a 711 1:1,a/b,a/b/c 700 1:1", "a/.wh..wh..opq!,a/n");
    FOLD("2,new,", "a/b,x 700 1:1", ".wh..wh..opq!,new");
    FOLD("2,", "a/b/c 700 1:1", "a!");
    FOLD("2,a,a/b,", "a/b/c 700 1:1", "a/b/c!");
    /* what a whiteout hides and the same layer makes again starts anew */
    FOLD("2,a,", "a 700 1:1,a/b", ".wh.a!,a/f!");
    /* links give way to directories, stated or implied, and directories to links */
    FOLD("2,bin,", "bin>usr/bin", "bin/f!");
    FOLD("2,bin|700|0:0,", "bin>usr/bin", "bin 700 0:0");
    FOLD("2,bin|>usr,usr,", "bin/x/y 700 1:1,usr", "bin>usr");
    /* a link to a directory of a lower layer, to a file of one, and to what isn't known there */
    FOLD("2,d,d/e,l|>d/e,", "d,d/e/f!", "l>d/e");
    FOLD("2,d,d/e,f|>d/e/f,g|>d/e,", "d/e/f!", "f>d/e/f,g>d/e");
    FOLD("2,d,f|>d/f,g|>d/f,", "d/f!", "f>d/f,g>d/f", "d/.wh.f!,g>d/f");
}

static void test_bytes_that_are_not_ours(void) {
    static const struct {
        const char *text;
        int line; /* of the damage; 0: unknown version, so as an image made elsewhere */
    } cases[] = {
        {"1", 0},
        {"", 0},
        {"3\na\n", 0},
        {"2 partial\na\n", 0},
        {"1\n\t0 \n", 2},
        {"2\n\t0 \na\n", 3},
        {"2\n\t\n", 2},
        {"2\n\t1\n", 2},
        {"2\n\t1 \n", 2},
        {"2\n\t1 !!!!\n", 2},
        {"2\n\t-1 AAAA\n", 2},
        {"2\n\t99999999999999999999 AAAA\n", 2},
        {"2\n\t1 ////////////////\n", 2},
        {"2\n\t2 AAAAAAAAAAAAAAAAAAAAAAAA\n", 2},
        {"1 Partial\n", 0},
        {"1\na", 2},
        {"1\n\n", 2},
        {"1\na//b\n", 2},
        {"1\n/a\n", 2},
        {"1\na/\n", 2},
        {"1\n..\n", 2},
        {"1\na/../b\n", 2},
        {"1\n.\n", 2},
        {"1\n.wh.a\n", 2},
        {"1\n.wh.d/a\n", 2},
        {"1\na\nb\t\n", 3},
        {"1\nb\t>\n", 2},
        {"1\nb\t700\n", 2},
        {"1\nb\t700\t0\n", 2},
        {"1\nb\t8\t0:0\n", 2},
        {"1\nb\t17777\t0:0\n", 2},
        {"1\nb\t700\t-1:0\n", 2},
        {"1\nb\t700\t0:4294967296\n", 2},
        {"1\nb\t700\t0:0 \n", 2},
        {"1\nb\t\t0:0\n", 2},
        {"1\nb\t700\t99999999999999999999999:0\n", 2},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct sb_error err = {0};
        struct sb_image image = {.config = json_pack("{s:s}", SB_BASE_PATHS_KEY, cases[i].text)};
        struct sb_base_paths paths = {0};
        int result = sb_base_paths_read(sb_base_paths_said(&image), &paths, &err);
        if (!CHECK_INT(result, cases[i].line ? -1 : 0))
            printf("    case %zu\n", i);
        sb_autofree char *expected = sb_format("line %d of \"%s\" in the image config is damaged",
                                               cases[i].line, SB_BASE_PATHS_KEY);
        if (cases[i].line) {
            CHECK_STR(err.message, expected);
            CHECK_INT(err.code, SB_E_INTEGRITY);
        } else {
            CHECK(paths.partial && sb_contents_count(paths.contents) > 10);
        }
        sb_base_paths_free(&paths);
        json_decref(image.config);
    }
    struct sb_image none = {.config = json_pack("{s:i}", SB_BASE_PATHS_KEY, 5)};
    struct sb_base_paths paths;
    CHECK(!sb_base_paths_said(&none));
    CHECK_INT(sb_base_paths_read(NULL, &paths, NULL), 0);
    CHECK(paths.partial);
    sb_base_paths_free(&paths);
    json_decref(none.config);
}

static void test_too_much(void) {
    struct sb_contents_writer *writer = sb_contents_start();
    for (int i = 0; i < 20000; i++) {
        sb_autofree char *path = sb_format("directory-%d", i);
        add_spec(writer, path);
    }
    struct sb_contents *layer = sb_contents_from_writer(writer);
    struct sb_base_paths paths;
    sb_base_paths_scratch(&paths);
    sb_base_paths_add(&paths, layer, NULL);
    sb_contents_close(layer);
    sb_autofree char *text = sb_base_paths_text(&paths);
    CHECK(!strncmp(text, "1 partial\n", 10) && strlen(text) < 4096);
    sb_base_paths_free(&paths);
}

/* ---- against the image itself ---- */

static unsigned seed = 1;
static unsigned random_number(unsigned below) {
    seed = seed * 1103515245 + 12345;
    return (seed >> 16) % below;
}

static void random_path(char *out, size_t size) {
    static const char *const names[] = {"a", "b", "a-", "c.d", "e"};
    size_t n = 0, depth = 1 + random_number(4);
    for (size_t i = 0; i < depth; i++)
        n += (size_t)snprintf(out + n, size - n, "%s%s", i ? "/" : "", names[random_number(5)]);
}

/* Entries as a layer can have them: nothing below what is no directory. */
static struct sb_contents *random_layer(void) {
    struct sb_contents_writer *writer = sb_contents_start();
    char taken[64][64];
    size_t n = 0;
    for (unsigned i = 3 + random_number(12); i-- > 0;) {
        char path[64], spec[192], target[64];
        random_path(path, sizeof path);
        bool clash = false;
        for (size_t j = 0; j < n && !clash; j++) {
            size_t x = strlen(path), y = strlen(taken[j]), least = x < y ? x : y;
            clash = !strncmp(path, taken[j], least) &&
                    (x == y || (x > y ? path : taken[j])[least] == '/');
        }
        if (clash)
            continue;
        memcpy(taken[n++], path, sizeof path);
        char *slash = strrchr(path, '/');
        const char *name = slash ? slash + 1 : path;
        switch (random_number(6)) {
        case 0:
            snprintf(spec, sizeof spec, "%s-file!", path); /* no link leads to one */
            break;
        case 1:
            random_path(target, sizeof target);
            snprintf(spec, sizeof spec, "%s>/%s", path, target);
            break;
        case 2:
            snprintf(spec, sizeof spec, "%.*s.wh.%s!", (int)(name - path), path, name);
            break;
        case 3:
            snprintf(spec, sizeof spec, "%s/.wh..wh..opq!", path);
            break;
        default:
            snprintf(spec, sizeof spec, "%s %o %u:0", path, random_number(2) ? 0755u : 0700u,
                     random_number(2));
        }
        add_spec(writer, spec);
    }
    return sb_contents_from_writer(writer);
}

/* Where a copy to path goes, in the image and by what is kept of it: the same, as long as the image
 * has only directories and links to directories on the way. */
static void compare_path(const struct sb_stack *image, const struct sb_stack *kept,
                         const char *path) {
    sb_autofree char *there = NULL, *here = NULL;
    struct sb_entry e, k;
    if (sb_stack_resolve(image, path, &there, NULL) < 0)
        return;
    for (size_t n = 0; there[n]; n++) {
        n += strcspn(there + n, "/");
        sb_autofree char *parent = sb_strndup(there, n);
        if (sb_stack_find(image, parent, &e) && !S_ISDIR(e.mode))
            return;
        if (!there[n])
            break;
    }
    CHECK_INT(sb_stack_resolve(kept, path, &here, NULL), 0);
    if (!CHECK_STR(here, there))
        printf("    the destination was %s\n", path);
    bool in_image = sb_stack_find(image, there, &e), in_kept = sb_stack_find(kept, there, &k);
    bool ordinary = in_image && (e.mode & 07777) == 0755 && e.uid == 0;
    if (in_kept && S_ISDIR(k.mode))
        CHECK(in_image && e.mode == k.mode && e.uid == k.uid);
    else
        CHECK(!in_image || ordinary);
}

/* What is there, if anything: in the image, and by what is listed and the sets together. */
static char kind_at(const struct sb_stack *stack, const struct sb_base_paths *paths,
                    const char *path) {
    struct sb_entry e;
    if (sb_stack_find(stack, path, &e))
        return S_ISDIR(e.mode) ? 'd' : 'f';
    enum sb_path_known known = paths ? sb_base_paths_unlisted(paths, path) : SB_PATH_NONE;
    return known == SB_PATH_DIRECTORY ? 'd' : known == SB_PATH_OTHER ? 'f' : ' ';
}

static void compare_kind(const struct sb_stack *image, const struct sb_base_paths *paths,
                         const char *path) {
    const struct sb_stack listed = {(struct sb_contents **)&paths->contents, 1};
    const char in_image[] = {kind_at(image, NULL, path), '\0'};
    const char in_paths[] = {kind_at(&listed, paths, path), '\0'};
    if (!CHECK_STR(in_paths, in_image))
        printf("    at %s\n", path);
}

/* A cursor gives what each look-up by itself gives. */
static void compare_cursor(const struct sb_stack *image, struct sb_stack_cursor *cursor,
                           const char *path) {
    struct sb_entry a, b;
    bool found = sb_stack_find(image, path, &a);
    CHECK(sb_stack_cursor_find(cursor, path, &b) == found);
    CHECK(!found || (a.mode == b.mode && a.uid == b.uid && !strcmp(a.path, b.path)));
}

static void test_against_images(void) {
    for (int round = 0; round < 400; round++) {
        struct sb_contents *layers[4];
        struct sb_stack image = {layers, 0};
        struct sb_base_paths paths;
        sb_base_paths_scratch(&paths);
        for (unsigned n = 1 + random_number(4); image.n < n; image.n++) {
            layers[image.n] = random_layer();
            sb_base_paths_add(&paths, layers[image.n], NULL);
        }
        const struct sb_stack kept = {&paths.contents, 1};
        struct sb_stack_cursor *cursor = sb_stack_cursor_new(&image);
        for (int i = 0; i < 100; i++) {
            char path[64];
            random_path(path, sizeof path);
            compare_path(&image, &kept, path);
            compare_kind(&image, &paths, path);
            compare_cursor(&image, cursor, path);
            strcat(path, "-file");
            compare_kind(&image, &paths, path);
        }
        sb_stack_cursor_free(cursor);
        for (size_t i = 0; i < image.n; i++)
            sb_contents_close(layers[i]);
        sb_base_paths_free(&paths);
    }
}

/* ---- in an image's config ---- */

static void add_layer(struct sb_image *image, const char *specs) {
    struct sb_error err = {0};
    struct sb_layer layer = {.diff_id = sb_digest_of(specs, strlen(specs)),
                             .descriptor.media_type = SB_MEDIA_LAYER_TAR};
    if (sb_contents_finish(write_specs(specs), t.store, &layer.diff_id, &err) < 0)
        layer_test_die("contents", &err);
    sb_image_add_layer(image, &layer, NULL, NULL);
}

static const char *update(struct sb_image *image, size_t known) {
    struct sb_error err = {0};
    CHECK_INT(sb_base_paths_update(t.store, image, known, &err), 0);
    static char listed[4096];
    snprintf(listed, sizeof listed, "%s",
             json_string_value(json_object_get(image->config, SB_BASE_PATHS_KEY)));
    without_sets(listed);
    return listed;
}

static void forget_memos(void) {
    sb_autofree char *command = sb_format("rm -r %s/sbuild/paths", sb_store_path(t.store));
    CHECK_INT(system(command), 0);
}

static void test_config(void) {
    static const char *const layers[] = {"usr/bin,tmp 1777 0:0,bin>usr/bin",
                                         "opt/x 700 5:5,.wh.tmp!", "bin/y!,srv"};
    struct sb_image whole, base, top, foreign;
    sb_image_init(&whole, "amd64", NULL);
    sb_image_init(&foreign, "amd64", NULL);
    for (size_t i = 0; i < 3; i++) {
        add_layer(&whole, layers[i]);
        add_layer(&foreign, layers[i]);
    }
    const char *expected = "2\nbin\nopt\nopt/x\t700\t5:5\nsrv\nusr\nusr/bin\n";
    CHECK_STR(update(&whole, 0), expected);
    /* by way of a base: the same */
    sb_image_init(&base, "amd64", NULL);
    add_layer(&base, layers[0]);
    CHECK_STR(update(&base, 0), "2\nbin\t>usr/bin\ntmp\t1777\t0:0\nusr\nusr/bin\n");
    sb_image_copy(&top, &base);
    add_layer(&top, layers[1]);
    add_layer(&top, layers[2]);
    CHECK_STR(update(&top, 1), expected);
    /* from what was kept, without looking at a layer; and anew when that is gone or damaged */
    sb_autofree char *contents = sb_format("%s/sbuild/contents", sb_store_path(t.store));
    sb_autofree char *aside = sb_format("%s.aside", contents);
    json_object_del(whole.config, SB_BASE_PATHS_KEY);
    CHECK_INT(rename(contents, aside), 0);
    CHECK_STR(update(&whole, 0), expected);
    CHECK_INT(rename(aside, contents), 0);
    sb_autofree char *damage =
        sb_format("for f in %s/sbuild/paths/*; do echo hm >>$f; done", sb_store_path(t.store));
    CHECK_INT(system(damage), 0);
    json_object_del(whole.config, SB_BASE_PATHS_KEY);
    CHECK_STR(update(&whole, 0), expected);
    forget_memos();
    json_object_del(whole.config, SB_BASE_PATHS_KEY);
    CHECK_STR(update(&whole, 0), expected);
    /* on an image made elsewhere: its layers are not looked at */
    const char *text = update(&foreign, 2);
    CHECK(!strncmp(text, "1 partial\n", 10) && strstr(text, "\nbin\n") && strstr(text, "\nsrv\n") &&
          !strstr(text, "opt/x") && strstr(text, "\nroot\t700\t0:0\n"));
    sb_image_free(&whole);
    sb_image_free(&base);
    sb_image_free(&top);
    sb_image_free(&foreign);
}

int main(void) {
    t = layer_test_start();
    test_what_is_kept();
    test_layers();
    test_bytes_that_are_not_ours();
    test_too_much();
    test_against_images();
    test_config();
    layer_test_end(&t);
    return test_done();
}
