/*
 * registry/remote from the command line, for end-to-end tests: each call as sbuild's commands make
 * it, and those that no command needs yet.
 *
 *     remote HOST REPOSITORY put TAG FILE…        blobs, and a manifest of them; prints its digest
 *     remote HOST REPOSITORY get TAG DIR          manifest and blobs into DIR; prints the digest
 *     remote HOST REPOSITORY head|delete TAG      prints the digest; "deleted", "missing"
 *     remote HOST REPOSITORY tags LIMIT           one a line
 *     remote HOST REPOSITORY mount FROM FILE      "mounted", or "session" and uploads the file
 *     remote HOST REPOSITORY refer TAG TYPE       puts an artifact of that type that refers to TAG
 *     remote HOST REPOSITORY referrers TAG [TYPE] digests, one a line
 *     remote HOST REPOSITORY create [scan] [immutable] [keep=N]   ECR's repository
 *
 * SB_MIRROR is a mirror of HOST, SB_ENDPOINT where its requests go. Exit status and messages are
 * those of sbuild.
 */
#ifndef SB_TESTS_UNIT_REMOTE_CLIENT_H
#define SB_TESTS_UNIT_REMOTE_CLIENT_H

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "base/memory.h"
#include "base/process.h"
#include "layers/descriptor.h"
#include "registry/attach.h"
#include "registry/ecr.h"
#include "registry/remote.h"
#include "test.h"

static int client_put_file(struct sb_remote *remote, const char *path, const char *session,
                           struct sb_descriptor *out, struct sb_error *err) {
    struct sb_remote_upload upload = {.session = session};
    sb_autoclose int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return sb_fail_errno(err, SB_E_IO, "%s", path);
    upload.fd = fd;
    upload.blob.media_type = SB_MEDIA_LAYER_TAR;
    if (sb_digest_of_fd(fd, &upload.blob.digest, &upload.blob.size, err) < 0)
        return -1;
    *out = upload.blob;
    int there = session ? 0 : sb_remote_blob_head(remote, &upload.blob, err);
    return there ? (there < 0 ? -1 : 0) : sb_remote_blob_put(remote, &upload, err);
}

static int client_put(struct sb_remote *remote, const char *tag, char **files,
                      struct sb_error *err) {
    static const char config[] = "{\"architecture\":\"amd64\",\"os\":\"linux\"}";
    struct sb_descriptor descriptor = {.media_type = SB_MEDIA_CONFIG, .size = strlen(config)};
    sb_remote_will_push(remote);
    if (sb_remote_blob_put_bytes(remote, config, strlen(config), &descriptor.digest, err) < 0)
        return -1;
    sb_autojson json_t *manifest =
        json_pack("{s:i, s:s, s:o, s:[]}", "schemaVersion", 2, "mediaType", SB_MEDIA_MANIFEST,
                  "config", sb_descriptor_json(&descriptor), "layers");
    for (; *files; files++) {
        if (client_put_file(remote, *files, NULL, &descriptor, err) < 0)
            return -1;
        json_array_append_new(json_object_get(manifest, "layers"), sb_descriptor_json(&descriptor));
    }
    sb_autobuf struct sb_buf bytes = {0};
    sb_json_write(manifest, &bytes);
    struct sb_digest digest = sb_digest_of(bytes.data, bytes.len);
    if (sb_remote_manifest_put(remote, tag, SB_MEDIA_MANIFEST, bytes.data, bytes.len, err) < 0)
        return -1;
    printf("%s\n", sb_digest_text(&digest).text);
    return 0;
}

static int client_write(void *data, const void *bytes, size_t len, struct sb_error *err) {
    return sb_fd_write(*(int *)data, bytes, len, "a blob", err);
}

static int client_get_blob(struct sb_remote *remote, const json_t *value, const char *dir,
                           struct sb_error *err) {
    struct sb_descriptor blob;
    if (sb_descriptor_parse(value, &blob, err) < 0)
        return -1;
    sb_autofree char *path = sb_format("%s/%s", dir, sb_digest_hex(&blob.digest).text);
    sb_autoclose int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0)
        return sb_fail_errno(err, SB_E_IO, "%s", path);
    if (sb_remote_blob_get(remote, &blob, client_write, &fd, err) == 0)
        return 0;
    unlink(path);
    return -1;
}

static int client_get(struct sb_remote *remote, const char *tag, const char *dir,
                      struct sb_error *err) {
    struct sb_manifest manifest;
    if (sb_remote_manifest_get(remote, tag, &manifest, err) < 0)
        return -1;
    sb_autojson json_t *value = sb_json_parse(manifest.bytes.data, manifest.bytes.len, err);
    sb_autofree char *path =
        sb_format("%s/%s", dir, sb_digest_hex(&manifest.descriptor.digest).text);
    int result =
        !value ? -1
               : sb_file_write(AT_FDCWD, path, manifest.bytes.data, manifest.bytes.len, 0644, err);
    struct sb_descriptor config = {0};
    sb_autobuf struct sb_buf bytes = {0};
    if (result == 0)
        result = sb_descriptor_parse(json_object_get(value, "config"), &config, err);
    if (result == 0)
        result = sb_remote_blob_read(remote, &config, 1 << 20, &bytes, err);
    sb_autofree char *config_path = sb_format("%s/%s", dir, sb_digest_hex(&config.digest).text);
    if (result == 0)
        result = sb_file_write(AT_FDCWD, config_path, bytes.data, bytes.len, 0644, err);
    const json_t *layers = json_object_get(value, "layers");
    for (size_t i = 0; i < json_array_size(layers) && result == 0; i++)
        result = client_get_blob(remote, json_array_get(layers, i), dir, err);
    if (result == 0)
        printf("%s\n", sb_digest_text(&manifest.descriptor.digest).text);
    sb_manifest_free(&manifest);
    return result;
}

static int client_tags(struct sb_remote *remote, const char *limit, struct sb_error *err) {
    sb_autostrings struct sb_strings tags = {0};
    if (sb_remote_tags(remote, (size_t)atol(limit), &tags, err) < 0)
        return -1;
    for (size_t i = 0; i < tags.n; i++)
        printf("%s\n", tags.v[i]);
    return 0;
}

static int client_mount(struct sb_remote *remote, const char *from, const char *path,
                        struct sb_error *err) {
    sb_autoclose int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct sb_descriptor blob = {0};
    if (fd < 0)
        return sb_fail_errno(err, SB_E_IO, "%s", path);
    if (sb_digest_of_fd(fd, &blob.digest, &blob.size, err) < 0)
        return -1;
    sb_autofree char *session = NULL;
    int mounted = sb_remote_blob_mount(remote, &blob.digest, from, &session, err);
    if (mounted < 0)
        return -1;
    printf("%s\n", mounted ? "mounted" : session ? "session" : "refused");
    return mounted ? 0 : client_put_file(remote, path, session, &blob, err);
}

static int client_refer(struct sb_remote *remote, const char *tag, const char *type,
                        struct sb_error *err) {
    struct sb_descriptor subject, config = {.media_type = "application/vnd.oci.empty.v1+json"};
    int found = sb_remote_manifest_head(remote, tag, &subject, err);
    if (found <= 0)
        return found < 0 ? -1 : sb_fail(err, SB_E_NOT_FOUND, "%s is not there", tag);
    config.size = 2;
    if (sb_remote_blob_put_bytes(remote, "{}", 2, &config.digest, err) < 0)
        return -1;
    sb_autojson json_t *manifest =
        json_pack("{s:i, s:s, s:s, s:o, s:[o], s:o, s:{s:s}}", "schemaVersion", 2, "mediaType",
                  SB_MEDIA_MANIFEST, "artifactType", type, "config", sb_descriptor_json(&config),
                  "layers", sb_descriptor_json(&config), "subject", sb_descriptor_json(&subject),
                  "annotations", "of", type);
    sb_autobuf struct sb_buf bytes = {0};
    sb_json_write(manifest, &bytes);
    if (sb_attached_put_bytes(remote, SB_MEDIA_MANIFEST, bytes.data, bytes.len, err) < 0)
        return -1;
    struct sb_digest digest = sb_digest_of(bytes.data, bytes.len);
    printf("%s\n", sb_digest_text(&digest).text);
    return 0;
}

static int client_referrers(struct sb_remote *remote, const char *tag, const char *type,
                            struct sb_error *err) {
    struct sb_descriptor subject;
    sb_autojson json_t *list = NULL;
    int found = sb_remote_manifest_head(remote, tag, &subject, err);
    if (found <= 0)
        return found < 0 ? -1 : sb_fail(err, SB_E_NOT_FOUND, "%s is not there", tag);
    if (sb_attached_list(remote, &subject.digest, type, &list, err) < 0)
        return -1;
    for (size_t i = 0; i < json_array_size(list); i++)
        printf("%s %s\n", sb_json_string(json_array_get(list, i), "digest", ""),
               sb_json_string(json_array_get(list, i), "artifactType", ""));
    return 0;
}

static int client_head(struct sb_remote *remote, const char *tag, struct sb_error *err) {
    struct sb_descriptor there;
    int found = sb_remote_manifest_head(remote, tag, &there, err);
    if (found >= 0)
        printf("%s\n", found ? sb_digest_text(&there.digest).text : "missing");
    return found < 0 ? -1 : 0;
}

static int client_delete(struct sb_remote *remote, const char *tag, struct sb_error *err) {
    int deleted = sb_remote_manifest_delete(remote, tag, err);
    if (deleted >= 0)
        printf("%s\n", deleted ? "deleted" : "missing");
    return deleted < 0 ? -1 : 0;
}

static int client_create(struct sb_remote *remote, char **args, struct sb_error *err) {
    struct sb_ecr_options options = {.create = true};
    for (; *args; args++) {
        options.scan_on_push |= !strcmp(*args, "scan");
        options.immutable_tags |= !strcmp(*args, "immutable");
        if (!strncmp(*args, "keep=", 5))
            options.lifecycle_keep = atol(*args + 5);
    }
    return sb_ecr_ensure_repository(sb_remote_registry(remote), sb_remote_host(remote),
                                    sb_remote_repository(remote), &options, err);
}

static int client_run(struct sb_remote *remote, char **args, struct sb_error *err) {
    const char *command = args[0], *first = args[1], *second = first ? args[2] : NULL;
    if (first && second && !strcmp(command, "put"))
        return client_put(remote, first, args + 2, err);
    if (first && second && !strcmp(command, "get"))
        return client_get(remote, first, second, err);
    if (first && !strcmp(command, "head"))
        return client_head(remote, first, err);
    if (first && !strcmp(command, "delete"))
        return client_delete(remote, first, err);
    if (first && !strcmp(command, "tags"))
        return client_tags(remote, first, err);
    if (first && second && !strcmp(command, "mount"))
        return client_mount(remote, first, second, err);
    if (first && second && !strcmp(command, "refer"))
        return client_refer(remote, first, second, err);
    if (first && !strcmp(command, "referrers"))
        return client_referrers(remote, first, second, err);
    if (!strcmp(command, "create"))
        return client_create(remote, args + 1, err);
    return sb_fail(err, SB_E_USAGE, "see tests/unit/remote_client.h");
}

static int client_main(int argc, char **argv) {
    struct sb_error err = {0};
    if (argc < 4)
        return 2;
    sb_interrupt_install();
    struct sb_registry_host host = {.host = argv[1], .endpoint = getenv("SB_ENDPOINT")};
    if (getenv("SB_MIRROR"))
        sb_strings_add(&host.mirrors, getenv("SB_MIRROR"));
    const struct sb_registry_hosts hosts = {
        .v = &host, .n = host.mirrors.n || host.endpoint, .cap = 1};
    const struct sb_registry_options options = {.http = {.hosts = &hosts}};
    struct sb_registry *registry = sb_registry_new(&options);
    struct sb_remote *remote = sb_remote_open(registry, argv[1], argv[2]);
    int status = 0;
    if (client_run(remote, argv + 3, &err) < 0) {
        fprintf(stderr, "sbuild: %s\n", err.message);
        if (*err.hint)
            fprintf(stderr, "hint: %s\n", err.hint);
        status = err.code == SB_E_NOT_FOUND ? 5 : sb_error_exit_status(err.code);
    }
    uint64_t sent, received;
    sb_registry_traffic(registry, &sent, &received);
    fprintf(stderr, "sent %llu received %llu\n", (unsigned long long)sent,
            (unsigned long long)received);
    sb_remote_free(remote);
    sb_registry_free(registry);
    sb_strings_free(&host.mirrors);
    return status;
}

#endif
