/* Money: int64 minor units plus an ISO 4217 currency; at the edge a JSON number in major units. */
#ifndef ZMART_PROTO_MONEY_H
#define ZMART_PROTO_MONEY_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/text.h"

enum {
    DECIMAL_DIGITS = 4,     /* a DECIMAL field counts 1/10000 of a major unit */
    MONEY_TEXT_SIZE = 48    /* any int64 as decimal text, with NUL */
};
/* The largest amount: 9,999,999,999.99 major units (so that a JSON double keeps every cent). */
#define DECIMAL_MAX INT64_C(99999999999900)
/* In minor units, for the currency with the most decimals; MONEY fields are bounded by it. */
#define MONEY_MAX DECIMAL_MAX

/* Decimals of an ISO 4217 currency in use (0, 2, 3 or 4); -1 for an unknown code. Upper case only. */
int currency_decimals(struct text code);
/* A DECIMAL as minor units; false if it has more decimals than the currency (0..4). */
MUST_USE bool money_from_decimal(int64_t decimal, int currency_decimals, int64_t *out_minor);
int64_t money_to_decimal(int64_t minor, int currency_decimals);
/* "29.99", "500", "-0.05": a JSON number with exactly the currency's decimals. */
void money_format(int64_t minor, int currency_decimals, char out[MONEY_TEXT_SIZE]);
/* Reads a JSON number by its 15-digit decimal text, as a DECIMAL; false beyond 4 decimals or DECIMAL_MAX. */
MUST_USE bool decimal_from_double(double value, int64_t *out);
/* Reads "29.99" (query strings): digits, at most one point, at most 4 decimals, no sign, no exponent. */
MUST_USE bool decimal_from_text(struct text text, int64_t *out);
/* price * quantity, and sums: false on passing MONEY_MAX. */
MUST_USE bool money_multiply(int64_t minor, int64_t quantity, int64_t *out);
MUST_USE bool money_add(int64_t a, int64_t b, int64_t *out);

#endif
