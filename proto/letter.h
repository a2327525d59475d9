/* Dead letters as a broker hands them to the service that keeps them, and takes them back.
 * A letter is one death of one request: `death` is a number of the broker's choosing that tells this death from another
 * one of the same request id, so that adding and dropping may be repeated and overtake each other without harm. */
#ifndef ZMART_PROTO_LETTER_H
#define ZMART_PROTO_LETTER_H

#include "proto/frame.h"
#include "proto/mmi.h"

#define DEAD_LETTER_FIELDS(F, R)                                                                          \
    F(R, TEXT, request_id, REQ | LINE, 32, 32, none, "hexadecimal")                                      \
    F(R, INT,  death,      REQ, 1, INT64_MAX, none, "which death of this request")                       \
    F(R, TEXT, route,      REQ | LINE, 1, ROUTE_MAX_SIZE, none, "where it was to go")                    \
    F(R, TEXT, reason,     REQ | LINE, 1, 200, none, "why it was given up")                              \
    F(R, INT,  attempts,   REQ, 1, 255, none, "workers that died over it, or lost it")                   \
    F(R, INT,  flags,      REQ, 0, 255, none, "of its frame")                                            \
    F(R, INT,  priority,   REQ, 0, 3, none, "of its frame")                                              \
    F(R, INT,  age_ms,     REQ, 0, INT64_MAX, none, "since it was given up")                             \
    F(R, INT,  bytes,      REQ, 0, INT64_MAX, none, "of route, meta and body that are kept")             \
    F(R, RAW,  meta,       OPT, 1, FRAME_MAX_BODY, none, "a msgpack bin: the frame as it came")          \
    F(R, RAW,  body,       OPT, 1, FRAME_MAX_BODY, none, "the same; absent for requests with SECRET fields and those too large")
RECORD_DECLARE(dead_letter, DEAD_LETTER_FIELDS);

/* To send it again: from now on nobody else gets or sees it, until the lease is over. */
#define LETTER_TAKE_FIELDS(F, R)                                                                          \
    F(R, TEXT, request_id, REQ | LINE, 32, 32, none, "hexadecimal")                                      \
    F(R, TEXT, taker,      REQ | LINE, 32, 32, none, "who asks: the same one may ask again")             \
    F(R, INT,  lease_ms,   REQ, 1, 700000, none, "then it is a dead letter as before, unless dropped")
RECORD_DECLARE(letter_take, LETTER_TAKE_FIELDS);

#define LETTER_DROP_FIELDS(F, R)                                                                          \
    F(R, TEXT, request_id, REQ | LINE, 32, 32, none, "hexadecimal")                                      \
    F(R, INT,  death,      OPT, 1, INT64_MAX, none, "only this death, which may even come later; any if absent")
RECORD_DECLARE(letter_drop, LETTER_DROP_FIELDS);

#endif
