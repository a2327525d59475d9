/* Records as JSON: walks the record's field table. With gateway/codec_json, which reads, the only place that knows how
 * a kind looks in JSON.
 *
 *   TEXT string   INT integer   BOOL true/false   TIME RFC 3339   ENUM its name   STRS array of strings
 *   MONEY number in major units with the currency's decimals   DECIMAL number in major units
 *   LIST array of objects   REC object   RAW never   absent OPT field: null */
#ifndef ZMART_JSON_JSON_WRITE_H
#define ZMART_JSON_JSON_WRITE_H

#include "lib/base/buffer.h"
#include "proto/record.h"

/* Appends the record as one JSON object; false only when out's maximum is reached. */
MUST_USE bool json_write(const struct record *record, const void *in, struct buffer *out);

#endif
