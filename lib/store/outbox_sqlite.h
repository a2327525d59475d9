/* The outbox of a SQLite file: one table, written in the transaction of the cause. A service adds OUTBOX_SQL to its
 * migrations. */
#ifndef ZMART_STORE_OUTBOX_SQLITE_H
#define ZMART_STORE_OUTBOX_SQLITE_H

#include "lib/store/outbox.h"
#include "lib/store/sqlite.h"

#define OUTBOX_SQL "CREATE TABLE outbox(position INTEGER PRIMARY KEY AUTOINCREMENT, event BLOB NOT NULL) STRICT;"

/* The handle is borrowed. */
struct outbox_source *outbox_sqlite_new(struct sqlite_db *db);
/* Stores an event with the running transaction; NULL: there is none. self is of outbox_sqlite_new. */
MUST_USE enum err outbox_sqlite_add(struct outbox_source *self, const struct event_new *event, struct arena *arena,
                                    struct fault *fault);

#endif
