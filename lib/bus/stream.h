/* Where a receiver stands in the event stream: which events are new to it, and whether some before were missed. Pure.
 * seq numbers the whole log, so a receiver of some topics sees holes in it; tseq numbers one topic's events, and holes
 * in that are losses. They are seen only when that topic's next event comes: others may be handed on before. A receiver
 * of everything (whole) goes by seq, and sees a loss at whatever comes next. */
#ifndef ZMART_BUS_STREAM_H
#define ZMART_BUS_STREAM_H

#include "proto/event.h"

#define STREAM_BEACON_TOPIC "_head."

enum { STREAM_MAX_TOPICS = 64 };

struct stream_topic {
    char name[EVENT_TOPIC_SIZE];
    int64_t tseq; /* of the newest event handed on, or known to be before the first one */
};

struct stream {
    int64_t epoch;      /* 0: nothing received yet */
    int64_t seq;        /* of the newest event handed on */
    int64_t newest_seq; /* seen in an event or a beacon */
    bool whole;         /* set by the receiver: it gets every event there is */
    bool heard;         /* a beacon of this epoch: topics that it did not tell of had no event */
    bool restored;      /* the epoch has changed, and nothing of the new one was handed on */
    struct stream_topic topics[STREAM_MAX_TOPICS];
    int topic_count;
};

/* True if the event is to be handed on. *out_gap: events of its topic (whole: any; or of the epoch before) were missed.
 */
MUST_USE bool stream_event(struct stream *stream, struct text topic, const struct event_meta *meta, bool *out_gap);
/* Learns where topics stand that no event has come of. A beacon follows the events that it tells of: true if a receiver
 * of everything has missed some of them, which is told once. */
bool stream_beacon(struct stream *stream, const struct stream_head *head);

#endif
