#include "cli/restore.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/books_join.h"
#include "cli/restore_folder.h"
#include "cli/shop.h"
#include "event-svc/archive.h"
#include "event-svc/store.h"
#include "lib/base/clock.h"
#include "lib/bus/main.h"
#include "order-svc/archive.h"

enum { PROGRESS_ROWS = 2000 };

#define RESTORE_CONFIG(X) \
    X(SWITCH, check, "check", "no", 0, 0, "only reads the file: tells its sections with their rows and checksums, or what is wrong with it")
CONFIG_DECLARE(restore_config, RESTORE_CONFIG);
CONFIG_DEFINE(restore_config, RESTORE_CONFIG)

struct restore_settings {
    struct archive_store_config store;
    struct restore_config restore;
};

static const struct config_section sections[] = {
    {"Restore", &restore_config_rows, offsetof(struct restore_settings, restore)},
    {"Shop", &archive_store_config_rows, offsetof(struct restore_settings, store)}};
static const struct config_table table = {
    .program = "zmart restore",
    .summary = "puts a backup into an empty store, settles orders and holds, and begins a new epoch of events",
    .usage = "FILE [flags]",
    .sections = sections,
    .section_count = ARRAY_COUNT(sections)};

/* One restore. Every function of it that is false has set message to one line that says why. */
struct restore {
    struct archive_reader *reader;
    struct store_config store; /* where it goes; on SQLite first into a folder beside */
    struct restore_folder folder; /* SQLite */
    struct archive *archive;
    struct event_store *log;
    int stop_fd; /* signals */
    struct event_restart restart;
    struct books books;
    struct books_join *join; /* while orders are settled */
    const char *path;
    int64_t rows, events_appended;
    char message[ARCHIVE_MESSAGE_SIZE];
};

static bool fault_tell(struct restore *self, const struct fault *fault)
{
    bool more = fault->cause[0] && !strstr(fault->detail, fault->cause);
    snprintf(self->message, sizeof self->message, "%s%s%s",
             fault->detail[0] ? fault->detail : "the store refuses a row of the backup", more ? ": " : "",
             more ? fault->cause : "");
    return false;
}

/* ---- the file ---- */

typedef enum err row_take(struct restore *self, const struct archive_part *part, const struct archive_kind *kind,
                          struct fault *fault);

/* Between two rows: whether to go on. */
static bool goes_on(struct restore *self)
{
    struct fault fault;
    fault_init(&fault, NULL);
    if (signals_read(self->stop_fd) != 0) {
        signals_release_interrupt();
        snprintf(self->message, sizeof self->message, "interrupted: nothing was restored");
        return false;
    }
    return !self->archive || archive_beat(self->archive, &fault) == ERR_NONE || fault_tell(self, &fault);
}

/* Gives each row of the sections that are of use to take; NULL: looks at the file only. wanted: only this section. */
static bool file_read(struct restore *self, const char *what, const char *wanted, row_take *take)
{
    const struct archive_part *part = NULL;
    const struct archive_kind *kind = NULL;
    struct fault fault;
    int64_t rows = 0;
    fault_init(&fault, NULL);
    if (!archive_reader_rewind(self->reader, self->message)) {
        return false;
    }
    for (;;) {
        switch (archive_reader_next(self->reader, self->message)) {
        case ARCHIVE_BAD: return false;
        case ARCHIVE_END: self->rows = rows; return true;
        case ARCHIVE_SECTION_END:
            if (!take && !wanted) {
                printf("%-28s %10" PRId64 " rows  %s\n", archive_reader_section(self->reader),
                       archive_reader_rows(self->reader), archive_reader_sum(self->reader));
            }
            break;
        case ARCHIVE_SECTION:
            if (!archive_kind_find(archive_reader_section(self->reader), &part, &kind)) {
                snprintf(self->message, sizeof self->message,
                         "the backup has %s, which this program does not know: a newer zmart has written it",
                         archive_reader_section(self->reader));
                return false;
            }
            break;
        case ARCHIVE_ROW:
            if (!goes_on(self)) {
                return false;
            }
            if (++rows % PROGRESS_ROWS == 0) {
                archive_progress(what, rows, archive_reader_position(self->reader), archive_reader_size(self->reader));
            }
            if (take && (!wanted || strcmp(wanted, archive_reader_section(self->reader)) == 0) &&
                take(self, part, kind, &fault) != ERR_NONE) {
                return fault_tell(self, &fault);
            }
            break;
        }
    }
}

/* ---- rows ---- */

static void entry_note(struct restore *self, const struct archive_row *row)
{
    struct text type = {0};
    int64_t tseq = 0;
    (void)!archive_get_int(row, "seq", &self->restart.last_seq);
    if (archive_get_text(row, "type", &type) && text_is(type, EVENT_RESTORED_TYPE) &&
        archive_get_int(row, "tseq", &tseq)) {
        self->restart.last_tseq = tseq;
    }
}

static enum err row_put(struct restore *self, const struct archive_part *part, const struct archive_kind *kind,
                        struct fault *fault)
{
    const struct archive_row *row = archive_reader_row(self->reader);
    if (part == &event_archive && text_is(text_of(kind->name), "entries")) {
        entry_note(self, row);
    }
    return kind->is_outbox || kind->is_told ? ERR_NONE : archive_put(self->archive, part, kind, row, fault);
}

static enum err row_pending(struct restore *self, const struct archive_part *part, const struct archive_kind *kind,
                            struct fault *fault)
{
    (void)part;
    (void)kind;
    return books_join_pending(self->join, self->archive, archive_reader_row(self->reader), self->restart.now_ms, fault);
}

static enum err row_order(struct restore *self, const struct archive_part *part, const struct archive_kind *kind,
                          struct fault *fault)
{
    (void)part;
    (void)kind;
    return books_join_order(self->join, self->archive, archive_reader_row(self->reader), self->restart.now_ms,
                            &self->books, fault);
}

static enum err row_left(struct restore *self, const struct archive_part *part, const struct archive_kind *kind,
                         struct fault *fault)
{
    (void)part;
    (void)kind;
    return books_join_left(self->join, self->archive, archive_reader_row(self->reader), self->restart.now_ms,
                           &self->books, fault);
}

static bool books_settle(struct restore *self)
{
    struct fault fault;
    fault_init(&fault, NULL);
    self->join = books_join_new(self->path, self->message);
    bool good = self->join && file_read(self, "settling products", "product.pending", row_pending) &&
                file_read(self, "settling orders", "order.orders", row_order);
    if (good && books_join_end(self->join, self->archive, self->restart.now_ms, &self->books, &fault) != ERR_NONE) {
        good = fault_tell(self, &fault);
    }
    good = good && file_read(self, "settling holds", "product.pending", row_left);
    books_join_destroy(&self->join);
    return good;
}

static bool all_put(struct restore *self)
{
    struct fault fault;
    fault_init(&fault, NULL);
    self->restart.now_ms = clock_wall_ms();
    self->books.begun_ms = archive_reader_created_ms(self->reader);
    if (archive_open(&self->store, archive_parts, archive_part_count, true, &fault, &self->archive) != ERR_NONE) {
        return fault_tell(self, &fault);
    }
    if (!file_read(self, "storing", NULL, row_put)) {
        return false;
    }
    enum err e = event_archive_restart(self->archive, &self->restart, &fault);
    if (e == ERR_NONE) {
        e = archive_commit(self->archive, &fault);
    }
    if (e != ERR_NONE) {
        return fault_tell(self, &fault);
    }
    if (!books_settle(self)) {
        return false;
    }
    e = order_archive_settled(self->archive, &fault, &self->books.orders_settled);
    if (e == ERR_NONE) {
        e = archive_commit(self->archive, &fault);
    }
    return e == ERR_NONE || fault_tell(self, &fault);
}

/* ---- events that nobody had handed over ---- */

static enum err event_append(struct event_store *log, struct text packed, struct fault *fault, int64_t *appended_count)
{
    AUTO(arena_release) struct arena arena = {0};
    struct event_new event;
    struct event_append batch = {.events = {&event, 1}};
    struct event_added added = {0};
    enum err e = record_unpack(&event_new_record, packed, &arena, fault, &event);
    if (e == ERR_NONE) {
        e = log->unit->begin(log->handle, true, fault);
    }
    if (e == ERR_NONE) {
        e = log->ops->append(log, &batch, fault, &added);
        e = e == ERR_NONE ? log->unit->commit(log->handle, fault) : e;
    }
    *appended_count += e == ERR_NONE ? added.new_count : 0;
    return e;
}

static enum err row_hand(struct restore *self, const struct archive_part *part, const struct archive_kind *kind,
                         struct fault *fault)
{
    struct text packed = {0};
    (void)part;
    if (!kind->is_outbox || !archive_get_text(archive_reader_row(self->reader), "event", &packed)) {
        return ERR_NONE;
    }
    return event_append(self->log, packed, fault, &self->events_appended);
}

static bool outboxes_hand(struct restore *self)
{
    struct mongo_pool *pool = archive_pool(self->archive, &event_archive);
    struct fault fault;
    fault_init(&fault, NULL);
    if (!pool) {
        archive_destroy(&self->archive); /* a file has one writer */
    }
    enum err e = event_store_open(&self->store, pool, true, self->restart.now_ms, NULL, &fault, &self->log);
    bool good = e == ERR_NONE ? file_read(self, "events", NULL, row_hand) : fault_tell(self, &fault);
    event_store_destroy(&self->log);
    return good;
}

/* Nothing is left of a restore that failed. */
static void all_undo(struct restore *self)
{
    size_t size = strlen(self->message);
    if (self->archive && archive_undo(self->archive, NULL) != ERR_NONE) {
        snprintf(self->message + size, sizeof self->message - size,
                 "; what was put could not be deleted, and no program will start there: run zmart restore again");
    }
    archive_destroy(&self->archive);
    restore_folder_undo(&self->folder);
}

/* ---- the command ---- */

static void books_tell(const struct restore *self)
{
    const struct books *books = &self->books;
    printf("zmart: settled: holds confirmed %" PRId64 ", released %" PRId64 ", committed %" PRId64 ", made %" PRId64
           "; order ids voided %" PRId64 ", orders settled %" PRId64 "; pieces back to stock %" PRId64
           ", taken from it %" PRId64 "\n",
           books->holds_confirmed, books->holds_released, books->holds_committed, books->holds_made,
           books->orders_voided, books->orders_settled, books->pieces_returned, books->pieces_taken);
    if (books->pieces_short > 0) {
        printf("zmart: %" PRId64
               " pieces that orders have were not in stock, which ends at 0, not below: more of them are sold than"
               " there are; look at those products\n",
               books->pieces_short);
    }
    printf("zmart: orders that were looked up to be settled: %" PRId64 "\n", books->orders_asked);
    printf("zmart: events: epoch %" PRId64 ", from seq %" PRId64 ", handed over %" PRId64 "\n", self->restart.now_ms,
           self->restart.last_seq + EVENT_RESTORE_GAP, self->events_appended);
}

/* What was put is a shop from now on. */
static bool all_end(struct restore *self)
{
    struct fault fault;
    fault_init(&fault, NULL);
    if (!self->archive) {
        return restore_folder_place(&self->folder, self->message);
    }
    enum err e = archive_end(self->archive, &fault);
    archive_destroy(&self->archive); /* whether it has ended or not is not known then: nothing is deleted */
    return e == ERR_NONE || fault_tell(self, &fault);
}

static bool restore_run(struct restore *self)
{
    if (!file_read(self, "checking", "", NULL) || /* before anything is changed */
        (store_kind_of(self->store.store) == STORE_SQLITE &&
         !restore_folder_take(&self->store, &self->folder, self->message)) ||
        !all_put(self) || !outboxes_hand(self) || !all_end(self)) {
        return false;
    }
    archive_progress_end();
    printf("zmart: restored %s: %" PRId64 " rows\n", self->path, self->rows);
    books_tell(self);
    return true;
}

int restore_main(const struct words *argv)
{
    struct restore_settings settings;
    struct restore self = {.folder = {.lock_fd = -1}};
    char url[ARCHIVE_PATH_SIZE];
    int rest = 0;
    switch (config_load(&table, argv->count, argv->items, &settings, &rest, self.message, sizeof self.message)) {
    case CONFIG_HELP: config_print_help(&table, stdout); return PROCESS_OK;
    case CONFIG_BAD: shop_refuse("%s", self.message); return PROCESS_BAD_CONFIG;
    case CONFIG_OK: break;
    }
    if (rest != 1) {
        shop_refuse("restore takes one FILE, and flags");
        return PROCESS_BAD_CONFIG;
    }
    self.path = argv->items[1];
    self.stop_fd = signals_take();
    self.store = archive_store_settings(&settings.store, url);
    self.reader = archive_reader_new(self.path, self.message);
    bool good = self.reader && (settings.restore.check ? file_read(&self, "checking", NULL, NULL) : restore_run(&self));
    if (!good) {
        archive_progress_end();
        all_undo(&self);
        shop_refuse("%s", self.message);
    }
    archive_destroy(&self.archive);
    archive_reader_destroy(&self.reader);
    restore_folder_release(&self.folder);
    return good ? PROCESS_OK : PROCESS_FAILED;
}
