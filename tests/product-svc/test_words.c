/* Words: what search sees of a text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "product-svc/words.h"

static void assert_words(const char *text, const char *expected)
{
    AUTO(buffer_release) struct buffer words;
    buffer_init(&words, WORDS_MAX_SIZE);
    words_fold(text_of(text), &words);
    if (!text_is(buffer_text(&words), expected)) {
        fail_msg("\"%s\" became \"%.*s\", not \"%s\"", text, TEXT_ARG(buffer_text(&words)), expected);
    }
}

static void fold_ignores_case_accents_and_punctuation(void **state)
{
    (void)state;
    assert_words("", "");
    assert_words(" -- !? ", "");
    assert_words("Red  Chair", "red chair");
    assert_words("AB-12/c_9", "ab 12 c 9");
    assert_words("Crème-Brûlée, 2×", "creme brulee 2");
    assert_words("cre\xcc\x80me", "creme"); /* the same, decomposed */
    assert_words("STRASSE Straße", "strasse strasse");
    assert_words("Ångström ﬁne ＡＢＣ", "angstrom fine abc");
    assert_words("Ёлка ΣΊΣΥΦΟΣ", "елка σισυφοσ");
    assert_words("日本 茶", "日本 茶");
    assert_words("soft\xc2\xadhyphen", "softhyphen");
    assert_words("\xf0\x9f\x98\x80 smile", "smile");
    assert_words("½ kg", "1 2 kg");
}

static void fold_appends_nothing_beyond_the_longest_product(void **state)
{
    (void)state;
    enum { LENGTH = 10000 };
    static char worst[LENGTH * 3 + 1];
    AUTO(buffer_release) struct buffer words;
    buffer_init(&words, WORDS_MAX_SIZE);
    for (int i = 0; i < LENGTH; i++) {
        memcpy(worst + i * 3, "\xef\xb7\xba", 3); /* U+FDFA: 18 code points, four words */
    }
    words_fold(text_of(worst), &words);
    assert_false(words.overflown);
    assert_true(text_is_utf8(buffer_text(&words)));
}

static void assert_query(const char *query, const char *expected)
{
    AUTO(buffer_release) struct buffer words;
    buffer_init(&words, WORDS_MAX_SIZE);
    words_query(text_of(query), &words);
    if (!text_is(buffer_text(&words), expected)) {
        fail_msg("\"%s\" asks for \"%.*s\", not \"%s\"", query, TEXT_ARG(buffer_text(&words)), expected);
    }
}

static void query_drops_what_is_implied(void **state)
{
    (void)state;
    assert_query("red", "red");
    assert_query("re RED green", "red green");
    assert_query("red red réd", "red");
    assert_query("green gre red", "green red");
    assert_query("\" OR * NEAR( a:b ^ -c {d}", "or near a b c d");
    assert_query("...", "");
    assert_query("\xef\xb7\xba", "صلى الله عليه وسلم");
}

static void query_words_have_a_bound(void **state)
{
    (void)state;
    char query[1024] = "";
    size_t size = 0;
    AUTO(buffer_release) struct buffer words;
    buffer_init(&words, WORDS_MAX_SIZE);
    for (int i = 0; i < 2 * WORDS_QUERY_MAX; i++) { /* words of one length imply nothing of one another */
        size += (size_t)snprintf(query + size, sizeof query - size, "%03d ", i);
    }
    words_query(text_of(query), &words);
    assert_int_equal(words.size, WORDS_QUERY_MAX * 4 - 1);
}

static void key_is_cut_at_a_whole_code_point(void **state)
{
    (void)state;
    char long_words[WORDS_KEY_MAX_SIZE + 3];
    assert_true(text_equal(words_key(TEXT("red chair")), TEXT("red chair")));
    memset(long_words, 'a', sizeof long_words);
    memcpy(long_words + WORDS_KEY_MAX_SIZE - 1, "\xce\xb1", 2);
    struct text key = words_key((struct text){long_words, sizeof long_words});
    assert_int_equal(key.size, WORDS_KEY_MAX_SIZE - 1);
}

static void rank_prefers_skus_names_whole_words_and_first_words(void **state)
{
    (void)state;
    struct text asked = TEXT("lamp");
    int64_t sku = words_rank(TEXT("thing"), TEXT("lamp 1"), asked);
    int64_t first = words_rank(TEXT("lamp oil"), TEXT("x 1"), asked);
    int64_t whole = words_rank(TEXT("oil for lamp"), TEXT("x 2"), asked);
    int64_t beginning = words_rank(TEXT("old lampshade"), TEXT("x 3"), asked);
    int64_t elsewhere = words_rank(TEXT("thing"), TEXT("x 4"), asked);
    assert_true(sku > first && first > whole && whole > beginning && beginning > elsewhere && elsewhere > 0);
    assert_true(words_rank(TEXT("red lamp"), TEXT("x"), TEXT("red lamp")) >
                words_rank(TEXT("red chair"), TEXT("x"), TEXT("red lamp")));
    assert_int_equal(words_rank(TEXT("red"), TEXT("x"), TEXT("")), 0);
    assert_int_equal(words_rank(TEXT(""), TEXT(""), TEXT("red")), elsewhere);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fold_ignores_case_accents_and_punctuation),
        cmocka_unit_test(fold_appends_nothing_beyond_the_longest_product),
        cmocka_unit_test(query_drops_what_is_implied),
        cmocka_unit_test(query_words_have_a_bound),
        cmocka_unit_test(key_is_cut_at_a_whole_code_point),
        cmocka_unit_test(rank_prefers_skus_names_whole_words_and_first_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
