/* What a loop of mail-svc works with, and how mails go: the log's pages become mails to be sent in one unit of work
 * with the position; what is due is claimed (becomes due again later, in case we die), then user-svc is asked for
 * the address, the mail is written and carried away on a pool's thread, and what came of it is stored. */
#ifndef ZMART_MAIL_DESK_H
#define ZMART_MAIL_DESK_H

#include "lib/bus/log_reader.h"
#include "mail-svc/program.h"
#include "mail-svc/slots.h"
#include "mail-svc/store.h"

struct mail_desk {
    const struct mail_settings *settings; /* borrowed */
    struct mail_store *store;             /* owned */
    /* of loop 0; NULL on others */
    struct log_reader *reader;
    struct work_pool *pool;
    struct mail_slot slots[MAIL_AT_ONCE_MAX];
    int64_t second_ms;     /* when the present second of --mail-per-second began */
    int64_t second_count;  /* mails begun in it */
    struct metric *sent, *again, *given_up;
};

/* For struct log_reader_settings. */
enum err mail_log_position(struct call *call, int64_t *out);
enum err mail_log_take(struct call *call, const struct log_page *page);
/* Claims what is due. A timer's. */
enum err mails_claim(struct call *call, void *argument);
/* Begins what was claimed; from service.committed. */
void mails_begin(struct service_loop *loop, struct mail_desk *desk);
/* Forgets what is old. A timer's. */
enum err mails_purge(struct call *call, void *argument);

#endif
