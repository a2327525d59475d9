#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <civetweb.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "gateway/accept.h"
#include "lib/base/mem.h"

struct fixture {
    struct metrics *metrics;
    struct accept_registry *registry;
    int listener;
    int port;
};

static int port_of(int fd)
{
    struct sockaddr_in address = {0};
    socklen_t size = sizeof(address);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
    return ntohs(address.sin_port);
}

static int connect_to(int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

static void fixture_open(struct fixture *f, int64_t client_max)
{
    struct accept_settings settings = {.client_max = client_max, .user_timeout_ms = 12345};
    f->metrics = metrics_new();
    f->registry = accept_registry_new(&settings, f->metrics);
    struct sockaddr_in address = {.sin_family = AF_INET};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    f->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(f->listener, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(f->listener, 64), 0);
    f->port = port_of(f->listener);
    accept_enter(f->registry);
}

static void fixture_close(struct fixture *f)
{
    accept_enter(NULL);
    close(f->listener);
    accept_registry_destroy(&f->registry);
    metrics_destroy(&f->metrics);
}

static int64_t counted(struct fixture *f, const char *name)
{
    return metric_value(metrics_get(f->metrics, METRIC_COUNTER, name, "", ""));
}

static void finds_the_socket_of_a_client(void **state)
{
    (void)state;
    struct fixture f;
    fixture_open(&f, 0);
    int clients[50], servers[50];
    for (int i = 0; i < 50; i++) {
        clients[i] = connect_to(f.port);
        servers[i] = accept(f.listener, NULL, NULL);
        assert_true(servers[i] >= 0);
    }
    for (int i = 0; i < 50; i++) {
        assert_int_equal(accept_find(f.registry, "127.0.0.1", port_of(clients[i]), f.port), servers[i]);
    }
    assert_int_equal(counted(&f, "zmart_http_accepted_total"), 50);
    assert_int_equal(accept_find(f.registry, "127.0.0.2", port_of(clients[0]), f.port), -1);
    assert_int_equal(accept_find(f.registry, "127.0.0.1", port_of(clients[0]), f.port + 1), -1);
    assert_int_equal(accept_find(f.registry, "no address", port_of(clients[0]), f.port), -1);
    assert_int_equal(accept_find(f.registry, "::ffff:127.0.0.1", port_of(clients[0]), f.port), servers[0]);
    for (int i = 0; i < 50; i++) {
        close(clients[i]);
        close(servers[i]);
    }
    fixture_close(&f);
}

static void sets_the_socket_up(void **state)
{
    (void)state;
    struct fixture f;
    fixture_open(&f, 0);
    int client = connect_to(f.port), server = accept(f.listener, NULL, NULL);
    unsigned timeout = 0;
    int on = 0;
    socklen_t size = sizeof(timeout);
    assert_int_equal(getsockopt(server, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout, &size), 0);
    assert_int_equal(timeout, 12345);
    size = sizeof(on);
    assert_int_equal(getsockopt(server, SOL_SOCKET, SO_KEEPALIVE, &on, &size), 0);
    assert_int_not_equal(on, 0);
    assert_int_not_equal(fcntl(server, F_GETFD) & FD_CLOEXEC, 0);
    close(client);
    close(server);
    fixture_close(&f);
}

static void caps_the_connections_of_one_client(void **state)
{
    (void)state;
    struct fixture f;
    fixture_open(&f, 3);
    int clients[4], servers[3];
    for (int i = 0; i < 3; i++) {
        clients[i] = connect_to(f.port);
        servers[i] = accept(f.listener, NULL, NULL);
        assert_true(servers[i] >= 0);
    }
    clients[3] = connect_to(f.port);
    assert_int_equal(accept(f.listener, NULL, NULL), -1);
    assert_int_equal(errno, ECONNABORTED);
    assert_int_equal(counted(&f, "zmart_http_capped_total"), 1);
    char byte;
    assert_true(recv(clients[3], &byte, 1, 0) <= 0);
    close(clients[3]);
    /* A closed one makes room, though nobody says so. */
    close(servers[1]);
    clients[3] = connect_to(f.port);
    servers[1] = accept(f.listener, NULL, NULL);
    assert_true(servers[1] >= 0);
    for (int i = 0; i < 4; i++) {
        close(clients[i]);
    }
    for (int i = 0; i < 3; i++) {
        close(servers[i]);
    }
    fixture_close(&f);
}

static void follows_a_moved_socket(void **state)
{
    (void)state;
    struct fixture f;
    fixture_open(&f, 1);
    int client = connect_to(f.port), server = accept(f.listener, NULL, NULL);
    int moved = fcntl(server, F_DUPFD_CLOEXEC, 0);
    close(server);
    accept_moved(f.registry, server, moved);
    assert_int_equal(accept_find(f.registry, "127.0.0.1", port_of(client), f.port), moved);
    int second = connect_to(f.port);
    assert_int_equal(accept(f.listener, NULL, NULL), -1); /* it still counts */
    close(moved);
    close(client);
    close(second);
    fixture_close(&f);
}

static void other_threads_accept_as_ever(void **state)
{
    (void)state;
    struct fixture f;
    fixture_open(&f, 1);
    accept_enter(NULL);
    int clients[2], servers[2];
    for (int i = 0; i < 2; i++) {
        clients[i] = connect_to(f.port);
        struct sockaddr_in address = {0};
        socklen_t size = sizeof(address);
        servers[i] = accept(f.listener, (struct sockaddr *)&address, &size);
        assert_true(servers[i] >= 0);
        assert_int_equal(ntohs(address.sin_port), port_of(clients[i]));
    }
    assert_int_equal(counted(&f, "zmart_http_accepted_total"), 0);
    /* Not recorded, found all the same among the process's descriptors. */
    assert_int_equal(accept_find(f.registry, "127.0.0.1", port_of(clients[1]), f.port), servers[1]);
    for (int i = 0; i < 2; i++) {
        close(clients[i]);
        close(servers[i]);
    }
    assert_int_equal(accept(-1, NULL, NULL), -1);
    assert_int_equal(errno, EBADF);
    fixture_close(&f);
}

/* ---- civetweb's own calls come here ---- */

static void *enter_on_master(const struct mg_context *context, int thread_type)
{
    if (thread_type == 0) {
        accept_enter(mg_get_user_data(context));
    }
    return NULL;
}

struct seen {
    struct accept_registry *registry;
    int fd;
};

static int look_up(struct mg_connection *connection, void *user)
{
    struct seen *seen = user;
    const struct mg_request_info *info = mg_get_request_info(connection);
    seen->fd = accept_find(seen->registry, info->remote_addr, info->remote_port, info->server_port);
    struct sockaddr_in address = {0};
    socklen_t size = sizeof(address);
    if (getpeername(seen->fd, (struct sockaddr *)&address, &size) != 0 ||
        ntohs(address.sin_port) != info->remote_port) {
        seen->fd = -1;
    }
    mg_printf(connection, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    return 200;
}

static void civetweb_accepts_through_the_hook(void **state)
{
    (void)state;
    struct fixture f;
    fixture_open(&f, 0);
    accept_enter(NULL);
    const char *options[] = {"listening_ports", "127.0.0.1:0", "num_threads", "2", NULL};
    struct mg_callbacks callbacks = {.init_thread = enter_on_master};
    mg_init_library(0);
    struct mg_context *context = mg_start(&callbacks, f.registry, options);
    assert_non_null(context);
    struct seen seen = {f.registry, -1};
    mg_set_request_handler(context, "/", look_up, &seen);
    struct mg_server_port port;
    assert_int_equal(mg_get_server_ports(context, 1, &port), 1);
    int client = connect_to(port.port);
    static const char request[] = "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    assert_int_equal(send(client, request, sizeof(request) - 1, 0), (ssize_t)sizeof(request) - 1);
    char reply[512];
    while (recv(client, reply, sizeof(reply), 0) > 0) {
    }
    close(client);
    mg_stop(context);
    mg_exit_library();
    assert_true(seen.fd >= 0);
    assert_int_equal(counted(&f, "zmart_http_accepted_total"), 1);
    fixture_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_the_socket_of_a_client),       cmocka_unit_test(sets_the_socket_up),
        cmocka_unit_test(caps_the_connections_of_one_client), cmocka_unit_test(follows_a_moved_socket),
        cmocka_unit_test(other_threads_accept_as_ever),       cmocka_unit_test(civetweb_accepts_through_the_hook),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
