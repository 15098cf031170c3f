/* deploy/description: what is read, what is refused, and what is made of images and recipes. */
#include "deploy/description.h"

#include <stdlib.h>

#include "base/json.h"
#include "base/memory.h"
#include "tests/unit/test.h"

#define DIGEST(c)                                                                                  \
    "sha256:" c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c  \
        c c c c c c c c c c c c c c c c c c c c c c

#define TEN       "0123456789"
#define HUNDRED   TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN
#define LONG_NAME HUNDRED HUNDRED HUNDRED

static const char whole[] =
    "{\"after\":[\"redis.service\"],\"argv\":[\"python3\",\"-m\",\"app\"],"
    "\"directories\":{\"cache\":null,\"logs\":null,\"state\":\"/data\"},\"drain\":30,"
    "\"env\":{\"A\":\"1\",\"B\":\"x\\ny\"},\"format\":1,\"gpu\":{\"count\":2,\"devices\":[1,3],"
    "\"shared\":false},"
    "\"harden\":{\"address_families\":true,\"capabilities\":true,\"namespaces\":true,"
    "\"no_new_privileges\":true,\"private_devices\":true,\"private_tmp\":true,"
    "\"protect_kernel\":true,\"protect_processes\":true,\"protect_system\":true,\"realtime\":true,"
    "\"system_calls\":false},"
    "\"health\":{\"command\":null,\"http\":\"/health\",\"interval\":10,\"tcp\":0,\"timeout\":60},"
    "\"image\":{\"digest\":\"" DIGEST(
        "a") "\","
             "\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\",\"repository\":null,"
             "\"size\":500},"
             "\"layers\":[{\"application\":true,\"diffId\":\"" DIGEST(
                 "b") "\",\"digest\":\"" DIGEST("c") "\",\"mediaType\":\"application/"
                                                     "vnd.oci.image.layer.v1.tar+zstd\",\"size\":"
                                                     "100,"
                                                     "\"tarSize\":2048}],"
                                                     "\"limits\":{\"cpu\":\"1.5\",\"files\":0,"
                                                     "\"memory\":8000000000,\"tasks\":0},"
                                                     "\"name\":\"backend\",\"port\":8003,"
                                                     "\"requires\":[],\"restart\":\"always\","
                                                     "\"root\":\"layers\","
                                                     "\"schedule\":null,\"secrets\":[\"key\"],"
                                                     "\"sparePort\":0,\"startTimeout\":900,"
                                                     "\"stopSignal\":\"SIGTERM\",\"stopTimeout\":"
                                                     "30,\"strategy\":\"recreate\",\"type\":"
                                                     "\"service\","
                                                     "\"upstream\":null,\"user\":\"1000:1000\","
                                                     "\"version\":\"1.2.3\",\"volumes\":[\"/data/"
                                                     "x\",\"/var/lib/y\"],\"workdir\":\"/app\"}";

static void test_round(void) {
    struct sb_description d;
    struct sb_error err = {0};
    if (!CHECK(sb_description_parse(whole, strlen(whole), &d, &err) == 0)) {
        printf("%s\n", err.message);
        return;
    }
    CHECK_STR(d.name, "backend");
    CHECK_INT(d.gpu_devices, 10);
    CHECK_INT(d.harden_off, 1 << SB_HARDEN_SYSTEM_CALLS);
    CHECK_STR(sb_pairs_get(&d.env, "B"), "x\ny");
    CHECK(d.layers[0].application);
    sb_autobuf struct sb_buf text = {0};
    sb_description_write(&d, &text);
    CHECK_STR(sb_buf_text(&text), whole);
    sb_description_free(&d);
}

static void change(const char *path, const char *value, struct sb_buf *out);

/* What earlier ones have not got is written when it is there. */
static void test_later_keys(void) {
    struct sb_description d;
    struct sb_error err = {0};
    sb_autobuf struct sb_buf host = {0}, text = {0}, devices = {0};
    change("directories.host", "{\"/mnt/b\": \"/b\", \"/srv/models\": \"/models\"}", &host);
    if (CHECK(sb_description_parse(host.data, host.len, &d, &err) == 0)) {
        CHECK_INT(d.host.n, 2);
        CHECK_STR(sb_pairs_get(&d.host, "/srv/models"), "/models");
        sb_description_write(&d, &text);
        CHECK_STR(sb_buf_text(&text), host.data);
        sb_description_free(&d);
    }
    sb_buf_reset(&text);
    change("devices", "[\"infiniband\"]", &devices);
    if (CHECK(sb_description_parse(devices.data, devices.len, &d, &err) == 0)) {
        CHECK(d.infiniband);
        sb_description_write(&d, &text);
        CHECK_STR(sb_buf_text(&text), devices.data);
        sb_description_free(&d);
    }
}

/* Sets a value in the whole one; a NULL value takes the key out. */
static void change(const char *path, const char *value, struct sb_buf *out) {
    sb_autojson json_t *json = sb_json_parse(whole, strlen(whole), NULL);
    sb_autofree char *copy = sb_strdup(path);
    char *dot = strchr(copy, '.');
    json_t *object = json;
    if (dot) {
        *dot = '\0';
        object = json_object_get(json, copy);
    }
    const char *key = dot ? dot + 1 : copy;
    if (json_is_array(object))
        object = json_array_get(object, 0);
    if (value)
        json_object_set_new(object, key, json_loads(value, JSON_DECODE_ANY, NULL));
    else
        json_object_del(object, key);
    sb_json_write_canonical(json, out);
}

static void test_hostile(void) {
    static const struct {
        const char *path, *value, *message;
    } cases[] = {
        {"name", "\"../../x\"", "name: \"../../x\" is not a name"},
        {"name", "\"a/b\"", "name"},
        {"name", "\"\"", "name"},
        {"name", "\"a\\nExecStart=/bin/sh\"", "name"},
        {"name", "\"aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffff12345\"", "name"},
        {"name", NULL, "name: is missing"},
        {"name", "7", "name: is no text"},
        {"more", "1", "the key \"more\" is not known"},
        {"health.more", "1", "health: the key"},
        {"layers.more", "1", "layers: the key"},
        {"format", "2", "format: is of another version"},
        {"argv", "[]", "argv"},
        {"argv", "[\"\"]", "argv"},
        {"argv", "[\"-x\"]", "a program"},
        {"argv", "[\"+/bin/sh\"]", "a program"},
        {"argv", "[\"@/bin/sh\"]", "a program"},
        {"argv", "[\"/bin/$x\"]", "a program"},
        {"argv", "[\"/bin/../sh\"]", "a program"},
        {"argv", "[\"sh\", \"a\\u001bb\"]", "argv"},
        {"argv", "\"sh\"", "argv: is no list"},
        {"argv", "[1]", "argv: is no list of texts"},
        {"user", "\"root\\nUser=0\"", "user"},
        {"user", "\"a b\"", "user"},
        {"workdir", "\"app\"", "workdir"},
        {"workdir", "\"/a/../../b\"", "workdir"},
        {"workdir", "\"/a\\\\\"", "workdir"},
        {"workdir", "\"/a \"", "workdir"},
        {"workdir", "\"/a/" LONG_NAME "/b\"", "names of 255 bytes at most"},
        {"workdir", "\"/a\\u009b31m\"", "workdir"},
        {"argv", "[\"/a\\u202eb\"]", "a program"},
        {"argv", "[\"a\", \"\\ufffe\"]", "argv"},
        {"env.A", "\"\\ufdd0\"", "env"},
        {"version", "\"1\\u009b31m\"", "version"},
        {"workdir", "\"/a\\nb\"", "workdir"},
        {"env", "{\"A B\":\"x\"}", "env"},
        {"env", "{\"A\":\"x\\u0007\"}", "env"},
        {"env", "{\"A\":1}", "env: has a value"},
        {"env", "[]", "env: is no object"},
        {"stopSignal", "\"SIGX\\n\"", "stopSignal"},
        {"port", "65536", "port: is no number in its range"},
        {"port", "-1", "port"},
        {"port", "0", "health"},
        {"health.http", "\"/a b\"", "health.http"},
        {"health.tcp", "80", "health"},
        {"health.timeout", "0", "health"},
        {"startTimeout", "0", "health"},
        {"schedule", "\"daily\"", "schedule"},
        {"gpu.count", "3", "gpu"},
        {"gpu.devices", "[1, 1]", "gpu.devices"},
        {"gpu.devices", "[64]", "gpu.devices"},
        {"gpu.shared", "true", "gpu"},
        {"volumes", "[\"/data/../x\"]", "volumes"},
        {"volumes", "[\"/a:b\"]", "volumes"},
        {"volumes", "[\"/proc/sys\"]", "volumes"},
        {"volumes", "[\"/b\", \"/a\"]", "volumes"},
        {"volumes", "[\"/a\", \"/a\"]", "volumes"},
        {"volumes", "[\"/etc/hosts\"]", "a directory of its own"},
        {"volumes", "[\"/.sbuild/init\"]", "a directory of its own"},
        {"directories.state", "\"/.sbuild\"", "a directory of its own"},
        {"volumes", "[\"/a/" HUNDRED "/" HUNDRED "/" HUNDRED "\"]", "a path of 255 bytes at most"},
        {"directories.state", "\"/a/" LONG_NAME "/b\"", "names of 255 bytes at most"},
        {"restart", "\"sometimes\"", "restart"},
        {"type", "\"job\"", "health"},
        {"root", "\"/\"", "root"},
        {"strategy", "\"blue-green\"", "strategy"},
        {"sparePort", "80", "strategy"},
        {"upstream", "\"../../etc/passwd\"", "upstream"},
        {"upstream", "\"reload\"", "upstream"},
        {"drain", "86401", "drain"},
        {"drain", "\"30s\"", "drain"},
        {"directories.state", "\"/var/../etc\"", "directories"},
        {"directories.state", "\"/a:b\"", "directories"},
        {"directories.state", "\"data\"", "directories"},
        {"directories.host", "{\"/\": \"/models\"}", "directories.host"},
        {"directories.host", "{\"/etc\": \"/models\"}", "directories.host"},
        {"directories.host", "{\"/etc/ssl\": \"/models\"}", "directories.host"},
        {"directories.host", "{\"/var\": \"/models\"}", "directories.host"},
        {"directories.host", "{\"/var/lib\": \"/models\"}", "directories.host"},
        {"directories.host", "{\"/var/run/docker\": \"/models\"}", "directories.host"},
        {"directories.host", "{\"/proc/1/root\": \"/models\"}", "directories.host"},
        {"directories.host", "{\"/srv/../etc\": \"/models\"}", "directories.host"},
        {"directories.host", "{\"/srv:/etc\": \"/models\"}", "directories.host"},
        {"directories.host", "{\"/srv/%i\": \"/models\"}", "directories.host"},
        {"directories.host", "{\"/srv/a\": \"/\"}", "directories.host"},
        {"directories.host", "{\"/srv/a\": \"/dev/shm\"}", "directories.host"},
        {"directories.host", "{\"/srv/a\": \"/etc\"}", "directories.host"},
        {"directories.host", "{\"/srv/a\": \"/etc/hosts\"}", "directories.host"},
        {"directories.host", "{\"/srv/a\": \"/run\"}", "directories.host"},
        {"directories.host", "{\"/srv/a\": \"/var\"}", "directories.host"},
        {"directories.host", "{\"/srv/a\": \"/var/lib\"}", "directories.host"},
        {"directories.host", "{\"/srv/a\": \"/var/lib/backend\"}", "directories.host"},
        {"directories.host", "{\"/srv/a\": \"/data\"}", "directories.host"},
        {"directories.host", "{\"/srv/a\": \"/data/y\"}", "directories.host"},
        {"directories.host", "{\"/srv/a\": \"/var/lib/y/z\"}", "directories.host"},
        {"directories.host", "{\"/srv/a\": \"/m\", \"/srv/b\": \"/m\"}", "directories.host"},
        {"directories.host", "{\"/srv/a\": \"/m\", \"/srv/b\": \"/m/n\"}", "directories.host"},
        {"directories.host", "{\"/srv/a\": 1}", "host: has a value"},
        {"directories.host", "[]", "host"},
        {"devices", "[]", "devices"},
        {"devices", "[\"kvm\"]", "devices"},
        {"devices", "\"infiniband\"", "devices"},
        {"secrets", "[\"../x\"]", "secrets"},
        {"secrets", "[\"..\"]", "secrets"},
        {"after", "[\"a b.service\"]", "after"},
        {"requires", "[\"a/b.service\"]", "requires"},
        {"requires", "[\"poweroff.target\"]", "a unit that a service may start"},
        {"requires", "[\"a\",\"systemd-reboot.service\"]", "a unit that a service may start"},
        {"requires", "[\"debug-shell.service\"]", "a unit that a service may start"},
        {"requires", "[\"initrd-switch-root.target\"]", "a unit that a service may start"},
        {"requires", "[\"storage-target-mode.target\"]", "a unit that a service may start"},
        {"requires", "[\"multi-user.target\"]", "a unit that a service may start"},
        {"requires", "[\"network.target.target\"]", "a unit that a service may start"},
        {"requires", "[\"x@.service\"]", "a unit that a service may start"},
        {"requires", "[\"dev-sda2.swap\"]", "a unit that a service may start"},
        {"requires", "[\"x.automount\"]", "a unit that a service may start"},
        {"requires", "[\"x.slice\"]", "a unit that a service may start"},
        {"requires", "[\"x.scope\"]", "a unit that a service may start"},
        {"requires", "[\"backend\"]", "a unit that a service may start"},
        {"requires", "[\"systemd-sysext.service\"]", "a unit that a service may start"},
        {"requires", "[\"systemd-soft-reboot.service\"]", "a unit that a service may start"},
        {"version", "\"1.0\\\\\"", "version"},
        {"limits.cpu", "\"1.5%\\nX=\"", "limits.cpu"},
        {"limits.memory", "-1", "limits.memory"},
        {"harden.realtime", "1", "harden.realtime"},
        {"harden", "{}", "is missing"},
        {"layers", "[]", "layers"},
        {"layers.diffId", "\"sha256:abc\"", "layers.diffId: is no digest"},
        {"layers.mediaType", "\"text/plain\"", "layers.mediaType"},
        {"image.mediaType", "\"application/vnd.oci.image.index.v1+json\"", "image.mediaType"},
        {"image.repository", "\"x y\"", "image.repository"},
        {"version", "\"1\\n2\"", "version"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct sb_description d;
        struct sb_error err = {0};
        sb_autobuf struct sb_buf text = {0};
        change(cases[i].path, cases[i].value, &text);
        bool refused = sb_description_parse(sb_buf_text(&text), text.len, &d, &err) < 0;
        if (!CHECK(refused && err.code == SB_E_INTEGRITY && strstr(err.message, cases[i].message)))
            printf("    %s = %s: %s\n", cases[i].path, cases[i].value ? cases[i].value : "(none)",
                   refused ? err.message : "was taken");
        CHECK(!d.name);
        sb_description_free(&d);
    }
}

static void test_bytes(void) {
    static const char *const texts[] = {"",     "{",  "[]",
                                        "null", "{}", "{\"name\":\"a\",\"name\":\"b\"}"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct sb_description d;
        struct sb_error err = {0};
        CHECK(sb_description_parse(texts[i], strlen(texts[i]), &d, &err) < 0);
        CHECK_INT(err.code, SB_E_INTEGRITY);
    }
}

static void add_layer(struct sb_image *image, unsigned char mark) {
    struct sb_layer layer = {.descriptor = {.media_type = SB_MEDIA_LAYER_ZSTD, .size = 10}};
    layer.diff_id.bytes[0] = mark;
    sb_image_add_layer(image, &layer, NULL, NULL);
}

static void make_image(struct sb_image *image, const char *config) {
    sb_image_init(image, "amd64", NULL);
    json_object_set_new(image->config, "config", json_loads(config, 0, NULL));
    image->descriptor = (struct sb_descriptor){.media_type = SB_MEDIA_MANIFEST, .size = 100};
    add_layer(image, 1);
    add_layer(image, 2);
}

static void test_image(void) {
    struct sb_image image;
    struct sb_description d;
    struct sb_error err = {0};
    make_image(&image, "{\"Entrypoint\": [\"nginx\"], \"Cmd\": [\"-g\", \"daemon off;\"],"
                       "\"Env\": [\"Z=1\", \"A=2\", \"Z=3\", \"odd\"], \"User\": \"www\","
                       "\"ExposedPorts\": {\"80/tcp\": {}, \"53/udp\": {}},"
                       "\"Volumes\": {\"/z/\": {}, \"/a//b\": {}, \"/tmp\": {}, \"/\": {}},"
                       "\"Labels\": {\"org.opencontainers.image.version\": \"1.25\"}}");
    if (CHECK(sb_description_make(&image, NULL, 0, "web", NULL, &d, &err) == 0)) {
        CHECK_STR(d.name, "web");
        CHECK_STR(d.version, "1.25");
        CHECK_INT(d.argv.n, 3);
        CHECK_STR(d.workdir, "/");
        CHECK_STR(d.user, "www");
        CHECK_INT(d.port, 80);
        CHECK_INT(d.volumes.n, 2);
        CHECK_STR(d.volumes.v[0], "/a/b");
        CHECK_STR(d.volumes.v[1], "/z");
        CHECK_STR(d.env.v[0].name, "A");
        CHECK_STR(d.env.v[1].value, "3");
        CHECK_INT(d.env.n, 2);
        CHECK_INT(d.layer_count, 2);
        CHECK(!d.layers[1].application);
        CHECK_INT(d.start_timeout, SB_SERVICE_START_TIMEOUT);
        CHECK_INT(d.restart, SB_RESTART_ALWAYS);
        sb_description_free(&d);
    }
    CHECK(sb_description_make(&image, NULL, 0, "Web", NULL, &d, &err) < 0);
    CHECK(strstr(err.message, "can't be the name of a service"));
    CHECK(strstr(err.hint, "lower-case"));
    sb_image_free(&image);
    make_image(&image, "{}");
    CHECK(sb_description_make(&image, NULL, 0, "web", NULL, &d, &err) < 0);
    CHECK_STR(err.message, "the image does not say what to run");
    sb_image_free(&image);
    make_image(&image, "{\"Cmd\": [\"x\"], \"Env\": [\"a.b=1\"]}");
    CHECK(sb_description_make(&image, NULL, 0, "web", NULL, &d, &err) < 0);
    CHECK(strstr(err.message, "\"a.b\""));
    sb_image_free(&image);
}

static void test_recipe(void) {
    struct sb_image image;
    struct sb_description d;
    struct sb_error err = {0};
    struct sb_recipe recipe = {.name = (char *)"jobs", .version = (char *)"2.0.0"};
    recipe.service = (struct sb_service){
        .present = true, .type = (char *)"oneshot", .schedule = (char *)"daily"};
    sb_strings_add(&recipe.service.after, "backend");
    sb_strings_add(&recipe.service.after, "a.b");
    sb_strings_add(&recipe.service.after, "x.mount");
    recipe.service.state = (char *)"/data";
    make_image(&image, "{\"Cmd\": [\"x\"], \"ExposedPorts\": {\"80\": {}},"
                       "\"Volumes\": {\"/data/db\": {}, \"/database\": {}}}");
    if (CHECK(sb_description_make(&image, &recipe, 1, NULL, NULL, &d, &err) == 0)) {
        CHECK_INT(d.type, SB_SERVICE_JOB);
        CHECK_INT(d.restart, SB_RESTART_NO);
        CHECK_INT(d.port, 0);
        CHECK_INT(d.volumes.n, 1); /* the other is its own already */
        CHECK_STR(d.volumes.v[0], "/database");
        CHECK_STR(d.after.v[0], "backend.service");
        CHECK_STR(d.after.v[1], "a.b.service");
        CHECK_STR(d.after.v[2], "x.mount");
        CHECK(!d.layers[0].application && d.layers[1].application);
        sb_description_free(&d);
    }
    recipe.service.root = (char *)"host";
    CHECK(sb_description_make(&image, &recipe, 0, NULL, NULL, &d, &err) < 0);
    CHECK(strstr(err.message, "without layers of the application"));
    sb_strings_free(&recipe.service.after);
    sb_image_free(&image);
}

int main(void) {
    test_round();
    test_later_keys();
    test_hostile();
    test_bytes();
    test_image();
    test_recipe();
    return test_done();
}
