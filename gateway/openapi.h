/* This interface as OpenAPI 3.1, printed from the tables: operations, records, errors. */
#ifndef ZMART_GATEWAY_OPENAPI_H
#define ZMART_GATEWAY_OPENAPI_H

#include "gateway/router.h"
#include "lib/base/buffer.h"

void openapi_print(const struct router *router, struct buffer *out);

#endif
