/* What clients see of what is kept; texts and lists are shared. */
#ifndef ZMART_WEBHOOK_SHOWN_H
#define ZMART_WEBHOOK_SHOWN_H

#include "webhook-svc/store.h"

void webhook_show(const struct webhook_kept *kept, struct webhook *out);
/* With its secret: for the answers that show it. */
void webhook_open(const struct webhook *shown, struct text secret, struct webhook_opened *out);
void delivery_show(const struct delivery_kept *kept, struct webhook_delivery *out);

#endif
