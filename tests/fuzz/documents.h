/*
 * tests/fuzz/documents: documents that name one another by digest, which a fuzzer could never get
 * right by itself. In each, the byte 1 stands for the digest of the next one, 2 for its size and 3
 * for the digest's digits alone; a letter behind the byte names another ('A' is the first).
 */
#ifndef SB_TESTS_DOCUMENTS_H
#define SB_TESTS_DOCUMENTS_H

#include "base/buffer.h"
#include "base/digest.h"
#include "tests/fuzz/fuzz.h"

enum { DOCUMENTS_MOST = 8 };

struct document {
    struct sb_buf text;
    struct sb_digest digest;
};
struct documents {
    struct document v[DOCUMENTS_MOST];
    size_t n;
};

/* The text with what stands in it for others, from the first that is known on. */
static void document_fill(const struct documents *all, size_t first, const char *text, size_t len,
                          struct sb_buf *out) {
    sb_buf_reserve(out, len + 1);
    for (size_t i = 0; i < len; i++) {
        char c = text[i];
        if (c < 1 || c > 3) {
            sb_buf_addc(out, c);
            continue;
        }
        bool named = i + 1 < len && text[i + 1] >= 'A' && text[i + 1] < 'A' + DOCUMENTS_MOST;
        size_t which = named ? (size_t)(text[++i] - 'A') : first;
        const struct document *d = which >= first && which < all->n ? &all->v[which] : NULL;
        struct sb_digest digest = d ? d->digest : (struct sb_digest){{0}};
        if (c == 2)
            sb_buf_addf(out, "%zu", d ? d->text.len : 0);
        else
            sb_buf_adds(out, c == 1 ? sb_digest_text(&digest).text : sb_digest_hex(&digest).text);
    }
}

/* names, when given, gets what stood before each one's first newline; the caller's. */
static void documents_read(struct fuzz_parts *parts, struct documents *out, char **names) {
    char *texts[DOCUMENTS_MOST];
    size_t lens[DOCUMENTS_MOST];
    *out = (struct documents){0};
    while (out->n < DOCUMENTS_MOST && parts->more) {
        texts[out->n] = fuzz_next(parts, &lens[out->n]);
        out->n++;
    }
    for (size_t i = out->n; i-- > 0;) {
        const char *text = texts[i];
        struct document *d = &out->v[i];
        size_t len = lens[i], name = names ? strcspn(text, "\n") : 0, start = name + (name < len);
        start = names ? start : 0;
        document_fill(out, i + 1, text + start, len - start, &d->text);
        d->digest = sb_digest_of(sb_buf_text(&d->text), d->text.len);
        if (names) {
            struct sb_buf whole = {0};
            document_fill(out, i, text, name, &whole);
            sb_buf_addc(&whole, '\0');
            names[i] = sb_buf_steal(&whole);
        }
        free(texts[i]);
    }
}

static void documents_free(struct documents *documents) {
    for (size_t i = 0; i < documents->n; i++)
        sb_buf_free(&documents->v[i].text);
}

#endif
