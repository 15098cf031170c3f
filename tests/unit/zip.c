/* Zip archives: what is unpacked, with which modes and times, and what is refused. */
#include "layers/unpack.h"
#include "tests/unit/layer_test.h"

#include <fcntl.h>
#include <unistd.h>

#include "base/file.h"

static struct layer_test t;

/* Makes z.zip by Python; z is the open archive, entry(name, text, mode or None) adds to it. */
static bool make(const char *script) {
    sb_autofree char *path = sb_path_join(t.dir, "make.py");
    sb_autofree char *text = sb_format("import zipfile, struct\n"
                                       "def entry(name, text='', mode=None, system=3):\n"
                                       "    i = zipfile.ZipInfo(name, (2021, 2, 3, 4, 5, 6))\n"
                                       "    i.create_system = system\n"
                                       "    i.external_attr = 0 if mode is None else mode << 16\n"
                                       "    i.filename = name\n"
                                       "    z.writestr(i, text, zipfile.ZIP_DEFLATED)\n"
                                       "z = zipfile.ZipFile('z.zip', 'w')\n%s\nz.close()\n",
                                       script);
    struct sb_error err = {0};
    CHECK(sb_file_write(AT_FDCWD, path, text, strlen(text), 0644, &err) == 0);
    sb_autofree char *command =
        sb_format("cd '%s' && rm -rf out z.zip && mkdir out && python3 make.py", t.dir);
    return CHECK(system(command) == 0);
}

static int unpack(struct sb_error *err) {
    static const int64_t epoch = 1000;
    struct sb_unpack_owner owner = {getuid(), getgid()};
    struct sb_unpack_options options = {.form = SB_UNPACK_ONTO, .owner = &owner, .mtime = &epoch};
    sb_autofree char *zip = sb_path_join(t.dir, "z.zip");
    sb_autofree char *out = sb_path_join(t.dir, "out");
    sb_autoclose int fd = open(zip, O_RDONLY | O_CLOEXEC);
    sb_autoclose int dir = open(out, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return sb_unpack_zip(fd, dir, &options, err);
}

/* "PATH TYPE MODE TIME CONTENT|LINK" of all, sorted. */
static void check(const char *script, const char *expected) {
    struct sb_error err = {0};
    if (!make(script) || !CHECK_INT(unpack(&err), 0)) {
        printf("    %s\n    %s\n", script, err.message);
        return;
    }
    sb_autofree char *command =
        sb_format("cd '%s/out' && find . -mindepth 1 -printf '%%P %%y %%m %%T@ %%l' \\( -type f "
                  "-exec cat {} \\; -o -true "
                  "\\) -printf '\\n' | sed 's/\\.0*  *$//; s/\\.0000000000 / /' | LC_ALL=C sort",
                  t.dir);
    sb_autofree char *listing = layer_test_shell(command);
    CHECK_STR(listing, expected);
}

/* What is no fault of the archive. */
static void check_not(const char *script, const char *said) {
    struct sb_error err = {0};
    if (!make(script))
        return;
    CHECK_INT(unpack(&err), -1);
    CHECK_INT(err.code, SB_E_FAILED);
    if (!CHECK(strstr(err.message, said)))
        printf("    %s\n    %s\n", script, err.message);
}

static void check_refused(const char *script, const char *said) {
    struct sb_error err = {0};
    if (!make(script))
        return;
    CHECK_INT(unpack(&err), -1);
    CHECK_INT(err.code, SB_E_INTEGRITY);
    if (!CHECK(strstr(err.message, said)))
        printf("    %s\n    %s\n", script, err.message);
}

/* Damages z.zip after it was made. */
static void check_damaged(const char *damage, const char *said) {
    struct sb_error err = {0};
    sb_autofree char *command =
        sb_format("cd '%s' && python3 -c \"d = bytearray(open('z.zip', 'rb').read())\n%s\n"
                  "open('z.zip', 'wb').write(d)\"",
                  t.dir, damage);
    if (!make("entry('a', 'hello' * 1000)\nentry('b', 'x')") || !CHECK(system(command) == 0))
        return;
    CHECK_INT(unpack(&err), -1);
    CHECK_INT(err.code, SB_E_INTEGRITY);
    if (!CHECK(strstr(err.message, said)))
        printf("    %s\n    %s\n", damage, err.message);
}

int main(void) {
    if (system("python3 -c '' 2>/dev/null") != 0) {
        TEST_SKIP("python3 is not installed");
        return test_done();
    }
    t = layer_test_start();
    check("entry('d/', mode=0o40755)\nentry('d/f', 'hello', 0o100640)\nentry('x', 'run', 0o104777)",
          "d d 755 1000\nd/f f 640 1000 hello\nx f 755 1000 run\n");
    check("entry('locked', 'a', 0o100000)\nentry('python', 'b', 0o600)",
          "locked f 644 1000 a\npython f 600 1000 b\n");
    check("entry('dos', 'a', system=0)\nentry('dir/', system=0)",
          "dir d 755 1000\ndos f 644 1000 a\n");
    check("entry('l', 'a/b', 0o120777)", "l l 777 1000 a/b\n");
    check("entry('/abs', 'x', 0o100644)\nentry('a/')\nentry('./a//b', 'y', 0o100644)",
          "a d 711 1000\na/b f 644 1000 y\nabs f 644 1000 x\n");
    check("entry('\\u00e9', 'x', 0o100644)\nentry('l', '\\u00e9', 0o120777)",
          "l l 777 1000 \xC3\xA9\n\xC3\xA9 f 644 1000 x\n");
    check("entry('a/', system=0)\nentry('a\\\\b', 'x', system=0)",
          "a d 755 1000\na/b f 644 1000 x\n");
    check_not("entry('.wh.a', 'x', 0o100644)", "a layer can't hold a name");
    check_not("", "nothing is in it");
    check_refused("entry('../x', 'x')", "leads out of it");
    check_refused("entry('a/../../x', 'x')", "leads out of it");
    check_damaged("del d[60:]", "the zip archive is damaged");
    check_damaged("d[35] ^= 0x55; d[36] ^= 0x55; d[40] ^= 0xff", "the zip archive is damaged");
    check_damaged("d[6] |= 1; i = d.index(b'PK\\x01\\x02'); d[i + 8] |= 1", "is encrypted");
    setenv("SBUILD_TAR_LIMIT", "100000", 1);
    check_refused("[entry(str(i), bytes(50000)) for i in range(100)]", "bytes allowed");
    layer_test_end(&t);
    return test_done();
}
