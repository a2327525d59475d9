/* Words, as search sees them: the one definition for what is stored and for what is asked, so that every store finds
 * the same. A word is a run of letters and digits after compatibility decomposition, case folding and dropping of
 * marks: "Crème-Brûlée, 2×" is "creme brulee 2". Word lists are texts with one blank between words. */
#ifndef ZMART_PRODUCT_WORDS_H
#define ZMART_PRODUCT_WORDS_H

#include "lib/base/buffer.h"

enum {
    WORDS_MAX_SIZE = 512 * 1024, /* more than 10,000 code points can become */
    WORDS_QUERY_MAX = 128,       /* words of a query that count; 200 code points hardly hold more */
    WORDS_KEY_MAX_SIZE = 400     /* of a sort key, so that a cursor can hold it */
};

/* Appends the words of well-formed UTF-8. */
void words_fold(struct text text, struct buffer *out);
/* The words of a query without those that another word implies: "re red green" asks for nothing more than "red green".
 */
void words_query(struct text query, struct buffer *out);
/* What sorting by name compares: the words, cut to WORDS_KEY_MAX_SIZE bytes at a whole code point. */
struct text words_key(struct text words);
/* How well a product fits a query that it matches: sku before name, whole words before beginnings, the name's first
 * word before its others. Depends on nothing but its arguments, so that a page's order holds while the shop changes. 0
 * to WORDS_RANK_MAX. */
enum { WORDS_RANK_MAX = 100000 };
int64_t words_rank(struct text name_words, struct text sku_words, struct text query_words);

#endif
