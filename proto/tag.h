/* Entity tags of what has a version: the gateway sends "3", and gets it back in If-Match. */
#ifndef ZMART_PROTO_TAG_H
#define ZMART_PROTO_TAG_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/text.h"

/* Whether an If-Match field (a list of tags, or *) names this version; weak tags never do. A malformed rest is not
 * read. */
bool version_tag_matches(struct text if_match, int64_t version);

#endif
