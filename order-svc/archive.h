/* What of order-svc's store a backup holds. */
#ifndef ZMART_ORDER_ARCHIVE_H
#define ZMART_ORDER_ARCHIVE_H

#include "lib/store/archive.h"

extern const struct archive_part order_archive;

/* Nothing is due any more: what product-svc has not been told was settled by whoever restored. *out: how many orders.
 */
MUST_USE enum err order_archive_settled(struct archive *archive, struct fault *fault, int64_t *out);

#endif
