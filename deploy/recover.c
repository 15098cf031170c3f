#include "deploy/recover.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/memory.h"
#include "deploy/switch.h"
#include "deploy/unitfiles.h"

#define UNIT "sbuild-recover.service"

char *sb_own_program(struct sb_error *err) {
    char path[4096];
    ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);
    if (n < 0) {
        sb_fail_errno(err, SB_E_IO, "looking up this program's path");
        return NULL;
    }
    return sb_strndup(path, (size_t)n);
}

void sb_unit_add_word(struct sb_buf *line, const char *word) {
    sb_buf_adds(line, " \"");
    for (const char *p = word; *p; p++) {
        if (*p == '"' || *p == '\\')
            sb_buf_addc(line, '\\');
        if (*p == '%' || *p == '$')
            sb_buf_addc(line, *p);
        sb_buf_addc(line, *p);
    }
    sb_buf_addc(line, '"');
}

int sb_recover_at_boot(const struct sb_node *node, struct sb_error *err) {
    sb_autofree char *program = sb_own_program(err);
    if (!program)
        return -1;
    const char *store = sb_store_path(node->store);
    sb_autobuf struct sb_buf text = {0};
    sb_buf_addf(&text,
                "[Unit]\nDescription=Finish or undo what sbuild did when the machine went down\n"
                "ConditionPathExistsGlob=%s/sbuild/services/*/operation.json\n"
                "RequiresMountsFor=%s\nAfter=multi-user.target\n\n"
                "[Service]\nType=oneshot\nExecStart=%s status --recover --store",
                store, store, program);
    sb_unit_add_word(&text, store);
    sb_buf_adds(&text, "\n\n[Install]\nWantedBy=multi-user.target\n");
    if (sb_unitfiles_put(node, UNIT, text.data, err) < 0)
        return -1;
    return sb_unitfiles_enable(node, UNIT, text.data, err);
}

int sb_recover_not_at_boot(const struct sb_node *node, struct sb_error *err) {
    sb_autostrings struct sb_strings names = {0};
    if (sb_node_services(node, &names, err) < 0)
        return -1;
    if (names.n > 0)
        return 0;
    if (sb_unitfiles_disable(node, UNIT, err) < 0)
        return -1;
    return sb_unitfiles_drop(node, UNIT, err);
}

int sb_recover_all(const struct sb_node *node, struct sb_error *err) {
    sb_autostrings struct sb_strings names = {0};
    if (sb_node_services(node, &names, err) < 0)
        return -1;
    int failed = 0;
    for (size_t i = 0; i < names.n; i++) {
        struct sb_node_service *service = NULL;
        enum sb_operation_kind kind;
        struct sb_error own = {0};
        int rc = sb_node_service_open(node, names.v[i], &service, &own);
        if (rc == 0)
            rc = sb_switch_recover(service, &kind, &own);
        sb_node_service_close(service);
        if (rc < 0 && !failed) {
            failed = -1;
            *err = own;
            sb_error_context(err, "%s", names.v[i]);
        }
    }
    return failed;
}
