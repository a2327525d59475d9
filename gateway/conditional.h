/* Entity tags: made from what a reply says, compared with what a request has seen. */
#ifndef ZMART_GATEWAY_CONDITIONAL_H
#define ZMART_GATEWAY_CONDITIONAL_H

#include "proto/record.h"

enum { ETAG_SIZE = 48 };

/* "version-stock" for a record that has both, "version" for one that has a version; false for others. */
MUST_USE bool etag_make(const struct record *record, const void *in, char out[ETAG_SIZE]);
/* Whether the value of If-None-Match names the tag (compared weakly, RFC 9110 section 13.1.2) or is a star. */
bool etag_listed(struct text list, const char *etag);

#endif
