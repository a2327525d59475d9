/* Dead letters on MongoDB: collection event_letters, _id: the request id. A document stays when its letter is gone: it
 * remembers the death. */
#include "event-svc/store_parts.h"

enum { TRIM_STEP = 500 };

static const char letters[] = "event_letters";

static struct mongo_db *db_of(void *handle)
{
    return ((struct log_mongo *)handle)->db;
}

/* The id is there already, with another death than the filter's: somebody was faster, or it is news of an old one. */
static enum err unless_there(enum err e, struct fault *fault)
{
    if (e == ERR_CONFLICT) {
        fault_init(fault, fault->arena);
        return ERR_NONE;
    }
    return e;
}

static enum err letter_add(void *handle, const struct dead_letter *letter, int64_t now_ms, struct fault *fault)
{
    AUTO(bson_destroy) bson_t filter = BSON_INITIALIZER;
    AUTO(bson_destroy) bson_t update = BSON_INITIALIZER;
    bson_t set;
    bool was_there;
    bson_put_text(&filter, "_id", letter->request_id);
    mongo_put_compare(&filter, "death", "$ne", letter->death);
    BSON_APPEND_DOCUMENT_BEGIN(&update, "$set", &set);
    bson_put_fields(&set, &dead_letter_record, letter);
    bson_put_int(&set, "died", now_ms - letter->age_ms);
    bson_put_int(&set, "gone", 0);
    bson_put_text(&set, "taker", TEXT(""));
    bson_put_int(&set, "taken_until", 0);
    bson_append_document_end(&update, &set);
    const char *absent[] = {NULL, NULL, NULL};
    int absent_count = 0;
    if (!has(dead_letter, letter, meta)) {
        absent[absent_count++] = "meta";
    }
    if (!has(dead_letter, letter, body)) {
        absent[absent_count++] = "body";
    }
    if (absent_count > 0) {
        mongo_put_unset(&update, absent);
    }
    return unless_there(mongo_upsert(db_of(handle), letters, &filter, &update, fault, &was_there), fault);
}

/* {gone: 0, taken_until: {$lte: now}} */
static void waiting_filter(bson_t *out, int64_t now_ms)
{
    bson_put_int(out, "gone", 0);
    mongo_put_compare(out, "taken_until", "$lte", now_ms);
}

/* {died: -1, _id: 1} */
static void newest_first(bson_t *out)
{
    bson_put_int(out, "died", -1);
    bson_put_int(out, "_id", 1);
}

static enum err waiting_count(void *handle, int64_t now_ms, struct fault *fault, int64_t *out)
{
    AUTO(bson_destroy) bson_t filter = BSON_INITIALIZER;
    AUTO(bson_destroy) bson_t projection = BSON_INITIALIZER;
    struct mongo_rows rows;
    const bson_t *row;
    int64_t count = 0;
    waiting_filter(&filter, now_ms);
    bson_put_int(&projection, "_id", 1);
    const struct mongo_query query = {.collection = letters, .filter = &filter, .projection = &projection};
    mongo_find(db_of(handle), &query, &rows);
    while (mongo_next(&rows, &row)) {
        count++;
    }
    enum err e = mongo_rows_end(&rows, fault);
    *out = e == ERR_NONE ? count : *out;
    return e;
}

static enum err line_read(const bson_t *row, int64_t now_ms, struct arena *arena, struct fault *fault,
                          struct mmi_dead_letter *out)
{
    AUTO(bson_destroy) bson_t line = BSON_INITIALIZER;
    int64_t died = now_ms;
    struct text body;
    (void)!bson_get_int(row, "died", &died);
    bson_copy_to_excluding_noinit(row, &line, "age_ms", "body", NULL);
    bson_put_int(&line, "age_ms", now_ms > died ? now_ms - died : 0);
    bson_put_bool(&line, "secret", !bson_get_bytes(row, "body", NULL, &body));
    bson_put_bool(&line, "stored", true);
    return bson_read_record(&line, &mmi_dead_letter_record, arena, fault, out);
}

static enum err letter_list(void *handle, int64_t now_ms, struct arena *arena, struct fault *fault,
                            struct mmi_dead_letters *out)
{
    AUTO(bson_destroy) bson_t filter = BSON_INITIALIZER;
    AUTO(bson_destroy) bson_t sort = BSON_INITIALIZER;
    struct mmi_dead_letters list = {.letters.items = arena_alloc(arena, MMI_MAX_LETTERS * sizeof *list.letters.items)};
    struct mongo_rows rows;
    const bson_t *row;
    enum err e = waiting_count(handle, now_ms, fault, &list.count);
    if (e != ERR_NONE) {
        return e;
    }
    waiting_filter(&filter, now_ms);
    newest_first(&sort);
    const struct mongo_query query = {
        .collection = letters, .filter = &filter, .sort = &sort, .limit = MMI_MAX_LETTERS};
    mongo_find(db_of(handle), &query, &rows);
    while (e == ERR_NONE && list.letters.count < MMI_MAX_LETTERS && mongo_next(&rows, &row)) {
        e = line_read(row, now_ms, arena, fault, &list.letters.items[list.letters.count]);
        list.letters.count++;
    }
    enum err end = mongo_rows_end(&rows, e == ERR_NONE ? fault : NULL);
    e = e == ERR_NONE ? end : e;
    if (e == ERR_NONE) {
        list.count = list.count > list.letters.count ? list.count : list.letters.count; /* one came in between */
        *out = list;
    }
    return e;
}

static enum err letter_find(void *handle, struct text request_id, struct arena *arena, struct fault *fault,
                            bson_t *out)
{
    AUTO(bson_destroy) bson_t filter = BSON_INITIALIZER;
    bool found = false;
    bson_put_text(&filter, "_id", request_id);
    bson_put_int(&filter, "gone", 0);
    const struct mongo_query query = {.collection = letters, .filter = &filter};
    enum err e = mongo_find_one(db_of(handle), &query, arena, fault, out, &found);
    return e == ERR_NONE && !found ? fault_set(fault, ERR_NOT_FOUND, NULL) : e;
}

static enum err letter_take(void *handle, const struct letter_take *what, int64_t now_ms, struct arena *arena,
                            struct fault *fault, struct dead_letter *out)
{
    AUTO(bson_destroy) bson_t filter = BSON_INITIALIZER;
    AUTO(bson_destroy) bson_t update = BSON_INITIALIZER;
    AUTO(bson_destroy) bson_t letter = BSON_INITIALIZER;
    bson_t document, set, either, part;
    int64_t died = now_ms;
    bool taken = false;
    bson_put_text(&filter, "_id", what->request_id);
    bson_put_int(&filter, "gone", 0);
    mongo_put_exists(&filter, "body", true);
    BSON_APPEND_ARRAY_BEGIN(&filter, "$or", &either);
    BSON_APPEND_DOCUMENT_BEGIN(&either, "0", &part);
    mongo_put_compare(&part, "taken_until", "$lte", now_ms);
    bson_append_document_end(&either, &part);
    BSON_APPEND_DOCUMENT_BEGIN(&either, "1", &part);
    bson_put_text(&part, "taker", what->taker);
    bson_append_document_end(&either, &part);
    bson_append_array_end(&filter, &either);
    BSON_APPEND_DOCUMENT_BEGIN(&update, "$set", &set);
    bson_put_text(&set, "taker", what->taker);
    bson_put_int(&set, "taken_until", now_ms + what->lease_ms);
    bson_append_document_end(&update, &set);
    enum err e = mongo_update(db_of(handle), letters, &filter, &update, fault, &taken);
    if (e == ERR_NONE) {
        e = letter_find(handle, what->request_id, arena, fault, &document);
    }
    if (e != ERR_NONE || !taken) {
        return e != ERR_NONE ? e : fault_set(fault, ERR_CONFLICT, NULL);
    }
    (void)!bson_get_int(&document, "died", &died);
    bson_copy_to_excluding_noinit(&document, &letter, "age_ms", NULL);
    bson_put_int(&letter, "age_ms", now_ms > died ? now_ms - died : 0);
    return bson_read_record(&letter, &dead_letter_record, arena, fault, out);
}

static enum err letter_drop(void *handle, const struct letter_drop *what, int64_t now_ms, struct fault *fault)
{
    static const char *const contents[] = {"meta", "body", NULL};
    AUTO(bson_destroy) bson_t filter = BSON_INITIALIZER;
    AUTO(bson_destroy) bson_t update = BSON_INITIALIZER;
    bson_t part;
    bool was_there = false;
    bson_put_text(&filter, "_id", what->request_id);
    BSON_APPEND_DOCUMENT_BEGIN(&update, "$set", &part);
    bson_put_int(&part, "gone", 1);
    bson_append_document_end(&update, &part);
    mongo_put_unset(&update, contents);
    if (!has(letter_drop, what, death)) {
        bson_put_int(&filter, "gone", 0);
        enum err e = mongo_update(db_of(handle), letters, &filter, &update, fault, &was_there);
        return e == ERR_NONE && !was_there ? fault_set(fault, ERR_NOT_FOUND, NULL) : e;
    }
    bson_put_int(&filter, "death", what->death);
    BSON_APPEND_DOCUMENT_BEGIN(&update, "$setOnInsert", &part);
    bson_put_int(&part, "died", now_ms);
    bson_append_document_end(&update, &part);
    return unless_there(mongo_upsert(db_of(handle), letters, &filter, &update, fault, &was_there), fault);
}

/* Deletes what is beyond the newest count_max, a step at a time. */
static enum err many_trim(void *handle, int gone, int64_t count_max, struct fault *fault)
{
    enum err e = ERR_NONE;
    uint32_t count = TRIM_STEP;
    while (e == ERR_NONE && count == TRIM_STEP) {
        AUTO(arena_release) struct arena arena = {0};
        AUTO(bson_destroy) bson_t filter = BSON_INITIALIZER;
        AUTO(bson_destroy) bson_t sort = BSON_INITIALIZER;
        AUTO(bson_destroy) bson_t projection = BSON_INITIALIZER;
        AUTO(bson_destroy) bson_t these = BSON_INITIALIZER;
        struct text *ids = arena_alloc(&arena, TRIM_STEP * sizeof *ids);
        struct mongo_rows rows;
        const bson_t *row;
        int64_t deleted;
        count = 0;
        bson_put_int(&filter, "gone", gone);
        newest_first(&sort);
        bson_put_int(&projection, "_id", 1);
        const struct mongo_query query = {.collection = letters,
                                      .filter = &filter,
                                      .sort = &sort,
                                      .projection = &projection,
                                      .limit = TRIM_STEP,
                                      .skip = count_max};
        mongo_find(db_of(handle), &query, &rows);
        while (count < TRIM_STEP && mongo_next(&rows, &row)) {
            count += bson_get_text(row, "_id", &arena, &ids[count]);
        }
        e = mongo_rows_end(&rows, fault);
        if (e == ERR_NONE && count > 0) {
            mongo_put_in(&these, "_id", ids, count);
            e = mongo_delete_all(db_of(handle), letters, &these, fault, &deleted);
        }
    }
    return e;
}

static enum err letter_trim(void *handle, int64_t before_ms, int64_t count_max, struct fault *fault)
{
    AUTO(bson_destroy) bson_t old = BSON_INITIALIZER;
    int64_t deleted;
    mongo_put_compare(&old, "died", "$lt", before_ms);
    enum err e = mongo_delete_all(db_of(handle), letters, &old, fault, &deleted);
    for (int gone = 0; e == ERR_NONE && gone <= 1; gone++) {
        e = many_trim(handle, gone, count_max, fault);
    }
    return e;
}

const struct letter_store_ops letters_mongo = {letter_add, letter_list, letter_take, letter_drop, letter_trim};
