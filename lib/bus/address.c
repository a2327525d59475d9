#include "lib/bus/address.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/text.h"

CONFIG_DEFINE(bus_config, BUS_CONFIG)

static const char *const socket_names[] = {
    [BUS_CLIENTS] = "clients", [BUS_WORKERS] = "workers", [BUS_PUBLISH] = "publish", [BUS_EVENTS] = "events"};

static bool tcp_address(struct text base, enum bus_socket socket, char out[BUS_ADDRESS_SIZE])
{
    int64_t port;
    const char *colon = memrchr(base.data, ':', base.size);
    struct text digits = {colon + 1, (uint32_t)(base.data + base.size - colon - 1)};
    if (colon < base.data + strlen("tcp://") + 1 || !text_to_int(digits, &port) || port < 1 || port > 65535 - 3) {
        return false;
    }
    int size =
        snprintf(out, BUS_ADDRESS_SIZE, "%.*s:%" PRId64, (int)(colon - base.data), base.data, port + (int)socket);
    return size > 0 && size < BUS_ADDRESS_SIZE;
}

bool bus_address(const char *base, enum bus_socket socket, char out[BUS_ADDRESS_SIZE])
{
    struct text text = text_of(base);
    int size = -1;
    if (text_starts_with(text, "tcp://")) {
        return tcp_address(text, socket, out);
    }
    if (text_starts_with(text, "ipc:///") && text.size > strlen("ipc:///")) {
        size = snprintf(out, BUS_ADDRESS_SIZE, "%s/%s", base, socket_names[socket]);
        return size > 0 && size <= BUS_IPC_MAX + (int)strlen("ipc://");
    }
    if (text_starts_with(text, "inproc://") && text.size > strlen("inproc://")) {
        size = snprintf(out, BUS_ADDRESS_SIZE, "%s.%s", base, socket_names[socket]);
    }
    return size > 0 && size < BUS_ADDRESS_SIZE;
}

int bus_addresses(const char *bus, char out[BUS_MAX_BROKERS][BUS_ADDRESS_SIZE])
{
    struct text rest = text_of(bus);
    struct text one;
    char probe[BUS_ADDRESS_SIZE];
    int count = 0;
    while (text_cut(&rest, ',', &one)) {
        if (count == BUS_MAX_BROKERS || !text_to_string(one, out[count], BUS_ADDRESS_SIZE) ||
            !bus_address(out[count], BUS_PUBLISH, probe)) {
            return -1;
        }
        count++;
    }
    return count;
}

bool bus_is_tcp(const char *address)
{
    return text_starts_with(text_of(address), "tcp://");
}

static bool host_is_loopback(struct text host)
{
    char name[BUS_ADDRESS_SIZE];
    struct in_addr v4;
    struct in6_addr v6;
    if (host.size > 2 && host.data[0] == '[' && host.data[host.size - 1] == ']') {
        host = (struct text){host.data + 1, host.size - 2};
    }
    if (!text_to_string(host, name, sizeof name)) {
        return false;
    }
    if (inet_pton(AF_INET, name, &v4) == 1) {
        return ntohl(v4.s_addr) >> 24 == 127;
    }
    if (inet_pton(AF_INET6, name, &v6) == 1) {
        return IN6_IS_ADDR_LOOPBACK(&v6);
    }
    return strcmp(name, "localhost") == 0;
}

bool bus_is_loopback(const char *address)
{
    struct text rest = text_of(address);
    if (!bus_is_tcp(address)) {
        return false;
    }
    rest = (struct text){rest.data + strlen("tcp://"), rest.size - (uint32_t)strlen("tcp://")};
    const char *colon = rest.size ? memrchr(rest.data, ':', rest.size) : NULL;
    return host_is_loopback((struct text){rest.data, colon ? (uint32_t)(colon - rest.data) : 0});
}
