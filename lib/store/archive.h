/* A service's data outside its store: rows of named values, kind by kind, the same whichever store they come from or go
 * to. Each service says what its kinds are (its archive.c); here they are walked and stored.
 *
 * Reading is of one moment on SQLite: all write locks are taken, a snapshot is opened on each file, and the locks are
 * let go. On MongoDB there is no such moment: kinds are walked one after the other, what belongs to a document with a
 * version is taken as it was then, and whoever restores settles the rest. Writing is for stores that nobody uses. */
#ifndef ZMART_STORE_ARCHIVE_H
#define ZMART_STORE_ARCHIVE_H

#include "lib/base/buffer.h"
#include "lib/store/mongo.h"
#include "lib/store/sqlite.h"

enum {
    ARCHIVE_MAX_VALUES = 32,             /* of a row */
    ARCHIVE_MAX_PARTS = 8,
    ARCHIVE_ROW_MAX_SIZE = 32 * 1024 * 1024 /* packed; more than any document can be */
};

enum archive_type { ARCHIVE_INT, ARCHIVE_TEXT, ARCHIVE_BYTES };

struct archive_value {
    struct text name;
    enum archive_type type;
    int64_t number;   /* INT */
    struct text text; /* TEXT, BYTES */
};

struct archive_row {
    uint32_t count;
    struct archive_value values[ARCHIVE_MAX_VALUES]; /* absent ones are not among them */
};

/* ---- what a service declares ---- */

/* A value that is a field of a document. */
struct archive_field {
    const char *value;
    const char *field;
    enum archive_type type;
};

/* A row is good during the visit; an error ends the walk. */
typedef enum err archive_visit(void *user, const struct archive_row *row, struct fault *fault);

struct archive_kind {
    const char *name;   /* "orders" */
    /* SQLite: a column is a value of the same name, in the order of a key; inserts have parameters of these names. */
    const char *select;
    const char *inserts[3]; /* run one after the other; up to the first NULL */
    enum err (*inserted)(struct sqlite_db *db, const struct archive_row *row, struct fault *fault); /* may be NULL */
    /* MongoDB: fields of the same document, and what they alone cannot say; hooks may be NULL. */
    const char *collection; /* NULL: nothing there is of this kind */
    const char *id; /* only the document with this id; may be NULL */
    const struct archive_field *fields; /* up to one without a value */
    enum err (*from_document)(const bson_t *document, struct arena *arena, struct fault *fault,
                              struct archive_row *row);
    enum err (*to_document)(const struct archive_row *row, struct arena *arena, struct fault *fault, bson_t *document);
    const char *version; /* a number in each document that grows with each change; it is kept for the kinds behind;
                            NULL: none */
    const char *owner;   /* the field with the id of the document that this one belongs to, among those with versions */
    /* Makes the row what it was when its owner was of that version (0: it was not there); false: it was not there. */
    bool (*as_of)(const bson_t *document, int64_t version, struct archive_row *row);
    enum err (*each)(const bson_t *document, int64_t version, archive_visit *visit, void *user,
                     struct fault *fault); /* many rows of one */
    enum err (*put_document)(struct mongo_db *db, const struct archive_row *row,
                             struct fault *fault); /* instead of an insert */
    bool is_outbox; /* rows are events that wait: {event}. They go to the log, not back */
    bool is_told;   /* rows are read by whoever restores; they are not stored as they are */
    bool is_made;   /* an empty store has one already; it is replaced */
};

struct archive_part {
    const char *service;
    const struct sqlite_schema *sqlite;
    const struct mongo_schema *mongo;
    const struct archive_kind *kinds;
    size_t kind_count;
};

/* ---- rows ---- */

void archive_put_int(struct archive_row *row, const char *name, int64_t value);
/* In place of the value that the row has. */
void archive_replace_int(struct archive_row *row, const char *name, int64_t value);
/* The text is borrowed. */
void archive_put_text(struct archive_row *row, const char *name, enum archive_type type, struct text value);
/* NULL if it is absent. */
const struct archive_value *archive_find(const struct archive_row *row, const char *name);
/* False if it is absent or of another type. */
MUST_USE bool archive_get_int(const struct archive_row *row, const char *name, int64_t *out);
MUST_USE bool archive_get_text(const struct archive_row *row, const char *name, struct text *out); /* bytes, too */
/* One msgpack map. False when out's maximum is reached. */
MUST_USE bool archive_pack(const struct archive_row *row, struct buffer *out);
/* Texts point into bytes. False if these are no row. */
MUST_USE bool archive_unpack(struct text bytes, struct archive_row *out);

/* A record's fields as values of the same names: BOOL, TIME and the like are INT, an ENUM is its name, and what is
 * nested is msgpack, as in lib/store/sqlite.h. Packed values are in the arena. */
void archive_put_record(struct archive_row *row, const struct record *record, const void *in, struct arena *arena);
/* INTERNAL (with a cause) if the row cannot be one. Texts are borrowed from the row. */
MUST_USE enum err archive_get_record(const struct archive_row *row, const struct record *record, struct arena *arena,
                                     struct fault *fault, void *out);
/* The same of the record under a document's key. */
MUST_USE enum err archive_take_record(const bson_t *document, const char *key, const struct record *record,
                                      struct arena *arena, struct fault *fault, struct archive_row *row);
MUST_USE enum err archive_give_record(const struct archive_row *row, const char *key, const struct record *record,
                                      struct arena *arena, struct fault *fault, bson_t *document);

/* ---- stores ---- */

struct archive; /* the stores of all parts, opened together */

/* config->store is a URL. For reading: the moment is now. For writing: INVALID_BODY if anything is there already; on
 * MongoDB the database is marked until archive_end, and what an unfinished restore has left behind such a mark is
 * deleted (CONFLICT if that one is still at work). The fault's detail is one line that says what to do. parts are
 * borrowed. */
MUST_USE enum err archive_open(const struct store_config *config, const struct archive_part *const *parts, size_t count,
                               bool writes, struct fault *fault, struct archive **out);
/* What was written and not committed is undone on SQLite. */
void archive_destroy(struct archive **self);

/* Each row in the order of its key; */
MUST_USE enum err archive_walk(struct archive *self, const struct archive_part *part, const struct archive_kind *kind,
                               archive_visit *visit, void *user, struct fault *fault);
MUST_USE enum err archive_put(struct archive *self, const struct archive_part *part, const struct archive_kind *kind,
                              const struct archive_row *row, struct fault *fault);
/* Everything put is durable. */
MUST_USE enum err archive_commit(struct archive *self, struct fault *fault);
/* Says that the work goes on; to be called with every row. CONFLICT: another restore has taken it over. */
MUST_USE enum err archive_beat(struct archive *self, struct fault *fault);
/* What was put is a shop: on MongoDB programs may open it. Nothing is undone after this, even if it fails. */
MUST_USE enum err archive_end(struct archive *self, struct fault *fault);
/* On MongoDB: deletes what was put, so that nothing has changed; if that fails, the database stays marked. On SQLite
 * whoever restores removes the files. */
MUST_USE enum err archive_undo(struct archive *self, struct fault *fault);

/* The part's own handle, for what rows alone cannot do; NULL on the other store. */
struct sqlite_db *archive_sqlite(struct archive *self, const struct archive_part *part);
struct mongo_pool *archive_pool(struct archive *self, const struct archive_part *part);
struct mongo_db *archive_mongo(struct archive *self, const struct archive_part *part);

#endif
