/* Messages of libzmq as parcels and back: bodies are moved, or shared by libzmq's own counting, never copied. */
#ifndef ZMART_BROKER_PACKET_H
#define ZMART_BROKER_PACKET_H

#include <zmq.h>

#include "broker/sends.h"

struct packet;

/* Packets that are free to be used again; must outlive all of its packets. */
struct packets {
    struct packet *free_list;
    uint32_t free_count;
};

void packets_release(struct packets *self);
/* Receives the frames that follow the one just received; NULL if there are none. */
struct parcel *packet_receive(struct packets *self, void *socket);
/* Sends routing id, head and parts. 0, or errno: EAGAIN and EHOSTUNREACH have sent nothing and leave send as it is;
 * after a success its parcel is dropped. */
int packet_send(void *socket, struct send *send);

#endif
