/* The floor: civetweb with the gateway's options answering a constant, and nothing else.
 *     floor PORT WORKERS      ends on SIGINT or SIGTERM */
#include <civetweb.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

static const char body[] =
    "{\"id\":\"prd_0123456789abcdefghjkmnpqrs\",\"name\":\"Bench\",\"description\":\"\",\"sku\":\"SKU-01234567\","
    "\"price\":29.99,\"currency\":\"USD\",\"stock\":1000000000,\"categories\":[],\"images\":[],\"active\":true,"
    "\"version\":1,\"created_at\":\"2026-01-01T00:00:00.000Z\",\"updated_at\":\"2026-01-01T00:00:00.000Z\"}";

static int answer(struct mg_connection *connection, void *user)
{
    (void)user;
    char reply[1024];
    int size = snprintf(reply, sizeof reply,
                        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n"
                        "Connection: keep-alive\r\n\r\n%s", sizeof body - 1, body);
    mg_write(connection, reply, (size_t)size);
    return 200;
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: floor PORT WORKERS\n");
        return 2;
    }
    char listen[64];
    snprintf(listen, sizeof listen, "127.0.0.1:%s", argv[1]);
    const char *options[] = {"listening_ports", listen, "num_threads", argv[2], "enable_keep_alive", "yes",
                             "keep_alive_timeout_ms", "5000", "tcp_nodelay", "1", "connection_queue", "1024",
                             "listen_backlog", "1024", "decode_url", "no", NULL};
    sigset_t ends;
    sigemptyset(&ends);
    sigaddset(&ends, SIGINT);
    sigaddset(&ends, SIGTERM);
    sigprocmask(SIG_BLOCK, &ends, NULL);
    struct mg_callbacks callbacks;
    memset(&callbacks, 0, sizeof callbacks);
    mg_init_library(0);
    struct mg_context *context = mg_start(&callbacks, NULL, options);
    if (!context) {
        fprintf(stderr, "cannot listen on %s\n", listen);
        return 1;
    }
    mg_set_request_handler(context, "/", answer, NULL);
    int signal_number;
    sigwait(&ends, &signal_number);
    mg_stop(context);
    return 0;
}
