/* The page of /docs: one self-contained HTML file that shows /openapi.json. */
#ifndef ZMART_GATEWAY_DOCS_H
#define ZMART_GATEWAY_DOCS_H

#include <stddef.h>

#include "lib/base/text.h"

struct text docs_page(void);
/* The page's Content-Security-Policy: its own script and style by their hashes, and nothing else. */
void docs_policy(char *out, size_t size);

#endif
