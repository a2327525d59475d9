/* The first to see a request: refuses what civetweb 1.15 lets pass (smuggled framing, folded and bare-LF heads, two
 * Hosts, oversized heads and URIs, bad escapes, dot segments) and turns the rest into a struct http_request. Works on
 * the places where civetweb cut the head into strings, so it sees what was between them. Opens nothing, allocates
 * nothing; one pass over the head. */
#ifndef ZMART_GATEWAY_GUARD_H
#define ZMART_GATEWAY_GUARD_H

#include "gateway/request.h"
#include "lib/base/auto.h"
#include "proto/fault.h"

struct mg_request_info;

enum { GUARD_MAX_HEAD_SIZE = 16 * 1024, GUARD_MAX_HEADER_COUNT = 64, GUARD_MAX_URI_SIZE = 8 * 1024 };

/* A Content-Length of more digits than any body has is INT64_MAX. out is untouched on failure. The connection must be
 * closed after a failure: where the next request begins is unknown. */
MUST_USE enum err guard_request(const struct mg_request_info *info, struct fault *fault, struct http_request *out);

/* The last field of this name, borrowed; empty if there is none. */
struct text guard_field_last(const struct mg_request_info *info, struct text name);

/* VERB_OTHER for a method that no path of ours has. */
enum verb verb_find(struct text method);

/* Decodes percent-escapes once into room (at least from.size bytes; plus_is_blank for query strings). False for a bad
 * escape. The result may hold any byte. */
MUST_USE bool percent_decode(struct text from, bool plus_is_blank, char *room, struct text *out);

#endif
