/* What an answer means to whoever asked. */
#ifndef ZMART_BUS_REPLY_H
#define ZMART_BUS_REPLY_H

#include "lib/bus/message.h"
#include "proto/fault.h"

/* NONE for a reply that carries a record; else the problem inside goes to fault and its code is returned. */
MUST_USE enum err reply_error(const struct message *reply, struct arena *arena, struct fault *fault);
/* Words for a call that ended without a reply; returns status. */
enum err reply_missing(enum err status, struct fault *fault);
/* Reads a reply's record. A body that is none is a defect of the other side: INTERNAL, with the cause. */
MUST_USE enum err reply_unpack(const struct record *record, struct text body, struct arena *arena,
                               struct fault *fault, void *out);

#endif
