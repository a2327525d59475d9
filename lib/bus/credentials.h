/* What a process shows on TCP: its own CURVE keys, and the broker's public key that it insists on. */
#ifndef ZMART_BUS_CREDENTIALS_H
#define ZMART_BUS_CREDENTIALS_H

#include "lib/base/process.h"
#include "lib/bus/address.h"
#include "lib/bus/key_files.h"

struct credentials {
    bool known; /* false: no address needs any */
    struct key_pair own;
    char broker[KEY_TEXT_SIZE];
};

/* Looks at the addresses of --bus: with TCP among them it loads --key (or the program's own name) and broker.public
 * from
 * --keys. False: message says what is missing, or that TCP needs keys. */
MUST_USE bool credentials_load(const struct env *env, const struct bus_config *bus, struct credentials *out,
                               char *message, size_t message_size);
/* Before zmq_connect to this address; one that is no TCP is connected without keys. */
void credentials_set(const struct credentials *credentials, void *socket, const char *address);
/* Fit for AUTO. */
void credentials_forget(struct credentials *credentials);

#endif
