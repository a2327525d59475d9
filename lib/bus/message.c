#include "lib/bus/message.h"

#include "lib/base/clock.h"
#include "lib/base/invariant.h"
#include "lib/bus/handover.h"

static struct text frame_text(const zmq_msg_t *frame)
{
    /* libzmq's readers take a pointer that is not const, and change nothing */
    zmq_msg_t *readable = (zmq_msg_t *)(uintptr_t)frame;
    return (struct text){zmq_msg_data(readable), (uint32_t)zmq_msg_size(readable)};
}

static void frame_fill(zmq_msg_t *frame, struct text bytes)
{
    ASSERT(zmq_msg_init_size(frame, bytes.size) == 0);
    if (bytes.size) {
        memcpy(zmq_msg_data(frame), bytes.data, bytes.size);
    }
}

/* Reads the rest of a message whose last frame said that more follow. */
static void rest_drop(void *socket)
{
    zmq_msg_t frame;
    bool more = true;
    while (more) {
        zmq_msg_init(&frame);
        more = zmq_msg_recv(&frame, socket, ZMQ_DONTWAIT) >= 0 && zmq_msg_more(&frame);
        zmq_msg_close(&frame);
    }
}

static bool head_receive(void *socket, struct frame_head *out, bool *out_good, bool *out_more)
{
    zmq_msg_t frame;
    zmq_msg_init(&frame);
    bool received = zmq_msg_recv(&frame, socket, ZMQ_DONTWAIT) >= 0;
    handover_take();
    if (received) {
        *out_good = frame_head_read(frame_text(&frame), out);
        *out_more = zmq_msg_more(&frame);
    }
    zmq_msg_close(&frame);
    return received;
}

enum message_result message_receive(void *socket, struct message *out)
{
    struct frame_head head;
    bool good, more;
    if (!head_receive(socket, &head, &good, &more)) {
        return MESSAGE_NONE;
    }
    out->part_count = 0;
    while (good && more) {
        if (out->part_count == MESSAGE_MAX_PARTS) {
            good = false;
            break;
        }
        zmq_msg_t *part = &out->parts[out->part_count++];
        zmq_msg_init(part);
        good = zmq_msg_recv(part, socket, ZMQ_DONTWAIT) >= 0;
        more = good && zmq_msg_more(part);
    }
    handover_take();
    if (!good) {
        if (more) {
            rest_drop(socket);
        }
        message_release(out);
        return MESSAGE_BAD;
    }
    out->head = head;
    return MESSAGE_GOOD;
}

static bool frame_send(void *socket, zmq_msg_t *frame, bool more)
{
    bool sent = zmq_msg_send(frame, socket, ZMQ_DONTWAIT | (more ? ZMQ_SNDMORE : 0)) >= 0;
    zmq_msg_close(frame);
    return sent;
}

static bool head_send(void *socket, const struct frame_head *head, bool more)
{
    zmq_msg_t frame;
    ASSERT(zmq_msg_init_size(&frame, FRAME_HEAD_SIZE) == 0);
    struct frame_head stamped = *head;
    stamped.t_send_us = clock_now_us();
    frame_head_write(&stamped, zmq_msg_data(&frame));
    handover_give();
    return frame_send(socket, &frame, more);
}

bool message_send(void *socket, struct message *message)
{
    int count = message->part_count;
    if (!head_send(socket, &message->head, count > 0)) {
        return false;
    }
    /* A connection that ends between two frames swallows the frames up to the last one: they must all be sent. */
    for (int i = 0; i < count; i++) {
        (void)frame_send(socket, &message->parts[i], i + 1 < count);
    }
    message->part_count = 0;
    return true;
}

bool message_send_again(void *socket, const struct message *message)
{
    struct message copy = {.head = message->head, .part_count = message->part_count};
    for (int i = 0; i < message->part_count; i++) {
        zmq_msg_init(&copy.parts[i]);
        ASSERT(zmq_msg_copy(&copy.parts[i], (zmq_msg_t *)(uintptr_t)&message->parts[i]) == 0);
    }
    bool sent = message_send(socket, &copy);
    message_release(&copy);
    return sent;
}

void message_add(struct message *message, struct text bytes)
{
    ASSERT(message->part_count < MESSAGE_MAX_PARTS);
    frame_fill(&message->parts[message->part_count++], bytes);
}

struct text message_part(const struct message *message, int index)
{
    return index < message->part_count ? frame_text(&message->parts[index]) : (struct text){0};
}

void message_move(struct message *to, struct message *from)
{
    to->head = from->head;
    to->part_count = from->part_count;
    for (int i = 0; i < from->part_count; i++) {
        zmq_msg_init(&to->parts[i]);
        ASSERT(zmq_msg_move(&to->parts[i], &from->parts[i]) == 0);
        zmq_msg_close(&from->parts[i]);
    }
    from->part_count = 0;
}

void message_release(struct message *message)
{
    for (int i = 0; i < message->part_count; i++) {
        zmq_msg_close(&message->parts[i]);
    }
    message->part_count = 0;
}
