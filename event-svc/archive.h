/* What of event-svc's store a backup holds. */
#ifndef ZMART_EVENT_ARCHIVE_H
#define ZMART_EVENT_ARCHIVE_H

#include "lib/store/archive.h"

extern const struct archive_part event_archive;

/* The restored log goes on as another one: with a new epoch, and an entry "shop.restored" at a seq that nobody has
 * seen, which counts as published. */
enum { EVENT_RESTORE_GAP = 1000000 };
#define EVENT_RESTORED_TYPE "shop.restored"
struct event_restart {
    int64_t last_seq;  /* of the entries put */
    int64_t last_tseq; /* of those of EVENT_RESTORED_TYPE */
    int64_t now_ms;
};
MUST_USE enum err event_archive_restart(struct archive *archive, const struct event_restart *restart,
                                        struct fault *fault);

#endif
