#include "gateway/docs.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/auto.h"
#include "lib/base/invariant.h"

/* docs.html, by embed.py */
extern const unsigned char docs_html[];
extern const unsigned docs_html_size;

enum { HASH_TEXT_SIZE = sodium_base64_ENCODED_LEN(crypto_hash_sha256_BYTES, sodium_base64_VARIANT_ORIGINAL) };

struct text docs_page(void)
{
    return (struct text){(const char *)docs_html, docs_html_size};
}

/* Of what stands between <tag> and </tag>, as browsers count it. */
static void hash_between(const char *open, const char *close, char out[HASH_TEXT_SIZE])
{
    unsigned char hash[crypto_hash_sha256_BYTES];
    struct text page = docs_page();
    const char *from = memmem(page.data, page.size, open, strlen(open));
    ASSERT(from != NULL);
    from += strlen(open);
    const char *to = memmem(from, (size_t)(page.data + page.size - from), close, strlen(close));
    ASSERT(to != NULL);
    crypto_hash_sha256(hash, (const unsigned char *)from, (size_t)(to - from));
    sodium_bin2base64(out, HASH_TEXT_SIZE, hash, sizeof hash, sodium_base64_VARIANT_ORIGINAL);
}

void docs_policy(char *out, size_t size)
{
    char style[HASH_TEXT_SIZE], script[HASH_TEXT_SIZE];
    hash_between("<style>", "</style>", style);
    hash_between("<script>", "</script>", script);
    int length = snprintf(out, size,
                          "default-src 'none'; connect-src 'self'; style-src 'sha256-%s'; script-src 'sha256-%s'; "
                          "base-uri 'none'; frame-ancestors 'none'",
                          style, script);
    ASSERT(length > 0 && (size_t)length < size);
}
