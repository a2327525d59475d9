#include "cli/books_join.h"

#include <string.h>

#include "lib/base/mem.h"
#include "lib/store/archive_versions.h"
#include "product-svc/rules.h"
#include "proto/order.h"

enum { ID_MAX_SIZE = 48, HOLDS_MAX = ORDER_MAX_LINES };

struct joined_hold {
    char product_id[ID_MAX_SIZE];
    int64_t quantity, state;
};

struct books_join {
    struct archive_reader *reader; /* at the holds */
    const struct archive_row *next; /* the hold that comes; NULL: no more */
    struct text next_order_id;
    char message[ARCHIVE_MESSAGE_SIZE];
    struct joined_hold holds[HOLDS_MAX]; /* of the order at hand */
    uint32_t count;
    struct archive_versions *changed; /* 1 for each order with a hold that the file does not tell; NULL: none */
};

static enum err bad_file(const struct books_join *self, struct fault *fault)
{
    return fault_set(fault, ERR_INTERNAL, "%.300s",
                     self->message[0] ? self->message : "a hold of the backup cannot be read");
}

/* Goes to the next hold. */
static enum err hold_next(struct books_join *self, struct fault *fault)
{
    enum archive_item item = archive_reader_next(self->reader, self->message);
    self->next = NULL;
    if (item == ARCHIVE_BAD) {
        return bad_file(self, fault);
    }
    if (item == ARCHIVE_ROW) {
        self->next = archive_reader_row(self->reader);
        return archive_get_text(self->next, "order_id", &self->next_order_id) ? ERR_NONE : bad_file(self, fault);
    }
    return ERR_NONE;
}

struct books_join *books_join_new(const char *path, char *message)
{
    struct books_join *self = mem_alloc(sizeof *self);
    struct fault fault;
    enum archive_item item;
    fault_init(&fault, NULL);
    self->reader = archive_reader_new(path, message);
    do {
        item = self->reader ? archive_reader_next(self->reader, message) : ARCHIVE_BAD;
    } while (item != ARCHIVE_BAD && item != ARCHIVE_END &&
             !(item == ARCHIVE_SECTION && strcmp(archive_reader_section(self->reader), "product.holds") == 0));
    if (item == ARCHIVE_BAD || (item == ARCHIVE_SECTION && hold_next(self, &fault) != ERR_NONE)) {
        books_join_destroy(&self);
    }
    return self;
}

void books_join_destroy(struct books_join **self)
{
    if (*self) {
        archive_reader_destroy(&(*self)->reader);
        archive_versions_destroy(&(*self)->changed);
        mem_free(*self);
        *self = NULL;
    }
}

/* ---- holds that the file does not tell ---- */

static enum err changed_note(struct books_join *self, struct text order_id, struct fault *fault)
{
    enum err e = self->changed ? ERR_NONE : archive_versions_new(fault, &self->changed);
    return e == ERR_NONE ? archive_versions_put(self->changed, order_id, 1, fault) : e;
}

static enum err changed_find(struct books_join *self, struct text order_id, struct fault *fault, bool *out)
{
    int64_t noted = 0;
    enum err e = self->changed ? archive_versions_find(self->changed, order_id, fault, &noted) : ERR_NONE;
    if (e == ERR_NONE) {
        *out = noted > 0;
    }
    return e;
}

enum err books_join_pending(struct books_join *self, struct archive *archive, const struct archive_row *row,
                            int64_t now_ms, struct fault *fault)
{
    struct text order_id = {0};
    bool changed = false;
    enum err e = books_pending(archive, row, now_ms, fault, &changed);
    return e == ERR_NONE && changed && archive_get_text(row, "order_id", &order_id)
               ? changed_note(self, order_id, fault)
               : e;
}

enum err books_join_left(struct books_join *self, struct archive *archive, const struct archive_row *row,
                         int64_t now_ms, struct books *books, struct fault *fault)
{
    struct text order_id = {0};
    bool changed = false;
    if (!archive_get_text(row, "order_id", &order_id)) {
        return bad_file(self, fault);
    }
    enum err e = changed_find(self, order_id, fault, &changed);
    return e == ERR_NONE && changed ? books_hold(archive, row, now_ms, books, fault) : e;
}

/* ---- side by side ---- */

/* Holds of ids that have no order, up to this id (NULL: all). */
static enum err orphans_settle(struct books_join *self, const struct text *until, struct archive *archive,
                               int64_t now_ms, struct books *books, struct fault *fault)
{
    enum err e = ERR_NONE;
    while (e == ERR_NONE && self->next && (!until || text_compare(self->next_order_id, *until) < 0)) {
        e = books_hold(archive, self->next, now_ms, books, fault);
        if (e == ERR_NONE) {
            e = hold_next(self, fault);
        }
    }
    return e;
}

/* The holds of this id, into holds; what an order cannot have is left for orphans_settle. */
static enum err holds_collect(struct books_join *self, struct text id, struct fault *fault)
{
    enum err e = ERR_NONE;
    self->count = 0;
    while (e == ERR_NONE && self->next && text_equal(self->next_order_id, id) && self->count < HOLDS_MAX) {
        struct joined_hold *hold = &self->holds[self->count];
        struct text product_id = {0};
        if (!archive_get_text(self->next, "product_id", &product_id) ||
            !text_to_string(product_id, hold->product_id, sizeof hold->product_id) ||
            !archive_get_int(self->next, "quantity", &hold->quantity) ||
            !archive_get_int(self->next, "state", &hold->state)) {
            return bad_file(self, fault);
        }
        self->count++;
        e = hold_next(self, fault);
    }
    return e;
}

/* may_lack: the order may be without this hold. */
static bool line_fits(const struct books_join *self, const struct order_line *line, enum books_hold_is wanted,
                      bool may_lack, uint32_t *out_matched)
{
    int64_t state = wanted == BOOKS_CONFIRMED  ? HOLD_IS_CONFIRMED
                    : wanted == BOOKS_RELEASED ? HOLD_IS_RELEASED
                                               : HOLD_IS_COMMITTED;
    for (uint32_t i = 0; i < self->count; i++) {
        const struct joined_hold *hold = &self->holds[i];
        if (text_is(line->product_id, hold->product_id)) {
            ++*out_matched;
            return hold->state == state && (wanted == BOOKS_RELEASED || hold->quantity == line->quantity);
        }
    }
    return may_lack;
}

/* Whether order and holds say the same. */
static bool all_fits(const struct books_join *self, const struct archive_row *row, int64_t begun_ms)
{
    AUTO(arena_release) struct arena arena = {0};
    struct text kind = {0}, document = {0};
    struct order order;
    uint32_t matched = 0;
    bool fits = true;
    if (!archive_get_text(row, "kind", &kind) || !text_is(kind, "placed")) {
        for (uint32_t i = 0; i < self->count; i++) {
            fits = fits && self->holds[i].state == HOLD_IS_RELEASED;
        }
        return fits;
    }
    if (!archive_get_text(row, "document", &document) ||
        record_unpack(&order_record, document, &arena, NULL, &order) != ERR_NONE) {
        return false;
    }
    enum books_hold_is wanted = books_hold_wanted((int)order.status);
    for (uint32_t i = 0; fits && i < order.lines.count; i++) {
        fits = line_fits(self, &order.lines.items[i], wanted, books_may_lack(wanted, order.created_at, begun_ms),
                         &matched);
    }
    return fits && matched == self->count;
}

enum err books_join_order(struct books_join *self, struct archive *archive, const struct archive_row *row,
                          int64_t now_ms, struct books *books, struct fault *fault)
{
    struct text id = {0};
    bool changed = false;
    if (!archive_get_text(row, "id", &id)) {
        return bad_file(self, fault);
    }
    enum err e = orphans_settle(self, &id, archive, now_ms, books, fault);
    if (e == ERR_NONE) {
        e = holds_collect(self, id, fault);
    }
    if (e == ERR_NONE) {
        e = changed_find(self, id, fault, &changed);
    }
    if (e != ERR_NONE || (!changed && all_fits(self, row, books->begun_ms))) {
        return e;
    }
    e = books_order(archive, row, now_ms, books, fault);
    for (uint32_t i = 0; e == ERR_NONE && i < self->count; i++) {
        struct archive_row hold = {0};
        archive_put_text(&hold, "order_id", ARCHIVE_TEXT, id);
        archive_put_text(&hold, "product_id", ARCHIVE_TEXT, text_of(self->holds[i].product_id));
        e = books_hold(archive, &hold, now_ms, books, fault);
    }
    return e;
}

enum err books_join_end(struct books_join *self, struct archive *archive, int64_t now_ms, struct books *books,
                        struct fault *fault)
{
    return orphans_settle(self, NULL, archive, now_ms, books, fault);
}
