/* SPDX-License-Identifier: Apache-2.0
 *
 * What a token of 803 bytes (RS256, 2048 bits) costs that was not seen before, for callgrind: the
 * slope over N. tests/budget/jwt-instructions reads it.
 *
 *   jwt_cost read N     taken apart and judged
 *   jwt_cost cold N     and verified
 *   jwt_cost bare N     the verification alone, by OpenSSL's own functions with everything ready
 *   jwt_cost worst N    reading what costs the most: 8 kB of claims of which none is a twin
 */
#include "lib/jwt_keys.h"

#include "lib/base64url.h"

#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>

static const char key_set[] =
    "{\"keys\":["
    "{\"kty\":\"RSA\",\"kid\":\"NjVBRjY5MDlCMUIwNzU4RTA2QzZFMDQ4QzQ2MDAyQjVDNjk1RTM2Qg\","
    "\"alg\":\"RS256\",\"n\":\"oUcmSvcsL_llRketU6_r0khV7cIV0XUPTk6-EnIc4thh9sHdS74HLeJPUm"
    "uXC-yml9VV8O82239MHV6DEdzwyi8voBMKU885wD_FJRtbNFKqUw_RQyFtIvJGr7-NRcLaxGWT2RtPpnHhWh"
    "V3EU4QaH4B1OsF73kqi7LY7gz_iy6vWf3t-ndpG2nku4GfCSj4TaVyN0Tk6aN1847xeh_f4U0CfxJOoheqg5"
    "uc3pF73L1ra_cwtkUSsPnhEO5aq17rz8TuLGsMvTqc8LIU5VbQbwFJt02bg-mX8jtutjmb2GY74_keyPxIZb"
    "L7cdGVwyAixQdlV-iJ0aQ__Vr0mowfVw\",\"e\":\"AQAB\"}"
    "]}";

static const char token[] =
    "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCIsImtpZCI6Ik5qVkJSalk1TURsQ01VSXdOelU0UlRBMlF6WkZN"
    "RFE0UXpRMk1EQXlRalZETmprMVJUTTJRZyJ9.eyJpc3MiOiJodHRwczovL2lkcC5leGFtcGxlLmNvbS8iLCJ"
    "zdWIiOiJhdXRoMHw1ZjdjOGVjN2MzM2M2YzAwNGJiYWZlODIiLCJhdWQiOlsiaHR0cHM6Ly9hcGkuZXhhbXB"
    "sZS5jb20iXSwiaWF0IjoxNzk5OTk5OTAwLCJleHAiOjE4MDAwMDM2MDAsImF6cCI6Im15X2NsaWVudF9pZF8"
    "xMjM0Iiwic2NvcGUiOiJvcGVuaWQgcHJvZmlsZSBvcmRlcnM6cmVhZCIsInJlYWxtX2FjY2VzcyI6eyJyb2x"
    "lcyI6WyJhZG1pbiIsInVzZXIiXX0sImFtciI6MX0.mNyvIObtNWaLdjjSBxg2Jm00YGa9IJ-b4YNRdLYIIwO"
    "ALFjHUIC-k-C0DSoke8-Vu1er4XWWal6VZWJ0gyyjTesH4ZkQuXhUb3oBDwzil6Pt3v8oXgzpmAZW8vN0L4G"
    "t7wXtrPbzMCsd43wIi-WMp8BztCtEn-5lGhDga-4CFOEu6-mhpkY8o4kBlMl-xRwoZowna9hn3S9ebaHDJaJ"
    "CbFw3_2cNAdH7qAWyCXU-mn3ziAGfjUYkH9cLY92RhvY6Db7-Zzpo26CufCRW0Gm6XSEfICFsdSDVMYsKzab"
    "qNnIwU8udNoYDm-5dW6_6QhipI9keBYenRuDCQAi254Tv3g";

enum { NOW = 1800000000 };

static const struct str api = {"https://api.example.com", 23};
static const struct jwt_rules rules = {
    .issuer = {"https://idp.example.com/", 24}, .audiences = &api, .n_audiences = 1, .skew_s = 30};

static void read_one(struct jwt *t, struct jwt_scratch *s) {
    must(jwt_read(t, STR(token), s, NULL) == 0);
    must(jwt_judge(t, &rules, NOW, NULL) == 0);
}

static void cold(struct jwt_scratch *s, const struct jwt_keys *keys, bool verified) {
    struct jwt t;
    read_one(&t, s);
    if (verified)
        must(jwt_verify(&t, keys, JWT_ALG(JWT_RS256), s, NULL) == 0);
}

static void bare(EVP_MD_CTX *hash, EVP_PKEY_CTX *key, const struct jwt *t) {
    unsigned char digest[32];
    must(EVP_DigestInit_ex2(hash, NULL, NULL) == 1 &&
         EVP_DigestUpdate(hash, t->signed_part.p, t->signed_part.n) == 1 &&
         EVP_DigestFinal_ex(hash, digest, NULL) == 1);
    must(EVP_PKEY_verify(key, (const unsigned char *)t->signature.p, t->signature.n, digest, 32) ==
         1);
}

static void run_bare(const struct jwt_set *set, struct jwt_scratch *s, long n) {
    const unsigned char *der = (const unsigned char *)set->keys[0].der.p;
    EVP_PKEY *key = d2i_PUBKEY(NULL, &der, (long)set->keys[0].der.n);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
    EVP_MD *md = EVP_MD_fetch(NULL, "SHA256", NULL);
    EVP_MD_CTX *hash = EVP_MD_CTX_new();
    struct jwt t;
    must(EVP_PKEY_verify_init(ctx) == 1 &&
         EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PADDING) > 0 &&
         EVP_PKEY_CTX_set_signature_md(ctx, md) > 0 && EVP_DigestInit_ex2(hash, md, NULL) == 1);
    read_one(&t, s);
    for (long i = 0; i < n; i++)
        bare(hash, ctx, &t);
    EVP_MD_CTX_free(hash);
    EVP_MD_free(md);
    EVP_PKEY_CTX_free(ctx);
    EVP_PKEY_free(key);
}

/* Objects of as many members as there may be, with names of one length. */
static struct out worst_token(void) {
    struct out o = out_heap(JWT_TOKEN_MAX), claims = out_heap(JWT_TOKEN_MAX);
    out_lit(&o, "eyJhbGciOiJSUzI1NiJ9.");
    out_char(&claims, '{');
    for (int i = 0; claims.n < 5900; i++) {
        out_str(&claims, i > 0 ? STR("},") : STR(""));
        out_fmt(&claims, "\"%d\":{\"aaaa\":0", i);
        for (int m = 1; m < CLAIMS_MEMBERS && claims.n < 5900; m++)
            out_fmt(&claims, ",\"a%03d\":0", m);
    }
    out_lit(&claims, "}}");
    base64url_put(&o, claims.p, claims.n);
    out_lit(&o, ".c2ln");
    must(!o.over && !claims.over);
    out_fini(&claims);
    return o;
}

static void run_worst(struct jwt_scratch *s, long n) {
    struct out o = worst_token();
    struct jwt t;
    for (long i = 0; i < n; i++)
        must(jwt_read(&t, out_done(&o), s, NULL) == 0);
    out_fini(&o);
}

int main(int argc, char **argv) {
    struct str what = str_of(argc == 3 ? argv[1] : "");
    long n = argc == 3 ? strtol(argv[2], NULL, 10) : 0;
    struct jwt_set *set = jwt_set_new(STR(key_set), NULL);
    struct jwt_keys *keys = set ? jwt_keys_of(set->keys, set->n_keys, NULL) : NULL;
    struct jwt_scratch *s = jwt_scratch_new();
    must(keys);
    if (str_eq(what, STR("bare")))
        run_bare(set, s, n);
    else if (str_eq(what, STR("worst")))
        run_worst(s, n);
    else if (str_eq(what, STR("read")) || str_eq(what, STR("cold")))
        for (long i = 0; i < n; i++)
            cold(s, keys, str_eq(what, STR("cold")));
    else
        return fprintf(stderr, "jwt_cost read|cold|bare|worst N\n"), 1;
    jwt_scratch_free(s);
    jwt_keys_free(keys);
    jwt_set_free(set);
    return 0;
}
