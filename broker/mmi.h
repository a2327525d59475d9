/* What the broker answers itself: mmi.service, mmi.workers, mmi.queues, mmi.metrics, mmi.dlq (proto/mmi.h). */
#ifndef ZMART_BROKER_MMI_H
#define ZMART_BROKER_MMI_H

#include "broker/state.h"

/* Answers at once, but for dlq, which may ask the letters' keeper first. body is borrowed. */
void mmi_answer(struct broker *self, const struct caller *caller, struct text operation, struct text body,
                int64_t deadline_us);

#endif
