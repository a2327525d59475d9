/* How much SQLite does, counted and not timed: the instructions that the statements of a handle have run. What looks
 * into an index counts the same however long the table is; what walks over rows counts each. */
#ifndef ZMART_TESTS_CONTRACT_SQLITE_WORK_H
#define ZMART_TESTS_CONTRACT_SQLITE_WORK_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/store/sqlite.h"

static inline sqlite3 *work_handle(struct sqlite_db *db)
{
    struct fault fault;
    fault_init(&fault, NULL);
    sqlite3_stmt *any = sqlite_prepare(db, "SELECT 1", &fault);
    assert_non_null(any);
    return sqlite3_db_handle(any);
}

/* Since it was asked last. */
static inline int64_t work_done(struct sqlite_db *db)
{
    int64_t steps = 0;
    for (sqlite3_stmt *at = sqlite3_next_stmt(work_handle(db), NULL); at; at = sqlite3_next_stmt(work_handle(db), at)) {
        steps += sqlite3_stmt_status(at, SQLITE_STMTSTATUS_VM_STEP, 1);
    }
    return steps;
}

static inline void work_execute(struct sqlite_db *db, const char *sql)
{
    char *message = NULL;
    if (sqlite3_exec(work_handle(db), sql, NULL, NULL, &message) != SQLITE_OK) {
        fail_msg("%s: %s", sql, message);
    }
}

/* WORK_MANY rows n = 1 ... */
#define WORK_MANY "3000"
#define WORK_NUMBERS "WITH RECURSIVE many(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM many WHERE n < " WORK_MANY ") "

#endif
