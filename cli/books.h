/* After a restore: orders and holds say the same again. The order is the only arbiter, as everywhere: its holds are
 * made what it says, and the pieces come back to the stock or go from it. */
#ifndef ZMART_CLI_BOOKS_H
#define ZMART_CLI_BOOKS_H

#include "cli/archive_parts.h"

/* What settling changed. */
struct books {
    int64_t begun_ms; /* set before: when the backup began */
    int64_t holds_confirmed, holds_released, holds_committed;
    int64_t holds_made;      /* placed orders had none */
    int64_t orders_voided;   /* ids with holds and no order */
    int64_t orders_asked;    /* did not fit what the file says of their holds, so the store was asked */
    int64_t orders_settled;  /* product-svc had not been told something about them */
    int64_t pieces_returned, pieces_taken;
    int64_t pieces_short;    /* an order has them, and the stock had not */
};

/* One row of the section order.orders. */
MUST_USE enum err books_order(struct archive *archive, const struct archive_row *row, int64_t now_ms,
                              struct books *books, struct fault *fault);
/* One row of the section product.holds, after all orders. */
MUST_USE enum err books_hold(struct archive *archive, const struct archive_row *row, int64_t now_ms,
                             struct books *books, struct fault *fault);

/* One row of the section product.pending, before them: on MongoDB a product says what its holds' documents may not say
 * yet. *out_changed: the store has now another hold than the file's section product.holds says. */
MUST_USE enum err books_pending(struct archive *archive, const struct archive_row *row, int64_t now_ms,
                                struct fault *fault, bool *out_changed);

/* Pure: what a hold of an order is to be. */
enum books_hold_is { BOOKS_AS_IT_IS, BOOKS_CONFIRMED, BOOKS_RELEASED, BOOKS_COMMITTED };
enum books_hold_is books_hold_wanted(int order_status);
/* Pure: whether the backup may lack the hold of an order that was placed then, and the stock has its pieces gone all
 * the same. Ended holds are forgotten after a while; of a newer order the hold was not there yet when its product was
 * read. */
bool books_may_lack(enum books_hold_is wanted, int64_t placed_ms, int64_t begun_ms);

#endif
