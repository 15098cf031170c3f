/*
 * deploy/description_private: the one list of what a description holds. JSON is written and read by
 * it, values are checked and freed by it, and a recipe's service: is taken over by it.
 *
 * A new key of services is a row of the recipe's table (document/recipe_service.c), with its limits
 * and its rule, and a row here, which says where it lies in both structs. Keys that came later are
 * left out where they say nothing: nodes with an older sbuild then take the document.
 */
#ifndef SB_DEPLOY_DESCRIPTION_PRIVATE_H
#define SB_DEPLOY_DESCRIPTION_PRIVATE_H

#include "deploy/description.h"
#include "document/rules.h"
#include "document/service.h"
#include "layers/descriptor.h"

enum sb_field_type {
    SB_FIELD_TEXT = 1, /* char * */
    SB_FIELD_SIZE,     /* char *: "unlimited", or bytes */
    SB_FIELD_NUMBER,   /* an integer of any width, 0 or more */
    SB_FIELD_BOOL,     /* bool */
    SB_FIELD_CHOICE,   /* an enum: the index in values */
    SB_FIELD_DEVICES,  /* uint64_t: the numbers of its bits */
    SB_FIELD_SWITCH,   /* unsigned: the bit is 0 where it is on */
    SB_FIELD_DEVICE,   /* bool: a list that has the only value there is */
    SB_FIELD_STRINGS,  /* struct sb_strings */
    SB_FIELD_UNITS,    /* likewise; in a recipe "backend" is "backend.service" */
    SB_FIELD_PAIRS,    /* struct sb_pairs */
    SB_FIELD_DIGEST,   /* struct sb_digest */
    SB_FIELD_MEDIA,    /* const char *: a static string */
    SB_FIELD_OBJECT,   /* fields of the same struct */
    SB_FIELD_LAYERS,   /* the layers: fields of struct sb_described_layer */
};

struct sb_field {
    const char *key;
    enum sb_field_type type;
    size_t offset, width; /* of the member */
    size_t said;          /* offset of the recipe's value in struct sb_service; 0: it has none */
    uint64_t usual;       /* of a number that a recipe doesn't say */
    bool null;            /* a text that may be missing, and is null then */
    bool later;           /* left out where it is missing, or as usual */
    unsigned bit;         /* SB_FIELD_SWITCH */
    enum sb_media_kind kind;
    const struct sb_field *fields;
    /* What the recipe's key says of its values, where there is one, else: */
    const struct sb_rule *rule;
    const char *const *values; /* ends in NULL */
    uint64_t most;             /* of a number, items of a list; 0: what fits */
};

extern const struct sb_field sb_description_fields[]; /* ends with {0}, as all lists of fields */

const struct sb_rule *sb_field_rule(const struct sb_field *field); /* NULL: none */
const char *const *sb_field_values(const struct sb_field *field);
uint64_t sb_field_most(const struct sb_field *field);

/* Of the member at that address. */
uint64_t sb_field_number(const struct sb_field *field, const void *at);
void sb_field_set_number(const struct sb_field *field, void *at, uint64_t number);

#endif
