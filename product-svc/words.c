#include "product-svc/words.h"

#include <utf8proc.h>

#include "lib/base/invariant.h"

enum { DECOMPOSED_MAX = 32 }; /* the longest compatibility decomposition has 18 code points */

static bool is_letter_or_digit(utf8proc_int32_t code)
{
    utf8proc_category_t category = utf8proc_category(code);
    return (category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_LO) ||
           (category >= UTF8PROC_CATEGORY_ND && category <= UTF8PROC_CATEGORY_NO) || category == UTF8PROC_CATEGORY_CO;
}

/* Writes one word after the other; a blank goes before the first character of each but the first. */
struct folding {
    struct buffer *out;
    bool in_word;
    bool any;
};

static void folding_add(struct folding *folding, utf8proc_int32_t code)
{
    if (!is_letter_or_digit(code)) {
        folding->in_word = false;
        return;
    }
    char bytes[5] = {' '};
    utf8proc_ssize_t size = utf8proc_encode_char(code, (utf8proc_uint8_t *)bytes + 1);
    bool gap = !folding->in_word && folding->any;
    folding->in_word = folding->any = true;
    buffer_add(folding->out, gap ? bytes : bytes + 1, (size_t)size + gap);
}

static void folding_add_ascii(struct folding *folding, char c)
{
    folding_add(folding, c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
}

static void folding_add_any(struct folding *folding, utf8proc_int32_t code)
{
    utf8proc_int32_t parts[DECOMPOSED_MAX];
    int boundary = 0;
    utf8proc_ssize_t count = utf8proc_decompose_char(
        code, parts, DECOMPOSED_MAX,
        UTF8PROC_COMPAT | UTF8PROC_DECOMPOSE | UTF8PROC_CASEFOLD | UTF8PROC_STRIPMARK | UTF8PROC_IGNORE, &boundary);
    ASSERT(count >= 0 && count <= DECOMPOSED_MAX);
    for (utf8proc_ssize_t i = 0; i < count; i++) {
        folding_add(folding, parts[i]);
    }
}

void words_fold(struct text text, struct buffer *out)
{
    struct folding folding = {.out = out};
    uint32_t at = 0;
    while (at < text.size) {
        if ((unsigned char)text.data[at] < 0x80) {
            folding_add_ascii(&folding, text.data[at++]);
            continue;
        }
        utf8proc_int32_t code;
        utf8proc_ssize_t size =
            utf8proc_iterate((const utf8proc_uint8_t *)text.data + at, (utf8proc_ssize_t)(text.size - at), &code);
        ASSERT(size > 0); /* what comes in was checked to be UTF-8 */
        folding_add_any(&folding, code);
        at += (uint32_t)size;
    }
}

static bool begins_with(struct text word, struct text beginning)
{
    return word.size >= beginning.size && memcmp(word.data, beginning.data, beginning.size) == 0;
}

/* True if another word of the list says at least as much. Of equal words the first stays. */
static bool is_implied(const struct text *words, int count, int at)
{
    for (int i = 0; i < count; i++) {
        if (i != at && begins_with(words[i], words[at]) && (words[i].size > words[at].size || i < at)) {
            return true;
        }
    }
    return false;
}

void words_query(struct text query, struct buffer *out)
{
    struct text words[WORDS_QUERY_MAX];
    struct text word;
    int count = 0;
    AUTO(buffer_release) struct buffer folded;
    buffer_init(&folded, WORDS_MAX_SIZE);
    words_fold(query, &folded);
    struct text rest = buffer_text(&folded);
    while (count < WORDS_QUERY_MAX && rest.size > 0 && text_cut(&rest, ' ', &word)) {
        words[count++] = word;
    }
    for (int i = 0; i < count; i++) {
        if (is_implied(words, count, i)) {
            continue;
        }
        if (out->size > 0) {
            buffer_add_char(out, ' ');
        }
        buffer_add_text(out, words[i]);
    }
}

struct text words_key(struct text words)
{
    if (words.size > WORDS_KEY_MAX_SIZE) {
        words.size = WORDS_KEY_MAX_SIZE;
        while (!text_is_utf8(words)) {
            words.size--;
        }
    }
    return words;
}

enum {
    RANK_SKU_WORD = 40,
    RANK_SKU_BEGINNING = 20,
    RANK_NAME_WORD = 30,
    RANK_NAME_BEGINNING = 15,
    RANK_NAME_FIRST = 5,
    RANK_ELSEWHERE = 1
};

/* The best that one list of words has for a word asked. */
static int64_t rank_in(struct text words, struct text asked, int64_t whole, int64_t beginning, int64_t first)
{
    int64_t best = 0;
    struct text word;
    for (bool is_first = true; words.size > 0 && text_cut(&words, ' ', &word); is_first = false) {
        if (begins_with(word, asked)) {
            int64_t rank = (word.size == asked.size ? whole : beginning) + (is_first ? first : 0);
            best = rank > best ? rank : best;
        }
    }
    return best;
}

int64_t words_rank(struct text name_words, struct text sku_words, struct text query_words)
{
    int64_t sum = 0;
    struct text asked;
    while (query_words.size > 0 && text_cut(&query_words, ' ', &asked)) {
        int64_t by_sku = rank_in(sku_words, asked, RANK_SKU_WORD, RANK_SKU_BEGINNING, 0);
        int64_t by_name = rank_in(name_words, asked, RANK_NAME_WORD, RANK_NAME_BEGINNING, RANK_NAME_FIRST);
        int64_t best = by_sku > by_name ? by_sku : by_name;
        sum += best > 0 ? best : RANK_ELSEWHERE;
    }
    return sum < WORDS_RANK_MAX ? sum : WORDS_RANK_MAX;
}
