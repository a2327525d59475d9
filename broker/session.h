/* Sessions: HELLO and what follows from it, heartbeats, credit, leaving. */
#ifndef ZMART_BROKER_SESSION_H
#define ZMART_BROKER_SESSION_H

#include "broker/state.h"

/* A HELLO with its body; takes parcel. */
void session_hello(struct broker *self, enum plane plane, struct text from, const struct frame_head *head,
                   struct parcel *parcel);
/* Takes parcel (may be NULL). */
void session_ping(struct broker *self, struct peer *peer, const struct frame_head *head, struct parcel *parcel);
void session_credit(struct broker *self, struct peer *worker, uint32_t credit);
void session_drain(struct peer *peer);
/* Frees the peer. event: for the note; BYE is sent when say_bye. */
void session_end(struct broker *self, struct peer *peer, const char *event, bool say_bye);
/* Ends those that have been silent too long. */
void session_sweep(struct broker *self);
/* A time in which nobody was listening is no silence. */
void session_forgive(struct broker *self, int64_t gap_us);
/* BYE to the sender of a frame without a session. */
void stray_bye(struct broker *self, enum plane plane, struct text from, const struct frame_head *head);
/* One frame without parts to every peer. */
void session_tell_all(struct broker *self, enum frame_type type);

#endif
