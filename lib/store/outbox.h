/* The outbox: an event is stored in the same transaction as its cause, handed to event-svc after the commit
 * (event.append, repeatable by event id), and deleted when event-svc has it. At most one append is under way.
 *
 * A service adds OUTBOX_SQL to its migrations, calls outbox_add in handlers, and outbox_relay from service.committed
 * (loop 0) and from a timer of about a second, which finds what a crash or a silent event-svc has left. */
#ifndef ZMART_STORE_OUTBOX_H
#define ZMART_STORE_OUTBOX_H

#include "lib/bus/service.h"
#include "lib/store/sqlite.h"
#include "proto/event.h"

#define OUTBOX_SQL "CREATE TABLE outbox(position INTEGER PRIMARY KEY AUTOINCREMENT, event BLOB NOT NULL) STRICT;"

struct outbox; /* of one loop; owned by the service's state */

struct outbox *outbox_new(struct sqlite_db *db);
void outbox_destroy(struct outbox **self);
/* Stores one event with the running transaction. */
MUST_USE enum err outbox_add(struct outbox *self, struct call *call, const struct event_new *event);
/* Starts handing over what waits, unless that is under way. Loop 0 only. */
void outbox_relay(struct service_loop *loop, struct outbox *self);

#endif
