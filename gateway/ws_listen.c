#include "gateway/ws_listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/invariant.h"
#include "lib/base/mailbox.h"
#include "lib/base/mem.h"

enum { EPOLL_BATCH = 64, TICK_MS = 500, BACKLOG = 1024, ANSWER_MAX_SIZE = 20 * 1024, LINGER_SIZE = 64 * 1024, HOST_SIZE = 200 };

/* A connection until it has an answer. */
struct caller {
    struct caller *next, *previous; /* of those whose head arrives */
    int fd;
    int64_t until_ms;
    char client[WS_CLIENT_SIZE];
    struct buffer head; /* and what came with it */
};

struct ws_listen {
    struct ws_listen_settings settings;
    int listen_fd, epoll_fd, stop_fd;
    int port;
    struct mailbox *whole; /* callers whose head is there */
    atomic_bool stopping;
    atomic_int count; /* callers there are */
    pthread_t reader, checkers[WS_HANDSHAKE_THREADS];
    int checker_count;
    bool reading;
    struct caller *callers; /* the reader's own */
    bool paused;            /* not accepting, because there are too many callers or too few descriptors */
};

static void caller_destroy(struct ws_listen *self, struct caller **caller)
{
    if ((*caller)->fd >= 0) {
        close((*caller)->fd);
    }
    buffer_release(&(*caller)->head);
    mem_free(*caller);
    *caller = NULL;
    atomic_fetch_sub(&self->count, 1);
}

/* ---- answering ---- */

/* To a socket that has room: nothing was sent to it before. */
static bool answer(int fd, const struct buffer *bytes)
{
    return send(fd, bytes->data, bytes->size, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)bytes->size;
}

/* What came and was not read would turn the end into a reset that overtakes the answer. */
static void refuse(const struct caller *caller, const struct fault *fault)
{
    AUTO(buffer_release) struct buffer out;
    char rest[1024];
    buffer_init(&out, ANSWER_MAX_SIZE);
    ws_upgrade_refusal(fault, &out);
    (void)answer(caller->fd, &out);
    shutdown(caller->fd, SHUT_WR);
    for (int left = LINGER_SIZE; left > 0 && recv(caller->fd, rest, sizeof rest, MSG_DONTWAIT) > 0;
         left -= (int)sizeof rest) {
    }
}

static enum err admit(struct ws_listen *self, struct caller *caller, struct fault *fault,
                      struct ws_handshake *handshake, struct ws_peer_settings *peer)
{
    struct text head = {caller->head.data, (uint32_t)ws_head_size(buffer_text(&caller->head))};
    enum err e = head.size == 0 ? fault_set(fault, ERR_HEAD_TOO_LARGE, NULL) : ws_upgrade_read(head, fault, handshake);
    if (e == ERR_NONE && !text_is(handshake->path, WS_PATH)) {
        e = fault_set(fault, ERR_NOT_FOUND, NULL);
    }
    handshake->client = caller->client;
    if (e == ERR_NONE) {
        e = self->settings.admit(self->settings.user, handshake, fault, peer);
    }
    if (e != ERR_NONE) {
        return e;
    }
    peer->fd = caller->fd;
    e = ws_entry_give(self->settings.entry, peer, fault);
    if (e != ERR_NONE) {
        mem_free(peer->filter.order_ids);
    }
    return e;
}

static void caller_check(struct ws_listen *self, struct caller *caller)
{
    AUTO(arena_release) struct arena arena = {0};
    AUTO(buffer_release) struct buffer out;
    struct fault fault;
    struct ws_handshake handshake = {0};
    struct ws_peer_settings peer = {0};
    fault_init(&fault, &arena);
    buffer_init(&out, ANSWER_MAX_SIZE);
    enum err e = admit(self, caller, &fault, &handshake, &peer);
    if (e != ERR_NONE) {
        fault.code = e;
        refuse(caller, &fault);
        return;
    }
    ws_entry_prepare(caller->fd);
    ws_upgrade_answer(handshake.key, &out);
    if (!answer(caller->fd, &out)) {
        shutdown(caller->fd, SHUT_RDWR); /* the loop sees the end */
    }
    caller->fd = -1; /* the loop's */
    size_t used = ws_head_size(buffer_text(&caller->head));
    ws_loop_start(ws_entry_loop(self->settings.entry, peer.id), peer.id,
                  (struct text){caller->head.data + used, (uint32_t)(caller->head.size - used)});
}

static void *check_run(void *argument)
{
    struct ws_listen *self = argument;
    while (!atomic_load(&self->stopping)) {
        void *taken;
        if (mailbox_take(self->whole, &taken, 1, -1) == 1 && taken != self) {
            struct caller *caller = taken;
            caller_check(self, caller);
            caller_destroy(self, &caller);
        }
    }
    return NULL;
}

/* ---- reading heads ---- */

static void caller_unlink(struct ws_listen *self, struct caller *caller)
{
    if (caller->previous) {
        caller->previous->next = caller->next;
    } else {
        self->callers = caller->next;
    }
    if (caller->next) {
        caller->next->previous = caller->previous;
    }
    (void)epoll_ctl(self->epoll_fd, EPOLL_CTL_DEL, caller->fd, NULL);
}

static void caller_drop(struct ws_listen *self, struct caller *caller)
{
    caller_unlink(self, caller);
    caller_destroy(self, &caller);
}

/* The head is there, or is too long: either way there is an answer to it. */
static void caller_hand_on(struct ws_listen *self, struct caller *caller)
{
    caller_unlink(self, caller);
    if (!mailbox_put(self->whole, caller)) {
        caller_destroy(self, &caller);
    }
}

static void caller_read(struct ws_listen *self, struct caller *caller)
{
    char bytes[2048];
    size_t room = caller->head.max_size - caller->head.size;
    ssize_t got = recv(caller->fd, bytes, room < sizeof bytes ? room : sizeof bytes, MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)) {
        return;
    }
    if (got <= 0) {
        caller_drop(self, caller);
        return;
    }
    (void)buffer_add(&caller->head, bytes, (size_t)got);
    if (ws_head_size(buffer_text(&caller->head)) > 0 || caller->head.size == caller->head.max_size) {
        caller_hand_on(self, caller);
    }
}

static void caller_add(struct ws_listen *self, int fd, const struct sockaddr *address, socklen_t address_size)
{
    struct caller *caller = mem_alloc(sizeof *caller);
    caller->fd = fd;
    caller->until_ms = clock_now_ms() + self->settings.arrival_ms;
    buffer_init(&caller->head, WS_HEAD_MAX);
    if (getnameinfo(address, address_size, caller->client, sizeof caller->client, NULL, 0, NI_NUMERICHOST) != 0) {
        caller->client[0] = '\0';
    }
    atomic_fetch_add(&self->count, 1);
    caller->next = self->callers;
    if (caller->next) {
        caller->next->previous = caller;
    }
    self->callers = caller;
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = caller};
    if (epoll_ctl(self->epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0) {
        caller_drop(self, caller);
    }
}

/* While it is paused the kernel keeps those that come, and a tick looks again. */
static void pause_set(struct ws_listen *self, bool paused)
{
    struct epoll_event event = {.events = paused ? 0 : EPOLLIN, .data.ptr = &self->listen_fd};
    if (paused != self->paused) {
        ASSERT(epoll_ctl(self->epoll_fd, EPOLL_CTL_MOD, self->listen_fd, &event) == 0);
        self->paused = paused;
    }
}

static void callers_accept(struct ws_listen *self)
{
    for (int i = 0; i < EPOLL_BATCH; i++) {
        struct sockaddr_storage address;
        socklen_t size = sizeof address;
        if (atomic_load(&self->count) >= WS_HANDSHAKES_MAX) {
            pause_set(self, true);
            return;
        }
        int fd = accept(self->listen_fd, (struct sockaddr *)&address, &size);
        if (fd < 0) {
            pause_set(self, errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM);
            return;
        }
        caller_add(self, fd, (struct sockaddr *)&address, size);
    }
}

static void late_drop(struct ws_listen *self)
{
    int64_t now_ms = clock_now_ms();
    for (struct caller *caller = self->callers, *next; caller; caller = next) {
        next = caller->next;
        if (now_ms >= caller->until_ms) {
            caller_drop(self, caller);
        }
    }
    pause_set(self, false);
}

static void *read_run(void *argument)
{
    struct ws_listen *self = argument;
    struct epoll_event events[EPOLL_BATCH];
    int64_t tick_ms = clock_now_ms();
    accept_enter(self->settings.entry->accepts); /* keepalive, and the cap of a client's connections */
    while (!atomic_load(&self->stopping)) {
        bool waits = self->callers || self->paused;
        int count = epoll_wait(self->epoll_fd, events, EPOLL_BATCH, waits ? TICK_MS : -1);
        ASSERT(count >= 0 || errno == EINTR);
        for (int i = 0; i < count; i++) {
            if (events[i].data.ptr == &self->listen_fd) {
                callers_accept(self);
            } else if (events[i].data.ptr != &self->stop_fd) {
                caller_read(self, events[i].data.ptr);
            }
        }
        if (clock_now_ms() - tick_ms >= TICK_MS) {
            tick_ms = clock_now_ms();
            late_drop(self);
        }
    }
    accept_enter(NULL);
    return NULL;
}

/* ---- making and ending ---- */

static int listen_at(const char *address, char *message, size_t message_size)
{
    char host[HOST_SIZE];
    const char *colon = strrchr(address, ':');
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV}, *found = NULL;
    int on = 1;
    if (!colon || colon == address ||
        !text_to_string((struct text){address, (uint32_t)(colon - address)}, host, sizeof host) ||
        getaddrinfo(host, colon + 1, &hints, &found) != 0) {
        snprintf(message, message_size, "--ws-listen takes HOST:PORT, not %.100s", address);
        return -1;
    }
    int fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    bool listens = fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 &&
                   bind(fd, found->ai_addr, found->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0;
    if (!listens) {
        snprintf(message, message_size, "cannot listen on %.100s: %s", address, strerror(errno));
        if (fd >= 0) {
            close(fd);
        }
    }
    freeaddrinfo(found);
    return listens ? fd : -1;
}

static int port_of(int fd)
{
    struct sockaddr_storage address;
    socklen_t size = sizeof address;
    char port[8] = "0";
    ASSERT(getsockname(fd, (struct sockaddr *)&address, &size) == 0);
    (void)getnameinfo((struct sockaddr *)&address, size, NULL, 0, port, sizeof port, NI_NUMERICSERV);
    int64_t number;
    return text_to_int(text_of(port), &number) ? (int)number : 0;
}

static bool threads_start(struct ws_listen *self)
{
    struct epoll_event listener = {.events = EPOLLIN, .data.ptr = &self->listen_fd};
    struct epoll_event stop = {.events = EPOLLIN, .data.ptr = &self->stop_fd};
    self->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    self->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (self->epoll_fd < 0 || self->stop_fd < 0 ||
        epoll_ctl(self->epoll_fd, EPOLL_CTL_ADD, self->listen_fd, &listener) != 0 ||
        epoll_ctl(self->epoll_fd, EPOLL_CTL_ADD, self->stop_fd, &stop) != 0) {
        return false;
    }
    while (self->checker_count < WS_HANDSHAKE_THREADS) {
        if (pthread_create(&self->checkers[self->checker_count], NULL, check_run, self) != 0) {
            return false;
        }
        self->checker_count++;
    }
    self->reading = pthread_create(&self->reader, NULL, read_run, self) == 0;
    return self->reading;
}

struct ws_listen *ws_listen_new(const struct ws_listen_settings *settings, char *message, size_t message_size)
{
    int fd = listen_at(settings->address, message, message_size);
    if (fd < 0) {
        return NULL;
    }
    struct ws_listen *self = mem_alloc(sizeof *self);
    self->settings = *settings;
    self->settings.arrival_ms = settings->arrival_ms > 0 ? settings->arrival_ms : WS_ARRIVAL_MS;
    self->listen_fd = fd;
    self->epoll_fd = self->stop_fd = -1;
    self->port = port_of(fd);
    self->whole = mailbox_new(WS_HANDSHAKES_MAX + WS_HANDSHAKE_THREADS);
    if (!threads_start(self)) {
        snprintf(message, message_size, "the system gives no thread or epoll for %.100s", settings->address);
        ws_listen_destroy(&self);
    }
    return self;
}

void ws_listen_destroy(struct ws_listen **self_p)
{
    struct ws_listen *self = *self_p;
    if (!self) {
        return;
    }
    uint64_t one = 1;
    void *left;
    atomic_store(&self->stopping, true);
    if (self->reading) {
        ASSERT(write(self->stop_fd, &one, sizeof one) == (ssize_t)sizeof one);
        ASSERT(pthread_join(self->reader, NULL) == 0);
    }
    for (int i = 0; i < self->checker_count; i++) {
        ASSERT(mailbox_put(self->whole, self)); /* one for each thread, so that none waits on */
    }
    while (self->checker_count > 0) {
        ASSERT(pthread_join(self->checkers[--self->checker_count], NULL) == 0);
    }
    while (mailbox_take(self->whole, &left, 1, 0) == 1) {
        struct caller *caller = left == self ? NULL : left;
        if (caller) {
            caller_destroy(self, &caller);
        }
    }
    while (self->callers) {
        caller_drop(self, self->callers);
    }
    for (int *fd = (int[]){self->listen_fd, self->epoll_fd, self->stop_fd, -1}, i = 0; i < 3; i++) {
        if (fd[i] >= 0) {
            close(fd[i]);
        }
    }
    mailbox_destroy(&self->whole);
    mem_free(self);
    *self_p = NULL;
}

int ws_listen_port(const struct ws_listen *self)
{
    return self->port;
}
