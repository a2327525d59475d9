/* Many WebSocket clients in one process, as cheap as can be (epoll).
 *
 *     sockets PORT TARGET COUNT STALLED < TOKEN
 *
 * Opens COUNT sockets at 127.0.0.1:PORT, of which STALLED never read again once they are open. Prints "open SECONDS", then a line
 * for each event that all others have got: "event SEQ BYTES FIRST LAST" (microseconds of CLOCK_MONOTONIC), and "closed N" when sockets
 * were ended. Ends with its input. */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { IN_HANDSHAKE = 64, BATCH = 256, ROOM = 2048, EVENTS_MAX = 1 << 16, STALLED_BUFFER = 2048, TOKEN_SIZE = 4096 };

struct client {
    int fd;
    bool open, stalled;
    uint32_t used;
    char *bytes; /* ROOM of them while a frame or a head is incomplete */
};

struct event {
    int64_t seq, first_us, last_us;
    int count, size;
};

struct load {
    struct client *clients;
    int count, stalled_count, begun, open, closed;
    int epoll_fd;
    struct sockaddr_in address;
    char request[TOKEN_SIZE + 1024];
    size_t request_size;
    struct event events[EVENTS_MAX]; /* by seq, modulo */
};

static int64_t now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static void client_begin(struct load *load)
{
    struct client *client = &load->clients[load->begun];
    int size = STALLED_BUFFER;
    client->stalled = load->begun % (load->stalled_count ? load->count / load->stalled_count : load->count + 1) == 0 &&
                      load->stalled_count > 0;
    client->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (client->fd < 0 || (client->stalled && setsockopt(client->fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size) != 0) ||
        connect(client->fd, (struct sockaddr *)&load->address, sizeof load->address) != 0 ||
        send(client->fd, load->request, load->request_size, 0) != (ssize_t)load->request_size) {
        die("connect");
    }
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = client};
    if (epoll_ctl(load->epoll_fd, EPOLL_CTL_ADD, client->fd, &event) != 0) {
        die("epoll_ctl");
    }
    client->bytes = malloc(ROOM);
    load->begun++;
}

static void client_end(struct load *load, struct client *client)
{
    close(client->fd);
    client->fd = -1;
    load->closed++;
    printf("closed %d\n", load->closed);
    fflush(stdout);
}

static void event_count(struct load *load, const char *json, size_t size)
{
    static const char key[] = "\"seq\":";
    const char *at = memmem(json, size, key, sizeof key - 1);
    if (!at) {
        return;
    }
    int64_t seq = strtoll(at + sizeof key - 1, NULL, 10), now = now_us();
    struct event *event = &load->events[seq % EVENTS_MAX];
    if (event->seq != seq) {
        *event = (struct event){.seq = seq, .first_us = now, .size = (int)size};
    }
    event->last_us = now;
    if (++event->count == load->count - load->stalled_count) {
        printf("event %lld %d %lld %lld\n", (long long)seq, event->size, (long long)event->first_us,
               (long long)event->last_us);
        fflush(stdout);
    }
}

/* A pong with a mask of zeroes. */
static void pong_send(struct client *client, const char *payload, size_t size)
{
    char frame[6 + 125] = {(char)0x8a, (char)(0x80 | size)};
    memcpy(frame + 6, payload, size);
    (void)send(client->fd, frame, 6 + size, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* Bytes of the first frame; 0: not whole yet. */
static size_t frame_take(struct load *load, struct client *client, const char *bytes, size_t size)
{
    size_t head = 2, payload = size >= 2 ? (unsigned char)bytes[1] & 127 : 0;
    if (payload == 126) {
        head = 4;
        payload = size >= 4 ? (size_t)(unsigned char)bytes[2] << 8 | (unsigned char)bytes[3] : SIZE_MAX / 2;
    }
    if (size < head || size < head + payload) {
        return 0;
    }
    int opcode = bytes[0] & 15;
    if (opcode == 1) {
        event_count(load, bytes + head, payload);
    } else if (opcode == 9) {
        pong_send(client, bytes + head, payload);
    }
    return head + payload;
}

static size_t head_take(struct load *load, struct client *client, const char *bytes, size_t size)
{
    const char *end = memmem(bytes, size, "\r\n\r\n", 4);
    if (!end) {
        return 0;
    }
    if (size < 12 || memcmp(bytes, "HTTP/1.1 101", 12) != 0) {
        fprintf(stderr, "sockets: %.*s\n", (int)size, bytes);
        exit(1);
    }
    client->open = true;
    load->open++;
    if (client->stalled) {
        (void)epoll_ctl(load->epoll_fd, EPOLL_CTL_DEL, client->fd, NULL);
    }
    return (size_t)(end - bytes) + 4;
}

static void client_read(struct load *load, struct client *client)
{
    char bytes[ROOM];
    memcpy(bytes, client->bytes, client->used);
    ssize_t got = recv(client->fd, bytes + client->used, ROOM - client->used, MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    if (got <= 0) {
        client_end(load, client);
        return;
    }
    size_t size = client->used + (size_t)got, done = 0, taken;
    do {
        taken = client->open ? frame_take(load, client, bytes + done, size - done)
                             : head_take(load, client, bytes + done, size - done);
        done += taken;
    } while (taken > 0 && done < size);
    client->used = (uint32_t)(size - done);
    memcpy(client->bytes, bytes + done, client->used);
}

static bool input_ended(void)
{
    char byte;
    struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
    return poll(&input, 1, 0) == 1 && read(STDIN_FILENO, &byte, 1) <= 0;
}

static void run(struct load *load)
{
    struct epoll_event events[BATCH];
    int64_t begun_us = now_us();
    bool told = false;
    while (!input_ended()) {
        while (load->begun < load->count && load->begun - load->open < IN_HANDSHAKE) {
            client_begin(load);
        }
        int count = epoll_wait(load->epoll_fd, events, BATCH, 200);
        for (int i = 0; i < count; i++) {
            client_read(load, events[i].data.ptr);
        }
        if (!told && load->open == load->count) {
            told = true;
            printf("open %.2f\n", (double)(now_us() - begun_us) / 1e6);
            fflush(stdout);
        }
    }
}

int main(int count, char **arguments)
{
    char token[TOKEN_SIZE];
    struct rlimit limit;
    if (count != 5 || !fgets(token, sizeof token, stdin)) {
        fprintf(stderr, "usage: sockets PORT TARGET COUNT STALLED < TOKEN\n");
        return 2;
    }
    token[strcspn(token, "\n")] = '\0';
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
    struct load *load = calloc(1, sizeof *load);
    load->count = atoi(arguments[3]);
    load->stalled_count = atoi(arguments[4]);
    load->clients = calloc((size_t)load->count, sizeof *load->clients);
    load->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    load->address = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(arguments[1]))};
    load->address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    load->request_size =
        (size_t)snprintf(load->request, sizeof load->request,
                         "GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                         "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
                         "Authorization: Bearer %s\r\n\r\n",
                         arguments[2], token);
    run(load);
    return 0;
}
