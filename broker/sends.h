/* What the core wants sent, in order: the caller takes it from the list and clears it. */
#ifndef ZMART_BROKER_SENDS_H
#define ZMART_BROKER_SENDS_H

#include "broker/parcel.h"
#include "proto/frame.h"

enum plane { PLANE_CLIENTS, PLANE_WORKERS, PLANE_COUNT };
enum { ROUTING_ID_MAX_SIZE = 255 };

struct send {
    struct parcel *parcel; /* owned; NULL: the head goes alone */
    uint8_t head[FRAME_HEAD_SIZE];
    enum plane plane;
    uint8_t to_size;
    uint8_t to[ROUTING_ID_MAX_SIZE]; /* last: only to_size bytes of it are ever touched */
};

struct sends {
    struct send *list; /* moves when something is added */
    size_t count, capacity;
};

/* Takes parcel (may be NULL). */
void sends_add(struct sends *self, enum plane plane, struct text to, const struct frame_head *head,
               struct parcel *parcel);
/* Moves one send into another place. */
void send_move(struct send *to, struct send *from);
/* Bytes of its parcel. */
size_t send_size(const struct send *send);
/* Drops what has not been taken. */
void sends_clear(struct sends *self);
void sends_release(struct sends *self);

#endif
