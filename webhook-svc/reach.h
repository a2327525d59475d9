/* Which addresses a webhook may reach: only those that the public Internet has. Whoever registers a webhook chooses
 * where we connect to, so everything inside (this machine, its networks, its cloud's metadata) must not be there.
 * Pure. */
#ifndef ZMART_WEBHOOK_REACH_H
#define ZMART_WEBHOOK_REACH_H

#include <stdbool.h>
#include <sys/socket.h>

#include "proto/fault.h"

/* False for private, shared, loopback, link-local, multicast, documentation and reserved addresses, for IPv6 forms
 * that carry an IPv4 address, and for anything that is neither IPv4 nor IPv6. */
bool address_is_public(const struct sockaddr *address);
/* 127.0.0.0/8 and ::1. */
bool address_is_loopback(const struct sockaddr *address);
/* May be connected to. insecure_loopback: so may loopback addresses. */
bool address_is_allowed(const struct sockaddr *address, bool insecure_loopback);

/* What can be seen without asking anybody: https (insecure_loopback: or http), a host, no account, no fragment, and
 * no literal address that is not allowed. INVALID_BODY with an item for /url. Names are looked at when they are
 * resolved. */
MUST_USE enum err url_check(struct text url, bool insecure_loopback, struct fault *fault);

#endif
