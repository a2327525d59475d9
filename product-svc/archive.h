/* What of product-svc's store a backup holds. */
#ifndef ZMART_PRODUCT_ARCHIVE_H
#define ZMART_PRODUCT_ARCHIVE_H

#include "lib/store/archive.h"

extern const struct archive_part product_archive;

/* A hold as it is stored. */
struct archived_hold {
    bool found;
    int64_t quantity;
    int64_t state; /* enum hold_state */
    struct text fingerprint; /* in the arena */
};
/* found is false if there is none. */
MUST_USE enum err product_archive_hold(struct archive *archive, struct text order_id, struct text product_id,
                                       struct arena *arena, struct fault *fault, struct archived_hold *out);
/* Puts the hold in its place, new or changed, and adds pieces to the product's stock (negative: takes them, as far as
 * there are any). *out_short: how many were not there. */
struct hold_change {
    struct text order_id, product_id;
    struct archived_hold hold;
    int64_t stock_delta;
    int64_t now_ms;
};
MUST_USE enum err product_archive_change(struct archive *archive, const struct hold_change *change, struct fault *fault,
                                         int64_t *out_short);

#endif
