#include "tests/mongo/proxy.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <stdint.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MESSAGE_MAX_SIZE = 1 << 20, HEAD_SIZE = 16, OP_MSG = 2013, LINKS_MAX = 4096 };

struct mongo_proxy {
    int listen_fd;
    struct sockaddr_storage server;
    socklen_t server_size;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    /* guarded by lock */
    bool stopping;
    int left;     /* commands until the one that is spoilt; < 0: none */
    enum spoil how;
    bool spoilt;
    int awaited;  /* commands that the server has, or is to have, and has not answered */
    int open;     /* links that run */
    int fds[LINKS_MAX][2];
    int link_count;
};

struct link {
    struct mongo_proxy *proxy;
    int client, server;
    bool awaited; /* the command that this link carries is one of those */
};

static void check(bool good, const char *what)
{
    if (!good) {
        perror(what);
        abort();
    }
}

/* ---- messages ---- */

static bool read_whole(int fd, uint8_t *to, size_t size)
{
    while (size > 0) {
        ssize_t got = read(fd, to, size);
        if (got <= 0) {
            return false;
        }
        to += got;
        size -= (size_t)got;
    }
    return true;
}

static bool write_whole(int fd, const uint8_t *from, size_t size)
{
    while (size > 0) {
        ssize_t put = send(fd, from, size, MSG_NOSIGNAL);
        if (put <= 0) {
            return false;
        }
        from += put;
        size -= (size_t)put;
    }
    return true;
}

static uint32_t number_at(const uint8_t *at)
{
    return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

/* One whole message; its size, or 0. */
static size_t message_read(int fd, uint8_t *message)
{
    if (!read_whole(fd, message, HEAD_SIZE)) {
        return 0;
    }
    size_t size = number_at(message);
    check(size >= HEAD_SIZE && size <= MESSAGE_MAX_SIZE, "a message's size");
    return read_whole(fd, message + HEAD_SIZE, size - HEAD_SIZE) ? size : 0;
}

/* A command of the store: the first key of the document in an OP_MSG. */
static bool is_command(const uint8_t *message, size_t size)
{
    static const char *const others[] = {"hello",        "isMaster", "ismaster",   "ping",        "saslStart",
                                         "saslContinue", "endSessions", "killCursors", "configureFailPoint"};
    enum { NAME_AT = HEAD_SIZE + 4 + 1 + 4 + 1 }; /* flags, the section's kind, the document's size, the value's type */
    if (number_at(message + 12) != OP_MSG || size <= NAME_AT) {
        return false;
    }
    const char *name = (const char *)message + NAME_AT;
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        if (strncmp(name, others[i], size - NAME_AT) == 0) {
            return false;
        }
    }
    return true;
}

/* ---- a connection ---- */

/* Counts a command; true when it is the one. */
static bool is_spoilt(struct link *link, const uint8_t *message, size_t size, enum spoil *out)
{
    struct mongo_proxy *proxy = link->proxy;
    bool hit = false;
    if (!is_command(message, size)) {
        return false;
    }
    pthread_mutex_lock(&proxy->lock);
    if (proxy->left >= 0) {
        hit = proxy->left-- == 0;
        proxy->spoilt = proxy->spoilt || hit;
    }
    *out = proxy->how;
    link->awaited = !hit || proxy->how != SPOIL_REQUEST;
    proxy->awaited += link->awaited;
    pthread_mutex_unlock(&proxy->lock);
    return hit;
}

static void answered(struct link *link)
{
    if (link->awaited) {
        link->awaited = false;
        pthread_mutex_lock(&link->proxy->lock);
        link->proxy->awaited--;
        pthread_cond_broadcast(&link->proxy->changed);
        pthread_mutex_unlock(&link->proxy->lock);
    }
}

static void until_client_leaves(const struct link *link)
{
    uint8_t byte;
    while (read(link->client, &byte, 1) > 0) {
    }
}

/* The one command is spoilt; the link ends. */
static void spoil(struct link *link, enum spoil how, const uint8_t *message, size_t size)
{
    uint8_t byte;
    if (how == SPOIL_REQUEST) {
        return;
    }
    if (how == SPOIL_LATE) {
        until_client_leaves(link);
    }
    check(write_whole(link->server, message, size), "to the server");
    check(read(link->server, &byte, 1) == 1, "its answer"); /* it is done */
    answered(link);
    if (how == SPOIL_SILENCE) {
        until_client_leaves(link);
    }
}

static bool answers_pass(struct link *link)
{
    uint8_t bytes[16384];
    ssize_t size = read(link->server, bytes, sizeof bytes);
    answered(link);
    return size > 0 && write_whole(link->client, bytes, (size_t)size);
}

static bool request_pass(struct link *link, uint8_t *message)
{
    enum spoil how;
    size_t size = message_read(link->client, message);
    if (size == 0) {
        return false;
    }
    if (is_spoilt(link, message, size, &how)) {
        spoil(link, how, message, size);
        return false;
    }
    return write_whole(link->server, message, size);
}

static void *link_run(void *argument)
{
    struct link *link = argument;
    struct mongo_proxy *proxy = link->proxy;
    uint8_t *message = malloc(MESSAGE_MAX_SIZE);
    struct pollfd fds[] = {{.fd = link->client, .events = POLLIN}, {.fd = link->server, .events = POLLIN}};
    bool goes_on = true;
    while (goes_on && poll(fds, 2, -1) > 0) {
        goes_on = (!fds[1].revents || answers_pass(link)) && (!fds[0].revents || request_pass(link, message));
    }
    shutdown(link->client, SHUT_RDWR);
    if (link->awaited) { /* the driver has given up, the server has not */
        (void)!read(link->server, message, 1);
        answered(link);
    }
    shutdown(link->server, SHUT_RDWR);
    free(message);
    free(link);
    pthread_mutex_lock(&proxy->lock);
    proxy->open--;
    pthread_cond_broadcast(&proxy->changed);
    pthread_mutex_unlock(&proxy->lock);
    return NULL;
}

static void link_start(struct mongo_proxy *proxy, int client)
{
    pthread_t thread;
    struct link *link = calloc(1, sizeof *link);
    *link = (struct link){proxy, client, socket(proxy->server.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0), false};
    check(connect(link->server, (struct sockaddr *)&proxy->server, proxy->server_size) == 0, "connect to the server");
    pthread_mutex_lock(&proxy->lock);
    check(proxy->link_count < LINKS_MAX, "too many connections");
    proxy->fds[proxy->link_count][0] = link->client;
    proxy->fds[proxy->link_count++][1] = link->server;
    proxy->open++;
    pthread_mutex_unlock(&proxy->lock);
    check(pthread_create(&thread, NULL, link_run, link) == 0, "a thread");
    pthread_detach(thread);
}

static void *proxy_run(void *argument)
{
    struct mongo_proxy *proxy = argument;
    for (;;) {
        int client = accept4(proxy->listen_fd, NULL, NULL, SOCK_CLOEXEC);
        if (client < 0) {
            return NULL;
        }
        link_start(proxy, client);
    }
}

/* ---- starting and stopping ---- */

/* The first host of mongodb://[user@]host[:port][,...]/...; what is before and behind the hosts is returned. */
static void server_find(struct mongo_proxy *self, const char *url, int *out_before, const char **out_behind)
{
    char host[256], port[8] = "27017";
    const char *start = strstr(url, "://") + 3, *end = start + strcspn(start, "/?");
    const char *at = memchr(start, '@', (size_t)(end - start));
    start = at ? at + 1 : start;
    size_t size = strcspn(start, ":,/?");
    snprintf(host, sizeof host, "%.*s", (int)size, start);
    if (start[size] == ':') {
        snprintf(port, sizeof port, "%.*s", (int)strcspn(start + size + 1, ",/?"), start + size + 1);
    }
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list = NULL;
    check(getaddrinfo(host, port, &hints, &list) == 0, "the server's address");
    memcpy(&self->server, list->ai_addr, list->ai_addrlen);
    self->server_size = list->ai_addrlen;
    freeaddrinfo(list);
    *out_before = (int)(start - url);
    *out_behind = end;
}

struct mongo_proxy *mongo_proxy_start(const char *server_url, char out_url[TEST_URL_SIZE])
{
    struct mongo_proxy *self = calloc(1, sizeof *self);
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof here;
    int before;
    const char *behind;
    self->left = -1;
    pthread_mutex_init(&self->lock, NULL);
    pthread_cond_init(&self->changed, NULL);
    server_find(self, server_url, &before, &behind);
    self->listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    check(bind(self->listen_fd, (struct sockaddr *)&here, sizeof here) == 0 && listen(self->listen_fd, 64) == 0 &&
              getsockname(self->listen_fd, (struct sockaddr *)&here, &size) == 0, "listen");
    snprintf(out_url, TEST_URL_SIZE, "%.*s127.0.0.1:%d%s", before, server_url, ntohs(here.sin_port), behind);
    check(pthread_create(&self->thread, NULL, proxy_run, self) == 0, "a thread");
    return self;
}

void mongo_proxy_stop(struct mongo_proxy **self)
{
    struct mongo_proxy *proxy = *self;
    shutdown(proxy->listen_fd, SHUT_RDWR);
    pthread_join(proxy->thread, NULL);
    pthread_mutex_lock(&proxy->lock);
    for (int i = 0; i < proxy->link_count; i++) {
        shutdown(proxy->fds[i][0], SHUT_RDWR);
        shutdown(proxy->fds[i][1], SHUT_RDWR);
    }
    while (proxy->open > 0) {
        pthread_cond_wait(&proxy->changed, &proxy->lock);
    }
    pthread_mutex_unlock(&proxy->lock);
    for (int i = 0; i < proxy->link_count; i++) { /* not before: a number may be given out again */
        close(proxy->fds[i][0]);
        close(proxy->fds[i][1]);
    }
    close(proxy->listen_fd);
    pthread_cond_destroy(&proxy->changed);
    pthread_mutex_destroy(&proxy->lock);
    free(proxy);
    *self = NULL;
}

void mongo_proxy_spoil(struct mongo_proxy *self, int n, enum spoil how)
{
    pthread_mutex_lock(&self->lock);
    self->left = n;
    self->how = how;
    self->spoilt = false;
    pthread_mutex_unlock(&self->lock);
}

bool mongo_proxy_spoilt(struct mongo_proxy *self)
{
    pthread_mutex_lock(&self->lock);
    bool spoilt = self->spoilt;
    pthread_mutex_unlock(&self->lock);
    return spoilt;
}

void mongo_proxy_settle(struct mongo_proxy *self)
{
    pthread_mutex_lock(&self->lock);
    while (self->awaited > 0) {
        pthread_cond_wait(&self->changed, &self->lock);
    }
    pthread_mutex_unlock(&self->lock);
}
