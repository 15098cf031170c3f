#include "http/aws_error.h"

#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/memory.h"

char *sb_aws_element(const struct sb_buf *xml, const char *name) {
    static const char cdata[] = "<![CDATA[";
    sb_autofree char *open = sb_format("<%s>", name);
    const char *start = strstr(sb_buf_text(xml), open);
    if (!start)
        return NULL;
    start += strlen(open);
    bool quoted = !strncmp(start, cdata, sizeof cdata - 1);
    start += quoted ? sizeof cdata - 1 : 0;
    const char *end = strstr(start, quoted ? "]]>" : "<");
    return end ? sb_strndup(start, (size_t)(end - start)) : NULL;
}

static void set(struct sb_aws_error *error, const char *code, const char *message) {
    const char *hash = strrchr(code, '#'); /* "com.amazonaws.ecr#ServerException" */
    code = hash ? hash + 1 : code;
    size_t len = strspn(code, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.");
    snprintf(error->code, sizeof error->code, "%.*s", (int)len, code);
    sb_autofree char *line = sb_strndup(message, strcspn(message, "\r\n"));
    if (*line)
        error->message = sb_text_shown(line);
}

struct sb_aws_error sb_aws_error_read(const struct sb_buf *body) {
    struct sb_aws_error error = {0};
    struct sb_error ignored = {0};
    sb_autojson json_t *value = sb_json_parse(sb_buf_text(body), body->len, &ignored);
    if (json_is_object(value)) {
        set(&error, sb_json_string(value, "__type", sb_json_string(value, "code", "")),
            sb_json_string(value, "message", sb_json_string(value, "Message", "")));
        return error;
    }
    sb_autofree char *code = sb_aws_element(body, "Code");
    sb_autofree char *message = sb_aws_element(body, "Message");
    set(&error, code ? code : "", message ? message : "");
    return error;
}

int sb_aws_error_fail(const struct sb_simple_response *response, const struct sb_aws_error *error,
                      const char *what, struct sb_error *err) {
    sb_fail(err, SB_E_NETWORK, "%s: status %d%s%s%s%s", what, response->status,
            *error->code ? ", " : "", error->code, *error->message.text ? ": " : "",
            error->message.text);
    if (response->status >= 500 || response->status == 429 || strstr(error->code, "Throttl"))
        sb_error_reason(err, SB_REASON_PASSING);
    return -1;
}
