/* Product events. An event's id follows from its cause, so that a repeat of the same cause is the same event: the
 * product and its version for what an edit did, the product and the count of its stock's changes for the rest. */
#ifndef ZMART_PRODUCT_NEWS_H
#define ZMART_PRODUCT_NEWS_H

#include "product-svc/store.h"

/* The event of an edit, with the product as it is after it. */
void product_news_make(const struct product_act *act, enum event_type type, const struct product *product,
                       struct event_new *out);
/* STOCK_CHANGED, LOW_STOCK or BACK_IN_STOCK; change_count counts this change too. Of product only what a product_event
 * shows is used. */
void stock_news_make(const struct product_act *act, enum event_type type, const struct product *product,
                     int64_t change_count, struct event_new *out);
/* The event of a change of the stock that is more than a change; false if it is none. */
bool stock_news_due(const struct product_act *act, int64_t before, int64_t after, enum event_type *out);

#endif
