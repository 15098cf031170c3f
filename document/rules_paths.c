/* What paths in recipes may be. */
#include <string.h>

#include "document/ignore.h"
#include "document/rules.h"

/* One component of a path that is not "..". */
#define COMPONENT "([^/.][^/]*|[.][^/.][^/]*|[.][.][^/]+|[.])"

static bool climbs(const char *path) {
    for (const char *p = path; (p = strstr(p, "..")); p += 2)
        if ((p == path || p[-1] == '/') && (!p[2] || p[2] == '/'))
            return true;
    return false;
}

static bool check_absolute(const char *text) {
    return *text == '/' && !climbs(text);
}

static void suggest_absolute(const char *text, struct sb_buf *out) {
    text += !strncmp(text, "./", 2) ? 2 : 0;
    sb_buf_addf(out, "/%s", text);
}

const struct sb_rule sb_rule_absolute = {
    .expected = "an absolute path such as /app, without ..",
    .pattern = "^(/" COMPONENT "?)+$",
    .check = check_absolute,
    .suggest = suggest_absolute,
    .longest = 4000,
};

#define SEARCH_COMPONENT "([^/.:][^/:]*|[.][^/.:][^/:]*|[.][.][^/:]+|[.])"

static bool check_search(const char *text) {
    return check_absolute(text) && !strchr(text, ':');
}

const struct sb_rule sb_rule_search = {
    .expected = "an absolute path such as /opt/bin, without : and ..",
    .pattern = "^(/" SEARCH_COMPONENT "?)+$",
    .check = check_search,
    .suggest = suggest_absolute,
    .longest = 4000,
};

static bool check_inside(const char *text) {
    return *text && *text != '/' && !climbs(text);
}

static void suggest_inside(const char *text, struct sb_buf *out) {
    sb_buf_adds(out, text + strspn(text, "/"));
}

const struct sb_rule sb_rule_inside = {
    .expected = "a path below the context such as src/app (context: says where that is)",
    .pattern = "^" COMPONENT "(/" COMPONENT "?)*$",
    .check = check_inside,
    .suggest = suggest_inside,
    .number = true,
    .longest = 4000,
};

static bool check_source(const char *text) {
    return *text && !climbs(text + strspn(text, "/"));
}

const struct sb_rule sb_rule_in_image = {
    .expected = "a path in the image such as /opt/app, without ..",
    .pattern = "^/*"
               "(" COMPONENT "(/" COMPONENT "?)*)?$",
    .check = check_source,
    .number = true,
    .longest = 4000,
};

static bool check_any(const char *text) {
    (void)text;
    return true;
}

const struct sb_rule sb_rule_source = {
    .expected = "a path",
    .pattern = "^/*(" COMPONENT "(/" COMPONENT "?)*)?$",
    .check = check_any,
    .number = true,
    .longest = 4000,
};

static bool check_either(const char *text) {
    return text[strspn(text, "/")] && !climbs(text);
}

const struct sb_rule sb_rule_either = {
    .expected = "a path in the context, or an absolute one of the image",
    .pattern = "^/*" COMPONENT "(/" COMPONENT "?)*$",
    .check = check_either,
    .longest = 4000,
};

const struct sb_rule sb_rule_pattern = {
    .expected = "a pattern as in .dockerignore, such as **/__pycache__",
    .check = sb_ignore_valid,
    .number = true,
    .longest = 4000,
};
