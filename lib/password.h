/* SPDX-License-Identifier: Apache-2.0
 *
 * password: stored passwords, as text: read, refused, verified, made.
 *
 *     $2y$10$  abcdefghijklmnopqrstuv  ABCDEFGHIJKLMNOPQRSTUVWXYZabcde
 *     └ form, cost   └ salt                   └ digest
 *
 *   form             written                      a verification (one core of 2.5 GHz)
 *   bcrypt           $2a$ $2b$ $2y$, cost 4..12   1 ms at 4, twice that for each more: 50 ms at
 *                                                 10, 0.2 s at 12
 *   sha256-crypt     $5$, rounds 1,000..1,000,000 2 ms at 5,000, which is meant where none are said
 *   sha512-crypt     $6$, the same                1.4 ms at 5,000
 *   MD5 of Apache    $apr1$                       0.2 ms
 *   SHA-1 of Kong    $kong-sha1$ID$DIGEST         1 µs: no protection at all for whoever reads it,
 *                                                 so only where somebody has asked for it
 *
 * What costs more, and what costs nothing, is refused where it is read (by the controller), so that
 * nobody stalls a proxy by a number, nor trusts a hash that is none. yescrypt is refused because
 * one verification takes 16 MB.
 *
 * The proxy hands all but the quick forms to lib/slow.h. Passwords are bytes: at most PASSWORD_MAX,
 * no NUL. Of bcrypt only the first 72 count, as everywhere.
 *
 * No state, no I/O, any thread. Nothing here keeps or prints a password or a digest; scratch memory
 * is wiped.
 */
#ifndef SLUICE_LIB_PASSWORD_H
#define SLUICE_LIB_PASSWORD_H

#include "lib/why.h"

enum {
    PASSWORD_MAX = 511,        /* bytes of a password: what crypt(3) takes */
    PASSWORD_STORED_MAX = 255, /* bytes of a stored form */
    PASSWORD_COST_MAX = 12,    /* of bcrypt */
    PASSWORD_ROUNDS_MIN = 1000,
    PASSWORD_ROUNDS_MAX = 1000000, /* of sha-crypt: 0.3 to 0.4 s */
    PASSWORD_ROUNDS = 5000,        /* of what password_make() makes */
    PASSWORD_USER_MAX = 255,       /* bytes of a user's name */
    PASSWORD_LINE_MAX = 1024,      /* bytes of a line in an htpasswd file */
};

enum password_form {
    PASSWORD_BCRYPT,
    PASSWORD_SHA256,
    PASSWORD_SHA512,
    PASSWORD_APR1,
    PASSWORD_KONG_SHA1,
};

/* A stored form, taken apart. Borrows the text. */
struct password {
    enum password_form form;
    uint32_t cost;      /* of bcrypt, or rounds */
    struct str setting; /* what stands before the digest: form, cost and salt */
    struct str salt;    /* of APR1 the salt; of KONG_SHA1 the id of Kong's consumer */
    struct str digest;  /* as text */
};

/* -1 with *why: one sentence that says what to use instead. */
int password_read(struct password *p, struct str stored, struct why *why) MUST_USE;

/* Whether that is the password. Constant time where digests are compared; else as long as the form
 * takes (password_us). False too for passwords that nobody can have (too long, a NUL within). */
bool password_verify(const struct password *p, struct str password) MUST_USE;
/* As much work as password_verify() does, for a name that nobody has, so that time does not tell
 * who exists. Where forms differ, let a keyed hash of the name choose whose form to pretend: times
 * are then spread as those of real names are, and one name has always the same. p == NULL: there is
 * nobody at all. */
void password_pretend(const struct password *p, struct str password);

/* About how long a verification takes: microseconds of CPU. A guess from the table above. */
uint32_t password_us(const struct password *p);
/* Short enough for a loop that serves others: no more than some µs. */
bool password_is_quick(const struct password *p);

/* Makes a stored form of a clear password: sha512-crypt with PASSWORD_ROUNDS. Not bcrypt, because
 * it is the proxy that pays at the first use of each password on each worker, and the controller
 * once for each (10,000 take it 14 s); nor something quick, because a person may have chosen it.
 *
 * The salt comes from `place`, which must be the credential's own and the same wherever it is made
 * (the uid of the Secret, and the user): replicas of a controller then make equal objects, and no
 * two credentials share a salt. It never depends on the password: that would give whoever reads the
 * salt a quick way to try passwords.
 *
 * Writes at most PASSWORD_STORED_MAX bytes. -1 with *why: empty, too long, a NUL within. */
int password_make(struct str clear, struct str place, struct out *stored, struct why *why) MUST_USE;

/* Writes Kong's form of basic-auth: SHA-1 over the password and, behind it, the id of the consumer,
 * as 40 hexadecimal digits. -1 with *why. */
int password_from_kong(struct str consumer_id, struct str hex, struct out *stored,
                       struct why *why) MUST_USE;

/* ---- htpasswd files ---- */

struct htpasswd_user {
    struct str name, stored;
};

/* `user:hash` lines as htpasswd(1) makes them; what follows a second colon is a comment. LF or
 * CRLF, a byte order mark, empty lines and lines that begin with '#' are fine.
 *
 *     file ──► users[0..n)   in the order of the file; they borrow its text
 */
struct htpasswd {
    struct htpasswd_user *users;
    size_t n;
};

/* At most `max` users. Every stored form is one that password_read() takes; Kong's is not taken
 * from a file. -1 with *why, whose text names the line ("line 17: ..."); *h is then empty. */
int htpasswd_read(struct htpasswd *h, struct str file, size_t max, struct why *why) MUST_USE;
void htpasswd_fini(struct htpasswd *h); /* harmless when empty */

#endif
