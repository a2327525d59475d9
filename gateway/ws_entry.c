#include "gateway/ws_entry.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

static enum err unavailable(struct fault *fault, const char *cause)
{
    fault_cause(fault, "%s", cause);
    return fault_set(fault, ERR_SERVICE_UNAVAILABLE, NULL);
}

struct ws_loop *ws_entry_loop(const struct ws_entry *self, uint64_t peer_id)
{
    return self->loops[peer_id % self->loop_count];
}

enum err ws_entry_give(struct ws_entry *self, struct ws_peer_settings *peer, struct fault *fault)
{
    peer->id = atomic_fetch_add(&self->next_id, 1);
    enum err code =
        ws_quota_take(self->quota, text_of(peer->identity.user_id), peer->identity.role == ROLE_ADMIN, fault);
    if (code == ERR_NONE && !ws_loop_add(ws_entry_loop(self, peer->id), peer)) {
        ws_quota_give(self->quota, text_of(peer->identity.user_id));
        code = unavailable(fault, "the gateway drains, or too many sockets open at once");
    }
    return code;
}

enum err ws_entry_add(struct ws_entry *self, int civetweb_fd, struct ws_peer_settings *peer, struct fault *fault)
{
    if (civetweb_fd < 0) {
        /* On civetweb's own thread a single client that stops reading would hold a worker for ever. */
        return unavailable(fault, "the socket of the connection cannot be found");
    }
    peer->fd = fcntl(civetweb_fd, F_DUPFD_CLOEXEC, 0);
    if (peer->fd < 0) {
        return unavailable(fault, "no descriptor is left");
    }
    enum err code = ws_entry_give(self, peer, fault);
    if (code != ERR_NONE) {
        close(peer->fd);
    }
    return code;
}

/* Puts a socket whose other end is closed in the place of fd. */
static bool replace_by_dead(int fd)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) {
        return false;
    }
    bool replaced = dup3(pair[0], fd, O_CLOEXEC) == fd;
    close(pair[0]);
    close(pair[1]);
    return replaced;
}

void ws_entry_prepare(int fd)
{
    int on = 1, size = WS_SEND_BUFFER_SIZE;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
}

void ws_entry_detach(struct ws_entry *self, int civetweb_fd, int loop_fd)
{
    ws_entry_prepare(civetweb_fd);
    if (replace_by_dead(civetweb_fd)) {
        accept_moved(self->accepts, civetweb_fd, loop_fd);
    } else {
        shutdown(civetweb_fd, SHUT_RDWR); /* civetweb and the loop must not both read: end it */
    }
}
