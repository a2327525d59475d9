/* Records accepted sockets by descriptor. Nobody tells when civetweb closes one: an entry whose descriptor no longer
 * has its addresses is dead, and is noticed when the descriptor comes again, is looked up, or the cap is about to
 * refuse. */
#include "gateway/accept.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/base/invariant.h"
#include "lib/base/mem.h"

enum { CHAIN_COUNT = 4096, KEEPALIVE_IDLE_S = 60, KEEPALIVE_EVERY_S = 15, KEEPALIVE_COUNT = 4 };
enum chain_kind { BY_ADDRESS, BY_PORTS, CHAIN_KINDS };

struct endpoint {
    uint8_t address[16]; /* IPv4 as ::ffff:a.b.c.d */
    uint16_t port;
};

struct tuple {
    struct endpoint remote, local;
};

struct link {
    int next, previous; /* descriptors; -1 ends */
};

struct slot {
    bool used;
    struct tuple tuple;
    struct link links[CHAIN_KINDS];
};

struct accept_registry {
    struct accept_settings settings;
    struct metric *accepted, *capped;
    pthread_mutex_t mutex; /* guards all below */
    struct slot *slots;    /* by descriptor */
    int slot_count;
    int heads[CHAIN_KINDS][CHAIN_COUNT];
    int64_t address_counts[CHAIN_COUNT]; /* of heads[BY_ADDRESS] */
};

static _Thread_local struct accept_registry *thread_registry;

void accept_enter(struct accept_registry *registry)
{
    thread_registry = registry;
}

static bool endpoint_read(const struct sockaddr_storage *from, struct endpoint *out)
{
    memset(out, 0, sizeof(*out));
    if (from->ss_family == AF_INET) {
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)from;
        out->address[10] = out->address[11] = 0xff;
        memcpy(out->address + 12, &v4->sin_addr, 4);
        out->port = ntohs(v4->sin_port);
        return true;
    }
    if (from->ss_family == AF_INET6) {
        const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)from;
        memcpy(out->address, &v6->sin6_addr, 16);
        out->port = ntohs(v6->sin6_port);
        return true;
    }
    return false;
}

static bool address_parse(const char *from, uint8_t out[16])
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    memcpy(out, mapped, sizeof(mapped));
    return inet_pton(AF_INET, from, out + 12) == 1 || inet_pton(AF_INET6, from, out) == 1;
}

static bool tuple_of(int fd, struct tuple *out)
{
    struct sockaddr_storage remote = {0}, local = {0};
    socklen_t remote_size = sizeof(remote), local_size = sizeof(local);
    return getpeername(fd, (struct sockaddr *)&remote, &remote_size) == 0 &&
           getsockname(fd, (struct sockaddr *)&local, &local_size) == 0 && endpoint_read(&remote, &out->remote) &&
           endpoint_read(&local, &out->local);
}

static bool endpoint_equal(const struct endpoint *a, const struct endpoint *b)
{
    return a->port == b->port && memcmp(a->address, b->address, sizeof(a->address)) == 0;
}

static bool tuple_equal(const struct tuple *a, const struct tuple *b)
{
    return endpoint_equal(&a->remote, &b->remote) && endpoint_equal(&a->local, &b->local);
}

/* FNV-1a; whoever makes chains long on purpose only makes the cap's count slower, up to one system call a socket. */
static uint32_t hash_add(uint32_t hash, const void *data, size_t size)
{
    const uint8_t *at = data;
    for (size_t i = 0; i < size; i++) {
        hash = (hash ^ at[i]) * 16777619U;
    }
    return hash;
}

static uint32_t chain_of(enum chain_kind kind, const uint8_t address[16], uint16_t remote_port, uint16_t local_port)
{
    uint32_t hash = hash_add(2166136261U, address, 16);
    if (kind == BY_PORTS) {
        hash = hash_add(hash, &remote_port, sizeof(remote_port));
        hash = hash_add(hash, &local_port, sizeof(local_port));
    }
    return (hash ^ hash >> 16) % CHAIN_COUNT;
}

static uint32_t chain_of_tuple(enum chain_kind kind, const struct tuple *tuple)
{
    return chain_of(kind, tuple->remote.address, tuple->remote.port, tuple->local.port);
}

struct accept_registry *accept_registry_new(const struct accept_settings *settings, struct metrics *metrics)
{
    struct accept_registry *self = mem_alloc(sizeof(*self));
    self->settings = *settings;
    self->accepted = metrics_get(metrics, METRIC_COUNTER, "zmart_http_accepted_total", "", "Connections accepted.");
    self->capped = metrics_get(metrics, METRIC_COUNTER, "zmart_http_capped_total", "",
                               "Connections refused because their address had too many.");
    ASSERT(pthread_mutex_init(&self->mutex, NULL) == 0);
    for (int kind = 0; kind < CHAIN_KINDS; kind++) {
        for (int i = 0; i < CHAIN_COUNT; i++) {
            self->heads[kind][i] = -1;
        }
    }
    return self;
}

void accept_registry_destroy(struct accept_registry **self_p)
{
    struct accept_registry *self = *self_p;
    if (!self) {
        return;
    }
    pthread_mutex_destroy(&self->mutex);
    mem_free(self->slots);
    mem_free(self);
    *self_p = NULL;
}

/* ---- under the mutex ---- */

static void slot_unlink(struct accept_registry *self, int fd, enum chain_kind kind)
{
    struct link *link = &self->slots[fd].links[kind];
    if (link->previous >= 0) {
        self->slots[link->previous].links[kind].next = link->next;
    } else {
        self->heads[kind][chain_of_tuple(kind, &self->slots[fd].tuple)] = link->next;
    }
    if (link->next >= 0) {
        self->slots[link->next].links[kind].previous = link->previous;
    }
}

static void slot_drop(struct accept_registry *self, int fd)
{
    if (fd < 0 || fd >= self->slot_count || !self->slots[fd].used) {
        return;
    }
    self->address_counts[chain_of_tuple(BY_ADDRESS, &self->slots[fd].tuple)]--;
    slot_unlink(self, fd, BY_ADDRESS);
    slot_unlink(self, fd, BY_PORTS);
    self->slots[fd].used = false;
}

static void slot_link(struct accept_registry *self, int fd, enum chain_kind kind)
{
    int *head = &self->heads[kind][chain_of_tuple(kind, &self->slots[fd].tuple)];
    self->slots[fd].links[kind] = (struct link){.next = *head, .previous = -1};
    if (*head >= 0) {
        self->slots[*head].links[kind].previous = fd;
    }
    *head = fd;
}

static void slot_add(struct accept_registry *self, int fd, const struct tuple *tuple)
{
    if (fd >= ACCEPT_MAX_FD) {
        return;
    }
    if (fd >= self->slot_count) {
        int count = self->slot_count ? self->slot_count : 64;
        while (count <= fd) {
            count *= 2;
        }
        self->slots = mem_grow(self->slots, (size_t)count * sizeof(*self->slots));
        memset(self->slots + self->slot_count, 0, (size_t)(count - self->slot_count) * sizeof(*self->slots));
        self->slot_count = count;
    }
    slot_drop(self, fd);
    self->slots[fd].used = true;
    self->slots[fd].tuple = *tuple;
    self->address_counts[chain_of_tuple(BY_ADDRESS, tuple)]++;
    slot_link(self, fd, BY_ADDRESS);
    slot_link(self, fd, BY_PORTS);
}

static bool slot_alive(const struct accept_registry *self, int fd)
{
    struct tuple now;
    return tuple_of(fd, &now) && tuple_equal(&now, &self->slots[fd].tuple);
}

/* Whether this client already has as many as it may. The chain's count is an upper bound, so the walk is rare. */
static bool client_is_full(struct accept_registry *self, const struct tuple *tuple)
{
    uint32_t chain = chain_of_tuple(BY_ADDRESS, tuple);
    int64_t max = self->settings.client_max;
    if (max <= 0 || self->address_counts[chain] < max) {
        return false;
    }
    int64_t count = 0;
    for (int fd = self->heads[BY_ADDRESS][chain], next; fd >= 0; fd = next) {
        next = self->slots[fd].links[BY_ADDRESS].next;
        if (!slot_alive(self, fd)) {
            slot_drop(self, fd);
        } else if (memcmp(self->slots[fd].tuple.remote.address, tuple->remote.address, 16) == 0) {
            count++;
        }
    }
    return count >= max;
}

/* ---- the hook ---- */

static void socket_prepare(int fd, int64_t user_timeout_ms)
{
    int on = 1, idle = KEEPALIVE_IDLE_S, every = KEEPALIVE_EVERY_S, count = KEEPALIVE_COUNT;
    unsigned timeout = (unsigned)user_timeout_ms;
    /* Each of these may be refused by an odd kernel; the connection works without. */
    (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof(idle));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &every, sizeof(every));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof(count));
    if (timeout > 0) {
        (void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout, sizeof(timeout));
    }
}

/* False if the client has too many connections already. */
static bool registry_take(struct accept_registry *self, int fd)
{
    struct tuple tuple;
    if (!tuple_of(fd, &tuple)) {
        return true; /* gone already, or no TCP socket: nothing to record */
    }
    pthread_mutex_lock(&self->mutex);
    slot_drop(self, fd);
    bool full = client_is_full(self, &tuple);
    if (!full) {
        slot_add(self, fd, &tuple);
    }
    pthread_mutex_unlock(&self->mutex);
    metric_add(full ? self->capped : self->accepted, 1);
    return !full;
}

/* The system call instead of dlsym(RTLD_NEXT): nothing to resolve, nothing to keep. */
int accept(int listener, __SOCKADDR_ARG address, socklen_t *restrict address_size)
{
    struct accept_registry *registry = thread_registry;
    int fd = (int)syscall(SYS_accept4, listener, address.__sockaddr__, address_size, registry ? SOCK_CLOEXEC : 0);
    if (fd < 0 || !registry) {
        return fd;
    }
    if (!registry_take(registry, fd)) {
        close(fd);
        errno = ECONNABORTED;
        return -1;
    }
    socket_prepare(fd, registry->settings.user_timeout_ms);
    return fd;
}

/* ---- asking ---- */

struct wanted {
    uint8_t address[16];
    uint16_t remote_port, local_port;
};

static bool wanted_is(const struct wanted *wanted, const struct tuple *tuple)
{
    return tuple->remote.port == wanted->remote_port && tuple->local.port == wanted->local_port &&
           memcmp(tuple->remote.address, wanted->address, 16) == 0;
}

/* Without a record (the hook was not preempting): ask every descriptor of the process. */
static int find_among_all(const struct wanted *wanted)
{
    DIR *folder = opendir("/proc/self/fd");
    int found = -1, count = 0;
    for (struct dirent *entry = folder ? readdir(folder) : NULL; entry; entry = readdir(folder)) {
        char *end;
        long fd = strtol(entry->d_name, &end, 10);
        struct tuple tuple;
        if (end != entry->d_name && *end == '\0' && tuple_of((int)fd, &tuple) && wanted_is(wanted, &tuple)) {
            found = (int)fd;
            count++;
        }
    }
    if (folder) {
        closedir(folder);
    }
    return count == 1 ? found : -1;
}

int accept_find(struct accept_registry *self, const char *remote_addr, int remote_port, int local_port)
{
    struct wanted wanted = {.remote_port = (uint16_t)remote_port, .local_port = (uint16_t)local_port};
    if (!address_parse(remote_addr, wanted.address)) {
        return -1;
    }
    int found = -1, count = 0;
    pthread_mutex_lock(&self->mutex);
    uint32_t chain = chain_of(BY_PORTS, wanted.address, wanted.remote_port, wanted.local_port);
    for (int fd = self->heads[BY_PORTS][chain], next; fd >= 0; fd = next) {
        next = self->slots[fd].links[BY_PORTS].next;
        if (!wanted_is(&wanted, &self->slots[fd].tuple)) {
            continue;
        }
        if (slot_alive(self, fd)) {
            found = fd;
            count++;
        } else {
            slot_drop(self, fd);
        }
    }
    pthread_mutex_unlock(&self->mutex);
    if (count == 0) {
        return find_among_all(&wanted);
    }
    return count == 1 ? found : -1;
}

void accept_moved(struct accept_registry *self, int old_fd, int new_fd)
{
    struct tuple tuple;
    bool known = tuple_of(new_fd, &tuple);
    pthread_mutex_lock(&self->mutex);
    slot_drop(self, old_fd);
    if (known) {
        slot_add(self, new_fd, &tuple);
    }
    pthread_mutex_unlock(&self->mutex);
}
