/* SPDX-License-Identifier: Apache-2.0
 *
 * logins: somebody who has logged in, as the browser keeps it, and the memory of those that were
 * seen: to open a box and to read the claims in it costs ten times what all else costs.
 *
 *     cookies, as they came ─► struct known ─► who it is (claims of the ID token), tokens, times
 *
 * Found by the end of its last cookie (the box's tag, which nobody can choose) and then by all of
 * it. Forgotten when its place is needed. A worker's own: nothing of a session is kept but this.
 */
#ifndef SLUICE_PROXY_AUTH_LOGINS_H
#define SLUICE_PROXY_AUTH_LOGINS_H

#include "lib/list.h"
#include "lib/map.h"
#include "lib/out.h"
#include "proxy/auth/bearer.h"

enum {
    SESSION_MAX = 11 << 10,      /* bytes of one, before it is sealed */
    LOGINS_MAX = 4096,           /* that a worker remembers */
    LOGINS_BYTES_MAX = 16 << 20, /* that they take */
};

struct session { /* times in seconds since 1970 */
    uint64_t begun;
    uint64_t sealed;            /* the last time that it was written anew */
    uint64_t got;               /* its tokens came */
    uint64_t over;              /* they are over; 0: they do not say */
    struct str id;              /* the ID token */
    struct str refresh, access; /* n == 0: none */
};

/* At most SESSION_MAX bytes, else o->over. */
void session_write(const struct session *s, struct out *o);
/* Borrows. False: this is none. */
bool session_read(struct session *s, struct str bytes) MUST_USE;

struct known {
    struct list link; /* the one that was shown last at the end */
    struct str text;  /* of its cookies, one behind the other; owned */
    struct str bytes; /* what `is` borrows from; owned */
    struct str next;  /* text of the one that has taken its place; n == 0: none; owned */
    struct session is;
    struct bearer *who;
    size_t size;
    uint64_t version;      /* of the policy that it was opened under */
    uint64_t busy_ms;      /* until then somebody renews its tokens */
    uint64_t vain_ms;      /* until then nobody tries again */
    bool ended;            /* the provider says so */
    uint64_t written_s;    /* when it was last written anew here, ... */
    uint64_t written_turn; /* ... and in which judgement, which may be made twice */
};

struct logins {
    struct map by_tail;
    struct list used;
    size_t size;
};

void logins_init(struct logins *all);
void logins_fini(struct logins *all);
/* pieces: the cookies' texts. NULL: it is not known. */
struct known *logins_find(struct logins *all, const struct str *pieces, unsigned n);
/* Copies text and bytes; takes who, also when it fails. NULL: there is no memory, or bytes are no
 * session. */
struct known *logins_add(struct logins *all, struct str text, struct str bytes, struct bearer *who,
                         uint64_t version);
void logins_forget(struct logins *all, struct known *k);
/* False: there is no memory. */
bool logins_follow(struct logins *all, struct known *k, struct str next);

#endif
