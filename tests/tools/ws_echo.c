/* The gateway's WebSocket loop as an echo server, so that any conformance client can be pointed at it:
 *
 *     ws_echo PORT [SIZE]     serves ws://127.0.0.1:PORT/ws; messages have at most SIZE bytes (1 MiB)
 *
 * Prints "listening on PORT" and runs until a signal ends it. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "gateway/ws_listen.h"
#include "lib/base/metrics.h"

enum { LOOPS = 2, SOCKETS_MAX = 20000 };

struct echo {
    struct ws_limits limits;
    struct ws_quota *quota;
};

static void on_message(void *user, struct ws_peer *peer, const struct ws_said *said, int64_t now_ms)
{
    (void)user;
    ws_peer_say(peer, ws_message_of_data(said->is_text ? WS_TEXT : WS_BINARY, said->bytes), now_ms);
}

static void on_closed(void *user, const struct ws_record *record)
{
    struct echo *echo = user;
    ws_quota_give(echo->quota, text_of(record->identity->user_id));
}

/* Whoever comes. */
static enum err admit(void *user, const struct ws_handshake *handshake, struct fault *fault,
                      struct ws_peer_settings *out)
{
    struct echo *echo = user;
    (void)handshake;
    (void)fault;
    *out = (struct ws_peer_settings){
        .fd = -1, .identity = {.user_id = "usr_echo", .session_id = "ses_echo"}, .limits = &echo->limits};
    return ERR_NONE;
}

static bool echo_run(struct echo *echo, const char *address, struct metrics *metrics, const sigset_t *signals)
{
    char message[300] = "no thread";
    struct ws_hearer hearer = {on_message, NULL};
    struct ws_loop_settings settings = {.metrics = metrics, .closed = on_closed, .user = echo, .hearer = &hearer};
    struct accept_registry *accepts = accept_registry_new(&(struct accept_settings){.user_timeout_ms = 30000}, metrics);
    struct ws_loop *loops[LOOPS];
    for (int i = 0; i < LOOPS; i++) {
        loops[i] = ws_loop_new(&settings);
    }
    struct ws_entry entry = {
        .accepts = accepts, .loops = loops, .loop_count = LOOPS, .quota = echo->quota, .next_id = 1};
    struct ws_listen_settings listen = {.address = address, .entry = &entry, .admit = admit, .user = echo};
    struct ws_listen *listening = ws_listen_new(&listen, message, sizeof message);
    if (listening) {
        printf("listening on %d\n", ws_listen_port(listening));
        fflush(stdout);
        int number;
        (void)sigwait(signals, &number);
    } else {
        fprintf(stderr, "ws_echo: %s\n", message);
    }
    bool ran = listening != NULL;
    ws_listen_destroy(&listening);
    for (int i = 0; i < LOOPS; i++) {
        ws_loop_destroy(&loops[i]);
    }
    accept_registry_destroy(&accepts);
    return ran;
}

int main(int count, char **arguments)
{
    char address[40];
    int64_t port, size = 1024 * 1024;
    if (count < 2 || count > 3 || !text_to_int(text_of(arguments[1]), &port) || port < 0 || port > 65535 ||
        (count == 3 && (!text_to_int(text_of(arguments[2]), &size) || size < 125 || size > WS_MESSAGE_MAX))) {
        fprintf(stderr, "usage: ws_echo PORT [SIZE]\n");
        return 2;
    }
    struct echo echo = {.limits = {.queue_count = 64,
                                   .queue_size = 256 * 1024,
                                   .receive_size = size,
                                   .keep_size = size,
                                   .receive_rate = INT32_MAX,
                                   .ping_ms = 25 * 1000,
                                   .close_ms = 2 * 1000,
                                   .age_ms = INT32_MAX},
                        .quota = ws_quota_new(SOCKETS_MAX, SOCKETS_MAX)};
    struct metrics *metrics = metrics_new();
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &signals, NULL); /* the threads inherit it */
    snprintf(address, sizeof address, "127.0.0.1:%d", (int)port);
    bool ran = echo_run(&echo, address, metrics, &signals);
    ws_quota_destroy(&echo.quota);
    metrics_destroy(&metrics);
    return ran ? 0 : 1;
}
