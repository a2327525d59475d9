/* What a loop of webhook-svc works with, and how deliveries go: the log's pages become deliveries in one unit of
 * work with the position; what is due is claimed (becomes due again later, in case we die), and posted after that
 * commit; what came of it is stored when the poster gives it back. */
#ifndef ZMART_WEBHOOK_DESK_H
#define ZMART_WEBHOOK_DESK_H

#include "lib/bus/log_reader.h"
#include "webhook-svc/poster.h"
#include "webhook-svc/program.h"
#include "webhook-svc/store.h"

struct webhook_desk {
    const struct webhook_settings *settings; /* borrowed */
    struct webhook_store *store;             /* owned */
    /* of loop 0; NULL on others */
    struct log_reader *reader;
    struct poster *poster;
    uint32_t posts_max; /* claimed and going, together */
    struct post
        *claimed; /* to be posted after the next commit: also if the one that claimed them failed, which is no harm */
    struct post *going;   /* given to the poster */
    struct metric *delivered, *missed, *given_up;
};

extern const struct op_handler *const webhook_handlers; /* handlers.c */
extern const size_t webhook_handler_count;

/* For struct log_reader_settings. */
enum err webhook_log_position(struct call *call, int64_t *out);
enum err webhook_log_take(struct call *call, const struct log_page *page);
/* An unwritten delivery of an event to a webhook, due at now; its texts are shared or in the arena. */
void delivery_make(const struct webhook_kept *webhook, struct text event_id, struct text type, int64_t now_ms,
                   struct arena *arena, struct delivery_kept *out);
/* Stores what came of posts, and claims what is due; on loop 0. For timers and service_start. */
enum err deliveries_work(struct call *call, void *argument);
/* Claims what is due; does nothing on other loops than the first. */
enum err deliveries_claim(struct call *call);
/* Posts what was claimed; from service.committed. */
void deliveries_post(struct webhook_desk *desk);
/* Deletes what is old. A timer's. */
enum err deliveries_purge(struct call *call, void *argument);
void posts_destroy(struct post **list);

#endif
