/* One message of BUS/1 on a DEALER: the head, decoded, and the frames behind it. Frames are moved, never copied. */
#ifndef ZMART_BUS_MESSAGE_H
#define ZMART_BUS_MESSAGE_H

#include <zmq.h>

#include "lib/base/text.h"
#include "proto/frame.h"

enum { MESSAGE_MAX_PARTS = 3 };

/* Owns its parts. A small part's bytes lie inside the struct: what points to them is good only while it stays put. */
struct message {
    struct frame_head head;
    int part_count;
    zmq_msg_t parts[MESSAGE_MAX_PARTS];
};

enum message_result { MESSAGE_NONE, MESSAGE_GOOD, MESSAGE_BAD };

/* Never blocks. BAD: something arrived that is no frame of ours; it has been dropped. *out is written on GOOD only. */
enum message_result message_receive(void *socket, struct message *out);
/* Sends a copy of the head, with the time, and moves the parts; never blocks. False: nothing was sent, and message is
 * as it was. True promises nothing either: a connection may end with the message in it. */
MUST_USE bool message_send(void *socket, struct message *message);
/* As message_send, but sends further references to the parts, so that message can be sent again. */
MUST_USE bool message_send_again(void *socket, const struct message *message);
/* Adds a part with a copy of the bytes. */
void message_add(struct message *message, struct text bytes);
/* The bytes of part index; empty if there is none. */
struct text message_part(const struct message *message, int index);
/* Moves everything; *from is empty afterwards, *to was empty before. */
void message_move(struct message *to, struct message *from);
/* Frees the parts; may be called again. */
void message_release(struct message *message);

#endif
