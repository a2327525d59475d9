/* Types of events and the patterns that choose among them: "order.placed", "order.*", "*". */
#ifndef ZMART_PROTO_PATTERN_H
#define ZMART_PROTO_PATTERN_H

#include "proto/record.h"

/* Lower case letters, digits, '-' and '_' in parts with single dots between, at most 60; no leading '_': such
 * topics are the stream's own. */
bool type_is_valid(struct text type);
/* The same, or with a closing '*' after any beginning of it. */
bool pattern_is_valid(struct text pattern);
/* A closing '*' matches any rest; otherwise both are equal. */
bool pattern_matches(struct text pattern, struct text type);
/* True if one of the patterns does; no patterns match everything. */
bool patterns_match(const struct text_list *patterns, struct text type);

#endif
