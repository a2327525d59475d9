#include "broker/socket.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zmq.h>

#include "lib/base/invariant.h"
#include "lib/base/text.h"

enum { PATH_SIZE = 512 };

static const char lock_name[] = "broker.lock";

/* ---- tcp ---- */

/* With keys any address will do; without them only the read-only events, and on loopback only. */
static bool tcp_is_allowed(const struct claims *claims, const char *flag, const char *address, char *message,
                           size_t size)
{
    bool is_bus = strcmp(flag, "bus") == 0;
    if (claims->keys || (bus_is_loopback(address) && (!is_bus || claims->insecure_loopback))) {
        return true;
    }
    snprintf(message, size,
             "--%s %.200s is TCP%s and needs CURVE keys: make them with zmart keys new %s, and name their folder with "
             "--keys DIR",
             flag, address, is_bus ? "" : " beyond loopback", is_bus ? "broker" : "NAME --role subscriber");
    return false;
}

/* ---- ipc ---- */

static bool lock_take(struct claims *claims, int directory, const char *name, const char *flag, const char *address,
                      char *message, size_t size)
{
    int lock = openat(directory, name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (lock < 0) {
        snprintf(message, size, "--%s %.200s: cannot open its lock file: %s", flag, address, strerror(errno));
        return false;
    }
    if (flock(lock, LOCK_EX | LOCK_NB) != 0) {
        snprintf(message, size, "--%s %.200s: another broker is alive there", flag, address);
        close(lock);
        return false;
    }
    ASSERT((size_t)claims->count < ARRAY_COUNT(claims->locks));
    claims->locks[claims->count++] = lock;
    return true;
}

/* Removes what a dead broker has left there. */
static void path_claim(struct claims *claims, const char *path)
{
    ASSERT(claims->path_count < CLAIM_MAX_PATHS);
    if (text_to_string(text_of(path), claims->paths[claims->path_count], BUS_ADDRESS_SIZE)) {
        (void)unlink(path);
        claims->path_count++;
    }
}

static bool directory_is_private(int directory, const char *flag, const char *address, char *message, size_t size)
{
    struct stat status;
    if (fstat(directory, &status) != 0 || !S_ISDIR(status.st_mode)) {
        snprintf(message, size, "--%s %.200s is not a directory", flag, address);
        return false;
    }
    if (status.st_uid != geteuid() || (status.st_mode & 077) != 0) {
        snprintf(message, size, "--%s %.200s: others can enter this directory (it must be ours, mode 0700)", flag,
                 address);
        return false;
    }
    return true;
}

static bool directory_claim(struct claims *claims, const char *flag, const char *base, char *message, size_t size)
{
    const char *path = base + strlen("ipc://");
    if (mkdir(path, 0700) != 0 && errno != EEXIST) {
        snprintf(message, size, "--%s %.200s: cannot create the directory: %s", flag, base, strerror(errno));
        return false;
    }
    int directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (directory < 0) {
        snprintf(message, size, "--%s %.200s: cannot open the directory: %s", flag, base, strerror(errno));
        return false;
    }
    bool claimed = directory_is_private(directory, flag, base, message, size) &&
                   lock_take(claims, directory, lock_name, flag, base, message, size);
    for (int socket = BUS_CLIENTS; claimed && socket <= BUS_EVENTS; socket++) {
        char address[BUS_ADDRESS_SIZE];
        if (bus_address(base, (enum bus_socket)socket, address)) {
            path_claim(claims, address + strlen("ipc://"));
        }
    }
    close(directory);
    return claimed;
}

bool claim_bus(struct claims *claims, const char *base, char *message, size_t size)
{
    char probe[BUS_ADDRESS_SIZE];
    if (!bus_address(base, BUS_EVENTS, probe)) {
        snprintf(
            message, size,
            "--bus %.200s: a broker has one address: ipc:///DIR (up to 107 bytes), tcp://HOST:PORT or inproc://NAME",
            base);
        return false;
    }
    if (text_starts_with(text_of(base), "tcp://")) {
        return tcp_is_allowed(claims, "bus", base, message, size);
    }
    return !text_starts_with(text_of(base), "ipc://") || directory_claim(claims, "bus", base, message, size);
}

bool claim_operators(struct claims *claims, const char *base, char *message, size_t size)
{
    char probe[BUS_ADDRESS_SIZE];
    if (!text_starts_with(text_of(base), "ipc://") || !bus_address(base, BUS_EVENTS, probe)) {
        snprintf(message, size, "--operators %.200s is no ipc:///DIR (up to 107 bytes)", base);
        return false;
    }
    return directory_claim(claims, "operators", base, message, size);
}

bool claim_events(struct claims *claims, const char *address, char *message, size_t size)
{
    struct text text = text_of(address);
    char lock[PATH_SIZE];
    if (text_starts_with(text, "tcp://")) {
        return tcp_is_allowed(claims, "events", address, message, size);
    }
    if (text_starts_with(text, "inproc://")) {
        return true;
    }
    if (!text_starts_with(text, "ipc:///") || text.size > strlen("ipc://") + BUS_IPC_MAX) {
        snprintf(message, size, "--events %.200s is neither tcp://HOST:PORT, ipc:///PATH (up to 107 bytes) nor empty",
                 address);
        return false;
    }
    snprintf(lock, sizeof lock, "%s.lock", address + strlen("ipc://"));
    if (!lock_take(claims, AT_FDCWD, lock, "events", address, message, size)) {
        return false;
    }
    path_claim(claims, address + strlen("ipc://"));
    return true;
}

void claims_release(struct claims *claims)
{
    while (claims->path_count > 0) {
        (void)unlink(claims->paths[--claims->path_count]);
    }
    while (claims->count > 0) {
        close(claims->locks[--claims->count]);
    }
}

/* ---- sockets ---- */

static bool options_set(void *socket, const struct socket_settings *settings, bool v6)
{
    const struct {
        int option, value;
    } options[] = {
        {ZMQ_LINGER, 0},
        {ZMQ_SNDTIMEO, 0},
        {ZMQ_SNDHWM, settings->hwm},
        {ZMQ_RCVHWM, settings->hwm},
        {ZMQ_TCP_KEEPALIVE, 1},
        {ZMQ_TCP_KEEPALIVE_IDLE, 30},
        {ZMQ_TCP_KEEPALIVE_INTVL, 10},
        {ZMQ_TCP_KEEPALIVE_CNT, 3},
        {ZMQ_TCP_MAXRT, 10 * 1000},
        {ZMQ_HANDSHAKE_IVL, 5 * 1000},
        {ZMQ_BACKLOG, 512},
        {ZMQ_IPV6, v6},
    };
    bool set = zmq_setsockopt(socket, ZMQ_MAXMSGSIZE, &settings->max_size, sizeof settings->max_size) == 0;
    for (size_t i = 0; set && i < ARRAY_COUNT(options); i++) {
        set = zmq_setsockopt(socket, options[i].option, &options[i].value, sizeof options[i].value) == 0;
    }
    int one = 1;
    if (settings->type == ZMQ_XPUB && settings->guard) { /* each subscription tells whose connection it came over */
        set = set && zmq_setsockopt(socket, ZMQ_XPUB_VERBOSER, &one, sizeof one) == 0;
    }
    return set && (settings->type != ZMQ_ROUTER || zmq_setsockopt(socket, ZMQ_ROUTER_MANDATORY, &one, sizeof one) == 0);
}

bool socket_is_guarded(const struct guard *guard, const char *address)
{
    return guard && bus_is_tcp(address);
}

void *socket_open(const struct socket_settings *settings, const char *address, char *message, size_t size)
{
    ASSERT(settings->hwm > 0);
    void *socket = zmq_socket(settings->context, settings->type);
    if (!socket) {
        snprintf(message, size, "cannot make a socket for %.200s: %s", address, zmq_strerror(zmq_errno()));
        return NULL;
    }
    if (!options_set(socket, settings, strchr(address, '[') != NULL) ||
        (socket_is_guarded(settings->guard, address) && !guard_set(settings->guard, socket, settings->plane))) {
        snprintf(message, size, "cannot set up a socket for %.200s: %s", address, zmq_strerror(zmq_errno()));
        socket_close(&socket, 0);
        return NULL;
    }
    if (!socket_bind(socket, address, message, size)) {
        socket_close(&socket, 0);
        return NULL;
    }
    return socket;
}

bool socket_bind(void *socket, const char *address, char *message, size_t size)
{
    static const char named[] = "tcp://localhost:";
    char numeric[BUS_ADDRESS_SIZE];
    if (strncmp(address, named, sizeof named - 1) == 0) { /* libzmq binds to numbers and interfaces, not to names */
        snprintf(numeric, sizeof numeric, "tcp://127.0.0.1:%.200s", address + sizeof named - 1);
        address = numeric;
    }
    if (zmq_bind(socket, address) != 0) {
        snprintf(message, size, "cannot bind %.200s: %s", address, zmq_strerror(zmq_errno()));
        return false;
    }
    return true;
}

void socket_close(void **socket, int linger_ms)
{
    if (*socket) {
        (void)zmq_setsockopt(*socket, ZMQ_LINGER, &linger_ms, sizeof linger_ms);
        ASSERT(zmq_close(*socket) == 0);
        *socket = NULL;
    }
}
