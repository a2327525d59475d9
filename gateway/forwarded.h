/* Who asks when proxies stand in front: the nearest address in X-Forwarded-For that is not one of theirs. Only what a
 * proxy that we know has written is believed, from its end on, so nobody can make up an address. */
#ifndef ZMART_GATEWAY_FORWARDED_H
#define ZMART_GATEWAY_FORWARDED_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/auto.h"
#include "lib/base/text.h"

enum { FORWARDED_MAX_PROXIES = 16 };

struct forwarded {
    int count; /* 0: nobody is believed */
    struct {
        uint32_t network, mask; /* host order */
    } proxies[FORWARDED_MAX_PROXIES];
};

/* IPv4 addresses and networks, separated by commas: "10.0.0.0/8,127.0.0.1"; empty: none. False if it is no such list.
 */
MUST_USE bool forwarded_parse(const char *list, struct forwarded *out);
/* peer: who is connected; field: the last X-Forwarded-For of the request, empty if there is none. The address that the
 * request is counted for, a part of one of the two: peer unless it is a proxy that says otherwise. */
struct text forwarded_client(const struct forwarded *self, struct text peer, struct text field);

#endif
