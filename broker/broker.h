/* The broker's core: frames and time in, a list of sends out. It owns no socket, reads no clock, decodes no body.
 *
 * Every REQUEST that arrives in a session is accepted, and every accepted one ends in exactly one REPLY or NACK (which
 * is not sent if its client has left or said FRAME_NO_REPLY, but is counted): accepted = replied + nacked + in_flight.
 * proto/README.md says what is answered when. */
#ifndef ZMART_BROKER_BROKER_H
#define ZMART_BROKER_BROKER_H

#include "broker/queue.h"
#include "broker/sends.h"
#include "lib/base/metrics.h"
#include "lib/bus/keys.h"

struct broker;

/* Something that people may want to know: "worker.lost" of an instance, and a few words. */
typedef void broker_note(void *user, const char *event, const char *instance, const char *detail);

struct broker_settings {
    const char *instance;    /* 1 to 60 characters; borrowed for the broker's life */
    struct metrics *metrics; /* borrowed for the broker's life */
    uint32_t first_epoch;    /* of sessions; best unlike that of a broker before; not 0 */
    int64_t heartbeat_ms;
    struct queue_limits queue;    /* of each service */
    uint32_t peers_max;           /* sessions */
    uint32_t requests_max;        /* accepted and not ended, all together */
    uint32_t client_requests_max; /* the same of one client */
    size_t held_size_max;         /* bytes of them */
    int64_t service_wait_ms;      /* a service seen within this time is waited for */
    uint32_t affinity_max;        /* keys remembered; 0: no affinity */
    uint32_t letters_max;
    size_t letters_size_max;
    broker_note *note; /* may be NULL */
    void *note_user;
};

struct broker_counts {
    uint64_t accepted, replied, nacked;
    uint64_t in_flight;   /* accepted and not ended */
    uint64_t redelivered; /* dispatches after the first one */
    uint64_t late;        /* answers of workers to what had ended already */
    uint64_t garbage;     /* frames that are no BUS/1, or of the wrong shape */
    uint64_t stray;       /* frames without a session, or of another one */
};

struct broker *broker_new(const struct broker_settings *settings, int64_t now_us);
void broker_destroy(struct broker **self);

/* One message from the peer with this routing id: its first frame, and the frames behind it (parcel is taken; NULL:
 * none). now_us never goes back. */
void broker_receive(struct broker *self, enum plane plane, struct text from, struct text head, struct parcel *parcel,
                    int64_t now_us);
/* Whose connection everything that is received from now on comes over; NULL: keys are not asked for. Borrowed until it
 * is set again. */
void broker_speaker_set(struct broker *self, const struct key_grant *speaker);
/* Ends the sessions of keys that may not have them any more. */
void broker_grants_changed(struct broker *self, const struct key_grants *grants, int64_t now_us);
/* One of our sends has not left and never will: a request in it was not begun. To be said before broker_peer_gone. */
void broker_unsent(struct broker *self, const struct send *send);
/* A peer that cannot be reached any more: ends its session, if it has one. */
void broker_peer_gone(struct broker *self, enum plane plane, struct text id, int64_t now_us);
/* Deadlines and heartbeats. Returns after how many milliseconds it wants to be called again, at the latest. Time
 * between two calls beyond BROKER_STALL_MS is no silence of the peers': nobody was listening. */
enum { BROKER_STALL_MS = 500 };
int broker_tick(struct broker *self, int64_t now_us);
/* What is to be sent; the caller takes it and calls sends_clear. */
struct sends *broker_sends(struct broker *self);

/* Says DRAIN to all; from now on requests get NACK 503, what was accepted goes on. */
void broker_drain(struct broker *self, int64_t now_us);
/* Ends what has not ended (503 if never begun, else 502) and says BYE to all. */
void broker_stop(struct broker *self, int64_t now_us);
/* Sessions there are now. */
uint32_t broker_sessions(const struct broker *self);
struct broker_counts broker_counts(const struct broker *self);

#endif
