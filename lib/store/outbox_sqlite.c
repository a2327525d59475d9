#include "lib/store/outbox_sqlite.h"

#include "lib/base/mem.h"

struct outbox_sqlite {
    struct outbox_source base;
    struct sqlite_db *db;
};

static struct sqlite_db *db_of(struct outbox_source *self)
{
    return ((struct outbox_sqlite *)self)->db;
}

enum err outbox_sqlite_add(struct outbox_source *self, const struct event_new *event, struct arena *arena,
                           struct fault *fault)
{
    if (!event) {
        return ERR_NONE;
    }
    sqlite3_stmt *insert = sqlite_prepare(db_of(self), "INSERT INTO outbox(event) VALUES(?1)", fault);
    if (!insert) {
        return fault->code;
    }
    sqlite_bind_blob_at(insert, 1, record_pack_in(&event_new_record, event, arena));
    enum err e = sqlite_run(db_of(self), insert, fault);
    self->waiting = self->waiting || e == ERR_NONE;
    return e;
}

/* The mark is the last position of the page. */
static enum err sqlite_look(struct outbox_source *self, struct arena *arena, struct fault *fault,
                            struct outbox_page *out)
{
    /* one row more than an append takes says that more is waiting */
    sqlite3_stmt *select =
        sqlite_prepare(db_of(self), "SELECT position, event FROM outbox ORDER BY position LIMIT ?1", fault);
    if (!select) {
        return fault->code;
    }
    sqlite_bind_int_at(select, 1, EVENT_BATCH_MAX + 1);
    struct outbox_page page = {0};
    enum sqlite_step_result step;
    enum err e = ERR_NONE;
    size_t size = 0;
    int64_t *last = arena_alloc(arena, sizeof *last);
    page.mark = last;
    while ((step = sqlite_step(db_of(self), select, fault)) == SQLITE_STEP_ROW) {
        if (!outbox_page_add(&page, &size, sqlite_text_at(select, 1, arena), arena, fault, &e)) {
            (void)sqlite3_reset(select);
            break;
        }
        *last = sqlite_int_at(select, 0);
    }
    if (e != ERR_NONE || step == SQLITE_STEP_FAILED) {
        return fault->code;
    }
    *out = page;
    return ERR_NONE;
}

static enum err sqlite_clear(struct outbox_source *self, const struct outbox_page *page, struct fault *fault)
{
    sqlite3_stmt *erase = sqlite_prepare(db_of(self), "DELETE FROM outbox WHERE position <= ?1", fault);
    if (!erase) {
        return fault->code;
    }
    sqlite_bind_int_at(erase, 1, *(const int64_t *)page->mark);
    return sqlite_run(db_of(self), erase, fault);
}

static void sqlite_destroy(struct outbox_source **self)
{
    mem_free(*self);
    *self = NULL;
}

static const struct outbox_source_ops sqlite_ops = {
    .look = sqlite_look, .clear = sqlite_clear, .destroy = sqlite_destroy};

struct outbox_source *outbox_sqlite_new(struct sqlite_db *db)
{
    struct outbox_sqlite *self = mem_alloc(sizeof *self);
    self->base.ops = &sqlite_ops;
    self->db = db;
    return &self->base;
}
