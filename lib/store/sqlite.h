/* SQLite as the services use it: WAL, synchronous=FULL, strict tables, one file a service, one writer.
 * A database handle belongs to one thread. Foreign errors become ours here: full disk, read-only, locked and I/O errors
 * are SERVICE_UNAVAILABLE with the cause for the log; a broken constraint is CONFLICT (ask sqlite_constraint). */
#ifndef ZMART_STORE_SQLITE_H
#define ZMART_STORE_SQLITE_H

#include <sqlite3.h>

#include "lib/base/metrics.h"
#include "lib/bus/service.h"
#include "lib/store/url.h"
#include "proto/fault.h"
#include "proto/record.h"

struct sqlite_db;

/* migrations[i] brings schema version i to i + 1 (PRAGMA user_version); each runs in one transaction. A file with a
 * version above migration_count is refused: a newer zmart has written it. */
struct sqlite_schema {
    const char *file; /* "product.db" */
    const char *const *migrations;
    int migration_count;
};

/* While a file of this name is in a folder, its databases are those of a restore that has not ended, and are refused.
 */
#define SQLITE_MARK_FILE "restore.unfinished"
MUST_USE enum err sqlite_mark_check(const char *folder, struct fault *fault);

/* Opens DIR/file of a store URL "sqlite:DIR", making the folder (mode 0700) and the file as needed. writer: takes the
 * file's lock (DIR/file.lock, flock) or fails: a second writing process is refused and MongoDB is named. A reader
 * needs the writer to have opened it first. metrics may be NULL; counts zmart_store_commits_total and
 * zmart_store_rows_per_commit. */
MUST_USE enum err sqlite_db_open(const struct store_config *config, const struct sqlite_schema *schema, bool writer,
                                 struct metrics *metrics, struct fault *fault, struct sqlite_db **out);
void sqlite_db_destroy(struct sqlite_db **self);
/* Nobody writes to these files until the pause has ended; writers wait. For opening snapshots of all of them at one
 * moment; --store-busy-ms bounds the wait for each. Files that are not there are not held. */
struct sqlite_pause;
MUST_USE enum err sqlite_pause_writers(const struct store_config *config, const struct sqlite_schema *const *schemas,
                                       size_t count, struct fault *fault, struct sqlite_pause **out);
void sqlite_pause_end(struct sqlite_pause **self);
/* Reads something, so that the running unit of work's snapshot is of now. */
MUST_USE enum err sqlite_snapshot_take(struct sqlite_db *db, struct fault *fault);
/* For struct loop_store: store is the struct sqlite_db *. */
extern const struct unit_of_work sqlite_unit;
/* How often something done in a unit of work was taken back: whoever remembers what it wrote looks whether that holds.
 */
uint64_t sqlite_undone(const struct sqlite_db *db);

/* A prepared statement for this SQL, reset and without bindings; kept by the handle and found again by the pointer, so
 * sql must be a string literal (or live as long as the handle). NULL on an error. */
sqlite3_stmt *sqlite_prepare(struct sqlite_db *db, const char *sql, struct fault *fault);
void sqlite_bind_text_at(sqlite3_stmt *statement, int index,
                         struct text text); /* 1-based; not copied: must live until the step */
void sqlite_bind_blob_at(sqlite3_stmt *statement, int index, struct text bytes);
void sqlite_bind_int_at(sqlite3_stmt *statement, int index, int64_t value);
void sqlite_bind_null_at(sqlite3_stmt *statement, int index);
/* Good until the statement's next step or reset; arena not NULL: copied there. */
struct text sqlite_text_at(sqlite3_stmt *statement, int column, struct arena *arena); /* 0-based */
int64_t sqlite_int_at(sqlite3_stmt *statement, int column);
bool sqlite_is_null_at(sqlite3_stmt *statement, int column);

enum sqlite_step_result { SQLITE_STEP_ROW, SQLITE_STEP_DONE, SQLITE_STEP_CONSTRAINT, SQLITE_STEP_FAILED };
/* One step. CONSTRAINT: a unique, check or foreign key refused (the fault is not set); FAILED: the fault is set.
 * On anything but ROW the statement has been reset. */
enum sqlite_step_result sqlite_step(struct sqlite_db *db, sqlite3_stmt *statement, struct fault *fault);
/* Runs to the end, rows ignored. A broken constraint is CONFLICT. */
MUST_USE enum err sqlite_run(struct sqlite_db *db, sqlite3_stmt *statement, struct fault *fault);
/* Rows changed by the last statement. */
int64_t sqlite_changes_of(struct sqlite_db *db);

/* Records and rows. A column named like a field holds it: TEXT, ENUM as text; INT, BOOL, TIME, MONEY, DECIMAL as
 * integers; STRS, LIST, REC, RAW as msgpack blobs; absent fields as NULL. Columns or parameters (:name) that no field
 * is named like are left alone. */
void sqlite_bind_record(sqlite3_stmt *statement, const struct record *record, const void *in, struct arena *arena);
/* Everything is copied to the arena. INTERNAL (with a cause) if a row cannot be the record. */
MUST_USE enum err sqlite_read_record(sqlite3_stmt *statement, const struct record *record, struct arena *arena,
                                     struct fault *fault, void *out);
/* The statement's rows, at most max of them, for which items has room. */
MUST_USE enum err sqlite_read_records(struct sqlite_db *db, sqlite3_stmt *statement, const struct record *record,
                                      uint32_t max, struct arena *arena, struct fault *fault, void *items,
                                      uint32_t *out_count);
/* The row that this query finds for ?1. NOT_FOUND (the fault is left alone). */
MUST_USE enum err sqlite_find_record(struct sqlite_db *db, const char *sql, struct text id, const struct record *record,
                                     struct arena *arena, struct fault *fault, void *out);
/* Runs a change with the record's fields as parameters, and one with numbers as ?1, ?2 ... */
MUST_USE enum err sqlite_run_record(struct sqlite_db *db, const char *sql, const struct record *record, const void *in,
                                    struct fault *fault);
MUST_USE enum err sqlite_run_numbers(struct sqlite_db *db, const char *sql, const int64_t *numbers, int count,
                                     struct fault *fault);
/* The numbers of a query that always has a row; INTERNAL if it has none. */
MUST_USE enum err sqlite_read_numbers(struct sqlite_db *db, const char *sql, int count, struct fault *fault,
                                      int64_t *out);

#endif
