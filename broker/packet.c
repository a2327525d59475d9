#include "broker/packet.h"

#include "lib/base/invariant.h"
#include "lib/base/mem.h"
#include "lib/bus/handover.h"

enum { FREE_PACKETS_MAX = 8192 };

struct packet {
    struct parcel parcel; /* first: a parcel of ours is a packet */
    zmq_msg_t messages[PARCEL_MAX_PARTS];
    int message_count;
    struct packets *owner;
    struct packet *next;
};

void packets_release(struct packets *self)
{
    while (self->free_list) {
        struct packet *packet = self->free_list;
        self->free_list = packet->next;
        mem_free(packet);
    }
    self->free_count = 0;
}

static void packet_release(struct parcel *parcel)
{
    struct packet *packet = (struct packet *)parcel;
    struct packets *owner = packet->owner;
    for (int i = 0; i < packet->message_count; i++) {
        zmq_msg_close(&packet->messages[i]);
    }
    if (owner->free_count == FREE_PACKETS_MAX) {
        mem_free(packet);
        return;
    }
    packet->next = owner->free_list;
    owner->free_list = packet;
    owner->free_count++;
}

static struct packet *packet_take(struct packets *self)
{
    struct packet *packet = self->free_list;
    if (packet) {
        self->free_list = packet->next;
        self->free_count--;
    } else {
        packet = mem_alloc(sizeof *packet);
    }
    parcel_init(&packet->parcel, packet_release);
    packet->message_count = 0;
    packet->owner = self;
    return packet;
}

static bool receive_more(void *socket)
{
    int more = 0;
    size_t size = sizeof more;
    return zmq_getsockopt(socket, ZMQ_RCVMORE, &more, &size) == 0 && more;
}

/* Frames that no message of ours has: read so that the next message is whole, and forgotten. */
static void rest_skip(void *socket)
{
    zmq_msg_t message;
    bool more = true;
    while (more) {
        zmq_msg_init(&message);
        more = zmq_msg_recv(&message, socket, ZMQ_DONTWAIT) >= 0 && zmq_msg_more(&message);
        zmq_msg_close(&message);
    }
}

static bool part_receive(struct packet *packet, void *socket)
{
    struct parcel *parcel = &packet->parcel;
    zmq_msg_t *message = &packet->messages[packet->message_count];
    zmq_msg_init(message);
    packet->message_count++;
    if (zmq_msg_recv(message, socket, ZMQ_DONTWAIT) < 0) {
        return false;
    }
    size_t size = zmq_msg_size(message);
    if (size > UINT32_MAX / 2) { /* only a thread of this process could send it */
        parcel->part_count = PARCEL_MAX_PARTS + 1;
    } else if (parcel->part_count <= PARCEL_MAX_PARTS) {
        parcel->parts[parcel->part_count++] = (struct text){zmq_msg_data(message), (uint32_t)size};
        parcel->size += size;
    }
    return zmq_msg_more(message);
}

struct parcel *packet_receive(struct packets *self, void *socket)
{
    handover_take(); /* of the frames before these, too: all were made before the first was sent */
    if (!receive_more(socket)) {
        return NULL;
    }
    struct packet *packet = packet_take(self);
    bool more = true;
    while (more && packet->message_count < PARCEL_MAX_PARTS) {
        more = part_receive(packet, socket);
    }
    if (more) {
        rest_skip(socket);
        packet->parcel.part_count = PARCEL_MAX_PARTS + 1;
    }
    return &packet->parcel;
}

static int part_send(void *socket, struct parcel *parcel, int at, int flags)
{
    if (parcel_is_own(parcel)) {
        return zmq_send(socket, parcel->parts[at].data, parcel->parts[at].size, flags);
    }
    struct packet *packet = (struct packet *)parcel;
    if (parcel->reference_count == 1) {
        return zmq_msg_send(&packet->messages[at], socket, flags);
    }
    zmq_msg_t shared;
    zmq_msg_init(&shared);
    int sent = zmq_msg_copy(&shared, &packet->messages[at]);
    sent = sent == 0 ? zmq_msg_send(&shared, socket, flags) : sent;
    if (sent < 0) {
        zmq_msg_close(&shared);
    }
    return sent;
}

int packet_send(void *socket, struct send *send)
{
    int part_count = send->parcel ? send->parcel->part_count : 0;
    handover_give();
    if (zmq_send(socket, send->to, send->to_size, ZMQ_SNDMORE | ZMQ_DONTWAIT) < 0) {
        return zmq_errno();
    }
    /* once it has taken the routing id, a ROUTER takes the rest, or drops all of it when the peer dies in between */
    bool sent = zmq_send(socket, send->head, sizeof send->head, ZMQ_DONTWAIT | (part_count ? ZMQ_SNDMORE : 0)) >= 0;
    for (int i = 0; sent && i < part_count; i++) {
        sent = part_send(socket, send->parcel, i, ZMQ_DONTWAIT | (i + 1 < part_count ? ZMQ_SNDMORE : 0)) >= 0;
    }
    parcel_drop(&send->parcel);
    return sent ? 0 : zmq_errno();
}
