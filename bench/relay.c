/* A way that takes its time: bytes between a client and a server arrive so much later, in each direction.
 *
 *     relay carry TARGET DELAY_US             prints its port, then carries until it is killed
 *     relay echo                              prints its port, then sends back what comes
 *     relay knock PORT CONNECTIONS SECONDS    prints how often 1 KiB went there and came back in a second, all together
 *
 * Ports of the loopback interface. One thread carries: what it can carry is measured with echo and knock. */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>
#include <utlist.h>

#include "lib/base/clock.h"
#include "lib/base/invariant.h"
#include "lib/base/mem.h"

enum { CHUNK_MAX_SIZE = 65536, KNOCK_SIZE = 1024, KNOCKERS_MAX = 256, EVENTS_MAX = 64, BACKLOG = 512, SECOND_US = 1000000 };

/* One side of a connection; never freed: there are some hundreds. */
struct side {
    int fd;
    bool ended;
    struct side *other; /* NULL: it echoes */
};

struct chunk {
    int64_t due_us;
    struct side *to;
    size_t size; /* 0: the end */
    struct chunk *prev, *next;
    char data[];
};

struct relay {
    int epoll, listener, target; /* a port, or 0: echo */
    int64_t delay_us;
    struct chunk *chunks; /* all have the same delay, so they are due in the order in which they came */
};

/* ---- sockets ---- */

static struct sockaddr_in loopback(int port)
{
    return (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static int port_open(void)
{
    struct sockaddr_in address = loopback(0);
    socklen_t size = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ASSERT(listener >= 0 && bind(listener, (struct sockaddr *)&address, sizeof address) == 0);
    ASSERT(listen(listener, BACKLOG) == 0 && getsockname(listener, (struct sockaddr *)&address, &size) == 0);
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    return listener;
}

static int port_reach(int port)
{
    struct sockaddr_in address = loopback(port);
    int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ASSERT(fd >= 0);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) != 0) {
        close(fd);
        return -1;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return fd;
}

static bool all_sent(int fd, const char *data, size_t size)
{
    while (size > 0) {
        ssize_t sent = send(fd, data, size, MSG_NOSIGNAL);
        if (sent <= 0) {
            return false;
        }
        data += sent;
        size -= (size_t)sent;
    }
    return true;
}

/* ---- carrying ---- */

static struct side *side_add(struct relay *relay, int fd)
{
    struct side *side = mem_alloc(sizeof *side);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = side};
    *side = (struct side){.fd = fd};
    ASSERT(epoll_ctl(relay->epoll, EPOLL_CTL_ADD, fd, &event) == 0);
    return side;
}

static void connection_take(struct relay *relay)
{
    int on = 1, fd = accept4(relay->listener, NULL, NULL, SOCK_CLOEXEC);
    int to = fd >= 0 && relay->target ? port_reach(relay->target) : -1;
    if (fd < 0 || (relay->target && to < 0)) {
        close(fd);
        return;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    struct side *side = side_add(relay, fd);
    if (relay->target) {
        side->other = side_add(relay, to);
        side->other->other = side;
    }
}

static void side_end(struct side *side)
{
    if (!side->ended) {
        side->ended = true;
        close(side->fd);
    }
}

static void side_read(struct relay *relay, struct side *side)
{
    char data[CHUNK_MAX_SIZE];
    ssize_t size = side->ended ? 0 : recv(side->fd, data, sizeof data, MSG_DONTWAIT);
    if (side->ended || (size < 0 && (errno == EAGAIN || errno == EINTR))) {
        return;
    }
    struct chunk *chunk = mem_alloc(sizeof *chunk + (size > 0 ? (size_t)size : 0));
    chunk->due_us = clock_now_us() + relay->delay_us;
    chunk->to = side->other ? side->other : side;
    chunk->size = size > 0 ? (size_t)size : 0;
    memcpy(chunk->data, data, chunk->size);
    DL_APPEND(relay->chunks, chunk);
    if (chunk->size == 0) {
        epoll_ctl(relay->epoll, EPOLL_CTL_DEL, side->fd, NULL);
        side_end(side);
    }
}

/* A receiver that does not read holds up all: drivers and servers do read. */
static void due_deliver(struct relay *relay)
{
    int64_t now_us = clock_now_us();
    while (relay->chunks && relay->chunks->due_us <= now_us) {
        struct chunk *chunk = relay->chunks;
        DL_DELETE(relay->chunks, chunk);
        if (chunk->size == 0 || (!chunk->to->ended && !all_sent(chunk->to->fd, chunk->data, chunk->size))) {
            side_end(chunk->to);
        }
        mem_free(chunk);
    }
}

static void relay_run(struct relay *relay)
{
    struct epoll_event events[EVENTS_MAX], first = {.events = EPOLLIN};
    relay->epoll = epoll_create1(EPOLL_CLOEXEC);
    relay->listener = port_open();
    ASSERT(epoll_ctl(relay->epoll, EPOLL_CTL_ADD, relay->listener, &first) == 0);
    for (;;) {
        int64_t left_us = relay->chunks ? relay->chunks->due_us - clock_now_us() : 0;
        left_us = left_us > 0 ? left_us : 0;
        struct timespec wait = {left_us / SECOND_US, left_us % SECOND_US * 1000};
        int count = epoll_pwait2(relay->epoll, events, EVENTS_MAX, relay->chunks ? &wait : NULL, NULL);
        for (int i = 0; i < count; i++) {
            if (events[i].data.ptr) {
                side_read(relay, events[i].data.ptr);
            } else {
                connection_take(relay);
            }
        }
        due_deliver(relay);
    }
}

/* ---- its ceiling ---- */

static void knock(int port, int count, int64_t seconds)
{
    struct pollfd doors[KNOCKERS_MAX];
    size_t back[KNOCKERS_MAX] = {0}, done = 0;
    static const char data[KNOCK_SIZE];
    char room[KNOCK_SIZE];
    ASSERT(count <= KNOCKERS_MAX);
    for (int i = 0; i < count; i++) {
        doors[i] = (struct pollfd){.fd = port_reach(port), .events = POLLIN};
        ASSERT(doors[i].fd >= 0 && all_sent(doors[i].fd, data, sizeof data));
    }
    int64_t begin_us = clock_now_us(), end_us = begin_us + seconds * SECOND_US;
    while (clock_now_us() < end_us) {
        poll(doors, (nfds_t)count, 100);
        for (int i = 0; i < count; i++) {
            ssize_t size = doors[i].revents ? recv(doors[i].fd, room, sizeof room - back[i], 0) : 0;
            ASSERT(size >= 0);
            back[i] += (size_t)size;
            if (back[i] == sizeof room) {
                back[i] = 0;
                done++;
                ASSERT(all_sent(doors[i].fd, data, sizeof data));
            }
        }
    }
    printf("%.0f\n", (double)done * SECOND_US / (double)(clock_now_us() - begin_us));
}

int main(int argc, char **argv)
{
    if (argc == 5 && strcmp(argv[1], "knock") == 0) {
        knock(atoi(argv[2]), atoi(argv[3]), atoi(argv[4]));
        return 0;
    }
    struct relay relay = {0};
    if (argc == 4 && strcmp(argv[1], "carry") == 0) {
        relay.target = atoi(argv[2]);
        relay.delay_us = atoll(argv[3]);
    } else if (argc != 2 || strcmp(argv[1], "echo") != 0) {
        fprintf(stderr, "usage: relay carry TARGET DELAY_US | echo | knock PORT CONNECTIONS SECONDS\n");
        return 2;
    }
    relay_run(&relay);
}
