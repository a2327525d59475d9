/* Mails as bytes: RFC 5322 with RFC 2047 words, text in quoted-printable. Pure. The same event gives the same bytes
 * at every attempt, and the same Message-ID, so that whoever gets it twice can tell. */
#ifndef ZMART_MAIL_LETTER_H
#define ZMART_MAIL_LETTER_H

#include "lib/base/buffer.h"
#include "proto/order.h"

enum { LETTER_MAX_SIZE = 512 * 1024, LETTER_ADDRESS_MAX = 254 };

struct letter {
    struct text event_id; /* becomes the Message-ID, with the sender's domain */
    struct text type;     /* one that has a template */
    int64_t time_ms;      /* wall clock; becomes the Date */
    struct text from, to; /* addresses that address_is_plain takes */
    struct text shop, name;
    const struct order *order;
};

/* Whether customers are written about this type of event. */
bool letter_has_template(struct text type);
/* local@domain in printable ASCII without quotes, brackets or spaces: what needs no extension of SMTP and nothing
 * quoted. */
bool address_is_plain(struct text address);
/* Appends the mail with CRLF line ends. False when out is full. */
MUST_USE bool letter_write(const struct letter *letter, struct buffer *out);

/* ---- its parts ---- */

/* A name before an address: as it is, quoted, or as encoded words. */
MUST_USE bool phrase_write(struct text text, struct buffer *out);
/* Text of a header field: as it is when it is ASCII, else as encoded words of at most 75 characters on lines of
 * their own. */
MUST_USE bool words_write(struct text text, struct buffer *out);
/* Lines (ended by LF) in quoted-printable, at most 76 characters each, ended by CRLF. */
MUST_USE bool quoted_write(struct text text, struct buffer *out);
/* "Sat, 28 Nov 2026 01:02:03 +0000" */
MUST_USE bool date_write(int64_t time_ms, struct buffer *out);

#endif
