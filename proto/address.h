/* A postal address. */
#ifndef ZMART_PROTO_ADDRESS_H
#define ZMART_PROTO_ADDRESS_H

#include "proto/record.h"

#define ADDRESS_FIELDS(F, R)                                                                   \
    F(R, TEXT, name,        REQ | LINE, 1, 200, none, "who receives it")                      \
    F(R, TEXT, line1,       REQ | LINE, 1, 200, none, "street and number")                    \
    F(R, TEXT, line2,       OPT | LINE, 0, 200, none, "second line")                          \
    F(R, TEXT, city,        REQ | LINE, 1, 100, none, "town")                                 \
    F(R, TEXT, region,      OPT | LINE, 0, 100, none, "state or province")                    \
    F(R, TEXT, postal_code, REQ | LINE, 1, 20,  none, "postal code")                          \
    F(R, TEXT, country,     REQ | LINE, 2, 2,   none, "ISO 3166-1 alpha-2 code")
RECORD_DECLARE(address, ADDRESS_FIELDS);

/* True for an assigned ISO 3166-1 alpha-2 code in upper case (and XK). */
MUST_USE bool address_country_known(struct text country);

#endif
