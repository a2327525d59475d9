/* mmi.dlq: dead letters listed, dropped and sent again, those in this broker's memory and those in the store alike. */
#ifndef ZMART_BROKER_DLQ_H
#define ZMART_BROKER_DLQ_H

#include "broker/state.h"

/* Answers at once or when the keeper has answered, at the latest a little before the deadline. */
void dlq_answer(struct broker *self, const struct caller *caller, const struct mmi_dlq *in, int64_t deadline_us);

#endif
