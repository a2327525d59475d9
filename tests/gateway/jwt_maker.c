#include "tests/gateway/jwt_maker.h"

#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <sodium.h>
#include <string.h>

#include "lib/base/buffer.h"
#include "lib/base/invariant.h"

struct jwt_maker {
    EVP_PKEY *key;
    char kid[64];
    char pem[1000];
};

struct jwt_maker *jwt_maker_new(const char *kid)
{
    struct jwt_maker *self = mem_alloc(sizeof *self);
    char *pem;
    self->key = EVP_EC_gen("P-256");
    ASSERT(self->key != NULL);
    ASSERT(text_to_string(text_of(kid), self->kid, sizeof self->kid));
    BIO *bio = BIO_new(BIO_s_mem());
    ASSERT(PEM_write_bio_PUBKEY(bio, self->key) == 1);
    long size = BIO_get_mem_data(bio, &pem);
    ASSERT(text_to_string((struct text){pem, (uint32_t)size}, self->pem, sizeof self->pem));
    BIO_free(bio);
    return self;
}

void jwt_maker_destroy(struct jwt_maker **self)
{
    EVP_PKEY_free((*self)->key);
    mem_free(*self);
    *self = NULL;
}

struct signing_key jwt_maker_key(const struct jwt_maker *self)
{
    static const char coordinate[] = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    return (struct signing_key){
        .kid = text_of(self->kid), .public_pem = text_of(self->pem), .x = TEXT(coordinate), .y = TEXT(coordinate)};
}

static void add_base64(struct buffer *out, const void *data, size_t size)
{
    size_t room = sodium_base64_encoded_len(size, sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    char *text = mem_alloc(room);
    sodium_bin2base64(text, room, data, size, sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    (void)buffer_add_string(out, text);
    mem_free(text);
}

static void sign(const struct jwt_maker *self, const struct buffer *signed_part, unsigned char out[64])
{
    unsigned char der[128];
    size_t size = sizeof der;
    const unsigned char *at = der;
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    ASSERT(EVP_DigestSignInit(context, NULL, EVP_sha256(), NULL, self->key) == 1);
    ASSERT(EVP_DigestSign(context, der, &size, (unsigned char *)signed_part->data, signed_part->size) == 1);
    EVP_MD_CTX_free(context);
    ECDSA_SIG *pair = d2i_ECDSA_SIG(NULL, &at, (long)size);
    ASSERT(pair != NULL);
    ASSERT(BN_bn2binpad(ECDSA_SIG_get0_r(pair), out, 32) == 32 &&
           BN_bn2binpad(ECDSA_SIG_get0_s(pair), out + 32, 32) == 32);
    ECDSA_SIG_free(pair);
}

struct text jwt_make(const struct jwt_maker *self, const char *header, const char *payload, struct arena *arena)
{
    unsigned char signature[64];
    struct buffer token;
    buffer_init(&token, 1024 * 1024);
    add_base64(&token, header, strlen(header));
    (void)buffer_add_char(&token, '.');
    add_base64(&token, payload, strlen(payload));
    sign(self, &token, signature);
    (void)buffer_add_char(&token, '.');
    add_base64(&token, signature, sizeof signature);
    struct text made = {arena_copy(arena, token.data, token.size), (uint32_t)token.size};
    buffer_release(&token);
    return made;
}
