#include "webhook-svc/poster.h"

#include <curl/curl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/invariant.h"
#include "lib/base/mailbox.h"
#include "webhook-svc/reach.h"

enum { POLL_MS = 1000, IDLE_CONNECTIONS = 16 };

struct poster {
    struct poster_settings settings;
    struct mailbox *given; /* struct post, to the thread */
    struct mailbox *ended; /* struct post, from it */
    CURLM *multi;
    bool started;
    atomic_bool stopping;
    pthread_t thread;
    struct post **going; /* begun, by easy handle's order of begin; the thread's */
    CURL **handles;
    size_t going_count;
};

struct post *post_new(void)
{
    return mem_alloc(sizeof(struct post));
}

void post_destroy(struct post **self)
{
    if (*self) {
        arena_release(&(*self)->arena);
        mem_free(*self);
        *self = NULL;
    }
}

/* ---- what curl asks ---- */

/* The address is the one that will be connected to: nobody can change it after this. */
static curl_socket_t socket_open(void *user, curlsocktype purpose, struct curl_sockaddr *address)
{
    struct post *post = user;
    (void)purpose;
    if (!address_is_allowed(&address->addr, post->insecure_loopback)) {
        post->refused = true;
        return CURL_SOCKET_BAD;
    }
    return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

static size_t answer_take(char *data, size_t size, size_t count, void *user)
{
    struct post *post = user;
    (void)data;
    if (size * count > post->answer_size) {
        post->too_long = true;
        return 0; /* ends it */
    }
    post->answer_size -= size * count;
    return size * count;
}

/* ---- one post ---- */

static struct curl_slist *headers_make(const struct post *post)
{
    static const char *const own[] = {"Content-Type: application/json", "Accept:", "Expect:"};
    struct curl_slist *list = NULL;
    for (size_t i = 0; i < ARRAY_COUNT(own) + POST_HEADERS; i++) {
        const char *line = i < ARRAY_COUNT(own) ? own[i] : post->headers[i - ARRAY_COUNT(own)];
        struct curl_slist *longer = curl_slist_append(list, line);
        ASSERT(longer != NULL);
        list = longer;
    }
    return list;
}

#define SET(option, value) ASSERT(curl_easy_setopt(easy, option, value) == CURLE_OK)

static void limits_set(CURL *easy, const struct poster_settings *settings)
{
    SET(CURLOPT_PROTOCOLS_STR, settings->insecure_loopback ? "https,http" : "https");
    SET(CURLOPT_FOLLOWLOCATION, 0L);
    SET(CURLOPT_PROXY, ""); /* also none that the environment names */
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_TIMEOUT_MS, (long)settings->timeout_ms);
    SET(CURLOPT_CONNECTTIMEOUT_MS, (long)settings->timeout_ms);
    SET(CURLOPT_USERAGENT, "zmart/" ZMART_VERSION);
    if (settings->ca[0]) {
        SET(CURLOPT_CAINFO, settings->ca);
    }
}

static CURL *post_prepare(struct poster *self, struct post *post)
{
    CURL *easy = curl_easy_init();
    ASSERT(easy != NULL);
    post->headers_list = headers_make(post);
    post->insecure_loopback = self->settings.insecure_loopback;
    post->answer_size = (size_t)self->settings.answer_size;
    post->began_ms = clock_wall_ms();
    post->begin_ms = clock_now_ms();
    limits_set(easy, &self->settings);
    SET(CURLOPT_URL, post->url);
    SET(CURLOPT_HTTPHEADER, post->headers_list);
    SET(CURLOPT_POST, 1L);
    SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)post->body.size);
    SET(CURLOPT_POSTFIELDS, post->body.data);
    SET(CURLOPT_OPENSOCKETFUNCTION, socket_open);
    SET(CURLOPT_OPENSOCKETDATA, post);
    SET(CURLOPT_WRITEFUNCTION, answer_take);
    SET(CURLOPT_WRITEDATA, post);
    SET(CURLOPT_ERRORBUFFER, post->detail);
    SET(CURLOPT_PRIVATE, post);
    return easy;
}

static void post_begin(struct poster *self, struct post *post)
{
    CURL *easy = post_prepare(self, post);
    ASSERT(self->going_count < self->settings.max_count);
    self->handles[self->going_count] = easy;
    self->going[self->going_count++] = post;
    ASSERT(curl_multi_add_handle(self->multi, easy) == CURLM_OK);
}

static void outcome_set(struct post *post, CURL *easy, CURLcode code)
{
    long status = 0;
    (void)curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
    post->status = status >= 100 && status <= 999 ? (int)status : 0;
    post->duration_ms = clock_now_ms() - post->begin_ms;
    curl_off_t retry_after_s = 0;
    (void)curl_easy_getinfo(easy, CURLINFO_RETRY_AFTER, &retry_after_s);
    post->retry_after_s = retry_after_s > 0 ? retry_after_s : 0; /* a date that is over is less than nothing */
    /* half an answer is none; but one that is no success says all in its head, and its body was cut off by us */
    bool heard = code == CURLE_OK || (post->too_long && post->status >= 300);
    if (post->refused && post->status == 0) {
        snprintf(post->error, sizeof post->error, "The host has an address that is not on the public Internet.");
    } else if (post->too_long && !heard) {
        snprintf(post->error, sizeof post->error, "The answer is too long.");
    } else if (!heard) {
        snprintf(post->error, sizeof post->error, "%.150s", post->detail[0] ? post->detail : curl_easy_strerror(code));
    } else if (post->status >= 300 && post->status < 400) {
        snprintf(post->error, sizeof post->error, "Redirections are not followed.");
    }
    for (char *at = post->error; *at; at++) { /* it may name a host in any bytes */
        *at = *at >= 0x20 && *at < 0x7f ? *at : '?';
    }
    if (!heard) {
        post->status = 0;
    }
}

/* Out of curl's hands; the post is its owner's. */
static void post_free(struct poster *self, size_t at)
{
    struct post *post = self->going[at];
    (void)curl_multi_remove_handle(self->multi, self->handles[at]);
    curl_easy_cleanup(self->handles[at]);
    curl_slist_free_all(post->headers_list);
    post->headers_list = NULL;
    self->going_count--;
    self->going[at] = self->going[self->going_count];
    self->handles[at] = self->handles[self->going_count];
}

static void post_end(struct poster *self, CURL *easy, CURLcode code)
{
    for (size_t at = 0; at < self->going_count; at++) {
        if (self->handles[at] == easy) {
            struct post *post = self->going[at];
            outcome_set(post, easy, code);
            post_free(self, at);
            ASSERT(mailbox_put(self->ended, post));
            self->settings.ended(self->settings.user);
            return;
        }
    }
}

/* ---- the thread ---- */

static void *poster_thread(void *argument)
{
    struct poster *self = argument;
    int running, left;
    while (!atomic_load(&self->stopping)) {
        void *post;
        CURLMsg *message;
        struct curl_waitfd wake = {.fd = mailbox_fd(self->given), .events = CURL_WAIT_POLLIN};
        while (mailbox_take(self->given, &post, 1, 0) == 1) {
            post_begin(self, post);
        }
        ASSERT(curl_multi_perform(self->multi, &running) == CURLM_OK);
        while ((message = curl_multi_info_read(self->multi, &left)) != NULL) {
            if (message->msg == CURLMSG_DONE) {
                post_end(self, message->easy_handle, message->data.result);
            }
        }
        ASSERT(curl_multi_poll(self->multi, &wake, 1, POLL_MS, NULL) == CURLM_OK);
    }
    while (self->going_count > 0) {
        post_free(self, self->going_count - 1);
    }
    return NULL;
}

static void poster_start(struct poster *self)
{
    ASSERT(curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK);
    self->multi = curl_multi_init();
    ASSERT(self->multi != NULL);
    ASSERT(curl_multi_setopt(self->multi, CURLMOPT_MAXCONNECTS, (long)IDLE_CONNECTIONS) == CURLM_OK);
    self->going = mem_alloc_array(self->settings.max_count, sizeof *self->going);
    self->handles = mem_alloc_array(self->settings.max_count, sizeof *self->handles);
    ASSERT(pthread_create(&self->thread, NULL, poster_thread, self) == 0);
    self->started = true;
}

struct poster *poster_new(const struct poster_settings *settings)
{
    struct poster *self = mem_alloc(sizeof *self);
    self->settings = *settings;
    self->given = mailbox_new(settings->max_count);
    self->ended = mailbox_new(settings->max_count);
    return self;
}

void poster_destroy(struct poster **self)
{
    struct poster *poster = *self;
    if (!poster) {
        return;
    }
    if (poster->started) {
        atomic_store(&poster->stopping, true);
        (void)curl_multi_wakeup(poster->multi);
        pthread_join(poster->thread, NULL);
        curl_multi_cleanup(poster->multi);
        curl_global_cleanup();
    }
    mem_free(poster->going);
    mem_free(poster->handles);
    mailbox_destroy(&poster->given);
    mailbox_destroy(&poster->ended);
    mem_free(poster);
    *self = NULL;
}

void poster_put(struct poster *self, struct post *post)
{
    if (!self->started) {
        poster_start(self);
    }
    ASSERT(mailbox_put(self->given, post));
}

struct post *poster_take(struct poster *self)
{
    void *post;
    return mailbox_take(self->ended, &post, 1, 0) == 1 ? post : NULL;
}
