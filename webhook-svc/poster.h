/* Posts what is given to it, all at once and none waiting for another, on one thread of its own (libcurl's multi
 * interface), so that a slow or silent receiver delays nobody. No redirections, no proxy, no address that reach.h
 * does not allow: that is looked at when a socket is opened for the address that will be connected to, so that no
 * name can resolve to one thing for the check and to another for the connection. */
#ifndef ZMART_WEBHOOK_POSTER_H
#define ZMART_WEBHOOK_POSTER_H

#include "lib/base/mem.h"
#include "lib/base/text.h"

enum { POST_HEADERS = 3, POST_ERROR_SIZE = 160 };

struct poster_settings {
    int64_t timeout_ms;     /* from begin to end */
    int64_t answer_size;    /* bytes of body that are read: a success with more is none */
    const char *ca;         /* file of certificates; empty: the system's. Borrowed */
    bool insecure_loopback; /* see url_check */
    size_t max_count;       /* posts given and not taken back at a time */
    void (*ended)(void *user); /* one can be taken; on the poster's thread */
    void *user;
};

/* Made by post_new; the poster only borrows it from put to take. */
struct post {
    struct post *prev, *next; /* the owner's list */
    struct arena arena;       /* everything below lives there */
    const char *delivery_id, *webhook_id, *url;
    const char *headers[POST_HEADERS]; /* whole lines */
    struct text body;
    /* the outcome */
    int64_t began_ms; /* wall clock */
    int64_t duration_ms;
    int status;                   /* 0: no answer */
    int64_t retry_after_s; /* the answer's Retry-After, as seconds from then; 0: none, or none that can be read */
    char error[POST_ERROR_SIZE];  /* why there is none, or why it does not count; else empty */
    /* the poster's own */
    int64_t begin_ms;
    size_t answer_size;
    bool too_long;
    bool refused;
    bool insecure_loopback;
    void *headers_list;
    char detail[256];
};

struct poster;

/* The thread begins with the first post. */
struct poster *poster_new(const struct poster_settings *settings);
/* What is under way is given up; the posts stay their owner's. */
void poster_destroy(struct poster **self);
/* At most max_count at a time. */
void poster_put(struct poster *self, struct post *post);
/* One that has ended, or NULL. */
struct post *poster_take(struct poster *self);

struct post *post_new(void);
void post_destroy(struct post **self);

#endif
