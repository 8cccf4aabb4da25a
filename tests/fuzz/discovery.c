/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz discovery: an issuer, a zero byte, a discovery document; and the same bytes as an address.
 * What is taken names that issuer and an address that can be fetched from.
 */
#include "controller/fetch/discovery.h"
#include "controller/fetch/fetch.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct str all = str_mk((const char *)data, size), issuer;
    struct str document = str_cut(all, 0, &issuer);
    struct out uri = out_heap(FETCH_URL_MAX);
    struct why why = {0};
    int bad = discovery_read(document, issuer, &uri, &why);
    must(why_set(&why) == (bad != 0));
    must((uri.n > 0) == (bad == 0) && !uri.over);
    if (bad == 0) {
        must(issuer.n > 0 && str_find(document, 'j', 0) < document.n);
        must(fetch_url_check(out_done(&uri), false, NULL) == 0);
    }
    out_fini(&uri);
    why_clear(&why);
    bad = fetch_url_check(all, size % 2 == 0, &why);
    must(why_set(&why) == (bad != 0));
    must(bad != 0 || size <= FETCH_URL_MAX);
    return 0;
}
