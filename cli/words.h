/* A list of owned strings, fit for argv: items[count] is always NULL. */
#ifndef ZMART_CLI_WORDS_H
#define ZMART_CLI_WORDS_H

struct words {
    char **items; /* NULL when empty */
    int count;
};

/* Copies the string. */
void words_add(struct words *words, const char *word);
/* Adds "--flag" and the value as two words; flags are at most 77 characters. */
void words_add_flag(struct words *words, const char *flag, const char *value);
/* Adds copies of all of them. */
void words_add_all(struct words *words, const struct words *more);
/* Empty again; fit for AUTO. */
void words_release(struct words *words);

#endif
