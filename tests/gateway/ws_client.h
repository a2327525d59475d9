/* A WebSocket client of few words for tests: frames in the clear, every wait with a deadline of half a minute.
 * A broken expectation fails the running cmocka test. */
#ifndef ZMART_TESTS_GATEWAY_WS_CLIENT_H
#define ZMART_TESTS_GATEWAY_WS_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { WS_CLIENT_WAIT_MS = 30000, WS_CLIENT_PAYLOAD_SIZE = 1024 * 1024 };

struct ws_frame {
    bool fin;
    uint8_t rsv, opcode;
    bool masked;
    size_t size;
    char *payload; /* NUL-terminated; belongs to the reader and is good until its next frame */
};

struct ws_reader {
    int fd;
    char payload[WS_CLIENT_PAYLOAD_SIZE + 1];
};

/* A TCP connection to 127.0.0.1; fails the test if there is none. */
int ws_client_connect(int port);
void ws_client_write(int fd, const void *data, size_t size);
/* Sends "GET target" with the fields of a handshake and extra ("Name: value\r\n" each), then reads the answer's head
 * (and the body that Content-Length tells) into reply. Returns its status. */
int ws_client_handshake(int fd, const char *target, const char *extra, char *reply, size_t reply_size);

/* first: FIN, RSV and opcode; masked with a key of its own. */
void ws_client_frame(int fd, uint8_t first, const void *payload, size_t size);
/* True with a frame, false when the server has closed the connection. */
bool ws_client_read(struct ws_reader *reader, struct ws_frame *out);
/* Reads a close frame (events and pings before it are skipped) and then the end of the connection; returns the code
 * (1005: none was in it) and copies the reason (124 bytes) if that is not NULL. */
int ws_client_read_close(struct ws_reader *reader, char *reason);

#endif
