/* Writing msgpack by hand, for the few maps that no record describes (open-ended attributes, tests).
 * A thin layer over msgpack-c's packer; everything appends to the buffer. */
#ifndef ZMART_PROTO_PACK_H
#define ZMART_PROTO_PACK_H

#include "lib/base/buffer.h"

bool pack_map(struct buffer *out, uint32_t count);
bool pack_array(struct buffer *out, uint32_t count);
bool pack_text(struct buffer *out, struct text text);
/* Bytes of any kind, as a msgpack bin. */
bool pack_bin(struct buffer *out, struct text bytes);
bool pack_int(struct buffer *out, int64_t value);
bool pack_bool(struct buffer *out, bool value);
bool pack_nil(struct buffer *out);
/* Bytes that are a msgpack value already. */
bool pack_raw(struct buffer *out, struct text value);

#endif
