#include "cli/progress.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/memory.h"
#include "base/text.h"
#include "base/thread.h"
#include "base/visible.h"
#include "cli/command.h"
#include "cli/progress_json.h"
#include "cli/registry.h"
#include "cli/terminal.h"

enum {
    LOG_EVERY = 10,    /* seconds */
    LINE_LIMIT = 4096, /* bytes; of what is longer, a log has several lines */
};

enum style { STYLE_TTY, STYLE_PLAIN, STYLE_JSON };

/* A layer that is at work, or a blob on its way. */
struct row {
    size_t id;
    bool is_blob; /* then digest tells which, not id */
    struct sb_digest digest;
    char *label;        /* "backend app" */
    struct sb_buf line; /* output since the last newline, or the last whole line */
    bool whole;         /* line is complete: the next output starts a new one */
    bool told;          /* line is nothing that take_output has yet to pass on */
    bool packing;
    double start, said; /* said: when a log was last told of it */
};

struct sb_progress {
    enum style style;
    bool explain, colour;
    struct row *rows;
    size_t row_count, row_cap;
    int drawn;    /* lines on the screen that belong to rows */
    int *columns; /* of each of them */
    double start, last_drawn;
    pthread_mutex_t lock;
    pthread_cond_t stop;
    pthread_t ticker; /* redraws the running times */
    bool has_ticker, stopping;
    struct sb_registry *watched; /* or NULL */
};

/* ---- rows ---- */

static struct row *find_row(struct sb_progress *p, size_t id) {
    for (size_t i = 0; i < p->row_count; i++)
        if (!p->rows[i].is_blob && p->rows[i].id == id)
            return &p->rows[i];
    return NULL;
}

static struct row *find_blob(struct sb_progress *p, const struct sb_digest *digest) {
    for (size_t i = 0; i < p->row_count; i++)
        if (p->rows[i].is_blob && sb_digest_equal(&p->rows[i].digest, digest))
            return &p->rows[i];
    return NULL;
}

static struct row *add_empty_row(struct sb_progress *p) {
    SB_GROW(p->rows, p->row_count, p->row_cap);
    struct row *row = &p->rows[p->row_count++];
    double now = sb_clock_seconds();
    *row = (struct row){.start = now, .said = now};
    return row;
}

/* What a layer is called in lines for people; the caller's. */
static char *label_of(const struct sb_layer_result *layer) {
    return sb_format("%s%s%s %s", layer->recipe, layer->platform ? " " : "",
                     layer->platform ? layer->platform : "", layer->name);
}

static struct row *add_row(struct sb_progress *p, const struct sb_event *e) {
    struct row *row = find_row(p, e->id);
    if (row)
        return row;
    row = add_empty_row(p);
    row->id = e->id;
    row->label = label_of(e->layer);
    return row;
}

static void print_plain_line(const struct row *row) {
    sb_autobuf struct sb_buf line = {0};
    sb_visible_add_output(&line, sb_buf_text(&row->line), row->line.len);
    sb_cli_say("%s | %s\n", row->label, sb_buf_text(&line));
}

/* What comes now is of something else: a last line without a newline is told. */
static void end_output(const struct sb_progress *p, struct row *row) {
    if (p->style == STYLE_PLAIN && !row->is_blob && row->line.len > 0 && !row->told)
        print_plain_line(row);
    row->told = true;
}

static void remove_row(struct sb_progress *p, struct row *row) {
    if (!row)
        return;
    end_output(p, row);
    free(row->label);
    sb_buf_free(&row->line);
    size_t i = (size_t)(row - p->rows);
    memmove(row, row + 1, (p->row_count - i - 1) * sizeof *row);
    p->row_count--;
}

/* Calls line for each whole line that output completes; keeps the rest. What ends in CR is whole,
 * but passed on only with the LF after it: of a progress bar, that is the newest state. */
static void take_output(struct row *row, const char *text, size_t len,
                        void (*line)(const struct row *row)) {
    for (size_t i = 0; i < len; i++) {
        if (row->whole && text[i] != '\r' && (text[i] != '\n' || row->told)) {
            sb_buf_reset(&row->line);
            row->whole = row->told = false;
        }
        if (text[i] == '\n') {
            if (line)
                line(row);
            row->whole = row->told = true;
        } else if (text[i] == '\r') {
            row->whole = true;
        } else {
            bool inside = ((unsigned char)text[i] & 0xC0) == 0x80; /* of a character of UTF-8 */
            bool over = row->line.len >= (inside ? LINE_LIMIT + 3 : LINE_LIMIT);
            if (over && line) {
                line(row);
                sb_buf_reset(&row->line);
            }
            if (!over || line)
                sb_buf_addc(&row->line, text[i]);
        }
    }
}

/* ---- terminal ---- */

static void paint(const struct sb_progress *p, const char *sequence) {
    if (p->colour)
        fputs(sequence, stderr);
}

static void erase(struct sb_progress *p) {
    int width = sb_terminal_width();
    for (bool breaks = sb_terminal_breaks_lines(); p->drawn > 0; p->drawn--)
        for (int left = p->columns[p->drawn - 1], first = 1; first || (breaks && left > 0);
             first = 0) {
            fputs("\033[1A\033[2K", stderr);
            left -= width;
        }
}

/* At most width columns of text, be it a program's: nothing cut inside a character. The columns
 * that it took. */
static int print_clipped(const char *text, int width) {
    sb_autobuf struct sb_buf line = {0};
    int columns = 0;
    sb_visible_add_output(&line, text, strlen(text));
    for (const char *p = sb_buf_text(&line); *p && columns < width; p++) {
        fputc(*p == '\t' || *p == '\n' ? ' ' : *p, stderr);
        if ((p[1] & 0xC0) != 0x80)
            columns++;
    }
    return columns;
}

/* A line of those that are drawn anew: the mark, then the text, clipped. */
static void draw_line(struct sb_progress *p, const char *mark, const char *text) {
    paint(p, "\033[33m");
    fprintf(stderr, "  %s", mark);
    paint(p, "\033[0m");
    fputc(' ', stderr);
    p->columns = sb_realloc(p->columns, (size_t)p->drawn + 1, sizeof *p->columns);
    p->columns[p->drawn++] = 4 + print_clipped(text, sb_terminal_width() - 5);
    fputc('\n', stderr);
}

/* The time comes first, where no name, however long, can push it out. */
static void draw(struct sb_progress *p) {
    int most = sb_terminal_height() - 3;
    double now = sb_clock_seconds();
    erase(p);
    for (size_t i = 0; i < p->row_count && p->drawn < most; i++) {
        const struct row *row = &p->rows[i];
        sb_autofree char *text =
            sb_format("%7s  %-24s  %s", sb_text_seconds(now - row->start).text, row->label,
                      row->packing ? "packing" : sb_buf_text(&row->line));
        draw_line(p, "●", text);
    }
    if (p->drawn > 0) {
        sb_autofree char *text = sb_format("%7s  in all", sb_text_seconds(now - p->start).text);
        draw_line(p, " ", text);
    }
    fflush(stderr);
    p->last_drawn = now;
}

static void *tick(void *data) {
    struct sb_progress *p = data;
    pthread_mutex_lock(&p->lock);
    while (!p->stopping) {
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += 200000000;
        until.tv_sec += until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
        pthread_cond_timedwait(&p->stop, &p->lock, &until);
        if (!p->stopping && p->row_count > 0)
            draw(p);
    }
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

/* ---- a layer that is done ---- */

static void print_done(struct sb_progress *p, const struct sb_event *e) {
    const struct sb_layer_result *r = e->layer;
    bool tty = p->style == STYLE_TTY;
    const char *state = r->state == SB_LAYER_CACHED  ? "cached"
                        : r->state == SB_LAYER_BASE  ? "base"
                        : r->state == SB_LAYER_BUILT ? "built"
                                                     : "?";
    sb_autofree char *label = label_of(r);
    if (!tty && r->state != SB_LAYER_BUILT && !r->repository && !(p->explain && r->cause)) {
        sb_cli_say("  %s %s\n", state, label); /* there may be hundreds */
        return;
    }
    paint(p, "\033[32m");
    fprintf(stderr, "  %s", tty ? "✓" : state);
    paint(p, "\033[0m");
    sb_cli_say(" %s", label);
    if (tty && r->state != SB_LAYER_BUILT) {
        paint(p, "\033[2m");
        fprintf(stderr, "  %s", state);
        paint(p, "\033[0m");
    }
    if (r->repository)
        sb_cli_say("  in %s", r->repository);
    if (r->state == SB_LAYER_BUILT)
        fprintf(stderr, "  %s  %s", sb_text_size(sb_parts_size(&r->parts)).text,
                sb_text_seconds(r->seconds).text);
    if (p->explain && r->cause)
        sb_cli_say("  (%s)", r->cause);
    fputc('\n', stderr);
}

/* ---- events ---- */

static void show_start(struct sb_progress *p, const struct sb_event *e) {
    struct row *row = add_row(p, e);
    if (p->style == STYLE_PLAIN) {
        sb_cli_say("  %s %s: %s", e->layer->source ? "building" : "testing", row->label,
                   e->layer->summary);
        if (p->explain && e->layer->cause)
            sb_cli_say("  (%s)", e->layer->cause);
        fputc('\n', stderr);
        return;
    }
    sb_buf_reset(&row->line);
    sb_buf_adds(&row->line, e->layer->summary);
    row->whole = row->told = true;
}

static void show_reading(struct sb_progress *p, const struct sb_event *e) {
    bool fresh = !find_row(p, e->id);
    struct row *row = add_row(p, e);
    end_output(p, row);
    sb_buf_reset(&row->line);
    sb_buf_add(&row->line, e->text, e->text_len);
    row->whole = row->told = true;
    if (p->style == STYLE_PLAIN && (fresh || sb_clock_seconds() - row->said >= LOG_EVERY)) {
        row->said = sb_clock_seconds();
        sb_cli_say("  %s: %s\n", row->label, sb_buf_text(&row->line));
    }
}

/* A line: what comes before the layer and after it, and at most so many bytes of a text. */
static void say_of(const struct sb_event *e, const char *before, const char *after, int len,
                   const char *text) {
    sb_autofree char *label = label_of(e->layer);
    sb_cli_say("%s%s%s%.*s\n", before, label, after, len, text);
}

static void show(struct sb_progress *p, const struct sb_event *e) {
    struct row *row = find_row(p, e->id);
    switch (e->type) {
    case SB_EVENT_LAYER_START:
        show_start(p, e);
        break;
    case SB_EVENT_LAYER_OUTPUT:
        if (row)
            take_output(row, e->text, e->text_len,
                        p->style == STYLE_PLAIN ? print_plain_line : NULL);
        break;
    case SB_EVENT_LAYER_PACK:
        if (row)
            end_output(p, row);
        if (row)
            row->packing = true;
        break;
    case SB_EVENT_READ:
        show_reading(p, e);
        break;
    case SB_EVENT_FETCH:
        say_of(e, "  ", ": ", (int)e->text_len, e->text);
        break;
    case SB_EVENT_RESTART:
        while (p->row_count > 0)
            remove_row(p, &p->rows[0]);
        break;
    case SB_EVENT_ALONE:
    case SB_EVENT_WARNING: /* of no layer */
    case SB_EVENT_LAYER_GROW:
        break;
    case SB_EVENT_WAIT:
        say_of(e, "  waiting for another build of ", "", 0, "");
        break;
    case SB_EVENT_TEST:
        remove_row(p, row);
        say_of(e, "  passed ", "  ", 32, sb_text_seconds(e->layer->seconds).text);
        break;
    case SB_EVENT_LAYER_DONE:
        remove_row(p, find_row(p, e->id));
        print_done(p, e);
        break;
    }
}

static void stop_ticker(struct sb_progress *p) {
    pthread_mutex_lock(&p->lock);
    p->stopping = true;
    pthread_cond_signal(&p->stop);
    pthread_mutex_unlock(&p->lock);
    if (p->has_ticker)
        pthread_join(p->ticker, NULL);
    p->has_ticker = p->stopping = false;
}

static void show_warning(struct sb_progress *p, const struct sb_event *e) {
    if (p->style == STYLE_JSON) {
        sb_progress_json_message("warning", e->text);
        return;
    }
    if (p->style == STYLE_TTY)
        erase(p);
    sb_cli_print_warning(e->text);
    if (p->style == STYLE_TTY)
        draw(p);
}

/* Of a base, its image is shown, not each of its layers. */
static bool is_quiet(const struct sb_event *event) {
    return event->type == SB_EVENT_LAYER_DONE && event->layer->state == SB_LAYER_BASE;
}

void sb_progress_notify(void *progress, const struct sb_event *event) {
    struct sb_progress *p = progress;
    if (event->type == SB_EVENT_ALONE)
        stop_ticker(p);
    if (event->type == SB_EVENT_ALONE || event->type == SB_EVENT_LAYER_GROW || is_quiet(event))
        return;
    pthread_mutex_lock(&p->lock);
    if (event->type == SB_EVENT_WARNING) {
        show_warning(p, event);
    } else if (p->style == STYLE_JSON) {
        if (event->type != SB_EVENT_RESTART)
            sb_progress_json_event(event);
    } else if (p->style == STYLE_PLAIN) {
        show(p, event);
    } else if (event->type == SB_EVENT_LAYER_OUTPUT) {
        show(p, event);
        if (sb_clock_seconds() - p->last_drawn > 0.05)
            draw(p);
    } else {
        if (!p->has_ticker && event->type == SB_EVENT_LAYER_START && event->layer->seconds == 0.0)
            p->has_ticker = sb_thread_start(&p->ticker, tick, p) == 0;
        erase(p);
        show(p, event);
        draw(p);
    }
    pthread_mutex_unlock(&p->lock);
}

/* ---- blobs ---- */

static void print_moved(struct sb_progress *p, const struct sb_transfer_event *e, double seconds) {
    bool mounted = e->state == SB_TRANSFER_MOUNTED;
    paint(p, "\033[32m");
    fputs(p->style == STYLE_TTY ? "  ✓ " : "  ", stderr);
    paint(p, "\033[0m");
    fprintf(stderr, "%s %.12s",
            mounted      ? "mounted"
            : e->sending ? "sent"
                         : "fetched",
            sb_digest_hex(&e->blob->digest).text);
    if (e->where)
        sb_cli_say(" %s %s", e->sending ? "to" : "from", e->where);
    fprintf(stderr, "  %s", sb_text_size(e->blob->size).text);
    if (!mounted)
        fprintf(stderr, "  %s", sb_text_seconds(seconds).text);
    if (!mounted && seconds > 0.1)
        fprintf(stderr, "  %s/s", sb_text_size((uint64_t)((double)e->blob->size / seconds)).text);
    fputc('\n', stderr);
}

/* What a row says of a blob on its way. */
static void describe_blob(struct row *row, const struct sb_transfer_event *e) {
    sb_buf_reset(&row->line);
    if (e->state == SB_TRANSFER_CONVERT || e->state == SB_TRANSFER_UNPACK) {
        sb_buf_adds(&row->line, e->state == SB_TRANSFER_CONVERT ? "compressing anew" : "unpacking");
        return;
    }
    double seconds = sb_clock_seconds() - row->start;
    sb_buf_addf(&row->line, "%s %s of %s", e->sending ? "sending" : "fetching",
                sb_text_size(e->bytes).text, sb_text_size(e->blob->size).text);
    if (e->bytes > 0 && seconds > 0.5)
        sb_buf_addf(&row->line, ", %s/s",
                    sb_text_size((uint64_t)((double)e->bytes / seconds)).text);
}

/* A log is told of a blob on its way, too: a job that prints nothing for long is taken for dead. */
static void say_still(struct sb_progress *p, const struct sb_transfer_event *e) {
    struct row *row = find_blob(p, &e->blob->digest);
    double now = sb_clock_seconds();
    if (!row || e->state != SB_TRANSFER_PROGRESS || now - row->said < LOG_EVERY)
        return;
    row->said = now;
    sb_cli_say("  %s %s\n", sb_buf_text(&row->line), row->label);
}

static void show_transfer(struct sb_progress *p, const struct sb_transfer_event *e) {
    struct row *row = find_blob(p, &e->blob->digest);
    switch (e->state) {
    case SB_TRANSFER_START:
    case SB_TRANSFER_PROGRESS:
    case SB_TRANSFER_CONVERT:
    case SB_TRANSFER_UNPACK:
        if (!row) {
            row = add_empty_row(p);
            row->is_blob = row->whole = true;
            row->digest = e->blob->digest;
            row->label = sb_format("%.12s", sb_digest_hex(&row->digest).text);
        }
        describe_blob(row, e);
        break;
    case SB_TRANSFER_DONE:
    case SB_TRANSFER_MOUNTED:
        print_moved(p, e, row ? sb_clock_seconds() - row->start : 0);
        remove_row(p, row);
        break;
    default:
        remove_row(p, row);
    }
}

void sb_progress_transfer(void *progress, const struct sb_transfer_event *event) {
    struct sb_progress *p = progress;
    pthread_mutex_lock(&p->lock);
    if (p->style == STYLE_JSON) {
        sb_progress_json_transfer(event);
    } else if (p->style == STYLE_PLAIN) {
        show_transfer(p, event);
        say_still(p, event);
    } else {
        if (!p->has_ticker)
            p->has_ticker = sb_thread_start(&p->ticker, tick, p) == 0;
        erase(p);
        show_transfer(p, event);
        draw(p);
    }
    pthread_mutex_unlock(&p->lock);
}

static void say_waiting(void *progress, const char *text) {
    struct sb_progress *p = progress;
    pthread_mutex_lock(&p->lock);
    if (p->style == STYLE_JSON) {
        sb_progress_json_message("waiting", text);
    } else {
        if (p->style == STYLE_TTY)
            erase(p);
        fprintf(stderr, "  %s\n", text);
        if (p->style == STYLE_TTY)
            draw(p);
    }
    pthread_mutex_unlock(&p->lock);
}

void sb_progress_watch(struct sb_progress *p, struct sb_registry *registry) {
    p->watched = registry;
    sb_registry_tell(registry, say_waiting, p);
}

/* ---- start and end ---- */

int sb_progress_new(const char *how, bool explain, struct sb_progress **out, struct sb_error *err) {
    enum style style;
    const char *terminal = getenv("TERM"), *no_colour = getenv("NO_COLOR");
    if (!strcmp(how, "auto"))
        style = isatty(STDERR_FILENO) && !(terminal && !strcmp(terminal, "dumb")) ? STYLE_TTY
                                                                                  : STYLE_PLAIN;
    else if (!strcmp(how, "tty"))
        style = STYLE_TTY;
    else if (!strcmp(how, "plain"))
        style = STYLE_PLAIN;
    else if (!strcmp(how, "json"))
        style = STYLE_JSON;
    else
        return sb_fail(err, SB_E_USAGE, "--progress %s: it is one of auto, tty, plain and json",
                       how);
    struct sb_progress *p = *out = sb_alloc(sizeof *p);
    p->style = style;
    p->explain = explain;
    p->start = sb_clock_seconds();
    p->colour = style == STYLE_TTY && !(no_colour && *no_colour);
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->stop, NULL);
    return 0;
}

void sb_progress_error(struct sb_progress *p, const struct sb_error *err) {
    if (p->style == STYLE_JSON)
        sb_progress_json_error(err);
}

void sb_progress_said(const struct sb_progress *p, struct sb_error *err) {
    if (p->style == STYLE_PLAIN)
        sb_error_drop_output(err);
}

void sb_progress_free(struct sb_progress *p) {
    if (!p)
        return;
    if (p->watched)
        sb_registry_tell(p->watched, sb_cli_registry_say, NULL);
    stop_ticker(p);
    erase(p);
    while (p->row_count > 0)
        remove_row(p, &p->rows[0]);
    fflush(stderr);
    free(p->rows);
    free(p->columns);
    pthread_mutex_destroy(&p->lock);
    pthread_cond_destroy(&p->stop);
    free(p);
}
