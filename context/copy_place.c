/*
 * Where copied and downloaded files land: what sb_copy_place decides.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/beneath.h"
#include "base/file.h"
#include "base/map.h"
#include "base/memory.h"
#include "context/copy.h"

struct placer {
    const struct sb_copy_ground *ground;
    struct sb_stack_cursor *cursor; /* of the ground's stack */
    char target[SB_PATH_LIMIT + 1]; /* of the link in the root that was found last */
    struct sb_map own;              /* paths of entries, and their indexes from 1 */
    bool keeps_own;                 /* there will be another source, which has to know of them */
    bool doubted;
    const struct sb_step *step;
    const struct sb_placing *placing; /* of the step */
    struct sb_copy_list *out;
    struct sb_error *err;
};

/* ---- what is there ---- */

static bool find_in_root(struct placer *p, const char *path, struct sb_entry *out) {
    struct stat st;
    sb_autoclose int fd = sb_open_in_root(p->ground->root, *path ? path : ".", O_PATH | O_NOFOLLOW);
    if (fd < 0 || fstat(fd, &st) < 0)
        return false;
    *out = (struct sb_entry){.path = path, .mode = st.st_mode, .uid = st.st_uid, .gid = st.st_gid};
    ssize_t n = S_ISLNK(st.st_mode) ? readlinkat(fd, "", p->target, SB_PATH_LIMIT) : 0;
    p->target[n > 0 ? n : 0] = '\0';
    out->link = n > 0 ? p->target : NULL;
    return true;
}

static const struct sb_copy_entry *find_own(const struct placer *p, const char *path) {
    const uint64_t *index = p->own.n ? sb_map_find(&p->own, path) : NULL;
    return index ? &p->out->v[*index - 1] : NULL;
}

bool sb_copy_ground_find(const struct sb_copy_ground *ground, struct sb_stack_cursor *cursor,
                         const char *path, struct sb_entry *out) {
    if (sb_stack_cursor_find(cursor, path, out))
        return true;
    if (!ground->unlisted || !sb_stack_cursor_reached(cursor))
        return false;
    enum sb_path_known known = ground->unlisted(ground->data, path);
    bool directory = known == SB_PATH_DIRECTORY;
    *out = (struct sb_entry){.path = path, .mode = directory ? S_IFDIR | 0755 : S_IFREG | 0644};
    return known != SB_PATH_NONE;
}

/* Follows no link: those of the directories that path is in were followed before. */
static bool find(void *self, const char *path, struct sb_entry *out) {
    struct placer *p = self;
    const struct sb_copy_entry *own = find_own(p, path);
    if (own) {
        *out = (struct sb_entry){.path = own->path,
                                 .mode = own->mode,
                                 .uid = own->uid,
                                 .gid = own->gid,
                                 .link = own->link};
        return true;
    }
    if (!p->cursor)
        return find_in_root(p, path, out);
    if (sb_copy_ground_find(p->ground, p->cursor, path, out))
        return true;
    p->doubted |= p->ground->doubts && p->ground->doubts(path);
    return false;
}

/* Where links lead to, the last one followed too; whether something is there, and what. */
static int follow(struct placer *p, const char *path, const char **out_end, struct sb_entry *out,
                  bool *out_found) {
    const size_t layers = p->ground->stack ? p->ground->stack->n : 0;
    const struct sb_lookup lookup = {find, p, layers + 1};
    sb_autofree char *end = NULL;
    uint64_t steps = 0;
    if (sb_lookup_resolve(&lookup, path, &steps, &end, p->err) < 0)
        return -1;
    *out_end = sb_arena_strdup(&p->out->arena, end);
    *out_found = find(p, *out_end, out);
    return 0;
}

/* ---- what is in the way ---- */

static const char *kind_of(mode_t mode) {
    return S_ISDIR(mode)   ? "a directory"
           : S_ISLNK(mode) ? "a symbolic link"
           : S_ISREG(mode) ? "a file"
                           : "a special file";
}

/* Where what is there comes from. */
static char *origin_of(const struct placer *p, const char *path) {
    const struct sb_copy_entry *own = find_own(p, path);
    if (own)
        return sb_format("that line %d copies", own->step->place.line);
    return sb_strdup(p->ground->stack ? "in the layers below" : "in the image");
}

/* what: "src/bin is a directory"; there is `is` at path. */
static int clash(const struct placer *p, const char *what, const char *path, const char *is) {
    sb_autofree char *origin = origin_of(p, path);
    sb_fail(p->err, SB_E_FAILED, "%s, but /%s is %s %s", what, path, is, origin);
    return sb_error_hint(p->err, "a copy replaces nothing by something of another kind: choose "
                                 "another name, or remove what is there in a step before");
}

static char *name_input(const struct sb_input *input) {
    return sb_format("%s is %s", *input->path ? input->path : "the context", kind_of(input->mode));
}

static char *name_link(const char *end, const char *what) {
    return sb_format("a symbolic link to %s/%s,", what, end);
}

/* ---- entries ---- */

static void add(struct placer *p, const struct sb_copy_entry *entry) {
    SB_GROW(p->out->v, p->out->n, p->out->cap);
    p->out->v[p->out->n++] = *entry;
    if (p->keeps_own)
        *sb_map_put(&p->own, entry->path) = p->out->n;
}

/* As it is there; or else a new one, which belongs to whom that belongs which it leads to. */
static void add_directory(struct placer *p, const char *path, const struct sb_entry *there) {
    struct sb_copy_entry entry = {.path = path,
                                  .mode = S_IFDIR | 0755,
                                  .uid = p->placing->uid,
                                  .gid = p->placing->gid,
                                  .step = p->step};
    if (there) {
        entry.mode = there->mode;
        entry.uid = there->uid;
        entry.gid = there->gid;
    }
    if (*path)
        add(p, &entry);
}

/* The directories on the way to path: as they are there, or else new. Its links are followed. */
static int add_parents(struct placer *p, const char *path) {
    for (const char *end = strchr(path, '/'); end; end = strchr(end + 1, '/')) {
        char *parent = sb_arena_strndup(&p->out->arena, path, (size_t)(end - path));
        struct sb_entry there;
        bool found = find(p, parent, &there);
        if (found && !S_ISDIR(there.mode)) {
            sb_autofree char *what = sb_format("/%s would be below it", path);
            return clash(p, what, parent, kind_of(there.mode));
        }
        add_directory(p, parent, found ? &there : NULL);
    }
    return 0;
}

/* Permissions that don't depend on the umask or the file system of the machine that builds. */
static mode_t final_mode(const struct sb_placing *copy, const struct sb_input *input) {
    mode_t mode = input->mode;
    int32_t given = S_ISDIR(mode) ? copy->directory_mode : copy->file_mode;
    if (S_ISLNK(mode))
        return S_IFLNK | 0777;
    if (given >= 0)
        return (mode & S_IFMT) | (mode_t)given;
    if (input->owned)
        return mode;
    return (mode & S_IFMT) | (S_ISDIR(mode) || mode & 0100 ? 0755 : 0644);
}

static void add_input(struct placer *p, const struct sb_input *input, const char *path) {
    const struct sb_placing *copy = p->placing;
    bool owned = input->owned && !copy->owner_given;
    struct sb_copy_entry entry = {
        .path = path,
        .source = input->path,
        .mode = final_mode(copy, input),
        .uid = owned ? input->uid : copy->uid,
        .gid = owned ? input->gid : copy->gid,
        .size = S_ISREG(input->mode) ? input->size : 0,
        .digest = input->digest,
        .link = input->link,
        .xattrs = S_ISLNK(input->mode) ? NULL : input->xattrs,
        .xattr_count = S_ISLNK(input->mode) ? 0 : input->xattr_count,
        .step = p->step,
    };
    if (*path)
        add(p, &entry);
}

/* ---- one input ---- */

static const char *base_name(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static int check_name(const struct placer *p, const struct sb_input *input) {
    if (!sb_step_is_whiteout(base_name(input->path)))
        return 0;
    sb_fail(p->err, SB_E_FAILED, "%s: a layer can't hold a name that begins with \"%s\"",
            input->path, SB_WHITEOUT_PREFIX);
    return sb_error_hint(p->err, "such names mean removed files in a layer; rename it, or leave it "
                                 "out with exclude:");
}

/* A directory being copied: where it went. */
struct place {
    const char *path;
    bool fresh;           /* nothing is there yet, nor below */
    const char *relative; /* of the input, below its source */
    size_t len;
};

/* A directory where a link is. */
static int enter_link(struct placer *p, const struct sb_input *input, struct place *place) {
    struct sb_entry there;
    const char *end;
    bool found = false;
    if (follow(p, place->path, &end, &there, &found) < 0)
        return -1;
    if (found ? !S_ISDIR(there.mode) : !p->ground->partial) {
        sb_autofree char *what = name_input(input);
        sb_autofree char *is = name_link(end, found ? "the file " : "nothing, ");
        return clash(p, what, place->path, is);
    }
    p->doubted |= !found;
    if (add_parents(p, end) < 0)
        return -1;
    place->path = end;
    place->fresh = !found;
    if (found)
        add_directory(p, end, &there);
    else
        add_input(p, input, end);
    return 0;
}

static int place_directory(struct placer *p, const struct sb_input *input, struct place *place) {
    struct sb_entry there;
    if (place->fresh || !find(p, place->path, &there)) {
        place->fresh = true;
        add_input(p, input, place->path);
        return 0;
    }
    if (S_ISLNK(there.mode))
        return enter_link(p, input, place);
    if (!S_ISDIR(there.mode)) {
        sb_autofree char *what = name_input(input);
        return clash(p, what, place->path, kind_of(there.mode));
    }
    add_directory(p, place->path, &there);
    p->out->v[p->out->n - 1].source = input->path;
    return 0;
}

/* Whether something that is no directory, of that name, may be put at path. */
static int check_replaced(struct placer *p, const char *what, bool link, const char *path) {
    struct sb_entry there, at_end;
    const char *end;
    bool found = false;
    if (!find(p, path, &there))
        return 0;
    if (S_ISDIR(there.mode))
        return clash(p, what, path, kind_of(there.mode));
    if (!S_ISLNK(there.mode) || link)
        return 0;
    struct sb_error round = {0};
    struct sb_error *err = p->err;
    p->err = &round; /* a link that leads round and round is no directory */
    int failed = follow(p, path, &end, &at_end, &found);
    p->err = err;
    if (failed)
        return 0;
    p->doubted |= !found && p->ground->partial;
    if (!found || !S_ISDIR(at_end.mode))
        return 0;
    sb_autofree char *is = name_link(end, "the directory ");
    return clash(p, what, path, is);
}

static int place_leaf(struct placer *p, const struct sb_input *input, const char *path,
                      bool fresh) {
    sb_autofree char *what = fresh ? NULL : name_input(input);
    if (!fresh && check_replaced(p, what, S_ISLNK(input->mode), path) < 0)
        return -1;
    add_input(p, input, path);
    return 0;
}

/* ---- one source ---- */

/* The directory that "to", or its directory part, names: made where it isn't there. */
static int find_directory(struct placer *p, const char *to, const char **out, bool *out_found,
                          struct sb_entry *there) {
    *out = "";
    *out_found = false;
    if (follow(p, to, out, there, out_found) < 0)
        return sb_error_context(p->err, "to: /%s", to);
    if (add_parents(p, *out) < 0)
        return -1;
    if (!*out_found || S_ISDIR(there->mode))
        return 0;
    sb_autofree char *what = sb_format("to: /%s has to be a directory", to);
    return clash(p, what, *out, kind_of(there->mode));
}

/* Whether a file that is copied to that very path goes into it: a directory, or a link to one. */
static bool is_entered(struct placer *p, const struct sb_input *input, const char *path,
                       const char **out) {
    struct sb_entry there;
    struct sb_error round = {0};
    struct sb_error *err = p->err;
    bool found = false;
    if (!find(p, path, &there))
        return false;
    if (S_ISDIR(there.mode))
        return true;
    if (!S_ISLNK(there.mode) || S_ISLNK(input->mode))
        return false;
    p->err = &round;
    int failed = follow(p, path, out, &there, &found);
    p->err = err;
    return !failed && found && S_ISDIR(there.mode);
}

/* The one input of a source that is no directory. */
static int place_file(struct placer *p, const struct sb_copy_source *source, const char *to) {
    const struct sb_input *input = &source->inputs[0];
    const char *given = p->placing->to, *directory = "", *path;
    struct sb_entry there;
    bool found = false, into = source->into || given[strlen(given) - 1] == '/' || !*to;
    if (!into) {
        sb_autofree char *parent = sb_path_dirname(to);
        if (find_directory(p, strcmp(parent, ".") != 0 ? parent : "", &directory, &found, &there) <
            0)
            return -1;
        add_directory(p, directory, found ? &there : NULL);
        path = directory = sb_arena_join(&p->out->arena, directory, base_name(to));
        into = is_entered(p, input, path, &directory);
    } else if (find_directory(p, to, &directory, &found, &there) < 0) {
        return -1;
    }
    if (into) {
        if (check_name(p, input) < 0)
            return -1;
        path = sb_arena_join(&p->out->arena, directory, base_name(input->path));
        if (add_parents(p, path) < 0)
            return -1;
    }
    return place_leaf(p, input, path, false);
}

/* Whether relative is below what place was made of. */
static bool is_within(const struct place *place, const char *relative) {
    return place->len == 0 ||
           (!strncmp(relative, place->relative, place->len) && relative[place->len] == '/');
}

/* All below the source's directory, which went to top. */
static int place_below(struct placer *p, const struct sb_copy_source *source,
                       const struct place *top) {
    struct {
        struct place *v;
        size_t n, cap;
    } open = {0}; /* the directories that the input at hand is in */
    int failed = 0;
    SB_GROW(open.v, open.n, open.cap);
    open.v[open.n++] = *top;
    for (size_t i = 1; i < source->input_count && !failed; i++) {
        const struct sb_input *input = &source->inputs[i];
        while (!is_within(&open.v[open.n - 1], input->relative))
            open.n--;
        const struct place *in = &open.v[open.n - 1];
        const char *name = input->relative + in->len + (in->len > 0);
        struct place place = {sb_arena_join(&p->out->arena, in->path, name), in->fresh,
                              input->relative, strlen(input->relative)};
        failed = check_name(p, input);
        if (failed)
            break;
        if (!S_ISDIR(input->mode)) {
            failed = place_leaf(p, input, place.path, place.fresh);
            continue;
        }
        failed = place_directory(p, input, &place);
        SB_GROW(open.v, open.n, open.cap);
        open.v[open.n++] = place;
    }
    free(open.v);
    return failed;
}

static int place_copy(struct placer *p, const struct sb_copy_source *source) {
    sb_autofree char *clean = sb_path_clean(p->placing->to);
    const char *to = clean + (clean[0] == '/');
    const struct sb_input *first = &source->inputs[0];
    if (!S_ISDIR(first->mode))
        return place_file(p, source, to);
    struct sb_entry there;
    struct place top = {.relative = ""};
    bool found = false;
    if (find_directory(p, to, &top.path, &found, &there) < 0)
        return -1;
    top.fresh = !found;
    if (found)
        add_directory(p, top.path, &there);
    else
        add_input(p, first, top.path);
    return place_below(p, source, &top);
}

/* The last component of "to" is the file's own name. */
static int place_download(struct placer *p) {
    const struct sb_placing *download = p->placing;
    sb_autofree char *clean = sb_path_clean(download->to);
    sb_autofree char *parent = sb_path_dirname(clean);
    struct sb_copy_entry entry = {.mode = S_IFREG | (mode_t)download->file_mode,
                                  .uid = download->uid,
                                  .gid = download->gid,
                                  .step = p->step,
                                  .download = p->step};
    const char *name = base_name(clean), *directory = "";
    struct sb_entry there;
    bool found = false;
    if (!*name || !sb_digest_parse_hex(download->sha256, &entry.digest))
        return sb_fail(p->err, SB_E_FAILED, "%s names no file", download->to);
    if (find_directory(p, parent + 1, &directory, &found, &there) < 0)
        return -1;
    add_directory(p, directory, found ? &there : NULL);
    entry.path = sb_arena_join(&p->out->arena, directory, name);
    if (check_replaced(p, "what is downloaded is a file", false, entry.path) < 0)
        return sb_error_hint(p->err, "end to: with a / to put the file into the directory");
    add(p, &entry);
    return 0;
}

/* ---- all ---- */

static struct placer start(const struct sb_copy_ground *ground, struct sb_copy_list *out,
                           struct sb_error *err) {
    out->n = 0;
    return (struct placer){.ground = ground,
                           .cursor = ground->stack ? sb_stack_cursor_new(ground->stack) : NULL,
                           .out = out,
                           .err = err};
}

static void end(struct placer *p) {
    sb_stack_cursor_free(p->cursor);
    sb_map_free(&p->own);
}

static int place_all(const struct sb_copy_sources *sources, const struct sb_copy_ground *ground,
                     struct sb_copy_list *out, bool *out_doubted, struct sb_error *err) {
    struct placer p = start(ground, out, err);
    int failed = 0;
    for (size_t i = 0; i < sources->n && !failed; i++) {
        const struct sb_copy_source *source = &sources->v[i];
        p.step = source->step;
        p.placing = sb_step_placing(p.step);
        p.keeps_own = i + 1 < sources->n;
        failed = source->input_count ? place_copy(&p, source) : place_download(&p);
        if (failed)
            sb_step_at(p.step, err);
    }
    if (!failed)
        failed = sb_copy_settle(out, err);
    *out_doubted = p.doubted;
    end(&p);
    return failed;
}

int sb_copy_place(const struct sb_copy_sources *sources, const struct sb_copy_ground *ground,
                  struct sb_copy_list *out, struct sb_error *err) {
    bool doubted;
    int failed = place_all(sources, ground, out, &doubted, err);
    if (!ground->whole || (failed && !doubted) || (!doubted && !ground->doubts))
        return failed;
    struct sb_stack whole;
    const struct sb_copy_ground real = {.stack = &whole};
    if (failed)
        sb_error_clear(err);
    int known = ground->whole(ground->data, doubted, &whole, err);
    if (known <= 0)
        return known;
    if (doubted)
        return place_all(sources, &real, out, &doubted, err);
    struct sb_copy_list other = {0};
    failed = place_all(sources, &real, &other, &doubted, err);
    if (!failed)
        failed = sb_copy_compare(out, &other, err);
    sb_copy_list_free(&other);
    return failed;
}

int sb_copy_gather(const struct sb_copy_sources *sources, struct sb_copy_list *out,
                   struct sb_error *err) {
    struct placer p = {.out = out, .err = err};
    for (size_t i = 0; i < sources->n; i++) {
        const struct sb_copy_source *source = &sources->v[i];
        p.step = source->step;
        p.placing = sb_step_placing(p.step);
        for (size_t k = 0; k < source->input_count; k++)
            add_input(&p, &source->inputs[k], source->inputs[k].path);
    }
    return sb_copy_settle(out, err);
}

int sb_copy_place_directory(const struct sb_placing *placing, const struct sb_copy_ground *ground,
                            struct sb_copy_list *out, struct sb_error *err) {
    struct placer p = start(ground, out, err);
    sb_autofree char *clean = sb_path_clean(placing->to);
    struct sb_entry there;
    const char *directory = "";
    bool found = false;
    p.placing = placing;
    int failed = find_directory(&p, clean + (clean[0] == '/'), &directory, &found, &there);
    if (!failed)
        add_directory(&p, directory, found ? &there : NULL);
    end(&p);
    return failed;
}
