/*
 * Any members as an archive of docker save, or of an OCI layout (tests/fuzz/documents.h; a member's
 * name stands before the first newline): refused, or an image of the store. The tar around them is
 * well-formed: damaged ones are fuzz_tar's.
 */
#include <dirent.h>
#include <sys/stat.h>

#include "layers/archive.h"
#include "layers/block.h"
#include "layers/descriptor.h"
#include "layers/image.h"
#include "layers/image_index.h"
#include "layers/import.h"
#include "layers/store_private.h"
#include "tests/fuzz/documents.h"

static struct sb_store *store;

static void start(void) {
    struct sb_error err = {0};
    FUZZ_CHECK(sb_store_open(fuzz_directory(), &store, &err) == 0);
    sb_blocks_keep();
}

static void add_member(struct sb_archive *archive, const char *name, const struct sb_buf *text) {
    struct sb_entry link = {.path = name + 1, .link = sb_buf_text(text), .mode = S_IFLNK | 0777};
    if (name[0] == '>' && name[1] && text->len > 0 && !memchr(text->data, '\0', text->len))
        sb_archive_entry(archive, &link, NULL);
    else if (*name)
        sb_archive_file(archive, name, sb_buf_text(text), text->len, NULL);
}

static int write_archive(struct documents *documents, char **names) {
    int fd = fuzz_file("", 0);
    struct sb_archive archive = {.fd = fd, .what = "fuzz"};
    for (size_t i = 0; i < documents->n; i++)
        add_member(&archive, names[i], &documents->v[i].text);
    FUZZ_CHECK(sb_archive_finish(&archive, NULL) == 0);
    sb_archive_free(&archive);
    return fd;
}

static void remove_blobs(void) {
    int fd = openat(sb_store_fd(store), SB_BLOBS_DIRECTORY, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    for (struct dirent *e; dir && (e = readdir(dir));)
        if (e->d_name[0] != '.')
            unlinkat(fd, e->d_name, 0);
    if (dir)
        closedir(dir);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char *const forms[] = {"docker-archive", "oci-archive"};
    if (!store)
        start();
    struct fuzz_parts parts = fuzz_parts(data, size);
    unsigned choice = fuzz_choose(&parts, 8);
    struct documents documents;
    char *names[DOCUMENTS_MOST];
    documents_read(&parts, &documents, names);
    int fd = write_archive(&documents, names);
    sb_autofree char *source =
        sb_format("%s:/proc/self/fd/%d%s", forms[choice % 2], fd, choice & 2 ? ":v1" : "");
    struct sb_descriptor found;
    struct sb_image image;
    struct sb_error err = {0};
    int rc = choice & 4 ? sb_image_import_whole(store, source, &found, &err)
                        : sb_image_import(store, source, &found, &err);
    if (rc < 0) {
        fuzz_check_error(&err);
    } else if (sb_media_kind(found.media_type) == SB_MEDIA_KIND_INDEX) {
        sb_autoimageindex struct sb_image_index index = {0};
        sb_autoindeximages struct sb_index_images images = {0};
        FUZZ_CHECK(sb_image_index_load(store, &found, &index, &err) == 0);
        FUZZ_CHECK(sb_index_images_load(store, &index, &images, &err) == 0);
    } else {
        FUZZ_CHECK(sb_image_load(store, &found, &image, &err) == 0);
        sb_image_free(&image);
    }
    remove_blobs();
    for (size_t i = 0; i < documents.n; i++)
        free(names[i]);
    documents_free(&documents);
    return 0;
}
