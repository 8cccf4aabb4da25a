/* SPDX-License-Identifier: Apache-2.0
 *
 * easy: what all our transfers with libcurl have in common: texts that it copies, TLS that is
 * verified, no proxies, no signals; and the words for what went wrong.
 */
#ifndef SLUICE_CONTROLLER_CURL_EASY_H
#define SLUICE_CONTROLLER_CURL_EASY_H

#include "lib/why.h"

#include <curl/curl.h>

void easy_text(CURL *curl, CURLoption option, struct str text);
void easy_blob(CURL *curl, CURLoption option, struct str bytes); /* n == 0: nothing is set */

/* Nothing of the environment, nothing that blocks; "sluice/VERSION" is who asks. */
void easy_plain(CURL *curl);
/* TLS 1.2 or later, of these authorities (PEM); n == 0: the system's. */
void easy_trust(CURL *curl, struct str ca);

const char *easy_phrase(int status); /* "Not Found", of HTTP; "Refused" of what is not known */

/* Why there was no answer, or half of one. detail: what libcurl has to say about it, "" = nothing;
 * server: as "https://10.96.0.1:443". */
void easy_failed(struct why *why, CURLcode code, const char *detail, struct str server);

#endif
