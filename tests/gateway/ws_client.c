#include "tests/gateway/ws_client.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

int ws_client_connect(int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

void ws_client_write(int fd, const void *data, size_t size)
{
    for (const char *at = data; size > 0;) {
        ssize_t sent = send(fd, at, size, MSG_NOSIGNAL);
        if (sent <= 0) {
            return; /* the server may hang up in the middle of what it refuses */
        }
        at += sent;
        size -= (size_t)sent;
    }
}

/* Bytes read: less than size only when the connection ended. */
static size_t read_all(int fd, void *data, size_t size)
{
    size_t done = 0;
    while (done < size) {
        struct pollfd wait = {.fd = fd, .events = POLLIN};
        assert_int_equal(poll(&wait, 1, WS_CLIENT_WAIT_MS), 1);
        ssize_t got = recv(fd, (char *)data + done, size - done, 0);
        if (got <= 0) {
            break;
        }
        done += (size_t)got;
    }
    return done;
}

int ws_client_handshake(int fd, const char *target, const char *extra, char *reply, size_t reply_size)
{
    char request[8192];
    int size = snprintf(request, sizeof(request),
                        "GET %s HTTP/1.1\r\nHost: shop\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n%s\r\n",
                        target, extra);
    assert_true(size > 0 && (size_t)size < sizeof(request));
    ws_client_write(fd, request, (size_t)size);
    size_t used = 0;
    while (used + 1 < reply_size && !(used >= 4 && memcmp(reply + used - 4, "\r\n\r\n", 4) == 0)) {
        assert_int_equal(read_all(fd, reply + used, 1), 1);
        used++;
    }
    reply[used] = '\0';
    const char *length = strcasestr(reply, "\r\nContent-Length:");
    if (length) {
        size_t body = strtoul(length + 17, NULL, 10);
        assert_true(used + body < reply_size);
        assert_int_equal(read_all(fd, reply + used, body), body);
        reply[used + body] = '\0';
    }
    assert_memory_equal(reply, "HTTP/1.1 ", 9);
    return atoi(reply + 9);
}

void ws_client_frame(int fd, uint8_t first, const void *payload, size_t size)
{
    static const uint8_t key[4] = {0x12, 0xab, 0x00, 0xff};
    uint8_t *frame = malloc(size + 14), *at = frame;
    assert_non_null(frame);
    *at++ = first;
    if (size < 126) {
        *at++ = (uint8_t)(0x80 | size);
    } else {
        size_t length_size = size <= UINT16_MAX ? 2 : 8;
        *at++ = (uint8_t)(0x80 | (length_size == 2 ? 126 : 127));
        for (size_t i = 0; i < length_size; i++) {
            *at++ = (uint8_t)((uint64_t)size >> 8 * (length_size - 1 - i));
        }
    }
    memcpy(at, key, 4);
    at += 4;
    for (size_t i = 0; i < size; i++) {
        *at++ = ((const uint8_t *)payload)[i] ^ key[i % 4];
    }
    ws_client_write(fd, frame, (size_t)(at - frame));
    free(frame);
}

bool ws_client_read(struct ws_reader *reader, struct ws_frame *out)
{
    uint8_t head[2], length[8] = {0};
    if (read_all(reader->fd, head, 2) != 2) {
        return false;
    }
    uint64_t size = head[1] & 127;
    if (size >= 126) {
        size_t length_size = size == 126 ? 2 : 8;
        assert_int_equal(read_all(reader->fd, length, length_size), length_size);
        size = 0;
        for (size_t i = 0; i < length_size; i++) {
            size = size << 8 | length[i];
        }
    }
    assert_true(size <= WS_CLIENT_PAYLOAD_SIZE);
    if (read_all(reader->fd, reader->payload, size) != size) {
        return false;
    }
    reader->payload[size] = '\0';
    *out = (struct ws_frame){
        .fin = head[0] >> 7 & 1,
        .rsv = head[0] >> 4 & 7,
        .opcode = head[0] & 15,
        .masked = head[1] >> 7 & 1,
        .size = size,
        .payload = reader->payload,
    };
    return true;
}

int ws_client_read_close(struct ws_reader *reader, char *reason)
{
    struct ws_frame frame;
    do {
        assert_true(ws_client_read(reader, &frame));
    } while (frame.opcode != 8);
    assert_true(frame.fin && !frame.masked && frame.size <= 125 && frame.size != 1);
    int code = frame.size ? (uint8_t)frame.payload[0] << 8 | (uint8_t)frame.payload[1] : 1005;
    if (reason) {
        snprintf(reason, 124, "%s", frame.size ? frame.payload + 2 : "");
    }
    ws_client_frame(reader->fd, 0x88, frame.payload, frame.size);
    assert_false(ws_client_read(reader, &frame));
    return code;
}
