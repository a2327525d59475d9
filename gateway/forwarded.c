#include "gateway/forwarded.h"

#include <arpa/inet.h>

enum { ADDRESS_SIZE = INET6_ADDRSTRLEN, WHOLE_BITS = 32 };

static bool ipv4_read(struct text text, uint32_t *out)
{
    char string[ADDRESS_SIZE];
    struct in_addr address;
    if (!text_to_string(text, string, sizeof string) || inet_pton(AF_INET, string, &address) != 1) {
        return false;
    }
    *out = ntohl(address.s_addr);
    return true;
}

static bool proxy_read(struct text text, uint32_t *out_network, uint32_t *out_mask)
{
    struct text rest = text, address;
    int64_t bits = WHOLE_BITS;
    if (!text_cut(&rest, '/', &address) || !ipv4_read(address, out_network)) {
        return false;
    }
    if (address.size < text.size && (!text_to_int(rest, &bits) || bits < 0 || bits > WHOLE_BITS)) {
        return false;
    }
    *out_mask = bits == 0 ? 0 : UINT32_MAX << (WHOLE_BITS - bits);
    return (*out_network & ~*out_mask) == 0;
}

bool forwarded_parse(const char *list, struct forwarded *out)
{
    struct text rest = text_of(list), part;
    struct forwarded read = {0};
    while (rest.size > 0 && text_cut(&rest, ',', &part)) {
        if (read.count == FORWARDED_MAX_PROXIES ||
            !proxy_read(part, &read.proxies[read.count].network, &read.proxies[read.count].mask)) {
            return false;
        }
        read.count++;
    }
    *out = read;
    return true;
}

static bool is_proxy(const struct forwarded *self, struct text address)
{
    uint32_t number;
    if (!ipv4_read(address, &number)) {
        return false;
    }
    for (int i = 0; i < self->count; i++) {
        if ((number & self->proxies[i].mask) == self->proxies[i].network) {
            return true;
        }
    }
    return false;
}

static bool is_address(struct text text)
{
    char string[ADDRESS_SIZE];
    unsigned char bytes[sizeof(struct in6_addr)];
    return text_to_string(text, string, sizeof string) &&
           (inet_pton(AF_INET, string, bytes) == 1 || inet_pton(AF_INET6, string, bytes) == 1);
}

/* Cuts the last of a list's parts off, without the blanks around it. */
static struct text last_cut(struct text *list)
{
    uint32_t begin = list->size;
    while (begin > 0 && list->data[begin - 1] != ',') {
        begin--;
    }
    struct text part = {list->data + begin, list->size - begin};
    list->size = begin > 0 ? begin - 1 : 0;
    while (part.size > 0 && (part.data[0] == ' ' || part.data[0] == '\t')) {
        part.data++;
        part.size--;
    }
    while (part.size > 0 && (part.data[part.size - 1] == ' ' || part.data[part.size - 1] == '\t')) {
        part.size--;
    }
    return part;
}

struct text forwarded_client(const struct forwarded *self, struct text peer, struct text field)
{
    if (!is_proxy(self, peer)) {
        return peer;
    }
    while (field.size > 0) {
        struct text address = last_cut(&field);
        if (!is_address(address)) {
            return peer;
        }
        if (!is_proxy(self, address)) {
            return address;
        }
    }
    return peer;
}
