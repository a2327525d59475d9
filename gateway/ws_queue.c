#include "gateway/ws_queue.h"

#include <errno.h>
#include <sys/socket.h>

#include "lib/base/mem.h"

struct ws_queued {
    struct ws_queued *next;
    struct ws_message *message;
};

void ws_queue_add(struct ws_queue *self, struct ws_message *message)
{
    struct ws_queued *queued = mem_alloc(sizeof(*queued));
    queued->message = message;
    if (self->last) {
        self->last->next = queued;
    } else {
        self->first = queued;
    }
    self->last = queued;
    if (message->event) {
        self->event_count++;
        self->event_size += message->size;
    } else {
        self->control_count++;
    }
}

const struct ws_message *ws_queue_first(const struct ws_queue *self)
{
    return self->first ? self->first->message : NULL;
}

static void first_drop(struct ws_queue *self)
{
    struct ws_queued *first = self->first;
    self->first = first->next;
    if (!self->first) {
        self->last = NULL;
    }
    self->sent_size = 0;
    if (first->message->event) {
        self->event_count--;
        self->event_size -= first->message->size;
    } else {
        self->control_count--;
    }
    ws_message_drop(&first->message);
    mem_free(first);
}

void ws_queue_clear(struct ws_queue *self, bool keep_started)
{
    struct ws_queue rest = *self;
    struct ws_message *kept = keep_started && self->sent_size > 0 ? ws_message_keep(self->first->message) : NULL;
    while (rest.first) {
        first_drop(&rest);
    }
    *self = (struct ws_queue){.bare = rest.bare, .last_seq = rest.last_seq, .sent_size = kept ? self->sent_size : 0};
    if (kept) {
        ws_queue_add(self, kept);
    }
}

bool ws_queue_send(struct ws_queue *self, int fd)
{
    while (self->first) {
        const struct ws_message *message = self->first->message;
        uint32_t skipped = self->bare ? message->lead_size : 0;
        uint32_t size = message->size - skipped - (self->bare ? message->tail_size : 0);
        ssize_t sent =
            send(fd, message->bytes + skipped + self->sent_size, size - self->sent_size, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR) {
            continue;
        }
        if (sent < 0) {
            return errno == EAGAIN || errno == EWOULDBLOCK;
        }
        if (message->event && sent > 0) {
            self->last_seq = message->seq;
        }
        self->sent_size += (uint32_t)sent;
        if (self->sent_size == size) {
            first_drop(self);
        }
    }
    return true;
}
